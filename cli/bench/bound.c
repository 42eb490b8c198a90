#include "cli/bench/bound.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const unsigned ring_bits[CSL_BENCH_RINGS] = {32, 52, 64};
static const char formula[] =
    "bound = (r - 1 + min(1, C/N)) t0 + r d + max(8 B / rate, B s + N/C w), w = max(sum m_i / p_i, V / v)";

/* ---- The workload ---- */

static void add_linear(struct csl_bench_work *w, const struct csl_demand *d, uint32_t batch) {
    const struct csl_conv_shape *s = &d->conv;
    double taps = (double)s->kernel_h * s->kernel_w * ((double)s->in_c / s->groups);
    unsigned ring = 0;
    while (ring_bits[ring] < d->bits) {
        ring++;
    }
    w->products[ring] += taps * (double)csl_conv_outputs(s) * batch;
    w->weight_bytes += (csl_conv_weights(s) * (uint64_t)d->bits + 7) / 8;
}

enum csl_err csl_bench_work_of(struct csl_bench_work *out, const struct csl_plan *plan, unsigned n_parties,
                               uint32_t batch, enum csl_profile profile) {
    struct csl_cost cost;
    size_t n = 0;
    memset(out, 0, sizeof *out);
    TRY(csl_plan_cost(plan, &cost, n_parties, batch, profile, false));
    struct csl_demand *demands = calloc(CSL_PLAN_MAX_DEMANDS, sizeof *demands);
    enum csl_err err = demands == NULL ? CSL_ENOMEM : csl_plan_demands(plan, profile, false, demands, &n);
    for (size_t i = 0; i < n && err == CSL_OK; i++) {
        if (demands[i].kind == CSL_DEMAND_LINEAR) {
            add_linear(out, &demands[i], batch);
        }
    }
    free(demands);
    out->n_parties = n_parties;
    out->openings = cost.rounds - 1; /* the last hop is the output's */
    out->bytes = cost.online_bytes;
    return err;
}

/* ---- The bound ---- */

static double measured_us(const struct csl_bench_rounds *r, size_t i, enum csl_bench_way way) {
    double spin = r->spin_us[i], block = r->block_us[i];
    return way == CSL_BENCH_SPIN ? spin : way == CSL_BENCH_BLOCK ? block : spin < block ? spin : block;
}

/* More bytes cannot take less time: where noise says so, the smaller figure counts. */
static double round_us(const struct csl_bench_rounds *r, size_t i, enum csl_bench_way way) {
    double us = measured_us(r, i, way);
    for (; i < CSL_BENCH_SIZES; i++) {
        double more = measured_us(r, i, way);
        us = more < us ? more : us;
    }
    return us;
}

/* From messages that are large enough for a slope to be more than noise. */
static double slope(const struct csl_bench_rounds *r, enum csl_bench_way way) {
    enum { LARGE = 8192 };
    double least = INFINITY;
    for (size_t i = 1; i < CSL_BENCH_SIZES; i++) {
        double s =
            (round_us(r, i, way) - round_us(r, 0, way)) / (double)(csl_bench_sizes[i] - csl_bench_sizes[0]);
        least = csl_bench_sizes[i] >= LARGE && s < least ? s : least;
    }
    return least;
}

static double larger(double a, double b) {
    return a > b ? a : b;
}

static double seconds_of_work(const struct csl_bench_machine *m, const struct csl_bench_work *w) {
    double s = 0;
    for (unsigned i = 0; i < CSL_BENCH_RINGS; i++) {
        s += w->products[i] / csl_bench_best_path(&m->cpu, ring_bits[i])->per_s;
    }
    double read = w->weight_bytes == 0 ? 0 : (double)w->weight_bytes / m->cpu.weights_bytes_per_s;
    return larger(s, read);
}

/* Rounds of which all parties' work falls into the time that is measured. */
static double whole_rounds(const struct csl_bench_machine *m, const struct csl_bench_work *w) {
    double first = (double)m->cpu.cores / w->n_parties;
    return w->openings == 0 ? 0 : w->openings - 1 + (first < 1 ? first : 1);
}

struct csl_bench_bound csl_bench_bound_of(const struct csl_bench_machine *m, const struct csl_bench_work *w,
                                          enum csl_bench_way way) {
    double delay_us = w->net != NULL ? w->net->rtt_us / 2.0 : 0, bytes = (double)w->bytes;
    struct csl_bench_bound b = {.round_us = round_us(&m->rounds, 0, way),
                                .us_per_byte = slope(&m->rounds, way)};
    bool polls = way == CSL_BENCH_SPIN ||
                 (way == CSL_BENCH_BEST &&
                  round_us(&m->rounds, 0, CSL_BENCH_SPIN) <= round_us(&m->rounds, 0, CSL_BENCH_BLOCK));
    b.waiting = polls ? "polling" : "sleeping";
    b.rounds_ms = (whole_rounds(m, w) * b.round_us + w->openings * delay_us) / 1e3;
    b.bytes_ms = bytes * b.us_per_byte / 1e3;
    b.wire_ms = w->net != NULL && w->net->bits_per_s != 0 ? bytes * 8e3 / (double)w->net->bits_per_s : 0;
    b.compute_ms = seconds_of_work(m, w) * 1e3 * w->n_parties / m->cpu.cores;
    b.bound_ms = b.rounds_ms + larger(b.wire_ms, b.bytes_ms + b.compute_ms);
    return b;
}

/* ---- The report ---- */

static json_t *products_json(const struct csl_bench_machine *m, const struct csl_bench_work *w) {
    json_t *list = json_array();
    for (unsigned i = 0; i < CSL_BENCH_RINGS; i++) {
        const struct csl_bench_path *p = csl_bench_best_path(&m->cpu, ring_bits[i]);
        (void)json_array_append_new(list, json_pack("{s:i, s:f, s:s, s:f}", "bits", (int)ring_bits[i], "m",
                                                    w->products[i], "by", p->name, "p", p->per_s));
    }
    return list;
}

json_t *csl_bench_bound_json(const struct csl_bench_machine *m, const struct csl_bench_work *w,
                             const struct csl_bench_bound *b) {
    json_t *inputs =
        json_pack("{s:i, s:i, s:f, s:f, s:f, s:I, s:i, s:I, s:o, s:I, s:f}", "N", (int)w->n_parties, "C",
                  (int)m->cpu.cores, "t0_us", b->round_us, "s_us_per_byte", b->us_per_byte, "d_us",
                  w->net != NULL ? w->net->rtt_us / 2.0 : 0.0, "rate_bits_per_s",
                  (json_int_t)(w->net != NULL ? w->net->bits_per_s : 0), "r", (int)w->openings, "B",
                  (json_int_t)w->bytes, "products", products_json(m, w), "V", (json_int_t)w->weight_bytes,
                  "v_bytes_per_s", m->cpu.weights_bytes_per_s);
    return json_pack("{s:s, s:s, s:o, s:{s:f, s:f, s:f, s:f}}", "formula", formula, "waiting", b->waiting,
                     "inputs", inputs, "terms_ms", "rounds", b->rounds_ms, "bytes", b->bytes_ms, "wire",
                     b->wire_ms, "compute", b->compute_ms);
}
