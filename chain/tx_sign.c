/* What needs the curve: signing a transaction, and who signed one. */
#include <stdlib.h>
#include <string.h>

#include "chain/account.h"
#include "chain/tx.h"

enum csl_err csl_tx_sign(uint8_t **raw, size_t *n_raw, uint8_t hash[CSL_HASH_BYTES], const struct csl_tx *tx,
                         const struct csl_account *account, struct csl_diag *diag) {
    uint8_t signing[CSL_HASH_BYTES];
    struct csl_tx_signature sig = {0};
    TRY(csl_tx_signing_hash(signing, tx, diag));
    enum csl_err err = csl_account_sign(sig.rs, &sig.parity, account, signing);
    if (err != CSL_OK) {
        return csl_fail(diag, err, "the transaction cannot be signed (%s)", csl_err_text(err));
    }
    TRY(csl_tx_encode(raw, n_raw, tx, &sig, diag));
    csl_tx_hash(hash, *raw, *n_raw);
    return CSL_OK;
}

enum csl_err csl_tx_sender(uint8_t address[CSL_ADDRESS_BYTES], const uint8_t *raw, size_t n_raw,
                           struct csl_diag *diag) {
    struct csl_tx tx;
    struct csl_tx_signature sig;
    uint8_t signing[CSL_HASH_BYTES];
    TRY(csl_tx_decode(&tx, &sig, raw, n_raw, diag));
    TRY(csl_tx_signing_hash(signing, &tx, diag));
    enum csl_err err = csl_account_recover(address, sig.rs, sig.parity, signing);
    return err == CSL_OK ? CSL_OK : csl_fail(diag, err, "the transaction's signature is none");
}
