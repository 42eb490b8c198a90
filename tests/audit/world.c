#include "tests/audit/world.h"
#include "tests/audit/must.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

ProtobufCBinaryData w_data(const void *p, size_t n) {
    return (ProtobufCBinaryData){.len = n, .data = (uint8_t *)(uintptr_t)p};
}

/* ---- Members ---- */

static void add_member(struct world *w, const char *name, unsigned roles, int party) {
    struct csl_auditee *m = &w->members[w->n_members];
    (void)snprintf(w->names[w->n_members], sizeof w->names[0], "%s", name);
    *m = (struct csl_auditee){.name = w->names[w->n_members],
                              .roles = roles,
                              .party = party,
                              .sign_key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")};
    csl_merkle_tree_init(&w->logs[w->n_members].tree);
    w->n_members++;
}

void w_open(struct world *w, unsigned n_parties) {
    *w = (struct world){.n_parties = n_parties};
    for (unsigned i = 0; i < n_parties; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "hospital-%c", 'a' + (int)i);
        add_member(w, name, 1, (int)i);
    }
    add_member(w, "dealer", 2, -1);
    add_member(w, "lab", 4, -1);
    add_member(w, "clinic", 8, -1);
    add_member(w, "ward", 8, -1);
    memset(w->roster_digest, 0x77, 32);
    w->audit = (struct csl_audit_world){.members = w->members,
                                        .n_members = w->n_members,
                                        .n_parties = n_parties,
                                        .consortium = "heart network",
                                        .roster_digest = w->roster_digest};
}

void w_close(struct world *w) {
    for (size_t i = 0; i < w->n_members; i++) {
        EVP_PKEY_free(w->members[i].sign_key);
        csl_merkle_tree_clear(&w->logs[i].tree);
        for (size_t k = 0; k < w->logs[i].n; k++) {
            free(w->logs[i].leaves[k]);
        }
    }
}

unsigned w_dealer(const struct world *w) {
    return w->n_parties;
}
unsigned w_owner(const struct world *w) {
    return w->n_parties + 1;
}
unsigned w_client(const struct world *w) {
    return w->n_parties + 2;
}
unsigned w_ward(const struct world *w) {
    return w->n_parties + 3;
}

/* ---- Leaves ---- */

void w_append(struct world *w, unsigned site, csl_leaf *leaf) {
    struct w_log *log = &w->logs[site];
    uint8_t hash[32];
    if (log->n == W_LEAVES_MAX) {
        abort();
    }
    MUST(csl_leaf_encode(&log->leaves[log->n], &log->sizes[log->n], leaf));
    MUST(csl_merkle_leaf(hash, log->leaves[log->n], log->sizes[log->n]));
    MUST(csl_merkle_append(&log->tree, hash));
    log->n++;
}

void w_model(struct world *w, const uint8_t package[32], const char *name) {
    ProtobufCBinaryData sealed[16];
    for (unsigned i = 0; i < w->n_parties; i++) {
        sealed[i] = w_data(package, 32);
    }
    CSL_LEAF(leaf, body, ModelLeaf, MODEL_LEAF, MODEL, model);
    body.name = (char *)(uintptr_t)name;
    body.owner = w->names[w_owner(w)];
    body.package_digest = w_data(package, 32);
    body.sealed_digests = sealed;
    body.n_sealed_digests = w->n_parties;
    body.event = CSL_MODEL_SEALED;
    w_append(w, w_owner(w), &leaf);
    body.event = CSL_MODEL_ACCEPTED;
    body.n_sealed_digests = 1;
    for (unsigned i = 0; i < w->n_parties; i++) {
        w_append(w, i, &leaf);
    }
}

/* ---- Sessions ---- */

static ProtobufCBinaryData digest(struct w_session *s, size_t *at, uint8_t value) {
    memset(s->bytes[*at], value, 32);
    return w_data(s->bytes[(*at)++], 32);
}

