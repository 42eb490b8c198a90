/* What cannot be run is refused, and the sentence names the node or tensor. */
#include "nets.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* x -> Gemm(w1, b1) -> Relu -> Gemm(w2, b2) -> y without its tensors and its input. */
static void body(struct model *m) {
    model_init(m, 13);
    model_node(m, "Gemm", "first", "x,w1,b1", "z");
    model_node(m, "Relu", "relu", "z", "h");
    model_node(m, "Gemm", "second", "h,w2,b2", "y");
    model_output(m, "y");
}

static void whole(struct model *m) {
    body(m);
    model_input(m, "x", DIMS(-1, N_IN));
    net_tensors(m, ONNX_FLOAT, true, false);
}

static void test_not_onnx(void **state) {
    (void)state;
    struct buf b = {0};
    REFUSED(b, "not an ONNX model");
    put_bytes(&b, "\x89PNG\r\n\x1a\n", 8);
    REFUSED(b, "not an ONNX file");
    struct model m;
    whole(&m);
    struct buf file = model_finish(&m);
    for (size_t n = 0; n < file.n; n++) { /* cut off anywhere */
        struct csl_graph *g;
        struct csl_issues issues = {0};
        struct csl_diag diag = {""};
        uint8_t *cut = malloc(n + 1);
        assert_non_null(cut);
        memcpy(cut, file.at, n);
        assert_int_equal(csl_onnx_import(&g, &issues, cut, n, &diag), CSL_EDATA);
        assert_true(diag.text[0] != '\0');
        csl_issues_clear(&issues);
        free(cut);
    }
    buf_free(&file);
}

static void test_opset(void **state) {
    (void)state;
    static const int64_t bad[] = {0, 1, 6, 22, -1, INT64_MAX};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct model m;
        whole(&m);
        m.opset = bad[i];
        REFUSED(model_finish(&m), "opset");
    }
}

static void test_ends(void **state) {
    (void)state;
    struct model m;
    model_init(&m, 13);
    REFUSED(model_finish(&m), "no nodes");
    body(&m);
    net_tensors(&m, ONNX_FLOAT, true, false);
    REFUSED(model_finish(&m), "no input");
    whole(&m);
    model_output(&m, "z");
    REFUSED(model_finish(&m), "2 outputs", "\"y\"", "\"z\"");
    whole(&m);
    model_input(&m, "other", DIMS(1, 3));
    REFUSED(model_finish(&m), "several inputs", "\"x\"", "\"other\"");
    model_init(&m, 13);
    model_node(&m, "Relu", "r", "x", "y");
    model_input(&m, "x", DIMS(1, 3));
    REFUSED(model_finish(&m), "no output");
    model_init(&m, 13);
    model_node(&m, "Relu", "r", "x", "y");
    model_input(&m, "x", DIMS(1, 3));
    model_output(&m, "elsewhere");
    REFUSED(model_finish(&m), "\"elsewhere\"");
}

