/* From YAML to struct csl_roster: libcyaml checks the schema, this file each value. */
#include <cyaml/cyaml.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chain/address.h"
#include "crypto/cert.h"
#include "crypto/files_internal.h"
#include "crypto/pem_internal.h"
#include "crypto/secret.h"
#include "net/roster_internal.h"

enum { MAX_PEM = 16 * 1024, MAX_WORD = 400, MAX_ROLES = 4 };

/* ---- What the file holds, as libcyaml reads it ---- */

struct raw_member {
    char *name, *role, *address, *tls_spki, *wrap_key, *sign_key, *account;
    char **roles;
    uint32_t roles_count;
};
struct raw_model {
    char *name, *owner, *reveal;
    char **clients;
    uint32_t clients_count;
};
struct raw_connection {
    char *from, *to;
};
struct raw_numbers { /* as words: libcyaml reads 4.5 and '' as numbers */
    char *value[CSL__N_TIMEOUTS];
};
struct raw_audit {
    char *sign;
    struct raw_numbers numbers;
};
struct raw_chain {
    char *id, *contract;
    struct raw_numbers numbers;
};
struct raw_roster {
    char *version, *consortium, *ca;
    struct raw_member *members;
    uint32_t members_count;
    struct raw_model *models;
    uint32_t models_count;
    struct raw_connection *connections;
    uint32_t connections_count;
    struct raw_numbers *timeouts, *limits;
    struct raw_audit *audit;
    struct raw_chain *chain;
};

#define NEED CYAML_FLAG_POINTER
#define MAY (CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL)
#define WORD(key, flags, S, m) CYAML_FIELD_STRING_PTR(key, flags, S, m, 1, MAX_WORD)
#define PEM(key, S, m) CYAML_FIELD_STRING_PTR(key, NEED, S, m, 1, MAX_PEM)

static const cyaml_schema_value_t word_schema = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, MAX_WORD)};

static const cyaml_schema_field_t member_fields[] = {
    WORD("name", NEED, struct raw_member, name),
    WORD("role", MAY, struct raw_member, role),
    CYAML_FIELD_SEQUENCE("roles", MAY, struct raw_member, roles, &word_schema, 1, MAX_ROLES),
    WORD("address", MAY, struct raw_member, address),
    WORD("tls_spki_sha256", NEED, struct raw_member, tls_spki),
    PEM("wrap_key", struct raw_member, wrap_key),
    PEM("sign_key", struct raw_member, sign_key),
    WORD("account", MAY, struct raw_member, account),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t model_fields[] = {
    WORD("name", NEED, struct raw_model, name),
    WORD("owner", NEED, struct raw_model, owner),
    WORD("reveal", MAY, struct raw_model, reveal),
    CYAML_FIELD_SEQUENCE("clients", NEED, struct raw_model, clients, &word_schema, 0, CSL_ROSTER_MEMBERS_MAX),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t connection_fields[] = {
    WORD("from", NEED, struct raw_connection, from),
    WORD("to", NEED, struct raw_connection, to),
    CYAML_FIELD_END,
};
#define NUMBER(key, i) WORD(key, MAY, struct raw_numbers, value[i])
static const cyaml_schema_field_t timeout_fields[] = {
    NUMBER("connect_ms", 0), NUMBER("handshake_ms", 1),    NUMBER("heartbeat_ms", 2), NUMBER("dead_ms", 3),
    NUMBER("round_ms", 4),   NUMBER("session_idle_ms", 5), CYAML_FIELD_END,
};
static const cyaml_schema_field_t limit_fields[] = {
    NUMBER("lanes", 0),
    NUMBER("max_batch", 1),
    NUMBER("session_places_per_client", 2),
    CYAML_FIELD_END,
};
#define AUDIT(key, i) WORD(key, MAY, struct raw_audit, numbers.value[i])
static const cyaml_schema_field_t audit_fields[] = {
    WORD("sign", MAY, struct raw_audit, sign),
    AUDIT("check_rows", 0),
    AUDIT("views_mib", 1),
    AUDIT("colluding", 2),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t chain_fields[] = {
    WORD("id", NEED, struct raw_chain, id),
    WORD("contract", NEED, struct raw_chain, contract),
    WORD("confirmations", MAY, struct raw_chain, numbers.value[0]),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t member_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_member, member_fields)};
static const cyaml_schema_value_t model_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_model, model_fields)};
static const cyaml_schema_value_t connection_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_connection, connection_fields)};
static const cyaml_schema_field_t roster_fields[] = {
    WORD("version", NEED, struct raw_roster, version),
    WORD("consortium", NEED, struct raw_roster, consortium),
    PEM("ca", struct raw_roster, ca),
    CYAML_FIELD_SEQUENCE("members", NEED, struct raw_roster, members, &member_schema, 1,
                         CSL_ROSTER_MEMBERS_MAX),
    CYAML_FIELD_SEQUENCE("models", MAY, struct raw_roster, models, &model_schema, 0, CSL_ROSTER_MODELS_MAX),
    CYAML_FIELD_SEQUENCE("connections", MAY, struct raw_roster, connections, &connection_schema, 0,
                         CSL_ROSTER_CONNECTIONS_MAX),
    CYAML_FIELD_MAPPING_PTR("timeouts", MAY, struct raw_roster, timeouts, timeout_fields),
    CYAML_FIELD_MAPPING_PTR("limits", MAY, struct raw_roster, limits, limit_fields),
    CYAML_FIELD_MAPPING_PTR("audit", MAY, struct raw_roster, audit, audit_fields),
    CYAML_FIELD_MAPPING_PTR("chain", MAY, struct raw_roster, chain, chain_fields),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t roster_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw_roster, roster_fields)};