void w_session_fill(struct world *w, struct w_session *s, uint8_t id, enum csl_audit_sign sign) {
    *s = (struct w_session){.m = CSL__AUDIT__SESSION_STATEMENT__INIT};
    size_t at = 0;
    s->m.session_id = digest(s, &at, id);
    s->m.session_id.len = 16;
    s->m.roster_digest = w_data(w->roster_digest, 32);
    s->m.package_digest = digest(s, &at, 0x50);
    s->m.plan_digest = digest(s, &at, 0x51);
    s->m.epoch_id = digest(s, &at, 0x52);
    s->m.mask_id = digest(s, &at, 0x53);
    s->m.weights_digest = digest(s, &at, 0x54);
    s->m.request_digest = digest(s, &at, 0x55);
    s->m.nonces_digest = digest(s, &at, (uint8_t)(0x80 + id));
    s->m.stream = 3;
    s->m.model = (char *)(uintptr_t) "digits";
    s->m.client = w->names[w_client(w)];
    for (unsigned i = 0; i < w->n_parties; i++) {
        s->parties[i] = w->names[i];
        s->software[i] = digest(s, &at, 0x60);
        s->configuration[i] = digest(s, &at, 0x61);
        s->commitments[i] = digest(s, &at, (uint8_t)(0x10 + i));
    }
    s->m.parties = s->parties;
    s->m.software = s->software;
    s->m.configuration = s->configuration;
    s->m.seed_commitments = s->commitments;
    s->m.n_parties = s->m.n_software = s->m.n_configuration = s->m.n_seed_commitments = w->n_parties;
    s->m.check_rows = 2;
    s->m.sign = sign;
}

void w_session_enter(struct world *w, struct w_session *s) {
    uint8_t signatures[16][CSL_SIGNATURE_BYTES];
    ProtobufCBinaryData all[16];
    free(s->packed);
    MUST(csl_statement_pack(&s->packed, &s->n_packed, &s->m.base));
    MUST(csl_sha256_once(s->digest, s->packed, s->n_packed));
    for (unsigned i = 0; i < w->n_parties; i++) {
        MUST(csl_statement_sign_bytes(signatures[i], CSL_STATEMENT_SESSION, s->packed, s->n_packed,
                                      w->members[i].sign_key, NULL));
        all[i] = w_data(signatures[i], CSL_SIGNATURE_BYTES);
    }
    CSL_LEAF(leaf, body, SessionLeaf, SESSION_LEAF, SESSION, session);
    body.statement = w_data(s->packed, s->n_packed);
    body.signatures = all;
    body.n_signatures = w->n_parties;
    body.grant_digest = s->m.epoch_id;
    for (unsigned i = 0; i < w->n_parties; i++) {
        w_append(w, i, &leaf);
    }
}

void w_session_clear(struct w_session *s) {
    free(s->packed);
}

void w_close_leaf(struct world *w, unsigned site, const struct w_session *s, enum csl_err err,
                  uint32_t batches, uint32_t inferences) {
    CSL_LEAF(leaf, body, CloseLeaf, CLOSE_LEAF, CLOSE, close);
    if (site < w->n_parties) {
        body.session = w_data(s->digest, 32);
    }
    body.session_id = s->m.session_id;
    body.error = (uint32_t)err;
    body.reason = (char *)(uintptr_t)(err == CSL_OK ? "" : "a peer went away");
    body.batches = batches;
    body.inferences = inferences;
    w_append(w, site, &leaf);
}

void w_session_end(struct world *w, const struct w_session *s, enum csl_err err) {
    for (unsigned i = 0; i <= w->n_parties; i++) {
        w_close_leaf(w, i, s, err, s->batches, s->inferences);
    }
}

/* ---- Batches ---- */

Csl__Audit__Signed w_signed(const struct world *w, unsigned signer, const struct csl_signed *s) {
    Csl__Audit__Signed m = CSL__AUDIT__SIGNED__INIT;
    m.statement = w_data(s->statement, s->n);
    m.signature = w_data(s->signature, CSL_SIGNATURE_BYTES);
    m.signer = (char *)(uintptr_t)w->names[signer];
    return m;
}

