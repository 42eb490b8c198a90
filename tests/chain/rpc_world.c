#include "tests/chain/rpc_world.h"

#include <jansson.h>

#include "net/http/http.h"
#include "tests/net/http_server.h"

static struct world world;
static char one_result[64 * 1024];

/* The answer with the request's id for "$ID"; the caller frees. */
static char *filled(const char *answer, const struct test_http_request *q) {
    json_t *request = json_loadb((const char *)q->body, q->n_body, 0, NULL);
    char *out = malloc(strlen(answer) + 32);
    const char *at = strstr(answer, "$ID");
    if (out == NULL || request == NULL) {
        abort();
    }
    if (at == NULL) {
        (void)strcpy(out, answer);
    } else {
        (void)sprintf(out, "%.*s%lld%s", (int)(at - answer), answer,
                      (long long)json_integer_value(json_object_get(request, "id")), at + 3);
    }
    json_decref(request);
    return out;
}

static void send_huge(struct test_http_conn *c) {
    static const char spaces[] = "                                                                ";
    bool ok = test_http_say(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n");
    for (size_t i = 0; ok && i < 10 * 1024 * 1024 / (sizeof spaces - 1); i++) {
        ok = test_http_say(c, spaces);
    }
}

static void answer(struct world *w, const struct test_http_request *q, struct test_http_conn *c) {
    size_t i = w->n_asked - 1;
    char *body = filled(w->answers[i < w->n_answers ? i : w->n_answers - 1], q);
    if (w->how == WORLD_CUTS) {
        (void)test_http_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
        (void)test_http_say(c, body);
    } else {
        (void)test_http_answer(c, w->status, "application/json", body, strlen(body));
    }
    free(body);
}

static void script(void *arg, const struct test_http_request *q, struct test_http_conn *c) {
    struct world *w = arg;
    size_t i = w->n_asked++;
    if (i < WORLD_ANSWERS) {
        w->asked[i] = strndup((const char *)q->body, q->n_body);
    }
    if (w->how == WORLD_NEVER) {
        (void)test_http_wait(c, 0);
    } else if (w->how == WORLD_HUGE) {
        send_huge(c);
    } else if (w->how != WORLD_CLOSES) {
        answer(w, q, c);
    }
}

static void forget(struct world *w) {
    for (size_t i = 0; i < WORLD_ANSWERS; i++) {
        free(w->asked[i]);
        w->asked[i] = NULL;
    }
    w->n_asked = 0;
}

int world_setup(void **state) {
    memset(&world, 0, sizeof world);
    world.status = 200;
    world.server = test_http_start(script, &world, NULL);
    (void)snprintf(world.url, sizeof world.url, "%s", test_http_url(world.server, "/key-of-the-project"));
    csl_http_place(world.place, sizeof world.place, world.url);
    world.rpc = (struct csl_rpc){.url = world.url, .last_id = 41};
    *state = &world;
    return 0;
}

int world_teardown(void **state) {
    test_http_stop(world.server);
    forget(&world);
    *state = NULL;
    return 0;
}

void world_says(struct world *w, const char *const *answers) {
    forget(w);
    w->n_answers = 0;
    for (; answers[w->n_answers] != NULL; w->n_answers++) {
        assert_true(w->n_answers < WORLD_ANSWERS);
        w->answers[w->n_answers] = answers[w->n_answers];
    }
    w->diag.text[0] = 0;
}

void world_result(struct world *w, const char *result) {
    int n = snprintf(one_result, sizeof one_result, "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":%s}", result);
    assert_true(n > 0 && (size_t)n < sizeof one_result);
    world_says(w, (const char *const[]){one_result, NULL});
}

void world_was_asked(struct world *w, size_t i, const char *method, const char *params) {
    assert_true(i < WORLD_ANSWERS && i < w->n_asked);
    json_t *got = json_loads(w->asked[i], 0, NULL), *want = json_loads(params, 0, NULL);
    assert_non_null(got);
    assert_non_null(want);
    assert_string_equal(json_string_value(json_object_get(got, "jsonrpc")), "2.0");
    assert_true(json_is_integer(json_object_get(got, "id")));
    assert_string_equal(json_string_value(json_object_get(got, "method")), method);
    char *got_params = json_dumps(json_object_get(got, "params"), JSON_SORT_KEYS);
    char *want_params = json_dumps(want, JSON_SORT_KEYS);
    assert_string_equal(got_params, want_params);
    free(got_params);
    free(want_params);
    json_decref(got);
    json_decref(want);
}

void world_blames(const struct world *w, const char *method, const char *what) {
    if (strstr(w->diag.text, method) == NULL || strstr(w->diag.text, w->place) == NULL ||
        strstr(w->diag.text, what) == NULL || strstr(w->diag.text, "key-of-the-project") != NULL) {
        fail_msg("\"%s\" does not name %s, %s and \"%s\"", w->diag.text, method, w->place, what);
    }
}
