/* From a network to the steps of a plan. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "nn/compile_internal.h"

enum csl_err csl__too_wide(struct csl__compiler *c, const char *name, csl__wide lo, csl__wide hi,
                           const struct csl_value *v, const char *what) {
    double unit = ldexp(v->scale, -(int)v->frac);
    return csl_fail(c->diag, CSL_EDATA,
                    "layer \"%s\" could overflow: its values may lie between %.6g and %.6g, too wide for %s "
                    "at %u fraction bits; use fewer fraction bits, a smaller input interval, smaller weights "
                    "(batch normalisation), or ranges from sample inputs",
                    name, (double)lo * unit, (double)hi * unit, what, c->frac);
}

enum csl_err csl__emit(struct csl__compiler *c, uint16_t *out, struct csl_step *step, struct csl_value v,
                       const struct csl_op_node *node, const struct csl_layer_qweights *q) {
    struct csl_plan *plan = c->plan;
    uint32_t at = plan->n_steps;
    if (at == CSL_PLAN_MAX_STEPS) {
        return csl_fail(c->diag, CSL_EDATA, "the network needs more than %d steps", CSL_PLAN_MAX_STEPS);
    }
    if ((uint64_t)v.dim.h * v.dim.w > CSL_PLAN_MAX_ELEMENTS ||
        (uint64_t)v.dim.h * v.dim.w * v.dim.c > CSL_PLAN_MAX_ELEMENTS) {
        return csl_fail(c->diag, CSL_EDATA, "layer \"%s\" has more than %d values", node->name,
                        CSL_PLAN_MAX_ELEMENTS);
    }
    memcpy(step->name, node->name, sizeof step->name);
    plan->values[at + 1] = v;
    plan->steps[at] = *step;
    enum csl_err err = csl__range_step(&c->range[at + 1], plan, &plan->steps[at], c->range, q);
    if (err == CSL_EDATA) {
        struct csl__extremes x = csl__extremes_of(&c->range[step->in[0]]);
        return csl__too_wide(c, node->name, x.lo, x.hi, &plan->values[step->in[0]], "what follows");
    }
    plan->n_steps += err == CSL_OK;
    *out = (uint16_t)(at + 1);
    return err;
}

enum csl_err csl__emit_scaled(struct csl__compiler *c, uint16_t *out, uint16_t in, int64_t factor,
                              unsigned frac, double scale, const struct csl_op_node *node) {
    struct csl_step step = {.kind = CSL_STEP_ADD, .n_in = 1, .in = {in}, .factor = {factor}};
    struct csl_value v = {.dim = c->plan->values[in].dim, .frac = (uint8_t)frac, .scale = scale};
    return csl__emit(c, out, &step, v, node, NULL);
}

/* ---- linear ---- */

/* The node's weights with the scale of its input in them. */
static enum csl_err take_weights(struct csl_layer_weights *w, const struct csl_op_node *node, double scale) {
    w->n_w = csl_conv_weights(&node->shape);
    w->n_b = node->shape.out_c;
    w->w = csl_secret_alloc(w->n_w, sizeof *w->w);
    w->b = csl_secret_alloc(w->n_b, sizeof *w->b);
    if (w->w == NULL || w->b == NULL) {
        return CSL_ENOMEM;
    }
    for (size_t i = 0; i < w->n_w; i++) {
        w->w[i] = (double)node->w[i] * scale;
    }
    for (size_t i = 0; i < w->n_b; i++) {
        w->b[i] = (double)node->b[i];
    }
    return CSL_OK;
}

/* One try at step->w_frac; CSL_EDATA without a diag when it does not fit. */
static enum csl_err try_linear(struct csl__compiler *c, uint16_t *out, struct csl_step *step,
                               const struct csl_op_node *node, const struct csl_layer_weights *weights) {
    unsigned x_frac = c->plan->values[step->in[0]].frac;
    struct csl_layer_qweights q = {0};
    struct csl_value v = {.dim = node->out, .frac = (uint8_t)(x_frac + step->w_frac), .scale = 1};
    bool last = step->w_frac <= CSL__MIN_W_FRAC;
    struct csl_diag *diag = c->diag;
    struct csl_diag unused;
    enum csl_err err = csl__quantise_layer(&q, step, x_frac, weights, last ? diag : &unused);
    if (err == CSL_OK) {
        c->diag = last ? diag : &unused;
        err = csl__emit(c, out, step, v, node, &q);
        c->diag = diag;
    }
    if (err == CSL_OK) {
        struct csl__extremes z = csl__extremes_of(&c->range[*out]);
        if (csl__bits_for(CSL__PLAIN, z.lo, z.hi, 0) > CSL__PRODUCT_BITS) {
            c->plan->n_steps--;
            err = csl__too_wide(c, node->name, z.lo, z.hi, &v, "its ring");
            csl__range_clear(&c->range[*out]);
        }
    }
    csl__qlayer_clear(&q);
    return err;
}

