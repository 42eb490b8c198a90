#include "audit/verify.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/verify_internal.h"
#include "crypto/bytes.h"
#include "crypto/rand.h"

enum { FINDINGS_MAX = 1000, ACCUSATIONS_MAX = 2000 }; /* a hostile bundle could have millions */

/* ---- The report ---- */

void csl_audit_report_clear(struct csl_audit_report *r) {
    free(r->findings);
    *r = (struct csl_audit_report){0};
}

static int rank(enum csl_verdict v) {
    static const int ranks[] = {[CSL_VERDICT_CONSISTENT] = 0,
                                [CSL_VERDICT_INCOMPLETE] = 1,
                                [CSL_VERDICT_MISMATCH] = 2,
                                [CSL_VERDICT_ATTRIBUTABLE] = 3};
    return ranks[v];
}

static enum csl_err find_va(struct csl_audit_report *r, enum csl_verdict v, const char *who,
                            const uint8_t *session_id, uint32_t batch, const char *fmt, va_list args) {
    if (rank(v) > rank(r->verdict)) {
        r->verdict = v;
    }
    size_t max = v == CSL_VERDICT_ATTRIBUTABLE ? ACCUSATIONS_MAX : FINDINGS_MAX;
    if (r->n_findings >= max) {
        return CSL_OK;
    }
    struct csl_finding *more = reallocarray(r->findings, r->n_findings + 1, sizeof *more);
    if (more == NULL) {
        return CSL_ENOMEM;
    }
    r->findings = more;
    struct csl_finding *f = &more[r->n_findings++];
    *f = (struct csl_finding){.verdict = v, .batch = batch};
    (void)snprintf(f->who, sizeof f->who, "%s", who == NULL ? "" : who);
    for (size_t i = 0; session_id != NULL && i < CSL__SESSION_ID_BYTES; i++) {
        (void)snprintf(f->session + 2 * i, 3, "%02x", session_id[i]);
    }
    (void)vsnprintf(f->text, sizeof f->text, fmt, args);
    for (char *c = f->text; *c != '\0'; c++) { /* reasons in bundles may be anything */
        *c = *c < 0x20 || *c >= 0x7f ? '?' : *c;
    }
    return CSL_OK;
}

enum csl_err csl_audit_find(struct csl_audit_report *r, enum csl_verdict v, const char *who,
                            const uint8_t *session_id, uint32_t batch, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    enum csl_err err = find_va(r, v, who, session_id, batch, fmt, args);
    va_end(args);
    return err;
}

void csl__find(struct csl__verify *v, enum csl_verdict verdict, const char *who, const uint8_t *session_id,
               uint32_t batch, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    (void)csl__failed(v, find_va(v->report, verdict, who, session_id, batch, fmt, args));
    va_end(args);
}

/* ---- Shared ---- */

bool csl__failed(struct csl__verify *v, enum csl_err err) {
    if (v->err == CSL_OK) {
        v->err = err;
    }
    return v->err != CSL_OK;
}

void *csl__calloc(struct csl__verify *v, size_t n, size_t size) {
    void *p = calloc(n + 1, size);
    if (p == NULL) {
        (void)csl__failed(v, CSL_ENOMEM);
    }
    return p;
}

