/* Threads inside a party, for large layers: one small pool a process, made once, that the kernels share.
 *
 * Kernels (mpc/gemm.h, mpc/conv.h, the binding of weights, ReLUs, the expansion of correlations) cut their
 * work into parts that write apart from each other, so that results are the same, bit for bit, with any
 * number of threads. Only work of about a tenth of a millisecond a part and more is cut; small layers never
 * meet the pool. The pool serves one caller at a time: a second lane that comes while it is busy computes
 * alone. The caller takes parts itself, and waits for no thread that has not begun one, so that busy cores
 * cost nothing but the gain.
 *
 * Without csl_threads_start() everything runs in the calling thread. Which thread does what depends on
 * shapes and timing alone, never on values. Secrets in the threads' scratch are wiped by the kernels.
 */
#ifndef CSL_MPC_THREADS_H
#define CSL_MPC_THREADS_H

#include "crypto/err.h"

#include <stddef.h>

enum { CSL_MAX_THREADS = 64 };

/* The cores that this process may use, divided by the `sharers` processes that compute on them at the same
 * time (0 counts as 1); 1..CSL_MAX_THREADS. */
unsigned csl_threads_default(unsigned sharers);

/* Makes the pool: n threads in all, the caller's included, 1..CSL_MAX_THREADS (else CSL_EUSAGE). Once a
 * process, before the kernels run; after fork() a child has none. CSL_EOS when a thread cannot be made;
 * then there is no pool. A second call without csl_threads_stop() between is CSL_EUSAGE. */
CSL_MUST_CHECK enum csl_err csl_threads_start(unsigned n, struct csl_diag *diag);

/* Ends the threads, after the last kernel has returned. Harmless without a pool. */
void csl_threads_stop(void);

/* How many threads a large layer may use, the caller's included: 1 without a pool. */
unsigned csl_threads(void);

/* ---- for kernels ---- */

/* Computes the items first .. first+n-1. */
typedef void csl__part_fn(void *arg, size_t first, size_t n);

/* Calls fn for parts that cover 0..n-1 exactly once, each but the last a multiple of `step` items, in any
 * order and at the same time; returns when all are done. `ns`: about how long all of it takes one thread. */
void csl__threads_split(csl__part_fn *fn, void *arg, size_t n, size_t step, double ns);

#endif
