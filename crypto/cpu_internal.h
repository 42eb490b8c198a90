/* Inside the library and its tests: the choice of the level, apart from this CPU and environment. */
#ifndef CSL_CRYPTO_CPU_INTERNAL_H
#define CSL_CRYPTO_CPU_INTERNAL_H

#include "crypto/cpu.h"

/* *level = what `wish` (CONSILIUM_CPU; NULL or "" when unset) names, or `best` when it cannot be followed:
 * CSL_ECONFIG when it is no level's name or is above best. */
CSL_MUST_CHECK enum csl_err csl__cpu_choose(enum csl_cpu *level, enum csl_cpu best, const char *wish,
                                            struct csl_diag *diag);

#endif
