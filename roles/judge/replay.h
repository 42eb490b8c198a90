/* Replay: from one party's opened view of a session, what it should have sent; and the first message that it
 * sent otherwise (docs/audit.md R).
 *
 * First everything in the view is tied to what others answer for: the session's statement to every party's
 * signature, the manifest to the owner's, the part to the manifest's commitment, the seeds and corrections to
 * the dealer's signed roots, E to the session's statement, the input share to its owners' signed roots, each
 * peer's messages to the head that this peer signed, the party's own to the head that it signed, and that
 * head to what another site's bundle holds. What does not fit is a MISMATCH that accuses nobody: the view may
 * have been changed by whoever shows it. Then csl_infer runs over a link that feeds the peers' messages and
 * compares the party's own, bit by bit. So ATTRIBUTABLE means: the party signed a message, or committed to an
 * output share, that does not follow from what it had itself signed or accepted. Two different signed heads
 * of one batch are ATTRIBUTABLE by themselves, whoever's they are.
 *
 * What a view shows is secret; nothing of it goes into findings but positions.
 */
#ifndef CSL_ROLES_REPLAY_H
#define CSL_ROLES_REPLAY_H

#include "audit/bundle.h"
#include "audit/verify.h"
#include "roles/judge/view.h"

struct csl_replay_options {
    const struct csl_roster *roster;
    const uint8_t *roster_digest; /* 32 */
    const char *party;            /* whose view it is */
    /* What the clear head of an opened view says, by which the opening was counted; NULL: nothing. */
    const uint8_t *package_digest, *session_id;
    const csl_bundle *const *bundles; /* verified by the caller (audit/verify.h) */
    size_t n_bundles;
};

/* The first wrong message. round 0: the output share. */
struct csl_replay_fault {
    bool found;
    uint32_t batch, round; /* from 1 on */
    char step[CSL_PLAN_NAME_BYTES + 16];
    char what[80];    /* "c, the masked input (T1)" */
    size_t inference; /* of the batch, from 1 on */
    size_t element;   /* of this opening and inference, from 0 on */
};

struct csl_replay;

/* The view's session is borrowed, as the options are, until the end. An error is one of this program (no
 * memory); what is wrong with the view goes into the report. */
CSL_MUST_CHECK enum csl_err csl_replay_begin(struct csl_replay **out, const struct csl_replay_options *opt,
                                             const struct csl_view_session *view,
                                             struct csl_audit_report *report, struct csl_diag *diag);
/* The next batch. After a finding that ends the replay, later ones are passed over. */
CSL_MUST_CHECK enum csl_err csl_replay_batch(struct csl_replay *r, const struct csl_record *record,
                                             struct csl_diag *diag);
/* No batch follows. complete, why: csl_view_complete. */
CSL_MUST_CHECK enum csl_err csl_replay_end(struct csl_replay *r, bool complete, const char *why,
                                           struct csl_diag *diag);
const struct csl_replay_fault *csl_replay_fault(const struct csl_replay *r);
void csl_replay_free(struct csl_replay *r); /* NULL is allowed */

/* All of it. fault may be NULL. */
CSL_MUST_CHECK enum csl_err csl_replay_view(struct csl_audit_report *report, struct csl_replay_fault *fault,
                                            const struct csl_replay_options *opt, struct csl_view_reader *v,
                                            struct csl_diag *diag);

#endif
