#include "transcript.h"

#include <stdlib.h>
#include <string.h>

/* ---- Ledgers ---- */

static bool is_of(const csl_leaf *l, const uint8_t *id, const uint8_t digest[CSL_DIGEST_BYTES]) {
    const ProtobufCBinaryData *session = NULL;
    switch (l->body_case) {
    case CSL__AUDIT__LEAF__BODY_CLOSE:
        return memcmp(l->close->session_id.data, id, CSL_SESSION_ID_BYTES) == 0;
    case CSL__AUDIT__LEAF__BODY_INPUT:
        session = &l->input->session;
        break;
    case CSL__AUDIT__LEAF__BODY_HEADS:
        session = &l->heads->session;
        break;
    case CSL__AUDIT__LEAF__BODY_OUTPUT:
        session = &l->output->session;
        break;
    default:
        return false;
    }
    return memcmp(session->data, digest, CSL_DIGEST_BYTES) == 0;
}

/* Whether it opens this session: then digest gets that of its statement. */
static bool opens(uint8_t digest[CSL_DIGEST_BYTES], const csl_leaf *l, const uint8_t *id) {
    if (l->body_case != CSL__AUDIT__LEAF__BODY_SESSION) {
        return false;
    }
    struct csl_diag diag = {""};
    Csl__Audit__SessionStatement *m;
    must(csl_session_statement_decode(&m, l->session->statement.data, l->session->statement.len, &diag),
         &diag, "statement");
    bool same = memcmp(m->session_id.data, id, CSL_SESSION_ID_BYTES) == 0;
    csl_statement_free(m);
    must(csl_sha256_once(digest, l->session->statement.data, l->session->statement.len), &diag, "digest");
    return same;
}

static void take_leaf(struct story *s, struct csl_ledger *ledger, uint64_t i, const uint8_t *id,
                      uint8_t digest[CSL_DIGEST_BYTES]) {
    struct csl_diag diag = {""};
    uint8_t *bytes, its[CSL_DIGEST_BYTES];
    size_t n;
    csl_leaf *leaf;
    must(csl_ledger_leaf(ledger, &bytes, &n, i, &diag), &diag, "leaf");
    must(csl_leaf_decode(&leaf, bytes, n, &diag), &diag, "leaf");
    free(bytes);
    bool first = opens(its, leaf, id);
    if (first) {
        memcpy(digest, its, CSL_DIGEST_BYTES);
    }
    if (first || is_of(leaf, id, digest)) {
        assert_true(s->n < LEAVES_MAX);
        s->leaves[s->n++] = leaf;
    } else {
        csl_leaf_free(leaf);
    }
}

void story_read(struct story *s, const struct world *w, const char *site, const uint8_t *session_id) {
    struct csl_context ctx;
    struct csl_logbook book;
    struct csl_diag diag = {""};
    uint8_t digest[CSL_DIGEST_BYTES] = {0};
    memset(s, 0, sizeof *s);
    world_context(&ctx, w, site);
    must(csl_logbook_open(&book, &ctx, 0, &diag), &diag, "ledger");
    for (uint64_t i = 0; i < csl_ledger_size(book.ledger); i++) {
        take_leaf(s, book.ledger, i, session_id, digest);
    }
    csl_logbook_close(&book);
    csl_context_free(&ctx);
}

void story_clear(struct story *s) {
    for (size_t i = 0; i < s->n; i++) {
        csl_leaf_free(s->leaves[i]);
    }
    s->n = 0;
}

const csl_leaf *story_leaf(const struct story *s, int kind, size_t i) {
    for (size_t k = 0; k < s->n; k++) {
        if ((int)s->leaves[k]->body_case == kind && i-- == 0) {
            return s->leaves[k];
        }
    }
    return NULL;
}

/* ---- A fake client ---- */

static void take_output(struct fake *f, unsigned i, struct given *given) {
    struct csl_diag diag = {""};
    struct csl_frame_in *in;
    csl_control *m;
    must(csl_talk_receive(&f->talks[i], &in, FAKE_WAIT_MS, &diag), &diag, "output");
    assert_int_equal(in->h.type, CSL_FRAME_DATA);
    csl_frame_in_free(in);
    must(csl_talk_expect(&f->talks[i], &m, CSL__PB__CONTROL__KIND_BATCH_DONE, FAKE_WAIT_MS, &diag), &diag,
         "done");
    if (given != NULL) {
        given->n = m->batch_done->statement.len;
        if (given->n != 0) {
            memcpy(given->statement, m->batch_done->statement.data, given->n);
            memcpy(given->signature, m->batch_done->signature.data, sizeof given->signature);
        }
    }
    csl_message_free(m);
}

void fake_batch(struct fake *f, uint32_t batch, uint32_t count, struct given given[CSL_MAX_PARTIES]) {
    fake_prepare_all(f, batch, count);
    fake_input_all(f, batch, count);
    for (unsigned i = 0; i < f->w->n; i++) {
        take_output(f, i, given != NULL ? &given[i] : NULL);
    }
}

void fake_finish(struct fake *f) {
    struct csl_diag diag = {""};
    for (unsigned i = 0; i < f->w->n; i++) {
        CSL_CONTROL(m, body, CloseSession, CLOSE_SESSION, CLOSE_SESSION, close_session);
        must(csl_talk_send(&f->talks[i], &m, &diag), &diag, "close");
    }
    for (unsigned i = 0; i < f->w->n; i++) {
        FAILED(fake_end(f, i, &diag), &diag, CSL_EPEER, "ended the connection");
    }
    fake_close(f);
}

/* ---- Checks ---- */

void signed_by(const struct world *w, enum csl_statement what, const Csl__Audit__Signed *s, const char *who) {
    struct csl_diag diag = {""};
    assert_string_equal(s->signer, who);
    must(csl_statement_verify(what, s->statement.data, s->statement.len, s->signature.data, s->signature.len,
                              csl_roster_member(&w->clinic.roster, who)->sign_key, &diag),
         &diag, who);
}

void same_bytes(const ProtobufCBinaryData *a, const ProtobufCBinaryData *b) {
    assert_int_equal(a->len, b->len);
    assert_memory_equal(a->data, b->data, a->len);
}
