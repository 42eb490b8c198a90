/* Solidity's contract ABI, as much of it as the contract needs: static words, bytes and strings in what is
 * returned, logs, and why a call was reverted. Source: the ABI specification of Solidity 0.8. Strict: unused
 * bytes of a word must be zero. All of it is public.
 */
#ifndef CSL_CHAIN_ABI_H
#define CSL_CHAIN_ABI_H

#include "chain/address.h"
#include "crypto/bytes.h"

enum { CSL_ABI_WORD = 32, CSL_ABI_SELECTOR = 4, CSL_REVERT_TEXT = 256 };

/* The first four bytes of the signature's Keccak-256, e.g. of "anchor(bytes32,uint64,bytes32)". */
void csl_abi_selector(uint8_t out[CSL_ABI_SELECTOR], const char *signature);
/* All of it: an event's topic 0. */
void csl_abi_topic(uint8_t out[CSL_HASH_BYTES], const char *signature);

/* Arguments of a call, or topics: one word each. */
void csl_abi_put_selector(struct csl_writer *w, const char *signature);
void csl_abi_put_u64(struct csl_writer *w, uint64_t v);
void csl_abi_put_bool(struct csl_writer *w, bool v);
void csl_abi_put_address(struct csl_writer *w, const uint8_t address[CSL_ADDRESS_BYTES]);
void csl_abi_put_bytes32(struct csl_writer *w, const uint8_t word[CSL_ABI_WORD]);

/* The next word of what was returned or logged. r goes bad when there is none, or it does not fit. */
uint64_t csl_abi_take_u64(struct csl_reader *r);
bool csl_abi_take_bool(struct csl_reader *r);
void csl_abi_take_address(struct csl_reader *r, uint8_t address[CSL_ADDRESS_BYTES]);
void csl_abi_take_bytes32(struct csl_reader *r, uint8_t word[CSL_ABI_WORD]);

/* The bytes or string whose offset stands in word `slot` of data[0..n); borrowed. False when offset or length
 * leave the data, or what fills its last word is not zero. */
bool csl_abi_dynamic(const uint8_t **p, size_t *n_p, const uint8_t *data, size_t n, size_t slot);

/* Why a call was reverted, in words: Error(string) and Panic(uint256) as Solidity has them; the contract's
 * own errors by their signatures, as "StaleSize(uint64,uint64)", with the arguments where they are words
 * (uintN, bytes32, address, bool); anything else in hex, cut to fit. Always printable. *known is the index of
 * the signature that fitted, or -1. known may be NULL. */
void csl_abi_revert_text(char out[CSL_REVERT_TEXT], int *known, const uint8_t *data, size_t n,
                         const char *const *errors, size_t n_errors);

#endif
