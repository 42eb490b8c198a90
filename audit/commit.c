/* The commitments of docs/audit.md: D1, D2, I1, O1. */
#include <string.h>

#include "audit/statement.h"
#include "crypto/bytes.h"
#include "crypto/kdf.h"
#include "crypto/secret.h"

static enum csl_err pair_leaf(uint8_t out[CSL_MERKLE_BYTES], const uint8_t a[CSL_SHA256_BYTES],
                              const uint8_t b[CSL_SHA256_BYTES]) {
    uint8_t both[2 * CSL_SHA256_BYTES];
    memcpy(both, a, CSL_SHA256_BYTES);
    memcpy(both + CSL_SHA256_BYTES, b, CSL_SHA256_BYTES);
    TRY(csl_merkle_leaf(out, both, sizeof both));
    CSL_PUBLIC(out, CSL_MERKLE_BYTES); /* hashes of whole keys or of masked values tell nothing */
    return CSL_OK;
}

enum csl_err csl_seed_leaf(uint8_t out[CSL_MERKLE_BYTES], const uint8_t matrix_digest[CSL_SHA256_BYTES],
                           const uint8_t bits_digest[CSL_SHA256_BYTES]) {
    return pair_leaf(out, matrix_digest, bits_digest);
}

enum csl_err csl_corrections_leaf(uint8_t out[CSL_MERKLE_BYTES],
                                  const uint8_t matrix_digest[CSL_SHA256_BYTES],
                                  const uint8_t bits_digest[CSL_SHA256_BYTES]) {
    return pair_leaf(out, matrix_digest, bits_digest);
}

/* SHA-256(label 0 | salt | share): a commitment, which may be shown. */
static enum csl_err salted(uint8_t out[CSL_SHA256_BYTES], const char *label, const uint8_t salt[32],
                           const uint8_t *share, size_t n) {
    struct csl_sha256 h = {0};
    enum csl_err err;
    TRY_OUT(csl_sha256_init(&h));
    TRY_OUT(csl_sha256_update(&h, (const uint8_t *)label, strlen(label) + 1));
    TRY_OUT(csl_sha256_update(&h, salt, 32));
    TRY_OUT(csl_sha256_update(&h, share, n));
    TRY_OUT(csl_sha256_final(&h, out));
    CSL_PUBLIC(out, CSL_SHA256_BYTES);
out:
    csl_sha256_clear(&h);
    return err;
}

enum csl_err csl_input_leaf(uint8_t out[CSL_MERKLE_BYTES], const uint8_t salt[32], uint32_t row,
                            const uint8_t *share, size_t n) {
    uint8_t number[4], row_salt[CSL_KEY_BYTES], commitment[CSL_SHA256_BYTES];
    csl_store_u32(number, row);
    enum csl_err err = csl_prf(row_salt, salt, "row", number, sizeof number);
    if (err == CSL_OK) {
        err = salted(commitment, "consilium/input-share", row_salt, share, n);
    }
    csl_wipe(row_salt, sizeof row_salt);
    return err != CSL_OK ? err : csl_merkle_leaf(out, commitment, sizeof commitment);
}

enum csl_err csl_output_commit(uint8_t out[32], const uint8_t salt[32], const uint8_t *share, size_t n) {
    return salted(out, "consilium/output-share", salt, share, n);
}
