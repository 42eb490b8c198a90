/* What the session and the protocols share with rounds. */
#ifndef CSL_MPC_ROUND_INTERNAL_H
#define CSL_MPC_ROUND_INTERNAL_H

#include "mpc/session.h"

/* Room for n more words, zeroed; NULL without memory. Earlier pointers into the arena are void then. */
uint64_t *csl__arena_take(struct csl__arena *a, size_t n);
/* Wipes what was used; keeps the memory. */
void csl__arena_reset(struct csl__arena *a);
void csl__arena_free(struct csl__arena *a);

void csl__round_free(struct csl_round *r);

#endif
