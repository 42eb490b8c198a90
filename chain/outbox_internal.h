/* Shared by outbox.c (files) and outbox_text.c (what stands in them). */
#ifndef CSL_CHAIN_OUTBOX_INTERNAL_H
#define CSL_CHAIN_OUTBOX_INTERNAL_H

#include "chain/outbox.h"

/* NULL without memory; the caller frees. */
char *csl__outbox_text(const struct csl_outbox *o);
/* A line of final.jsonl, without its end. */
char *csl__outbox_final_text(const struct csl_outbox_entry *e);
bool csl__outbox_final_parse(struct csl_outbox_anchor *out, const char *text, size_t n);

#endif
