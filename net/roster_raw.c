/* What may stand in a roster's file: the schema by which libcyaml reads it into words. */
#include <cyaml/cyaml.h>
#include <stdio.h>
#include <string.h>

#include "net/roster_raw_internal.h"

enum { MAX_PEM = 16 * 1024, MAX_WORD = 400, MAX_ROLES = 4 };

#define NEED CYAML_FLAG_POINTER
#define MAY (CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL)
#define WORD(key, flags, S, m) CYAML_FIELD_STRING_PTR(key, flags, S, m, 1, MAX_WORD)
#define PEM(key, S, m) CYAML_FIELD_STRING_PTR(key, NEED, S, m, 1, MAX_PEM)

static const cyaml_schema_value_t word_schema = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, MAX_WORD)};

static const cyaml_schema_field_t member_fields[] = {
    WORD("name", NEED, struct csl__raw_member, name),
    WORD("role", MAY, struct csl__raw_member, role),
    CYAML_FIELD_SEQUENCE("roles", MAY, struct csl__raw_member, roles, &word_schema, 1, MAX_ROLES),
    WORD("address", MAY, struct csl__raw_member, address),
    WORD("tls_spki_sha256", NEED, struct csl__raw_member, tls_spki),
    PEM("wrap_key", struct csl__raw_member, wrap_key),
    PEM("sign_key", struct csl__raw_member, sign_key),
    WORD("account", MAY, struct csl__raw_member, account),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t model_fields[] = {
    WORD("name", NEED, struct csl__raw_model, name),
    WORD("owner", NEED, struct csl__raw_model, owner),
    WORD("reveal", MAY, struct csl__raw_model, reveal),
    CYAML_FIELD_SEQUENCE("clients", NEED, struct csl__raw_model, clients, &word_schema, 0,
                         CSL_ROSTER_MEMBERS_MAX),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t connection_fields[] = {
    WORD("from", NEED, struct csl__raw_connection, from),
    WORD("to", NEED, struct csl__raw_connection, to),
    CYAML_FIELD_END,
};
#define NUMBER(key, i) WORD(key, MAY, struct csl__raw_numbers, value[i])
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
#define AUDIT(key, i) WORD(key, MAY, struct csl__raw_audit, numbers.value[i])
static const cyaml_schema_field_t audit_fields[] = {
    WORD("sign", MAY, struct csl__raw_audit, sign),
    AUDIT("check_rows", 0),
    AUDIT("views_mib", 1),
    AUDIT("colluding", 2),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t chain_fields[] = {
    WORD("id", NEED, struct csl__raw_chain, id),
    WORD("contract", NEED, struct csl__raw_chain, contract),
    WORD("confirmations", MAY, struct csl__raw_chain, numbers.value[0]),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t member_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct csl__raw_member, member_fields)};
static const cyaml_schema_value_t model_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct csl__raw_model, model_fields)};
static const cyaml_schema_value_t connection_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct csl__raw_connection, connection_fields)};
static const cyaml_schema_field_t roster_fields[] = {
    WORD("version", NEED, struct csl__raw_roster, version),
    WORD("consortium", NEED, struct csl__raw_roster, consortium),
    PEM("ca", struct csl__raw_roster, ca),
    CYAML_FIELD_SEQUENCE("members", NEED, struct csl__raw_roster, members, &member_schema, 1,
                         CSL_ROSTER_MEMBERS_MAX),
    CYAML_FIELD_SEQUENCE("models", MAY, struct csl__raw_roster, models, &model_schema, 0,
                         CSL_ROSTER_MODELS_MAX),
    CYAML_FIELD_SEQUENCE("connections", MAY, struct csl__raw_roster, connections, &connection_schema, 0,
                         CSL_ROSTER_CONNECTIONS_MAX),
    CYAML_FIELD_MAPPING_PTR("timeouts", MAY, struct csl__raw_roster, timeouts, timeout_fields),
    CYAML_FIELD_MAPPING_PTR("limits", MAY, struct csl__raw_roster, limits, limit_fields),
    CYAML_FIELD_MAPPING_PTR("audit", MAY, struct csl__raw_roster, audit, audit_fields),
    CYAML_FIELD_MAPPING_PTR("chain", MAY, struct csl__raw_roster, chain, chain_fields),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t roster_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct csl__raw_roster, roster_fields)};

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

enum csl_err csl__roster_raw_load(struct csl__raw_roster **raw, const struct csl__roster_text *t) {
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

void csl__roster_raw_free(struct csl__raw_roster *raw) {
    struct log log = {{0}, 0};
    cyaml_config_t config = config_with(&log);
    (void)cyaml_free(&config, &roster_schema, raw, 0);
}