static void report_weights(struct csl_step_report *r, const struct csl_layer_weights *w) {
    for (size_t i = 0; i < w->n_w; i++) {
        r->max_abs_w = fmax(r->max_abs_w, fabs(w->w[i]));
    }
    for (size_t i = 0; i < w->n_b; i++) {
        r->max_abs_b = fmax(r->max_abs_b, fabs(w->b[i]));
    }
}

/* With as many fraction bits of the weights as the ring allows. */
static enum csl_err compile_conv(struct csl__compiler *c, uint16_t *out, const struct csl_op_node *node) {
    uint16_t in;
    TRY(csl__emit_truncated(c, &in, c->value[node->in[0]], node));
    uint32_t layer = c->plan->n_layers;
    struct csl_layer_weights *weights = &c->weights->layers[layer];
    c->weights->n_layers = layer + 1; /* csl_weights_clear frees what there is */
    TRY(csl_conv_check(&node->shape, c->diag));
    TRY(take_weights(weights, node, c->plan->values[in].scale));
    struct csl_step step = {.kind = CSL_STEP_LINEAR,
                            .n_in = 1,
                            .in = {in},
                            .shape = node->shape,
                            .layer = (uint16_t)layer,
                            .w_frac = (uint8_t)c->frac};
    memcpy(step.name, node->name, sizeof step.name);
    enum csl_err err = try_linear(c, out, &step, node, weights);
    while (err == CSL_EDATA && step.w_frac > CSL__MIN_W_FRAC) {
        step.w_frac--;
        err = try_linear(c, out, &step, node, weights);
    }
    TRY(err);
    c->plan->n_layers = layer + 1;
    report_weights(&c->report->steps[*out - 1], weights);
    return CSL_OK;
}

/* ---- local ---- */

/* All windows have the same number of elements inside; then *n is it. */
static enum csl_err window_count(uint32_t *n, bool *uniform, const struct csl_conv_shape *s) {
    uint32_t *index = csl__window_index(s, false);
    if (index == NULL) {
        return CSL_ENOMEM;
    }
    *uniform = true;
    *n = csl__window_count(index, csl__taps(s), 0);
    for (size_t i = 1; i < csl_conv_outputs(s); i++) {
        *uniform = *uniform && csl__window_count(index, csl__taps(s), i) == *n;
    }
    free(index);
    return CSL_OK;
}

/* The sum, with 1/n in the scale; or, where n varies, times round(2^g / n) at each position. */
static enum csl_err compile_average(struct csl__compiler *c, uint16_t *out, const struct csl_op_node *node) {
    uint16_t in = c->value[node->in[0]];
    struct csl_value v = c->plan->values[in];
    struct csl_step step = {.kind = CSL_STEP_SUM, .n_in = 1, .in = {in}, .shape = node->shape};
    uint32_t n = (uint32_t)csl__taps(&node->shape);
    bool uniform = true;
    if (!node->count_include_pad) {
        TRY(window_count(&n, &uniform, &node->shape));
    }
    v.dim = node->out;
    if (uniform) {
        v.scale /= n;
    } else {
        step.w_frac = (uint8_t)(16 + ceil(log2((double)csl__taps(&node->shape))));
        v.frac = (uint8_t)(v.frac + step.w_frac);
    }
    return csl__emit(c, out, &step, v, node, NULL);
}

static enum csl_err compile_pad(struct csl__compiler *c, uint16_t *out, const struct csl_op_node *node) {
    uint16_t in = c->value[node->in[0]];
    struct csl_value v = c->plan->values[in];
    struct csl_step step = {.kind = CSL_STEP_PAD, .n_in = 1, .in = {in}, .shape = node->shape};
    v.dim = node->out;
    return csl__emit(c, out, &step, v, node, NULL);
}

/* frac and scale to which all of in can be brought by integer factors. */
static struct csl_value common_form(const struct csl__compiler *c, const uint16_t *in, unsigned n_in) {
    struct csl_value form = c->plan->values[in[0]];
    bool same = true;
    unsigned frac = 0;
    unsigned frac_at_1 = 0;
    for (unsigned i = 0; i < n_in; i++) {
        const struct csl_value *v = &c->plan->values[in[i]];
        int exponent;
        bool power = frexp(v->scale, &exponent) == 0.5; /* scale = 2^(exponent - 1) */
        int more = power ? 1 - exponent : 16 + (int)ceil(-log2(v->scale));
        more = more < 0 ? 0 : more;
        same = same && v->scale == form.scale;
        frac = v->frac > frac ? v->frac : frac;
        frac_at_1 = v->frac + (unsigned)more > frac_at_1 ? v->frac + (unsigned)more : frac_at_1;
    }
    form.frac = (uint8_t)(same ? frac : frac_at_1);
    form.scale = same ? form.scale : 1;
    return form;
}

static int64_t factor_to(const struct csl_value *form, const struct csl_value *v) {
    double f = ldexp(v->scale / form->scale, (int)form->frac - (int)v->frac);
    return f < (double)CSL__MAX_WEIGHT ? llrint(f) : CSL__MAX_WEIGHT;
}

/* Are the products of in, brought to one form, narrow enough for the comparison or truncation that follows?
 */
