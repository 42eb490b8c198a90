/* PKCS#11 URIs (RFC 7512). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/token.h"

static const char scheme[] = "pkcs11:";

bool csl_token_is_uri(const char *text, size_t n) {
    return n >= sizeof scheme - 1 && memcmp(text, scheme, sizeof scheme - 1) == 0;
}

/* ---- Parsing ---- */

static int hex_digit(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Percent-decodes text[0..n) into out; false when it does not fit or a digit is wrong. */
static bool decode(uint8_t *out, size_t *n_out, size_t room, const char *text, size_t n) {
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        int c = (unsigned char)text[i];
        if (c == '%') {
            int high = n - i > 2 ? hex_digit(text[i + 1]) : -1, low = n - i > 2 ? hex_digit(text[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return false;
            }
            c = high * 16 + low;
            i += 2;
        }
        if (k == room) {
            return false;
        }
        out[k++] = (uint8_t)c;
    }
    *n_out = k;
    return true;
}

struct attribute {
    const char *name;
    size_t at, max; /* of a text in struct csl_token_uri */
    bool in_query;
};

#define TEXT(name, field, max, in_query)                                                                     \
    { name, offsetof(struct csl_token_uri, field), max, in_query }
static const struct attribute texts[] = {
    TEXT("token", token, CSL_TOKEN_LABEL_MAX, false),
    TEXT("manufacturer", manufacturer, CSL_TOKEN_LABEL_MAX, false),
    TEXT("model", model, CSL_TOKEN_SERIAL_MAX, false),
    TEXT("serial", serial, CSL_TOKEN_SERIAL_MAX, false),
    TEXT("object", object, CSL_TOKEN_OBJECT_MAX, false),
    TEXT("module-path", module_path, CSL_TOKEN_PATH_MAX, true),
    TEXT("pin-source", pin_source, CSL_TOKEN_PATH_MAX, true),
};
enum { N_TEXTS = sizeof texts / sizeof texts[0] };

/* name=value, as it stands in the URI. */
struct pair {
    const char *name, *value;
    size_t n_name, n_value;
    bool in_query;
};

static bool is_named(const struct pair *p, const char *name) {
    return strlen(name) == p->n_name && memcmp(p->name, name, p->n_name) == 0;
}

static enum csl_err bad(const struct pair *p, const char *why, struct csl_diag *diag) {
    return csl_fail(diag, CSL_ECONFIG, "the PKCS#11 URI's attribute \"%.*s\" %s",
                    (int)(p->n_name < 40 ? p->n_name : 40), p->name, why);
}

static enum csl_err take_text(struct csl_token_uri *uri, const struct attribute *a, const struct pair *p,
                              struct csl_diag *diag) {
    char *out = (char *)uri + a->at;
    size_t n = 0;
    if (out[0] != 0) {
        return bad(p, "is given twice", diag);
    }
    if (!decode((uint8_t *)out, &n, a->max, p->value, p->n_value) || n == 0 || memchr(out, 0, n) != NULL ||
        memchr(out, '\n', n) != NULL) {
        return bad(p, "is empty, too long, or not percent-encoded as it must be", diag);
    }
    out[n] = 0;
    if (a->in_query && out[0] == '|') {
        return bad(p, "is a command, and none is run; name a file", diag);
    }
    return CSL_OK;
}

static enum csl_err take_slot(struct csl_token_uri *uri, const struct pair *p, struct csl_diag *diag) {
    uint64_t slot = 0;
    if (uri->has_slot || p->n_value == 0 || p->n_value > 18) {
        return bad(p, "must be one decimal number", diag);
    }
    for (size_t i = 0; i < p->n_value; i++) {
        if (p->value[i] < '0' || p->value[i] > '9') {
            return bad(p, "must be one decimal number", diag);
        }
        slot = slot * 10 + (uint64_t)(p->value[i] - '0');
    }
    uri->has_slot = true;
    uri->slot = (unsigned long)slot;
    return CSL_OK;
}

static enum csl_err take_pair(struct csl_token_uri *uri, const struct pair *p, struct csl_diag *diag) {
    for (size_t i = 0; i < N_TEXTS; i++) {
        if (is_named(p, texts[i].name) && p->in_query == texts[i].in_query) {
            return take_text(uri, &texts[i], p, diag);
        }
    }
    if (!p->in_query && is_named(p, "id")) {
        bool ok = uri->n_id == 0 && decode(uri->id, &uri->n_id, sizeof uri->id, p->value, p->n_value) &&
                  uri->n_id != 0;
        return ok ? CSL_OK : bad(p, "must be given once, with 1 to 64 percent-encoded bytes", diag);
    }
    if (!p->in_query && is_named(p, "slot-id")) {
        return take_slot(uri, p, diag);
    }
    if (!p->in_query && is_named(p, "type")) {
        bool ok = p->n_value == 7 && memcmp(p->value, "private", 7) == 0;
        return ok ? CSL_OK : bad(p, "must be private: it is private keys that stand here", diag);
    }
    if (is_named(p, "pin-value")) {
        return bad(p, "is not taken: a PIN belongs in a file of its own (pin-source, token.pin)", diag);
    }
    return bad(p, "is not supported here", diag);
}

/* The pairs of one part, which are separated by a character. */
static enum csl_err take_part(struct csl_token_uri *uri, const char *text, size_t n, bool in_query,
                              struct csl_diag *diag) {
    const char separator = in_query ? '&' : ';';
    while (n != 0) {
        const char *end = memchr(text, separator, n);
        size_t n_pair = end == NULL ? n : (size_t)(end - text);
        const char *equals = memchr(text, '=', n_pair);
        if (equals == NULL) {
            return csl_fail(diag, CSL_ECONFIG,
                            "the PKCS#11 URI is not of the form pkcs11:name=value;...?name=value&...");
        }
        struct pair p = {text, equals + 1, (size_t)(equals - text), n_pair - (size_t)(equals - text) - 1,
                         in_query};
        TRY(take_pair(uri, &p, diag));
        size_t step = n_pair + (end != NULL);
        text += step;
        n -= step;
    }
    return CSL_OK;
}

/* Without the line end; false when anything but printable ASCII is in it. */
static bool trim(const char *text, size_t *n) {
    if (*n != 0 && text[*n - 1] == '\n') {
        (*n)--;
    }
    if (*n != 0 && text[*n - 1] == '\r') {
        (*n)--;
    }
    for (size_t i = 0; i < *n; i++) {
        if (text[i] <= ' ' || text[i] > '~') {
            return false;
        }
    }
    return true;
}

enum csl_err csl_token_uri_parse(struct csl_token_uri *uri, const char *text, size_t n,
                                 struct csl_diag *diag) {
    memset(uri, 0, sizeof *uri);
    if (n > CSL_TOKEN_URI_MAX || !csl_token_is_uri(text, n) || !trim(text, &n)) {
        return csl_fail(diag, CSL_ECONFIG,
                        "not one PKCS#11 URI: a line of at most %d printable characters that begins with %s",
                        CSL_TOKEN_URI_MAX, scheme);
    }
    const char *path = text + sizeof scheme - 1;
    size_t left = n - (sizeof scheme - 1);
    const char *query = memchr(path, '?', left);
    size_t n_path = query == NULL ? left : (size_t)(query - path);
    enum csl_err err = take_part(uri, path, n_path, false, diag);
    if (err == CSL_OK && query != NULL) {
        err = take_part(uri, query + 1, left - n_path - 1, true, diag);
    }
    if (err != CSL_OK) {
        memset(uri, 0, sizeof *uri);
    }
    return err;
}

/* ---- Writing ---- */

struct writer {
    char *out;
    size_t n;
    bool full;
};

static void put(struct writer *w, char c) {
    if (w->n == CSL_TOKEN_URI_MAX) {
        w->full = true;
        return;
    }
    w->out[w->n++] = c;
}

static void put_text(struct writer *w, const char *text) {
    for (; *text != 0; text++) {
        put(w, *text);
    }
}

static void put_value(struct writer *w, const uint8_t *p, size_t n, bool all) {
    static const char digits[] = "0123456789ABCDEF";
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/:";
    for (size_t i = 0; i < n; i++) {
        if (!all && p[i] != 0 && strchr(plain, p[i]) != NULL) {
            put(w, (char)p[i]);
        } else {
            put(w, '%');
            put(w, digits[p[i] >> 4]);
            put(w, digits[p[i] & 15]);
        }
    }
}

/* The separator before a pair: none, ';', '?', or '&'. */
static void put_name(struct writer *w, const char *name, char *separator) {
    if (*separator != 0) {
        put(w, *separator);
    }
    *separator = *separator == '?' || *separator == '&' ? '&' : ';';
    put_text(w, name);
    put(w, '=');
}

static void put_texts(struct writer *w, const struct csl_token_uri *uri, bool in_query, char *separator) {
    for (size_t i = 0; i < N_TEXTS; i++) {
        const char *text = (const char *)uri + texts[i].at;
        if (texts[i].in_query == in_query && text[0] != 0) {
            put_name(w, texts[i].name, separator);
            put_value(w, (const uint8_t *)text, strlen(text), false);
        }
    }
}

enum csl_err csl_token_uri_print(char out[CSL_TOKEN_URI_MAX + 1], const struct csl_token_uri *uri,
                                 struct csl_diag *diag) {
    struct writer w = {out, 0, false};
    char number[24], separator = 0;
    put_text(&w, scheme);
    put_texts(&w, uri, false, &separator);
    if (uri->n_id != 0) {
        put_name(&w, "id", &separator);
        put_value(&w, uri->id, uri->n_id, true);
    }
    if (uri->has_slot) {
        (void)snprintf(number, sizeof number, "%lu", uri->slot);
        put_name(&w, "slot-id", &separator);
        put_text(&w, number);
    }
    put_name(&w, "type", &separator);
    put_text(&w, "private");
    separator = '?';
    put_texts(&w, uri, true, &separator);
    put(&w, '\n');
    out[w.full ? 0 : w.n] = 0;
    return w.full
               ? csl_fail(diag, CSL_EUSAGE, "the PKCS#11 URI is longer than %d characters", CSL_TOKEN_URI_MAX)
               : CSL_OK;
}
