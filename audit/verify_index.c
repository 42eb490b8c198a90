/* No correlation index (epoch, stream, counter) serves twice. The dealer answers for two different dealings
 * that overlap; a party for two batches whose signed heads name dealings that overlap, since it counts the
 * indices itself (mpc/epoch.h) and refuses what it was dealt for others. */
#include <stdlib.h>
#include <string.h>

#include "audit/verify_internal.h"

struct use {
    const struct csl_auditee *signer;
    const Csl__Audit__DealtStatement *dealt;
    const Csl__Audit__HeadStatement *head; /* NULL: the dealing itself */
    uint64_t end;
};

static int by_place(const struct use *a, const struct use *b) {
    if (a->signer != b->signer) {
        return a->signer < b->signer ? -1 : 1;
    }
    int c = memcmp(a->dealt->epoch_id.data, b->dealt->epoch_id.data, 32);
    if (c == 0 && a->dealt->stream != b->dealt->stream) {
        c = a->dealt->stream < b->dealt->stream ? -1 : 1;
    }
    return c;
}

static int by_index(const void *pa, const void *pb) {
    const struct use *a = pa, *b = pb;
    int c = by_place(a, b);
    if (c == 0 && a->dealt->first != b->dealt->first) {
        c = a->dealt->first < b->dealt->first ? -1 : 1;
    }
    return c;
}

static bool same_batch(const struct use *a, const struct use *b) {
    return a->head != NULL && a->head->batch == b->head->batch &&
           csl__same(&a->head->session, &b->head->session);
}

static void accuse(struct csl__verify *v, const struct use *a, const struct use *b) {
    const char *who = b->signer->name;
    unsigned long long first = b->dealt->first;
    if (a->head == NULL) {
        csl__find(v, CSL_VERDICT_ATTRIBUTABLE, who, b->dealt->session_id.data, 0,
                  "%s signed two different dealings of the correlation %llu of stream %u of one epoch", who,
                  first, b->dealt->stream);
        return;
    }
    const struct csl__session *s = csl__map_get(&v->sessions, b->head->session.data);
    csl__find(
        v, CSL_VERDICT_ATTRIBUTABLE, who, csl__id(s), b->head->batch,
        "%s used the correlation %llu of stream %u of one epoch twice: it signed heads for batch %u, and for "
        "batch %u of %s session",
        who, first, b->dealt->stream, b->head->batch, a->head->batch,
        csl__same(&a->head->session, &b->head->session) ? "the same" : "another");
}

static void compare(struct csl__verify *v, struct use *all, size_t n) {
    qsort(all, n, sizeof *all, by_index);
    const struct use *furthest = NULL; /* of those before, in the same place */
    for (size_t i = 0; i < n; i++) {
        const struct use *u = &all[i];
        if (furthest != NULL && by_place(furthest, u) != 0) {
            furthest = NULL;
        }
        if (furthest != NULL && u->dealt->first < furthest->end && !same_batch(furthest, u)) {
            accuse(v, furthest, u);
        }
        if (furthest == NULL || u->end > furthest->end) {
            furthest = u;
        }
    }
}

/* ---- What was dealt, and never signed for ---- */

static bool aborted(const struct csl__verify *v, const Csl__Audit__DealtStatement *d) {
    uint8_t key[32] = {0};
    memcpy(key, d->session_id.data, CSL__SESSION_ID_BYTES);
    for (size_t i = 0; i < v->n_sites; i++) {
        const struct csl__shown *s = csl__map_get(&v->sites[i].by_id, key);
        if (s != NULL && s->session != NULL && s->session->ours && s->session->m->sign != CSL_SIGN_OFF &&
            s->close != NULL && s->close->error != CSL_OK) {
            return true;
        }
    }
    return false;
}

/* A party that does not sign its head leaves this: a session that ended with an error, and a batch that was
 * dealt for without any head. So does one that died, or a client that went away; it accuses nobody. (A
 * session that ended in order may have been dealt more than it used.) */
static void check_unsigned(struct csl__verify *v) {
    struct csl__map used = {.n = 0};
    for (const struct csl__fact *f = v->all_facts; v->err == CSL_OK && f != NULL; f = f->next) {
        if (f->kind == CSL_STATEMENT_HEAD) {
            const Csl__Audit__HeadStatement *m = f->m;
            (void)csl__failed(v, csl__map_put(&used, m->dealt_digest.data, f->m));
        }
    }
    for (const struct csl__fact *f = v->all_facts; v->err == CSL_OK && f != NULL; f = f->next) {
        const Csl__Audit__DealtStatement *d = f->m;
        if (f->kind == CSL_STATEMENT_DEALT && csl__map_get(&used, f->digest) == NULL && aborted(v, d)) {
            csl__find(
                v, CSL_VERDICT_INCOMPLETE, "", d->session_id.data, 0,
                "correlations from %u on were dealt for a batch that nobody signed: the session ended before",
                d->first);
        }
    }
    free(used.slots);
}

void csl__check_indices(struct csl__verify *v) {
    check_unsigned(v);
    size_t n = 0, n_dealings = 0, n_uses = 0;
    for (const struct csl__fact *f = v->all_facts; f != NULL; f = f->next) {
        n++;
    }
    struct use *dealings = csl__calloc(v, n, sizeof *dealings), *uses = csl__calloc(v, n, sizeof *uses);
    for (const struct csl__fact *f = v->all_facts; v->err == CSL_OK && f != NULL; f = f->next) {
        const Csl__Audit__HeadStatement *head = f->kind == CSL_STATEMENT_HEAD ? f->m : NULL;
        const struct csl__fact *of = head == NULL ? f : csl__map_get(&v->dealts, head->dealt_digest.data);
        if (of == NULL || of->kind != CSL_STATEMENT_DEALT) {
            continue;
        }
        const Csl__Audit__DealtStatement *d = of->m;
        struct use u = {.signer = f->signer, .dealt = d, .head = head, .end = (uint64_t)d->first + d->count};
        if (head == NULL) {
            dealings[n_dealings++] = u;
        } else {
            uses[n_uses++] = u;
        }
    }
    if (v->err == CSL_OK) {
        compare(v, dealings, n_dealings);
        compare(v, uses, n_uses);
    }
    free(dealings);
    free(uses);
}
