#include "tests/audit/shared.h"
#include "tests/audit/must.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned client_of(const struct world *w, const struct sh_request *r) {
    return r->ward ? w_ward(w) : w_client(w);
}

void sh_session_fill(struct world *w, struct w_session *s, uint8_t id, enum csl_audit_sign sign) {
    w_session_fill(w, s, id, sign);
    s->m.shared = true;
    s->m.client = (char *)(uintptr_t) "";
}

void sh_deal(struct world *w, struct w_session *s, uint32_t rows, struct csl_signed *dealt) {
    ProtobufCBinaryData roots[16];
    Csl__Audit__DealtStatement m = CSL__AUDIT__DEALT_STATEMENT__INIT;
    for (unsigned i = 0; i < w->n_parties; i++) {
        roots[i] = w_data(s->bytes[1], 32);
    }
    m.session_id = s->m.session_id;
    m.epoch_id = s->m.epoch_id;
    m.package_digest = s->m.package_digest;
    m.stream = s->m.stream;
    m.first = w->next_counter;
    m.count = rows + s->m.check_rows;
    m.seed_roots = roots;
    m.n_seed_roots = w->n_parties;
    m.corrections_root = m.demands_digest = w_data(s->bytes[2], 32);
    w->next_counter += m.count;
    MUST(csl_statement_sign(dealt, CSL_STATEMENT_DEALT, &m.base, w->members[w_dealer(w)].sign_key, NULL));
    Csl__Audit__Signed one = w_signed(w, w_dealer(w), dealt);
    CSL_LEAF(leaf, body, DealtLeaf, DEALT_LEAF, DEALT, dealt);
    body.dealt = &one;
    w_append(w, w_dealer(w), &leaf);
}

/* ---- Signing ---- */

/* The commitment of party i to inference r of a request. */
static void commit(uint8_t out[32], const struct sh_request *q, uint8_t salt_byte, unsigned i, uint32_t r) {
    uint8_t salt[32], share[32];
    memset(salt, (int)(q->number + q->guest + salt_byte), sizeof salt);
    memset(share, (int)i, sizeof share);
    MUST(csl_input_leaf(out, salt, r, share, sizeof share));
}

void sh_sign_input(struct world *w, const struct w_session *s, struct sh_batch *b, size_t i, uint8_t salt) {
    const struct sh_request *q = &b->requests[i];
    uint8_t roots[16][32], leaves[64][32], guest[16];
    ProtobufCBinaryData all[16];
    for (unsigned p = 0; p < w->n_parties; p++) {
        for (uint32_t r = 0; r < q->count; r++) {
            commit(leaves[r], q, salt, p, r);
        }
        MUST(csl_merkle_root(roots[p], leaves[0], q->count));
        all[p] = w_data(roots[p], 32);
    }
    memset(guest, q->guest, sizeof guest);
    Csl__Audit__InputStatement m = CSL__AUDIT__INPUT_STATEMENT__INIT;
    m.session = w_data(s->digest, 32);
    m.count = q->count;
    m.roots = all;
    m.n_roots = w->n_parties;
    m.guest = w_data(guest, sizeof guest);
    m.request = q->number;
    csl_signed_clear(&b->inputs[i]);
    MUST(csl_statement_sign(&b->inputs[i], CSL_STATEMENT_INPUT, &m.base, w->members[client_of(w, q)].sign_key,
                            NULL));
}

void sh_sign_heads(struct world *w, const struct w_session *s, struct sh_batch *b) {
    uint8_t dealt[32], inputs[32], head[32];
    struct csl_sha256 h;
    MUST(csl_sha256_init(&h));
    for (size_t i = 0; i < b->n; i++) {
        MUST(csl_sha256_update(&h, b->inputs[i].statement, b->inputs[i].n));
    }
    MUST(csl_sha256_final(&h, inputs));
    MUST(csl_sha256_once(dealt, b->dealt->statement, b->dealt->n));
    for (unsigned p = 0; p < w->n_parties; p++) {
        Csl__Audit__HeadStatement m = CSL__AUDIT__HEAD_STATEMENT__INIT;
        memset(head, (int)(b->number + 16 * p), sizeof head);
        m.session = w_data(s->digest, 32);
        m.party = p;
        m.batch = b->number;
        m.count = b->count;
        m.rounds = 9;
        m.head = w_data(head, 32);
        m.dealt_digest = w_data(dealt, 32);
        m.inputs_digest = w_data(inputs, 32);
        m.first_row = b->first_row;
        csl_signed_clear(&b->heads[p]);
        MUST(csl_statement_sign(&b->heads[p], CSL_STATEMENT_HEAD, &m.base, w->members[p].sign_key, NULL));
    }
}

