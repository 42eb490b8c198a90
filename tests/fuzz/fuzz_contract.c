/* What a node says of the contract: the first byte says to which question, the rest is the answer. */
#include <stdlib.h>
#include <string.h>

#include "chain/contract_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 16 };

static void take_bytes(uint8_t question, const uint8_t *p, size_t n) {
    struct csl_anchor_entry e[MOST];
    struct csl_anchor_root a, b;
    uint64_t count = 0;
    uint8_t origin[CSL_CONTRACT_ORIGIN_BYTES], call[CSL_CONTRACT_CALL_BYTES];
    switch (question % 4) {
    case 0:
        if (csl__contract_take_head(&count, e, p, n) && (count == 0) != (e->is.size == 0)) {
            abort();
        }
        break;
    case 1:
        memset(e, 0, sizeof e);
        if (csl__contract_take_page(e, &count, 7, MOST, p, n) &&
            (count > MOST || (count > 0 && e->index != 7))) {
            abort();
        }
        (void)csl__contract_rises(e, MOST);
        break;
    case 2:
        (void)csl__contract_take_event(&a, &b, p, n);
        break;
    default:
        if (csl_contract_take_anchor(origin, &a, &b, p, n)) { /* one form, whatever stands behind */
            csl_contract_put_anchor(call, origin, &a, &b);
            if (n < sizeof call || memcmp(call, p, sizeof call) != 0 || b.size <= a.size) {
                abort();
            }
        }
    }
}

static void take_json(const uint8_t *p, size_t n) {
    static const uint8_t hash[CSL_HASH_BYTES] = {0};
    struct csl_diag diag = {""};
    uint8_t *raw = NULL;
    size_t n_raw = 0;
    bool found = false;
    json_t *json = json_loadb((const char *)p, n, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    if (json != NULL) {
        enum csl_err err = csl__take_raw(&raw, &n_raw, &found, hash, json, &diag);
        if ((err == CSL_OK) != (diag.text[0] == '\0') || found != (raw != NULL)) {
            abort();
        }
    }
    free(raw);
    json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size != 0 && data[0] == 4) {
        take_json(data + 1, size - 1);
    } else if (size != 0) {
        take_bytes(data[0], data + 1, size - 1);
    }
    return 0;
}
