/* Rounds, bytes and memory of a plan, from the protocol's formulas alone (docs/protocol.md, Cost). */
#include <stdlib.h>

#include "crypto/sign.h"
#include "mpc/correlation.h"
#include "mpc/pack.h"
#include "nn/infer.h"
#include "nn/plan_internal.h"

/* Checked plans are small enough that 64 bits hold all of these: 2^16 rows of 2^24 elements of 62 bits. */
static uint64_t packed(uint64_t n, unsigned bits) {
    return (n * bits + 7) / 8;
}

/* Steps of one demand: L3 D; T1 and M1 c, with the payload's opening in M2; T3 u, when there is more than one
 * digit; T4 e, or T8 u alone. Bit rows are whole bytes. Returns the largest message. */
static uint64_t add_demand(struct csl_cost *cost, const struct csl_demand *d, uint64_t batch) {
    if (d->kind == CSL_DEMAND_LINEAR) {
        uint64_t bytes = packed(batch * csl_conv_inputs(&d->conv), d->bits);
        cost->rounds++;
        cost->online_bytes += bytes;
        cost->open_weights_bytes += packed(csl_conv_weights(&d->conv), d->bits);
        return bytes;
    }
    uint64_t bytes = packed(batch * d->count, d->trunc.k + csl_demand_low_bits(d));
    bytes += d->kind == CSL_DEMAND_ARGMAX ? packed(batch * d->count, d->bits) : 0;
    cost->rounds++;
    cost->online_bytes += bytes;
    if (d->form == CSL_FORM_WAN) {
        cost->rounds++;
        cost->online_bytes += batch * (2 * d->trunc.n_digits - 1U) * packed(d->count, 1);
    } else if (d->kind != CSL_DEMAND_TRUNC) {
        unsigned inputs = 2 * (d->trunc.n_digits - 1U);
        cost->rounds += inputs > 0 ? 2 : 1;
        cost->online_bytes += batch * (inputs + 1) * packed(d->count, 1);
    }
    return bytes;
}

/* Elements beside its result that a step needs at its peak for a batch: windows, arms; pictures with zeros
 * around, or unfolded rows, which are of a part of the batch only. */
static uint64_t step_scratch(const struct csl_plan *plan, uint32_t i, uint64_t batch) {
    const struct csl_step *step = &plan->steps[i];
    uint64_t n = batch * csl__elements(&plan->values[i + 1]);
    return step->kind == CSL_STEP_MAX      ? 3 * n * csl__taps(&step->shape)
           : step->kind == CSL_STEP_PWL    ? 2 * n * step->n_arms
           : step->kind == CSL_STEP_LINEAR ? n + csl_conv_scratch(&step->shape, (size_t)batch, 1)
                                           : n;
}

/* The most elements that are there at once, for a batch. */
static uint64_t peak_elements(const struct csl_plan *plan, uint64_t batch) {
    uint32_t last[CSL_PLAN_MAX_VALUES];
    csl__last_uses(last, plan);
    uint64_t live = csl__elements(&plan->values[0]);
    uint64_t peak = 0;
    for (uint32_t i = 0; i < plan->n_steps; i++) {
        live += csl__elements(&plan->values[i + 1]);
        uint64_t here = batch * live + step_scratch(plan, i, batch);
        peak = here > peak ? here : peak;
        for (uint32_t v = 0; v <= i; v++) {
            live -= last[v] == i ? csl__elements(&plan->values[v]) : 0;
        }
    }
    return peak;
}

/* The model's share and E; the correlations; the values; and the messages of all parties in the largest round
 * beside their unpacked values. */
static uint64_t memory(const struct csl_plan *plan, const struct csl_demand *demands, size_t n_demands,
                       unsigned n_parties, uint64_t batch, uint64_t largest) {
    uint64_t weights = 0;
    for (size_t i = 0; i < n_demands; i++) {
        if (demands[i].kind == CSL_DEMAND_LINEAR) {
            weights += 2 * (uint64_t)csl_conv_weights(&demands[i].conv) + demands[i].conv.out_c;
        }
    }
    return weights * 8 + csl_corr_bytes(demands, n_demands, (size_t)batch) + peak_elements(plan, batch) * 8 +
           largest * (n_parties + 8);
}

/* The correlations of the batch after the one that runs, with the corrections that they came from. */
static uint64_t ahead_memory(const struct csl_demand *demands, size_t n_demands, uint64_t batch) {
    return csl_corr_bytes(demands, n_demands, (size_t)batch) +
           batch * csl_correction_bytes(demands, n_demands);
}

/* At the dealer: the weight masks, and a block of indices (roles/daemon/dealing.c) with every field of every
 * party's expansion in turn, their sum and the corrections. */
