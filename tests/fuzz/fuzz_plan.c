/* Edits (offset u32, byte) of a good plan with every kind of step: what csl_plan_check lets through must be
 * safe to use. */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/bytes.h"
#include "crypto/secret.h"
#include "mpc/correlation.h"
#include "nn/infer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool fine) {
    if (!fine) {
        abort();
    }
}

/* A node whose window is kernel x kernel, stride s, over value `in`. */
static uint32_t add_node(struct csl_network *net, enum csl_op_kind kind, uint32_t in, uint32_t out_c,
                         uint32_t kernel, uint32_t stride) {
    struct csl_op_node *n = &net->nodes[net->n_nodes++];
    struct csl_hwc d = in == 0 ? net->input : net->nodes[in - 1].out;
    n->kind = kind;
    n->n_in = 1;
    n->in[0] = in;
    n->name[0] = 'n';
    n->out = (struct csl_hwc){(d.h - kernel) / stride + 1, (d.w - kernel) / stride + 1, out_c};
    n->shape = (struct csl_conv_shape){d.h,    d.w,    d.c, n->out.h, n->out.w, out_c, kernel, kernel,
                                       stride, stride, 0,   0,        1,        1,     1};
    n->shape.groups = kind == CSL_OPK_CONV ? 1 : d.c;
    if (kind == CSL_OPK_CONV) {
        n->w = csl_secret_alloc(csl_conv_weights(&n->shape), sizeof *n->w);
        n->b = csl_secret_alloc(out_c, sizeof *n->b);
        require(n->w != NULL && n->b != NULL);
        for (size_t i = 0; i < csl_conv_weights(&n->shape); i++) {
            n->w[i] = (float)(i % 5) - 2;
        }
    }
    net->output = net->n_nodes;
    return net->n_nodes;
}

static uint32_t join(struct csl_network *net, enum csl_op_kind kind, uint32_t a, uint32_t b) {
    struct csl_hwc d = net->nodes[a - 1].out;
    uint32_t v = add_node(net, kind, a, d.c * (kind == CSL_OPK_CONCAT ? 2 : 1), 1, 1);
    net->nodes[v - 1].n_in = 2;
    net->nodes[v - 1].in[1] = b;
    return v;
}

static void make_plan(struct csl_plan *plan) {
    struct csl_network *net = csl_secret_alloc(1, sizeof *net);
    struct csl_weights weights;
    struct csl_plan_options opt = csl_plan_options_default();
    require(net != NULL);
    net->input_rank = 3;
    net->input_shape[0] = 1;
    net->input_shape[1] = net->input_shape[2] = 8;
    net->input = (struct csl_hwc){8, 8, 1};
    uint32_t x = add_node(net, CSL_OPK_MAXPOOL, add_node(net, CSL_OPK_CONV, 0, 3, 3, 1), 3, 2, 2);
    uint32_t relu = add_node(net, CSL_OPK_ACTIVATE, x, 3, 1, 1); /* enumerator 0 */
    x = add_node(net, CSL_OPK_CONV, relu, 3, 1, 1);
    x = join(net, CSL_OPK_ADD, x, relu);
    uint32_t clip = add_node(net, CSL_OPK_ACTIVATE, x, 3, 1, 1);
    net->nodes[clip - 1].fn = CSL_FN_CLIP;
    net->nodes[clip - 1].b_param = 1;
    uint32_t max = add_node(net, CSL_OPK_MAXPOOL, clip, 3, 2, 1);
    uint32_t sum = add_node(net, CSL_OPK_AVGPOOL, clip, 3, 2, 1);
    x = add_node(net, CSL_OPK_PAD, join(net, CSL_OPK_CONCAT, max, sum), 6, 1, 1);
    add_node(net, CSL_OPK_CONV, add_node(net, CSL_OPK_CONV, x, 2, 2, 1), 4, 1, 1);
    require(csl_plan_compile(plan, &weights, NULL, net, &opt, NULL) == CSL_OK);
    csl_weights_clear(&weights);
    csl_network_free(net);
}

