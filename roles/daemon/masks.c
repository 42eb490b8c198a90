/* Sums of the weights' masks, kept at the dealer for the models in use. */
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "roles/daemon/dealing.h"

void csl_mask_cache_init(struct csl_mask_cache *c) {
    memset(c, 0, sizeof *c);
    (void)pthread_mutex_init(&c->lock, NULL);
}

void csl_mask_cache_drop(struct csl_mask_cache *c) {
    pthread_mutex_lock(&c->lock);
    for (int i = 0; i < CSL_MASKS_KEPT; i++) {
        csl_masks_unref(c->kept[i]);
        c->kept[i] = NULL;
    }
    pthread_mutex_unlock(&c->lock);
}

void csl_mask_cache_clear(struct csl_mask_cache *c) {
    csl_mask_cache_drop(c);
    pthread_mutex_destroy(&c->lock);
}

void csl_masks_unref(struct csl_masks *m) {
    if (m != NULL && --m->refs == 0) {
        for (size_t i = 0; i < m->n_demands; i++) {
            csl_secret_free(m->b[i]);
        }
        free(m);
    }
}

static enum csl_err make(struct csl_masks *m, const struct csl_dealer_epoch *e,
                         const struct csl_demand *demands, size_t n_demands) {
    m->n_demands = n_demands;
    memcpy(m->demands, demands, n_demands * sizeof *demands);
    uint32_t layer = 0; /* step K5 numbers the linear layers */
    for (size_t i = 0; i < n_demands; i++) {
        if (demands[i].kind != CSL_DEMAND_LINEAR) {
            continue;
        }
        size_t n = csl_conv_weights(&demands[i].conv);
        m->b[i] = csl_secret_alloc(n, sizeof *m->b[i]);
        if (m->b[i] == NULL) {
            return CSL_ENOMEM;
        }
        TRY(csl_weight_mask_sum(m->b[i], e->keys, e->n_parties, m->mask_id, layer++, n, demands[i].bits));
    }
    return CSL_OK;
}

static struct csl_masks *find(struct csl_mask_cache *c, const uint8_t mask_id[32]) {
    for (int i = 0; i < CSL_MASKS_KEPT; i++) {
        if (c->kept[i] != NULL && memcmp(c->kept[i]->mask_id, mask_id, 32) == 0) {
            return c->kept[i];
        }
    }
    return NULL;
}

static void keep(struct csl_mask_cache *c, struct csl_masks *m) {
    csl_masks_unref(c->kept[CSL_MASKS_KEPT - 1]);
    memmove(&c->kept[1], &c->kept[0], (CSL_MASKS_KEPT - 1) * sizeof *c->kept);
    c->kept[0] = m;
    m->refs++;
}

static const struct csl_demand *linear_at(const struct csl_demand *demands, size_t n_demands, size_t i) {
    return i < n_demands && demands[i].kind == CSL_DEMAND_LINEAR ? &demands[i] : NULL;
}

/* The linear demands are the same ones; others do not concern the masks, and a session that reveals labels
 * has more. */
static bool same_shapes(const struct csl_masks *m, const struct csl_demand *demands, size_t n_demands) {
    for (size_t i = 0; i < m->n_demands || i < n_demands; i++) {
        const struct csl_demand *a = linear_at(m->demands, m->n_demands, i),
                                *b = linear_at(demands, n_demands, i);
        if ((a == NULL) != (b == NULL) ||
            (a != NULL && (memcmp(&a->conv, &b->conv, sizeof a->conv) != 0 || a->bits != b->bits))) {
            return false;
        }
    }
    return true;
}

enum csl_err csl_masks_get(struct csl_masks **out, struct csl_mask_cache *c, const struct csl_dealer_epoch *e,
                           const uint8_t package_digest[32], const struct csl_demand *demands,
                           size_t n_demands, struct csl_diag *diag) {
    *out = NULL;
    uint8_t mask_id[32];
    TRY(csl_mask_id(mask_id, package_digest, e->id));
    enum csl_err err = CSL_OK;
    pthread_mutex_lock(&c->lock);
    struct csl_masks *m = find(c, mask_id);
    if (m != NULL) {
        m->refs++;
    } else if ((m = calloc(1, sizeof *m)) == NULL) {
        err = CSL_ENOMEM;
    } else {
        m->refs = 1;
        memcpy(m->mask_id, mask_id, sizeof m->mask_id);
        err = make(m, e, demands, n_demands);
        if (err == CSL_OK) {
            keep(c, m);
        } else {
            csl_masks_unref(m);
            m = NULL;
        }
    }
    pthread_mutex_unlock(&c->lock);
    if (err != CSL_OK) {
        return csl_fail(diag, err, "weight masks cannot be made: %s", csl_err_text(err));
    }
    if (!same_shapes(m, demands, n_demands)) { /* it would read beyond the masks */
        csl_masks_unref(m);
        return csl_fail(diag, CSL_EPROTO, "two plans under one package digest");
    }
    *out = m;
    return CSL_OK;
}
