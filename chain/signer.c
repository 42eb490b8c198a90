/* Signing, here or by a remote signer whose answer is compared with what was asked for. */
#include "chain/signer.h"

#include <stdlib.h>
#include <string.h>

#include "chain/account.h"
#include "chain/rpc_internal.h"

static const char *signing_method(const struct csl_signer *signer) {
    return signer->kind == CSL_SIGNER_CLEF ? "account_signTransaction" : "eth_signTransaction";
}

static enum csl_err not_the_account(const struct csl_signer *signer, const char *where,
                                    struct csl_diag *diag) {
    char text[CSL_ADDRESS_ROOM];
    csl_address_text(text, signer->address);
    return csl_fail(diag, CSL_ECONFIG, "%s has no account %s; check the account and the key", where, text);
}

enum csl_err csl_signer_check(const struct csl_signer *signer, struct csl_diag *diag) {
    const char *method = signer->kind == CSL_SIGNER_CLEF ? "account_list" : "eth_accounts";
    json_t *result = NULL;
    bool has = false;
    if (signer->kind == CSL_SIGNER_ACCOUNT) {
        has = memcmp(csl_account_address(signer->account), signer->address, CSL_ADDRESS_BYTES) == 0;
        return has ? CSL_OK : not_the_account(signer, "the key file", diag);
    }
    TRY(csl__rpc_ask(&result, signer->remote, method, json_array(), CSL__RPC_LARGE, diag));
    enum csl_err err = csl__take_has_address(&has, signer->address, result, diag);
    bool empty = json_array_size(result) == 0;
    json_decref(result);
    if (err == CSL_OK && empty) { /* as after its start: no reason to end for who asks again and again */
        err = csl_fail(diag, CSL_EUNAVAILABLE, "the remote signer has no accounts yet: are its keys loaded?");
    }
    if (err == CSL_OK && !has) {
        err = not_the_account(signer, "the remote signer", diag);
    }
    return err == CSL_OK ? CSL_OK : csl__rpc_context(diag, err, signer->remote, method);
}

/* The transaction as the specification's object; NULL without memory. */
static json_t *object_of(const struct csl_signer *signer, const struct csl_tx *tx) {
    json_t *o = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "from", csl__put_address(signer->address),
                          "chainId", csl__put_u64(tx->chain_id), "nonce", csl__put_u64(tx->nonce), "gas",
                          csl__put_u64(tx->gas_limit), "value", csl__put_wei(tx->value), "data",
                          csl__put_bytes(tx->data, tx->n_data));
    int bad = o == NULL;
    if (!bad && !tx->creates) {
        bad |= json_object_set_new(o, "to", csl__put_address(tx->to));
    }
    if (!bad && tx->legacy) {
        bad |= json_object_set_new(o, "gasPrice", csl__put_u64(tx->max_fee));
    } else if (!bad) {
        bad |= json_object_set_new(o, "maxFeePerGas", csl__put_u64(tx->max_fee));
        bad |= json_object_set_new(o, "maxPriorityFeePerGas", csl__put_u64(tx->max_priority));
    }
    if (bad != 0) {
        json_decref(o);
        return NULL;
    }
    return o;
}

/* Exactly the transaction that was asked for, signed by whom it was asked of. */
static enum csl_err check_signed(const struct csl_signer *signer, const struct csl_tx *want,
                                 const uint8_t *raw, size_t n_raw, struct csl_diag *diag) {
    struct csl_tx got;
    struct csl_tx_signature sig;
    uint8_t sender[CSL_ADDRESS_BYTES];
    char text[CSL_ADDRESS_ROOM];
    enum csl_err err = csl_tx_decode(&got, &sig, raw, n_raw, diag);
    if (err == CSL_EDATA) {
        return csl_fail_context(diag, CSL_EPROTO, "the signer's answer");
    }
    TRY(err);
    TRY(csl_tx_compare(&got, want, diag));
    TRY(csl_tx_sender(sender, raw, n_raw, diag));
    if (memcmp(sender, signer->address, sizeof sender) != 0) {
        csl_address_text(text, sender);
        return csl_fail(diag, CSL_EAUTH, "the transaction is signed by %s instead of the account asked for",
                        text);
    }
    return CSL_OK;
}

/* The raw bytes: Web3Signer's answer, or in `raw` of geth's and Clef's. */
static enum csl_err take_signed(uint8_t **raw, size_t *n_raw, const struct csl_signer *signer,
                                const struct csl_tx *tx, const json_t *result, struct csl_diag *diag) {
    uint8_t *bytes = NULL;
    size_t n = 0;
    enum csl_err err =
        csl__take_bytes(&bytes, &n, CSL_TX_RAW_MAX, result, json_is_object(result) ? "raw" : NULL, diag);
    if (err == CSL_OK) {
        err = check_signed(signer, tx, bytes, n, diag);
    }
    if (err != CSL_OK) {
        free(bytes);
        return err;
    }
    *raw = bytes;
    *n_raw = n;
    return CSL_OK;
}

enum csl_err csl_signer_sign(uint8_t **raw, size_t *n_raw, uint8_t hash[CSL_HASH_BYTES],
                             const struct csl_signer *signer, const struct csl_tx *tx,
                             struct csl_diag *diag) {
    uint8_t signing[CSL_HASH_BYTES];
    json_t *result = NULL;
    if (signer->kind == CSL_SIGNER_ACCOUNT) {
        TRY(csl_signer_check(signer, diag));
        return csl_tx_sign(raw, n_raw, hash, tx, signer->account, diag);
    }
    TRY(csl_tx_signing_hash(signing, tx, diag)); /* one that no chain takes is our own mistake */
    TRY(csl__rpc_ask(&result, signer->remote, signing_method(signer), json_pack("[o]", object_of(signer, tx)),
                     CSL__RPC_LARGE, diag));
    enum csl_err err = take_signed(raw, n_raw, signer, tx, result, diag);
    json_decref(result);
    if (err != CSL_OK) {
        return csl__rpc_context(diag, err, signer->remote, signing_method(signer));
    }
    csl_tx_hash(hash, *raw, *n_raw);
    return CSL_OK;
}
