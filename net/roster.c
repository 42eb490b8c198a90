#include "net/roster.h"

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/roster_internal.h"

#define ROW(S, name, standard, min, max)                                                                     \
    { #name, offsetof(S, name), standard, min, max }
const struct csl__roster_number csl__timeouts[CSL__N_TIMEOUTS] = {
    ROW(struct csl_timeouts, connect_ms, 5000, 100, 600000),
    ROW(struct csl_timeouts, handshake_ms, 5000, 100, 600000),
    ROW(struct csl_timeouts, heartbeat_ms, 1000, 50, 60000),
    ROW(struct csl_timeouts, dead_ms, 4000, 100, 600000),
    ROW(struct csl_timeouts, round_ms, 30000, 100, 3600000),
    ROW(struct csl_timeouts, session_idle_ms, 120000, 1000, 86400000),
};
const struct csl__roster_number csl__limits[CSL__N_LIMITS] = {
    ROW(struct csl_limits, lanes, 4, 1, 256),
    ROW(struct csl_limits, max_batch, 256, 1, 65536),
    ROW(struct csl_limits, session_places_per_client, 8, 1, 32),
};

const struct csl__roster_number csl__audit[CSL__N_AUDIT] = {
    ROW(struct csl_audit_policy, check_rows, 0, 0, 64),
    ROW(struct csl_audit_policy, views_mib, 256, 0, 1048576),
    ROW(struct csl_audit_policy, colluding, 1, 0, 15),
};
const struct csl__roster_number csl__chain[CSL__N_CHAIN] = {
    ROW(struct csl_chain_rule, confirmations, 12, 1, 10000),
};

static const char *const sign_names[] = {[CSL_ROSTER_SIGN_OFF] = "off",
                                         [CSL_ROSTER_SIGN_AFTER] = "after-output",
                                         [CSL_ROSTER_SIGN_BEFORE] = "before-output"};

const char *csl_roster_sign_name(enum csl_roster_sign sign) {
    return sign_names[sign];
}

bool csl_roster_sign_parse(uint32_t *sign, const char *text) {
    for (uint32_t i = 0; i < sizeof sign_names / sizeof *sign_names; i++) {
        if (strcmp(text, sign_names[i]) == 0) {
            *sign = i;
            return true;
        }
    }
    return false;
}

void csl_roster_defaults(struct csl_roster *r) {
    for (size_t i = 0; i < CSL__N_TIMEOUTS; i++) {
        csl__number_set(&r->timeouts, &csl__timeouts[i], csl__timeouts[i].standard);
    }
    for (size_t i = 0; i < CSL__N_LIMITS; i++) {
        csl__number_set(&r->limits, &csl__limits[i], csl__limits[i].standard);
    }
    for (size_t i = 0; i < CSL__N_AUDIT; i++) {
        csl__number_set(&r->audit, &csl__audit[i], csl__audit[i].standard);
    }
    r->audit.sign = CSL_ROSTER_SIGN_BEFORE;
    memset(&r->chain, 0, sizeof r->chain);
}

void csl_roster_free(struct csl_roster *r) {
    for (size_t i = 0; i < r->n_members; i++) {
        EVP_PKEY_free(r->members[i].wrap_key);
        EVP_PKEY_free(r->members[i].sign_key);
    }
    for (size_t i = 0; i < r->n_models; i++) {
        free(r->models[i].clients);
    }
    free(r->members);
    free(r->models);
    free(r->connections);
    X509_free(r->ca);
    memset(r, 0, sizeof *r);
}

/* ---- Lookup ---- */

const struct csl_member *csl_roster_member(const struct csl_roster *r, const char *name) {
    for (size_t i = 0; i < r->n_members; i++) {
        if (strcmp(r->members[i].name, name) == 0) {
            return &r->members[i];
        }
    }
    return NULL;
}

const struct csl_member *csl_roster_by_spki(const struct csl_roster *r,
                                            const uint8_t tls_spki[CSL_SPKI_BYTES]) {
    for (size_t i = 0; i < r->n_members; i++) {
        if (memcmp(r->members[i].tls_spki, tls_spki, CSL_SPKI_BYTES) == 0) {
            return &r->members[i];
        }
    }
    return NULL;
}

const struct csl_member *csl_roster_party(const struct csl_roster *r, unsigned i) {
    return i < r->n_parties ? &r->members[r->parties[i]] : NULL;
}

const struct csl_member *csl_roster_dealer(const struct csl_roster *r) {
    return r->n_members == 0 ? NULL : &r->members[r->dealer];
}

/* ---- Rules ---- */

bool csl_roster_dials(const struct csl_roster *r, const struct csl_member *a, const struct csl_member *b) {
    bool a_party = a->party >= 0, b_party = b->party >= 0;
    if (a == b || (!a_party && !b_party)) {
        return false;
    }
    for (size_t i = 0; i < r->n_connections; i++) {
        const struct csl_member *from = &r->members[r->connections[i].from];
        const struct csl_member *to = &r->members[r->connections[i].to];
        if ((from == a && to == b) || (from == b && to == a)) {
            return from == a;
        }
    }
    if ((a->host[0] == 0) != (b->host[0] == 0)) {
        return a->host[0] == 0;
    }
    if (a_party && b_party) {
        return a->party > b->party;
    }
    return a_party ? (b->roles & CSL_ROLE_DEALER) != 0 : (a->roles & CSL_ROLE_DEALER) == 0;
}

static const struct csl_model_rule *find_model(const struct csl_roster *r, const char *model) {
    for (size_t i = 0; i < r->n_models; i++) {
        if (strcmp(r->models[i].name, model) == 0) {
            return &r->models[i];
        }
    }
    return NULL;
}

bool csl_roster_may_query(const struct csl_roster *r, const char *client, const char *model) {
    const struct csl_model_rule *m = find_model(r, model);
    for (size_t i = 0; m != NULL && i < m->n_clients; i++) {
        if (strcmp(r->members[m->clients[i]].name, client) == 0) {
            return true;
        }
    }
    return false;
}

bool csl_roster_label_only(const struct csl_roster *r, const char *model) {
    const struct csl_model_rule *m = find_model(r, model);
    return m != NULL && m->label_only;
}

bool csl_roster_may_share(const struct csl_roster *r, const char *owner, const char *model) {
    const struct csl_model_rule *m = find_model(r, model);
    return m != NULL && strcmp(r->members[m->owner].name, owner) == 0;
}

enum csl_err csl_roster_verify_peer(const struct csl_roster *r, const struct csl_member **member,
                                    const char *name, const uint8_t spki[CSL_SPKI_BYTES],
                                    struct csl_diag *diag) {
    *member = NULL;
    const struct csl_member *m = csl_roster_member(r, name);
    if (m == NULL) {
        return csl_fail(diag, CSL_EPERM,
                        "the certificate of %.40s is not in the roster: no member has this name", name);
    }
    if (memcmp(m->tls_spki, spki, CSL_SPKI_BYTES) != 0) {
        return csl_fail(diag, CSL_EPERM,
                        "the certificate of %s is not in the roster: its key differs from the roster's; was "
                        "the site given new keys without a new roster?",
                        name);
    }
    *member = m;
    return CSL_OK;
}

enum csl_err csl_roster_verify_site(const struct csl_roster *r, const struct csl_member **self,
                                    const struct csl_site *site, struct csl_diag *diag) {
    *self = NULL;
    const struct csl_member *m = csl_roster_member(r, site->name);
    if (m == NULL) {
        return csl_fail(diag, CSL_ECONFIG, "this site, %s, is not in the roster; is it the right roster?",
                        site->name);
    }
    const char *what = memcmp(m->tls_spki, site->tls_spki, CSL_SPKI_BYTES) != 0     ? "TLS"
                       : memcmp(m->wrap_spki, site->wrap_spki, CSL_SPKI_BYTES) != 0 ? "wrapping"
                       : memcmp(m->sign_spki, site->sign_spki, CSL_SPKI_BYTES) != 0 ? "signing"
                                                                                    : NULL;
    if (what != NULL) {
        return csl_fail(diag, CSL_ECONFIG,
                        "the roster has another %s key for %s than this site: the roster must be built again "
                        "with this site's present request",
                        what, site->name);
    }
    if (X509_cmp(r->ca, site->ca) != 0) {
        return csl_fail(diag, CSL_ECONFIG, "the CA of the roster is not this site's ca.crt");
    }
    *self = m;
    return CSL_OK;
}

/* ---- Small texts ---- */

static const char *const role_names[4] = {"party", "dealer", "owner", "client"};

unsigned csl_role_parse(const char *name) {
    for (unsigned i = 0; i < 4; i++) {
        if (strcmp(name, role_names[i]) == 0) {
            return 1U << i;
        }
    }
    return 0;
}

char *csl_roles_text(char buf[CSL_ROLES_TEXT], unsigned roles) {
    size_t n = 0;
    buf[0] = 0;
    for (unsigned i = 0; i < 4; i++) {
        if ((roles & 1U << i) != 0) {
            int k = snprintf(buf + n, CSL_ROLES_TEXT - n, "%s%s", n == 0 ? "" : ", ", role_names[i]);
            n += k < 0 ? 0 : (size_t)k;
        }
    }
    return buf;
}

static bool port_parse(uint16_t *port, const char *text) {
    size_t n = strlen(text);
    if (n < 1 || n > 5 || strspn(text, "0123456789") != n || text[0] == '0') {
        return false;
    }
    unsigned long v = strtoul(text, NULL, 10);
    *port = (uint16_t)v;
    return v <= 65535;
}

bool csl_host_port_parse(char host[CSL_HOST_MAX + 1], uint16_t *port, const char *text) {
    char h[CSL_HOST_MAX + 1];
    unsigned char ip[16];
    uint16_t p = 0;
    const char *colon = strrchr(text, ':');
    if (colon == NULL) {
        return false;
    }
    bool v6 = text[0] == '[' && colon > text + 1 && colon[-1] == ']';
    const char *start = v6 ? text + 1 : text;
    size_t n = (size_t)(colon - start) - (v6 ? 1 : 0);
    if (n < 1 || n > CSL_HOST_MAX || !port_parse(&p, colon + 1)) {
        return false;
    }
    memcpy(h, start, n);
    h[n] = 0;
    bool ok = v6 ? inet_pton(AF_INET6, h, ip) == 1
                 : h[0] != '-' && h[0] != '.' &&
                       strspn(h, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") == n;
    if (ok) {
        memcpy(host, h, n + 1);
        *port = p;
    }
    return ok;
}
