#include "cnn.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"

static uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* -1..1 */
static double random_at(uint32_t salt, size_t i) {
    return (double)(mix(mix(salt + 1) + i * 0x9e3779b97f4a7c15u) >> 11) / 4503599627370496.0 - 1;
}

struct csl_network *net_new(uint32_t h, uint32_t w, uint32_t c) {
    struct csl_network *net = csl_secret_alloc(1, sizeof *net);
    assert_non_null(net);
    strcpy(net->name, "net");
    net->input_rank = h == 1 && w == 1 ? 1 : 3;
    uint32_t chw[3] = {h == 1 && w == 1 ? c : c, h, w};
    memcpy(net->input_shape, chw, net->input_rank * sizeof *chw);
    net->input = (struct csl_hwc){h, w, c};
    return net;
}

static struct csl_hwc dim_of(const struct csl_network *net, uint32_t value) {
    return value == 0 ? net->input : net->nodes[value - 1].out;
}

static struct csl_op_node *add_node(struct csl_network *net, enum csl_op_kind kind, uint32_t in,
                                    const char *name) {
    assert_true(net->n_nodes < CSL_NETWORK_MAX_NODES);
    struct csl_op_node *node = &net->nodes[net->n_nodes++];
    node->kind = kind;
    node->n_in = 1;
    node->in[0] = in;
    node->out = dim_of(net, in);
    (void)snprintf(node->name, sizeof node->name, "%s #%u", name, net->n_nodes);
    net->output = net->n_nodes;
    return node;
}

static void set_window(struct csl_op_node *node, struct csl_hwc in, uint32_t out_c, struct window w) {
    uint32_t h = in.h + 2 * w.pad - (w.kernel_h - 1) * w.dilation;
    uint32_t width = in.w + 2 * w.pad - (w.kernel_w - 1) * w.dilation;
    node->out = (struct csl_hwc){w.out_h != 0 ? w.out_h : (h - 1) / w.stride + 1,
                                 w.out_w != 0 ? w.out_w : (width - 1) / w.stride + 1, out_c};
    node->shape = (struct csl_conv_shape){in.h,  in.w,       in.c,       node->out.h, node->out.w,
                                          out_c, w.kernel_h, w.kernel_w, w.stride,    w.stride,
                                          w.pad, w.pad,      w.dilation, w.dilation,  w.groups};
}

uint32_t net_conv(struct csl_network *net, uint32_t in, uint32_t out_c, struct window window, double gain,
                  uint32_t salt) {
    struct csl_op_node *node = add_node(net, CSL_OPK_CONV, in, "conv");
    set_window(node, dim_of(net, in), out_c, window);
    size_t n = csl_conv_weights(&node->shape);
    node->w = csl_secret_alloc(n, sizeof *node->w);
    node->b = csl_secret_alloc(out_c, sizeof *node->b);
    assert_true(node->w != NULL && node->b != NULL);
    double scale = gain * sqrt(3.0 * out_c / (double)n);
    for (size_t i = 0; i < n; i++) {
        node->w[i] = (float)(random_at(salt, i) * scale);
    }
    for (size_t i = 0; i < out_c; i++) {
        node->b[i] = (float)(random_at(salt + 1000, i) * 0.25);
    }
    return net->n_nodes;
}

uint32_t net_dense(struct csl_network *net, uint32_t in, uint32_t n, double gain, uint32_t salt) {
    struct csl_hwc d = dim_of(net, in);
    struct window w = {d.h, d.w, 1, 0, 1, 1, 0, 0}; /* over the whole picture */
    return net_conv(net, in, n, w, gain, salt);
}

uint32_t net_activate(struct csl_network *net, uint32_t in, enum csl_function fn, float a, float b) {
    struct csl_op_node *node = add_node(net, CSL_OPK_ACTIVATE, in, csl_function_name(fn));
    node->fn = fn;
    node->a = a;
    node->b_param = b;
    return net->n_nodes;
}

uint32_t net_relu(struct csl_network *net, uint32_t in) {
    return net_activate(net, in, CSL_FN_RELU, 0, 0);
}

uint32_t net_pool(struct csl_network *net, uint32_t in, enum csl_op_kind kind, struct window window,
                  bool include_pad) {
    struct csl_hwc d = dim_of(net, in);
    struct csl_op_node *node = add_node(net, kind, in, kind == CSL_OPK_MAXPOOL ? "maxpool" : "avgpool");
    window.groups = d.c;
    set_window(node, d, d.c, window);
    node->count_include_pad = include_pad;
    return net->n_nodes;
}

