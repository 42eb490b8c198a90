/* A node's RPC and a gateway, over HTTP. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cas/store_internal.h"
#include "crypto/rand.h"
#include "net/http/http.h"

enum { TOTAL_MS = 600 * 1000, IDLE_MS = 120 * 1000, URL_MAX = 2048, ANSWER_MAX = 64 * 1024 };

static uint32_t total_ms(const struct csl_cas *c) {
    return c->options.total_ms != 0 ? c->options.total_ms : TOTAL_MS;
}

static struct csl_http request(const struct csl_cas *c, const char *url) {
    return (struct csl_http){.url = url,
                             .ca_file = c->ca_file,
                             .total_ms = total_ms(c),
                             .idle_ms = c->options.idle_ms != 0 ? c->options.idle_ms : IDLE_MS};
}

/* ---- Adding to a node: multipart/form-data, from the file as it is read ---- */

static const char part_head[] = "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"package\"\r\n"
                                "Content-Type: application/octet-stream\r\n\r\n";

enum { BOUNDARY_BYTES = 16, BOUNDARY = 2 * BOUNDARY_BYTES + 1 };

struct multipart {
    struct csl__cas_source *s;
    char head[sizeof part_head + BOUNDARY + 8], tail[BOUNDARY + 16];
    size_t n_head, n_tail, at_head, at_tail;
};

static enum csl_err make_parts(struct multipart *m, char boundary[BOUNDARY], struct csl_diag *diag) {
    uint8_t random[BOUNDARY_BYTES]; /* in no file but by chance */
    if (csl_rand(random, sizeof random) != CSL_OK) {
        return csl_fail(diag, CSL_EINTERNAL, "no random bytes");
    }
    for (size_t i = 0; i < sizeof random; i++) {
        (void)snprintf(boundary + 2 * i, 3, "%02x", random[i]);
    }
    m->n_head = (size_t)snprintf(m->head, sizeof m->head, "--%s%s", boundary, part_head);
    m->n_tail = (size_t)snprintf(m->tail, sizeof m->tail, "\r\n--%s--\r\n", boundary);
    return CSL_OK;
}

static size_t copy_part(uint8_t *p, size_t n, const char *text, size_t n_text, size_t *at) {
    size_t part = n < n_text - *at ? n : n_text - *at;
    memcpy(p, text + *at, part);
    *at += part;
    return part;
}

static enum csl_err give(void *arg, uint8_t *p, size_t n, size_t *n_out, struct csl_diag *diag) {
    struct multipart *m = arg;
    if (m->at_head < m->n_head) {
        *n_out = copy_part(p, n, m->head, m->n_head, &m->at_head);
        return CSL_OK;
    }
    if (m->s->n_read < m->s->n_bytes) {
        return csl__cas_read(m->s, p, n, n_out, diag);
    }
    *n_out = copy_part(p, n, m->tail, m->n_tail, &m->at_tail);
    return CSL_OK;
}

/* Everything that decides the CID is said: a node's defaults are its own. */
static enum csl_err add_url(char out[URL_MAX], const struct csl_cas *c, const struct csl__cas_source *s,
                            struct csl_diag *diag) {
    int n = snprintf(out, URL_MAX,
                     "%s/api/v0/add?cid-version=1&hash=sha2-256&raw-leaves=true&chunker=size-%u"
                     "&max-file-links=%u&trickle=false&inline=false&wrap-with-directory=false&only-hash=false"
                     "&progress=false&pin=%s",
                     c->place, s->profile->chunk_bytes, s->profile->max_links,
                     c->options.unpinned ? "false" : "true");
    return n > 0 && n < URL_MAX ? CSL_OK : csl_fail(diag, CSL_EUSAGE, "%s: the URL is too long", c->shown);
}

static enum csl_err add(struct csl_cas *c, struct csl_cid *answer, struct csl__cas_source *s,
                        struct csl_diag *diag) {
    char url[URL_MAX], boundary[BOUNDARY], type[64 + BOUNDARY], *text = NULL;
    size_t n = 0;
    struct multipart m = {.s = s};
    TRY(make_parts(&m, boundary, diag));
    TRY(add_url(url, c, s, diag));
    (void)snprintf(type, sizeof type, "multipart/form-data; boundary=%s", boundary);
    struct csl_http q = request(c, url);
    q.content_type = type;
    q.source = give;
    q.source_arg = &m;
    q.n_source = m.n_head + s->n_bytes + m.n_tail;
    q.max_response_bytes = ANSWER_MAX;
    TRY(csl_http_fetch(&q, NULL, &text, &n, diag));
    enum csl_err err = csl__kubo_answer(answer, text, n, c->shown, diag);
    free(text);
    return err;
}

