#include "net/http/http.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "net/http/http_internal.h"

enum { CONNECT_MS = 10000, TOTAL_MS = 60000, IDLE_MS = 30000, POLL_MS = 1000 };

int64_t csl__http_now_ms(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static bool curl_ready;

static void start_curl(void) {
    curl_ready = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

/* ---- What curl calls ---- */

static bool is_good(struct csl__http *h) {
    long status = 0;
    return curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK && status >= 200 &&
           status < 300;
}

/* The first bytes of a refusal are its reason; the rest is of no interest. */
static size_t take_reason(struct csl__http *h, const char *p, size_t n) {
    size_t room = CSL__SNIPPET_MAX - h->n_snippet, part = n < room ? n : room;
    memcpy(h->snippet + h->n_snippet, p, part);
    h->n_snippet += part;
    return part == n ? n : 0;
}

static size_t on_body(char *p, size_t size, size_t count, void *arg) {
    struct csl__http *h = arg;
    size_t n = size * count;
    h->last_ms = csl__http_now_ms();
    if (!is_good(h)) {
        return take_reason(h, p, n);
    }
    curl_off_t stated = -1;
    (void)curl_easy_getinfo(h->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &stated);
    uint64_t max = h->q->max_response_bytes;
    if (n > max - h->got || (stated >= 0 && (uint64_t)stated > max)) {
        h->err = csl_fail(h->diag, CSL_EPROTO, "%s answers with more than the %llu bytes that are allowed",
                          h->place, (unsigned long long)max);
        return 0;
    }
    h->got += n;
    h->err = h->sink(h->sink_arg, (const uint8_t *)p, n, h->diag);
    return h->err == CSL_OK ? n : 0;
}

static size_t on_header(char *p, size_t size, size_t count, void *arg) {
    struct csl__http *h = arg;
    (void)p;
    h->last_ms = csl__http_now_ms();
    h->n_headers += size * count;
    if (h->n_headers > CSL__HEADERS_MAX) {
        h->err = csl_fail(h->diag, CSL_EPROTO, "%s answers with more than %d bytes of headers", h->place,
                          CSL__HEADERS_MAX);
        return 0;
    }
    return size * count;
}

static size_t on_source(char *p, size_t size, size_t count, void *arg) {
    struct csl__http *h = arg;
    uint64_t all = h->q->source != NULL ? h->q->n_source : h->q->n_body, left = all - h->sent;
    size_t n = size * count < left ? size * count : (size_t)left;
    h->last_ms = csl__http_now_ms();
    if (n == 0) {
        return 0;
    }
    if (h->q->source == NULL) {
        memcpy(p, h->q->body + h->sent, n);
    } else {
        size_t room = n;
        h->err = h->q->source(h->q->source_arg, (uint8_t *)p, room, &n, h->diag);
        if (h->err == CSL_OK && (n == 0 || n > room)) {
            h->err = csl_fail(h->diag, CSL_EDATA,
                              "%s: what is sent has ended %llu bytes before the length that was stated",
                              h->place, (unsigned long long)left);
        }
        if (h->err != CSL_OK) {
            return CURL_READFUNC_ABORT;
        }
    }
    h->sent += n;
    return n;
}

/* ---- The request ---- */

static bool is_url(const char *url) {
    CURLU *u = strstr(url, ":///") == NULL ? curl_url() : NULL; /* curl would find a host in the path */
    char *scheme = NULL, *host = NULL;
    bool ok = u != NULL && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
              curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
              curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK && host[0] != '\0' &&
              (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
    curl_free(scheme);
    curl_free(host);
    curl_url_cleanup(u);
    return ok;
}

static uint32_t or_default(uint32_t ms, uint32_t otherwise) {
    return ms != 0 ? ms : otherwise;
}

/* Nothing but this request decides where it goes. */
static bool set_bounds(struct csl__http *h) {
    CURL *e = h->easy;
    bool ok = curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
    ok = ok && curl_easy_setopt(e, CURLOPT_PROXY, "") == CURLE_OK;
    ok = ok && curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK;
    ok = ok && curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) == CURLE_OK;
    ok = ok && curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK;
    ok = ok && curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK;
    ok = ok && curl_easy_setopt(e, CURLOPT_FORBID_REUSE, 1L) == CURLE_OK;
    ok = ok && curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK;
    if (h->q->ca_file != NULL) {
        ok = ok && curl_easy_setopt(e, CURLOPT_CAINFO, h->q->ca_file) == CURLE_OK;
        ok = ok && curl_easy_setopt(e, CURLOPT_CAPATH, NULL) == CURLE_OK;
    }
    long connect_ms = (long)or_default(h->q->connect_ms, CONNECT_MS);
    long total_ms = (long)or_default(h->q->total_ms, TOTAL_MS);
    ok = ok && curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, connect_ms) == CURLE_OK;
    return ok && curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, total_ms) == CURLE_OK;
}

