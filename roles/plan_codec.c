#include "roles/plan_codec.h"

#include <stdlib.h>
#include <string.h>

/* ---- To a message. Allocated as protobuf-c would, so that its own free releases it. ---- */

static char *copy_text(const char *s) {
    return strdup(s);
}

static bool list_u32(uint32_t **out, size_t *n_out, const uint32_t *v, size_t n) {
    *out = malloc(n * sizeof **out + 1);
    if (*out == NULL) {
        return false;
    }
    memcpy(*out, v, n * sizeof **out);
    *n_out = n;
    return true;
}

static Csl__Pb__Conv *conv_to_message(const struct csl_conv_shape *s) {
    Csl__Pb__Conv *m = malloc(sizeof *m);
    if (m == NULL) {
        return NULL;
    }
    csl__pb__conv__init(m);
    m->groups = s->groups;
    bool ok = list_u32(&m->in, &m->n_in, (uint32_t[]){s->in_h, s->in_w, s->in_c}, 3) &&
              list_u32(&m->out, &m->n_out, (uint32_t[]){s->out_h, s->out_w, s->out_c}, 3) &&
              list_u32(&m->kernel, &m->n_kernel, (uint32_t[]){s->kernel_h, s->kernel_w}, 2) &&
              list_u32(&m->stride, &m->n_stride, (uint32_t[]){s->stride_h, s->stride_w}, 2) &&
              list_u32(&m->pad, &m->n_pad, (uint32_t[]){s->pad_top, s->pad_left}, 2) &&
              list_u32(&m->dilation, &m->n_dilation, (uint32_t[]){s->dilation_h, s->dilation_w}, 2);
    if (!ok) {
        csl__pb__conv__free_unpacked(m, NULL);
        return NULL;
    }
    return m;
}

static bool has_shape(const struct csl_step *s) {
    return s->kind == CSL_STEP_LINEAR || s->kind == CSL_STEP_MAX || s->kind == CSL_STEP_SUM ||
           s->kind == CSL_STEP_PAD;
}

static Csl__Pb__Step *step_to_message(const struct csl_step *s) {
    Csl__Pb__Step *m = malloc(sizeof *m);
    if (m == NULL) {
        return NULL;
    }
    csl__pb__step__init(m);
    uint32_t in[CSL_NETWORK_MAX_INPUTS];
    for (unsigned i = 0; i < s->n_in; i++) {
        in[i] = s->in[i];
    }
    m->kind = s->kind;
    m->w_frac = s->w_frac;
    m->l_bits = s->l_bits;
    m->k = s->trunc.k;
    m->f = s->trunc.f;
    m->out_bits = s->trunc.out_bits;
    m->exact = s->exact;
    m->first_arm = s->first_arm;
    m->n_arms = s->n_arms;
    m->c0 = s->c0;
    m->name = copy_text(s->name);
    m->shape = has_shape(s) ? conv_to_message(&s->shape) : NULL;
    m->digit_bits.data = malloc(sizeof s->trunc.digit_bits);
    m->factor = malloc(sizeof s->factor);
    bool ok = m->name != NULL && m->digit_bits.data != NULL && m->factor != NULL &&
              list_u32(&m->in, &m->n_in, in, s->n_in) && (m->shape != NULL || !has_shape(s));
    if (!ok) {
        csl__pb__step__free_unpacked(m, NULL);
        return NULL;
    }
    memcpy(m->digit_bits.data, s->trunc.digit_bits, sizeof s->trunc.digit_bits);
    m->digit_bits.len = s->trunc.n_digits;
    if (s->kind == CSL_STEP_ADD) {
        memcpy(m->factor, s->factor, sizeof s->factor);
        m->n_factor = s->n_in;
    }
    return m;
}

