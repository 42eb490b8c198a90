/* Bundles: what a site exports of its ledger for an auditor, one file a site. Hashes and signatures, no
 * message. */
#ifndef CSL_AUDIT_BUNDLE_H
#define CSL_AUDIT_BUNDLE_H

#include "audit.pb-c.h"
#include "audit/ledger.h"

enum { CSL_BUNDLE_BYTES_MAX = 1 << 28 };

typedef Csl__Audit__Bundle csl_bundle;

/* The leaves of one session (session_id NULL: all), each with its inclusion proof in the newest checkpoint;
 * the session's model leaf belongs to it. members: names whose checkpoints we may have cosigned.
 * CSL_ENOINPUT: no such session in the ledger. The caller frees. */
CSL_MUST_CHECK enum csl_err csl_bundle_export(csl_bundle **out, struct csl_ledger *l, const char *site,
                                              const uint8_t roster_digest[32], const uint8_t *session_id,
                                              const char *const *members, size_t n_members,
                                              struct csl_diag *diag);
/* The same for whoever has a certain roster, as the one under which a session ran. Cosignatures by other keys
 * than its members', and checkpoints of them that they signed with others, are left out: they prove nothing
 * there. The site's own key must be that of the roster. */
struct csl_bundle_roster {
    const uint8_t *digest;                 /* 32 */
    const struct csl_note_signer *members; /* all but the site */
    size_t n;
    bool earlier; /* than the site's own: of the checkpoints that cover a session, the first that most have
                     cosigned */
};
CSL_MUST_CHECK enum csl_err csl_bundle_export_under(csl_bundle **out, struct csl_ledger *l, const char *site,
                                                    const struct csl_bundle_roster *roster,
                                                    const uint8_t *session_id, struct csl_diag *diag);
CSL_MUST_CHECK enum csl_err csl_bundle_write(const csl_bundle *b, const char *path, struct csl_diag *diag);
/* Bounded and strict; nothing is verified. CSL_ENOINPUT, CSL_EDATA name the file. */
CSL_MUST_CHECK enum csl_err csl_bundle_read(csl_bundle **out, const char *path, struct csl_diag *diag);
CSL_MUST_CHECK enum csl_err csl_bundle_parse(csl_bundle **out, const uint8_t *p, size_t n, const char *what,
                                             struct csl_diag *diag);
void csl_bundle_free(csl_bundle *b);

#endif
