#include "tests/chain/liar_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/http/http.h"
#include "tests/net/http_server.h"

void must(bool good) {
    if (!good) {
        abort();
    }
}

static char *forward(const struct test_http_request *q) {
    struct csl_diag diag = {""};
    char *text = NULL;
    size_t n = 0;
    const struct csl_http f = {.url = csl_anvil_url(anvil),
                               .content_type = "application/json",
                               .total_ms = 10000,
                               .max_response_bytes = 1 << 22,
                               .body = q->body,
                               .n_body = q->n_body};
    must(csl_http_fetch(&f, NULL, &text, &n, &diag) == CSL_OK);
    return text;
}

static void between(void *arg, const struct test_http_request *q, struct test_http_conn *c) {
    struct liar *l = arg;
    json_t *request = json_loadb((const char *)q->body, q->n_body, 0, NULL);
    must(request != NULL);
    json_t *result =
        l->says(l, json_string_value(json_object_get(request, "method")), json_object_get(request, "params"));
    char *text = NULL;
    if (result == NULL) {
        text = forward(q);
    } else {
        json_t *answer = json_pack("{s:s, s:O, s:o}", "jsonrpc", "2.0", "id", json_object_get(request, "id"),
                                   "result", result);
        text = json_dumps(answer, JSON_COMPACT);
        json_decref(answer);
    }
    must(text != NULL);
    (void)test_http_answer(c, 200, "application/json", text, strlen(text));
    free(text);
    json_decref(request);
}

void liar_start(struct liar *l, struct site *s, lie *says, uint64_t value) {
    memset(l, 0, sizeof *l);
    l->says = says;
    l->value = value;
    l->server = test_http_start(between, l, NULL);
    (void)snprintf(l->url, sizeof l->url, "%s", test_http_url(l->server, "/"));
    s->rpc.url = l->url;
}

void liar_stop(struct liar *l, struct site *s) {
    s->rpc.url = csl_anvil_url(anvil);
    test_http_stop(l->server);
}

json_t *quantity(uint64_t v) {
    char text[24];
    (void)snprintf(text, sizeof text, "0x%llx", (unsigned long long)v);
    return json_string(text);
}

json_t *liar_swallow(struct liar *l, const json_t *params) {
    const char *raw = json_string_value(json_array_get(params, 0));
    const char *call = strstr(raw, "2d7d7c27");
    size_t n = strlen(raw) / 2 - 1;
    uint8_t *bytes = malloc(n), hash[CSL_HASH_BYTES];
    must(bytes != NULL && call != NULL && csl_hex0x_parse(bytes, n, raw));
    csl_tx_hash(hash, bytes, n);
    csl_hex0x_text(l->hash, hash, sizeof hash);
    (void)snprintf(l->call, sizeof l->call, "%s", call);
    l->sent = true;
    free(bytes);
    return json_string(l->hash);
}
