/* What a node answers to /api/v0/add. */
#include <jansson.h>
#include <string.h>

#include "cas/store_internal.h"

static void printable(char *out, size_t room, const char *text) {
    size_t n = 0;
    for (; n + 1 < room && text[n] != '\0'; n++) {
        out[n] = text[n] >= 0x20 && text[n] <= 0x7e ? text[n] : '?';
    }
    out[n] = '\0';
}

/* One object: progress, an error, or the file's name. */
static enum csl_err take_line(struct csl_cid *out, bool *has, const json_t *line, const char *place,
                              struct csl_diag *diag) {
    char text[128];
    const json_t *hash = json_object_get(line, "Hash"), *message = json_object_get(line, "Message");
    if (json_is_string(message)) {
        printable(text, sizeof text, json_string_value(message));
        return csl_fail(diag, CSL_EPROTO, "%s did not store the file: %s", place, text);
    }
    if (hash == NULL) {
        return CSL_OK;
    }
    if (*has || !json_is_string(hash)) {
        return csl_fail(diag, CSL_EPROTO, "%s names %s for one file that was sent", place,
                        *has ? "several CIDs" : "no CID");
    }
    struct csl_diag why = {""};
    printable(text, sizeof text, json_string_value(hash));
    if (csl_cid_parse(out, text, &why) != CSL_OK) {
        return csl_fail(diag, CSL_EPROTO, "%s: %.300s", place, why.text);
    }
    *has = true;
    return CSL_OK;
}

enum csl_err csl__kubo_answer(struct csl_cid *out, const char *text, size_t n, const char *place,
                              struct csl_diag *diag) {
    bool has = false;
    enum csl_err err = CSL_OK;
    memset(out, 0, sizeof *out);
    while (err == CSL_OK) {
        while (n != 0 && memchr(" \t\r\n", *text, 4) != NULL) {
            text++;
            n--;
        }
        if (n == 0) {
            break;
        }
        json_error_t where;
        json_t *line = json_loadb(text, n, JSON_DISABLE_EOF_CHECK | JSON_REJECT_DUPLICATES, &where);
        if (!json_is_object(line) || where.position <= 0 || (size_t)where.position > n) {
            err = csl_fail(diag, CSL_EPROTO,
                           "%s answers /api/v0/add with what is no JSON object; is it a node's RPC address?",
                           place);
        } else {
            err = take_line(out, &has, line, place, diag);
            text += where.position;
            n -= (size_t)where.position;
        }
        json_decref(line);
    }
    if (err == CSL_OK && !has) {
        err = csl_fail(diag, CSL_EPROTO, "%s answers /api/v0/add without a CID", place);
    }
    if (err != CSL_OK) {
        memset(out, 0, sizeof *out);
    }
    return err;
}
