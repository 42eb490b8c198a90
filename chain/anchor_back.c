/* Blocks that are gone, and nodes that show less than was seen before. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "chain/anchor_internal.h"

enum csl_err csl__anchor_is_canonical(bool *yes, const struct csl_anchor *a, uint64_t number,
                                      const uint8_t hash[CSL_HASH_BYTES], uint64_t *time_s,
                                      struct csl_diag *diag) {
    struct csl_block b;
    bool found = false;
    *yes = false;
    TRY(csl_rpc_block(a->opt.contract.rpc, &b, &found,
                      &(const struct csl_block_at){.kind = CSL_AT_NUMBER, .number = number}, diag));
    *yes = found && memcmp(b.hash, hash, CSL_HASH_BYTES) == 0;
    if (*yes && time_s != NULL) {
        *time_s = b.timestamp;
    }
    return CSL_OK;
}

/* What was seen may have been a lie, or be undone on a chain that makes no blocks until we send something: to
 * wait for ever would be wrong. To go on is safe whoever is right: the contract takes nothing twice, and the
 * next checkpoint covers all entries. It may cost the gas of a transaction that the contract refuses. */
enum csl_err csl__anchor_behind(struct csl_anchor *a, bool *go_on, struct csl_diag *diag, const char *fmt,
                                ...) {
    char what[256];
    va_list ap;
    int64_t now = csl__anchor_now(a);
    va_start(ap, fmt);
    (void)vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    if (a->box->behind_s == 0 || a->box->behind_s > now) { /* a clock may be put back */
        a->box->behind_s = now;
        TRY(csl_outbox_save(a->box, diag));
    }
    int64_t waited = now - a->box->behind_s;
    *go_on = waited >= (int64_t)a->opt.limits.behind_s;
    if (*go_on) {
        csl__anchor_say(a, "%s, for %lld s now: what the contract holds is continued", what,
                        (long long)waited);
        return CSL_OK;
    }
    return csl_fail(
        diag, CSL_ESTALE,
        "%s; try again. When it stays so for %lu s (--behind), what the contract holds is continued", what,
        (unsigned long)a->opt.limits.behind_s);
}

enum csl_err csl__anchor_back_to_waiting(struct csl_anchor *a, size_t from, struct csl_diag *diag) {
    struct csl_outbox *o = a->box;
    csl__anchor_say(a, "block %llu was reorganised away: the anchor of %llu entries waits again",
                    (unsigned long long)o->entries[from].mined.block,
                    (unsigned long long)o->entries[from].is.size);
    for (size_t i = from; i < o->n; i++) {
        struct csl_outbox_entry *e = &o->entries[i];
        if (e->n_variants == 0 && e->state == CSL_OUTBOX_MINED) {
            csl_outbox_cut(o, i);
            break;
        }
        e->state = e->n_variants == 0 ? CSL_OUTBOX_QUEUED : CSL_OUTBOX_SIGNED;
        memset(&e->mined, 0, sizeof e->mined);
    }
    return csl_outbox_save(o, diag);
}

enum csl_err csl__anchor_check_blocks(struct csl_anchor *a, struct csl_diag *diag) {
    for (size_t i = 0; i < a->box->n && a->box->entries[i].state == CSL_OUTBOX_MINED; i++) {
        const struct csl_outbox_mined *m = &a->box->entries[i].mined;
        bool there = false, go_on = false;
        TRY(csl__anchor_is_canonical(&there, a, m->block, m->block_hash, NULL, diag));
        if (!there && a->latest.number < m->block) {
            TRY(csl__anchor_behind(
                a, &go_on, diag,
                "the node is at block %llu and an anchor is in block %llu: it is behind, or "
                "its blocks were taken back",
                (unsigned long long)a->latest.number, (unsigned long long)m->block));
        }
        if (!there) {
            return csl__anchor_back_to_waiting(a, i, diag);
        }
    }
    return CSL_OK;
}

enum csl_err csl__anchor_go_back(struct csl_anchor *a, uint64_t count, const struct csl_anchor_entry *newest,
                                 struct csl_diag *diag) {
    struct csl_outbox *o = a->box;
    bool there = false, go_on = false;
    TRY(csl__anchor_is_canonical(&there, a, o->final_block, o->final_hash, NULL, diag));
    if (there || a->latest.number < o->final_block) {
        TRY(csl__anchor_behind(a, &go_on, diag,
                               "the node shows %llu anchors, and %llu are final: it is behind",
                               (unsigned long long)count, (unsigned long long)o->n_final));
    }
    struct csl_block b = {.number = 0};
    bool found = count == 0;
    if (count != 0) {
        TRY(csl_rpc_block(a->opt.contract.rpc, &b, &found,
                          &(const struct csl_block_at){.kind = CSL_AT_NUMBER, .number = newest->block},
                          diag));
    }
    if (!found) {
        return csl_fail(diag, CSL_ESTALE, "the node does not show block %llu, which has an anchor; try again",
                        (unsigned long long)newest->block);
    }
    if (!go_on) {
        csl__anchor_say(a,
                        "block %llu with a final anchor was reorganised away: more blocks than the roster's "
                        "confirmations; the chain's %llu anchors are continued",
                        (unsigned long long)o->final_block, (unsigned long long)count);
    }
    csl_outbox_cut(o, 0);
    o->n_final = count;
    o->final = newest->is;
    o->final_block = newest->block;
    memcpy(o->final_hash, b.hash, CSL_HASH_BYTES); /* zero without a block */
    TRY(csl_outbox_save(o, diag));
    return csl_outbox_cut_finals(o, diag);
}
