/* The parties of a session, each a thread with its link, over loopback. */
#ifndef TESTS_NET_MESH_WORLD_H
#define TESTS_NET_MESH_WORLD_H

#include "test_pair.h"

enum { LONG_MS = 120000 };

extern struct test_ca mesh_ca; /* between mesh_setup and mesh_teardown */
int mesh_setup(void **state);
int mesh_teardown(void **state);

struct party;
typedef void (*act_fn)(struct party *p);

struct party {
    struct test_mesh *mesh;
    unsigned self;
    uint32_t round_ms;
    uint32_t max_bytes;
    enum csl_wait wait;
    act_fn act;
    const size_t *sizes; /* of round k: sizes[(k - 1) % n_sizes] */
    unsigned n_sizes;
    unsigned rounds;
    struct csl_loop loop;
    struct csl_mesh_link *link;
    /* what came of it */
    enum csl_err err;
    struct csl_diag diag;
    unsigned done; /* rounds that succeeded */
    bool bad;      /* wrong contents, or outputs not zero after an error */
    unsigned culprit;
};

/* Byte i of what a party sends in a round. */
uint8_t mesh_content(unsigned from, uint32_t round, size_t i);
/* One round with known contents; checks what came. */
void mesh_one_round(struct party *p, uint32_t round, size_t n);
void mesh_rounds_from(struct party *p, uint32_t first);

/* All parties good; the caller changes what differs, then runs. */
void mesh_parties_init(struct party *p, struct test_mesh *m, unsigned n, const size_t *sizes,
                       unsigned n_sizes, unsigned rounds);
void mesh_parties_run(struct party *p, unsigned n);
/* The thread of one party. */
void *mesh_party_main(void *party);

#endif
