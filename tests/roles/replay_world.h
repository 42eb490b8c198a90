/* A consortium in one process, for tests of the replay: parties are threads over in-memory links with the
 * audit link on top, the test plays dealer, owner and client, and everything is signed as it would be. */
#ifndef CSL_TESTS_ROLES_REPLAY_WORLD_H
#define CSL_TESTS_ROLES_REPLAY_WORLD_H

#include "../nn/cnn.h"
#include "roles/judge/replay.h"
#include "roles/lane/audit_link.h"

enum { RW_BATCHES = 2, RW_COUNT = 2, RW_OWNERS = 2 };

/* What one party, or the dealer, does wrong in one batch. */
struct rw_fault {
    int party; /* -1: nobody */
    uint32_t batch;
    uint32_t round;      /* flips a bit in this opening, from 1 on; 0: none */
    unsigned byte;       /* the bit flipped is the lowest of this byte, as far as there is one */
    bool input, weights; /* computes with another share than its own */
    int layer;           /* weights: of this layer */
    bool row;            /* computes with the row that was checked away (not the last party) */
    bool output;         /* sends and signs another output share */
    uint32_t output_row; /* of this inference, from 0 on */
    bool no_sign;        /* after output: its head is missing everywhere */
    bool dealer;         /* (party is ignored) deals a wrong correction and signs it */
};
#define RW_HONEST ((struct rw_fault){.party = -1})

struct rw {
    unsigned n;
    bool label, two_owners;
    bool shared;     /* a batch is two requests, of one client each, and all batches have one dealing */
    bool rows_twice; /* shared: every party takes the rows of the first batch for all of them */
    enum csl_audit_sign sign;
    struct built *net;
    struct csl_roster roster;
    uint8_t roster_digest[32];
    EVP_PKEY *keys[CSL_MAX_PARTIES + 4];
    struct csl_context ctx[CSL_MAX_PARTIES];
    const struct csl_member *dealer, *owner, *clients[RW_OWNERS];
    struct csl_epoch_keys epoch_keys[CSL_MAX_PARTIES];
    uint8_t epoch_id[32], mask_id[32];
    struct csl_manifest manifest;
    uint8_t *manifest_bytes;
    size_t n_manifest;
    uint8_t manifest_signature[CSL_SIGNATURE_BYTES];
    uint8_t *parts[CSL_MAX_PARTIES];
    size_t n_parts[CSL_MAX_PARTIES];
    struct csl_model_share shares[CSL_MAX_PARTIES]; /* with E */
    struct csl_demand demands[CSL_PLAN_MAX_DEMANDS];
    size_t n_demands;
    uint32_t openings;
    enum csl_profile profile;
    struct csl_request request;
};
void rw_open(struct rw *w, unsigned n, bool label, bool two_owners);
void rw_set_profile(struct rw *w, enum csl_profile profile); /* lan at first */
void rw_set_shared(struct rw *w);                            /* not with two owners */
void rw_close(struct rw *w);

/* A session of RW_BATCHES batches of RW_COUNT inferences. */
struct rw_session {
    const struct rw *w;
    struct rw_fault fault;
    uint8_t session_id[16];
    struct csl_session_record record;
    struct csl_record batches[CSL_MAX_PARTIES][RW_BATCHES];
    struct csl_view_session views[CSL_MAX_PARTIES];
    csl_bundle *bundles[CSL_MAX_PARTIES];
};
struct rw_session *rw_run(const struct rw *w, struct rw_fault fault, uint8_t id);
void rw_session_free(struct rw_session *s);
/* The bundles anew, after records were changed. */
void rw_bundles(struct rw_session *s);
/* Signs party p's head of a batch anew, over the messages that the record of `of` has of p. */
void rw_sign_heads(struct rw_session *s, unsigned of, unsigned p);

/* Replays party p with the bundles of all parties but those that `without` (bits) names. */
struct rw_verdict {
    enum csl_verdict verdict;
    char who[65];
    uint32_t batch;
    char text[512];
    struct csl_replay_fault fault;
    size_t batches;
};
struct rw_verdict rw_replay(const struct rw_session *s, unsigned p, unsigned without);

/* ---- What is expected (replay_check.c) ---- */

void rw_consistent(const struct rw_session *s, unsigned p);
void rw_all_consistent(const struct rw_session *s, int but); /* -1: all */
/* ATTRIBUTABLE to the party of the fault, there. round 0: the output. */
struct rw_verdict rw_named(const struct rw_session *s, uint32_t round);
void rw_accuses_nobody(struct rw_verdict v, enum csl_verdict want, const char *word);

struct csl_record *rw_first(struct rw_session *s, unsigned p);
/* Party p signs another commitment to output i of batch b: its ledger says so, its view the first one. */
void rw_commit_otherwise(struct rw_session *s, unsigned p, uint32_t b, size_t i);

/* Shared by replay_session.c and replay_judge.c. */
void rw__statement(struct rw_session *s);
void rw__deal(struct rw_session *s, uint32_t b);
void rw__share_input(struct rw_session *s, uint32_t b);
void rw__run_parties(struct rw_session *s);
/* Rows that a dealing is of, with the one that is checked. */
uint32_t rw__dealt_rows(const struct rw *w);

#endif
