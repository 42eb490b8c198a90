/* Every operator alone, in NCHW and NHWC, against the meaning of the graph. */
#include "lower_check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define SYMBOLIC CSL_DIM_UNKNOWN

/* ---- dense ---- */

static void test_gemm(void **state) {
    (void)state;
    for (unsigned form = 0; form < 16; form++) { /* transA, transB, left operand, bias */
        struct build b;
        build_init(&b, form + 1);
        struct csl_attributes a = build_attr(CSL_OP_GEMM);
        a.alpha = 0.5F;
        a.beta = 2.0F;
        a.trans_a = (form & 1) != 0;
        a.trans_b = (form & 2) != 0;
        bool left = (form & 4) != 0;
        bool x_transposed = left ? !a.trans_b : a.trans_a;
        bool w_transposed = left ? !a.trans_a : a.trans_b; /* n x k */
        uint32_t x = build_input(&b, DIMS(SYMBOLIC, 6));
        x = x_transposed ? build_op(&b, CSL_OP_TRANSPOSE, NULL, IN(x)) : x;
        uint32_t w = w_transposed ? build_floats(&b, -1, 1, DIMS(5, 6)) : build_floats(&b, -1, 1, DIMS(6, 5));
        uint32_t c = left ? build_floats(&b, -1, 1, DIMS(5, 1)) : build_floats(&b, -1, 1, DIMS(5));
        c = (form & 8) != 0 ? c : CSL_NO_TENSOR;
        uint32_t y = build_op(&b, CSL_OP_GEMM, &a, IN(left ? w : x, left ? x : w, c));
        if (left) {
            y = build_op(&b, CSL_OP_TRANSPOSE, NULL, IN(y));
        }
        struct csl_network *net = check_network(&b);
        assert_int_equal(net->n_nodes, 1);
        csl_network_free(net);
        build_clear(&b);
    }
}

static void test_matmul(void **state) {
    (void)state;
    struct build b;
    build_init(&b, 30); /* a pixel's channels */
    uint32_t x = build_input(&b, DIMS(SYMBOLIC, 4, 5, 3));
    check_graph(&b, build_op(&b, CSL_OP_MATMUL, NULL, IN(x, build_floats(&b, -1, 1, DIMS(3, 2)))), 40);
    build_init(&b, 31); /* [batch, 1, k] stays of rank 3 */
    x = build_input(&b, DIMS(SYMBOLIC, 1, 7));
    x = build_op(&b, CSL_OP_MATMUL, NULL, IN(x, build_floats(&b, -1, 1, DIMS(7, 4))));
    x = build_op(&b, CSL_OP_ADD, NULL, IN(build_floats(&b, -1, 1, DIMS(4)), x));
    x = build_op(&b, CSL_OP_RELU, NULL, IN(x));
    check_graph(&b, x, 4);
    build_init(&b, 32); /* the constant at the left */
    x = build_input(&b, DIMS(1, 7));
    x = build_op(&b, CSL_OP_RESHAPE, NULL, IN(x, build_ints(&b, 2, (const int64_t[]){7, 1})));
    x = build_op(&b, CSL_OP_MATMUL, NULL, IN(build_floats(&b, -1, 1, DIMS(4, 7)), x));
    check_graph(&b, x, 4);
}

/* ---- convolutions ---- */

struct conv_case {
    int64_t h, w, c, out, kh, kw, group;
    int64_t strides[2], dilations[2], pads[4];
    enum csl_auto_pad auto_pad;
};

static const struct conv_case conv_cases[] = {
    {8, 8, 1, 3, 3, 3, 1, {1, 1}, {1, 1}, {0, 0, 0, 0}, CSL_PAD_NOTSET},
    {8, 7, 2, 3, 3, 2, 1, {2, 1}, {1, 1}, {1, 0, 2, 1}, CSL_PAD_NOTSET},
    {9, 9, 4, 4, 3, 3, 4, {1, 1}, {1, 1}, {1, 1, 1, 1}, CSL_PAD_NOTSET},
    {9, 9, 4, 6, 3, 3, 2, {2, 2}, {1, 1}, {0, 1, 2, 0}, CSL_PAD_NOTSET},
    {9, 9, 2, 4, 3, 3, 2, {1, 1}, {2, 3}, {2, 3, 2, 3}, CSL_PAD_NOTSET},
    {7, 6, 2, 3, 4, 3, 1, {2, 2}, {1, 1}, {0, 0, 0, 0}, CSL_PAD_SAME_UPPER},
    {7, 6, 2, 3, 4, 3, 1, {2, 2}, {1, 1}, {0, 0, 0, 0}, CSL_PAD_SAME_LOWER},
    {7, 6, 2, 3, 2, 2, 1, {1, 1}, {2, 1}, {0, 0, 0, 0}, CSL_PAD_SAME_UPPER},
    {7, 6, 2, 3, 1, 1, 1, {3, 4}, {1, 1}, {0, 0, 0, 0}, CSL_PAD_SAME_LOWER},
    {7, 6, 2, 3, 4, 3, 1, {2, 2}, {1, 1}, {0, 0, 0, 0}, CSL_PAD_VALID},
    {5, 5, 3, 4, 5, 5, 1, {1, 1}, {1, 1}, {0, 0, 0, 0}, CSL_PAD_NOTSET},
    {1, 1, 5, 4, 1, 1, 1, {1, 1}, {1, 1}, {0, 0, 0, 0}, CSL_PAD_NOTSET},
    {1, 12, 2, 4, 1, 5, 1, {1, 2}, {1, 1}, {0, 2, 0, 2}, CSL_PAD_NOTSET}, /* a Conv1d */
};

