/* Ed25519 signatures (RFC 8032) with domain separation, by OpenSSL.
 *
 * What is signed is  context | 0x00 | msg : the context (a constant that says what is being signed, e.g.
 * "consilium/grant") keeps a signature from being taken for one over something else. The zero byte ends it,
 * since a C string holds none. Verification is in variable time: keys, messages and signatures are public.
 */
#ifndef CSL_CRYPTO_SIGN_H
#define CSL_CRYPTO_SIGN_H

#include "crypto/err.h"

typedef struct evp_pkey_st EVP_PKEY;

enum { CSL_SIGNATURE_BYTES = 64, CSL_SIGN_CONTEXT_MAX = 128 };

/* Signs with an Ed25519 private key (CSL_ECONFIG for any other key), which may be in a token: then the errors
 * of crypto/token.h as well. context: 1..CSL_SIGN_CONTEXT_MAX bytes (CSL_EUSAGE). Copies the message once:
 * CSL_ENOMEM. On error sig is zero. */
CSL_MUST_CHECK enum csl_err csl_sign(uint8_t sig[CSL_SIGNATURE_BYTES], EVP_PKEY *key, const char *context,
                                     const uint8_t *msg, size_t n, struct csl_diag *diag);

/* CSL_OK when sig is key's signature over context and msg; CSL_EAUTH when it is not. */
CSL_MUST_CHECK enum csl_err csl_verify(EVP_PKEY *key, const uint8_t *sig, size_t n_sig, const char *context,
                                       const uint8_t *msg, size_t n, struct csl_diag *diag);

/* The same without a context, for text whose form is given by others (signed notes of c2sp.org). CSL_EUSAGE
 * when the text is empty or holds a zero byte: every message that csl_sign signs holds one, behind its
 * context, so that neither can be taken for the other. Texts of different kinds must differ in form, as a
 * checkpoint (audit/note.h) and its cosignature do. */
CSL_MUST_CHECK enum csl_err csl_sign_raw(uint8_t sig[CSL_SIGNATURE_BYTES], EVP_PKEY *key, const char *text,
                                         size_t n, struct csl_diag *diag);
CSL_MUST_CHECK enum csl_err csl_verify_raw(EVP_PKEY *key, const uint8_t *sig, size_t n_sig, const char *text,
                                           size_t n, struct csl_diag *diag);

#endif