static uint64_t dealer_memory(const struct csl_demand *demands, size_t n_demands, uint32_t batch) {
    enum { BLOCK = 32 };
    uint64_t masks = 0, rows = batch < BLOCK ? batch : BLOCK;
    for (size_t i = 0; i < n_demands; i++) {
        masks += demands[i].kind == CSL_DEMAND_LINEAR ? csl_conv_weights(&demands[i].conv) : 0;
    }
    return masks * 8 + 2 * csl_corr_bytes(demands, n_demands, (size_t)rows) +
           rows * csl_correction_bytes(demands, n_demands);
}

/* At the client: the batch as floats and integers, its last share, plain and packed; the parties' output
 * shares. */
static uint64_t client_memory(const struct csl_cost *cost, const struct csl_plan *plan, unsigned n_parties,
                              uint32_t batch) {
    uint64_t n_x = (uint64_t)batch * csl_plan_n_inputs(plan),
             n_y = (uint64_t)batch * csl_plan_n_outputs(plan);
    return n_x * (4 + 8 + 8) + cost->input_bytes + n_y * 8 * (n_parties + 2);
}

static void add_all(struct csl_cost *cost, const struct csl_plan *plan, const struct csl_demand *demands,
                    size_t n_demands, unsigned n_parties, uint32_t batch, bool reveal_label) {
    uint64_t largest = 0;
    for (size_t i = 0; i < n_demands; i++) {
        uint64_t bytes = add_demand(cost, &demands[i], batch);
        largest = bytes > largest ? bytes : largest;
    }
    uint64_t n_y = reveal_label ? 1 : csl_plan_n_outputs(plan);
    unsigned bits = reveal_label ? csl_plan_label_bits(plan) : csl_plan_output_bits(plan) - plan->output_cut;
    cost->rounds++; /* the output shares */
    cost->output_bytes = packed(batch * n_y, bits);
    cost->input_bytes = packed((uint64_t)batch * csl_plan_n_inputs(plan), csl_plan_input_bits(plan));
    cost->offline_bytes = (uint64_t)csl_correction_bytes(demands, n_demands) * batch;
    cost->share_bytes = csl_model_share_bytes(plan);
    cost->party_memory = memory(plan, demands, n_demands, n_parties, batch, largest);
    cost->ahead_memory = ahead_memory(demands, n_demands, batch);
    cost->dealer_memory = dealer_memory(demands, n_demands, batch);
    cost->client_memory = client_memory(cost, plan, n_parties, batch);
    cost->total_sent_bytes = cost->online_bytes * (n_parties - 1) + cost->output_bytes;
}

enum csl_err csl_plan_cost(const struct csl_plan *plan, struct csl_cost *cost, unsigned n_parties,
                           uint32_t batch, enum csl_profile profile, bool reveal_label) {
    *cost = (struct csl_cost){0};
    if (n_parties < 2 || n_parties > CSL_MAX_PARTIES || batch < 1 || batch > CSL_PLAN_MAX_BATCH) {
        return CSL_EUSAGE;
    }
    struct csl_demand *demands = calloc(CSL_PLAN_MAX_DEMANDS, sizeof *demands);
    size_t n = 0;
    enum csl_err err =
        demands == NULL ? CSL_ENOMEM : csl_plan_demands(plan, profile, reveal_label, demands, &n);
    if (err == CSL_OK) {
        add_all(cost, plan, demands, n, n_parties, batch, reveal_label);
    }
    free(demands);
    return err;
}

void csl_cost_add_signatures(struct csl_cost *cost, unsigned n_parties) {
    cost->online_bytes += CSL_SIGNATURE_BYTES;
    cost->total_sent_bytes += (uint64_t)CSL_SIGNATURE_BYTES * (n_parties - 1);
}

enum csl_err csl__cost_steps(const struct csl_plan *plan, struct csl_cost *steps, uint32_t batch,
                             enum csl_profile profile, bool reveal_label) {
    struct csl_demand *demands = calloc(CSL_PLAN_MAX_DEMANDS, sizeof *demands);
    size_t n = 0;
    enum csl_err err =
        demands == NULL ? CSL_ENOMEM : csl__plan_list_demands(plan, profile, reveal_label, demands, &n);
    size_t at = 0;
    for (uint32_t i = 0; i <= plan->n_steps && err == CSL_OK; i++) {
        size_t end = i < plan->n_steps ? at + csl__step_n_demands(&plan->steps[i]) : n;
        steps[i] = (struct csl_cost){0};
        while (at < end) {
            (void)add_demand(&steps[i], &demands[at++], batch);
        }
    }
    free(demands);
    return err;
}
