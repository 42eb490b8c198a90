/* Inside the library, its tests and benchmarks: the implementations of the PRG. */
#ifndef CSL_CRYPTO_PRG_INTERNAL_H
#define CSL_CRYPTO_PRG_INTERNAL_H

#include "crypto/prg.h"

struct csl__prg_path {
    const char *name;
    bool (*available)(void); /* on this CPU, whatever CONSILIUM_CPU says */
    enum csl_err (*init)(struct csl_prg *prg, const uint8_t seed[CSL_SEED_BYTES]);
    /* n_bytes > 0, within the stream: checked by the caller. Each 8 bytes are cut to the bits of mask, as a
     * little-endian number. */
    enum csl_err (*fill)(struct csl_prg *prg, uint8_t *out, size_t n_bytes, uint32_t stream, uint32_t first,
                         uint64_t mask);
};

/* Slowest first: [0] is EVP's and always available. */
enum { CSL__PRG_EVP, CSL__PRG_AESNI, CSL__PRG_VAES, CSL__PRG_PATHS };
extern const struct csl__prg_path csl__prg_paths[CSL__PRG_PATHS];

CSL_MUST_CHECK enum csl_err csl__prg_init_path(struct csl_prg *prg, const uint8_t seed[CSL_SEED_BYTES],
                                               const struct csl__prg_path *path);

#ifdef __x86_64__
/* The AES-128 key schedule (FIPS 197, 5.2), by AES-NI. */
void csl__aesni_expand_key(uint8_t round_keys[11 * 16], const uint8_t key[16]);
/* The keystream of the stream's blocks from `first` on; n_bytes any length. */
void csl__aesni_ctr(uint8_t *out, size_t n_bytes, const struct csl_prg *prg, uint32_t stream, uint32_t first,
                    uint64_t mask);
void csl__vaes_ctr(uint8_t *out, size_t n_bytes, const struct csl_prg *prg, uint32_t stream, uint32_t first,
                   uint64_t mask);
#endif

#endif
