/* Edits (offset u16, byte) of a good plan: what csl_plan_check lets through must be safe to use. */
#include <stdlib.h>
#include <string.h>

#include "crypto/bytes.h"
#include "mpc/correlation.h"
#include "nn/infer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct csl_plan good_plan(void) {
    struct csl_plan p = {.name = "good",
                         .input_rank = 2,
                         .input_shape = {28, 28},
                         .input = {CSL_NORMALIZE_UNIT, 0, 1},
                         .n_layers = 3,
                         .output_cut = 22};
    static const uint32_t dims[4] = {784, 128, 64, 10};
    for (uint32_t d = 0; d < 3; d++) {
        p.layers[d] = (struct csl_layer){.name = "layer",
                                         .k = dims[d],
                                         .n = dims[d + 1],
                                         .x_frac = 16,
                                         .w_frac = 16,
                                         .bits = 43,
                                         .out_bits = 43};
        if (d < 2) {
            p.layers[d].activation = d == 0 ? CSL_ACTIVATION_RELU : CSL_ACTIVATION_TRUNC;
            p.layers[d].trunc_k = 27;
            p.layers[d].trunc_f = 16;
        }
    }
    p.layers[0].n_digits = 5;
    memcpy(p.layers[0].digit_bits, (const uint8_t[]){6, 5, 5, 5, 5}, 5);
    return p;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct csl_plan p = good_plan();
    struct csl_diag diag = {""};
    if (csl_plan_check(&p, &diag) != CSL_OK) {
        abort();
    }
    for (; size >= 3; data += 3, size -= 3) {
        ((uint8_t *)&p)[csl_load_u16(data) % sizeof p] = data[2];
    }
    if (csl_plan_check(&p, &diag) != CSL_OK) {
        return diag.text[0] == '\0' ? (abort(), 0) : 0;
    }
    struct csl_demand demands[CSL_PLAN_MAX_DEMANDS];
    struct csl_cost cost;
    size_t n;
    if (csl_plan_demands(&p, demands, &n) != CSL_OK || n == 0 || n > CSL_PLAN_MAX_DEMANDS ||
        csl_plan_cost(&p, &cost, CSL_MAX_PARTIES, CSL_PLAN_MAX_BATCH) != CSL_OK ||
        csl_model_share_bytes(&p) == 0 || csl_correction_bytes(demands, n) == 0) {
        abort();
    }
    if (csl_plan_n_inputs(&p) * (uint64_t)p.layers[0].n < 1 << 20) {
        struct csl_model_share share = {0};
        const uint8_t seed[CSL_SEED_BYTES] = {1};
        if (csl_model_share_bytes(&p) < 1 << 16 && csl_model_share_expand(&share, &p, seed) != CSL_OK) {
            abort();
        }
        csl_model_share_clear(&share);
    }
    return 0;
}
