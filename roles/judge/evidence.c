#include "roles/judge/evidence.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/bytes.h"
#include "crypto/files_internal.h"
#include "crypto/hash.h"
#include "crypto/secret.h"
#include "mpc/check.h"

enum { MAX_CORRECTIONS = 1 << 30 }; /* the frame that carries them (net/frame.h) */
static const uint8_t magic[8] = {'C', 'S', 'L', 'E', 1, 0, 0, 0};

void csl_evidence_clear(struct csl_evidence *e) {
    csl_signed_clear(&e->dealt);
    free(e->demands);
    memset(e, 0, sizeof *e);
}

/* ---- The file's bytes ---- */

static void write_path(struct csl_writer *w, const uint8_t a[32], const uint8_t b[32],
                       const struct csl_evidence_path *p) {
    csl_writer_bytes(w, a, 32);
    csl_writer_bytes(w, b, 32);
    csl_writer_u32(w, (uint32_t)p->n);
    csl_writer_bytes(w, p->nodes[0], p->n * CSL_MERKLE_BYTES);
}

static void write_all(struct csl_writer *w, const struct csl_evidence *e) {
    csl_writer_bytes(w, magic, sizeof magic);
    csl_writer_u32(w, (uint32_t)e->dealt.n);
    csl_writer_bytes(w, e->dealt.statement, e->dealt.n);
    csl_writer_bytes(w, e->dealt.signature, sizeof e->dealt.signature);
    csl_writer_u32(w, e->row);
    csl_writer_u32(w, (uint32_t)e->n_demands);
    uint8_t *demands = csl_writer_reserve(w, e->n_demands * CSL_DEMAND_BYTES);
    if (demands != NULL) {
        csl_demands_encode(demands, e->demands, e->n_demands);
    }
    csl_writer_u32(w, e->n_parties);
    for (unsigned p = 0; p < e->n_parties; p++) {
        write_path(w, e->keys[p].bits_key, e->keys[p].matrix_digest, &e->keys[p].path);
    }
    write_path(w, e->corrections_matrix, e->corrections_bits, &e->corrections_path);
}

enum csl_err csl_evidence_encode(uint8_t **out, size_t *n, const struct csl_evidence *e) {
    *out = malloc(CSL_EVIDENCE_MAX_BYTES);
    *n = 0;
    if (*out == NULL) {
        return CSL_ENOMEM;
    }
    struct csl_writer w = csl_writer_of(*out, CSL_EVIDENCE_MAX_BYTES);
    write_all(&w, e);
    if (w.bad) { /* no plan has so many demands */
        free(*out);
        *out = NULL;
        return CSL_EINTERNAL;
    }
    *n = w.n;
    return CSL_OK;
}

static bool read_path(struct csl_reader *r, uint8_t a[32], uint8_t b[32], struct csl_evidence_path *p) {
    csl_reader_bytes(r, a, 32);
    csl_reader_bytes(r, b, 32);
    uint32_t n = csl_reader_u32(r);
    if (n > CSL_EVIDENCE_MAX_NODES) {
        return false;
    }
    p->n = n;
    csl_reader_bytes(r, p->nodes[0], p->n * CSL_MERKLE_BYTES);
    return !r->bad;
}

static enum csl_err read_statement(struct csl_evidence *e, struct csl_reader *r, struct csl_diag *diag) {
    const uint8_t *head = csl_reader_view(r, sizeof magic);
    if (head == NULL || memcmp(head, magic, sizeof magic) != 0) {
        return csl_fail(diag, CSL_EDATA, "this is no evidence of version 1");
    }
    uint32_t n = csl_reader_u32(r);
    const uint8_t *statement = csl_reader_view(r, n), *signature = csl_reader_view(r, CSL_SIGNATURE_BYTES);
    if (n == 0 || n > CSL_STATEMENT_MAX || statement == NULL || signature == NULL) {
        return csl_fail(diag, CSL_EDATA, "the dealer's statement is missing or torn off");
    }
    return csl_signed_copy(&e->dealt, statement, n, signature);
}

