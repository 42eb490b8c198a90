/* Shared by client.c (life, failures), client_open.c (opening a session) and client_batch.c (batches). */
#ifndef CSL_ROLES_CLIENT_INTERNAL_H
#define CSL_ROLES_CLIENT_INTERNAL_H

#include "roles/client/client.h"
#include "roles/lane/record.h"
#include "roles/talk.h"

struct csl_client {
    const struct csl_context *ctx;
    unsigned n_parties;
    struct csl_worker worker;
    struct csl_talk talks[CSL_MAX_PARTIES];
    uint8_t session_id[CSL_SESSION_ID_BYTES];
    uint8_t guest_id[CSL_GUEST_ID_BYTES]; /* of a shared session */
    struct csl_client_options opt;
    char model[CSL_MODEL_NAME_MAX + 1];
    struct csl_parts parts;            /* fitted to the plan once that is known */
    int own_part;                      /* or -1 */
    uint32_t batches;                  /* asked */
    uint32_t announced;                /* of these and the next ones */
    uint32_t counts[CSL_CLIENT_AHEAD]; /* of batch n at n % CSL_CLIENT_AHEAD, as announced */
    struct csl_manifest manifest;
    bool sign; /* the roster's: batches carry statements */
    uint8_t
        session[CSL_DIGEST_BYTES]; /* digest of the session's statement, all parties'; zero without sign */
    bool answering;                /* the parties' outputs are being taken */
    uint8_t due[CSL_MAX_PARTIES];  /* while answering: frames of its answer that were not taken yet */
    bool failed;
};

/* client_open.c: asks every party for the session, and waits until all are ready. */
CSL_MUST_CHECK enum csl_err csl__client_ask_all(struct csl_client *c, struct csl_diag *diag);
/* That all parties offer the same model, signed by its owner, and name the same session. */
CSL_MUST_CHECK enum csl_err csl__client_all_ready(struct csl_client *c, struct csl_diag *diag);

/* How long opening a session may take a party. */
uint64_t csl__client_patience_ms(const struct csl_client *c);

/* client.c: something failed; the error that tells most about it. */
enum csl_err csl__client_explain(struct csl_client *c, enum csl_err err, struct csl_diag *diag);

#endif
