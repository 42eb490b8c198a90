/* What happened in one batch, as the lane gathers it: for the ledger's leaves (roles/daemon/logbook.h), and
 * for a view that a judge may be shown later (roles/judge/view.h). Everything that is secret in it is wiped
 * by csl_record_clear. */
#ifndef CSL_ROLES_RECORD_H
#define CSL_ROLES_RECORD_H

#include "audit/statement.h"
#include "audit/transcript.h"
#include "mpc/epoch.h"
#include "nn/infer.h"
#include "roles/parts.h"

enum { CSL_RECORD_INPUTS_MAX = 32, CSL_GUEST_ID_BYTES = 16 };

/* A client's request in a shared session (docs/protocol.md S15). */
struct csl_record_request {
    uint8_t guest[CSL_GUEST_ID_BYTES];
    uint32_t number; /* 0: no shared session */
};

struct csl_record_input {           /* of one owner of the input, or of one request of a shared session */
    const struct csl_member *owner; /* borrowed */
    uint32_t part;                  /* its number from 1 on; 0: the whole input */
    uint32_t first, count;          /* rows of the batch; of a session that is not shared all of them */
    struct csl_record_request request;
    struct csl_signed statement;
    uint8_t salt[32];
    uint8_t *share; /* secret: 32-byte seed of the batch, or the packed values at the last party */
    size_t n;
    size_t each;          /* values of one inference that this owner shares */
    uint8_t *commitments; /* count x 32, ours (I1) */
};

struct csl_record_output { /* what one client got of a batch */
    uint8_t salt[32];
    uint8_t *share; /* secret: as it was sent */
    size_t n;
    struct csl_signed statement;
};

/* One opening: our message, and each peer's. Public among the parties; no outsider may see them. */
struct csl_record_round {
    size_t n;                           /* bytes of each, without the signature */
    uint8_t *messages[CSL_MAX_PARTIES]; /* ours at our own number; one allocation, at messages[0] */
};

struct csl_record {
    uint32_t batch, count;

    /* Offline, by lane_prepare.c. */
    struct csl_signed dealt;
    uint32_t first,
        total; /* counters that the dealer's statement is of. Of a shared session they serve several batches;
                  else all but those that were checked and discarded serve this one */
    uint32_t first_row;   /* shared session: this batch's first among those that serve */
    uint32_t *counters;   /* count: of the rows that serve, rising */
    uint8_t *seeds;       /* secret: count x CSL_INDEX_SEED_BYTES, of these; NULL unless views are kept */
    uint8_t *seed_leaves; /* total x 32: D1 of every row, ours */
    uint8_t *corrections; /* secret, last party: count x n_corrections; NULL unless views are kept */
    size_t n_corrections;
    uint8_t *correction_leaves; /* total x 32, last party: D2 */

    /* Online, by lane_serve.c. */
    struct csl_record_input inputs[CSL_RECORD_INPUTS_MAX];
    size_t n_inputs;
    struct csl_record_round *rounds;
    size_t n_rounds, room_rounds;
    struct csl_signed heads[CSL_MAX_PARTIES];
    struct csl_record_output outputs[CSL_RECORD_INPUTS_MAX];
    size_t n_outputs; /* 1; of a shared session as many as inputs, in their order */
};

/* May be zero. What is secret was allocated by csl_secret_alloc, the rest by malloc. */
void csl_record_clear(struct csl_record *r);
void csl_record_input_clear(struct csl_record_input *in); /* likewise */

/* What stands in every party's chain (audit/transcript.h) before the first opening of a batch, as round 0:
 * the counters of the rows that serve, u32 each. So nobody can later claim to have used others. */
CSL_MUST_CHECK enum csl_err csl_record_chain_rows(struct csl_transcript *t, const struct csl_record *r);

/* Of the session, beside the batches. */
struct csl_session_record {
    uint8_t *statement; /* SessionStatement as packed */
    size_t n_statement;
    uint8_t digest[CSL_DIGEST_BYTES];
    uint8_t signatures[CSL_MAX_PARTIES][CSL_SIGNATURE_BYTES];
    uint8_t nonces[CSL_MAX_PARTIES * CSL_NONCE_BYTES]; /* never exported but to a judge */
    unsigned n_parties;
};
void csl_session_record_clear(struct csl_session_record *r);

/* Fields of the session's statement: SHA-256("consilium/nonces" 0 | nonces), and
 * SHA-256("consilium/masked-weights" 0 | nonces | E of every layer as little-endian u64). */
CSL_MUST_CHECK enum csl_err csl_nonces_digest(uint8_t out[CSL_DIGEST_BYTES], const uint8_t *nonces,
                                              unsigned n_parties);
CSL_MUST_CHECK enum csl_err csl_weights_digest(uint8_t out[CSL_DIGEST_BYTES], const uint8_t *nonces,
                                               unsigned n_parties, const struct csl_model_share *share);

#endif
