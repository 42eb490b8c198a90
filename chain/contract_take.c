/* What a node says of the contract. */
#include <string.h>

#include "chain/contract_internal.h"

enum { ENTRY_WORDS = 4 };

static void take_entry(struct csl_reader *r, struct csl_anchor_entry *e) {
    csl_abi_take_bytes32(r, e->is.root);
    e->is.size = csl_abi_take_u64(r);
    e->block = csl_abi_take_u64(r);
    e->time_s = csl_abi_take_u64(r);
}

bool csl__contract_take_head(uint64_t *count, struct csl_anchor_entry *newest, const uint8_t *bytes,
                             size_t n) {
    struct csl_reader r = csl_reader_of(bytes, n);
    memset(newest, 0, sizeof *newest);
    *count = n == 0 ? 0 : csl_abi_take_u64(&r);
    if (n != 0) {
        take_entry(&r, newest);
    }
    bool empty = newest->is.size == 0;
    if (r.bad || r.left != 0 || (*count == 0) != empty || *count > CSL_CONTRACT_COUNT_MAX) {
        memset(newest, 0, sizeof *newest);
        *count = 0;
        return false;
    }
    newest->index = *count == 0 ? 0 : *count - 1;
    return true;
}

/* Offset, length, then four words an entry. */
bool csl__contract_take_page(struct csl_anchor_entry *out, uint64_t *given, uint64_t from, size_t most,
                             const uint8_t *bytes, size_t n) {
    struct csl_reader r = csl_reader_of(bytes, n);
    uint64_t offset = csl_abi_take_u64(&r);
    *given = csl_abi_take_u64(&r);
    bool fits =
        !r.bad && offset == CSL_ABI_WORD && *given <= most && r.left == *given * ENTRY_WORDS * CSL_ABI_WORD;
    for (size_t i = 0; fits && i < *given; i++) {
        take_entry(&r, &out[i]);
        out[i].index = from + i;
    }
    return fits && !r.bad;
}

bool csl__contract_rises(const struct csl_anchor_entry *e, uint64_t n) {
    for (uint64_t i = 0; i < n; i++) {
        if (e[i].is.size == 0 || (i > 0 && (e[i].is.size <= e[i - 1].is.size || e[i].block < e[i - 1].block ||
                                            e[i].time_s < e[i - 1].time_s))) {
            return false;
        }
    }
    return true;
}

bool csl__contract_is_final(uint64_t block, uint64_t latest, uint32_t confirmations) {
    return latest >= block && latest - block + 1 >= confirmations;
}

bool csl__contract_take_event(struct csl_anchor_root *previous, struct csl_anchor_root *is,
                              const uint8_t *data, size_t n) {
    struct csl_reader r = csl_reader_of(data, n);
    previous->size = csl_abi_take_u64(&r);
    csl_abi_take_bytes32(&r, previous->root);
    is->size = csl_abi_take_u64(&r);
    csl_abi_take_bytes32(&r, is->root);
    return !r.bad && r.left == 0;
}
