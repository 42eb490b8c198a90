/* The envelope of an answer (JSON-RPC 2.0), and how a node refuses. */
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "chain/rpc_internal.h"

enum { REVERT_MAX = 64 * 1024, MESSAGE_MAX = 240 };

/* What clients say, in lower case: geth, Erigon, Nethermind, Besu, Reth, anvil. The first that fits: that of
 * reverts comes before all, since the contract's own words follow it. */
static const struct {
    const char *words;
    enum csl_rpc_refusal refusal;
} said[] = {
    {"revert", CSL_REFUSED_REVERT},
    {"already known", CSL_REFUSED_KNOWN},
    {"alreadyknown", CSL_REFUSED_KNOWN},
    {"known transaction", CSL_REFUSED_KNOWN},
    {"already imported", CSL_REFUSED_KNOWN},
    {"nonce too low", CSL_REFUSED_NONCE_LOW},
    {"nonce is too low", CSL_REFUSED_NONCE_LOW},
    {"oldnonce", CSL_REFUSED_NONCE_LOW},
    {"nonce too high", CSL_REFUSED_NONCE_HIGH},
    {"nonce is too high", CSL_REFUSED_NONCE_HIGH},
    {"nonce gap", CSL_REFUSED_NONCE_HIGH},
    {"noncegap", CSL_REFUSED_NONCE_HIGH},
    {"insufficient funds", CSL_REFUSED_FUNDS},
    {"insufficientfunds", CSL_REFUSED_FUNDS},
    {"upfront cost exceeds", CSL_REFUSED_FUNDS},
    {"not enough funds", CSL_REFUSED_FUNDS},
    {"underpriced", CSL_REFUSED_UNDERPRICED},
    {"replacementnotallowed", CSL_REFUSED_UNDERPRICED},
    {"less than block base fee", CSL_REFUSED_UNDERPRICED},
    {"feetoolow", CSL_REFUSED_UNDERPRICED},
    {"fee too low", CSL_REFUSED_UNDERPRICED},
    {"price too low", CSL_REFUSED_UNDERPRICED},
    {"price below", CSL_REFUSED_UNDERPRICED},
    {"chain id", CSL_REFUSED_CHAIN_ID},
    {"chainid", CSL_REFUSED_CHAIN_ID},
    {"invalid sender", CSL_REFUSED_CHAIN_ID},
    {"block range", CSL_REFUSED_RANGE},
    {"blocks range", CSL_REFUSED_RANGE},
    {"range limit", CSL_REFUSED_RANGE},
    {"range is too", CSL_REFUSED_RANGE},
    {"returned more than", CSL_REFUSED_RANGE},
    {"too many blocks", CSL_REFUSED_RANGE},
    {"too many results", CSL_REFUSED_RANGE},
    {"too many logs", CSL_REFUSED_RANGE},
    {"response size", CSL_REFUSED_RANGE},
    {"is limited to", CSL_REFUSED_RANGE},
};

/* Codes that say more than the words do: -32601 of JSON-RPC, 3 of geth for reverts, -32005 of EIP-1474. */
static enum csl_rpc_refusal refusal_of(json_int_t code, const char *message) {
    char lower[MESSAGE_MAX + 1];
    size_t n = 0;
    for (; message[n] != 0 && n < MESSAGE_MAX; n++) {
        lower[n] = (char)tolower((unsigned char)message[n]);
    }
    lower[n] = 0;
    if (code == 3 || code == -32601) {
        return code == 3 ? CSL_REFUSED_REVERT : CSL_REFUSED_METHOD;
    }
    for (size_t i = 0; i < sizeof said / sizeof said[0]; i++) {
        if (strstr(lower, said[i].words) != NULL) {
            return said[i].refusal;
        }
    }
    return CSL_REFUSED_OTHER;
}

/* What the contract gave as its reason: the error's data as a string, or in an object's data. False: none. */
static bool revert_data(uint8_t **data, size_t *n, const json_t *error) {
    const json_t *value = json_object_get(error, "data");
    if (json_is_object(value)) {
        value = json_object_get(value, "data");
    }
    return json_is_string(value) && csl__take_bytes(data, n, REVERT_MAX, value, NULL, NULL) == CSL_OK;
}

static void printable(char *out, const char *text) {
    size_t n = 0;
    for (; text[n] != 0 && n < MESSAGE_MAX; n++) {
        out[n] = text[n] >= 0x20 && text[n] < 0x7f ? text[n] : '?';
    }
    out[n] = 0;
}

