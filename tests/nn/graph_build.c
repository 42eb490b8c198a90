#include "graph_build.h"

#include <stdio.h>
#include <string.h>

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
