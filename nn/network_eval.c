/* The float reference of a network: one input at a time, in double precision, written to be read. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "nn/network.h"

static size_t count(struct csl_hwc d) {
    return (size_t)d.h * d.w * d.c;
}

/* Where tap `k` of output position `o` lies in the picture, or -1 when outside. */
static int64_t tap(uint32_t o, uint32_t k, uint32_t stride, uint32_t dilation, uint32_t pad, uint32_t in) {
    int64_t at = (int64_t)o * stride + (int64_t)k * dilation - pad;
    return at >= 0 && at < (int64_t)in ? at : -1;
}

/* acc (out_c) += one tap's channels (in_c) times its weights (in_c / groups x out_c). */
static void conv_tap(double *acc, const double *x, const float *w, const struct csl_conv_shape *s) {
    uint32_t in_g = s->in_c / s->groups;
    uint32_t out_g = s->out_c / s->groups;
    for (uint32_t g = 0; g < s->groups; g++) {
        for (uint32_t i = 0; i < in_g; i++) {
            double xi = x[g * in_g + i];
            const float *row = w + (size_t)i * s->out_c + (size_t)g * out_g;
            for (uint32_t j = 0; j < out_g; j++) {
                acc[g * out_g + j] += xi * (double)row[j];
            }
        }
    }
}

static void eval_conv(double *y, const double *x, const struct csl_op_node *node) {
    const struct csl_conv_shape *s = &node->shape;
    size_t tap_weights = (size_t)(s->in_c / s->groups) * s->out_c;
    for (uint32_t oh = 0; oh < s->out_h; oh++) {
        for (uint32_t ow = 0; ow < s->out_w; ow++, y += s->out_c) {
            for (uint32_t c = 0; c < s->out_c; c++) {
                y[c] = (double)node->b[c];
            }
            for (uint32_t kh = 0; kh < s->kernel_h; kh++) {
                for (uint32_t kw = 0; kw < s->kernel_w; kw++) {
                    int64_t h = tap(oh, kh, s->stride_h, s->dilation_h, s->pad_top, s->in_h);
                    int64_t w = tap(ow, kw, s->stride_w, s->dilation_w, s->pad_left, s->in_w);
                    if (h >= 0 && w >= 0) {
                        conv_tap(y, x + ((size_t)h * s->in_w + (size_t)w) * s->in_c,
                                 node->w + ((size_t)kh * s->kernel_w + kw) * tap_weights, s);
                    }
                }
            }
        }
    }
}

/* One output position of MAXPOOL or AVGPOOL: what lies outside the picture is not looked at. */
static void pool_position(double *y, const double *x, const struct csl_op_node *node, uint32_t oh,
                          uint32_t ow) {
    const struct csl_conv_shape *s = &node->shape;
    bool is_max = node->kind == CSL_OPK_MAXPOOL;
    uint64_t n = 0;
    for (uint32_t c = 0; c < s->out_c; c++) {
        y[c] = is_max ? -INFINITY : 0.0;
    }
    for (uint32_t kh = 0; kh < s->kernel_h; kh++) {
        int64_t h = tap(oh, kh, s->stride_h, s->dilation_h, s->pad_top, s->in_h);
        for (uint32_t kw = 0; h >= 0 && kw < s->kernel_w; kw++) {
            int64_t w = tap(ow, kw, s->stride_w, s->dilation_w, s->pad_left, s->in_w);
            if (w < 0) {
                continue;
            }
            const double *row = x + ((size_t)h * s->in_w + (size_t)w) * s->in_c;
            for (uint32_t c = 0; c < s->out_c; c++) {
                y[c] = is_max ? fmax(y[c], row[c]) : y[c] + row[c];
            }
            n++;
        }
    }
    n = node->count_include_pad ? (uint64_t)s->kernel_h * s->kernel_w : n;
    for (uint32_t c = 0; !is_max && c < s->out_c; c++) {
        y[c] /= (double)n;
    }
}

static void eval_pool(double *y, const double *x, const struct csl_op_node *node) {
    const struct csl_conv_shape *s = &node->shape;
    for (uint32_t oh = 0; oh < s->out_h; oh++) {
        for (uint32_t ow = 0; ow < s->out_w; ow++, y += s->out_c) {
            pool_position(y, x, node, oh, ow);
        }
    }
}

static double activate(const struct csl_op_node *node, double x) {
    double a = (double)node->a;
    double b = (double)node->b_param;
    switch (node->fn) {
    case CSL_FN_RELU:
        return fmax(x, 0.0);
    case CSL_FN_CLIP:
        return fmin(fmax(x, a), b);
    case CSL_FN_LEAKY_RELU:
        return x < 0.0 ? a * x : x;
    case CSL_FN_ELU:
        return x < 0.0 ? a * expm1(x) : x;
    case CSL_FN_SIGMOID:
        return 1.0 / (1.0 + exp(-x));
    case CSL_FN_TANH:
        return tanh(x);
    case CSL_FN_HARD_SIGMOID:
        return fmax(0.0, fmin(1.0, a * x + b));
    default:
        return NAN;
    }
}

static void eval_add(double *y, double *const *values, const struct csl_op_node *node) {
    for (size_t i = 0; i < count(node->out); i++) {
        y[i] = 0.0;
        for (uint32_t j = 0; j < node->n_in; j++) {
            y[i] += values[node->in[j]][i];
        }
    }
}

