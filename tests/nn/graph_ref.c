#include "graph_ref.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- building ---- */

void build_init(struct build *b, uint64_t seed) {
    *b = (struct build){.seed = seed * 0x9e3779b97f4a7c15u + 1};
    b->failed = csl_graph_new(&b->g, "test") != CSL_OK;
}

void build_clear(struct build *b) {
    csl_graph_free(b->g);
}

double build_random(struct build *b, double lo, double hi) {
    b->seed ^= b->seed << 13;
    b->seed ^= b->seed >> 7;
    b->seed ^= b->seed << 17;
    return lo + (hi - lo) * (double)(b->seed >> 11) / 9007199254740992.0;
}

static uint32_t fresh(struct build *b) {
    char name[32];
    uint32_t t = 0;
    snprintf(name, sizeof name, "t%u", b->n_names++);
    b->failed = b->failed || csl_graph_tensor(b->g, &t, name, &b->diag) != CSL_OK;
    return t;
}

uint32_t build_input(struct build *b, unsigned rank, const int64_t *dims) {
    uint32_t t = fresh(b);
    b->failed = b->failed || csl_graph_set_shape(b->g, t, rank, dims, &b->diag) != CSL_OK;
    b->g->input = t;
    return t;
}

uint32_t build_floats(struct build *b, double lo, double hi, unsigned rank, const int64_t *dims) {
    uint32_t t = fresh(b);
    b->failed = b->failed || csl_graph_constant(b->g, t, CSL_DTYPE_F32, rank, dims, &b->diag) != CSL_OK;
    for (size_t i = 0; !b->failed && i < b->g->tensors[t].n_elements; i++) {
        b->g->tensors[t].f32[i] = (float)build_random(b, lo, hi);
    }
    return t;
}

uint32_t build_values(struct build *b, unsigned n, const float *v) {
    uint32_t t = build_floats(b, 0, 0, n == 1 ? 0 : 1, (const int64_t[]){n});
    if (!b->failed) {
        memcpy(b->g->tensors[t].f32, v, n * sizeof *v);
    }
    return t;
}

uint32_t build_ints(struct build *b, unsigned n, const int64_t *v) {
    uint32_t t = fresh(b);
    const int64_t dims[1] = {n};
    b->failed = b->failed || csl_graph_constant(b->g, t, CSL_DTYPE_I64, 1, dims, &b->diag) != CSL_OK;
    if (!b->failed && n != 0) {
        memcpy(b->g->tensors[t].i64, v, n * sizeof *v);
    }
    return t;
}

struct csl_attributes build_attr(enum csl_op op) {
    struct csl_attributes a = csl_attributes_default();
    a.strides[0] = a.strides[1] = a.dilations[0] = a.dilations[1] = 1;
    a.group = 1;
    a.epsilon = 1e-5F;
    a.keepdims = true;
    if (op == CSL_OP_LEAKY_RELU) {
        a.alpha = 0.01F;
    } else if (op == CSL_OP_HARD_SIGMOID) {
        a.alpha = 0.2F;
        a.beta = 0.5F;
    } else if (op == CSL_OP_SOFTMAX || op == CSL_OP_LOGSOFTMAX) {
        a.has_axis = true;
        a.axis = -1;
    }
    return a;
}

uint32_t build_op(struct build *b, enum csl_op op, const struct csl_attributes *attr, unsigned n,
                  const uint32_t *in) {
    char name[64];
    struct csl_attributes standard = build_attr(op);
    uint32_t out = fresh(b);
    snprintf(name, sizeof name, "%s #%u", csl_op_text(op), b->n_names);
    b->failed = b->failed || csl_graph_node(b->g, op, name, csl_op_text(op), in, n, &out, 1,
                                            attr == NULL ? &standard : attr, &b->diag) != CSL_OK;
    if (!b->failed) {
        b->g->output = out;
    }
    return out;
}

/* ---- tensors ---- */

