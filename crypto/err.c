#include "crypto/err.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    const char *text;
    int exit_code;
} errors[] = {
#define ROW(name, exit_code, text) {#name, text, exit_code},
    CSL_ERR_LIST(ROW)
#undef ROW
};

const char *csl_err_name(enum csl_err e) {
    return (unsigned)e < CSL_ERR_COUNT ? errors[e].name : "CSL_E?";
}

const char *csl_err_text(enum csl_err e) {
    return (unsigned)e < CSL_ERR_COUNT ? errors[e].text : "unknown error";
}

int csl_err_exit_code(enum csl_err e) {
    return (unsigned)e < CSL_ERR_COUNT ? errors[e].exit_code : 70;
}

enum csl_err csl_fail(struct csl_diag *diag, enum csl_err e, const char *fmt, ...) {
    if (diag != NULL) {
        va_list ap;
        va_start(ap, fmt);
        (void)vsnprintf(diag->text, sizeof diag->text, fmt, ap);
        va_end(ap);
    }
    return e;
}

enum csl_err csl_fail_context(struct csl_diag *diag, enum csl_err e, const char *fmt, ...) {
    if (diag != NULL) {
        char old[sizeof diag->text];
        memcpy(old, diag->text, sizeof old);
        va_list ap;
        va_start(ap, fmt);
        int n = vsnprintf(diag->text, sizeof diag->text, fmt, ap);
        va_end(ap);
        if (n >= 0 && (size_t)n < sizeof diag->text) {
            (void)snprintf(diag->text + n, sizeof diag->text - (size_t)n, ": %s", old);
        }
    }
    return e;
}
