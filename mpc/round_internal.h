/* What the session and the protocols share with rounds. */
#ifndef CSL_MPC_ROUND_INTERNAL_H
#define CSL_MPC_ROUND_INTERNAL_H

#include "mpc/session.h"

/* Room for n more words, zeroed; NULL without memory. Earlier pointers into the arena are void then. */
uint64_t *csl__arena_take(struct csl__arena *a, size_t n);
/* Wipes what was used; keeps the memory. */
void csl__arena_reset(struct csl__arena *a);
void csl__arena_free(struct csl__arena *a);

void csl__round_free(struct csl_round *r);

/* ---- openings by blocks ----
 *
 * A large opening goes from the operands to the message, and from the messages to what is made of it, block
 * by block, so that a block never leaves the core's cache between the steps that it meets. The bytes on the
 * wire are those of mpc/round.h.
 */

/* Writes an item's bytes into the message, each of them, padding zero. Called by csl_round_flush(). */
typedef void csl__make_fn(void *arg, uint8_t *wire);

/* Queue n elements mod 2^bits, or n_rows rows of n_bits bits, that `make` will write; csl_round_ring() and
 * csl_round_bits() know nothing of them. */
size_t csl__round_make_ring(struct csl_round *r, size_t n, unsigned bits, csl__make_fn *make, void *arg);
size_t csl__round_make_bits(struct csl_round *r, size_t n_rows, size_t n_bits, csl__make_fn *make, void *arg);

/* What such an item opened: the parts of all messages. */
struct csl__opening {
    const uint8_t *in[CSL_MAX_PARTIES];
    unsigned n_parties;
    size_t n;      /* elements, or rows */
    size_t n_bits; /* of an element, or of a row */
};

/* After a successful flush; valid until the next round has made its message, so that this may be made of what
 * was opened here. h was made. */
struct csl__opening csl__round_opening(const struct csl_round *r, size_t h);

/* Elements first .. first+n-1, below 2^bits. `first` a multiple of 8 is a little faster. */
void csl__opened_ring(const struct csl__opening *o, uint64_t *out, size_t first, size_t n);

/* n bits of a row from `first` on, a multiple of 64; n is one too, or the row ends there. Padding is zero. */
void csl__opened_bits(const struct csl__opening *o, uint64_t *out, size_t row, size_t first, size_t n);

/* The messages' padding bits, which nobody reads, must be zero: CSL_EPROTO. */
CSL_MUST_CHECK enum csl_err csl__opened_check(const struct csl__item *item, const uint8_t *in,
                                              struct csl_diag *diag);

#endif
