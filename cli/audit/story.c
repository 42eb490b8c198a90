/* The facts of a ledger's entry, as a JSON object; people are told from it (story_tell.c). */
#include "cli/audit/story.h"

#include <stdlib.h>
#include <string.h>

#include "audit/note.h"
#include "audit/statement.h"
#include "cli/hex.h"
#include "nn/plan.h"

static json_t *hex(const ProtobufCBinaryData *d) {
    char *text = malloc(2 * d->len + 1);
    if (text == NULL) {
        return NULL;
    }
    text[0] = '\0';
    csl_hex_write(text, d->data, d->len);
    json_t *v = json_string(text);
    free(text);
    return v;
}

/* Reasons and names come from anywhere; JSON wants UTF-8, a terminal no surprises. */
static json_t *plain(const char *text) {
    char *copy = strdup(text);
    for (char *c = copy; c != NULL && *c != '\0'; c++) {
        *c = *c < 0x20 || *c >= 0x7f ? '?' : *c;
    }
    json_t *v = copy == NULL ? NULL : json_string(copy);
    free(copy);
    return v;
}

static void put(json_t *o, const char *key, json_t *v) {
    (void)json_object_set_new(o, key, v == NULL ? json_null() : v);
}

static void put_parties(json_t *o, const Csl__Audit__SessionStatement *m) {
    json_t *all = json_array();
    for (size_t i = 0; i < m->n_parties; i++) {
        json_t *one = json_object();
        put(one, "name", plain(m->parties[i]));
        put(one, "software", hex(&m->software[i]));
        put(one, "configuration", hex(&m->configuration[i]));
        put(one, "seed_commitment", hex(&m->seed_commitments[i]));
        (void)json_array_append_new(all, one);
    }
    put(o, "parties", all);
}

static void session_facts(json_t *o, const Csl__Audit__SessionLeaf *leaf) {
    Csl__Audit__SessionStatement *m = NULL;
    uint8_t digest[32];
    ProtobufCBinaryData d = {.len = sizeof digest, .data = digest};
    if (csl_session_statement_decode(&m, leaf->statement.data, leaf->statement.len, NULL) != CSL_OK ||
        csl_sha256_once(digest, leaf->statement.data, leaf->statement.len) != CSL_OK) {
        csl_statement_free(m);
        return;
    }
    put(o, "model", plain(m->model));
    if (m->shared) {
        put(o, "shared", json_true());
    } else {
        put(o, "client", plain(m->client));
    }
    put(o, "statement", hex(&d));
    put(o, "package", hex(&m->package_digest));
    put(o, "plan", hex(&m->plan_digest));
    put(o, "masked_weights", hex(&m->weights_digest));
    put(o, "epoch", hex(&m->epoch_id));
    put(o, "request", hex(&m->request_digest));
    put(o, "stream", json_integer(m->stream));
    put(o, "check_rows", json_integer(m->check_rows));
    put(o, "sign",
        json_string(m->sign == CSL_SIGN_OFF            ? "off"
                    : m->sign == CSL_SIGN_AFTER_OUTPUT ? "after-output"
                                                       : "before-output"));
    put(o, "profile", json_string(csl_profile_name((enum csl_profile)m->profile)));
    put(o, "signatures", json_integer((json_int_t)leaf->n_signatures));
    put_parties(o, m);
    csl_statement_free(m);
}

static void input_facts(json_t *o, const Csl__Audit__InputLeaf *leaf) {
    put(o, "batch", json_integer(leaf->batch));
    json_t *all = json_array();
    for (size_t i = 0; i < leaf->n_inputs; i++) {
        Csl__Audit__InputStatement *m = NULL;
        const Csl__Audit__Signed *s = leaf->inputs[i];
        if (csl_input_statement_decode(&m, s->statement.data, s->statement.len, NULL) == CSL_OK) {
            json_t *roots = json_array(), *one = json_object();
            put(one, "owner", plain(s->signer));
            if (m->request != 0) {
                put(one, "guest", hex(&m->guest));
                put(one, "request", json_integer(m->request));
            } else {
                put(one, "part", json_integer(m->part));
            }
            put(one, "inferences", json_integer(m->count));
            for (size_t k = 0; k < m->n_roots; k++) {
                (void)json_array_append_new(roots, hex(&m->roots[k]));
            }
            put(one, "roots", roots);
            (void)json_array_append_new(all, one);
        }
        csl_statement_free(m);
    }
    put(o, "inputs", all);
    put(o, "commitments", json_integer((json_int_t)leaf->n_commitments));
}

