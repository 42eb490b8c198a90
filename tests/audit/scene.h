/* Two sessions of two batches on paper (world.h), exported by every site, and what audit verify must say of
 * it. */
#ifndef CSL_TESTS_AUDIT_SCENE_H
#define CSL_TESTS_AUDIT_SCENE_H

#include "tests/audit/world.h"

struct scene {
    struct world w;
    struct w_session sessions[2];
    struct w_batch batches[4]; /* two of each session */
    csl_bundle *bundles[2 * W_SITES_MAX];
    size_t n;
};

void scene_open(struct scene *s, unsigned n_parties, enum csl_audit_sign sign);
/* Two sessions of two batches, the second batch with an input in parts. */
void scene_play(struct scene *s);
/* Every site's whole ledger, each having seen half of the others' or all of them. */
void scene_export(struct scene *s);
/* Parties and dealer, one session. */
void scene_export_session(struct scene *s, size_t which);
/* The client keeps no ledger. */
void scene_drop_empty(struct scene *s);
/* All of it, as it should be. */
void scene_honest(struct scene *s, unsigned n, enum csl_audit_sign sign);
void scene_close(struct scene *s);
/* The verdict is as told, and `who` is the only one that is accused (NULL: nobody). */
void scene_expect(struct scene *s, enum csl_verdict verdict, const char *who);

#endif