bool csl__roster_known(const char *section, const char *field) {
    static const struct {
        const char *section;
        const cyaml_schema_field_t *fields;
    } sections[] = {{"", roster_fields},          {"members", member_fields},
                    {"models", model_fields},     {"connections", connection_fields},
                    {"timeouts", timeout_fields}, {"limits", limit_fields},
                    {"audit", audit_fields},      {"chain", chain_fields}};
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
        if (strcmp(sections[i].section, section) != 0) {
            continue;
        }
        for (const cyaml_schema_field_t *f = sections[i].fields; f->key != NULL; f++) {
            if (strcmp(f->key, field) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* libcyaml's sentence and backtrace, on one line. */
struct log {
    char text[400];
    size_t n;
};

static void take_log(cyaml_log_t level, void *ctx, const char *fmt, va_list ap) {
    struct log *log = ctx;
    char line[200];
    (void)level;
    (void)vsnprintf(line, sizeof line, fmt, ap);
    line[strcspn(line, "\n")] = 0;
    const char *s = strncmp(line, "Load: ", 6) == 0 ? line + 6 : line + strspn(line, " ");
    if (strcmp(s, "Backtrace:") == 0) {
        return;
    }
    int n = snprintf(log->text + log->n, sizeof log->text - log->n, "%s%s", log->n == 0 ? "" : ", ", s);
    log->n += n < 0 ? 0 : (size_t)n;
    if (log->n >= sizeof log->text) {
        log->n = sizeof log->text - 1;
    }
}

static cyaml_config_t config_with(struct log *log) {
    return (cyaml_config_t){.log_fn = take_log,
                            .log_ctx = log,
                            .mem_fn = cyaml_mem,
                            .log_level = CYAML_LOG_ERROR,
                            .flags = CYAML_CFG_NO_ALIAS};
}

static enum csl_err load_raw(struct raw_roster **raw, const struct csl__roster_text *t) {
    struct log log = {{0}, 0};
    cyaml_config_t config = config_with(&log);
    void *data = NULL;
    cyaml_err_t e = cyaml_load_data(t->text, t->n, &config, &roster_schema, &data, NULL);
    if (e == CYAML_OK && data != NULL) {
        *raw = data;
        return CSL_OK;
    }
    return csl_fail(t->diag, e == CYAML_ERR_OOM ? CSL_ENOMEM : CSL_ECONFIG, "%s: %s%s%s", t->what,
                    e == CYAML_OK ? "empty" : cyaml_strerror(e), log.n == 0 ? "" : ": ", log.text);
}

/* ---- Values ---- */

static enum csl_err take_roles(unsigned *roles, const struct raw_member *raw,
                               const struct csl__roster_text *t, long i) {
    struct csl__roster_at at = {"members", i, raw->role != NULL ? "role" : "roles"};
    if ((raw->role != NULL) == (raw->roles != NULL)) {
        return csl__roster_bad(t, at, "a member has either `role` or `roles`");
    }
    for (uint32_t k = 0; k < (raw->role != NULL ? 1 : raw->roles_count); k++) {
        const char *text = raw->role != NULL ? raw->role : raw->roles[k];
        unsigned role = csl_role_parse(text);
        if (role == 0) {
            return csl__roster_bad(t, at, "\"%.20s\" is not party, dealer, owner or client", text);
        }
        if ((*roles & role) != 0) {
            return csl__roster_bad(t, at, "%s is there twice", text);
        }
        *roles |= role;
    }
    if ((*roles & CSL_ROLE_DEALER) != 0 && *roles != CSL_ROLE_DEALER) {
        return csl__roster_bad(t, at,
                               "the dealer must not have another role: it would see what it deals for");
    }
    return CSL_OK;
}

static enum csl_err take_key(EVP_PKEY **key, uint8_t spki[CSL_SPKI_BYTES], const char *pem,
                             bool (*is)(EVP_PKEY *), const char *kind, const struct csl__roster_text *t,
                             struct csl__roster_at at) {
    struct csl_diag why = {""};
    enum csl_err err = csl_key_parse_public(key, pem, strlen(pem), &why);
    ERR_clear_error();
    if (err != CSL_OK) {
        return err == CSL_ENOMEM ? err : csl__roster_bad(t, at, "%s", why.text);
    }
    if (!is(*key)) {
        ERR_clear_error();
        return csl__roster_bad(t, at, "not %s", kind);
    }
    return csl_key_spki(spki, *key);
}

static enum csl_err take_address(uint8_t address[CSL_ADDRESS_BYTES], const char *text,
                                 const struct csl__roster_text *t, struct csl__roster_at at) {
    struct csl_diag why = {""};
    enum csl_err err = csl_address_parse(address, text, &why);
    return err == CSL_OK ? CSL_OK : csl__roster_bad(t, at, "%s", why.text);
}

static enum csl_err take_member(struct csl_member *m, const struct raw_member *raw,
                                const struct csl__roster_text *t, long i) {
    m->party = -1;
    if (!csl_name_valid(raw->name)) {
        return csl__roster_bad(t, (struct csl__roster_at){"members", i, "name"},
                               "\"%.40s\" is not 1 to %d of a-z, 0-9 and '-' (not first or last)", raw->name,
                               CSL_NAME_MAX);
    }
    memcpy(m->name, raw->name, strlen(raw->name) + 1);
    TRY(take_roles(&m->roles, raw, t, i));
    if (raw->address != NULL && !csl_host_port_parse(m->host, &m->port, raw->address)) {
        return csl__roster_bad(t, (struct csl__roster_at){"members", i, "address"},
                               "\"%.60s\" is not host:port or [IPv6]:port with a port from 1 to 65535",
                               raw->address);
    }
    if (!csl__hex_decode(m->tls_spki, CSL_SPKI_BYTES, raw->tls_spki, strlen(raw->tls_spki))) {
        return csl__roster_bad(t, (struct csl__roster_at){"members", i, "tls_spki_sha256"},
                               "not 64 lower-case hex digits");
    }
    TRY(take_key(&m->wrap_key, m->wrap_spki, raw->wrap_key, csl_key_is_wrap, "an RSA key of 3072 bits", t,
                 (struct csl__roster_at){"members", i, "wrap_key"}));
    TRY(take_key(&m->sign_key, m->sign_spki, raw->sign_key, csl_key_is_sign, "an Ed25519 key", t,
                 (struct csl__roster_at){"members", i, "sign_key"}));
    m->has_account = raw->account != NULL;
    return m->has_account
               ? take_address(m->account, raw->account, t, (struct csl__roster_at){"members", i, "account"})
               : CSL_OK;
}

/* Plain decimal digits; anything else is out of every range. */
static bool number_in(uint32_t *out, const char *text, uint32_t min, uint32_t max) {
    size_t n = strlen(text);
    if (n < 1 || n > 9 || strspn(text, "0123456789") != n) {
        return false;
    }
    unsigned long v = strtoul(text, NULL, 10);
    *out = (uint32_t)v;
    return v >= min && v <= max;
}

/* The member of that name, as an index. */
static enum csl_err take_reference(size_t *out, const struct csl_roster *r, const char *name,
                                   const struct csl__roster_text *t, struct csl__roster_at at) {
    const struct csl_member *m = csl_roster_member(r, name);
    if (m == NULL) {
        return csl__roster_bad(t, at, "no member is called \"%.40s\"", name);
    }
    *out = (size_t)(m - r->members);
    return CSL_OK;
}

static bool model_name_valid(const char *name) {
    size_t n = strlen(name);
    return n >= 1 && n <= CSL_MODEL_NAME_MAX && name[0] != '.' && name[0] != '-' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n;
}

static enum csl_err take_model(struct csl_model_rule *m, const struct csl_roster *r,
                               const struct raw_model *raw, const struct csl__roster_text *t, long i) {
    if (!model_name_valid(raw->name)) {
        return csl__roster_bad(t, (struct csl__roster_at){"models", i, "name"},
                               "\"%.70s\" is not 1 to %d of A-Z, a-z, 0-9, '.', '_' and '-'", raw->name,
                               CSL_MODEL_NAME_MAX);
    }
    memcpy(m->name, raw->name, strlen(raw->name) + 1);
    TRY(take_reference(&m->owner, r, raw->owner, t, (struct csl__roster_at){"models", i, "owner"}));
    m->label_only = raw->reveal != NULL && strcmp(raw->reveal, "label") == 0;
    if (raw->reveal != NULL && !m->label_only && strcmp(raw->reveal, "logits") != 0) {
        return csl__roster_bad(t, (struct csl__roster_at){"models", i, "reveal"},
                               "\"%.40s\" is not label or logits", raw->reveal);
    }
    m->clients = calloc(raw->clients_count + 1U, sizeof *m->clients);
    if (m->clients == NULL) {
        return CSL_ENOMEM;
    }
    for (uint32_t k = 0; k < raw->clients_count; k++) {
        TRY(take_reference(&m->clients[m->n_clients++], r, raw->clients[k], t,
                           (struct csl__roster_at){"models", i, "clients"}));
    }
    return CSL_OK;
}

static enum csl_err take_numbers(void *base, const struct raw_numbers *raw,
                                 const struct csl__roster_number *rows, size_t n, const char *section,
                                 const struct csl__roster_text *t) {
    for (size_t k = 0; raw != NULL && k < n; k++) {
        if (raw->value[k] == NULL) {
            continue;
        }
        uint32_t value = 0;
        if (!number_in(&value, raw->value[k], rows[k].min, rows[k].max)) {
            return csl__roster_bad(t, (struct csl__roster_at){section, -1, rows[k].name},
                                   "%.20s is not a number in %u..%u", raw->value[k], rows[k].min,
                                   rows[k].max);
        }
        csl__number_set(base, &rows[k], value);
    }
    return CSL_OK;
}

static enum csl_err take_audit(struct csl_audit_policy *a, const struct raw_audit *raw,
                               const struct csl__roster_text *t) {
    if (raw == NULL) {
        return CSL_OK;
    }
    if (raw->sign != NULL && !csl_roster_sign_parse(&a->sign, raw->sign)) {
        return csl__roster_bad(t, (struct csl__roster_at){"audit", -1, "sign"},
                               "\"%.40s\" is not before-output, after-output or off", raw->sign);
    }
    return take_numbers(a, &raw->numbers, csl__audit, CSL__N_AUDIT, "audit", t);
}

static enum csl_err take_chain(struct csl_chain_rule *c, const struct raw_chain *raw,
                               const struct csl__roster_text *t) {
    if (raw == NULL) {
        return CSL_OK;
    }
    size_t n = strlen(raw->id);
    c->id = n >= 1 && n <= 18 && strspn(raw->id, "0123456789") == n ? strtoull(raw->id, NULL, 10) : 0;
    if (c->id == 0) {
        return csl__roster_bad(t, (struct csl__roster_at){"chain", -1, "id"},
                               "\"%.40s\" is not the id of a chain: 1 to 18 digits", raw->id);
    }
    TRY(take_address(c->contract, raw->contract, t, (struct csl__roster_at){"chain", -1, "contract"}));
    c->confirmations = csl__chain[0].standard;
    return take_numbers(c, &raw->numbers, csl__chain, CSL__N_CHAIN, "chain", t);
}

static enum csl_err take_head(struct csl_roster *r, const struct raw_roster *raw,
                              const struct csl__roster_text *t) {
    struct csl_diag why = {""};
    uint32_t version = 0;
    if (!number_in(&version, raw->version, CSL_ROSTER_VERSION, CSL_ROSTER_VERSION)) {
        return csl__roster_bad(t, (struct csl__roster_at){"version", -1, NULL},
                               "this program reads rosters of version %d, not %.20s", CSL_ROSTER_VERSION,
                               raw->version);
    }
    size_t n = strlen(raw->consortium);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)raw->consortium[i];
        if (n > CSL_CONSORTIUM_MAX || c < ' ' || c == 0x7f) {
            return csl__roster_bad(t, (struct csl__roster_at){"consortium", -1, NULL},
                                   "more than %d bytes, or control characters", CSL_CONSORTIUM_MAX);
        }
    }
    memcpy(r->consortium, raw->consortium, n + 1);
    if (csl_cert_parse(&r->ca, raw->ca, strlen(raw->ca), "ca", &why) != CSL_OK) {
        return csl__roster_bad(t, (struct csl__roster_at){"ca", -1, NULL}, "%s", why.text);
    }
    if (X509_check_ca(r->ca) != 1) {
        return csl__roster_bad(t, (struct csl__roster_at){"ca", -1, NULL}, "not the certificate of a CA");
    }
    return CSL_OK;
}

static enum csl_err take_lists(struct csl_roster *r, const struct raw_roster *raw,
                               const struct csl__roster_text *t) {
    r->members = calloc(raw->members_count + 1U, sizeof *r->members);
    r->models = calloc(raw->models_count + 1U, sizeof *r->models);
    r->connections = calloc(raw->connections_count + 1U, sizeof *r->connections);
    if (r->members == NULL || r->models == NULL || r->connections == NULL) {
        return csl_fail(t->diag, CSL_ENOMEM, "%s: out of memory", t->what);
    }
    for (uint32_t i = 0; i < raw->members_count; i++) {
        TRY(take_member(&r->members[r->n_members++], &raw->members[i], t, i));
    }
    for (uint32_t i = 0; i < raw->models_count; i++) {
        TRY(take_model(&r->models[r->n_models++], r, &raw->models[i], t, i));
    }
    for (uint32_t i = 0; i < raw->connections_count; i++) {
        struct csl_connection *c = &r->connections[r->n_connections++];
        TRY(take_reference(&c->from, r, raw->connections[i].from, t,
                           (struct csl__roster_at){"connections", i, "from"}));
        TRY(take_reference(&c->to, r, raw->connections[i].to, t,
                           (struct csl__roster_at){"connections", i, "to"}));
    }
    return CSL_OK;
}

static enum csl_err convert(struct csl_roster *r, const struct raw_roster *raw,
                            const struct csl__roster_text *t) {
    csl_roster_defaults(r);
    TRY(take_head(r, raw, t));
    TRY(take_lists(r, raw, t));
    TRY(take_numbers(&r->timeouts, raw->timeouts, csl__timeouts, CSL__N_TIMEOUTS, "timeouts", t));
    TRY(take_numbers(&r->limits, raw->limits, csl__limits, CSL__N_LIMITS, "limits", t));
    TRY(take_audit(&r->audit, raw->audit, t));
    TRY(take_chain(&r->chain, raw->chain, t));
    return csl__roster_cross_check(r, t);
}

/* ---- Public ---- */

enum csl_err csl_roster_parse(struct csl_roster *r, const void *text, size_t n, const char *what,
                              struct csl_diag *diag) {
    memset(r, 0, sizeof *r);
    if (n > CSL_ROSTER_BYTES_MAX) {
        return csl_fail(diag, CSL_ECONFIG, "%s: larger than the %d bytes that a roster may have", what,
                        CSL_ROSTER_BYTES_MAX);
    }
    struct csl__roster_text t = {.what = what, .text = text, .n = n, .diag = diag};
    struct raw_roster *raw = NULL;
    TRY(csl__roster_scan(&t));
    TRY(load_raw(&raw, &t));
    enum csl_err err = convert(r, raw, &t);
    ERR_clear_error();
    struct log log = {{0}, 0};
    cyaml_config_t config = config_with(&log);
    (void)cyaml_free(&config, &roster_schema, raw, 0);
    if (err != CSL_OK) {
        csl_roster_free(r);
    }
    return err;
}

enum csl_err csl_roster_load(struct csl_roster *r, const char *path, struct csl_diag *diag) {
    char *text = NULL;
    size_t n = 0;
    memset(r, 0, sizeof *r);
    enum csl_err err = csl__read_file(&text, &n, path, CSL_ROSTER_BYTES_MAX, diag);
    if (err != CSL_OK) {
        return err == CSL_EDATA ? CSL_ECONFIG : err;
    }
    err = csl_roster_parse(r, text, n, path, diag);
    csl_secret_free(text);
    return err;
}
