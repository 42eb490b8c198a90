#include "cli/model/accuracy.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"

enum { STEP_IMAGES = 8 };

struct measuring {
    const struct csl_network *net;
    const struct csl_plan *plan;
    const struct csl_qweights *q;
    const struct csl_images *images;
    struct csl_diag *diag;
    size_t cap; /* elements of the largest value */
    double *y;
    int64_t *xq, *yq;
};

static size_t elements(struct csl_hwc d) {
    return (size_t)d.h * d.w * d.c;
}

static size_t largest_value(const struct csl_plan *plan) {
    size_t n = 0;
    for (uint32_t i = 0; i <= plan->n_steps; i++) {
        size_t m = elements(plan->values[i].dim);
        n = m > n ? m : n;
    }
    return n;
}

static double real_scale(const struct csl_value *v) {
    return ldexp(v->scale, -(int)v->frac);
}

/* ---- Outputs ---- */

static enum csl_err one_image(struct csl_accuracy *a, struct measuring *m, const struct csl_labels *labels,
                              size_t i) {
    const float *x = m->images->data + i * csl_images_stride(m->images);
    uint32_t n = csl_plan_n_outputs(m->plan);
    TRY(csl_network_eval(m->net, m->y, x, 1));
    TRY(csl_plan_encode_input(m->plan, m->xq, x, 1, m->diag));
    TRY(csl_eval_fixed(m->plan, m->q, m->yq, m->xq, 1, NULL, NULL, m->diag));
    double scale = real_scale(&m->plan->values[m->plan->n_steps]);
    uint32_t best = 0;
    for (uint32_t j = 0; j < n; j++) {
        best = m->yq[j] > m->yq[best] ? j : best;
        double error = fabs((double)m->yq[j] * scale - m->y[j]);
        a->max_logit_error = error > a->max_logit_error ? error : a->max_logit_error;
    }
    uint32_t plain = csl_argmax(m->y, n);
    a->n++;
    a->agree += best == plain;
    if (i < labels->count) {
        a->n_labels++;
        a->correct += best == labels->data[i];
        a->plain_correct += plain == labels->data[i];
    }
    return CSL_OK;
}

/* ---- Steps: the plan and the network, each ended early ---- */

/* The node whose result a step's value is, or n_nodes: the last step that bears its name. */
static uint32_t node_of(const struct measuring *m, uint32_t step) {
    const char *name = m->plan->steps[step].name;
    for (uint32_t i = step + 1; i < m->plan->n_steps; i++) {
        if (strcmp(m->plan->steps[i].name, name) == 0) {
            return m->net->n_nodes;
        }
    }
    for (uint32_t i = 0; i < m->net->n_nodes; i++) {
        if (strcmp(m->net->nodes[i].name, name) == 0) {
            return i;
        }
    }
    return m->net->n_nodes;
}

static enum csl_err one_step(double *error, struct measuring *m, struct csl_plan *plan,
                             struct csl_network *net, uint32_t step, uint32_t node, const float *x) {
    plan->n_steps = step + 1;
    net->output = node + 1;
    size_t n = elements(plan->values[step + 1].dim);
    if (n != elements(net->nodes[node].out)) {
        return CSL_OK;
    }
    TRY(csl_network_eval(net, m->y, x, 1));
    TRY(csl_plan_encode_input(m->plan, m->xq, x, 1, m->diag));
    TRY(csl_eval_fixed(plan, m->q, m->yq, m->xq, 1, NULL, NULL, m->diag));
    double scale = real_scale(&plan->values[step + 1]);
    for (size_t i = 0; i < n; i++) {
        double e = fabs((double)m->yq[i] * scale - m->y[i]);
        *error = e > *error ? e : *error;
    }
    return CSL_OK;
}

static enum csl_err measure_steps(struct csl_accuracy *a, struct measuring *m) {
    struct csl_plan *plan = malloc(sizeof *plan);
    struct csl_network *net = malloc(sizeof *net);
    enum csl_err err = plan == NULL || net == NULL ? CSL_ENOMEM : CSL_OK;
    a->n_step_images = m->images->count < STEP_IMAGES ? m->images->count : STEP_IMAGES;
    for (uint32_t s = 0; err == CSL_OK && s < m->plan->n_steps; s++) {
        uint32_t node = node_of(m, s);
        a->step_error[s] = -1;
        *plan = *m->plan;
        *net = *m->net; /* shares the weights, and is not freed */
        for (size_t i = 0; err == CSL_OK && node < m->net->n_nodes && i < a->n_step_images; i++) {
            err = one_step(&a->step_error[s], m, plan, net, s, node,
                           m->images->data + i * csl_images_stride(m->images));
        }
    }
    free(plan);
    free(net);
    return err;
}

enum csl_err csl_accuracy_measure(struct csl_accuracy *out, const struct csl_network *net,
                                  const struct csl_plan *plan, const struct csl_weights *weights,
                                  const struct csl_images *images, const struct csl_labels *labels,
                                  struct csl_diag *diag) {
    memset(out, 0, sizeof *out);
    struct csl_qweights q = {0};
    struct measuring m = {
        .net = net, .plan = plan, .q = &q, .images = images, .diag = diag, .cap = largest_value(plan)};
    m.y = csl_secret_alloc(m.cap, sizeof *m.y);
    m.xq = csl_secret_alloc(m.cap, sizeof *m.xq);
    m.yq = csl_secret_alloc(m.cap, sizeof *m.yq);
    enum csl_err err = m.y == NULL || m.xq == NULL || m.yq == NULL ? CSL_ENOMEM : CSL_OK;
    TRY_OUT(err);
    TRY_OUT(csl_quantise(&q, plan, weights, diag));
    for (size_t i = 0; i < images->count; i++) {
        TRY_OUT(one_image(out, &m, labels, i));
    }
    err = measure_steps(out, &m);
out:
    csl_secret_free(m.y);
    csl_secret_free(m.xq);
    csl_secret_free(m.yq);
    csl_qweights_clear(&q);
    return err;
}
