/* One site's bundle as a ledger: its checkpoints, the proofs between them, and the leaves that are included.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/verify_internal.h"

bool csl__read_note(struct csl__verify *v, struct csl_note *note, const struct csl_auditee *of,
                    const char *text, const char *where) {
    struct csl_diag diag = {""};
    char origin[CSL_ORIGIN_MAX + 1];
    csl_audit_origin(origin, v->world->consortium, of->name);
    enum csl_err err = csl_note_parse(note, text, strlen(text), &diag);
    if (err == CSL_OK && strcmp(note->checkpoint.origin, origin) != 0) {
        err = csl_fail(&diag, CSL_EDATA, "it is of \"%.80s\", not of \"%.80s\"", note->checkpoint.origin,
                       origin);
    }
    if (err == CSL_OK) {
        v->report->signatures++;
        err = csl_note_verify(note, of->name, of->sign_key, &diag);
    }
    if (err == CSL_EDATA || err == CSL_EAUTH) {
        csl__find(v, CSL_VERDICT_MISMATCH, of->name, NULL, 0,
                  "%s: a checkpoint of %s does not verify: %.200s", where, of->name, diag.text);
        return false;
    }
    return !csl__failed(v, err);
}

void csl__read_sighting(struct csl__verify *v, struct csl__site *site, const char *of, const char *text,
                        const char *where) {
    const struct csl_auditee *member = csl__member(v, of);
    struct csl_note *note = csl__calloc(v, 1, sizeof *note);
    if (note != NULL && member == NULL) {
        csl__find(v, CSL_VERDICT_MISMATCH, site->member->name, NULL, 0,
                  "%s: a checkpoint of \"%.40s\", who is not in the roster", where, of);
    } else if (note != NULL && member != NULL && csl__read_note(v, note, member, text, where)) {
        csl__sight(v, member, site->member, NULL, &note->checkpoint);
    }
    free(note);
}

/* ---- Checkpoints ---- */

