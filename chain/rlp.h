/* RLP, Ethereum's serialisation (Yellow Paper, appendix B): byte strings and lists of items.
 *
 * The encoder writes into a csl_writer (crypto/bytes.h), which goes bad when it is full. A list's header
 * needs its content's size: write the content first, or add up the sizes below.
 * The decoder takes canonical encodings only: the shortest length form, no header for a single byte below
 * 0x80, numbers without leading zeros, lengths that fit. Items borrow the input. Variable time: all of it is
 * public.
 */
#ifndef CSL_CHAIN_RLP_H
#define CSL_CHAIN_RLP_H

#include "crypto/bytes.h"

/* The bytes that a list's header takes in front of n bytes of content. */
size_t csl_rlp_header_size(size_t n);

/* A byte string; p may be NULL when n is 0. */
void csl_rlp_put_bytes(struct csl_writer *w, const uint8_t *p, size_t n);
/* A number: its big-endian bytes without leading zeros; zero is the empty string. */
void csl_rlp_put_u64(struct csl_writer *w, uint64_t v);
/* The same of n big-endian bytes, whose leading zeros are left out. */
void csl_rlp_put_number(struct csl_writer *w, const uint8_t *big_endian, size_t n);
/* The header of a list whose items take n bytes; they follow. */
void csl_rlp_put_list(struct csl_writer *w, size_t n);

struct csl_rlp_item {
    bool is_list;
    const uint8_t *p; /* the string, or the list's content: read it with csl_reader_of(p, n) */
    size_t n;
};

/* The next item of r. False (and r is bad) when there is none or it is not canonical; a list's content is
 * not looked into. */
bool csl_rlp_next(struct csl_reader *r, struct csl_rlp_item *item);

/* The next item as what it must be; false (and r is bad) otherwise. */
bool csl_rlp_next_bytes(struct csl_reader *r, const uint8_t **p, size_t *n);
bool csl_rlp_next_u64(struct csl_reader *r, uint64_t *v);
/* A number of at most n bytes, big-endian with zeros in front. */
bool csl_rlp_next_number(struct csl_reader *r, uint8_t *out, size_t n);
/* A list: a reader of its content. */
bool csl_rlp_next_list(struct csl_reader *r, struct csl_reader *content);

/* Whether data[0..n) is exactly one canonical item whose lists are at most max_depth deep (0: a string),
 * looked into to the bottom. max_depth is at most CSL_RLP_DEPTH_MAX. No recursion. */
enum { CSL_RLP_DEPTH_MAX = 16 };
bool csl_rlp_valid(const uint8_t *data, size_t n, size_t max_depth);

#endif
