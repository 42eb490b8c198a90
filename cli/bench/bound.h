/* The least time that a workload can take on this machine, from what it sends and multiplies.
 *
 *   bound = (r - 1 + min(1, C/N)) t0 + r d + max(8 B / rate, B s + N/C w),   w = max(sum m_i / p_i, V / v)
 *
 * r openings, B bytes to each peer in all of them; N parties on C cores, which share the cores equally;
 * t0: an exchange round of N processes with 16 bytes, s: what a byte to each peer adds to a round, the least
 *     slope between 16 bytes and a message of 8 KiB or more: both measured with N processes on these cores,
 *     so that the sharing is in them;
 * d, rate: half a round trip and the line's rate (0 and none without a network between);
 * m_i: products of one party in rings of at most 32, 52 and 64 bits, p_i the best rate of one core for them;
 * V: bytes of a party's weights, packed, v the rate at which a core reads so many again and again.
 * min(1, C/N): where parties take turns on the cores, all but the last one may have done their part of the
 * first round before the clock starts, which is when the last party holds its input. The output's way to the
 * client is not in it: what is measured online ends when the outputs are sent.
 */
#ifndef CSL_CLI_BENCH_BOUND_H
#define CSL_CLI_BENCH_BOUND_H

#include "cli/bench/machine.h"
#include "cli/bench/net.h"
#include "nn/plan.h"

enum { CSL_BENCH_RINGS = 3 }; /* up to 32, 52, 64 bits */

struct csl_bench_work {
    unsigned n_parties;
    uint32_t openings;
    uint64_t bytes;                      /* to each peer */
    double products[CSL_BENCH_RINGS];    /* of one party */
    uint64_t weight_bytes;               /* of one party's share, read once */
    const struct csl_bench_profile *net; /* NULL: loopback */
};

/* Rounds and bytes by csl_plan_cost, products and weights by the plan's demands. */
CSL_MUST_CHECK enum csl_err csl_bench_work_of(struct csl_bench_work *out, const struct csl_plan *plan,
                                              unsigned n_parties, uint32_t batch, enum csl_profile profile);

/* What a party polling, a party sleeping, and the better of both can reach. */
enum csl_bench_way { CSL_BENCH_SPIN, CSL_BENCH_BLOCK, CSL_BENCH_BEST };

struct csl_bench_bound {
    const char *waiting;          /* "polling" or "sleeping": whose t0 it is */
    double round_us, us_per_byte; /* t0, s */
    double rounds_ms;             /* (r - 1 + min(1, C/N)) t0 + r d */
    double bytes_ms;              /* B s */
    double wire_ms;               /* 8 B / rate */
    double compute_ms;            /* N/C w */
    double bound_ms;
};
/* work's n_parties is the probe's. */
struct csl_bench_bound csl_bench_bound_of(const struct csl_bench_machine *m,
                                          const struct csl_bench_work *work, enum csl_bench_way way);

/* The formula, its inputs and its terms. NULL without memory. */
json_t *csl_bench_bound_json(const struct csl_bench_machine *m, const struct csl_bench_work *work,
                             const struct csl_bench_bound *b);

#endif
