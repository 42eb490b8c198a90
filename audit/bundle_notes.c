/* Which checkpoints a bundle shows, and whose cosignatures. */
#include <stdlib.h>
#include <string.h>

#include "audit/bundle_internal.h"

enum { HISTORY_MAX = 256 };

struct choice {
    struct csl__bundle_notes *out;
    const struct csl_bundle_roster *of;
    bool of_session;
    uint64_t covers; /* entries that the last one must have */
    size_t room;
    struct csl_diag *diag;
};

static struct csl_note *last_of(const struct choice *c) {
    return c->out->n == 0 ? NULL : &c->out->at[c->out->n - 1];
}

static enum csl_err append(struct choice *c, const struct csl_note *note) {
    struct csl__bundle_notes *o = c->out;
    if (o->n == HISTORY_MAX && c->of_session) { /* the oldest is of no use for a session */
        memmove(o->at, o->at + 1, (HISTORY_MAX - 1) * sizeof *o->at);
        o->n--;
    }
    if (o->n == c->room) {
        size_t room = c->room == 0 ? 16 : 2 * c->room;
        struct csl_note *more = reallocarray(o->at, room, sizeof *more);
        if (more == NULL) {
            return csl_fail(c->diag, CSL_ENOMEM, "no memory for the bundle");
        }
        o->at = more;
        c->room = room;
    }
    o->at[o->n++] = *note;
    return CSL_OK;
}

/* Keeps sizes rising; of two notes of one size the one that more have cosigned. For a session of an earlier
 * roster nothing is needed after the first that covers it, unless more of that roster's members have
 * cosigned: some of them may have left since. */
static enum csl_err take(struct choice *c, struct csl_note *note) {
    struct csl_note *last = last_of(c);
    csl_note_keep_cosigners(note, c->of->members, c->of->n);
    bool more = last != NULL && csl_note_cosignatures(note) > csl_note_cosignatures(last);
    bool enough = c->of->earlier && c->of_session && last != NULL && last->checkpoint.size >= c->covers;
    if (last == NULL || (last->checkpoint.size < note->checkpoint.size && !enough)) {
        return append(c, note);
    }
    if (more && last->checkpoint.size <= note->checkpoint.size) {
        *last = *note;
    }
    return CSL_OK;
}

static enum csl_err take_history(struct choice *c, struct csl_ledger *l, struct csl_note *note) {
    struct csl_diag ignored;
    enum csl_err err = CSL_OK;
    for (size_t i = 0; err == CSL_OK; i++) {
        err = csl_ledger_history(l, note, i, &ignored);
        if (err == CSL_OK) {
            err = take(c, note);
        }
    }
    return err == CSL_ENOINPUT ? CSL_OK : err;
}

static enum csl_err choose(struct choice *c, struct csl_ledger *l, struct csl_note *note) {
    struct csl_diag ignored;
    TRY(take_history(c, l, note));
    enum csl_err err = csl_ledger_newest(l, note, &ignored);
    if (err == CSL_ENOINPUT || (err == CSL_OK && note->checkpoint.size < c->covers)) {
        err = csl_ledger_checkpoint(l, note, c->diag);
    }
    TRY(err);
    csl_note_keep_cosigners(note, c->of->members, c->of->n);
    const struct csl_note *last = last_of(c);
    bool enough = c->of_session && last != NULL && last->checkpoint.size >= c->covers &&
                  csl_note_cosignatures(last) > csl_note_cosignatures(note);
    return enough ? CSL_OK : take(c, note);
}

enum csl_err csl__bundle_choose_notes(struct csl__bundle_notes *out, struct csl_ledger *l,
                                      const struct csl_bundle_roster *of, bool of_session, uint64_t covers,
                                      struct csl_diag *diag) {
    struct choice c = {.out = out, .of = of, .of_session = of_session, .covers = covers, .diag = diag};
    struct csl_note *note = calloc(1, sizeof *note);
    *out = (struct csl__bundle_notes){.n = 0};
    enum csl_err err =
        note == NULL ? csl_fail(diag, CSL_ENOMEM, "no memory for the bundle") : choose(&c, l, note);
    free(note);
    return err;
}
