#define CSL__KERNELS csl__relu_avx512
#include "mpc/relu_kernels_body.h"