uint32_t net_join(struct csl_network *net, enum csl_op_kind kind, uint32_t a, uint32_t b) {
    struct csl_op_node *node = add_node(net, kind, a, kind == CSL_OPK_ADD ? "add" : "concat");
    node->n_in = 2;
    node->in[1] = b;
    node->out.c += kind == CSL_OPK_CONCAT ? dim_of(net, b).c : 0;
    return net->n_nodes;
}

uint32_t net_pad(struct csl_network *net, uint32_t in, uint32_t top, uint32_t left, uint32_t bottom,
                 uint32_t right) {
    struct csl_op_node *node = add_node(net, CSL_OPK_PAD, in, "pad");
    struct csl_hwc d = dim_of(net, in);
    set_window(node, d, d.c, (struct window){1, 1, 1, 0, 1, d.c, d.h + top + bottom, d.w + left + right});
    node->shape.pad_top = top;
    node->shape.pad_left = left;
    return net->n_nodes;
}

/* ---- compiled ---- */

struct built *build(struct csl_network *net, const struct csl_plan_options *opt) {
    struct csl_plan_options usual = csl_plan_options_default();
    struct csl_diag diag = {""};
    struct built *b = calloc(1, sizeof *b);
    assert_non_null(b);
    usual.input = (struct csl_normalization){CSL_NORMALIZE_CENTERED, -1, 1};
    b->net = net;
    enum csl_err err =
        csl_plan_compile(&b->plan, &b->weights, &b->report, net, opt == NULL ? &usual : opt, &diag);
    if (err == CSL_OK) {
        err = csl_quantise(&b->q, &b->plan, &b->weights, &diag);
    }
    if (err != CSL_OK) {
        fail_msg("%s: %s", csl_err_name(err), diag.text);
    }
    return b;
}

void built_free(struct built *b) {
    csl_network_free(b->net);
    csl_weights_clear(&b->weights);
    csl_qweights_clear(&b->q);
    free(b);
}

float *random_inputs(const struct csl_plan *plan, uint32_t batch, uint32_t salt) {
    size_t n = (size_t)batch * csl_plan_n_inputs(plan);
    float *x = calloc(n, sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < n; i++) {
        double t = i % 7 == 0 ? -1 : i % 7 == 1 ? 1 : random_at(salt, i);
        x[i] = (float)(plan->input.lo + (t + 1) / 2 * (plan->input.hi - plan->input.lo));
    }
    return x;
}

/* ---- networks ---- */

static uint32_t start(struct csl_network *net, uint32_t salt) {
    return net_conv(net, 0, 6, WINDOW(3, 1, 1), 1, salt);
}

/* A residual block behind an average pool whose scale is a third of a square: factors that are no powers. */
static void residual(struct csl_network *net, uint32_t window) {
    uint32_t x = net_relu(net, start(net, 20));
    x = net_pool(net, x, CSL_OPK_AVGPOOL, WINDOW(window, window, 0), true);
    uint32_t y =
        net_conv(net, net_relu(net, net_conv(net, x, 6, WINDOW(3, 1, 1), 1, 21)), 6, WINDOW(3, 1, 1), 1, 22);
    net_dense(net, net_relu(net, net_join(net, CSL_OPK_ADD, y, x)), 4, 1, 23);
}

static void concats(struct csl_network *net, bool products) {
    uint32_t x = net_relu(net, start(net, 30));
    uint32_t a = net_conv(net, x, 3, WINDOW(1, 1, 0), 1, 31);
    uint32_t b = net_conv(net, x, 5, WINDOW(3, 1, 1), 1, 32);
    b = products ? b : net_pool(net, net_relu(net, b), CSL_OPK_AVGPOOL, WINDOW(3, 1, 1), false);
    net_dense(net, net_relu(net, net_join(net, CSL_OPK_CONCAT, a, b)), 4, 1, 33);
}

static void activations(struct csl_network *net) {
    uint32_t x = net_activate(net, start(net, 40), CSL_FN_LEAKY_RELU, 0.1F, 0);
    x = net_activate(net, net_conv(net, x, 4, WINDOW(3, 2, 1), 1, 41), CSL_FN_CLIP, 0, 0.5F);
    x = net_activate(net, net_conv(net, x, 4, WINDOW(2, 1, 0), 1, 42), CSL_FN_CLIP, -0.25F, 0.75F);
    x = net_activate(net, net_dense(net, x, 9, 1, 43), CSL_FN_HARD_SIGMOID, 0.2F, 0.5F);
    net_dense(net, x, 3, 1, 44);
}