struct tensor {
    unsigned rank;
    int64_t dims[CSL_MAX_RANK];
    size_t n;
    double *v;
    const int64_t *i64; /* of a constant of integers */
};

static bool alloc(struct tensor *t, unsigned rank, const int64_t *dims) {
    t->rank = rank;
    t->n = 1;
    for (unsigned i = 0; i < rank; i++) {
        if (dims[i] <= 0 || t->n > ((size_t)1 << 22) / (size_t)dims[i]) {
            return false;
        }
        t->dims[i] = dims[i];
        t->n *= (size_t)dims[i];
    }
    t->v = calloc(t->n, sizeof *t->v);
    return t->v != NULL;
}

static bool copy_as(struct tensor *y, const struct tensor *x, unsigned rank, const int64_t *dims) {
    if (!alloc(y, rank, dims) || y->n != x->n || x->v == NULL) {
        return false;
    }
    memcpy(y->v, x->v, x->n * sizeof *x->v);
    return true;
}

/* Row-major index to coordinates. */
static void unravel(int64_t *at, const struct tensor *t, size_t i) {
    for (unsigned d = t->rank; d-- > 0;) {
        at[d] = (int64_t)(i % (size_t)t->dims[d]);
        i /= (size_t)t->dims[d];
    }
}

static size_t ravel(const struct tensor *t, const int64_t *at) {
    size_t i = 0;
    for (unsigned d = 0; d < t->rank; d++) {
        i = i * (size_t)t->dims[d] + (size_t)at[d];
    }
    return i;
}

static bool permute(struct tensor *y, const struct tensor *x, const int64_t *perm) {
    int64_t dims[CSL_MAX_RANK];
    unsigned seen = 0;
    for (unsigned i = 0; i < x->rank; i++) {
        if (perm[i] < 0 || perm[i] >= (int64_t)x->rank) {
            return false;
        }
        seen |= 1U << perm[i];
        dims[i] = x->dims[perm[i]];
    }
    if (seen != (1U << x->rank) - 1 || !alloc(y, x->rank, dims)) {
        return false;
    }
    for (size_t i = 0; i < y->n; i++) {
        int64_t to[CSL_MAX_RANK];
        int64_t from[CSL_MAX_RANK];
        unravel(to, y, i);
        for (unsigned d = 0; d < x->rank; d++) {
            from[perm[d]] = to[d];
        }
        y->v[i] = x->v[ravel(x, from)];
    }
    return true;
}

static const int64_t to_first[4] = {0, 3, 1, 2};
static const int64_t to_last[4] = {0, 2, 3, 1};

/* ---- operators ---- */

struct call {
    const struct csl_node *node;
    const struct csl_attributes *a;
    struct tensor in[16]; /* not owned; rank 0 and v NULL where absent */
    unsigned n;
    struct tensor y;
};

static bool matmul(struct tensor *y, const struct tensor *a, const struct tensor *b, bool ta, bool tb) {
    if (a->rank != 2 || b->rank != 2) {
        return false;
    }
    int64_t m = a->dims[ta ? 1 : 0];
    int64_t k = a->dims[ta ? 0 : 1];
    int64_t n = b->dims[tb ? 0 : 1];
    if (k != b->dims[tb ? 1 : 0] || !alloc(y, 2, (const int64_t[]){m, n})) {
        return false;
    }
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j++) {
            for (int64_t l = 0; l < k; l++) {
                y->v[i * n + j] += a->v[ta ? l * m + i : i * k + l] * b->v[tb ? j * k + l : l * n + j];
            }
        }
    }
    return true;
}

