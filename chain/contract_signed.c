/* Who signed an anchor, as its transaction shows. */
#include <stdlib.h>
#include <string.h>

#include "chain/contract_internal.h"
#include "chain/rpc_raw.h"
#include "chain/tx.h"

enum csl_err csl__contract_signed(bool *yes, struct csl_anchor_event *event, const struct csl_contract *c,
                                  const struct csl_anchor_entry *e, const uint8_t *account,
                                  const uint8_t *origin, struct csl_diag *diag) {
    uint8_t *raw = NULL, sender[CSL_ADDRESS_BYTES], of[CSL_CONTRACT_ORIGIN_BYTES], hash[CSL_HASH_BYTES];
    size_t n = 0;
    bool found = false;
    struct csl_tx tx;
    struct csl_tx_signature sig;
    struct csl_anchor_root previous, is;
    *yes = false;
    TRY(csl_contract_event(c, event, &found, e, account, origin, diag));
    if (found) {
        TRY(csl_rpc_raw(c->rpc, &raw, &n, &found, event->tx, diag));
    }
    if (!found) {
        return CSL_OK;
    }
    csl_tx_hash(hash, raw, n);
    *yes = memcmp(hash, event->tx, sizeof hash) == 0 && csl_tx_decode(&tx, &sig, raw, n, diag) == CSL_OK &&
           csl_tx_sender(sender, raw, n, diag) == CSL_OK && memcmp(sender, account, sizeof sender) == 0 &&
           tx.chain_id == c->chain_id && !tx.creates && memcmp(tx.to, c->address, sizeof tx.to) == 0 &&
           csl_contract_take_anchor(of, &previous, &is, tx.data, tx.n_data) &&
           memcmp(of, origin, sizeof of) == 0 && csl_anchor_root_same(&is, &e->is);
    free(raw);
    return CSL_OK;
}