static Csl__Pb__Value *value_to_message(const struct csl_value *v) {
    Csl__Pb__Value *m = malloc(sizeof *m);
    if (m != NULL) {
        csl__pb__value__init(m);
        m->h = v->dim.h;
        m->w = v->dim.w;
        m->c = v->dim.c;
        m->bits = v->bits;
        m->frac = v->frac;
        m->scale = v->scale;
    }
    return m;
}

static bool fill_lists(Csl__Pb__Plan *m, const struct csl_plan *plan) {
    m->values = calloc(plan->n_steps + 1, sizeof *m->values);
    m->steps = calloc(plan->n_steps + 1, sizeof *m->steps);
    m->knots = calloc(plan->n_arms + 1, sizeof *m->knots);
    m->slopes = calloc(plan->n_arms + 1, sizeof *m->slopes);
    if (m->values == NULL || m->steps == NULL || m->knots == NULL || m->slopes == NULL) {
        return false;
    }
    for (uint32_t i = 0; i <= plan->n_steps; i++) {
        m->values[i] = value_to_message(&plan->values[i]);
        if (m->values[i] == NULL) {
            return false;
        }
        m->n_values = i + 1;
    }
    for (uint32_t i = 0; i < plan->n_steps; i++) {
        m->steps[i] = step_to_message(&plan->steps[i]);
        if (m->steps[i] == NULL) {
            return false;
        }
        m->n_steps = i + 1;
    }
    for (uint32_t i = 0; i < plan->n_arms; i++) {
        m->knots[i] = plan->arms[i].knot;
        m->slopes[i] = plan->arms[i].slope;
    }
    m->n_knots = m->n_slopes = plan->n_arms;
    return true;
}

enum csl_err csl_plan_to_message(Csl__Pb__Plan **out, const struct csl_plan *plan) {
    *out = NULL;
    Csl__Pb__Plan *m = malloc(sizeof *m);
    if (m == NULL) {
        return CSL_ENOMEM;
    }
    csl__pb__plan__init(m);
    m->input_channels_last = plan->input_channels_last;
    m->normalisation = plan->input.kind;
    m->input_lo = plan->input.lo;
    m->input_hi = plan->input.hi;
    m->from_samples = plan->from_samples;
    m->head = plan->head;
    m->output_cut = plan->output_cut;
    m->name = copy_text(plan->name);
    if (m->name == NULL ||
        !list_u32(&m->input_shape, &m->n_input_shape, plan->input_shape, plan->input_rank) ||
        !fill_lists(m, plan)) {
        csl__pb__plan__free_unpacked(m, NULL);
        return CSL_ENOMEM;
    }
    *out = m;
    return CSL_OK;
}

/* ---- From a message: what does not fit is refused, not cut; csl_plan_check judges the rest. ---- */

struct reading {
    struct csl_diag *diag;
    enum csl_err err;
    uint32_t step;
};

static void bad(struct reading *r, const char *field) {
    if (r->err == CSL_OK) {
        r->err = csl_fail(r->diag, CSL_EDATA, "plan: step %u: field %s is out of range", r->step, field);
    }
}

static uint32_t within(struct reading *r, uint32_t v, uint32_t max, const char *field) {
    if (v > max) {
        bad(r, field);
        return 0;
    }
    return v;
}

static void take_name(struct reading *r, char out[CSL_PLAN_NAME_BYTES], const char *name) {
    size_t n = strlen(name);
    if (n >= CSL_PLAN_NAME_BYTES) {
        bad(r, "name");
        return;
    }
    memcpy(out, name, n + 1);
}

static void take_list(struct reading *r, uint32_t *const out[3], const uint32_t *v, size_t n, size_t want,
                      const char *field) {
    if (n != want) {
        bad(r, field);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        *out[i] = v[i];
    }
}

