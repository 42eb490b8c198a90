/* A development chain on this machine: anvil (npm: @foundry-rs/anvil-*), for the demonstration and the tests.
 * It listens on a free port of 127.0.0.1, which it chooses itself, and dies with this process. */
#ifndef CSL_CLI_ANVIL_H
#define CSL_CLI_ANVIL_H

#include "crypto/err.h"

enum { CSL_ANVIL_URL = 64, CSL_ANVIL_CHAIN_ID = 31337 };

struct csl_anvil;

/* args: more of its options, NULL at the end; may be NULL. CSL_EUNAVAILABLE: it cannot be started here. */
CSL_MUST_CHECK enum csl_err csl_anvil_start(struct csl_anvil **out, const char *program,
                                            const char *const *args, struct csl_diag *diag);
const char *csl_anvil_url(const struct csl_anvil *a);
int csl_anvil_pid(const struct csl_anvil *a);
/* Kills it and waits for its end; NULL is allowed. */
void csl_anvil_stop(struct csl_anvil *a);

#endif
