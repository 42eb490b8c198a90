/* Exchange rounds over TLS on loopback: median microseconds for N threads (or processes), message sizes and
 * both ways of waiting; and the rate of large messages sent both ways at once.
 *   bench_round [threads|processes] */
#include "../tests/net/test_pair.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct run {
    struct test_mesh *mesh;
    unsigned self;
    size_t n;
    unsigned rounds;
    enum csl_wait wait;
    double *us; /* of party 0 */
    bool failed;
};

static void *party(void *arg) {
    struct run *r = arg;
    struct csl_loop loop;
    struct csl_diag diag = {""};
    uint8_t *in[CSL_MAX_PARTIES] = {NULL}, *out = calloc(1, r->n + 1);
    if (out == NULL || csl_loop_init(&loop, &diag) != CSL_OK) {
        abort();
    }
    struct csl_mesh_link *link = test_mesh_link(r->mesh, r->self, &loop, (uint32_t)r->n, 60000, r->wait);
    struct csl_link *base = csl_mesh_link_base(link);
    for (unsigned p = 0; p < base->n_parties; p++) {
        in[p] = calloc(1, r->n + 1);
    }
    for (unsigned k = 1; k <= r->rounds && !r->failed; k++) {
        uint64_t t = uv_hrtime();
        if (base->ops->exchange(base, in, k, out, r->n, &diag) != CSL_OK) {
            (void)fprintf(stderr, "party %u: %s\n", r->self, diag.text);
            r->failed = true;
        }
        r->us[k - 1] = (double)(uv_hrtime() - t) / 1e3;
    }
    csl_mesh_link_free(link);
    (void)csl_loop_clear(&loop, 5000);
    for (unsigned p = 0; p < CSL_MAX_PARTIES; p++) {
        free(in[p]);
    }
    free(out);
    return NULL;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void run_threads(struct run *r, unsigned n) {
    pthread_t t[CSL_MAX_PARTIES];
    for (unsigned i = 1; i < n; i++) {
        if (pthread_create(&t[i], NULL, party, &r[i]) != 0) {
            abort();
        }
    }
    (void)party(&r[0]);
    for (unsigned i = 1; i < n; i++) {
        (void)pthread_join(t[i], NULL);
    }
}

static void run_processes(struct run *r, unsigned n) {
    for (unsigned i = 1; i < n; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            for (unsigned a = 0; a < n; a++) { /* the sockets of others */
                for (unsigned b = 0; a != i && b < n; b++) {
                    csl_conn_parts_free(r->mesh->parts[a][b]);
                }
            }
            (void)party(&r[i]);
            _exit(r[i].failed);
        }
    }
    for (unsigned a = 1; a < n; a++) {
        for (unsigned b = 0; b < n; b++) {
            csl_conn_parts_free(r->mesh->parts[a][b]);
        }
    }
    (void)party(&r[0]);
    while (wait(NULL) > 0) {
    }
}

static double median_us(unsigned n, size_t bytes, unsigned rounds, enum csl_wait wait, bool processes,
                        const struct test_ca *ca) {
    struct test_mesh mesh;
    struct run r[CSL_MAX_PARTIES];
    test_mesh_new(&mesh, n, ca);
    for (unsigned i = 0; i < n; i++) {
        r[i] = (struct run){&mesh, i, bytes, rounds, wait, calloc(rounds, sizeof(double)), false};
    }
    (processes ? run_processes : run_threads)(r, n);
    qsort(r[0].us, rounds, sizeof(double), by_value);
    double median = r[0].failed ? -1 : r[0].us[rounds / 2];
    for (unsigned i = 0; i < n; i++) {
        free(r[i].us);
    }
    return median;
}

int main(int argc, char **argv) {
    bool processes = argc > 1 && strcmp(argv[1], "processes") == 0;
    struct test_ca ca = test_ca_new("Bench CA");
    const size_t sizes[] = {16, 1024, 8192};
    (void)printf("%s, median us of a round: spin / block\n   N      16 B             1 KB             8 KB\n",
                 processes ? "processes" : "threads");
    for (unsigned n = 2; n <= 5; n++) {
        (void)printf("%4u", n);
        for (size_t s = 0; s < 3; s++) {
            double spin = median_us(n, sizes[s], 3000, CSL_WAIT_SPIN, processes, &ca);
            double block = median_us(n, sizes[s], 3000, CSL_WAIT_BLOCK, processes, &ca);
            (void)printf("  %6.1f / %6.1f", spin, block);
            (void)fflush(stdout);
        }
        (void)printf("\n");
    }
    const size_t mb = 1 << 20;
    double us = median_us(2, 10 * mb, 20, CSL_WAIT_BLOCK, processes, &ca);
    (void)printf("10 MB both ways at once: %.0f us, %.2f ms a MB each way, %.2f GB/s each way\n", us,
                 us / 1e4, 10 * (double)mb / us / 1e3);
    test_ca_free(&ca);
    return 0;
}