static void heads_facts(json_t *o, const Csl__Audit__HeadsLeaf *leaf) {
    put(o, "batch", json_integer(leaf->batch));
    json_t *all = json_array();
    for (size_t i = 0; i < leaf->n_heads; i++) {
        Csl__Audit__HeadStatement *m = NULL;
        const Csl__Audit__Signed *s = leaf->heads[i];
        if (csl_head_statement_decode(&m, s->statement.data, s->statement.len, NULL) == CSL_OK) {
            json_t *one = json_object();
            put(one, "party", plain(s->signer));
            put(one, "head", hex(&m->head));
            put(one, "rounds", json_integer(m->rounds));
            if (m->first_row != 0) {
                put(one, "first_row", json_integer(m->first_row));
            }
            (void)json_array_append_new(all, one);
        }
        csl_statement_free(m);
    }
    put(o, "heads", all);
}

static void dealt_facts(json_t *o, const Csl__Audit__Signed *s) {
    Csl__Audit__DealtStatement *m = NULL;
    if (csl_dealt_statement_decode(&m, s->statement.data, s->statement.len, NULL) == CSL_OK) {
        put(o, "package", hex(&m->package_digest));
        put(o, "epoch", hex(&m->epoch_id));
        put(o, "stream", json_integer(m->stream));
        put(o, "first", json_integer(m->first));
        put(o, "count", json_integer(m->count));
        put(o, "corrections", hex(&m->corrections_root));
    }
    csl_statement_free(m);
}

static void one_output(json_t *o, const Csl__Audit__OutputStatement *m) {
    put(o, "inferences", json_integer(m->count));
    put(o, "commitment", hex(&m->commitment));
}

/* One to the client of the session; in a shared session a list, to each guest its own. */
static void output_facts(json_t *o, const Csl__Audit__OutputLeaf *leaf) {
    json_t *all = json_array();
    for (size_t i = 0; i < leaf->n_outputs; i++) {
        Csl__Audit__OutputStatement *m = NULL;
        const Csl__Audit__Signed *s = leaf->outputs[i];
        if (csl_output_statement_decode(&m, s->statement.data, s->statement.len, NULL) == CSL_OK) {
            put(o, "batch", json_integer(m->batch));
            if (m->request == 0) {
                one_output(o, m);
            } else {
                json_t *one = json_object();
                put(one, "guest", hex(&m->guest));
                put(one, "request", json_integer(m->request));
                one_output(one, m);
                (void)json_array_append_new(all, one);
            }
        }
        csl_statement_free(m);
    }
    if (json_array_size(all) != 0) {
        put(o, "outputs", json_incref(all));
    }
    json_decref(all);
}

static void model_facts(json_t *o, const Csl__Audit__ModelLeaf *leaf) {
    static const char *const events[] = {[CSL_MODEL_SEALED] = "sealed",
                                         [CSL_MODEL_ACCEPTED] = "accepted",
                                         [CSL_MODEL_RESEALED] = "handed on",
                                         [CSL_MODEL_ARCHIVED] = "archived",
                                         [CSL_MODEL_RESTORED] = "restored"};
    json_t *sealed = json_array();
    put(o, "model", plain(leaf->name));
    put(o, "owner", plain(leaf->owner));
    put(o, "event", json_string(events[leaf->event]));
    put(o, "package", hex(&leaf->package_digest));
    for (size_t i = 0; i < leaf->n_sealed_digests; i++) {
        (void)json_array_append_new(sealed, hex(&leaf->sealed_digests[i]));
    }
    put(o, "sealed", sealed);
}

