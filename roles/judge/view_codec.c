/* Records of views as bytes (proto/view.proto), and back with every length checked. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "mpc/pack.h"
#include "roles/judge/view_internal.h"

/* ---- Memory of messages is wiped ---- */

static void *take(void *arg, size_t n) {
    (void)arg;
    return csl_secret_alloc(n + 1, 1);
}
static void release(void *arg, void *p) {
    (void)arg;
    csl_secret_free(p);
}
static ProtobufCAllocator wiping = {.alloc = take, .free = release};

enum csl_err csl__view_pack(uint8_t **out, size_t *n, const Csl__View__Record *r) {
    *n = csl__view__record__get_packed_size(r);
    *out = csl_secret_alloc(*n + 1, 1);
    if (*out == NULL) {
        *n = 0;
        return CSL_ENOMEM;
    }
    (void)csl__view__record__pack(r, *out);
    return CSL_OK;
}

enum csl_err csl__view_unpack(Csl__View__Record **out, const uint8_t *p, size_t n, struct csl_diag *diag) {
    *out = csl__view__record__unpack(&wiping, n, p);
    if (*out == NULL) {
        return csl_fail(diag, CSL_EDATA, "a record of %zu bytes cannot be decoded", n);
    }
    return CSL_OK;
}

void csl__view_free(Csl__View__Record *r) {
    if (r != NULL) {
        csl__view__record__free_unpacked(r, &wiping);
    }
}

/* ---- Packing: messages that point into what they are made of ---- */

static ProtobufCBinaryData view_of(const void *p, size_t n) {
    return (ProtobufCBinaryData){.len = p == NULL ? 0 : n, .data = (uint8_t *)(uintptr_t)p};
}

static Csl__View__Signed signed_of(const struct csl_signed *s) {
    Csl__View__Signed out = CSL__VIEW__SIGNED__INIT;
    out.statement = view_of(s->statement, s->n);
    out.signature = view_of(s->statement == NULL ? NULL : s->signature, sizeof s->signature);
    return out;
}

enum csl_err csl__view_pack_session(uint8_t **out, size_t *n, const struct csl_session_record *s,
                                    const struct csl_package *package, const struct csl_request *request) {
    Csl__View__Session m = CSL__VIEW__SESSION__INIT;
    Csl__View__Record r = CSL__VIEW__RECORD__INIT;
    ProtobufCBinaryData signatures[CSL_MAX_PARTIES];
    Csl__View__Part parts[CSL_PARTS_MAX], *list[CSL_PARTS_MAX];
    for (unsigned i = 0; i < s->n_parties; i++) {
        signatures[i] = view_of(s->signatures[i], CSL_SIGNATURE_BYTES);
    }
    for (size_t i = 0; i < request->parts.n; i++) {
        const struct csl_part *p = &request->parts.at[i];
        csl__view__part__init(&parts[i]);
        parts[i].owner = (char *)(uintptr_t)p->owner->name;
        parts[i].n_begin = parts[i].n_end = p->rank;
        parts[i].begin = (uint32_t *)(uintptr_t)p->begin;
        parts[i].end = (uint32_t *)(uintptr_t)p->end;
        list[i] = &parts[i];
    }
    m.statement = view_of(s->statement, s->n_statement);
    m.n_signatures = s->n_parties;
    m.signatures = signatures;
    m.nonces = view_of(s->nonces, (size_t)s->n_parties * CSL_NONCE_BYTES);
    m.manifest = view_of(package->manifest, package->n_manifest);
    m.manifest_signature = view_of(package->signature, CSL_SIGNATURE_BYTES);
    m.part = view_of(package->part, package->n_part);
    m.model = (char *)(uintptr_t)request->model;
    m.max_batch = request->max_batch;
    m.reveal_label = request->reveal_label;
    m.shared = request->shared;
    m.ahead = request->ahead;
    m.n_parts = request->parts.n;
    m.parts = list;
    r.kind_case = CSL__VIEW__RECORD__KIND_SESSION;
    r.session = &m;
    return csl__view_pack(out, n, &r);
}

static enum csl_err pack_e(ProtobufCBinaryData *e, const struct csl_layer_share *l) {
    TRY(csl_pack_size(&e->len, l->n_w, l->bits));
    e->data = malloc(e->len + 1);
    if (e->data == NULL) {
        return CSL_ENOMEM;
    }
    csl_pack_bits(e->data, l->e, l->n_w, l->bits);
    return CSL_OK;
}

enum csl_err csl__view_pack_weights(uint8_t **out, size_t *n, const struct csl_model_share *share) {
    Csl__View__Weights m = CSL__VIEW__WEIGHTS__INIT;
    Csl__View__Record r = CSL__VIEW__RECORD__INIT;
    ProtobufCBinaryData *e = calloc((size_t)share->n_layers + 1, sizeof *e);
    enum csl_err err = e == NULL ? CSL_ENOMEM : share->opened ? CSL_OK : CSL_EINTERNAL;
    for (uint32_t i = 0; i < share->n_layers && err == CSL_OK; i++) {
        err = pack_e(&e[i], &share->layers[i]);
    }
    if (err == CSL_OK) {
        m.n_e = share->n_layers;
        m.e = e;
        r.kind_case = CSL__VIEW__RECORD__KIND_WEIGHTS;
        r.weights = &m;
        err = csl__view_pack(out, n, &r);
    }
    for (uint32_t i = 0; e != NULL && i < share->n_layers; i++) {
        free(e[i].data);
    }
    free(e);
    return err;
}

