/* Anchors on the chain against the ledger that a site showed. */
#include "chain/anchored.h"

#include <stdlib.h>
#include <string.h>

#include "chain/contract_internal.h"

/* ---- The ledger as it was shown ---- */

struct shown {
    struct csl_checkpoint newest;
    struct csl_merkle_tree tree; /* of all its entries, when `whole` */
    bool whole;
    struct csl_checkpoint *checkpoints; /* that the site signed */
    size_t n;
};

/* Only what the site signed counts. */
static enum csl_err take_checkpoints(struct shown *s, const struct csl_anchored_site *site,
                                     const csl_bundle *b) {
    char origin[CSL_ORIGIN_MAX + 1];
    struct csl_diag ignored;
    csl_audit_origin(origin, site->consortium, site->member->name);
    struct csl_note *note = calloc(1, sizeof *note);
    s->checkpoints = calloc(b->n_checkpoints + 1, sizeof *s->checkpoints);
    enum csl_err err = note == NULL || s->checkpoints == NULL ? CSL_ENOMEM : CSL_OK;
    for (size_t i = 0; err == CSL_OK && i < b->n_checkpoints; i++) {
        const char *text = b->checkpoints[i]->note;
        err = csl_note_parse(note, text, strlen(text), &ignored);
        if (err == CSL_OK && strcmp(note->checkpoint.origin, origin) != 0) {
            err = CSL_EDATA;
        }
        err =
            err == CSL_OK ? csl_note_verify(note, site->member->name, site->member->sign_key, &ignored) : err;
        if (err == CSL_OK) {
            s->checkpoints[s->n++] = note->checkpoint;
            s->newest = note->checkpoint.size >= s->newest.size ? note->checkpoint : s->newest;
        }
        err = err == CSL_EDATA || err == CSL_EAUTH ? CSL_OK : err; /* audit/verify.h has said so */
    }
    free(note);
    return err;
}

/* All entries from the first on, and they are those that the newest checkpoint signs. */
static enum csl_err take_entries(struct shown *s, const csl_bundle *b) {
    uint8_t hash[CSL_MERKLE_BYTES], root[CSL_MERKLE_BYTES];
    if (s->newest.size == 0 || b->n_leaves != s->newest.size) {
        return CSL_OK;
    }
    for (size_t i = 0; i < b->n_leaves; i++) {
        if (b->leaves[i]->index != i) {
            return CSL_OK;
        }
        TRY(csl_merkle_leaf(hash, b->leaves[i]->leaf.data, b->leaves[i]->leaf.len));
        TRY(csl_merkle_append(&s->tree, hash));
    }
    TRY(csl_merkle_tree_root(root, &s->tree, s->newest.size));
    s->whole = memcmp(root, s->newest.root, sizeof root) == 0;
    return CSL_OK;
}

static void clear_shown(struct shown *s) {
    csl_merkle_tree_clear(&s->tree);
    free(s->checkpoints);
}

enum fit { FITS, DIFFERS, BEYOND, NO_SAYING };

static enum csl_err compare(enum fit *fit, const struct shown *s, const struct csl_anchor_root *a) {
    uint8_t root[CSL_MERKLE_BYTES];
    *fit = a->size > s->newest.size ? BEYOND : NO_SAYING;
    if (s->whole && *fit != BEYOND) {
        TRY(csl_merkle_tree_root(root, &s->tree, a->size));
        *fit = memcmp(root, a->root, sizeof root) == 0 ? FITS : DIFFERS;
    }
    for (size_t i = 0; i < s->n; i++) {
        if (s->checkpoints[i].size == a->size) {
            bool same = memcmp(s->checkpoints[i].root, a->root, sizeof a->root) == 0;
            *fit = !same || *fit == DIFFERS ? DIFFERS : FITS;
        }
    }
    return CSL_OK;
}

/* ---- What the chain has ---- */

struct on_chain {
    struct csl_anchor_entry *entries;
    uint64_t n, n_final;
};

