/* Stand-alone wrapping keys, of those who belong to no consortium: a central authority that keeps an archive,
 * a judge who is shown a view.
 *
 * A folder holds wrap.key (RSA-3072, private, 0600) and recipient.pem (its public key, with the recipient's
 * name in a line before it), which is what others are given.
 */
#ifndef CSL_ROLES_RECIPIENT_H
#define CSL_ROLES_RECIPIENT_H

#include "crypto/identity.h"

/* Makes dir (0700, if missing) and both files; never overwrites (CSL_ECREATE). name: as a site's, or NULL. */
CSL_MUST_CHECK enum csl_err csl_recipient_keygen(const char *dir, const char *name, struct csl_diag *diag);

/* The private key of such a folder, or of a site's; the caller frees it. CSL_ENOINPUT, CSL_ECONFIG (others
 * can read it, or it is no RSA-3072), CSL_EDATA: the sentence names the file. */
CSL_MUST_CHECK enum csl_err csl_recipient_key(EVP_PKEY **key, const char *dir, struct csl_diag *diag);

/* A public wrapping key that somebody sent: recipient.pem, or the request of a site (NAME.request), whose
 * signature is verified. name (32 bytes and a 0) is the request's site, or "". sign_spki is the fingerprint
 * of the request's signing key; zero for a PEM. Both may be NULL. The caller frees *key. */
CSL_MUST_CHECK enum csl_err csl_recipient_public(EVP_PKEY **key, char name[CSL_NAME_MAX + 1],
                                                 uint8_t sign_spki[CSL_SPKI_BYTES], const char *path,
                                                 struct csl_diag *diag);

#endif
