/* Enrolment requests and certificates, as the CA and the import command read them. */
#include <stdlib.h>
#include <string.h>

#include "crypto/cert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct csl_enrolment e;
    struct csl_diag diag = {""};
    char name[CSL_NAME_MAX + 1];
    X509 *cert = NULL;
    EVP_PKEY *key = NULL;
    const char *text = (const char *)data;
    if (csl_enrolment_parse(&e, text, size, &diag) == CSL_OK) {
        if (!csl_name_valid(e.name)) {
            abort();
        }
        csl_enrolment_free(&e);
    } else if (diag.text[0] == 0 || e.req != NULL) {
        abort();
    }
    if (csl_cert_parse(&cert, text, size, "fuzz", &diag) == CSL_OK) {
        if (csl_cert_site_name(name, cert, &diag) == CSL_OK && !csl_name_valid(name)) {
            abort();
        }
        (void)csl_cert_not_after(cert);
        if (csl_cert_verify(cert, NULL, cert, -1, &diag) != CSL_OK && diag.text[0] == 0) {
            abort();
        }
        X509_free(cert);
    }
    if (csl_key_parse_public(&key, text, size, &diag) == CSL_OK) {
        (void)(csl_key_is_tls(key) || csl_key_is_wrap(key) || csl_key_is_sign(key));
        EVP_PKEY_free(key);
    }
    return 0;
}
