/* A node before anvil that says what is not so. */
#ifndef CSL_TESTS_LIAR_WORLD_H
#define CSL_TESTS_LIAR_WORLD_H

#include "tests/chain/anvil_world.h"

struct liar;
/* The result to give instead; NULL: what the node says. In another thread than the test's. */
typedef json_t *lie(struct liar *l, const char *method, const json_t *params);

struct liar {
    struct test_http *server;
    char url[64];
    lie *says;
    uint64_t value;         /* the lie's own */
    _Atomic unsigned asked; /* the same */
    bool sent;              /* what liar_swallow got: its hash and call */
    char hash[CSL_HASH_ROOM];
    char call[2 * CSL_CONTRACT_CALL_BYTES + 1];
};

/* The site asks this one from now on; until liar_stop. */
void liar_start(struct liar *l, struct site *s, lie *says, uint64_t value);
void liar_stop(struct liar *l, struct site *s);

/* For lies. */
void must(bool good); /* ends the program otherwise */
json_t *quantity(uint64_t v);
/* eth_sendRawTransaction: keeps the anchor for itself, and says that the node has it. */
json_t *liar_swallow(struct liar *l, const json_t *params);

#endif
