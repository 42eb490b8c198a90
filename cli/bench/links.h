/* N processes of this machine, linked by this program's own mesh over TLS on loopback: for measuring protocol
 * steps without daemons. */
#ifndef CSL_CLI_BENCH_LINKS_H
#define CSL_CLI_BENCH_LINKS_H

#include "net/mesh_link.h"

/* What a party does, in a process of its own; arg is shared memory if it is to give anything back. */
typedef enum csl_err csl_bench_party_fn(struct csl_link *link, void *arg, struct csl_diag *diag);

/* Runs fn in n processes; the first error, with its sentence. max_bytes: the largest message. */
CSL_MUST_CHECK enum csl_err csl_bench_links_run(unsigned n, uint32_t max_bytes, enum csl_wait wait,
                                                csl_bench_party_fn *fn, void *arg, struct csl_diag *diag);

/* Zeroed memory that forked processes share with this one; NULL: none. */
void *csl_bench_shared_alloc(size_t n);
void csl_bench_shared_free(void *p, size_t n);

#endif
