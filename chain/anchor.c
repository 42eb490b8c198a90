#include "chain/anchor.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "chain/anchor_internal.h"

const struct csl_anchor_limits csl_anchor_limits_default = {.max_fee = 100000000000,
                                                            .max_priority = 3000000000,
                                                            .gas_limit = 200000,
                                                            .resend_s = 60,
                                                            .behind_s = 3600,
                                                            .reverts = 3};

/* ---- For the other files ---- */

void csl__anchor_say(const struct csl_anchor *a, const char *fmt, ...) {
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (a->opt.say != NULL) {
        a->opt.say(a->opt.arg, text);
    }
}

void csl__anchor_at(const struct csl_anchor *a, enum csl_anchor_point point) {
    if (a->opt.at != NULL) {
        a->opt.at(a->opt.arg, point);
    }
}

int64_t csl__anchor_now(const struct csl_anchor *a) {
    return a->opt.now_s != NULL ? a->opt.now_s(a->opt.arg) : (int64_t)time(NULL);
}

/* ---- Life ---- */

enum csl_err csl_anchor_dir(char out[CSL__PATH_MAX], const char *state, uint64_t chain_id,
                            const uint8_t contract[CSL_ADDRESS_BYTES],
                            const uint8_t account[CSL_ADDRESS_BYTES], struct csl_diag *diag) {
    char name[24 + 2 * CSL_ADDRESS_ROOM], to[CSL_ADDRESS_ROOM], from[CSL_ADDRESS_ROOM];
    csl_hex0x_text(to, contract, CSL_ADDRESS_BYTES);
    csl_hex0x_text(from, account, CSL_ADDRESS_BYTES);
    (void)snprintf(name, sizeof name, "%llu-%s-%s", (unsigned long long)chain_id, to, from);
    return csl__path(out, state, name, diag);
}

enum csl_err csl_anchor_open(struct csl_anchor **out, const struct csl_anchor_options *opt,
                             struct csl_diag *diag) {
    char dir[CSL__PATH_MAX];
    *out = NULL;
    if (opt->confirmations == 0 || opt->contract.chain_id == 0) {
        return csl_fail(diag, CSL_EUSAGE, "no chain is configured");
    }
    TRY(csl__make_dir(opt->state, diag));
    TRY(csl_anchor_dir(dir, opt->state, opt->contract.chain_id, opt->contract.address, opt->signer->address,
                       diag));
    struct csl_anchor *a = calloc(1, sizeof *a);
    if (a == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "out of memory");
    }
    a->opt = *opt;
    a->account = opt->signer->address;
    enum csl_err err = csl_contract_origin(a->origin, opt->origin);
    err = err == CSL_OK ? csl_outbox_open(&a->box, dir, diag) : err;
    if (err != CSL_OK) {
        csl_anchor_close(a);
        return err;
    }
    *out = a;
    return CSL_OK;
}

void csl_anchor_close(struct csl_anchor *a) {
    if (a != NULL) {
        csl_outbox_close(a->box);
        free(a);
    }
}

bool csl_anchor_again(enum csl_err err) {
    return err == CSL_EUNAVAILABLE || err == CSL_ENOHOST || err == CSL_ETIMEOUT || err == CSL_ESTALE ||
           err == CSL_EBUSY || err == CSL_EPROTO || err == CSL_EPEER;
}

/* ---- A step ---- */

/* The newest checkpoint that somebody cosigned, when it is newer than what is anchored; else the newest. Both
 * are in the bundles that an auditor gets. */