static void take_conv(struct reading *r, struct csl_conv_shape *s, const Csl__Pb__Conv *m) {
    if (m == NULL) {
        bad(r, "shape");
        return;
    }
    take_list(r, (uint32_t *[]){&s->in_h, &s->in_w, &s->in_c}, m->in, m->n_in, 3, "shape.in");
    take_list(r, (uint32_t *[]){&s->out_h, &s->out_w, &s->out_c}, m->out, m->n_out, 3, "shape.out");
    take_list(r, (uint32_t *[]){&s->kernel_h, &s->kernel_w, NULL}, m->kernel, m->n_kernel, 2, "shape.kernel");
    take_list(r, (uint32_t *[]){&s->stride_h, &s->stride_w, NULL}, m->stride, m->n_stride, 2, "shape.stride");
    take_list(r, (uint32_t *[]){&s->pad_top, &s->pad_left, NULL}, m->pad, m->n_pad, 2, "shape.pad");
    take_list(r, (uint32_t *[]){&s->dilation_h, &s->dilation_w, NULL}, m->dilation, m->n_dilation, 2,
              "shape.dilation");
    s->groups = m->groups;
}

static void take_trunc(struct reading *r, struct csl_trunc_params *t, const Csl__Pb__Step *m) {
    t->k = (uint8_t)within(r, m->k, UINT8_MAX, "k");
    t->f = (uint8_t)within(r, m->f, UINT8_MAX, "f");
    t->out_bits = (uint8_t)within(r, m->out_bits, UINT8_MAX, "out_bits");
    t->n_digits = (uint8_t)within(r, (uint32_t)(m->digit_bits.len > 255 ? 255 : m->digit_bits.len),
                                  CSL_MAX_DIGITS, "digit_bits");
    for (unsigned i = 0; i < t->n_digits; i++) {
        t->digit_bits[i] = m->digit_bits.data[i];
    }
}

static void take_step(struct reading *r, struct csl_step *s, const Csl__Pb__Step *m, uint16_t *layer) {
    take_name(r, s->name, m->name);
    s->kind = (uint8_t)within(r, m->kind, CSL_STEP_COUNT - 1, "kind");
    s->n_in = (uint8_t)within(r, (uint32_t)(m->n_in > 255 ? 255 : m->n_in), CSL_NETWORK_MAX_INPUTS, "in");
    for (unsigned i = 0; i < s->n_in; i++) {
        s->in[i] = (uint16_t)within(r, m->in[i], CSL_PLAN_MAX_VALUES - 1, "in");
    }
    if (r->err == CSL_OK && has_shape(s)) {
        take_conv(r, &s->shape, m->shape);
    }
    s->layer = s->kind == CSL_STEP_LINEAR ? (*layer)++ : 0;
    s->w_frac = (uint8_t)within(r, m->w_frac, UINT8_MAX, "w_frac");
    s->l_bits = (uint8_t)within(r, m->l_bits, UINT8_MAX, "l_bits");
    take_trunc(r, &s->trunc, m);
    s->exact = m->exact;
    if (s->kind == CSL_STEP_ADD && m->n_factor != s->n_in) {
        bad(r, "factor");
    }
    for (unsigned i = 0; r->err == CSL_OK && s->kind == CSL_STEP_ADD && i < s->n_in; i++) {
        s->factor[i] = m->factor[i];
    }
    s->first_arm = (uint16_t)within(r, m->first_arm, CSL_PLAN_MAX_ARMS, "first_arm");
    s->n_arms = (uint16_t)within(r, m->n_arms, CSL_PLAN_MAX_ARMS, "n_arms");
    s->c0 = m->c0;
}

static void take_value(struct reading *r, struct csl_value *v, const Csl__Pb__Value *m) {
    v->dim = (struct csl_hwc){m->h, m->w, m->c};
    v->bits = (uint8_t)within(r, m->bits, UINT8_MAX, "value.bits");
    v->frac = (uint8_t)within(r, m->frac, UINT8_MAX, "value.frac");
    v->scale = m->scale;
}

