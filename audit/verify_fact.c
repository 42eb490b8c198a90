/* Signed statements, and those of one member that exclude each other. */
#include <stdlib.h>
#include <string.h>

#include "audit/verify_internal.h"
#include "crypto/bytes.h"

static const struct {
    const char *what;
    unsigned role; /* of those who may sign it */
} kinds[] = {
    [CSL_STATEMENT_SESSION] = {"session statement", CSL__ROLE_PARTY},
    [CSL_STATEMENT_DEALT] = {"statement of dealt correlations", CSL__ROLE_DEALER},
    [CSL_STATEMENT_INPUT] = {"input statement", CSL__ROLE_CLIENT},
    [CSL_STATEMENT_HEAD] = {"transcript head", CSL__ROLE_PARTY},
    [CSL_STATEMENT_OUTPUT] = {"output statement", CSL__ROLE_PARTY},
    [CSL_STATEMENT_RESEAL] = {"reseal statement", CSL__ROLE_PARTY},
    [CSL_STATEMENT_CONSENT] = {"consent", CSL__ROLE_OWNER},
};

static enum csl_err decode(void **m, enum csl_statement kind, const uint8_t *p, size_t n,
                           struct csl_diag *diag) {
    enum csl_err err = CSL_EINTERNAL;
    switch (kind) {
#define CASE(KIND, Type, name)                                                                               \
    case CSL_STATEMENT_##KIND: {                                                                             \
        Csl__Audit__##Type##Statement *s = NULL;                                                             \
        err = csl_##name##_statement_decode(&s, p, n, diag);                                                 \
        *m = s;                                                                                              \
        break;                                                                                               \
    }
        CASE(SESSION, Session, session)
        CASE(DEALT, Dealt, dealt)
        CASE(INPUT, Input, input)
        CASE(HEAD, Head, head)
        CASE(OUTPUT, Output, output)
        CASE(RESEAL, Reseal, reseal)
        CASE(CONSENT, Consent, consent)
#undef CASE
    default:
        break;
    }
    return err;
}

/* ---- What one honest member signs at most once ----
 *
 * A head, an output, an input of a part: once a batch of a session, since the session's digest holds every
 * party's fresh nonce and a session that failed is never continued. In a shared session an input and an
 * output: once a request, since a client draws its guest's name anew whenever it joins, and a party remembers
 * which names it has seen. A session statement: once for one set of
 * nonces, of which the signer drew one itself; the session id alone is the client's choice, and two
 * statements with one id and other nonces are no proof. What the dealer dealt is compared index by index
 * (verify_index.c). Nothing forbids to consent or to reseal twice. */
struct slot {
    uint8_t bytes[96];
    size_t n;
};

static void slot_add(struct slot *s, const void *p, size_t n) {
    memcpy(s->bytes + s->n, p, n);
    s->n += n;
}

static void slot_number(struct slot *s, uint32_t number) {
    uint8_t b[4];
    csl_store_u32(b, number);
    slot_add(s, b, sizeof b);
}

static void slot_request(struct slot *s, const ProtobufCBinaryData *guest, uint32_t request) {
    slot_add(s, guest->data, guest->len);
    slot_number(s, request);
}

/* Whether the kind has a slot. */
static bool slot_of(struct slot *s, const struct csl__fact *f, uint32_t *batch, uint32_t *request) {
    if (f->kind == CSL_STATEMENT_SESSION) {
        const Csl__Audit__SessionStatement *m = f->m;
        slot_add(s, m->nonces_digest.data, 32);
    } else if (f->kind == CSL_STATEMENT_HEAD) {
        const Csl__Audit__HeadStatement *m = f->m;
        slot_add(s, m->session.data, 32);
        slot_number(s, *batch = m->batch);
    } else if (f->kind == CSL_STATEMENT_OUTPUT) {
        const Csl__Audit__OutputStatement *m = f->m;
        slot_add(s, m->session.data, 32);
        *batch = m->batch;
        *request = m->request;
        if (m->request != 0) {
            slot_request(s, &m->guest, m->request);
        } else {
            slot_number(s, m->batch);
        }
    } else if (f->kind == CSL_STATEMENT_INPUT) {
        const Csl__Audit__InputStatement *m = f->m;
        slot_add(s, m->session.data, 32);
        *batch = m->batch;
        *request = m->request;
        if (m->request != 0) {
            slot_request(s, &m->guest, m->request);
        } else {
            slot_number(s, m->batch);
            slot_number(s, m->part);
        }
    } else {
        return false;
    }
    return true;
}

static const struct csl__session *session_of(const struct csl__verify *v, const struct csl__fact *f) {
    switch (f->kind) {
    case CSL_STATEMENT_SESSION:
        return csl__map_get(&v->sessions, f->digest);
    case CSL_STATEMENT_HEAD:
        return csl__map_get(&v->sessions, ((const Csl__Audit__HeadStatement *)f->m)->session.data);
    case CSL_STATEMENT_OUTPUT:
        return csl__map_get(&v->sessions, ((const Csl__Audit__OutputStatement *)f->m)->session.data);
    case CSL_STATEMENT_INPUT:
        return csl__map_get(&v->sessions, ((const Csl__Audit__InputStatement *)f->m)->session.data);
    default:
        return NULL;
    }
}

