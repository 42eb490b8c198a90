/* What is left of a session of rw: views, bundles, and what a judge finds. */
#include "replay_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/leaf.h"
#include "audit/transcript.h"
#include "crypto/secret.h"
#include "mpc/pack.h"
#include "roles/message.h"

#define OK(x) assert_int_equal((x), CSL_OK)

/* ---- Views and bundles ---- */

static void make_view(struct rw_session *s, unsigned p) {
    const struct rw *w = s->w;
    struct csl_view_session *v = &s->views[p];
    v->record = s->record;
    v->record.statement = malloc(s->record.n_statement);
    memcpy(v->record.statement, s->record.statement, s->record.n_statement);
    v->manifest = malloc(w->n_manifest);
    memcpy(v->manifest, w->manifest_bytes, w->n_manifest);
    v->n_manifest = w->n_manifest;
    memcpy(v->manifest_signature, w->manifest_signature, sizeof v->manifest_signature);
    v->part = csl_secret_alloc(w->n_parts[p], 1);
    memcpy(v->part, w->parts[p], w->n_parts[p]);
    v->n_part = w->n_parts[p];
    v->request = w->request;
    v->n_layers = w->shares[p].n_layers;
    v->e = calloc(v->n_layers, sizeof *v->e);
    v->n_e = calloc(v->n_layers, sizeof *v->n_e);
    for (size_t i = 0; i < v->n_layers; i++) {
        const struct csl_layer_share *l = &w->shares[p].layers[i];
        OK(csl_pack_size(&v->n_e[i], l->n_w, l->bits));
        v->e[i] = malloc(v->n_e[i]);
        csl_pack_bits(v->e[i], l->e, l->n_w, l->bits);
    }
}

static void fill_signed(Csl__Audit__Signed *out, const struct csl_signed *s, const char *signer) {
    csl__audit__signed__init(out);
    out->statement = csl_bytes(s->statement, s->n);
    out->signature = csl_bytes(s->signature, CSL_SIGNATURE_BYTES);
    out->signer = (char *)(uintptr_t)signer;
}

static void add_leaf(csl_bundle *b, csl_leaf *leaf) {
    Csl__Audit__BundleLeaf *l = malloc(sizeof *l);
    csl__audit__bundle_leaf__init(l);
    OK(csl_leaf_encode(&l->leaf.data, &l->leaf.len, leaf));
    l->index = b->n_leaves;
    b->leaves[b->n_leaves++] = l;
}

static void bundle_batch(csl_bundle *bundle, const struct rw_session *s, unsigned p, uint32_t b) {
    const struct csl_record *r = &s->batches[p][b];
    Csl__Audit__Signed heads[CSL_MAX_PARTIES], *list[CSL_MAX_PARTIES], dealt;
    Csl__Audit__Signed outputs[CSL_RECORD_INPUTS_MAX], *output_list[CSL_RECORD_INPUTS_MAX];
    CSL_LEAF(leaf, body, HeadsLeaf, HEADS_LEAF, HEADS, heads);
    body.session = csl_bytes(s->record.digest, 32);
    body.batch = b + 1;
    for (unsigned q = 0; q < s->w->n; q++) {
        fill_signed(&heads[q], &r->heads[q], s->w->roster.members[q].name);
        list[q] = &heads[q];
    }
    body.n_heads = s->w->n;
    body.heads = list;
    fill_signed(&dealt, &r->dealt, "dealer");
    body.dealt = &dealt;
    if (r->heads[0].statement != NULL) {
        add_leaf(bundle, &leaf);
    }
    CSL_LEAF(leaf2, body2, OutputLeaf, OUTPUT_LEAF, OUTPUT, output);
    for (size_t i = 0; i < r->n_outputs; i++) {
        fill_signed(&outputs[i], &r->outputs[i].statement, s->w->roster.members[p].name);
        output_list[i] = &outputs[i];
    }
    body2.session = csl_bytes(s->record.digest, 32);
    body2.n_outputs = r->n_outputs;
    body2.outputs = output_list;
    add_leaf(bundle, &leaf2);
}

