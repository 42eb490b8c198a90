/* Records of views out of their messages: every length and count is checked before anything is taken. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "roles/judge/view_internal.h"

enum { COUNT_MAX = 1 << 16, TOTAL_MAX = COUNT_MAX + 64 };

static enum csl_err wrong(struct csl_diag *diag, const char *field) {
    return csl_fail(diag, CSL_EDATA, "field %s has a wrong length, count or value", field);
}

/* A copy; NULL for nothing. */
static enum csl_err copy(uint8_t **out, const ProtobufCBinaryData *b) {
    *out = NULL;
    if (b->len == 0) {
        return CSL_OK;
    }
    *out = malloc(b->len);
    if (*out == NULL) {
        return CSL_ENOMEM;
    }
    memcpy(*out, b->data, b->len);
    return CSL_OK;
}

static enum csl_err copy_secret(uint8_t **out, const ProtobufCBinaryData *b) {
    *out = NULL;
    if (b->len == 0) {
        return CSL_OK;
    }
    *out = csl_secret_alloc(b->len, 1);
    if (*out == NULL) {
        return CSL_ENOMEM;
    }
    memcpy(*out, b->data, b->len);
    return CSL_OK;
}

/* Nothing, or a statement with its signature. */
static enum csl_err take_signed(struct csl_signed *out, const Csl__View__Signed *m, const char *field,
                                struct csl_diag *diag) {
    if (m == NULL || (m->statement.len == 0 && m->signature.len == 0)) {
        return CSL_OK;
    }
    if (m->statement.len == 0 || m->statement.len > CSL_STATEMENT_MAX ||
        m->signature.len != CSL_SIGNATURE_BYTES) {
        return wrong(diag, field);
    }
    return csl_signed_copy(out, m->statement.data, m->statement.len, m->signature.data);
}

/* ---- The session ---- */

static enum csl_err take_request(struct csl_request *q, const Csl__View__Session *m,
                                 const struct csl_roster *roster, struct csl_diag *diag) {
    if (strlen(m->model) > CSL_MODEL_NAME_MAX || m->n_parts > CSL_PARTS_MAX || m->max_batch == 0 ||
        m->max_batch > COUNT_MAX || (m->shared && (m->n_parts != 0 || m->ahead))) {
        return wrong(diag, "model, max_batch, parts or ahead");
    }
    (void)snprintf(q->model, sizeof q->model, "%s", m->model);
    q->max_batch = m->max_batch;
    q->reveal_label = m->reveal_label;
    q->shared = m->shared;
    q->ahead = m->ahead;
    for (size_t i = 0; i < m->n_parts; i++) {
        const Csl__View__Part *pb = m->parts[i];
        struct csl_part *part = &q->parts.at[i];
        part->owner = csl_roster_member(roster, pb->owner);
        if (part->owner == NULL) {
            return csl_fail(diag, CSL_EDATA, "the roster has no member %.40s, an owner of the input",
                            pb->owner);
        }
        if (pb->n_begin != pb->n_end || pb->n_begin > CSL_MAX_RANK) {
            return wrong(diag, "parts");
        }
        part->rank = (uint32_t)pb->n_begin;
        for (size_t a = 0; a < pb->n_begin; a++) {
            part->begin[a] = pb->begin[a];
            part->end[a] = pb->end[a];
        }
    }
    q->parts.n = m->n_parts;
    return CSL_OK;
}

enum csl_err csl__view_take_session(struct csl_view_session *out, const Csl__View__Session *m,
                                    const struct csl_roster *roster, struct csl_diag *diag) {
    struct csl_session_record *s = &out->record;
    if (m->n_signatures < 2 || m->n_signatures > CSL_MAX_PARTIES ||
        m->nonces.len != m->n_signatures * CSL_NONCE_BYTES) {
        return wrong(diag, "signatures or nonces");
    }
    for (size_t i = 0; i < m->n_signatures; i++) {
        if (m->signatures[i].len != CSL_SIGNATURE_BYTES) {
            return wrong(diag, "signatures");
        }
        memcpy(s->signatures[i], m->signatures[i].data, CSL_SIGNATURE_BYTES);
    }
    if (m->statement.len == 0 || m->statement.len > CSL_STATEMENT_MAX || m->manifest.len == 0 ||
        m->manifest.len > CSL_MANIFEST_MAX || m->manifest_signature.len != CSL_SIGNATURE_BYTES ||
        m->part.len <= CSL_SALT_BYTES) {
        return wrong(diag, "statement, manifest, manifest_signature or part");
    }
    s->n_parties = (unsigned)m->n_signatures;
    memcpy(s->nonces, m->nonces.data, m->nonces.len);
    TRY(copy(&s->statement, &m->statement));
    s->n_statement = m->statement.len;
    TRY(csl_sha256_once(s->digest, s->statement, s->n_statement));
    TRY(copy(&out->manifest, &m->manifest));
    out->n_manifest = m->manifest.len;
    memcpy(out->manifest_signature, m->manifest_signature.data, CSL_SIGNATURE_BYTES);
    TRY(copy_secret(&out->part, &m->part));
    out->n_part = m->part.len;
    return take_request(&out->request, m, roster, diag);
}