static struct csl_attributes conv_attr(const struct conv_case *c, enum csl_op op) {
    struct csl_attributes a = build_attr(op);
    a.n_spatial = 2;
    a.kernel[0] = c->kh;
    a.kernel[1] = c->kw;
    a.group = c->group;
    a.auto_pad = c->auto_pad;
    memcpy(a.strides, c->strides, sizeof c->strides);
    memcpy(a.dilations, c->dilations, sizeof c->dilations);
    memcpy(a.pads, c->pads, sizeof c->pads);
    a.n_pads = c->auto_pad == CSL_PAD_NOTSET ? 4 : 0;
    return a;
}

static int64_t out_side(int64_t in, int64_t k, int64_t s, int64_t d, int64_t pads, enum csl_auto_pad mode) {
    return mode == CSL_PAD_SAME_UPPER || mode == CSL_PAD_SAME_LOWER ? (in + s - 1) / s
                                                                    : (in + pads - (k - 1) * d - 1) / s + 1;
}

static int64_t out_pixels(const struct conv_case *c) {
    return out_side(c->h, c->kh, c->strides[0], c->dilations[0], c->pads[0] + c->pads[2], c->auto_pad) *
           out_side(c->w, c->kw, c->strides[1], c->dilations[1], c->pads[1] + c->pads[3], c->auto_pad);
}

/* Input in the layout of the operator: NCHW; NHWC by attribute; NCHW behind a Transpose of NHWC. */
enum layout { FIRST, LAST, TRANSPOSED, LAYOUTS };

static uint32_t picture(struct build *b, enum layout layout, int64_t h, int64_t w, int64_t c) {
    if (layout == FIRST) {
        return build_input(b, DIMS(SYMBOLIC, c, h, w));
    }
    uint32_t x = build_input(b, DIMS(SYMBOLIC, h, w, c));
    struct csl_attributes a = build_attr(CSL_OP_TRANSPOSE);
    a.n_perm = 4;
    memcpy(a.perm, (const int64_t[]){0, 3, 1, 2}, 4 * sizeof(int64_t));
    return layout == LAST ? x : build_op(b, CSL_OP_TRANSPOSE, &a, IN(x));
}

static void test_conv(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof conv_cases / sizeof conv_cases[0]; i++) {
        for (unsigned form = 0; form < 2 * LAYOUTS; form++) {
            const struct conv_case *c = &conv_cases[i];
            struct build b;
            build_init(&b, 100 * i + form);
            struct csl_attributes a = conv_attr(c, CSL_OP_CONV);
            a.channels_last = form % LAYOUTS == LAST;
            a.kernel[0] = form < LAYOUTS ? a.kernel[0] : 0; /* not given */
            uint32_t x = picture(&b, form % LAYOUTS, c->h, c->w, c->c);
            uint32_t w = build_floats(&b, -1, 1, DIMS(c->out, c->c / c->group, c->kh, c->kw));
            uint32_t bias = form < LAYOUTS ? build_floats(&b, -1, 1, DIMS(c->out)) : CSL_NO_TENSOR;
            check_graph(&b, build_op(&b, CSL_OP_CONV, &a, IN(x, w, bias)), out_pixels(c) * c->out);
        }
    }
}

/* ---- pools ---- */

