/* What exporters make of networks: chains of nodes, layouts, several readers of one value, orders of the
 * input. */
#include "lower_check.h"

#include <string.h>

#define SYMBOLIC CSL_DIM_UNKNOWN

static uint32_t conv(struct build *b, uint32_t x, int64_t in, int64_t out, int64_t k, int64_t pad) {
    struct csl_attributes a = build_attr(CSL_OP_CONV);
    a.n_pads = 4;
    a.pads[0] = a.pads[1] = a.pads[2] = a.pads[3] = pad;
    uint32_t w = build_floats(b, -0.5, 0.5, DIMS(out, in, k, k));
    return build_op(b, CSL_OP_CONV, &a, IN(x, w, build_floats(b, -1, 1, DIMS(out))));
}

static uint32_t pool(struct build *b, uint32_t x, enum csl_op op) {
    struct csl_attributes a = build_attr(op);
    a.n_spatial = 2;
    a.kernel[0] = a.kernel[1] = a.strides[0] = a.strides[1] = 2;
    return build_op(b, op, &a, IN(x));
}

static uint32_t relu(struct build *b, uint32_t x) {
    return build_op(b, CSL_OP_RELU, NULL, IN(x));
}

static uint32_t batch_norm(struct build *b, uint32_t x, int64_t c, double lo) {
    return build_op(b, CSL_OP_BATCH_NORMALIZATION, NULL,
                    IN(x, build_floats(b, lo, 2, DIMS(c)), build_floats(b, -1, 1, DIMS(c)),
                       build_floats(b, -1, 1, DIMS(c)), build_floats(b, 0.1, 2, DIMS(c))));
}

static uint32_t reshape(struct build *b, uint32_t x, unsigned n, const int64_t *shape) {
    return build_op(b, CSL_OP_RESHAPE, NULL, IN(x, build_ints(b, n, shape)));
}

static uint32_t transpose(struct build *b, uint32_t x, unsigned n, const int64_t *perm) {
    struct csl_attributes a = build_attr(CSL_OP_TRANSPOSE);
    a.n_perm = n;
    memcpy(a.perm, perm, n * sizeof *perm);
    return build_op(b, CSL_OP_TRANSPOSE, &a, IN(x));
}

static uint32_t dense(struct build *b, uint32_t x, int64_t k, int64_t n) {
    struct csl_attributes a = build_attr(CSL_OP_GEMM);
    a.trans_b = true;
    return build_op(b, CSL_OP_GEMM, &a,
                    IN(x, build_floats(b, -0.5, 0.5, DIMS(n, k)), build_floats(b, -1, 1, DIMS(n))));
}

/* A network of that many nodes; frees all. */
static void expect_nodes(struct build *b, uint32_t n) {
    struct csl_network *net = check_network(b);
    assert_int_equal(net->n_nodes, n);
    csl_network_free(net);
    build_clear(b);
}

/* PyTorch: Conv, BatchNormalization, ReLU, MaxPool, Flatten, Gemm, Softmax. */
static void test_pytorch(void **state) {
    (void)state;
    struct build b;
    build_init(&b, 1);
    uint32_t x = build_input(&b, DIMS(SYMBOLIC, 1, 10, 10));
    x = pool(&b, relu(&b, batch_norm(&b, conv(&b, x, 1, 3, 3, 1), 3, -2)), CSL_OP_MAX_POOL);
    x = dense(&b, build_op(&b, CSL_OP_FLATTEN, NULL, IN(x)), 75, 4);
    build_op(&b, CSL_OP_SOFTMAX, NULL, IN(x));
    struct csl_network *net = check_network(&b);
    assert_int_equal(net->head, CSL_HEAD_SOFTMAX);
    assert_int_equal(net->n_nodes, 4);
    assert_int_equal(net->nodes[1].kind, CSL_OPK_MAXPOOL); /* before the ReLU: a quarter of the comparisons */
    assert_int_equal(net->nodes[2].fn, CSL_FN_RELU);
    assert_string_equal(net->nodes[0].name, "Conv #4");
    assert_int_equal(net->input_rank, 3);
    assert_int_equal(net->input_shape[0], 1);
    assert_false(net->input_channels_last);
    csl_network_free(net);
    build_clear(&b);
}

