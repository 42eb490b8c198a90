/* consilium bench kernels: every kernel on one core, beside the least time that its products, its memory or
 * its random bytes permit on this machine. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/bench/kernels.h"
#include "cli/bench/kernels_internal.h"
#include "cli/commands.h"
#include "crypto/kdf.h"
#include "crypto/prg_internal.h"
#include "mpc/gemm_internal.h"
#include "mpc/pack_internal.h"
#include "mpc/relu_kernels.h"

enum { TURNS = 9, CACHED = 4096 };

/* ---- Timing ---- */

/* The best turn's nanoseconds a call; a turn is long enough for the clock. */
static double best_ns(const struct csl__bench *b, csl__bench_call_fn *call, void *arg) {
    double turn_s = b->o.quick ? 2e-4 : 4e-3, best = 0;
    call(arg);
    double from = csl_bench_now_s();
    call(arg);
    double once = csl_bench_now_s() - from;
    size_t repeat = once < turn_s ? (size_t)(turn_s / (once + 1e-9)) + 1 : 1;
    for (int t = 0; t < (b->o.quick ? 2 : TURNS); t++) {
        from = csl_bench_now_s();
        for (size_t i = 0; i < repeat; i++) {
            call(arg);
        }
        double ns = (csl_bench_now_s() - from) * 1e9 / (double)repeat;
        best = t == 0 || ns < best ? ns : best;
    }
    return best;
}

static double bound_ns(const struct csl__bench *b, const struct csl__bench_work *w) {
    const struct csl_bench_path *p = csl_bench_best_path(&b->cpu, w->bits > 52 ? 64 : w->bits > 32 ? 52 : 32);
    double bound = w->products / p->per_s;
    double read =
        w->read_bytes == 0 ? 0 : w->read_bytes / csl_bench_read_rate((size_t)w->read_bytes, b->o.quick);
    double written = w->written_bytes / b->cpu.write_bytes_per_s;
    double random = w->random_bytes / b->cpu.prg_bytes_per_s;
    bound = read > bound ? read : bound;
    bound = written > bound ? written : bound;
    return (random > bound ? random : bound) * 1e9;
}

/* Products a second of the best such way. */
static double own_peak(const struct csl__bench *b, const struct csl__bench_work *w) {
    double best = 0;
    for (size_t i = 0; w->own != NULL && i < CSL_BENCH_PATHS; i++) {
        const struct csl_bench_path *p = &b->cpu.products[i];
        bool same = p->name != NULL && p->bits == w->bits && strncmp(p->name, w->own, strlen(w->own)) == 0;
        best = same && p->per_s > best ? p->per_s : best;
    }
    return best;
}

void csl__bench_measure(struct csl__bench *b, const struct csl__bench_work *w, csl__bench_call_fn *call,
                        void *arg) {
    double ns = best_ns(b, call, arg), bound = bound_ns(b, w);
    json_t *row =
        json_pack("{s:s, s:s, s:s, s:i, s:f, s:f, s:f}", "kernel", w->name, "shape", w->shape, "path",
                  w->path, "bits", (int)w->bits, "ns", ns, "bound_ns", bound, "of_bound", bound / ns);
    if (row != NULL && w->products > 0) {
        (void)json_object_set_new(row, "products_per_s", json_real(w->products / ns * 1e9));
    }
    if (row != NULL && own_peak(b, w) > 0) {
        (void)json_object_set_new(row, "of_path_peak", json_real(w->products / ns * 1e9 / own_peak(b, w)));
    }
    if (row != NULL && w->random_bytes > 0) {
        (void)json_object_set_new(row, "bytes_per_s", json_real(w->random_bytes / ns * 1e9));
    }
    if (row != NULL && w->bits == 64 && w->products > 0 && b->cpu.vpmullq_per_s > 0) {
        (void)json_object_set_new(row, "of_vpmullq",
                                  json_real(w->products / ns * 1e9 / b->cpu.vpmullq_per_s));
    }
    (void)json_array_append_new(b->rows, row);
}

uint64_t *csl__bench_values(size_t n) {
    uint64_t *v = calloc(n, sizeof *v);
    if (v == NULL) {
        abort();
    }
    for (size_t i = 0; i < n; i++) {
        v[i] = (i + 1) * 0x9e3779b97f4a7c15;
    }
    return v;
}

/* ---- Packing ---- */

struct packing {
    const struct csl__pack_path *path;
    uint64_t *values;
    uint8_t *bytes;
    unsigned bits;
};

static void run_pack(void *arg) {
    const struct packing *p = arg;
    p->path->pack(p->bytes, p->values, CACHED, p->bits);
}

