/* What the contract's answers must be. Needs no chain library. */
#ifndef CSL_CHAIN_CONTRACT_INTERNAL_H
#define CSL_CHAIN_CONTRACT_INTERNAL_H

#include <jansson.h>

#include "chain/contract.h"

/* Of head(); no bytes: nothing there. False, and both zero, when it cannot be. */
bool csl__contract_take_head(uint64_t *count, struct csl_anchor_entry *newest, const uint8_t *bytes,
                             size_t n);
/* Of entries(from, most): *given of them. */
bool csl__contract_take_page(struct csl_anchor_entry *out, uint64_t *given, uint64_t from, size_t most,
                             const uint8_t *bytes, size_t n);
/* Sizes rise, blocks and times do not fall. */
bool csl__contract_rises(const struct csl_anchor_entry *e, uint64_t n);
/* So many blocks, its own among them, with the latest being `latest`. */
bool csl__contract_is_final(uint64_t block, uint64_t latest, uint32_t confirmations);
/* The event's data. */
bool csl__contract_take_event(struct csl_anchor_root *previous, struct csl_anchor_root *is,
                              const uint8_t *data, size_t n);
/* csl_rpc_raw (chain/rpc_raw.h) of the node's result. */
CSL_MUST_CHECK enum csl_err csl__take_raw(uint8_t **raw, size_t *n_raw, bool *found,
                                          const uint8_t hash[CSL_HASH_BYTES], const json_t *json,
                                          struct csl_diag *diag);
/* Whether `account` signed this very anchor: *yes only when the node shows the transaction, which no node can
 * make up. event: what it shows of it, or zero. When not, or on an error, diag says why; only CSL_ENOMEM is
 * not the node's. */
CSL_MUST_CHECK enum csl_err csl__contract_signed(bool *yes, struct csl_anchor_event *event,
                                                 const struct csl_contract *c,
                                                 const struct csl_anchor_entry *e, const uint8_t *account,
                                                 const uint8_t *origin, struct csl_diag *diag);

#endif
