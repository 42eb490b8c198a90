#define CSL__RING csl__ring_avx2
#include "mpc/ring_body.h"
