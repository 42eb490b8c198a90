#include "cli/model_file.h"

#include <stdlib.h>
#include <string.h>

#include "nn/onnx/onnx.h"

enum csl_err csl_parse_normalization(struct csl_normalization *out, const char *name, const char *interval,
                                     struct csl_diag *diag) {
    if (strcmp(name, "none") != 0) {
        if (interval != NULL) {
            return csl_fail(diag, CSL_EUSAGE, "--interval goes with --normalize none only");
        }
        return csl_normalization_named(out, name, diag);
    }
    char *end;
    double lo = interval != NULL ? strtod(interval, &end) : 0;
    if (interval == NULL || end == interval || *end != ':') {
        return csl_fail(diag, CSL_EUSAGE, "--normalize none needs --interval LO:HI, the range of the inputs");
    }
    const char *rest = end + 1;
    double hi = strtod(rest, &end);
    if (end == rest || *end != '\0') {
        return csl_fail(diag, CSL_EUSAGE, "--interval is LO:HI, for example -1:1, not \"%.40s\"", interval);
    }
    return csl_normalization_none(out, lo, hi, diag);
}

enum csl_err csl_model_file_compile(struct csl_plan *plan, struct csl_weights *weights, const char *path,
                                    const struct csl_plan_options *opt, struct csl_diag *diag) {
    struct csl_graph *graph = NULL;
    struct csl_issues issues = {0};
    enum csl_err err = csl_onnx_import_file(&graph, &issues, path, CSL_ONNX_MAX_FILE_BYTES, diag);
    if (err == CSL_OK) {
        err = csl_plan_compile(plan, weights, NULL, &issues, graph, opt, diag);
    }
    if (err == CSL_EDATA && issues.n != 0) {
        err = csl_issues_fail(&issues, diag);
    }
    csl_graph_free(graph);
    csl_issues_clear(&issues);
    return err;
}
