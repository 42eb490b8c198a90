/* audit verify --chain and audit show: anchors beside ledgers. */
#include "cli/audit/chain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chain/anchor.h"
#include "chain/anchored.h"
#include "cli/show.h"
#include "crypto/files_internal.h"
#include "roles/daemon/logbook.h"

enum { DEFAULT_TIMEOUT_S = 20, DEFAULT_DEADLINE_S = 600 };

static void node_rpc(struct csl_rpc *rpc, struct csl_contract *c, const struct csl_roster *roster,
                     const struct csl_chain_node *node) {
    uint64_t s = node->timeout_s == 0 ? DEFAULT_TIMEOUT_S : node->timeout_s;
    uint64_t all_s = node->deadline_s == 0 ? DEFAULT_DEADLINE_S : node->deadline_s;
    *rpc = (struct csl_rpc){.url = node->url,
                            .ca_file = node->ca_file,
                            .connect_ms = (uint32_t)s * 1000,
                            .total_ms = (uint32_t)s * 1000,
                            .idle_ms = (uint32_t)s * 1000,
                            .until_ms = csl_rpc_now_ms() + (int64_t)all_s * 1000};
    *c = (struct csl_contract){.rpc = rpc, .chain_id = roster->chain.id};
    memcpy(c->address, roster->chain.contract, sizeof c->address);
}

static enum csl_err need_chain(const struct csl_roster *roster, struct csl_diag *diag) {
    return roster->chain.id != 0
               ? CSL_OK
               : csl_fail(diag, CSL_EUSAGE,
                          "--chain: the roster has no chain (docs/chain.md says how it gets one)");
}

/* ---- An anchor as JSON and as text ---- */

static json_t *bytes_json(const uint8_t *p, size_t n) {
    char text[2 * 64 + 3];
    csl_hex0x_text(text, p, n);
    return json_string(text);
}

static json_t *root_json(const struct csl_anchor_root *r) {
    return r->size == 0 ? json_null() : bytes_json(r->root, sizeof r->root);
}

static json_t *known_json(const uint8_t hash[CSL_HASH_BYTES]) {
    static const uint8_t zero[CSL_HASH_BYTES];
    return memcmp(hash, zero, sizeof zero) == 0 ? json_null() : bytes_json(hash, CSL_HASH_BYTES);
}

static json_t *anchor_json(uint64_t index, const struct csl_anchor_root *previous,
                           const struct csl_anchor_root *is, const struct csl_outbox_mined *m,
                           const char *from, bool final) {
    char when[CSL_TIME_TEXT];
    (void)csl_time_text(when, (int64_t)m->time_s);
    return json_pack("{s:I, s:I, s:o, s:I, s:o, s:o, s:I, s:o, s:s, s:b, s:s}", "index", (json_int_t)index,
                     "previous_entries", (json_int_t)previous->size, "previous_root", root_json(previous),
                     "entries", (json_int_t)is->size, "root", root_json(is), "transaction", known_json(m->tx),
                     "block", (json_int_t)m->block, "block_hash", known_json(m->block_hash), "time", when,
                     "final", (int) final, "from", from);
}

static const char *text_of(const json_t *o, const char *key) {
    const char *text = json_string_value(json_object_get(o, key));
    return text != NULL ? text : "(none)";
}

void csl_chain_print_anchor(const json_t *a, const char *indent) {
    const json_t *tx = json_object_get(a, "transaction");
    (void)printf("%sanchor        %lld, of %lld entries, %s; %s\n", indent,
                 (long long)json_integer_value(json_object_get(a, "index")),
                 (long long)json_integer_value(json_object_get(a, "entries")),
                 json_is_true(json_object_get(a, "final")) ? "final" : "not final yet", text_of(a, "from"));
    (void)printf("%stransaction   %s\n", indent,
                 json_is_string(tx) ? json_string_value(tx) : "(not known any more)");
    (void)printf("%sblock         %lld, %s, %s\n", indent,
                 (long long)json_integer_value(json_object_get(a, "block")), text_of(a, "time"),
                 text_of(a, "block_hash"));
    (void)printf("%sprevious root %s\n%scurrent root  %s\n", indent, text_of(a, "previous_root"), indent,
                 text_of(a, "root"));
}

/* ---- verify ---- */

static json_t *anchored_json(const char *name, const struct csl_anchored *a) {
    struct csl_outbox_mined m = {.block = a->newest.block, .time_s = a->newest.time_s};
    memcpy(m.tx, a->event.tx, sizeof m.tx);
    memcpy(m.block_hash, a->event.block_hash, sizeof m.block_hash);
    return json_pack("{s:s, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "site", name, "asked",
                     (int)a->asked, "whole", (int)a->whole, "beyond", (json_int_t)a->n_beyond, "entries",
                     (json_int_t)a->entries, "anchored", (json_int_t)a->covered, "anchors",
                     (json_int_t)a->n_anchors, "final", (json_int_t)a->n_final, "compared",
                     (json_int_t)a->n_compared, "newest",
                     a->newest.is.size == 0 ? json_null()
                                            : anchor_json(a->newest.index, &a->event.previous, &a->newest.is,
                                                          &m, "the chain", true));
}

static long long number_of(const json_t *o, const char *key) {
    return (long long)json_integer_value(json_object_get(o, key));
}

