#include "roles/lane/audit_link.h"

#include <stdlib.h>
#include <string.h>

#include "audit/transcript.h"
#include "crypto/hash.h"
#include "roles/message.h"

_Static_assert((int)CSL_SIGN_OFF == (int)CSL_ROSTER_SIGN_OFF &&
                   (int)CSL_SIGN_AFTER_OUTPUT == (int)CSL_ROSTER_SIGN_AFTER &&
                   (int)CSL_SIGN_BEFORE_OUTPUT == (int)CSL_ROSTER_SIGN_BEFORE,
               "the roster's words are the statement's");

struct csl_audit_link {
    struct csl_link base; /* what the session sees */
    struct csl_link *below;
    const struct csl_context *ctx;
    enum csl_audit_sign sign;
    bool keep_messages;
    void (*on_cut)(void *arg, const struct csl_record *r);
    void *on_cut_arg;
    bool broken; /* nothing passes any more */
    uint8_t session[CSL_DIGEST_BYTES];
    struct csl_transcript chains[CSL_MAX_PARTIES]; /* of what each party sent */
    /* The batch that runs, or that ran last. */
    struct csl_record *record;
    uint32_t rounds, round; /* openings that it has, and that are done */
    bool in_batch;
    /* What is done while messages travel: our own message of this round is chained, and a check made. */
    const uint8_t *own;
    size_t own_n;
    csl_audit_check_fn *check;
    void *check_arg;
    /* The last opening with its signature: ours, then each peer's. */
    uint8_t *signed_messages;
    size_t room;
};

static const struct csl_member *member_of(const struct csl_audit_link *a, unsigned party) {
    return csl_roster_party(&a->ctx->roster, party);
}

/* ---- What was sent ---- */

static enum csl_err copy_messages(const struct csl_audit_link *a, struct csl_record_round *kept,
                                  uint8_t *const in[CSL_MAX_PARTIES], const uint8_t *out) {
    size_t total;
    uint8_t *all = __builtin_mul_overflow(kept->n, a->base.n_parties, &total) ? NULL : malloc(total);
    if (all == NULL) {
        return CSL_ENOMEM;
    }
    for (unsigned p = 0; p < a->base.n_parties; p++) {
        kept->messages[p] = all + p * kept->n;
        memcpy(kept->messages[p], p == a->base.self ? out : in[p], kept->n);
    }
    return CSL_OK;
}

static enum csl_err remember(struct csl_audit_link *a, uint8_t *const in[CSL_MAX_PARTIES], const uint8_t *out,
                             size_t n) {
    struct csl_record *r = a->record;
    if (r->n_rounds == r->room_rounds) {
        size_t room = r->room_rounds != 0 ? 2 * r->room_rounds : a->rounds;
        struct csl_record_round *grown = realloc(r->rounds, room * sizeof *grown);
        if (grown == NULL) {
            return CSL_ENOMEM;
        }
        r->rounds = grown;
        r->room_rounds = room;
    }
    struct csl_record_round kept = {.n = n};
    if (a->base.block != NULL) { /* the record frees it */
        a->base.block = NULL;
        memcpy(kept.messages, in, a->base.n_parties * sizeof *in);
    } else {
        TRY(copy_messages(a, &kept, in, out));
    }
    r->rounds[r->n_rounds++] = kept;
    return CSL_OK;
}

static enum csl_err chain(struct csl_audit_link *a, uint32_t round, unsigned party, const uint8_t *message,
                          size_t n) {
    return csl_transcript_add(&a->chains[party], a->record->batch, round, message, n);
}

static enum csl_err chain_peers(struct csl_audit_link *a, uint32_t round, uint8_t *const in[CSL_MAX_PARTIES],
                                size_t n) {
    for (unsigned p = 0; p < a->base.n_parties; p++) {
        if (p != a->base.self) {
            TRY(chain(a, round, p, in[p], n));
        }
    }
    return CSL_OK;
}

/* ---- Heads ---- */

