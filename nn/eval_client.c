/* What the client does itself: inputs to fixed point, outputs back, the head. */
#include <math.h>
#include <string.h>

#include "nn/plan_internal.h"

/* How the user's order walks the shares' (HWC): channel after channel, or as it is. */
struct walk {
    size_t pixels, channels;
};

static struct walk walk_of(const struct csl_plan *plan) {
    const struct csl_hwc *d = &plan->values[0].dim;
    bool as_is = plan->input_rank != 3 || plan->input_channels_last;
    return as_is ? (struct walk){csl_plan_n_inputs(plan), 1} : (struct walk){(size_t)d->h * d->w, d->c};
}

/* Of a number in the interval, whose ends are doubles: the nearest float may lie half a float unit beyond. */
static int64_t encoded(double v, const struct csl_plan *plan, double unit) {
    v = v < plan->input.lo ? plan->input.lo : v > plan->input.hi ? plan->input.hi : v;
    return (int64_t)llrint(v * unit); /* a power of two: the product is exact */
}

enum csl_err csl_plan_encode_input(const struct csl_plan *plan, int64_t *out, const float *x, uint32_t batch,
                                   struct csl_diag *diag) {
    size_t n_in = csl_plan_n_inputs(plan), n = n_in * batch;
    float lo = (float)plan->input.lo, hi = (float)plan->input.hi;
    double unit = ldexp(1, (int)csl_plan_input_frac(plan));
    struct walk w = walk_of(plan);
    for (size_t i = 0; i < n; i++) {
        if (!(x[i] >= lo && x[i] <= hi)) { /* nor is it no number */
            memset(out, 0, n * sizeof *out);
            return csl_fail(diag, CSL_EDATA,
                            "input %zu, element %zu is %g; the network takes %g to %g: is the "
                            "normalisation right?",
                            i / n_in, i % n_in, (double)x[i], plan->input.lo, plan->input.hi);
        }
    }
    for (uint32_t row = 0; row < batch; row++, x += n_in, out += n_in) {
        for (size_t c = 0; c < w.channels; c++) {
            for (size_t i = 0; i < w.pixels; i++) {
                out[i * w.channels + c] = encoded((double)x[c * w.pixels + i], plan, unit);
            }
        }
    }
    return CSL_OK;
}

void csl_plan_decode_output(const struct csl_plan *plan, double *y, const int64_t *joined, size_t n) {
    double unit =
        ldexp(plan->values[plan->n_steps].scale, (int)plan->output_cut - (int)csl_plan_output_frac(plan));
    for (size_t i = 0; i < n; i++) {
        y[i] = (double)joined[i] * unit;
    }
}

uint32_t csl_argmax(const double *y, uint32_t n) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++) {
        best = y[i] > y[best] ? i : best;
    }
    return best;
}

void csl_plan_apply_head(const struct csl_plan *plan, double *y) {
    uint32_t n = csl_plan_n_outputs(plan);
    if (plan->head == CSL_HEAD_LOGITS) {
        return;
    }
    double top = y[csl_argmax(y, n)];
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        sum += exp(y[i] - top);
    }
    for (uint32_t i = 0; i < n; i++) {
        y[i] = plan->head == CSL_HEAD_SOFTMAX ? exp(y[i] - top) / sum : y[i] - top - log(sum);
    }
}
