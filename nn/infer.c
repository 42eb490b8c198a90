#include "nn/infer.h"

#include <string.h>

#include "crypto/secret.h"
#include "mpc/correlation.h"
#include "mpc/linear.h"
#include "mpc/relu.h"

static struct csl_linear linear_of(const struct csl_layer_share *s) {
    return (struct csl_linear){.w = s->w, .bias = s->b, .k_dim = s->k, .n_dim = s->n, .bits = s->bits};
}

void csl_model_share_close(struct csl_model_share *share) {
    for (uint32_t d = 0; d < share->n_layers; d++) {
        csl_secret_free(share->layers[d].e);
        share->layers[d].e = NULL;
    }
    share->opened = false;
}

/* B_i of every layer, and room for its E. */
static enum csl_err make_masks(uint64_t **masks, struct csl_model_share *share,
                               const struct csl_epoch_keys *keys, const uint8_t *mask_id) {
    for (uint32_t d = 0; d < share->n_layers; d++) {
        struct csl_layer_share *s = &share->layers[d];
        size_t n = (size_t)s->k * s->n;
        masks[d] = csl_secret_alloc(n, sizeof *masks[d]);
        s->e = csl_secret_alloc(n, sizeof *s->e);
        if (masks[d] == NULL || s->e == NULL) {
            return CSL_ENOMEM;
        }
        TRY(csl_weight_mask(masks[d], keys, mask_id, 2 * d, n, s->bits));
    }
    return CSL_OK;
}

enum csl_err csl_model_open_weights(struct csl_session *s, struct csl_model_share *share,
                                    const struct csl_epoch_keys *keys,
                                    const uint8_t mask_id[CSL_DIGEST_BYTES]) {
    if (share->opened || share->n_layers == 0) {
        return csl_session_fail(s, CSL_EINTERNAL,
                                share->opened ? "the model's weights are open already"
                                              : "there is no model to open");
    }
    uint64_t *masks[CSL_PLAN_MAX_LAYERS] = {0};
    uint64_t *e[CSL_PLAN_MAX_LAYERS] = {0};
    struct csl_linear layers[CSL_PLAN_MAX_LAYERS];
    enum csl_err err = make_masks(masks, share, keys, mask_id);
    if (err != CSL_OK) {
        err = csl_session_fail(s, err, "cannot make the masks of the weights");
        goto out;
    }
    for (uint32_t d = 0; d < share->n_layers; d++) {
        layers[d] = linear_of(&share->layers[d]);
        e[d] = share->layers[d].e;
    }
    err = csl_linear_open_all(s, e, layers, (const uint64_t *const *)masks, share->n_layers); /* L1 */
    share->opened = err == CSL_OK;
out:
    for (uint32_t d = 0; d < share->n_layers; d++) {
        csl_secret_free(masks[d]);
    }
    if (err != CSL_OK) {
        csl_model_share_close(share);
    }
    return err;
}

enum csl_err csl_infer_prepare(struct csl_corr *corr, const struct csl_model_share *share,
                               struct csl_diag *diag) {
    if (!share->opened) {
        return csl_fail(diag, CSL_EINTERNAL, "the model's weights are not open yet");
    }
    for (uint32_t d = 0; d < share->n_layers; d++) {
        TRY(csl_corr_bind_weights(corr, 2 * d, share->layers[d].e, diag)); /* L2 */
    }
    return CSL_OK;
}

/* The widest row of any layer's result. */
static size_t widest(const struct csl_plan *plan) {
    size_t n = 0;
    for (uint32_t d = 0; d < plan->n_layers; d++) {
        n = plan->layers[d].n > n ? plan->layers[d].n : n;
    }
    return n;
}

static enum csl_err activation(struct csl_session *s, uint64_t *z, const struct csl_layer *layer,
                               struct csl_corr *corr, uint32_t d) {
    switch (layer->activation) {
    case CSL_ACTIVATION_RELU:
        return csl_relu(s, z, z, corr, 2 * d + 1); /* T1..T5 */
    case CSL_ACTIVATION_TRUNC:
        return csl_trunc(s, z, z, corr, 2 * d + 1); /* T6 */
    default:
        return CSL_OK;
    }
}

/* The network as equations: z = x.W + b, x = act(z), each batch x n of its layer. */
static enum csl_err forward(struct csl_session *s, uint64_t *y, uint64_t *const scratch[2],
                            const struct csl_plan *plan, const struct csl_model_share *share,
                            struct csl_corr *corr, const uint64_t *x) {
    for (uint32_t d = 0; d < plan->n_layers; d++) {
        struct csl_linear layer = linear_of(&share->layers[d]);
        uint64_t *z = d + 1 == plan->n_layers ? y : scratch[d & 1];
        TRY(csl_linear_forward(s, z, &layer, x, corr, 2 * d)); /* z = x.W + b      L3, L4 */
        TRY(activation(s, z, &plan->layers[d], corr, d));      /* x = act(z) >> f  T */
        x = z;
    }
    return CSL_OK;
}

/* The correlations are those of this plan: their shapes decide how much the protocol steps write. */
static bool same_demands(const struct csl_plan *plan, const struct csl_corr *corr) {
    struct csl_demand demands[CSL_PLAN_MAX_DEMANDS];
    size_t n;
    if (csl_plan_demands(plan, demands, &n) != CSL_OK || n != csl_corr_n_demands(corr)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        const struct csl_demand *a = &demands[i];
        const struct csl_demand *b = csl_corr_demand(corr, i);
        if (a->kind != b->kind || a->k_dim != b->k_dim || a->n_dim != b->n_dim || a->bits != b->bits ||
            a->count != b->count || memcmp(&a->trunc, &b->trunc, sizeof a->trunc) != 0) {
            return false;
        }
    }
    return true;
}

enum csl_err csl_infer(struct csl_session *s, uint64_t *y, const struct csl_plan *plan,
                       const struct csl_model_share *share, struct csl_corr *corr, const uint64_t *x) {
    size_t batch = csl_corr_batch(corr);
    size_t n_y = batch * csl_plan_n_outputs(plan);
    size_t n = widest(plan);
    memset(y, 0, n_y * sizeof *y);
    if (share->n_layers != plan->n_layers) {
        return csl_session_fail(s, CSL_EINTERNAL, "the model's share is not of this plan");
    }
    if (!same_demands(plan, corr)) {
        return csl_session_fail(s, CSL_EINTERNAL, "the correlations were not made for this plan");
    }
    uint64_t *z = csl_secret_alloc(batch * 2, n * sizeof *z);
    if (z == NULL) {
        return csl_session_fail(s, CSL_ENOMEM, "no memory for a batch of %zu", batch);
    }
    uint64_t *const scratch[2] = {z, z + batch * n};
    enum csl_err err = forward(s, y, scratch, plan, share, corr, x);
    if (err != CSL_OK) {
        csl_wipe(y, n_y * sizeof *y);
    }
    csl_secret_free(z);
    return err;
}
