/* Why can a peer not be reached: one check after the other, and what to do about the first that fails. */
#ifndef CSL_ROLES_DOCTOR_H
#define CSL_ROLES_DOCTOR_H

#include "roles/context.h"

/* In this order; the first that fails ends the list for a peer. */
#define CSL_CHECK_LIST(X)                                                                                    \
    X(ADDRESS, "address")                                                                                    \
    X(NAME, "name")                                                                                          \
    X(TCP, "tcp")                                                                                            \
    X(TLS, "tls")                                                                                            \
    X(CERTIFICATE, "certificate")                                                                            \
    X(VERSION, "version")                                                                                    \
    X(ROSTER, "roster")                                                                                      \
    X(CLOCK, "clock")

enum csl_check {
#define CSL_CHECK_ENUM(name, text) CSL_CHECK_##name,
    CSL_CHECK_LIST(CSL_CHECK_ENUM)
#undef CSL_CHECK_ENUM
        CSL_CHECK_COUNT
};
const char *csl_check_name(enum csl_check c);

struct csl_checkup {
    const struct csl_member *member;
    bool skipped;            /* we do not dial it, or it is no daemon: nothing to test from here */
    enum csl_err err;        /* CSL_OK: all passed */
    enum csl_check failed;   /* valid when err != CSL_OK */
    struct csl_diag finding; /* what was found */
    const char *advice;      /* what to do; NULL when all passed */
    int64_t clock_skew_ms;   /* the peer's clock minus ours */
    int64_t days_left;       /* of the peer's certificate */
    char software[CSL_MODEL_NAME_MAX + 1];
};

/* Our own folder: expiry of the certificate. Then every party and the dealer. n_out entries, one a member of
 * the roster that is a daemon; out has room for CSL_ROSTER_MEMBERS_MAX. */
CSL_MUST_CHECK enum csl_err csl_doctor_run(struct csl_checkup *out, size_t *n_out,
                                           const struct csl_context *ctx, struct csl_diag *diag);

#endif
