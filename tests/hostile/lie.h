/* Faults of a party in what it sends, signs and puts out; used by hostile.c. */
#ifndef CSL_TESTS_HOSTILE_LIE_H
#define CSL_TESTS_HOSTILE_LIE_H

#include <stdbool.h>

/* Takes an option of these; false: it is none.
 *
 *   --lie round:N           sends a wrong value in the N-th opening of a batch, once, and signs it like every
 *                           other: nobody notices but a judge
 *   --lie-unsigned round:N  the same, but signs what it should have sent
 *   --lie-output yes        sends and signs wrong output shares
 *   --no-sign yes           its signatures of what it sent are zeros
 */
bool hostile_lie_option(const char *name, const char *value);

#endif
