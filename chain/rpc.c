/* Requests to a chain's node, one method a function. */
#include "chain/rpc.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "chain/rpc_internal.h"
#include "net/http/http.h"

enum { PLACE_MAX = 128, CODE_MAX = 64 * 1024, RETURN_MAX = 1024 * 1024, TOTAL_MS = 60000 };

enum csl_err csl__rpc_context(struct csl_diag *diag, enum csl_err err, const struct csl_rpc *rpc,
                              const char *method) {
    char place[PLACE_MAX];
    csl_http_place(place, sizeof place, rpc->url);
    return csl_fail_context(diag, err, "%s at %s", method, place);
}

/* The request's text (free); takes params. */
static char *request_of(uint64_t id, const char *method, json_t *params) {
    json_t *request = json_pack("{s:s, s:I, s:s, s:o}", "jsonrpc", "2.0", "id", (json_int_t)id, "method",
                                method, "params", params);
    char *text = request == NULL ? NULL : json_dumps(request, JSON_COMPACT);
    json_decref(request);
    return text;
}

int64_t csl_rpc_now_ms(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The question's deadlines, within the one of all. */
static enum csl_err limit(struct csl_http *q, const struct csl_rpc *rpc, const char *method,
                          struct csl_diag *diag) {
    if (rpc->stopped != NULL && *rpc->stopped != 0) {
        return csl_fail(diag, CSL_ETIMEOUT, "%s: stopped", method);
    }
    if (rpc->until_ms != 0) {
        int64_t left = rpc->until_ms - csl_rpc_now_ms();
        if (left <= 0) {
            return csl_fail(diag, CSL_ETIMEOUT, "%s: the time for all of the node's answers is over", method);
        }
        int64_t total = q->total_ms == 0 ? TOTAL_MS : q->total_ms;
        q->total_ms = (uint32_t)(left < total ? left : total);
    }
    return CSL_OK;
}

enum csl_err csl__rpc_ask(json_t **result, struct csl_rpc *rpc, const char *method, json_t *params,
                          size_t max_bytes, struct csl_diag *diag) {
    char *answer = NULL, *text = NULL;
    size_t n = 0;
    enum csl_err err = CSL_OK;
    rpc->refused = CSL_REFUSED_NOT;
    rpc->revert[0] = 0;
    rpc->revert_known = -1;
    rpc->last_id++;
    text = request_of(rpc->last_id, method, params);
    if (text == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "out of memory");
    }
    struct csl_http q = {.url = rpc->url,
                         .content_type = "application/json",
                         .ca_file = rpc->ca_file,
                         .connect_ms = rpc->connect_ms,
                         .total_ms = rpc->total_ms,
                         .idle_ms = rpc->idle_ms,
                         .max_response_bytes = max_bytes,
                         .body = (const uint8_t *)text,
                         .n_body = strlen(text)};
    err = limit(&q, rpc, method, diag);
    if (err != CSL_OK) {
        free(text);
        return err;
    }
    err = csl_http_fetch(&q, NULL, &answer, &n, diag);
    if (err != CSL_OK) {
        /* A bad certificate may be good again tomorrow: no reason to end for who asks again and again. */
        err = err == CSL_EAUTH ? CSL_EUNAVAILABLE : err;
        err = csl_fail_context(diag, err, "%s", method); /* the node is named already */
    } else if ((err = csl__rpc_parse(result, rpc, rpc->last_id, answer, n, diag)) != CSL_OK) {
        err = csl__rpc_context(diag, err, rpc, method);
    }
    free(answer);
    free(text);
    return err;
}

/* Gives the result back, and says whose it was when it was not what it should be. */
static enum csl_err done(enum csl_err err, json_t *result, const struct csl_rpc *rpc, const char *method,
                         struct csl_diag *diag) {
    json_decref(result);
    return err == CSL_OK ? CSL_OK : csl__rpc_context(diag, err, rpc, method);
}

static enum csl_err ask_u64(uint64_t *v, struct csl_rpc *rpc, const char *method, json_t *params,
                            struct csl_diag *diag) {
    json_t *result = NULL;
    TRY(csl__rpc_ask(&result, rpc, method, params, CSL__RPC_SMALL, diag));
    return done(csl__take_u64(v, result, NULL, diag), result, rpc, method, diag);
}

enum csl_err csl_rpc_chain_id(struct csl_rpc *rpc, uint64_t *id, struct csl_diag *diag) {
    uint64_t got = 0;
    TRY(ask_u64(&got, rpc, "eth_chainId", json_array(), diag));
    if (got == 0 || got > CSL_CHAIN_ID_MAX) {
        return csl__rpc_context(diag, csl_fail(diag, CSL_EPROTO, "the result is no chain's id"), rpc,
                                "eth_chainId");
    }
    *id = got;
    return CSL_OK;
}

enum csl_err csl_rpc_block_number(struct csl_rpc *rpc, uint64_t *number, struct csl_diag *diag) {
    return ask_u64(number, rpc, "eth_blockNumber", json_array(), diag);
}

enum csl_err csl_rpc_block(struct csl_rpc *rpc, struct csl_block *block, bool *found,
                           const struct csl_block_at *at, struct csl_diag *diag) {
    bool by_hash = at->kind == CSL_AT_HASH;
    const char *method = by_hash ? "eth_getBlockByHash" : "eth_getBlockByNumber";
    json_t *result = NULL;
    if (at->kind == CSL_AT_PENDING) {
        return csl_fail(diag, CSL_EUSAGE, "the pending block is none yet");
    }
    json_t *which = by_hash ? csl__put_bytes(at->hash, sizeof at->hash) : csl__put_block_at(at);
    TRY(csl__rpc_ask(&result, rpc, method, json_pack("[o, b]", which, 0), CSL__RPC_LARGE, diag));
    return done(csl__take_block(block, found, at, result, diag), result, rpc, method, diag);
}

