#include "roles/plan_codec.h"

#include <stdlib.h>
#include <string.h>

static void layer_to_message(Csl__Pb__Layer *m, const struct csl_layer *l) {
    csl__pb__layer__init(m);
    m->name = (char *)(uintptr_t)l->name;
    m->k = l->k;
    m->n = l->n;
    m->x_frac = l->x_frac;
    m->w_frac = l->w_frac;
    m->bits = l->bits;
    m->activation = l->activation;
    m->trunc_k = l->trunc_k;
    m->trunc_f = l->trunc_f;
    m->out_bits = l->out_bits;
    m->digit_bits.len = l->n_digits;
    m->digit_bits.data = (uint8_t *)(uintptr_t)l->digit_bits;
}

void csl_plan_to_message(struct csl_plan_message *store, const struct csl_plan *plan) {
    Csl__Pb__Plan *m = &store->pb;
    csl__pb__plan__init(m);
    m->name = (char *)(uintptr_t)plan->name;
    m->n_input_shape = plan->input_rank;
    m->input_shape = (uint32_t *)(uintptr_t)plan->input_shape;
    m->normalisation = plan->input.kind;
    m->input_lo = plan->input.lo;
    m->input_hi = plan->input.hi;
    for (uint32_t i = 0; i < plan->n_layers; i++) {
        layer_to_message(&store->layers[i], &plan->layers[i]);
        store->layer_list[i] = &store->layers[i];
    }
    m->n_layers = plan->n_layers;
    m->layers = store->layer_list;
    m->head = plan->head;
    m->output_cut = plan->output_cut;
}

static enum csl_err copy_name(char out[CSL_PLAN_NAME_BYTES], const char *name, struct csl_diag *diag) {
    size_t n = strlen(name);
    if (n >= CSL_PLAN_NAME_BYTES) {
        return csl_fail(diag, CSL_EDATA, "plan: a name of %zu bytes is too long", n);
    }
    memcpy(out, name, n + 1);
    return CSL_OK;
}

/* Fields are narrower in the struct than on the wire: what does not fit is refused, not cut. */
static enum csl_err narrow(uint8_t *out, uint32_t v, const char *field, struct csl_diag *diag) {
    if (v > UINT8_MAX) {
        return csl_fail(diag, CSL_EDATA, "plan: field %s is %u, out of range", field, v);
    }
    *out = (uint8_t)v;
    return CSL_OK;
}

static enum csl_err layer_from_message(struct csl_layer *l, const Csl__Pb__Layer *m, struct csl_diag *diag) {
    TRY(copy_name(l->name, m->name, diag));
    l->k = m->k;
    l->n = m->n;
    TRY(narrow(&l->x_frac, m->x_frac, "x_frac", diag));
    TRY(narrow(&l->w_frac, m->w_frac, "w_frac", diag));
    TRY(narrow(&l->bits, m->bits, "bits", diag));
    TRY(narrow(&l->activation, m->activation, "activation", diag));
    TRY(narrow(&l->trunc_k, m->trunc_k, "trunc_k", diag));
    TRY(narrow(&l->trunc_f, m->trunc_f, "trunc_f", diag));
    TRY(narrow(&l->out_bits, m->out_bits, "out_bits", diag));
    if (m->digit_bits.len > CSL_PLAN_MAX_DIGITS) {
        return csl_fail(diag, CSL_EDATA, "plan: field digit_bits has %zu digits", m->digit_bits.len);
    }
    l->n_digits = (uint8_t)m->digit_bits.len;
    if (m->digit_bits.len != 0) {
        memcpy(l->digit_bits, m->digit_bits.data, m->digit_bits.len);
    }
    return CSL_OK;
}

static enum csl_err convert(struct csl_plan *plan, const Csl__Pb__Plan *m, struct csl_diag *diag) {
    TRY(copy_name(plan->name, m->name, diag));
    if (m->n_input_shape > CSL_MAX_RANK || m->n_layers > CSL_PLAN_MAX_LAYERS) {
        return csl_fail(diag, CSL_EDATA, "plan: %zu dimensions and %zu layers are too many", m->n_input_shape,
                        m->n_layers);
    }
    plan->input_rank = (uint32_t)m->n_input_shape;
    for (size_t i = 0; i < m->n_input_shape; i++) {
        plan->input_shape[i] = m->input_shape[i];
    }
    if (m->normalisation >= CSL_NORMALIZE_COUNT) {
        return csl_fail(diag, CSL_EDATA, "plan: normalisation %u is unknown", m->normalisation);
    }
    plan->input.kind = (enum csl_normalize)m->normalisation;
    plan->input.lo = m->input_lo;
    plan->input.hi = m->input_hi;
    plan->n_layers = (uint32_t)m->n_layers;
    for (size_t i = 0; i < m->n_layers; i++) {
        TRY(layer_from_message(&plan->layers[i], m->layers[i], diag));
    }
    TRY(narrow(&plan->head, m->head, "head", diag));
    TRY(narrow(&plan->output_cut, m->output_cut, "output_cut", diag));
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
    struct csl_plan_message m;
    csl_plan_to_message(&m, plan);
    size_t size = csl__pb__plan__get_packed_size(&m.pb);
    uint8_t *p = malloc(size + 1);
    if (p == NULL) {
        return CSL_ENOMEM;
    }
    *n = csl__pb__plan__pack(&m.pb, p);
    *out = p;
    return CSL_OK;
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