void sh_sign_output(struct world *w, const struct w_session *s, struct sh_batch *b, unsigned site, size_t i,
                    uint8_t salt_byte) {
    const struct sh_request *q = &b->requests[i];
    uint8_t salt[32] = {salt_byte}, commitment[32], guest[16];
    Csl__Audit__OutputStatement m = CSL__AUDIT__OUTPUT_STATEMENT__INIT;
    MUST(csl_output_commit(commitment, salt, salt, 8));
    memset(guest, q->guest, sizeof guest);
    m.session = w_data(s->digest, 32);
    m.party = site;
    m.batch = b->number;
    m.count = q->count;
    m.commitment = w_data(commitment, 32);
    m.guest = w_data(guest, sizeof guest);
    m.request = q->number;
    csl_signed_clear(&b->outputs[site][i]);
    MUST(csl_statement_sign(&b->outputs[site][i], CSL_STATEMENT_OUTPUT, &m.base, w->members[site].sign_key,
                            NULL));
}

void sh_sign(struct world *w, struct w_session *s, struct sh_batch *b) {
    b->count = 0;
    for (size_t i = 0; i < b->n; i++) {
        b->count += b->requests[i].count;
        sh_sign_input(w, s, b, i, 0);
    }
    sh_sign_heads(w, s, b);
    for (unsigned p = 0; p < w->n_parties; p++) {
        b->n_inputs[p] = b->n_outputs[p] = b->n;
        b->commitments[p] = b->count;
        for (size_t i = 0; i < b->n; i++) {
            b->input_order[p][i] = b->output_order[p][i] = i;
            sh_sign_output(w, s, b, p, i, 1);
        }
    }
}

/* ---- Entering ---- */

void sh_enter_inputs(struct world *w, unsigned site, const struct w_session *s, const struct sh_batch *b) {
    static uint8_t commitments[256][32];
    ProtobufCBinaryData all[256];
    Csl__Audit__Signed inputs[SH_REQUESTS_MAX], *pointers[SH_REQUESTS_MAX];
    size_t n = 0;
    for (size_t k = 0; k < b->n_inputs[site]; k++) {
        size_t i = b->input_order[site][k];
        inputs[k] = w_signed(w, client_of(w, &b->requests[i]), &b->inputs[i]);
        pointers[k] = &inputs[k];
        for (uint32_t r = 0; r < b->requests[i].count; r++, n++) {
            commit(commitments[n], &b->requests[i], 0, site, r);
            all[n] = w_data(commitments[n], 32);
        }
    }
    CSL_LEAF(leaf, body, InputLeaf, INPUT_LEAF, INPUT, input);
    body.session = w_data(s->digest, 32);
    body.batch = b->number;
    body.inputs = pointers;
    body.n_inputs = b->n_inputs[site];
    body.commitments = all;
    body.n_commitments = b->commitments[site];
    w_append(w, site, &leaf);
}

void sh_enter_heads(struct world *w, unsigned site, const struct w_session *s, const struct sh_batch *b) {
    Csl__Audit__Signed heads[16], *pointers[16], dealt = w_signed(w, w_dealer(w), b->dealt);
    for (unsigned p = 0; p < w->n_parties; p++) {
        heads[p] = w_signed(w, p, &b->heads[p]);
        pointers[p] = &heads[p];
    }
    CSL_LEAF(leaf, body, HeadsLeaf, HEADS_LEAF, HEADS, heads);
    body.session = w_data(s->digest, 32);
    body.batch = b->number;
    body.heads = pointers;
    body.n_heads = w->n_parties;
    body.dealt = &dealt;
    w_append(w, site, &leaf);
}

