/* What is wrong with a network, as a list for its owner. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/graph.h"

enum csl_err csl_issues_add(struct csl_issues *issues, const char *node, const char *op, const char *hint,
                            const char *fmt, ...) {
    if (issues->n == CSL_MAX_ISSUES) {
        issues->n_more++;
        return CSL_OK;
    }
    if (issues->n == issues->cap) {
        size_t cap = issues->cap == 0 ? 8 : issues->cap * 2;
        struct csl_issue *at = reallocarray(issues->at, cap, sizeof *at);
        if (at == NULL) {
            return CSL_ENOMEM;
        }
        issues->at = at;
        issues->cap = cap;
    }
    struct csl_issue *issue = &issues->at[issues->n++];
    snprintf(issue->node, sizeof issue->node, "%s", node);
    snprintf(issue->op, sizeof issue->op, "%s", op);
    snprintf(issue->hint, sizeof issue->hint, "%s", hint);
    va_list args;
    va_start(args, fmt);
    vsnprintf(issue->reason, sizeof issue->reason, fmt, args);
    va_end(args);
    csl_text_clean(issue->node);
    csl_text_clean(issue->op);
    csl_text_clean(issue->reason);
    return CSL_OK;
}

void csl_issues_clear(struct csl_issues *issues) {
    free(issues->at);
    *issues = (struct csl_issues){0};
}

enum csl_err csl_issues_fail(const struct csl_issues *issues, struct csl_diag *diag) {
    size_t total = issues->n + issues->n_more;
    char list[sizeof diag->text];
    size_t used = 0;
    list[0] = '\0';
    for (size_t i = 0; i < issues->n && used < sizeof list; i++) {
        const struct csl_issue *at = &issues->at[i];
        int n = snprintf(list + used, sizeof list - used, "%s%s (%s): %s", i == 0 ? "" : "; ", at->node,
                         at->op, at->reason);
        used += n > 0 ? (size_t)n : 0;
    }
    return csl_fail(diag, CSL_EDATA, "%zu node%s cannot be run: %s", total, total == 1 ? "" : "s", list);
}
