/* PKCS#11 URIs, as they stand in key files and on the command line. */
#include <stdlib.h>
#include <string.h>

#include "crypto/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static char line[CSL_TOKEN_URI_MAX + 1];
    struct csl_token_uri uri, again;
    struct csl_diag diag = {""};
    if (csl_token_uri_parse(&uri, (const char *)data, size, &diag) != CSL_OK) {
        static const struct csl_token_uri zero;
        if (diag.text[0] == 0 || memcmp(&uri, &zero, sizeof uri) != 0) {
            abort();
        }
        return 0;
    }
    /* What is printed is read as the same; only escapes can make it too long. */
    if (csl_token_uri_print(line, &uri, &diag) == CSL_OK &&
        (csl_token_uri_parse(&again, line, strlen(line), &diag) != CSL_OK ||
         memcmp(&uri, &again, sizeof uri) != 0)) {
        abort();
    }
    return 0;
}
