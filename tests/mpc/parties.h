/* N parties as N threads over the in-memory link, their correlations from the dealer, and helpers to share.
 */
#ifndef CSL_TESTS_MPC_PARTIES_H
#define CSL_TESTS_MPC_PARTIES_H

#include "crypto/prg.h"
#include "mpc/correlation_internal.h"
#include "mpc/dealer.h"
#include "mpc/linear.h"
#include "mpc/link_mem.h"
#include "mpc/relu.h"
#include "mpc/ring.h"
#include "mpc/session.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct party;
typedef enum csl_err party_fn(struct party *p);

struct party {
    struct csl_session s;
    struct csl_corr *corr;
    void *arg; /* of the test, shared by all parties */
    enum csl_err err;
    party_fn *run;
    struct csl_mem_net *net;
};

struct parties {
    unsigned n;
    struct csl_mem_net *net;
    struct party party[CSL_MAX_PARTIES];
};

/* Aborts the test on failure, like everything below. */
void parties_init(struct parties *all, unsigned n);
/* Runs fn at every party, each in its own thread; results in party[i].err. A party whose fn ends
 * with an error leaves the net. */
void parties_run(struct parties *all, party_fn *fn, void *arg);
/* The same, and every party must succeed. */
void parties_run_ok(struct parties *all, party_fn *fn, void *arg);
void parties_clear(struct parties *all);

/* Correlations for all parties from fixed index seeds (`salt` varies them); masks as
 * csl_dealer_corrections(). */
void parties_deal(struct parties *all, const struct csl_demand *demands, size_t n_demands,
                  const uint64_t *const *masks, size_t batch, uint32_t salt);
/* Index seed of a party and row as parties_deal() uses it: both keys of it. */
void test_seed(uint8_t seed[CSL_INDEX_SEED_BYTES], uint32_t salt, size_t row, unsigned party);

/* Deterministic pseudo-random words (a PRG of its own stream). */
void test_random(uint64_t *out, size_t n, unsigned bits, uint32_t stream);

/* A dealt share of one field as a fixed function of what the party holds (`own`): for exhaustive tests. */
uint64_t test_dealt_share(uint64_t own, unsigned field, unsigned plane);

/* shares[p] (n words each, allocated here; free with free_shares) of x mod 2^bits. */
void make_shares(uint64_t *shares[CSL_MAX_PARTIES], unsigned n_parties, const uint64_t *x, size_t n,
                 unsigned bits, uint32_t stream);
uint64_t *alloc_words(size_t n);
void alloc_shares(uint64_t *shares[CSL_MAX_PARTIES], unsigned n_parties, size_t n);
void free_shares(uint64_t *shares[CSL_MAX_PARTIES], unsigned n_parties);
/* out = sum of shares mod 2^bits */
void join_shares(uint64_t *out, uint64_t *const shares[CSL_MAX_PARTIES], unsigned n_parties, size_t n,
                 unsigned bits);
/* out = one field of all rows, put together from all parties (sum or XOR); before the field is used */
void join_field(uint64_t *out, const struct parties *all, size_t demand, unsigned field);

#endif