static enum csl_err refused(struct csl_rpc *rpc, const json_t *error, struct csl_diag *diag) {
    const json_t *code = json_object_get(error, "code");
    const char *message = json_string_value(json_object_get(error, "message"));
    char text[MESSAGE_MAX + 1];
    uint8_t *data = NULL;
    size_t n = 0;
    if (!json_is_integer(code) || message == NULL) {
        return csl_fail(diag, CSL_EPROTO,
                        "the answer's error has no code or message; is this a chain's node?");
    }
    rpc->refused = refusal_of(json_integer_value(code), message);
    if (rpc->refused == CSL_REFUSED_REVERT || rpc->refused == CSL_REFUSED_OTHER) {
        bool has_data = revert_data(&data, &n, error) && n >= CSL_ABI_SELECTOR;
        if (has_data || rpc->refused == CSL_REFUSED_REVERT) {
            rpc->refused = CSL_REFUSED_REVERT;
            csl_abi_revert_text(rpc->revert, &rpc->revert_known, data, n, rpc->errors, rpc->n_errors);
        }
        free(data);
    }
    printable(text, message);
    if (rpc->refused == CSL_REFUSED_REVERT) {
        return csl_fail(diag, CSL_EPEER, "the call is reverted: %s (the node says: %.100s)", rpc->revert,
                        text);
    }
    return csl_fail(diag, CSL_EPEER, "the node refuses: %s (code %" PRId64 ")", text,
                    (int64_t)json_integer_value(code));
}

/* The first bytes of what is no JSON. */
static enum csl_err not_json(const char *text, size_t n, const json_error_t *why, struct csl_diag *diag) {
    char start[41];
    size_t n_start = n < sizeof start - 1 ? n : sizeof start - 1;
    if (n == 0) {
        return csl_fail(diag, CSL_EPROTO, "the answer is empty; is this the URL of a JSON-RPC service?");
    }
    memcpy(start, text, n_start);
    start[n_start] = 0;
    char shown[MESSAGE_MAX + 1];
    printable(shown, start);
    return csl_fail(diag, CSL_EPROTO,
                    "the answer is not JSON-RPC (%.80s): \"%s\"; is this the URL of a JSON-RPC "
                    "service?",
                    why->text, shown);
}

/* The answer's result, borrowed; or the error. */
static enum csl_err open_envelope(const json_t **result, struct csl_rpc *rpc, uint64_t id, const json_t *root,
                                  struct csl_diag *diag) {
    const json_t *version = json_object_get(root, "jsonrpc"), *got_id = json_object_get(root, "id");
    const json_t *error = json_object_get(root, "error"), *value = json_object_get(root, "result");
    if (!json_is_object(root) || !json_is_string(version) || strcmp(json_string_value(version), "2.0") != 0) {
        return csl_fail(diag, CSL_EPROTO, "the answer is not one of JSON-RPC 2.0");
    }
    error = json_is_null(error) ? NULL : error; /* as some write "none" */
    value = error != NULL && json_is_null(value) ? NULL : value;
    if ((error != NULL) == (value != NULL)) {
        return csl_fail(diag, CSL_EPROTO, "the answer has %s",
                        error != NULL ? "both a result and an error" : "neither a result nor an error");
    }
    /* Where a request cannot be read, its id cannot be given back. */
    bool same = json_is_integer(got_id) && json_integer_value(got_id) == (json_int_t)id;
    if (!same && !(error != NULL && json_is_null(got_id))) {
        return csl_fail(diag, CSL_EPROTO, "the answer is to another request (its id is not %" PRIu64 ")", id);
    }
    if (error != NULL) {
        return refused(rpc, error, diag);
    }
    *result = value;
    return CSL_OK;
}

enum csl_err csl__rpc_parse(json_t **result, struct csl_rpc *rpc, uint64_t id, const char *text, size_t n,
                            struct csl_diag *diag) {
    json_error_t why = {0};
    const json_t *value = NULL;
    rpc->refused = CSL_REFUSED_NOT;
    rpc->revert[0] = 0;
    rpc->revert_known = -1;
    json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &why);
    if (root == NULL) {
        return not_json(text, n, &why, diag);
    }
    enum csl_err err = open_envelope(&value, rpc, id, root, diag);
    if (err == CSL_OK) {
        *result = json_incref((json_t *)(uintptr_t)value);
    }
    json_decref(root);
    return err;
}
