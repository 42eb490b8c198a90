#include "audit/note.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "crypto/secret.h"

enum {
    KEY_ID = 4,
    TYPE_ED25519 = 1,
    TYPE_COSIGNATURE = 4,
    LINE_BYTES = KEY_ID + CSL_SIGNATURE_BYTES,
    COSIGNATURE_BYTES = KEY_ID + 8 + CSL_SIGNATURE_BYTES,
    BASE64_MAX = 4 * ((COSIGNATURE_BYTES + 2) / 3) /* characters */
};
static const char dash[] = "\xe2\x80\x94 "; /* an em dash and a space */

/* ---- Base 64 (RFC 4648, 4) ---- */

static size_t encode(char *out, const uint8_t *p, size_t n) {
    return (size_t)EVP_EncodeBlock((unsigned char *)out, p, (int)n);
}

/* Exactly what encode writes for n bytes, and nothing that a lenient decoder would take as well. */
static bool decode(uint8_t *out, size_t n, const char *text, size_t n_text) {
    uint8_t raw[BASE64_MAX];
    char again[BASE64_MAX + 1];
    if (n_text > BASE64_MAX || n_text != 4 * ((n + 2) / 3) ||
        EVP_DecodeBlock(raw, (const unsigned char *)text, (int)n_text) < (int)n) {
        return false;
    }
    if (encode(again, raw, n) != n_text || memcmp(again, text, n_text) != 0) {
        return false;
    }
    memcpy(out, raw, n);
    return true;
}

/* ---- Names and keys ---- */

/* Visible ASCII without '+': narrower than the specification, which lets in all of Unicode but spaces. */
static bool word_valid(const char *s, size_t n, size_t max) {
    if (n == 0 || n > max) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (s[i] < 0x21 || s[i] > 0x7e || s[i] == '+') {
            return false;
        }
    }
    return true;
}

static enum csl_err check_name(const char *name, struct csl_diag *diag) {
    return word_valid(name, strlen(name), CSL_NOTE_NAME_MAX)
               ? CSL_OK
               : csl_fail(diag, CSL_EUSAGE,
                          "\"%.80s\" cannot name a signer: 1 to %d visible ASCII characters without '+'",
                          name, CSL_NOTE_NAME_MAX);
}

static enum csl_err key_id(uint8_t out[KEY_ID], const char *name, uint8_t type, EVP_PKEY *key,
                           struct csl_diag *diag) {
    uint8_t b[CSL_NOTE_NAME_MAX + 2 + 32], digest[CSL_SHA256_BYTES];
    size_t n = strlen(name), n_key = 32;
    memcpy(b, name, n);
    b[n] = '\n';
    b[n + 1] = type;
    if (key == NULL || EVP_PKEY_is_a(key, "ED25519") != 1 ||
        EVP_PKEY_get_raw_public_key(key, b + n + 2, &n_key) != 1 || n_key != 32) {
        return csl_fail(diag, CSL_ECONFIG, "the key of %s is not an Ed25519 key", name);
    }
    TRY(csl_sha256_once(digest, b, n + 2 + n_key));
    memcpy(out, digest, KEY_ID);
    return CSL_OK;
}

/* ---- Text ---- */

static void store_be64(uint8_t *p, uint64_t v) {
    for (int i = 7; i >= 0; i--, v >>= 8) {
        p[i] = (uint8_t)v;
    }
}

static uint64_t load_be64(const uint8_t *p) {
    uint64_t v = 0;
    for (int i = 0; i < 8; i++) {
        v = v << 8 | p[i];
    }
    return v;
}

static bool put(struct csl_note *note, size_t *at, const char *s, size_t n) {
    if (n >= sizeof note->text - *at) {
        return false;
    }
    memcpy(note->text + *at, s, n);
    *at += n;
    note->text[*at] = '\0';
    return true;
}

static bool put_signature(struct csl_note *note, size_t *at, const struct csl_note_signature *s) {
    uint8_t raw[COSIGNATURE_BYTES];
    char text[BASE64_MAX + 1];
    size_t n = KEY_ID;
    memcpy(raw, s->key_id, KEY_ID);
    if (s->cosignature) {
        store_be64(raw + n, s->time_s);
        n += 8;
    }
    memcpy(raw + n, s->signature, CSL_SIGNATURE_BYTES);
    n += CSL_SIGNATURE_BYTES;
    size_t n_text = encode(text, raw, n);
    return put(note, at, dash, strlen(dash)) && put(note, at, s->name, strlen(s->name)) &&
           put(note, at, " ", 1) && put(note, at, text, n_text) && put(note, at, "\n", 1);
}

