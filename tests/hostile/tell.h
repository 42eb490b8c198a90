/* Faults of a party in its ledger and in what it tells clients; used by hostile.c. */
#ifndef CSL_TESTS_HOSTILE_TELL_H
#define CSL_TESTS_HOSTILE_TELL_H

#include <stdbool.h>

/* Takes an option of these; false: it is none.
 *
 *   --tell WHAT        tells clients and owners another session statement (session) or signature of the
 *                      manifest (manifest), sends outputs without a statement (unsigned), with another salt
 *                      (salt) or signature (signature)
 *   --ledger-full N    its disk is full from the N-th leaf on, counted from its start
 */
bool hostile_tell_option(const char *name, const char *value);

#endif