static struct csl_hwc value_dim(const struct csl_network *net, uint32_t value) {
    return value == 0 ? net->input : net->nodes[value - 1].out;
}

static void eval_concat(double *y, double *const *values, const struct csl_network *net,
                        const struct csl_op_node *node) {
    for (size_t at = 0; at < (size_t)node->out.h * node->out.w; at++) {
        for (uint32_t j = 0; j < node->n_in; j++) {
            uint32_t c = value_dim(net, node->in[j]).c;
            memcpy(y, values[node->in[j]] + at * c, c * sizeof *y);
            y += c;
        }
    }
}

static void eval_pad(double *y, const double *x, const struct csl_op_node *node) {
    const struct csl_conv_shape *s = &node->shape;
    memset(y, 0, count(node->out) * sizeof *y);
    for (uint32_t h = 0; h < s->in_h; h++) {
        memcpy(y + (((size_t)h + s->pad_top) * s->out_w + s->pad_left) * s->out_c,
               x + (size_t)h * s->in_w * s->in_c, (size_t)s->in_w * s->in_c * sizeof *y);
    }
}

static void eval_node(double *const *values, const struct csl_network *net, uint32_t i) {
    const struct csl_op_node *node = &net->nodes[i];
    const double *x = values[node->in[0]];
    double *y = values[i + 1];
    switch (node->kind) {
    case CSL_OPK_CONV:
        eval_conv(y, x, node);
        return;
    case CSL_OPK_ACTIVATE:
        for (size_t j = 0; j < count(node->out); j++) {
            y[j] = activate(node, x[j]);
        }
        return;
    case CSL_OPK_MAXPOOL:
    case CSL_OPK_AVGPOOL:
        eval_pool(y, x, node);
        return;
    case CSL_OPK_ADD:
        eval_add(y, values, node);
        return;
    case CSL_OPK_CONCAT:
        eval_concat(y, values, net, node);
        return;
    case CSL_OPK_PAD:
        eval_pad(y, x, node);
        return;
    default:
        return;
    }
}

/* Users' order to HWC. */
static void load_input(double *v, const struct csl_network *net, const float *x) {
    struct csl_hwc d = net->input;
    bool channels_first = net->input_rank == 3 && !net->input_channels_last;
    size_t pixels = (size_t)d.h * d.w;
    for (size_t at = 0; at < pixels; at++) {
        for (size_t c = 0; c < d.c; c++) {
            v[at * d.c + c] = (double)(channels_first ? x[c * pixels + at] : x[at * d.c + c]);
        }
    }
}

/* The last node that reads each value; the output is never done with. */
static void last_uses(uint32_t last[CSL_NETWORK_MAX_NODES + 1], const struct csl_network *net) {
    for (uint32_t v = 0; v <= net->n_nodes; v++) {
        last[v] = 0;
    }
    for (uint32_t i = 0; i < net->n_nodes; i++) {
        for (uint32_t j = 0; j < net->nodes[i].n_in; j++) {
            last[net->nodes[i].in[j]] = i;
        }
    }
    last[net->output] = UINT32_MAX;
}

/* One inference; watch (may be NULL) sees every value as it is made. */
static enum csl_err eval_one(double *y, double **values, const struct csl_network *net, const float *x,
                             const uint32_t *last, csl_value_fn *watch, void *ctx) {
    values[0] = csl_secret_alloc(count(net->input), sizeof **values);
    if (values[0] == NULL) {
        return CSL_ENOMEM;
    }
    load_input(values[0], net, x);
    if (watch != NULL) {
        watch(ctx, 0, values[0], count(net->input));
    }
    for (uint32_t i = 0; i < net->n_nodes; i++) {
        values[i + 1] = csl_secret_alloc(count(net->nodes[i].out), sizeof **values);
        if (values[i + 1] == NULL) {
            return CSL_ENOMEM;
        }
        eval_node(values, net, i);
        if (watch != NULL) {
            watch(ctx, i + 1, values[i + 1], count(net->nodes[i].out));
        }
        for (uint32_t j = 0; j < net->nodes[i].n_in; j++) {
            uint32_t v = net->nodes[i].in[j];
            if (last[v] == i) {
                csl_secret_free(values[v]);
                values[v] = NULL;
            }
        }
    }
    memcpy(y, values[net->output], count(value_dim(net, net->output)) * sizeof *y);
    return CSL_OK;
}

enum csl_err csl_network_watch(const struct csl_network *net, double *y, const float *x, uint32_t batch,
                               csl_value_fn *watch, void *ctx) {
    double *values[CSL_NETWORK_MAX_NODES + 1];
    uint32_t last[CSL_NETWORK_MAX_NODES + 1];
    size_t n_in = count(net->input);
    size_t n_out = count(value_dim(net, net->output));
    enum csl_err err = CSL_OK;
    last_uses(last, net);
    for (uint32_t b = 0; b < batch && err == CSL_OK; b++) {
        memset(values, 0, sizeof values);
        err = eval_one(y + b * n_out, values, net, x + b * n_in, last, watch, ctx);
        for (uint32_t v = 0; v <= net->n_nodes; v++) {
            csl_secret_free(values[v]);
        }
    }
    if (err != CSL_OK) {
        memset(y, 0, batch * n_out * sizeof *y);
    }
    return err;
}

enum csl_err csl_network_eval(const struct csl_network *net, double *y, const float *x, uint32_t batch) {
    return csl_network_watch(net, y, x, batch, NULL, NULL);
}
