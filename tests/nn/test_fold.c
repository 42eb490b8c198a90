/* Folding: what is computed, what the batch becomes, what stays, and what it may cost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nn/fold.h"

static uint32_t tensor(struct csl_graph *g, const char *name) {
    uint32_t t = CSL_NO_TENSOR;
    if (name[0] != '\0') {
        assert_int_equal(csl_graph_tensor(g, &t, name, NULL), CSL_OK);
    }
    return t;
}

/* Names separated by commas. */
static unsigned split(struct csl_graph *g, uint32_t *list, const char *names) {
    char copy[256];
    unsigned n = 0;
    snprintf(copy, sizeof copy, "%s", names);
    for (char *at = copy, *end = at; end != NULL; at = end + 1) {
        end = strchr(at, ',');
        if (end != NULL) {
            *end = '\0';
        }
        list[n++] = tensor(g, at);
        if (end == NULL) {
            break;
        }
    }
    return n;
}

static struct csl_attributes *node(struct csl_graph *g, enum csl_op op, const char *op_name,
                                   const char *inputs, const char *output) {
    uint32_t in[16];
    uint32_t out = tensor(g, output);
    unsigned n = split(g, in, inputs);
    assert_int_equal(csl_graph_node(g, op, output, op_name, in, n, &out, 1, NULL, NULL), CSL_OK);
    return &g->nodes[g->n_nodes - 1].attr;
}

static void ints(struct csl_graph *g, const char *name, unsigned rank, int64_t n, const int64_t *v) {
    uint32_t t = tensor(g, name);
    assert_int_equal(csl_graph_constant(g, t, CSL_DTYPE_I64, rank, &n, NULL), CSL_OK);
    memcpy(g->tensors[t].i64, v, (size_t)(rank == 0 ? 1 : n) * sizeof *v);
}
#define INTS(g, name, n, ...) ints(g, name, 1, n, (const int64_t[]){__VA_ARGS__})
#define SCALAR(g, name, v) ints(g, name, 0, 1, (const int64_t[]){v})

static struct csl_graph *begin(int64_t batch) {
    struct csl_graph *g;
    assert_int_equal(csl_graph_new(&g, "g"), CSL_OK);
    g->input = tensor(g, "x");
    g->output = tensor(g, "y");
    int64_t dims[4] = {batch, 3, 4, 5};
    assert_int_equal(csl_graph_set_shape(g, g->input, 4, dims, NULL), CSL_OK);
    return g;
}

static void fold(struct csl_graph *g) {
    struct csl_diag diag = {""};
    assert_int_equal(csl_graph_finish(g, NULL), CSL_OK);
    enum csl_err err = csl_graph_fold(g, &diag);
    if (err != CSL_OK) {
        fail_msg("%s", diag.text);
    }
}

/* The last node is a Reshape by exactly these integers. */
static void expect_shape(struct csl_graph *g, unsigned n, const int64_t *v) {
    const struct csl_node *last = &g->nodes[g->n_nodes - 1];
    assert_int_equal(last->op, CSL_OP_RESHAPE);
    const struct csl_tensor *t = &g->tensors[last->inputs[1]];
    assert_int_equal(t->dtype, CSL_DTYPE_I64);
    assert_int_equal(t->n_elements, n);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(t->i64[i], v[i]);
    }
}
#define EXPECT_SHAPE(g, n, ...) expect_shape(g, n, (const int64_t[]){__VA_ARGS__})

/* Shape -> Gather -> Unsqueeze -> Concat -> Reshape, whether the batch is fixed or not. */
static void test_batch_is_kept(void **state) {
    (void)state;
    static const int64_t batches[] = {CSL_DIM_UNKNOWN, 1, 7};
    for (unsigned i = 0; i < 3; i++) {
        struct csl_graph *g = begin(batches[i]);
        SCALAR(g, "zero", 0);
        SCALAR(g, "one", -3);
        INTS(g, "axis", 1, 0);
        INTS(g, "rest", 1, 20);
        node(g, CSL_OP_SHAPE, "Shape", "x", "s");
        node(g, CSL_OP_GATHER, "Gather", "s,zero", "b")->axis = 0;
        node(g, CSL_OP_GATHER, "Gather", "s,one", "c")->axis = 0;
        node(g, CSL_OP_UNSQUEEZE, "Unsqueeze", "b,axis", "b1");
        node(g, CSL_OP_UNSQUEEZE, "Unsqueeze", "c,axis", "c1");
        node(g, CSL_OP_CONCAT, "Concat", "b1,c1,rest", "to")->axis = 0;
        node(g, CSL_OP_RESHAPE, "Reshape", "x,to", "y");
        fold(g);
        assert_int_equal(g->n_nodes, 1);
        EXPECT_SHAPE(g, 3, 0, 3, 20);
        assert_int_equal(g->tensors[g->output].rank, 3);
        assert_int_equal(g->tensors[g->output].dims[0], CSL_DIM_UNKNOWN);
        assert_int_equal(g->tensors[g->output].dims[2], 20);
        csl_graph_free(g);
    }
}