static bool has_line(const struct csl_note *note, const char *name) {
    for (size_t i = 0; i < note->n_signatures; i++) {
        if (note->signatures[i].cosignature && strcmp(note->signatures[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* How many members have cosigned it. */
static size_t cosigners(struct csl__verify *v, const struct csl__site *site, const struct csl_note *note) {
    size_t n = 0;
    for (size_t i = 0; v->err == CSL_OK && i < v->world->n_members; i++) {
        const struct csl_auditee *m = &v->world->members[i];
        if (m == site->member || !has_line(note, m->name)) {
            continue;
        }
        v->report->signatures++;
        enum csl_err err = csl_note_verify_cosignature(note, m->name, m->sign_key, NULL);
        if (err == CSL_EAUTH) {
            csl__find(v, CSL_VERDICT_MISMATCH, site->member->name, NULL, 0,
                      "%s's ledger: the cosignature of %s on the checkpoint of %llu entries does not verify",
                      site->member->name, m->name, (unsigned long long)note->checkpoint.size);
        } else if (!csl__failed(v, err)) {
            n++;
        }
    }
    return n;
}

/* That the chain's last checkpoint continues the one before it. A proof that fails proves nothing: anybody
 * could have changed it. */
static void check_step(struct csl__verify *v, const struct csl__site *site,
                       const Csl__Audit__BundleCheckpoint *proven) {
    uint8_t proof[CSL_MERKLE_PROOF_MAX][CSL_MERKLE_BYTES];
    const struct csl_checkpoint *a = &site->chain[site->n_chain - 2], *b = &site->chain[site->n_chain - 1];
    for (size_t i = 0; i < proven->n_proof; i++) {
        memcpy(proof[i], proven->proof[i].data, CSL_MERKLE_BYTES);
    }
    enum csl_err err =
        a->size >= b->size
            ? CSL_EAUTH
            : csl_merkle_verify_consistency(a->root, a->size, b->root, b->size,
                                            (const uint8_t(*)[CSL_MERKLE_BYTES])proof, proven->n_proof);
    if (err == CSL_EAUTH) {
        csl__find(v, CSL_VERDICT_MISMATCH, site->member->name, NULL, 0,
                  "%s's ledger: nothing proves that the checkpoint of %llu entries continues that of %llu",
                  site->member->name, (unsigned long long)b->size, (unsigned long long)a->size);
    } else {
        (void)csl__failed(v, err);
    }
}

/* Whether the newest checkpoint verifies. */
static bool read_chain(struct csl__verify *v, struct csl__site *site, struct csl_note *note) {
    const csl_bundle *b = site->b;
    char where[CSL_NOTE_NAME_MAX + 16];
    (void)snprintf(where, sizeof where, "%s's ledger", site->member->name);
    bool good = false;
    for (size_t i = 0; v->err == CSL_OK && i < b->n_checkpoints; i++) {
        bool before = good;
        good = csl__read_note(v, note, site->member, b->checkpoints[i]->note, where);
        if (!good) {
            continue;
        }
        site->chain[site->n_chain++] = note->checkpoint;
        if (before) {
            check_step(v, site, b->checkpoints[i - 1]);
        }
        size_t n = cosigners(v, site, note);
        if (i + 1 == b->n_checkpoints && n < v->report->cosigned) {
            v->report->cosigned = n;
        }
    }
    return good;
}

/* ---- Leaves ---- */

static bool included(struct csl__verify *v, struct csl__site *site, size_t i) {
    const Csl__Audit__BundleLeaf *m = site->b->leaves[i];
    const struct csl_checkpoint *newest = &site->chain[site->n_chain - 1];
    uint8_t proof[CSL_MERKLE_PROOF_MAX][CSL_MERKLE_BYTES];
    for (size_t k = 0; k < m->n_proof; k++) {
        memcpy(proof[k], m->proof[k].data, CSL_MERKLE_BYTES);
    }
    bool rising = i == 0 || site->b->leaves[i - 1]->index < m->index;
    enum csl_err err = csl_merkle_leaf(site->hashes[i], m->leaf.data, m->leaf.len);
    if (err == CSL_OK) {
        err = !rising ? CSL_EAUTH
                      : csl_merkle_verify_inclusion(newest->root, newest->size, site->hashes[i], m->index,
                                                    (const uint8_t(*)[CSL_MERKLE_BYTES])proof, m->n_proof);
    }
    if (err == CSL_EAUTH) {
        csl__find(v, CSL_VERDICT_MISMATCH, site->member->name, NULL, 0,
                  "%s's ledger: entry %llu is not the one that the checkpoint of %llu entries has there",
                  site->member->name, (unsigned long long)m->index, (unsigned long long)newest->size);
        return false;
    }
    return !csl__failed(v, err);
}

static void read_leaf(struct csl__verify *v, struct csl__site *site, size_t i) {
    struct csl_diag diag = {""};
    const Csl__Audit__BundleLeaf *m = site->b->leaves[i];
    if (!included(v, site, i)) {
        return;
    }
    v->report->leaves++;
    if (m->index == site->tree.n && csl__failed(v, csl_merkle_append(&site->tree, site->hashes[i]))) {
        return;
    }
    enum csl_err err = csl_leaf_decode(&site->leaves[i], m->leaf.data, m->leaf.len, &diag);
    if (err == CSL_EDATA) {
        csl__find(v, CSL_VERDICT_MISMATCH, site->member->name, NULL, 0,
                  "%s's ledger: entry %llu is malformed: %.200s", site->member->name,
                  (unsigned long long)m->index, diag.text);
    } else {
        (void)csl__failed(v, err);
    }
}

static void read_leaves(struct csl__verify *v, struct csl__site *site) {
    for (size_t i = 0; v->err == CSL_OK && i < site->b->n_leaves; i++) {
        read_leaf(v, site, i);
    }
    uint64_t size = site->chain[site->n_chain - 1].size;
    if (site->b->session_id.len == 0 && site->tree.n < size) {
        csl__find(v, CSL_VERDICT_INCOMPLETE, site->member->name, NULL, 0,
                  "%s's ledger: the bundle is of the whole ledger, and entry %llu of %llu is missing in it",
                  site->member->name, (unsigned long long)site->tree.n, (unsigned long long)size);
    }
}

/* ---- A bundle ---- */

static bool is_of_roster(struct csl__verify *v, struct csl__site *site) {
    struct csl_diag diag = {""};
    enum csl_err err = csl__bundle_check(site->b, "bundle", &diag);
    if (err != CSL_OK) {
        csl__find(v, CSL_VERDICT_MISMATCH, "", NULL, 0, "a bundle is malformed: %.300s", diag.text);
        return false;
    }
    site->member = csl__member(v, site->b->site);
    if (site->member == NULL) {
        csl__find(v, CSL_VERDICT_MISMATCH, "", NULL, 0, "a bundle is of \"%.40s\", who is not in the roster",
                  site->b->site);
        return false;
    }
    if (!csl__is(&site->b->roster_digest, v->world->roster_digest)) {
        csl__find(v, CSL_VERDICT_MISMATCH, site->member->name, NULL, 0,
                  "the bundle of %s was exported under another roster; verify with that one",
                  site->member->name);
    }
    return true;
}

void csl__read_site(struct csl__verify *v, struct csl__site *site) {
    csl_merkle_tree_init(&site->tree);
    if (!is_of_roster(v, site)) {
        site->member = NULL;
        v->report->cosigned = 0;
        return;
    }
    const csl_bundle *b = site->b;
    site->chain = csl__calloc(v, b->n_checkpoints, sizeof *site->chain);
    site->leaves = csl__calloc(v, b->n_leaves, sizeof(csl_leaf *));
    site->hashes = csl__calloc(v, b->n_leaves, sizeof *site->hashes);
    struct csl_note *note = csl__calloc(v, 1, sizeof *note);
    if (v->err == CSL_OK && b->n_checkpoints == 0) {
        v->report->cosigned = 0;
        csl__find(v, CSL_VERDICT_INCOMPLETE, site->member->name, NULL, 0,
                  "the bundle of %s holds no checkpoint", site->member->name);
    } else if (v->err == CSL_OK && read_chain(v, site, note)) {
        csl__sight(v, site->member, site->member, site, &site->chain[site->n_chain - 1]);
        read_leaves(v, site);
    } else {
        v->report->cosigned = 0;
    }
    free(note);
    for (size_t i = 0; v->err == CSL_OK && i < b->n_seen; i++) {
        char where[2 * CSL_NOTE_NAME_MAX];
        (void)snprintf(where, sizeof where, "%s's ledger, what it cosigned", site->member->name);
        csl__read_sighting(v, site, b->seen[i]->who, b->seen[i]->note, where);
    }
}

void csl__free_site(struct csl__site *site) {
    for (size_t i = 0; site->leaves != NULL && i < site->b->n_leaves; i++) {
        csl_leaf_free(site->leaves[i]);
    }
    for (struct csl__shown *s = site->shown, *next; s != NULL; s = next) {
        next = s->next;
        free(s);
    }
    for (struct csl__kept *k = site->all_kept, *next; k != NULL; k = next) {
        next = k->next;
        free(k->inputs);
        free(k->outputs);
        free(k);
    }
    free(site->chain);
    free(site->leaves);
    free(site->hashes);
    csl_merkle_tree_clear(&site->tree);
    free(site->models.slots);
    free(site->by_id.slots);
    free(site->by_statement.slots);
    free(site->kept.slots);
    free(site->dealt.slots);
}
