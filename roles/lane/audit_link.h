/* A link (mpc/link.h) between a session and its mesh that keeps the transcripts (audit/transcript.h) of every
 * party, signs ours with the last opening of a batch and verifies the peers' signatures there (docs/audit.md
 * T).
 *
 * In a batch's last exchange the message is followed by 64 bytes of signature over the HeadStatement; so
 * signing before the output costs 64 bytes to each peer and no round. With `after output` the same signatures
 * travel in one exchange after the output was sent (csl_audit_link_sign). Outside of a batch it passes
 * everything through. A signature that does not verify: CSL_EAUTH naming the peer; the session is poisoned
 * and no output leaves. It is no evidence against the peer, nor is silence.
 */
#ifndef CSL_ROLES_AUDIT_LINK_H
#define CSL_ROLES_AUDIT_LINK_H

#include "mpc/session.h"
#include "roles/lane/record.h"

struct csl_audit_link;

struct csl_audit_link_options {
    struct csl_link *below; /* borrowed for all exchanges; its `meanwhile` is ours */
    const struct csl_context *ctx;
    enum csl_audit_sign sign;
    bool keep_messages; /* into the record, for a view */
    /* `before output`: the batch of this record broke off when our head was signed already, so with its
     * inputs verified. May be NULL. */
    void (*on_cut)(void *arg, const struct csl_record *r);
    void *on_cut_arg;
};
CSL_MUST_CHECK enum csl_err csl_audit_link_new(struct csl_audit_link **out,
                                               const struct csl_audit_link_options *opt);
void csl_audit_link_free(struct csl_audit_link *a); /* NULL is allowed */
struct csl_link *csl_audit_link_base(struct csl_audit_link *a);

/* The session's statement is agreed: transcripts start. */
CSL_MUST_CHECK enum csl_err csl_audit_link_start(struct csl_audit_link *a,
                                                 const struct csl_session_record *s);
/* A batch begins: `rounds` openings follow. The record is borrowed until the batch's end; inputs and dealt
 * are in it before the last opening. */
CSL_MUST_CHECK enum csl_err csl_audit_link_begin(struct csl_audit_link *a, struct csl_record *r,
                                                 uint32_t rounds);
/* `before output`: check(arg, diag) must hold before this batch's head is signed. It is called once, in the
 * batch's first exchange, while the peers' messages are on their way. Else nothing: the caller checks. */
typedef enum csl_err csl_audit_check_fn(void *arg, struct csl_diag *diag);
void csl_audit_link_check(struct csl_audit_link *a, csl_audit_check_fn *check, void *arg);
/* All openings that were announced are done; before the output: signed and verified, too. */
bool csl_audit_link_ended(const struct csl_audit_link *a);
/* `after output`: exchanges and verifies the signatures of the batch. Else nothing. When it fails, the heads
 * in the record are ours and those that verified; the others are empty. */
CSL_MUST_CHECK enum csl_err csl_audit_link_sign(struct csl_audit_link *a, struct csl_session *s);

#endif