/* A batch that is multiplied is no batch any more: the Reshape keeps what it says. */
static void test_batch_is_not_kept(void **state) {
    (void)state;
    struct csl_graph *g = begin(CSL_DIM_UNKNOWN);
    INTS(g, "start", 1, 0);
    INTS(g, "end", 1, 1);
    INTS(g, "three", 1, 3);
    INTS(g, "rest", 1, 20);
    node(g, CSL_OP_SHAPE, "Shape", "x", "s");
    node(g, CSL_OP_SLICE, "Slice", "s,start,end", "b");
    node(g, CSL_OP_MUL, "Mul", "b,three", "b3");
    node(g, CSL_OP_CONCAT, "Concat", "b3,rest", "to")->axis = 0;
    node(g, CSL_OP_RESHAPE, "Reshape", "x,to", "y");
    fold(g);
    EXPECT_SHAPE(g, 2, -1, 20); /* batch times 3, of which lowering says that it mixes the batch */
    csl_graph_free(g);
    g = begin(CSL_DIM_UNKNOWN);
    INTS(g, "start", 1, 0);
    INTS(g, "end", 1, 1);
    INTS(g, "rest", 1, -1);
    node(g, CSL_OP_SHAPE, "Shape", "x", "s");
    node(g, CSL_OP_SLICE, "Slice", "s,start,end", "b");
    node(g, CSL_OP_CONCAT, "Concat", "rest,b", "to")->axis = 0;
    node(g, CSL_OP_RESHAPE, "Reshape", "x,to", "y");
    fold(g);
    assert_int_equal(g->tensors[g->nodes[g->n_nodes - 1].inputs[1]].dtype, CSL_DTYPE_NONE);
    csl_graph_free(g);
}

/* y = Reshape(x, v), where the nodes that make v of constants are given. */
static void expect_ints(struct csl_graph *g, unsigned n, const int64_t *v) {
    node(g, CSL_OP_RESHAPE, "Reshape", "x,v", "y");
    fold(g);
    assert_int_equal(g->n_nodes, 1);
    expect_shape(g, n, v);
    csl_graph_free(g);
}
#define EXPECT_INTS(g, n, ...) expect_ints(g, n, (const int64_t[]){__VA_ARGS__})

static void test_arithmetic(void **state) {
    (void)state;
    struct csl_graph *g = begin(1);
    INTS(g, "a", 3, 7, -7, 8);
    INTS(g, "b", 1, 2);
    node(g, CSL_OP_DIV, "Div", "a,b", "v"); /* towards zero */
    EXPECT_INTS(g, 3, 3, -3, 4);
    g = begin(1);
    INTS(g, "a", 3, 7, -7, 8);
    INTS(g, "b", 1, 3);
    node(g, CSL_OP_UNKNOWN, "Mod", "a,b", "v"); /* the sign of the divisor */
    EXPECT_INTS(g, 3, 1, 2, 2);
    g = begin(1);
    INTS(g, "a", 5, 10, 11, 12, 13, 14);
    INTS(g, "start", 1, -1);
    INTS(g, "end", 1, INT64_MIN);
    INTS(g, "axis", 1, 0);
    INTS(g, "step", 1, -2);
    node(g, CSL_OP_SLICE, "Slice", "a,start,end,axis,step", "v");
    EXPECT_INTS(g, 3, 14, 12, 10);
    g = begin(1);
    SCALAR(g, "from", 5);
    SCALAR(g, "to", -2);
    SCALAR(g, "by", -3);
    node(g, CSL_OP_UNKNOWN, "Range", "from,to,by", "v");
    EXPECT_INTS(g, 3, 5, 2, -1);
    g = begin(1);
    INTS(g, "c", 3, 1, 0, 1);
    INTS(g, "a", 3, 1, 2, 3);
    INTS(g, "b", 1, 9);
    node(g, CSL_OP_UNKNOWN, "Where", "c,a,b", "v");
    EXPECT_INTS(g, 3, 1, 9, 3);
}

