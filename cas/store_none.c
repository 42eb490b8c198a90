/* A build without libcurl. */
#include "cas/store_internal.h"

enum csl_err csl__cas_of_url(const struct csl__cas_backend **out, struct csl_cas *c, struct csl_diag *diag) {
    (void)c;
    *out = NULL;
    return csl_fail(
        diag, CSL_EUNAVAILABLE,
        "this build has no HTTP client, so a store is a folder; build it with libcurl for nodes and "
        "gateways");
}