void rw_bundles(struct rw_session *s) {
    for (unsigned p = 0; p < s->w->n; p++) {
        csl_bundle_free(s->bundles[p]);
        csl_bundle *b = malloc(sizeof *b);
        csl__audit__bundle__init(b);
        b->version = 1;
        b->site = strdup(s->w->roster.members[p].name);
        b->leaves = calloc(2 * RW_BATCHES, sizeof *b->leaves);
        for (uint32_t k = 0; k < RW_BATCHES; k++) {
            bundle_batch(b, s, p, k);
        }
        s->bundles[p] = b;
    }
}

struct rw_session *rw_run(const struct rw *w, struct rw_fault fault, uint8_t id) {
    struct rw_session *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->w = w;
    s->fault = fault;
    memset(s->session_id, id, sizeof s->session_id);
    rw__statement(s);
    for (uint32_t b = 0; b < RW_BATCHES; b++) {
        rw__deal(s, b);
        rw__share_input(s, b);
    }
    rw__run_parties(s);
    for (unsigned p = 0; p < w->n; p++) {
        make_view(s, p);
    }
    rw_bundles(s);
    return s;
}

void rw_session_free(struct rw_session *s) {
    for (unsigned p = 0; p < s->w->n; p++) {
        for (uint32_t b = 0; b < RW_BATCHES; b++) {
            csl_record_clear(&s->batches[p][b]);
        }
        csl_view_session_clear(&s->views[p]);
        csl_bundle_free(s->bundles[p]);
    }
    csl_session_record_clear(&s->record);
    free(s);
}

void rw_sign_heads(struct rw_session *s, unsigned of, unsigned p) {
    struct csl_transcript t;
    OK(csl_transcript_start(&t, s->record.digest, p, s->record.nonces, s->w->n));
    for (uint32_t b = 0; b < RW_BATCHES; b++) {
        struct csl_record *r = &s->batches[of][b];
        Csl__Audit__HeadStatement *m = NULL;
        struct csl_signed head;
        OK(csl_record_chain_rows(&t, r));
        for (size_t k = 0; k < r->n_rounds; k++) {
            OK(csl_transcript_add(&t, b + 1, (uint32_t)k + 1, r->rounds[k].messages[p], r->rounds[k].n));
        }
        OK(csl_head_statement_decode(&m, r->heads[p].statement, r->heads[p].n, NULL));
        memcpy(m->head.data, t.head, sizeof t.head);
        OK(csl_statement_sign(&head, CSL_STATEMENT_HEAD, &m->base, s->w->keys[p], NULL));
        csl_statement_free(m);
        csl_signed_clear(&r->heads[p]);
        r->heads[p] = head;
    }
}

/* ---- The judge ---- */

struct rw_verdict rw_replay(const struct rw_session *s, unsigned p, unsigned without) {
    struct csl_audit_report report = {.verdict = CSL_VERDICT_CONSISTENT};
    struct rw_verdict v = {.who = ""};
    const csl_bundle *bundles[CSL_MAX_PARTIES];
    struct csl_replay_options opt = {.roster = &s->w->roster,
                                     .roster_digest = s->w->roster_digest,
                                     .party = s->w->roster.members[p].name,
                                     .bundles = bundles};
    struct csl_replay *r = NULL;
    for (unsigned q = 0; q < s->w->n; q++) {
        if ((without >> q & 1) == 0) {
            bundles[opt.n_bundles++] = s->bundles[q];
        }
    }
    OK(csl_replay_begin(&r, &opt, &s->views[p], &report, NULL));
    for (uint32_t b = 0; b < RW_BATCHES; b++) {
        OK(csl_replay_batch(r, &s->batches[p][b], NULL));
    }
    OK(csl_replay_end(r, true, "", NULL));
    v.verdict = report.verdict;
    v.batches = report.batches;
    v.fault = *csl_replay_fault(r);
    if (report.n_findings != 0) {
        memcpy(v.who, report.findings[0].who, sizeof v.who);
        memcpy(v.text, report.findings[0].text, sizeof v.text);
        v.batch = report.findings[0].batch;
    }
    csl_replay_free(r);
    csl_audit_report_clear(&report);
    return v;
}
