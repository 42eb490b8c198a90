/* Trained networks on the public MNIST test set, in clear: float against fixed point, with the protocol's
 * rounding and the cut of O1. Needs data; skipped (77) without. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nn/eval.h"
#include "nn/fold.h"
#include "nn/image.h"
#include "nn/onnx/onnx.h"

enum { CHUNK = 250, MAX_OUT = 64, SKIP = 77 };

static const char *find(const char *const *paths) {
    for (; *paths != NULL; paths++) {
        if (access(*paths, R_OK) == 0) {
            return *paths;
        }
    }
    return NULL;
}

/* What the client gets: rounding by the bits of a fixed sequence, with anything that five parties may lose by
 * shifting their shares (T1), and the cut of O1 for five parties with the largest carry the other way round
 * in every second image. */
static int64_t some_rounding(void *ctx, size_t demand, size_t at, int64_t z) {
    const struct csl_demand *d = (const struct csl_demand *)ctx + demand;
    int64_t unit = (int64_t)1 << d->trunc.f, lost = 5 * (unit >> csl_demand_low_bits(d));
    uint64_t h = (at + 1) * 0x9e3779b97f4a7c15u + demand;
    (void)z;
    h ^= h >> 29;
    h *= 0xbf58476d1ce4e5b9u;
    int64_t added = (int64_t)(h >> 24) & (unit - 1);
    return lost == 5 ? added : added - unit / 32 + (int64_t)((h >> 12) % (uint64_t)lost) - lost / 2;
}

struct totals {
    size_t n, right, right_fixed, agree, agree_cut, agree_label;
    double max_error;
};

struct model {
    struct csl_network *net;
    struct csl_plan plan;
    struct csl_weights weights;
    struct csl_qweights q;
    struct csl_demand demands[CSL_PLAN_MAX_DEMANDS];
};

static void count(struct totals *t, const struct csl_plan *plan, const double *y, const int64_t *nearest,
                  const int64_t *rounded_y, uint32_t secure_label, uint8_t label) {
    uint32_t n = csl_plan_n_outputs(plan);
    double fixed[MAX_OUT], cut[MAX_OUT];
    int frac = (int)csl_plan_output_frac(plan);
    double scale = plan->values[plan->n_steps].scale;
    for (uint32_t j = 0; j < n; j++) {
        int64_t carry = (int64_t)((t->n + j) % 5) - 2;
        fixed[j] = ldexp((double)nearest[j] * scale, -frac);
        cut[j] = ldexp((double)((rounded_y[j] >> plan->output_cut) + carry), (int)plan->output_cut - frac);
        t->max_error = fmax(t->max_error, fabs(fixed[j] - y[j]));
    }
    t->n++;
    t->right += csl_argmax(y, n) == label;
    t->right_fixed += csl_argmax(cut, n) == label;
    t->agree += csl_argmax(y, n) == csl_argmax(fixed, n);
    t->agree_cut += csl_argmax(y, n) == csl_argmax(cut, n);
    t->agree_label += csl_argmax(y, n) == secure_label;
}

/* One chunk of images. */
static enum csl_err compare_chunk(struct totals *t, struct model *m, const float *data, uint32_t n,
                                  const uint8_t *labels, int64_t *x, struct csl_diag *diag) {
    static double y[CHUNK * MAX_OUT];
    static int64_t nearest[CHUNK * MAX_OUT], rounded_y[CHUNK * MAX_OUT];
    const struct csl_plan *plan = &m->plan;
    size_t n_out = csl_plan_n_outputs(plan);
    TRY(csl_network_eval(m->net, y, data, n));
    TRY(csl_plan_encode_input(plan, x, data, n, diag));
    TRY(csl_eval_fixed(plan, &m->q, nearest, x, n, NULL, NULL, diag));
    TRY(csl_eval_fixed(plan, &m->q, rounded_y, x, n, some_rounding, m->demands, diag));
    for (size_t i = 0; i < n; i++) {
        uint32_t label;
        TRY(csl_eval_label(plan, &label, rounded_y + i * n_out, i, some_rounding, m->demands));
        count(t, plan, y + i * n_out, nearest + i * n_out, rounded_y + i * n_out, label, labels[i]);
    }
    return CSL_OK;
}

static enum csl_err compare(struct totals *t, struct model *m, const struct csl_images *images,
                            const struct csl_labels *labels, struct csl_diag *diag) {
    size_t n_in = csl_plan_n_inputs(&m->plan);
    if (csl_images_stride(images) != n_in || labels->count != images->count ||
        csl_plan_n_outputs(&m->plan) > MAX_OUT) {
        return csl_fail(diag, CSL_EDATA, "the images do not fit the network");
    }
    int64_t *x = calloc(CHUNK * n_in, sizeof *x);
    enum csl_err err = x == NULL ? CSL_ENOMEM : CSL_OK;
    for (size_t first = 0; first < images->count && err == CSL_OK; first += CHUNK) {
        uint32_t n = (uint32_t)(images->count - first < CHUNK ? images->count - first : CHUNK);
        err = compare_chunk(t, m, images->data + first * n_in, n, labels->data + first, x, diag);
    }
    free(x);
    return err;
}

