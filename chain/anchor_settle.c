/* What became of the anchors under way, as the node tells it. */
#include <stdlib.h>
#include <string.h>

#include "chain/anchor_internal.h"
#include "chain/contract_internal.h"

size_t csl__anchor_waiting(const struct csl_anchor *a) {
    size_t i = 0;
    while (i < a->box->n && a->box->entries[i].state == CSL_OUTBOX_MINED) {
        i++;
    }
    return i;
}

/* ---- Receipts ---- */

static enum csl_err take_mined(struct csl_anchor *a, struct csl_outbox_entry *e, const struct csl_receipt *r,
                               struct csl_diag *diag) {
    bool there = false;
    uint64_t time_s = 0;
    TRY(csl__anchor_is_canonical(&there, a, r->block_number, r->block_hash, &time_s, diag));
    if (!there) {
        return CSL_OK; /* of a block that is being reorganised: asked again in the next step */
    }
    csl__anchor_at(a, CSL_POINT_SEEN);
    e->state = CSL_OUTBOX_MINED;
    e->mined = (struct csl_outbox_mined){
        .block = r->block_number, .time_s = time_s, .gas_used = r->gas_used, .gas_price = r->gas_price};
    memcpy(e->mined.tx, r->tx_hash, CSL_HASH_BYTES);
    memcpy(e->mined.block_hash, r->block_hash, CSL_HASH_BYTES);
    a->box->reverts = 0;
    TRY(csl_outbox_save(a->box, diag));
    csl__anchor_at(a, CSL_POINT_MINED);
    csl__anchor_say(a, "%llu entries are anchored in block %llu", (unsigned long long)e->is.size,
                    (unsigned long long)r->block_number);
    return CSL_OK;
}

/* It was mined and the contract refused it; the nonce is used up. What stands in the contract is read next.
 */
static enum csl_err take_reverted(struct csl_anchor *a, size_t i, const struct csl_receipt *r,
                                  struct csl_diag *diag) {
    csl__anchor_say(a, "the anchor of %llu entries was reverted in block %llu, and has cost %llu gas",
                    (unsigned long long)a->box->entries[i].is.size, (unsigned long long)r->block_number,
                    (unsigned long long)r->gas_used);
    a->box->reverts++;
    csl_outbox_cut(a->box, i);
    return csl_outbox_save(a->box, diag);
}

/* The receipt of whichever variant was mined. */
static enum csl_err find_receipt(struct csl_receipt *r, bool *found, const struct csl_anchor *a,
                                 const struct csl_outbox_entry *e, struct csl_diag *diag) {
    *found = false;
    for (size_t k = e->n_variants; !*found && k > 0; k--) {
        TRY(csl_rpc_receipt(a->opt.contract.rpc, r, found, e->variants[k - 1].hash, diag));
    }
    return CSL_OK;
}

static enum csl_err check_receipts(struct csl_anchor *a, struct csl_diag *diag) {
    for (size_t i = csl__anchor_waiting(a); i < a->box->n && a->box->entries[i].state == CSL_OUTBOX_SIGNED;
         i++) {
        struct csl_outbox_entry *e = &a->box->entries[i];
        struct csl_receipt r;
        bool found = false;
        TRY(find_receipt(&r, &found, a, e, diag));
        if (!found) {
            return CSL_OK;
        }
        if (!r.succeeded) {
            bool there = false;
            TRY(csl__anchor_is_canonical(&there, a, r.block_number, r.block_hash, NULL, diag));
            return there ? take_reverted(a, i, &r, diag) : CSL_OK;
        }
        TRY(take_mined(a, e, &r, diag));
        if (e->state != CSL_OUTBOX_MINED) {
            return CSL_OK;
        }
    }
    return CSL_OK;
}

/* ---- What the contract holds ---- */

/* An anchor on the chain that this ledger does not contain. A node can say that of any ledger: only what the
 * account signed ends the anchoring. */
static enum csl_err not_ours(const struct csl_anchor *a, const struct csl_anchor_entry *e, uint64_t size,
                             struct csl_diag *diag) {
    struct csl_anchor_event event;
    struct csl_diag why = {""};
    bool proven = false;
    enum csl_err err =
        csl__contract_signed(&proven, &event, &a->opt.contract, e, a->account, a->origin, &why);
    if (err == CSL_ENOMEM) {
        return csl_fail(diag, err, "out of memory");
    }
    if (!proven) {
        return csl_fail(
            diag, CSL_EPROTO,
            "this node says that the chain has an anchor of %llu entries (block %llu) that is not "
            "of this ledger, and does not show its transaction: ask another node (--url)%s%.200s",
            (unsigned long long)e->is.size, (unsigned long long)e->block, why.text[0] == '\0' ? "" : ": ",
            why.text);
    }
    char account[CSL_ADDRESS_ROOM];
    csl_address_text(account, a->account);
    if (e->is.size > size) {
        return csl_fail(
            diag, CSL_EAUTH,
            "the chain has an anchor of %llu entries of this ledger (block %llu), and here are only "
            "%llu: it was rolled back. Put the newest copy of state/ledger back",
            (unsigned long long)e->is.size, (unsigned long long)e->block, (unsigned long long)size);
    }
    return csl_fail(
        diag, CSL_EAUTH,
        "anchor %llu on the chain (%llu entries, block %llu) is of another ledger than this one: it was "
        "put back to an old copy and went on, or somebody else has the key of %s. Keep everything for "
        "the audit; nothing is anchored until the right ledger is back",
        (unsigned long long)e->index, (unsigned long long)e->is.size, (unsigned long long)e->block, account);
}

