#include "roles/owner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/rand.h"
#include "crypto/secret.h"
#include "roles/package.h"
#include "roles/talk.h"

struct sharing {
    const struct csl_context *ctx;
    unsigned n_parties;
    struct csl_manifest manifest;
    uint8_t *bytes; /* the manifest, encoded */
    size_t n_bytes;
    uint8_t *parts[CSL_MAX_PARTIES]; /* secret */
    size_t n_parts[CSL_MAX_PARTIES];
    struct csl_worker worker;
    struct csl_talk talks[CSL_MAX_PARTIES];
};

/* ---- Parts and manifest ---- */

static enum csl_err make_part(struct sharing *s, unsigned i, const uint8_t *seeds,
                              const struct csl_model_share *last) {
    size_t n = csl_part_bytes(&s->manifest.plan, s->n_parties, i);
    if (n == 0 || n > CSL_FRAME_MAX_BYTES) {
        return CSL_EDATA;
    }
    s->parts[i] = csl_secret_alloc(n, 1);
    if (s->parts[i] == NULL) {
        return CSL_ENOMEM;
    }
    s->n_parts[i] = n;
    TRY(csl_rand_secret(s->parts[i], CSL_SALT_BYTES));
    uint8_t *share = s->parts[i] + CSL_SALT_BYTES;
    if (i + 1 < s->n_parties) {
        memcpy(share, seeds + (size_t)i * CSL_SEED_BYTES, CSL_SEED_BYTES);
    } else {
        TRY(csl_model_share_encode(share, n - CSL_SALT_BYTES, last));
    }
    return csl_part_commit(s->manifest.commitments[i], s->manifest.nonce, i, s->parts[i], n);
}

static enum csl_err make_parts(struct sharing *s, const struct csl_weights *weights, struct csl_diag *diag) {
    uint8_t seeds[CSL_MAX_PARTIES * CSL_SEED_BYTES];
    struct csl_qweights q = {0};
    struct csl_model_share last = {0};
    enum csl_err err = CSL_OK;
    TRY_OUT(csl_quantise(&q, &s->manifest.plan, weights, diag));
    TRY_OUT(csl_model_split(seeds, &last, &s->manifest.plan, &q, s->n_parties, diag));
    TRY_OUT(csl_rand(s->manifest.nonce, sizeof s->manifest.nonce));
    for (unsigned i = 0; i < s->n_parties; i++) {
        TRY_OUT(make_part(s, i, seeds, &last));
    }
    TRY_OUT(csl_manifest_encode(&s->bytes, &s->n_bytes, &s->manifest));
out:
    csl_wipe(seeds, sizeof seeds);
    csl_model_share_clear(&last);
    csl_qweights_clear(&q);
    return err;
}

/* ---- Delivery ---- */

static enum csl_err deliver(struct sharing *s, struct csl_diag *diag) {
    uint64_t patience = s->ctx->roster.timeouts.round_ms;
    struct csl_talk *talks[CSL_MAX_PARTIES];
    for (unsigned i = 0; i < s->n_parties; i++) {
        talks[i] = &s->talks[i];
        TRY(csl_talk_dial(talks[i], &s->worker, csl_roster_party(&s->ctx->roster, i),
                          CSL__PB__PURPOSE__PURPOSE_SHARE_MODEL, NULL, diag));
    }
    TRY(csl_talk_wait_ready(&s->worker, talks, s->n_parties, patience, diag));
    for (unsigned i = 0; i < s->n_parties; i++) {
        CSL_CONTROL(m, body, ShareModel, SHARE_MODEL, SHARE_MODEL, share_model);
        body.manifest = csl_bytes(s->bytes, s->n_bytes);
        TRY(csl_talk_send(talks[i], &m, diag));
        CSL_PUBLIC(s->parts[i], s->n_parts[i]); /* to its one recipient */
        TRY(csl_talk_send_data(talks[i], 0, s->parts[i], s->n_parts[i], diag));
    }
    for (unsigned i = 0; i < s->n_parties; i++) {
        csl_control *m;
        TRY(csl_talk_expect(talks[i], &m, CSL__PB__CONTROL__KIND_MODEL_STORED, patience, diag));
        bool same = memcmp(m->model_stored->package_digest.data, s->manifest.digest, CSL_DIGEST_BYTES) == 0;
        csl_message_free(m);
        if (!same) {
            return csl_fail(diag, CSL_EPROTO, "%s stored another model than was sent", talks[i]->peer);
        }
    }
    return CSL_OK;
}

static enum csl_err share(struct sharing *s, const struct csl_weights *weights, struct csl_diag *diag) {
    TRY(make_parts(s, weights, diag));
    TRY(csl_worker_init(&s->worker, s->ctx, s->ctx->tls, diag));
    enum csl_err err = deliver(s, diag);
    for (unsigned i = 0; i < s->n_parties; i++) {
        csl_talk_close(&s->talks[i]);
    }
    csl_worker_clear(&s->worker);
    return err;
}

enum csl_err csl_owner_share(uint8_t digest[CSL_DIGEST_BYTES], const struct csl_context *ctx,
                             const char *name, const struct csl_plan *plan, const struct csl_weights *weights,
                             struct csl_diag *diag) {
    memset(digest, 0, CSL_DIGEST_BYTES);
    TRY(csl_context_require(ctx, CSL_ROLE_OWNER, diag));
    if (!csl_roster_may_share(&ctx->roster, ctx->self->name, name)) {
        return csl_fail(diag, CSL_EPERM, "the roster does not name %s as the owner of model %s",
                        ctx->self->name, name);
    }
    struct sharing *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return CSL_ENOMEM;
    }
    s->ctx = ctx;
    s->n_parties = ctx->roster.n_parties;
    s->manifest.plan = *plan;
    s->manifest.n_parties = s->n_parties;
    (void)snprintf(s->manifest.name, sizeof s->manifest.name, "%s", name);
    (void)snprintf(s->manifest.owner, sizeof s->manifest.owner, "%s", ctx->self->name);
    enum csl_err err = share(s, weights, diag);
    if (err == CSL_OK) {
        memcpy(digest, s->manifest.digest, CSL_DIGEST_BYTES);
    }
    for (unsigned i = 0; i < s->n_parties; i++) {
        csl_secret_free(s->parts[i]);
    }
    free(s->bytes);
    free(s);
    return err;
}
