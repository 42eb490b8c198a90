/* Bytes per second of each implementation of the PRG, and its ratio to OpenSSL's EVP, in one run.
 *
 * The paths take turns over the same buffer and the best of several turns counts, so that a
 * change of clock frequency hits all of them alike.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "crypto/kdf.h"
#include "crypto/prg_internal.h"
#include "crypto/secret.h"

enum { TURNS = 15, TURN_BYTES = 64 << 20 };

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static enum csl_err turn(double *best, struct csl_prg *prg, uint8_t *buf, size_t n) {
    double from = now_s();
    for (size_t done = 0; done < TURN_BYTES; done += n) {
        TRY(csl_prg_fill(prg, buf, n, (uint32_t)(done / n), 0));
    }
    double rate = TURN_BYTES / (now_s() - from);
    *best = rate > *best ? rate : *best;
    return CSL_OK;
}

static enum csl_err bench_size(struct csl_prg *prg, uint8_t *buf, size_t n) {
    double best[CSL__PRG_PATHS] = {0};
    for (int t = 0; t < TURNS; t++) {
        for (int p = 0; p < CSL__PRG_PATHS; p++) {
            if (prg[p].path != NULL) {
                TRY(turn(&best[p], &prg[p], buf, n));
            }
        }
    }
    for (int p = 0; p < CSL__PRG_PATHS; p++) {
        if (prg[p].path != NULL) {
            printf("prg %-6s %8zu bytes a fill  %6.2f GB/s  %5.2f x evp\n", prg[p].path->name, n,
                   best[p] * 1e-9, best[p] / best[CSL__PRG_EVP]);
        }
    }
    return CSL_OK;
}

/* What one index costs before any of its bytes: K3's PRF and the key schedule. */
static enum csl_err bench_index(void) {
    enum { N = 100000 };
    uint8_t key[CSL_KEY_BYTES] = {1}, seed[CSL_KEY_BYTES], index[8] = {0};
    struct csl_prg prg;
    double from = now_s();
    for (int i = 0; i < N; i++) {
        TRY(csl_prf(seed, key, "index", index, sizeof index));
    }
    double prf_s = now_s() - from;
    from = now_s();
    for (int i = 0; i < N; i++) {
        TRY(csl_prg_init(&prg, seed));
        csl_prg_clear(&prg);
    }
    printf("prf %.0f ns, prg init %.0f ns\n", prf_s / N * 1e9, (now_s() - from) / N * 1e9);
    return CSL_OK;
}

int main(void) {
    static const size_t sizes[] = {64, 1024, 16384, 1 << 20};
    const uint8_t seed[CSL_SEED_BYTES] = {1, 2, 3};
    struct csl_prg prg[CSL__PRG_PATHS] = {0};
    enum csl_err err = CSL_ENOMEM;
    uint8_t *buf = csl_secret_alloc(1 << 20, 1);
    if (buf == NULL) {
        goto out;
    }
    for (int p = 0; p < CSL__PRG_PATHS; p++) {
        if (csl__prg_paths[p].available()) {
            TRY_OUT(csl__prg_init_path(&prg[p], seed, &csl__prg_paths[p]));
        }
    }
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        TRY_OUT(bench_size(prg, buf, sizes[s]));
    }
    TRY_OUT(bench_index());
out:
    for (int p = 0; p < CSL__PRG_PATHS; p++) {
        csl_prg_clear(&prg[p]);
    }
    csl_secret_free(buf);
    if (err != CSL_OK) {
        fprintf(stderr, "bench_prg: %s\n", csl_err_text(err));
    }
    return csl_err_exit_code(err);
}
