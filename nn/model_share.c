/* The shares of a model: split at the owner, expanded or decoded at the parties, masked and opened. */
#include <stdlib.h>
#include <string.h>

#include "crypto/rand.h"
#include "crypto/secret.h"
#include "mpc/linear.h"
#include "mpc/pack.h"
#include "mpc/ring.h"
#include "nn/infer.h"

void csl_model_share_clear(struct csl_model_share *share) {
    for (uint32_t d = 0; share->layers != NULL && d < share->n_layers; d++) {
        csl_secret_free(share->layers[d].w);
        csl_secret_free(share->layers[d].b);
        csl_secret_free(share->layers[d].e);
    }
    free(share->layers);
    *share = (struct csl_model_share){0};
}

/* Shapes and demand numbers of the layers, in order. */
static enum csl_err take_shapes(struct csl_model_share *share, const struct csl_plan *plan) {
    struct csl_demand *demands = calloc(CSL_PLAN_MAX_DEMANDS, sizeof *demands);
    size_t n = 0;
    uint32_t d = 0;
    enum csl_err err =
        demands == NULL ? CSL_ENOMEM : csl_plan_demands(plan, CSL_PROFILE_LAN, false, demands, &n);
    for (size_t i = 0; i < n && err == CSL_OK; i++) {
        if (demands[i].kind == CSL_DEMAND_LINEAR) {
            share->layers[d++] = (struct csl_layer_share){.shape = demands[i].conv,
                                                          .demand = (uint32_t)i,
                                                          .bits = demands[i].bits,
                                                          .n_w = csl_conv_weights(&demands[i].conv),
                                                          .n_b = demands[i].conv.out_c};
        }
    }
    free(demands);
    return err;
}

static enum csl_err share_init(struct csl_model_share *share, const struct csl_plan *plan) {
    *share = (struct csl_model_share){0};
    enum csl_err err;
    TRY(csl_plan_check(plan, NULL));
    share->layers = calloc(plan->n_layers, sizeof *share->layers);
    if (share->layers == NULL) {
        return CSL_ENOMEM;
    }
    share->n_layers = plan->n_layers;
    TRY_OUT(take_shapes(share, plan));
    for (uint32_t d = 0; d < plan->n_layers; d++) {
        struct csl_layer_share *s = &share->layers[d];
        s->w = csl_secret_alloc(s->n_w, sizeof *s->w);
        s->b = csl_secret_alloc(s->n_b, sizeof *s->b);
        if (s->w == NULL || s->b == NULL) {
            err = CSL_ENOMEM;
            goto out;
        }
    }
out:
    if (err != CSL_OK) {
        csl_model_share_clear(share);
    }
    return err;
}

/* Layer d's W from stream 2d of the seed, b from stream 2d + 1. */
static enum csl_err expand(struct csl_model_share *share, const uint8_t seed[CSL_SEED_BYTES]) {
    struct csl_prg prg = {0};
    enum csl_err err = CSL_OK;
    TRY_OUT(csl_prg_init(&prg, seed));
    for (uint32_t d = 0; d < share->n_layers; d++) {
        struct csl_layer_share *s = &share->layers[d];
        TRY_OUT(csl_prg_fill_u64(&prg, s->w, s->n_w, 2 * d, s->bits));
        TRY_OUT(csl_prg_fill_u64(&prg, s->b, s->n_b, 2 * d + 1, s->bits));
    }
out:
    csl_prg_clear(&prg);
    return err;
}

enum csl_err csl_model_share_expand(struct csl_model_share *share, const struct csl_plan *plan,
                                    const uint8_t seed[CSL_SEED_BYTES]) {
    TRY(share_init(share, plan));
    enum csl_err err = expand(share, seed);
    if (err != CSL_OK) {
        csl_model_share_clear(share);
    }
    return err;
}

/* ---- at the owner ---- */

static void take_weights(struct csl_model_share *share, const struct csl_qweights *q) {
    for (uint32_t d = 0; d < share->n_layers; d++) {
        struct csl_layer_share *s = &share->layers[d];
        memcpy(s->w, q->layers[d].w, s->n_w * sizeof *s->w); /* two's complement is the ring's form */
        memcpy(s->b, q->layers[d].b, s->n_b * sizeof *s->b);
        CSL_SECRET(s->w, s->n_w * sizeof *s->w);
        CSL_SECRET(s->b, s->n_b * sizeof *s->b);
        csl_reduce_mod(s->w, s->w, s->n_w, s->bits);
        csl_reduce_mod(s->b, s->b, s->n_b, s->bits);
    }
}

static void subtract(struct csl_model_share *share, const struct csl_model_share *part) {
    for (uint32_t d = 0; d < share->n_layers; d++) {
        struct csl_layer_share *s = &share->layers[d];
        csl_sub_mod(s->w, s->w, part->layers[d].w, s->n_w, s->bits);
        csl_sub_mod(s->b, s->b, part->layers[d].b, s->n_b, s->bits);
    }
}

