/* Secure evaluation: the steps of the plan, one after another, on shares. */
#include "nn/infer.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "mpc/correlation.h"
#include "mpc/linear.h"
#include "mpc/relu.h"
#include "mpc/ring.h"
#include "nn/plan_internal.h"

struct infer {
    struct csl_session *s;
    const struct csl_plan *plan;
    const struct csl_model_share *share;
    struct csl_corr *corr;
    size_t batch;
    size_t demand;                    /* the next */
    const uint64_t *x;                /* value 0, the caller's */
    uint64_t *v[CSL_PLAN_MAX_VALUES]; /* the others, until their last use */
};

static const uint64_t *value(const struct infer *f, uint32_t i) {
    return i == 0 ? f->x : f->v[i];
}

enum csl_err csl_infer_prepare(struct csl_corr *corr, const struct csl_model_share *share,
                               struct csl_diag *diag) {
    if (!share->opened) {
        return csl_fail(diag, CSL_EINTERNAL, "the model's weights are not open yet");
    }
    for (uint32_t d = 0; d < share->n_layers; d++) {
        TRY(csl_corr_bind_weights(corr, share->layers[d].demand, share->layers[d].e, diag)); /* L2 */
    }
    return CSL_OK;
}

void csl_infer_warm(const struct csl_model_share *share) {
    enum { WORDS = 3 << 16, LINE = 8 }; /* 1.5 MiB: what a core's own cache may keep */
    size_t left = WORDS;
    for (uint32_t d = 0; d < share->n_layers; d++) {
        const struct csl_layer_share *l = &share->layers[d];
        size_t n = l->n_w < left ? l->n_w : left;
        for (size_t i = 0; i < n; i += LINE) {
            __builtin_prefetch(l->w + i, 0, 2);
        }
        left -= n;
    }
}

static enum csl_err no_memory(struct infer *f) {
    return csl_session_fail(f->s, CSL_ENOMEM, "no memory for a batch of %zu", f->batch);
}

/* ---- steps ---- */

/* y = conv(x, W) + b */
static enum csl_err linear(struct infer *f, uint64_t *y, const struct csl_step *step) {
    const struct csl_layer_share *l = &f->share->layers[step->layer];
    struct csl_linear layer = {.w = l->w, .bias = l->b, .conv = l->shape, .bits = l->bits};
    return csl_linear_forward(f->s, y, &layer, value(f, step->in[0]), f->corr, f->demand++);
}

/* y = c0 + sum_j slope_j * (max(x - knot_j, 0) >> f): all arms in one comparison of n_arms * n elements */
static enum csl_err pwl(struct infer *f, uint64_t *y, const struct csl_step *step, size_t n) {
    const struct csl_arm *arms = f->plan->arms + step->first_arm;
    const uint64_t *x = value(f, step->in[0]);
    size_t n_arms = step->n_arms;
    uint64_t one = f->s->self == 0;
    uint64_t mask = csl_ring_mask(step->trunc.out_bits);
    uint64_t *z = csl_secret_alloc(f->batch * n * n_arms, sizeof *z);
    if (z == NULL) {
        return no_memory(f);
    }
    for (size_t i = 0; i < f->batch * n * n_arms; i++) {
        size_t j = i / n % n_arms;
        z[i] = x[i / (n * n_arms) * n + i % n] - one * (uint64_t)arms[j].knot;
    }
    enum csl_err err = csl_relu(f->s, z, z, f->corr, f->demand++); /* T1..T5 */
    for (size_t i = 0; i < f->batch * n && err == CSL_OK; i++) {
        y[i] = one * (uint64_t)step->c0;
        for (size_t j = 0; j < n_arms; j++) {
            y[i] += z[(i / n * n_arms + j) * n + i % n] * (uint64_t)arms[j].slope;
        }
        y[i] &= mask;
    }
    csl_secret_free(z);
    return err;
}