static enum csl_err read_all(struct on_chain *o, const struct csl_contract *c, uint32_t confirmations,
                             const uint8_t *account, const uint8_t *origin, struct csl_diag *diag) {
    struct csl_anchor_entry newest;
    struct csl_block latest;
    bool found = false;
    TRY(csl_contract_check(c, diag));
    TRY(csl_rpc_block(c->rpc, &latest, &found, CSL_LATEST, diag));
    if (!found) {
        return csl_fail(diag, CSL_EPROTO, "the node has no latest block");
    }
    const struct csl_block_at at = {.kind = CSL_AT_NUMBER, .number = latest.number};
    TRY(csl_contract_head(c, &o->n, &newest, account, origin, &at, diag));
    TRY(csl_contract_entries(c, &o->entries, 0, o->n, account, origin, &at, diag));
    o->n_final = o->n;
    while (o->n_final != 0 && latest.number + 1 < o->entries[o->n_final - 1].block + confirmations) {
        o->n_final--;
    }
    return CSL_OK;
}

/* ---- Findings ---- */

static enum csl_err differs(struct csl_audit_report *report, const struct csl_contract *c,
                            const struct csl_anchor_entry *e, const struct csl_anchored_site *site,
                            const uint8_t *origin) {
    struct csl_diag why = {""};
    struct csl_anchor_event event = {.previous = {.size = 0}};
    char tx[CSL_HASH_ROOM], account[CSL_ADDRESS_ROOM];
    bool proven = false;
    enum csl_err err = csl__contract_signed(&proven, &event, c, e, site->account, origin, &why);
    if (err == CSL_ENOMEM) {
        return err;
    }
    csl_hex0x_text(tx, event.tx, sizeof event.tx);
    csl_address_text(account, site->account);
    if (csl_address_is_well_known(site->account)) {
        return csl_audit_find(
            report, CSL_VERDICT_MISMATCH, site->member->name, NULL, 0,
            "%s's ledger has another root at %llu entries than anchor %llu, but everybody has the "
            "key of its account %s: that proves nothing",
            site->member->name, (unsigned long long)e->is.size, (unsigned long long)e->index, account);
    }
    if (proven) {
        return csl_audit_find(
            report, CSL_VERDICT_ATTRIBUTABLE, site->member->name, NULL, 0,
            "%s shows a ledger that contradicts its anchor %llu: its account %s signed another "
            "root of the first %llu entries (transaction %s)",
            site->member->name, (unsigned long long)e->index, account, (unsigned long long)e->is.size, tx);
    }
    return csl_audit_find(
        report, CSL_VERDICT_MISMATCH, site->member->name, NULL, 0,
        "%s's ledger has another root at %llu entries than anchor %llu in block %llu, and the node "
        "does not show the signed transaction: ask another node%s%.200s",
        site->member->name, (unsigned long long)e->is.size, (unsigned long long)e->index,
        (unsigned long long)e->block, why.text[0] == '\0' ? "" : ": ", why.text);
}

static enum csl_err not_asked(struct csl_audit_report *report, const struct csl_anchored_site *site,
                              const struct csl_diag *why) {
    return csl_audit_find(report, CSL_VERDICT_INCOMPLETE, site->member->name, NULL, 0,
                          "the anchors of %s were not looked at: %.400s", site->member->name, why->text);
}

static enum csl_err judge(struct csl_anchored *out, struct csl_audit_report *report,
                          const struct csl_contract *c, const struct on_chain *o, const struct shown *s,
                          const struct csl_anchored_site *site, const uint8_t *origin) {
    bool bad = false;
    for (uint64_t i = 0; i < o->n_final; i++) {
        const struct csl_anchor_entry *e = &o->entries[i];
        enum fit fit;
        TRY(compare(&fit, s, &e->is));
        if (fit == DIFFERS && !bad) { /* those behind it differ, too */
            bad = true;
            TRY(differs(report, c, e, site, origin));
        }
        out->n_compared += fit == FITS || fit == DIFFERS ? 1 : 0;
        if (fit == FITS && !bad) {
            out->newest = *e;
            out->covered = e->is.size;
        }
    }
    const struct csl_anchor_entry *last = o->n_final == 0 ? NULL : &o->entries[o->n_final - 1];
    if (last != NULL && last->is.size > s->newest.size) {
        return csl_audit_find(
            report, CSL_VERDICT_INCOMPLETE, site->member->name, NULL, 0,
            "%s shows %llu entries, and %llu were anchored (block %llu): ask for its newest bundle",
            site->member->name, (unsigned long long)s->newest.size, (unsigned long long)last->is.size,
            (unsigned long long)last->block);
    }
    return CSL_OK;
}

