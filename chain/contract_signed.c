/* Who signed an anchor, as its transaction shows. */
#include <stdlib.h>
#include <string.h>

#include "chain/account.h"
#include "chain/contract_internal.h"
#include "chain/rpc_raw.h"
#include "chain/signed_tx.h"

/* That this very transaction, executed on this chain, is the account's own call of the contract with that
 * saying. Otherwise `diag` says what it is. */
static bool is_the_call(const struct csl_signed_tx *tx, const struct csl_contract *c,
                        const struct csl_anchor_entry *e, const uint8_t *account, const uint8_t *origin,
                        struct csl_diag *diag) {
    uint8_t sender[CSL_ADDRESS_BYTES], of[CSL_CONTRACT_ORIGIN_BYTES];
    struct csl_anchor_root previous, is;
    char from[CSL_ADDRESS_ROOM];
    if (csl_account_recover(sender, tx->sig.rs, tx->sig.parity, tx->signing_hash) != CSL_OK) {
        (void)csl_fail(diag, CSL_EAUTH, "its transaction's signature is none");
        return false;
    }
    csl_address_text(from, sender);
    if (memcmp(sender, account, sizeof sender) != 0 || tx->creates ||
        memcmp(tx->to, c->address, sizeof tx->to) != 0) {
        (void)csl_fail(diag, CSL_EAUTH,
                       "its transaction is of account %s and no call of the contract by the site's account: "
                       "made up, or the account acts through code (EIP-7702)",
                       from);
        return false;
    }
    bool same = (tx->any_chain || tx->chain_id == c->chain_id) && !tx->pays &&
                csl_contract_take_anchor(of, &previous, &is, tx->data, tx->n_data) &&
                memcmp(of, origin, sizeof of) == 0 && csl_anchor_root_same(&is, &e->is);
    if (!same) {
        (void)csl_fail(diag, CSL_EAUTH, "its transaction says something else");
    }
    return same;
}

enum csl_err csl__contract_signed(bool *yes, struct csl_anchor_event *event, const struct csl_contract *c,
                                  const struct csl_anchor_entry *e, const uint8_t *account,
                                  const uint8_t *origin, struct csl_diag *diag) {
    uint8_t *raw = NULL;
    size_t n = 0;
    bool found = false;
    struct csl_signed_tx tx;
    *yes = false;
    TRY(csl_contract_event(c, event, &found, e, account, origin, diag));
    if (found) {
        TRY(csl_rpc_raw(c->rpc, &raw, &n, &found, event->tx, diag)); /* of this hash */
    }
    if (!found) {
        (void)csl_fail(diag, CSL_ENOINPUT, "the node does not show the signed transaction");
        return CSL_OK;
    }
    enum csl_err err = csl_signed_tx_decode(&tx, raw, n, diag);
    *yes = err == CSL_OK && is_the_call(&tx, c, e, account, origin, diag);
    free(raw);
    return err == CSL_ENOMEM ? err : CSL_OK;
}
