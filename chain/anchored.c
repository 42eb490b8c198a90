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

/* ---- What the chain has, entry by entry ---- */

/* Contradicting anchors whose transactions are looked for: so many of the oldest and of the newest. */
enum { TRIES = 64 };

struct judging {
    struct csl_anchored *out;
    const struct shown *shown;
    const struct csl_contract *c;
    const struct csl_anchored_site *site;
    const uint8_t *origin;
    uint32_t confirmations;
    uint64_t latest; /* block */
    struct csl_anchor_entry last;
    /* The first that contradicts, and why its transaction proves nothing; or the first that is proven. */
    struct csl_anchor_entry against;
    struct csl_anchor_event event;
    struct csl_diag why;
    bool proven;
    uint64_t n_against;
    struct csl_anchor_entry newest[TRIES]; /* that contradict and were not tried, a ring */
    uint64_t n_newest;
};

/* Whether the account signed it. Everybody can sign with some keys: that proves nothing. */
static enum csl_err try_proof(struct judging *j, const struct csl_anchor_entry *e) {
    struct csl_anchor_event event = {.previous = {.size = 0}};
    struct csl_diag why = {""};
    bool proven = false;
    if (j->proven || csl_address_is_well_known(j->site->account)) {
        return CSL_OK;
    }
    enum csl_err err = csl__contract_signed(&proven, &event, j->c, e, j->site->account, j->origin, &why);
    if (proven) {
        j->proven = true;
        j->against = *e;
        j->event = event;
    } else if (j->n_against == 1) {
        j->why = why;
    }
    return err == CSL_ENOMEM ? err : CSL_OK;
}

static enum csl_err contradicts(struct judging *j, const struct csl_anchor_entry *e) {
    if (j->n_against++ == 0) {
        j->against = *e;
    }
    if (j->n_against > TRIES) {
        j->newest[j->n_newest++ % TRIES] = *e;
        return CSL_OK;
    }
    return try_proof(j, e);
}

static enum csl_err judge_one(void *arg, const struct csl_anchor_entry *e, bool *enough,
                              struct csl_diag *diag) {
    struct judging *j = arg;
    struct csl_anchored *out = j->out;
    enum fit fit;
    (void)diag;
    if (!csl__contract_is_final(e->block, j->latest, j->confirmations)) {
        *enough = true; /* blocks rise */
        return CSL_OK;
    }
    j->last = *e;
    out->n_final++;
    TRY(compare(&fit, j->shown, &e->is));
    out->n_beyond += fit == BEYOND ? 1 : 0;
    out->n_compared += fit == FITS || fit == DIFFERS ? 1 : 0;
    if (fit == DIFFERS) {
        return contradicts(j, e);
    }
    if (fit == FITS && j->n_against == 0) {
        out->newest = *e;
        out->covered = e->is.size;
    }
    return CSL_OK;
}

/* The newest first: nodes forget the old ones. */
static enum csl_err try_newest(struct judging *j) {
    uint64_t n = j->n_newest < TRIES ? j->n_newest : TRIES;
    for (uint64_t i = 0; i < n && !j->proven; i++) {
        TRY(try_proof(j, &j->newest[(j->n_newest - 1 - i) % TRIES]));
    }
    return CSL_OK;
}

static enum csl_err read_all(struct judging *j, struct csl_diag *diag) {
    struct csl_anchor_entry newest;
    struct csl_block latest;
    bool found = false;
    TRY(csl_contract_check(j->c, diag));
    TRY(csl_rpc_block(j->c->rpc, &latest, &found, CSL_LATEST, diag));
    if (!found) {
        return csl_fail(diag, CSL_EPROTO, "the node has no latest block");
    }
    const struct csl_block_at at = {.kind = CSL_AT_NUMBER, .number = latest.number};
    j->latest = latest.number;
    TRY(csl_contract_head(j->c, &j->out->n_anchors, &newest, j->site->account, j->origin, &at, diag));
    return csl_contract_each(j->c, 0, j->out->n_anchors, j->site->account, j->origin, &at, judge_one, j,
                             diag);
}

/* ---- Findings ---- */

