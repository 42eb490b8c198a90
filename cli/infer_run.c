#include "cli/infer_run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/model/file.h"
#include "crypto/secret.h"
#include "roles/talk.h"

void csl_infer_inputs_clear(struct csl_infer_inputs *in) {
    csl_images_clear(&in->images);
    csl_images_clear(&in->raw);
    csl_labels_clear(&in->labels);
}

void csl_infer_result_clear(struct csl_infer_result *r) {
    csl_secret_free(r->logits);
    free(r->classes);
    free(r->batches);
    memset(r, 0, sizeof *r);
}

void csl_comparison_clear(struct csl_comparison *c) {
    free(c->classes);
    memset(c, 0, sizeof *c);
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct csl_quantiles csl_quantiles_of(double *values, size_t n) {
    if (n == 0) {
        return (struct csl_quantiles){0, 0};
    }
    qsort(values, n, sizeof *values, by_value);
    size_t p95 = (n * 95 + 99) / 100;
    return (struct csl_quantiles){.median =
                                      n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2,
                                  .p95 = values[(p95 == 0 ? 1 : p95) - 1]};
}

/* ---- Running ---- */

static enum csl_err fit_inputs(struct csl_infer_inputs *in, const struct csl_client *c,
                               struct csl_diag *diag) {
    const struct csl_plan *plan = csl_client_plan(c);
    if (!csl_client_owns_input(c)) {
        return CSL_OK;
    }
    const struct csl_part *part = csl_client_part(c);
    size_t have = csl_images_stride(&in->images);
    size_t want = part != NULL ? csl_part_elements(part) : csl_plan_n_inputs(plan);
    if (have != want) {
        return csl_fail(
            diag, CSL_EDATA,
            "images have %zu x %zu x %zu values (channels, height, width), %s takes %zu: bring them to that "
            "size; where the rows of a two-dimensional .npy are the inputs, say --npy features",
            in->images.channels, in->images.height, in->images.width,
            part != NULL ? "our part of the input" : "the model", want);
    }
    return csl_images_normalize(&in->images, &plan->input, diag);
}

static enum csl_err make_result(struct csl_infer_result *r, size_t n, const struct csl_plan *plan,
                                uint32_t batch) {
    r->n = n;
    r->n_outputs = csl_plan_n_outputs(plan);
    r->n_batches = (n + batch - 1) / batch;
    r->logits = csl_secret_alloc(n * r->n_outputs, sizeof *r->logits);
    r->classes = calloc(n, sizeof *r->classes);
    r->batches = calloc(r->n_batches, sizeof *r->batches);
    return r->logits == NULL || r->classes == NULL || r->batches == NULL ? CSL_ENOMEM : CSL_OK;
}

/* Inputs of batch b. */
static uint32_t count_of(const struct csl_infer_result *r, size_t b, uint32_t batch) {
    size_t left = r->n - b * batch;
    return left < batch ? (uint32_t)left : batch;
}

static enum csl_err run_batches(struct csl_infer_result *r, struct csl_client *c,
                                const struct csl_infer_inputs *in, const struct csl_infer_options *opt,
                                struct csl_diag *diag) {
    size_t stride = csl_images_stride(&in->images), announced = 0;
    uint32_t batch = opt->client.max_batch;
    for (size_t b = 0; b < r->n_batches; b++) {
        size_t at = b * batch;
        struct csl_outputs out = {.logits = r->logits + at * r->n_outputs, .classes = r->classes + at};
        const float *x = csl_client_owns_input(c) ? in->images.data + at * stride : NULL;
        for (; opt->client.ahead && announced < r->n_batches && announced < b + CSL_CLIENT_AHEAD;
             announced++) {
            TRY(csl_client_announce(c, count_of(r, announced, batch), diag));
        }
        TRY(csl_client_infer(c, &out, &r->batches[b], x, count_of(r, b, batch), opt->show, opt->show_arg,
                             diag));
    }
    return CSL_OK;
}

/* Several batches, in a session of our own. */
static bool worth_ahead(const struct csl_infer_inputs *in, const struct csl_infer_options *opt) {
    size_t n = in->images.count != 0 ? in->images.count : in->n_images;
    return n > opt->client.max_batch && !opt->client.shared && !opt->one_by_one;
}

enum csl_err csl_infer_run(struct csl_infer_result *out, const struct csl_context *ctx,
                           struct csl_infer_inputs *in, struct csl_plan *plan,
                           const struct csl_infer_options *options, struct csl_diag *diag) {
    struct csl_infer_options chosen = *options, *opt = &chosen;
    struct csl_client *c = NULL;
    uint64_t start = csl_monotonic_ns();
    opt->client.ahead = worth_ahead(in, opt);
    TRY(csl_client_open(&c, ctx, &opt->client, diag));
    out->open_ns = csl_monotonic_ns() - start;
    out->labels_only = opt->client.reveal_label;
    *plan = *csl_client_plan(c);
    enum csl_err err = fit_inputs(in, c, diag);
    if (err == CSL_OK) {
        err = make_result(out, csl_client_owns_input(c) ? in->images.count : in->n_images, plan,
                          opt->client.max_batch);
    }
    start = csl_monotonic_ns();
    if (err == CSL_OK) {
        err = run_batches(out, c, in, opt, diag);
    }
    out->run_ns = csl_monotonic_ns() - start;
    csl_client_close(c);
    if (err != CSL_OK) {
        csl_infer_result_clear(out);
    }
    return err;
}

/* ---- Comparing ---- */

struct plain {
    struct csl_network *net;
    struct csl_plan plan;
    struct csl_weights weights;
    struct csl_qweights q;
    double *bound; /* per logit */
    double *y;     /* one image's float logits */
    int64_t *xq, *yq;
};

static void plain_free(struct plain *p) {
    if (p != NULL) {
        csl_network_free(p->net);
        csl_weights_clear(&p->weights);
        csl_qweights_clear(&p->q);
        free(p->bound);
        csl_secret_free(p->y);
        csl_secret_free(p->xq);
        csl_secret_free(p->yq);
        free(p);
    }
}

static bool same_widths(const struct csl_plan *a, const struct csl_plan *b) {
    bool same = a->n_steps == b->n_steps && a->output_cut == b->output_cut;
    for (uint32_t i = 0; same && i < a->n_steps; i++) {
        const struct csl_step *x = &a->steps[i], *y = &b->steps[i];
        same = x->kind == y->kind && memcmp(&x->shape, &y->shape, sizeof x->shape) == 0 &&
               x->l_bits == y->l_bits && x->trunc.k == y->trunc.k && x->trunc.f == y->trunc.f &&
               x->w_frac == y->w_frac;
    }
    return same;
}

static enum csl_err compile_plain(struct plain *p, const struct csl_plan *shared, const char *path,
                                  struct csl_diag *diag) {
    struct csl_issues issues = {0};
    enum csl_err err = csl_model_file_import(&p->net, &issues, path, diag);
    csl_issues_clear(&issues);
    TRY(err);
    if (shared->from_samples) { /* its widths depend on samples that we do not have; the numbers do not */
        return CSL_OK;
    }
    struct csl_model_choice choice = {.input = shared->input, .frac_bits = csl_plan_input_frac(shared)};
    TRY(csl_model_compile(&p->plan, &p->weights, NULL, p->net, &choice, diag));
    if (!same_widths(&p->plan, shared)) {
        return csl_fail(diag, CSL_EDATA, "%s is not the network that was shared", path);
    }
    return csl_quantise(&p->q, &p->plan, &p->weights, diag);
}

static enum csl_err load_plain(struct plain *p, const struct csl_plan *shared, const char *path,
                               unsigned n_parties, struct csl_diag *diag) {
    TRY(compile_plain(p, shared, path, diag));
    uint32_t n_in = csl_plan_n_inputs(shared), n_out = csl_plan_n_outputs(shared);
    p->bound = calloc(n_out, sizeof *p->bound);
    p->y = csl_secret_alloc(n_out, sizeof *p->y);
    p->xq = csl_secret_alloc(n_in, sizeof *p->xq);
    p->yq = csl_secret_alloc(n_out, sizeof *p->yq);
    if (p->bound == NULL || p->y == NULL || p->xq == NULL || p->yq == NULL) {
        return CSL_ENOMEM;
    }
    return shared->from_samples ? CSL_OK : csl_eval_error_bound(&p->plan, &p->q, p->bound, n_parties);
}

static void worst(double *into, double v) {
    if (!(v <= *into)) { /* a NaN counts as the worst */
        *into = v;
    }
}

/* The secure logits of one image against both references. */
static enum csl_err compare_logits(struct csl_comparison *c, struct plain *p, const double *secure,
                                   const float *x, uint32_t n_outputs, bool fixed_too,
                                   struct csl_diag *diag) {
    double scale = 0;
    if (fixed_too) {
        TRY(csl_plan_encode_input(&p->plan, p->xq, x, 1, diag));
        TRY(csl_eval_fixed(&p->plan, &p->q, p->yq, p->xq, 1, NULL, NULL, diag));
        scale = ldexp(p->plan.values[p->plan.n_steps].scale, -(int)csl_plan_output_frac(&p->plan));
    }
    for (uint32_t j = 0; j < n_outputs; j++) {
        worst(&c->max_logit_error, fabs(secure[j] - p->y[j]));
        if (fixed_too) {
            double error = fabs(secure[j] - (double)p->yq[j] * scale);
            worst(&c->max_fixed_error, error);
            worst(&c->max_bound_use, error / p->bound[j]);
        }
    }
    return CSL_OK;
}

static enum csl_err compare_one(struct csl_comparison *c, struct plain *p, const struct csl_infer_result *r,
                                const struct csl_infer_inputs *in, size_t i, bool fixed_too,
                                struct csl_diag *diag) {
    const float *x = in->images.data + i * csl_images_stride(&in->images);
    TRY(csl_network_eval(p->net, p->y, x, 1));
    if (!r->labels_only) {
        TRY(compare_logits(c, p, r->logits + i * r->n_outputs, x, r->n_outputs, fixed_too, diag));
    }
    c->classes[i] = csl_argmax(p->y, r->n_outputs);
    c->agree += c->classes[i] == r->classes[i];
    if (i < in->labels.count) {
        c->correct += r->classes[i] == in->labels.data[i];
        c->plain_correct += c->classes[i] == in->labels.data[i];
    }
    return CSL_OK;
}

enum csl_err csl_infer_compare(struct csl_comparison *out, const struct csl_infer_result *r,
                               const struct csl_infer_inputs *in, const struct csl_plan *plan,
                               const char *model_path, unsigned n_parties, struct csl_diag *diag) {
    memset(out, 0, sizeof *out);
    if (csl_images_stride(&in->images) != csl_plan_n_inputs(plan)) {
        return csl_fail(diag, CSL_EUSAGE, "--compare needs the whole input: this site owns only a part");
    }
    struct plain *p = calloc(1, sizeof *p);
    out->classes = calloc(r->n, sizeof *out->classes);
    enum csl_err err = p == NULL || out->classes == NULL ? CSL_ENOMEM : CSL_OK;
    if (err == CSL_OK) {
        err = load_plain(p, plan, model_path, n_parties, diag);
    }
    for (size_t i = 0; err == CSL_OK && i < r->n; i++) {
        err = compare_one(out, p, r, in, i, !plan->from_samples, diag);
    }
    plain_free(p);
    if (err != CSL_OK) {
        csl_comparison_clear(out);
    }
    return err;
}
