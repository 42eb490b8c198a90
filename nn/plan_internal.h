/* Shared inside nn: what the parts of the plan compiler and the evaluators have in common. */
#ifndef CSL_NN_PLAN_INTERNAL_H
#define CSL_NN_PLAN_INTERNAL_H

#include "nn/eval.h"

/* Largest quantised weight, bias, factor and input, and largest end of an interval: sums over 2^24 of their
 * products stay within 128 bits, and every interval within 64. */
#define CSL__MAX_WEIGHT ((int64_t)1 << 40)
#define CSL__MAX_BIAS ((int64_t)1 << 60)
#define CSL__MAX_INPUT ((int64_t)1 << 40)
#define CSL__MAX_BOUND ((int64_t)1 << 61)

__extension__ typedef __int128 csl__wide;

/* ---- windows (MAX, SUM, PAD) ---- */

/* Input element of each window position of each output element: outputs x taps, taps = kernel_h * kernel_w,
 * malloc'ed. Positions outside the picture: the window's nearest inside (clamp), or CSL__OUTSIDE. NULL
 * without memory. Of a checked step. */
#define CSL__OUTSIDE UINT32_MAX
uint32_t *csl__window_index(const struct csl_conv_shape *s, bool clamp);

static inline size_t csl__taps(const struct csl_conv_shape *s) {
    return (size_t)s->kernel_h * s->kernel_w;
}

/* Every window has an element inside the picture. */
bool csl__windows_touch(const struct csl_conv_shape *s);

/* Positions of the window of output element i that are inside. */
uint32_t csl__window_count(const uint32_t *index, size_t taps, size_t i);

/* ---- trees of comparisons (MAX, arg-max) ---- */

static inline size_t csl__pairs(size_t m) {
    return m / 2;
}
/* Elements that are left of m after one level. */
static inline size_t csl__after_level(size_t m) {
    return m - m / 2;
}
/* One level of n lists of m elements: their pairs, and the lists that remain (in place). */
void csl__level_split(uint64_t *a, uint64_t *b, const uint64_t *v, size_t n, size_t m);
void csl__level_join(uint64_t *v, const uint64_t *max, size_t n, size_t m);

/* Arg-max of the outputs: values are shifted up by `shift`, the top k of k + f bits compared. */
struct csl__label {
    unsigned shift, k, f;
};
struct csl__label csl__label_params(const struct csl_plan *plan);

/* csl_plan_demands of a plan that is known to be good; CSL_EDATA for more than CSL_PLAN_MAX_DEMANDS. */
CSL_MUST_CHECK enum csl_err csl__plan_list_demands(const struct csl_plan *plan, enum csl_profile profile,
                                                   bool reveal_label, struct csl_demand *out, size_t *n_out);
/* How many of them a step has. */
size_t csl__step_n_demands(const struct csl_step *step);

/* ---- local steps (SUM, ADD, CONCAT, PAD), mod 2^bits, on shares or on clear integers alike ---- */

/* x[i]: batch rows of input i. CSL_ENOMEM. */
CSL_MUST_CHECK enum csl_err csl__local_step(uint64_t *y, const uint64_t *const *x,
                                            const struct csl_plan *plan, const struct csl_step *step,
                                            size_t batch, unsigned bits);

static inline size_t csl__elements(const struct csl_value *v) {
    return (size_t)v->dim.h * v->dim.w * v->dim.c;
}
/* The last step that reads each value (n_steps: the output; 0 for none and for the first step's). */
void csl__last_uses(uint32_t last[CSL_PLAN_MAX_VALUES], const struct csl_plan *plan);

/* ---- convolutions in clear ---- */

/* Calls fn for every product: y[0..n) += x * w[0..n), all as element numbers. */
typedef void csl__conv_fn(void *ctx, size_t y, size_t x, size_t w, size_t n);
void csl__conv_each(const struct csl_conv_shape *s, csl__conv_fn *fn, void *ctx);

/* ---- intervals ---- */

/* Per element: the interval in units, and the variance of the rounding noise in units squared. */
struct csl__range {
    size_t n;
    int64_t *lo, *hi;
    double *noise;
};
void csl__range_clear(struct csl__range *r);
CSL_MUST_CHECK enum csl_err csl__range_init(struct csl__range *r, size_t n);

struct csl__extremes {
    int64_t lo, hi;
    double noise;
};
struct csl__extremes csl__extremes_of(const struct csl__range *r);

/* The range of the step's result, whose value stands in the plan already; q for LINEAR. CSL_EDATA without a
 * diag when it exceeds CSL__MAX_BOUND. */
CSL_MUST_CHECK enum csl_err csl__range_step(struct csl__range *out, const struct csl_plan *plan,
                                            const struct csl_step *step, const struct csl__range *ranges,
                                            const struct csl_layer_qweights *q);

/* What lo..hi of a ring of l bits are used for: plain, T1 and T6 that cut f bits, M1. */
enum csl__use { CSL__PLAIN, CSL__RELU, CSL__TRUNC, CSL__MAX };
bool csl__fits(enum csl__use use, csl__wide lo, csl__wide hi, unsigned l, unsigned f);
/* How far T1's shift of single shares may move z either way, for any number of parties. */
static inline int64_t csl__shift_margin(unsigned f) {
    return f > CSL_GUARD_BITS ? (int64_t)CSL_MAX_PARTIES << (f - CSL_GUARD_BITS - 1) : 0;
}
/* Smallest ring for lo..hi. May exceed CSL_PLAN_MAX_BITS. */
unsigned csl__bits_for(enum csl__use use, csl__wide lo, csl__wide hi, unsigned f);

/* Interval of a - b over all pairs of a window. */
void csl__difference(csl__wide *lo, csl__wide *hi, const struct csl__range *x,
                     const struct csl_conv_shape *s);

/* ---- piecewise-linear functions ---- */

enum { CSL__MAX_ARMS = 24 };

/* y = c0 + sum slope_j * max(x - knot_j, 0), over lo..hi. */
struct csl__pwl {
    unsigned n;
    double c0;
    double knot[CSL__MAX_ARMS], slope[CSL__MAX_ARMS];
};
void csl__pwl_make(struct csl__pwl *out, enum csl_function fn, double a, double b, double lo, double hi);
/* Largest distance from the function over lo..hi, by dense sampling. */
double csl__pwl_error(const struct csl__pwl *p, enum csl_function fn, double a, double b, double lo,
                      double hi);
double csl__function_at(enum csl_function fn, double a, double b, double x);

/* ---- the rest ---- */

/* rounds and online_bytes of each step of a checked plan, and of the arg-max in steps[n_steps]. */
CSL_MUST_CHECK enum csl_err csl__cost_steps(const struct csl_plan *plan, struct csl_cost *steps,
                                            uint32_t batch, enum csl_profile profile, bool reveal_label);

/* One layer of csl_quantise. CSL_EDATA also with diag NULL. */
CSL_MUST_CHECK enum csl_err csl__quantise_layer(struct csl_layer_qweights *q, const struct csl_step *step,
                                                unsigned x_frac, const struct csl_layer_weights *weights,
                                                struct csl_diag *diag);
void csl__qlayer_clear(struct csl_layer_qweights *q);

#endif