/* Softmax over axis 1 of [batch, classes, 1, 1], and behind it what keeps the values. */
static void test_softmax_of_pictures(void **state) {
    (void)state;
    struct build b;
    build_init(&b, 2);
    struct csl_attributes a = build_attr(CSL_OP_LOGSOFTMAX);
    a.axis = 1;
    uint32_t x = conv(&b, build_input(&b, DIMS(SYMBOLIC, 2, 6, 6)), 2, 5, 3, 0);
    x = build_op(&b, CSL_OP_GLOBAL_AVERAGE_POOL, NULL, IN(x));
    x = build_op(&b, CSL_OP_LOGSOFTMAX, &a, IN(x));
    build_op(&b, CSL_OP_FLATTEN, NULL, IN(x));
    struct csl_network *net = check_network(&b);
    assert_int_equal(net->head, CSL_HEAD_LOGSOFTMAX);
    csl_network_free(net);
    build_clear(&b);
}

/* tf2onnx: NHWC input, Transpose to NCHW, biases as Add of [1, c, 1, 1], Transpose back, Reshape, MatMul. */
static void test_tensorflow(void **state) {
    (void)state;
    for (int64_t c = 1; c <= 3; c++) {
        struct build b;
        build_init(&b, 10 + (uint64_t)c);
        uint32_t x = build_input(&b, DIMS(SYMBOLIC, 8, 7, c));
        x = transpose(&b, x, DIMS(0, 3, 1, 2));
        x = conv(&b, x, c, 4, 3, 0);
        x = build_op(&b, CSL_OP_ADD, NULL, IN(x, build_floats(&b, -1, 1, DIMS(1, 4, 1, 1))));
        x = pool(&b, relu(&b, x), CSL_OP_MAX_POOL);
        x = transpose(&b, x, DIMS(0, 2, 3, 1));
        x = reshape(&b, x, DIMS(-1, 24));
        x = build_op(&b, CSL_OP_MATMUL, NULL, IN(x, build_floats(&b, -1, 1, DIMS(24, 3))));
        x = build_op(&b, CSL_OP_ADD, NULL, IN(x, build_floats(&b, -1, 1, DIMS(3))));
        struct csl_network *net = check_lower(&b);
        assert_true(net->input_channels_last);
        csl_network_free(net);
        expect_nodes(&b, 4);
    }
}

/* The same, but with the bias added in NHWC between two transposes, and a Transpose that is left over. */
static void test_transposes_between(void **state) {
    (void)state;
    struct build b;
    build_init(&b, 20);
    uint32_t x = conv(&b, build_input(&b, DIMS(SYMBOLIC, 2, 6, 5)), 2, 4, 3, 1);
    x = transpose(&b, x, DIMS(0, 2, 3, 1));
    x = build_op(&b, CSL_OP_MUL, NULL, IN(build_floats(&b, -1, 1, DIMS(4)), x));
    x = relu(&b, x);
    x = transpose(&b, x, DIMS(0, 3, 1, 2));
    x = conv(&b, x, 4, 2, 3, 1);
    x = transpose(&b, x, DIMS(0, 3, 2, 1));
    x = build_op(&b, CSL_OP_FLATTEN, NULL, IN(x));
    dense(&b, x, 60, 3);
    expect_nodes(&b, 4);
}