bool csl__same(const ProtobufCBinaryData *a, const ProtobufCBinaryData *b) {
    return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

bool csl__is(const ProtobufCBinaryData *a, const uint8_t digest[32]) {
    return a->len == 32 && memcmp(a->data, digest, 32) == 0;
}

const struct csl_auditee *csl__member(const struct csl__verify *v, const char *name) {
    for (size_t i = 0; i < v->world->n_members; i++) {
        if (strcmp(v->world->members[i].name, name) == 0) {
            return &v->world->members[i];
        }
    }
    return NULL;
}

const struct csl_auditee *csl__party(const struct csl__verify *v, unsigned party) {
    for (size_t i = 0; i < v->world->n_members; i++) {
        if (v->world->members[i].party >= 0 && (unsigned)v->world->members[i].party == party) {
            return &v->world->members[i];
        }
    }
    return NULL;
}

const uint8_t *csl__id(const struct csl__session *s) {
    return s == NULL ? NULL : s->m->session_id.data;
}

/* Session ids and package digests are what a bundle says: with a fixed function it could put all of them into
 * one place. Vector multiply-shift with multipliers of this process. */
static uint64_t multipliers[8];

static void draw_multipliers(void) {
    static const uint8_t fixed[sizeof multipliers] = "without randomness places can be foreseen, no more";
    if (csl_rand((uint8_t *)multipliers, sizeof multipliers) != CSL_OK) {
        memcpy(multipliers, fixed, sizeof multipliers);
    }
}

static size_t place_of(const struct csl__map *m, const uint8_t key[32]) {
    static pthread_once_t drawn = PTHREAD_ONCE_INIT;
    uint64_t h = 0;
    (void)pthread_once(&drawn, draw_multipliers);
    for (size_t i = 0; i < 8; i++) {
        h += csl_load_u32(key + 4 * i) * multipliers[i];
    }
    size_t i = (size_t)(h >> 32) & (m->room - 1);
    while (m->slots[i].value != NULL && memcmp(m->slots[i].key, key, 32) != 0) {
        i = (i + 1) & (m->room - 1);
    }
    return i;
}

void *csl__map_get(const struct csl__map *m, const uint8_t key[32]) {
    return m->room == 0 ? NULL : m->slots[place_of(m, key)].value;
}

static enum csl_err grow(struct csl__map *m) {
    struct csl__map bigger = {.room = m->room == 0 ? 64 : 2 * m->room, .n = m->n};
    bigger.slots = calloc(bigger.room, sizeof *bigger.slots);
    if (bigger.slots == NULL) {
        return CSL_ENOMEM;
    }
    for (size_t i = 0; i < m->room; i++) {
        if (m->slots[i].value != NULL) {
            bigger.slots[place_of(&bigger, m->slots[i].key)] = m->slots[i];
        }
    }
    free(m->slots);
    *m = bigger;
    return CSL_OK;
}

enum csl_err csl__map_put(struct csl__map *m, const uint8_t key[32], void *value) {
    if (2 * (m->n + 1) > m->room) {
        TRY(grow(m));
    }
    struct csl__map_slot *slot = &m->slots[place_of(m, key)];
    m->n += slot->value == NULL ? 1 : 0;
    memcpy(slot->key, key, 32);
    slot->value = value;
    return CSL_OK;
}

/* ---- All of it ---- */

static void count(struct csl__verify *v) {
    struct csl_audit_report *r = v->report;
    for (const struct csl__session *s = v->all_sessions; s != NULL; s = s->next) {
        r->sessions++;
    }
    for (const struct csl__batch *b = v->all_batches; b != NULL; b = b->next) {
        r->batches++;
        r->inferences += b->count;
    }
}

static void run(struct csl__verify *v, const void *const *bundles) {
    for (size_t i = 0; v->err == CSL_OK && i < v->n_sites; i++) {
        v->sites[i].b = bundles[i];
        csl__read_site(v, &v->sites[i]);
    }
    for (size_t i = 0; v->err == CSL_OK && i < v->n_sites; i++) {
        csl__read_sessions(v, &v->sites[i]);
    }
    for (size_t i = 0; v->err == CSL_OK && i < v->n_sites; i++) {
        csl__read_leaves(v, &v->sites[i]);
    }
    for (size_t i = 0; v->err == CSL_OK && i < v->n_sites; i++) {
        csl__check_sessions(v, &v->sites[i]);
        csl__check_kept(v, &v->sites[i]);
    }
    if (v->err == CSL_OK) {
        csl__check_batches(v);
        csl__check_requests(v);
        csl__check_indices(v);
        csl__check_histories(v);
        count(v);
    }
}

static void release(struct csl__verify *v) {
    for (size_t i = 0; v->sites != NULL && i < v->n_sites; i++) {
        csl__free_site(&v->sites[i]);
    }
    free(v->sites);
    csl__free_facts(v);
    for (struct csl__session *s = v->all_sessions, *next; s != NULL; s = next) {
        next = s->next;
        csl_statement_free(s->m);
        free(s);
    }
    for (struct csl__batch *b = v->all_batches, *next; b != NULL; b = next) {
        next = b->next;
        free(b);
    }
    for (struct csl__sighting *s = v->sightings, *next; s != NULL; s = next) {
        next = s->next;
        free(s);
    }
    free(v->slots.slots);
    free(v->facts.slots);
    free(v->sessions.slots);
    free(v->batches.slots);
    free(v->dealts.slots);
}

enum csl_err csl_audit_verify(struct csl_audit_report *out, const struct csl_audit_world *world,
                              const void *const *bundles, size_t n_bundles, struct csl_diag *diag) {
    struct csl__verify v = {.world = world, .report = out, .n_sites = n_bundles};
    *out = (struct csl_audit_report){.bundles = n_bundles, .cosigned = n_bundles == 0 ? 0 : SIZE_MAX};
    v.sites = csl__calloc(&v, n_bundles, sizeof *v.sites);
    if (n_bundles == 0) {
        csl__find(&v, CSL_VERDICT_INCOMPLETE, "", NULL, 0, "no bundle was given");
    }
    if (v.err == CSL_OK) {
        run(&v, bundles);
    }
    release(&v);
    if (v.err != CSL_OK) {
        csl_audit_report_clear(out);
        return csl_fail(diag, v.err, "the bundles could not be verified: %s", csl_err_text(v.err));
    }
    return CSL_OK;
}
