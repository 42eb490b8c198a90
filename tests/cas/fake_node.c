#include "fake_node.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Runs in the server's thread: no assertions of cmocka here. */
static void must(bool ok) {
    if (!ok) {
        abort();
    }
}

static unsigned number_behind(const char *text, const char *name) {
    const char *at = strstr(text, name);
    return at == NULL ? 0 : (unsigned)strtoul(at + strlen(name), NULL, 10);
}

/* The one part of a multipart body; false when the form is not right. */
static bool take_part(struct fake_node *f, const struct test_http_request *q) {
    char boundary[128] = "--", head[512];
    const char *at = strstr(q->head, "boundary=");
    if (at == NULL || sscanf(at + 9, "%100[0-9a-f]", boundary + 2) != 1) {
        return false;
    }
    int n_head = snprintf(head, sizeof head,
                          "%s\r\nContent-Disposition: form-data; name=\"file\"; filename=\"package\"\r\n"
                          "Content-Type: application/octet-stream\r\n\r\n",
                          boundary);
    size_t n_tail = strlen(boundary) + 6;
    if (q->n_body < (size_t)n_head + n_tail || memcmp(q->body, head, (size_t)n_head) != 0) {
        return false;
    }
    const uint8_t *tail = q->body + q->n_body - n_tail;
    if (memcmp(tail, "\r\n", 2) != 0 || memcmp(tail + 2, boundary, n_tail - 6) != 0 ||
        memcmp(tail + n_tail - 4, "--\r\n", 4) != 0) {
        return false;
    }
    free(f->bytes);
    f->n = q->n_body - (size_t)n_head - n_tail;
    f->bytes = malloc(f->n + 1);
    must(f->bytes != NULL);
    memcpy(f->bytes, q->body + n_head, f->n);
    return true;
}

static void import_it(struct fake_node *f, char cid[CSL_CID_TEXT]) {
    struct csl_unixfs_import *im;
    struct csl_cid root;
    must(csl_unixfs_import_new(&im, &f->profile, NULL, NULL) == CSL_OK &&
         csl_unixfs_import_write(im, f->bytes, f->n, NULL) == CSL_OK &&
         csl_unixfs_import_end(im, &root, NULL) == CSL_OK);
    csl_unixfs_import_free(im);
    if (f->how == FAKE_OTHER) {
        root.digest[31] ^= 1;
    }
    (void)csl_cid_text(cid, &root);
}

static void say_added(struct fake_node *f, struct test_http_conn *c) {
    char cid[CSL_CID_TEXT], line[256], answer[1024];
    import_it(f, cid);
    (void)snprintf(line, sizeof line, "{\"Name\":\"package\",\"Hash\":\"%s\",\"Size\":\"%zu\"}\n", cid, f->n);
    const char *text = line;
    switch (f->how) {
    case FAKE_TWICE:
        (void)snprintf(answer, sizeof answer, "%s%s", line, line);
        text = answer;
        break;
    case FAKE_REFUSES:
        text = "{\"Name\":\"package\",\"Bytes\":262144}\n{\"Message\":\"no space left on device\",\"Code\":0,"
               "\"Type\":\"error\"}\n";
        break;
    case FAKE_NO_CID:
        text = "{\"Name\":\"package\",\"Bytes\":262144}\n";
        break;
    case FAKE_NOT_A_CID:
        text = "{\"Name\":\"package\",\"Hash\":\"../../etc/passwd\\u001b\"}\n";
        break;
    default: /* progress may come before it */
        (void)snprintf(answer, sizeof answer, "{\"Name\":\"package\",\"Bytes\":1}\r\n%s", line);
        text = answer;
    }
    (void)test_http_answer(c, 200, "application/json", text, strlen(text));
}

/* The lies that are the same for every request. */
static bool lie(struct fake_node *f, struct test_http_conn *c) {
    static const char reason[] = "{\"Message\":\"merkledag: not found\",\"Code\":0,\"Type\":\"error\"}";
    static const char page[] = "<html>hello</html>";
    switch (f->how) {
    case FAKE_CLOSED:
        return true;
    case FAKE_NOTHING:
        return test_http_answer(c, 200, "text/plain", "", 0), true;
    case FAKE_NEVER:
        return test_http_wait(c, 0), true;
    case FAKE_TRUNCATED:
        return test_http_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"Name\":"), true;
    case FAKE_REDIRECT:
        return test_http_say(c, "HTTP/1.1 307 Go\r\nLocation: http://elsewhere.example/\r\n"
                                "Content-Length: 0\r\n\r\n"),
               true;
    case FAKE_ERROR:
        return test_http_answer(c, 500, "application/json", reason, sizeof reason - 1), true;
    case FAKE_HTML:
        return test_http_answer(c, 200, "text/html", page, sizeof page - 1), true;
    case FAKE_DRIBBLE:
        (void)test_http_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
        while (test_http_say(c, " ") && test_http_wait(c, 10)) {
        }
        return true;
    case FAKE_ENDLESS:
        (void)test_http_say(c, "HTTP/1.1 200 OK\r\n\r\n");
        while (test_http_say(c, "                                ")) {
        }
        return true;
    default:
        return false;
    }
}

static void give(struct fake_node *f, struct test_http_conn *c, const uint8_t *p, size_t n) {
    uint8_t *bytes = calloc(1, n + 2);
    must(bytes != NULL);
    memcpy(bytes, p, n);
    if (f->how == FAKE_OTHER && n != 0) {
        bytes[n / 2] ^= 1;
    }
    n = f->how == FAKE_SHORT && n != 0 ? n - 1 : f->how == FAKE_LONGER ? n + 1 : n;
    (void)test_http_answer(c, 200, "application/octet-stream", bytes, n);
    free(bytes);
}

static void script(void *arg, const struct test_http_request *q, struct test_http_conn *c) {
    struct fake_node *f = arg;
    char cid[128] = "";
    (void)snprintf(f->head, sizeof f->head, "%.2000s", q->head);
    if (lie(f, c)) {
        return;
    }
    if (strncmp(q->head, "POST /api/v0/add?", 17) == 0) {
        f->profile.chunk_bytes = number_behind(q->head, "chunker=size-");
        f->profile.max_links = number_behind(q->head, "max-file-links=");
        if (take_part(f, q)) {
            say_added(f, c);
            return;
        }
    } else if (strncmp(q->head, "POST /api/v0/cat?arg=", 21) == 0 && f->bytes != NULL) {
        give(f, c, f->bytes, f->n);
        return;
    } else if (sscanf(q->head, "GET /ipfs/%100[a-z0-9]?format=raw HTTP", cid) == 1) {
        struct csl_cid id;
        uint8_t *block = NULL;
        size_t n = 0;
        if (csl_cid_parse(&id, cid, NULL) == CSL_OK &&
            test_blocks_get(&f->blocks, &id, &block, &n, NULL) == CSL_OK) {
            give(f, c, block, n);
            free(block);
            return;
        }
    }
    (void)test_http_answer(c, 404, "text/plain", "not here", 8);
}

void fake_node_start(struct fake_node *f) {
    memset(f, 0, sizeof *f);
    f->server = test_http_start(script, f, NULL);
}

void fake_node_stop(struct fake_node *f) {
    test_http_stop(f->server);
    free(f->bytes);
    test_blocks_clear(&f->blocks);
}

const char *fake_node_url(struct fake_node *f, const char *path) {
    return test_http_url(f->server, path);
}
