/* No correlation index (epoch, stream, counter) serves twice. The dealer answers for two different dealings
 * that overlap; a party for two batches whose signed heads name dealings that overlap, since it counts the
 * indices itself (mpc/epoch.h) and refuses what it was dealt for others. In a shared session one dealing
 * serves several batches; then the heads say which of its rows (docs/protocol.md S16), and those must not
 * overlap. */
#include <stdlib.h>
#include <string.h>

#include "audit/verify_internal.h"

struct use {
    const struct csl_auditee *signer;
    const struct csl__fact *of; /* the dealing */
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

static int by_number(uint64_t a, uint64_t b) {
    return a == b ? 0 : a < b ? -1 : 1;
}

/* Dealings by their first index; uses of one dealing by their first row. */
static int by_index(const void *pa, const void *pb) {
    const struct use *a = pa, *b = pb;
    int c = by_place(a, b);
    c = c != 0 ? c : by_number(a->dealt->first, b->dealt->first);
    c = c != 0 ? c : memcmp(a->of->digest, b->of->digest, sizeof a->of->digest);
    if (c != 0 || a->head == NULL || b->head == NULL) {
        return c;
    }
    c = by_number(a->head->first_row, b->head->first_row);
    return c != 0 ? c : by_number(a->head->batch, b->head->batch);
}

static bool same_batch(const struct use *a, const struct use *b) {
    return a->head != NULL && a->head->batch == b->head->batch &&
           csl__same(&a->head->session, &b->head->session);
}

static uint64_t rows_end(const struct use *u) {
    return (uint64_t)u->head->first_row + u->head->count;
}

/* Whether two batches took the same rows of one dealing; `a` begins first. That of a session of one client
 * serves one batch, and no dealing serves two sessions. */
static bool same_rows(const struct csl__verify *v, const struct use *a, const struct use *b) {
    if (same_batch(a, b)) {
        return false;
    }
    const struct csl__session *s = csl__map_get(&v->sessions, a->head->session.data);
    return !csl__same(&a->head->session, &b->head->session) || (s != NULL && !s->m->shared) ||
           b->head->first_row < rows_end(a);
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

/* Uses of one dealing, all[0..n). */
static void compare_rows(struct csl__verify *v, const struct use *all, size_t n) {
    const struct use *furthest = &all[0];
    for (size_t i = 1; i < n; i++) {
        if (same_rows(v, furthest, &all[i])) {
            accuse(v, furthest, &all[i]);
        }
        if (rows_end(&all[i]) > rows_end(furthest)) {
            furthest = &all[i];
        }
    }
}

static void compare(struct csl__verify *v, struct use *all, size_t n) {
    qsort(all, n, sizeof *all, by_index);
    const struct use *furthest = NULL; /* of those before, in the same place */
    for (size_t i = 0, same; i < n; i += same) {
        const struct use *u = &all[i];
        for (same = 1; i + same < n && all[i + same].signer == u->signer && all[i + same].of == u->of;) {
            same++;
        }
        if (u->head != NULL) {
            compare_rows(v, u, same);
        }
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

/* A session that ended with an error, in some ledger; else NULL. */
static const struct csl__session *aborted(const struct csl__verify *v, const Csl__Audit__DealtStatement *d) {
    uint8_t key[32] = {0};
    memcpy(key, d->session_id.data, CSL__SESSION_ID_BYTES);
    for (size_t i = 0; i < v->n_sites; i++) {
        const struct csl__shown *s = csl__map_get(&v->sites[i].by_id, key);
        if (s != NULL && s->session != NULL && s->session->ours && s->session->m->sign != CSL_SIGN_OFF &&
            s->close != NULL && s->close->error != CSL_OK) {
            return s->session;
        }
    }
    return NULL;
}

/* For each dealing, the head that reaches furthest into it. */
static void find_furthest(struct csl__verify *v, struct csl__map *used) {
    for (const struct csl__fact *f = v->all_facts; v->err == CSL_OK && f != NULL; f = f->next) {
        if (f->kind == CSL_STATEMENT_HEAD) {
            Csl__Audit__HeadStatement *m = f->m;
            const Csl__Audit__HeadStatement *known = csl__map_get(used, m->dealt_digest.data);
            if (known == NULL || m->first_row + m->count > known->first_row + known->count) {
                (void)csl__failed(v, csl__map_put(used, m->dealt_digest.data, m));
            }
        }
    }
}

/* In a shared session more is dealt than is used at any time; so there it is said once. */
static void find_unsigned(struct csl__verify *v, const struct csl__session *s,
                          const Csl__Audit__DealtStatement *d, struct csl__map *said) {
    if (!s->m->shared) {
        csl__find(
            v, CSL_VERDICT_INCOMPLETE, "", d->session_id.data, 0,
            "correlations from %u on were dealt for a batch that nobody signed: the session ended before",
            d->first);
    } else if (csl__map_get(said, s->digest) == NULL &&
               !csl__failed(v, csl__map_put(said, s->digest, s->m))) {
        csl__find(v, CSL_VERDICT_INCOMPLETE, "", d->session_id.data, 0,
                  "the session ended with an error, and correlations were left: whether some served a batch "
                  "that nobody signed is not shown");
    }
}

/* A party that does not sign its head leaves this: a session that ended with an error, and a batch that was
 * dealt for without any head. So does one that died, or a client that went away; it accuses nobody. (A
 * session that ended in order may have been dealt more than it used.) */
static void check_unsigned(struct csl__verify *v) {
    struct csl__map used = {.n = 0}, said = {.n = 0};
    find_furthest(v, &used);
    for (const struct csl__fact *f = v->all_facts; v->err == CSL_OK && f != NULL; f = f->next) {
        const Csl__Audit__DealtStatement *d = f->m;
        const struct csl__session *s = f->kind == CSL_STATEMENT_DEALT ? aborted(v, d) : NULL;
        const Csl__Audit__HeadStatement *last = s == NULL ? NULL : csl__map_get(&used, f->digest);
        if (s != NULL &&
            (last == NULL || (s->m->shared && last->first_row + last->count + s->m->check_rows < d->count))) {
            find_unsigned(v, s, d, &said);
        }
    }
    free(used.slots);
    free(said.slots);
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
        struct use u = {
            .signer = f->signer, .of = of, .dealt = d, .head = head, .end = (uint64_t)d->first + d->count};
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
