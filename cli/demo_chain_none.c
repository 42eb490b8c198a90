/* The demonstration of a build that knows no chain. */
#include "cli/demo_chain.h"

enum csl_err csl_demo_chain_roster(void *arg, struct csl_roster *r, const char *dir, struct csl_diag *diag) {
    (void)arg, (void)r, (void)dir;
    return csl_fail(diag, CSL_EUNAVAILABLE,
                    "this build has no chain: it needs libcurl and libsecp256k1 (apt-get install "
                    "libcurl4-openssl-dev libsecp256k1-dev), and to be built anew");
}

enum csl_err csl_demo_chain_start(struct csl_demo_chain *c, struct csl_demo_audit *a) {
    (void)c, (void)a;
    return CSL_EUNAVAILABLE;
}

enum csl_err csl_demo_chain_anchor(struct csl_demo_chain *c, struct csl_demo_audit *a, json_t **doc) {
    (void)c, (void)a, (void)doc;
    return CSL_EUNAVAILABLE;
}

enum csl_err csl_demo_chain_verify(struct csl_demo_chain *c, struct csl_demo_audit *a, int *code,
                                   json_t **doc) {
    (void)c, (void)a, (void)code, (void)doc;
    return CSL_EUNAVAILABLE;
}

enum csl_err csl_demo_chain_show(struct csl_demo_chain *c, struct csl_demo_audit *a, const char *session,
                                 json_t **doc) {
    (void)c, (void)a, (void)session, (void)doc;
    return CSL_EUNAVAILABLE;
}

void csl_demo_chain_stop(struct csl_demo_chain *c) {
    (void)c;
}
