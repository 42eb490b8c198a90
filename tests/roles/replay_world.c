#include "replay_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "crypto/rand.h"
#include "crypto/secret.h"
#include "mpc/link_mem.h"

#define OK(x) assert_int_equal((x), CSL_OK)

/* ---- The consortium ---- */

static void add_member(struct rw *w, const char *name, unsigned roles, int party) {
    size_t i = w->roster.n_members++;
    struct csl_member *m = &w->roster.members[i];
    (void)snprintf(m->name, sizeof m->name, "%s", name);
    m->roles = roles;
    m->party = party;
    w->keys[i] = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    assert_non_null(w->keys[i]);
    m->sign_key = w->keys[i];
    if (party >= 0) {
        w->roster.parties[party] = i;
    }
}

static void make_roster(struct rw *w) {
    w->roster.members = calloc(w->n + 4, sizeof *w->roster.members);
    assert_non_null(w->roster.members);
    w->roster.n_parties = w->n;
    for (unsigned i = 0; i < w->n; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "hospital-%c", 'a' + (char)i);
        add_member(w, name, CSL_ROLE_PARTY, (int)i);
    }
    w->roster.dealer = w->n;
    add_member(w, "dealer", CSL_ROLE_DEALER, -1);
    add_member(w, "model-owner", CSL_ROLE_OWNER, -1);
    add_member(w, "clinic", CSL_ROLE_CLIENT, -1);
    add_member(w, "radiology", CSL_ROLE_CLIENT, -1);
    w->dealer = &w->roster.members[w->n];
    w->owner = &w->roster.members[w->n + 1];
    w->clients[0] = &w->roster.members[w->n + 2];
    w->clients[1] = &w->roster.members[w->n + 3];
    memset(w->roster_digest, 0x77, sizeof w->roster_digest);
    for (unsigned i = 0; i < w->n; i++) {
        w->ctx[i].roster = w->roster; /* borrowed */
        w->ctx[i].self = &w->roster.members[i];
        w->ctx[i].site.sign_key = w->keys[i];
    }
}

/* Every kind of step with openings: conv, maximum of products, ReLU, maximum, truncation, dense, piecewise
 * linear; and of the label, arg-max. */
static struct built *make_network(void) {
    struct csl_network *net = net_new(6, 6, 1);
    uint32_t x = net_conv(net, 0, 2, WINDOW(3, 1, 0), 1, 60);
    x = net_relu(net, net_pool(net, x, CSL_OPK_MAXPOOL, WINDOW(2, 1, 0), false));
    x = net_pool(net, x, CSL_OPK_MAXPOOL, WINDOW(2, 1, 0), false);
    x = net_conv(net, x, 2, WINDOW(1, 1, 0), 1, 61);
    x = net_conv(net, x, 2, WINDOW(2, 1, 0), 1, 62);
    x = net_activate(net, net_dense(net, x, 3, 1, 63), CSL_FN_HARD_SIGMOID, 0.2F, 0.5F);
    net_dense(net, x, 3, 1, 64);
    return build(net, NULL);
}

