/* The child process of net.c, which is in net_forward.c. */
#ifndef CSL_CLI_BENCH_NET_INTERNAL_H
#define CSL_CLI_BENCH_NET_INTERNAL_H

#include "cli/bench/net.h"

/* Accepts on listeners[i] (non-blocking), connects to 127.0.0.1:ports[i], forwards until it is killed. */
_Noreturn void csl__bench_net_forward(const struct csl_bench_profile *profile, const int *listeners,
                                      const uint16_t *ports, size_t n);

#endif