/* The lists of a batch's message. */
struct lists {
    Csl__View__Signed dealt, heads[CSL_MAX_PARTIES], *head_list[CSL_MAX_PARTIES];
    Csl__View__Input inputs[CSL_RECORD_INPUTS_MAX], *input_list[CSL_RECORD_INPUTS_MAX];
    Csl__View__Signed input_statements[CSL_RECORD_INPUTS_MAX];
    Csl__View__Signed outputs[CSL_RECORD_INPUTS_MAX], *output_list[CSL_RECORD_INPUTS_MAX];
    ProtobufCBinaryData output_salts[CSL_RECORD_INPUTS_MAX], output_shares[CSL_RECORD_INPUTS_MAX];
    Csl__View__Round *rounds, **round_list;
    ProtobufCBinaryData *messages;
};

static void list_rounds(struct lists *l, Csl__View__Batch *m, const struct csl_record *r,
                        unsigned n_parties) {
    for (size_t k = 0; k < r->n_rounds; k++) {
        const struct csl_record_round *round = &r->rounds[k];
        ProtobufCBinaryData *messages = l->messages + k * n_parties;
        for (unsigned p = 0; p < n_parties; p++) {
            messages[p] = view_of(round->messages[p], round->n);
        }
        csl__view__round__init(&l->rounds[k]);
        l->rounds[k].n_messages = n_parties;
        l->rounds[k].messages = messages;
        l->round_list[k] = &l->rounds[k];
    }
    m->n_rounds = r->n_rounds;
    m->rounds = l->round_list;
}

static void list_inputs(struct lists *l, Csl__View__Batch *m, const struct csl_record *r) {
    for (size_t i = 0; i < r->n_inputs; i++) {
        const struct csl_record_input *in = &r->inputs[i];
        csl__view__input__init(&l->inputs[i]);
        l->input_statements[i] = signed_of(&in->statement);
        l->inputs[i].statement = &l->input_statements[i];
        l->inputs[i].salt = view_of(in->salt, sizeof in->salt);
        l->inputs[i].share = view_of(in->share, in->n);
        if (in->request.number != 0) {
            l->inputs[i].owner = (char *)(uintptr_t)in->owner->name;
            l->inputs[i].count = in->count;
            l->inputs[i].guest = view_of(in->request.guest, sizeof in->request.guest);
            l->inputs[i].request = in->request.number;
        }
        l->input_list[i] = &l->inputs[i];
    }
    m->n_inputs = r->n_inputs;
    m->inputs = l->input_list;
}

static void list_outputs(struct lists *l, Csl__View__Batch *m, const struct csl_record *r) {
    for (size_t i = 0; i < r->n_outputs; i++) {
        const struct csl_record_output *out = &r->outputs[i];
        l->output_salts[i] = view_of(out->salt, sizeof out->salt);
        l->output_shares[i] = view_of(out->share, out->n);
        l->outputs[i] = signed_of(&out->statement);
        l->output_list[i] = &l->outputs[i];
    }
    m->n_output_salt = m->n_output_share = m->n_output = r->n_outputs;
    m->output_salt = l->output_salts;
    m->output_share = l->output_shares;
    m->output = l->output_list;
}

static void list_signed(struct lists *l, Csl__View__Batch *m, const struct csl_record *r,
                        unsigned n_parties) {
    l->dealt = signed_of(&r->dealt);
    m->dealt = &l->dealt;
    for (unsigned p = 0; p < n_parties; p++) {
        l->heads[p] = signed_of(&r->heads[p]);
        l->head_list[p] = &l->heads[p];
    }
    m->n_heads = n_parties;
    m->heads = l->head_list;
    list_inputs(l, m, r);
    list_outputs(l, m, r);
}

enum csl_err csl__view_pack_batch(uint8_t **out, size_t *n, const struct csl_record *r, unsigned n_parties) {
    Csl__View__Batch m = CSL__VIEW__BATCH__INIT;
    Csl__View__Record record = CSL__VIEW__RECORD__INIT;
    struct lists *l = calloc(1, sizeof *l);
    if (l != NULL) {
        l->rounds = calloc(r->n_rounds + 1, sizeof *l->rounds);
        l->round_list = calloc(r->n_rounds + 1, sizeof *l->round_list);
        l->messages = calloc((r->n_rounds + 1) * n_parties, sizeof *l->messages);
    }
    enum csl_err err = CSL_ENOMEM;
    if (l != NULL && l->rounds != NULL && l->round_list != NULL && l->messages != NULL) {
        list_rounds(l, &m, r, n_parties);
        list_signed(l, &m, r, n_parties);
        m.batch = r->batch;
        m.count = r->count;
        m.first = r->first;
        m.total = r->total;
        m.n_counters = r->counters == NULL ? 0 : r->count;
        m.counters = r->counters;
        m.seeds = view_of(r->seeds, (size_t)r->count * CSL_INDEX_SEED_BYTES);
        m.seed_leaves = view_of(r->seed_leaves, (size_t)r->total * CSL_MERKLE_BYTES);
        m.corrections = view_of(r->corrections, r->count * r->n_corrections);
        m.correction_leaves = view_of(r->correction_leaves, (size_t)r->total * CSL_MERKLE_BYTES);
        m.first_row = r->first_row;
        record.kind_case = CSL__VIEW__RECORD__KIND_BATCH;
        record.batch = &m;
        err = csl__view_pack(out, n, &record);
    }
    if (l != NULL) {
        free(l->rounds);
        free(l->round_list);
        free(l->messages);
    }
    free(l);
    return err;
}

enum csl_err csl__view_pack_end(uint8_t **out, size_t *n, bool complete, const char *reason) {
    Csl__View__End m = CSL__VIEW__END__INIT;
    Csl__View__Record r = CSL__VIEW__RECORD__INIT;
    m.complete = complete;
    m.reason = (char *)(uintptr_t)reason;
    r.kind_case = CSL__VIEW__RECORD__KIND_END;
    r.end = &m;
    return csl__view_pack(out, n, &r);
}
