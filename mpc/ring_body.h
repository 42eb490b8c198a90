/* The loops of mpc/ring.h, compiled once for each instruction set: the includer defines CSL__RING, the
 * table's name. */
#include "mpc/lanes.h"
#include "mpc/ring_internal.h"

#include "mpc/ring.h"

static void add(uint64_t *out, const uint64_t *a, const uint64_t *b, size_t n, uint64_t mask) {
    CSL__LANES
    for (size_t i = 0; i < n; i++) {
        out[i] = (a[i] + b[i]) & mask;
    }
}

static void sub(uint64_t *out, const uint64_t *a, const uint64_t *b, size_t n, uint64_t mask) {
    CSL__LANES
    for (size_t i = 0; i < n; i++) {
        out[i] = (a[i] - b[i]) & mask;
    }
}

static void reduce(uint64_t *out, const uint64_t *a, size_t n, uint64_t mask) {
    CSL__LANES
    for (size_t i = 0; i < n; i++) {
        out[i] = a[i] & mask;
    }
}

const struct csl__ring_kernels CSL__RING = {add, sub, reduce};
