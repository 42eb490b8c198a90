/* Draws the keys of every site that the tests use into a folder of the build tree, once: RSA keys take half a
 * second each. A federation with no daemon running is the way to do it. */
#include <stdio.h>

#include "cli/federation.h"

int main(void) {
    static const struct csl_federation_extra extras[] = {{"visitor", CSL_ROLE_CLIENT, false},
                                                         {"radiology", CSL_ROLE_CLIENT, false},
                                                         {"pathology", CSL_ROLE_CLIENT, false},
                                                         {"other-owner", CSL_ROLE_OWNER, false}};
    struct csl_federation_options opt = {.n_parties = 16,
                                         .model = "network",
                                         .max_batch = 16,
                                         .program = CSL_PROGRAM,
                                         .keys = CSL_TEST_KEYS,
                                         .extras = extras,
                                         .n_extras = sizeof extras / sizeof extras[0],
                                         .idle = true};
    struct csl_federation *fed;
    struct csl_diag diag = {""};
    if (csl_federation_start(&fed, &opt, &diag) != CSL_OK) {
        (void)fprintf(stderr, "%s\n", diag.text);
        return 1;
    }
    csl_federation_stop(fed, NULL);
    return 0;
}
