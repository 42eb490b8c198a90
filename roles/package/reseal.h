/* Handing a package on to a successor, without the owner (docs/protocol.md Q).
 *
 * The party opens its sealed part, seals it to the successor's wrapping key and signs a ResealStatement
 * (proto/audit.proto) over both digests, both hands and the package. The chain of statements leads from the
 * digest that the owner's manifest names to the sealed part in the file: the first is signed by the key of
 * the party that the manifest names, each later one by the key that the one before it names. So it says
 * through whose hands the package went; that its content is still the owner's, the manifest's commitment
 * says.
 */
#ifndef CSL_ROLES_RESEAL_H
#define CSL_ROLES_RESEAL_H

#include "roles/daemon/logbook.h"
#include "roles/package/package.h"

/* Verifies the chain of a file whose manifest m was verified: it must end with its sealed part (sealed:
 * SHA-256 of it), in the hands of `self` with this wrapping key. Without statements that is the owner's own
 * sealing. CSL_EAUTH says which link does not hold. */
CSL_MUST_CHECK enum csl_err csl_reseal_check(const struct csl_manifest *m, const Csl__Pb__ModelPackage *file,
                                             const uint8_t sealed[CSL_DIGEST_BYTES],
                                             const struct csl_member *self, struct csl_diag *diag);

struct csl_successor {
    EVP_PKEY *wrap_key; /* public */
    char name[CSL_NAME_MAX + 1];
    uint8_t sign_spki[CSL_SPKI_BYTES]; /* all zero: it cannot hand the package on */
};
/* Makes the file that the successor installs, of our package `name` in ctx's site: checked in full, our
 * ledger included; the RESEALED leaf is durable before the bytes are returned (malloc'ed). */
CSL_MUST_CHECK enum csl_err csl_reseal(uint8_t **out, size_t *n, const struct csl_context *ctx,
                                       const char *name, const struct csl_successor *to,
                                       struct csl_diag *diag);

#endif