/* Writes the text anew from the body that is there and the signatures. 32 of the longest lines do fit. */
static enum csl_err render(struct csl_note *note, struct csl_diag *diag) {
    size_t at = note->n_body;
    bool ok = put(note, &at, "\n", 1);
    for (size_t i = 0; ok && i < note->n_signatures; i++) {
        ok = put_signature(note, &at, &note->signatures[i]);
    }
    return ok ? CSL_OK : csl_fail(diag, CSL_EINTERNAL, "a note is longer than %d bytes", CSL_NOTE_MAX - 1);
}

enum csl_err csl_note_sign(struct csl_note *out, const struct csl_checkpoint *c, const char *name,
                           EVP_PKEY *key, struct csl_diag *diag) {
    char root[BASE64_MAX + 1];
    memset(out, 0, sizeof *out);
    TRY(check_name(name, diag));
    size_t n_origin = strnlen(c->origin, sizeof c->origin);
    if (!word_valid(c->origin, n_origin, CSL_ORIGIN_MAX) || c->size > INT64_MAX) {
        return csl_fail(diag, CSL_EUSAGE,
                        "\"%.*s\" cannot be a ledger's origin: 1 to %d visible ASCII characters without '+'",
                        (int)n_origin, c->origin, CSL_ORIGIN_MAX);
    }
    struct csl_note_signature s = {.cosignature = false};
    TRY(key_id(s.key_id, name, TYPE_ED25519, key, diag));
    (void)snprintf(s.name, sizeof s.name, "%s", name);
    (void)encode(root, c->root, CSL_MERKLE_BYTES);
    int n =
        snprintf(out->text, sizeof out->text, "%s\n%llu\n%s\n", c->origin, (unsigned long long)c->size, root);
    out->n_body = (size_t)n;
    enum csl_err err = csl_sign_raw(s.signature, key, out->text, out->n_body, diag);
    if (err == CSL_OK) {
        out->checkpoint = *c;
        out->signatures[0] = s;
        out->n_signatures = 1;
        err = render(out, diag);
    }
    if (err != CSL_OK) {
        memset(out, 0, sizeof *out);
    }
    return err;
}

/* ---- Parsing ---- */

struct lines {
    const char *at;
    size_t left;
};

/* The next line without its newline; false when there is none that is ended. */
static bool next_line(struct lines *l, const char **line, size_t *n) {
    const char *end = l->left == 0 ? NULL : memchr(l->at, '\n', l->left);
    if (end == NULL) {
        return false;
    }
    *line = l->at;
    *n = (size_t)(end - l->at);
    l->at += *n + 1;
    l->left -= *n + 1;
    return true;
}

static bool parse_size(uint64_t *out, const char *s, size_t n) {
    uint64_t v = 0;
    if (n == 0 || n > 19 || (s[0] == '0' && n != 1)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9') {
            return false;
        }
        v = v * 10 + (uint64_t)(s[i] - '0'); /* 19 digits fit */
    }
    *out = v;
    return v <= INT64_MAX;
}

static const char *parse_body(struct csl_note *out, struct lines *l) {
    const char *s;
    size_t n;
    const char *start = l->at;
    if (!next_line(l, &s, &n) || !word_valid(s, n, CSL_ORIGIN_MAX)) {
        return "the first line is not an origin";
    }
    memcpy(out->checkpoint.origin, s, n);
    if (!next_line(l, &s, &n) || !parse_size(&out->checkpoint.size, s, n)) {
        return "the second line is not a number of leaves";
    }
    if (!next_line(l, &s, &n) || !decode(out->checkpoint.root, CSL_MERKLE_BYTES, s, n)) {
        return "the third line is not a root in base 64";
    }
    out->n_body = (size_t)(l->at - start);
    if (!next_line(l, &s, &n) || n != 0) {
        return "the fourth line is not empty";
    }
    return NULL;
}

