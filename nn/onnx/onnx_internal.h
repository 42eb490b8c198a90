/* Shared inside the ONNX front end. */
#ifndef CSL_NN_ONNX_INTERNAL_H
#define CSL_NN_ONNX_INTERNAL_H

#include "nn/onnx/onnx.h"
#include "onnx.pb-c.h"

enum {
    CSL__ONNX_MAX_DEPTH = 16,        /* of calls of the model's own functions */
    CSL__ONNX_MAX_FUNCTIONS = 4096,  /* in a file */
    CSL__ONNX_MAX_PARAMETERS = 1024, /* of a function */
    CSL__ONNX_MAX_STEPS = 1 << 20
};

/* onnx.proto, AttributeProto.AttributeType */
enum {
    CSL__ATTR_FLOAT = 1,
    CSL__ATTR_INT = 2,
    CSL__ATTR_STRING = 3,
    CSL__ATTR_TENSOR = 4,
    CSL__ATTR_FLOATS = 6,
    CSL__ATTR_INTS = 7
};

/* One file being read. */
struct csl__onnx {
    struct csl_graph *graph;
    struct csl_issues *issues;
    const Csl__Onnx__Model *model;
    int folder;                   /* of external data; -1: there is none */
    size_t external_left;         /* bytes of external data that may still be read */
    struct csl_onnx_files *files; /* notes the names of the external files that were read; or NULL */
    size_t n_steps; /* nodes and their tensors so far: functions that call functions must not multiply */
    size_t n_calls;
};

/* Where a node stands: in the graph (NULL), or in the body of a function in place of a call. */
struct csl__scope {
    const struct csl__scope *up; /* of the call */
    const Csl__Onnx__Function *function;
    const Csl__Onnx__Node *call;
    char **inputs, **outputs; /* the caller's names for the function's; NULL: not given */
    size_t number;            /* makes the other names unique */
    int64_t opset;
    char name[128]; /* of the call, for messages */
};

/* Why a node cannot be run; reason "" when it can. */
struct csl__refusal {
    char reason[200];
    const char *hint;
};

static inline const char *csl__onnx_text(const char *s) {
    return s == NULL ? "" : s;
}

bool csl__onnx_standard(const char *domain); /* "" or "ai.onnx" */

/* The standard operators' version among the imports, or 0. */
int64_t csl__onnx_opset(Csl__Onnx__OperatorSet *const *sets, size_t n);

/* Checks a TensorProto against its declared shape and type and makes it the constant `tensor` of the graph.
 */
CSL_MUST_CHECK enum csl_err csl__onnx_constant(struct csl__onnx *o, uint32_t tensor,
                                               const Csl__Onnx__Tensor *proto, struct csl_diag *diag);

/* The one finite number that a tensor holds, as float or integer; false when it is none. */
bool csl__onnx_scalar(bool *is_int, float *f, int64_t *i, const Csl__Onnx__Tensor *proto);

/* Reads the n bytes that external_data names, from a regular file in the model's folder. free() *bytes. */
CSL_MUST_CHECK enum csl_err csl__onnx_external(struct csl__onnx *o, uint8_t **bytes, size_t n,
                                               const Csl__Onnx__Tensor *proto, const char *name,
                                               struct csl_diag *diag);

/* Adds one NodeProto: a constant, a node, the nodes of a function, or a CSL_OP_UNKNOWN node. number counts
 * nodes from 1. */
CSL_MUST_CHECK enum csl_err csl__onnx_node(struct csl__onnx *o, const struct csl__scope *scope,
                                           const Csl__Onnx__Node *proto, size_t number,
                                           struct csl_diag *diag);

/* The node's attributes with the operator's defaults in place; what cannot be run goes to *refusal. */
CSL_MUST_CHECK enum csl_err csl__onnx_attributes(struct csl_attributes *attr, struct csl__refusal *refusal,
                                                 enum csl_op op, int64_t opset,
                                                 const struct csl__scope *scope, const Csl__Onnx__Node *proto,
                                                 const char *node, struct csl_diag *diag);

/* What a user can do about an operator that we do not have. */
const char *csl__onnx_hint(const char *op);

/* The function that a node calls, or NULL. */
const Csl__Onnx__Function *csl__onnx_function(const struct csl__onnx *o, const Csl__Onnx__Node *proto);

/* Puts the function's nodes in place of the call. */
CSL_MUST_CHECK enum csl_err csl__onnx_call(struct csl__onnx *o, const struct csl__scope *scope,
                                           const Csl__Onnx__Function *function, const Csl__Onnx__Node *call,
                                           const char *node, struct csl_diag *diag);

/* An attribute as it counts here: itself, or what the caller gave for it; NULL: left out. */
const Csl__Onnx__Attribute *csl__onnx_resolve(const struct csl__scope *scope, const Csl__Onnx__Attribute *a);

/* The graph's tensor for a name in this scope; CSL_NO_TENSOR for "". */
CSL_MUST_CHECK enum csl_err csl__onnx_tensor(struct csl__onnx *o, uint32_t *tensor,
                                             const struct csl__scope *scope, const char *name,
                                             struct csl_diag *diag);

#endif
