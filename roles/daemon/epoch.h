/* Epochs as daemons hold them (docs/protocol.md K1, K2, E): counted, in memory only.
 *
 * The dealer begins an epoch whenever every party is connected and one of them is new. Sessions that run keep
 * their epoch by a reference; new ones use the latest.
 */
#ifndef CSL_ROLES_EPOCH_H
#define CSL_ROLES_EPOCH_H

#include "mpc/epoch.h"
#include "roles/context.h"
#include "roles/message.h"

/* ---- At a party ---- */
struct csl_party_epoch {
    _Atomic int refs;
    uint64_t number;
    uint8_t id[CSL_EPOCH_ID_BYTES];
    uint8_t grant_digest[32]; /* SHA-256 of what the dealer signed (E2), for the session's leaf */
    struct csl_epoch_keys keys;
    struct csl_stream_set streams;
};

/* Verifies the dealer's signature, that our own nonce is in its place, opens the seed and derives the keys.
 * nonce: what we sent for this number. CSL_EAUTH, CSL_EPROTO. */
CSL_MUST_CHECK enum csl_err csl_party_epoch_new(struct csl_party_epoch **out, const struct csl_context *ctx,
                                                const Csl__Pb__EpochGrant *grant,
                                                const uint8_t nonce[CSL_NONCE_BYTES], struct csl_diag *diag);
struct csl_party_epoch *csl_party_epoch_ref(struct csl_party_epoch *e);
void csl_party_epoch_unref(struct csl_party_epoch *e); /* NULL is allowed */

/* ---- At the dealer ---- */
struct csl_dealer_epoch {
    _Atomic int refs;
    uint64_t number;
    unsigned n_parties;
    uint8_t id[CSL_EPOCH_ID_BYTES];
    uint8_t dealer_nonce[CSL_NONCE_BYTES];
    uint8_t nonces[CSL_MAX_PARTIES * CSL_NONCE_BYTES];
    uint8_t seeds[CSL_MAX_PARTIES][32]; /* wiped once granted */
    struct csl_epoch_keys keys[CSL_MAX_PARTIES];
    struct csl_stream_set streams;
};

/* Draws nonce and seeds, derives all keys. nonces: n_parties x 32, in party order. */
CSL_MUST_CHECK enum csl_err csl_dealer_epoch_new(struct csl_dealer_epoch **out, const struct csl_context *ctx,
                                                 uint64_t number, const uint8_t *nonces,
                                                 struct csl_diag *diag);
struct csl_dealer_epoch *csl_dealer_epoch_ref(struct csl_dealer_epoch *e);
void csl_dealer_epoch_unref(struct csl_dealer_epoch *e);

/* The grant of one party as a control message's body; clear frees what it holds. */
struct csl_grant {
    Csl__Pb__EpochGrant pb;
    ProtobufCBinaryData nonces[CSL_MAX_PARTIES];
    uint8_t *sealed;
    uint8_t signature[64];
};
CSL_MUST_CHECK enum csl_err csl_dealer_epoch_grant(struct csl_grant *out, const struct csl_context *ctx,
                                                   const struct csl_dealer_epoch *e, unsigned party,
                                                   struct csl_diag *diag);
void csl_grant_clear(struct csl_grant *g);
/* All grants are out: the seeds are wiped, the keys stay. */
void csl_dealer_epoch_granted(struct csl_dealer_epoch *e);

#endif
