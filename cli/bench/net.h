/* A network between processes of this machine: a child process forwards TCP connections, each direction of
 * each with a delay and a rate of its own. What is inside passes unchanged; so does a half-closed connection
 * (after the same delay) and a reset (at once).
 *
 * A chunk of n bytes that comes in at t leaves at  max(t, end of the chunk before) + n / rate + RTT / 2.
 * TCP's own handshake is not delayed, and nothing is lost or reordered.
 */
#ifndef CSL_CLI_BENCH_NET_H
#define CSL_CLI_BENCH_NET_H

#include <stdint.h>

#include "crypto/err.h"

struct csl_bench_profile {
    const char *name;
    uint32_t rtt_us;
    uint64_t bits_per_s; /* each direction of each connection */
};

/* "lan" (0.5 ms, 1 Gb/s), "wan" (40 ms, 400 Mb/s); NULL: no such profile. */
const struct csl_bench_profile *csl_bench_profile(const char *name);

struct csl_bench_net;

/* via[i] on 127.0.0.1 leads to ports[i] from now on. The child ends with csl_bench_net_stop, or with this
 * process. CSL_EOS. */
CSL_MUST_CHECK enum csl_err csl_bench_net_start(struct csl_bench_net **out,
                                                const struct csl_bench_profile *profile, uint16_t *via,
                                                const uint16_t *ports, size_t n, struct csl_diag *diag);
void csl_bench_net_stop(struct csl_bench_net *net); /* NULL is fine */

#endif
