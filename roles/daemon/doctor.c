#include "roles/daemon/doctor.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "crypto/cert.h"
#include "roles/talk.h"

enum { SKEW_MAX_MS = 60 * 1000, EXPIRY_WARN_DAYS = 14 };

const char *csl_check_name(enum csl_check c) {
    static const char *const names[] = {
#define NAME(name, text) text,
        CSL_CHECK_LIST(NAME)
#undef NAME
    };
    return (unsigned)c < CSL_CHECK_COUNT ? names[c] : "?";
}

static void found(struct csl_checkup *x, enum csl_check check, enum csl_err err, const char *advice) {
    x->failed = check;
    x->err = err;
    x->advice = advice;
}

/* ---- Before the connection ---- */

static bool resolves(struct csl_checkup *x) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    int rc = getaddrinfo(x->member->host, NULL, &hints, &list);
    if (rc != 0) {
        (void)csl_fail(&x->finding, CSL_ENOHOST, "%s: %s", x->member->host, gai_strerror(rc));
        found(x, CSL_CHECK_NAME, CSL_ENOHOST,
              "correct the host name in the roster, or add it to this site's name service");
        return false;
    }
    freeaddrinfo(list);
    return true;
}

/* ---- The connection ---- */

/* Which check a failed connection belongs to; the codes are those of net/conn.h. */
static void judge_failure(struct csl_checkup *x, enum csl_err err) {
    switch (err) {
    case CSL_ENOHOST:
        found(x, CSL_CHECK_NAME, err,
              "correct the host name in the roster, or add it to this site's name service");
        break;
    case CSL_EUNAVAILABLE:
        found(x, CSL_CHECK_TCP, err,
              "is its daemon running, and does its firewall let this site in on that port? Ask it to run "
              "`consilium party` or `consilium dealer` and to check the address in the roster");
        break;
    case CSL_ETIMEOUT:
        found(x, CSL_CHECK_TCP, err,
              "packets are dropped on the way: a firewall, here or there, or a wrong address in the roster");
        break;
    case CSL_EAUTH:
        found(x, CSL_CHECK_CERTIFICATE, err,
              "renew or import the certificate that is named (consilium cert request, sign, import), and "
              "compare clocks");
        break;
    case CSL_EPERM:
        found(x, CSL_CHECK_CERTIFICATE, err,
              "the roster names another key or site for this address: correct the roster at the site that is "
              "wrong");
        break;
    case CSL_ECONFIG:
        found(x, CSL_CHECK_ROSTER, err, "install the same roster at both sites (consilium roster install)");
        break;
    default:
        found(x, CSL_CHECK_TLS, err,
              "what answers on that port is not a Consilium daemon of this version: check address, port and "
              "proxies");
    }
}

static void judge_answer(struct csl_checkup *x, const struct csl_talk *t) {
    x->clock_skew_ms = t->clock_skew_ms;
    x->days_left =
        (csl_cert_not_after(csl_conn_peer_cert(t->conn)) - (int64_t)(csl_clock_ms() / 1000)) / 86400;
    (void)snprintf(x->software, sizeof x->software, "%s", t->software);
    if (x->clock_skew_ms > SKEW_MAX_MS || x->clock_skew_ms < -SKEW_MAX_MS) {
        (void)csl_fail(&x->finding, CSL_ECONFIG, "its clock is %lld s %s ours",
                       (long long)(x->clock_skew_ms < 0 ? -x->clock_skew_ms : x->clock_skew_ms) / 1000,
                       x->clock_skew_ms < 0 ? "behind" : "ahead of");
        found(x, CSL_CHECK_CLOCK, CSL_ECONFIG, "set both clocks by NTP: certificates are judged by them");
    } else if (x->days_left < EXPIRY_WARN_DAYS) {
        (void)csl_fail(&x->finding, CSL_ECONFIG, "its certificate ends in %lld days",
                       (long long)x->days_left);
        found(x, CSL_CHECK_CERTIFICATE, CSL_ECONFIG,
              "renew it now: consilium cert request, sign, import at that site");
    }
}

static enum csl_err probe(struct csl_checkup *x, struct csl_worker *w, struct csl_diag *diag) {
    struct csl_talk t;
    TRY(csl_talk_dial(&t, w, x->member, CSL__PB__PURPOSE__PURPOSE_PROBE, NULL, diag));
    struct csl_talk *list = &t;
    const struct csl_timeouts *to = &w->ctx->roster.timeouts;
    enum csl_err err = csl_talk_wait_ready(
        w, &list, 1, (uint64_t)to->connect_ms + 2 * (uint64_t)to->handshake_ms, &x->finding);
    if (err == CSL_OK) {
        judge_answer(x, &t);
    } else {
        judge_failure(x, err);
        if (err == CSL_EPROTO && strstr(x->finding.text, "protocol version") != NULL) {
            found(x, CSL_CHECK_VERSION, err, "install the same version of Consilium at both sites");
        }
    }
    csl_talk_close(&t);
    return CSL_OK;
}

static enum csl_err examine(struct csl_checkup *x, struct csl_worker *w, struct csl_diag *diag) {
    const struct csl_context *ctx = w->ctx;
    bool daemon = (ctx->self->roles & (CSL_ROLE_PARTY | CSL_ROLE_DEALER)) != 0;
    if (x->member == ctx->self || (daemon && !csl_roster_dials(&ctx->roster, ctx->self, x->member))) {
        x->skipped = true;
        return CSL_OK;
    }
    if (x->member->host[0] == '\0') {
        (void)csl_fail(&x->finding, CSL_ECONFIG, "the roster has no address for %s", x->member->name);
        found(x, CSL_CHECK_ADDRESS, CSL_ECONFIG, "add host:port to its entry in the roster");
        return CSL_OK;
    }
    return resolves(x) ? probe(x, w, diag) : CSL_OK;
}

enum csl_err csl_doctor_run(struct csl_checkup *out, size_t *n_out, const struct csl_context *ctx,
                            struct csl_diag *diag) {
    *n_out = 0;
    struct csl_worker w;
    TRY(csl_worker_init(&w, ctx, ctx->tls, diag));
    enum csl_err err = CSL_OK;
    bool dealer_talks =
        (ctx->self->roles & CSL_ROLE_PARTY) != 0; /* owners and clients never reach the dealer */
    for (size_t i = 0; i < ctx->roster.n_members && err == CSL_OK; i++) {
        const struct csl_member *m = &ctx->roster.members[i];
        if (m->party < 0 && !((m->roles & CSL_ROLE_DEALER) != 0 && (dealer_talks || m == ctx->self))) {
            continue;
        }
        struct csl_checkup *x = &out[(*n_out)++];
        memset(x, 0, sizeof *x);
        x->member = m;
        err = examine(x, &w, diag);
    }
    csl_worker_clear(&w);
    return err;
}
