/* Shared by federation.c (members, sockets, roster), federation_site.c (folders, keys) and
 * federation_process.c (processes). */
#ifndef CSL_CLI_FEDERATION_INTERNAL_H
#define CSL_CLI_FEDERATION_INTERNAL_H

#include <sys/types.h>

#include "cli/federation.h"

enum { CSL_PATH_MAX = 1024, CSL_FED_MEMBERS_MAX = CSL_ROSTER_PARTIES_MAX + 3 + 8, CSL_FED_DIALS_MAX = 8 };

struct csl_fed_member {
    char name[CSL_NAME_MAX + 1];
    unsigned roles;
    int listen_fd; /* until its daemon has it; -1 none */
    int port_fd; /* bound to the same port and never listening: keeps it ours while no daemon runs; -1 none */
    uint16_t port; /* 0: no daemon */
    uint16_t via;  /* where others reach it; 0: at its port */
    pid_t pid;     /* 0: not running */
    long peak_rss_kib;
    uint8_t tls_spki[CSL_SPKI_BYTES];
    EVP_PKEY *wrap_key, *sign_key;
};

struct csl_federation {
    char dir[CSL_PATH_MAX - 128];
    bool remove_dir;
    char program[CSL_PATH_MAX];
    const char *wait, *profile;
    char threads[12]; /* "" for none */
    unsigned n_parties;
    size_t n_members;
    struct csl_fed_member members[CSL_FED_MEMBERS_MAX]; /* parties, dealer, owner, client, extras */
};

/* A listening socket on the member's port, which is chosen at the first call. */
CSL_MUST_CHECK enum csl_err csl__federation_listen(struct csl_fed_member *m, struct csl_diag *diag);
/* The members' folders with their keys; of an earlier federation, where `keys` is a folder that has them, and
 * kept there for the next. */
CSL_MUST_CHECK enum csl_err csl__federation_keys(struct csl_federation *fed, const char *keys,
                                                 struct csl_diag *diag);
/* A CA in the folder "ca", and certificates by it. */
CSL_MUST_CHECK enum csl_err csl__federation_certify(struct csl_federation *fed, struct csl_diag *diag);
/* Into a new file. */
CSL_MUST_CHECK enum csl_err csl__federation_write(const char *path, const char *text, struct csl_diag *diag);
/* NULL: no such member. */
struct csl_fed_member *csl__federation_member(const struct csl_federation *fed, const char *name);
void csl__federation_stop_daemons(struct csl_federation *fed, json_t *rss);

#endif
