/* The idioms in which exporters write a dense network: all must come to the same numbers. */
#include "nets.h"
#include "nn/fold.h"

#include <stdlib.h>
#include <string.h>

/* PyTorch: Flatten, Gemm with transB, named nodes. */
static struct model torch_net(int64_t opset, int type, bool raw) {
    struct model m;
    model_init(&m, opset);
    struct buf t1 = attr_int("transB", 1);
    struct buf t2 = attr_int("transB", 1);
    struct buf axis = attr_int("axis", 1);
    model_input(&m, "x", DIMS(1, 1, 2, 3));
    model_node_attrs(&m, "Flatten", "/f", "x", "f", &axis, 1);
    model_node_attrs(&m, "Gemm", "/g1", "f,w1,b1", "z", &t1, 1);
    model_node(&m, "Relu", "/r", "z", "h");
    model_node_attrs(&m, "Gemm", "/g2", "h,w2,b2", "y", &t2, 1);
    net_tensors(&m, type, raw, true);
    model_output(&m, "y");
    return m;
}

static void test_torch(void **state) {
    (void)state;
    for (int64_t opset = CSL_ONNX_MIN_OPSET; opset <= CSL_ONNX_MAX_OPSET; opset++) {
        struct model m = torch_net(opset, ONNX_FLOAT, true);
        expect_net(model_finish(&m));
    }
}

static void test_tensor_types(void **state) {
    (void)state;
    static const int types[] = {ONNX_FLOAT, ONNX_DOUBLE, ONNX_HALF, ONNX_BFLOAT};
    for (int i = 0; i < 8; i++) {
        struct model m = torch_net(13, types[i / 2], i % 2 == 0);
        expect_net(model_finish(&m));
    }
}

/* tf2onnx: Reshape, MatMul and Add, symbolic batch, unnamed nodes, shape as initialiser or as Constant node.
 */
static void matmul_net(struct model *m, const int64_t *shape, size_t n, bool constant_node) {
    model_init(m, 13);
    model_input(m, "x", DIMS(-1, 6, 1));
    if (constant_node) {
        struct buf value = attr_tensor("value", tensor_int64("", false, DIMS((int64_t)n), shape, n));
        model_node_attrs(m, "Constant", NULL, "", "s", &value, 1);
    } else {
        model_tensor(m, tensor_int64("s", true, DIMS((int64_t)n), shape, n));
    }
    model_node(m, "Reshape", NULL, "x,s", "f");
    model_node(m, "MatMul", NULL, "f,w1", "z0");
    model_node(m, "Add", NULL, "z0,b1", "z");
    model_node(m, "Relu", NULL, "z", "h");
    model_node(m, "MatMul", NULL, "h,w2", "y0");
    model_node(m, "Add", NULL, "b2,y0", "y");
    net_tensors(m, ONNX_FLOAT, true, false);
    model_output(m, "y");
}

static void test_reshape(void **state) {
    (void)state;
    static const int64_t shapes[][3] = {{-1, 6}, {0, -1},    {0, 6},     {1, 6},
                                        {1, -1}, {-1, 1, 6}, {0, 1, -1}, {7, 6}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        for (int constant_node = 0; constant_node < 2; constant_node++) {
            struct model m;
            matmul_net(&m, shapes[i], shapes[i][2] == 0 ? 2 : 3, constant_node);
            expect_net(model_finish(&m));
        }
    }
}

static void test_reshape_refused(void **state) {
    (void)state;
    static const int64_t shapes[][3] = {{-1, 3}, {2, 3}, {-2, 6}, {-1, 0, 6}, {0, 7}, {6, -1}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct model m;
        matmul_net(&m, shapes[i], shapes[i][2] == 0 ? 2 : 3, false);
        REFUSED(model_finish(&m), "Reshape #1", "batch");
    }
    int64_t flat = -1;
    struct model m;
    matmul_net(&m, &flat, 1, false);
    REFUSED(model_finish(&m), "Reshape #1");
    int64_t twice[2] = {-1, -1};
    matmul_net(&m, twice, 2, false);
    REFUSED(model_finish(&m), "Reshape #1");
}

