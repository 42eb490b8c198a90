/* consilium bench seal: what sealing a model costs by three ways. Pure RSA is here for the comparison alone.
 */
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/commands.h"
#include "crypto/envelope.h"
#include "crypto/identity.h"
#include "crypto/rand.h"

enum {
    MIB = 1 << 20,
    REPEATS = 5,              /* of the fast ones: the median counts */
    MODULUS = 384,            /* bytes of RSA-3072 */
    BLOCK = MODULUS - 2 - 64, /* plaintext of a block: OAEP with SHA-256 */
    SAMPLE = 256              /* blocks of pure RSA that are measured */
};
#define LABEL "consilium/bench"

struct row {
    const char *method;
    size_t n;
    double encrypt_ms, decrypt_ms;
    size_t size;            /* of what comes out */
    size_t blocks, sampled; /* pure RSA: all, and those that were measured; 0 otherwise */
};

struct bench {
    EVP_PKEY *key;
    uint8_t *plain, *sealed, *opened;
    size_t n, n_sealed, room;
    struct row rows[6];
    size_t n_rows;
};

static double now_ms(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef enum csl_err step_fn(struct bench *b);

static enum csl_err median_ms(double *out, struct bench *b, step_fn *step) {
    double times[REPEATS];
    for (int i = 0; i < REPEATS; i++) {
        double t = now_ms();
        TRY(step(b));
        times[i] = now_ms() - t;
    }
    qsort(times, REPEATS, sizeof times[0], by_value);
    *out = times[REPEATS / 2];
    return CSL_OK;
}

/* What was opened must be what was sealed, or the table says nothing. */
static enum csl_err check_opened(const struct bench *b, size_t n) {
    return memcmp(b->opened, b->plain, n) == 0 ? CSL_OK : CSL_EINTERNAL;
}

/* ---- AES-256-GCM: a key that both have already ---- */

static const uint8_t aes_key[32] = {1}, aes_iv[12] = {2};
enum { TAG = 16 };

static enum csl_err gcm(struct bench *b, bool encrypt) {
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t *tag = b->sealed + b->n;
    const uint8_t *in = encrypt ? b->plain : b->sealed;
    uint8_t *out = encrypt ? b->sealed : b->opened;
    int k = 0;
    bool ok = ctx != NULL && EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, aes_key, aes_iv, encrypt) == 1 &&
              EVP_CipherUpdate(ctx, out, &k, in, (int)b->n) == 1 &&
              (encrypt || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG, tag) == 1) &&
              EVP_CipherFinal_ex(ctx, out + b->n, &k) == 1 &&
              (!encrypt || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG, tag) == 1);
    EVP_CIPHER_CTX_free(ctx);
    return ok ? CSL_OK : CSL_EINTERNAL;
}

static enum csl_err gcm_seal(struct bench *b) {
    return gcm(b, true);
}

static enum csl_err gcm_open(struct bench *b) {
    return gcm(b, false);
}

static enum csl_err measure_gcm(struct bench *b, struct row *r) {
    TRY(median_ms(&r->encrypt_ms, b, gcm_seal));
    TRY(median_ms(&r->decrypt_ms, b, gcm_open));
    r->size = sizeof aes_iv + b->n + TAG;
    return check_opened(b, b->n);
}

/* ---- Hybrid: our envelope ---- */

static enum csl_err env_seal(struct bench *b) {
    b->n_sealed = b->room;
    return csl_envelope_seal(b->sealed, &b->n_sealed, b->key, LABEL, NULL, 0, b->plain, b->n, NULL);
}

static enum csl_err env_open(struct bench *b) {
    size_t n = b->n;
    return csl_envelope_open(b->opened, &n, b->key, LABEL, NULL, 0, b->sealed, b->n_sealed, NULL);
}

static enum csl_err measure_hybrid(struct bench *b, struct row *r) {
    TRY(median_ms(&r->encrypt_ms, b, env_seal));
    TRY(median_ms(&r->decrypt_ms, b, env_open));
    r->size = b->n_sealed;
    return check_opened(b, b->n);
}

/* ---- Pure RSA-OAEP, block by block ---- */

