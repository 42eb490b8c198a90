/* A small dense network, its numbers, and what it must give: 6 inputs, 5 hidden units, 3 outputs. */
#ifndef CSL_TESTS_NN_NETS_H
#define CSL_TESTS_NN_NETS_H

#include "nn/eval.h"
#include "nn/network.h"
#include "nn/onnx/onnx.h"
#include "onnx_build.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { N_IN = 6, N_HIDDEN = 5, N_OUT = 3 };

extern const float net_w1[N_IN * N_HIDDEN], net_b1[N_HIDDEN], net_w2[N_HIDDEN * N_OUT], net_b2[N_OUT];

/* w (k x n) transposed. */
void transpose(float *out, const float *w, size_t k, size_t n);
/* Adds w1, b1, w2, b2 as initialisers of that type and form; transposed weights when asked. */
void net_tensors(struct model *m, int type, bool raw, bool transposed);

/* Everything that comes of one file; fails the test when it cannot be compiled. */
struct compiled {
    struct csl_network *net;
    struct csl_plan plan;
    struct csl_weights weights;
    struct csl_plan_report report;
    struct csl_qweights q;
};
struct compiled *compile_net(struct buf file);
struct compiled *compile_net_with(struct buf file, const struct csl_plan_options *opt);
void compiled_free(struct compiled *c);

/* The file compiles, and gives on fixed inputs what relu(x.w1 + b1).w2 + b2 gives. file is freed. */
void expect_net(struct buf file);

/* Import or compilation fails with err, and the diag contains each of the words. file is freed. */
void expect_refused(struct buf file, enum csl_err err, const char *const *words);
#define REFUSED(file, ...) expect_refused(file, CSL_EDATA, (const char *const[]){__VA_ARGS__, NULL})

#endif
