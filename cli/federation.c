#include "cli/federation.h"

#include <errno.h>
#include <ftw.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "cli/federation_internal.h"
#include "cli/temp_folder.h"
#include "crypto/cert.h"
#include "crypto/secret.h"

static void name_members(struct csl_federation *fed, const struct csl_federation_options *opt) {
    for (unsigned i = 0; i < fed->n_parties; i++) {
        (void)snprintf(fed->members[i].name, sizeof fed->members[i].name, "hospital-%c", (char)('a' + i));
        fed->members[i].roles = CSL_ROLE_PARTY;
    }
    static const struct {
        const char *name;
        unsigned role;
    } others[] = {{"dealer", CSL_ROLE_DEALER}, {"model-owner", CSL_ROLE_OWNER}, {"clinic", CSL_ROLE_CLIENT}};
    for (unsigned i = 0; i < 3; i++) {
        struct csl_fed_member *m = &fed->members[fed->n_parties + i];
        (void)snprintf(m->name, sizeof m->name, "%s", others[i].name);
        m->roles = others[i].role;
    }
    fed->n_members = fed->n_parties + 3;
    for (size_t i = 0; i < opt->n_extras && fed->n_members < CSL_FED_MEMBERS_MAX; i++) {
        struct csl_fed_member *m = &fed->members[fed->n_members++];
        (void)snprintf(m->name, sizeof m->name, "%s", opt->extras[i].name);
        m->roles = opt->extras[i].roles;
    }
}

/* ---- Sockets and the roster ---- */

