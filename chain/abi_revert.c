/* Why a call was reverted, in words. */
#include <stdio.h>
#include <string.h>

#include "chain/abi.h"

/* Text that is cut to fit, and never more than printable. */
struct text {
    char *out;
    size_t n;
};

static void put_char(struct text *t, char c) {
    if (t->n + 1 < CSL_REVERT_TEXT) {
        t->out[t->n++] = c >= 0x20 && c < 0x7f ? c : '?';
        t->out[t->n] = 0;
    }
}

static void put_text(struct text *t, const char *s, size_t n) {
    for (size_t i = 0; i < n; i++) {
        put_char(t, s[i]);
    }
}

static void put_hex(struct text *t, const uint8_t *p, size_t n) {
    put_text(t, "0x", 2);
    for (size_t i = 0; i < n && t->n + 3 < CSL_REVERT_TEXT; i++) {
        char two[3];
        (void)snprintf(two, sizeof two, "%02x", p[i]);
        put_text(t, two, 2);
    }
}

/* Solidity 0.8, "Panic via assert and Error via require". */
static const char *panic_text(uint64_t code) {
    static const struct {
        uint64_t code;
        const char *text;
    } known[] = {{0x00, "the compiler's own"},
                 {0x01, "an assertion failed"},
                 {0x11, "an arithmetic overflow"},
                 {0x12, "a division by zero"},
                 {0x21, "a value that the enumeration has not"},
                 {0x22, "badly encoded storage bytes"},
                 {0x31, "pop of an empty array"},
                 {0x32, "an index out of bounds"},
                 {0x41, "too much memory"},
                 {0x51, "a call of an uninitialised function"}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (known[i].code == code) {
            return known[i].text;
        }
    }
    return "unknown code";
}

static bool is_type(const char *type, size_t n, const char *name) {
    return n == strlen(name) && memcmp(type, name, n) == 0;
}

/* One argument that is a word. False when the type is not one, or the word does not fit. */
static bool put_argument(struct text *t, struct csl_reader *args, const char *type, size_t n_type) {
    uint8_t word[CSL_ABI_WORD], address[CSL_ADDRESS_BYTES];
    char address_text[CSL_ADDRESS_ROOM], number[24];
    if (is_type(type, n_type, "address")) {
        csl_abi_take_address(args, address);
        csl_address_text(address_text, address);
        put_text(t, address_text, strlen(address_text));
    } else if (is_type(type, n_type, "bool")) {
        const char *said = csl_abi_take_bool(args) ? "true" : "false";
        put_text(t, said, strlen(said));
    } else if (is_type(type, n_type, "bytes32")) {
        csl_abi_take_bytes32(args, word);
        put_hex(t, word, sizeof word);
    } else if (n_type > 4 && memcmp(type, "uint", 4) == 0) {
        struct csl_reader narrow = *args;
        uint64_t v = csl_abi_take_u64(&narrow);
        csl_abi_take_bytes32(args, word);
        if (narrow.bad) {
            put_hex(t, word, sizeof word);
        } else {
            (void)snprintf(number, sizeof number, "%llu", (unsigned long long)v);
            put_text(t, number, strlen(number));
        }
    } else {
        return false;
    }
    return !args->bad;
}

/* "Name(3, 0x..)" from "Name(uint64,bytes32)". False when the arguments are not what the signature says. */
static bool put_custom(struct text *t, const char *signature, const uint8_t *args, size_t n_args) {
    struct csl_reader r = csl_reader_of(args, n_args);
    const char *type = strchr(signature, '(');
    if (type == NULL) {
        return false;
    }
    type++;
    put_text(t, signature, (size_t)(type - signature));
    while (*type != ')' && *type != 0) {
        size_t n_type = strcspn(type, ",)");
        if (!put_argument(t, &r, type, n_type)) {
            return false;
        }
        type += n_type;
        if (*type == ',') {
            put_text(t, ", ", 2);
            type++;
        }
    }
    put_char(t, ')');
    return csl_reader_done(&r);
}

static bool has_selector(const uint8_t *data, size_t n, const char *signature) {
    uint8_t selector[CSL_ABI_SELECTOR];
    csl_abi_selector(selector, signature);
    return n >= CSL_ABI_SELECTOR && memcmp(data, selector, CSL_ABI_SELECTOR) == 0;
}

/* Error(string) and Panic(uint256). */
static bool put_builtin(struct text *t, const uint8_t *data, size_t n) {
    const uint8_t *p = NULL;
    size_t n_p = 0;
    if (has_selector(data, n, "Error(string)") &&
        csl_abi_dynamic(&p, &n_p, data + CSL_ABI_SELECTOR, n - CSL_ABI_SELECTOR, 0)) {
        put_text(t, (const char *)p, n_p);
        return true;
    }
    if (has_selector(data, n, "Panic(uint256)") && n == CSL_ABI_SELECTOR + CSL_ABI_WORD) {
        char said[64];
        struct csl_reader r = csl_reader_of(data + CSL_ABI_SELECTOR, CSL_ABI_WORD);
        uint64_t code = csl_abi_take_u64(&r);
        (void)snprintf(said, sizeof said, "panic 0x%02llx: %s", (unsigned long long)code,
                       r.bad ? "unknown code" : panic_text(code));
        put_text(t, said, strlen(said));
        return true;
    }
    return false;
}

void csl_abi_revert_text(char out[CSL_REVERT_TEXT], int *known, const uint8_t *data, size_t n,
                         const char *const *errors, size_t n_errors) {
    struct text t = {.out = out, .n = 0};
    int found = -1;
    bool done = false;
    out[0] = 0;
    for (size_t i = 0; i < n_errors && !done; i++) {
        if (has_selector(data, n, errors[i])) {
            done = put_custom(&t, errors[i], data + CSL_ABI_SELECTOR, n - CSL_ABI_SELECTOR);
            t.n = done ? t.n : 0;
            found = done ? (int)i : -1;
        }
    }
    if (!done && !put_builtin(&t, data, n)) {
        t.n = 0;
        if (n == 0) {
            put_text(&t, "no reason given", 15);
        } else {
            put_hex(&t, data, n);
        }
    }
    if (known != NULL) {
        *known = found;
    }
}
