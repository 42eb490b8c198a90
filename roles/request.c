#include "roles/request.h"

#include <stdio.h>
#include <string.h>

#include "crypto/bytes.h"
#include "crypto/hash.h"

enum csl_err csl_request_from_message(struct csl_request *out, const struct csl_roster *r,
                                      const struct csl_member *client, const Csl__Pb__OpenSession *m,
                                      struct csl_diag *diag) {
    memset(out, 0, sizeof *out);
    if (!csl_roster_may_query(r, client->name, m->model)) {
        return csl_fail(diag, CSL_EPERM, "the roster does not let %s query model %s", client->name, m->model);
    }
    if (m->max_batch > r->limits.max_batch) {
        return csl_fail(diag, CSL_EUSAGE, "a batch of %u; the roster's limit is %u", m->max_batch,
                        r->limits.max_batch);
    }
    if (csl_roster_label_only(r, m->model) && !m->reveal_label) {
        return csl_fail(diag, CSL_EPERM,
                        "the roster reveals labels of model %s only; ask for them (--reveal label)",
                        m->model);
    }
    (void)snprintf(out->model, sizeof out->model, "%s", m->model);
    out->max_batch = m->max_batch;
    out->reveal_label = m->reveal_label;
    out->shared = m->shared;
    if (m->shared) { /* the decoder has checked its length */
        memcpy(out->guest, m->guest_id.data, sizeof out->guest);
    }
    out->ahead = m->ahead;
    if (m->shared && m->n_parts != 0) {
        return csl_fail(diag, CSL_EUSAGE, "a shared session with parts of the input; open one of your own");
    }
    if (m->shared && m->ahead) {
        return csl_fail(
            diag, CSL_EUSAGE,
            "batches announced ahead in a shared session, whose parties make correlations ahead of "
            "need anyway; open one of your own");
    }
    return csl_parts_from_message(&out->parts, r, m, diag);
}

enum {
    ENCODED_MAX =
        4 + CSL_MODEL_NAME_MAX + 4 + 1 + 4 + CSL_PARTS_MAX * (4 + CSL_NAME_MAX + 4 + 8 * CSL_MAX_RANK) + 1
};

static void put_text(struct csl_writer *w, const char *s) {
    csl_writer_u32(w, (uint32_t)strlen(s));
    csl_writer_bytes(w, (const uint8_t *)s, strlen(s));
}

enum csl_err csl_request_digest(uint8_t out[CSL_DIGEST_BYTES], const struct csl_request *q) {
    uint8_t bytes[ENCODED_MAX];
    struct csl_writer w = csl_writer_of(bytes, sizeof bytes);
    put_text(&w, q->model);
    csl_writer_u32(&w, q->max_batch);
    csl_writer_u8(&w, q->reveal_label);
    csl_writer_u32(&w, (uint32_t)q->parts.n);
    for (size_t i = 0; i < q->parts.n; i++) {
        const struct csl_part *part = &q->parts.at[i];
        put_text(&w, part->owner->name);
        csl_writer_u32(&w, part->rank);
        for (uint32_t a = 0; a < part->rank; a++) {
            csl_writer_u32(&w, part->begin[a]);
            csl_writer_u32(&w, part->end[a]);
        }
    }
    if (q->shared || q->ahead) { /* one of them at most */
        csl_writer_u8(&w, q->shared ? 1 : 2);
    }
    return w.bad ? CSL_EINTERNAL : csl_sha256_once(out, bytes, w.n);
}
