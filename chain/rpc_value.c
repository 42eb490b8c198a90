/* Quantities and bytes in JSON: "0x" and digits. */
#include <stdlib.h>
#include <string.h>

#include "chain/rpc_internal.h"

static const char *what(const char *field) {
    return field == NULL ? "the result" : field;
}

static enum csl_err not_of_form(const char *field, const char *form, struct csl_diag *diag) {
    return csl_fail(diag, CSL_EPROTO, "%s is not %s", what(field), form);
}

/* The field's text, "0x" and *n more; NULL when it is none. JSON's strings hold no NUL here (rpc_answer.c).
 */
static const char *text_of(const json_t *json, const char *field, size_t *n) {
    const json_t *value = field == NULL ? json : json_object_get(json, field);
    const char *text = json_string_value(value);
    if (text == NULL || strncmp(text, "0x", 2) != 0) {
        return NULL;
    }
    *n = json_string_length(value) - 2;
    return text;
}

bool csl__has(const json_t *json, const char *field) {
    const json_t *value = json_object_get(json, field);
    return value != NULL && !json_is_null(value);
}

/* At most 256 bits, without zeros in front; more than fit are CSL_WEI_MAX. */
static bool quantity(csl_wei *out, const char *text, size_t n) {
    enum { BYTES = 32 };
    char padded[2 + 2 * BYTES + 1] = "0x";
    uint8_t bytes[BYTES];
    csl_wei v = 0;
    if (n == 0 || n > 2 * BYTES || (text[2] == '0' && n != 1)) {
        return false;
    }
    memset(padded + 2, '0', 2 * BYTES - n);
    memcpy(padded + 2 + 2 * BYTES - n, text + 2, n);
    if (!csl_hex0x_parse(bytes, BYTES, padded)) {
        return false;
    }
    for (size_t i = BYTES - sizeof v; i < BYTES; i++) {
        v = v << 8 | bytes[i];
    }
    *out = n > 2 * sizeof v ? CSL_WEI_MAX : v;
    return true;
}

enum csl_err csl__take_wei(csl_wei *v, const json_t *json, const char *field, struct csl_diag *diag) {
    size_t n = 0;
    csl_wei got = 0;
    const char *text = text_of(json, field, &n);
    if (text == NULL || !quantity(&got, text, n)) {
        return not_of_form(field, "a quantity (\"0x\" and digits without zeros in front)", diag);
    }
    *v = got;
    return CSL_OK;
}

enum csl_err csl__take_u64(uint64_t *v, const json_t *json, const char *field, struct csl_diag *diag) {
    csl_wei got = 0;
    TRY(csl__take_wei(&got, json, field, diag));
    if (got > UINT64_MAX) {
        return not_of_form(field, "a number of 64 bits", diag);
    }
    *v = (uint64_t)got;
    return CSL_OK;
}

enum csl_err csl__take_fixed(uint8_t *out, size_t n, const json_t *json, const char *field,
                             struct csl_diag *diag) {
    size_t n_digits = 0;
    const char *text = text_of(json, field, &n_digits);
    if (text == NULL || !csl_hex0x_parse(out, n, text)) {
        return csl_fail(diag, CSL_EPROTO, "%s is not %zu bytes (\"0x\" and %zu digits)", what(field), n,
                        2 * n);
    }
    return CSL_OK;
}

enum csl_err csl__take_bytes(uint8_t **out, size_t *n, size_t max, const json_t *json, const char *field,
                             struct csl_diag *diag) {
    size_t n_digits = 0;
    const char *text = text_of(json, field, &n_digits);
    if (text == NULL || n_digits % 2 != 0 || n_digits / 2 > max) {
        return csl_fail(diag, CSL_EPROTO, "%s is not at most %zu bytes (\"0x\" and digits)", what(field),
                        max);
    }
    uint8_t *p = NULL;
    if (n_digits != 0) {
        p = malloc(n_digits / 2);
        if (p == NULL) {
            return csl_fail(diag, CSL_ENOMEM, "out of memory");
        }
        if (!csl_hex0x_parse(p, n_digits / 2, text)) {
            free(p);
            return not_of_form(field, "bytes (\"0x\" and digits)", diag);
        }
    }
    *out = p;
    *n = n_digits / 2;
    return CSL_OK;
}

json_t *csl__put_wei(csl_wei v) {
    static const char digits[] = "0123456789abcdef";
    char text[CSL__QUANTITY_ROOM];
    size_t at = sizeof text - 1;
    text[at] = 0;
    do {
        text[--at] = digits[v & 15];
        v >>= 4;
    } while (v != 0);
    text[--at] = 'x';
    text[--at] = '0';
    return json_string(text + at);
}

json_t *csl__put_u64(uint64_t v) {
    return csl__put_wei(v);
}

json_t *csl__put_bytes(const uint8_t *p, size_t n) {
    char *text = n > SIZE_MAX / 4 ? NULL : malloc(2 * n + 3);
    if (text == NULL) {
        return NULL;
    }
    csl_hex0x_text(text, p, n);
    json_t *json = json_string(text);
    free(text);
    return json;
}

/* With its checksum: some signers warn of addresses that have none. */
json_t *csl__put_address(const uint8_t address[CSL_ADDRESS_BYTES]) {
    char text[CSL_ADDRESS_ROOM];
    csl_address_text(text, address);
    return json_string(text);
}

json_t *csl__put_block_at(const struct csl_block_at *at) {
    switch (at->kind) {
    case CSL_AT_NUMBER:
        return csl__put_u64(at->number);
    case CSL_AT_HASH:
        return json_pack("{s:o}", "blockHash", csl__put_bytes(at->hash, sizeof at->hash));
    case CSL_AT_PENDING:
        return json_string("pending");
    case CSL_AT_SAFE:
        return json_string("safe");
    case CSL_AT_FINALIZED:
        return json_string("finalized");
    default:
        return json_string("latest");
    }
}
