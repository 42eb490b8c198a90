/* The roster: the one file that all sites share and that says who belongs to the consortium.
 *
 * Human-readable YAML (at most 1 MiB, UTF-8), strict: unknown, repeated and missing fields and wrong
 * types are errors that name line and field; anchors, aliases and tags are refused. Lists are bounded by the
 * constants below. Fields not marked optional must be there.
 *
 *   version: 1
 *   consortium: heart-network              name for people, at most 64 bytes
 *   ca: |                                  PEM certificate of the consortium's CA
 *     -----BEGIN CERTIFICATE----- ...
 *   members:                               the order of the parties in it is their index 0..N-1
 *     - name: hospital-a                   as in the member's certificate
 *       roles: [party, client]             of party, dealer, owner, client; a dealer has no other role.
 *                                          `role: party` is the short form for one
 *       address: mpc.hospital-a.org:7400   host:port or [IPv6]:port as others reach it; optional
 *       tls_spki_sha256: 64 hex digits     of the TLS key (a renewed certificate keeps it)
 *       wrap_key: |                        PEM public key, RSA-3072
 *       sign_key: |                        PEM public key, Ed25519
 *       account: 0x...                     optional; its account on the chain, EIP-55
 *   models:                                optional; a model that is not in it does not exist
 *     - name: digits                       [A-Za-z0-9._-]{1,64}
 *       owner: lab                         the one member (role owner) that may share it
 *       clients: [clinic]                  the members (role client) that may query it,
 *                                          or own parts of its inputs
 *       reveal: label                      optional; label: clients learn the class and
 *                                          nothing else; default: logits
 *   connections:                           optional; overrides who dials whom
 *     - {from: hospital-b, to: hospital-a} `to` needs an address
 *   timeouts: {connect_ms: 5000, ...}      optional, each field too; see struct csl_timeouts
 *   limits: {lanes: 4, max_batch: 256}     optional, each field too; see struct csl_limits
 *   audit:                                 optional, each field too; see struct csl_audit_policy
 *     sign: before-output                  or after-output, or off
 *     check_rows: 0
 *     views_mib: 256
 *     colluding: 1
 *   chain:                                 optional; where members anchor their ledgers (docs/chain.md)
 *     id: 31337                            the chain's id, EIP-155
 *     contract: 0x...                      EIP-55
 *     confirmations: 12                    optional; blocks, its own among them, until an anchor is final
 *
 * There are 2 to 16 parties and exactly one dealer. Names, keys of every use and accounts are unique:
 * the same key twice is an error. Bind addresses and file paths are a site's own options and not in here.
 *
 * Errors: CSL_ENOINPUT no file, CSL_ECONFIG anything wrong in it, CSL_ENOMEM, CSL_EPERM
 * (csl_roster_verify_peer).
 */
#ifndef CSL_NET_ROSTER_H
#define CSL_NET_ROSTER_H

#include "crypto/identity.h"

enum {
    CSL_ROSTER_VERSION = 1,
    CSL_ROSTER_BYTES_MAX = 1 << 20,
    CSL_ROSTER_MEMBERS_MAX = 256,
    CSL_ROSTER_MODELS_MAX = 256,
    CSL_ROSTER_CONNECTIONS_MAX = 4096,
    CSL_ROSTER_PARTIES_MAX = 16, /* = CSL_MAX_PARTIES of mpc/link.h */
    CSL_MODEL_NAME_MAX = 64,
    CSL_CONSORTIUM_MAX = 64,
    CSL_ROSTER_ACCOUNT_BYTES = 20 /* = CSL_ADDRESS_BYTES of chain/address.h */
};

enum csl_role { /* a set of bits */
                CSL_ROLE_PARTY = 1,
                CSL_ROLE_DEALER = 2,
                CSL_ROLE_OWNER = 4,
                CSL_ROLE_CLIENT = 8
};

struct csl_member {
    char name[CSL_NAME_MAX + 1];
    unsigned roles;              /* csl_role bits */
    int party;                   /* party index, or -1 */
    char host[CSL_HOST_MAX + 1]; /* "" when the member cannot be dialled; IPv6 without brackets */
    uint16_t port;
    uint8_t tls_spki[CSL_SPKI_BYTES];
    uint8_t wrap_spki[CSL_SPKI_BYTES];
    uint8_t sign_spki[CSL_SPKI_BYTES];
    EVP_PKEY *wrap_key; /* public */
    EVP_PKEY *sign_key; /* public */
    bool has_account;
    uint8_t account[CSL_ROSTER_ACCOUNT_BYTES];
};

struct csl_model_rule {
    char name[CSL_MODEL_NAME_MAX + 1];
    size_t owner;    /* index into members */
    size_t *clients; /* indices into members */
    size_t n_clients;
    bool label_only; /* reveal: label */
};

struct csl_connection {
    size_t from, to; /* indices into members: from dials to */
};

struct csl_timeouts {         /* default, allowed range */
    uint32_t connect_ms;      /*   5000, 100..600000: TCP connect, then again after a pause */
    uint32_t handshake_ms;    /*   5000, 100..600000: TLS and hello, from TCP accept on */
    uint32_t heartbeat_ms;    /*   1000, 50..60000: a link that is silent for so long sends a heartbeat */
    uint32_t dead_ms;         /*   4000, 100..600000, at least 2 * heartbeat_ms: silence means dead */
    uint32_t round_ms;        /*  30000, 100..3600000: the longest wait for a peer's message of a round */
    uint32_t session_idle_ms; /* 120000, 1000..86400000: a session without a request is closed */
};

struct csl_limits {
    uint32_t lanes;                     /*   4, 1..256: sessions that a party runs side by side */
    uint32_t max_batch;                 /* 256, 1..65536: inferences in one batch */
    uint32_t session_places_per_client; /* 8, 1..32: guests of one client in a shared session at a party */
};

