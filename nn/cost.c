/* Rounds, bytes and memory of a plan, from the protocol's formulas alone (docs/protocol.md, Cost). */
#include "mpc/correlation.h"
#include "mpc/pack.h"
#include "nn/infer.h"
#include "nn/plan.h"

/* Checked plans are small enough that 64 bits hold all of these: 2^16 rows of 2^20 elements of 62 bits. */
static uint64_t packed(uint64_t n, unsigned bits) {
    return (n * bits + 7) / 8;
}

/* Steps T1..T6 of one layer: c; u, when there is more than one digit; e. Bit rows are whole bytes. */
static void add_activation(struct csl_cost *cost, const struct csl_layer *layer, uint64_t batch) {
    if (layer->activation == CSL_ACTIVATION_NONE) {
        return;
    }
    cost->rounds++;
    cost->online_bytes += packed(batch * layer->n, layer->bits);
    if (layer->activation == CSL_ACTIVATION_RELU) {
        uint64_t row = packed(layer->n, 1);
        unsigned inputs = 2 * (layer->n_digits - 1U);
        cost->rounds += inputs > 0 ? 2 : 1;
        cost->online_bytes += batch * (inputs + 1) * row;
    }
}

/* The model's share and E; the correlations; inputs and outputs of a layer; and the messages of all parties
 * in the largest round beside their unpacked values. */
static uint64_t memory(const struct csl_plan *plan, const struct csl_demand *demands, size_t n_demands,
                       unsigned n_parties, uint64_t batch) {
    uint64_t weights = 0;
    uint64_t widest = 0;
    for (uint32_t d = 0; d < plan->n_layers; d++) {
        const struct csl_layer *layer = &plan->layers[d];
        weights += (uint64_t)layer->k * layer->n * 2 + layer->n;
        uint64_t widest_here = layer->k > layer->n ? layer->k : layer->n;
        widest = widest_here > widest ? widest_here : widest;
    }
    uint64_t total = weights * 8 + csl_corr_bytes(demands, n_demands, (size_t)batch);
    return total + batch * widest * 8 * (4 + n_parties);
}

enum csl_err csl_plan_cost(const struct csl_plan *plan, struct csl_cost *cost, unsigned n_parties,
                           uint32_t batch) {
    *cost = (struct csl_cost){0};
    if (n_parties < 2 || n_parties > CSL_MAX_PARTIES || batch < 1 || batch > CSL_PLAN_MAX_BATCH) {
        return CSL_EUSAGE;
    }
    struct csl_demand demands[CSL_PLAN_MAX_DEMANDS];
    size_t n_demands;
    TRY(csl_plan_demands(plan, demands, &n_demands));
    for (uint32_t d = 0; d < plan->n_layers; d++) {
        const struct csl_layer *layer = &plan->layers[d];
        cost->rounds++;
        cost->online_bytes += packed((uint64_t)batch * layer->k, layer->bits);
        cost->open_weights_bytes += packed((uint64_t)layer->k * layer->n, layer->bits);
        add_activation(cost, layer, batch);
    }
    cost->rounds++; /* the output shares */
    cost->output_bytes =
        packed((uint64_t)batch * csl_plan_n_outputs(plan), csl_plan_output_bits(plan) - plan->output_cut);
    cost->input_bytes = packed((uint64_t)batch * csl_plan_n_inputs(plan), csl_plan_input_bits(plan));
    cost->offline_bytes = (uint64_t)csl_correction_bytes(demands, n_demands) * batch;
    cost->share_bytes = csl_model_share_bytes(plan);
    cost->party_memory = memory(plan, demands, n_demands, n_parties, batch);
    cost->total_sent_bytes = cost->online_bytes * (n_parties - 1) + cost->output_bytes;
    return CSL_OK;
}