static enum csl_err check_ours(const struct csl_anchor *a, struct csl_ledger *ledger,
                               const struct csl_anchor_entry *e, struct csl_diag *diag) {
    uint8_t root[CSL_MERKLE_BYTES];
    uint64_t size = csl_ledger_size(ledger);
    if (e->is.size <= size) {
        TRY(csl_ledger_root(ledger, root, e->is.size));
        if (memcmp(root, e->is.root, sizeof root) == 0) {
            return CSL_OK;
        }
    }
    return not_ours(a, e, size, diag);
}

/* Takes the contract's entry i in at place k of the outbox: it becomes mined there, whatever was under way.
 */
static enum csl_err adopt(struct csl_anchor *a, size_t k, const struct csl_anchor_entry *on_chain,
                          struct csl_diag *diag) {
    struct csl_outbox *o = a->box;
    struct csl_anchor_event event;
    struct csl_block b;
    bool found = false, there = false;
    TRY(csl_contract_event(&a->opt.contract, &event, &found, on_chain, a->account, a->origin, diag));
    TRY(csl_rpc_block(a->opt.contract.rpc, &b, &there,
                      &(const struct csl_block_at){.kind = CSL_AT_NUMBER, .number = on_chain->block}, diag));
    if (!there) {
        return csl_fail(diag, CSL_ESTALE, "the node does not show block %llu, which has an anchor; try again",
                        (unsigned long long)on_chain->block);
    }
    bool same = k < o->n && csl_anchor_root_same(&o->entries[k].is, &on_chain->is);
    if (!same) {
        csl_outbox_cut(o, k); /* what was under way does not continue this one */
        if (csl_outbox_add(o, &on_chain->is) == NULL) {
            return csl_fail(diag, CSL_EBUSY, "more than %d anchors wait to be final", CSL_OUTBOX_MAX);
        }
        csl__anchor_say(a, "the chain has an anchor of %llu entries that was not in the outbox: taken over",
                        (unsigned long long)on_chain->is.size);
    }
    struct csl_outbox_entry *e = &o->entries[k];
    e->state = CSL_OUTBOX_MINED;
    e->mined = (struct csl_outbox_mined){.block = on_chain->block, .time_s = on_chain->time_s};
    memcpy(e->mined.block_hash, b.hash, CSL_HASH_BYTES);
    memcpy(e->mined.tx, event.tx, CSL_HASH_BYTES);
    return csl_outbox_save(o, diag);
}

static bool is_final(const struct csl_anchor *a, uint64_t block) {
    return csl__contract_is_final(block, a->latest.number, a->opt.confirmations);
}

/* An outbox that knows nothing of them (a new one, or an old copy): what is final on the chain is taken over
 * without its lines. more: the contract's entries from..count-1. */
static enum csl_err take_over_final(struct csl_anchor *a, const struct csl_anchor_entry *more, uint64_t from,
                                    uint64_t count, struct csl_ledger *ledger, struct csl_diag *diag) {
    struct csl_outbox *o = a->box;
    uint64_t n = count - from;
    while (n > 0 && !is_final(a, more[n - 1].block)) {
        n--;
    }
    if (n == 0) {
        return from == o->n_final
                   ? CSL_OK
                   : csl_fail(diag, CSL_EBUSY, "more than %d anchors wait to be final", CSL_OUTBOX_MAX);
    }
    struct csl_block b;
    bool found = false;
    const struct csl_anchor_entry *newest = &more[n - 1];
    TRY(check_ours(a, ledger, newest, diag));
    TRY(csl_rpc_block(a->opt.contract.rpc, &b, &found,
                      &(const struct csl_block_at){.kind = CSL_AT_NUMBER, .number = newest->block}, diag));
    if (!found) {
        return csl_fail(diag, CSL_ESTALE, "the node does not show block %llu, which has an anchor; try again",
                        (unsigned long long)newest->block);
    }
    csl__anchor_say(a,
                    "the chain has %llu final anchors of this ledger that were not in the outbox: taken over",
                    (unsigned long long)(newest->index + 1 - o->n_final));
    o->n_final = newest->index + 1;
    o->final = newest->is;
    o->final_block = newest->block;
    memcpy(o->final_hash, b.hash, CSL_HASH_BYTES);
    return csl_outbox_save(o, diag);
}

