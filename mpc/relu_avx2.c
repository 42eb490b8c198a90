#define CSL__KERNELS csl__relu_avx2
#include "mpc/relu_kernels_body.h"
