/* Piecewise-linear functions: exact ones (Clip, LeakyRelu, HardSigmoid) and approximations (ELU, Sigmoid,
 * Tanh); docs/approximations.md. */
#include <math.h>
#include <string.h>

#include "nn/plan_internal.h"

double csl__function_at(enum csl_function fn, double a, double b, double x) {
    switch (fn) {
    case CSL_FN_RELU:
        return fmax(x, 0);
    case CSL_FN_CLIP:
        return fmin(fmax(x, a), b);
    case CSL_FN_LEAKY_RELU:
        return x < 0 ? a * x : x;
    case CSL_FN_ELU:
        return x < 0 ? a * expm1(x) : x;
    case CSL_FN_SIGMOID:
        return 1 / (1 + exp(-x));
    case CSL_FN_TANH:
        return tanh(x);
    case CSL_FN_HARD_SIGMOID:
        return fmax(0, fmin(1, a * x + b));
    default:
        return NAN;
    }
}

static void arm(struct csl__pwl *p, double knot, double slope) {
    if (slope != 0 && p->n < CSL__MAX_ARMS) {
        p->knot[p->n] = knot;
        p->slope[p->n] = slope;
        p->n++;
    }
}

static double pwl_at(const struct csl__pwl *p, double x) {
    double y = p->c0;
    for (unsigned j = 0; j < p->n; j++) {
        y += p->slope[j] * fmax(x - p->knot[j], 0);
    }
    return y;
}

/* ---- exact ---- */

/* Continuous: slope `left` from lo on, then the slopes behind two corners. */
static void corners(struct csl__pwl *p, double lo, double at_lo, double left, double knot1, double slope1,
                    double knot2, double slope2) {
    p->c0 = at_lo;
    arm(p, lo, left);
    arm(p, knot1, slope1 - left);
    arm(p, knot2, slope2 - slope1);
}

static void make_exact(struct csl__pwl *p, enum csl_function fn, double a, double b, double lo, double hi) {
    if (fn == CSL_FN_CLIP) { /* bounds may be infinite */
        a = fmax(a, lo - 1);
        b = fmin(b, hi + 1);
    }
    switch (fn) {
    case CSL_FN_RELU:
        corners(p, lo, 0, 0, 0, 1, 0, 1);
        break;
    case CSL_FN_CLIP:
        corners(p, lo, a < b ? a : b, 0, a, a < b ? 1 : 0, b, 0);
        break;
    case CSL_FN_LEAKY_RELU:
        if (lo >= 0) {
            corners(p, lo, lo, 1, 0, 1, 0, 1);
        } else {
            corners(p, lo, a * lo, a, 0, 1, 0, 1);
        }
        break;
    default: /* HardSigmoid */
        if (a == 0) {
            p->c0 = csl__function_at(fn, a, b, 0);
        } else {
            double zero = -b / a;
            double one = (1 - b) / a;
            corners(p, lo, a > 0 ? 0 : 1, 0, fmin(zero, one), a, fmax(zero, one), 0);
        }
        break;
    }
}

/* ---- approximated ---- */

enum { GRID = 2048 };

/* Knots so that each segment has the same share of the integral of sqrt(|f''|): then the largest distances of
 * all segments are equal, which is the best there is. */
static void place_knots(double *t, unsigned n, enum csl_function fn, double a, double lo, double hi) {
    static const double least = 1e-3; /* flat parts get knots too */
    double h = (hi - lo) / GRID;
    double sum[GRID + 1];
    sum[0] = 0;
    for (int i = 0; i < GRID; i++) {
        double x = lo + (i + 0.5) * h;
        double d = fmin(1e-3, h); /* stays on one side of ELU's corner */
        double bend = (csl__function_at(fn, a, 0, x - d / 2) + csl__function_at(fn, a, 0, x + d / 2) -
                       2 * csl__function_at(fn, a, 0, x)) *
                      4 / (d * d);
        sum[i + 1] = sum[i] + sqrt(fabs(bend)) + least;
    }
    int at = 0;
    for (unsigned j = 0; j <= n; j++) {
        double want = sum[GRID] * j / n;
        while (at < GRID && sum[at + 1] < want) {
            at++;
        }
        double part = at < GRID ? (want - sum[at]) / (sum[at + 1] - sum[at]) : 0;
        t[j] = j == 0 ? lo : j == n ? hi : lo + (at + part) * h;
    }
}

/* How far the chord's middle lies above the function. */
static double chord_error(enum csl_function fn, double a, double left, double right) {
    double middle = (csl__function_at(fn, a, 0, left) + csl__function_at(fn, a, 0, right)) / 2;
    return middle - csl__function_at(fn, a, 0, (left + right) / 2);
}