static void share_model(struct rw *w) {
    uint8_t seeds[CSL_MAX_PARTIES * CSL_SEED_BYTES];
    struct csl_model_share last = {.n_layers = 0};
    struct csl_manifest *m = &w->manifest;
    const struct csl_plan *plan = &w->net->plan;
    OK(csl_model_split(seeds, &last, plan, &w->net->q, w->n, NULL));
    (void)strcpy(m->name, "network");
    (void)strcpy(m->owner, "model-owner");
    m->plan = *plan;
    m->n_parties = w->n;
    m->sealed_ms = 1;
    m->expires_ms = UINT64_MAX / 2;
    memset(m->nonce, 5, sizeof m->nonce);
    for (unsigned p = 0; p < w->n; p++) {
        (void)strcpy(m->parties[p], w->roster.members[p].name);
        w->n_parts[p] = csl_part_bytes(plan, w->n, p);
        w->parts[p] = csl_secret_alloc(w->n_parts[p], 1);
        assert_non_null(w->parts[p]);
        uint8_t *share = w->parts[p] + CSL_SALT_BYTES;
        if (p + 1 < w->n) {
            memcpy(share, seeds + (size_t)p * CSL_SEED_BYTES, CSL_SEED_BYTES);
            OK(csl_model_share_expand(&w->shares[p], plan, share));
        } else {
            OK(csl_model_share_encode(share, w->n_parts[p] - CSL_SALT_BYTES, &last));
            OK(csl_model_share_decode(&w->shares[p], plan, share, w->n_parts[p] - CSL_SALT_BYTES, NULL));
        }
        OK(csl_part_commit(m->commitments[p], m->nonce, p, w->parts[p], w->n_parts[p]));
    }
    csl_model_share_clear(&last);
    OK(csl_manifest_encode(&w->manifest_bytes, &w->n_manifest, m));
    OK(csl_statement_sign_bytes(w->manifest_signature, CSL_STATEMENT_MANIFEST, w->manifest_bytes,
                                w->n_manifest, w->owner->sign_key, NULL));
    OK(csl_manifest_decode(m, w->manifest_bytes, w->n_manifest, NULL));
}

static enum csl_err open_weights(struct csl_session *s, void *arg) {
    struct rw *w = arg;
    return csl_model_open_weights(s, &w->shares[s->self], &w->epoch_keys[s->self], w->mask_id);
}

static void make_request(struct rw *w) {
    struct csl_request *q = &w->request;
    (void)strcpy(q->model, "network");
    q->max_batch = RW_COUNT;
    q->reveal_label = w->label;
    for (uint32_t i = 0; w->two_owners && i < RW_OWNERS; i++) { /* upper and lower half */
        q->parts.at[i] = (struct csl_part){
            .owner = w->clients[i], .rank = 3, .begin = {0, 3 * i, 0}, .end = {1, 3 * i + 3, 6}};
        q->parts.n++;
    }
}

void rw_open(struct rw *w, unsigned n, bool label, bool two_owners) {
    memset(w, 0, sizeof *w);
    w->n = n;
    w->label = label;
    w->two_owners = two_owners;
    w->sign = CSL_SIGN_BEFORE_OUTPUT;
    make_roster(w);
    w->net = make_network();
    share_model(w);
    make_request(w);
    memset(w->epoch_id, 9, sizeof w->epoch_id);
    OK(csl_mask_id(w->mask_id, w->manifest.digest, w->epoch_id));
    for (unsigned p = 0; p < n; p++) {
        OK(csl_rand(w->epoch_keys[p].corr_key, 32));
        OK(csl_rand(w->epoch_keys[p].mask_key, 32));
    }
    OK(csl_mem_run(n, open_weights, w, NULL));
    rw_set_profile(w, CSL_PROFILE_LAN);
}

void rw_set_profile(struct rw *w, enum csl_profile profile) {
    struct csl_cost cost;
    w->profile = profile;
    OK(csl_plan_demands(&w->net->plan, profile, w->label, w->demands, &w->n_demands));
    OK(csl_plan_cost(&w->net->plan, &cost, w->n, RW_COUNT, profile, w->label));
    w->openings = cost.rounds - 1;
}

void rw_set_shared(struct rw *w) {
    w->shared = w->request.shared = true;
    w->request.max_batch = RW_BATCHES * RW_COUNT;
}

void rw_close(struct rw *w) {
    for (unsigned p = 0; p < w->n; p++) {
        csl_model_share_clear(&w->shares[p]);
        csl_secret_free(w->parts[p]);
    }
    for (size_t i = 0; i < w->roster.n_members; i++) {
        EVP_PKEY_free(w->keys[i]);
    }
    free(w->roster.members);
    free(w->manifest_bytes);
    built_free(w->net);
}
