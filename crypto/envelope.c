#include "crypto/envelope.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <string.h>

#include "crypto/bytes.h"
#include "crypto/fetch_internal.h"
#include "crypto/rand.h"
#include "crypto/secret.h"
#include "crypto/token_internal.h"

static const uint8_t magic[4] = {'C', 'S', 'L', 'E'};

enum {
    VERSION = 1,
    KEY_BYTES = 32,
    IV_BYTES = 12,
    TAG_BYTES = 16,
    WRAPPED_MAX = CSL_WRAP_MAX_BITS / 8,
    FIXED_BYTES = 4 + 2 + 2 + IV_BYTES + 8 + TAG_BYTES, /* all but wrapped key and ciphertext */
    CHUNK = 1 << 24,                                    /* OpenSSL takes lengths as int */
};

/* What GCM may encrypt under one iv (SP 800-38D, 5.2.1.1). */
static const uint64_t gcm_max = ((uint64_t)1 << 36) - 32;

/* An envelope taken apart; pointers into it. */
struct parts {
    const uint8_t *head; /* all that stands before the ciphertext */
    size_t n_head;
    const uint8_t *wrapped;
    size_t n_wrapped;
    const uint8_t *iv;
    const uint8_t *text; /* the ciphertext, followed by the tag */
    size_t n_text;
};

/* The caller's part of what GCM authenticates. */
struct binding {
    const char *label;
    const uint8_t *aad;
    size_t n_aad;
};

enum csl_err csl_envelope_check_key(const EVP_PKEY *key, struct csl_diag *diag) {
    if (key == NULL || EVP_PKEY_is_a(key, "RSA") != 1) {
        return csl_fail(diag, CSL_ECONFIG,
                        "the wrapping key is of type %s; it must be RSA of at least %d bits",
                        key == NULL ? "none" : EVP_PKEY_get0_type_name(key), CSL_WRAP_MIN_BITS);
    }
    int bits = EVP_PKEY_get_bits(key);
    if (bits < CSL_WRAP_MIN_BITS || bits > CSL_WRAP_MAX_BITS) {
        return csl_fail(diag, CSL_ECONFIG, "the RSA wrapping key has %d bits; it must have %d to %d", bits,
                        CSL_WRAP_MIN_BITS, CSL_WRAP_MAX_BITS);
    }
    return CSL_OK;
}

enum csl_err csl_envelope_size(size_t *n_env, size_t n, const EVP_PKEY *pub, struct csl_diag *diag) {
    *n_env = 0;
    TRY(csl_envelope_check_key(pub, diag));
    size_t overhead = FIXED_BYTES + (size_t)EVP_PKEY_get_size(pub);
    if (n > gcm_max || n > SIZE_MAX - overhead) {
        return csl_fail(diag, CSL_EUSAGE, "%zu bytes are too many for one envelope", n);
    }
    *n_env = n + overhead;
    return CSL_OK;
}

static enum csl_err check_label(const char *label, struct csl_diag *diag) {
    size_t n = strlen(label);
    if (n == 0 || n > CSL_ENVELOPE_LABEL_MAX) {
        return csl_fail(diag, CSL_EUSAGE, "an envelope's label must have 1 to %d bytes, not %zu",
                        CSL_ENVELOPE_LABEL_MAX, n);
    }
    return CSL_OK;
}