static void consent_facts(json_t *o, const Csl__Audit__Signed *s) {
    Csl__Audit__ConsentStatement *m = NULL;
    if (csl_consent_statement_decode(&m, s->statement.data, s->statement.len, NULL) == CSL_OK) {
        put(o, "party", plain(m->party));
        put(o, "package", hex(&m->package_digest));
        put(o, "judge", hex(&m->judge));
    }
    csl_statement_free(m);
}

/* Leaves of the ledger that a checkpoint in a WITNESS leaf is of. */
static void note_facts(json_t *o, const char *key, const char *text) {
    struct csl_note *note = malloc(sizeof *note);
    if (note != NULL && csl_note_parse(note, text, strlen(text), NULL) == CSL_OK) {
        put(o, key, json_integer((json_int_t)note->checkpoint.size));
    }
    free(note);
}

static void other_facts(json_t *o, const csl_leaf *l) {
    switch (l->body_case) {
    case CSL__AUDIT__LEAF__BODY_CLOSE:
        put(o, "error", json_string(csl_err_name((enum csl_err)l->close->error)));
        put(o, "reason", plain(l->close->reason));
        put(o, "batches", json_integer((json_int_t)l->close->batches));
        put(o, "inferences", json_integer((json_int_t)l->close->inferences));
        break;
    case CSL__AUDIT__LEAF__BODY_REFUSED:
        put(o, "who", plain(l->refused->who));
        put(o, "what", plain(l->refused->what));
        put(o, "error", json_string(csl_err_name((enum csl_err)l->refused->error)));
        put(o, "reason", plain(l->refused->reason));
        break;
    case CSL__AUDIT__LEAF__BODY_OPENING:
        put(o, "party", plain(l->opening->party));
        put(o, "package", hex(&l->opening->package_digest));
        put(o, "judge", hex(&l->opening->judge));
        put(o, "consent", json_boolean(l->opening->consent != NULL));
        break;
    case CSL__AUDIT__LEAF__BODY_WITNESS:
        put(o, "who", plain(l->witness->who));
        put(o, "reason", plain(l->witness->reason));
        note_facts(o, "entries_cosigned", l->witness->note_seen);
        note_facts(o, "entries_shown", l->witness->note_shown);
        break;
    default:
        break;
    }
}

const char *csl_story_kind(const csl_leaf *l) {
    bool accepted = l->body_case == CSL__AUDIT__LEAF__BODY_WITNESS &&
                    strncmp(l->witness->reason, CSL_WITNESS_ACCEPTED, strlen(CSL_WITNESS_ACCEPTED)) == 0;
    return accepted ? "ledger accepted" : csl_leaf_kind_name((int)l->body_case);
}

json_t *csl_story_json(struct csl_story *s, const csl_leaf *l) {
    json_t *o = json_object();
    const uint8_t *id = csl_story_session_of(s, l);
    put(o, "kind", json_string(csl_story_kind(l)));
    if (id != NULL) {
        ProtobufCBinaryData d = {.len = 16, .data = (uint8_t *)(uintptr_t)id};
        put(o, "session", hex(&d));
    }
    switch (l->body_case) {
    case CSL__AUDIT__LEAF__BODY_MODEL:
        model_facts(o, l->model);
        break;
    case CSL__AUDIT__LEAF__BODY_SESSION:
        session_facts(o, l->session);
        break;
    case CSL__AUDIT__LEAF__BODY_INPUT:
        input_facts(o, l->input);
        break;
    case CSL__AUDIT__LEAF__BODY_HEADS:
        heads_facts(o, l->heads);
        break;
    case CSL__AUDIT__LEAF__BODY_OUTPUT:
        output_facts(o, l->output);
        break;
    case CSL__AUDIT__LEAF__BODY_DEALT:
        dealt_facts(o, l->dealt->dealt);
        break;
    case CSL__AUDIT__LEAF__BODY_CONSENT:
        consent_facts(o, l->consent->consent);
        break;
    default:
        other_facts(o, l);
    }
    return o;
}
