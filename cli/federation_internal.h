/* Shared by federation.c (folders, keys, roster) and federation_process.c (processes). */
#ifndef CSL_CLI_FEDERATION_INTERNAL_H
#define CSL_CLI_FEDERATION_INTERNAL_H

#include <sys/types.h>

#include "cli/federation.h"

enum { CSL_PATH_MAX = 1024 };

struct csl_fed_member {
    char name[CSL_NAME_MAX + 1];
    unsigned roles;
    int listen_fd; /* until its daemon has it; -1 none */
    uint16_t port;
    pid_t pid; /* 0: not running */
    long peak_rss_kib;
    uint8_t tls_spki[CSL_SPKI_BYTES];
    EVP_PKEY *wrap_key, *sign_key;
};

struct csl_federation {
    char dir[CSL_PATH_MAX - 128];
    bool remove_dir;
    unsigned n_parties;
    size_t n_members;
    struct csl_fed_member members[CSL_ROSTER_PARTIES_MAX + 3]; /* parties, dealer, owner, client */
};

CSL_MUST_CHECK enum csl_err csl__federation_spawn_daemon(struct csl_federation *fed, struct csl_fed_member *m,
                                                         const char *wait, struct csl_diag *diag);
void csl__federation_stop_daemons(struct csl_federation *fed, json_t *rss);

#endif
