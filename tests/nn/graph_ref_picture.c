/* Operators on pictures: convolutions, pooling, normalisation. */
#include "graph_build.h"
#include "graph_ref_internal.h"

#include <math.h>
#include <stdlib.h>

static const int64_t to_first[4] = {0, 3, 1, 2};
static const int64_t to_last[4] = {0, 2, 3, 1};

struct side {
    int64_t in, k, s, d, begin, end, out;
};

static bool side(struct side *s, const struct csl_attributes *a, unsigned i, int64_t in, int64_t k) {
    *s = (struct side){in, k, a->strides[i], a->dilations[i], 0, 0, 0};
    if (s->k < 1 || s->s < 1 || s->d < 1) {
        return false;
    }
    int64_t extent = (s->k - 1) * s->d + 1;
    if (a->auto_pad == CSL_PAD_SAME_UPPER || a->auto_pad == CSL_PAD_SAME_LOWER) {
        s->out = (in - 1) / s->s + 1;
        int64_t total = (s->out - 1) * s->s + extent - in;
        total = total > 0 ? total : 0;
        s->begin = (total + (a->auto_pad == CSL_PAD_SAME_LOWER ? 1 : 0)) / 2;
        s->end = total - s->begin;
        return true;
    }
    if (a->auto_pad == CSL_PAD_NOTSET && a->n_pads == 4) {
        s->begin = a->pads[i];
        s->end = a->pads[2 + i];
    }
    int64_t room = in + s->begin + s->end - extent;
    s->out = room / s->s + 1;
    if (a->ceil_mode && a->auto_pad == CSL_PAD_NOTSET && room % s->s != 0 && s->out * s->s < in + s->begin) {
        s->out++;
    }
    return room >= 0 && s->begin >= 0 && s->end >= 0;
}

static bool conv_first(struct ref_call *c, struct ref_tensor *y, const struct ref_tensor *x) {
    const struct ref_tensor *w = &c->in[1];
    struct side h;
    struct side v;
    int64_t groups = c->a->group;
    if (x->rank != 4 || w->rank != 4 || groups < 1 || w->dims[0] % groups != 0 ||
        x->dims[1] != w->dims[1] * groups || !side(&h, c->a, 0, x->dims[2], w->dims[2]) ||
        !side(&v, c->a, 1, x->dims[3], w->dims[3]) ||
        !ref_alloc(y, 4, (const int64_t[]){x->dims[0], w->dims[0], h.out, v.out})) {
        return false;
    }
    for (size_t i = 0; i < y->n; i++) {
        int64_t at[CSL_MAX_RANK];
        ref_unravel(at, y, i);
        int64_t group = at[1] / (w->dims[0] / groups);
        double sum = c->n > 2 && c->in[2].v != NULL ? c->in[2].v[at[1]] : 0.0;
        for (size_t j = 0; j < (size_t)(w->dims[1] * w->dims[2] * w->dims[3]); j++) {
            int64_t ci = (int64_t)j / (w->dims[2] * w->dims[3]);
            int64_t kh = (int64_t)j / w->dims[3] % w->dims[2];
            int64_t kw = (int64_t)j % w->dims[3];
            int64_t ih = at[2] * h.s + kh * h.d - h.begin;
            int64_t iw = at[3] * v.s + kw * v.d - v.begin;
            if (ih >= 0 && iw >= 0 && ih < h.in && iw < v.in) {
                const int64_t from[4] = {at[0], group * w->dims[1] + ci, ih, iw};
                sum += x->v[ref_ravel(x, from)] *
                       w->v[(size_t)(at[1] * w->dims[1]) * (size_t)(w->dims[2] * w->dims[3]) + j];
            }
        }
        y->v[i] = sum;
    }
    return true;
}

static bool pool_first(struct ref_call *c, struct ref_tensor *y, const struct ref_tensor *x) {
    bool global = c->node->op == CSL_OP_GLOBAL_AVERAGE_POOL || c->node->op == CSL_OP_GLOBAL_MAX_POOL;
    bool is_max = c->node->op == CSL_OP_MAX_POOL || c->node->op == CSL_OP_GLOBAL_MAX_POOL;
    struct csl_attributes plain = build_attr(c->node->op);
    const struct csl_attributes *a = global ? &plain : c->a;
    struct side h;
    struct side v;
    if (x->rank != 4 || !side(&h, a, 0, x->dims[2], global ? x->dims[2] : a->kernel[0]) ||
        !side(&v, a, 1, x->dims[3], global ? x->dims[3] : a->kernel[1]) ||
        !ref_alloc(y, 4, (const int64_t[]){x->dims[0], x->dims[1], h.out, v.out})) {
        return false;
    }
    for (size_t i = 0; i < y->n; i++) {
        int64_t at[CSL_MAX_RANK];
        double best = -INFINITY;
        double sum = 0;
        int64_t n = 0;
        ref_unravel(at, y, i);
        for (int64_t k = 0; k < h.k * v.k; k++) {
            int64_t ih = at[2] * h.s + k / v.k * h.d - h.begin;
            int64_t iw = at[3] * v.s + k % v.k * v.d - v.begin;
            bool inside = ih >= 0 && iw >= 0 && ih < h.in && iw < v.in;
            n += inside || (a->count_include_pad && ih < h.in + h.end && iw < v.in + v.end) ? 1 : 0;
            if (inside) {
                double e = x->v[ref_ravel(x, (const int64_t[]){at[0], at[1], ih, iw})];
                best = e > best ? e : best;
                sum += e;
            }
        }
        y->v[i] = is_max ? best : sum / (double)n;
    }
    return true;
}

/* Operators of pictures in NHWC are those of NCHW between two transposes. */
static bool picture(struct ref_call *c,
                    bool (*f)(struct ref_call *, struct ref_tensor *, const struct ref_tensor *)) {
    struct ref_tensor x = {0};
    struct ref_tensor y = {0};
    if (!c->a->channels_last) {
        return f(c, &c->y, &c->in[0]);
    }
    bool ok = c->in[0].rank == 4 && ref_permute(&x, &c->in[0], to_first) && f(c, &y, &x) &&
              ref_permute(&c->y, &y, to_last);
    free(x.v);
    free(y.v);
    return ok;
}

bool ref_conv(struct ref_call *c) {
    return c->n >= 2 && picture(c, conv_first);
}

bool ref_pool(struct ref_call *c) {
    return picture(c, pool_first);
}

bool ref_batch_norm(struct ref_call *c) {
    const struct ref_tensor *x = &c->in[0];
    if (x->rank < 2 || !ref_copy_as(&c->y, x, x->rank, x->dims)) {
        return false;
    }
    unsigned axis = c->a->channels_last ? x->rank - 1 : 1;
    for (size_t i = 0; i < x->n; i++) {
        int64_t at[CSL_MAX_RANK];
        ref_unravel(at, x, i);
        size_t ch = (size_t)at[axis];
        if (ch >= c->in[1].n || ch >= c->in[2].n || ch >= c->in[3].n || ch >= c->in[4].n) {
            return false;
        }
        c->y.v[i] =
            (x->v[i] - c->in[3].v[ch]) / sqrt(c->in[4].v[ch] + (double)c->a->epsilon) * c->in[1].v[ch] +
            c->in[2].v[ch];
    }
    return true;
}