static enum csl_err parse(struct parts *p, const uint8_t *env, size_t n_env, struct csl_diag *diag) {
    struct csl_reader r = csl_reader_of(env, n_env);
    const uint8_t *m = csl_reader_view(&r, sizeof magic);
    if (m == NULL || memcmp(m, magic, sizeof magic) != 0) {
        return csl_fail(diag, CSL_EDATA, "not an envelope: it does not start with CSLE");
    }
    unsigned version = csl_reader_u16(&r);
    if (!r.bad && version != VERSION) {
        return csl_fail(diag, CSL_EDATA, "envelope of version %u; this program reads version %d", version,
                        VERSION);
    }
    p->head = env;
    p->n_wrapped = csl_reader_u16(&r);
    p->wrapped = csl_reader_view(&r, p->n_wrapped);
    p->iv = csl_reader_view(&r, IV_BYTES);
    uint64_t n_text = csl_reader_u64(&r);
    if (r.bad || r.left < TAG_BYTES) {
        return csl_fail(diag, CSL_EDATA, "the envelope is truncated: %zu bytes", n_env);
    }
    if (n_text != r.left - TAG_BYTES || n_text > gcm_max) {
        return csl_fail(diag, CSL_EDATA, "the envelope's stated length and its %zu bytes do not agree",
                        n_env);
    }
    if (p->n_wrapped < CSL_WRAP_MIN_BITS / 8 || p->n_wrapped > WRAPPED_MAX) {
        return csl_fail(diag, CSL_EDATA, "the envelope's wrapped key has %zu bytes; it must have %d to %d",
                        p->n_wrapped, CSL_WRAP_MIN_BITS / 8, WRAPPED_MAX);
    }
    p->n_text = (size_t)n_text;
    p->text = r.at;
    p->n_head = n_env - r.left;
    return CSL_OK;
}

enum csl_err csl_envelope_plain_size(size_t *n, const uint8_t *env, size_t n_env, struct csl_diag *diag) {
    struct parts p = {0};
    *n = 0;
    TRY(parse(&p, env, n_env, diag));
    *n = p.n_text;
    return CSL_OK;
}

/* ---- RSA-OAEP (RFC 8017, 7.1) ---- */

/* A context for the key with the scheme's parameters set; NULL when OpenSSL refuses. */
static EVP_PKEY_CTX *oaep_context(EVP_PKEY *key, int (*init)(EVP_PKEY_CTX *, const OSSL_PARAM *),
                                  const char *label) {
    char mode[] = OSSL_PKEY_RSA_PAD_MODE_OAEP, digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_ASYM_CIPHER_PARAM_PAD_MODE, mode, 0),
        OSSL_PARAM_construct_utf8_string(OSSL_ASYM_CIPHER_PARAM_OAEP_DIGEST, digest, 0),
        OSSL_PARAM_construct_utf8_string(OSSL_ASYM_CIPHER_PARAM_MGF1_DIGEST, digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_ASYM_CIPHER_PARAM_OAEP_LABEL, (void *)(uintptr_t)label,
                                          strlen(label)),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    if (ctx != NULL && init(ctx, params) != 1) {
        EVP_PKEY_CTX_free(ctx);
        ctx = NULL;
    }
    return ctx;
}

/* Named in tests/ct.supp: OpenSSL's big numbers branch on the padded (masked) key. */
__attribute__((noinline)) static bool oaep_wrap(uint8_t *wrapped, size_t n_wrapped,
                                                const uint8_t key[KEY_BYTES], EVP_PKEY *pub,
                                                const char *label) {
    EVP_PKEY_CTX *ctx = oaep_context(pub, EVP_PKEY_encrypt_init_ex, label);
    size_t n = n_wrapped;
    bool ok = ctx != NULL && EVP_PKEY_encrypt(ctx, wrapped, &n, key, KEY_BYTES) == 1 && n == n_wrapped;
    EVP_PKEY_CTX_free(ctx);
    CSL_PUBLIC(wrapped, n_wrapped); /* sealed to its recipient */
    return ok;
}

