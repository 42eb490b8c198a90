/* What the client does itself: inputs to fixed point, outputs back, the head. */
#include <math.h>
#include <string.h>

#include "nn/plan_internal.h"

/* Element i of the user's order stands at this place of the shares (HWC). */
static size_t place(const struct csl_plan *plan, size_t i) {
    const struct csl_hwc *d = &plan->values[0].dim;
    if (plan->input_rank != 3 || plan->input_channels_last) {
        return i;
    }
    size_t pixels = (size_t)d->h * d->w;
    return i % pixels * d->c + i / pixels;
}

enum csl_err csl_plan_encode_input(const struct csl_plan *plan, int64_t *out, const float *x, uint32_t batch,
                                   struct csl_diag *diag) {
    size_t n_in = csl_plan_n_inputs(plan);
    size_t n = n_in * batch;
    int frac = (int)csl_plan_input_frac(plan);
    for (size_t i = 0; i < n; i++) {
        double v = (double)x[i];
        /* The interval's ends are doubles; the nearest float may lie half a float unit beyond. */
        if (!(v >= (double)(float)plan->input.lo && v <= (double)(float)plan->input.hi)) {
            memset(out, 0, n * sizeof *out);
            return csl_fail(diag, CSL_EDATA,
                            "input %zu, element %zu is %g; the network takes %g to %g: is the "
                            "normalisation right?",
                            i / n_in, i % n_in, v, plan->input.lo, plan->input.hi);
        }
        v = fmin(fmax(v, plan->input.lo), plan->input.hi);
        out[i / n_in * n_in + place(plan, i % n_in)] = (int64_t)llrint(ldexp(v, frac));
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
