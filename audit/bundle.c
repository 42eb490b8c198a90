#include "audit/bundle.h"

#include <stdlib.h>
#include <string.h>

#include "audit/bundle_internal.h"
#include "audit/check_internal.h"
#include "crypto/files_internal.h"
#include "crypto/secret.h"

enum { BUNDLE_VERSION = 1, LEAF_MIN = 36, NOTE_MIN = 48, CHECKPOINTS_MAX = 1 << 16, SEEN_MAX = 256 };

/* ---- Before anything is allocated ----
 *
 * A few bytes of input can ask for a structure twenty times as large. So the wire format is walked once:
 * the entries must have a length that they can have at all, and every proof node its 32 bytes. */

static bool varint(uint64_t *v, const uint8_t **p, const uint8_t *end) {
    *v = 0;
    for (unsigned shift = 0; shift < 64 && *p < end; shift += 7) {
        uint8_t b = *(*p)++;
        *v |= (uint64_t)(b & 0x7f) << shift;
        if ((b & 0x80) == 0) {
            return true;
        }
    }
    return false;
}

enum { WIRE_VARINT = 0, WIRE_BYTES = 2, TAG_CHECKPOINTS = 5, TAG_LEAVES = 6, TAG_SEEN = 7 };

/* in: the tag of the entry that we are in, 0 in the bundle itself. */
static bool walk(const uint8_t *p, size_t n, unsigned in) {
    const uint8_t *end = p + n;
    while (p < end) {
        uint64_t key, v;
        if (!varint(&key, &p, end) || !varint(&v, &p, end)) {
            return false;
        }
        unsigned tag = (unsigned)(key >> 3);
        if ((key & 7) == WIRE_VARINT && key >> 3 < 16) {
            continue;
        }
        if ((key & 7) != WIRE_BYTES || key >> 3 >= 16 || v > (uint64_t)(end - p)) {
            return false;
        }
        bool proof = (in == TAG_CHECKPOINTS && tag == 2) || (in == TAG_LEAVES && tag == 3);
        bool entry = in == 0 && tag >= TAG_CHECKPOINTS && tag <= TAG_SEEN;
        if ((proof && v != CSL_MERKLE_BYTES) ||
            (entry && (v < (tag == TAG_LEAVES ? LEAF_MIN : NOTE_MIN) || !walk(p, (size_t)v, tag)))) {
            return false;
        }
        p += v;
    }
    return true;
}

/* ---- Fields ---- */

static void check_note(struct csl__check *c, const char *field, const char *note) {
    csl__check_range(c, field, strlen(note), 1, CSL_NOTE_MAX - 1);
}

static void check_proof(struct csl__check *c, const char *field, const ProtobufCBinaryData *proof, size_t n) {
    csl__check_digests(c, field, proof, n, 0, CSL_MERKLE_PROOF_MAX);
}

enum csl_err csl__bundle_check(const csl_bundle *b, const char *what, struct csl_diag *diag) {
    struct csl__check c = {what, diag, CSL_OK};
    csl__check_range(&c, "version", b->version, BUNDLE_VERSION, BUNDLE_VERSION);
    csl__check_name(&c, "site", b->site);
    csl__check_exact(&c, "roster_digest", &b->roster_digest, CSL__DIGEST_BYTES);
    csl__check_optional(&c, "session_id", &b->session_id, CSL__SESSION_ID_BYTES);
    csl__check_range(&c, "checkpoints", b->n_checkpoints, 0, CHECKPOINTS_MAX);
    for (size_t i = 0; c.err == CSL_OK && i < b->n_checkpoints; i++) {
        check_note(&c, "checkpoints.note", b->checkpoints[i]->note);
        check_proof(&c, "checkpoints.proof", b->checkpoints[i]->proof, b->checkpoints[i]->n_proof);
    }
    for (size_t i = 0; c.err == CSL_OK && i < b->n_leaves; i++) {
        csl__check_bounded(&c, "leaves.leaf", &b->leaves[i]->leaf, CSL_LEAF_MAX);
        check_proof(&c, "leaves.proof", b->leaves[i]->proof, b->leaves[i]->n_proof);
    }
    csl__check_range(&c, "seen", b->n_seen, 0, SEEN_MAX);
    for (size_t i = 0; c.err == CSL_OK && i < b->n_seen; i++) {
        csl__check_name(&c, "seen.who", b->seen[i]->who);
        check_note(&c, "seen.note", b->seen[i]->note);
    }
    if (c.err == CSL_OK && !csl__known_fields(&b->base)) {
        return csl_fail(diag, CSL_EDATA, "%s: holds a field that this version does not know", what);
    }
    return c.err;
}

enum csl_err csl_bundle_parse(csl_bundle **out, const uint8_t *p, size_t n, const char *what,
                              struct csl_diag *diag) {
    *out = NULL;
    if (n == 0 || n > CSL_BUNDLE_BYTES_MAX || !walk(p, n, 0)) {
        return csl_fail(diag, CSL_EDATA, "%.200s: is not a bundle as `consilium audit export` writes it",
                        what);
    }
    csl_bundle *b = csl__audit__bundle__unpack(NULL, n, p);
    if (b == NULL) {
        return csl_fail(diag, CSL_EDATA, "%.200s: is not a bundle, or there is no memory for it", what);
    }
    enum csl_err err = csl__bundle_check(b, what, diag);
    if (err != CSL_OK) {
        csl_bundle_free(b);
        return err;
    }
    *out = b;
    return CSL_OK;
}

enum csl_err csl_bundle_read(csl_bundle **out, const char *path, struct csl_diag *diag) {
    char *data = NULL;
    size_t n = 0;
    *out = NULL;
    TRY(csl__read_file(&data, &n, path, CSL_BUNDLE_BYTES_MAX, diag));
    enum csl_err err = csl_bundle_parse(out, (const uint8_t *)data, n, path, diag);
    csl_secret_free(data);
    return err;
}

enum csl_err csl_bundle_write(const csl_bundle *b, const char *path, struct csl_diag *diag) {
    size_t n = csl__audit__bundle__get_packed_size(b);
    if (n > CSL_BUNDLE_BYTES_MAX) {
        return csl_fail(
            diag, CSL_EDATA,
            "%.200s: the bundle would have %zu bytes, at most %d are read; export the sessions one "
            "by one (--session)",
            path, n, CSL_BUNDLE_BYTES_MAX);
    }
    uint8_t *data = malloc(n + 1);
    if (data == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "no memory for a bundle of %zu bytes", n);
    }
    (void)csl__audit__bundle__pack(b, data);
    enum csl_err err = csl__replace_file(path, 0644, data, n, diag);
    free(data);
    return err;
}

void csl_bundle_free(csl_bundle *b) {
    if (b != NULL) {
        csl__audit__bundle__free_unpacked(b, NULL);
    }
}
