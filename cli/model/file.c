#include "cli/model/file.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "nn/fold.h"
#include "nn/keras/keras.h"
#include "nn/onnx/onnx.h"

#define CSL_MODEL_MAX_FILE_BYTES CSL_ONNX_MAX_FILE_BYTES

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

/* ---- Import ---- */

static enum csl_err import_graph(struct csl_graph **graph, struct csl_issues *issues, const char *path,
                                 struct csl_diag *diag) {
    if (csl_keras_detect(path)) {
        return csl_keras_import_file(graph, issues, path, CSL_MODEL_MAX_FILE_BYTES, diag);
    }
    return csl_onnx_import_file(graph, issues, path, CSL_ONNX_MAX_FILE_BYTES, diag);
}

enum csl_err csl_model_file_import(struct csl_network **net, struct csl_issues *issues, const char *path,
                                   struct csl_diag *diag) {
    *net = NULL;
    struct csl_graph *graph = NULL;
    enum csl_err err = import_graph(&graph, issues, path, diag);
    if (err == CSL_OK) {
        err = csl_graph_fold(graph, diag);
    }
    if (err == CSL_OK) {
        err = csl_network_lower(net, issues, graph, diag);
    }
    csl_graph_free(graph);
    if (err != CSL_OK && issues->n != 0) {
        err = csl_issues_fail(issues, diag);
    }
    if (err != CSL_OK && diag != NULL && strstr(diag->text, path) == NULL) {
        csl_fail_context(diag, err, "%s", path);
    }
    return err;
}

/* ---- Compilation ---- */

enum csl_err csl_images_for(struct csl_images *out, const struct csl_images *raw,
                            const struct csl_normalization *how, size_t n_inputs, struct csl_diag *diag) {
    *out = (struct csl_images){0};
    size_t stride = csl_images_stride(raw);
    if (stride != n_inputs) {
        return csl_fail(
            diag, CSL_EDATA,
            "images have %zu x %zu x %zu values (channels, height, width), the model takes %zu: bring "
            "them to its input's size; where the rows of a two-dimensional .npy are the inputs, "
            "say --npy features",
            raw->channels, raw->height, raw->width, n_inputs);
    }
    struct csl_images copy = *raw;
    copy.data = csl_secret_alloc(raw->count * stride, sizeof *copy.data);
    if (copy.data == NULL) {
        return CSL_ENOMEM;
    }
    memcpy(copy.data, raw->data, raw->count * stride * sizeof *copy.data);
    enum csl_err err = csl_images_normalize(&copy, how, diag);
    if (err != CSL_OK) {
        csl_images_clear(&copy);
        return err;
    }
    *out = copy;
    return CSL_OK;
}

static size_t network_inputs(const struct csl_network *net) {
    return (size_t)net->input.h * net->input.w * net->input.c;
}

static enum csl_err observe(struct csl_ranges *ranges, const struct csl_network *net,
                            const struct csl_model_choice *choice, struct csl_diag *diag) {
    if (choice->images == NULL || choice->images->count == 0) {
        return csl_fail(diag, CSL_EUSAGE, "--sample-ranges needs --images");
    }
    struct csl_images images;
    TRY(csl_images_for(&images, choice->images, &choice->input, network_inputs(net), diag));
    enum csl_err err = csl_ranges_observe(ranges, net, images.data, (uint32_t)images.count);
    csl_images_clear(&images);
    return err;
}

enum csl_err csl_model_options(struct csl_plan_options *out, struct csl_ranges *ranges,
                               const struct csl_network *net, const struct csl_model_choice *choice,
                               struct csl_diag *diag) {
    *out = csl_plan_options_default();
    out->input = choice->input;
    out->frac_bits = choice->frac_bits;
    if (choice->sample_ranges && net != NULL) {
        TRY(observe(ranges, net, choice, diag));
        out->samples = ranges;
    }
    return CSL_OK;
}

enum csl_err csl_model_compile(struct csl_plan *plan, struct csl_weights *weights,
                               struct csl_plan_report *report, const struct csl_network *net,
                               const struct csl_model_choice *choice, struct csl_diag *diag) {
    struct csl_ranges ranges = {0};
    struct csl_plan_options opt;
    enum csl_err err = csl_model_options(&opt, &ranges, net, choice, diag);
    if (err == CSL_OK) {
        err = csl_plan_compile(plan, weights, report, net, &opt, diag);
    }
    csl_ranges_clear(&ranges);
    return err;
}
