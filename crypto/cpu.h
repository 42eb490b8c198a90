/* Which instruction sets the kernels of this library may use, found out once at run time.
 *
 * The level is the best one that CPU and operating system support, or the one that the environment
 * variable CONSILIUM_CPU (portable, avx2 or avx512) names. Nothing is ever compiled with -march=native:
 * kernels carry target attributes and are chosen by csl_cpu_level(). Thread-safe. No secrets.
 */
#ifndef CSL_CRYPTO_CPU_H
#define CSL_CRYPTO_CPU_H

#include "crypto/err.h"

/* Ordered: a kernel for level L runs wherever csl_cpu_level() >= L. */
enum csl_cpu {
    CSL_CPU_PORTABLE, /* C alone; the only level on other architectures than x86-64 */
    CSL_CPU_AVX2,     /* AVX2 and BMI2 */
    CSL_CPU_AVX512,   /* AVX2, BMI2 and AVX-512 F, DQ, BW and VL */
};

/* The level in use, the same for the life of the process. When CONSILIUM_CPU cannot be
 * followed, the best level that this CPU supports (csl_cpu_check() tells). */
enum csl_cpu csl_cpu_level(void);

/* CSL_ECONFIG when CONSILIUM_CPU is malformed or names a level that this CPU lacks: for main() to report. */
CSL_MUST_CHECK enum csl_err csl_cpu_check(struct csl_diag *diag);

/* "portable", "avx2" or "avx512"; never NULL. */
const char *csl_cpu_name(enum csl_cpu level);

/* Properties of the CPU whatever CONSILIUM_CPU says. VAES: 256-bit and wider AES instructions. */
bool csl_cpu_has_aesni(void);
bool csl_cpu_has_vaes(void);

#endif
