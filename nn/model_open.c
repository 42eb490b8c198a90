/* Step L1 for a whole model: its weights, masked, are opened once a mask id. */
#include <string.h>

#include "crypto/secret.h"
#include "mpc/linear.h"
#include "nn/infer.h"

void csl_model_share_close(struct csl_model_share *share) {
    for (uint32_t d = 0; share->layers != NULL && d < share->n_layers; d++) {
        csl_secret_free(share->layers[d].e);
        share->layers[d].e = NULL;
    }
    share->opened = false;
}

/* The layers of one round. */
struct group {
    struct csl_linear layers[CSL_ROUND_MAX_ITEMS];
    uint64_t *masks[CSL_ROUND_MAX_ITEMS]; /* B_i */
    uint64_t *e[CSL_ROUND_MAX_ITEMS];
};

static enum csl_err make_group(struct group *g, struct csl_model_share *share, uint32_t first, uint32_t n,
                               const struct csl_epoch_keys *keys, const uint8_t *mask_id) {
    for (uint32_t i = 0; i < n; i++) {
        struct csl_layer_share *s = &share->layers[first + i];
        g->masks[i] = csl_secret_alloc(s->n_w, sizeof *g->masks[i]);
        g->e[i] = s->e = csl_secret_alloc(s->n_w, sizeof *s->e);
        if (g->masks[i] == NULL || s->e == NULL) {
            return CSL_ENOMEM;
        }
        TRY(csl_weight_mask(g->masks[i], keys, mask_id, first + i, s->n_w, s->bits));
        g->layers[i] = (struct csl_linear){.w = s->w, .bias = s->b, .conv = s->shape, .bits = s->bits};
    }
    return CSL_OK;
}

static enum csl_err open_group(struct csl_session *s, struct csl_model_share *share, uint32_t first,
                               uint32_t n, const struct csl_epoch_keys *keys, const uint8_t *mask_id) {
    struct group g = {0};
    enum csl_err err = make_group(&g, share, first, n, keys, mask_id);
    err = err != CSL_OK ? csl_session_fail(s, err, "cannot make the masks of the weights")
                        : csl_linear_open_all(s, g.e, g.layers, (const uint64_t *const *)g.masks, n); /* L1 */
    for (uint32_t i = 0; i < n; i++) {
        csl_secret_free(g.masks[i]);
    }
    return err;
}

enum csl_err csl_model_open_weights(struct csl_session *s, struct csl_model_share *share,
                                    const struct csl_epoch_keys *keys,
                                    const uint8_t mask_id[CSL_DIGEST_BYTES]) {
    if (share->opened || share->n_layers == 0) {
        return csl_session_fail(s, CSL_EINTERNAL,
                                share->opened ? "the model's weights are open already"
                                              : "there is no model to open");
    }
    enum csl_err err = csl_session_error(s);
    for (uint32_t first = 0; first < share->n_layers && err == CSL_OK; first += CSL_ROUND_MAX_ITEMS) {
        uint32_t left = share->n_layers - first;
        err = open_group(s, share, first, left < CSL_ROUND_MAX_ITEMS ? left : CSL_ROUND_MAX_ITEMS, keys,
                         mask_id);
    }
    share->opened = err == CSL_OK;
    if (err != CSL_OK) {
        csl_model_share_close(share);
    }
    return err;
}