void sh_enter_outputs(struct world *w, unsigned site, const struct w_session *s, const struct sh_batch *b) {
    Csl__Audit__Signed outputs[SH_REQUESTS_MAX], *pointers[SH_REQUESTS_MAX];
    for (size_t k = 0; k < b->n_outputs[site]; k++) {
        outputs[k] = w_signed(w, site, &b->outputs[site][b->output_order[site][k]]);
        pointers[k] = &outputs[k];
    }
    CSL_LEAF(leaf, body, OutputLeaf, OUTPUT_LEAF, OUTPUT, output);
    body.session = w_data(s->digest, 32);
    body.outputs = pointers;
    body.n_outputs = b->n_outputs[site];
    w_append(w, site, &leaf);
}

void sh_enter(struct world *w, struct w_session *s, const struct sh_batch *b) {
    for (unsigned p = 0; p < w->n_parties; p++) {
        sh_enter_inputs(w, p, s, b);
        sh_enter_heads(w, p, s, b);
        sh_enter_outputs(w, p, s, b);
    }
    s->batches++;
    s->inferences += b->count;
}

void sh_clear(struct sh_batch *b) {
    for (size_t i = 0; i < SH_REQUESTS_MAX; i++) {
        csl_signed_clear(&b->inputs[i]);
        for (unsigned p = 0; p < 16; p++) {
            csl_signed_clear(&b->outputs[p][i]);
        }
    }
    for (unsigned p = 0; p < 16; p++) {
        csl_signed_clear(&b->heads[p]);
    }
}

/* ---- The scene ---- */

void sh_open(struct sh_scene *x, unsigned n_parties, enum csl_audit_sign sign) {
    static const struct {
        uint32_t first_row;
        size_t dealing, n;
        struct sh_request requests[3];
    } plan[SH_BATCHES] = {
        {0, 0, 2, {{false, 0x10, 1, 2}, {true, 0x20, 1, 1}}},
        {3, 0, 1, {{false, 0x10, 2, 3}}},
        {0, 1, 3, {{true, 0x20, 2, 1}, {false, 0x11, 1, 2}, {false, 0x10, 3, 1}}},
    };
    memset(x, 0, sizeof *x);
    scene_open(&x->s, n_parties, sign);
    struct world *w = &x->s.w;
    struct w_session *s = &x->s.sessions[0];
    sh_session_fill(w, s, 1, sign);
    w_session_enter(w, s);
    for (size_t i = 0; i < SH_DEALINGS; i++) {
        sh_deal(w, s, 6, &x->dealt[i]);
    }
    for (uint32_t i = 0; i < SH_BATCHES; i++) {
        struct sh_batch *b = &x->batches[i];
        b->number = i + 1;
        b->first_row = plan[i].first_row;
        b->dealt = &x->dealt[plan[i].dealing];
        b->n = plan[i].n;
        memcpy(b->requests, plan[i].requests, sizeof plan[i].requests);
        sh_sign(w, s, b);
    }
}

void sh_export(struct sh_scene *x, enum csl_err err) {
    struct world *w = &x->s.w;
    struct w_session *s = &x->s.sessions[0];
    for (unsigned i = 0; i <= w->n_parties; i++) { /* the dealer counts dealings */
        w_close_leaf(w, i, s, err, i == w_dealer(w) ? SH_DEALINGS : s->batches, s->inferences);
    }
    scene_export(&x->s);
    scene_drop_empty(&x->s);
}

void sh_end(struct sh_scene *x, enum csl_err err) {
    for (size_t i = 0; i < SH_BATCHES; i++) {
        sh_enter(&x->s.w, &x->s.sessions[0], &x->batches[i]);
    }
    sh_export(x, err);
}

void sh_close(struct sh_scene *x) {
    for (size_t i = 0; i < SH_BATCHES; i++) {
        sh_clear(&x->batches[i]);
    }
    for (size_t i = 0; i < SH_DEALINGS; i++) {
        csl_signed_clear(&x->dealt[i]);
    }
    scene_close(&x->s);
}
