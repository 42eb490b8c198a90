#include "lower_check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct csl_network *check_lower(struct build *b) {
    struct csl_network *net = NULL;
    struct csl_issues issues = {0};
    if (b->failed || csl_graph_finish(b->g, &b->diag) != CSL_OK ||
        csl_network_lower(&net, &issues, b->g, &b->diag) != CSL_OK) {
        print_message("%s\n", b->diag.text);
        fail();
    }
    assert_int_equal(issues.n, 0);
    csl_issues_clear(&issues);
    return net;
}

static size_t elements(const struct csl_network *net, uint32_t value) {
    struct csl_hwc d = value == 0 ? net->input : net->nodes[value - 1].out;
    return (size_t)d.h * d.w * d.c;
}

/* What every plan may rely on: shapes agree with the values that a node reads, and what comes first stands
 * first. */
static void check_consistent(const struct csl_network *net) {
    size_t user = 1;
    for (uint32_t i = 0; i < net->input_rank; i++) {
        user *= net->input_shape[i];
    }
    assert_int_equal(user, elements(net, 0));
    for (uint32_t i = 0; i < net->n_nodes; i++) {
        const struct csl_op_node *op = &net->nodes[i];
        assert_in_range(op->n_in, 1, CSL_NETWORK_MAX_INPUTS);
        for (uint32_t j = 0; j < op->n_in; j++) {
            assert_in_range(op->in[j], 0, i);
        }
        if (op->kind == CSL_OPK_CONV || op->kind == CSL_OPK_MAXPOOL || op->kind == CSL_OPK_AVGPOOL ||
            op->kind == CSL_OPK_PAD) {
            struct csl_hwc in = op->in[0] == 0 ? net->input : net->nodes[op->in[0] - 1].out;
            assert_true(in.h == op->shape.in_h && in.w == op->shape.in_w && in.c == op->shape.in_c);
            assert_true(op->out.h == op->shape.out_h && op->out.w == op->shape.out_w &&
                        op->out.c == op->shape.out_c);
        }
        assert_true((op->kind == CSL_OPK_CONV) == (op->w != NULL && op->b != NULL));
    }
}

struct csl_network *check_network(struct build *b) {
    struct csl_network *net = check_lower(b);
    int64_t fixed = b->g->tensors[b->g->input].dims[0];
    uint32_t batch = fixed == CSL_DIM_UNKNOWN ? 3 : (uint32_t)fixed;
    check_consistent(net);
    size_t n_in = elements(net, 0) * batch;
    size_t n_out = elements(net, net->output) * batch;
    float *x = malloc(n_in * sizeof *x);
    double *y = malloc(n_out * sizeof *y);
    double *want = NULL;
    size_t n = 0;
    assert_true(x != NULL && y != NULL);
    for (size_t i = 0; i < n_in; i++) {
        x[i] = (float)build_random(b, -1, 1);
    }
    assert_true(graph_ref(b->g, x, batch, &want, &n));
    assert_int_equal(n, n_out);
    assert_int_equal(csl_network_eval(net, y, x, batch), CSL_OK);
    for (size_t i = 0; i < n; i++) {
        if (!(fabs(y[i] - want[i]) <= 1e-5 * (1 + fabs(want[i])))) {
            print_message("element %zu: %.9g, the graph says %.9g\n", i, y[i], want[i]);
            fail();
        }
    }
    free(x);
    free(y);
    free(want);
    return net;
}

void check_graph(struct build *b, uint32_t out, int64_t n) {
    uint32_t flat = build_op(b, CSL_OP_RESHAPE, NULL, IN(out, build_ints(b, 2, (const int64_t[]){-1, n})));
    uint32_t w = build_floats(b, -1, 1, DIMS(n, 4));
    build_op(b, CSL_OP_MATMUL, NULL, IN(flat, w));
    csl_network_free(check_network(b));
    build_clear(b);
}

unsigned count_nodes(const struct csl_network *net, enum csl_op_kind kind) {
    unsigned n = 0;
    for (uint32_t i = 0; i < net->n_nodes; i++) {
        n += net->nodes[i].kind == kind ? 1 : 0;
    }
    return n;
}

void check_refused(struct build *b, size_t n_issues, const char *const *words) {
    struct csl_network *net = NULL;
    struct csl_issues issues = {0};
    char text[4096];
    size_t used = 0;
    assert_false(b->failed);
    assert_int_equal(csl_graph_finish(b->g, &b->diag), CSL_OK);
    assert_int_equal(csl_network_lower(&net, &issues, b->g, &b->diag), CSL_EDATA);
    assert_null(net);
    assert_true(b->diag.text[0] != '\0');
    used += (size_t)snprintf(text, sizeof text, "%s", b->diag.text);
    for (size_t i = 0; i < issues.n && used < sizeof text; i++) {
        assert_true(issues.at[i].hint[0] != '\0' && issues.at[i].node[0] != '\0');
        used += (size_t)snprintf(text + used, sizeof text - used, "\n%s (%s): %s; %s", issues.at[i].node,
                                 issues.at[i].op, issues.at[i].reason, issues.at[i].hint);
    }
    for (size_t i = 0; words[i] != NULL; i++) {
        if (strstr(text, words[i]) == NULL) {
            print_message("\"%s\" is not in: %s\n", words[i], text);
            fail();
        }
    }
    if (issues.n != n_issues) {
        print_message("%zu issues, not %zu: %s\n", issues.n, n_issues, text);
        fail();
    }
    csl_issues_clear(&issues);
    build_clear(b);
}
