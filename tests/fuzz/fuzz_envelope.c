/* csl_envelope_open on arbitrary bytes, and on valid envelopes that the input changes.
 *
 * The first byte chooses. 0: the rest is taken for an envelope. Otherwise it is the plaintext's length,
 * and the rest is a list of changes (position u16, xor u8), where position 0xffff truncates by the xor byte.
 * The key is generated at the start: none is stored, so no input holds a valid wrapped key by itself.
 */
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/bytes.h"
#include "crypto/envelope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char label[] = "consilium/fuzz";
static const uint8_t aad[3] = {1, 2, 3};

static EVP_PKEY *fuzz_key(void) {
    static EVP_PKEY *key;
    if (key == NULL) {
        key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)3072);
    }
    return key;
}

#define REQUIRE(condition)                                                                                   \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

static enum csl_err open_exact(uint8_t *plain, size_t *n_plain, const uint8_t *env, size_t n_env) {
    size_t stated, room = *n_plain;
    struct csl_diag diag = {""};
    enum csl_err parsed = csl_envelope_plain_size(&stated, env, n_env, &diag);
    enum csl_err err =
        csl_envelope_open(plain, n_plain, fuzz_key(), label, aad, sizeof aad, env, n_env, &diag);
    REQUIRE(parsed == CSL_OK ? stated <= n_env : parsed == CSL_EDATA && err == CSL_EDATA);
    REQUIRE(err == CSL_OK ? *n_plain == stated : *n_plain == 0 && diag.text[0] != '\0');
    REQUIRE(err == CSL_OK || err == CSL_EDATA || err == CSL_EAUTH);
    for (size_t i = 0; err != CSL_OK && i < room; i++) {
        REQUIRE(plain[i] == 0);
    }
    return err;
}

static void raw(const uint8_t *data, size_t size) {
    uint8_t *plain = calloc(size + 1, 1);
    size_t n = size;
    REQUIRE(plain != NULL);
    REQUIRE(open_exact(plain, &n, data, size) != CSL_OK); /* nobody sealed it */
    free(plain);
}

static size_t change(uint8_t *env, size_t n, const uint8_t *data, size_t size) {
    for (; size >= 3; data += 3, size -= 3) {
        uint16_t at = csl_load_u16(data);
        if (at == 0xffff) {
            n -= data[2] < n ? data[2] : n;
        } else if (n != 0) {
            env[at % n] ^= data[2];
        }
    }
    return n;
}

static void changed(size_t n_plain, const uint8_t *data, size_t size) {
    uint8_t plain[256], out[1024] = {0};
    size_t n_env, n_out = sizeof out;
    memset(plain, 0x5a, sizeof plain);
    REQUIRE(csl_envelope_size(&n_env, n_plain, fuzz_key(), NULL) == CSL_OK);
    size_t n_sealed = n_env;
    uint8_t *env = malloc(n_env), *valid = malloc(n_env);
    REQUIRE(env != NULL && valid != NULL);
    REQUIRE(csl_envelope_seal(valid, &n_sealed, fuzz_key(), label, aad, sizeof aad, plain, n_plain, NULL) ==
            CSL_OK);
    memcpy(env, valid, n_env);
    size_t n = change(env, n_env, data, size);
    bool same = n == n_env && memcmp(env, valid, n_env) == 0;
    enum csl_err err = open_exact(out, &n_out, env, n);
    REQUIRE((err == CSL_OK) == same);
    REQUIRE(!same || (n_out == n_plain && memcmp(out, plain, n_plain) == 0));
    free(env);
    free(valid);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    REQUIRE(fuzz_key() != NULL);
    if (size != 0 && data[0] != 0) {
        changed(data[0], data + 1, size - 1);
    } else {
        raw(data + (size != 0), size - (size != 0));
    }
    return 0;
}
