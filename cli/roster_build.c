/* consilium roster build: a roster from the requests of the sites. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/roster_show.h"
#include "crypto/cert.h"
#include "crypto/files_internal.h"
#include "crypto/secret.h"
#include "net/roster.h"

enum { MAX_CERT_FILE = 64 * 1024 };

struct build_opts {
    const char *ca, *name, *out;
    struct csl_list members, models, connections, label_only;
    const char *sign;
    uint64_t lanes, max_batch, check_rows, views_mib, colluding;
};

/* A copy of the text up to a separator; *rest stands behind it, or is NULL at the end. */
static char *cut(const char *text, char separator, const char **rest) {
    const char *at = strchr(text, separator);
    *rest = at == NULL ? NULL : at + 1;
    return at == NULL ? strdup(text) : strndup(text, (size_t)(at - text));
}

static enum csl_err take_roles(unsigned *roles, const char *text, const char *spec, struct csl_diag *diag) {
    for (const char *rest = text; rest != NULL;) {
        char *word = cut(rest, '+', &rest);
        if (word == NULL) {
            return CSL_ENOMEM;
        }
        unsigned role = csl_role_parse(word);
        free(word);
        if (role == 0 || (*roles & role) != 0) {
            return csl_fail(diag, CSL_EUSAGE,
                            "--member %.100s: roles are party, dealer, owner, client, joined with '+'", spec);
        }
        *roles |= role;
    }
    return CSL_OK;
}

static enum csl_err member_of_request(struct csl_member *m, const char *path, struct csl_diag *diag) {
    struct csl_enrolment e;
    char *text = NULL;
    size_t n = 0;
    TRY(csl__read_file(&text, &n, path, CSL_ENROLMENT_MAX, diag));
    enum csl_err err = csl_enrolment_parse(&e, text, n, diag);
    csl_secret_free(text);
    if (err != CSL_OK) {
        return csl_fail_context(diag, err, "%s", path);
    }
    memcpy(m->name, e.name, sizeof m->name);
    memcpy(m->tls_spki, e.tls_spki, CSL_SPKI_BYTES);
    m->wrap_key = e.wrap_key;
    m->sign_key = e.sign_key;
    e.wrap_key = NULL;
    e.sign_key = NULL;
    csl_enrolment_free(&e);
    return CSL_OK;
}

/* REQUEST:role[+role][:host:port] */
static enum csl_err take_member(struct csl_member *m, const char *spec, struct csl_diag *diag) {
    const char *rest = NULL, *address = NULL;
    char *path = cut(spec, ':', &rest);
    char *roles = rest == NULL ? NULL : cut(rest, ':', &address);
    enum csl_err err = CSL_OK;
    if (path == NULL || (rest != NULL && roles == NULL)) {
        err = CSL_ENOMEM;
        goto out;
    }
    if (rest == NULL) {
        err = csl_fail(diag, CSL_EUSAGE, "--member %.100s: not REQUEST:ROLE[:HOST:PORT]", spec);
        goto out;
    }
    TRY_OUT(take_roles(&m->roles, roles, spec, diag));
    if (address != NULL && !csl_host_port_parse(m->host, &m->port, address)) {
        err =
            csl_fail(diag, CSL_EUSAGE, "--member %.100s: the address is not host:port or [IPv6]:port", spec);
        goto out;
    }
    TRY_OUT(member_of_request(m, path, diag));
out:
    free(path);
    free(roles);
    return err;
}

static enum csl_err find_member(size_t *out, const struct csl_roster *r, const char *name, const char *spec,
                                struct csl_diag *diag) {
    const struct csl_member *m = csl_roster_member(r, name);
    if (m == NULL) {
        return csl_fail(diag, CSL_EUSAGE, "%.100s: no --member is called \"%.40s\"", spec, name);
    }
    *out = (size_t)(m - r->members);
    return CSL_OK;
}

