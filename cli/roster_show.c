/* consilium roster show */
#include <stdio.h>

#include "chain/address.h"
#include "cli/roster_show.h"

static void address_text(char *buf, size_t n, const struct csl_member *m) {
    bool v6 = false;
    for (const char *c = m->host; *c != 0; c++) {
        v6 = v6 || *c == ':';
    }
    (void)snprintf(buf, n, "%s%s%s:%u", v6 ? "[" : "", m->host, v6 ? "]" : "", m->port);
}

enum { ADDRESS_TEXT = CSL_HOST_MAX + 16 };

static void print_members(const struct csl_roster *r) {
    char roles[CSL_ROLES_TEXT], address[ADDRESS_TEXT];
    (void)printf("members\n");
    for (size_t i = 0; i < r->n_members; i++) {
        const struct csl_member *m = &r->members[i];
        address_text(address, sizeof address, m);
        (void)printf("  %-20s %-20s %s", m->name, csl_roles_text(roles, m->roles),
                     m->host[0] == 0 ? "(dials only)" : address);
        (void)(m->party >= 0 ? printf(", party %d\n", m->party) : printf("\n"));
        if (m->has_account) {
            char account[CSL_ADDRESS_ROOM];
            csl_address_text(account, m->account);
            (void)printf("    account %s\n", account);
        }
        const char *between = "    dials ";
        for (size_t j = 0; j < r->n_members; j++) {
            if (csl_roster_dials(r, m, &r->members[j])) {
                (void)printf("%s%s", between, r->members[j].name);
                between = ", ";
            }
        }
        (void)printf("%s", between[0] == ',' ? "\n" : "");
    }
}

static void print_rest(const struct csl_roster *r) {
    (void)printf("models\n");
    for (size_t i = 0; i < r->n_models; i++) {
        const struct csl_model_rule *m = &r->models[i];
        (void)printf("  %-20s shared by %s, queried by", m->name, r->members[m->owner].name);
        for (size_t k = 0; k < m->n_clients; k++) {
            (void)printf("%s %s", k == 0 ? "" : ",", r->members[m->clients[k]].name);
        }
        (void)printf("%s%s\n", m->n_clients == 0 ? " nobody" : "", m->label_only ? " (label only)" : "");
    }
    const struct csl_timeouts *t = &r->timeouts;
    (void)printf(
        "timeouts (ms)\n  connect %u, handshake %u, heartbeat %u, dead %u, round %u, session idle %u\n",
        t->connect_ms, t->handshake_ms, t->heartbeat_ms, t->dead_ms, t->round_ms, t->session_idle_ms);
    (void)printf("limits\n  lanes %u, max batch %u, places of a client in a shared session %u\n",
                 r->limits.lanes, r->limits.max_batch, r->limits.session_places_per_client);
    (void)printf("audit\n  sign %s, check rows %u, views %u MiB, colluding %u\n",
                 csl_roster_sign_name((enum csl_roster_sign)r->audit.sign), r->audit.check_rows,
                 r->audit.views_mib, r->audit.colluding);
    if (r->chain.id != 0) {
        char contract[CSL_ADDRESS_ROOM];
        csl_address_text(contract, r->chain.contract);
        (void)printf("chain\n  id %llu, contract %s, confirmations %u\n", (unsigned long long)r->chain.id,
                     contract, r->chain.confirmations);
    }
}

static json_t *address_json(const uint8_t address[CSL_ADDRESS_BYTES]) {
    char text[CSL_ADDRESS_ROOM];
    csl_address_text(text, address);
    return json_string(text);
}

static json_t *chain_json(const struct csl_roster *r) {
    return r->chain.id == 0 ? json_null()
                            : json_pack("{s:I, s:o, s:I}", "id", (json_int_t)r->chain.id, "contract",
                                        address_json(r->chain.contract), "confirmations",
                                        (json_int_t)r->chain.confirmations);
}

static json_t *roles_json(unsigned roles) {
    json_t *list = json_array();
    for (unsigned bit = 1; bit <= CSL_ROLE_CLIENT; bit <<= 1) {
        char name[CSL_ROLES_TEXT];
        if ((roles & bit) != 0) {
            (void)json_array_append_new(list, json_string(csl_roles_text(name, bit)));
        }
    }
    return list;
}

