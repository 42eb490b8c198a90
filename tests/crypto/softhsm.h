/* A token of SoftHSM2 in a temporary folder, for a test program. */
#ifndef CSL_TESTS_CRYPTO_SOFTHSM_H
#define CSL_TESTS_CRYPTO_SOFTHSM_H

#include <stdbool.h>

#define SOFTHSM_TOKEN "consilium test"
#define SOFTHSM_PIN "24681357"

/* Makes the token and sets SOFTHSM2_CONF; false, with the reason on stdout, where SoftHSM2 is not installed.
 * Ends the program when it is and fails. */
bool softhsm_start(void);
void softhsm_stop(void);

/* Its PKCS#11 module. */
const char *softhsm_module(void);

/* "pkcs11:token=...;object=OBJECT?module-path=..."; object NULL: without one. In a buffer that the next call
 * overwrites. */
const char *softhsm_uri(const char *object);

/* Puts a private key (PKCS#8 in PEM) into the token. id: hex digits. */
void softhsm_import(const char *pem_file, const char *object, const char *id);

/* Takes the token's files away, or puts them back. */
void softhsm_hide(bool hidden);

#endif
