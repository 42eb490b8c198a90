#include "crypto/prg_internal.h"

#include <string.h>

#include "crypto/bytes.h"
#include "crypto/cpu.h"
#include "crypto/fetch_internal.h"
#include "crypto/secret.h"

/* EVP's bytes are masked while they are in the first-level cache. */
enum { CHUNK = 16 * 1024 };

/* ---- OpenSSL's EVP: the portable path ---- */

static bool evp_available(void) {
    return true;
}

static enum csl_err evp_init(struct csl_prg *prg, const uint8_t seed[CSL_SEED_BYTES]) {
    const struct csl__algs *algs = csl__algs();
    if (algs == NULL) {
        return CSL_EINTERNAL;
    }
    prg->evp = EVP_CIPHER_CTX_new();
    if (prg->evp == NULL) {
        return CSL_ENOMEM;
    }
    return EVP_EncryptInit_ex2(prg->evp, algs->aes128_ctr, seed, NULL, NULL) == 1 ? CSL_OK : CSL_EINTERNAL;
}

static void store_be32(uint8_t *p, uint32_t v) {
    csl_store_u32(p, __builtin_bswap32(v));
}

static void mask_words(uint8_t *p, size_t n_bytes, uint64_t mask) {
    for (; mask != UINT64_MAX && n_bytes >= 8; n_bytes -= 8, p += 8) {
        csl_store_u64(p, csl_load_u64(p) & mask);
    }
}

/* Encrypts zeros in place. The 128-bit counter of OpenSSL never carries out of our 32 bits, since
 * no fill passes the stream's end. */
static enum csl_err evp_fill(struct csl_prg *prg, uint8_t *out, size_t n_bytes, uint32_t stream,
                             uint32_t first, uint64_t mask) {
    uint8_t counter[16];
    memcpy(counter, prg->nonce, 8);
    store_be32(counter + 8, stream);
    store_be32(counter + 12, first);
    bool ok = EVP_EncryptInit_ex2(prg->evp, NULL, NULL, counter, NULL) == 1;
    for (size_t done = 0; ok && done < n_bytes;) {
        size_t take = n_bytes - done < CHUNK ? n_bytes - done : CHUNK;
        int n_out = 0;
        memset(out + done, 0, take);
        ok =
            EVP_EncryptUpdate(prg->evp, out + done, &n_out, out + done, (int)take) == 1 && n_out == (int)take;
        mask_words(out + done, take, mask);
        done += take;
    }
    csl_wipe(counter, sizeof counter);
    return ok ? CSL_OK : CSL_EINTERNAL;
}

/* ---- AES instructions ---- */

#ifdef __x86_64__
static enum csl_err aesni_init(struct csl_prg *prg, const uint8_t seed[CSL_SEED_BYTES]) {
    csl__aesni_expand_key(prg->round_keys, seed);
    return CSL_OK;
}

static enum csl_err aesni_fill(struct csl_prg *prg, uint8_t *out, size_t n_bytes, uint32_t stream,
                               uint32_t first, uint64_t mask) {
    csl__aesni_ctr(out, n_bytes, prg, stream, first, mask);
    return CSL_OK;
}

static enum csl_err vaes_fill(struct csl_prg *prg, uint8_t *out, size_t n_bytes, uint32_t stream,
                              uint32_t first, uint64_t mask) {
    csl__vaes_ctr(out, n_bytes, prg, stream, first, mask);
    return CSL_OK;
}
#else
static enum csl_err aesni_init(struct csl_prg *prg, const uint8_t seed[CSL_SEED_BYTES]) {
    (void)prg, (void)seed;
    return CSL_EINTERNAL;
}

static enum csl_err aesni_fill(struct csl_prg *prg, uint8_t *out, size_t n_bytes, uint32_t stream,
                               uint32_t first, uint64_t mask) {
    (void)prg, (void)out, (void)n_bytes, (void)stream, (void)first, (void)mask;
    return CSL_EINTERNAL;
}
#define vaes_fill aesni_fill
#endif

const struct csl__prg_path csl__prg_paths[CSL__PRG_PATHS] = {
    [CSL__PRG_EVP] = {"evp", evp_available, evp_init, evp_fill},
    [CSL__PRG_AESNI] = {"aesni", csl_cpu_has_aesni, aesni_init, aesni_fill},
    [CSL__PRG_VAES] = {"vaes", csl_cpu_has_vaes, aesni_init, vaes_fill},
};

/* ---- the interface ---- */

enum csl_err csl__prg_init_path(struct csl_prg *prg, const uint8_t seed[CSL_SEED_BYTES],
                                const struct csl__prg_path *path) {
    memset(prg, 0, sizeof *prg);
    memcpy(prg->nonce, seed + 16, sizeof prg->nonce);
    prg->path = path;
    enum csl_err err = path->init(prg, seed);
    if (err != CSL_OK) {
        csl_prg_clear(prg);
    }
    return err;
}

enum csl_err csl_prg_init(struct csl_prg *prg, const uint8_t seed[CSL_SEED_BYTES]) {
    unsigned path = CSL__PRG_EVP;
    if (csl_cpu_level() >= CSL_CPU_AVX2) {
        path = csl_cpu_has_vaes() ? CSL__PRG_VAES : csl_cpu_has_aesni() ? CSL__PRG_AESNI : CSL__PRG_EVP;
    }
    return csl__prg_init_path(prg, seed, &csl__prg_paths[path]);
}

/* Whether n_bytes from block `first` on lie within the 2^32 blocks of a stream. */
static bool in_stream(size_t n_bytes, uint64_t first) {
    const uint64_t blocks = (uint64_t)1 << 32;
    return first <= blocks && n_bytes <= (blocks - first) * CSL_PRG_BLOCK;
}

static enum csl_err fill(struct csl_prg *prg, uint8_t *out, size_t n_bytes, uint32_t stream,
                         uint64_t first_block, uint64_t mask) {
    enum csl_err err = CSL_OK;
    if (prg->path == NULL || !in_stream(n_bytes, first_block)) {
        err = CSL_EUSAGE;
    } else if (n_bytes != 0) {
        err = prg->path->fill(prg, out, n_bytes, stream, (uint32_t)first_block, mask);
    }
    if (err != CSL_OK) {
        csl_wipe(out, n_bytes);
        return err;
    }
    CSL_SECRET(out, n_bytes);
    return CSL_OK;
}

enum csl_err csl_prg_fill(struct csl_prg *prg, uint8_t *out, size_t n_bytes, uint32_t stream,
                          uint64_t first_block) {
    return fill(prg, out, n_bytes, stream, first_block, UINT64_MAX);
}

enum csl_err csl_prg_fill_u64(struct csl_prg *prg, uint64_t *out, size_t n, uint32_t stream, unsigned bits) {
    if (n > SIZE_MAX / sizeof *out) {
        return CSL_EUSAGE;
    }
    if (bits < 1 || bits > 64) {
        csl_wipe(out, n * sizeof *out);
        return CSL_EUSAGE;
    }
    TRY(fill(prg, (uint8_t *)out, n * sizeof *out, stream, 0, UINT64_MAX >> (64 - bits)));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    for (size_t i = 0; i < n; i++) {
        out[i] = __builtin_bswap64(out[i]);
    }
#endif
    return CSL_OK;
}

void csl_prg_clear(struct csl_prg *prg) {
    EVP_CIPHER_CTX_free(prg->evp); /* cleanses the key schedule */
    csl_wipe(prg, sizeof *prg);
}