/* Takes in what the contract holds beyond `known`, the last of count. */
static enum csl_err take_over(struct csl_anchor *a, uint64_t known, uint64_t count, struct csl_ledger *ledger,
                              struct csl_diag *diag) {
    struct csl_outbox *o = a->box;
    struct csl_anchor_entry *more = NULL;
    uint64_t from = o->n == 0 && count - known > CSL_OUTBOX_MAX ? count - CSL_OUTBOX_MAX : known;
    uint64_t room = o->n_final + CSL_OUTBOX_MAX; /* the rest when these are final */
    uint64_t to = o->n == 0 || count < room ? count : room;
    TRY(csl_contract_entries(&a->opt.contract, &more, from, to, a->account, a->origin, CSL_LATEST, diag));
    enum csl_err err = o->n == 0 ? take_over_final(a, more, from, count, ledger, diag) : CSL_OK;
    for (uint64_t i = from; err == CSL_OK && i < to; i++) {
        if (i < o->n_final) {
            continue;
        }
        err = check_ours(a, ledger, &more[i - from], diag);
        if (err == CSL_OK) {
            err = adopt(a, (size_t)(i - o->n_final), &more[i - from], diag);
        }
    }
    free(more);
    return err;
}

/* The contract's list against ours; a member's list only grows, but for reorganisations. */
static enum csl_err check_contract(struct csl_anchor *a, struct csl_ledger *ledger, struct csl_diag *diag) {
    struct csl_outbox *o = a->box;
    struct csl_anchor_entry newest;
    uint64_t count = 0;
    TRY(csl_contract_head(&a->opt.contract, &count, &newest, a->account, a->origin, CSL_LATEST, diag));
    if (count != 0) {
        TRY(check_ours(a, ledger, &newest, diag));
    }
    if (count < o->n_final) {
        return csl__anchor_go_back(a, count, &newest, diag);
    }
    uint64_t known = o->n_final + csl__anchor_waiting(a);
    if (count <
        known) { /* a block went between our questions; the next step sees which. Or they do not agree */
        bool go_on = false;
        TRY(csl__anchor_behind(a, &go_on, diag, "blocks with anchors are being reorganised"));
        return csl__anchor_back_to_waiting(a, (size_t)(count - o->n_final), diag);
    }
    return count == known ? CSL_OK : take_over(a, known, count, ledger, diag);
}

/* ---- Nonces ---- */

/* The first that waits: its nonce may have been used by another transaction of the account. latest_nonce was
 * read before the contract, so that it cannot be our own that was mined in between. */
static enum csl_err check_nonce(struct csl_anchor *a, uint64_t latest_nonce, struct csl_diag *diag) {
    size_t i = csl__anchor_waiting(a);
    if (i == a->box->n || a->box->entries[i].state != CSL_OUTBOX_SIGNED ||
        a->box->entries[i].nonce >= latest_nonce) {
        return CSL_OK;
    }
    csl__anchor_say(
        a,
        "nonce %llu was taken by another transaction of the account: the anchor of %llu entries is "
        "made anew",
        (unsigned long long)a->box->entries[i].nonce, (unsigned long long)a->box->entries[i].is.size);
    csl_outbox_cut(a->box, i);
    return csl_outbox_save(a->box, diag);
}

/* ---- Finality ---- */

static enum csl_err check_final(struct csl_anchor *a, struct csl_diag *diag) {
    struct csl_outbox *o = a->box;
    while (o->n != 0 && o->entries[0].state == CSL_OUTBOX_MINED && is_final(a, o->entries[0].mined.block)) {
        uint64_t size = o->entries[0].is.size;
        TRY(csl_outbox_write_final(o, diag));
        csl__anchor_at(a, CSL_POINT_FINAL_LINE);
        csl_outbox_drop_final(o);
        TRY(csl_outbox_save(o, diag));
        csl__anchor_at(a, CSL_POINT_FINAL);
        csl__anchor_say(a, "the anchor of %llu entries is final", (unsigned long long)size);
    }
    return CSL_OK;
}

enum csl_err csl__anchor_settle(struct csl_anchor *a, struct csl_ledger *ledger, struct csl_diag *diag) {
    uint64_t nonce = 0;
    TRY(csl__anchor_check_blocks(a, diag));
    TRY(csl_rpc_nonce(a->opt.contract.rpc, &nonce, a->account, CSL_LATEST, diag));
    TRY(check_receipts(a, diag));
    TRY(check_contract(a, ledger, diag));
    TRY(check_nonce(a, nonce, diag));
    TRY(check_final(a, diag));
    if (a->box->behind_s == 0) {
        return CSL_OK;
    }
    a->box->behind_s = 0; /* all of it agreed */
    return csl_outbox_save(a->box, diag);
}
