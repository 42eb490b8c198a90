/* Key operations, by libsecp256k1. */
#include "chain/account.h"

#include <secp256k1.h>
#include <secp256k1_recovery.h>
#include <string.h>

#include "chain/account_internal.h"
#include "crypto/rand.h"
#include "crypto/secret.h"

struct csl_account {
    secp256k1_context *secp;
    uint8_t key[CSL_ACCOUNT_KEY_BYTES];
    uint8_t point[CSL__POINT_BYTES];
    uint8_t address[CSL_ADDRESS_BYTES];
};

static void address_of(uint8_t address[CSL_ADDRESS_BYTES], const uint8_t point[CSL__POINT_BYTES]) {
    uint8_t hash[CSL_KECCAK256_BYTES];
    csl_keccak256(hash, point + 1, CSL__POINT_BYTES - 1);
    memcpy(address, hash + sizeof hash - CSL_ADDRESS_BYTES, CSL_ADDRESS_BYTES);
}

/* The uncompressed point (SEC 1, 2.3.3). */
static void point_of(uint8_t point[CSL__POINT_BYTES], const secp256k1_context *secp,
                     const secp256k1_pubkey *key) {
    size_t n = CSL__POINT_BYTES;
    (void)secp256k1_ec_pubkey_serialize(secp, point, &n, key, SECP256K1_EC_UNCOMPRESSED); /* always 1 */
}

/* The public key of a->key; the context blinded anew. */
static enum csl_err complete(struct csl_account *a, struct csl_diag *diag) {
    uint8_t blinding[32];
    secp256k1_pubkey pub;
    a->secp = secp256k1_context_create(SECP256K1_CONTEXT_NONE);
    if (a->secp == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "out of memory");
    }
    enum csl_err err = csl_rand_secret(blinding, sizeof blinding);
    int blinded = err == CSL_OK ? secp256k1_context_randomize(a->secp, blinding) : 0;
    csl_wipe(blinding, sizeof blinding);
    if (err != CSL_OK || blinded != 1) {
        return csl_fail(diag, err == CSL_OK ? CSL_EINTERNAL : err, "no randomness for the account's key");
    }
    if (secp256k1_ec_pubkey_create(a->secp, &pub, a->key) != 1) {
        return csl_fail(diag, CSL_EDATA, "not a secp256k1 key: zero, or not below the group's order");
    }
    point_of(a->point, a->secp, &pub);
    address_of(a->address, a->point);
    return CSL_OK;
}

enum csl_err csl_account_from_key(struct csl_account **account, const uint8_t key[CSL_ACCOUNT_KEY_BYTES],
                                  struct csl_diag *diag) {
    struct csl_account *a = csl_secret_alloc(1, sizeof *a);
    if (a == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "out of memory");
    }
    memcpy(a->key, key, sizeof a->key);
    enum csl_err err = complete(a, diag);
    if (err != CSL_OK) {
        csl_account_free(a);
        return err;
    }
    *account = a;
    return CSL_OK;
}

enum csl_err csl_account_new(struct csl_account **account, struct csl_diag *diag) {
    uint8_t key[CSL_ACCOUNT_KEY_BYTES];
    enum csl_err err = csl_rand_secret(key, sizeof key);
    if (err != CSL_OK) {
        return csl_fail(diag, err, "no randomness for a new key");
    }
    /* Not a key with a chance of 2^-127: then an error, not another try. */
    err = csl_account_from_key(account, key, diag);
    csl_wipe(key, sizeof key);
    return err;
}

void csl_account_free(struct csl_account *account) {
    if (account != NULL) {
        secp256k1_context_destroy(account->secp);
        csl_secret_free(account);
    }
}

const uint8_t *csl_account_address(const struct csl_account *account) {
    return account->address;
}

const uint8_t *csl__account_key(const struct csl_account *account) {
    return account->key;
}

const uint8_t *csl__account_point(const struct csl_account *account) {
    return account->point;
}

enum csl_err csl_account_sign(uint8_t sig[CSL_ACCOUNT_SIGNATURE_BYTES], int *parity,
                              const struct csl_account *account, const uint8_t hash[CSL_HASH_BYTES]) {
    secp256k1_ecdsa_recoverable_signature made;
    uint8_t bytes[CSL_ACCOUNT_SIGNATURE_BYTES], signer[CSL_ADDRESS_BYTES];
    int recovery = 0;
    if (secp256k1_ecdsa_sign_recoverable(account->secp, &made, hash, account->key,
                                         secp256k1_nonce_function_rfc6979, NULL) != 1) {
        return CSL_EINTERNAL;
    }
    (void)secp256k1_ecdsa_recoverable_signature_serialize_compact(account->secp, bytes, &recovery, &made);
    /* A nonce point whose x is not below the order (2^-127) has a recovery id that Ethereum does not have. */
    if (recovery > 1 || csl_account_recover(signer, bytes, recovery, hash) != CSL_OK ||
        memcmp(signer, account->address, sizeof signer) != 0) {
        return CSL_EINTERNAL;
    }
    memcpy(sig, bytes, sizeof bytes);
    *parity = recovery;
    return CSL_OK;
}

/* Whether s is in the lower half of the group's order, as EIP-2 and libsecp256k1's verification want it. */
static bool is_low_s(const uint8_t sig[CSL_ACCOUNT_SIGNATURE_BYTES]) {
    secp256k1_ecdsa_signature parsed;
    const secp256k1_context *secp = secp256k1_context_static;
    return secp256k1_ecdsa_signature_parse_compact(secp, &parsed, sig) == 1 &&
           secp256k1_ecdsa_signature_normalize(secp, NULL, &parsed) == 0;
}

enum csl_err csl_account_recover(uint8_t address[CSL_ADDRESS_BYTES],
                                 const uint8_t sig[CSL_ACCOUNT_SIGNATURE_BYTES], int parity,
                                 const uint8_t hash[CSL_HASH_BYTES]) {
    secp256k1_ecdsa_recoverable_signature parsed;
    secp256k1_pubkey pub;
    uint8_t point[CSL__POINT_BYTES];
    const secp256k1_context *secp = secp256k1_context_static;
    if ((parity != 0 && parity != 1) || !is_low_s(sig) ||
        secp256k1_ecdsa_recoverable_signature_parse_compact(secp, &parsed, sig, parity) != 1 ||
        secp256k1_ecdsa_recover(secp, &pub, &parsed, hash) != 1) {
        return CSL_EAUTH;
    }
    point_of(point, secp, &pub);
    address_of(address, point);
    return CSL_OK;
}
