#include "mpc/linear.h"

#include "crypto/secret.h"
#include "mpc/correlation_internal.h"
#include "mpc/gemm.h"
#include "mpc/ring.h"

#include <string.h>

enum csl_err csl_linear_open_weights(struct csl_session *s, uint64_t *e, const uint64_t *w,
                                     const uint64_t *b_mask, size_t n, unsigned bits) {
    memset(e, 0, n * sizeof *e);
    struct csl_round *r = csl_round_begin(s);
    size_t h = csl_round_open_diff(r, w, b_mask, n, bits); /* L1 */
    TRY(csl_round_flush(r));
    memcpy(e, csl_round_ring(r, h), n * sizeof *e);
    return CSL_OK;
}

enum csl_err csl_linear_open_all(struct csl_session *s, uint64_t *const *e, const struct csl_linear *layers,
                                 const uint64_t *const *b_masks, size_t n_layers) {
    for (size_t i = 0; i < n_layers; i++) {
        memset(e[i], 0, (size_t)layers[i].k_dim * layers[i].n_dim * sizeof **e);
    }
    if (n_layers == 0) {
        return csl_session_error(s);
    }
    struct csl_round *r = csl_round_begin(s);
    size_t h[CSL_ROUND_MAX_ITEMS] = {0};
    for (size_t i = 0; i < n_layers; i++) {
        size_t n = (size_t)layers[i].k_dim * layers[i].n_dim;
        h[i % CSL_ROUND_MAX_ITEMS] =
            csl_round_open_diff(r, layers[i].w, b_masks[i], n, layers[i].bits); /* L1 */
    }
    TRY(csl_round_flush(r)); /* refuses more than CSL_ROUND_MAX_ITEMS */
    for (size_t i = 0; i < n_layers; i++) {
        size_t n = (size_t)layers[i].k_dim * layers[i].n_dim;
        memcpy(e[i], csl_round_ring(r, h[i]), n * sizeof **e);
    }
    return CSL_OK;
}

static enum csl_err forward(struct csl_session *s, uint64_t *y, const struct csl_linear *layer,
                            const uint64_t *x, const struct csl__corr_demand *t, size_t batch) {
    size_t k = layer->k_dim, n = layer->n_dim;
    const struct csl_demand *d = &t->demand;
    if (d->k_dim != k || d->n_dim != n || d->bits != layer->bits) {
        return csl_session_fail(s, CSL_EINTERNAL,
                                "linear: the layer is %zu x %zu mod 2^%u, its correlation %u x %u mod 2^%u",
                                k, n, layer->bits, d->k_dim, d->n_dim, d->bits);
    }
    struct csl_round *r = csl_round_begin(s);
    size_t h = csl_round_open_diff(r, x, t->data[CSL_LINEAR_A], batch * k, d->bits); /* L3 */
    TRY(csl_round_flush(r));
    if (layer->bias != NULL) {
        csl_add_row_mod(y, t->data[CSL_LINEAR_C], layer->bias, batch, n, d->bits);
    } else {
        memcpy(y, t->data[CSL_LINEAR_C], batch * n * sizeof *y);
    }
    csl_gemm_acc_mod(y, csl_round_ring(r, h), layer->w, batch, k, n, d->bits); /* L4 */
    return CSL_OK;
}

enum csl_err csl_linear_forward(struct csl_session *s, uint64_t *y, const struct csl_linear *layer,
                                const uint64_t *x, struct csl_corr *corr, size_t demand) {
    struct csl__corr_demand *t;
    enum csl_err err = csl__corr_take(&t, s, corr, demand, CSL_DEMAND_LINEAR);
    if (err == CSL_OK) {
        err = forward(s, y, layer, x, t, corr->batch);
        csl__corr_done(t);
    }
    if (err != CSL_OK) {
        csl_wipe(y, corr->batch * layer->n_dim * sizeof *y);
    }
    return err;
}
