/* ONNX bytes to a plan. What compiles must be a good plan, and no input of its interval may leave a range. */
#include "mpc/link.h"
#include "nn/eval.h"
#include "nn/onnx/onnx.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t rounding(void *ctx, uint32_t layer, size_t at) {
    const struct csl_plan *plan = ctx;
    uint64_t top = ((uint64_t)1 << plan->layers[layer].trunc_f) - 1;
    return at % 2 == 0 ? top : 0;
}

/* Two inputs at the ends of the interval, rounded to either side. */
static void evaluate(struct csl_plan *plan, const struct csl_weights *weights) {
    struct csl_qweights q = {0};
    size_t n_in = csl_plan_n_inputs(plan);
    size_t n_out = csl_plan_n_outputs(plan);
    float *x = calloc(2 * n_in, sizeof *x);
    int64_t *xf = calloc(2 * n_in, sizeof *xf);
    int64_t *y = calloc(2 * n_out, sizeof *y);
    if (x == NULL || xf == NULL || y == NULL) {
        abort();
    }
    for (size_t i = 0; i < 2 * n_in; i++) {
        x[i] = (float)(i * 2654435761u >> 7 & 1 ? plan->input.lo : plan->input.hi);
    }
    if (csl_quantise(&q, plan, weights, NULL) != CSL_OK ||
        csl_plan_encode_input(plan, xf, x, 2, NULL) != CSL_OK ||
        csl_eval_fixed(plan, &q, y, xf, 2, rounding, plan, NULL) != CSL_OK) {
        abort();
    }
    csl_qweights_clear(&q);
    free(x);
    free(xf);
    free(y);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct csl_plan plan;
    static struct csl_weights weights;
    struct csl_graph *graph;
    struct csl_issues issues = {0};
    struct csl_diag diag = {""};
    struct csl_cost cost;
    struct csl_plan_options opt = csl_plan_options_default();
    opt.frac_bits = size == 0 ? 16 : 4 + data[size - 1] % 17;
    enum csl_err err = csl_onnx_import(&graph, &issues, data, size, &diag);
    if (err == CSL_OK) {
        err = csl_plan_compile(&plan, &weights, NULL, &issues, graph, &opt, &diag);
    }
    if (err == CSL_OK) {
        if (csl_plan_cost(&plan, &cost, CSL_MAX_PARTIES, 3) != CSL_OK) {
            abort();
        }
        evaluate(&plan, &weights);
        csl_weights_clear(&weights);
    } else if (diag.text[0] == '\0' && err != CSL_ENOMEM) {
        abort();
    }
    csl_issues_clear(&issues);
    csl_graph_free(graph);
    return 0;
}