/* a = max(a, b), n pairs an inference in one step: M1, or b + relu((a - b) << 1), which is exact. */
static enum csl_err max_level(struct infer *f, uint64_t *a, const uint64_t *b, const struct csl_step *step,
                              size_t n) {
    unsigned bits = step->trunc.out_bits;
    if (!step->exact) {
        return csl_max(f->s, a, a, b, f->corr, f->demand++);
    }
    for (size_t i = 0; i < n; i++) {
        a[i] = (a[i] - b[i]) << 1;
    }
    TRY(csl_relu(f->s, a, a, f->corr, f->demand++));
    csl_add_mod(a, a, b, n, bits);
    return CSL_OK;
}

/* The windows of a maximum, each a list of elements: what is left of them, and the pairs of one level. */
struct tree {
    size_t windows; /* of the whole batch */
    size_t m;       /* elements of each list */
    uint64_t *v, *a, *b;
};

/* The first level's pairs straight from the pictures; an odd tap waits in v. */
static void gather_pairs(const struct infer *f, struct tree *t, const uint64_t *x,
                         const struct csl_step *step, const uint32_t *index) {
    size_t each = csl_conv_inputs(&step->shape), n = t->windows / f->batch, pairs = csl__pairs(t->m);
    uint64_t *a = t->a, *b = t->b, *rest = t->v;
    for (size_t row = 0; row < f->batch; row++, x += each) {
        const uint32_t *at = index;
        for (size_t w = 0; w < n; w++) {
            for (size_t p = 0; p < pairs; p++, at += 2) {
                *a++ = x[at[0]];
                *b++ = x[at[1]];
            }
            if (t->m % 2 != 0) {
                *rest++ = x[*at++];
            }
        }
    }
}

/* The lists after a level whose larger halves stand in a. */
static void after_level(struct tree *t) {
    if (t->m % 2 == 0) {
        uint64_t *larger = t->a;
        t->a = t->v;
        t->v = larger;
    } else {
        csl__level_join(t->v, t->a, t->windows, t->m);
    }
    t->m = csl__after_level(t->m);
}

/* Lists of one odd element become lists of all that is left; backwards, since they grow in place. */
static void join_rest(struct tree *t) {
    size_t pairs = csl__pairs(t->m), left = csl__after_level(t->m);
    for (size_t i = t->windows; i-- > 0;) {
        t->v[i * left + pairs] = t->v[i];
        memcpy(t->v + i * left, t->a + i * pairs, pairs * sizeof *t->v);
    }
    t->m = left;
}

static enum csl_err run_tree(struct infer *f, struct tree *t, const struct csl_step *step,
                             const uint32_t *index) {
    gather_pairs(f, t, value(f, step->in[0]), step, index);
    if (t->m == 1) {
        return CSL_OK;
    }
    TRY(max_level(f, t->a, t->b, step, t->windows * csl__pairs(t->m)));
    if (t->m % 2 == 0) {
        after_level(t);
    } else {
        join_rest(t);
    }
    while (t->m > 1) {
        csl__level_split(t->a, t->b, t->v, t->windows, t->m);
        TRY(max_level(f, t->a, t->b, step, t->windows * csl__pairs(t->m)));
        after_level(t);
    }
    return CSL_OK;
}

/* y = max over windows: a balanced tree of comparisons, the pairs of one level at once */
static enum csl_err maximum(struct infer *f, uint64_t *y, const struct csl_step *step, size_t n) {
    size_t taps = csl__taps(&step->shape), windows = f->batch * n, room = windows * csl__after_level(taps);
    uint32_t *index = csl__window_index(&step->shape, true);
    uint64_t *all = csl_secret_alloc(room, 3 * sizeof *all);
    struct tree t = {.windows = windows, .m = taps, .v = all, .a = all + room, .b = all + 2 * room};
    enum csl_err err = index == NULL || all == NULL ? no_memory(f) : run_tree(f, &t, step, index);
    if (err == CSL_OK) {
        csl_reduce_mod(y, t.v, windows, step->trunc.out_bits);
    }
    free(index);
    csl_secret_free(all);
    return err;
}