/* Initialisers also listed as inputs, nodes backwards, transB = 0, alpha and beta. */
static void test_old_style(void **state) {
    (void)state;
    struct model m;
    float w1[N_IN * N_HIDDEN];
    float b1[N_HIDDEN];
    for (int i = 0; i < N_IN * N_HIDDEN; i++) {
        w1[i] = net_w1[i] * 4.0F;
    }
    for (int i = 0; i < N_HIDDEN; i++) {
        b1[i] = net_b1[i] / 2.0F;
    }
    model_init(&m, 7);
    struct buf g1[2] = {attr_float("alpha", 0.25F), attr_float("beta", 2.0F)};
    struct buf g2[2] = {attr_int("transA", 0), attr_int("transB", 0)};
    model_node_attrs(&m, "Gemm", NULL, "h,w2,b2", "y", g2, 2);
    model_node(&m, "Relu", NULL, "z", "h");
    model_node_attrs(&m, "Gemm", NULL, "x,w1,b1", "z", g1, 2);
    model_input(&m, "w1", DIMS(N_IN, N_HIDDEN));
    model_input(&m, "x", DIMS(4, N_IN));
    model_input(&m, "b2", DIMS(N_OUT));
    model_tensor(&m, tensor_float("w1", ONNX_FLOAT, false, DIMS(N_IN, N_HIDDEN), w1, N_IN * N_HIDDEN));
    model_tensor(&m, tensor_float("b1", ONNX_FLOAT, true, DIMS(1, N_HIDDEN), b1, N_HIDDEN));
    model_tensor(&m, tensor_float("w2", ONNX_FLOAT, true, DIMS(N_HIDDEN, N_OUT), net_w2, N_HIDDEN * N_OUT));
    model_tensor(&m, tensor_float("b2", ONNX_FLOAT, true, DIMS(N_OUT), net_b2, N_OUT));
    model_output(&m, "y");
    expect_net(model_finish(&m));
}

/* Weights behind Transpose and Identity, Dropout with a mask, Relu twice, a transposed activation, NHWC with
 * one channel, and Softmax at the end. */
static void test_detours(void **state) {
    (void)state;
    struct model m;
    model_init(&m, 13);
    int64_t swap[2] = {1, 0};
    int64_t nchw[4] = {0, 3, 1, 2};
    struct buf perm = attr_ints("perm", swap, 2);
    struct buf layout = attr_ints("perm", nchw, 4);
    struct buf trans_a = attr_int("transA", 1);
    struct buf axis = attr_int("axis", -1);
    model_input(&m, "x", DIMS(-1, 2, 3, 1));
    model_node_attrs(&m, "Transpose", NULL, "x", "xt", &layout, 1);
    model_node(&m, "Flatten", NULL, "xt", "f");
    model_node_attrs(&m, "Transpose", NULL, "w1", "w1t", &perm, 1);
    model_node(&m, "Identity", NULL, "w1t", "w1i");
    model_node(&m, "Transpose", NULL, "f", "ft");
    model_node_attrs(&m, "Gemm", NULL, "ft,w1i,b1", "z", &trans_a, 1);
    model_node(&m, "Relu", NULL, "z", "h0");
    model_node(&m, "Relu", NULL, "h0", "h1");
    model_node(&m, "Dropout", NULL, "h1", "h,mask");
    model_node_attrs(&m, "Gemm", NULL, "h,w2", "y0", (struct buf[]){attr_int("transB", 1)}, 1);
    model_node(&m, "Add", NULL, "y0,b2", "y1");
    model_node_attrs(&m, "Softmax", NULL, "y1", "y2", &axis, 1);
    model_node(&m, "Identity", NULL, "y2", "y");
    net_tensors(&m, ONNX_FLOAT, true, true);
    model_output(&m, "y");
    struct buf file = model_finish(&m);
    struct buf copy = {0};
    put_bytes(&copy, file.at, file.n);
    struct compiled *c = compile_net(copy);
    assert_int_equal(c->plan.head, CSL_HEAD_SOFTMAX);
    assert_int_equal(c->plan.input_rank, 3);
    double p[N_OUT] = {1, 2, 3};
    csl_plan_apply_head(&c->plan, p);
    assert_true(p[0] + p[1] + p[2] > 0.999999 && p[0] + p[1] + p[2] < 1.000001 && p[2] > p[1]);
    compiled_free(c);
    expect_net(file);
}

