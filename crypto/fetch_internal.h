/* OpenSSL's algorithms, fetched once for the process.
 *
 * A fetch by name takes longer than a PRF call, and derivations run once for every index. The
 * fetched objects are constant after that, and OpenSSL lets threads share them.
 */
#ifndef CSL_CRYPTO_FETCH_INTERNAL_H
#define CSL_CRYPTO_FETCH_INTERNAL_H

#include <openssl/evp.h>
#include <openssl/kdf.h>

struct csl__algs {
    EVP_MD *sha256;
    EVP_CIPHER *aes128_ctr;
    EVP_CIPHER *aes256_gcm;
    EVP_KDF *hkdf;
    EVP_MAC_CTX *hmac; /* HMAC-SHA256 under a zero key: copied and keyed anew for each call */
};

/* NULL when OpenSSL lacks one of them (a provider configuration without the default algorithms). */
const struct csl__algs *csl__algs(void);

#endif
