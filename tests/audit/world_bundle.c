/* Bundles of the world's ledgers. */
#include "tests/audit/must.h"
#include "tests/audit/world.h"

#include <stdlib.h>
#include <string.h>

char *w_note(struct world *w, unsigned site, uint64_t size, const uint8_t root[32]) {
    struct csl_note note;
    struct csl_checkpoint c = {.size = size};
    csl_audit_origin(c.origin, w->audit.consortium, w->names[site]);
    memcpy(c.root, root, 32);
    MUST(csl_note_sign(&note, &c, w->names[site], w->members[site].sign_key, NULL));
    for (unsigned i = 0; i <= w->n_parties; i++) {
        if (i != site) {
            MUST(csl_note_cosign(&note, w->names[i], w->members[i].sign_key, 1700000000, NULL));
        }
    }
    return strdup(note.text);
}

static char *note_of(struct world *w, unsigned site, size_t n) {
    uint8_t root[32];
    MUST(csl_merkle_tree_root(root, &w->logs[site].tree, n));
    return w_note(w, site, n, root);
}

static ProtobufCBinaryData copy(const void *p, size_t n) {
    ProtobufCBinaryData d = {.len = n, .data = malloc(n + 1)};
    memcpy(d.data, p, n);
    return d;
}

static ProtobufCBinaryData *proof_of(size_t *n_out, uint8_t (*proof)[32], size_t n) {
    ProtobufCBinaryData *all = calloc(n + 1, sizeof *all);
    for (size_t i = 0; i < n; i++) {
        all[i] = copy(proof[i], 32);
    }
    *n_out = n;
    return all;
}

static void put_checkpoint(struct world *w, csl_bundle *b, unsigned site, size_t n, size_t next) {
    uint8_t proof[CSL_MERKLE_PROOF_MAX][32];
    size_t n_proof = 0;
    Csl__Audit__BundleCheckpoint *c = malloc(sizeof *c);
    csl__audit__bundle_checkpoint__init(c);
    c->note = note_of(w, site, n);
    if (next != 0) {
        MUST(csl_merkle_consistency(proof, &n_proof, &w->logs[site].tree, n, next));
    }
    c->proof = proof_of(&c->n_proof, proof, n_proof);
    b->checkpoints[b->n_checkpoints++] = c;
}

static bool wanted(const struct w_log *log, size_t i, bool (*takes)(const csl_leaf *leaf)) {
    csl_leaf *leaf = NULL;
    MUST(csl_leaf_decode(&leaf, log->leaves[i], log->sizes[i], NULL));
    bool yes = takes == NULL || takes(leaf);
    csl_leaf_free(leaf);
    return yes;
}

csl_bundle *w_bundle(struct world *w, unsigned site, size_t n, const uint8_t *session_id,
                     bool (*takes)(const csl_leaf *leaf)) {
    struct w_log *log = &w->logs[site];
    n = n == 0 ? log->n : n;
    csl_bundle *b = malloc(sizeof *b);
    csl__audit__bundle__init(b);
    b->version = 1;
    b->site = strdup(w->names[site]);
    b->roster_digest = copy(w->roster_digest, 32);
    if (session_id != NULL) {
        b->session_id = copy(session_id, 16);
    }
    b->checkpoints = calloc(2, sizeof(Csl__Audit__BundleCheckpoint *));
    b->leaves = calloc(n + 1, sizeof(Csl__Audit__BundleLeaf *));
    b->seen = calloc(W_SITES_MAX, sizeof(Csl__Audit__BundleSeen *));
    if (n > 1) {
        put_checkpoint(w, b, site, n / 2, n);
    }
    put_checkpoint(w, b, site, n, 0);
    for (size_t i = 0; i < n; i++) {
        uint8_t proof[CSL_MERKLE_PROOF_MAX][32];
        size_t n_proof = 0;
        if (!wanted(log, i, takes)) {
            continue;
        }
        Csl__Audit__BundleLeaf *m = malloc(sizeof *m);
        csl__audit__bundle_leaf__init(m);
        m->index = i;
        m->leaf = copy(log->leaves[i], log->sizes[i]);
        MUST(csl_merkle_inclusion(proof, &n_proof, &log->tree, i, n));
        m->proof = proof_of(&m->n_proof, proof, n_proof);
        b->leaves[b->n_leaves++] = m;
    }
    return b;
}

void w_saw(struct world *w, csl_bundle *b, unsigned of, size_t n) {
    Csl__Audit__BundleSeen *s = malloc(sizeof *s);
    csl__audit__bundle_seen__init(s);
    s->who = strdup(w->names[of]);
    s->note = note_of(w, of, n);
    b->seen[b->n_seen++] = s;
}