/* By OpenSSL: n and 1, or 0 when the block is no good. */
static int oaep_decrypt(uint8_t plain[WRAPPED_MAX], size_t *n, const struct parts *p, EVP_PKEY *priv,
                        const char *label) {
    *n = WRAPPED_MAX;
    EVP_PKEY_CTX *ctx = oaep_context(priv, EVP_PKEY_decrypt_init_ex, label);
    int ok = ctx != NULL && EVP_PKEY_decrypt(ctx, plain, n, p->wrapped, p->n_wrapped) == 1;
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

/* key = the unwrapped key, or what it held before when the unwrapping fails. No early exit: the caller goes
 * on to GCM in either case. An error: the token that holds priv failed, whatever the block. */
static enum csl_err oaep_unwrap(uint8_t key[KEY_BYTES], const struct parts *p, EVP_PKEY *priv,
                                const char *label, struct csl_diag *diag) {
    uint8_t plain[WRAPPED_MAX] = {0};
    size_t n = 0;
    int ok = 0;
    enum csl_err err = CSL_OK;
    struct csl__token_key *in_token = csl__token_key_of(priv);
    if (in_token != NULL) {
        err = csl__token_unwrap(plain, &n, &ok, in_token, p->wrapped, p->n_wrapped, label, diag);
    } else {
        ok = oaep_decrypt(plain, &n, p, priv, label);
    }
    uint8_t take = (uint8_t) - (ok & (n == KEY_BYTES));
    for (int i = 0; i < KEY_BYTES; i++) {
        key[i] = (uint8_t)((plain[i] & take) | (key[i] & (uint8_t)~take));
    }
    csl_wipe(plain, sizeof plain);
    return err;
}

/* ---- AES-256-GCM ---- */

static bool update(EVP_CIPHER_CTX *ctx, uint8_t *out, const uint8_t *in, size_t n) {
    for (size_t done = 0; done < n;) {
        int take = n - done < CHUNK ? (int)(n - done) : CHUNK, n_out = 0;
        if (EVP_CipherUpdate(ctx, out == NULL ? NULL : out + done, &n_out, in + done, take) != 1 ||
            n_out != take) {
            return false;
        }
        done += (size_t)take;
    }
    return true;
}

/* The associated data: head | label length | label | aad length | aad. */
static bool update_aad(EVP_CIPHER_CTX *ctx, const struct parts *p, const struct binding *b) {
    uint8_t n_label[8], n_aad[8];
    csl_store_u64(n_label, strlen(b->label));
    csl_store_u64(n_aad, b->n_aad);
    return update(ctx, NULL, p->head, p->n_head) && update(ctx, NULL, n_label, sizeof n_label) &&
           update(ctx, NULL, (const uint8_t *)b->label, strlen(b->label)) &&
           update(ctx, NULL, n_aad, sizeof n_aad) && update(ctx, NULL, b->aad, b->n_aad);
}

static bool gcm_seal(uint8_t *text, const uint8_t *plain, const uint8_t key[KEY_BYTES], const struct parts *p,
                     const struct binding *b) {
    const struct csl__algs *algs = csl__algs();
    EVP_CIPHER_CTX *ctx = algs == NULL ? NULL : EVP_CIPHER_CTX_new();
    int n_end = 0;
    bool ok = ctx != NULL && EVP_EncryptInit_ex2(ctx, algs->aes256_gcm, key, p->iv, NULL) == 1 &&
              update_aad(ctx, p, b) && update(ctx, text, plain, p->n_text) &&
              EVP_EncryptFinal_ex(ctx, text + p->n_text, &n_end) == 1 &&
              EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, text + p->n_text) == 1;
    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

static bool gcm_open(uint8_t *plain, const uint8_t key[KEY_BYTES], const struct parts *p,
                     const struct binding *b) {
    const struct csl__algs *algs = csl__algs();
    EVP_CIPHER_CTX *ctx = algs == NULL ? NULL : EVP_CIPHER_CTX_new();
    uint8_t tag[TAG_BYTES], end[TAG_BYTES];
    int n_end = 0;
    memcpy(tag, p->text + p->n_text, sizeof tag);
    bool ok = ctx != NULL && EVP_DecryptInit_ex2(ctx, algs->aes256_gcm, key, p->iv, NULL) == 1 &&
              update_aad(ctx, p, b) && update(ctx, plain, p->text, p->n_text) &&
              EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag) == 1 &&
              EVP_DecryptFinal_ex(ctx, end, &n_end) == 1;
    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

/* ---- the interface ---- */

/* Writes the head with a fresh iv and the wrapped key, then text and tag. */
static enum csl_err seal(struct csl_writer *w, EVP_PKEY *pub, const struct binding *b, const uint8_t *plain,
                         size_t n, struct csl_diag *diag) {
    enum csl_err err = CSL_OK;
    uint8_t key[KEY_BYTES];
    struct parts p = {.head = w->out, .n_wrapped = (size_t)EVP_PKEY_get_size(pub), .n_text = n};
    if (csl_rand_secret(key, sizeof key) != CSL_OK) {
        return csl_fail(diag, CSL_EOS, "OpenSSL's random generator failed");
    }
    csl_writer_bytes(w, magic, sizeof magic);
    csl_writer_u16(w, VERSION);
    csl_writer_u16(w, (uint16_t)p.n_wrapped);
    uint8_t *wrapped = csl_writer_reserve(w, p.n_wrapped);
    uint8_t *iv = csl_writer_reserve(w, IV_BYTES);
    csl_writer_u64(w, n);
    p.iv = iv;
    p.n_head = w->n;
    uint8_t *text = csl_writer_reserve(w, n + TAG_BYTES);
    if (text == NULL) {
        err = csl_fail(diag, CSL_EINTERNAL, "an envelope does not fit its computed size");
        goto out;
    }
    if (csl_rand(iv, IV_BYTES) != CSL_OK) {
        err = csl_fail(diag, CSL_EOS, "OpenSSL's random generator failed");
    } else if (!oaep_wrap(wrapped, p.n_wrapped, key, pub, b->label) || !gcm_seal(text, plain, key, &p, b)) {
        err = csl_fail(diag, CSL_EINTERNAL, "OpenSSL could not seal an envelope for \"%s\"", b->label);
    }
out:
    csl_wipe(key, sizeof key);
    return err;
}

enum csl_err csl_envelope_seal(uint8_t *out, size_t *n_out, EVP_PKEY *pub, const char *label,
                               const uint8_t *aad, size_t n_aad, const uint8_t *plain, size_t n,
                               struct csl_diag *diag) {
    size_t room = *n_out, need;
    *n_out = 0;
    TRY(check_label(label, diag));
    TRY(csl_envelope_size(&need, n, pub, diag));
    if (need > room) {
        return csl_fail(diag, CSL_EUSAGE, "an envelope of %zu bytes does not fit in %zu", need, room);
    }
    struct csl_writer w = csl_writer_of(out, need);
    struct binding b = {label, aad, n_aad};
    (void)ERR_set_mark();
    enum csl_err err = seal(&w, pub, &b, plain, n, diag);
    (void)ERR_pop_to_mark();
    if (err != CSL_OK) {
        csl_wipe(out, need);
        return err;
    }
    CSL_PUBLIC(out, need);
    *n_out = need;
    return CSL_OK;
}

enum csl_err csl_envelope_open(uint8_t *out, size_t *n_out, EVP_PKEY *priv, const char *label,
                               const uint8_t *aad, size_t n_aad, const uint8_t *env, size_t n_env,
                               struct csl_diag *diag) {
    size_t room = *n_out;
    struct parts p = {0};
    struct binding b = {label, aad, n_aad};
    uint8_t key[KEY_BYTES];
    *n_out = 0;
    TRY(check_label(label, diag));
    TRY(csl_envelope_check_key(priv, diag));
    TRY(parse(&p, env, n_env, diag));
    if (p.n_text > room) {
        return csl_fail(diag, CSL_EUSAGE, "a plaintext of %zu bytes does not fit in %zu", p.n_text, room);
    }
    if (csl_rand(key, sizeof key) != CSL_OK) {
        return csl_fail(diag, CSL_EOS, "OpenSSL's random generator failed");
    }
    (void)ERR_set_mark();
    enum csl_err err = oaep_unwrap(key, &p, priv, label, diag);
    bool ok = err == CSL_OK && gcm_open(out, key, &p, &b);
    (void)ERR_pop_to_mark();
    csl_wipe(key, sizeof key);
    if (err != CSL_OK) {
        csl_wipe(out, p.n_text);
        return err;
    }
    if (!ok) {
        csl_wipe(out, p.n_text);
        return csl_fail(diag, CSL_EAUTH,
                        "the envelope for \"%s\" does not open: sealed to another key or for another "
                        "purpose, or changed on the way",
                        label);
    }
    CSL_SECRET(out, p.n_text);
    *n_out = p.n_text;
    return CSL_OK;
}
