/* Sites of an idle consortium (no daemon runs), with their ledgers open: for tests of files. */
#ifndef CSL_TESTS_ROLES_SITE_H
#define CSL_TESTS_ROLES_SITE_H

#include "roles/daemon/logbook.h"
#include "roles/package/reseal.h"
#include "roles/package/seal.h"
#include "world.h"

struct site {
    struct csl_context ctx;
    struct csl_logbook book;
    char dir[1024];
};
void site_open(struct site *s, const struct world *w, const char *name);
/* As site_open, of a member that is no party: in its roster it stands in the place of party i. */
void site_open_as(struct site *s, const struct world *w, const char *name, unsigned i);
void site_close(struct site *s);

/* Leaves of this event in the site's ledger; *last gets the newest's package digest and number of digests. */
size_t site_model_leaves(struct site *s, unsigned event, uint8_t digest[CSL_DIGEST_BYTES], size_t *n_sealed);

/* Seals the world's network as its owner. */
struct csl_sealed *site_seal(struct site *owner, const struct world *w);
/* The package of party i, as bytes; freed by free(). */
uint8_t *site_package(size_t *n, const struct csl_sealed *s, unsigned i);
/* Parses and opens as this site does. */
enum csl_err site_open_package(struct site *s, const uint8_t *bytes, size_t n, struct csl_diag *diag);
/* Parses and takes in. */
enum csl_err site_accept(struct site *s, const uint8_t *bytes, size_t n, struct csl_diag *diag);
void site_write(const char *dir, const char *file, const void *bytes, size_t n);

#endif
