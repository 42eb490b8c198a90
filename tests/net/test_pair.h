/* Connected pairs over loopback, for the tests and the benchmark of net. */
#ifndef TESTS_NET_TEST_PAIR_H
#define TESTS_NET_TEST_PAIR_H

#include "net/channel.h"
#include "net/conn.h"
#include "net/mesh_link.h"
#include "test_certs.h"

/* Two ends of one connection: ends[0] dialled (site a), ends[1] accepted (site b). Aborts on failure. */
void test_connect(struct csl_conn_parts *ends[2], struct csl_tls_ctx *a, struct csl_tls_ctx *b);

/* parts[i][j]: party i's end of its connection with j. names "party-0".. */
struct test_mesh {
    unsigned n;
    struct csl_conn_parts *parts[CSL_MAX_PARTIES][CSL_MAX_PARTIES];
    char names[CSL_MAX_PARTIES][24];
};
void test_mesh_new(struct test_mesh *m, unsigned n, const struct test_ca *ca);

/* The link of party self in loop, with its parts attached. Aborts on failure. */
struct csl_mesh_link *test_mesh_link(struct test_mesh *m, unsigned self, struct csl_loop *loop,
                                     uint32_t max_bytes, uint32_t round_ms, enum csl_wait wait);

#endif
