/* One HTTP request with limits, over libcurl: the only part that sees it, and an option of the build
 * (CSL_HAVE_HTTP). For what stands outside of the consortium: a content-addressed store, a chain's node, a
 * remote signer. Nothing secret is ever sent; what comes back is checked by the caller.
 *
 * Only http:// and https:// URLs (certificates verified by the system's roots, or ca_file). A redirect is
 * never followed: it is an error that names the place it pointed to. No proxy, cookie, .netrc or
 * environment variable decides where it goes. Blocking, for any thread; a connection serves one request.
 *
 * Errors: CSL_EUSAGE a URL that is none; CSL_EUNAVAILABLE no connection or name; CSL_ETIMEOUT (a silent
 * name server may add the resolver's own time-out to it);
 * CSL_EPROTO a redirect, a status that is not 2xx, a body longer than max_response_bytes, or what is not
 * HTTP or TLS; CSL_EPEER the connection ended before the answer did; CSL_EAUTH the server's certificate;
 * CSL_ENOINPUT ca_file; CSL_ENOMEM; or what source or sink returned. Each diag names the host, and what to
 * do. Credentials in the URL (user:password@) and its query are never printed.
 */
#ifndef CSL_NET_HTTP_H
#define CSL_NET_HTTP_H

#include "crypto/err.h"

/* Takes a piece of the answer's body; any error ends the request with it. */
typedef enum csl_err csl_http_sink(void *arg, const uint8_t *p, size_t n, struct csl_diag *diag);
/* Gives up to n bytes of the request's body, *n_out of them; 0 at its end. */
typedef enum csl_err csl_http_source(void *arg, uint8_t *p, size_t n, size_t *n_out, struct csl_diag *diag);

struct csl_http {
    const char *url;
    const char *content_type; /* of the body; NULL: application/octet-stream */
    const char *ca_file;      /* PEM roots instead of the system's; NULL: the system's */
    uint32_t connect_ms;      /* 0: 10 s */
    uint32_t total_ms;        /* 0: 60 s; the whole request */
    uint32_t idle_ms;         /* 0: 30 s; the longest time without a byte */
    uint64_t max_response_bytes;
    /* The body: POST. Either body, or source with its exact length; neither: an empty POST. */
    const uint8_t *body;
    size_t n_body;
    csl_http_source *source;
    void *source_arg;
    uint64_t n_source;
    bool get; /* GET instead; no body */
};

/* status (may be NULL) is the HTTP status when one came, also with CSL_EPROTO. sink gets the body of a 2xx
 * answer only; the first bytes of any other go into the diag, made printable. */
CSL_MUST_CHECK enum csl_err csl_http(const struct csl_http *q, long *status, csl_http_sink *sink,
                                     void *sink_arg, struct csl_diag *diag);

/* The same with the whole answer in memory, NUL-terminated behind *n bytes; the caller frees. On an error
 * *out is NULL. */
CSL_MUST_CHECK enum csl_err csl_http_fetch(const struct csl_http *q, long *status, char **out, size_t *n,
                                           struct csl_diag *diag);

/* scheme://host[:port] of a URL, for messages: printable, without credentials, cut to fit. The scheme alone
 * where an @ comes only behind the first of / ? # \: what stands before may be half a password. csl_http
 * refuses such a URL with CSL_EUSAGE. */
void csl_http_place(char *out, size_t room, const char *url);

#endif
