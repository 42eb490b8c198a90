/* A round of openings: queue what is to be opened, flush once, read what was opened.
 *
 *     struct csl_round *r = csl_round_begin(session);
 *     size_t d = csl_round_open_diff(r, x, a, n, bits);      queue [x] - [a]
 *     size_t u = csl_round_open_bits(r, words, 1, n_bits);   and XOR-shared bits, in the same message
 *     TRY(csl_round_flush(r));                               one message to every peer
 *     const uint64_t *opened = csl_round_ring(r, d);
 *
 * This is the one place where shares become public (CSL_PUBLIC): whoever queues a share vouches that it is
 * masked. A queue function cannot fail; what goes wrong there (no memory, sizes that overflow, an argument
 * out of range) is kept and returned by csl_round_flush(). Any failure poisons the session.
 *
 * All parties queue the same shapes in the same order. The wire carries each item in turn (step P2): ring
 * items as csl_pack_bits() packs them, bit items as ceil(n_bits/8) bytes a row. Padding bits that are not
 * zero are CSL_EPROTO naming the peer. Constant time in all values.
 */
#ifndef CSL_MPC_ROUND_H
#define CSL_MPC_ROUND_H

#include "mpc/link.h"

struct csl_session;

enum { CSL_ROUND_MAX_ITEMS = 64 };

/* Words that grow but never move while a round is read; private. */
struct csl__arena {
    uint64_t *words;
    size_t n_words; /* capacity */
    size_t used;
};

/* One queued opening; private. */
struct csl__item {
    size_t value;  /* offset of its words in `values` */
    size_t wire;   /* offset of its bytes in the message */
    size_t n;      /* elements, or rows */
    size_t n_bits; /* of an element, or of a row */
    bool is_bits;
    /* Of an opening by blocks (mpc/round_internal.h), which has no words in `values`. */
    void (*make)(void *arg, uint8_t *wire);
    void *make_arg;
};

/* Private; lives in its session. The memory is reused from round to round. */
struct csl_round {
    struct csl_session *session;
    struct csl__arena values; /* own shares, then opened values */
    struct csl__item items[CSL_ROUND_MAX_ITEMS];
    size_t n_items;
    size_t n_wire; /* bytes of the message */
    enum csl_err err;
    bool flushed;
    /* Of openings by blocks: the messages of all parties, and their memory unless the link has taken it; the
     * memory of the round before, until this round's message is made. */
    uint8_t *in[CSL_MAX_PARTIES];
    uint8_t *wire, *wire_before;
};

/* The session's round, empty. Results of the round before are gone: what had been opened stays in memory
 * until it is overwritten or the session is cleared, what had not been is wiped. */
struct csl_round *csl_round_begin(struct csl_session *s);

/* Queues n elements of [x] mod 2^bits, 1 <= bits <= 64; returns the handle. What x holds above `bits` is
 * dropped. x is copied and may change at once; n = 0 is an error. */
size_t csl_round_open_ring(struct csl_round *r, const uint64_t *x, size_t n, unsigned bits);

/* The same for [x] - [a] and for [x] + [a]: the usual openings under a mask. */
size_t csl_round_open_diff(struct csl_round *r, const uint64_t *x, const uint64_t *a, size_t n,
                           unsigned bits);
size_t csl_round_open_sum(struct csl_round *r, const uint64_t *x, const uint64_t *a, size_t n, unsigned bits);

/* Queues n_rows rows of n_bits XOR-shared bits, and their XOR with <m> when m is not NULL. A row stands in
 * ceil(n_bits/64) words, first bit lowest; bits after the last are ignored. */
size_t csl_round_open_bits(struct csl_round *r, const uint64_t *x, const uint64_t *m, size_t n_rows,
                           size_t n_bits);

/* Sends the one message, waits for all peers', combines. CSL_EPROTO and CSL_EPEER name the peer. */
CSL_MUST_CHECK enum csl_err csl_round_flush(struct csl_round *r);

/* What handle h opened, after a successful flush and until the next csl_round_begin(): n elements below
 * 2^bits; n_rows rows of words, padding bits zero. NULL before the flush and for a wrong handle. */
const uint64_t *csl_round_ring(const struct csl_round *r, size_t h);
const uint64_t *csl_round_bits(const struct csl_round *r, size_t h);

/* What stands at bit `bit` of the round's message (bit j of the message is bit j % 8 of byte j / 8): for
 * those who compare messages. Between queueing and the next csl_round_begin(). */
struct csl_round_place {
    size_t handle;
    bool is_bits;
    size_t n;       /* elements, or rows, of the item */
    size_t n_bits;  /* of an element, or of a row */
    size_t element; /* element, or row */
    size_t bit;     /* in it; n_bits and more: padding */
};
/* false: the message is shorter. */
bool csl_round_locate(const struct csl_round *r, struct csl_round_place *out, size_t bit);

#endif
