/* The state of one verification, shared by audit/verify*.c.
 *
 * Facts are signed statements whose signature was verified under the key that the roster has for their
 * signer; only facts accuse, and only their signer. Ledgers (a site's leaves, included in a checkpoint that
 * it signed) say what a site wrote down; what is missing there is incomplete, what does not fit is a
 * mismatch.
 *
 * No function here returns an error: the first one (no memory, OpenSSL) stays in v->err, and the caller of
 * all asks once. */
#ifndef CSL_AUDIT_VERIFY_INTERNAL_H
#define CSL_AUDIT_VERIFY_INTERNAL_H

#include "audit/bundle_internal.h"
#include "audit/check_internal.h"
#include "audit/leaf.h"
#include "audit/statement.h"
#include "audit/verify.h"

enum {
    CSL__ROLE_PARTY = 1,
    CSL__ROLE_DEALER = 2,
    CSL__ROLE_OWNER = 4,
    CSL__ROLE_CLIENT = 8
}; /* net/roster.h */

/* A table from digests to pointers. */
struct csl__map {
    struct csl__map_slot {
        uint8_t key[32];
        void *value; /* NULL: free */
    } * slots;
    size_t n, room;
};
void *csl__map_get(const struct csl__map *m, const uint8_t key[32]);
/* Adds or replaces. */
CSL_MUST_CHECK enum csl_err csl__map_put(struct csl__map *m, const uint8_t key[32], void *value);

struct csl__fact {
    enum csl_statement kind;
    const struct csl_auditee *signer;
    const uint8_t *bytes; /* borrowed from a leaf */
    size_t n;
    uint8_t digest[32], signature[CSL_SIGNATURE_BYTES];
    void *m; /* the statement, decoded */
    struct csl__fact *next;
};

struct csl__session {
    uint8_t digest[32];
    Csl__Audit__SessionStatement *m;
    bool ours; /* roster and parties are those that we verify with */
    struct csl__session *next;
};

struct csl__batch {
    const struct csl__session *session;
    uint32_t number, count;
    const struct csl__fact *heads[CSL__PARTIES_MAX];
    const struct csl__fact *dealt; /* as some head names it */
    bool used[CSL__PARTIES_MAX];   /* of a shared session: the party's requests are counted */
    struct csl__batch *next;
};

/* What one site's ledger holds of a session, and of one of its batches. */
struct csl__shown {
    uint8_t id[CSL__SESSION_ID_BYTES];
    const struct csl__session *session; /* NULL: at the dealer, or it ended before there was a statement */
    const Csl__Audit__CloseLeaf *close;
    uint64_t batches, inferences;
    struct csl__shown *next;
};
struct csl__kept {
    struct csl__batch *batch;
    struct csl__shown *shown;
    const Csl__Audit__HeadsLeaf *heads;
    bool input, output, counted;
    uint8_t inputs_digest[32];
    /* Of a shared session, where all of the statements verify; else NULL. */
    const struct csl__fact **inputs, **outputs;
    size_t n_inputs, n_outputs;
    struct csl__kept *next;
};

struct csl__site {
    const csl_bundle *b;
    const struct csl_auditee *member;
    char origin[CSL_ORIGIN_MAX + 1];
    struct csl_checkpoint *chain; /* signed by the site, sizes rising */
    size_t n_chain;
    csl_leaf **leaves; /* decoded and included; NULL where not */
    uint8_t (*hashes)[CSL_MERKLE_BYTES];
    struct csl_merkle_tree tree;         /* over the leaves from the first on, as far as none is missing */
    struct csl__map models;              /* by package digest: accepted or handed on */
    struct csl__map by_id, by_statement; /* sessions */
    struct csl__map kept;                /* batches */
    struct csl__map dealt;               /* by the statement's digest, at the dealer */
    struct csl__shown *shown;
    struct csl__kept *all_kept;
};

/* A checkpoint that `of` signed and that somebody shows. */
struct csl__sighting {
    const struct csl_auditee *of, *by;
    const struct csl__site *newest_of; /* the bundle whose newest checkpoint it is, or NULL */
    uint64_t size;
    uint8_t root[CSL_MERKLE_BYTES];
    struct csl__sighting *next;
};

struct csl__verify {
    const struct csl_audit_world *world;
    struct csl_audit_report *report;
    struct csl__site *sites;
    size_t n_sites;
    struct csl__map slots, facts, sessions, batches, dealts;
    struct csl__fact *all_facts;
    struct csl__session *all_sessions;
    struct csl__batch *all_batches;
    struct csl__sighting *sightings;
    enum csl_err err;
};

