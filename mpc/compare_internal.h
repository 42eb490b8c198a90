/* The sign of masked differences, shared by ReLU, maximum and arg-max (docs/protocol.md, T1 to T4, T8).
 *
 * The caller has opened c = z + r mod 2^l into `c` (a ReLU already without its low f bits); the tables are
 * read at the digits of c' = c >> shift.
 */
#ifndef CSL_MPC_COMPARE_INTERNAL_H
#define CSL_MPC_COMPARE_INTERNAL_H

#include "mpc/correlation_internal.h"
#include "mpc/relu_kernels.h"

/* One call's shapes and scratch. Everything of a row is `count` elements, or planes of n_words. */
struct csl__compare {
    struct csl_session *s;
    const struct csl__corr_demand *t;
    const struct csl_trunc_params *params;
    const struct csl__relu_kernels *kernels;
    struct csl__products products;
    size_t batch;
    size_t count;
    size_t n_words;
    unsigned n_inputs; /* of the opening u */
    unsigned shift;    /* of c' in c */
    uint64_t one;      /* a share of the constant 1: 1 at party 0, else 0 */
    uint64_t *c;       /* batch x count, public */
    uint64_t *extra;   /* the caller's */
    uint64_t *x;       /* batch x n_inputs planes: <e_1>.., <l_0>.. */
    uint64_t *b;       /* batch planes: <lt_{D-1}>, then <lt>, then <b>; lan form */
    const uint64_t *e; /* batch planes, public; until the next round */
    const uint64_t *u; /* batch x n_inputs planes, public; wan form; until the next round */
};

/* Takes the scratch from the session, and n_extra words for the caller. Fields of t by their CSL_RELU
 * numbers. No memory poisons the session. */
CSL_MUST_CHECK enum csl_err csl__compare_init(struct csl__compare *j, struct csl_session *s,
                                              const struct csl__corr_demand *t, size_t batch, unsigned shift,
                                              size_t n_extra);

static inline bool csl__compare_is_wan(const struct csl__compare *j) {
    return j->t->demand.form == CSL_FORM_WAN;
}

/* Local work on n elements of a row, from `first` on, a multiple of 64. */
typedef void csl__range_fn(const struct csl__compare *j, void *arg, size_t row, size_t first, size_t n);

/* Does it for all elements of all rows, over the pool's threads where it is worth it. */
void csl__compare_split(const struct csl__compare *j, csl__range_fn *fn, void *arg, double ns_each);

/* Lan form, T2..T4, two rounds or one: e is 1 where z + (r mod 2^f) is negative, XOR beta. */
CSL_MUST_CHECK enum csl_err csl__compare_sign(struct csl__compare *j);

/* Wan form, T2 and the round u. */
CSL_MUST_CHECK enum csl_err csl__compare_inputs(struct csl__compare *j);

/* T8: y = keep (opened - r) mod 2^bits, and T5's wrap where the demand has it; batch x count elements. r, s_r
 * and a_r are field numbers. */
struct csl__compare_fields {
    unsigned r, s_r, a_r;
    unsigned bits;
};
void csl__compare_select(const struct csl__compare *j, uint64_t *y, const uint64_t *opened,
                         const struct csl__compare_fields *f);

/* Takes a demand out of corr, runs the step, and uses the demand up whatever happens. */
typedef enum csl_err csl__step_fn(struct csl_session *s, const struct csl__corr_demand *t, size_t batch,
                                  void *arg);
CSL_MUST_CHECK enum csl_err csl__step_run(struct csl_session *s, struct csl_corr *corr, size_t demand,
                                          enum csl_demand_kind kind, csl__step_fn *step, void *arg);

#endif
