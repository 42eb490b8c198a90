/* audit verify: what bundles prove, and against whom. Needs the members' public keys and nothing else.
 *
 * Checked: every checkpoint's signature and cosignatures; inclusion of each leaf; consistency from each
 * checkpoint to the next; what other sites saw of a site against what it shows (forks, rollbacks); each
 * statement's signature; that all statements of a session name the same session, and that parties, batches,
 * counts and roots fit together; that every party's heads, the dealer's and the owners' statements are the
 * same in every bundle; that no correlation index (epoch, stream, counter) serves twice; that sessions are
 * closed.
 *
 * Verdicts. ATTRIBUTABLE names a member, and needs two statements under its own signature that exclude each
 * other:
 *   - heads or outputs of one batch of one session, inputs of one part of one batch; in a shared session
 * inputs, or outputs, of one request of one guest;
 *   - session statements over the same nonces. (One of the nonces is the signer's own and fresh, so an honest
 * party signs one. The session id alone is the client's choice: one id twice with other nonces is a
 * mismatch.)
 *   - dealings of one index (epoch, stream, counter);
 *   - heads of two batches whose dealings share an index, or that name the same rows of one dealing: the
 * party used a correlation twice;
 *   - in a shared session, heads over inputs that hold one request twice, in one batch or in two;
 *   - checkpoints of one size with two roots; a checkpoint against entries that another checkpoint of the
 * site proves; two entries of one number. A consistency proof that fails is a mismatch: anybody could have
 * changed it. INCOMPLETE: a signature, leaf, CLOSE or batch is missing, a session ran under another roster, a
 * longer history was seen (unless the bundle is of one session and that is closed in it), or correlations
 * were dealt for a batch that nobody signed before the session ended with an error. A session that ended with
 * an error is otherwise consistent. MISMATCH: something does not verify or fit, and nothing says whose fault
 * it is (a file changed on its way, a head of another session, say).
 */
#ifndef CSL_AUDIT_VERIFY_H
#define CSL_AUDIT_VERIFY_H

#include "audit/note.h"

typedef struct evp_pkey_st EVP_PKEY;

enum csl_verdict { /* values are exit codes of `consilium audit` */
                   CSL_VERDICT_CONSISTENT = 0,
                   CSL_VERDICT_MISMATCH = 1,
                   CSL_VERDICT_ATTRIBUTABLE = 2,
                   CSL_VERDICT_INCOMPLETE = 3
};

struct csl_auditee { /* a member as the roster has it */
    const char *name;
    unsigned roles; /* enum csl_role bits of net/roster.h */
    int party;      /* or -1 */
    EVP_PKEY *sign_key;
};

struct csl_finding {
    enum csl_verdict verdict; /* never CONSISTENT */
    char who[65];     /* the member that an ATTRIBUTABLE finding names; else whom it concerns, or "" */
    char session[33]; /* id in hex, or "" */
    uint32_t batch;   /* or 0 */
    char text[512];
};

struct csl_audit_report {
    enum csl_verdict verdict; /* ATTRIBUTABLE before MISMATCH before INCOMPLETE before CONSISTENT */
    struct csl_finding *findings;
    size_t n_findings;
    size_t bundles, sessions, batches, inferences, leaves, signatures; /* that were checked */
    size_t cosigned; /* fewest cosignatures on any bundle's newest checkpoint */
};
void csl_audit_report_clear(struct csl_audit_report *r);
/* Adds a finding and raises the verdict; for replay too (roles/judge/replay.h). */
CSL_MUST_CHECK enum csl_err csl_audit_find(struct csl_audit_report *r, enum csl_verdict v, const char *who,
                                           const uint8_t *session_id, uint32_t batch, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));

/* "consilium/<consortium>/<site>": the origin of a member's checkpoints. What cannot stand in an origin (all
 * but letters, digits, '.', '_' and '-' of the consortium's name) becomes '-'. roles/daemon/logbook.h uses
 * it, too.
 */
void csl_audit_origin(char out[CSL_ORIGIN_MAX + 1], const char *consortium, const char *site);

/* bundles: csl_bundle pointers (audit/bundle.h), one or more sites'. An error is one of this program (no
 * memory), not of the bundles: those become findings. */
struct csl_audit_world {
    const struct csl_auditee *members;
    size_t n_members;
    unsigned n_parties;
    const char *consortium;
    const uint8_t *roster_digest; /* 32 */
};
CSL_MUST_CHECK enum csl_err csl_audit_verify(struct csl_audit_report *out,
                                             const struct csl_audit_world *world, const void *const *bundles,
                                             size_t n_bundles, struct csl_diag *diag);

#endif
