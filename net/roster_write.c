/* The roster as YAML, with the comments that help its reader. */
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chain/address.h"
#include "net/roster_internal.h"

/* A PEM text as a literal block. */
static bool write_block(FILE *f, const char *indent, BIO *bio) {
    char *data = NULL;
    long n = BIO_get_mem_data(bio, &data);
    bool at_start = true;
    for (long i = 0; i < n; i++) {
        if (at_start) {
            (void)fputs(indent, f);
        }
        (void)fputc(data[i], f);
        at_start = data[i] == '\n';
    }
    return n > 0;
}

static bool write_key(FILE *f, const char *field, EVP_PKEY *key) {
    BIO *bio = BIO_new(BIO_s_mem());
    bool ok = bio != NULL && key != NULL && PEM_write_bio_PUBKEY(bio, key) == 1 &&
              fprintf(f, "    %s: |\n", field) > 0 && write_block(f, "      ", bio);
    BIO_free(bio);
    return ok;
}

static bool write_ca(FILE *f, X509 *ca) {
    BIO *bio = BIO_new(BIO_s_mem());
    bool ok = bio != NULL && ca != NULL && PEM_write_bio_X509(bio, ca) == 1 && fprintf(f, "ca: |\n") > 0 &&
              write_block(f, "  ", bio);
    BIO_free(bio);
    return ok;
}

static void write_quoted(FILE *f, const char *text) {
    (void)fputc('"', f);
    for (; *text != 0; text++) {
        if (*text == '"' || *text == '\\') {
            (void)fputc('\\', f);
        }
        (void)fputc(*text, f);
    }
    (void)fputs("\"\n", f);
}

static bool write_member(FILE *f, const struct csl_member *m) {
    char roles[CSL_ROLES_TEXT];
    (void)fprintf(f, "  - name: \"%s\"\n    roles: [%s]\n", m->name, csl_roles_text(roles, m->roles));
    if (m->host[0] != 0) {
        bool v6 = strchr(m->host, ':') != NULL;
        (void)fprintf(f, "    address: \"%s%s%s:%u\"\n", v6 ? "[" : "", m->host, v6 ? "]" : "", m->port);
    }
    (void)fprintf(f, "    tls_spki_sha256: \"");
    for (size_t i = 0; i < CSL_SPKI_BYTES; i++) {
        (void)fprintf(f, "%02x", m->tls_spki[i]);
    }
    (void)fprintf(f, "\"\n");
    if (m->has_account) {
        char account[CSL_ADDRESS_ROOM];
        csl_address_text(account, m->account);
        (void)fprintf(f, "    account: \"%s\"\n", account);
    }
    return write_key(f, "wrap_key", m->wrap_key) && write_key(f, "sign_key", m->sign_key);
}

static void write_model(FILE *f, const struct csl_roster *r, const struct csl_model_rule *m) {
    (void)fprintf(f, "  - name: \"%s\"\n    owner: \"%s\"\n    clients: [", m->name,
                  r->members[m->owner].name);
    for (size_t i = 0; i < m->n_clients; i++) {
        (void)fprintf(f, "%s\"%s\"", i == 0 ? "" : ", ", r->members[m->clients[i]].name);
    }
    (void)fprintf(f, "]\n%s", m->label_only ? "    reveal: label\n" : "");
}

static void write_numbers(FILE *f, const char *section, const void *base,
                          const struct csl__roster_number *rows, size_t n) {
    (void)fprintf(f, "%s:\n", section);
    for (size_t i = 0; i < n; i++) {
        (void)fprintf(f, "  %s: %u\n", rows[i].name, csl__number_get(base, &rows[i]));
    }
}

static void write_audit(FILE *f, const struct csl_audit_policy *a) {
    (void)fprintf(f, "audit:\n  sign: %s\n", csl_roster_sign_name((enum csl_roster_sign)a->sign));
    for (size_t i = 0; i < CSL__N_AUDIT; i++) {
        (void)fprintf(f, "  %s: %u\n", csl__audit[i].name, csl__number_get(a, &csl__audit[i]));
    }
}

static void write_chain(FILE *f, const struct csl_chain_rule *c) {
    char contract[CSL_ADDRESS_ROOM];
    csl_address_text(contract, c->contract);
    (void)fprintf(f,
                  "# where members anchor their ledgers, under their accounts\n"
                  "chain:\n  id: %llu\n  contract: \"%s\"\n",
                  (unsigned long long)c->id, contract);
    for (size_t i = 0; i < CSL__N_CHAIN; i++) {
        (void)fprintf(f, "  %s: %u\n", csl__chain[i].name, csl__number_get(c, &csl__chain[i]));
    }
}

static bool write_all(FILE *f, const struct csl_roster *r) {
    (void)fprintf(f,
                  "# Roster of a Consilium consortium. Every member has the same copy; compare the digests:\n"
                  "#   consilium roster digest roster.yaml\n"
                  "version: %d\nconsortium: ",
                  CSL_ROSTER_VERSION);
    write_quoted(f, r->consortium);
    bool ok = write_ca(f, r->ca);
    (void)fprintf(f, "# The order of the parties is their number.\nmembers:\n");
    for (size_t i = 0; ok && i < r->n_members; i++) {
        ok = write_member(f, &r->members[i]);
    }
    if (r->n_models > 0) {
        (void)fprintf(f, "# owner: who may share the model; clients: who may query it\nmodels:\n");
    }
    for (size_t i = 0; i < r->n_models; i++) {
        write_model(f, r, &r->models[i]);
    }
    if (r->n_connections > 0) {
        (void)fprintf(f, "connections:\n");
    }
    for (size_t i = 0; i < r->n_connections; i++) {
        (void)fprintf(f, "  - {from: \"%s\", to: \"%s\"}\n", r->members[r->connections[i].from].name,
                      r->members[r->connections[i].to].name);
    }
    write_numbers(f, "timeouts", &r->timeouts, csl__timeouts, CSL__N_TIMEOUTS);
    write_numbers(f, "limits", &r->limits, csl__limits, CSL__N_LIMITS);
    write_audit(f, &r->audit);
    if (r->chain.id != 0) {
        write_chain(f, &r->chain);
    }
    return ok;
}

enum csl_err csl_roster_write(char **text, const struct csl_roster *r, struct csl_diag *diag) {
    char *buf = NULL;
    size_t n = 0;
    struct csl_roster again;
    FILE *f = open_memstream(&buf, &n);
    if (f == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "out of memory");
    }
    bool ok = write_all(f, r);
    ok = fclose(f) == 0 && ok;
    enum csl_err err = ok ? csl_roster_parse(&again, buf, n, "new roster", diag)
                          : csl_fail(diag, CSL_ENOMEM,
                                     "the roster cannot be written: out of memory, or a member "
                                     "without keys");
    if (err != CSL_OK) {
        free(buf);
        return err;
    }
    csl_roster_free(&again);
    *text = buf;
    return CSL_OK;
}