/* Every fact with a slot is the only one there, or accuses. */
static void take_slot(struct csl__verify *v, struct csl__fact *f) {
    struct slot s = {.n = 0};
    uint8_t key[32];
    uint32_t batch = 0, request = 0;
    slot_number(&s, (uint32_t)f->kind);
    slot_number(&s, (uint32_t)(f->signer - v->world->members));
    if (!slot_of(&s, f, &batch, &request) || csl__failed(v, csl_sha256_once(key, s.bytes, s.n))) {
        return;
    }
    if (csl__map_get(&v->slots, key) == NULL) {
        (void)csl__failed(v, csl__map_put(&v->slots, key, f));
        return;
    }
    if (f->kind == CSL_STATEMENT_SESSION) {
        csl__find(v, CSL_VERDICT_ATTRIBUTABLE, f->signer->name, csl__id(session_of(v, f)), 0,
                  "%s signed two different session statements for one agreement (the same nonces)",
                  f->signer->name);
    } else {
        csl__find(v, CSL_VERDICT_ATTRIBUTABLE, f->signer->name, csl__id(session_of(v, f)), batch,
                  "%s signed two different statements of one kind for %s %u of one %s: %ss", f->signer->name,
                  request == 0 ? "batch" : "request", request == 0 ? batch : request,
                  request == 0 ? "session" : "guest", kinds[f->kind].what);
    }
}

/* ---- Verifying ---- */

static bool signed_by(struct csl__verify *v, enum csl_statement kind, const struct csl_auditee *who,
                      const Csl__Audit__Signed *s, const char *where) {
    struct csl_diag diag;
    v->report->signatures++;
    enum csl_err err = csl_statement_verify(kind, s->statement.data, s->statement.len, s->signature.data,
                                            s->signature.len, who->sign_key, &diag);
    if (err == CSL_EAUTH) {
        csl__find(v, CSL_VERDICT_MISMATCH, who->name, NULL, 0,
                  "%s: the signature of %s on a %s does not verify", where, who->name, kinds[kind].what);
    } else {
        (void)csl__failed(v, err);
    }
    return err == CSL_OK;
}

static struct csl__fact *make(struct csl__verify *v, enum csl_statement kind, const struct csl_auditee *who,
                              const Csl__Audit__Signed *s, const uint8_t digest[32], const char *where) {
    struct csl_diag diag;
    void *m = NULL;
    enum csl_err err = decode(&m, kind, s->statement.data, s->statement.len, &diag);
    if (err == CSL_EDATA) {
        csl__find(v, CSL_VERDICT_MISMATCH, who->name, NULL, 0, "%s: %s signed a %s that is malformed: %s",
                  where, who->name, kinds[kind].what, diag.text);
        return NULL;
    }
    struct csl__fact *f = csl__failed(v, err) ? NULL : csl__calloc(v, 1, sizeof *f);
    if (f == NULL) {
        csl_statement_free(m);
        return NULL;
    }
    *f = (struct csl__fact){.kind = kind,
                            .signer = who,
                            .bytes = s->statement.data,
                            .n = s->statement.len,
                            .m = m,
                            .next = v->all_facts};
    v->all_facts = f;
    memcpy(f->digest, digest, 32);
    memcpy(f->signature, s->signature.data, CSL_SIGNATURE_BYTES);
    take_slot(v, f);
    if (kind == CSL_STATEMENT_DEALT) {
        (void)csl__failed(v, csl__map_put(&v->dealts, digest, f));
    }
    return f;
}

/* The same statement comes in many leaves; it is verified once. */
static bool identity(struct csl__verify *v, uint8_t key[32], enum csl_statement kind,
                     const struct csl_auditee *who, const uint8_t digest[32]) {
    struct slot s = {.n = 0};
    slot_number(&s, (uint32_t)kind);
    slot_number(&s, (uint32_t)(who - v->world->members));
    slot_add(&s, digest, 32);
    return !csl__failed(v, csl_sha256_once(key, s.bytes, s.n));
}

const struct csl__fact *csl__fact(struct csl__verify *v, enum csl_statement kind, const Csl__Audit__Signed *s,
                                  const char *where) {
    uint8_t digest[32], key[32];
    const struct csl_auditee *who = csl__member(v, s->signer);
    if (who == NULL || (who->roles & kinds[kind].role) == 0) {
        csl__find(v, CSL_VERDICT_MISMATCH, "", NULL, 0, "%s: a %s by \"%.40s\", %s", where, kinds[kind].what,
                  s->signer, who == NULL ? "who is not in the roster" : "who has no such role in the roster");
        return NULL;
    }
    if (csl__failed(v, csl_sha256_once(digest, s->statement.data, s->statement.len)) ||
        !identity(v, key, kind, who, digest)) {
        return NULL;
    }
    const struct csl__fact *known = csl__map_get(&v->facts, key);
    if (known != NULL && s->signature.len == CSL_SIGNATURE_BYTES &&
        memcmp(known->signature, s->signature.data, CSL_SIGNATURE_BYTES) == 0) {
        return known;
    }
    if (!signed_by(v, kind, who, s, where) || known != NULL) {
        return v->err == CSL_OK ? known : NULL;
    }
    struct csl__fact *f = make(v, kind, who, s, digest, where);
    return f == NULL || csl__failed(v, csl__map_put(&v->facts, key, f)) ? NULL : f;
}

void csl__free_facts(struct csl__verify *v) {
    for (struct csl__fact *f = v->all_facts, *next; f != NULL; f = next) {
        next = f->next;
        csl_statement_free(f->m);
        free(f);
    }
}
