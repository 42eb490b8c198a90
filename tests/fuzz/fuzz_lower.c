/* Graphs made of bytes: a node a few bytes, operands from what there is already. What lowers must be small
 * and must compute what the graph means; what does not must say why. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../nn/graph_build.h"
#include "../nn/graph_ref.h"
#include "nn/network.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_TENSORS = 32, MAX_OPS = 20, BATCH = 2 };

struct maker {
    struct build b;
    const uint8_t *data;
    size_t size;
    uint32_t tensors[MAX_TENSORS]; /* activations */
    unsigned n;
    bool wild; /* attributes may be anything */
};

static unsigned next(struct maker *m, unsigned limit) {
    if (m->size == 0) {
        return 0;
    }
    m->size--;
    return *m->data++ % limit;
}

/* A small number, or when wild sometimes an extreme one. */
static int64_t number(struct maker *m, int64_t lo, int64_t hi) {
    static const int64_t extreme[] = {0, -1, INT64_MIN, INT64_MAX, 1 << 24, (int64_t)1 << 32, 255, -8};
    if (m->wild && next(m, 8) == 0) {
        return extreme[next(m, 8)];
    }
    return lo + (int64_t)next(m, (unsigned)(hi - lo + 1));
}

static uint32_t operand(struct maker *m) {
    unsigned back = next(m, m->n < 4 ? m->n : 4);
    return m->tensors[m->n - 1 - back];
}

/* A float constant of a small shape. */
static uint32_t constant(struct maker *m, double lo, double hi, unsigned rank) {
    int64_t dims[CSL_MAX_RANK];
    for (unsigned i = 0; i < rank; i++) {
        dims[i] = 1 + (int64_t)next(m, 6);
    }
    return build_floats(&m->b, lo, hi, rank, dims);
}

static uint32_t integers(struct maker *m, unsigned n, int64_t lo, int64_t hi) {
    int64_t v[CSL_MAX_RANK];
    for (unsigned i = 0; i < n; i++) {
        v[i] = number(m, lo, hi);
    }
    return build_ints(&m->b, n, v);
}

static void window(struct maker *m, struct csl_attributes *a) {
    a->n_spatial = 2;
    for (unsigned i = 0; i < 2; i++) {
        a->kernel[i] = number(m, 1, 3);
        a->strides[i] = number(m, 1, 2);
        a->dilations[i] = number(m, 1, 2);
    }
    if (next(m, 2) == 0) {
        a->n_pads = 4;
        for (unsigned i = 0; i < 4; i++) {
            a->pads[i] = number(m, 0, 1);
        }
    }
    a->auto_pad = next(m, 3) == 0 ? (enum csl_auto_pad)next(m, 4) : CSL_PAD_NOTSET;
    a->ceil_mode = next(m, 4) == 0;
    a->count_include_pad = next(m, 2) == 0;
    a->channels_last = next(m, 4) == 0;
}

/* A permutation of the rank that a byte says, mostly with the batch first. */
static void permutation(struct maker *m, struct csl_attributes *a) {
    a->n_perm = 2 + next(m, 4);
    for (unsigned i = 0; i < a->n_perm; i++) {
        a->perm[i] = i;
    }
    for (unsigned i = next(m, 4) == 0 ? 0 : 1; i + 1 < a->n_perm; i++) {
        unsigned j = i + next(m, a->n_perm - i);
        int64_t p = a->perm[i];
        a->perm[i] = a->perm[j];
        a->perm[j] = p;
    }
}

static unsigned inputs_of_conv(struct maker *m, struct csl_attributes *a, uint32_t *in) {
    window(m, a);
    a->group = number(m, 1, 2);
    const int64_t dims[4] = {1 + (int64_t)next(m, 4), 1 + (int64_t)next(m, 4), 1 + (int64_t)next(m, 3),
                             1 + (int64_t)next(m, 3)};
    in[1] = build_floats(&m->b, -1, 1, 4, dims);
    memcpy(a->kernel, dims + 2, sizeof a->kernel);
    in[2] = next(m, 2) == 0 ? CSL_NO_TENSOR : build_floats(&m->b, -1, 1, 1, dims);
    return 3;
}

