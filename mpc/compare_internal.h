/* The sign of masked differences, shared by ReLU, maximum and arg-max (docs/protocol.md, T1 to T4, T8).
 *
 * Every phase between two rounds walks the elements block by block: from the messages that came, over all of
 * its steps, to the message that goes out, and wipes there what nobody needs any more. So a block and its
 * correlations stay in the core's cache, however many there are.
 *
 * The caller queues the opening of c = z + r mod 2^l and notes it in `opened_c` (and that of a payload in
 * `opened_v`); the tables are read at the digits of c' = (c >> cut) >> shift.
 */
#ifndef CSL_MPC_COMPARE_INTERNAL_H
#define CSL_MPC_COMPARE_INTERNAL_H

#include "mpc/correlation_internal.h"
#include "mpc/relu_kernels.h"
#include "mpc/round_internal.h"

enum {
    CSL__BLOCK = 1024, /* elements; a multiple of 64. With their correlations they fit into 256 KiB */
    CSL__BLOCK_WORDS = CSL__BLOCK / 64,
    CSL__MAX_INPUTS = 2 * (CSL_MAX_DIGITS - 1)
};
_Static_assert(CSL__MAX_INPUTS >= 2 * CSL_WAN_MAX_DIGITS - 1, "inputs of both forms");

/* One call's shapes and scratch. Everything of a row is `count` elements, or planes of n_words. */
struct csl__compare {
    struct csl_session *s;
    struct csl__corr_demand *t;
    const struct csl_trunc_params *params;
    const struct csl__relu_kernels *kernels;
    struct csl__products products;   /* lan form */
    struct csl__monomials monomials; /* wan form */
    size_t batch;
    size_t count;
    size_t n_words;
    unsigned n_inputs; /* of the opening u */
    unsigned cut;      /* from the opened c to `c` */
    unsigned shift;    /* from `c` to c' */
    uint64_t one;      /* a share of the constant 1: 1 at party 0, else 0 */
    uint64_t *c;       /* batch x count, public: the opened c without its low bits */
    uint64_t *v;       /* batch x count, public: the opened payload; or NULL */
    uint64_t *b;       /* batch planes, lan form: <lt_{D-1}> ^ c'_{k-1} */
    struct csl__opening opened_c, opened_v, u, e;
    uint8_t *wire; /* of the opening that is being made */
};

/* Takes the scratch from the session; c, the caller's, may be NULL for scratch too. Fields of t by their
 * CSL_RELU numbers. No memory poisons the session. */
CSL_MUST_CHECK enum csl_err csl__compare_init(struct csl__compare *j, struct csl_session *s,
                                              struct csl__corr_demand *t, size_t batch, uint64_t *c,
                                              bool payload);

/* Wipes the scratch, after a success. */
void csl__compare_done(struct csl__compare *j);

static inline bool csl__compare_is_wan(const struct csl__compare *j) {
    return j->t->demand.form == CSL_FORM_WAN;
}

/* n elements of a row from `first` on, a multiple of 64, of which there are at most CSL__BLOCK; or n_rows
 * whole rows, of at most CSL__BLOCK elements together. */
struct csl__block {
    size_t row, n_rows;
    size_t first, n;
};

/* Local work on a block. */
typedef void csl__block_fn(const struct csl__compare *j, void *arg, const struct csl__block *b);

/* Does it for all blocks of all rows, over the pool's threads where it is worth it. */
void csl__compare_blocks(const struct csl__compare *j, csl__block_fn *fn, void *arg, double ns_each);

/* The block's part of these fields dies here; when it has for all blocks, they are wiped. */
void csl__compare_wipe(const struct csl__compare *j, const struct csl__block *b, const uint8_t *fields,
                       size_t n_fields);
void csl__compare_wiped(const struct csl__compare *j, const uint8_t *fields, size_t n_fields);

/* Lan form, T2..T4, two rounds or one: e is 1 where z + (r mod 2^f) is negative, XOR beta. Then c and v are
 * there. */
CSL_MUST_CHECK enum csl_err csl__compare_sign(struct csl__compare *j);

/* Wan form, T2 and the round u. */
CSL_MUST_CHECK enum csl_err csl__compare_inputs(struct csl__compare *j);

/* T8 for a row of a block: y = keep (opened - r) mod 2^bits, and T5's wrap where the demand has it. r, s_r
 * and a_r are field numbers. */
struct csl__compare_fields {
    unsigned r, s_r, a_r;
    unsigned bits;
};
void csl__compare_select(const struct csl__compare *j, uint64_t *y, const uint64_t *opened, size_t row,
                         const struct csl__block *b, const struct csl__compare_fields *f);

/* Takes a demand out of corr, runs the step, and uses the demand up whatever happens. */
typedef enum csl_err csl__step_fn(struct csl_session *s, struct csl__corr_demand *t, size_t batch, void *arg);
CSL_MUST_CHECK enum csl_err csl__step_run(struct csl_session *s, struct csl_corr *corr, size_t demand,
                                          enum csl_demand_kind kind, csl__step_fn *step, void *arg);

#endif