static enum csl_err differs(struct csl_audit_report *report, const struct judging *j) {
    char tx[CSL_HASH_ROOM], account[CSL_ADDRESS_ROOM];
    const struct csl_anchor_entry *e = &j->against;
    const char *name = j->site->member->name;
    unsigned long long index = e->index, size = e->is.size, block = e->block;
    csl_hex0x_text(tx, j->event.tx, sizeof j->event.tx);
    csl_address_text(account, j->site->account);
    if (csl_address_is_well_known(j->site->account)) {
        return csl_audit_find(
            report, CSL_VERDICT_MISMATCH, name, NULL, 0,
            "%s's ledger has another root at %llu entries than anchor %llu, but everybody has the "
            "key of its account %s: that proves nothing",
            name, size, index, account);
    }
    if (j->proven) {
        return csl_audit_find(
            report, CSL_VERDICT_ATTRIBUTABLE, name, NULL, 0,
            "%s shows a ledger that contradicts its anchor %llu: its account %s signed another "
            "root of the first %llu entries (transaction %s)",
            name, index, account, size, tx);
    }
    return csl_audit_find(
        report, CSL_VERDICT_MISMATCH, name, NULL, 0,
        "%s's ledger has another root at %llu entries than anchor %llu in block %llu, and no transaction "
        "that its account signed proves it: ask another node%s%.200s",
        name, size, index, block, j->why.text[0] == '\0' ? "" : ": ", j->why.text);
}

static enum csl_err not_asked(struct csl_audit_report *report, const struct csl_anchored_site *site,
                              uint64_t n_seen, const struct csl_diag *why) {
    return n_seen == 0
               ? csl_audit_find(report, CSL_VERDICT_INCOMPLETE, site->member->name, NULL, 0,
                                "the anchors of %s were not looked at: %.400s", site->member->name, why->text)
               : csl_audit_find(report, CSL_VERDICT_INCOMPLETE, site->member->name, NULL, 0,
                                "only the first %llu anchors of %s were looked at: %.400s",
                                (unsigned long long)n_seen, site->member->name, why->text);
}

/* Nothing says that the ledger is another than was anchored, and nothing that it is the same. */
static enum csl_err not_compared(struct csl_audit_report *report, const struct judging *j) {
    const char *name = j->site->member->name;
    unsigned long long n = j->out->n_final, entries = j->out->entries;
    if (j->last.is.size > j->out->entries) {
        return csl_audit_find(
            report, CSL_VERDICT_INCOMPLETE, name, NULL, 0,
            "%s shows %llu entries, and %llu were anchored (block %llu): ask for its newest bundle", name,
            entries, (unsigned long long)j->last.is.size, (unsigned long long)j->last.block);
    }
    if (n != 0 && j->out->n_compared == 0) {
        return csl_audit_find(
            report, CSL_VERDICT_INCOMPLETE, name, NULL, 0,
            "none of the %llu anchors of %s could be compared: its bundle has neither all entries nor a "
            "checkpoint of an anchor's size; ask for a bundle of the whole ledger",
            n, name);
    }
    return CSL_OK;
}

static enum csl_err judge(struct csl_audit_report *report, struct judging *j) {
    struct csl_diag why = {""};
    enum csl_err err = read_all(j, &why);
    if (err == CSL_ENOMEM || err == CSL_EINTERNAL) {
        return err;
    }
    j->out->asked = err == CSL_OK;
    if (err != CSL_OK) {
        TRY(not_asked(report, j->site, j->out->n_final, &why));
    }
    TRY(try_newest(j));
    if (j->n_against != 0) {
        TRY(differs(report, j));
    }
    return err == CSL_OK ? not_compared(report, j) : CSL_OK;
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
    enum csl_err err;
    struct judging *j = calloc(1, sizeof *j);
    memset(out, 0, sizeof *out);
    csl_merkle_tree_init(&s.tree);
    csl_audit_origin(text, site->consortium, site->member->name);
    TRY_OUT(csl_contract_origin(origin, text));
    TRY_OUT(take_checkpoints(&s, site, bundle));
    TRY_OUT(take_entries(&s, bundle));
    if (j == NULL) {
        err = CSL_ENOMEM;
        goto out;
    }
    *j = (struct judging){
        .out = out, .shown = &s, .c = c, .site = site, .origin = origin, .confirmations = confirmations};
    out->entries = s.newest.size;
    out->whole = s.whole;
    TRY_OUT(judge(report, j));
    TRY_OUT(add_event(out, c, site->account, origin));
out:
    free(j);
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