/* ---- Shared ---- */
void csl__find(struct csl__verify *v, enum csl_verdict verdict, const char *who, const uint8_t *session_id,
               uint32_t batch, const char *fmt, ...) __attribute__((format(printf, 6, 7)));
const struct csl_auditee *csl__member(const struct csl__verify *v, const char *name);
const struct csl_auditee *csl__party(const struct csl__verify *v, unsigned party);
/* Remembers the first error; whether there is one. */
bool csl__failed(struct csl__verify *v, enum csl_err err);
void *csl__calloc(struct csl__verify *v, size_t n, size_t size); /* NULL sets v->err */
bool csl__same(const ProtobufCBinaryData *a, const ProtobufCBinaryData *b);
bool csl__is(const ProtobufCBinaryData *a, const uint8_t digest[32]);

const uint8_t *csl__id(const struct csl__session *s); /* NULL for NULL */

/* ---- verify_fact.c ---- */
/* The fact that a signed statement is; NULL with a finding when it is none. where: for the finding. Two facts
 * that exclude each other accuse their signer here. */
const struct csl__fact *csl__fact(struct csl__verify *v, enum csl_statement kind, const Csl__Audit__Signed *s,
                                  const char *where);
void csl__free_facts(struct csl__verify *v);

/* ---- verify_ledger.c ---- */
void csl__read_site(struct csl__verify *v,
                    struct csl__site *site); /* checkpoints, inclusion, what it saw of others */
void csl__free_site(struct csl__site *site);
/* A note as `of` signed it, its origin checked; false with a finding that begins with where. */
bool csl__read_note(struct csl__verify *v, struct csl_note *note, const struct csl_auditee *of,
                    const char *text, const char *where);
/* A note of member `of` that a site shows: a sighting, when it is signed. */
void csl__read_sighting(struct csl__verify *v, struct csl__site *site, const char *of, const char *text,
                        const char *where);
/* ---- verify_history.c: checkpoints of one site against each other ---- */
void csl__sight(struct csl__verify *v, const struct csl_auditee *of, const struct csl_auditee *by,
                const struct csl__site *newest_of, const struct csl_checkpoint *c);
void csl__check_histories(struct csl__verify *v);

/* ---- verify_session.c ---- */
void csl__read_sessions(struct csl__verify *v,
                        struct csl__site *site); /* statements of all sessions, first */
void csl__read_leaves(struct csl__verify *v, struct csl__site *site);
void csl__check_sessions(struct csl__verify *v, struct csl__site *site); /* after all leaves of all sites */
/* The session that a leaf names, opened earlier in this ledger and not closed; NULL with a finding. */
struct csl__shown *csl__shown_of(struct csl__verify *v, struct csl__site *site,
                                 const ProtobufCBinaryData *digest, const char *what);

/* ---- verify_batch.c ---- */
/* What this ledger holds of a batch; NULL when the session is of another roster, or v->err. */
struct csl__kept *csl__kept_of(struct csl__verify *v, struct csl__site *site, struct csl__shown *shown,
                               uint32_t number);
void csl__not_fitting(struct csl__verify *v, const struct csl__site *site, const struct csl__kept *k,
                      const char *what); /* a mismatch */
void csl__agree_on_count(struct csl__verify *v, const struct csl__site *site, struct csl__kept *k,
                         uint32_t count);
void csl__read_heads(struct csl__verify *v, struct csl__site *site, const Csl__Audit__HeadsLeaf *m);
void csl__read_output(struct csl__verify *v, struct csl__site *site, const Csl__Audit__OutputLeaf *m);
void csl__check_kept(struct csl__verify *v, struct csl__site *site);
void csl__check_batches(struct csl__verify *v);
/* ---- verify_input.c ---- */
void csl__read_input(struct csl__verify *v, struct csl__site *site, const Csl__Audit__InputLeaf *m);
/* ---- verify_request.c: requests of shared sessions ---- */
/* A copy; NULL sets v->err. */
const struct csl__fact **csl__keep_facts(struct csl__verify *v, const struct csl__fact *const *facts,
                                         size_t n);
void csl__check_answers(struct csl__verify *v, const struct csl__site *site, const struct csl__kept *k);
void csl__check_requests(struct csl__verify *v);
/* ---- verify_index.c: no correlation twice ---- */
void csl__check_indices(struct csl__verify *v);

#endif