enum csl_err csl__view_take_weights(struct csl_view_session *out, const Csl__View__Weights *m,
                                    struct csl_diag *diag) {
    if (m->n_e == 0 || m->n_e > CSL_PLAN_MAX_STEPS) {
        return wrong(diag, "e");
    }
    out->e = calloc(m->n_e, sizeof *out->e);
    out->n_e = calloc(m->n_e, sizeof *out->n_e);
    if (out->e == NULL || out->n_e == NULL) {
        return CSL_ENOMEM;
    }
    out->n_layers = m->n_e;
    for (size_t i = 0; i < m->n_e; i++) {
        TRY(copy(&out->e[i], &m->e[i]));
        out->n_e[i] = m->e[i].len;
    }
    return CSL_OK;
}

void csl_view_session_clear(struct csl_view_session *s) {
    csl_session_record_clear(&s->record);
    free(s->manifest);
    csl_secret_free(s->part);
    for (size_t i = 0; s->e != NULL && i < s->n_layers; i++) {
        free(s->e[i]);
    }
    free(s->e);
    free(s->n_e);
    memset(s, 0, sizeof *s);
}

/* ---- A batch ---- */

static bool counters_fit(const Csl__View__Batch *m) {
    bool fit = m->n_counters == m->count && (uint64_t)m->first + m->total <= (uint64_t)UINT32_MAX + 1;
    for (size_t i = 0; fit && i < m->n_counters; i++) {
        fit = m->counters[i] >= m->first && m->counters[i] - m->first < m->total &&
              (i == 0 || m->counters[i] > m->counters[i - 1]);
    }
    return fit;
}

static enum csl_err take_dealt(struct csl_record *out, const Csl__View__Batch *m, struct csl_diag *diag) {
    size_t leaves = (size_t)m->total * CSL_MERKLE_BYTES;
    if (!counters_fit(m) || m->seeds.len != (size_t)m->count * CSL_INDEX_SEED_BYTES ||
        m->seed_leaves.len != leaves) {
        return wrong(diag, "counters, seeds or seed_leaves");
    }
    if (m->corrections.len % m->count != 0 ||
        m->correction_leaves.len != (m->corrections.len == 0 ? 0 : leaves)) {
        return wrong(diag, "corrections or correction_leaves");
    }
    out->counters = malloc(m->n_counters * sizeof *out->counters);
    if (out->counters == NULL) {
        return CSL_ENOMEM;
    }
    memcpy(out->counters, m->counters, m->n_counters * sizeof *out->counters);
    TRY(copy_secret(&out->seeds, &m->seeds));
    TRY(copy(&out->seed_leaves, &m->seed_leaves));
    TRY(copy_secret(&out->corrections, &m->corrections));
    out->n_corrections = m->corrections.len / m->count;
    TRY(copy(&out->correction_leaves, &m->correction_leaves));
    return take_signed(&out->dealt, m->dealt, "dealt", diag);
}

/* Whose request of a shared session an input is, with its rows from `first` on; all or nothing of it. */
static enum csl_err take_asker(struct csl_record_input *to, const Csl__View__Input *in, uint32_t first,
                               const Csl__View__Batch *m, const struct csl_roster *roster,
                               struct csl_diag *diag) {
    *to = (struct csl_record_input){.count = m->count};
    if (in->request == 0 && in->guest.len == 0 && in->owner[0] == '\0' && in->count == 0) {
        return CSL_OK;
    }
    to->owner = csl_roster_member(roster, in->owner);
    if (to->owner == NULL) {
        return csl_fail(diag, CSL_EDATA, "the roster has no member %.40s, whose request is in the view",
                        in->owner);
    }
    if (in->request == 0 || in->guest.len != sizeof to->request.guest || in->count == 0 ||
        in->count > m->count - first) {
        return wrong(diag, "inputs");
    }
    to->first = first;
    to->count = in->count;
    to->request.number = in->request;
    memcpy(to->request.guest, in->guest.data, sizeof to->request.guest);
    return CSL_OK;
}