static enum csl_err local(struct infer *f, uint64_t *y, const struct csl_step *step, unsigned bits) {
    const uint64_t *x[CSL_NETWORK_MAX_INPUTS];
    for (unsigned j = 0; j < step->n_in; j++) {
        x[j] = value(f, step->in[j]);
    }
    enum csl_err err = csl__local_step(y, x, f->plan, step, f->batch, bits);
    return err == CSL_OK ? CSL_OK : csl_session_fail(f->s, err, "no memory for a local step");
}

static enum csl_err run_step(struct infer *f, uint64_t *y, const struct csl_step *step,
                             const struct csl_value *out) {
    const uint64_t *x = value(f, step->in[0]);
    switch (step->kind) {
    case CSL_STEP_LINEAR:
        return linear(f, y, step); /* L3, L4 */
    case CSL_STEP_RELU:
        return csl_relu(f->s, y, x, f->corr, f->demand++); /* T1..T5 */
    case CSL_STEP_TRUNC:
        return csl_trunc(f->s, y, x, f->corr, f->demand++); /* T6 */
    case CSL_STEP_PWL:
        return pwl(f, y, step, csl__elements(out)); /* T1..T5 */
    case CSL_STEP_MAX:
        return maximum(f, y, step, csl__elements(out)); /* M1 */
    default:
        return local(f, y, step, out->bits);
    }
}

/* ---- arg-max ---- */

/* The class numbers of one level: shares of public numbers, which party 0 holds. */
static void class_numbers(const struct infer *f, uint64_t *payload, size_t n) {
    for (size_t i = 0; i < f->batch * n; i++) {
        payload[i] = f->s->self == 0 ? i % n : 0;
    }
}

/* y = index of the largest of n outputs, mod 2^label_bits: the tree of a maximum, its payload along. */
static enum csl_err arg_max(struct infer *f, uint64_t *y, const uint64_t *outputs) {
    struct csl__label p = csl__label_params(f->plan);
    size_t n = csl_plan_n_outputs(f->plan);
    size_t total = f->batch * n;
    uint64_t *v = csl_secret_alloc(total, 4 * sizeof *v); /* values, numbers; and a level of both */
    if (v == NULL) {
        return no_memory(f);
    }
    uint64_t *number = v + total;
    enum csl_err err = CSL_OK;
    for (size_t i = 0; i < total; i++) {
        v[i] = outputs[i] << p.shift;
    }
    class_numbers(f, number, n);
    for (size_t m = n; m > 1 && err == CSL_OK; m = csl__after_level(m)) {
        size_t pairs = f->batch * csl__pairs(m);
        uint64_t *a = number + total, *b = a + pairs, *na = b + pairs, *nb = na + pairs;
        csl__level_split(a, b, v, f->batch, m);
        csl__level_split(na, nb, number, f->batch, m);
        err = csl_argmax_step(f->s, a, na, a, na, b, nb, f->corr, f->demand++); /* M2 */
        csl__level_join(v, a, f->batch, m);
        csl__level_join(number, na, f->batch, m);
    }
    if (err == CSL_OK) {
        csl_reduce_mod(y, number, f->batch, csl_plan_label_bits(f->plan));
    }
    csl_secret_free(v);
    return err;
}

/* ---- a batch ---- */

static void drop(struct infer *f, uint32_t i) {
    csl_secret_free(f->v[i]);
    f->v[i] = NULL;
}

/* The network, a line a step; each value is wiped after its last use. */
static enum csl_err forward(struct infer *f) {
    const struct csl_plan *plan = f->plan;
    uint32_t last[CSL_PLAN_MAX_VALUES];
    csl__last_uses(last, plan);
    for (uint32_t i = 0; i < plan->n_steps; i++) {
        const struct csl_step *step = &plan->steps[i];
        const struct csl_value *out = &plan->values[i + 1];
        f->v[i + 1] = csl_secret_alloc(f->batch * csl__elements(out), sizeof *f->v[0]);
        if (f->v[i + 1] == NULL) {
            return no_memory(f);
        }
        TRY(run_step(f, f->v[i + 1], step, out));
        for (unsigned j = 0; j < step->n_in; j++) {
            if (last[step->in[j]] == i) {
                drop(f, step->in[j]);
            }
        }
    }
    return CSL_OK;
}