enum csl_roster_sign { CSL_ROSTER_SIGN_OFF, CSL_ROSTER_SIGN_AFTER, CSL_ROSTER_SIGN_BEFORE };

struct csl_audit_policy { /* docs/audit.md */
    uint32_t sign;        /* enum csl_roster_sign: when parties sign what they sent; before-output */
    uint32_t check_rows;  /*   0, 0..64: correlations of a batch that are opened, sacrificed and discarded to
                             check the dealer */
    uint32_t
        views_mib; /* 256, 0..1048576: room for views at a party, what a judge may be shown; 0 keeps none */
    uint32_t colluding; /*   1, 0..15: parties that may collude with a judge: of N parties' shares of one
                           package at most N - 1 - colluding are ever opened */
};

struct csl_chain_rule { /* id 0: no chain; the rest is zero then */
    uint64_t id;
    uint8_t contract[CSL_ROSTER_ACCOUNT_BYTES];
    uint32_t confirmations; /* 12, 1..10000 */
};

struct csl_roster {
    char consortium[CSL_CONSORTIUM_MAX + 1];
    X509 *ca;
    struct csl_member *members;
    size_t n_members;
    struct csl_model_rule *models;
    size_t n_models;
    struct csl_connection *connections;
    size_t n_connections;
    struct csl_timeouts timeouts;
    struct csl_limits limits;
    struct csl_audit_policy audit;
    struct csl_chain_rule chain;
    /* derived */
    unsigned n_parties;
    size_t parties[CSL_ROSTER_PARTIES_MAX]; /* member index of each party */
    size_t dealer;                          /* member index */
};

/* The roster is read-only after loading, and may then be read from any thread. */
CSL_MUST_CHECK enum csl_err csl_roster_load(struct csl_roster *r, const char *path, struct csl_diag *diag);
/* what names the source in errors. */
CSL_MUST_CHECK enum csl_err csl_roster_parse(struct csl_roster *r, const void *text, size_t n,
                                             const char *what, struct csl_diag *diag);
void csl_roster_free(struct csl_roster *r); /* r may be all zero */

/* Lookup; NULL when there is none. Borrowed from the roster. */
const struct csl_member *csl_roster_member(const struct csl_roster *r, const char *name);
const struct csl_member *csl_roster_by_spki(const struct csl_roster *r,
                                            const uint8_t tls_spki[CSL_SPKI_BYTES]);
const struct csl_member *csl_roster_party(const struct csl_roster *r, unsigned i); /* NULL: i >= n_parties */
const struct csl_member *csl_roster_dealer(const struct csl_roster *r);

/* Whether member a opens the connection to member b. False for a == b and for pairs that never talk (no party
 * in the pair). Default: if only one of the two has an address, the other dials it; else the later party in
 * the list dials the earlier, parties dial the dealer, owners and clients dial parties. `connections`
 * overrides. Where a site is a party and also a client or owner, this is about its party daemon; its client
 * or owner program dials every party, its own included. */
bool csl_roster_dials(const struct csl_roster *r, const struct csl_member *a, const struct csl_member *b);

bool csl_roster_may_query(const struct csl_roster *r, const char *client, const char *model);
/* Whether clients of this model learn the class only. */
bool csl_roster_label_only(const struct csl_roster *r, const char *model);
bool csl_roster_may_share(const struct csl_roster *r, const char *owner, const char *model);

/* The member that a TLS peer is: name from its certificate (csl_cert_site_name), spki of its key. CSL_EPERM:
 * no such member, or another key. *member is borrowed, NULL after an error. */
CSL_MUST_CHECK enum csl_err csl_roster_verify_peer(const struct csl_roster *r,
                                                   const struct csl_member **member, const char *name,
                                                   const uint8_t spki[CSL_SPKI_BYTES], struct csl_diag *diag);

/* The member that this site itself is: its name, its three keys and its CA must be those of the roster. site
 * must be fully loaded. CSL_ECONFIG says what differs. A daemon calls it when it starts. */
CSL_MUST_CHECK enum csl_err csl_roster_verify_site(const struct csl_roster *r, const struct csl_member **self,
                                                   const struct csl_site *site, struct csl_diag *diag);

/* SHA-256 over a canonical encoding of the parsed content (net/roster_digest.c).
 * Independent of comments, key order, white space, and of whether a default is written out; covers everything
 * else. */
CSL_MUST_CHECK enum csl_err csl_roster_digest(uint8_t out[32], const struct csl_roster *r);

/* "party, client" into buf. Returns buf. */
enum { CSL_ROLES_TEXT = 48 };
char *csl_roles_text(char buf[CSL_ROLES_TEXT], unsigned roles);
/* "before-output", and back; false and *sign unchanged when it is none. */
const char *csl_roster_sign_name(enum csl_roster_sign sign);
bool csl_roster_sign_parse(uint32_t *sign, const char *text);
/* A role's bit from its name, 0 when there is no such role. */
unsigned csl_role_parse(const char *name);
/* "host:port" or "[IPv6]:port"; false and outputs unchanged when it is not that. */
bool csl_host_port_parse(char host[CSL_HOST_MAX + 1], uint16_t *port, const char *text);

/* ---- Writing ---- */
/* Renders the roster as YAML (NUL-terminated; the caller frees with free). The result is parsed again before
 * it is returned: a roster with which something is wrong gives the error that loading it would give.
 * n_parties, parties, dealer, and party of the members need not be set. */
CSL_MUST_CHECK enum csl_err csl_roster_write(char **text, const struct csl_roster *r, struct csl_diag *diag);
/* Fills in the default timeouts, limits and audit policy, and no chain. */
void csl_roster_defaults(struct csl_roster *r);

#endif
