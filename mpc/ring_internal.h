/* The paths behind mpc/ring.h, all in C: what differs is what the compiler may use. */
#ifndef CSL_MPC_RING_INTERNAL_H
#define CSL_MPC_RING_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

struct csl__ring_kernels {
    void (*add)(uint64_t *out, const uint64_t *a, const uint64_t *b, size_t n, uint64_t mask);
    void (*sub)(uint64_t *out, const uint64_t *a, const uint64_t *b, size_t n, uint64_t mask);
    void (*reduce)(uint64_t *out, const uint64_t *a, size_t n, uint64_t mask);
};

extern const struct csl__ring_kernels csl__ring_portable;
extern const struct csl__ring_kernels csl__ring_avx2;   /* needs AVX2; equal to portable elsewhere */
extern const struct csl__ring_kernels csl__ring_avx512; /* needs AVX-512 F, DQ, BW, VL; likewise */

#endif
