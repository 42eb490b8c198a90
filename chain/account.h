/* A secp256k1 account: the key that signs transactions. Needs libsecp256k1 (CSL_HAVE_CHAIN).
 *
 * The key lives in a PEM file of its own (PKCS#8, named curve, 0600), which OpenSSL's tools read too
 * (`openssl ecparam -name secp256k1 -genkey`). It is no key of the site's identity: it is worth what the
 * account holds for fees, and whoever has it can anchor in the site's name.
 * Key operations are libsecp256k1's, constant time, in a context whose blinding is randomised for each
 * account; the key is wiped. Errors: CSL_ENOINPUT, CSL_EDATA, CSL_ECONFIG, CSL_ECREATE, CSL_EIO for files as
 * in crypto/identity.h; CSL_ENOMEM; CSL_EINTERNAL.
 */
#ifndef CSL_CHAIN_ACCOUNT_H
#define CSL_CHAIN_ACCOUNT_H

#include "chain/address.h"

enum { CSL_ACCOUNT_KEY_BYTES = 32, CSL_ACCOUNT_SIGNATURE_BYTES = 64 };

struct csl_account;

/* A new random key, in memory only. */
CSL_MUST_CHECK enum csl_err csl_account_new(struct csl_account **account, struct csl_diag *diag);

/* From the key itself, big-endian: CSL_EDATA when it is zero or not below the group's order. */
CSL_MUST_CHECK enum csl_err csl_account_from_key(struct csl_account **account,
                                                 const uint8_t key[CSL_ACCOUNT_KEY_BYTES],
                                                 struct csl_diag *diag);

/* From a PEM file that only its owner can read. */
CSL_MUST_CHECK enum csl_err csl_account_load(struct csl_account **account, const char *path,
                                             struct csl_diag *diag);

/* Writes the key as a PEM file, 0600; never over a file that is there (CSL_ECREATE). */
CSL_MUST_CHECK enum csl_err csl_account_save(const struct csl_account *account, const char *path,
                                             struct csl_diag *diag);

/* Wipes; account may be NULL. */
void csl_account_free(struct csl_account *account);

/* Its address; lives as long as the account. */
const uint8_t *csl_account_address(const struct csl_account *account);

/* Signs a 32-byte hash: r and s, big-endian, s in the lower half (EIP-2), and the parity of the nonce point's
 * y. Deterministic (RFC 6979, no extra entropy): the same transaction gives the same bytes, also after a
 * crash before they were written down. The signature is checked before it is given out, so that a fault in
 * its making, which could show the key, stays inside. */
CSL_MUST_CHECK enum csl_err csl_account_sign(uint8_t sig[CSL_ACCOUNT_SIGNATURE_BYTES], int *parity,
                                             const struct csl_account *account,
                                             const uint8_t hash[CSL_HASH_BYTES]);

/* Who made the signature. CSL_EAUTH when nobody can have: out of range, a high s, no such point. */
CSL_MUST_CHECK enum csl_err csl_account_recover(uint8_t address[CSL_ADDRESS_BYTES],
                                                const uint8_t sig[CSL_ACCOUNT_SIGNATURE_BYTES], int parity,
                                                const uint8_t hash[CSL_HASH_BYTES]);

#endif