/* Elementwise with broadcasting. */
static bool binary(struct call *c, struct tensor *y, const struct tensor *a, const struct tensor *b) {
    unsigned rank = a->rank > b->rank ? a->rank : b->rank;
    int64_t dims[CSL_MAX_RANK];
    for (unsigned i = 0; i < rank; i++) {
        int64_t da = i + a->rank < rank ? 1 : a->dims[i + a->rank - rank];
        int64_t db = i + b->rank < rank ? 1 : b->dims[i + b->rank - rank];
        if (da != db && da != 1 && db != 1) {
            return false;
        }
        dims[i] = da == 1 ? db : da;
    }
    if (a->v == NULL || b->v == NULL || !alloc(y, rank, dims)) {
        return false;
    }
    for (size_t i = 0; i < y->n; i++) {
        int64_t at[CSL_MAX_RANK];
        double v[2];
        unravel(at, y, i);
        for (unsigned k = 0; k < 2; k++) {
            const struct tensor *t = k == 0 ? a : b;
            int64_t from[CSL_MAX_RANK];
            for (unsigned d = 0; d < t->rank; d++) {
                from[d] = t->dims[d] == 1 ? 0 : at[d + rank - t->rank];
            }
            v[k] = t->v[ravel(t, from)];
        }
        y->v[i] = c->node->op == CSL_OP_SUB   ? v[0] - v[1]
                  : c->node->op == CSL_OP_MUL ? v[0] * v[1]
                  : c->node->op == CSL_OP_DIV ? v[0] / v[1]
                                              : v[0] + v[1];
    }
    return true;
}

static bool op_sum(struct call *c) {
    struct tensor y = {0};
    if (c->n == 0 || c->in[0].v == NULL || !copy_as(&y, &c->in[0], c->in[0].rank, c->in[0].dims)) {
        free(y.v);
        return false;
    }
    for (unsigned i = 1; i < c->n; i++) {
        struct tensor z = {0};
        bool ok = binary(c, &z, &y, &c->in[i]);
        free(y.v);
        y = z;
        if (!ok) {
            free(y.v);
            return false;
        }
    }
    c->y = y;
    return true;
}

static bool op_gemm(struct call *c) {
    struct tensor product = {0};
    struct tensor bias = {0};
    bool ok = matmul(&product, &c->in[0], &c->in[1], c->a->trans_a, c->a->trans_b);
    for (size_t i = 0; ok && i < product.n; i++) {
        product.v[i] *= (double)c->a->alpha;
    }
    if (ok && c->n > 2 && c->in[2].v != NULL) {
        ok = copy_as(&bias, &c->in[2], c->in[2].rank, c->in[2].dims);
        for (size_t i = 0; ok && i < bias.n; i++) {
            bias.v[i] *= (double)c->a->beta;
        }
        ok = ok && binary(c, &c->y, &product, &bias) && c->y.n == product.n;
        free(product.v);
    } else {
        c->y = product;
    }
    free(bias.v);
    return ok;
}

static bool op_matmul(struct call *c) {
    struct tensor a = c->in[0];
    if (a.rank < 1 || c->in[1].rank != 2) {
        return false;
    }
    unsigned rank = a.rank;
    int64_t dims[CSL_MAX_RANK];
    memcpy(dims, a.dims, sizeof dims);
    a.dims[0] = (int64_t)a.n / a.dims[rank - 1];
    a.dims[1] = dims[rank - 1];
    a.rank = 2;
    if (!matmul(&c->y, &a, &c->in[1], false, false)) {
        return false;
    }
    dims[rank - 1] = c->y.dims[1];
    memcpy(c->y.dims, dims, sizeof dims);
    c->y.rank = rank;
    return true;
}

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

static bool conv_first(struct call *c, struct tensor *y, const struct tensor *x) {
    const struct tensor *w = &c->in[1];
    struct side h;
    struct side v;
    int64_t groups = c->a->group;
    if (x->rank != 4 || w->rank != 4 || groups < 1 || w->dims[0] % groups != 0 ||
        x->dims[1] != w->dims[1] * groups || !side(&h, c->a, 0, x->dims[2], w->dims[2]) ||
        !side(&v, c->a, 1, x->dims[3], w->dims[3]) ||
        !alloc(y, 4, (const int64_t[]){x->dims[0], w->dims[0], h.out, v.out})) {
        return false;
    }
    for (size_t i = 0; i < y->n; i++) {
        int64_t at[CSL_MAX_RANK];
        unravel(at, y, i);
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
                sum += x->v[ravel(x, from)] *
                       w->v[(size_t)(at[1] * w->dims[1]) * (size_t)(w->dims[2] * w->dims[3]) + j];
            }
        }
        y->v[i] = sum;
    }
    return true;
}