static void deal(struct world *w, struct w_session *s, struct w_batch *b) {
    ProtobufCBinaryData roots[16];
    Csl__Audit__DealtStatement m = CSL__AUDIT__DEALT_STATEMENT__INIT;
    for (unsigned i = 0; i < w->n_parties; i++) {
        roots[i] = w_data(s->bytes[1], 32);
    }
    if (b->first == 0) {
        b->first = w->next_counter;
        w->next_counter += b->count + s->m.check_rows;
    }
    m.session_id = s->m.session_id;
    m.epoch_id = s->m.epoch_id;
    m.package_digest = s->m.package_digest;
    m.stream = s->m.stream;
    m.first = b->first;
    m.count = b->count + s->m.check_rows;
    m.seed_roots = roots;
    m.n_seed_roots = w->n_parties;
    m.corrections_root = m.demands_digest = w_data(s->bytes[2], 32);
    MUST(csl_statement_sign(&b->dealt, CSL_STATEMENT_DEALT, &m.base, w->members[w_dealer(w)].sign_key, NULL));
    Csl__Audit__Signed one = w_signed(w, w_dealer(w), &b->dealt);
    CSL_LEAF(leaf, body, DealtLeaf, DEALT_LEAF, DEALT, dealt);
    body.dealt = &one;
    w_append(w, w_dealer(w), &leaf);
}

/* The commitment of party i to inference r of part p. */
static void commit(uint8_t out[32], const struct w_batch *b, unsigned i, uint32_t p, uint32_t r) {
    uint8_t salt[32], share[32];
    memset(salt, (int)(b->number + p), sizeof salt);
    memset(share, (int)i, sizeof share);
    MUST(csl_input_leaf(out, salt, r, share, sizeof share));
}

static void sign_inputs(struct world *w, const struct w_session *s, struct w_batch *b, uint8_t out[32]) {
    struct csl_sha256 h;
    MUST(csl_sha256_init(&h));
    for (uint32_t p = b->parts == 0 ? 0 : 1; p <= b->parts; p++) {
        uint8_t roots[16][32], leaves[64][32];
        ProtobufCBinaryData all[16];
        for (unsigned i = 0; i < w->n_parties; i++) {
            for (uint32_t r = 0; r < b->count; r++) {
                commit(leaves[r], b, i, p, r);
            }
            MUST(csl_merkle_root(roots[i], leaves[0], b->count));
            all[i] = w_data(roots[i], 32);
        }
        Csl__Audit__InputStatement m = CSL__AUDIT__INPUT_STATEMENT__INIT;
        m.session = w_data(s->digest, 32);
        m.batch = b->number;
        m.count = b->count;
        m.part = p;
        m.roots = all;
        m.n_roots = w->n_parties;
        struct csl_signed *one = &b->inputs[p == 0 ? 0 : p - 1];
        MUST(csl_statement_sign(one, CSL_STATEMENT_INPUT, &m.base, w->members[w_client(w)].sign_key, NULL));
        MUST(csl_sha256_update(&h, one->statement, one->n));
    }
    MUST(csl_sha256_final(&h, out));
}

static void sign_heads(struct world *w, const struct w_session *s, struct w_batch *b,
                       const uint8_t inputs[32]) {
    uint8_t dealt[32], head[32];
    MUST(csl_sha256_once(dealt, b->dealt.statement, b->dealt.n));
    for (unsigned i = 0; i < w->n_parties; i++) {
        Csl__Audit__HeadStatement m = CSL__AUDIT__HEAD_STATEMENT__INIT;
        memset(head, (int)(b->number + 16 * i), sizeof head);
        m.session = w_data(s->digest, 32);
        m.party = i;
        m.batch = b->number;
        m.count = b->count;
        m.rounds = 9;
        m.head = w_data(head, 32);
        m.dealt_digest = w_data(dealt, 32);
        m.inputs_digest = w_data(inputs, 32);
        MUST(csl_statement_sign(&b->heads[i], CSL_STATEMENT_HEAD, &m.base, w->members[i].sign_key, NULL));
    }
}

static void enter_input(struct world *w, unsigned site, const struct w_session *s, const struct w_batch *b) {
    static uint8_t commitments[256][32];
    ProtobufCBinaryData all[256];
    Csl__Audit__Signed parts[4], *pointers[4];
    uint32_t n_parts = b->parts == 0 ? 1 : b->parts;
    for (uint32_t k = 0; k < n_parts; k++) {
        parts[k] = w_signed(w, w_client(w), &b->inputs[k]);
        pointers[k] = &parts[k];
        for (uint32_t r = 0; r < b->count; r++) {
            commit(commitments[k * b->count + r], b, site, b->parts == 0 ? 0 : k + 1, r);
            all[k * b->count + r] = w_data(commitments[k * b->count + r], 32);
        }
    }
    CSL_LEAF(leaf, body, InputLeaf, INPUT_LEAF, INPUT, input);
    body.session = w_data(s->digest, 32);
    body.batch = b->number;
    body.inputs = pointers;
    body.n_inputs = b->sign_off ? 0 : n_parts;
    body.commitments = all;
    body.n_commitments = b->sign_off ? 0 : n_parts * b->count;
    w_append(w, site, &leaf);
}

