/* The pseudorandom generator: AES-128-CTR keyed by a 32-byte seed (protocol step K4).
 *
 * One seed has 2^32 independent streams of 2^32 blocks (64 GiB) each. With E the AES-128 encryption under
 * seed[0..15], block number c (from 0) of stream s is
 *
 *     E(seed[16..23] | s as big-endian u32 | c as big-endian u32)
 *
 * and a stream is the concatenation of its blocks (NIST SP 800-38A counter mode over zeros).
 * seed[24..31] is not used. Every implementation (OpenSSL's EVP, AES-NI, VAES) gives the same bytes;
 * csl_prg_init() takes the fastest that csl_cpu_level() permits.
 *
 * Constant time in the seed; lengths, streams and offsets are public. Outputs are marked CSL_SECRET.
 * One csl_prg belongs to one thread at a time: the EVP path keeps its context inside
 * (so do not copy one either).
 */
#ifndef CSL_CRYPTO_PRG_H
#define CSL_CRYPTO_PRG_H

#include "crypto/err.h"

enum { CSL_SEED_BYTES = 32, CSL_PRG_BLOCK = 16 };

/* Private; about 200 bytes, in the caller's memory. */
struct csl_prg {
    _Alignas(16) uint8_t round_keys[11 * 16]; /* unused by the EVP path */
    uint8_t nonce[8];
    const struct csl__prg_path *path; /* NULL: not initialised, or cleared */
    struct evp_cipher_ctx_st *evp;    /* the EVP path's context, otherwise NULL */
};

/* Sets prg up for a seed, which the caller keeps and wipes. On error (CSL_ENOMEM, CSL_EINTERNAL) prg is
 * cleared. Initialising twice without csl_prg_clear() between leaks the EVP context. */
CSL_MUST_CHECK enum csl_err csl_prg_init(struct csl_prg *prg, const uint8_t seed[CSL_SEED_BYTES]);

/* out[0..n_bytes) = the stream from byte first_block * 16 on. out needs no alignment; n_bytes may be any
 * length. CSL_EUSAGE beyond the stream's end (64 GiB), or when prg is not initialised; then out is zero. */
CSL_MUST_CHECK enum csl_err csl_prg_fill(struct csl_prg *prg, uint8_t *out, size_t n_bytes, uint32_t stream,
                                         uint64_t first_block);

/* out[i] = the stream's i-th little-endian u64, cut to its low `bits` bits (1..64, else CSL_EUSAGE):
 * n uniform elements of Z/2^bits. */
CSL_MUST_CHECK enum csl_err csl_prg_fill_u64(struct csl_prg *prg, uint64_t *out, size_t n, uint32_t stream,
                                             unsigned bits);

/* Wipes the key. prg may be zeroed ({0}) or cleared already. */
void csl_prg_clear(struct csl_prg *prg);

#endif
