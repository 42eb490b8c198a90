/* What the ways to a convolution share. */
#ifndef CSL_MPC_CONV_INTERNAL_H
#define CSL_MPC_CONV_INTERNAL_H

#include "crypto/secret.h"
#include "mpc/conv.h"

#include <stdint.h>
#include <stdlib.h>

enum { CSL__CONV_SCRATCH_WORDS = 1 << 15 }; /* 256 KB of rows or pictures stay in L2 */

/* Zeroed. */
static inline uint64_t *csl__conv_scratch_alloc(size_t n, bool secret) {
    return secret ? csl_secret_alloc(n, sizeof(uint64_t)) : calloc(n, sizeof(uint64_t));
}

static inline void csl__conv_scratch_free(uint64_t *scratch, bool secret) {
    if (secret) {
        csl_secret_free(scratch);
    } else {
        free(scratch);
    }
}

/* Whether the kernel's rows are one piece of a picture's row each, a row has windows for a tile, and pictures
 * with zeros around take no more than four times their size (or the scratch of a thread). */
bool csl__conv_is_direct(const struct csl_conv_shape *s);

/* Words for pictures with zeros around; 0 when none are needed. */
size_t csl__conv_direct_scratch(const struct csl_conv_shape *s, size_t batch, size_t threads);

/* As csl_conv_acc, by products over windows where they stand; pictures that need zeros around are copied. */
CSL_MUST_CHECK enum csl_err csl__conv_direct(uint64_t *y, const uint64_t *d, const uint64_t *w,
                                             const struct csl_conv_shape *s, size_t batch, unsigned bits,
                                             bool secret_d);

#endif