static enum csl_err read_demands(struct csl_evidence *e, struct csl_reader *r, struct csl_diag *diag) {
    e->row = csl_reader_u32(r);
    uint32_t n = csl_reader_u32(r);
    const uint8_t *demands =
        n == 0 || n > CSL_MAX_DEMANDS ? NULL : csl_reader_view(r, (size_t)n * CSL_DEMAND_BYTES);
    if (demands == NULL) {
        return csl_fail(diag, CSL_EDATA, "the demands are missing or torn off");
    }
    e->demands = calloc(n, sizeof *e->demands);
    if (e->demands == NULL) {
        return CSL_ENOMEM;
    }
    e->n_demands = n;
    return csl_demands_decode(e->demands, demands, n, diag);
}

static enum csl_err read_all(struct csl_evidence *e, struct csl_reader *r, struct csl_diag *diag) {
    TRY(read_statement(e, r, diag));
    TRY(read_demands(e, r, diag));
    uint32_t n = csl_reader_u32(r);
    bool good = n >= 2 && n <= CSL_MAX_PARTIES;
    for (unsigned p = 0; good && p < n; p++) {
        good = read_path(r, e->keys[p].bits_key, e->keys[p].matrix_digest, &e->keys[p].path);
    }
    e->n_parties = n;
    good = good && read_path(r, e->corrections_matrix, e->corrections_bits, &e->corrections_path);
    return good && csl_reader_done(r) ? CSL_OK
                                      : csl_fail(diag, CSL_EDATA, "keys or paths are missing or malformed");
}

enum csl_err csl_evidence_decode(struct csl_evidence *out, const uint8_t *p, size_t n,
                                 struct csl_diag *diag) {
    memset(out, 0, sizeof *out);
    struct csl_reader r = csl_reader_of(p, n);
    enum csl_err err = read_all(out, &r, diag);
    if (err != CSL_OK) {
        csl_evidence_clear(out);
    }
    return err;
}

/* ---- What it proves ---- */

size_t csl_evidence_path_nodes(uint32_t index, uint32_t size) {
    size_t n = 0;
    for (uint32_t last = size - 1; last != 0; index >>= 1, last >>= 1, n++) { /* RFC 9162, 2.1.3.2 */
        while (index == last && (index & 1) == 0) {
            index >>= 1;
            last >>= 1;
        }
    }
    return n;
}

static enum csl_err on_path(const ProtobufCBinaryData *root, uint32_t size, uint32_t row,
                            const uint8_t leaf[CSL_MERKLE_BYTES], const struct csl_evidence_path *p) {
    return root->len != CSL_MERKLE_BYTES
               ? CSL_EAUTH
               : csl_merkle_verify_inclusion(root->data, size, leaf, row, p->nodes, p->n);
}

enum csl_err csl_evidence_paths(const struct csl_evidence *e, const Csl__Audit__DealtStatement *m,
                                unsigned *whose) {
    uint8_t leaf[CSL_MERKLE_BYTES], digest[CSL_SHA256_BYTES];
    for (*whose = 0; *whose < e->n_parties; ++*whose) {
        const struct csl_evidence_key *k = &e->keys[*whose];
        if (*whose >= m->n_seed_roots) {
            return CSL_EAUTH;
        }
        TRY(csl_sha256_once(digest, k->bits_key, sizeof k->bits_key));
        TRY(csl_seed_leaf(leaf, k->matrix_digest, digest));
        TRY(on_path(&m->seed_roots[*whose], m->count, e->row, leaf, &k->path));
    }
    TRY(csl_corrections_leaf(leaf, e->corrections_matrix, e->corrections_bits));
    return on_path(&m->corrections_root, m->count, e->row, leaf, &e->corrections_path);
}