static enum csl_err load(struct model *m, const char *path, const struct csl_plan_options *opt,
                         struct csl_diag *diag) {
    struct csl_graph *graph = NULL;
    struct csl_issues issues = {0};
    size_t n = 0;
    enum csl_err err;
    TRY_OUT(csl_onnx_import_file(&graph, &issues, path, CSL_ONNX_MAX_FILE_BYTES, diag));
    TRY_OUT(csl_graph_fold(graph, diag));
    TRY_OUT(csl_network_lower(&m->net, &issues, graph, diag));
    TRY_OUT(csl_plan_compile(&m->plan, &m->weights, NULL, m->net, opt, diag));
    TRY_OUT(csl_quantise(&m->q, &m->plan, &m->weights, diag));
    TRY_OUT(csl_plan_demands(&m->plan, CSL_PROFILE_LAN, true, m->demands, &n));
out:
    csl_graph_free(graph);
    csl_issues_clear(&issues);
    return err;
}

static bool judge(const char *path, const struct csl_plan *plan, const struct totals *t) {
    double n = (double)t->n;
    struct csl_cost cost;
    if (csl_plan_cost(plan, &cost, 2, 1, CSL_PROFILE_LAN, false) != CSL_OK) {
        return false;
    }
    for (uint32_t i = 0; i < plan->n_steps; i++) {
        const struct csl_step *s = &plan->steps[i];
        printf("  %-24s %-7s k %u, l %u, f %u\n", s->name, csl_step_name((enum csl_step_kind)s->kind),
               s->trunc.k, plan->values[i + 1].bits, s->trunc.f);
    }
    printf("%s: %u rounds, %llu bytes to each peer\n", path, cost.rounds,
           (unsigned long long)cost.online_bytes);
    printf("%zu images: float %.4f, fixed %.4f right; classes agree %.4f (nearest), %.4f (rounded and cut), "
           "%.4f (labels); largest error %.2g\n",
           t->n, (double)t->right / n, (double)t->right_fixed / n, (double)t->agree / n,
           (double)t->agree_cut / n, (double)t->agree_label / n, t->max_error);
    return t->n == 10000 && (double)t->right / n > 0.97 &&
           fabs((double)t->right - (double)t->right_fixed) / n <= 0.0005 && (double)t->agree / n >= 0.9995 &&
           (double)t->agree_cut / n >= 0.9995 && (double)t->agree_label / n >= 0.9995 && t->max_error < 0.01;
}

static bool run(const char *path, const struct csl_plan_options *opt, const struct csl_images *images,
                const struct csl_labels *labels) {
    struct model *m = calloc(1, sizeof *m);
    struct csl_diag diag = {""};
    struct totals totals = {0};
    enum csl_err err = m == NULL ? CSL_ENOMEM : load(m, path, opt, &diag);
    if (err == CSL_OK) {
        err = compare(&totals, m, images, labels, &diag);
    }
    bool ok = err == CSL_OK && judge(path, &m->plan, &totals);
    if (err != CSL_OK) {
        printf("%s: %s: %s\n", path, csl_err_name(err), diag.text);
    }
    if (m != NULL) {
        csl_network_free(m->net);
        csl_weights_clear(&m->weights);
        csl_qweights_clear(&m->q);
    }
    free(m);
    return ok;
}

int main(void) {
    static const char *const models[] = {"../shared/data/models/secureml_a.onnx",
                                         "../shared/data/models/minionn.onnx",
                                         "../shared/data/models/lenet5.onnx"};
    const char *const image_paths[] = {"data/mnist/t10k-images-idx3-ubyte.gz",
                                       "../shared/data/mnist/t10k-images-idx3-ubyte.gz", NULL};
    const char *const label_paths[] = {"data/mnist/t10k-labels-idx1-ubyte.gz",
                                       "../shared/data/mnist/t10k-labels-idx1-ubyte.gz", NULL};
    const char *image_path = find(image_paths);
    const char *label_path = find(label_paths);
    struct csl_plan_options opt = csl_plan_options_default();
    struct csl_images images = {0};
    struct csl_labels labels = {0};
    struct csl_diag diag = {""};
    if (access(models[0], R_OK) != 0 || image_path == NULL || label_path == NULL) {
        printf("skipped: the MNIST files or the trained networks are not here\n");
        return SKIP;
    }
    bool ok = csl_images_load(&images, &image_path, 1, NULL, &diag) == CSL_OK &&
              csl_labels_load(&labels, label_path, 0, &diag) == CSL_OK &&
              csl_images_normalize(&images, &opt.input, &diag) == CSL_OK;
    if (!ok) {
        printf("%s\n", diag.text);
    }
    for (size_t i = 0; i < sizeof models / sizeof models[0] && images.data != NULL && labels.data != NULL;
         i++) {
        ok = run(models[i], &opt, &images, &labels) && ok;
    }
    csl_images_clear(&images);
    csl_labels_clear(&labels);
    return ok ? 0 : 1;
}
