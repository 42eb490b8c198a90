/* Inside the plan compiler: one compilation, and how its steps are emitted. */
#ifndef CSL_NN_COMPILE_INTERNAL_H
#define CSL_NN_COMPILE_INTERNAL_H

#include "nn/plan_internal.h"

enum {
    CSL__MAX_K = 37,       /* of a comparison: six digits of six bits, and the sign */
    CSL__MIN_W_FRAC = 8,   /* weights never get fewer fraction bits to fit a ring */
    CSL__MIN_FRAC = 10,    /* nor activations, unless the user asked for fewer */
    CSL__PRODUCT_BITS = 58 /* of a product: room for sums and the output's margin below CSL_PLAN_MAX_BITS */
};

/* A value is a "product" when it has more than `frac` fraction bits: its next ReLU, PWL or TRUNC removes
 * them. */
struct csl__compiler {
    struct csl_plan *plan;
    struct csl_weights *weights;
    struct csl_plan_report *report;
    const struct csl_network *net;
    const struct csl_plan_options *opt;
    struct csl_diag *diag;
    unsigned frac;                                /* of inputs, activations and weights */
    bool live[CSL_NETWORK_MAX_NODES + 1];         /* network values that the output needs */
    uint16_t value[CSL_NETWORK_MAX_NODES + 1];    /* network value: the plan's */
    uint16_t truncated[CSL_PLAN_MAX_VALUES];      /* the same value without product bits; 0 for none yet */
    struct csl__range range[CSL_PLAN_MAX_VALUES]; /* of the plan's values */
};

/* The steps of one node: its result goes into c->value. */
CSL_MUST_CHECK enum csl_err csl__compile_node(struct csl__compiler *c, uint32_t node);

/* Appends a step of `node`, whose value has dim, frac and scale of v; its range is computed. */
CSL_MUST_CHECK enum csl_err csl__emit(struct csl__compiler *c, uint16_t *out, struct csl_step *step,
                                      struct csl_value v, const struct csl_op_node *node,
                                      const struct csl_layer_qweights *q);

/* Elementwise steps and windows; in: plan values. */
CSL_MUST_CHECK enum csl_err csl__emit_truncated(struct csl__compiler *c, uint16_t *out, uint16_t in,
                                                const struct csl_op_node *node);
CSL_MUST_CHECK enum csl_err csl__emit_function(struct csl__compiler *c, uint16_t *out, uint16_t in,
                                               const struct csl_op_node *node);
CSL_MUST_CHECK enum csl_err csl__emit_max(struct csl__compiler *c, uint16_t *out, uint16_t in,
                                          const struct csl_op_node *node);
/* in * factor with `bits` more fraction bits and scale times `scale`. */
CSL_MUST_CHECK enum csl_err csl__emit_scaled(struct csl__compiler *c, uint16_t *out, uint16_t in,
                                             int64_t factor, unsigned frac, double scale,
                                             const struct csl_op_node *node);

/* Rings, from the output back to the input; output cut; digits. */
CSL_MUST_CHECK enum csl_err csl__assign_rings(struct csl__compiler *c);

/* CSL_EDATA: the step called name has values lo..hi (units of v) that are too wide for `what`. */
CSL_MUST_CHECK enum csl_err csl__too_wide(struct csl__compiler *c, const char *name, csl__wide lo,
                                          csl__wide hi, const struct csl_value *v, const char *what);

#endif