/* Of the input statements one after another, in the order of the parts. */
static enum csl_err inputs_digest(uint8_t out[CSL_DIGEST_BYTES], const struct csl_record *r) {
    struct csl_sha256 h = {0};
    enum csl_err err = csl_sha256_init(&h);
    for (size_t i = 0; i < r->n_inputs && err == CSL_OK; i++) {
        err = csl_sha256_update(&h, r->inputs[i].statement.statement, r->inputs[i].statement.n);
    }
    if (err == CSL_OK) {
        err = csl_sha256_final(&h, out);
    }
    csl_sha256_clear(&h);
    return err;
}

/* What this party signs, or must have signed: everything in it is known to all. */
static enum csl_err pack_head(uint8_t **out, size_t *n, const struct csl_audit_link *a, unsigned party) {
    uint8_t dealt[CSL_DIGEST_BYTES], inputs[CSL_DIGEST_BYTES];
    const struct csl_record *r = a->record;
    TRY(csl_sha256_once(dealt, r->dealt.statement, r->dealt.n));
    TRY(inputs_digest(inputs, r));
    Csl__Audit__HeadStatement m = CSL__AUDIT__HEAD_STATEMENT__INIT;
    m.session = csl_bytes(a->session, CSL_DIGEST_BYTES);
    m.party = party;
    m.batch = r->batch;
    m.count = r->count;
    m.rounds = a->rounds;
    m.head = csl_bytes(a->chains[party].head, CSL_SHA256_BYTES);
    m.dealt_digest = csl_bytes(dealt, sizeof dealt);
    m.inputs_digest = csl_bytes(inputs, sizeof inputs);
    m.first_row = r->first_row;
    return csl_statement_pack(out, n, &m.base);
}

static enum csl_err sign_head(struct csl_audit_link *a, struct csl_diag *diag) {
    struct csl_signed *head = &a->record->heads[a->base.self];
    TRY(pack_head(&head->statement, &head->n, a, a->base.self));
    return csl_statement_sign_bytes(head->signature, CSL_STATEMENT_HEAD, head->statement, head->n,
                                    a->ctx->site.sign_key, diag);
}

static const char *owner_of(const struct csl_record *r) {
    return r->n_inputs == 1 ? r->inputs[0].owner->name : "an owner of the input";
}

static enum csl_err verify_head(struct csl_audit_link *a, unsigned party,
                                const uint8_t signature[CSL_SIGNATURE_BYTES], struct csl_diag *diag) {
    const struct csl_member *m = member_of(a, party);
    struct csl_signed *head = &a->record->heads[party];
    TRY(pack_head(&head->statement, &head->n, a, party));
    memcpy(head->signature, signature, CSL_SIGNATURE_BYTES);
    enum csl_err err = csl_statement_verify(CSL_STATEMENT_HEAD, head->statement, head->n, head->signature,
                                            CSL_SIGNATURE_BYTES, m->sign_key, diag);
    if (err != CSL_OK) {
        csl_signed_clear(head); /* the record holds what is signed */
    }
    return err == CSL_EAUTH
               ? csl_fail(diag, err,
                          "the signature of %s does not fit what it sent us in batch %u, or %s signed "
                          "something else of its input for it than for us, which audit verify tells from the "
                          "ledgers of both; our share of the output %s released",
                          m->name, a->record->batch, owner_of(a->record),
                          a->sign == CSL_SIGN_AFTER_OUTPUT ? "was" : "is not")
               : err;
}

/* ---- The link ---- */

/* The rest of it, when nobody had the time. */
static enum csl_err catch_up(void *arg, struct csl_diag *diag) {
    struct csl_audit_link *a = arg;
    const uint8_t *own = a->own;
    csl_audit_check_fn *check = a->check;
    a->own = NULL;
    a->check = NULL;
    if (own != NULL) {
        TRY(chain(a, a->round, a->base.self, own, a->own_n));
    }
    return check != NULL ? check(a->check_arg, diag) : CSL_OK;
}

