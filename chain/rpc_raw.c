#include "chain/rpc_raw.h"

#include "chain/contract_internal.h"
#include "chain/rpc_internal.h"
#include "chain/signed_tx.h"

enum { TEXT_MAX = 2 * CSL_SIGNED_TX_MAX };

enum csl_err csl_rpc_raw(struct csl_rpc *rpc, uint8_t **raw, size_t *n_raw, bool *found,
                         const uint8_t hash[CSL_HASH_BYTES], struct csl_diag *diag) {
    static const char method[] = "eth_getTransactionByHash";
    json_t *json = NULL;
    *raw = NULL;
    *n_raw = 0;
    *found = false;
    TRY(csl__rpc_ask(&json, rpc, method, json_pack("[o]", csl__put_bytes(hash, CSL_HASH_BYTES)), TEXT_MAX,
                     diag));
    enum csl_err err = csl__take_raw(raw, n_raw, found, hash, json, diag);
    json_decref(json);
    return err == CSL_OK ? CSL_OK : csl__rpc_context(diag, err, rpc, method);
}