/* SO_REUSEADDR lets a daemon's listening socket and port_fd share the port. */
static enum csl_err bind_loopback(int *fd, uint16_t *port, struct csl_diag *diag) {
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(*port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    if (s < 0 || setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(s, (struct sockaddr *)&a, sizeof a) != 0 || getsockname(s, (struct sockaddr *)&a, &n) != 0) {
        enum csl_err err = csl_fail(diag, CSL_EOS, "cannot bind to 127.0.0.1: %s", strerror(errno));
        if (s >= 0) {
            close(s);
        }
        return err;
    }
    *fd = s;
    *port = ntohs(a.sin_port);
    return CSL_OK;
}

enum csl_err csl__federation_listen(struct csl_fed_member *m, struct csl_diag *diag) {
    if (m->listen_fd >= 0) {
        return CSL_OK;
    }
    if (m->port_fd < 0) {
        TRY(bind_loopback(&m->port_fd, &m->port, diag));
    }
    TRY(bind_loopback(&m->listen_fd, &m->port, diag));
    return listen(m->listen_fd, 256) == 0
               ? CSL_OK
               : csl_fail(diag, CSL_EOS, "cannot listen on 127.0.0.1:%u: %s", m->port, strerror(errno));
}

static void fill_member(struct csl_member *out, const struct csl_fed_member *m) {
    (void)snprintf(out->name, sizeof out->name, "%s", m->name);
    out->roles = m->roles;
    memcpy(out->tls_spki, m->tls_spki, sizeof out->tls_spki);
    out->wrap_key = m->wrap_key;
    out->sign_key = m->sign_key;
    if (m->port != 0) {
        (void)snprintf(out->host, sizeof out->host, "127.0.0.1");
        out->port = m->via != 0 ? m->via : m->port;
    }
}

static enum csl_err load_ca(X509 **ca, const struct csl_federation *fed, struct csl_diag *diag) {
    char path[CSL_PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/ca/ca.crt", fed->dir);
    char pem[16384];
    FILE *f = fopen(path, "re");
    size_t n = f == NULL ? 0 : fread(pem, 1, sizeof pem, f);
    if (f != NULL) {
        fclose(f);
    }
    return csl_cert_parse(ca, pem, n, path, diag);
}

static enum csl_err fill_connections(struct csl_roster *r, struct csl_connection list[CSL_FED_DIALS_MAX],
                                     const struct csl_federation *fed,
                                     const struct csl_federation_options *opt, struct csl_diag *diag) {
    r->connections = list;
    for (size_t i = 0; i < opt->n_dials; i++) {
        const struct csl_fed_member *from = csl__federation_member(fed, opt->dials[i].from);
        const struct csl_fed_member *to = csl__federation_member(fed, opt->dials[i].to);
        if (from == NULL || to == NULL || i == CSL_FED_DIALS_MAX) {
            return csl_fail(diag, CSL_EUSAGE, "no connection from %s to %s", opt->dials[i].from,
                            opt->dials[i].to);
        }
        list[r->n_connections++] =
            (struct csl_connection){.from = (size_t)(from - fed->members), .to = (size_t)(to - fed->members)};
    }
    return CSL_OK;
}

static enum csl_err write_roster(struct csl_federation *fed, const struct csl_federation_options *opt,
                                 struct csl_diag *diag) {
    struct csl_member members[CSL_FED_MEMBERS_MAX];
    struct csl_connection connections[CSL_FED_DIALS_MAX];
    memset(members, 0, sizeof members);
    size_t client = fed->n_parties + 2;
    size_t clients[CSL_FED_MEMBERS_MAX] = {client};
    struct csl_model_rule rule = {
        .owner = fed->n_parties + 1, .clients = clients, .n_clients = 1, .label_only = opt->label_only};
    for (size_t i = 0; i < opt->n_extras && fed->n_parties + 3 + i < fed->n_members; i++) {
        if (opt->extras[i].queries) {
            clients[rule.n_clients++] = fed->n_parties + 3 + i;
        }
    }
    (void)snprintf(rule.name, sizeof rule.name, "%s", opt->model);
    struct csl_roster r = {.members = members, .n_members = fed->n_members, .models = &rule, .n_models = 1};
    (void)snprintf(r.consortium, sizeof r.consortium, "this-machine");
    csl_roster_defaults(&r);
    if (opt->timeouts != NULL) {
        r.timeouts = *opt->timeouts;
    }
    TRY(fill_connections(&r, connections, fed, opt, diag));
    if (opt->audit != NULL) {
        r.audit = *opt->audit;
    }
    r.limits.max_batch = opt->max_batch;
    r.limits.lanes = opt->lanes != 0 ? opt->lanes : r.limits.lanes;
    for (size_t i = 0; i < fed->n_members; i++) {
        fill_member(&members[i], &fed->members[i]);
    }
    char *text = NULL;
    enum csl_err err = CSL_OK;
    TRY_OUT(load_ca(&r.ca, fed, diag));
    if (opt->roster != NULL) {
        TRY_OUT(opt->roster(opt->roster_arg, &r, fed->dir, diag));
    }
    TRY_OUT(csl_roster_write(&text, &r, diag));
    for (size_t i = 0; i < fed->n_members; i++) {
        char path[CSL_PATH_MAX];
        (void)snprintf(path, sizeof path, "%s/%s/roster.yaml", fed->dir, fed->members[i].name);
        TRY_OUT(csl__federation_write(path, text, diag));
    }
out:
    free(text);
    X509_free(r.ca);
    return err;
}

/* ---- Start and stop ---- */

static enum csl_err make_dir(struct csl_federation *fed, const char *dir, struct csl_diag *diag) {
    if (dir != NULL) {
        (void)snprintf(fed->dir, sizeof fed->dir, "%s", dir);
        if (mkdir(dir, 0700) != 0) {
            return csl_fail(diag, CSL_ECREATE, "%s: %s; name a folder that does not exist", dir,
                            strerror(errno));
        }
        return CSL_OK;
    }
    TRY(csl_temp_folder(fed->dir, sizeof fed->dir, NULL, diag));
    fed->remove_dir = true;
    return CSL_OK;
}

static enum csl_err find_program(struct csl_federation *fed, const char *program, struct csl_diag *diag) {
    size_t n = sizeof fed->program;
    if (program != NULL) {
        (void)snprintf(fed->program, n, "%s", program);
        return CSL_OK;
    }
    return uv_exepath(fed->program, &n) == 0 ? CSL_OK
                                             : csl_fail(diag, CSL_EOS, "cannot find this program's own path");
}

/* The daemons are the first members. */
static enum csl_err route(struct csl_federation *fed, const struct csl_federation_options *opt,
                          struct csl_diag *diag) {
    uint16_t ports[CSL_ROSTER_PARTIES_MAX + 1], via[CSL_ROSTER_PARTIES_MAX + 1] = {0};
    for (unsigned i = 0; i <= fed->n_parties; i++) {
        ports[i] = fed->members[i].port;
    }
    TRY(opt->via(opt->via_arg, via, ports, fed->n_parties + 1, diag));
    for (unsigned i = 0; i <= fed->n_parties; i++) {
        fed->members[i].via = via[i];
    }
    return CSL_OK;
}

static enum csl_err start(struct csl_federation *fed, const struct csl_federation_options *opt,
                          struct csl_diag *diag) {
    TRY(make_dir(fed, opt->dir, diag));
    name_members(fed, opt);
    TRY(csl__federation_keys(fed, opt->keys, diag));
    TRY(csl__federation_certify(fed, diag));
    for (unsigned i = 0; i <= fed->n_parties; i++) { /* parties and the dealer listen */
        TRY(csl__federation_listen(&fed->members[i], diag));
    }
    if (opt->via != NULL) {
        TRY(route(fed, opt, diag));
    }
    TRY(write_roster(fed, opt, diag));
    for (unsigned i = 0; i <= fed->n_parties && !opt->idle; i++) {
        TRY(csl_federation_spawn(fed, fed->members[i].name, NULL, NULL, diag));
    }
    return CSL_OK;
}

enum csl_err csl_federation_start(struct csl_federation **out, const struct csl_federation_options *opt,
                                  struct csl_diag *diag) {
    *out = NULL;
    if (opt->n_parties < 2 || opt->n_parties > CSL_ROSTER_PARTIES_MAX) {
        return csl_fail(diag, CSL_EUSAGE, "--parties must be 2 to %d", CSL_ROSTER_PARTIES_MAX);
    }
    struct csl_federation *fed = calloc(1, sizeof *fed);
    if (fed == NULL) {
        return CSL_ENOMEM;
    }
    fed->n_parties = opt->n_parties;
    fed->wait = opt->wait;
    fed->profile = opt->profile;
    if (opt->threads != 0) {
        (void)snprintf(fed->threads, sizeof fed->threads, "%u", opt->threads);
    }
    for (size_t i = 0; i < CSL_FED_MEMBERS_MAX; i++) {
        fed->members[i].listen_fd = -1;
        fed->members[i].port_fd = -1;
    }
    enum csl_err err = find_program(fed, opt->program, diag);
    if (err == CSL_OK) {
        err = start(fed, opt, diag);
    }
    if (err != CSL_OK) {
        csl_federation_stop(fed, NULL);
        return err;
    }
    *out = fed;
    return CSL_OK;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void csl_federation_stop(struct csl_federation *fed, json_t *rss) {
    if (fed == NULL) {
        return;
    }
    csl__federation_stop_daemons(fed, rss);
    for (size_t i = 0; i < fed->n_members; i++) {
        EVP_PKEY_free(fed->members[i].wrap_key);
        EVP_PKEY_free(fed->members[i].sign_key);
        if (fed->members[i].listen_fd >= 0) {
            close(fed->members[i].listen_fd);
        }
        if (fed->members[i].port_fd >= 0) {
            close(fed->members[i].port_fd);
        }
    }
    if (fed->remove_dir) {
        (void)nftw(fed->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    }
    free(fed);
}

const char *csl_federation_party_name(const struct csl_federation *fed, unsigned i) {
    return fed->members[i].name;
}

const char *csl_federation_dir(const struct csl_federation *fed) {
    return fed->dir;
}
