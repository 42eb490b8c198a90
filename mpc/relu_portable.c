#include "crypto/cpu.h"
#define CSL__KERNELS csl__relu_portable
#include "mpc/relu_kernels_body.h"

const struct csl__relu_kernels *csl__relu_kernels_get(void) {
    switch (csl_cpu_level()) {
    case CSL_CPU_AVX512:
        return &csl__relu_avx512;
    case CSL_CPU_AVX2:
        return &csl__relu_avx2;
    case CSL_CPU_PORTABLE:
        break;
    }
    return &csl__relu_portable;
}