/* ---- Reading from a node ---- */

static enum csl_err url_of(char out[URL_MAX], const struct csl_cas *c, const char *before,
                           const struct csl_cid *cid, const char *after, struct csl_diag *diag) {
    char text[CSL_CID_TEXT];
    int n = snprintf(out, URL_MAX, "%s%s%s%s", c->place, before, csl_cid_text(text, cid), after);
    return n > 0 && n < URL_MAX ? CSL_OK : csl_fail(diag, CSL_EUSAGE, "%s: the URL is too long", c->shown);
}

static enum csl_err cat(struct csl_cas *c, const struct csl_cid *cid, uint64_t max_bytes,
                        csl_unixfs_sink *sink, void *sink_arg, struct csl_diag *diag) {
    char url[URL_MAX];
    TRY(url_of(url, c, "/api/v0/cat?arg=", cid, "", diag));
    struct csl_http q = request(c, url);
    q.max_response_bytes = max_bytes;
    return csl_http(&q, NULL, sink, sink_arg, diag);
}

static const struct csl__cas_backend node = {.send = add, .get = cat};

/* ---- Reading from a gateway: block by block, so that each proves itself ---- */

struct gateway {
    struct csl_cas *c;
    int64_t until_ms;
};

static int64_t now_ms(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static enum csl_err fetch_block(void *arg, const struct csl_cid *cid, uint8_t **block, size_t *n,
                                struct csl_diag *diag) {
    struct gateway *g = arg;
    char url[URL_MAX], *data = NULL;
    int64_t left = g->until_ms - now_ms();
    TRY(url_of(url, g->c, "/", cid, "?format=raw", diag));
    if (left <= 0) {
        return csl_fail(diag, CSL_ETIMEOUT, "%s did not give the whole file in %u s; allow it more",
                        g->c->shown, total_ms(g->c) / 1000);
    }
    struct csl_http q = request(g->c, url);
    q.get = true;
    q.total_ms = (uint32_t)left;
    q.max_response_bytes = CSL_BLOCK_MAX;
    TRY(csl_http_fetch(&q, NULL, &data, n, diag));
    *block = (uint8_t *)data;
    return CSL_OK;
}

static enum csl_err read_gateway(struct csl_cas *c, const struct csl_cid *cid, uint64_t max_bytes,
                                 csl_unixfs_sink *sink, void *sink_arg, struct csl_diag *diag) {
    struct gateway g = {.c = c, .until_ms = now_ms() + total_ms(c)};
    enum csl_err err = csl_unixfs_export(cid, max_bytes, fetch_block, &g, sink, sink_arg, NULL, diag);
    return err == CSL_EAUTH || err == CSL_EDATA ? csl_fail_context(diag, err, "%s", c->shown) : err;
}

static const struct csl__cas_backend gateway = {.get = read_gateway, .proves = true};

/* ---- Which ---- */

enum csl_err csl__cas_of_url(const struct csl__cas_backend **out, struct csl_cas *c, struct csl_diag *diag) {
    static const char suffix[] = "/ipfs";
    *out = NULL;
    csl_http_place(c->shown, sizeof c->shown, c->place);
    if (strncmp(c->place, "http://", 7) != 0 && strncmp(c->place, "https://", 8) != 0) {
        return csl_fail(diag, CSL_EUSAGE, "%s: a store's URL begins with http:// or https://", c->shown);
    }
    if (strpbrk(c->place, "?# \t\r\n") != NULL) {
        return csl_fail(diag, CSL_EUSAGE,
                        "%s: a store's URL has no query, fragment or space, for example "
                        "http://127.0.0.1:5001 or https://gateway.example/ipfs",
                        c->shown);
    }
    size_t n = strlen(c->place), k = sizeof suffix - 1;
    *out = n > k && strcmp(c->place + n - k, suffix) == 0 ? &gateway : &node;
    return CSL_OK;
}
