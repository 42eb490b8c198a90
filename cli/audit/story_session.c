/* Which session a ledger's entry is of. */
#include "cli/audit/story.h"

#include <string.h>

#include "audit/statement.h"

static struct csl_story_session *by_digest(struct csl_story *s, const ProtobufCBinaryData *digest) {
    size_t n = s->n_sessions < CSL_STORY_SESSIONS ? s->n_sessions : CSL_STORY_SESSIONS;
    for (size_t i = 0; digest->len == 32 && i < n; i++) {
        if (memcmp(s->sessions[i].digest, digest->data, 32) == 0) {
            return &s->sessions[i];
        }
    }
    return NULL;
}

void csl_story_learn(struct csl_story *s, const csl_leaf *leaf) {
    Csl__Audit__SessionStatement *m = NULL;
    if (leaf->body_case != CSL__AUDIT__LEAF__BODY_SESSION ||
        csl_session_statement_decode(&m, leaf->session->statement.data, leaf->session->statement.len, NULL) !=
            CSL_OK) {
        return;
    }
    struct csl_story_session *to = &s->sessions[s->n_sessions % CSL_STORY_SESSIONS];
    if (csl_sha256_once(to->digest, leaf->session->statement.data, leaf->session->statement.len) == CSL_OK) {
        memcpy(to->id, m->session_id.data, sizeof to->id);
        memcpy(to->package, m->package_digest.data, sizeof to->package);
        s->n_sessions++;
    }
    csl_statement_free(m);
}

static const uint8_t *keep(struct csl_story *s, const ProtobufCBinaryData *id) {
    memcpy(s->kept, id->data, sizeof s->kept);
    return s->kept;
}

static const uint8_t *of_statement(struct csl_story *s, const csl_leaf *leaf) {
    const uint8_t *id = NULL;
    if (leaf->body_case == CSL__AUDIT__LEAF__BODY_SESSION) {
        Csl__Audit__SessionStatement *m = NULL;
        const ProtobufCBinaryData *p = &leaf->session->statement;
        id = csl_session_statement_decode(&m, p->data, p->len, NULL) == CSL_OK ? keep(s, &m->session_id)
                                                                               : NULL;
        csl_statement_free(m);
    } else if (leaf->body_case == CSL__AUDIT__LEAF__BODY_DEALT) {
        Csl__Audit__DealtStatement *m = NULL;
        const ProtobufCBinaryData *p = &leaf->dealt->dealt->statement;
        id = csl_dealt_statement_decode(&m, p->data, p->len, NULL) == CSL_OK ? keep(s, &m->session_id) : NULL;
        csl_statement_free(m);
    } else if (leaf->body_case == CSL__AUDIT__LEAF__BODY_CONSENT) {
        Csl__Audit__ConsentStatement *m = NULL;
        const ProtobufCBinaryData *p = &leaf->consent->consent->statement;
        id = csl_consent_statement_decode(&m, p->data, p->len, NULL) == CSL_OK ? keep(s, &m->session_id)
                                                                               : NULL;
        csl_statement_free(m);
    }
    return id;
}

const uint8_t *csl_story_session_of(struct csl_story *s, const csl_leaf *leaf) {
    const ProtobufCBinaryData *digest = NULL;
    switch (leaf->body_case) {
    case CSL__AUDIT__LEAF__BODY_INPUT:
        digest = &leaf->input->session;
        break;
    case CSL__AUDIT__LEAF__BODY_HEADS:
        digest = &leaf->heads->session;
        break;
    case CSL__AUDIT__LEAF__BODY_OUTPUT:
        digest = &leaf->output->session;
        break;
    case CSL__AUDIT__LEAF__BODY_CLOSE:
        return leaf->close->session_id.data;
    case CSL__AUDIT__LEAF__BODY_OPENING:
        return leaf->opening->session_id.data;
    default:
        return of_statement(s, leaf);
    }
    const struct csl_story_session *known = by_digest(s, digest);
    return known == NULL ? NULL : known->id;
}