static bool add_header(struct csl__http *h, const char *line) {
    struct curl_slist *more = curl_slist_append(h->headers, line);
    h->headers = more != NULL ? more : h->headers;
    return more != NULL;
}

static bool set_body(struct csl__http *h) {
    const struct csl_http *q = h->q;
    if (q->get) {
        return curl_easy_setopt(h->easy, CURLOPT_HTTPGET, 1L) == CURLE_OK;
    }
    char type[256];
    uint64_t n = q->source != NULL ? q->n_source : q->n_body;
    int len = snprintf(type, sizeof type, "Content-Type: %s",
                       q->content_type != NULL ? q->content_type : "application/octet-stream");
    return len > 0 && (size_t)len < sizeof type && add_header(h, type) &&
           add_header(h, "Expect:") && /* no waiting for a 100 */
           curl_easy_setopt(h->easy, CURLOPT_POST, 1L) == CURLE_OK &&
           curl_easy_setopt(h->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)n) == CURLE_OK &&
           curl_easy_setopt(h->easy, CURLOPT_READFUNCTION, on_source) == CURLE_OK &&
           curl_easy_setopt(h->easy, CURLOPT_READDATA, (void *)h) == CURLE_OK &&
           curl_easy_setopt(h->easy, CURLOPT_HTTPHEADER, h->headers) == CURLE_OK;
}

static bool prepare(struct csl__http *h) {
    CURL *e = h->easy;
    return curl_easy_setopt(e, CURLOPT_URL, h->q->url) == CURLE_OK && set_bounds(h) && set_body(h) &&
           curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_WRITEDATA, (void *)h) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_HEADERDATA, (void *)h) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_ERRORBUFFER, h->curl_says) == CURLE_OK;
}

/* How long to wait for the next byte; below 0: it has been too long. While connecting, curl has the say. */
static int64_t patience(struct csl__http *h) {
    curl_off_t connected_us = 0;
    int64_t now = csl__http_now_ms();
    (void)curl_easy_getinfo(h->easy, CURLINFO_PRETRANSFER_TIME_T, &connected_us);
    if (connected_us == 0) {
        h->last_ms = now;
    }
    return h->last_ms + (int64_t)or_default(h->q->idle_ms, IDLE_MS) - now;
}

/* Drives the transfer to its end. */
static CURLcode transfer(struct csl__http *h, CURLM *multi) {
    int running = 1, n = 0;
    h->last_ms = csl__http_now_ms();
    while (curl_multi_perform(multi, &running) == CURLM_OK && running != 0) {
        int64_t left = patience(h);
        if (left <= 0) {
            h->err = csl_fail(h->diag, CSL_ETIMEOUT, "%s did not send or take a byte for %u ms; try again",
                              h->place, or_default(h->q->idle_ms, IDLE_MS));
            return CURLE_OPERATION_TIMEDOUT;
        }
        if (curl_multi_poll(multi, NULL, 0, (int)(left < POLL_MS ? left : POLL_MS), NULL) != CURLM_OK) {
            return CURLE_OUT_OF_MEMORY;
        }
    }
    CURLMsg *m = curl_multi_info_read(multi, &n);
    return m != NULL && m->msg == CURLMSG_DONE ? m->data.result : CURLE_OUT_OF_MEMORY;
}