static json_t *member_json(const struct csl_roster *r, const struct csl_member *m) {
    char address[ADDRESS_TEXT], tls[CSL_HEX32_TEXT], wrap[CSL_HEX32_TEXT], sign[CSL_HEX32_TEXT];
    json_t *dials = json_array();
    for (size_t j = 0; j < r->n_members; j++) {
        if (csl_roster_dials(r, m, &r->members[j])) {
            (void)json_array_append_new(dials, json_string(r->members[j].name));
        }
    }
    address_text(address, sizeof address, m);
    return json_pack("{s:s, s:o, s:o, s:o, s:s, s:s, s:s, s:o, s:o}", "name", m->name, "roles",
                     roles_json(m->roles), "party", m->party < 0 ? json_null() : json_integer(m->party),
                     "address", m->host[0] == 0 ? json_null() : json_string(address), "tls_spki_sha256",
                     csl_hex32(tls, m->tls_spki), "wrap_spki_sha256", csl_hex32(wrap, m->wrap_spki),
                     "sign_spki_sha256", csl_hex32(sign, m->sign_spki), "account",
                     m->has_account ? address_json(m->account) : json_null(), "dials", dials);
}

static json_t *model_json(const struct csl_roster *r, const struct csl_model_rule *m) {
    json_t *clients = json_array();
    for (size_t k = 0; k < m->n_clients; k++) {
        (void)json_array_append_new(clients, json_string(r->members[m->clients[k]].name));
    }
    return json_pack("{s:s, s:s, s:s, s:o}", "name", m->name, "owner", r->members[m->owner].name, "reveal",
                     m->label_only ? "label" : "logits", "clients", clients);
}

static json_t *roster_json(const struct csl_roster *r, const char *digest) {
    json_t *members = json_array(), *models = json_array();
    for (size_t i = 0; i < r->n_members; i++) {
        (void)json_array_append_new(members, member_json(r, &r->members[i]));
    }
    for (size_t i = 0; i < r->n_models; i++) {
        (void)json_array_append_new(models, model_json(r, &r->models[i]));
    }
    const struct csl_timeouts *t = &r->timeouts;
    json_t *timeouts = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "connect_ms", (json_int_t)t->connect_ms,
                                 "handshake_ms", (json_int_t)t->handshake_ms, "heartbeat_ms",
                                 (json_int_t)t->heartbeat_ms, "dead_ms", (json_int_t)t->dead_ms, "round_ms",
                                 (json_int_t)t->round_ms, "session_idle_ms", (json_int_t)t->session_idle_ms);
    json_t *limits = json_pack("{s:I, s:I, s:I}", "lanes", (json_int_t)r->limits.lanes, "max_batch",
                               (json_int_t)r->limits.max_batch, "session_places_per_client",
                               (json_int_t)r->limits.session_places_per_client);
    json_t *audit =
        json_pack("{s:s, s:I, s:I, s:I}", "sign", csl_roster_sign_name((enum csl_roster_sign)r->audit.sign),
                  "check_rows", (json_int_t)r->audit.check_rows, "views_mib", (json_int_t)r->audit.views_mib,
                  "colluding", (json_int_t)r->audit.colluding);
    return json_pack("{s:i, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "version", CSL_ROSTER_VERSION,
                     "consortium", r->consortium, "digest", digest, "members", members, "models", models,
                     "timeouts", timeouts, "limits", limits, "audit", audit, "chain", chain_json(r));
}

enum csl_err csl_roster_digest_text(char hex[CSL_HEX32_TEXT], const struct csl_roster *r) {
    uint8_t digest[32];
    TRY(csl_roster_digest(digest, r));
    (void)csl_hex32(hex, digest);
    return CSL_OK;
}

enum csl_err csl_roster_show(struct csl_cli *cli, const struct csl_roster *r) {
    char hex[CSL_HEX32_TEXT];
    TRY(csl_roster_digest_text(hex, r));
    if (cli->json) {
        return csl_cli_print_json(cli, roster_json(r, hex));
    }
    (void)printf("consortium    %s\ndigest        %s\n", r->consortium, hex);
    print_members(r);
    print_rest(r);
    return CSL_OK;
}