static bool same_demand(const struct csl_demand *a, const struct csl_demand *b) {
    bool same = a->kind == b->kind && a->bits == b->bits && a->count == b->count && a->form == b->form &&
                memcmp(&a->trunc, &b->trunc, sizeof a->trunc) == 0;
    return same && memcmp(&a->conv, &b->conv, sizeof a->conv) == 0; /* 32-bit fields, no padding */
}

/* How many demands the plan has; more than there are is as good as none. */
static size_t count_demands(const struct csl_plan *plan, bool reveal_label) {
    size_t n = 0;
    for (uint32_t i = 0; i < plan->n_steps; i++) {
        n += csl__step_n_demands(&plan->steps[i]);
    }
    for (size_t m = csl_plan_n_outputs(plan); reveal_label && m > 1; m = csl__after_level(m)) {
        n++;
    }
    return n;
}

/* The correlations are those of this plan: their shapes decide how much the protocol steps write. */
static bool same_demands(const struct csl_plan *plan, enum csl_profile profile, bool reveal_label,
                         const struct csl_corr *corr) {
    size_t n = count_demands(plan, reveal_label);
    if (n != csl_corr_n_demands(corr) || (unsigned)profile >= CSL_PROFILE_COUNT) {
        return false;
    }
    struct csl_demand *demands =
        calloc(n + 1, sizeof *demands); /* of so many, not of the most there can be */
    bool same = demands != NULL &&
                csl__plan_list_demands(plan, profile, reveal_label, demands, &n) == CSL_OK &&
                n == csl_corr_n_demands(corr);
    for (size_t i = 0; same && i < n; i++) {
        same = same_demand(&demands[i], csl_corr_demand(corr, i));
    }
    free(demands);
    return same;
}

static bool same_layers(const struct csl_plan *plan, const struct csl_model_share *share) {
    bool same = share->n_layers == plan->n_layers;
    for (uint32_t i = 0; same && i < plan->n_steps; i++) {
        const struct csl_step *step = &plan->steps[i];
        if (step->kind == CSL_STEP_LINEAR) {
            const struct csl_layer_share *l = &share->layers[step->layer];
            same = memcmp(&l->shape, &step->shape, sizeof l->shape) == 0 && l->bits == step->l_bits;
        }
    }
    return same;
}

enum csl_err csl_infer(struct csl_session *s, uint64_t *y, const struct csl_plan *plan,
                       const struct csl_model_share *share, struct csl_corr *corr, const uint64_t *x,
                       enum csl_profile profile, bool reveal_label) {
    struct infer f = {
        .s = s, .plan = plan, .share = share, .corr = corr, .batch = csl_corr_batch(corr), .x = x};
    size_t n_y = f.batch * (reveal_label ? 1 : csl_plan_n_outputs(plan));
    memset(y, 0, n_y * sizeof *y);
    TRY(csl_session_error(s));
    if (!same_demands(plan, profile, reveal_label, corr)) {
        return csl_session_fail(s, CSL_EINTERNAL, "the correlations were not made for this plan");
    }
    if (!same_layers(plan, share)) {
        return csl_session_fail(s, CSL_EINTERNAL, "the model's share is not of this plan");
    }
    enum csl_err err = forward(&f);
    if (err == CSL_OK && reveal_label) {
        err = arg_max(&f, y, value(&f, plan->n_steps));
    } else if (err == CSL_OK) {
        memcpy(y, value(&f, plan->n_steps), n_y * sizeof *y);
    }
    if (err != CSL_OK) {
        csl_wipe(y, n_y * sizeof *y);
    }
    for (uint32_t i = 0; i <= plan->n_steps; i++) {
        drop(&f, i);
    }
    return err;
}