static void enter_heads(struct world *w, unsigned site, const struct w_session *s, const struct w_batch *b) {
    Csl__Audit__Signed heads[16], *pointers[16], dealt = w_signed(w, w_dealer(w), &b->dealt);
    size_t n = 0;
    for (unsigned i = 0; i < w->n_parties; i++) {
        heads[i] = w_signed(w, i, &b->heads[i]);
        if (i + 1 != b->leave_out_head) {
            pointers[n++] = &heads[i];
        }
    }
    CSL_LEAF(leaf, body, HeadsLeaf, HEADS_LEAF, HEADS, heads);
    body.session = w_data(s->digest, 32);
    body.batch = b->number;
    body.heads = pointers;
    body.n_heads = b->sign_off ? 0 : n;
    body.dealt = b->sign_off ? NULL : &dealt;
    w_append(w, site, &leaf);
}

static void enter_output(struct world *w, unsigned site, const struct w_session *s, const struct w_batch *b) {
    uint8_t salt[32] = {1}, commitment[32];
    struct csl_signed signed_ = {0};
    Csl__Audit__OutputStatement m = CSL__AUDIT__OUTPUT_STATEMENT__INIT;
    MUST(csl_output_commit(commitment, salt, salt, 8));
    m.session = w_data(s->digest, 32);
    m.party = site;
    m.batch = b->number;
    m.count = b->count;
    m.commitment = w_data(commitment, 32);
    MUST(csl_statement_sign(&signed_, CSL_STATEMENT_OUTPUT, &m.base, w->members[site].sign_key, NULL));
    Csl__Audit__Signed one = w_signed(w, site, &signed_), *pointer = &one;
    CSL_LEAF(leaf, body, OutputLeaf, OUTPUT_LEAF, OUTPUT, output);
    body.session = w_data(s->digest, 32);
    body.n_outputs = b->sign_off ? 0 : 1;
    body.outputs = &pointer;
    w_append(w, site, &leaf);
    csl_signed_clear(&signed_);
}

void w_batch(struct world *w, struct w_session *s, struct w_batch *b) {
    uint8_t inputs[32];
    b->sign_off = s->m.sign == CSL_SIGN_OFF;
    if (b->dealt.statement == NULL) {
        deal(w, s, b);
    }
    if (b->dealt_only) {
        return;
    }
    sign_inputs(w, s, b, inputs);
    sign_heads(w, s, b, inputs);
    for (unsigned i = 0; i < (b->stop_after == 0 ? w->n_parties : b->stop_after); i++) {
        enter_input(w, i, s, b);
        if (!b->inputs_only) {
            enter_heads(w, i, s, b);
            enter_output(w, i, s, b);
        }
    }
    s->batches++;
    s->inferences += b->count;
}

void w_batch_clear(struct w_batch *b) {
    csl_signed_clear(&b->dealt);
    for (size_t i = 0; i < 4; i++) {
        csl_signed_clear(&b->inputs[i]);
    }
    for (size_t i = 0; i < 16; i++) {
        csl_signed_clear(&b->heads[i]);
    }
}

/* ---- Verifying ---- */

struct csl_audit_report w_verify(struct world *w, csl_bundle **bundles, size_t n) {
    struct csl_audit_report r;
    const void *all[64];
    for (size_t i = 0; i < n; i++) {
        all[i] = bundles[i];
    }
    MUST(csl_audit_verify(&r, &w->audit, all, n, NULL));
    return r;
}

void w_print(const struct csl_audit_report *r) {
    for (size_t i = 0; i < r->n_findings; i++) {
        (void)fprintf(stderr, "  %d %s: %s\n", (int)r->findings[i].verdict, r->findings[i].who,
                      r->findings[i].text);
    }
}