static const char *parse_signature(struct csl_note_signature *out, const char *s, size_t n) {
    uint8_t raw[COSIGNATURE_BYTES];
    size_t n_dash = strlen(dash);
    if (n <= n_dash || memcmp(s, dash, n_dash) != 0) {
        return "a signature line does not begin with a dash and a space";
    }
    s += n_dash;
    n -= n_dash;
    const char *space = memchr(s, ' ', n);
    if (space == NULL || !word_valid(s, (size_t)(space - s), CSL_NOTE_NAME_MAX)) {
        return "a signature line has no name";
    }
    memcpy(out->name, s, (size_t)(space - s));
    n -= (size_t)(space - s) + 1;
    out->cosignature = decode(raw, COSIGNATURE_BYTES, space + 1, n);
    if (!out->cosignature && !decode(raw, LINE_BYTES, space + 1, n)) {
        return "a signature line holds no signature in base 64";
    }
    memcpy(out->key_id, raw, KEY_ID);
    out->time_s = out->cosignature ? load_be64(raw + KEY_ID) : 0;
    memcpy(out->signature, raw + KEY_ID + (out->cosignature ? 8 : 0), CSL_SIGNATURE_BYTES);
    return out->time_s > INT64_MAX ? "a cosignature's time is out of range" : NULL;
}

static struct csl_note_signature *find(const struct csl_note *note, const char *name, bool cosignature) {
    for (size_t i = 0; i < note->n_signatures; i++) {
        const struct csl_note_signature *s = &note->signatures[i];
        if (s->cosignature == cosignature && strcmp(s->name, name) == 0) {
            return (struct csl_note_signature *)(uintptr_t)s;
        }
    }
    return NULL;
}

static const char *parse(struct csl_note *out, const char *text, size_t n) {
    struct lines l = {.at = text, .left = n};
    const char *s, *why;
    size_t n_line;
    if (n >= CSL_NOTE_MAX) {
        return "it is too long";
    }
    if ((why = parse_body(out, &l)) != NULL) {
        return why;
    }
    while (next_line(&l, &s, &n_line)) {
        struct csl_note_signature got = {.cosignature = false};
        if (out->n_signatures == CSL_NOTE_SIGNATURES_MAX) {
            return "it has too many signatures";
        }
        if ((why = parse_signature(&got, s, n_line)) != NULL) {
            return why;
        }
        if (find(out, got.name, got.cosignature) != NULL) {
            return "it has two signatures of one name and kind";
        }
        out->signatures[out->n_signatures++] = got;
    }
    if (l.left != 0) {
        return "its last line is not ended";
    }
    if (out->n_signatures == 0) {
        return "it has no signature";
    }
    memcpy(out->text, text, n);
    return NULL;
}

enum csl_err csl_note_parse(struct csl_note *out, const char *text, size_t n, struct csl_diag *diag) {
    memset(out, 0, sizeof *out);
    const char *why = parse(out, text, n);
    if (why != NULL) {
        memset(out, 0, sizeof *out);
        return csl_fail(diag, CSL_EDATA, "not a signed checkpoint: %s", why);
    }
    return CSL_OK;
}

/* ---- Signatures ---- */

/* "cosignature/v1\ntime <t>\n" | body. */
static size_t cosigned_text(char out[CSL_NOTE_MAX + 64], const struct csl_note *note, uint64_t time_s) {
    int n = snprintf(out, 64, "cosignature/v1\ntime %llu\n", (unsigned long long)time_s);
    memcpy(out + n, note->text, note->n_body);
    return (size_t)n + note->n_body;
}

static enum csl_err verify(const struct csl_note *note, const char *name, EVP_PKEY *key, bool cosignature,
                           struct csl_diag *diag) {
    uint8_t id[KEY_ID];
    char text[CSL_NOTE_MAX + 64];
    const char *verb = cosignature ? "cosigned" : "signed";
    TRY(check_name(name, diag));
    const struct csl_note_signature *s = find(note, name, cosignature);
    if (s == NULL) {
        return csl_fail(diag, CSL_EAUTH, "the checkpoint is not %s by %s", verb, name);
    }
    TRY(key_id(id, name, cosignature ? TYPE_COSIGNATURE : TYPE_ED25519, key, diag));
    if (memcmp(id, s->key_id, KEY_ID) != 0) {
        return csl_fail(diag, CSL_EAUTH, "the checkpoint was %s by another key of %s than the roster's", verb,
                        name);
    }
    size_t n = note->n_body;
    if (cosignature) {
        n = cosigned_text(text, note, s->time_s);
    } else {
        memcpy(text, note->text, n);
    }
    enum csl_err err = csl_verify_raw(key, s->signature, CSL_SIGNATURE_BYTES, text, n, diag);
    return err != CSL_EAUTH
               ? err
               : csl_fail(diag, err, "the checkpoint of %llu leaves was not %s by %s: its signature is wrong",
                          (unsigned long long)note->checkpoint.size, verb, name);
}