/* What has no result stays a node, and nothing is undefined: overflow, division by zero, indices outside. */
static void test_stays(void **state) {
    (void)state;
    static const struct {
        enum csl_op op;
        const char *name;
        int64_t a, b;
    } bad[] = {
        {CSL_OP_ADD, "Add", INT64_MAX, 1},   {CSL_OP_SUB, "Sub", INT64_MIN, 1},
        {CSL_OP_MUL, "Mul", INT64_MIN, -1},  {CSL_OP_DIV, "Div", 1, 0},
        {CSL_OP_DIV, "Div", INT64_MIN, -1},  {CSL_OP_UNKNOWN, "Mod", 1, 0},
        {CSL_OP_UNKNOWN, "Pow", 10, 60},     {CSL_OP_UNKNOWN, "Pow", 2, -1},
        {CSL_OP_UNKNOWN, "Pow", 1, 1 << 20}, {CSL_OP_GATHER, "Gather", 4, 1},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct csl_graph *g = begin(1);
        INTS(g, "a", 1, bad[i].a);
        INTS(g, "b", 1, bad[i].b);
        node(g, bad[i].op, bad[i].name, "a,b", "v")->axis = 0;
        node(g, CSL_OP_RESHAPE, "Reshape", "x,v", "y");
        fold(g);
        assert_int_equal(g->n_nodes, 2);
        assert_string_equal(g->nodes[0].op_name, bad[i].name);
        csl_graph_free(g);
    }
}

static void fill_ramp(struct csl_graph *g, const char *name, unsigned rank, const int64_t *dims) {
    uint32_t t = tensor(g, name);
    assert_int_equal(csl_graph_constant(g, t, CSL_DTYPE_F32, rank, dims, NULL), CSL_OK);
    for (size_t i = 0; i < g->tensors[t].n_elements; i++) {
        g->tensors[t].f32[i] = (float)i;
    }
}

static void test_weights(void **state) {
    (void)state;
    struct csl_graph *g = begin(1);
    fill_ramp(g, "k", 4, (const int64_t[]){2, 2, 3, 4}); /* HWIO */
    struct csl_attributes *a = node(g, CSL_OP_TRANSPOSE, "Transpose", "k", "kt");
    memcpy(a->perm, (const int64_t[]){3, 2, 0, 1}, 4 * sizeof a->perm[0]);
    a->n_perm = 4;
    node(g, CSL_OP_IDENTITY, "Identity", "kt", "w");
    node(g, CSL_OP_CONV, "Conv", "x,w", "y");
    g->nodes[2].attr.group = 1;
    fold(g);
    assert_int_equal(g->n_nodes, 1);
    const struct csl_tensor *w = &g->tensors[g->nodes[0].inputs[1]];
    assert_int_equal(w->dims[0], 4);
    assert_int_equal(w->dims[1], 3);
    assert_int_equal(g->nodes[0].attr.kernel[0], 2);
    assert_int_equal(g->nodes[0].attr.n_spatial, 2);
    for (size_t i = 0; i < w->n_elements; i++) { /* o, c, h, w */
        size_t kw = i % 2;
        size_t kh = i / 2 % 2;
        size_t c = i / 4 % 3;
        size_t o = i / 12;
        assert_true(w->f32[i] == (float)(((kh * 2 + kw) * 3 + c) * 4 + o));
    }
    assert_int_equal(g->tensors[csl_graph_find(g, "k")].dtype, CSL_DTYPE_NONE); /* dropped, with its memory */
    csl_graph_free(g);
}