static void print_one(const json_t *a) {
    const json_t *newest = json_object_get(a, "newest");
    (void)printf("anchored      %s: ", text_of(a, "site"));
    if (!json_is_true(json_object_get(a, "asked"))) {
        (void)printf("%s\n", json_is_false(json_object_get(a, "asked")) ? "the chain was asked in vain"
                                                                        : "it has no account in the roster");
        return;
    }
    (void)printf("%lld of %lld entries; %lld of %lld anchors compared", number_of(a, "anchored"),
                 number_of(a, "entries"), number_of(a, "compared"), number_of(a, "final"));
    if (number_of(a, "anchors") != number_of(a, "final")) {
        (void)printf(", %lld more not final yet", number_of(a, "anchors") - number_of(a, "final"));
    }
    if (number_of(a, "beyond") != 0) {
        (void)printf("; %lld are of more entries than it shows", number_of(a, "beyond"));
    }
    if (!json_is_true(json_object_get(a, "whole")) &&
        number_of(a, "compared") + number_of(a, "beyond") < number_of(a, "final")) {
        (void)printf("; a bundle of the whole ledger would show more");
    }
    (void)printf("\n");
    if (json_is_object(newest)) {
        csl_chain_print_anchor(newest, "              ");
    }
}

void csl_chain_print_verified(const json_t *doc) {
    for (size_t i = 0; i < json_array_size(doc); i++) {
        print_one(json_array_get(doc, i));
    }
}

static enum csl_err verify_one(json_t *all, struct csl_audit_report *r, const struct csl_roster *roster,
                               const struct csl_auditee *auditee, const struct csl_member *m,
                               const csl_bundle *b, const struct csl_chain_node *node,
                               struct csl_diag *diag) {
    struct csl_rpc rpc;
    struct csl_contract c;
    struct csl_anchored a;
    struct csl_anchored_site site = {
        .member = auditee, .account = m->account, .consortium = roster->consortium};
    if (!m->has_account) {
        return json_array_append_new(all, json_pack("{s:s, s:n}", "site", m->name, "anchored")) == 0
                   ? CSL_OK
                   : CSL_ENOMEM;
    }
    node_rpc(&rpc, &c, roster, node);
    TRY(csl_anchored_verify(&a, r, &c, roster->chain.confirmations, &site, b, diag));
    return json_array_append_new(all, anchored_json(m->name, &a)) == 0 ? CSL_OK : CSL_ENOMEM;
}

enum csl_err csl_chain_verify(json_t **doc, struct csl_audit_report *r, const struct csl_roster *roster,
                              const struct csl_auditee *members, csl_bundle *const *bundles, size_t n_bundles,
                              const struct csl_chain_node *node, struct csl_diag *diag) {
    *doc = NULL;
    TRY(need_chain(roster, diag));
    json_t *all = json_array();
    enum csl_err err = all == NULL ? CSL_ENOMEM : CSL_OK;
    for (size_t i = 0; err == CSL_OK && i < n_bundles; i++) {
        const struct csl_member *m = csl_roster_member(roster, bundles[i]->site);
        if (m != NULL) { /* otherwise the verification has said so */
            err = verify_one(all, r, roster, &members[m - roster->members], m, bundles[i], node, diag);
        }
    }
    if (err == CSL_OK) {
        *doc = all;
    } else {
        json_decref(all);
    }
    return err;
}

/* ---- show ---- */

static enum csl_err from_chain(json_t **out, const struct csl_context *ctx, uint64_t leaf,
                               const struct csl_chain_node *node, struct csl_diag *diag) {
    struct csl_rpc rpc;
    struct csl_contract c;
    struct csl_anchor_entry entry;
    struct csl_anchor_event event = {.previous = {.size = 0}};
    uint64_t confirmations = 0;
    char origin[CSL_ORIGIN_MAX + 1];
    bool found = false;
    node_rpc(&rpc, &c, &ctx->roster, node);
    csl_logbook_origin(origin, &ctx->roster, ctx->self->name);
    TRY(csl_anchored_covering(&entry, &event, &confirmations, &found, &c, ctx->self->account, origin, leaf,
                              diag));
    if (found) {
        struct csl_outbox_mined m = {.block = entry.block, .time_s = entry.time_s};
        memcpy(m.tx, event.tx, sizeof m.tx);
        memcpy(m.block_hash, event.block_hash, sizeof m.block_hash);
        *out = anchor_json(entry.index, &event.previous, &entry.is, &m, "as the chain has it",
                           confirmations >= ctx->roster.chain.confirmations);
    }
    return CSL_OK;
}

static enum csl_err from_outbox(json_t **out, const struct csl_context *ctx, uint64_t leaf,
                                struct csl_diag *diag) {
    char state[CSL__PATH_MAX], dir[CSL__PATH_MAX];
    struct csl_outbox_anchor a;
    bool found = false;
    TRY(csl__path(state, ctx->dir, "state/anchor", diag));
    TRY(csl_anchor_dir(dir, state, ctx->roster.chain.id, ctx->roster.chain.contract, ctx->self->account,
                       diag));
    TRY(csl_outbox_covering(&a, &found, dir, leaf, diag));
    if (found) {
        *out = anchor_json(a.index, &a.previous, &a.is, &a.mined, "as this site's outbox says", a.final);
    }
    return CSL_OK;
}

enum csl_err csl_chain_anchor_of(json_t **out, const struct csl_context *ctx, uint64_t leaf,
                                 const struct csl_chain_node *node, struct csl_diag *diag) {
    *out = json_null();
    if (node->url != NULL) {
        TRY(need_chain(&ctx->roster, diag));
    }
    if (ctx->roster.chain.id == 0 || !ctx->self->has_account) {
        return CSL_OK;
    }
    TRY(node->url != NULL ? from_chain(out, ctx, leaf, node, diag) : from_outbox(out, ctx, leaf, diag));
    return *out == NULL ? CSL_ENOMEM : CSL_OK;
}
