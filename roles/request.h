/* What a client asks for when it opens a session; every party must have been asked for the same. */
#ifndef CSL_ROLES_REQUEST_H
#define CSL_ROLES_REQUEST_H

#include "roles/lane/record.h"
#include "roles/message.h"
#include "roles/parts.h"

struct csl_request {
    char model[CSL_MODEL_NAME_MAX + 1];
    uint32_t max_batch;
    bool reveal_label; /* the class alone */
    struct csl_parts parts;
    bool shared; /* a session that several clients use, without parts. max_batch: of a guest's request, what
                    it asks for; of the session's, rows of a chunk (csl_lane_shared_rows) */
    uint8_t guest[CSL_GUEST_ID_BYTES]; /* of a guest's; no part of the digest */
    bool ahead; /* the client announces batches ahead of need (docs/protocol.md S17); never with `shared` */
};

/* Judges a message by the roster: may this client query the model, at this batch size, with these input
 * owners, and with logits where it asks for them. CSL_EPERM, CSL_EUSAGE. */
CSL_MUST_CHECK enum csl_err csl_request_from_message(struct csl_request *out, const struct csl_roster *r,
                                                     const struct csl_member *client,
                                                     const Csl__Pb__OpenSession *m, struct csl_diag *diag);

/* SHA-256 over its canonical encoding: parties compare it. Of a shared session all that a guest chose itself
 * is left out: it is the same whoever came first. */
CSL_MUST_CHECK enum csl_err csl_request_digest(uint8_t out[CSL_DIGEST_BYTES], const struct csl_request *q);

#endif