static enum csl_err verify(const struct csl_evidence *e, const Csl__Audit__DealtStatement *m,
                           struct csl_diag *finding, struct csl_diag *diag) {
    uint8_t digest[CSL_DIGEST_BYTES];
    unsigned whose;
    if (m->n_seed_roots != e->n_parties || e->row >= m->count) {
        return csl_fail(diag, CSL_EAUTH, "the statement is of %zu parties and %u rows", m->n_seed_roots,
                        m->count);
    }
    if (csl_correction_bytes(e->demands, e->n_demands) > MAX_CORRECTIONS) {
        return csl_fail(diag, CSL_EAUTH, "no dealer deals so much for one inference");
    }
    TRY(csl_demands_digest(digest, e->demands, e->n_demands));
    if (m->demands_digest.len != sizeof digest ||
        memcmp(m->demands_digest.data, digest, sizeof digest) != 0) {
        return csl_fail(diag, CSL_EAUTH, "the statement is of another plan");
    }
    enum csl_err err = csl_evidence_paths(e, m, &whose);
    if (err != CSL_OK) {
        return csl_fail(diag, err,
                        whose < e->n_parties ? "the statement does not fix this key of party %u"
                                             : "the statement does not fix these corrections",
                        whose);
    }
    err = csl_check_bits(e->demands, e->n_demands, e->n_parties, e->keys[0].bits_key, sizeof e->keys[0],
                         e->corrections_bits, NULL, finding);
    if (err == CSL_EAUTH) {
        (void)csl_fail(finding, CSL_OK,
                       "the corrections of counter %u of stream %u, which the dealer signed, do not follow "
                       "from the keys that it signed",
                       m->first + e->row, m->stream);
        return CSL_OK;
    }
    return err == CSL_OK ? csl_fail(diag, CSL_EAUTH, "the corrections are right") : err;
}

enum csl_err csl_evidence_verify(const struct csl_evidence *e, EVP_PKEY *dealer, struct csl_diag *finding,
                                 struct csl_diag *diag) {
    TRY(csl_statement_verify(CSL_STATEMENT_DEALT, e->dealt.statement, e->dealt.n, e->dealt.signature,
                             sizeof e->dealt.signature, dealer, diag));
    Csl__Audit__DealtStatement *m;
    enum csl_err err = csl_dealt_statement_decode(&m, e->dealt.statement, e->dealt.n, diag);
    if (err == CSL_OK) {
        err = verify(e, m, finding, diag);
        csl_statement_free(m);
    }
    return err == CSL_EDATA ? CSL_EAUTH : err;
}

/* ---- The file ---- */

enum csl_err csl_evidence_store(const struct csl_evidence *e, const char *dir, const uint8_t session_id[16],
                                char *path, struct csl_diag *diag) {
    char at[CSL__PATH_MAX], name[sizeof "state/evidence/.evidence" + 32];
    TRY(csl__path(at, dir, "state/evidence", diag));
    TRY(csl__make_dir(at, diag));
    int n = snprintf(name, sizeof name, "state/evidence/");
    for (size_t i = 0; i < 16; i++) {
        n += snprintf(name + n, sizeof name - (size_t)n, "%02x", session_id[i]);
    }
    (void)snprintf(name + n, sizeof name - (size_t)n, ".evidence");
    TRY(csl__path(at, dir, name, diag));
    uint8_t *bytes;
    size_t n_bytes;
    TRY(csl_evidence_encode(&bytes, &n_bytes, e));
    enum csl_err err = csl__replace_file(at, 0600, bytes, n_bytes, diag);
    free(bytes);
    if (err == CSL_OK && path != NULL) {
        memcpy(path, at, sizeof at);
    }
    return err;
}

enum csl_err csl_evidence_load(struct csl_evidence *out, const char *path, struct csl_diag *diag) {
    char *data;
    size_t n;
    memset(out, 0, sizeof *out);
    TRY(csl__read_file(&data, &n, path, CSL_EVIDENCE_MAX_BYTES, diag));
    enum csl_err err = csl_evidence_decode(out, (const uint8_t *)data, n, diag);
    csl_secret_free(data);
    return err == CSL_OK ? CSL_OK : csl_fail_context(diag, err, "%s", path);
}
