/* The paths behind mpc/gemm.h. Tests and the bench call them directly, after asking csl__gemm_has. */
#ifndef CSL_MPC_GEMM_INTERNAL_H
#define CSL_MPC_GEMM_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Y += D.W mod 2^64, as csl_gemm_acc. */
typedef void csl__gemm_fn(uint64_t *y, const uint64_t *d, const uint64_t *w, size_t m, size_t k, size_t n);

csl__gemm_fn csl__gemm_portable;
csl__gemm_fn csl__gemm_avx2;     /* needs AVX2 */
csl__gemm_fn csl__gemm_avx512;   /* needs AVX-512 F, DQ, BW, VL */
csl__gemm_fn csl__gemm_ifma_low; /* the same and IFMA; right in the low 52 bits only */

enum csl__gemm_kind { CSL__GEMM_PORTABLE, CSL__GEMM_AVX2, CSL__GEMM_AVX512, CSL__GEMM_IFMA_LOW };

/* Whether this build and this CPU have the path, whatever CONSILIUM_CPU says. */
bool csl__gemm_has(enum csl__gemm_kind kind);

#endif
