/* The one call that changes the contract, as bytes. */
#include <string.h>

#include "chain/contract.h"
#include "crypto/hash.h"

static const char anchor_signature[] = "anchor(bytes32,uint64,bytes32,uint64,bytes32)";

const char *const csl_contract_errors[CSL_CONTRACT_ERRORS] = {
    [CSL_CONTRACT_NOT_CURRENT] = "NotCurrent(uint64,bytes32)",
    [CSL_CONTRACT_NOT_LARGER] = "NotLarger(uint64,uint64)",
    [CSL_CONTRACT_NO_ROOT] = "NoRoot()",
    [CSL_CONTRACT_NO_ENTRY] = "NoSuchEntry(uint64)",
};

bool csl_anchor_root_same(const struct csl_anchor_root *a, const struct csl_anchor_root *b) {
    return a->size == b->size && memcmp(a->root, b->root, sizeof a->root) == 0;
}

enum csl_err csl_contract_origin(uint8_t out[CSL_CONTRACT_ORIGIN_BYTES], const char *origin) {
    return csl_sha256_once(out, (const uint8_t *)origin, strlen(origin));
}

void csl_contract_put_anchor(uint8_t out[CSL_CONTRACT_CALL_BYTES],
                             const uint8_t origin[CSL_CONTRACT_ORIGIN_BYTES],
                             const struct csl_anchor_root *previous, const struct csl_anchor_root *next) {
    struct csl_writer w = csl_writer_of(out, CSL_CONTRACT_CALL_BYTES);
    csl_abi_put_selector(&w, anchor_signature);
    csl_abi_put_bytes32(&w, origin);
    csl_abi_put_u64(&w, previous->size);
    csl_abi_put_bytes32(&w, previous->root);
    csl_abi_put_u64(&w, next->size);
    csl_abi_put_bytes32(&w, next->root);
}

/* The contract's decoder passes over what stands behind the arguments. */
bool csl_contract_take_anchor(uint8_t origin[CSL_CONTRACT_ORIGIN_BYTES], struct csl_anchor_root *previous,
                              struct csl_anchor_root *next, const uint8_t *data, size_t n) {
    static const uint8_t none[CSL_MERKLE_BYTES];
    uint8_t selector[CSL_ABI_SELECTOR];
    struct csl_reader r = csl_reader_of(data, n);
    const uint8_t *given = csl_reader_view(&r, CSL_ABI_SELECTOR);
    csl_abi_selector(selector, anchor_signature);
    csl_abi_take_bytes32(&r, origin);
    previous->size = csl_abi_take_u64(&r);
    csl_abi_take_bytes32(&r, previous->root);
    next->size = csl_abi_take_u64(&r);
    csl_abi_take_bytes32(&r, next->root);
    bool first = previous->size == 0, from_none = memcmp(previous->root, none, sizeof none) == 0;
    return !r.bad && memcmp(given, selector, sizeof selector) == 0 && first == from_none &&
           next->size > previous->size && memcmp(next->root, none, sizeof none) != 0;
}
