/* A node or signer that says what the test has written down, and remembers what it was asked. */
#ifndef TESTS_CHAIN_RPC_WORLD_H
#define TESTS_CHAIN_RPC_WORLD_H

#include "tests/chain/chain_test.h"

#include "chain/rpc.h"

enum { WORLD_ANSWERS = 16 };

struct world {
    struct csl_rpc rpc;
    struct csl_diag diag;
    struct test_http *server;
    char url[128], place[128];
    /* Answered in this order, the last again and again. "$ID" becomes the request's id. */
    const char *answers[WORLD_ANSWERS];
    size_t n_answers;
    _Atomic size_t n_asked;
    char *asked[WORLD_ANSWERS]; /* the requests' bodies */
    int status;                 /* HTTP's; 200 */
    enum { WORLD_ANSWERS_WHOLE, WORLD_NEVER, WORLD_CLOSES, WORLD_CUTS, WORLD_HUGE } how;
};

int world_setup(void **state);
int world_teardown(void **state);

/* Forgets what was asked, and says this from now on: whole bodies, ending with NULL. */
void world_says(struct world *w, const char *const *answers);
/* One answer: this result. */
void world_result(struct world *w, const char *result);
/* The request number i was {"jsonrpc":"2.0","id":...,"method":method,"params":params}. */
void world_was_asked(struct world *w, size_t i, const char *method, const char *params);

/* The last sentence names the method, the node and `what`. */
void world_blames(const struct world *w, const char *method, const char *what);

#endif
