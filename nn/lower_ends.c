/* The network's input and output: layouts, and what users see of them. */
#include <math.h>
#include <string.h>

#include "nn/lower_internal.h"

/* How the input most likely stands: pictures of 1, 3 or 4 channels. A node that sees it otherwise asks. */
static struct csl__layout guess_layout(const struct csl_tensor *t) {
    uint32_t d[4] = {0};
    uint32_t n = 1;
    for (unsigned i = 1; i < t->rank; i++) {
        d[i < 4 ? i : 0] = (uint32_t)t->dims[i];
        n *= (uint32_t)t->dims[i];
    }
    bool last = (d[3] == 1 || d[3] == 3 || d[3] == 4) && d[1] != 1 && d[1] != 3;
    switch (t->rank) {
    case 3:
        return (struct csl__layout){{d[1], d[2], 1}, true};
    case 4:
        return last ? (struct csl__layout){{d[1], d[2], d[3]}, true}
                    : (struct csl__layout){{d[2], d[3], d[1]}, false};
    default:
        return (struct csl__layout){{1, 1, n}, true};
    }
}

static enum csl_err check_input(const struct csl_tensor *t, struct csl_diag *diag) {
    if (!t->has_shape || t->rank < 2) {
        return csl_fail(
            diag, CSL_EDATA,
            "input \"%s\" has no batch dimension: its shape must be [batch, ...], e.g. [1, 784] or "
            "[1, 1, 28, 28]",
            t->name);
    }
    uint64_t n = 1;
    for (unsigned i = 1; i < t->rank; i++) {
        if (t->dims[i] <= 0) {
            return csl_fail(diag, CSL_EDATA,
                            "input \"%s\": dimension %u is not fixed; only the batch (dimension 0) may be",
                            t->name, i);
        }
        if (t->dims[i] > CSL__MAX_ELEMENTS || (n *= (uint64_t)t->dims[i]) > CSL__MAX_ELEMENTS) {
            return csl_fail(diag, CSL_EDATA, "input \"%s\" has more than %d elements", t->name,
                            CSL__MAX_ELEMENTS);
        }
    }
    return CSL_OK;
}

/* What users see: the file's shape where it says the same, else channels, height, width. */
static void describe_input(struct csl_network *net, const struct csl_tensor *t, struct csl__layout layout) {
    struct csl_hwc d = layout.dim;
    bool either = d.c == 1 || d.h * d.w == 1; /* channels first and last are the same order */
    net->input = d;
    net->input_rank = t->rank - 1;
    for (unsigned i = 1; i < t->rank; i++) {
        net->input_shape[i - 1] = (uint32_t)t->dims[i];
    }
    const uint32_t first[3] = {d.c, d.h, d.w};
    bool as_in_file = net->input_rank == 3 && memcmp(net->input_shape, first, sizeof first) == 0;
    if (!layout.channels_last && !either && !as_in_file) {
        net->input_rank = 3;
        memcpy(net->input_shape, first, sizeof first);
    }
    net->input_channels_last =
        net->input_rank == 3 && (either ? net->input_shape[0] != 1 : layout.channels_last);
}

enum csl_err csl__lower_input(struct csl__lowering *lo, struct csl_diag *diag) {
    const struct csl_tensor *t = &lo->graph->tensors[lo->graph->input];
    struct csl__value *v = &lo->values[lo->graph->input];
    TRY(check_input(t, diag));
    if (!lo->fixed) {
        lo->input = guess_layout(t);
    }
    struct csl_hwc d = lo->input.dim;
    describe_input(lo->net, t, lo->input);
    struct csl__view whole = csl__view_picture(d, t->dims[0], lo->input.channels_last);
    v->kind = CSL__VALUE_ACTIVATION;
    v->shared = lo->uses[lo->graph->input] > 1;
    if (!csl__view_regroup(&v->view, &whole, t->rank, t->dims, 0)) {
        return csl_fail(diag, CSL_EDATA, "input \"%s\": its shape does not fit how the nodes read it",
                        t->name);
    }
    return CSL_OK;
}

enum csl_err csl__lower_output(struct csl__lowering *lo, struct csl_diag *diag) {
    const struct csl_tensor *t = &lo->graph->tensors[lo->graph->output];
    struct csl__value *y = &lo->values[lo->graph->output];
    if (y->kind == CSL__VALUE_ACTIVATION) {
        TRY(csl__settle(lo, y, diag));
    }
    if (lo->restart || lo->issues->n != 0) {
        return CSL_OK;
    }
    if (y->kind != CSL__VALUE_ACTIVATION || lo->net->n_nodes == 0) {
        return csl_fail(diag, CSL_EDATA, "the output \"%s\" does not come from the input through any layer",
                        t->name);
    }
    struct csl__view canonical = csl__view_picture(csl__dim(lo, y->value), 1, true);
    struct csl__view flat;
    int64_t dims[2] = {1, csl__features(&y->view)};
    if (y->view.batch > 0 || !csl__view_regroup(&flat, &y->view, 2, dims, 0) ||
        !csl__view_regroup(&canonical, &canonical, 2, dims, 0) || !csl__view_same(&flat, &canonical)) {
        return csl_fail(diag, CSL_EDATA,
                        "the output \"%s\" is %s; end the network with a dense layer, or global pooling and "
                        "Flatten",
                        t->name,
                        y->view.batch > 0 ? "transposed: its batch is not dimension 0"
                                          : "a picture in another order than height, width, channels");
    }
    lo->net->output = y->value;
    return CSL_OK;
}

/* Folding can divide by zero. */
enum csl_err csl__check_weights(const struct csl_network *net, struct csl_diag *diag) {
    for (uint32_t i = 0; i < net->n_nodes; i++) {
        const struct csl_op_node *op = &net->nodes[i];
        if (op->kind != CSL_OPK_CONV) {
            continue;
        }
        size_t n = op->out.c;
        size_t n_w = n * op->shape.kernel_h * op->shape.kernel_w * (op->shape.in_c / op->shape.groups);
        for (size_t j = 0; j < n_w + n; j++) {
            if (!isfinite(j < n_w ? op->w[j] : op->b[j - n_w])) {
                return csl_fail(diag, CSL_EDATA,
                                "node \"%s\": after folding constants into it a weight is not finite; check "
                                "for variances and divisors near zero",
                                op->name);
            }
        }
    }
    return CSL_OK;
}