/* n segments between saturation points `from` and `to`; flat left of it, slope `right` behind it. The values
 * at knots are moved by half the chords' errors, so that errors of both signs are equal. */
static void make_smooth(struct csl__pwl *p, enum csl_function fn, double a, double lo, double hi, double from,
                        double to, double right) {
    enum { N = CSL__MAX_ARMS - 1 };
    double t[N + 1];
    double v[N + 1];
    *p = (struct csl__pwl){0};
    place_knots(t, N, fn, a, from, to);
    for (unsigned j = 0; j <= N; j++) {
        double before = j == 0 ? 0 : chord_error(fn, a, t[j - 1], t[j]);
        double behind = j == N ? 0 : chord_error(fn, a, t[j], t[j + 1]);
        v[j] = csl__function_at(fn, a, 0, t[j]) - (before + behind) / (j == 0 || j == N ? 2 : 4);
    }
    if (lo < from) {
        v[0] = (csl__function_at(fn, a, 0, lo) + csl__function_at(fn, a, 0, from)) / 2;
    }
    if (fn == CSL_FN_ELU) {
        v[N] = csl__function_at(fn, a, 0, t[N]); /* the line behind it is exact */
    } else if (hi > to) {
        v[N] = (csl__function_at(fn, a, 0, hi) + csl__function_at(fn, a, 0, to)) / 2;
    }
    p->c0 = v[0];
    double slope = 0;
    for (unsigned j = 0; j < N; j++) {
        double next = (v[j + 1] - v[j]) / (t[j + 1] - t[j]);
        arm(p, t[j], next - slope);
        slope = next;
    }
    if (hi > to) {
        arm(p, t[N], right - slope);
    }
}

/* The best saturation point: the nearer, the denser the knots; the farther, the smaller the tails. */
static void make_best(struct csl__pwl *p, enum csl_function fn, double a, double lo, double hi) {
    double best = INFINITY;
    bool elu = fn == CSL_FN_ELU;
    for (double end = 1; end <= 24; end += 0.25) {
        double from = fmax(lo, -end);
        double to = fmin(hi, elu ? 0 : end);
        if (!(from < to)) {
            continue;
        }
        struct csl__pwl try;
        make_smooth(&try, fn, a, lo, hi, from, to, elu ? 1 : 0);
        double error = csl__pwl_error(&try, fn, a, 0, lo, hi);
        if (error < best) {
            best = error;
            *p = try;
        }
    }
    if (best == INFINITY && elu && lo >= 0) {
        corners(p, lo, lo, 1, 0, 1, 0, 1);
    } else if (best == INFINITY) {
        p->c0 = csl__function_at(fn, a, 0, (lo + hi) / 2); /* saturated over the whole range */
    }
}

/* What lies at or left of lo is one straight part; what begins behind hi never matters. */
static void trim(struct csl__pwl *p, double lo, double hi) {
    struct csl__pwl q = {0};
    double slope = 0;
    q.c0 = pwl_at(p, lo);
    for (unsigned j = 0; j < p->n; j++) {
        slope += p->knot[j] <= lo ? p->slope[j] : 0;
    }
    arm(&q, lo, slope);
    for (unsigned j = 0; j < p->n; j++) {
        if (p->knot[j] > lo && p->knot[j] < hi) {
            arm(&q, p->knot[j], p->slope[j]);
        }
    }
    *p = q;
}

void csl__pwl_make(struct csl__pwl *out, enum csl_function fn, double a, double b, double lo, double hi) {
    *out = (struct csl__pwl){0};
    if (fn == CSL_FN_ELU || fn == CSL_FN_SIGMOID || fn == CSL_FN_TANH) {
        make_best(out, fn, a, lo, hi);
    } else {
        make_exact(out, fn, a, b, lo, hi);
    }
    trim(out, lo, hi);
}

/* ---- errors ---- */

static double largest_between(const struct csl__pwl *p, enum csl_function fn, double a, double b, double lo,
                              double hi) {
    double worst = 0;
    for (int i = 0; i <= GRID && lo <= hi; i++) {
        double x = lo + (hi - lo) * i / GRID;
        worst = fmax(worst, fabs(pwl_at(p, x) - csl__function_at(fn, a, b, x)));
    }
    return worst;
}

double csl__pwl_error(const struct csl__pwl *p, enum csl_function fn, double a, double b, double lo,
                      double hi) {
    double worst = largest_between(p, fn, a, b, lo, hi);
    worst = fmax(worst, largest_between(p, fn, a, b, fmax(lo, -8), fmin(hi, 8)));
    for (unsigned j = 0; j < p->n; j++) {
        double x = fmin(fmax(p->knot[j], lo), hi);
        worst = fmax(worst, fabs(pwl_at(p, x) - csl__function_at(fn, a, b, x)));
    }
    return worst;
}
