/* Rows that the tables of several bench commands have in common. S is the command's options struct. */
#ifndef CSL_CLI_BENCH_OPTIONS_H
#define CSL_CLI_BENCH_OPTIONS_H

#include "cli/commands.h"

#define CSL_BENCH_PARTIES(S, m) CSL_UINT(S, m, "parties", "N", 2, 16, "computing parties; default 2")
/* How parties wait for each other, of the words in `meta`. */
#define CSL_BENCH_WAIT(S, m, meta, standard)                                                                 \
    CSL_STRING(S, m, "wait", meta, false, "how parties wait for each other; default: " standard)
#define CSL_BENCH_KEYS(S, m)                                                                                 \
    CSL_STRING(S, m, "keys", "DIR", false,                                                                   \
               "keep the sites' keys here for the next run (drawing them takes seconds)")
/* How a session runs: members profile, sign. */
#define CSL_BENCH_SESSION(S)                                                                                 \
    CSL_STRING(S, profile, "profile", "auto|lan|wan", false,                                                 \
               "fewest bytes, fewest rounds, or by the measured round trip; default: auto"),                 \
        CSL_STRING(S, sign, "sign", "WHEN", false,                                                           \
                   "after-output, before-output or off; default: after-output")
/* How the network is read: members normalize, interval, frac_bits. */
#define CSL_BENCH_READING(S)                                                                                 \
    CSL_STRING(S, normalize, "normalize", "HOW", false,                                                      \
               "raw, unit, centered, mnist, or none with --interval; default: unit"),                        \
        CSL_STRING(S, interval, "interval", "LO:HI", false, "range of the inputs, with none"),               \
        CSL_UINT(S, frac_bits, "frac-bits", "N", 4, 20, "fractional bits; default 16")

#endif