static enum csl_err perform(struct csl__http *h, long *status) {
    CURLM *multi = curl_multi_init();
    h->easy = curl_easy_init();
    if (multi == NULL || h->easy == NULL || !prepare(h) ||
        curl_multi_add_handle(multi, h->easy) != CURLM_OK) {
        (void)csl_fail(h->diag, CSL_ENOMEM, "%s: out of memory", h->place);
        h->err = CSL_ENOMEM;
    } else {
        CURLcode code = transfer(h, multi);
        (void)curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, status);
        h->err = csl__http_verdict(h, code, *status);
        (void)curl_multi_remove_handle(multi, h->easy);
    }
    curl_easy_cleanup(h->easy);
    curl_slist_free_all(h->headers);
    (void)curl_multi_cleanup(multi);
    return h->err;
}

/* TLS writes to a socket that may be closed: that is an error, not the end of the process. */
static enum csl_err without_sigpipe(struct csl__http *h, long *status) {
    const struct timespec now = {0};
    sigset_t pipe_only, old, pending;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    sigemptyset(&pending);
    (void)sigpending(&pending);
    bool was_pending = sigismember(&pending, SIGPIPE) == 1;
    if (pthread_sigmask(SIG_BLOCK, &pipe_only, &old) != 0) {
        return csl_fail(h->diag, CSL_EINTERNAL, "signals cannot be blocked");
    }
    enum csl_err err = perform(h, status);
    if (!was_pending) {
        (void)sigtimedwait(&pipe_only, NULL, &now);
    }
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    return err;
}

enum csl_err csl_http(const struct csl_http *q, long *status, csl_http_sink *sink, void *sink_arg,
                      struct csl_diag *diag) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    long code = 0;
    if (status == NULL) {
        status = &code;
    }
    *status = 0;
    struct csl__http h = {.q = q, .sink = sink, .sink_arg = sink_arg, .diag = diag};
    csl_http_place(h.place, sizeof h.place, q->url);
    (void)pthread_once(&once, start_curl);
    if (!curl_ready) {
        return csl_fail(diag, CSL_EINTERNAL, "libcurl cannot be started");
    }
    if (csl__http_odd_at(q->url)) {
        return csl_fail(
            diag, CSL_EUSAGE,
            "the URL \"%s...\" has an @ behind its first /, ?, # or \\: in a name or password these "
            "must be percent-encoded (%%2F, %%3F, %%23, %%5C), and so must an @ of a path (%%40)",
            h.place);
    }
    if (!is_url(q->url)) {
        return csl_fail(diag, CSL_EUSAGE, "\"%s\" is not the http:// or https:// URL of a service", h.place);
    }
    return without_sigpipe(&h, status);
}

/* ---- In memory ---- */

struct memory {
    char *p;
    size_t n, room;
};

static enum csl_err keep(void *arg, const uint8_t *p, size_t n, struct csl_diag *diag) {
    struct memory *m = arg;
    if (n >= SIZE_MAX / 2 - m->n) {
        return csl_fail(diag, CSL_ENOMEM, "out of memory");
    }
    if (m->n + n + 1 > m->room) {
        size_t room = (m->n + n + 1) * 2;
        char *more = realloc(m->p, room);
        if (more == NULL) {
            return csl_fail(diag, CSL_ENOMEM, "out of memory");
        }
        m->p = more;
        m->room = room;
    }
    memcpy(m->p + m->n, p, n);
    m->n += n;
    m->p[m->n] = '\0';
    return CSL_OK;
}

enum csl_err csl_http_fetch(const struct csl_http *q, long *status, char **out, size_t *n,
                            struct csl_diag *diag) {
    struct memory m = {0};
    *out = NULL;
    *n = 0;
    enum csl_err err = csl_http(q, status, keep, &m, diag);
    if (err == CSL_OK && m.p == NULL) {
        m.p = calloc(1, 1);
        err = m.p == NULL ? csl_fail(diag, CSL_ENOMEM, "out of memory") : CSL_OK;
    }
    if (err != CSL_OK) {
        free(m.p);
        return err;
    }
    *out = m.p;
    *n = m.n;
    return CSL_OK;
}
