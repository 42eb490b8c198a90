/* Shared by replay.c (life, the session), replay_batch.c and replay_input.c (what ties a batch to signatures)
 * and replay_run.c (what the party should have sent). */
#ifndef CSL_ROLES_REPLAY_INTERNAL_H
#define CSL_ROLES_REPLAY_INTERNAL_H

#include <string.h>

#include "audit/leaf.h"
#include "audit/transcript.h"
#include "mpc/correlation.h"
#include "roles/judge/replay.h"

struct csl__replay_leaf { /* of a bundle, about this session */
    const char *site;
    csl_leaf *leaf;
    uint32_t batch; /* 0: of none */
};

struct csl_replay {
    struct csl_replay_options opt;
    struct csl_audit_report *report;
    const struct csl_view_session *view;
    Csl__Audit__SessionStatement *statement;
    const struct csl_member *member;
    unsigned self, n_parties;
    bool is_last;
    struct csl_manifest manifest;
    struct csl_model_share share; /* with E */
    struct csl_parts parts;       /* of the input, fitted; none: the client's alone */
    struct csl_demand demands[CSL_PLAN_MAX_DEMANDS];
    size_t n_demands;
    struct csl_transcript chains[CSL_MAX_PARTIES]; /* over the messages of all batches so far */
    uint32_t batches;
    uint64_t next_counter; /* batches take them rising, so no two take the same */
    bool stopped;          /* a finding ended the replay */
    struct csl__replay_leaf *leaves;
    size_t n_leaves;
    struct csl_replay_fault fault;
};

/* Goes on only when x succeeded and found nothing that ends the replay. */
#define CSL__CHECK(r, x)                                                                                     \
    do {                                                                                                     \
        TRY(x);                                                                                              \
        if ((r)->stopped) {                                                                                  \
            return CSL_OK;                                                                                   \
        }                                                                                                    \
    } while (0)

/* A finding that ends the replay. */
#define CSL__STOP(r, verdict, who, batch, ...)                                                               \
    ((r)->stopped = true,                                                                                    \
     csl_audit_find((r)->report, (verdict), (who), (r)->statement->session_id.data, (batch), __VA_ARGS__))

#define CSL__MISMATCH(r, b, ...) CSL__STOP(r, CSL_VERDICT_MISMATCH, (r)->opt.party, (b)->batch, __VA_ARGS__)

/* Whether a statement names this request; number 0: none. */
static inline bool csl__is_request(const ProtobufCBinaryData *guest, uint32_t number,
                                   const struct csl_record_request *request) {
    return number == request->number &&
           (number == 0 ||
            (guest->len == CSL_GUEST_ID_BYTES && memcmp(guest->data, request->guest, guest->len) == 0));
}

static inline bool csl__is_digest(const ProtobufCBinaryData *b, const uint8_t *digest) {
    return b->len == CSL_DIGEST_BYTES && memcmp(b->data, digest, CSL_DIGEST_BYTES) == 0;
}

/* replay_batch.c: the record of the next batch fits the signatures; x gets the party's input share. */
CSL_MUST_CHECK enum csl_err csl__replay_check_batch(struct csl_replay *r, const struct csl_record *b,
                                                    uint64_t *x);
/* replay_input.c: so do its inputs. */
CSL_MUST_CHECK enum csl_err csl__replay_check_inputs(struct csl_replay *r, const struct csl_record *b,
                                                     uint64_t *x);
/* replay_run.c: recomputes it. */
CSL_MUST_CHECK enum csl_err csl__replay_run(struct csl_replay *r, const struct csl_record *b,
                                            const uint64_t *x, struct csl_diag *diag);

#endif