static void test_pool(void **state) {
    (void)state;
    static const struct conv_case cases[] = {
        {8, 8, 3, 0, 2, 2, 1, {2, 2}, {1, 1}, {0, 0, 0, 0}, CSL_PAD_NOTSET},
        {7, 9, 3, 0, 3, 2, 1, {2, 3}, {1, 1}, {1, 0, 1, 1}, CSL_PAD_NOTSET},
        {7, 7, 2, 0, 2, 2, 1, {2, 2}, {1, 1}, {0, 0, 0, 0}, CSL_PAD_SAME_UPPER},
        {7, 7, 2, 0, 3, 3, 1, {2, 2}, {1, 1}, {0, 0, 0, 0}, CSL_PAD_SAME_LOWER},
        {7, 8, 2, 0, 3, 3, 1, {2, 2}, {1, 1}, {0, 0, 0, 0}, CSL_PAD_VALID},
        {7, 7, 1, 0, 1, 1, 1, {3, 3}, {1, 1}, {0, 0, 0, 0}, CSL_PAD_NOTSET},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (unsigned form = 0; form < 3 * LAYOUTS; form++) {
            const struct conv_case *c = &cases[i];
            struct build b;
            build_init(&b, 1000 + 100 * i + form);
            enum csl_op op = form < LAYOUTS ? CSL_OP_MAX_POOL : CSL_OP_AVERAGE_POOL;
            struct csl_attributes a = conv_attr(c, op);
            a.count_include_pad = form >= 2 * LAYOUTS;
            a.channels_last = form % LAYOUTS == LAST;
            uint32_t x = picture(&b, form % LAYOUTS, c->h, c->w, c->c);
            check_graph(&b, build_op(&b, op, &a, IN(x)), out_pixels(c) * c->c);
        }
    }
}

static void test_pool_ceil_and_dilation(void **state) {
    (void)state;
    for (int64_t size = 5; size <= 9; size++) {
        for (int64_t pad = 0; pad < 2; pad++) {
            for (unsigned form = 0; form < 2; form++) {
                struct build b;
                build_init(&b, 2000 + (uint64_t)(size * 10 + pad) + 100 * form);
                enum csl_op op = form == 0 ? CSL_OP_MAX_POOL : CSL_OP_AVERAGE_POOL;
                const struct conv_case c = {
                    size, size, 2, 0, 2, 3, 1, {3, 2}, {1, 1}, {pad, pad, pad, pad}, CSL_PAD_NOTSET};
                struct csl_attributes a = conv_attr(&c, op);
                a.ceil_mode = true;
                uint32_t y = build_op(&b, op, &a, IN(picture(&b, FIRST, size, size, 2)));
                build_op(&b, CSL_OP_GLOBAL_AVERAGE_POOL, NULL, IN(y));
                csl_network_free(check_network(&b));
                build_clear(&b);
            }
        }
    }
    struct build b;
    build_init(&b, 2500);
    const struct conv_case c = {9, 9, 2, 0, 2, 2, 1, {1, 1}, {3, 2}, {1, 1, 0, 0}, CSL_PAD_NOTSET};
    struct csl_attributes a = conv_attr(&c, CSL_OP_MAX_POOL);
    check_graph(&b, build_op(&b, CSL_OP_MAX_POOL, &a, IN(picture(&b, FIRST, 9, 9, 2))), out_pixels(&c) * 2);
}

static void test_global_pools(void **state) {
    (void)state;
    for (unsigned layout = 0; layout < LAYOUTS; layout++) {
        for (unsigned op = 0; op < 2; op++) {
            struct build b;
            build_init(&b, 3000 + 10 * layout + op);
            enum csl_op pool = op == 0 ? CSL_OP_GLOBAL_AVERAGE_POOL : CSL_OP_GLOBAL_MAX_POOL;
            struct csl_attributes a = build_attr(pool);
            a.channels_last = layout == LAST;
            check_graph(&b, build_op(&b, pool, &a, IN(picture(&b, layout, 4, 5, 3))), 3);
        }
        for (unsigned form = 0; form < 8; form++) { /* ReduceMean: axes as input, keepdims, both or one */
            struct build b;
            build_init(&b, 3100 + 10 * layout + form);
            struct csl_attributes a = build_attr(CSL_OP_REDUCE_MEAN);
            uint32_t x = picture(&b, layout, 4, 5, 3);
            int64_t h = layout == LAST ? 1 : 2;
            const int64_t axes[2] = {h, h + 1 - (form % 2 == 1 ? 4 : 0)};
            unsigned n = (form & 4) != 0 ? 1 : 2;
            a.keepdims = (form & 1) != 0;
            a.has_axes = (form & 2) == 0;
            a.n_axes = a.has_axes ? n : 0;
            memcpy(a.axes, axes, sizeof axes);
            uint32_t in = a.has_axes ? CSL_NO_TENSOR : build_ints(&b, n, axes);
            check_graph(&b, build_op(&b, CSL_OP_REDUCE_MEAN, &a, IN(x, in)), n == 2 ? 3 : 15);
        }
    }
}