static enum csl_err take_clients(struct csl_model_rule *m, const struct csl_roster *r, const char *list,
                                 const char *spec, struct csl_diag *diag) {
    m->clients = calloc(strlen(list) + 1, sizeof *m->clients); /* more than there can be names */
    if (m->clients == NULL) {
        return CSL_ENOMEM;
    }
    for (const char *rest = list; rest != NULL;) {
        char *word = cut(rest, ',', &rest);
        if (word == NULL) {
            return CSL_ENOMEM;
        }
        enum csl_err err = find_member(&m->clients[m->n_clients], r, word, spec, diag);
        free(word);
        TRY(err);
        m->n_clients++;
    }
    return CSL_OK;
}

static enum csl_err take_label_only(struct csl_roster *r, const char *model, struct csl_diag *diag) {
    for (size_t i = 0; i < r->n_models; i++) {
        if (strcmp(r->models[i].name, model) == 0) {
            r->models[i].label_only = true;
            return CSL_OK;
        }
    }
    return csl_fail(diag, CSL_EUSAGE, "--label-only %.64s: no --model of that name", model);
}

/* NAME:OWNER:CLIENT[,CLIENT]... */
static enum csl_err take_model(struct csl_model_rule *m, const struct csl_roster *r, const char *spec,
                               struct csl_diag *diag) {
    const char *rest = NULL, *clients = NULL;
    char *name = cut(spec, ':', &rest);
    char *owner = rest == NULL ? NULL : cut(rest, ':', &clients);
    enum csl_err err = CSL_OK;
    if (name == NULL || owner == NULL || clients == NULL || strlen(name) > CSL_MODEL_NAME_MAX) {
        err = csl_fail(diag, CSL_EUSAGE, "--model %.100s: not NAME:OWNER:CLIENT[,CLIENT]...", spec);
        goto out;
    }
    memcpy(m->name, name, strlen(name) + 1);
    TRY_OUT(find_member(&m->owner, r, owner, spec, diag));
    TRY_OUT(take_clients(m, r, clients, spec, diag));
out:
    free(name);
    free(owner);
    return err;
}

static enum csl_err take_connection(struct csl_connection *c, const struct csl_roster *r, const char *spec,
                                    struct csl_diag *diag) {
    const char *to = NULL;
    char *from = cut(spec, ':', &to);
    enum csl_err err = CSL_OK;
    if (from == NULL || to == NULL) {
        err = csl_fail(diag, CSL_EUSAGE, "--connect %.100s: not FROM:TO", spec);
        goto out;
    }
    TRY_OUT(find_member(&c->from, r, from, spec, diag));
    TRY_OUT(find_member(&c->to, r, to, spec, diag));
out:
    free(from);
    return err;
}

static enum csl_err load_ca(X509 **ca, const char *path, struct csl_diag *diag) {
    char *text = NULL;
    size_t n = 0;
    TRY(csl__read_file(&text, &n, path, MAX_CERT_FILE, diag));
    enum csl_err err = csl_cert_parse(ca, text, n, path, diag);
    csl_secret_free(text);
    return err;
}

static enum csl_err fill(struct csl_roster *r, const struct build_opts *o, struct csl_diag *diag) {
    csl_roster_defaults(r);
    r->limits.lanes = (uint32_t)o->lanes;
    r->limits.max_batch = (uint32_t)o->max_batch;
    r->audit.check_rows = (uint32_t)o->check_rows;
    r->audit.views_mib = (uint32_t)o->views_mib;
    r->audit.colluding = (uint32_t)o->colluding;
    if (!csl_roster_sign_parse(&r->audit.sign, o->sign)) {
        return csl_fail(diag, CSL_EUSAGE, "--audit-sign is before-output, after-output or off, not \"%.40s\"",
                        o->sign);
    }
    if (strlen(o->name) > CSL_CONSORTIUM_MAX) {
        return csl_fail(diag, CSL_EUSAGE, "--name: more than %d bytes", CSL_CONSORTIUM_MAX);
    }
    memcpy(r->consortium, o->name, strlen(o->name) + 1);
    TRY(load_ca(&r->ca, o->ca, diag));
    r->members = calloc(o->members.n + 1, sizeof *r->members);
    r->models = calloc(o->models.n + 1, sizeof *r->models);
    r->connections = calloc(o->connections.n + 1, sizeof *r->connections);
    if (r->members == NULL || r->models == NULL || r->connections == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < o->members.n; i++) {
        TRY(take_member(&r->members[r->n_members++], o->members.items[i], diag));
    }
    for (size_t i = 0; i < o->models.n; i++) {
        TRY(take_model(&r->models[r->n_models++], r, o->models.items[i], diag));
    }
    for (size_t i = 0; i < o->label_only.n; i++) {
        TRY(take_label_only(r, o->label_only.items[i], diag));
    }
    for (size_t i = 0; i < o->connections.n; i++) {
        TRY(take_connection(&r->connections[r->n_connections++], r, o->connections.items[i], diag));
    }
    return CSL_OK;
}