static void test_shapes(void **state) {
    (void)state;
    static const struct {
        int64_t dims[10];
        const char *word;
    } bad[] = {
        {{-1, 0, INT64_MIN}, "dimension 1 is 0"},
        {{-1, -5, INT64_MIN}, "dimension 1 is -5"},
        {{0, 6, INT64_MIN}, "dimension 0 is 0"},
        {{1, INT64_MAX, INT64_MIN}, "dimension 1"},
        {{1, 1 << 14, 1 << 14, INT64_MIN}, "more than"},
        {{1, 1 << 28, 1 << 28, 1 << 28, INT64_MIN}, "more than"},
        {{6, INT64_MIN}, "no batch dimension"},
        {{INT64_MIN}, "no batch dimension"},
        {{-1, -1, INT64_MIN}, "not fixed"},
        {{1, 1, 1, 1, 1, 1, 1, 1, 6, INT64_MIN}, "9 dimensions"},
        {{1, 7, INT64_MIN}, "6 rows"},
        {{1, 6, 1, INT64_MIN}, "first"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct model m;
        body(&m);
        model_input(&m, "x", bad[i].dims);
        net_tensors(&m, ONNX_FLOAT, true, false);
        REFUSED(model_finish(&m), bad[i].word);
    }
    struct model m;
    body(&m);
    model_input(&m, "x", NULL);
    net_tensors(&m, ONNX_FLOAT, true, false);
    REFUSED(model_finish(&m), "\"x\"", "shape");
}

/* A model whose w1 is the given tensor. */
static struct buf with_w1(struct buf w1) {
    struct model m;
    body(&m);
    model_input(&m, "x", DIMS(-1, N_IN));
    model_tensor(&m, w1);
    model_tensor(&m, tensor_float("b1", ONNX_FLOAT, true, DIMS(N_HIDDEN), net_b1, N_HIDDEN));
    model_tensor(&m, tensor_float("w2", ONNX_FLOAT, true, DIMS(N_HIDDEN, N_OUT), net_w2, N_HIDDEN * N_OUT));
    model_tensor(&m, tensor_float("b2", ONNX_FLOAT, true, DIMS(N_OUT), net_b2, N_OUT));
    return model_finish(&m);
}

static void test_tensors(void **state) {
    (void)state;
    static const int64_t dims[][5] = {
        {0, 5, INT64_MIN},
        {-6, -5, INT64_MIN},
        {1LL << 40, 1LL << 40, INT64_MIN},
        {6, INT64_MAX, INT64_MIN},
        {1 << 20, 1 << 20, 1 << 20, INT64_MIN},
        {6, 4, INT64_MIN},
        {6, 6, INT64_MIN},
    };
    for (size_t i = 0; i < sizeof dims / sizeof dims[0]; i++) {
        for (int form = 0; form < 4; form++) {
            int type = form < 2 ? ONNX_FLOAT : ONNX_DOUBLE;
            REFUSED(with_w1(tensor_float("w1", type, form % 2 == 0, dims[i], net_w1, 30)), "\"w1\"");
        }
    }
    REFUSED(with_w1(tensor_float("w1", 8, true, DIMS(6, 5), net_w1, 30)), "\"w1\"", "data type 8");
    REFUSED(with_w1(tensor_float("w1", 1, true, DIMS(1, 1, 1, 1, 1, 1, 1, 6, 5), net_w1, 30)), "\"w1\"",
            "9 dim");
    int64_t ints[30] = {0};
    REFUSED(with_w1(tensor_int64("w1", true, DIMS(6, 5), ints, 30)), "first", "integers");
    REFUSED(with_w1(tensor_float("w1", ONNX_FLOAT, true, DIMS(5, 6), net_w1, 30)), "first", "5 rows");
    REFUSED(with_w1(tensor_float("", ONNX_FLOAT, true, DIMS(6, 5), net_w1, 30)), "no name");
    struct buf external = tensor_float("w1", ONNX_FLOAT, true, DIMS(6, 5), net_w1, 30);
    put_int(&external, 14, 1);
    REFUSED(with_w1(external), "\"w1\"", "another file", "one file");
    struct buf twice = tensor_float("b2", ONNX_FLOAT, true, DIMS(6, 5), net_w1, 30);
    REFUSED(with_w1(twice), "\"b2\"", "twice");
}

static void test_not_finite(void **state) {
    (void)state;
    const float bad[] = {NAN, INFINITY, -INFINITY};
    static const int types[] = {ONNX_FLOAT, ONNX_DOUBLE, ONNX_HALF, ONNX_BFLOAT};
    for (int i = 0; i < 3; i++) {
        for (int type = 0; type < 4; type++) {
            float w[30];
            memcpy(w, net_w1, sizeof w);
            w[17] = bad[i];
            REFUSED(with_w1(tensor_float("w1", types[type], true, DIMS(6, 5), w, 30)), "\"w1\"",
                    "element 17");
        }
    }
    float w[30] = {0};
    w[29] = 1e30F; /* finite, but beyond fixed point */
    REFUSED(with_w1(tensor_float("w1", ONNX_FLOAT, true, DIMS(6, 5), w, 30)), "weight 29");
    float denormal[30] = {0};
    denormal[3] = 1e-44F;
    struct buf fine = with_w1(tensor_float("w1", ONNX_FLOAT, true, DIMS(6, 5), denormal, 30));
    compiled_free(compile_net(fine));
}

static void test_missing(void **state) {
    (void)state;
    struct model m;
    body(&m);
    model_input(&m, "x", DIMS(-1, N_IN));
    REFUSED(model_finish(&m), "\"first\"", "\"w1\"", "missing");
    model_init(&m, 13);
    model_input(&m, "x", DIMS(-1, N_IN));
    model_node(&m, "Gemm", "g", "x", "y");
    model_output(&m, "y");
    REFUSED(model_finish(&m), "\"g\"", "input 1");
    model_init(&m, 13);
    model_input(&m, "x", DIMS(-1, N_IN));
    model_node(&m, "", "g", "x", "y");
    model_output(&m, "y");
    REFUSED(model_finish(&m), "\"g\"", "no operator");
}

static void test_cycles(void **state) {
    (void)state;
    struct model m;
    model_init(&m, 13);
    model_input(&m, "x", DIMS(-1, N_IN));
    model_node(&m, "Add", "a", "x,c", "b");
    model_node(&m, "Relu", "r", "b", "c");
    model_output(&m, "c");
    REFUSED(model_finish(&m), "cycle");
    model_init(&m, 13);
    model_input(&m, "x", DIMS(-1, N_IN));
    model_node(&m, "Relu", "self", "y", "y");
    model_output(&m, "y");
    REFUSED(model_finish(&m), "cycle", "self");
    whole(&m);
    model_node(&m, "Relu", "again", "x", "z");
    REFUSED(model_finish(&m), "\"z\"", "\"first\"", "\"again\"");
    whole(&m);
    model_node(&m, "Relu", "into", "h", "w1");
    REFUSED(model_finish(&m), "\"into\"", "\"w1\"", "constant");
    whole(&m);
    model_node(&m, "Relu", "into", "h", "x");
    REFUSED(model_finish(&m), "\"into\"", "input");
}

/* A long chain must not be a deep recursion. */
static void test_long_chain(void **state) {
    (void)state;
    struct model m;
    model_init(&m, 13);
    model_input(&m, "x", DIMS(-1, N_IN));
    model_node(&m, "Gemm", "first", "x,w1,b1", "n0");
    for (int i = 0; i < 30000; i++) {
        char in[16];
        char out[16];
        snprintf(in, sizeof in, "n%d", i);
        snprintf(out, sizeof out, "n%d", i + 1);
        model_node(&m, "Relu", NULL, in, out);
    }
    model_node(&m, "Gemm", "second", "n30000,w2,b2", "y");
    model_output(&m, "y");
    net_tensors(&m, ONNX_FLOAT, true, false);
    expect_net(model_finish(&m));
}

/* All unsupported nodes are listed, with name, operator, reason and hint. */
static void test_all_issues(void **state) {
    (void)state;
    struct model m;
    model_init(&m, 13);
    model_input(&m, "x", DIMS(-1, N_IN));
    model_node(&m, "Gelu", "s1", "x", "a");
    model_node(&m, "GRU", NULL, "a,k", "b");
    model_node(&m, "Gemm", "g", "b,w1,b1", "c");
    model_node(&m, "Erf", "t\x1b[31m", "c", "d");
    model_node(&m, "ArgMax", "am", "d", "y");
    model_node(&m, "Unused", "dead", "d", "e");
    model_tensor(&m, tensor_float("k", ONNX_FLOAT, true, DIMS(1), net_b1, 1));
    net_tensors(&m, ONNX_FLOAT, true, false);
    model_output(&m, "y");
    struct buf file = model_finish(&m);
    struct csl_graph *g;
    struct csl_issues issues = {0};
    struct csl_diag diag;
    assert_int_equal(csl_onnx_import(&g, &issues, file.at, file.n, &diag), CSL_OK);
    assert_int_equal(issues.n, 4); /* the output does not need "dead" */
    assert_string_equal(issues.at[0].node, "s1");
    assert_string_equal(issues.at[0].op, "Gelu");
    assert_string_equal(issues.at[1].node, "GRU #2");
    assert_string_equal(issues.at[2].node, "t?[31m");
    assert_string_equal(issues.at[3].op, "ArgMax");
    for (size_t i = 0; i < issues.n; i++) {
        assert_true(issues.at[i].reason[0] != '\0' && issues.at[i].hint[0] != '\0');
    }
    csl_issues_clear(&issues);
    csl_graph_free(g);
    REFUSED(file, "4 nodes", "s1", "GRU #2", "am");
}

struct bad_node {
    const char *op, *inputs;
    struct buf attrs[2];
    size_t n_attrs;
    const char *words[4];
};

/* Known operators where they cannot be: x is [N, 6], h the hidden layer's ReLU, p a Softmax, v a rank-3
 * value. */
static void test_misplaced(void **state) {
    (void)state;
    int64_t bad_perm[2] = {0, 0};
    struct bad_node bad[] = {
        {"Relu", "x", .words = {"no layer with weights"}},
        {"Add", "z,b2", .words = {"bad (Add)", "does not fit"}},
        {"Add", "z,i", .words = {"bad (Add)", "does not fit"}},
        {"MatMul", "h,h", .words = {"bad (MatMul)", "both depend"}},
        {"MatMul", "w2,h", .words = {"bad (MatMul)", "left operand"}},
        {"MatMul", "h,b1", .words = {"bad (MatMul)", "rank 1"}},
        {"MatMul", "v,w3", .words = {"bad (MatMul)", "each row"}},
        {"Gemm", "v,w3", .words = {"bad (Gemm)", "3 dimensions"}},
        {"Gemm", "h,w2,h", .words = {"bad (Gemm)", "bias"}},
        {"Gemm", "h,w2,b1", .words = {"bad (Gemm)", "bias"}},
        {"Gemm", "h,w2", {{0}}, 1, {"bad (Gemm)", "transA"}},
        {"Relu", "p", .words = {"softmax (Softmax)", "\"bad\""}},
        {"Softmax", "p", .words = {"softmax (Softmax)", "\"bad\""}},
        {"Flatten", "h", {{0}}, 1, {"bad (Flatten)", "batch"}},
        {"Flatten", "h", {{0}}, 1, {"bad (Flatten)", "axis 9"}},
        {"Transpose", "v", {{0}}, 1, {"bad (Transpose)", "permutation"}},
        {"Transpose", "v", .words = {"does not come from the input"}},
        {"Softmax", "h", {{0}}, 1, {"bad (Softmax)", "axis 0"}},
        {"Reshape", "h,b1", .words = {"bad (Reshape)", "not a constant of at most"}},
        {"Reshape", "h,h", .words = {"bad (Reshape)", "not a constant of at most"}},
        {"Identity", "mask", .words = {"bad (Identity)", "second output", "Dropout #4"}},
        {"Transpose", "h", .words = {"transposed"}},
        {"Identity", "w1", .words = {"does not depend on the input"}},
    };
    bad[10].attrs[0] = attr_int("transA", 1);
    bad[13].attrs[0] = attr_int("axis", 0);
    bad[14].attrs[0] = attr_int("axis", 9);
    bad[15].attrs[0] = attr_ints("perm", bad_perm, 2);
    bad[17].attrs[0] = attr_int("axis", 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct model m;
        int64_t shape[3] = {0, 3, 2};
        model_init(&m, 13);
        model_input(&m, "x", DIMS(-1, N_IN));
        net_tensors(&m, ONNX_FLOAT, true, false);
        model_tensor(&m, tensor_int64("i", true, DIMS(1), shape, 1));
        model_tensor(&m, tensor_int64("shape", true, DIMS(3), shape, 3));
        model_tensor(&m, tensor_float("w3", ONNX_FLOAT, true, DIMS(2, 3), net_w1, 6));
        model_node(&m, "Reshape", NULL, "x,shape", "v");
        model_node(&m, "Gemm", "first", "x,w1,b1", "z");
        model_node(&m, "Relu", NULL, "z", "h0");
        model_node(&m, "Dropout", NULL, "h0", "h,mask");
        model_node(&m, "Softmax", "softmax", "h", "p");
        model_node_attrs(&m, bad[i].op, "bad", bad[i].inputs, "y", bad[i].attrs, bad[i].n_attrs);
        model_output(&m, "y");
        expect_refused(model_finish(&m), CSL_EDATA, bad[i].words);
    }
}

/* 1 KB that declares a lot must not get it. */
static void test_small_file_large_claims(void **state) {
    (void)state;
    struct buf t = {0};
    put_int(&t, 1, 1 << 14);
    put_int(&t, 1, 1 << 14);
    put_int(&t, 2, ONNX_FLOAT);
    put_string(&t, 8, "w1");
    put_string(&t, 9, "abcd");
    REFUSED(with_w1(t), "\"w1\"", "raw_data has 4 bytes");
    struct model m; /* a very large file of very small parts runs into the parser's budget */
    model_init(&m, 13);
    size_t parts = (size_t)3 << 20;
    uint8_t *small = malloc(2 * parts);
    assert_non_null(small);
    for (size_t i = 0; i < parts; i++) {
        small[2 * i] = 1 << 3 | 2; /* an empty node */
        small[2 * i + 1] = 0;
    }
    put_bytes(&m.graph, small, 2 * parts);
    free(small);
    REFUSED(model_finish(&m), "too many small parts");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_not_onnx),   cmocka_unit_test(test_opset),
        cmocka_unit_test(test_ends),       cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_tensors),    cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_missing),    cmocka_unit_test(test_cycles),
        cmocka_unit_test(test_long_chain), cmocka_unit_test(test_all_issues),
        cmocka_unit_test(test_misplaced),  cmocka_unit_test(test_small_file_large_claims),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
