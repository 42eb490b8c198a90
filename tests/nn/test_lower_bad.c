/* What cannot be run is refused: by node, with the reason and what to change; all of it at once. */
#include "lower_check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define SYMBOLIC CSL_DIM_UNKNOWN

static struct build b;

static uint32_t start(unsigned rank, const int64_t *dims) {
    build_init(&b, 7);
    return build_input(&b, rank, dims);
}

static uint32_t floats(unsigned rank, const int64_t *dims) {
    return build_floats(&b, -1, 1, rank, dims);
}

static uint32_t op(enum csl_op kind, unsigned n, const uint32_t *in) {
    return build_op(&b, kind, NULL, n, in);
}

static uint32_t finish(uint32_t x) {
    return op(CSL_OP_RELU, IN(x));
}

/* ---- the ends ---- */

static void test_inputs(void **state) {
    (void)state;
    finish(start(DIMS(784)));
    REFUSED(&b, 0, "t0", "no batch dimension");
    finish(start(DIMS(1, SYMBOLIC)));
    REFUSED(&b, 0, "dimension 1 is not fixed");
    finish(start(DIMS(1, 1 << 25)));
    REFUSED(&b, 0, "more than 16777216 elements");
    finish(start(DIMS(1, 1 << 20, 1 << 20, 1 << 27)));
    REFUSED(&b, 0, "more than 16777216 elements");
    start(DIMS(1, 4));
    b.g->tensors[b.g->input].has_shape = false;
    finish(b.g->input);
    REFUSED(&b, 0, "no batch dimension");
}

static void test_outputs(void **state) {
    (void)state;
    op(CSL_OP_IDENTITY, IN(start(DIMS(SYMBOLIC, 4))));
    REFUSED(&b, 0, "does not come from the input through any layer");
    op(CSL_OP_TRANSPOSE, IN(finish(start(DIMS(SYMBOLIC, 4)))));
    REFUSED(&b, 0, "its batch is not dimension 0");
    finish(start(DIMS(SYMBOLIC, 3, 4, 4)));
    REFUSED(&b, 0, "another order", "dense layer");
}

static void test_too_many_layers(void **state) {
    (void)state;
    uint32_t x = start(DIMS(1, 4));
    for (int i = 0; i < CSL_NETWORK_MAX_NODES + 1; i++) {
        x = op(i % 2 == 0 ? CSL_OP_SIGMOID : CSL_OP_TANH, IN(x));
    }
    REFUSED(&b, 0, "more than 240 layers", "Sigmoid #");
}

/* ---- dense ---- */

static void test_dense(void **state) {
    (void)state;
    uint32_t x = start(DIMS(SYMBOLIC, 6));
    op(CSL_OP_MATMUL, IN(x, floats(DIMS(5, 4))));
    REFUSED(&b, 0, "MatMul #", "5 rows", "6 features");
    x = start(DIMS(SYMBOLIC, 6));
    op(CSL_OP_GEMM, IN(x, floats(DIMS(6, 4)), floats(DIMS(5))));
    REFUSED(&b, 1, "Gemm #", "bias C");
    x = start(DIMS(SYMBOLIC, 6));
    op(CSL_OP_MATMUL, IN(x, x));
    REFUSED(&b, 1, "MatMul #", "both depend on the input");
    x = start(DIMS(SYMBOLIC, 6));
    op(CSL_OP_GEMM, IN(x, floats(DIMS(1, 6, 2)), CSL_NO_TENSOR));
    REFUSED(&b, 1, "rank 3");
    x = start(DIMS(SYMBOLIC, 6));
    op(CSL_OP_GEMM, IN(x, build_ints(&b, 6, (const int64_t[6]){0}), CSL_NO_TENSOR));
    REFUSED(&b, 1, "integers");
    x = start(DIMS(SYMBOLIC, 2, 3));
    op(CSL_OP_GEMM, IN(x, floats(DIMS(3, 2)), CSL_NO_TENSOR));
    REFUSED(&b, 1, "3 dimensions, not 2", "Flatten");
    x = start(DIMS(SYMBOLIC, 6));
    op(CSL_OP_MATMUL, IN(op(CSL_OP_TRANSPOSE, IN(x)), floats(DIMS(6, 6))));
    REFUSED(&b, 1, "transposed");
    x = start(DIMS(SYMBOLIC, 6));
    op(CSL_OP_MATMUL, IN(floats(DIMS(6, 6)), x));
    REFUSED(&b, 1, "left operand");
    x = start(DIMS(SYMBOLIC, 6));
    op(CSL_OP_GEMM, IN(x));
    REFUSED(&b, 0, "lacks its input 1");
}