static void run_unpack(void *arg) {
    const struct packing *p = arg;
    p->path->unpack(p->values, p->bytes, CACHED, p->bits);
}

static void bench_width(struct csl__bench *b, struct packing *p, unsigned bits) {
    double wide = 8.0 * CACHED, packed = wide * bits / 64;
    struct csl__bench_work in = {.name = "pack",
                                 .path = p->path->name,
                                 .bits = bits,
                                 .read_bytes = wide,
                                 .written_bytes = packed},
                           out = {.name = "unpack",
                                  .path = p->path->name,
                                  .bits = bits,
                                  .read_bytes = packed,
                                  .written_bytes = wide};
    (void)snprintf(in.shape, sizeof in.shape, "%d", CACHED);
    (void)snprintf(out.shape, sizeof out.shape, "%d", CACHED);
    p->bits = bits;
    csl__bench_measure(b, &in, run_pack, p);
    csl__bench_measure(b, &out, run_unpack, p);
}

static void bench_packing(struct csl__bench *b) {
    static const unsigned widths[] = {1, 16, 27, 32, 40, 57, 64};
    struct packing p = {.values = csl__bench_values(CACHED), .bytes = (uint8_t *)csl__bench_values(CACHED)};
    for (int i = 0; i < CSL__PACK_PATHS; i++) {
        p.path = &csl__pack_paths[i];
        for (size_t w = 0; w < sizeof widths / sizeof *widths && p.path->available(); w++) {
            bench_width(b, &p, widths[w]);
        }
    }
    free(p.values), free(p.bytes);
}

/* ---- Random bytes ---- */

struct filling {
    struct csl_prg prg;
    uint8_t *out;
    size_t n;
};

static void run_fill(void *arg) {
    struct filling *f = arg;
    if (csl_prg_fill(&f->prg, f->out, f->n, 0, 0) != CSL_OK) {
        abort();
    }
}

/* What one index costs before any of its bytes: K3's PRF. */
static void run_prf(void *arg) {
    static const uint8_t key[CSL_KEY_BYTES] = {1}, index[8] = {0};
    if (csl_prf(arg, key, "index", index, sizeof index) != CSL_OK) {
        abort();
    }
}

static void bench_random(struct csl__bench *b) {
    static const size_t sizes[] = {64, 1024, 16384, 1 << 20};
    static const uint8_t seed[CSL_SEED_BYTES] = {1, 2, 3};
    struct filling f = {.out = (uint8_t *)csl__bench_values((1 << 20) / 8)};
    for (int p = 0; p < CSL__PRG_PATHS; p++) {
        if (!csl__prg_paths[p].available() ||
            csl__prg_init_path(&f.prg, seed, &csl__prg_paths[p]) != CSL_OK) {
            continue;
        }
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            struct csl__bench_work w = {
                .name = "prg", .path = csl__prg_paths[p].name, .bits = 8, .random_bytes = (double)sizes[i]};
            (void)snprintf(w.shape, sizeof w.shape, "%zu B", sizes[i]);
            f.n = sizes[i];
            csl__bench_measure(b, &w, run_fill, &f);
        }
        csl_prg_clear(&f.prg);
    }
    uint8_t out[CSL_KEY_BYTES];
    struct csl__bench_work w = {.name = "prf", .path = "openssl", .bits = 8};
    (void)snprintf(w.shape, sizeof w.shape, "an index");
    csl__bench_measure(b, &w, run_prf, out);
    free(f.out);
}

/* ---- ReLU, k = 24, f = 16: four digits ---- */

struct relu {
    const struct csl__relu_kernels *kernels;
    struct csl__products products;
    uint64_t *a[8];
};

static void run_table(void *arg) {
    const struct relu *r = arg;
    r->kernels->read_table(r->a[0], r->a[1], r->a[2], r->a[3], CACHED, 6, 6, 1);
}

static void run_combine(void *arg) {
    const struct relu *r = arg;
    r->kernels->combine(r->a[0], r->a[1], r->a[2], r->a[3], &r->products, CACHED / 64, CACHED / 64,
                        UINT64_MAX);
}

static void run_finish(void *arg) {
    const struct relu *r = arg;
    const struct csl__relu_finish f = {.c_high = r->a[1],
                                       .e = r->a[2],
                                       .beta = r->a[3],
                                       .r_high = r->a[4],
                                       .r_beta = r->a[5],
                                       .s = r->a[6],
                                       .s_beta = r->a[7],
                                       .n = CACHED,
                                       .k = 24,
                                       .out_bits = 40,
                                       .one = 1};
    r->kernels->finish(r->a[0], &f);
}

