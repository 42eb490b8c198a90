/* csl_plan_compile: the input, every node in order, rings, report. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nn/compile_internal.h"

struct csl_plan_options csl_plan_options_default(void) {
    struct csl_plan_options opt = {.input = {CSL_NORMALIZE_UNIT, 0.0, 1.0}, .frac_bits = 16};
    return opt;
}

static enum csl_err take_input(struct csl__compiler *c) {
    struct csl_plan *plan = c->plan;
    const struct csl_network *net = c->net;
    double lo = ldexp(plan->input.lo, (int)c->frac);
    double hi = ldexp(plan->input.hi, (int)c->frac);
    if (!(fabs(lo) < (double)CSL__MAX_INPUT && fabs(hi) < (double)CSL__MAX_INPUT && lo <= hi)) {
        return csl_fail(c->diag, CSL_EDATA,
                        "the input interval %g..%g cannot be used; declare a normalisation with a "
                        "smaller one",
                        plan->input.lo, plan->input.hi);
    }
    if ((uint64_t)net->input.h * net->input.w > CSL_PLAN_MAX_ELEMENTS ||
        (uint64_t)net->input.h * net->input.w * net->input.c > CSL_PLAN_MAX_ELEMENTS) {
        return csl_fail(c->diag, CSL_EDATA, "the input has more than %d elements", CSL_PLAN_MAX_ELEMENTS);
    }
    memcpy(plan->name, net->name, sizeof plan->name);
    plan->input_rank = net->input_rank;
    memcpy(plan->input_shape, net->input_shape, sizeof plan->input_shape);
    plan->input_channels_last = net->input_channels_last;
    plan->head = (uint8_t)net->head;
    plan->values[0] = (struct csl_value){.dim = net->input, .frac = (uint8_t)c->frac, .scale = 1};
    struct csl__range *x = &c->range[0];
    TRY(csl__range_init(x, csl__elements(&plan->values[0])));
    for (size_t i = 0; i < x->n; i++) {
        x->lo[i] = llrint(lo); /* as the client rounds its inputs */
        x->hi[i] = llrint(hi);
    }
    return CSL_OK;
}

/* Nodes that the output needs; *n_layers of them have weights. */
static enum csl_err find_live(struct csl__compiler *c, uint32_t *n_layers) {
    const struct csl_network *net = c->net;
    if (net->n_nodes > CSL_NETWORK_MAX_NODES || net->output > net->n_nodes) {
        return csl_fail(c->diag, CSL_EINTERNAL, "the network's nodes are not numbered as they should be");
    }
    c->live[net->output] = true;
    *n_layers = 0;
    for (uint32_t i = net->n_nodes; i-- > 0;) {
        const struct csl_op_node *node = &net->nodes[i];
        if (node->n_in < 1 || node->n_in > CSL_NETWORK_MAX_INPUTS) {
            return csl_fail(c->diag, CSL_EINTERNAL, "node \"%s\" has %u inputs", node->name, node->n_in);
        }
        for (uint32_t j = 0; j < node->n_in; j++) {
            if (node->in[j] > i) {
                return csl_fail(c->diag, CSL_EINTERNAL, "node \"%s\" is not in order", node->name);
            }
            c->live[node->in[j]] = c->live[node->in[j]] || c->live[i + 1];
        }
        *n_layers += c->live[i + 1] && node->kind == CSL_OPK_CONV;
    }
    return *n_layers != 0 ? CSL_OK
                          : csl_fail(c->diag, CSL_EDATA,
                                     "the network has no layer with weights that its "
                                     "output depends on");
}

/* The output is the last step's value. */
static enum csl_err finish_output(struct csl__compiler *c) {
    uint16_t out = c->value[c->net->output];
    if (out == c->plan->n_steps) {
        return CSL_OK;
    }
    const struct csl_value *v = &c->plan->values[out];
    return csl__emit_scaled(c, &out, out, 1, v->frac, v->scale, &c->net->nodes[c->net->output - 1]);
}

static void report_ranges(struct csl__compiler *c) {
    c->report->n_steps = c->plan->n_steps;
    for (uint32_t i = 0; i < c->plan->n_steps; i++) {
        const struct csl_value *v = &c->plan->values[i + 1];
        struct csl__extremes x = csl__extremes_of(&c->range[i + 1]);
        struct csl_step_report *r = &c->report->steps[i];
        r->lo = ldexp((double)x.lo * v->scale, -(int)v->frac);
        r->hi = ldexp((double)x.hi * v->scale, -(int)v->frac);
        r->noise_std = ldexp(sqrt(x.noise) * v->scale, -(int)v->frac);
    }
}

static enum csl_err compile(struct csl__compiler *c) {
    uint32_t n_layers = 0;
    if (c->frac < 4 || c->frac > 20) {
        return csl_fail(c->diag, CSL_EUSAGE, "%u fraction bits: 4 to 20 are possible", c->frac);
    }
    c->plan->input = c->opt->input;
    c->plan->from_samples = c->opt->samples != NULL;
    TRY(find_live(c, &n_layers));
    TRY(take_input(c));
    c->weights->layers = calloc(n_layers, sizeof *c->weights->layers);
    if (c->weights->layers == NULL) {
        return CSL_ENOMEM;
    }
    for (uint32_t i = 0; i < c->net->n_nodes; i++) {
        if (c->live[i + 1]) {
            TRY(csl__compile_node(c, i));
        }
    }
    TRY(finish_output(c));
    TRY(csl__assign_rings(c));
    report_ranges(c);
    return csl_plan_check(c->plan, c->diag);
}

enum csl_err csl_plan_compile(struct csl_plan *plan, struct csl_weights *weights,
                              struct csl_plan_report *report, const struct csl_network *net,
                              const struct csl_plan_options *opt, struct csl_diag *diag) {
    memset(plan, 0, sizeof *plan);
    *weights = (struct csl_weights){0};
    struct csl__compiler *c = calloc(1, sizeof *c);
    struct csl_plan_report *r = calloc(1, sizeof *r);
    enum csl_err err = c == NULL || r == NULL ? CSL_ENOMEM : CSL_OK;
    if (err == CSL_OK) {
        *c = (struct csl__compiler){plan, weights, r, net, opt, diag, .frac = opt->frac_bits};
        err = compile(c);
        for (uint32_t i = 0; i < CSL_PLAN_MAX_VALUES; i++) {
            csl__range_clear(&c->range[i]);
        }
    }
    if (err != CSL_OK) {
        csl_weights_clear(weights);
        memset(plan, 0, sizeof *plan);
    }
    if (report != NULL) {
        *report = err == CSL_OK ? *r : (struct csl_plan_report){0};
    }
    free(c);
    free(r);
    return err;
}
