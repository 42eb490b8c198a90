#include "mesh_world.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct test_ca mesh_ca;

int mesh_setup(void **state) {
    (void)state;
    mesh_ca = test_ca_new("Test CA");
    return 0;
}

int mesh_teardown(void **state) {
    (void)state;
    test_ca_free(&mesh_ca);
    return 0;
}

uint8_t mesh_content(unsigned from, uint32_t round, size_t i) {
    return (uint8_t)(from * 101 + round * 7 + i * 13 + (i >> 9));
}

static bool is_zero(const uint8_t *p, size_t n) {
    uint8_t any = 0;
    for (size_t i = 0; i < n; i++) {
        any |= p[i];
    }
    return any == 0;
}

void mesh_one_round(struct party *p, uint32_t round, size_t n) {
    struct csl_link *base = csl_mesh_link_base(p->link);
    uint8_t *in[CSL_MAX_PARTIES] = {NULL}, *out = malloc(n + 1);
    for (size_t i = 0; i < n; i++) {
        out[i] = mesh_content(p->self, round, i);
    }
    for (unsigned j = 0; j < base->n_parties; j++) {
        in[j] = j != p->self ? calloc(1, n + 1) : NULL;
    }
    p->err = base->ops->exchange(base, in, round, out, n, &p->diag);
    for (unsigned j = 0; j < base->n_parties; j++) {
        for (size_t i = 0; p->err == CSL_OK && j != p->self && i < n; i++) {
            p->bad = p->bad || in[j][i] != mesh_content(j, round, i);
        }
        p->bad = p->bad || (p->err != CSL_OK && j != p->self && !is_zero(in[j], n));
        free(in[j]);
    }
    free(out);
    p->done += p->err == CSL_OK;
}

void mesh_rounds_from(struct party *p, uint32_t first) {
    for (uint32_t k = first; k <= p->rounds && p->err == CSL_OK; k++) {
        mesh_one_round(p, k, p->sizes[(k - 1) % p->n_sizes]);
    }
}

static void act_good(struct party *p) {
    mesh_rounds_from(p, 1);
}

void *mesh_party_main(void *arg) {
    struct party *p = arg;
    if (csl_loop_init(&p->loop, NULL) != CSL_OK) {
        abort();
    }
    p->link = test_mesh_link(p->mesh, p->self, &p->loop, p->max_bytes, p->round_ms, p->wait);
    p->act(p);
    if (p->link != NULL) {
        p->culprit = csl_mesh_link_culprit(p->link);
        csl_mesh_link_free(p->link);
    }
    enum csl_err err = csl_loop_clear(&p->loop, LONG_MS);
    p->bad = p->bad || err != CSL_OK;
    return NULL;
}

void mesh_parties_init(struct party *p, struct test_mesh *m, unsigned n, const size_t *sizes,
                       unsigned n_sizes, unsigned rounds) {
    test_mesh_new(m, n, &mesh_ca);
    for (unsigned i = 0; i < n; i++) {
        p[i] = (struct party){.mesh = m,
                              .self = i,
                              .round_ms = LONG_MS,
                              .max_bytes = 11u << 20,
                              .act = act_good,
                              .sizes = sizes,
                              .n_sizes = n_sizes,
                              .rounds = rounds};
    }
}

void mesh_parties_run(struct party *p, unsigned n) {
    pthread_t t[CSL_MAX_PARTIES];
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(pthread_create(&t[i], NULL, mesh_party_main, &p[i]), 0);
    }
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(pthread_join(t[i], NULL), 0);
        assert_false(p[i].bad);
    }
}