static bool pool_first(struct call *c, struct tensor *y, const struct tensor *x) {
    bool global = c->node->op == CSL_OP_GLOBAL_AVERAGE_POOL || c->node->op == CSL_OP_GLOBAL_MAX_POOL;
    bool is_max = c->node->op == CSL_OP_MAX_POOL || c->node->op == CSL_OP_GLOBAL_MAX_POOL;
    struct csl_attributes plain = build_attr(c->node->op);
    const struct csl_attributes *a = global ? &plain : c->a;
    struct side h;
    struct side v;
    if (x->rank != 4 || !side(&h, a, 0, x->dims[2], global ? x->dims[2] : a->kernel[0]) ||
        !side(&v, a, 1, x->dims[3], global ? x->dims[3] : a->kernel[1]) ||
        !alloc(y, 4, (const int64_t[]){x->dims[0], x->dims[1], h.out, v.out})) {
        return false;
    }
    for (size_t i = 0; i < y->n; i++) {
        int64_t at[CSL_MAX_RANK];
        double best = -INFINITY;
        double sum = 0;
        int64_t n = 0;
        unravel(at, y, i);
        for (int64_t k = 0; k < h.k * v.k; k++) {
            int64_t ih = at[2] * h.s + k / v.k * h.d - h.begin;
            int64_t iw = at[3] * v.s + k % v.k * v.d - v.begin;
            bool inside = ih >= 0 && iw >= 0 && ih < h.in && iw < v.in;
            n += inside || (a->count_include_pad && ih < h.in + h.end && iw < v.in + v.end) ? 1 : 0;
            if (inside) {
                double e = x->v[ravel(x, (const int64_t[]){at[0], at[1], ih, iw})];
                best = e > best ? e : best;
                sum += e;
            }
        }
        y->v[i] = is_max ? best : sum / (double)n;
    }
    return true;
}

/* Operators of pictures in NHWC are those of NCHW between two transposes. */
static bool picture(struct call *c, bool (*f)(struct call *, struct tensor *, const struct tensor *)) {
    struct tensor x = {0};
    struct tensor y = {0};
    if (!c->a->channels_last) {
        return f(c, &c->y, &c->in[0]);
    }
    bool ok =
        c->in[0].rank == 4 && permute(&x, &c->in[0], to_first) && f(c, &y, &x) && permute(&c->y, &y, to_last);
    free(x.v);
    free(y.v);
    return ok;
}

static bool op_conv(struct call *c) {
    return c->n >= 2 && picture(c, conv_first);
}

static bool op_pool(struct call *c) {
    return picture(c, pool_first);
}

