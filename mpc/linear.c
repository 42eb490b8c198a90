#include "mpc/linear.h"

#include "crypto/secret.h"
#include "mpc/correlation_internal.h"
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
        memset(e[i], 0, csl_conv_weights(&layers[i].conv) * sizeof **e);
    }
    if (n_layers == 0) {
        return csl_session_error(s);
    }
    struct csl_round *r = csl_round_begin(s);
    size_t h[CSL_ROUND_MAX_ITEMS] = {0};
    for (size_t i = 0; i < n_layers; i++) {
        size_t n = csl_conv_weights(&layers[i].conv);
        h[i % CSL_ROUND_MAX_ITEMS] =
            csl_round_open_diff(r, layers[i].w, b_masks[i], n, layers[i].bits); /* L1 */
    }
    TRY(csl_round_flush(r)); /* refuses more than CSL_ROUND_MAX_ITEMS */
    for (size_t i = 0; i < n_layers; i++) {
        size_t n = csl_conv_weights(&layers[i].conv);
        memcpy(e[i], csl_round_ring(r, h[i]), n * sizeof **e);
    }
    return CSL_OK;
}

/* y = Z + bias, one bias a channel */
static void add_bias(uint64_t *y, const uint64_t *z, const struct csl_linear *layer, size_t batch) {
    size_t n = batch * csl_conv_outputs(&layer->conv), channels = layer->conv.out_c;
    if (layer->bias != NULL) {
        csl_add_row_mod(y, z, layer->bias, n / channels, channels, layer->bits);
    } else {
        memcpy(y, z, n * sizeof *y);
    }
}

static enum csl_err forward(struct csl_session *s, uint64_t *y, const struct csl_linear *layer,
                            const uint64_t *x, const struct csl__corr_demand *t, size_t batch) {
    const struct csl_demand *d = &t->demand;
    const struct csl_conv_shape *c = &layer->conv;
    if (memcmp(c, &d->conv, sizeof *c) != 0 || d->bits != layer->bits) { /* 32-bit fields, no padding */
        return csl_session_fail(s, CSL_EINTERNAL,
                                "linear: the layer is %u x %u x %u to %u x %u x %u mod 2^%u, its correlation "
                                "%u x %u x %u to %u x %u x %u mod 2^%u, or their kernels differ",
                                c->in_h, c->in_w, c->in_c, c->out_h, c->out_w, c->out_c, layer->bits,
                                d->conv.in_h, d->conv.in_w, d->conv.in_c, d->conv.out_h, d->conv.out_w,
                                d->conv.out_c, d->bits);
    }
    struct csl_round *r = csl_round_begin(s);
    size_t h = csl_round_open_diff(r, x, t->data[CSL_LINEAR_A], batch * csl_conv_inputs(c), d->bits); /* L3 */
    TRY(csl_round_flush(r));
    add_bias(y, t->data[CSL_LINEAR_C], layer, batch);
    enum csl_err err = csl_conv_acc(y, csl_round_ring(r, h), layer->w, c, batch, d->bits, false); /* L4 */
    return err == CSL_OK ? CSL_OK : csl_session_fail(s, err, "linear: no memory to unfold the opened input");
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
        csl_wipe(y, corr->batch * csl_conv_outputs(&layer->conv) * sizeof *y);
    }
    return err;
}