/* The account's own words first: the event of the newest that fits; a node may have forgotten it. */
static enum csl_err add_event(struct csl_anchored *out, const struct csl_contract *c, const uint8_t *account,
                              const uint8_t *origin) {
    struct csl_diag ignored;
    bool found = false;
    if (out->newest.is.size == 0) {
        return CSL_OK;
    }
    enum csl_err err = csl_contract_event(c, &out->event, &found, &out->newest, account, origin, &ignored);
    return err == CSL_ENOMEM ? err : CSL_OK;
}

enum csl_err csl_anchored_verify(struct csl_anchored *out, struct csl_audit_report *report,
                                 const struct csl_contract *c, uint32_t confirmations,
                                 const struct csl_anchored_site *site, const csl_bundle *bundle,
                                 struct csl_diag *diag) {
    char text[CSL_ORIGIN_MAX + 1];
    uint8_t origin[CSL_CONTRACT_ORIGIN_BYTES];
    struct shown s = {.n = 0};
    struct on_chain o = {.n = 0};
    struct csl_diag why = {""};
    enum csl_err err;
    memset(out, 0, sizeof *out);
    csl_merkle_tree_init(&s.tree);
    csl_audit_origin(text, site->consortium, site->member->name);
    TRY_OUT(csl_contract_origin(origin, text));
    TRY_OUT(take_checkpoints(&s, site, bundle));
    TRY_OUT(take_entries(&s, bundle));
    out->entries = s.newest.size;
    err = read_all(&o, c, confirmations, site->account, origin, &why);
    if (err != CSL_OK && err != CSL_ENOMEM) {
        err = not_asked(report, site, &why);
        goto out;
    }
    TRY_OUT(err);
    out->asked = true;
    out->n_anchors = o.n;
    out->n_final = o.n_final;
    TRY_OUT(judge(out, report, c, &o, &s, site, origin));
    TRY_OUT(add_event(out, c, site->account, origin));
out:
    free(o.entries);
    clear_shown(&s);
    return err == CSL_OK ? CSL_OK
                         : csl_fail(diag, err, "the anchors of %s cannot be verified: %s", site->member->name,
                                    csl_err_text(err));
}

/* ---- For readers ---- */

/* The first with a larger size: sizes rise. */
static enum csl_err search(struct csl_anchor_entry *entry, const struct csl_contract *c, uint64_t count,
                           const uint8_t *account, const uint8_t *origin, const struct csl_block_at *at,
                           uint64_t leaf, struct csl_diag *diag) {
    uint64_t low = 0, high = count - 1; /* the last covers it */
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        struct csl_anchor_entry *e = NULL;
        TRY(csl_contract_entries(c, &e, middle, middle + 1, account, origin, at, diag));
        bool covers = e->is.size > leaf;
        free(e);
        if (covers) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    struct csl_anchor_entry *e = NULL;
    TRY(csl_contract_entries(c, &e, low, low + 1, account, origin, at, diag));
    *entry = *e;
    free(e);
    return CSL_OK;
}

enum csl_err csl_anchored_covering(struct csl_anchor_entry *entry, struct csl_anchor_event *event,
                                   uint64_t *confirmations, bool *found, const struct csl_contract *c,
                                   const uint8_t account[CSL_ADDRESS_BYTES], const char *origin_text,
                                   uint64_t leaf, struct csl_diag *diag) {
    uint8_t origin[CSL_CONTRACT_ORIGIN_BYTES];
    struct csl_block latest;
    uint64_t count = 0;
    bool there = false;
    *found = false;
    TRY(csl_contract_origin(origin, origin_text));
    TRY(csl_contract_check(c, diag));
    TRY(csl_rpc_block(c->rpc, &latest, &there, CSL_LATEST, diag));
    if (!there) {
        return csl_fail(diag, CSL_EPROTO, "the node has no latest block");
    }
    const struct csl_block_at at = {.kind = CSL_AT_NUMBER, .number = latest.number};
    TRY(csl_contract_head(c, &count, entry, account, origin, &at, diag));
    if (count == 0 || entry->is.size <= leaf) {
        memset(entry, 0, sizeof *entry);
        return CSL_OK;
    }
    TRY(search(entry, c, count, account, origin, &at, leaf, diag));
    *confirmations = latest.number < entry->block ? 0 : latest.number - entry->block + 1;
    *found = true;
    /* A node may have forgotten it, as in add_event. */
    struct csl_diag ignored;
    enum csl_err err = csl_contract_event(c, event, &there, entry, account, origin, &ignored);
    return err == CSL_ENOMEM ? csl_fail(diag, err, "out of memory") : CSL_OK;
}