/* Keras: operators in NHWC, Flatten in that order. */
static void test_keras(void **state) {
    (void)state;
    struct build b;
    build_init(&b, 21);
    struct csl_attributes a = build_attr(CSL_OP_CONV);
    a.channels_last = true;
    a.auto_pad = CSL_PAD_SAME_UPPER;
    uint32_t x = build_input(&b, DIMS(SYMBOLIC, 8, 8, 1));
    x = build_op(&b, CSL_OP_CONV, &a, IN(x, build_floats(&b, -1, 1, DIMS(4, 1, 3, 3)), CSL_NO_TENSOR));
    struct csl_attributes n = build_attr(CSL_OP_BATCH_NORMALIZATION);
    n.channels_last = true;
    n.epsilon = 1e-3F;
    x = build_op(&b, CSL_OP_BATCH_NORMALIZATION, &n,
                 IN(x, build_floats(&b, -1, 1, DIMS(4)), build_floats(&b, -1, 1, DIMS(4)),
                    build_floats(&b, -1, 1, DIMS(4)), build_floats(&b, 0.1, 1, DIMS(4))));
    struct csl_attributes p = build_attr(CSL_OP_MAX_POOL);
    p.channels_last = true;
    p.n_spatial = 2;
    p.kernel[0] = p.kernel[1] = p.strides[0] = p.strides[1] = 2;
    x = build_op(&b, CSL_OP_MAX_POOL, &p, IN(relu(&b, x)));
    x = build_op(&b, CSL_OP_FLATTEN, NULL, IN(x));
    dense(&b, relu(&b, dense(&b, x, 64, 6)), 6, 3);
    expect_nodes(&b, 6);
}

/* CNTK and ONNX' model zoo: batch fixed to 1, input divided by a constant, weights behind a Reshape. */
static void test_cntk(void **state) {
    (void)state;
    struct build b;
    build_init(&b, 22);
    struct csl_attributes a = build_attr(CSL_OP_CONV);
    a.auto_pad = CSL_PAD_SAME_UPPER;
    uint32_t x = build_input(&b, DIMS(1, 1, 8, 8));
    x = build_op(&b, CSL_OP_DIV, NULL, IN(x, build_floats(&b, 255, 255, DIMS(1))));
    x = build_op(&b, CSL_OP_CONV, &a, IN(x, build_floats(&b, -1, 1, DIMS(3, 1, 5, 5))));
    x = build_op(&b, CSL_OP_ADD, NULL, IN(x, build_floats(&b, -1, 1, DIMS(3, 1, 1))));
    x = pool(&b, relu(&b, x), CSL_OP_MAX_POOL);
    x = reshape(&b, x, DIMS(1, 48));
    uint32_t w = reshape(&b, build_floats(&b, -1, 1, DIMS(3, 4, 4, 5)), DIMS(48, 5));
    x = build_op(&b, CSL_OP_MATMUL, NULL, IN(x, w));
    build_op(&b, CSL_OP_ADD, NULL, IN(x, build_floats(&b, -1, 1, DIMS(1, 5))));
    expect_nodes(&b, 4); /* the factor passes the padding, which stays zero */
}