static enum csl_err check_counts(const Csl__Pb__Plan *m, struct csl_diag *diag) {
    if (m->n_input_shape == 0 || m->n_input_shape > CSL_MAX_RANK || m->n_steps == 0 ||
        m->n_steps > CSL_PLAN_MAX_STEPS || m->n_values != m->n_steps + 1 || m->n_knots > CSL_PLAN_MAX_ARMS ||
        m->n_knots != m->n_slopes) {
        return csl_fail(diag, CSL_EDATA,
                        "plan: %zu dimensions, %zu steps, %zu values, %zu arms are not a plan",
                        m->n_input_shape, m->n_steps, m->n_values, m->n_knots);
    }
    if (m->normalisation >= CSL_NORMALIZE_COUNT || m->head >= CSL_HEAD_COUNT || m->output_cut > UINT8_MAX) {
        return csl_fail(diag, CSL_EDATA, "plan: field normalisation, head or output_cut is out of range");
    }
    return CSL_OK;
}

static enum csl_err convert(struct csl_plan *plan, const Csl__Pb__Plan *m, struct csl_diag *diag) {
    TRY(check_counts(m, diag));
    struct reading r = {.diag = diag, .err = CSL_OK};
    take_name(&r, plan->name, m->name);
    plan->input_rank = (uint32_t)m->n_input_shape;
    memcpy(plan->input_shape, m->input_shape, m->n_input_shape * sizeof *m->input_shape);
    plan->input_channels_last = m->input_channels_last;
    plan->input.kind = (enum csl_normalize)m->normalisation;
    plan->input.lo = m->input_lo;
    plan->input.hi = m->input_hi;
    plan->from_samples = m->from_samples;
    plan->head = (uint8_t)m->head;
    plan->output_cut = (uint8_t)m->output_cut;
    plan->n_steps = (uint32_t)m->n_steps;
    plan->n_arms = (uint32_t)m->n_knots;
    uint16_t layer = 0;
    for (uint32_t i = 0; i < plan->n_steps && r.err == CSL_OK; i++) {
        r.step = i;
        take_value(&r, &plan->values[i], m->values[i]);
        take_step(&r, &plan->steps[i], m->steps[i], &layer);
    }
    take_value(&r, &plan->values[plan->n_steps], m->values[plan->n_steps]);
    plan->n_layers = layer;
    for (uint32_t i = 0; i < plan->n_arms; i++) {
        plan->arms[i] = (struct csl_arm){.knot = m->knots[i], .slope = m->slopes[i]};
    }
    TRY(r.err);
    return csl_plan_check(plan, diag);
}

enum csl_err csl_plan_from_message(struct csl_plan *plan, const Csl__Pb__Plan *pb, struct csl_diag *diag) {
    memset(plan, 0, sizeof *plan);
    if (pb == NULL) {
        return csl_fail(diag, CSL_EDATA, "the plan is missing");
    }
    enum csl_err err = convert(plan, pb, diag);
    if (err != CSL_OK) {
        memset(plan, 0, sizeof *plan);
    }
    return err;
}

enum csl_err csl_plan_encode(uint8_t **out, size_t *n, const struct csl_plan *plan) {
    Csl__Pb__Plan *m;
    TRY(csl_plan_to_message(&m, plan));
    uint8_t *p = malloc(csl__pb__plan__get_packed_size(m) + 1);
    if (p != NULL) {
        *n = csl__pb__plan__pack(m, p);
        *out = p;
    }
    csl__pb__plan__free_unpacked(m, NULL);
    return p != NULL ? CSL_OK : CSL_ENOMEM;
}

enum csl_err csl_plan_decode(struct csl_plan *plan, const uint8_t *p, size_t n, struct csl_diag *diag) {
    Csl__Pb__Plan *m = csl__pb__plan__unpack(NULL, n, p);
    if (m == NULL) {
        return csl_fail(diag, CSL_EDATA, "a plan of %zu bytes cannot be decoded", n);
    }
    enum csl_err err = csl_plan_from_message(plan, m, diag);
    csl__pb__plan__free_unpacked(m, NULL);
    return err;
}
