#include "crypto/cpu.h"
#define CSL__KERNELS csl__relu_portable
#include "mpc/relu_kernels_body.h"

const struct csl__relu_kernels *csl__relu_kernels_get(void) {
    return csl_cpu_level() >= CSL_CPU_AVX2 ? &csl__relu_avx2 : &csl__relu_portable;
}
