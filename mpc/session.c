#include "mpc/session.h"

#include "mpc/round_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum csl_err csl_session_init(struct csl_session *s, struct csl_link *link) {
    memset(s, 0, sizeof *s);
    s->round.session = s;
    if (link == NULL || link->n_parties < 2 || link->n_parties > CSL_MAX_PARTIES ||
        link->self >= link->n_parties) {
        return csl_session_fail(s, CSL_EINTERNAL, "session: the link has no valid party numbers");
    }
    s->link = link;
    s->n_parties = link->n_parties;
    s->self = link->self;
    return CSL_OK;
}

void csl_session_clear(struct csl_session *s) {
    csl__round_free(&s->round);
    csl__arena_free(&s->scratch);
    s->link = NULL; /* a round after this is refused */
}

enum csl_err csl_session_fail(struct csl_session *s, enum csl_err e, const char *fmt, ...) {
    if (s->err == CSL_OK) {
        va_list ap;
        va_start(ap, fmt);
        (void)vsnprintf(s->diag.text, sizeof s->diag.text, fmt, ap);
        va_end(ap);
        s->err = e != CSL_OK ? e : CSL_EINTERNAL;
    }
    return s->err;
}

enum csl_err csl_session_exchange(struct csl_session *s, uint8_t *const in[CSL_MAX_PARTIES],
                                  const uint8_t *out, size_t n) {
    TRY(csl_session_error(s));
    if (s->link == NULL) {
        return csl_session_fail(s, CSL_EINTERNAL, "session: used after it was cleared");
    }
    struct csl_diag diag = {""};
    enum csl_err err = s->link->ops->exchange(s->link, in, s->stats.rounds + 1, out, n, &diag);
    if (err != CSL_OK) {
        return csl_session_fail(s, err, "%s", diag.text);
    }
    s->stats.rounds++;
    s->stats.bytes_per_peer += n;
    return CSL_OK;
}
