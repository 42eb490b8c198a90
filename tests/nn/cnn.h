/* Networks built by hand, with random weights, and compiled. */
#ifndef CSL_TESTS_NN_CNN_H
#define CSL_TESTS_NN_CNN_H

#include "nn/eval.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Every function returns the new value's number and aborts the test on failure. Weights are random, of
 * variance 1/inputs times `gain` squared; `salt` varies them. */
struct csl_network *net_new(uint32_t h, uint32_t w, uint32_t c);
struct window {
    uint32_t kernel_h, kernel_w, stride, pad, dilation, groups;
    uint32_t out_h, out_w; /* 0: what follows for the same padding on both sides */
};
#define WINDOW(k, s, p) ((struct window){(k), (k), (s), (p), 1, 1, 0, 0})
uint32_t net_conv(struct csl_network *net, uint32_t in, uint32_t out_c, struct window window, double gain,
                  uint32_t salt);
uint32_t net_dense(struct csl_network *net, uint32_t in, uint32_t n, double gain, uint32_t salt);
uint32_t net_activate(struct csl_network *net, uint32_t in, enum csl_function fn, float a, float b);
uint32_t net_relu(struct csl_network *net, uint32_t in);
uint32_t net_pool(struct csl_network *net, uint32_t in, enum csl_op_kind kind, struct window window,
                  bool include_pad);
uint32_t net_join(struct csl_network *net, enum csl_op_kind kind, uint32_t a, uint32_t b);
uint32_t net_pad(struct csl_network *net, uint32_t in, uint32_t top, uint32_t left, uint32_t bottom,
                 uint32_t right);
/* 6 -> 5 ("first"), ReLU or nothing, 5 -> 3 ("second"). */
struct csl_network *net_two_layers(double gain, double gain2, bool relu);

struct built {
    struct csl_network *net;
    struct csl_plan plan;
    struct csl_weights weights;
    struct csl_plan_report report;
    struct csl_qweights q;
};
/* Takes net; its last node is the output. Inputs -1..1 at 16 bits when opt is NULL. */
struct built *build(struct csl_network *net, const struct csl_plan_options *opt);
void built_free(struct built *b);
/* The first step of that kind; there must be one. */
const struct csl_step *plan_step(const struct csl_plan *plan, enum csl_step_kind kind);

/* batch random inputs of the plan's interval, its ends among them, in the order of input_shape. */
float *random_inputs(const struct csl_plan *plan, uint32_t batch, uint32_t salt);

/* The networks that tests run: n_cnns of them, all step kinds and forms among them. */
enum { N_CNNS = 14 };
struct csl_network *cnn(int number);

#endif