/* Fields that we do not know, however deep, do not concern us: no message of ours contains itself. */
static void test_deep_unknown(void **state) {
    (void)state;
    struct buf deep = {0};
    for (int i = 0; i < 20000; i++) {
        struct buf outer = {0};
        put_message(&outer, i % 2 == 0 ? 6 : 1, &deep); /* AttributeProto.g and GraphProto.node, in turn */
        deep = outer;
        if (deep.n > 60000) {
            break;
        }
    }
    struct model m = torch_net(13, ONNX_FLOAT, true);
    struct buf node = {0};
    struct buf attribute = {0};
    put_string(&attribute, 1, "then_branch");
    put_message(&attribute, 6, &deep);
    put_string(&node, 1, "y");
    put_string(&node, 2, "unused");
    put_string(&node, 4, "Identity");
    put_message(&node, 5, &attribute);
    put_message(&m.graph, 1, &node);
    expect_net(model_finish(&m));
}

static void test_import_file(void **state) {
    (void)state;
    struct csl_graph *graph;
    struct csl_issues issues = {0};
    struct csl_diag diag;
    assert_int_equal(csl_onnx_import_file(&graph, &issues, "/nonexistent.onnx", 1000, &diag), CSL_ENOINPUT);
    assert_non_null(strstr(diag.text, "/nonexistent.onnx"));
    assert_int_equal(csl_onnx_import_file(&graph, &issues, "/", 1000, &diag), CSL_ENOINPUT);
    assert_int_equal(csl_onnx_import_file(&graph, &issues, "CMakeLists.txt", 10, &diag), CSL_EDATA);
    assert_non_null(strstr(diag.text, "too large"));
    assert_int_equal(csl_onnx_import_file(&graph, &issues, "CMakeLists.txt", 1 << 20, &diag), CSL_EDATA);
    assert_non_null(strstr(diag.text, "CMakeLists.txt: not an ONNX file"));
    assert_null(graph);
}

/* What docs/protocol.md says of the network that is committed: rounds and bytes, exactly. */
static void test_example_costs(void **state) {
    (void)state;
    static struct csl_plan plan;
    const struct {
        uint32_t rounds;
        uint64_t online, offline;
    } want[CSL_PROFILE_COUNT] = {{10, 6156, 13047}, {8, 6092, 54679}};
    struct csl_graph *graph = NULL;
    struct csl_network *net = NULL;
    struct csl_issues issues = {0};
    struct csl_weights weights = {0};
    struct csl_diag diag = {""};
    struct csl_plan_options opt = csl_plan_options_default();
    const char *path = "examples/mnist/mnist_a.onnx";
    assert_int_equal(csl_onnx_import_file(&graph, &issues, path, CSL_ONNX_MAX_FILE_BYTES, &diag), CSL_OK);
    assert_int_equal(csl_graph_fold(graph, &diag), CSL_OK);
    assert_int_equal(csl_network_lower(&net, &issues, graph, &diag), CSL_OK);
    assert_int_equal(csl_plan_compile(&plan, &weights, NULL, net, &opt, &diag), CSL_OK);
    for (enum csl_profile p = CSL_PROFILE_LAN; p < CSL_PROFILE_COUNT; p++) {
        struct csl_cost cost;
        assert_int_equal(csl_plan_cost(&plan, &cost, 2, 1, p, false), CSL_OK);
        assert_int_equal(cost.rounds, want[p].rounds);
        assert_int_equal(cost.online_bytes, want[p].online);
        assert_int_equal(cost.offline_bytes, want[p].offline);
        assert_int_equal(cost.output_bytes, 27);
        assert_int_equal(cost.open_weights_bytes, 565632);
    }
    csl_weights_clear(&weights);
    csl_network_free(net);
    csl_graph_free(graph);
    csl_issues_clear(&issues);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_torch),         cmocka_unit_test(test_tensor_types),
        cmocka_unit_test(test_reshape),       cmocka_unit_test(test_reshape_refused),
        cmocka_unit_test(test_old_style),     cmocka_unit_test(test_detours),
        cmocka_unit_test(test_deep_unknown),  cmocka_unit_test(test_import_file),
        cmocka_unit_test(test_example_costs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
