/* Before a loop whose outputs are its inputs, element by element, or lie apart: there is nothing to check
 * before it runs by vectors. */
#ifndef CSL_MPC_LANES_H
#define CSL_MPC_LANES_H

#if defined(__clang__)
#pragma clang diagnostic ignored "-Wpass-failed" /* where there are no vectors, as under a sanitizer */
#define CSL__LANES _Pragma("clang loop vectorize(assume_safety)")
#else
#define CSL__LANES _Pragma("GCC ivdep")
#endif

#endif
