/* A transaction of any known type, put together again from the fields that a node gives. */
#include <stdlib.h>
#include <string.h>

#include "chain/contract_internal.h"
#include "chain/rlp.h"
#include "chain/rpc_internal.h"
#include "chain/signed_tx.h"

enum { WORD = 32, HEADER_MAX = 9 };

/* ---- RLP that grows ---- */

struct rlp {
    uint8_t *p;
    size_t n, room;
};

/* Room for n bytes more, with an item's header. */
static enum csl_err grow(struct rlp *b, size_t n, struct csl_diag *diag) {
    if (n > CSL_SIGNED_TX_MAX || b->n > CSL_SIGNED_TX_MAX) {
        return csl_fail(diag, CSL_EPROTO, "a transaction of more than %d bytes", CSL_SIGNED_TX_MAX);
    }
    if (b->room - b->n < n + HEADER_MAX) {
        size_t room = 2 * b->room + n + HEADER_MAX;
        uint8_t *p = realloc(b->p, room);
        if (p == NULL) {
            return csl_fail(diag, CSL_ENOMEM, "out of memory");
        }
        b->p = p;
        b->room = room;
    }
    return CSL_OK;
}

static enum csl_err put_bytes(struct rlp *b, const uint8_t *p, size_t n, struct csl_diag *diag) {
    TRY(grow(b, n, diag));
    struct csl_writer w = csl_writer_of(b->p + b->n, b->room - b->n);
    csl_rlp_put_bytes(&w, p, n);
    b->n += w.n;
    return CSL_OK;
}

/* Makes a list of what stands from `from` on. */
static enum csl_err close_list(struct rlp *b, size_t from, struct csl_diag *diag) {
    size_t n = b->n - from, header = csl_rlp_header_size(n);
    TRY(grow(b, header, diag));
    memmove(b->p + from + header, b->p + from, n);
    struct csl_writer w = csl_writer_of(b->p + from, header);
    csl_rlp_put_list(&w, n);
    b->n += header;
    return CSL_OK;
}

/* ---- Fields ---- */

/* A quantity of at most 32 bytes; some nodes pad them with zeros. */
static enum csl_err put_number(struct rlp *b, const json_t *json, const char *field, struct csl_diag *diag) {
    const char *text = json_string_value(json_object_get(json, field));
    size_t n = text == NULL ? 0 : strlen(text);
    char padded[2 + 2 * WORD + 1] = "0x0000000000000000000000000000000000000000000000000000000000000000";
    uint8_t number[WORD];
    bool good = n >= 3 && n <= 2 + 2 * WORD && strncmp(text, "0x", 2) == 0;
    if (good) {
        memcpy(padded + 2 + 2 * WORD - (n - 2), text + 2, n - 2);
        good = csl_hex0x_parse(number, WORD, padded);
    }
    if (!good) {
        return csl_fail(diag, CSL_EPROTO, "%s is not a number of 256 bits", field);
    }
    size_t zeros = 0;
    while (zeros < WORD && number[zeros] == 0) {
        zeros++;
    }
    return put_bytes(b, number + zeros, WORD - zeros, diag);
}

static enum csl_err put_fixed(struct rlp *b, size_t n, const json_t *json, const char *field,
                              struct csl_diag *diag) {
    uint8_t bytes[WORD];
    TRY(csl__take_fixed(bytes, n, json, field, diag));
    return put_bytes(b, bytes, n, diag);
}

static enum csl_err put_data(struct rlp *b, const json_t *json, struct csl_diag *diag) {
    uint8_t *data = NULL;
    size_t n = 0;
    TRY(csl__take_bytes(&data, &n, CSL_SIGNED_TX_MAX, json, "input", diag));
    enum csl_err err = put_bytes(b, data, n, diag);
    free(data);
    return err;
}

/* "yParity", or "v" where there is none. */
static enum csl_err put_signature(struct rlp *b, const json_t *json, bool legacy, struct csl_diag *diag) {
    TRY(put_number(b, json, !legacy && csl__has(json, "yParity") ? "yParity" : "v", diag));
    TRY(put_number(b, json, "r", diag));
    return put_number(b, json, "s", diag);
}

/* ---- Lists ---- */

typedef enum csl_err put_item(struct rlp *b, const json_t *item, struct csl_diag *diag);

