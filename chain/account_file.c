/* The account's key file, by OpenSSL: the PEM that its tools and others read. */
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <string.h>

#include "chain/account_internal.h"
#include "crypto/pem_internal.h"
#include "crypto/secret.h"

/* The private number of an EC key on secp256k1; false for any other key. */
static bool take_key(uint8_t out[CSL_ACCOUNT_KEY_BYTES], EVP_PKEY *pkey) {
    char group[32] = "";
    size_t n = 0;
    BIGNUM *number = NULL;
    bool ok = EVP_PKEY_is_a(pkey, "EC") == 1 && EVP_PKEY_get_group_name(pkey, group, sizeof group, &n) == 1 &&
              strcmp(group, "secp256k1") == 0 &&
              EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_PRIV_KEY, &number) == 1 &&
              BN_bn2binpad(number, out, CSL_ACCOUNT_KEY_BYTES) == CSL_ACCOUNT_KEY_BYTES;
    BN_clear_free(number);
    return ok;
}

enum csl_err csl_account_load(struct csl_account **account, const char *path, struct csl_diag *diag) {
    EVP_PKEY *pkey = NULL;
    uint8_t key[CSL_ACCOUNT_KEY_BYTES] = {0};
    TRY(csl__key_load(&pkey, path, diag));
    bool ok = take_key(key, pkey);
    EVP_PKEY_free(pkey);
    enum csl_err err = CSL_OK;
    if (!ok) {
        (void)csl__openssl_reason();
        err = csl_fail(diag, CSL_EDATA,
                       "%s: not the key of an account: it is a private key on the curve secp256k1", path);
    } else if ((err = csl_account_from_key(account, key, diag)) != CSL_OK) {
        err = csl_fail_context(diag, err, "%s", path);
    }
    csl_wipe(key, sizeof key);
    return err;
}

/* NULL when OpenSSL refuses or there is no memory. */
static EVP_PKEY *pkey_of(const struct csl_account *account) {
    EVP_PKEY *pkey = NULL;
    OSSL_PARAM *params = NULL;
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    BIGNUM *number = BN_secure_new();
    if (build != NULL && ctx != NULL && number != NULL &&
        BN_bin2bn(csl__account_key(account), CSL_ACCOUNT_KEY_BYTES, number) != NULL &&
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "secp256k1", 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, csl__account_point(account),
                                         CSL__POINT_BYTES) == 1 &&
        OSSL_PARAM_BLD_push_BN_pad(build, OSSL_PKEY_PARAM_PRIV_KEY, number, CSL_ACCOUNT_KEY_BYTES) == 1 &&
        (params = OSSL_PARAM_BLD_to_param(build)) != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_KEYPAIR, params) != 1) {
        pkey = NULL;
    }
    BN_clear_free(number);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(ctx);
    return pkey;
}

enum csl_err csl_account_save(const struct csl_account *account, const char *path, struct csl_diag *diag) {
    EVP_PKEY *pkey = pkey_of(account);
    if (pkey == NULL) {
        return csl_fail(diag, CSL_EINTERNAL, "%s: the key cannot be encoded (%s)", path,
                        csl__openssl_reason());
    }
    enum csl_err err = csl__key_create(pkey, path, diag);
    EVP_PKEY_free(pkey);
    return err;
}