/* Inputs of rank 2 and 3 that become pictures; Conv1d's shape; a batch of 1 squeezed away and back. */
static void test_input_ranks(void **state) {
    (void)state;
    static const struct {
        unsigned rank;
        int64_t dims[5];
        unsigned n_shape;
        int64_t shape[4];
        bool last;
    } cases[] = {
        {2, {SYMBOLIC, 36}, 4, {-1, 1, 6, 6}, false},
        {2, {SYMBOLIC, 72}, 4, {-1, 2, 6, 6}, false},
        {2, {SYMBOLIC, 72}, 4, {-1, 6, 6, 2}, true},
        {3, {SYMBOLIC, 6, 6}, 4, {-1, 1, 6, 6}, false},
        {3, {1, 6, 6}, 4, {1, 1, 6, 6}, false},
        {3, {2, 6, 6}, 4, {0, 1, 6, -1}, false},
        {4, {SYMBOLIC, 1, 36, 1}, 4, {-1, 1, 6, 6}, false},
        {3, {SYMBOLIC, 36, 2}, 4, {-1, 6, 6, 2}, true},
        {5, {SYMBOLIC, 1, 2, 6, 6}, 4, {-1, 2, 6, 6}, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct build b;
        build_init(&b, 30 + i);
        uint32_t x = build_input(&b, cases[i].rank, cases[i].dims);
        int64_t c = cases[i].shape[cases[i].last ? 3 : 1];
        x = reshape(&b, x, cases[i].n_shape, cases[i].shape);
        x = cases[i].last ? transpose(&b, x, DIMS(0, 3, 1, 2)) : x;
        x = relu(&b, conv(&b, x, c, 3, 3, 0));
        dense(&b, build_op(&b, CSL_OP_FLATTEN, NULL, IN(x)), 48, 3);
        expect_nodes(&b, 3);
    }
    struct build b;
    build_init(&b, 40);
    struct csl_attributes a = build_attr(CSL_OP_UNSQUEEZE);
    a.has_axes = true;
    a.n_axes = 1;
    a.axes[0] = 1;
    uint32_t x = build_op(&b, CSL_OP_UNSQUEEZE, &a, IN(build_input(&b, DIMS(SYMBOLIC, 6, 6))));
    x = conv(&b, x, 1, 3, 3, 0);
    x = build_op(&b, CSL_OP_GLOBAL_AVERAGE_POOL, NULL, IN(x));
    build_op(&b, CSL_OP_SQUEEZE, NULL, IN(x, build_ints(&b, 2, (const int64_t[]){2, -1})));
    expect_nodes(&b, 2);
    build_init(&b, 41);
    x = build_op(&b, CSL_OP_SQUEEZE, NULL,
                 IN(build_input(&b, DIMS(1, 1, 6)), build_ints(&b, 1, (const int64_t[]){0})));
    x = relu(&b, dense(&b, x, 6, 4));
    x = build_op(&b, CSL_OP_SQUEEZE, NULL, IN(x, build_ints(&b, 1, (const int64_t[]){0})));
    x = build_op(&b, CSL_OP_UNSQUEEZE, NULL, IN(x, build_ints(&b, 1, (const int64_t[]){0})));
    dense(&b, x, 4, 2);
    expect_nodes(&b, 3);
}

/* Guessed layouts of pictures that turn out otherwise. */
static void test_input_layouts(void **state) {
    (void)state;
    for (unsigned last = 0; last < 2; last++) {
        for (int64_t c = 1; c <= 5; c++) {
            struct build b;
            build_init(&b, 50 + 10 * last + (uint64_t)c);
            uint32_t x = last != 0 ? build_input(&b, DIMS(SYMBOLIC, 4, 3, c))
                                   : build_input(&b, DIMS(SYMBOLIC, c, 4, 3));
            x = last != 0 ? transpose(&b, x, DIMS(0, 3, 1, 2)) : x;
            x = build_op(&b, CSL_OP_MUL, NULL, IN(x, build_floats(&b, -1, 1, DIMS(c, 1, 1))));
            x = conv(&b, x, c, 2, 3, 1);
            dense(&b, build_op(&b, CSL_OP_FLATTEN, NULL, IN(x)), 24, 3);
            struct csl_network *net = check_network(&b);
            assert_int_equal(net->input.c, c);
            assert_int_equal(net->input.h, 4);
            csl_network_free(net);
            build_clear(&b);
        }
    }
}

/* Channel shuffle: Reshape, Transpose, Reshape inside the channels, before a dense layer. */
static void test_shuffle(void **state) {
    (void)state;
    struct build b;
    build_init(&b, 70);
    uint32_t x = conv(&b, build_input(&b, DIMS(SYMBOLIC, 2, 5, 5)), 2, 6, 3, 0);
    x = reshape(&b, x, DIMS(0, 2, 3, 3, 3));
    x = transpose(&b, x, DIMS(0, 2, 1, 3, 4));
    x = reshape(&b, x, DIMS(0, 6, 9));
    x = build_op(&b, CSL_OP_ADD, NULL, IN(x, build_floats(&b, -1, 1, DIMS(6, 1))));
    x = relu(&b, x);
    dense(&b, build_op(&b, CSL_OP_FLATTEN, NULL, IN(x)), 54, 4);
    expect_nodes(&b, 3);
}

/* ---- affine maps ---- */

/* Behind each kind of layer, and before each kind: every order must stay right. */
static void test_batch_norm_places(void **state) {
    (void)state;
    static const struct {
        enum { CONV_VALID, CONV_PADDED, MAX, AVERAGE, RELU, FLATTEN, ADD, OUTPUT } after;
        bool negative;
        uint32_t n_nodes; /* with the ReLU before it, and a dense layer behind */
    } cases[] = {
        {CONV_VALID, true, 4}, {CONV_PADDED, true, 5}, {MAX, false, 4},    {MAX, true, 5},
        {AVERAGE, true, 4},    {RELU, true, 5},        {FLATTEN, true, 3}, {ADD, true, 5},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct build b;
        build_init(&b, 80 + i);
        uint32_t y = relu(&b, conv(&b, build_input(&b, DIMS(SYMBOLIC, 1, 8, 8)), 1, 4, 3, 0));
        uint32_t x = batch_norm(&b, y, 4, cases[i].negative ? -2 : 0.1);
        int64_t n = 4 * 36;
        switch (cases[i].after) {
        case CONV_VALID:
            x = conv(&b, x, 4, 4, 3, 0);
            n = 64;
            break;
        case CONV_PADDED:
            x = conv(&b, x, 4, 4, 3, 1);
            break;
        case MAX:
            x = pool(&b, x, CSL_OP_MAX_POOL);
            n = 36;
            break;
        case AVERAGE:
            x = pool(&b, x, CSL_OP_AVERAGE_POOL);
            n = 36;
            break;
        case RELU:
            x = relu(&b, x);
            break;
        case ADD:
            x = build_op(&b, CSL_OP_ADD, NULL, IN(x, y));
            break;
        default:
            break;
        }
        dense(&b, build_op(&b, CSL_OP_FLATTEN, NULL, IN(x)), n, 3);
        expect_nodes(&b, cases[i].n_nodes);
    }
    struct build b;
    build_init(&b, 95); /* as the last node */
    uint32_t x = relu(&b, dense(&b, build_input(&b, DIMS(SYMBOLIC, 5)), 5, 4));
    batch_norm(&b, x, 4, -1);
    expect_nodes(&b, 3);
    build_init(&b, 96); /* of elements, behind Flatten: into the dense layer */
    x = relu(&b, conv(&b, build_input(&b, DIMS(SYMBOLIC, 1, 6, 6)), 1, 3, 3, 0));
    x = batch_norm(&b, build_op(&b, CSL_OP_FLATTEN, NULL, IN(x)), 48, -1);
    dense(&b, x, 48, 3);
    expect_nodes(&b, 3);
}

/* A convolution that others read, too, must not be scaled for all. */
static void test_shared(void **state) {
    (void)state;
    struct build b;
    build_init(&b, 100);
    uint32_t x = conv(&b, build_input(&b, DIMS(SYMBOLIC, 1, 6, 6)), 1, 4, 3, 0);
    uint32_t y = build_op(&b, CSL_OP_IDENTITY, NULL, IN(x));
    uint32_t z = relu(&b, batch_norm(&b, y, 4, -1));
    x = build_op(&b, CSL_OP_ADD, NULL, IN(x, z));
    dense(&b, build_op(&b, CSL_OP_FLATTEN, NULL, IN(x)), 64, 3);
    expect_nodes(&b, 5);
    build_init(&b, 101); /* ReLU read by a pool and by others: it stays */
    x = relu(&b, conv(&b, build_input(&b, DIMS(SYMBOLIC, 1, 6, 6)), 1, 4, 3, 0));
    y = build_op(&b, CSL_OP_GLOBAL_AVERAGE_POOL, NULL, IN(x));
    z = build_op(&b, CSL_OP_GLOBAL_MAX_POOL, NULL, IN(x));
    x = build_op(&b, CSL_OP_FLATTEN, NULL, IN(build_op(&b, CSL_OP_ADD, NULL, IN(y, z))));
    dense(&b, x, 4, 3);
    expect_nodes(&b, 6);
    build_init(&b, 102); /* a normalisation with two readers is made once */
    x = relu(&b, conv(&b, build_input(&b, DIMS(SYMBOLIC, 1, 6, 6)), 1, 4, 3, 0));
    x = batch_norm(&b, x, 4, -1);
    x = build_op(&b, CSL_OP_ADD, NULL, IN(relu(&b, x), build_op(&b, CSL_OP_SIGMOID, NULL, IN(x))));
    dense(&b, build_op(&b, CSL_OP_FLATTEN, NULL, IN(x)), 64, 3);
    expect_nodes(&b, 7);
}

/* Mean and deviation of each pixel, as scalers in front of a dense network have them. */
static void test_scaler(void **state) {
    (void)state;
    struct build b;
    build_init(&b, 110);
    uint32_t x = build_input(&b, DIMS(SYMBOLIC, 1, 4, 4));
    x = build_op(&b, CSL_OP_SUB, NULL, IN(x, build_floats(&b, -1, 1, DIMS(4, 4))));
    x = build_op(&b, CSL_OP_DIV, NULL, IN(x, build_floats(&b, 0.5, 1, DIMS(4, 4))));
    dense(&b, build_op(&b, CSL_OP_FLATTEN, NULL, IN(x)), 16, 3);
    expect_nodes(&b, 1);
    build_init(&b, 111); /* as a layer of its own */
    x = build_input(&b, DIMS(SYMBOLIC, 1, 4, 4));
    x = relu(&b, build_op(&b, CSL_OP_SUB, NULL, IN(build_floats(&b, -1, 1, DIMS(4, 4)), x)));
    dense(&b, build_op(&b, CSL_OP_FLATTEN, NULL, IN(x)), 16, 3);
    expect_nodes(&b, 3);
}

/* A residual block with a projection, as in ResNet. */
static void test_residual(void **state) {
    (void)state;
    struct build b;
    build_init(&b, 120);
    uint32_t x =
        relu(&b, batch_norm(&b, conv(&b, build_input(&b, DIMS(SYMBOLIC, 3, 8, 8)), 3, 4, 3, 1), 4, 0.5));
    uint32_t y = relu(&b, batch_norm(&b, conv(&b, x, 4, 6, 3, 1), 6, 0.5));
    y = batch_norm(&b, conv(&b, y, 6, 6, 3, 1), 6, 0.5);
    uint32_t z = batch_norm(&b, conv(&b, x, 4, 6, 1, 0), 6, 0.5);
    x = relu(&b, build_op(&b, CSL_OP_ADD, NULL, IN(y, z)));
    x = build_op(&b, CSL_OP_GLOBAL_AVERAGE_POOL, NULL, IN(x));
    dense(&b, build_op(&b, CSL_OP_FLATTEN, NULL, IN(x)), 6, 3);
    expect_nodes(&b, 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pytorch),     cmocka_unit_test(test_softmax_of_pictures),
        cmocka_unit_test(test_tensorflow),  cmocka_unit_test(test_transposes_between),
        cmocka_unit_test(test_keras),       cmocka_unit_test(test_cntk),
        cmocka_unit_test(test_input_ranks), cmocka_unit_test(test_input_layouts),
        cmocka_unit_test(test_shuffle),     cmocka_unit_test(test_batch_norm_places),
        cmocka_unit_test(test_shared),      cmocka_unit_test(test_scaler),
        cmocka_unit_test(test_residual),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
