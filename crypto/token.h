/* Private keys that live in a PKCS#11 token (an HSM, a smart card, SoftHSM2) and never leave it.
 *
 * Where a private key file of a site (tls.key, wrap.key, sign.key; a CA's ca.key, a recipient's wrap.key)
 * holds one line "pkcs11:..." (RFC 7512) instead of PEM, the key is used in the token that the line names. So
 * one place says where a key is, with the same name, permissions (0600) and checks as a key in a file.
 *
 *     pkcs11:token=hsm-1;object=hospital-a-sign?module-path=/usr/lib/softhsm/libsofthsm2.so
 *
 * token, serial, manufacturer, model, slot-id  which token; exactly one must match
 * object, id                                   which private key in it; exactly one must match
 * type                                         "private", or left out
 * module-path                                  the PKCS#11 module; else the variable CONSILIUM_TOKEN_MODULE
 * pin-source                                   a file (0600) with the PIN: absolute, file:/..., or in the key
 *                                              file's folder; else token.pin there; else the variable
 *                                              CONSILIUM_TOKEN_PIN
 *
 * The EVP_PKEY of such a key shows its public half everywhere; csl_sign, csl_envelope_open and TLS ask the
 * token for the private one. Every call into a module has a deadline. A PIN that the token refused is never
 * tried again by the process, and the last try that a token allows is never used.
 *
 * Errors: CSL_ECONFIG a line, an object or a key that is not right; CSL_EAUTH a PIN that is refused;
 * CSL_EUNAVAILABLE no such module or token, or the token failed; CSL_ETIMEOUT it did not answer. Each diag
 * names the key's file and the token, and never a PIN.
 */
#ifndef CSL_CRYPTO_TOKEN_H
#define CSL_CRYPTO_TOKEN_H

#include "crypto/err.h"

typedef struct evp_pkey_st EVP_PKEY;

enum {
    CSL_TOKEN_LABEL_MAX = 32,   /* of token and manufacturer; bytes, without the final 0 */
    CSL_TOKEN_SERIAL_MAX = 16,  /* of serial and model */
    CSL_TOKEN_OBJECT_MAX = 128, /* of an object's label */
    CSL_TOKEN_ID_MAX = 64,      /* of an object's id */
    CSL_TOKEN_PATH_MAX = 1023,  /* of module-path and pin-source */
    CSL_TOKEN_URI_MAX = 4096,   /* of a whole line */

    /* Of a signature or an unwrapping, but for CONSILIUM_TOKEN_TIMEOUT_MS. Below the roster's dead_ms: a
     * daemon's main thread signs handshakes, and sends heartbeats. */
    CSL_TOKEN_TIMEOUT_MS = 3000
};

/* A URI taken apart. Texts are "" where they are not given. */
struct csl_token_uri {
    char token[CSL_TOKEN_LABEL_MAX + 1];
    char manufacturer[CSL_TOKEN_LABEL_MAX + 1];
    char model[CSL_TOKEN_SERIAL_MAX + 1];
    char serial[CSL_TOKEN_SERIAL_MAX + 1];
    char object[CSL_TOKEN_OBJECT_MAX + 1];
    uint8_t id[CSL_TOKEN_ID_MAX];
    size_t n_id;
    bool has_slot;
    unsigned long slot;
    char module_path[CSL_TOKEN_PATH_MAX + 1];
    char pin_source[CSL_TOKEN_PATH_MAX + 1];
};

/* The text of a key file is a URI and not PEM. */
bool csl_token_is_uri(const char *text, size_t n);

/* Parses n bytes; one line end after the URI is allowed. Attributes that we do not know, a pin-value, and a
 * command as pin-source are CSL_ECONFIG: what was meant would not hold. Never allocates. */
CSL_MUST_CHECK enum csl_err csl_token_uri_parse(struct csl_token_uri *uri, const char *text, size_t n,
                                                struct csl_diag *diag);

/* Writes the URI with a final newline, as it stands in a key file; NUL-terminated. */
CSL_MUST_CHECK enum csl_err csl_token_uri_print(char out[CSL_TOKEN_URI_MAX + 1],
                                                const struct csl_token_uri *uri, struct csl_diag *diag);

/* Kinds of key, in the order of a site's files. */
enum csl_token_kind { CSL_TOKEN_TLS, CSL_TOKEN_WRAP, CSL_TOKEN_SIGN, CSL_TOKEN_KINDS };

/* A site's key from the token: finds it, reads its public half, and checks once that both halves are a pair.
 * path: of the key's file, for errors and the PIN's folder. The caller frees *key with EVP_PKEY_free. */
CSL_MUST_CHECK enum csl_err csl_token_key_load(EVP_PKEY **key, const struct csl_token_uri *uri,
                                               const char *path, struct csl_diag *diag);

/* Draws a key pair in the token, not extractable, under uri's object and id (CSL_ECREATE when there is one
 * already); does not load it. Takes seconds (RSA). */
CSL_MUST_CHECK enum csl_err csl_token_key_generate(enum csl_token_kind kind, const struct csl_token_uri *uri,
                                                   const char *path, struct csl_diag *diag);

/* *is there: the token holds a private key under uri's object and id. */
CSL_MUST_CHECK enum csl_err csl_token_key_exists(bool *is_there, const struct csl_token_uri *uri,
                                                 const char *path, struct csl_diag *diag);

/* When OpenSSL's oldest queued error is that of a token (in a TLS handshake): what it was, in diag. CSL_OK
 * when it is none. Leaves the queue as it is. */
enum csl_err csl_token_failure(struct csl_diag *diag);

/* Where the private half of a key is, for people: "token ..." or "file". Returns out. */
enum { CSL_TOKEN_WHERE_MAX = 512 };
const char *csl_token_where(char out[CSL_TOKEN_WHERE_MAX], const EVP_PKEY *key);

#endif
