/* Checks that concern more than one field of the roster. */
#include <string.h>

#include "net/roster_internal.h"

static struct csl__roster_at at(const char *section, size_t i, const char *field) {
    return (struct csl__roster_at){section, (long)i, field};
}

/* Keys of every member and use; all must differ. */
static const uint8_t *fingerprint(const struct csl_member *m, unsigned use) {
    return use == 0 ? m->tls_spki : use == 1 ? m->wrap_spki : m->sign_spki;
}

static enum csl_err check_unique(const struct csl_roster *r, const struct csl__roster_text *t) {
    static const char *const fields[3] = {"tls_spki_sha256", "wrap_key", "sign_key"};
    for (size_t i = 0; i < r->n_members; i++) {
        for (size_t j = 0; j < i; j++) {
            if (strcmp(r->members[i].name, r->members[j].name) == 0) {
                return csl__roster_bad(t, at("members", i, "name"), "%s is there twice", r->members[i].name);
            }
        }
        for (size_t k = 0; k < 3 * i + 3; k++) {
            size_t j = k / 3;
            unsigned use_j = (unsigned)(k % 3);
            for (unsigned use = 0; use < 3; use++) {
                bool same = (j != i || use_j < use) &&
                            memcmp(fingerprint(&r->members[i], use), fingerprint(&r->members[j], use_j),
                                   CSL_SPKI_BYTES) == 0;
                if (same) {
                    return csl__roster_bad(t, at("members", i, fields[use]),
                                           "the same key as %s of %s; every key has one use", fields[use_j],
                                           r->members[j].name);
                }
            }
        }
    }
    return CSL_OK;
}

static enum csl_err check_accounts(const struct csl_roster *r, const struct csl__roster_text *t) {
    for (size_t i = 0; i < r->n_members; i++) {
        const struct csl_member *m = &r->members[i];
        for (size_t j = 0; m->has_account && j < i; j++) {
            if (r->members[j].has_account &&
                memcmp(m->account, r->members[j].account, sizeof m->account) == 0) {
                return csl__roster_bad(t, at("members", i, "account"), "the same account as %s",
                                       r->members[j].name);
            }
        }
    }
    return CSL_OK;
}

static enum csl_err count_roles(struct csl_roster *r, const struct csl__roster_text *t) {
    bool dealer = false;
    for (size_t i = 0; i < r->n_members; i++) {
        struct csl_member *m = &r->members[i];
        if ((m->roles & CSL_ROLE_DEALER) != 0) {
            if (dealer) {
                return csl__roster_bad(t, at("members", i, "role"), "%s is a second dealer; there is one",
                                       m->name);
            }
            dealer = true;
            r->dealer = i;
        }
        if ((m->roles & CSL_ROLE_PARTY) != 0) {
            if (r->n_parties == CSL_ROSTER_PARTIES_MAX) {
                return csl__roster_bad(t, at("members", i, "role"), "%s is party number %d; at most %d work",
                                       m->name, CSL_ROSTER_PARTIES_MAX + 1, CSL_ROSTER_PARTIES_MAX);
            }
            m->party = (int)r->n_parties;
            r->parties[r->n_parties++] = i;
        }
    }
    struct csl__roster_at members = {"members", -1, NULL};
    if (r->n_parties < 2) {
        return csl__roster_bad(t, members, "there must be at least 2 parties, not %u", r->n_parties);
    }
    return dealer ? CSL_OK : csl__roster_bad(t, members, "there is no dealer");
}

static enum csl_err check_models(const struct csl_roster *r, const struct csl__roster_text *t) {
    for (size_t i = 0; i < r->n_models; i++) {
        const struct csl_model_rule *m = &r->models[i];
        for (size_t j = 0; j < i; j++) {
            if (strcmp(m->name, r->models[j].name) == 0) {
                return csl__roster_bad(t, at("models", i, "name"), "%s is there twice", m->name);
            }
        }
        if ((r->members[m->owner].roles & CSL_ROLE_OWNER) == 0) {
            return csl__roster_bad(t, at("models", i, "owner"), "%s does not have the role owner",
                                   r->members[m->owner].name);
        }
        for (size_t k = 0; k < m->n_clients; k++) {
            const struct csl_member *client = &r->members[m->clients[k]];
            if ((client->roles & CSL_ROLE_CLIENT) == 0) {
                return csl__roster_bad(t, at("models", i, "clients"), "%s does not have the role client",
                                       client->name);
            }
            for (size_t l = 0; l < k; l++) {
                if (m->clients[l] == m->clients[k]) {
                    return csl__roster_bad(t, at("models", i, "clients"), "%s is there twice", client->name);
                }
            }
        }
    }
    return CSL_OK;
}

static bool is_party(const struct csl_member *m) {
    return (m->roles & CSL_ROLE_PARTY) != 0;
}

static enum csl_err check_connections(const struct csl_roster *r, const struct csl__roster_text *t) {
    for (size_t i = 0; i < r->n_connections; i++) {
        const struct csl_connection *c = &r->connections[i];
        const struct csl_member *from = &r->members[c->from], *to = &r->members[c->to];
        if (from == to || (!is_party(from) && !is_party(to))) {
            return csl__roster_bad(t, at("connections", i, NULL), "%s and %s never talk to each other",
                                   from->name, to->name);
        }
        if (to->host[0] == 0) {
            return csl__roster_bad(t, at("connections", i, "to"), "%s has no address", to->name);
        }
        for (size_t j = 0; j < i; j++) {
            const struct csl_connection *d = &r->connections[j];
            if ((d->from == c->from && d->to == c->to) || (d->from == c->to && d->to == c->from)) {
                return csl__roster_bad(t, at("connections", i, NULL), "%s and %s are there twice", from->name,
                                       to->name);
            }
        }
    }
    return CSL_OK;
}

/* Every pair that talks needs an end that can be dialled. */
static enum csl_err check_reachable(const struct csl_roster *r, const struct csl__roster_text *t) {
    for (unsigned p = 0; p < r->n_parties; p++) {
        const struct csl_member *a = &r->members[r->parties[p]];
        for (size_t i = 0; a->host[0] == 0 && i < r->n_members; i++) {
            if (i != r->parties[p] && r->members[i].host[0] == 0) {
                return csl__roster_bad(t, at("members", r->parties[p], NULL),
                                       "neither %s nor %s has an address, so they cannot reach each other",
                                       a->name, r->members[i].name);
            }
        }
    }
    return CSL_OK;
}

enum csl_err csl__roster_cross_check(struct csl_roster *r, const struct csl__roster_text *t) {
    TRY(check_unique(r, t));
    TRY(check_accounts(r, t));
    TRY(count_roles(r, t));
    TRY(check_models(r, t));
    TRY(check_connections(r, t));
    TRY(check_reachable(r, t));
    if (r->timeouts.dead_ms < 2 * r->timeouts.heartbeat_ms) {
        return csl__roster_bad(t, (struct csl__roster_at){"timeouts", -1, "dead_ms"},
                               "%u is less than twice heartbeat_ms (%u)", r->timeouts.dead_ms,
                               r->timeouts.heartbeat_ms);
    }
    if (r->audit.colluding >= r->n_parties) {
        return csl__roster_bad(t, (struct csl__roster_at){"audit", -1, "colluding"},
                               "%u parties may collude, of %u: at least one must be honest",
                               r->audit.colluding, r->n_parties);
    }
    return CSL_OK;
}