/* Of n bytes and a signature each, from into[self]. */
static enum csl_err exchange_heads(struct csl_audit_link *a, uint8_t *const in[CSL_MAX_PARTIES],
                                   uint8_t *const into[CSL_MAX_PARTIES], uint32_t round, size_t n,
                                   struct csl_diag *diag) {
    TRY(a->below->ops->exchange(a->below, into, round, into[a->base.self], n + CSL_SIGNATURE_BYTES, diag));
    TRY(chain_peers(a, a->rounds, into, n));
    for (unsigned p = 0; p < a->base.n_parties; p++) {
        if (p != a->base.self) {
            TRY(verify_head(a, p, into[p] + n, diag));
            memcpy(in[p], into[p], n);
        }
    }
    return CSL_OK;
}

/* The last opening with the signature behind it. */
static enum csl_err exchange_signed(struct csl_audit_link *a, uint8_t *const in[CSL_MAX_PARTIES],
                                    uint32_t round, const uint8_t *out, size_t n, struct csl_diag *diag) {
    size_t each = n + CSL_SIGNATURE_BYTES;
    uint8_t *into[CSL_MAX_PARTIES] = {0};
    if (each * a->base.n_parties > a->room) {
        free(a->signed_messages);
        a->room = each * a->base.n_parties;
        a->signed_messages = malloc(a->room);
        if (a->signed_messages == NULL) {
            a->room = 0;
            return CSL_ENOMEM;
        }
    }
    for (unsigned p = 0; p < a->base.n_parties; p++) {
        into[p] = a->signed_messages + p * each;
    }
    uint8_t *ours = into[a->base.self];
    TRY(catch_up(a, diag));
    TRY(chain(a, a->rounds, a->base.self, out, n));
    TRY(sign_head(a, diag));
    memcpy(ours, out, n);
    memcpy(ours + n, a->record->heads[a->base.self].signature, CSL_SIGNATURE_BYTES);
    enum csl_err err = exchange_heads(a, in, into, round, n, diag);
    if (err != CSL_OK && a->on_cut != NULL) {
        a->on_cut(a->on_cut_arg, a->record);
    }
    return err;
}

static enum csl_err exchange_in_batch(struct csl_audit_link *a, uint8_t *const in[CSL_MAX_PARTIES],
                                      uint32_t round, const uint8_t *out, size_t n, struct csl_diag *diag) {
    bool inlined = a->sign == CSL_SIGN_BEFORE_OUTPUT;
    if (++a->round == a->rounds && inlined) {
        TRY(exchange_signed(a, in, round, out, n, diag));
    } else {
        a->own = inlined ? out : NULL;
        a->own_n = n;
        TRY(a->below->ops->exchange(a->below, in, round, out, n, diag));
        if (inlined) {
            TRY(catch_up(a, diag));
            TRY(chain_peers(a, a->round, in, n));
        }
    }
    if (!inlined || a->keep_messages) {
        TRY(remember(a, in, out, n));
    }
    a->in_batch = a->round != a->rounds;
    return CSL_OK;
}

static enum csl_err exchange(struct csl_link *link, uint8_t *const in[CSL_MAX_PARTIES], uint32_t round,
                             const uint8_t *out, size_t n, struct csl_diag *diag) {
    struct csl_audit_link *a = (struct csl_audit_link *)link;
    if (a->broken) {
        return csl_fail(diag, CSL_EINTERNAL, "the transcript ended with an error");
    }
    enum csl_err err = a->in_batch ? exchange_in_batch(a, in, round, out, n, diag)
                                   : a->below->ops->exchange(a->below, in, round, out, n, diag);
    a->broken = err != CSL_OK;
    return err;
}

static const struct csl_link_ops ops = {.exchange = exchange};

enum csl_err csl_audit_link_new(struct csl_audit_link **out, const struct csl_audit_link_options *opt) {
    *out = NULL;
    struct csl_audit_link *a = calloc(1, sizeof *a);
    if (a == NULL) {
        return CSL_ENOMEM;
    }
    a->base = (struct csl_link){.ops = &ops, .n_parties = opt->below->n_parties, .self = opt->below->self};
    a->below = opt->below;
    a->below->meanwhile = catch_up;
    a->below->meanwhile_arg = a;
    a->ctx = opt->ctx;
    a->sign = opt->sign;
    a->keep_messages = opt->keep_messages;
    a->on_cut = opt->on_cut;
    a->on_cut_arg = opt->on_cut_arg;
    *out = a;
    return CSL_OK;
}