/* ---- windows ---- */

static struct csl_attributes window(enum csl_op kind, int64_t kernel) {
    struct csl_attributes a = build_attr(kind);
    a.n_spatial = 2;
    a.kernel[0] = a.kernel[1] = kernel;
    return a;
}

/* A Conv of 2 x 6 x 6 with these attributes and weights. */
static void conv(const struct csl_attributes *a, unsigned rank, const int64_t *dims) {
    uint32_t x = start(DIMS(SYMBOLIC, 2, 6, 6));
    build_op(&b, CSL_OP_CONV, a, IN(x, floats(rank, dims)));
}

static void test_conv(void **state) {
    (void)state;
    struct csl_attributes a = window(CSL_OP_CONV, 7);
    conv(&a, DIMS(3, 2, 7, 7));
    REFUSED(&b, 1, "Conv #", "kernel height of 7 is larger than the padded input of 6");
    a = window(CSL_OP_CONV, 3);
    a.dilations[1] = 3;
    conv(&a, DIMS(3, 2, 3, 3));
    REFUSED(&b, 1, "kernel width of 7 is larger");
    a = window(CSL_OP_CONV, 3);
    conv(&a, DIMS(3, 3, 3, 3));
    REFUSED(&b, 1, "weights are for 3 channels, its input has 2");
    a.group = 3;
    conv(&a, DIMS(3, 2, 3, 3));
    REFUSED(&b, 1, "3 groups do not divide");
    a.group = 2;
    conv(&a, DIMS(3, 1, 3, 3));
    REFUSED(&b, 1, "2 groups do not divide its 2 input and 3 output");
    static const int64_t groups[] = {0, -1, INT64_MIN, INT64_MAX};
    for (unsigned i = 0; i < 4; i++) {
        a.group = groups[i];
        conv(&a, DIMS(3, 2, 3, 3));
        REFUSED(&b, 1, "groups do not divide");
    }
    a = window(CSL_OP_CONV, 2);
    conv(&a, DIMS(3, 2, 3, 3));
    REFUSED(&b, 1, "kernel_shape says 2 where its weights have 3");
    a = window(CSL_OP_CONV, 3);
    conv(&a, DIMS(3, 2, 9));
    REFUSED(&b, 1, "not of rank 4");
    uint32_t x = start(DIMS(SYMBOLIC, 2, 6, 6));
    op(CSL_OP_CONV, IN(x, floats(DIMS(3, 2, 3, 3)), floats(DIMS(4))));
    REFUSED(&b, 1, "bias is not 3 float constants");
    x = start(DIMS(SYMBOLIC, 2, 6, 6));
    op(CSL_OP_CONV, IN(x, x));
    REFUSED(&b, 1, "not constant");
    x = start(DIMS(SYMBOLIC, 2, 6));
    op(CSL_OP_CONV, IN(x, floats(DIMS(3, 2, 3, 3))));
    REFUSED(&b, 1, "3 dimensions, not 4");
}

