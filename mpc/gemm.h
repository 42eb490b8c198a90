/* Matrix products over Z/2^64 (and over smaller rings), the one heavy computation online (docs/protocol.md
 * L4).
 *
 * All matrices are dense and row-major: Y is m x n, D is m x k, W is k x n. Arithmetic wraps
 * mod 2^64. Y overlaps neither D nor W. Any of m, k, n may be 0. Pointers need the alignment of
 * uint64_t only. The caller has checked that m*k, k*n and m*n uint64_t fit in memory.
 *
 * Constant time in all values; time depends on m, k, n and the CPU alone. Scratch is on the stack (at most
 * CSL_GEMM_STACK bytes) and, for more than 52 bits on some CPUs, as much as D on the heap; it is wiped.
 * Nothing can fail: without memory a slower path is taken. Large products are spread over the pool
 * (mpc/threads.h).
 *
 * The path is chosen at run time by csl_cpu_level() (crypto/cpu.h); all paths give equal results.
 */
#ifndef CSL_MPC_GEMM_H
#define CSL_MPC_GEMM_H

#include <stddef.h>
#include <stdint.h>

enum { CSL_GEMM_STACK = 40 * 1024 };

/* Y = D.W mod 2^64 */
void csl_gemm(uint64_t *y, const uint64_t *d, const uint64_t *w, size_t m, size_t k, size_t n);

/* Y += D.W mod 2^64 */
void csl_gemm_acc(uint64_t *y, const uint64_t *d, const uint64_t *w, size_t m, size_t k, size_t n);

/* Y += D.W mod 2^bits, 1 <= bits <= 64, for a layer whose result is needed mod 2^bits only: several times
 * faster where bits <= 52 and the CPU has AVX-512 IFMA. D, W and Y need not be reduced.
 * Y comes out reduced (the bits at and above `bits` are zero). */
void csl_gemm_acc_mod(uint64_t *y, const uint64_t *d, const uint64_t *w, size_t m, size_t k, size_t n,
                      unsigned bits);

/* Name of the path that csl_gemm_acc takes: "portable", "avx2" or "avx512". */
const char *csl_gemm_path(void);

#endif