static void bench_relu_path(struct csl__bench *b, struct relu *r, const char *path) {
    double n = CACHED, planes = r->products.n_inputs * 2 + r->products.n_products;
    struct csl__bench_work table = {.name = "relu tables",
                                    .path = path,
                                    .bits = 6,
                                    .read_bytes = 16 * n,
                                    .written_bytes = n / 4},
                           combine = {.name = "relu products",
                                      .path = path,
                                      .bits = 1,
                                      .read_bytes = planes * n / 8,
                                      .written_bytes = n / 8},
                           finish = {.name = "relu finish",
                                     .path = path,
                                     .bits = 40,
                                     .read_bytes = 48 * n,
                                     .written_bytes = 8 * n};
    struct csl__bench_work *all[] = {&table, &combine, &finish};
    csl__bench_call_fn *calls[] = {run_table, run_combine, run_finish};
    for (int i = 0; i < 3; i++) {
        (void)snprintf(all[i]->shape, sizeof all[i]->shape, "%d", CACHED);
        csl__bench_measure(b, all[i], calls[i], r);
    }
}

static void bench_relus(struct csl__bench *b) {
    struct relu r;
    csl__products_init(&r.products, 4);
    for (int i = 0; i < 8; i++) {
        r.a[i] = csl__bench_values(CACHED);
    }
    r.kernels = &csl__relu_portable;
    bench_relu_path(b, &r, "portable");
    if (csl__gemm_has(CSL__GEMM_AVX2)) {
        r.kernels = &csl__relu_avx2;
        bench_relu_path(b, &r, "avx2");
    }
    if (csl__gemm_has(CSL__GEMM_AVX512)) {
        r.kernels = &csl__relu_avx512;
        bench_relu_path(b, &r, "avx512");
    }
    for (int i = 0; i < 8; i++) {
        free(r.a[i]);
    }
}

/* ---- The command ---- */

static void run_all(struct csl__bench *b) {
    b->rows = json_array();
    csl_bench_cpu_measure(&b->cpu, b->o.quick);
    csl__bench_products(b);
    bench_packing(b);
    bench_random(b);
    bench_relus(b);
}

static void print(const struct csl__bench *b) {
    size_t i;
    json_t *row;
    (void)printf("%-14s %-28s %-10s %4s %12s %12s %9s %9s %9s\n", "kernel", "shape", "path", "bits", "ns",
                 "bound, ns", "of bound", "of path", "G/s");
    json_array_foreach(b->rows, i, row) {
        double rate = json_number_value(json_object_get(row, "products_per_s")) +
                      json_number_value(json_object_get(row, "bytes_per_s"));
        (void)printf("%-14s %-28s %-10s %4d %12.1f %12.1f %9.2f %9.2f %9.2f\n",
                     json_string_value(json_object_get(row, "kernel")),
                     json_string_value(json_object_get(row, "shape")),
                     json_string_value(json_object_get(row, "path")),
                     (int)json_integer_value(json_object_get(row, "bits")),
                     json_number_value(json_object_get(row, "ns")),
                     json_number_value(json_object_get(row, "bound_ns")),
                     json_number_value(json_object_get(row, "of_bound")),
                     json_number_value(json_object_get(row, "of_path_peak")), rate * 1e-9);
    }
}

static const struct csl_opt opts[] = {
    CSL_FLAG(struct csl__bench_options, quick, "quick", "less of it, for a try"), CSL_OPTS_END};
static const struct csl_spec spec = {
    .name = "bench kernels",
    .synopsis = "[--quick] [--json]",
    .text =
        "Times the kernels on one core, every path that the CPU has, beside what the same core can multiply "
        "and add,\n"
        "read and write in cache, or draw by AES in counter mode.",
    .opts = opts,
    .has_json = true};

static json_t *report(const struct csl__bench *b) {
    return json_pack("{s:s, s:o, s:O}", "version", CSL_VERSION, "machine", csl_bench_cpu_json(&b->cpu),
                     "kernels", b->rows);
}

json_t *csl_bench_kernels(bool quick) {
    struct csl__bench b = {.o = {quick}};
    run_all(&b);
    json_t *doc = report(&b);
    json_decref(b.rows);
    return doc;
}

int cmd_bench_kernels(struct csl_cli *cli, int argc, char **argv) {
    struct csl__bench b = {.rows = NULL};
    int code;
    if (!csl_args_parse(cli, &spec, &b.o, NULL, argc, argv, &code)) {
        return code;
    }
    enum csl_err err = CSL_OK;
    run_all(&b);
    if (cli->json) {
        err = csl_cli_print_json(cli, report(&b));
    } else {
        print(&b);
    }
    json_decref(b.rows);
    return csl_cli_finish(cli, err);
}