/* Weights of all ones through the plaintext evaluation, which shares its indexing with the secure one. */
static void evaluate(const struct csl_plan *p) {
    struct csl_qweights q = {.n_layers = p->n_layers, .layers = calloc(p->n_layers, sizeof *q.layers)};
    size_t n_y = csl_plan_n_outputs(p);
    int64_t *x = calloc(csl_plan_n_inputs(p), sizeof *x);
    int64_t *y = calloc(n_y, sizeof *y);
    double *bound = calloc(n_y, sizeof *bound);
    require(q.layers != NULL && x != NULL && y != NULL && bound != NULL);
    for (uint32_t i = 0; i < p->n_steps; i++) {
        const struct csl_step *s = &p->steps[i];
        if (s->kind == CSL_STEP_LINEAR) {
            struct csl_layer_qweights *l = &q.layers[s->layer];
            l->n_w = csl_conv_weights(&s->shape);
            l->n_b = s->shape.out_c;
            l->w = csl_secret_alloc(l->n_w, sizeof *l->w);
            l->b = csl_secret_alloc(l->n_b, sizeof *l->b);
            require(l->w != NULL && l->b != NULL);
        }
    }
    enum csl_err err = csl_eval_fixed(p, &q, y, x, 1, NULL, NULL, NULL);
    require(err == CSL_OK || err == CSL_EDATA);
    require(csl_eval_error_bound(p, &q, bound, 3) == CSL_OK);
    csl_qweights_clear(&q);
    free(x);
    free(y);
    free(bound);
}

/* The at-th byte of what a plan of n_steps uses. */
static uint8_t *used_byte(struct csl_plan *p, size_t at, uint32_t n_steps) {
    const struct {
        void *start;
        size_t n;
    } parts[] = {{p, offsetof(struct csl_plan, values)},
                 {p->values, (n_steps + 1) * sizeof *p->values},
                 {p->steps, n_steps * sizeof *p->steps},
                 {p->arms, 4 * sizeof *p->arms},
                 {&p->head, 1},
                 {&p->output_cut, 1}};
    size_t total = 0;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        total += parts[i].n;
    }
    size_t i = 0;
    for (at %= total; at >= parts[i].n; i++) {
        at -= parts[i].n;
    }
    return (uint8_t *)parts[i].start + at;
}

static bool is_small(const struct csl_plan *p) {
    size_t total = 0;
    for (uint32_t i = 0; i <= p->n_steps; i++) {
        size_t taps = i == 0 ? 1 : (size_t)p->steps[i - 1].shape.kernel_h * p->steps[i - 1].shape.kernel_w;
        bool window =
            i > 0 && p->steps[i - 1].kind != CSL_STEP_ADD && p->steps[i - 1].kind != CSL_STEP_CONCAT;
        total += (size_t)p->values[i].dim.h * p->values[i].dim.w * p->values[i].dim.c *
                 (window && taps > 0 ? taps : 1);
    }
    return total < 1 << 16;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct csl_plan good, p;
    static struct csl_demand demands[CSL_PLAN_MAX_DEMANDS];
    struct csl_diag diag = {""};
    if (good.n_steps == 0) {
        make_plan(&good);
    }
    p = good;
    for (; size >= 5; data += 5, size -= 5) {
        *used_byte(&p, csl_load_u32(data), good.n_steps) = data[4];
    }
    if (csl_plan_check(&p, &diag) != CSL_OK) {
        require(diag.text[0] != '\0');
        return 0;
    }
    struct csl_cost cost;
    size_t n;
    require(csl_plan_demands(&p, CSL_PROFILE_LAN, false, demands, &n) == CSL_OK && n != 0 &&
            n <= CSL_PLAN_MAX_DEMANDS);
    require(csl_plan_cost(&p, &cost, CSL_MAX_PARTIES, CSL_PLAN_MAX_BATCH, CSL_PROFILE_LAN, false) == CSL_OK);
    require(csl_model_share_bytes(&p) != 0 && csl_correction_bytes(demands, n) != 0);
    require(csl_plan_demands(&p, CSL_PROFILE_WAN, false, demands, &n) == CSL_OK);
    require(csl_correction_bytes(demands, n) != 0);
    require(csl_plan_cost(&p, &cost, CSL_MAX_PARTIES, CSL_PLAN_MAX_BATCH, CSL_PROFILE_WAN, false) == CSL_OK);
    (void)!csl_plan_cost(&p, &cost, 2, 1, CSL_PROFILE_LAN, true);
    if (csl_model_share_bytes(&p) < 1 << 16 && is_small(&p)) {
        struct csl_model_share share = {0};
        const uint8_t seed[CSL_SEED_BYTES] = {1};
        require(csl_model_share_expand(&share, &p, seed) == CSL_OK);
        csl_model_share_clear(&share);
        evaluate(&p);
    }
    return 0;
}