static unsigned inputs_of_norm(struct maker *m, struct csl_attributes *a, uint32_t *in) {
    const int64_t dims[1] = {1 + (int64_t)next(m, 6)};
    a->channels_last = next(m, 3) == 0;
    for (unsigned i = 1; i < 5; i++) {
        in[i] = build_floats(&m->b, i == 4 ? 0.2 : -1, 1, 1, dims);
    }
    return 5;
}

static unsigned inputs_of_gemm(struct maker *m, struct csl_attributes *a, uint32_t *in) {
    a->trans_a = next(m, 4) == 0;
    a->trans_b = next(m, 2) == 0;
    in[2] = next(m, 2) == 0 ? CSL_NO_TENSOR : constant(m, -1, 1, next(m, 3));
    in[1] = constant(m, -1, 1, 2);
    return 3;
}

/* The constant on either side. */
static unsigned inputs_of_binary(struct maker *m, uint32_t *in) {
    in[1] = next(m, 3) == 0 ? operand(m) : constant(m, 0.5, 2, next(m, 4));
    if (next(m, 4) == 0) {
        uint32_t t = in[0];
        in[0] = in[1];
        in[1] = t;
    }
    return 2;
}

static unsigned inputs_of_join(struct maker *m, struct csl_attributes *a, uint32_t *in) {
    in[1] = operand(m);
    in[2] = operand(m);
    a->axis = number(m, -1, 3);
    return 1 + next(m, 3);
}

static unsigned inputs_with_axes(struct maker *m, struct csl_attributes *a, uint32_t *in) {
    in[1] = integers(m, 1 + next(m, 2), -2, 4);
    a->keepdims = next(m, 2) == 0;
    return 2;
}

static void bounds(struct maker *m, struct csl_attributes *a) {
    a->has_min = next(m, 2) == 0;
    a->has_max = next(m, 2) == 0;
    a->min = (float)number(m, -1, 1);
    a->max = (float)number(m, 0, 3);
}

static void padding(struct maker *m, struct csl_attributes *a) {
    a->n_pads = 2 * (2 + next(m, 3));
    for (unsigned i = 0; i < a->n_pads; i++) {
        a->pads[i] = next(m, 3) == 0 ? number(m, 0, 2) : 0;
    }
}

/* The attributes of an operator that has one input. */
static void attributes(struct maker *m, enum csl_op op, struct csl_attributes *a) {
    switch (op) {
    case CSL_OP_MAX_POOL:
    case CSL_OP_AVERAGE_POOL:
    case CSL_OP_GLOBAL_AVERAGE_POOL:
    case CSL_OP_GLOBAL_MAX_POOL:
        window(m, a);
        break;
    case CSL_OP_CLIP:
        bounds(m, a);
        break;
    case CSL_OP_PAD:
        padding(m, a);
        break;
    case CSL_OP_TRANSPOSE:
        permutation(m, a);
        break;
    case CSL_OP_FLATTEN:
    case CSL_OP_SOFTMAX:
    case CSL_OP_LOGSOFTMAX:
        a->axis = number(m, -1, 2);
        break;
    case CSL_OP_CAST:
        a->cast_to = (int)next(m, 12);
        break;
    default:
        break;
    }
}

/* The operator's other inputs and attributes; returns how many inputs. */
static unsigned fill(struct maker *m, enum csl_op op, struct csl_attributes *a, uint32_t *in) {
    switch (op) {
    case CSL_OP_CONV:
        return inputs_of_conv(m, a, in);
    case CSL_OP_BATCH_NORMALIZATION:
        return inputs_of_norm(m, a, in);
    case CSL_OP_GEMM:
        return inputs_of_gemm(m, a, in);
    case CSL_OP_MATMUL:
        in[1] = constant(m, -1, 1, 2);
        return 2;
    case CSL_OP_ADD:
    case CSL_OP_SUB:
    case CSL_OP_MUL:
    case CSL_OP_DIV:
        return inputs_of_binary(m, in);
    case CSL_OP_PRELU:
        in[1] = build_floats(&m->b, 0.25, 0.25, next(m, 2), (const int64_t[]){3});
        return 2;
    case CSL_OP_SUM:
    case CSL_OP_CONCAT:
        return inputs_of_join(m, a, in);
    case CSL_OP_RESHAPE:
        in[1] = integers(m, 1 + next(m, 5), -1, 8);
        return 2;
    case CSL_OP_REDUCE_MEAN:
    case CSL_OP_SQUEEZE:
    case CSL_OP_UNSQUEEZE:
        return inputs_with_axes(m, a, in);
    default:
        attributes(m, op, a);
        return 1;
    }
}

