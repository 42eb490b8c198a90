/* What model push and model pull have in common: their options, and what a sealed package says of itself. */
#ifndef CSL_CLI_MODEL_STORE_H
#define CSL_CLI_MODEL_STORE_H

#include "cas/store.h"
#include "cli/commands.h"
#include "roles/package/package.h"

#define CSL_STORE_DEFAULT "consilium-store"

struct csl_store_opts {
    const char *store, *ca, *site, *roster; /* both commands */
    uint64_t timeout_s;
    const char *profile; /* push */
    bool unpinned;
    const char *out, *sha256; /* pull */
    uint64_t max_mib;
};

/* S is struct csl_store_opts. */
#define CSL_STORE_OPTIONS                                                                                    \
    CSL_STRING(struct csl_store_opts, store, "store", "DIR|URL", false,                                      \
               "a folder, http://HOST:5001 (a node's RPC) or https://HOST/ipfs (a gateway); default "        \
               "./" CSL_STORE_DEFAULT),                                                                      \
        CSL_STRING(struct csl_store_opts, ca, "ca", "FILE", false,                                           \
                   "PEM roots for https; default: the system's"),                                            \
        CSL_STRING(struct csl_store_opts, site, "site", "DIR", false,                                        \
                   "verify the package by this site's roster"),                                              \
        CSL_STRING(struct csl_store_opts, roster, "roster", "FILE", false, "verify it by this roster"),      \
        CSL_UINT(struct csl_store_opts, timeout_s, "timeout", "SECONDS", 1, 86400,                           \
                 "for the whole transfer; default 600")

CSL_MUST_CHECK enum csl_err csl_store_opts_open(struct csl_cas **out, const struct csl_store_opts *o,
                                                struct csl_diag *diag);

/* A sealed package as its file says. */
struct csl_sealed_info {
    char model[CSL_MODEL_NAME_MAX + 1];
    char owner[CSL_NAME_MAX + 1], party[CSL_NAME_MAX + 1];
    uint64_t expires_ms;
    uint8_t package[CSL_DIGEST_BYTES]; /* SHA-256 of the manifest, */
    uint8_t sealed[CSL_DIGEST_BYTES];  /* and of the sealed part: what ledgers commit to */
    uint8_t sha256[CSL_SHA256_BYTES];  /* of the file */
    size_t hands;                      /* through which it went */
    bool verified;                     /* by a roster */
};

/* Reads a package file and checks that it is sealed: its form, that its part is an envelope, and the one that
 * the manifest names (or, handed on, that a statement says where it comes from). With a site or a roster in o
 * also: the owner may share this model and signed the manifest, the roster's number of parties, the expiry,
 * and through whose hands it came. CSL_EDATA, CSL_EAUTH, CSL_EPERM, CSL_ESTALE. */
CSL_MUST_CHECK enum csl_err csl_sealed_info_read(struct csl_sealed_info *out, const char *path,
                                                 const struct csl_store_opts *o, struct csl_diag *diag);

/* The same, and gives the bytes that were looked at (csl_secret_free). */
CSL_MUST_CHECK enum csl_err csl_sealed_info_load(struct csl_sealed_info *out, char **bytes, size_t *n,
                                                 const char *path, const struct csl_store_opts *o,
                                                 struct csl_diag *diag);

/* Prints what was pushed to or pulled from a store; profile or path may be NULL. */
CSL_MUST_CHECK enum csl_err csl_sealed_info_report(struct csl_cli *cli, const struct csl_sealed_info *info,
                                                   const struct csl_cas_file *file, const char *store,
                                                   const char *profile, const char *path);

#endif