static enum csl_err newest_checkpoint(struct csl_anchor_root *out, struct csl_ledger *l, uint64_t beyond,
                                      struct csl_diag *diag) {
    struct csl_diag ignored;
    memset(out, 0, sizeof *out);
    struct csl_note *note = calloc(1, sizeof *note);
    if (note == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "out of memory");
    }
    enum csl_err err = csl_ledger_newest(l, note, diag);
    if (err == CSL_OK) {
        out->size = note->checkpoint.size;
        memcpy(out->root, note->checkpoint.root, sizeof out->root);
        bool cosigned = csl_note_cosignatures(note) != 0;
        for (size_t i = 0; !cosigned && csl_ledger_history(l, note, i, &ignored) == CSL_OK; i++) {
            if (note->checkpoint.size > beyond) {
                out->size = note->checkpoint.size;
                memcpy(out->root, note->checkpoint.root, sizeof out->root);
            }
        }
    }
    free(note);
    return err == CSL_ENOINPUT ? CSL_OK : err;
}

/* Queues the newest checkpoint when there is something new; a queued one makes room for a newer. */
static enum csl_err take_new(struct csl_anchor *a, struct csl_ledger *ledger, struct csl_diag *diag) {
    struct csl_outbox *o = a->box;
    struct csl_anchor_root newest;
    bool queued = o->n != 0 && o->entries[o->n - 1].state == CSL_OUTBOX_QUEUED;
    const struct csl_anchor_root *before = queued ? &o->entries[o->n - 1].previous : csl_outbox_last(o);
    TRY(newest_checkpoint(&newest, ledger, before->size, diag));
    if (newest.size <= before->size || (queued && newest.size <= o->entries[o->n - 1].is.size)) {
        return CSL_OK;
    }
    if (queued) {
        o->entries[o->n - 1].is = newest;
    } else if (csl_outbox_add(o, &newest) == NULL) {
        return csl_fail(diag, CSL_EBUSY, "%d anchors wait to be final: the next one begins after that",
                        CSL_OUTBOX_MAX);
    }
    o->taken_s = csl__anchor_now(a);
    TRY(csl_outbox_save(o, diag));
    csl__anchor_at(a, CSL_POINT_QUEUED);
    return CSL_OK;
}

static enum csl_err check_contract(struct csl_anchor *a, struct csl_diag *diag) {
    enum csl_err err = csl_contract_check(&a->opt.contract, diag);
    a->checked = a->checked || err == CSL_OK;
    return err == CSL_ECONFIG && a->checked
               ? csl_fail_context(diag, CSL_ESTALE, "the node was right before, and now it is not")
               : err;
}

enum csl_err csl_anchor_step(struct csl_anchor *a, struct csl_ledger *ledger, bool take,
                             struct csl_diag *diag) {
    struct csl_outbox *o = a->box;
    bool found = false;
    TRY(csl_ledger_refresh(ledger, diag));
    TRY(check_contract(a, diag));
    TRY(csl_rpc_block(a->opt.contract.rpc, &a->latest, &found, CSL_LATEST, diag));
    if (!found) {
        return csl_fail(diag, CSL_EPROTO, "the node has no latest block");
    }
    o->base_fee = o->base_fee || a->latest.has_base_fee; /* kept with the next save */
    TRY(csl__anchor_settle(a, ledger, diag));
    TRY(csl__anchor_send_again(a, diag));
    size_t waiting = csl__anchor_waiting(a);
    bool busy = waiting < o->n && o->entries[waiting].state == CSL_OUTBOX_SIGNED;
    if (!busy && (take || waiting < o->n)) {
        TRY(take_new(a, ledger, diag));
    }
    if (!busy && o->n != 0 && o->entries[o->n - 1].state == CSL_OUTBOX_QUEUED) {
        TRY(csl__anchor_send_new(a, diag));
    }
    return CSL_OK;
}

void csl_anchor_progress(const struct csl_anchor *a, struct csl_anchor_progress *out) {
    const struct csl_outbox *o = a->box;
    size_t k = csl__anchor_waiting(a);
    *out = (struct csl_anchor_progress){.final = o->final.size,
                                        .mined = k == 0 ? o->final.size : o->entries[k - 1].is.size,
                                        .anchored = csl_outbox_last(o)->size,
                                        .waiting = o->n - k,
                                        .outbox = o};
}
