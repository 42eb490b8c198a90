/* Network A on the public MNIST test set, in clear: float against fixed point. Needs data; skipped (77)
 * without. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nn/eval.h"
#include "nn/image.h"
#include "nn/onnx/onnx.h"

enum { CHUNK = 500, SKIP = 77 };

static const char *find(const char *const *paths) {
    for (; *paths != NULL; paths++) {
        if (access(*paths, R_OK) == 0) {
            return *paths;
        }
    }
    return NULL;
}

/* What the client gets: rounding by the bits of a fixed sequence, and the cut of O1 for five parties with the
 * largest carry the other way round in every second image. */
static uint64_t some_rounding(void *ctx, uint32_t layer, size_t at) {
    (void)ctx;
    uint64_t h = (at + 1) * 0x9e3779b97f4a7c15u + layer;
    h ^= h >> 29;
    h *= 0xbf58476d1ce4e5b9u;
    return (h >> 40) & 0xffff;
}

struct totals {
    size_t n, right, right_fixed, agree, agree_cut;
    double max_error;
};

static void count(struct totals *t, const struct csl_plan *plan, const double *y, const int64_t *floor_y,
                  const int64_t *rounded_y, uint8_t label) {
    uint32_t n = csl_plan_n_outputs(plan);
    double fixed[64];
    double cut[64];
    int frac = (int)csl_plan_output_frac(plan);
    for (uint32_t j = 0; j < n; j++) {
        int64_t carry = (int64_t)((t->n + j) % 5) - 2;
        fixed[j] = ldexp((double)floor_y[j], -frac);
        cut[j] = ldexp((double)((rounded_y[j] >> plan->output_cut) + carry), (int)plan->output_cut - frac);
        t->max_error = fmax(t->max_error, fabs(fixed[j] - y[j]));
    }
    t->n++;
    t->right += csl_argmax(y, n) == label;
    t->right_fixed += csl_argmax(fixed, n) == label;
    t->agree += csl_argmax(y, n) == csl_argmax(fixed, n);
    t->agree_cut += csl_argmax(y, n) == csl_argmax(cut, n);
}

static enum csl_err compare(struct totals *t, const struct csl_plan *plan, const struct csl_weights *weights,
                            const struct csl_images *images, const struct csl_labels *labels,
                            struct csl_diag *diag) {
    static double y[CHUNK * 64];
    static int64_t floor_y[CHUNK * 64];
    static int64_t rounded_y[CHUNK * 64];
    struct csl_qweights q = {0};
    size_t n_in = csl_plan_n_inputs(plan);
    size_t n_out = csl_plan_n_outputs(plan);
    int64_t *x = calloc(CHUNK * n_in, sizeof *x);
    enum csl_err err = x == NULL ? CSL_ENOMEM : csl_quantise(&q, plan, weights, diag);
    for (size_t first = 0; first < images->count && err == CSL_OK; first += CHUNK) {
        uint32_t n = (uint32_t)(images->count - first < CHUNK ? images->count - first : CHUNK);
        const float *data = images->data + first * n_in;
        TRY_OUT(csl_eval_float(plan, weights, y, data, n));
        TRY_OUT(csl_plan_encode_input(plan, x, data, n, diag));
        TRY_OUT(csl_eval_fixed(plan, &q, floor_y, x, n, NULL, NULL, diag));
        TRY_OUT(csl_eval_fixed(plan, &q, rounded_y, x, n, some_rounding, NULL, diag));
        for (size_t i = 0; i < n; i++) {
            count(t, plan, y + i * n_out, floor_y + i * n_out, rounded_y + i * n_out,
                  labels->data[first + i]);
        }
    }
out:
    free(x);
    csl_qweights_clear(&q);
    return err;
}

static int judge(const struct csl_plan *plan, const struct totals *t) {
    double n = (double)t->n;
    for (uint32_t d = 0; d < plan->n_layers; d++) {
        printf("layer %u: %u x %u, k %u, l %u\n", d, plan->layers[d].k, plan->layers[d].n,
               plan->layers[d].trunc_k, plan->layers[d].bits);
    }
    printf("%zu images: float %.4f, fixed %.4f right; classes agree %.4f (floor), %.4f (rounded and cut); "
           "largest error %.2g\n",
           t->n, (double)t->right / n, (double)t->right_fixed / n, (double)t->agree / n,
           (double)t->agree_cut / n, t->max_error);
    bool ok = t->n == 10000 && (double)t->right / n > 0.97 &&
              fabs((double)t->right - (double)t->right_fixed) / n <= 0.0005 &&
              (double)t->agree / n >= 0.9995 && (double)t->agree_cut / n >= 0.9995 && t->max_error < 0.01;
    for (uint32_t d = 0; d + 1 < plan->n_layers; d++) {
        ok = ok && plan->layers[d].trunc_k >= 20 && plan->layers[d].trunc_k <= 27;
    }
    return ok ? 0 : 1;
}

/* One network on the whole test set. */
static int test(const char *model, const char *image_path, const char *label_path) {
    static struct csl_plan plan;
    static struct csl_weights weights;
    struct csl_plan_options opt = csl_plan_options_default();
    struct csl_graph *graph = NULL;
    struct csl_issues issues = {0};
    struct csl_images images = {0};
    struct csl_labels labels = {0};
    struct csl_diag diag = {""};
    struct totals totals = {0};
    enum csl_err err;
    printf("%s\n", model);
    TRY_OUT(csl_onnx_import_file(&graph, &issues, model, CSL_ONNX_MAX_FILE_BYTES, &diag));
    TRY_OUT(csl_plan_compile(&plan, &weights, NULL, &issues, graph, &opt, &diag));
    TRY_OUT(csl_images_load(&images, &image_path, 1, NULL, &diag));
    TRY_OUT(csl_labels_load(&labels, label_path, 0, &diag));
    TRY_OUT(csl_images_normalize(&images, &opt.input, &diag));
    if (csl_images_stride(&images) != csl_plan_n_inputs(&plan) || labels.count != images.count) {
        err = csl_fail(&diag, CSL_EDATA, "the images do not fit the network");
        goto out;
    }
    err = compare(&totals, &plan, &weights, &images, &labels, &diag);
out:
    csl_graph_free(graph);
    csl_issues_clear(&issues);
    csl_weights_clear(&weights);
    csl_images_clear(&images);
    csl_labels_clear(&labels);
    if (err != CSL_OK) {
        printf("%s: %s\n", csl_err_name(err), diag.text);
        return 1;
    }
    return judge(&plan, &totals);
}

int main(void) {
    const char *const image_paths[] = {"data/mnist/t10k-images-idx3-ubyte.gz",
                                       "../shared/data/mnist/t10k-images-idx3-ubyte.gz", NULL};
    const char *const label_paths[] = {"data/mnist/t10k-labels-idx1-ubyte.gz",
                                       "../shared/data/mnist/t10k-labels-idx1-ubyte.gz", NULL};
    const char *image_path = find(image_paths);
    const char *label_path = find(label_paths);
    if (image_path == NULL || label_path == NULL) {
        printf("skipped: the MNIST files are not here\n");
        return SKIP;
    }
    const char *const shared[] = {"../shared/data/models/secureml_a.onnx", NULL};
    int bad = test("examples/mnist/mnist_a.onnx", image_path, label_path);
    return find(shared) != NULL ? bad | test(shared[0], image_path, label_path) : bad;
}