/* Either requests, of which the rows are one after another, or the parts of one input. */
static enum csl_err take_inputs(struct csl_record *out, const Csl__View__Batch *m,
                                const struct csl_roster *roster, struct csl_diag *diag) {
    bool shared = m->n_inputs != 0 && m->inputs[0]->request != 0;
    uint32_t first = 0;
    if (m->n_inputs == 0 || m->n_inputs > (shared ? CSL_RECORD_INPUTS_MAX : CSL_PARTS_MAX)) {
        return wrong(diag, "inputs");
    }
    for (size_t i = 0; i < m->n_inputs; i++) {
        const Csl__View__Input *in = m->inputs[i];
        struct csl_record_input *to = &out->inputs[i];
        if ((in->request != 0) != shared || in->salt.len != sizeof to->salt || in->share.len == 0) {
            return wrong(diag, "inputs");
        }
        out->n_inputs = i + 1;
        TRY(take_asker(to, in, first, m, roster, diag));
        first += shared ? to->count : 0;
        memcpy(to->salt, in->salt.data, sizeof to->salt);
        TRY(copy_secret(&to->share, &in->share));
        to->n = in->share.len;
        TRY(take_signed(&to->statement, in->statement, "inputs", diag));
    }
    return !shared || first == m->count ? CSL_OK : wrong(diag, "inputs");
}

/* One, or one a request. */
static enum csl_err take_outputs(struct csl_record *out, const Csl__View__Batch *m, struct csl_diag *diag) {
    size_t n = out->inputs[0].request.number != 0 ? out->n_inputs : 1;
    if (m->n_output_salt != n || m->n_output_share != n || m->n_output != n) {
        return wrong(diag, "output");
    }
    for (size_t i = 0; i < n; i++) {
        struct csl_record_output *to = &out->outputs[i];
        if (m->output_salt[i].len != sizeof to->salt || m->output_share[i].len == 0) {
            return wrong(diag, "output");
        }
        out->n_outputs = i + 1;
        memcpy(to->salt, m->output_salt[i].data, sizeof to->salt);
        TRY(copy_secret(&to->share, &m->output_share[i]));
        to->n = m->output_share[i].len;
        TRY(take_signed(&to->statement, m->output[i], "output", diag));
    }
    return CSL_OK;
}

static enum csl_err take_round(struct csl_record_round *out, const Csl__View__Round *m, unsigned n_parties,
                               struct csl_diag *diag) {
    if (m->n_messages != n_parties || m->messages[0].len == 0) {
        return wrong(diag, "rounds");
    }
    size_t n = m->messages[0].len;
    for (unsigned p = 0; p < n_parties; p++) {
        if (m->messages[p].len != n) {
            return wrong(diag, "rounds");
        }
    }
    uint8_t *all = malloc(n * n_parties);
    if (all == NULL) {
        return CSL_ENOMEM;
    }
    out->n = n;
    for (unsigned p = 0; p < n_parties; p++) {
        out->messages[p] = all + p * n;
        memcpy(out->messages[p], m->messages[p].data, n);
    }
    return CSL_OK;
}

static enum csl_err take_rounds(struct csl_record *out, const Csl__View__Batch *m, unsigned n_parties,
                                struct csl_diag *diag) {
    if (m->n_rounds == 0 || m->n_rounds > CSL__VIEW_DEPTH_ROUNDS ||
        (m->n_heads != n_parties && m->n_heads != 0)) {
        return wrong(diag, "rounds or heads");
    }
    out->rounds = calloc(m->n_rounds, sizeof *out->rounds);
    if (out->rounds == NULL) {
        return CSL_ENOMEM;
    }
    out->room_rounds = m->n_rounds;
    for (size_t k = 0; k < m->n_rounds; k++) {
        TRY(take_round(&out->rounds[k], m->rounds[k], n_parties, diag));
        out->n_rounds = k + 1;
    }
    for (size_t p = 0; p < m->n_heads; p++) {
        TRY(take_signed(&out->heads[p], m->heads[p], "heads", diag));
    }
    return CSL_OK;
}

enum csl_err csl__view_take_batch(struct csl_record *out, const Csl__View__Batch *m, unsigned n_parties,
                                  const struct csl_roster *roster, struct csl_diag *diag) {
    if (m->batch == 0 || m->count == 0 || m->count > COUNT_MAX || m->total < m->count ||
        m->total > TOTAL_MAX || m->first_row > m->total - m->count) {
        return wrong(diag, "batch, count, total or first_row");
    }
    out->batch = m->batch;
    out->count = m->count;
    out->first = m->first;
    out->total = m->total;
    out->first_row = m->first_row;
    TRY(take_dealt(out, m, diag));
    TRY(take_inputs(out, m, roster, diag));
    TRY(take_rounds(out, m, n_parties, diag));
    return take_outputs(out, m, diag);
}