static void smooth(struct csl_network *net, enum csl_function fn) {
    uint32_t x = net_activate(net, start(net, 50), fn, 1, 0);
    x = net_pool(net, x, CSL_OPK_AVGPOOL, WINDOW(2, 2, 0), true);
    x = net_activate(net, net_dense(net, x, 5, 1, 51), fn, 1, 0);
    net_dense(net, x, 3, 1, 52);
}

/* Maxima of products, of activations, of overlapping and padded windows; a maximum without ReLU. */
static void maxima(struct csl_network *net) {
    uint32_t x = net_pool(net, start(net, 60), CSL_OPK_MAXPOOL, WINDOW(2, 2, 0), false);
    x = net_relu(net, x);
    x = net_pool(net, x, CSL_OPK_MAXPOOL, WINDOW(3, 1, 1), false);
    x = net_pool(net, net_conv(net, x, 5, WINDOW(2, 1, 0), 1, 61), CSL_OPK_MAXPOOL, WINDOW(3, 2, 1), false);
    net_dense(net, x, 4, 1, 62);
}

static void geometry(struct csl_network *net) {
    uint32_t x = net_pad(net, 0, 1, 2, 0, 1);
    x = net_relu(net, net_conv(net, x, 6, (struct window){3, 2, 2, 0, 1, 1, 0, 0}, 1, 70));
    x = net_relu(net, net_conv(net, x, 6, (struct window){3, 3, 1, 2, 2, 6, 0, 0}, 1, 71)); /* depthwise */
    x = net_pool(net, x, CSL_OPK_MAXPOOL, WINDOW(1, 2, 0), false);
    x = net_relu(net, net_conv(net, x, 8, (struct window){1, 1, 1, 0, 1, 2, 0, 0}, 1, 72));
    net_dense(net, x, 4, 1, 73);
}

/* One that ends in sums and pools, of which no truncation follows. */
static void ends_in_pool(struct csl_network *net, bool uniform) {
    uint32_t x = net_relu(net, start(net, 80));
    x = net_conv(net, x, 4, WINDOW(3, 1, 0), 1, 81);
    if (uniform) {
        net_pool(net, x, CSL_OPK_AVGPOOL, (struct window){6, 6, 1, 0, 1, 1, 0, 0}, false);
    } else {
        net_relu(net, net_pool(net, x, CSL_OPK_AVGPOOL, (struct window){4, 4, 4, 1, 1, 1, 2, 2}, false));
    }
}

static void minionn(struct csl_network *net) {
    uint32_t x =
        net_pool(net, net_conv(net, 0, 16, WINDOW(5, 1, 0), 1, 90), CSL_OPK_MAXPOOL, WINDOW(2, 2, 0), 0);
    x = net_conv(net, net_relu(net, x), 16, WINDOW(5, 1, 0), 1, 91);
    x = net_relu(net, net_pool(net, x, CSL_OPK_MAXPOOL, WINDOW(2, 2, 0), false));
    net_dense(net, net_relu(net, net_dense(net, x, 100, 1, 92)), 10, 1, 93);
}

struct csl_network *cnn(int number) {
    struct csl_network *net = number == 13 ? net_new(28, 28, 1) : net_new(8, 8, 2);
    switch (number) {
    case 0:
        net_dense(net, 0, 5, 1, 10);
        break;
    case 1:
        net_dense(net, net_dense(net, 0, 5, 1, 10), 4, 1, 11); /* a truncation between */
        break;
    case 2:
        residual(net, 2);
        break;
    case 3:
        residual(net, 3);
        break;
    case 4:
    case 5:
        concats(net, number == 4);
        break;
    case 6:
        activations(net);
        break;
    case 7:
        smooth(net, CSL_FN_TANH);
        break;
    case 8:
        smooth(net, CSL_FN_ELU);
        break;
    case 9:
        maxima(net);
        break;
    case 10:
        geometry(net);
        break;
    case 11:
    case 12:
        ends_in_pool(net, number == 11);
        break;
    default:
        minionn(net);
        break;
    }
    return net;
}

struct csl_network *net_two_layers(double gain, double gain2, bool relu) {
    struct csl_network *net = net_new(1, 1, 6);
    uint32_t x = net_dense(net, 0, 5, gain, 1);
    strcpy(net->nodes[0].name, "first");
    net_dense(net, relu ? net_relu(net, x) : x, 3, gain2, 2);
    strcpy(net->nodes[net->n_nodes - 1].name, "second");
    return net;
}

const struct csl_step *plan_step(const struct csl_plan *plan, enum csl_step_kind kind) {
    for (uint32_t i = 0; i < plan->n_steps; i++) {
        if (plan->steps[i].kind == kind) {
            return &plan->steps[i];
        }
    }
    fail_msg("no such step");
    return NULL;
}
