/* What this machine permits, measured: the inputs of every bound. The probes call none of the project's net,
 * kernel or PRG code: plain sockets and OpenSSL's TLS 1.3, and loops of their own over the widest vector
 * instructions that the CPU has. Of several ways the best counts; on a CPU the best of several turns, too.
 */
#ifndef CSL_CLI_BENCH_MACHINE_H
#define CSL_CLI_BENCH_MACHINE_H

#include <jansson.h>

#include "mpc/link.h"

/* ---- TLS ---- */

enum { CSL_BENCH_SIZES = 5 };
extern const size_t csl_bench_sizes[CSL_BENCH_SIZES]; /* bytes to each peer: 16 B .. 1 MiB */

/* One exchange round among n processes: each sends the same bytes to every other and waits for all of theirs.
 * The middle of many stretches of up to ten rounds, each averaged. */
struct csl_bench_rounds {
    unsigned n_parties;
    double spin_us[CSL_BENCH_SIZES];  /* polling for 100 us, with sched_yield between, then sleeping */
    double block_us[CSL_BENCH_SIZES]; /* sleeping in poll() */
};
/* quick: a tenth of the rounds. CSL_EOS, CSL_EINTERNAL. */
CSL_MUST_CHECK enum csl_err csl_bench_rounds_measure(struct csl_bench_rounds *out, unsigned n_parties,
                                                     bool quick, struct csl_diag *diag);

/* ---- The CPU ---- */

/* Products with an addition each, on one core. */
struct csl_bench_path {
    const char *name;
    unsigned bits; /* the sum is right in so many low bits: 64, 52, 32 */
    double per_s;  /* 0: the CPU has not got it */
};
enum { CSL_BENCH_PATHS = 9 };

struct csl_bench_cpu {
    char model[96];
    unsigned cores; /* that this process may use */
    struct csl_bench_path products[CSL_BENCH_PATHS];
    double vpmullq_per_s; /* multiplications alone, without the additions; 0: not there */
    double prg_bytes_per_s;
    const char *prg_name;
    double read_bytes_per_s;    /* one core, from a buffer that stays in its cache */
    double write_bytes_per_s;   /* the same */
    double weights_bytes_per_s; /* read rate of a buffer as large as the weights in question; the caller's */
};
void csl_bench_cpu_measure(struct csl_bench_cpu *out, bool quick);
/* The better one of each figure, into cpu; both are of this machine. */
void csl_bench_cpu_merge(struct csl_bench_cpu *cpu, const struct csl_bench_cpu *other);

/* The best way that gives at least this many bits. */
const struct csl_bench_path *csl_bench_best_path(const struct csl_bench_cpu *cpu, unsigned bits);

/* One core reading n bytes again and again. */
double csl_bench_read_rate(size_t n, bool quick);

/* ---- Both, for reports ---- */

struct csl_bench_machine {
    struct csl_bench_cpu cpu;
    struct csl_bench_rounds rounds;
    double probes_quotient; /* of the 16-byte rounds before and after the workload; 0: measured once */
};
CSL_MUST_CHECK enum csl_err csl_bench_machine_measure(struct csl_bench_machine *out, unsigned n_parties,
                                                      bool quick, struct csl_diag *diag);
/* Measures once more, after the workload, and keeps of each figure the better one: a bound that was measured
 * in a slow phase of the machine is none for what ran in a fast one. m is that of the measurement before. */
CSL_MUST_CHECK enum csl_err csl_bench_machine_again(struct csl_bench_machine *m, bool quick,
                                                    struct csl_diag *diag);
/* The better one of each figure, into m; sets probes_quotient, which is at least 1. */
void csl_bench_machine_merge(struct csl_bench_machine *m, const struct csl_bench_machine *other);
/* A line for people where both probes differ by more than half: nothing otherwise. */
void csl_bench_probes_print(double quotient);
/* NULL without memory. */
json_t *csl_bench_cpu_json(const struct csl_bench_cpu *cpu);
json_t *csl_bench_machine_json(const struct csl_bench_machine *m);
void csl_bench_machine_print(const struct csl_bench_machine *m);

/* Seconds of the monotonic clock. */
double csl_bench_now_s(void);

/* A certificate for a probe or a link of one run, and its key: self-signed, or by a CA (both NULL or both
 * set). name: its common name, and URI:consilium:site:<name>. Release both. */
struct x509_st;
struct evp_pkey_st;
CSL_MUST_CHECK enum csl_err csl_bench_cert(struct x509_st **cert, struct evp_pkey_st **key, const char *name,
                                           struct x509_st *ca, struct evp_pkey_st *ca_key);

#endif
