/* Ranges that sample inputs show. */
#include <math.h>
#include <stdlib.h>

#include "crypto/secret.h"
#include "nn/plan.h"

void csl_ranges_clear(struct csl_ranges *r) {
    csl_secret_free(r->lo);
    csl_secret_free(r->hi);
    *r = (struct csl_ranges){0};
}

static void widen(void *ctx, uint32_t value, const double *v, size_t n) {
    struct csl_ranges *r = ctx;
    for (size_t i = 0; i < n; i++) {
        r->lo[value] = fmin(r->lo[value], v[i]);
        r->hi[value] = fmax(r->hi[value], v[i]);
    }
}

enum csl_err csl_ranges_observe(struct csl_ranges *r, const struct csl_network *net, const float *x,
                                uint32_t n) {
    uint32_t n_values = net->n_nodes + 1;
    if (r->n_values != 0 && r->n_values != n_values) {
        return CSL_EUSAGE;
    }
    if (r->n_values == 0) {
        *r = (struct csl_ranges){n_values, csl_secret_alloc(n_values, sizeof *r->lo),
                                 csl_secret_alloc(n_values, sizeof *r->hi)};
        if (r->lo == NULL || r->hi == NULL) {
            csl_ranges_clear(r);
            return CSL_ENOMEM;
        }
        for (uint32_t i = 0; i < n_values; i++) {
            r->lo[i] = INFINITY;
            r->hi[i] = -INFINITY;
        }
    }
    const struct csl_hwc *in = &net->input;
    const struct csl_hwc *out = net->output == 0 ? in : &net->nodes[net->output - 1].out;
    size_t n_x = (size_t)in->h * in->w * in->c;
    double *y = csl_secret_alloc((size_t)out->h * out->w * out->c, sizeof *y);
    enum csl_err err = y == NULL ? CSL_ENOMEM : CSL_OK;
    for (uint32_t i = 0; i < n && err == CSL_OK; i++) {
        err = csl_network_watch(net, y, x + i * n_x, 1, widen, r);
    }
    csl_secret_free(y);
    return err;
}