static void make(struct maker *m) {
    int64_t dims[5];
    unsigned rank = 1 + next(m, 5);
    static const int64_t batches[] = {1, BATCH, CSL_DIM_UNKNOWN, CSL_DIM_UNKNOWN};
    m->wild = next(m, 4) == 0;
    dims[0] = batches[next(m, 4)];
    for (unsigned i = 1; i < rank; i++) {
        dims[i] = number(m, 1, 6);
        dims[i] = dims[i] < 1 ? 1 : dims[i] > CSL_GRAPH_MAX_DIM ? CSL_GRAPH_MAX_DIM : dims[i];
    }
    m->tensors[m->n++] = build_input(&m->b, rank, dims);
    for (unsigned i = 0; i < MAX_OPS && m->size > 0; i++) {
        enum csl_op op = (enum csl_op)next(m, CSL_OP_COUNT);
        struct csl_attributes a = build_attr(op);
        uint32_t in[5] = {operand(m)};
        unsigned n = fill(m, op, &a, in);
        m->tensors[m->n++] = build_op(&m->b, op, &a, n, in);
    }
}

static size_t elements(struct csl_hwc d) {
    return (size_t)d.h * d.w * d.c;
}

/* Evaluated both ways on one input. */
static void compare(struct maker *m, const struct csl_network *net) {
    int64_t fixed = m->b.g->tensors[m->b.g->input].dims[0];
    /* Files with a symbolic batch may still have 1 written into a Reshape: they mean one input at a time. */
    uint32_t batch = fixed == CSL_DIM_UNKNOWN ? 1 : (uint32_t)fixed;
    size_t n_in = elements(net->input) * batch;
    size_t n_out = elements(net->output == 0 ? net->input : net->nodes[net->output - 1].out) * batch;
    float *x = malloc(n_in * sizeof *x);
    double *y = malloc(n_out * sizeof *y);
    double *want = NULL;
    double top = 1;
    size_t n = 0;
    for (size_t i = 0; i < n_in; i++) {
        x[i] = (float)build_random(&m->b, -1, 1);
    }
    bool known = graph_ref(m->b.g, x, batch, &want, &n);
    if (known && (n != n_out || csl_network_eval(net, y, x, batch) != CSL_OK)) {
        abort();
    }
    for (size_t i = 0; known && i < n; i++) {
        top = fmax(top, fabs(want[i]));
    }
    for (size_t i = 0; known && i < n; i++) {
        if (isfinite(top) && !(fabs(y[i] - want[i]) <= 1e-3 * top)) {
            abort();
        }
    }
    if (!known && fixed != CSL_DIM_UNKNOWN && n_in < 1 << 12 && n_out < 1 << 12) {
        abort(); /* lowered what the operators' rules do not allow */
    }
    free(x);
    free(y);
    free(want);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct maker m = {.data = data, .size = size};
    struct csl_network *net = NULL;
    struct csl_issues issues = {0};
    struct csl_diag diag = {""};
    build_init(&m.b, size + 1);
    make(&m);
    if (!m.b.failed && csl_graph_finish(m.b.g, &diag) == CSL_OK) {
        enum csl_err err = csl_network_lower(&net, &issues, m.b.g, &diag);
        if ((err == CSL_OK) != (net != NULL) || (err != CSL_OK && diag.text[0] == '\0')) {
            abort();
        }
        size_t work = 0;
        for (uint32_t i = 0; net != NULL && i < net->n_nodes; i++) {
            const struct csl_conv_shape *s = &net->nodes[i].shape;
            work += elements(net->nodes[i].out) * (1 + (size_t)s->kernel_h * s->kernel_w * s->in_c);
        }
        if (net != NULL && work < 1 << 20) {
            compare(&m, net);
        }
    }
    csl_network_free(net);
    csl_issues_clear(&issues);
    build_clear(&m.b);
    return 0;
}