static EVP_PKEY_CTX *oaep(EVP_PKEY *key, bool encrypt) {
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    bool ok = ctx != NULL && (encrypt ? EVP_PKEY_encrypt_init(ctx) : EVP_PKEY_decrypt_init(ctx)) == 1 &&
              EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
              EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha256()) == 1 &&
              EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha256()) == 1;
    if (!ok) {
        EVP_PKEY_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

static enum csl_err rsa_blocks(struct bench *b, bool encrypt) {
    EVP_PKEY_CTX *ctx = oaep(b->key, encrypt);
    bool ok = ctx != NULL;
    for (size_t i = 0; ok && i < SAMPLE; i++) {
        uint8_t *clear = (encrypt ? b->plain : b->opened) + i * BLOCK, *block = b->sealed + i * MODULUS;
        uint8_t out[MODULUS];
        size_t n = sizeof out;
        ok = encrypt ? EVP_PKEY_encrypt(ctx, block, &n, clear, BLOCK) == 1
                     : EVP_PKEY_decrypt(ctx, out, &n, block, MODULUS) == 1 && n == BLOCK;
        if (ok && !encrypt) {
            memcpy(clear, out, BLOCK);
        }
    }
    EVP_PKEY_CTX_free(ctx);
    return ok ? CSL_OK : CSL_EINTERNAL;
}

static enum csl_err measure_rsa(struct bench *b, struct row *r) {
    r->blocks = (b->n + BLOCK - 1) / BLOCK;
    r->sampled = SAMPLE;
    r->size = r->blocks * MODULUS;
    double scale = (double)r->blocks / SAMPLE, t = now_ms();
    TRY(rsa_blocks(b, true));
    r->encrypt_ms = (now_ms() - t) * scale;
    t = now_ms();
    TRY(rsa_blocks(b, false));
    r->decrypt_ms = (now_ms() - t) * scale;
    return check_opened(b, (size_t)SAMPLE * BLOCK);
}

/* ---- The table ---- */

static enum csl_err measure_size(struct bench *b, size_t n) {
    static enum csl_err (*const measures[])(struct bench *, struct row *) = {measure_gcm, measure_rsa,
                                                                             measure_hybrid};
    static const char *const names[] = {"AES-256-GCM", "RSA-3072-OAEP", "hybrid (envelope)"};
    b->n = n;
    for (size_t i = 0; i < 3; i++) {
        struct row *r = &b->rows[b->n_rows++];
        r->method = names[i];
        r->n = n;
        memset(b->opened, 0, b->room);
        TRY(measures[i](b, r));
    }
    return CSL_OK;
}

static enum csl_err measure(struct bench *b, struct csl_diag *diag) {
    enum { LARGEST = 10 * MIB };
    b->key = EVP_RSA_gen(CSL_WRAP_BITS);
    if (b->key == NULL) {
        return csl_fail(diag, CSL_EINTERNAL, "no RSA key could be drawn");
    }
    TRY(csl_envelope_size(&b->room, LARGEST, b->key, diag));
    b->plain = malloc(b->room);
    b->sealed = malloc(b->room);
    b->opened = malloc(b->room);
    if (b->plain == NULL || b->sealed == NULL || b->opened == NULL) {
        return CSL_ENOMEM;
    }
    TRY(csl_rand(b->plain, LARGEST));
    TRY(measure_size(b, MIB));
    return measure_size(b, LARGEST);
}

static json_t *row_json(const struct row *r) {
    json_t *o =
        json_pack("{s:s, s:I, s:f, s:f, s:I}", "method", r->method, "bytes", (json_int_t)r->n, "encrypt_ms",
                  r->encrypt_ms, "decrypt_ms", r->decrypt_ms, "sealed_bytes", (json_int_t)r->size);
    if (o != NULL && r->blocks != 0) {
        (void)json_object_set_new(o, "blocks", json_integer((json_int_t)r->blocks));
        (void)json_object_set_new(o, "blocks_measured", json_integer((json_int_t)r->sampled));
    }
    return o;
}

static enum csl_err report(struct csl_cli *cli, const struct bench *b) {
    if (cli->json) {
        json_t *rows = json_array();
        for (size_t i = 0; i < b->n_rows; i++) {
            (void)json_array_append_new(rows, row_json(&b->rows[i]));
        }
        return csl_cli_print_json(
            cli, json_pack("{s:i, s:i, s:o}", "rsa_bits", CSL_WRAP_BITS, "repeats", REPEATS, "rows", rows));
    }
    (void)printf("%-20s %6s  %12s  %12s  %12s\n", "method", "MiB", "encrypt ms", "decrypt ms",
                 "sealed bytes");
    for (size_t i = 0; i < b->n_rows; i++) {
        const struct row *r = &b->rows[i];
        (void)printf("%-20s %6zu  %12.2f  %12.2f  %12zu%s\n", r->method, r->n / MIB, r->encrypt_ms,
                     r->decrypt_ms, r->size, r->blocks != 0 ? "  *" : "");
    }
    (void)printf(
        "*  scaled from %d of %zu and of %zu blocks of %d bytes; the others: median of %d runs, one core.\n"
        "AES-256-GCM alone needs a key that both ends have already; the envelope wraps a fresh one by "
        "RSA-3072-OAEP.\n",
        SAMPLE, b->rows[1].blocks, b->rows[4].blocks, BLOCK, REPEATS);
    return CSL_OK;
}

int cmd_bench_seal(struct csl_cli *cli, int argc, char **argv) {
    static const struct csl_opt opts[] = {CSL_OPTS_END};
    static const struct csl_spec spec = {
        .name = "bench seal",
        .synopsis = "[--json]",
        .text =
            "Measures what sealing 1 and 10 MiB costs by AES-256-GCM, by RSA-3072-OAEP block by block, and "
            "by the\n"
            "envelope that this program uses: time to encrypt and to decrypt, and size. Decrypting 10 MiB "
            "by RSA alone\n"
            "takes about a minute, so a sample of its blocks is measured and scaled; the table says so.",
        .opts = opts,
        .has_json = true};
    struct bench b = {.n_rows = 0};
    int code;
    if (!csl_args_parse(cli, &spec, &b, NULL, argc, argv, &code)) {
        return code;
    }
    enum csl_err err = measure(&b, &cli->diag);
    if (err == CSL_OK) {
        err = report(cli, &b);
    }
    EVP_PKEY_free(b.key);
    free(b.plain);
    free(b.sealed);
    free(b.opened);
    return csl_cli_finish(cli, err);
}