static void test_hostile_windows(void **state) {
    (void)state;
    static const int64_t values[] = {0, -1, INT64_MIN, INT64_MAX, 1 << 25, (int64_t)1 << 33};
    for (unsigned i = 0; i < sizeof values / sizeof values[0]; i++) {
        for (unsigned field = 0; field < 4; field++) {
            struct csl_attributes a = window(CSL_OP_MAX_POOL, 2);
            int64_t *fields[4] = {&a.kernel[1], &a.strides[0], &a.dilations[1], &a.pads[3]};
            if (field == 3 && values[i] == 0) {
                continue; /* no padding is fine */
            }
            *fields[field] = values[i];
            a.n_pads = field == 3 ? 4 : 0;
            uint32_t x = start(DIMS(SYMBOLIC, 2, 6, 6));
            build_op(&b, CSL_OP_MAX_POOL, &a, IN(x));
            REFUSED(&b, 1, "MaxPool #");
        }
    }
    struct csl_attributes a = window(CSL_OP_MAX_POOL, 2);
    a.n_pads = 4;
    a.pads[0] = 3;
    uint32_t x = start(DIMS(SYMBOLIC, 2, 6, 6));
    build_op(&b, CSL_OP_MAX_POOL, &a, IN(x));
    REFUSED(&b, 1, "in the padding altogether");
    a = window(CSL_OP_MAX_POOL, 2);
    a.n_pads = 2;
    x = start(DIMS(SYMBOLIC, 2, 6, 6));
    build_op(&b, CSL_OP_MAX_POOL, &a, IN(x));
    REFUSED(&b, 1, "2 entries, not 4");
    a = window(CSL_OP_MAX_POOL, 2);
    a.n_spatial = 1;
    x = start(DIMS(SYMBOLIC, 2, 6, 6));
    build_op(&b, CSL_OP_MAX_POOL, &a, IN(x));
    REFUSED(&b, 1, "1 spatial dimensions");
    a = window(CSL_OP_AVERAGE_POOL, 2);
    a.strides[0] = a.strides[1] = 2;
    a.ceil_mode = a.count_include_pad = true;
    x = start(DIMS(SYMBOLIC, 2, 5, 5));
    build_op(&b, CSL_OP_AVERAGE_POOL, &a, IN(x));
    REFUSED(&b, 1, "count fewer elements");
    a = window(CSL_OP_CONV, 1); /* output of more than 2^24 elements */
    x = start(DIMS(SYMBOLIC, 1, 4096, 4096));
    build_op(&b, CSL_OP_CONV, &a, IN(x, floats(DIMS(2, 1, 1, 1))));
    REFUSED(&b, 0, "Conv #", "more than 16777216 elements");
}

static void test_layouts(void **state) {
    (void)state;
    struct csl_attributes t = build_attr(CSL_OP_TRANSPOSE);
    t.n_perm = 4;
    memcpy(t.perm, (const int64_t[]){0, 1, 3, 2}, 4 * sizeof(int64_t));
    uint32_t x = start(DIMS(SYMBOLIC, 2, 6, 6)); /* a picture on its side is not what was convolved before */
    x = op(CSL_OP_CONV, IN(x, floats(DIMS(3, 2, 3, 3))));
    x = build_op(&b, CSL_OP_TRANSPOSE, &t, IN(x));
    op(CSL_OP_CONV, IN(x, floats(DIMS(3, 3, 3, 3))));
    REFUSED(&b, 1, "Conv #", "reordered or reshaped");
    x = start(DIMS(SYMBOLIC, 36)); /* a dense layer's output as a picture */
    x = op(CSL_OP_MATMUL, IN(x, floats(DIMS(36, 36))));
    x = op(CSL_OP_RESHAPE, IN(x, build_ints(&b, 4, (const int64_t[]){-1, 1, 6, 6})));
    op(CSL_OP_CONV, IN(x, floats(DIMS(3, 1, 3, 3))));
    REFUSED(&b, 1, "reordered or reshaped");
    t.perm[0] = 1;
    x = start(DIMS(SYMBOLIC, 2, 6, 6));
    build_op(&b, CSL_OP_TRANSPOSE, &t, IN(x));
    REFUSED(&b, 1, "not a permutation");
}

/* ---- shapes ---- */

static void reshape(unsigned n, const int64_t *shape) {
    uint32_t x = start(DIMS(SYMBOLIC, 2, 6));
    finish(op(CSL_OP_RESHAPE, IN(x, build_ints(&b, n, shape))));
}

