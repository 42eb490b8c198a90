/* Shared by outbox.c (files), outbox_final.c (final.jsonl) and outbox_text.c (what stands in them). */
#ifndef CSL_CHAIN_OUTBOX_INTERNAL_H
#define CSL_CHAIN_OUTBOX_INTERNAL_H

#include "chain/outbox.h"

/* NULL without memory; the caller frees. */
char *csl__outbox_text(const struct csl_outbox *o);
/* A line of final.jsonl, without its end. */
char *csl__outbox_final_text(const struct csl_outbox_entry *e);
bool csl__outbox_final_parse(struct csl_outbox_anchor *out, const char *text, size_t n);

/* ---- outbox_final.c: however long the file, a few lines of it are read ---- */

/* Cuts the lines from that index on, and what a crash tore off; then appends a line (NULL: none). */
CSL_MUST_CHECK enum csl_err csl__finals_put(const char *dir, uint64_t from, const char *line,
                                            struct csl_diag *diag);
/* The first that covers this entry of the ledger. */
CSL_MUST_CHECK enum csl_err csl__finals_covering(struct csl_outbox_anchor *out, bool *found, const char *dir,
                                                 uint64_t leaf, struct csl_diag *diag);

#endif