static enum csl_err put_all(struct rlp *b, const json_t *items, const char *field, put_item *put,
                            struct csl_diag *diag) {
    size_t from = b->n;
    if (!json_is_array(items)) {
        return csl_fail(diag, CSL_EPROTO, "%s is not a list", field);
    }
    for (size_t i = 0; i < json_array_size(items); i++) {
        TRY(put(b, json_array_get(items, i), diag));
    }
    return close_list(b, from, diag);
}

static enum csl_err put_word(struct rlp *b, const json_t *item, struct csl_diag *diag) {
    return put_fixed(b, WORD, item, NULL, diag);
}

static enum csl_err put_access(struct rlp *b, const json_t *item, struct csl_diag *diag) {
    size_t from = b->n;
    TRY(put_fixed(b, CSL_ADDRESS_BYTES, item, "address", diag));
    TRY(put_all(b, json_object_get(item, "storageKeys"), "storageKeys", put_word, diag));
    return close_list(b, from, diag);
}

static enum csl_err put_authorization(struct rlp *b, const json_t *item, struct csl_diag *diag) {
    size_t from = b->n;
    TRY(put_number(b, item, "chainId", diag));
    TRY(put_fixed(b, CSL_ADDRESS_BYTES, item, "address", diag));
    TRY(put_number(b, item, "nonce", diag));
    TRY(put_signature(b, item, false, diag));
    return close_list(b, from, diag);
}

static enum csl_err put_field(struct rlp *b, char kind, const json_t *json, struct csl_diag *diag) {
    static const struct {
        char kind;
        const char *field;
    } numbers[] = {{'c', "chainId"},      {'n', "nonce"}, {'p', "gasPrice"}, {'m', "maxPriorityFeePerGas"},
                   {'x', "maxFeePerGas"}, {'g', "gas"},   {'v', "value"},    {'b', "maxFeePerBlobGas"}};
    switch (kind) {
    case 't':
        return csl__has(json, "to") ? put_fixed(b, CSL_ADDRESS_BYTES, json, "to", diag)
                                    : put_bytes(b, NULL, 0, diag);
    case 'd':
        return put_data(b, json, diag);
    case 'A':
        return put_all(b, json_object_get(json, "accessList"), "accessList", put_access, diag);
    case 'H':
        return put_all(b, json_object_get(json, "blobVersionedHashes"), "blobVersionedHashes", put_word,
                       diag);
    case 'Z':
        return put_all(b, json_object_get(json, "authorizationList"), "authorizationList", put_authorization,
                       diag);
    default:
        for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
            if (numbers[i].kind == kind) {
                return put_number(b, json, numbers[i].field, diag);
            }
        }
        return csl_fail(diag, CSL_EINTERNAL, "no such field");
    }
}

static enum csl_err put_transaction(struct rlp *b, const json_t *json, struct csl_diag *diag) {
    uint64_t type = 0;
    if (csl__has(json, "type")) {
        TRY(csl__take_u64(&type, json, "type", diag));
    }
    if (type >= CSL_SIGNED_TX_TYPES) {
        return csl_fail(diag, CSL_EPROTO, "a transaction of the unknown type 0x%llx",
                        (unsigned long long)type);
    }
    if (type != 0) {
        const uint8_t first = (uint8_t)type;
        TRY(put_bytes(b, &first, 1, diag)); /* below 0x80: the byte itself */
    }
    size_t from = b->n;
    for (const char *kind = csl__signed_tx_forms[type]; *kind != '\0'; kind++) {
        TRY(put_field(b, *kind, json, diag));
    }
    TRY(put_signature(b, json, type == 0, diag));
    return close_list(b, from, diag);
}

enum csl_err csl__take_raw(uint8_t **raw, size_t *n_raw, bool *found, const uint8_t hash[CSL_HASH_BYTES],
                           const json_t *json, struct csl_diag *diag) {
    struct rlp b = {.p = NULL};
    uint8_t is[CSL_HASH_BYTES];
    *raw = NULL;
    *n_raw = 0;
    *found = false;
    if (json_is_null(json)) {
        return CSL_OK;
    }
    enum csl_err err = put_transaction(&b, json, diag);
    if (err == CSL_OK) {
        csl_tx_hash(is, b.p, b.n);
        if (memcmp(is, hash, sizeof is) != 0) {
            err = csl_fail(diag, CSL_EPROTO, "the transaction's fields do not have its hash");
        }
    }
    if (err != CSL_OK) {
        free(b.p);
        return err;
    }
    *raw = b.p;
    *n_raw = b.n;
    *found = true;
    return CSL_OK;
}
