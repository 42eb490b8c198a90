/* A consortium that only exists on paper: keys, statements, ledgers and bundles as honest sites would make
 * them, without a daemon. Tests forge it, change it, and ask audit verify. */
#ifndef CSL_TESTS_AUDIT_WORLD_H
#define CSL_TESTS_AUDIT_WORLD_H

#include "audit/bundle.h"
#include "audit/leaf.h"
#include "audit/statement.h"
#include "audit/verify.h"

enum { W_SITES_MAX = 20, W_LEAVES_MAX = 256, W_SESSIONS_MAX = 4, W_BATCHES_MAX = 4 };

struct w_log {
    struct csl_merkle_tree tree;
    uint8_t *leaves[W_LEAVES_MAX];
    size_t sizes[W_LEAVES_MAX];
    size_t n;
};

/* parties 0..N-1, then dealer, owner, client, and another client */
struct world {
    unsigned n_parties;
    struct csl_auditee members[W_SITES_MAX];
    char names[W_SITES_MAX][16];
    size_t n_members;
    struct w_log logs[W_SITES_MAX];
    uint8_t roster_digest[32];
    struct csl_audit_world audit;
    uint32_t next_counter;
};

/* What a session of the world looks like; everything that a test may want to change before it is signed. */
struct w_session {
    Csl__Audit__SessionStatement m;
    uint8_t bytes[16 * 64][32]; /* what the fields point at */
    ProtobufCBinaryData software[16], configuration[16], commitments[16];
    char *parties[16];
    uint8_t *packed;
    size_t n_packed;
    uint8_t digest[32];
    uint32_t batches, inferences;
};

struct w_batch {
    uint32_t number, count, first;
    bool sign_off;
    bool dealt_only;         /* it ends there */
    bool inputs_only;        /* it broke off when the heads were exchanged */
    unsigned leave_out_head; /* 1 + party whose head nobody has; 0: none */
    unsigned stop_after;     /* parties from here on keep no entry (0: all keep) */
    uint32_t parts;          /* 0: one input by the client */
    struct csl_signed dealt, inputs[4], heads[16];
};

void w_open(struct world *w, unsigned n_parties);
void w_close(struct world *w);
unsigned w_dealer(const struct world *w);
unsigned w_owner(const struct world *w);
unsigned w_client(const struct world *w);
unsigned w_ward(const struct world *w); /* the other client */

ProtobufCBinaryData w_data(const void *p, size_t n); /* borrowed */
Csl__Audit__Signed w_signed(const struct world *w, unsigned signer, const struct csl_signed *s);

void w_append(struct world *w, unsigned site, csl_leaf *leaf);
/* The model's leaves at owner and parties. */
void w_model(struct world *w, const uint8_t package[32], const char *name);
void w_session_fill(struct world *w, struct w_session *s, uint8_t id, enum csl_audit_sign sign);
/* Packs, signs, and enters it at every party. */
void w_session_enter(struct world *w, struct w_session *s);
void w_session_clear(struct w_session *s);
void w_batch(struct world *w, struct w_session *s, struct w_batch *b);
void w_batch_clear(struct w_batch *b);
/* The session's end at every party and the dealer. */
void w_session_end(struct world *w, const struct w_session *s, enum csl_err err);
void w_close_leaf(struct world *w, unsigned site, const struct w_session *s, enum csl_err err,
                  uint32_t batches, uint32_t inferences);

/* A bundle of the first n entries (0: all) with one checkpoint before it; the whole ledger, or of what
 * takes() wants (NULL: all). */
csl_bundle *w_bundle(struct world *w, unsigned site, size_t n, const uint8_t *session_id,
                     bool (*takes)(const csl_leaf *leaf));
/* site has cosigned the first n entries of `of`. */
void w_saw(struct world *w, csl_bundle *b, unsigned of, size_t n);
char *w_note(struct world *w, unsigned site, uint64_t size, const uint8_t root[32]);

/* Verifies all bundles. */
struct csl_audit_report w_verify(struct world *w, csl_bundle **bundles, size_t n);
void w_print(const struct csl_audit_report *r);

#endif