static void test_shapes(void **state) {
    (void)state;
    reshape(DIMS(-1, 13));
    REFUSED(&b, 1, "Reshape #", "12 elements of each input together");
    reshape(DIMS(12, -1));
    REFUSED(&b, 1, "Reshape #");
    reshape(DIMS(-1, 6));
    REFUSED(&b, 1, "Reshape #");
    reshape(DIMS(-1, -1));
    REFUSED(&b, 1, "Reshape #");
    reshape(DIMS(-1, INT64_MAX, 2));
    REFUSED(&b, 1, "Reshape #");
    reshape(DIMS(-2, 12));
    REFUSED(&b, 1, "Reshape #");
    uint32_t x = start(DIMS(SYMBOLIC, 2, 6));
    op(CSL_OP_RESHAPE, IN(x, x));
    REFUSED(&b, 1, "its shape is not a constant");
    struct csl_attributes a = build_attr(CSL_OP_FLATTEN);
    a.axis = 2;
    build_op(&b, CSL_OP_FLATTEN, &a, IN(start(DIMS(SYMBOLIC, 2, 6))));
    REFUSED(&b, 1, "mixes the batch");
    a.axis = 4;
    build_op(&b, CSL_OP_FLATTEN, &a, IN(start(DIMS(SYMBOLIC, 2, 6))));
    REFUSED(&b, 1, "axis 4");
    x = start(DIMS(SYMBOLIC, 2, 6));
    op(CSL_OP_SQUEEZE, IN(x, build_ints(&b, 1, (const int64_t[]){0})));
    REFUSED(&b, 1, "removes dimension 0");
    x = start(DIMS(SYMBOLIC, 2, 6));
    op(CSL_OP_UNSQUEEZE, IN(x, build_ints(&b, 2, (const int64_t[]){1, 1})));
    REFUSED(&b, 1, "axes are not constants");
    a = build_attr(CSL_OP_CONCAT);
    a.axis = 2;
    x = finish(start(DIMS(SYMBOLIC, 3, 2, 2)));
    build_op(&b, CSL_OP_CONCAT, &a, IN(x, x));
    REFUSED(&b, 1, "axis 2 is not the channels");
}

/* ---- elementwise ---- */

static void test_arithmetic(void **state) {
    (void)state;
    uint32_t x = finish(start(DIMS(SYMBOLIC, 6)));
    op(CSL_OP_MUL, IN(x, x));
    REFUSED(&b, 1, "Mul #", "multiplies two values");
    x = finish(start(DIMS(SYMBOLIC, 6)));
    op(CSL_OP_DIV, IN(floats(DIMS(6)), x));
    REFUSED(&b, 1, "Div #", "divides by a value that depends");
    x = finish(start(DIMS(SYMBOLIC, 6)));
    op(CSL_OP_DIV, IN(x, build_floats(&b, 0, 0, DIMS(6))));
    REFUSED(&b, 1, "divides by zero");
    x = finish(start(DIMS(SYMBOLIC, 6)));
    op(CSL_OP_ADD, IN(x, floats(DIMS(5))));
    REFUSED(&b, 1, "does not fit the shape");
    x = finish(start(DIMS(2, 6))); /* a constant of each inference of a batch */
    op(CSL_OP_ADD, IN(x, floats(DIMS(2, 6))));
    REFUSED(&b, 1, "does not fit the shape");
    x = finish(start(DIMS(SYMBOLIC, 1, 4, 4)));
    finish(op(CSL_OP_MUL, IN(x, floats(DIMS(4, 4)))));
    REFUSED(&b, 1, "Mul #", "differ from element to element");
    x = start(DIMS(SYMBOLIC, 6));
    op(CSL_OP_ADD, IN(op(CSL_OP_MATMUL, IN(x, floats(DIMS(6, 1)))), x));
    REFUSED(&b, 1, "different shapes");
    struct csl_attributes t = build_attr(CSL_OP_TRANSPOSE); /* [b, 6, 6] and its transpose */
    t.n_perm = 3;
    memcpy(t.perm, (const int64_t[]){0, 2, 1}, 3 * sizeof(int64_t));
    x = finish(start(DIMS(SYMBOLIC, 6, 6)));
    op(CSL_OP_ADD, IN(x, build_op(&b, CSL_OP_TRANSPOSE, &t, IN(x))));
    REFUSED(&b, 1, "different orders");
    x = finish(start(DIMS(SYMBOLIC, 6)));
    op(CSL_OP_SUM, IN(x, x, x, x, x, x, x, x, x));
    REFUSED(&b, 1, "more than 8 values");
}

