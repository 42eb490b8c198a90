/* Opening a view to a judge, counted: whose shares of a package were ever opened (docs/audit.md R).
 *
 * A share of the weights that was opened stays opened. Over all sessions of one package the shares of at most
 * N - 1 - colluding parties are (audit.colluding of the roster), so that judge and colluding parties together
 * never hold all of them; then the model is shared anew. Beyond that, which with two parties is always, the
 * model's owner must consent (audit.proto ConsentStatement), to one opening to one judge.
 *
 * Who opens tells every other party first; each writes it durably into its ledger, unless it would refuse,
 * and answers whose openings it knows of. Only then the opener counts, its own ledger included, and writes
 * its own entry. Of two parties that open at once at least one so sees the other.
 */
#ifndef CSL_ROLES_OPENING_H
#define CSL_ROLES_OPENING_H

#include "roles/daemon/logbook.h"
#include "roles/judge/view.h"

struct csl_opening {
    uint8_t package_digest[CSL_DIGEST_BYTES], session_id[16], judge[CSL_SPKI_BYTES];
    char party[CSL_NAME_MAX + 1];
    struct csl_signed consent; /* statement NULL: none */
};
void csl_opening_clear(struct csl_opening *o); /* may be zero */

/* How many parties' shares of a package may be opened without the owner's consent. */
unsigned csl_openings_limit(const struct csl_roster *r);

/* Names of parties whose shares were opened, and what a ledger says of the package. Names, not numbers: a
 * party that was replaced has opened the share that its successor holds. Full, it is beyond every limit. */
struct csl_openings {
    char names[CSL_MAX_PARTIES][CSL_NAME_MAX + 1];
    unsigned n;
    char model[CSL_MODEL_NAME_MAX + 1], owner[CSL_NAME_MAX + 1]; /* "" where the ledger does not know it */
};
void csl_openings_add(struct csl_openings *o, const char *name);
bool csl_openings_has(const struct csl_openings *o, const char *name);
/* Of a ledger. CSL_EIO and others of the ledger. */
CSL_MUST_CHECK enum csl_err csl_openings_read(struct csl_openings *out, struct csl_logbook *b,
                                              const uint8_t package_digest[CSL_DIGEST_BYTES],
                                              struct csl_diag *diag);

/* ---- Consent ---- */

/* At the owner: signed, and durably in its ledger when it returns. The ledger must have sealed the package
 * (CSL_EPERM). */
CSL_MUST_CHECK enum csl_err csl_consent_give(struct csl_signed *out, struct csl_logbook *b,
                                             const struct csl_opening *o, struct csl_diag *diag);
/* That o->consent is the owner's, to exactly this opening. CSL_EAUTH. */
CSL_MUST_CHECK enum csl_err csl_consent_verify(const struct csl_opening *o, const char *owner,
                                               const struct csl_roster *r, struct csl_diag *diag);
/* A file: csl.audit.Signed. */
CSL_MUST_CHECK enum csl_err csl_consent_write(const char *path, const struct csl_signed *consent,
                                              const char *owner, struct csl_diag *diag);
CSL_MUST_CHECK enum csl_err csl_consent_read(struct csl_signed *out, const char *path, struct csl_diag *diag);
/* The package of this model that the owner's ledger sealed last. CSL_ENOINPUT. */
CSL_MUST_CHECK enum csl_err csl_sealed_package(uint8_t digest[CSL_DIGEST_BYTES], struct csl_logbook *b,
                                               const char *model, struct csl_diag *diag);

/* ---- Counting ---- */

/* At a party that is told: judges by what its own ledger knows (CSL_EPERM), writes the entry durably, and
 * says whom it knows of, the one who told it included. Any thread. */
CSL_MUST_CHECK enum csl_err csl_opening_accept(struct csl_openings *known, struct csl_logbook *b,
                                               const struct csl_opening *o, struct csl_diag *diag);

/* At the party that opens: the judge is no member, everybody is told, all are counted, the own entry is
 * durable when it returns. CSL_EPERM with what to do; CSL_EUNAVAILABLE and the like when somebody cannot be
 * told. */
CSL_MUST_CHECK enum csl_err csl_opening_announce(struct csl_logbook *b, const struct csl_opening *o,
                                                 struct csl_diag *diag);

/* That no member's key is this one: CSL_EPERM names it. */
CSL_MUST_CHECK enum csl_err csl_judge_check(const uint8_t judge[CSL_SPKI_BYTES], const struct csl_roster *r,
                                            struct csl_diag *diag);

/* All of `audit open`. judge: public key; consent: a file, or NULL. */
struct csl_opening_options {
    const uint8_t *session_id;
    const char *judge, *consent, *out;
};
CSL_MUST_CHECK enum csl_err csl_opening_run(struct csl_opening *o, struct csl_logbook *b,
                                            const struct csl_opening_options *opt, struct csl_diag *diag);

/* ---- At the judge: a second line ---- */

/* The judge's register in its folder (`openings`: a line "package party" each): adds this party, durably, or
 * CSL_EPERM when the limit does not allow it and the view carries no consent. */
CSL_MUST_CHECK enum csl_err csl_register_opening(const char *dir, const struct csl_opened_view *v,
                                                 const struct csl_roster *r, struct csl_diag *diag);

#endif
