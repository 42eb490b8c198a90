/* Shared by the parts of the HTTP client. */
#ifndef CSL_NET_HTTP_INTERNAL_H
#define CSL_NET_HTTP_INTERNAL_H

#include <curl/curl.h>

#include "net/http/http.h"

enum { CSL__PLACE_MAX = 128, CSL__SNIPPET_MAX = 160, CSL__HEADERS_MAX = 64 * 1024 };

/* One request on its way. */
struct csl__http {
    const struct csl_http *q;
    char place[CSL__PLACE_MAX];
    CURL *easy;
    struct curl_slist *headers;
    csl_http_sink *sink;
    void *sink_arg;
    struct csl_diag *diag;
    enum csl_err err; /* the first of our own; it has filled diag */
    int64_t last_ms;  /* when something last went either way */
    uint64_t sent, got, n_headers;
    char snippet[CSL__SNIPPET_MAX + 1]; /* of an answer that is not 2xx */
    size_t n_snippet;
    char curl_says[CURL_ERROR_SIZE];
};

int64_t csl__http_now_ms(void); /* monotonic */

/* Every byte that is not printable ASCII becomes ? or a space. */
void csl__http_printable(char *text, size_t n);

/* An @ behind the first of / ? # \ and none before it: perhaps a password that is not percent-encoded. */
bool csl__http_odd_at(const char *url);

/* What the request's end means: its status first, then curl's code. */
enum csl_err csl__http_verdict(struct csl__http *h, CURLcode code, long status);

#endif