static void test_functions(void **state) {
    (void)state;
    struct csl_attributes a = build_attr(CSL_OP_CLIP);
    a.has_min = a.has_max = true;
    a.min = 1;
    build_op(&b, CSL_OP_CLIP, &a, IN(start(DIMS(SYMBOLIC, 6))));
    REFUSED(&b, 1, "Clip #", "min 1 is above its max 0");
    uint32_t x = start(DIMS(SYMBOLIC, 6));
    op(CSL_OP_CLIP, IN(x, x));
    REFUSED(&b, 1, "not one constant number");
    x = start(DIMS(SYMBOLIC, 6));
    op(CSL_OP_PRELU, IN(x, floats(DIMS(6))));
    REFUSED(&b, 1, "slopes differ");
    x = start(DIMS(SYMBOLIC, 6));
    op(CSL_OP_PRELU, IN(x, x));
    REFUSED(&b, 1, "not a float constant");
    a = build_attr(CSL_OP_ELU);
    a.alpha = INFINITY;
    build_op(&b, CSL_OP_ELU, &a, IN(start(DIMS(SYMBOLIC, 6))));
    REFUSED(&b, 1, "not finite");
    a = build_attr(CSL_OP_CAST);
    a.cast_to = 7;
    build_op(&b, CSL_OP_CAST, &a, IN(finish(start(DIMS(SYMBOLIC, 6)))));
    REFUSED(&b, 1, "makes integers");
}

static void test_batch_norm(void **state) {
    (void)state;
    uint32_t x = finish(start(DIMS(SYMBOLIC, 3, 4, 4)));
    uint32_t c = build_floats(&b, 1, 1, DIMS(3));
    op(CSL_OP_BATCH_NORMALIZATION, IN(x, c, c, build_floats(&b, 1, 1, DIMS(4)), c));
    REFUSED(&b, 1, "BatchNormalization #", "input 3 is not 3 float constants");
    x = finish(start(DIMS(SYMBOLIC, 3, 4, 4)));
    c = build_floats(&b, 1, 1, DIMS(3));
    op(CSL_OP_BATCH_NORMALIZATION, IN(x, c, c, c, build_floats(&b, -2, -1, DIMS(3))));
    REFUSED(&b, 1, "channel 0 is not positive");
    struct csl_attributes a = build_attr(CSL_OP_BATCH_NORMALIZATION);
    a.training = true;
    x = finish(start(DIMS(SYMBOLIC, 3, 4, 4)));
    c = build_floats(&b, 1, 1, DIMS(3));
    build_op(&b, CSL_OP_BATCH_NORMALIZATION, &a, IN(x, c, c, c, c));
    REFUSED(&b, 1, "training mode");
    x = start(DIMS(SYMBOLIC, 3, 4, 4)); /* finite numbers whose product is not */
    x = op(CSL_OP_CONV, IN(x, build_floats(&b, 1e30, 1e30, DIMS(2, 3, 4, 4))));
    op(CSL_OP_MUL, IN(x, build_floats(&b, 1e30, 1e30, DIMS(1))));
    REFUSED(&b, 0, "Conv #", "not finite");
}

static void test_pad(void **state) {
    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        struct csl_attributes a = build_attr(CSL_OP_PAD);
        a.n_pads = 8;
        a.pads[2] = 1;
        switch (i) {
        case 0:
            a.pad_mode = CSL_PADMODE_OTHER;
            break;
        case 1:
            a.pad_value = 1;
            break;
        case 2:
            a.pads[7] = -1;
            break;
        case 3:
            a.pads[6] = INT64_MAX;
            break;
        default:
            a.n_pads = 6;
            break;
        }
        build_op(&b, CSL_OP_PAD, &a, IN(start(DIMS(SYMBOLIC, 2, 6, 6))));
        REFUSED(&b, 1, "Pad #", "pad with zeros");
    }
    struct csl_attributes a = build_attr(CSL_OP_PAD);
    a.n_pads = 8;
    a.pads[1] = a.pads[3] = 1;
    build_op(&b, CSL_OP_PAD, &a, IN(start(DIMS(SYMBOLIC, 2, 6, 6))));
    REFUSED(&b, 1, "Pad #");
    a.pads[1] = 0;
    a.pads[4] = 1;
    build_op(&b, CSL_OP_PAD, &a, IN(start(DIMS(SYMBOLIC, 2, 6, 6))));
    REFUSED(&b, 1, "batch or the channels");
}