static bool op_batch_norm(struct call *c) {
    const struct tensor *x = &c->in[0];
    if (x->rank < 2 || !copy_as(&c->y, x, x->rank, x->dims)) {
        return false;
    }
    unsigned axis = c->a->channels_last ? x->rank - 1 : 1;
    for (size_t i = 0; i < x->n; i++) {
        int64_t at[CSL_MAX_RANK];
        unravel(at, x, i);
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

static double function(const struct call *c, double x, double slope) {
    double alpha = (double)c->a->alpha;
    bool min_in = c->n > 1 && c->in[1].v != NULL;
    bool max_in = c->n > 2 && c->in[2].v != NULL;
    switch (c->node->op) {
    case CSL_OP_RELU:
        return x > 0 ? x : 0;
    case CSL_OP_CLIP:
        x = min_in || c->a->has_min ? fmax(x, min_in ? c->in[1].v[0] : (double)c->a->min) : x;
        return max_in || c->a->has_max ? fmin(x, max_in ? c->in[2].v[0] : (double)c->a->max) : x;
    case CSL_OP_LEAKY_RELU:
        return x >= 0 ? x : alpha * x;
    case CSL_OP_PRELU:
        return x >= 0 ? x : slope * x;
    case CSL_OP_ELU:
        return x >= 0 ? x : alpha * (exp(x) - 1);
    case CSL_OP_SIGMOID:
        return 1 / (1 + exp(-x));
    case CSL_OP_HARD_SIGMOID:
        return fmax(0, fmin(1, alpha * x + (double)c->a->beta));
    case CSL_OP_TANH:
        return tanh(x);
    default:
        return x;
    }
}

static bool op_function(struct call *c) {
    if (!copy_as(&c->y, &c->in[0], c->in[0].rank, c->in[0].dims)) {
        return false;
    }
    double slope = c->node->op == CSL_OP_PRELU ? c->in[1].v[0] : 0; /* tests use equal ones */
    for (size_t i = 0; i < c->y.n; i++) {
        c->y.v[i] = function(c, c->y.v[i], slope);
    }
    return true;
}

static bool op_mean(struct call *c) {
    const struct tensor *x = &c->in[0];
    int64_t dims[CSL_MAX_RANK];
    const int64_t *axes = c->n > 1 && c->in[1].i64 != NULL ? c->in[1].i64 : c->a->axes;
    size_t n = c->n > 1 && c->in[1].i64 != NULL ? c->in[1].n : c->a->n_axes;
    double share = 1;
    memcpy(dims, x->dims, sizeof dims);
    for (size_t i = 0; i < n; i++) {
        int64_t axis = axes[i] < 0 ? axes[i] + (int64_t)x->rank : axes[i];
        if (axis < 0 || axis >= (int64_t)x->rank) {
            return false;
        }
        dims[axis] = 1;
    }
    if (!alloc(&c->y, x->rank, dims)) {
        return false;
    }
    share = (double)c->y.n / (double)x->n;
    for (size_t i = 0; i < x->n; i++) {
        int64_t at[CSL_MAX_RANK];
        unravel(at, x, i);
        for (unsigned d = 0; d < x->rank; d++) {
            at[d] = dims[d] == 1 ? 0 : at[d];
        }
        c->y.v[ravel(&c->y, at)] += x->v[i] * share;
    }
    unsigned rank = 0;
    for (unsigned d = 0; !c->a->keepdims && d < x->rank; d++) {
        bool gone = false;
        for (size_t i = 0; i < n; i++) {
            gone = gone || axes[i] == (int64_t)d || axes[i] + (int64_t)x->rank == (int64_t)d;
        }
        if (!gone) {
            c->y.dims[rank++] = c->y.dims[d];
        }
    }
    c->y.rank = c->a->keepdims ? x->rank : rank;
    return true;
}

static bool op_concat(struct call *c) {
    int64_t dims[CSL_MAX_RANK];
    unsigned rank = c->in[0].rank;
    int64_t axis = c->a->axis < 0 ? c->a->axis + (int64_t)rank : c->a->axis;
    memcpy(dims, c->in[0].dims, sizeof dims);
    if (axis < 0 || axis >= (int64_t)rank) {
        return false;
    }
    dims[axis] = 0;
    for (unsigned i = 0; i < c->n; i++) {
        if (c->in[i].rank != rank) {
            return false;
        }
        for (unsigned d = 0; d < rank; d++) {
            if (d != axis && c->in[i].dims[d] != dims[d]) {
                return false;
            }
        }
        dims[axis] += c->in[i].dims[axis];
    }
    if (!alloc(&c->y, rank, dims)) {
        return false;
    }
    int64_t start = 0;
    for (unsigned i = 0; i < c->n; i++) {
        for (size_t j = 0; j < c->in[i].n; j++) {
            int64_t at[CSL_MAX_RANK];
            unravel(at, &c->in[i], j);
            at[axis] += start;
            c->y.v[ravel(&c->y, at)] = c->in[i].v[j];
        }
        start += c->in[i].dims[axis];
    }
    return true;
}

static bool op_pad(struct call *c) {
    const struct tensor *x = &c->in[0];
    const int64_t *pads = c->n > 1 && c->in[1].i64 != NULL ? c->in[1].i64 : c->a->pads;
    size_t n = c->n > 1 && c->in[1].i64 != NULL ? c->in[1].n : c->a->n_pads;
    int64_t dims[CSL_MAX_RANK];
    if (n != 2 * (size_t)x->rank) {
        return false;
    }
    for (unsigned d = 0; d < x->rank; d++) {
        dims[d] = x->dims[d] + pads[d] + pads[x->rank + d];
    }
    if (!alloc(&c->y, x->rank, dims)) {
        return false;
    }
    for (size_t i = 0; i < x->n; i++) {
        int64_t at[CSL_MAX_RANK];
        unravel(at, x, i);
        for (unsigned d = 0; d < x->rank; d++) {
            at[d] += pads[d];
        }
        c->y.v[ravel(&c->y, at)] = x->v[i];
    }
    return true;
}

static bool op_reshape(struct call *c) {
    const struct tensor *x = &c->in[0];
    int64_t dims[CSL_MAX_RANK] = {0};
    unsigned rank = (unsigned)c->in[1].n;
    int64_t known = 1;
    int open = -1;
    if (c->in[1].i64 == NULL || c->in[1].n > CSL_MAX_RANK) {
        return false;
    }
    for (unsigned i = 0; i < rank; i++) {
        dims[i] = c->in[1].i64[i] == 0 && i < x->rank ? x->dims[i] : c->in[1].i64[i];
        open = dims[i] == -1 ? (int)i : open;
        known *= dims[i] == -1 ? 1 : dims[i];
    }
    if (open >= 0 && known > 0) {
        dims[open] = (int64_t)x->n / known;
    }
    return copy_as(&c->y, x, rank, dims);
}

static bool op_flatten(struct call *c) {
    const struct tensor *x = &c->in[0];
    int64_t axis = c->a->axis < 0 ? c->a->axis + (int64_t)x->rank : c->a->axis;
    int64_t dims[2] = {1, 1};
    for (unsigned d = 0; d < x->rank; d++) {
        dims[(int64_t)d < axis ? 0 : 1] *= x->dims[d];
    }
    return copy_as(&c->y, x, 2, dims);
}

static bool op_squeeze(struct call *c) {
    const struct tensor *x = &c->in[0];
    bool un = c->node->op == CSL_OP_UNSQUEEZE;
    const int64_t *axes = c->n > 1 && c->in[1].i64 != NULL ? c->in[1].i64 : c->a->axes;
    size_t n = c->n > 1 && c->in[1].i64 != NULL ? c->in[1].n : c->a->n_axes;
    int64_t dims[2 * CSL_MAX_RANK];
    unsigned rank = 0;
    unsigned from = 0;
    unsigned total = x->rank + (un ? (unsigned)n : 0);
    for (unsigned d = 0; d < total && rank < CSL_MAX_RANK; d++) {
        bool named = !un && n == 0 && x->dims[d] == 1;
        for (size_t i = 0; i < n; i++) {
            named = named || axes[i] == (int64_t)d || axes[i] + (int64_t)total == (int64_t)d;
        }
        if (un) {
            dims[rank++] = named || from >= x->rank ? 1 : x->dims[from++];
        } else if (!named) {
            dims[rank++] = x->dims[d];
        }
    }
    return copy_as(&c->y, x, rank, dims);
}

static bool op_transpose(struct call *c) {
    int64_t perm[CSL_MAX_RANK];
    for (unsigned i = 0; i < c->in[0].rank; i++) {
        perm[i] = c->a->n_perm == 0 ? (int64_t)(c->in[0].rank - 1 - i) : c->a->perm[i];
    }
    return permute(&c->y, &c->in[0], perm);
}

static bool evaluate(struct call *c) {
    switch (c->node->op) {
    case CSL_OP_GEMM:
        return op_gemm(c);
    case CSL_OP_MATMUL:
        return op_matmul(c);
    case CSL_OP_CONV:
        return op_conv(c);
    case CSL_OP_ADD:
    case CSL_OP_SUB:
    case CSL_OP_MUL:
    case CSL_OP_DIV:
        return c->n == 2 && binary(c, &c->y, &c->in[0], &c->in[1]);
    case CSL_OP_SUM:
        return op_sum(c);
    case CSL_OP_MAX_POOL:
    case CSL_OP_AVERAGE_POOL:
    case CSL_OP_GLOBAL_AVERAGE_POOL:
    case CSL_OP_GLOBAL_MAX_POOL:
        return op_pool(c);
    case CSL_OP_REDUCE_MEAN:
        return op_mean(c);
    case CSL_OP_BATCH_NORMALIZATION:
        return op_batch_norm(c);
    case CSL_OP_CONCAT:
        return op_concat(c);
    case CSL_OP_PAD:
        return op_pad(c);
    case CSL_OP_FLATTEN:
        return op_flatten(c);
    case CSL_OP_RESHAPE:
        return op_reshape(c);
    case CSL_OP_TRANSPOSE:
        return op_transpose(c);
    case CSL_OP_SQUEEZE:
    case CSL_OP_UNSQUEEZE:
        return op_squeeze(c);
    default: /* functions, and what changes nothing (the head is not applied) */
        return op_function(c);
    }
}

static bool load(struct tensor *t, const struct csl_tensor *from) {
    *t = (struct tensor){0};
    if (from->dtype == CSL_DTYPE_I64) {
        t->i64 = from->i64;
        t->n = from->n_elements;
        return true;
    }
    if (from->dtype == CSL_DTYPE_NONE) {
        return true;
    }
    bool ok = alloc(t, from->rank, from->dims);
    for (size_t i = 0; ok && i < t->n; i++) {
        t->v[i] = (double)from->f32[i];
    }
    return ok;
}

static bool run_node(struct tensor *all, const struct csl_node *node) {
    struct call c = {.node = node, .a = &node->attr, .n = node->n_inputs};
    if (c.n > 16 || node->n_outputs < 1) {
        return false;
    }
    for (unsigned i = 0; i < c.n; i++) {
        if (node->inputs[i] != CSL_NO_TENSOR) {
            c.in[i] = all[node->inputs[i]];
        }
    }
    bool ok = c.n > 0 && c.in[0].v != NULL && evaluate(&c);
    all[node->outputs[0]] = c.y;
    return ok;
}

bool graph_ref(const struct csl_graph *g, const float *x, int64_t batch, double **y, size_t *n) {
    struct tensor *all = calloc(g->n_tensors + 1, sizeof *all);
    int64_t dims[CSL_MAX_RANK];
    bool ok = all != NULL;
    for (size_t i = 0; ok && i < g->n_tensors; i++) {
        ok = load(&all[i], &g->tensors[i]);
    }
    memcpy(dims, g->tensors[g->input].dims, sizeof dims);
    dims[0] = dims[0] == CSL_DIM_UNKNOWN ? batch : dims[0];
    ok = ok && alloc(&all[g->input], g->tensors[g->input].rank, dims);
    for (size_t i = 0; ok && i < all[g->input].n; i++) {
        all[g->input].v[i] = (double)x[i];
    }
    for (size_t i = 0; ok && i < g->n_nodes; i++) {
        ok = run_node(all, &g->nodes[i]);
    }
    *y = NULL;
    if (ok) {
        *y = all[g->output].v;
        *n = all[g->output].n;
        all[g->output].v = NULL;
    }
    for (size_t i = 0; all != NULL && i < g->n_tensors; i++) {
        free(all[i].v);
    }
    free(all);
    return ok;
}
