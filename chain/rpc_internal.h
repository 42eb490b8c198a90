/* JSON-RPC: the envelope, values in JSON, and the answers' forms. Nothing here needs libcurl but
 * csl__rpc_ask. */
#ifndef CSL_CHAIN_RPC_INTERNAL_H
#define CSL_CHAIN_RPC_INTERNAL_H

#include <jansson.h>

#include "chain/rpc.h"

enum { CSL__RPC_SMALL = 64 * 1024, CSL__RPC_LARGE = 4 * 1024 * 1024, CSL__QUANTITY_ROOM = 2 + 32 + 1 };

/* ---- rpc_value.c: values as the specification writes them ---- */

/* The field of an object, or the value itself where field is NULL. All of these are CSL_EPROTO with the
 * field's name when it is missing or not of its form. */
CSL_MUST_CHECK enum csl_err csl__take_u64(uint64_t *v, const json_t *json, const char *field,
                                          struct csl_diag *diag);
/* Larger ones are CSL_WEI_MAX. */
CSL_MUST_CHECK enum csl_err csl__take_wei(csl_wei *v, const json_t *json, const char *field,
                                          struct csl_diag *diag);
CSL_MUST_CHECK enum csl_err csl__take_fixed(uint8_t *out, size_t n, const json_t *json, const char *field,
                                            struct csl_diag *diag);
/* At most max bytes; the caller frees *out, which is NULL when there are none. */
CSL_MUST_CHECK enum csl_err csl__take_bytes(uint8_t **out, size_t *n, size_t max, const json_t *json,
                                            const char *field, struct csl_diag *diag);
/* Whether the field is there and not null. */
bool csl__has(const json_t *json, const char *field);

/* For requests; NULL without memory. */
json_t *csl__put_u64(uint64_t v);
json_t *csl__put_wei(csl_wei v);
json_t *csl__put_bytes(const uint8_t *p, size_t n);
json_t *csl__put_address(const uint8_t address[CSL_ADDRESS_BYTES]);
/* A tag, number, or {"blockHash": ...}. */
json_t *csl__put_block_at(const struct csl_block_at *at);

/* ---- rpc_answer.c ---- */

/* The result of the answer text[0..n) to request `id` (the caller's: json_decref), or how the node refused:
 * rpc->refused and rpc->revert. */
CSL_MUST_CHECK enum csl_err csl__rpc_parse(json_t **result, struct csl_rpc *rpc, uint64_t id,
                                           const char *text, size_t n, struct csl_diag *diag);

/* ---- rpc_take.c: what a result must be ---- */

/* null: *found is false. */
CSL_MUST_CHECK enum csl_err csl__take_block(struct csl_block *block, bool *found,
                                            const struct csl_block_at *at, const json_t *json,
                                            struct csl_diag *diag);
CSL_MUST_CHECK enum csl_err csl__take_receipt(struct csl_receipt *receipt, bool *found,
                                              const uint8_t tx_hash[CSL_HASH_BYTES], const json_t *json,
                                              struct csl_diag *diag);
CSL_MUST_CHECK enum csl_err csl__take_tx(struct csl_rpc_tx *tx, bool *found,
                                         const uint8_t hash[CSL_HASH_BYTES], const json_t *json,
                                         struct csl_diag *diag);
/* The next block's base fee, and the median of the blocks' tips that are not 0 (0 when all are). */
CSL_MUST_CHECK enum csl_err csl__take_fee_history(uint64_t *base_fee, uint64_t *tip, const json_t *json,
                                                  struct csl_diag *diag);

/* Logs in order: what came last, and how many. */
struct csl__log_order {
    uint64_t n;
    uint64_t block, index;
    uint8_t block_hash[CSL_HASH_BYTES];
};
/* One log, of the filter's and of blocks from .. to; after the last. data is log->data, which the caller
 * frees. */
CSL_MUST_CHECK enum csl_err csl__take_log(struct csl_log *log, uint8_t **data, struct csl__log_order *order,
                                          const struct csl_log_filter *filter, uint64_t from, uint64_t to,
                                          const json_t *json, struct csl_diag *diag);
/* A list of addresses: whether this one is among them. */
CSL_MUST_CHECK enum csl_err csl__take_has_address(bool *has, const uint8_t address[CSL_ADDRESS_BYTES],
                                                  const json_t *json, struct csl_diag *diag);

/* ---- rpc.c ---- */

/* Asks, and gives the result (the caller's). Takes params, also on error; NULL: out of memory. */
CSL_MUST_CHECK enum csl_err csl__rpc_ask(json_t **result, struct csl_rpc *rpc, const char *method,
                                         json_t *params, size_t max_bytes, struct csl_diag *diag);
/* Puts method and node before the sentence. */
enum csl_err csl__rpc_context(struct csl_diag *diag, enum csl_err err, const struct csl_rpc *rpc,
                              const char *method);

#endif