static enum csl_err check_weights(const struct csl_model_share *share, const struct csl_qweights *q,
                                  struct csl_diag *diag) {
    bool same = q->n_layers == share->n_layers;
    for (uint32_t d = 0; same && d < share->n_layers; d++) {
        same = q->layers[d].n_w == share->layers[d].n_w && q->layers[d].n_b == share->layers[d].n_b;
    }
    return same ? CSL_OK : csl_fail(diag, CSL_EDATA, "the weights are not those of the plan");
}

enum csl_err csl_model_split(uint8_t *seeds, struct csl_model_share *last, const struct csl_plan *plan,
                             const struct csl_qweights *q, unsigned n_parties, struct csl_diag *diag) {
    *last = (struct csl_model_share){0};
    if (n_parties < 2 || n_parties > CSL_MAX_PARTIES) {
        return csl_fail(diag, CSL_EUSAGE, "%u parties: 2 to %d are possible", n_parties, CSL_MAX_PARTIES);
    }
    size_t n_seeds = (size_t)(n_parties - 1) * CSL_SEED_BYTES;
    memset(seeds, 0, n_seeds);
    struct csl_model_share part = {0};
    enum csl_err err;
    TRY_OUT(csl_plan_check(plan, diag));
    TRY_OUT(share_init(last, plan));
    TRY_OUT(check_weights(last, q, diag));
    TRY_OUT(share_init(&part, plan));
    TRY_OUT(csl_rand_secret(seeds, n_seeds));
    take_weights(last, q);
    for (unsigned p = 0; p + 1 < n_parties; p++) {
        TRY_OUT(expand(&part, seeds + (size_t)p * CSL_SEED_BYTES));
        subtract(last, &part);
    }
out:
    csl_model_share_clear(&part);
    if (err != CSL_OK) {
        csl_model_share_clear(last);
        csl_wipe(seeds, n_seeds);
    }
    return err;
}

/* ---- as bytes ---- */

size_t csl_model_share_bytes(const struct csl_plan *plan) {
    size_t total = 0;
    for (uint32_t i = 0; i < plan->n_steps; i++) {
        const struct csl_step *step = &plan->steps[i];
        size_t w;
        size_t b;
        if (step->kind != CSL_STEP_LINEAR) {
            continue;
        }
        if (csl_pack_size(&w, csl_conv_weights(&step->shape), step->l_bits) != CSL_OK ||
            csl_pack_size(&b, step->shape.out_c, step->l_bits) != CSL_OK ||
            __builtin_add_overflow(total, w, &total) || __builtin_add_overflow(total, b, &total)) {
            return 0;
        }
    }
    return total;
}

static size_t packed_size(size_t n, unsigned bits) {
    size_t n_bytes = 0;
    return csl_pack_size(&n_bytes, n, bits) == CSL_OK ? n_bytes : 0;
}

enum csl_err csl_model_share_encode(uint8_t *out, size_t n_out, const struct csl_model_share *share) {
    size_t at = 0;
    for (uint32_t d = 0; d < share->n_layers; d++) {
        const struct csl_layer_share *s = &share->layers[d];
        size_t n_w = packed_size(s->n_w, s->bits);
        size_t n_b = packed_size(s->n_b, s->bits);
        if (n_w > n_out - at || n_b > n_out - at - n_w) {
            csl_wipe(out, n_out);
            return CSL_EUSAGE;
        }
        csl_pack_bits(out + at, s->w, s->n_w, s->bits);
        csl_pack_bits(out + at + n_w, s->b, s->n_b, s->bits);
        at += n_w + n_b;
    }
    if (at != n_out) {
        csl_wipe(out, n_out);
        return CSL_EUSAGE;
    }
    return CSL_OK;
}

enum csl_err csl_model_share_decode(struct csl_model_share *share, const struct csl_plan *plan,
                                    const uint8_t *in, size_t n_in, struct csl_diag *diag) {
    *share = (struct csl_model_share){0};
    TRY(csl_plan_check(plan, diag));
    size_t expected = csl_model_share_bytes(plan);
    if (n_in != expected) {
        return csl_fail(diag, CSL_EPROTO, "the model's share has %zu bytes, its plan needs %zu", n_in,
                        expected);
    }
    TRY(share_init(share, plan));
    enum csl_err err = CSL_OK;
    for (uint32_t d = 0; d < share->n_layers; d++) {
        struct csl_layer_share *s = &share->layers[d];
        size_t n_w = packed_size(s->n_w, s->bits);
        size_t n_b = packed_size(s->n_b, s->bits);
        TRY_OUT(csl_unpack_bits_strict(s->w, in, n_w, s->n_w, s->bits, diag));
        TRY_OUT(csl_unpack_bits_strict(s->b, in + n_w, n_b, s->n_b, s->bits, diag));
        CSL_SECRET(s->w, s->n_w * sizeof *s->w);
        CSL_SECRET(s->b, s->n_b * sizeof *s->b);
        in += n_w + n_b;
    }
out:
    if (err != CSL_OK) {
        csl_model_share_clear(share);
    }
    return err;
}
