#include "mpc/linear.h"

#include "crypto/secret.h"
#include "mpc/correlation_internal.h"
#include "mpc/pack.h"
#include "mpc/ring.h"
#include "mpc/round_internal.h"
#include "mpc/threads.h"

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

/* ---- L3: D = open([X] - [A]), block by block from the operands to the message and back ---- */

enum { BLOCK = 1024 }; /* elements; a multiple of 8 */

struct masking {
    const uint64_t *x;
    struct csl__corr_demand *t;
    size_t n;
    uint8_t *wire;
    struct csl__opening opened;
    uint64_t *d;
};

static void mask_part(void *arg, size_t first, size_t n) {
    const struct masking *m = arg;
    unsigned bits = m->t->demand.bits;
    uint64_t d[BLOCK], *a = m->t->data[CSL_LINEAR_A];
    for (size_t at = first; at < first + n; at += BLOCK) {
        size_t nb = first + n - at < BLOCK ? first + n - at : BLOCK;
        csl_sub_mod(d, m->x + at, a + at, nb, bits);
        csl_pack_bits(m->wire + at / 8 * bits, d, nb, bits);
        if (m->t->by_blocks) {
            csl_wipe(a + at, nb * sizeof *a);
        }
    }
}

static void make_d(void *arg, uint8_t *wire) {
    struct masking *m = arg;
    m->wire = wire;
    csl__threads_split(mask_part, m, m->n, BLOCK, 1.5 * (double)m->n);
}

static void take_part(void *arg, size_t first, size_t n) {
    const struct masking *m = arg;
    csl__opened_ring(&m->opened, m->d + first, first, n);
}

static enum csl_err open_d(struct csl_session *s, uint64_t **d, const uint64_t *x, struct csl__corr_demand *t,
                           size_t n) {
    struct masking m = {.x = x, .t = t, .n = n};
    struct csl_round *r = csl_round_begin(s);
    size_t h = csl__round_make_ring(r, n, t->demand.bits, make_d, &m);
    TRY(csl_round_flush(r));
    csl__corr_wiped(t, CSL_LINEAR_A);
    m.opened = csl__round_opening(r, h);
    *d = m.d = csl__arena_take(&s->scratch, n);
    if (m.d == NULL) {
        return csl_session_fail(s, CSL_ENOMEM, "linear: no memory for %zu opened values", n);
    }
    csl__threads_split(take_part, &m, n, BLOCK, 1.5 * (double)n);
    return CSL_OK;
}

/* ---- y = Z + bias, one bias a channel ---- */

struct adding {
    const struct csl_linear *layer;
    struct csl__corr_demand *t;
    uint64_t *y;
    size_t period; /* values after which `biases` begins again */
    const uint64_t *biases;
};

static void add_part(void *arg, size_t first, size_t n) {
    const struct adding *o = arg;
    uint64_t *z = o->t->data[CSL_LINEAR_C];
    for (size_t at = first; at < first + n; at += o->period) {
        size_t nb = first + n - at < o->period ? first + n - at : o->period;
        if (o->biases == NULL) {
            memcpy(o->y + at, z + at, nb * sizeof *z);
        } else {
            csl_add_mod(o->y + at, z + at, o->biases, nb, o->layer->bits);
        }
        if (o->t->by_blocks) {
            csl_wipe(z + at, nb * sizeof *z);
        }
    }
}

static void add_bias(uint64_t *y, struct csl__corr_demand *t, const struct csl_linear *layer, size_t batch) {
    size_t n = batch * csl_conv_outputs(&layer->conv), channels = layer->conv.out_c, each = 0;
    uint64_t again[BLOCK]; /* the biases as often as they fit: few channels are short loops */
    struct adding o = {.layer = layer, .t = t, .y = y, .period = channels, .biases = layer->bias};
    if (layer->bias == NULL) {
        o.period = BLOCK;
    } else if (channels <= BLOCK / 2 && channels < n) {
        o.period = BLOCK / channels * channels;
        for (; each < o.period; each++) {
            again[each] = each < channels ? layer->bias[each] : again[each - channels];
        }
        o.biases = again;
    }
    csl__threads_split(add_part, &o, n, o.period, (double)n);
    csl__corr_wiped(t, CSL_LINEAR_C);
    csl_wipe(again, each * sizeof *again);
}

static enum csl_err forward(struct csl_session *s, uint64_t *y, const struct csl_linear *layer,
                            const uint64_t *x, struct csl__corr_demand *t, size_t batch) {
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
    uint64_t *opened;
    TRY(open_d(s, &opened, x, t, batch * csl_conv_inputs(c)));
    add_bias(y, t, layer, batch);
    enum csl_err err = csl_conv_acc(y, opened, layer->w, c, batch, d->bits, false); /* L4 */
    s->scratch.used = 0;                                                            /* D was opened */
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