/* ---- elementwise ---- */

static uint32_t conv3(struct build *b, uint32_t x, int64_t in, int64_t out, int64_t pad, bool last) {
    struct csl_attributes a = build_attr(CSL_OP_CONV);
    a.n_pads = 4;
    a.pads[0] = a.pads[1] = a.pads[2] = a.pads[3] = pad;
    a.channels_last = last;
    uint32_t w = build_floats(b, -0.5, 0.5, DIMS(out, in, 3, 3));
    return build_op(b, CSL_OP_CONV, &a, IN(x, w, build_floats(b, -1, 1, DIMS(out))));
}

static void test_functions(void **state) {
    (void)state;
    static const struct {
        enum csl_op op;
        enum csl_function fn;
        float alpha, beta, min, max;
        int form; /* Clip: 1 both by attribute, 2 both by input, 3 max only, 4 min only; PRelu: 1, 4 slopes */
    } cases[] = {
        {CSL_OP_RELU, CSL_FN_RELU, 1, 0, 0, 0, 0},
        {CSL_OP_CLIP, CSL_FN_CLIP, 0, 0, 0, 0.5F, 1},
        {CSL_OP_CLIP, CSL_FN_CLIP, 0, 0, -0.25F, 0.5F, 2},
        {CSL_OP_CLIP, CSL_FN_CLIP, 0, 0, 0, 0.5F, 3},
        {CSL_OP_CLIP, CSL_FN_CLIP, 0, 0, 0.125F, 0, 4},
        {CSL_OP_CLIP, CSL_FN_RELU, 0, 0, 0, 0, 4},
        {CSL_OP_LEAKY_RELU, CSL_FN_LEAKY_RELU, 0.1F, 0, 0, 0, 0},
        {CSL_OP_LEAKY_RELU, CSL_FN_RELU, 0, 0, 0, 0, 0},
        {CSL_OP_PRELU, CSL_FN_LEAKY_RELU, 0.25F, 0, 0, 0, 1},
        {CSL_OP_PRELU, CSL_FN_LEAKY_RELU, 0.25F, 0, 0, 0, 4},
        {CSL_OP_ELU, CSL_FN_ELU, 1.5F, 0, 0, 0, 0},
        {CSL_OP_SIGMOID, CSL_FN_SIGMOID, 0, 0, 0, 0, 0},
        {CSL_OP_HARD_SIGMOID, CSL_FN_HARD_SIGMOID, 0.2F, 0.5F, 0, 0, 0},
        {CSL_OP_TANH, CSL_FN_TANH, 0, 0, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct build b;
        build_init(&b, 4000 + i);
        uint32_t x = conv3(&b, picture(&b, FIRST, 5, 5, 2), 2, 4, 0, false);
        struct csl_attributes a = build_attr(cases[i].op);
        uint32_t in[3] = {x, CSL_NO_TENSOR, CSL_NO_TENSOR};
        a.alpha = cases[i].alpha;
        a.beta = cases[i].beta;
        a.min = cases[i].min;
        a.max = cases[i].max;
        if (cases[i].op == CSL_OP_CLIP) {
            a.has_min = cases[i].form == 1 || cases[i].form == 4;
            a.has_max = cases[i].form == 1 || cases[i].form == 3;
            in[1] = cases[i].form == 2 ? build_values(&b, 1, &cases[i].min) : CSL_NO_TENSOR;
            in[2] = cases[i].form == 2 ? build_values(&b, 1, &cases[i].max) : CSL_NO_TENSOR;
        } else if (cases[i].op == CSL_OP_PRELU) {
            in[1] = build_floats(&b, 0.25, 0.25, DIMS(cases[i].form, 1, 1));
        }
        build_op(&b, cases[i].op, &a, 3, in);
        uint32_t flat = build_op(&b, CSL_OP_FLATTEN, NULL, IN(b.g->output));
        build_op(&b, CSL_OP_GEMM, NULL, IN(flat, build_floats(&b, -1, 1, DIMS(36, 3)), CSL_NO_TENSOR));
        struct csl_network *net = check_network(&b);
        assert_int_equal(net->n_nodes, 3);
        assert_int_equal(net->nodes[1].kind, CSL_OPK_ACTIVATE);
        assert_int_equal(net->nodes[1].fn, cases[i].fn);
        csl_network_free(net);
        build_clear(&b);
    }
}

static void test_nothing_to_do(void **state) {
    (void)state;
    struct build b;
    build_init(&b, 4100);
    struct csl_attributes cast = build_attr(CSL_OP_CAST);
    cast.cast_to = 11;
    uint32_t x = conv3(&b, picture(&b, FIRST, 5, 5, 2), 2, 4, 0, false);
    x = build_op(&b, CSL_OP_IDENTITY, NULL, IN(x));
    x = build_op(&b, CSL_OP_DROPOUT, NULL, IN(x, build_floats(&b, 0.5, 0.5, 0, NULL)));
    x = build_op(&b, CSL_OP_CAST, &cast, IN(x));
    x = build_op(&b, CSL_OP_CLIP, NULL, IN(x));
    x = build_op(&b, CSL_OP_RELU, NULL, IN(x));
    x = build_op(&b, CSL_OP_RELU, NULL, IN(x));
    x = build_op(&b, CSL_OP_GLOBAL_AVERAGE_POOL, NULL, IN(x));
    struct csl_network *net = check_network(&b);
    assert_int_equal(net->n_nodes, 3);
    csl_network_free(net);
    build_clear(&b);
}

/* ---- joins ---- */

static void test_add_and_concat(void **state) {
    (void)state;
    for (unsigned layout = 0; layout < LAYOUTS; layout++) {
        for (unsigned op = 0; op < 4; op++) {
            struct build b;
            build_init(&b, 5000 + 10 * layout + op);
            uint32_t in = picture(&b, layout, 6, 5, 2);
            uint32_t x = conv3(&b, in, 2, 4, 1, layout == LAST);
            uint32_t y =
                build_op(&b, CSL_OP_RELU, NULL, IN(conv3(&b, in, 2, op == 3 ? 3 : 4, 1, layout == LAST)));
            struct csl_attributes a = build_attr(CSL_OP_CONCAT);
            a.axis = layout == LAST ? -1 : 1;
            uint32_t z = op == 0   ? build_op(&b, CSL_OP_ADD, NULL, IN(x, y))
                         : op == 1 ? build_op(&b, CSL_OP_SUB, NULL, IN(x, y))
                         : op == 2 ? build_op(&b, CSL_OP_SUM, NULL, IN(x, y, x))
                                   : build_op(&b, CSL_OP_CONCAT, &a, IN(x, y, in));
            check_graph(&b, z, 30 * (op == 3 ? 9 : 4));
        }
    }
    struct build b;
    build_init(&b, 5100); /* x + x, and vectors */
    uint32_t x = build_input(&b, DIMS(SYMBOLIC, 6));
    uint32_t y = build_op(&b, CSL_OP_MATMUL, NULL, IN(x, build_floats(&b, -1, 1, DIMS(6, 5))));
    struct csl_attributes a = build_attr(CSL_OP_CONCAT);
    y = build_op(&b, CSL_OP_ADD, NULL, IN(y, y));
    check_graph(&b, build_op(&b, CSL_OP_CONCAT, &a, IN(x, y)), 11);
}

static void test_pad(void **state) {
    (void)state;
    for (unsigned layout = 0; layout < LAYOUTS; layout++) {
        for (unsigned form = 0; form < 4; form++) { /* pads as input; along the width alone */
            struct build b;
            build_init(&b, 6000 + 10 * layout + form);
            struct csl_attributes a = build_attr(CSL_OP_PAD);
            unsigned h = layout == LAST ? 1 : 2;
            a.n_pads = 8;
            a.pads[h] = (form & 2) != 0 ? 0 : 1;
            a.pads[h + 1] = 2;
            a.pads[4 + h] = (form & 2) != 0 ? 0 : 3;
            a.channels_last = layout == LAST && form == 0;
            uint32_t x = conv3(&b, picture(&b, layout, 6, 5, 2), 2, 4, 0, layout == LAST);
            uint32_t in = (form & 1) != 0 ? build_ints(&b, 8, a.pads) : CSL_NO_TENSOR;
            a.n_pads = (form & 1) != 0 ? 0 : 8;
            x = build_op(&b, CSL_OP_PAD, &a, IN(x, in));
            check_graph(&b, x, ((form & 2) != 0 ? 4 : 8) * 5 * 4);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gemm),           cmocka_unit_test(test_matmul),
        cmocka_unit_test(test_conv),           cmocka_unit_test(test_pool),
        cmocka_unit_test(test_global_pools),   cmocka_unit_test(test_pool_ceil_and_dilation),
        cmocka_unit_test(test_functions),      cmocka_unit_test(test_nothing_to_do),
        cmocka_unit_test(test_add_and_concat), cmocka_unit_test(test_pad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