static json_t *of_account(const uint8_t address[CSL_ADDRESS_BYTES], const struct csl_block_at *at) {
    return json_pack("[o, o]", csl__put_address(address), csl__put_block_at(at));
}

enum csl_err csl_rpc_nonce(struct csl_rpc *rpc, uint64_t *nonce, const uint8_t address[CSL_ADDRESS_BYTES],
                           const struct csl_block_at *at, struct csl_diag *diag) {
    static const char method[] = "eth_getTransactionCount";
    uint64_t got = 0;
    TRY(ask_u64(&got, rpc, method, of_account(address, at), diag));
    if (got == UINT64_MAX) { /* EIP-2681: no account comes so far */
        return csl__rpc_context(diag, csl_fail(diag, CSL_EPROTO, "the result is no account's count"), rpc,
                                method);
    }
    *nonce = got;
    return CSL_OK;
}

enum csl_err csl_rpc_balance(struct csl_rpc *rpc, csl_wei *wei, const uint8_t address[CSL_ADDRESS_BYTES],
                             const struct csl_block_at *at, struct csl_diag *diag) {
    json_t *result = NULL;
    TRY(csl__rpc_ask(&result, rpc, "eth_getBalance", of_account(address, at), CSL__RPC_SMALL, diag));
    return done(csl__take_wei(wei, result, NULL, diag), result, rpc, "eth_getBalance", diag);
}

enum csl_err csl_rpc_code(struct csl_rpc *rpc, uint8_t **code, size_t *n,
                          const uint8_t address[CSL_ADDRESS_BYTES], const struct csl_block_at *at,
                          struct csl_diag *diag) {
    json_t *result = NULL;
    TRY(csl__rpc_ask(&result, rpc, "eth_getCode", of_account(address, at), 4 * CODE_MAX, diag));
    return done(csl__take_bytes(code, n, CODE_MAX, result, NULL, diag), result, rpc, "eth_getCode", diag);
}

/* The call's object; NULL without memory. `data`, which all clients know, where newer ones say input. */
static json_t *call_of(const struct csl_call *call) {
    json_t *object = json_pack("{s:o}", "data", csl__put_bytes(call->data, call->n_data));
    int bad = object == NULL;
    if (!bad && call->from != NULL) {
        bad |= json_object_set_new(object, "from", csl__put_address(call->from));
    }
    if (!bad && call->to != NULL) {
        bad |= json_object_set_new(object, "to", csl__put_address(call->to));
    }
    if (bad != 0) {
        json_decref(object);
        return NULL;
    }
    return object;
}

enum csl_err csl_rpc_estimate_gas(struct csl_rpc *rpc, uint64_t *gas, const struct csl_call *call,
                                  struct csl_diag *diag) {
    return ask_u64(gas, rpc, "eth_estimateGas", json_pack("[o]", call_of(call)), diag);
}

enum csl_err csl_rpc_call(struct csl_rpc *rpc, uint8_t **out, size_t *n, const struct csl_call *call,
                          const struct csl_block_at *at, struct csl_diag *diag) {
    json_t *result = NULL;
    if (call->to == NULL) {
        return csl_fail(diag, CSL_EUSAGE, "a call is of a contract");
    }
    TRY(csl__rpc_ask(&result, rpc, "eth_call", json_pack("[o, o]", call_of(call), csl__put_block_at(at)),
                     CSL__RPC_LARGE, diag));
    return done(csl__take_bytes(out, n, RETURN_MAX, result, NULL, diag), result, rpc, "eth_call", diag);
}

enum csl_err csl_rpc_send(struct csl_rpc *rpc, const uint8_t *raw, size_t n_raw, struct csl_diag *diag) {
    static const char method[] = "eth_sendRawTransaction";
    uint8_t hash[CSL_HASH_BYTES], got[CSL_HASH_BYTES] = {0};
    json_t *result = NULL;
    csl_tx_hash(hash, raw, n_raw);
    TRY(csl__rpc_ask(&result, rpc, method, json_pack("[o]", csl__put_bytes(raw, n_raw)), CSL__RPC_SMALL,
                     diag));
    enum csl_err err = csl__take_fixed(got, sizeof got, result, NULL, diag);
    if (err == CSL_OK && memcmp(got, hash, sizeof got) != 0) {
        err = csl_fail(diag, CSL_EPROTO, "the node names another transaction than it was given");
    }
    return done(err, result, rpc, method, diag);
}

enum csl_err csl_rpc_receipt(struct csl_rpc *rpc, struct csl_receipt *receipt, bool *found,
                             const uint8_t tx_hash[CSL_HASH_BYTES], struct csl_diag *diag) {
    static const char method[] = "eth_getTransactionReceipt";
    json_t *result = NULL;
    TRY(csl__rpc_ask(&result, rpc, method, json_pack("[o]", csl__put_bytes(tx_hash, CSL_HASH_BYTES)),
                     CSL__RPC_LARGE, diag));
    return done(csl__take_receipt(receipt, found, tx_hash, result, diag), result, rpc, method, diag);
}

enum csl_err csl_rpc_transaction(struct csl_rpc *rpc, struct csl_rpc_tx *tx, bool *found,
                                 const uint8_t hash[CSL_HASH_BYTES], struct csl_diag *diag) {
    static const char method[] = "eth_getTransactionByHash";
    json_t *result = NULL;
    TRY(csl__rpc_ask(&result, rpc, method, json_pack("[o]", csl__put_bytes(hash, CSL_HASH_BYTES)),
                     CSL__RPC_LARGE, diag));
    return done(csl__take_tx(tx, found, hash, result, diag), result, rpc, method, diag);
}