enum csl_err csl_note_verify(const struct csl_note *note, const char *name, EVP_PKEY *key,
                             struct csl_diag *diag) {
    return verify(note, name, key, false, diag);
}

enum csl_err csl_note_verify_cosignature(const struct csl_note *note, const char *name, EVP_PKEY *key,
                                         struct csl_diag *diag) {
    return verify(note, name, key, true, diag);
}

/* Replaces or adds a cosignature. */
static enum csl_err put_cosignature(struct csl_note *note, const struct csl_note_signature *s,
                                    struct csl_diag *diag) {
    struct csl_note_signature *at = find(note, s->name, true);
    if (at == NULL) {
        if (note->n_signatures == CSL_NOTE_SIGNATURES_MAX) {
            return csl_fail(diag, CSL_EDATA, "the checkpoint has %d signatures already",
                            CSL_NOTE_SIGNATURES_MAX);
        }
        at = &note->signatures[note->n_signatures++];
    }
    *at = *s;
    return render(note, diag);
}

enum csl_err csl_note_cosign(struct csl_note *note, const char *name, EVP_PKEY *key, uint64_t time_s,
                             struct csl_diag *diag) {
    char text[CSL_NOTE_MAX + 64];
    struct csl_note_signature s = {.cosignature = true, .time_s = time_s};
    TRY(check_name(name, diag));
    if (time_s > INT64_MAX) {
        return csl_fail(diag, CSL_EUSAGE, "a cosignature's time is out of range");
    }
    TRY(key_id(s.key_id, name, TYPE_COSIGNATURE, key, diag));
    (void)snprintf(s.name, sizeof s.name, "%s", name);
    TRY(csl_sign_raw(s.signature, key, text, cosigned_text(text, note, time_s), diag));
    return put_cosignature(note, &s, diag);
}

enum csl_err csl_note_merge(struct csl_note *note, const struct csl_note *other, const char *name,
                            EVP_PKEY *key, struct csl_diag *diag) {
    if (note->n_body != other->n_body || memcmp(note->text, other->text, note->n_body) != 0) {
        return csl_fail(diag, CSL_EDATA, "%s cosigned another checkpoint", name);
    }
    TRY(csl_note_verify_cosignature(other, name, key, diag));
    return put_cosignature(note, find(other, name, true), diag);
}

void csl_note_only(struct csl_note *note, const char *signer, const char *cosigner) {
    size_t kept = 0;
    for (size_t i = 0; i < note->n_signatures; i++) {
        const struct csl_note_signature *s = &note->signatures[i];
        const char *name = s->cosignature ? cosigner : signer;
        if (name != NULL && strcmp(s->name, name) == 0) {
            note->signatures[kept++] = *s;
        }
    }
    note->n_signatures = kept;
    (void)!render(note, NULL); /* shorter than it was */
}

static bool made_by(const struct csl_note_signature *s, const struct csl_note_signer *by) {
    uint8_t id[KEY_ID];
    return strcmp(s->name, by->name) == 0 &&
           (by->key == NULL || (key_id(id, by->name, TYPE_COSIGNATURE, by->key, NULL) == CSL_OK &&
                                memcmp(id, s->key_id, KEY_ID) == 0));
}

void csl_note_keep_cosigners(struct csl_note *note, const struct csl_note_signer *signers, size_t n) {
    size_t kept = 0;
    for (size_t i = 0; i < note->n_signatures; i++) {
        const struct csl_note_signature *s = &note->signatures[i];
        bool keep = !s->cosignature || n == 0;
        for (size_t k = 0; !keep && k < n; k++) {
            keep = made_by(s, &signers[k]);
        }
        if (keep) {
            note->signatures[kept++] = *s;
        }
    }
    if (kept != note->n_signatures) {
        note->n_signatures = kept;
        (void)!render(note, NULL); /* shorter than it was */
    }
}

size_t csl_note_cosignatures(const struct csl_note *note) {
    size_t n = 0;
    for (size_t i = 0; i < note->n_signatures; i++) {
        n += note->signatures[i].cosignature;
    }
    return n;
}