void csl_audit_link_free(struct csl_audit_link *a) {
    if (a != NULL) {
        free(a->signed_messages);
        free(a);
    }
}

struct csl_link *csl_audit_link_base(struct csl_audit_link *a) {
    return &a->base;
}

enum csl_err csl_audit_link_start(struct csl_audit_link *a, const struct csl_session_record *s) {
    memcpy(a->session, s->digest, sizeof a->session);
    for (unsigned p = 0; p < a->base.n_parties; p++) {
        TRY(csl_transcript_start(&a->chains[p], s->digest, p, s->nonces, s->n_parties));
    }
    return CSL_OK;
}

enum csl_err csl_audit_link_begin(struct csl_audit_link *a, struct csl_record *r, uint32_t rounds) {
    if (a->in_batch || rounds == 0) {
        return CSL_EINTERNAL;
    }
    a->record = r;
    a->rounds = rounds;
    a->round = 0;
    a->own = NULL;
    a->check = NULL;
    for (unsigned p = 0; p < a->base.n_parties && a->sign != CSL_SIGN_OFF; p++) {
        TRY(csl_record_chain_rows(&a->chains[p], r));
    }
    a->in_batch = a->sign != CSL_SIGN_OFF;
    return CSL_OK;
}

void csl_audit_link_check(struct csl_audit_link *a, csl_audit_check_fn *check, void *arg) {
    bool before = a->sign == CSL_SIGN_BEFORE_OUTPUT;
    a->check = before ? check : NULL;
    a->check_arg = before ? arg : NULL;
}

bool csl_audit_link_ended(const struct csl_audit_link *a) {
    return !a->in_batch;
}

/* ---- After the output ---- */

static enum csl_err chain_record(struct csl_audit_link *a) {
    const struct csl_record *r = a->record;
    for (size_t i = 0; i < r->n_rounds; i++) {
        for (unsigned p = 0; p < a->base.n_parties; p++) {
            TRY(chain(a, (uint32_t)i + 1, p, r->rounds[i].messages[p], r->rounds[i].n));
        }
    }
    return CSL_OK;
}

enum csl_err csl_audit_link_sign(struct csl_audit_link *a, struct csl_session *s) {
    if (a->sign != CSL_SIGN_AFTER_OUTPUT) {
        return CSL_OK;
    }
    struct csl_diag diag = {""};
    uint8_t in[CSL_MAX_PARTIES][CSL_SIGNATURE_BYTES], *into[CSL_MAX_PARTIES];
    for (unsigned p = 0; p < CSL_MAX_PARTIES; p++) {
        into[p] = in[p];
    }
    if (a->in_batch || a->record == NULL || a->record->n_rounds != a->rounds) {
        return csl_session_fail(s, CSL_EINTERNAL, "a batch of %u openings ended after %u", a->rounds,
                                a->round);
    }
    enum csl_err err = chain_record(a);
    if (err == CSL_OK) {
        err = sign_head(a, &diag);
    }
    if (err != CSL_OK) {
        return csl_session_fail(s, err, "%s", diag.text);
    }
    TRY(csl_session_exchange(s, into, a->record->heads[a->base.self].signature, CSL_SIGNATURE_BYTES));
    for (unsigned p = 0; p < a->base.n_parties; p++) { /* all: those that verify are for the ledger */
        struct csl_diag why = {""};
        enum csl_err one = p == a->base.self ? CSL_OK : verify_head(a, p, in[p], &why);
        diag = err == CSL_OK ? why : diag;
        err = err == CSL_OK ? one : err;
    }
    return err == CSL_OK ? CSL_OK : csl_session_fail(s, err, "%s", diag.text);
}
