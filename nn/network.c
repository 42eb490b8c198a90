#include "nn/network.h"

#include <stdlib.h>

#include "crypto/secret.h"

const char *csl_function_name(enum csl_function f) {
    static const char *const names[CSL_FN_COUNT] = {
#define CSL_FUNCTION_NAME(e, name) name,
        CSL_FUNCTION_LIST(CSL_FUNCTION_NAME)
#undef CSL_FUNCTION_NAME
    };
    return (unsigned)f < CSL_FN_COUNT ? names[f] : "";
}

void csl_network_free(struct csl_network *net) {
    if (net == NULL) {
        return;
    }
    for (uint32_t i = 0; i < net->n_nodes; i++) {
        csl_secret_free(net->nodes[i].w);
        csl_secret_free(net->nodes[i].b);
    }
    csl_secret_free(net);
}