static enum csl_err build(struct csl_cli *cli, const struct build_opts *o) {
    struct csl_roster r = {.n_members = 0};
    char *text = NULL;
    char hex[CSL_HEX32_TEXT];
    enum csl_err err = CSL_OK;
    TRY_OUT(fill(&r, o, &cli->diag));
    TRY_OUT(csl_roster_write(&text, &r, &cli->diag));
    csl_roster_free(&r);
    TRY_OUT(csl_roster_parse(&r, text, strlen(text), o->out, &cli->diag));
    TRY_OUT(csl_roster_digest_text(hex, &r));
    TRY_OUT(csl__replace_file(o->out, 0644, text, strlen(text), &cli->diag));
    (void)printf(
        "roster        %s (%zu members, %u parties)\ndigest        %s\n"
        "Next: send it to every site with its digest. There: consilium roster install %s --site DIR\n",
        o->out, r.n_members, r.n_parties, hex, o->out);
out:
    csl_roster_free(&r);
    free(text);
    return err;
}

int cmd_roster_build(struct csl_cli *cli, int argc, char **argv) {
    static const struct csl_opt opts[] = {
        CSL_STRING(struct build_opts, ca, "ca", "FILE", true, "the CA's certificate"),
        CSL_LIST(struct build_opts, members, "member", "REQ:ROLE[:ADDR]", true,
                 "request, roles joined with '+', host:port"),
        CSL_LIST(struct build_opts, models, "model", "NAME:OWNER:CLIENT,...", false,
                 "who shares it, who may query it"),
        CSL_LIST(struct build_opts, label_only, "label-only", "MODEL", false,
                 "clients of this model learn the class only"),
        CSL_LIST(struct build_opts, connections, "connect", "FROM:TO", false,
                 "who dials whom, where not as usual"),
        CSL_STRING(struct build_opts, name, "name", "NAME", false, "name of the consortium"),
        CSL_UINT(struct build_opts, lanes, "lanes", "N", 1, 256, "sessions side by side (4)"),
        CSL_UINT(struct build_opts, max_batch, "max-batch", "N", 1, 65536, "inferences in one batch (256)"),
        CSL_STRING(struct build_opts, sign, "audit-sign", "WHEN", false,
                   "parties sign what they sent: before-output (default), after-output, off"),
        CSL_UINT(struct build_opts, check_rows, "check-rows", "N", 0, 64,
                 "correlations of a batch that are opened to check the dealer (0)"),
        CSL_UINT(struct build_opts, views_mib, "views-mib", "N", 0, 1048576,
                 "room at a party for what a judge may be shown (256); 0: none"),
        CSL_UINT(struct build_opts, colluding, "colluding", "N", 0, 15,
                 "parties that may be in league with a judge (1)"),
        CSL_STRING(struct build_opts, out, "out", "FILE", true, "the roster"),
        CSL_OPTS_END};
    static const struct csl_spec spec = {
        .name = "roster build",
        .synopsis =
            "--ca FILE --member REQUEST:ROLE[:HOST:PORT]... [--model NAME:OWNER:CLIENT,...]... --out FILE",
        .text =
            "Builds the roster from the sites' requests. The order of the parties is their number.\n"
            "Timeouts are written with their defaults; edit the file before it is sent out to change them.",
        .opts = opts};
    struct build_opts o = {.name = "consortium",
                           .sign = "before-output",
                           .lanes = 4,
                           .max_batch = 256,
                           .views_mib = 256,
                           .colluding = 1};
    int code;
    if (!csl_args_parse(cli, &spec, &o, NULL, argc, argv, &code)) {
        return code;
    }
    return csl_cli_finish(cli, build(cli, &o));
}
