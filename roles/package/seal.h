/* Sealing, at the model's owner: N package files of one network (docs/protocol.md Q). */
#ifndef CSL_ROLES_SEAL_H
#define CSL_ROLES_SEAL_H

#include "roles/daemon/logbook.h"
#include "roles/package/package.h"

/* A model as it was sealed: nothing in here is secret but to those who hold a wrapping key. */
struct csl_sealed {
    struct csl_manifest manifest;
    uint8_t *bytes; /* the manifest, encoded */
    size_t n_bytes;
    uint8_t signature[CSL_SIGNATURE_BYTES];
    struct csl_sealed_part {
        uint8_t *p;
        size_t n;
    } parts[CSL_MAX_PARTIES];
};
void csl_sealed_free(struct csl_sealed *s); /* NULL is allowed */

/* Quantises, splits, seals each part to the roster's party, signs the manifest, and writes the SEALED leaf
 * durably into the owner's ledger. days: how long the seal is good, 1..CSL_SEAL_DAYS_MAX. CSL_EPERM: the
 * roster does not name this site as the owner of `name`; CSL_ESTALE: this site's certificate is not valid
 * now. */
CSL_MUST_CHECK enum csl_err csl_seal(struct csl_sealed **out, const struct csl_context *ctx, const char *name,
                                     const struct csl_plan *plan, const struct csl_weights *weights,
                                     unsigned days, struct csl_diag *diag);

/* The file of party i: "NAME.hospital-a.package" in dir. */
CSL_MUST_CHECK enum csl_err csl_sealed_path(char *out, size_t n_out, const char *dir,
                                            const struct csl_sealed *s, unsigned i, struct csl_diag *diag);
/* Writes a file for every party into dir (made if missing). An older file is replaced. */
CSL_MUST_CHECK enum csl_err csl_sealed_write(const struct csl_sealed *s, const char *dir,
                                             struct csl_diag *diag);
/* Reads them back: all parties of the roster, one manifest, our own signature, digests and expiry checked. */
CSL_MUST_CHECK enum csl_err csl_sealed_read(struct csl_sealed **out, const struct csl_context *ctx,
                                            const char *name, const char *dir, struct csl_diag *diag);

#endif
