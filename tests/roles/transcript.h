/* What a session left in the ledgers of its parties, for test_roles_transcript.c. */
#ifndef CSL_TESTS_ROLES_TRANSCRIPT_H
#define CSL_TESTS_ROLES_TRANSCRIPT_H

#include "roles/daemon/logbook.h"
#include "world.h"

enum { LEAVES_MAX = 32 };

/* The leaves of one session in one ledger, in order. */
struct story {
    size_t n;
    csl_leaf *leaves[LEAVES_MAX];
};
void story_read(struct story *s, const struct world *w, const char *site, const uint8_t *session_id);
void story_clear(struct story *s);
/* The i-th leaf of a kind (CSL__AUDIT__LEAF__BODY_...), from 0; NULL when there is none. */
const csl_leaf *story_leaf(const struct story *s, int kind, size_t i);

/* The statement and signature that a party sent with its output of a batch. */
struct given {
    uint8_t statement[CSL_STATEMENT_MAX], signature[CSL_SIGNATURE_BYTES];
    size_t n;
};
/* A fake client's batch: input, outputs; given (may be NULL) gets what each party signed. */
void fake_batch(struct fake *f, uint32_t batch, uint32_t count, struct given given[CSL_MAX_PARTIES]);
/* Closes the session in order, and waits until every party has ended it. */
void fake_finish(struct fake *f);

void signed_by(const struct world *w, enum csl_statement what, const Csl__Audit__Signed *s, const char *who);
void same_bytes(const ProtobufCBinaryData *a, const ProtobufCBinaryData *b);

#endif