static void test_mean(void **state) {
    (void)state;
    struct csl_attributes a = build_attr(CSL_OP_REDUCE_MEAN);
    a.has_axes = true;
    a.n_axes = 1;
    static const int64_t axes[] = {0, 1, 4, -5, INT64_MIN};
    for (unsigned i = 0; i < 5; i++) {
        a.axes[0] = axes[i];
        build_op(&b, CSL_OP_REDUCE_MEAN, &a, IN(start(DIMS(SYMBOLIC, 2, 6, 6))));
        REFUSED(&b, 1, "ReduceMean #", "height and width only");
    }
    op(CSL_OP_REDUCE_MEAN, IN(start(DIMS(SYMBOLIC, 2, 6, 6))));
    REFUSED(&b, 1, "axes are not constant");
}

/* ---- heads, unknown operators, several at once ---- */

static void test_softmax(void **state) {
    (void)state;
    uint32_t x = op(CSL_OP_SOFTMAX, IN(finish(start(DIMS(SYMBOLIC, 6)))));
    op(CSL_OP_MATMUL, IN(x, floats(DIMS(6, 2))));
    REFUSED(&b, 1, "Softmax #", "inside the network", "no secure exponential", "client");
    struct csl_attributes a = build_attr(CSL_OP_SOFTMAX);
    a.axis = 1;
    build_op(&b, CSL_OP_SOFTMAX, &a, IN(finish(start(DIMS(SYMBOLIC, 3, 2, 2)))));
    REFUSED(&b, 1, "does not hold all classes");
    a.axis = INT64_MIN;
    build_op(&b, CSL_OP_SOFTMAX, &a, IN(finish(start(DIMS(SYMBOLIC, 6)))));
    REFUSED(&b, 1, "Softmax #");
}

/* Each is reported once, and not again for what stands behind it. */
static void test_several_issues(void **state) {
    (void)state;
    uint32_t x = finish(start(DIMS(SYMBOLIC, 6)));
    uint32_t y = op(CSL_OP_UNKNOWN, IN(x));
    uint32_t z = op(CSL_OP_GATHER, IN(x, build_ints(&b, 1, (const int64_t[]){0})));
    uint32_t w = op(CSL_OP_MUL, IN(x, x));
    op(CSL_OP_SUM, IN(y, z, w));
    REFUSED(&b, 3, "not known", "Gather #", "Mul #");
}

/* A file of some bytes must not become a network of gigabytes. */
static void test_amplification(void **state) {
    (void)state;
    uint32_t x = start(DIMS(SYMBOLIC, 1 << 24));
    for (int i = 0; i < 100; i++) {
        x = op(CSL_OP_SIGMOID, IN(op(CSL_OP_MUL, IN(x, build_floats(&b, 2, 2, 0, NULL)))));
    }
    REFUSED(&b, 0, "Mul #", "larger than its file");
    x = start(DIMS(SYMBOLIC, 1 << 12));
    uint32_t w = build_floats(&b, 1, 1, DIMS(1 << 12, 1 << 8));
    uint32_t v = build_floats(&b, 1, 1, DIMS(1 << 8, 1 << 12));
    for (int i = 0; i < 30; i++) {
        x = op(CSL_OP_MATMUL, IN(op(CSL_OP_MATMUL, IN(x, w)), v));
    }
    REFUSED(&b, 0, "MatMul #", "larger than its file");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inputs),
        cmocka_unit_test(test_outputs),
        cmocka_unit_test(test_dense),
        cmocka_unit_test(test_conv),
        cmocka_unit_test(test_hostile_windows),
        cmocka_unit_test(test_layouts),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_arithmetic),
        cmocka_unit_test(test_functions),
        cmocka_unit_test(test_batch_norm),
        cmocka_unit_test(test_pad),
        cmocka_unit_test(test_mean),
        cmocka_unit_test(test_softmax),
        cmocka_unit_test(test_several_issues),
        cmocka_unit_test(test_amplification),
        cmocka_unit_test(test_too_many_layers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