static void test_rewrites(void **state) {
    (void)state;
    struct csl_graph *g = begin(CSL_DIM_UNKNOWN);
    float six = 6;
    uint32_t t = tensor(g, "six");
    assert_int_equal(csl_graph_constant(g, t, CSL_DTYPE_F32, 0, NULL, NULL), CSL_OK);
    g->tensors[t].f32[0] = six;
    INTS(g, "pads", 4, 1, 2, 3, 4);
    INTS(g, "axes", 2, -1, 2);
    node(g, CSL_OP_PAD, "Pad", "x,pads,,axes", "p");
    node(g, CSL_OP_UNKNOWN, "Max", "six,p", "m");
    node(g, CSL_OP_CLIP, "Clip", "m,,six", "c");
    struct csl_attributes *selu = node(g, CSL_OP_UNKNOWN, "Selu", "c", "s");
    selu->alpha = 1.5F;
    selu->beta = 1.25F;
    node(g, CSL_OP_SHAPE, "Shape", "s", "shape");
    node(g, CSL_OP_RESHAPE, "Reshape", "s,shape", "y");
    fold(g);
    assert_int_equal(g->n_nodes, 6);
    const struct csl_attributes *pad = &g->nodes[0].attr;
    static const int64_t pads[8] = {0, 0, 2, 1, 0, 0, 4, 3};
    assert_int_equal(g->nodes[0].n_inputs, 1);
    assert_int_equal(pad->n_pads, 8);
    assert_memory_equal(pad->pads, pads, sizeof pads);
    assert_int_equal(g->nodes[1].op, CSL_OP_CLIP);
    assert_true(g->nodes[1].attr.has_min && !g->nodes[1].attr.has_max && g->nodes[1].attr.min == 6.0F);
    assert_true(!g->nodes[2].attr.has_min && g->nodes[2].attr.has_max && g->nodes[2].attr.max == 6.0F);
    assert_int_equal(g->nodes[3].op, CSL_OP_ELU);
    assert_true(g->nodes[3].attr.alpha == 1.5F);
    assert_int_equal(g->nodes[4].op, CSL_OP_MUL);
    assert_true(g->tensors[g->nodes[4].inputs[1]].f32[0] == 1.25F);
    EXPECT_SHAPE(g, 4, 0, 3, 10, 9);
    csl_graph_free(g);
}

static void refuse(struct csl_graph *g, const char *words) {
    struct csl_diag diag = {""};
    assert_int_equal(csl_graph_finish(g, NULL), CSL_OK);
    assert_int_equal(csl_graph_fold(g, &diag), CSL_EDATA);
    if (strstr(diag.text, words) == NULL) {
        fail_msg("%s", diag.text);
    }
    csl_graph_free(g);
}

/* Small files that ask for much. */
static void test_budget(void **state) {
    (void)state;
    struct csl_graph *g = begin(1);
    INTS(g, "dims", 2, 1 << 14, 1 << 14);
    node(g, CSL_OP_CONSTANT_OF_SHAPE, "ConstantOfShape", "dims", "big");
    node(g, CSL_OP_ADD, "Add", "x,big", "y");
    refuse(g, "\"big\", computed from others, is too large");
    g = begin(1);
    INTS(g, "dims", 8, INT64_MAX, INT64_MAX, 1 << 28, 1 << 28, 1 << 28, 1 << 28, 1 << 28, 1 << 28);
    fill_ramp(g, "one", 0, NULL);
    node(g, CSL_OP_UNKNOWN, "Expand", "one,dims", "big");
    node(g, CSL_OP_ADD, "Add", "x,big", "y");
    refuse(g, "too large");
    g = begin(1); /* many of moderate size */
    fill_ramp(g, "t0", 2, (const int64_t[]){1000, 1000});
    for (int i = 0; i < 40; i++) {
        char from[8];
        char to[8];
        snprintf(from, sizeof from, "t%d", i);
        snprintf(to, sizeof to, "t%d", i + 1);
        node(g, CSL_OP_TRANSPOSE, "Transpose", from, to);
    }
    node(g, CSL_OP_MATMUL, "MatMul", "x,t40", "y");
    refuse(g, "too large");
    g = begin(1);
    fill_ramp(g, "ramp", 1, (const int64_t[]){3});
    node(g, CSL_OP_DIV, "Div", "ramp,ramp", "nan"); /* 0 / 0 */
    node(g, CSL_OP_ADD, "Add", "x,nan", "y");
    refuse(g, "\"nan\": element 0 is not a number");
    g = begin(1);
    fill_ramp(g, "ramp", 1, (const int64_t[]){3});
    node(g, CSL_OP_IDENTITY, "Identity", "ramp", "y");
    refuse(g, "does not depend on the input");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batch_is_kept), cmocka_unit_test(test_batch_is_not_kept),
        cmocka_unit_test(test_arithmetic),    cmocka_unit_test(test_stays),
        cmocka_unit_test(test_weights),       cmocka_unit_test(test_rewrites),
        cmocka_unit_test(test_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
