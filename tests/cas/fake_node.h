/* A Kubo node and a gateway of the test's own, which lie as they are told. */
#ifndef TESTS_CAS_FAKE_NODE_H
#define TESTS_CAS_FAKE_NODE_H

#include "../net/http_server.h"
#include "content.h"

enum fake_how {
    FAKE_HONEST,
    FAKE_OTHER,     /* another CID; other bytes */
    FAKE_TRUNCATED, /* the connection ends in the middle */
    FAKE_SHORT,     /* fewer bytes, in good form */
    FAKE_LONGER,    /* one byte more */
    FAKE_NOTHING,   /* an empty answer in good form */
    FAKE_CLOSED,    /* no answer */
    FAKE_NEVER,     /* silence */
    FAKE_DRIBBLE,   /* a byte now and then */
    FAKE_REDIRECT,
    FAKE_ENDLESS,
    FAKE_ERROR, /* status 500 with a reason, as Kubo says it */
    FAKE_HTML,
    FAKE_TWICE,    /* two CIDs */
    FAKE_REFUSES,  /* an error after the status 200 */
    FAKE_NO_CID,   /* progress alone */
    FAKE_NOT_A_CID /* a name that is none */
};

struct fake_node {
    enum fake_how how;
    struct test_http *server;
    uint8_t *bytes; /* the file that was added last */
    size_t n;
    struct csl_unixfs_profile profile; /* as the request had it */
    char head[2048];                   /* of the last request */
    struct test_blocks blocks;         /* what the gateway has */
};
void fake_node_start(struct fake_node *f);
/* Ends it, and everything that it holds. */
void fake_node_stop(struct fake_node *f);
/* Its URL with this path; valid until the next call. */
const char *fake_node_url(struct fake_node *f, const char *path);

#endif