static bool fits_form(const struct csl__compiler *c, const struct csl_value *form, const uint16_t *in,
                      unsigned n_in) {
    double most = 0;
    for (unsigned i = 0; i < n_in; i++) {
        struct csl__extremes x = csl__extremes_of(&c->range[in[i]]);
        most += (double)factor_to(form, &c->plan->values[in[i]]) * fmax(-(double)x.lo, (double)x.hi);
    }
    return most < ldexp(1, CSL__PRODUCT_BITS - 1);
}

/* Values of other fraction bits meet at the finer ones: an activation times 2^16 is added to a product, and
 * one truncation behind the sum serves both. */
static enum csl_err compile_add(struct csl__compiler *c, uint16_t *out, const struct csl_op_node *node) {
    struct csl_step step = {.kind = CSL_STEP_ADD, .n_in = (uint8_t)node->n_in};
    for (unsigned i = 0; i < node->n_in; i++) {
        step.in[i] = c->value[node->in[i]];
    }
    struct csl_value form = common_form(c, step.in, step.n_in);
    if (!fits_form(c, &form, step.in, step.n_in)) {
        for (unsigned i = 0; i < node->n_in; i++) {
            TRY(csl__emit_truncated(c, &step.in[i], step.in[i], node));
        }
        form = common_form(c, step.in, step.n_in);
    }
    for (unsigned i = 0; i < node->n_in; i++) {
        step.factor[i] = factor_to(&form, &c->plan->values[step.in[i]]);
    }
    form.dim = node->out;
    return csl__emit(c, out, &step, form, node, NULL);
}

/* Products stay products where all of them are. */
static enum csl_err compile_concat(struct csl__compiler *c, uint16_t *out, const struct csl_op_node *node) {
    struct csl_step step = {.kind = CSL_STEP_CONCAT, .n_in = (uint8_t)node->n_in};
    unsigned products = 0;
    for (unsigned i = 0; i < node->n_in; i++) {
        step.in[i] = c->value[node->in[i]];
        products += c->plan->values[step.in[i]].frac > c->frac;
    }
    struct csl_value form = common_form(c, step.in, step.n_in);
    if (products < node->n_in || !fits_form(c, &form, step.in, step.n_in)) {
        for (unsigned i = 0; i < node->n_in; i++) {
            TRY(csl__emit_truncated(c, &step.in[i], step.in[i], node));
        }
        form = common_form(c, step.in, step.n_in);
    }
    for (unsigned i = 0; i < node->n_in; i++) {
        const struct csl_value *v = &c->plan->values[step.in[i]];
        if (v->frac != form.frac || v->scale != form.scale) {
            TRY(csl__emit_scaled(c, &step.in[i], step.in[i], factor_to(&form, v), form.frac, form.scale,
                                 node));
        }
    }
    form.dim = node->out;
    return csl__emit(c, out, &step, form, node, NULL);
}

/* ---- samples ---- */

/* The node's range is at most four times what the samples showed. */
static void narrow(struct csl__compiler *c, uint16_t value, uint32_t net_value) {
    const struct csl_ranges *s = c->opt->samples;
    if (s == NULL || net_value >= s->n_values) {
        return;
    }
    const struct csl_value *v = &c->plan->values[value];
    double most = 4 * fmax(fabs(s->lo[net_value]), fabs(s->hi[net_value])) / v->scale;
    double units = ceil(ldexp(most, v->frac)) + 1;
    if (!(units < (double)CSL__MAX_BOUND)) {
        return;
    }
    struct csl__range *r = &c->range[value];
    int64_t limit = (int64_t)units;
    for (size_t i = 0; i < r->n; i++) {
        r->lo[i] = r->lo[i] < -limit ? -limit : r->lo[i] > limit ? limit : r->lo[i];
        r->hi[i] = r->hi[i] > limit ? limit : r->hi[i] < -limit ? -limit : r->hi[i];
    }
}

enum csl_err csl__compile_node(struct csl__compiler *c, uint32_t i) {
    const struct csl_op_node *node = &c->net->nodes[i];
    uint16_t *out = &c->value[i + 1];
    switch (node->kind) {
    case CSL_OPK_CONV:
        TRY(compile_conv(c, out, node));
        break;
    case CSL_OPK_ACTIVATE:
        TRY(csl__emit_function(c, out, c->value[node->in[0]], node));
        break;
    case CSL_OPK_MAXPOOL:
        TRY(csl__emit_max(c, out, c->value[node->in[0]], node));
        break;
    case CSL_OPK_AVGPOOL:
        TRY(compile_average(c, out, node));
        break;
    case CSL_OPK_ADD:
        TRY(compile_add(c, out, node));
        break;
    case CSL_OPK_CONCAT:
        TRY(compile_concat(c, out, node));
        break;
    case CSL_OPK_PAD:
        TRY(compile_pad(c, out, node));
        break;
    default:
        return csl_fail(c->diag, CSL_EINTERNAL, "node \"%s\" is of no known kind", node->name);
    }
    narrow(c, *out, i + 1);
    return CSL_OK;
}
