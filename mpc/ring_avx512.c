#define CSL__RING csl__ring_avx512
#include "mpc/ring_body.h"
