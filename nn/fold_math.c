/* Evaluating arithmetic on constants, with ONNX's broadcasting. */
#include <math.h>
#include <string.h>

#include "nn/fold_internal.h"

enum function {
    FN_NONE,
    FN_ADD,
    FN_SUB,
    FN_MUL,
    FN_DIV,
    FN_MIN,
    FN_MAX,
    FN_POW,
    FN_MOD,
    FN_EQUAL,
    FN_LESS,
    FN_GREATER,
    FN_AND,
    FN_OR,
    FN_NEG, /* the first of those with one operand */
    FN_ABS,
    FN_NOT,
    FN_SQRT,
    FN_RECIPROCAL,
    FN_EXP,
    FN_LOG,
    FN_FLOOR,
    FN_CEIL
};

static const struct {
    const char *op;
    enum function fn;
} functions[] = {
    {"Min", FN_MIN},     {"Max", FN_MAX},   {"Pow", FN_POW}, {"Mod", FN_MOD},
    {"Equal", FN_EQUAL}, {"Less", FN_LESS}, {"And", FN_AND}, {"Greater", FN_GREATER},
    {"Or", FN_OR},       {"Neg", FN_NEG},   {"Abs", FN_ABS}, {"Not", FN_NOT},
    {"Sqrt", FN_SQRT},   {"Exp", FN_EXP},   {"Log", FN_LOG}, {"Reciprocal", FN_RECIPROCAL},
    {"Floor", FN_FLOOR}, {"Ceil", FN_CEIL},
};

static enum function find_function(const struct csl_node *node) {
    switch (node->op) {
    case CSL_OP_ADD:
        return FN_ADD;
    case CSL_OP_SUB:
        return FN_SUB;
    case CSL_OP_MUL:
        return FN_MUL;
    case CSL_OP_DIV:
        return FN_DIV;
    case CSL_OP_UNKNOWN:
        for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
            if (strcmp(node->op_name, functions[i].op) == 0) {
                return functions[i].fn;
            }
        }
        return FN_NONE;
    default:
        return FN_NONE;
    }
}

static bool gives_bool(enum function fn) {
    return fn == FN_EQUAL || fn == FN_LESS || fn == FN_GREATER || fn == FN_AND || fn == FN_OR || fn == FN_NOT;
}

static float apply_float(enum function fn, float a, float b) {
    switch (fn) {
    case FN_ADD:
        return a + b;
    case FN_SUB:
        return a - b;
    case FN_MUL:
        return a * b;
    case FN_DIV:
        return a / b;
    case FN_MIN:
        return a < b ? a : b;
    case FN_MAX:
        return a > b ? a : b;
    case FN_POW:
        return powf(a, b);
    case FN_NEG:
        return -a;
    case FN_ABS:
        return fabsf(a);
    case FN_SQRT:
        return sqrtf(a);
    case FN_RECIPROCAL:
        return 1.0F / a;
    case FN_EXP:
        return expf(a);
    case FN_LOG:
        return logf(a);
    case FN_FLOOR:
        return floorf(a);
    case FN_CEIL:
        return ceilf(a);
    default:
        return NAN;
    }
}

static bool int_power(int64_t *out, int64_t a, int64_t b) {
    *out = 1;
    for (int64_t i = 0; i < b; i++) {
        if (b > 64 || __builtin_mul_overflow(*out, a, out)) {
            return false;
        }
    }
    return b >= 0;
}

/* False where the result is none: overflow, division by zero, not a function of integers. */
static bool apply_int(int64_t *out, enum function fn, int64_t a, int64_t b) {
    switch (fn) {
    case FN_ADD:
        return !__builtin_add_overflow(a, b, out);
    case FN_SUB:
        return !__builtin_sub_overflow(a, b, out);
    case FN_MUL:
        return !__builtin_mul_overflow(a, b, out);
    case FN_DIV:
    case FN_MOD:
        if (b == 0 || b == -1) {
            return false;
        }
        *out = fn == FN_DIV ? a / b : a % b + (a % b != 0 && (a % b < 0) != (b < 0) ? b : 0);
        return true;
    case FN_MIN:
        *out = a < b ? a : b;
        return true;
    case FN_MAX:
        *out = a > b ? a : b;
        return true;
    case FN_POW:
        return int_power(out, a, b);
    case FN_NEG:
        return !__builtin_sub_overflow((int64_t)0, a, out);
    case FN_ABS:
        *out = a < 0 ? -(a + 1) : a;
        return a >= 0 || !__builtin_add_overflow(*out, 1, out);
    case FN_EQUAL:
        *out = a == b;
        return true;
    case FN_LESS:
        *out = a < b;
        return true;
    case FN_GREATER:
        *out = a > b;
        return true;
    case FN_AND:
        *out = a != 0 && b != 0;
        return true;
    case FN_OR:
        *out = a != 0 || b != 0;
        return true;
    case FN_NOT:
        *out = a == 0;
        return true;
    default:
        return false;
    }
}

/* The broadcast shape of both, and how far an index of each dimension moves in either. */
struct pair {
    unsigned rank;
    int64_t dims[CSL_MAX_RANK];
    size_t step[2][CSL_MAX_RANK];
};

static bool broadcast(struct pair *p, const struct csl_tensor *const x[2]) {
    size_t step[2] = {1, 1};
    *p = (struct pair){.rank = x[0]->rank > x[1]->rank ? x[0]->rank : x[1]->rank};
    for (unsigned i = 0; i < p->rank; i++) { /* from the right */
        int64_t d[2];
        unsigned at = p->rank - 1 - i;
        for (unsigned k = 0; k < 2; k++) {
            d[k] = i < x[k]->rank ? x[k]->dims[x[k]->rank - 1 - i] : 1;
            p->step[k][at] = d[k] == 1 ? 0 : step[k];
            step[k] *= (size_t)d[k];
        }
        if (d[0] != d[1] && d[0] != 1 && d[1] != 1) {
            return false;
        }
        p->dims[at] = d[0] == 1 ? d[1] : d[0];
    }
    return true;
}

/* Where element i of the pair's shape stands in operand k. */
static size_t position(const struct pair *p, unsigned k, size_t i) {
    size_t at = 0;
    for (unsigned d = p->rank; d-- > 0;) {
        at += i % (size_t)p->dims[d] * p->step[k][d];
        i /= (size_t)p->dims[d];
    }
    return at;
}

static bool fill_ints(struct csl_tensor *out, enum function fn, const struct pair *p,
                      const struct csl_tensor *const x[2]) {
    for (size_t i = 0; i < out->n_elements; i++) {
        size_t a = position(p, 0, i);
        size_t b = position(p, 1, i);
        if (x[0]->f32 != NULL) {
            float u = x[0]->f32[a];
            float v = x[1]->f32[b];
            out->i64[i] = fn == FN_EQUAL ? u == v : fn == FN_LESS ? u < v : u > v;
        } else if (!apply_int(&out->i64[i], fn, x[0]->i64[a], x[1]->i64[b])) {
            return false;
        }
    }
    return true;
}

/* Integer results are tried first: a constant that is none stays a node, which lowering refuses. */
static bool ints_are_fine(enum function fn, const struct pair *p, const struct csl_tensor *const x[2],
                          size_t n) {
    int64_t ignored;
    for (size_t i = 0; x[0]->i64 != NULL && i < n; i++) {
        if (!apply_int(&ignored, fn, x[0]->i64[position(p, 0, i)], x[1]->i64[position(p, 1, i)])) {
            return false;
        }
    }
    return x[0]->i64 != NULL || fn == FN_EQUAL || fn == FN_LESS || fn == FN_GREATER || !gives_bool(fn);
}

static enum csl_err elementwise(struct csl__fold *f, const struct csl_node *node, enum function fn,
                                const struct csl_tensor *a, const struct csl_tensor *b,
                                struct csl_diag *diag) {
    const struct csl_tensor *const x[2] = {a, b};
    struct pair p;
    if (a == NULL || b == NULL || a->dtype != b->dtype || a->n_elements == 0 || b->n_elements == 0 ||
        !broadcast(&p, x)) {
        return CSL_OK;
    }
    size_t n = 1;
    for (unsigned i = 0; i < p.rank; i++) {
        if (n > f->budget / (size_t)p.dims[i]) {
            return CSL_OK;
        }
        n *= (size_t)p.dims[i];
    }
    if (!ints_are_fine(fn, &p, x, n)) {
        return CSL_OK;
    }
    struct csl_tensor *out;
    TRY(csl__fold_output(f, &out, node->outputs[0], gives_bool(fn) ? CSL_DTYPE_I64 : a->dtype, p.rank, p.dims,
                         diag));
    if (out == NULL) {
        return CSL_OK;
    }
    if (out->f32 == NULL) {
        return fill_ints(out, fn, &p, x) ? CSL_OK : CSL_EINTERNAL;
    }
    for (size_t i = 0; i < n; i++) {
        out->f32[i] = apply_float(fn, a->f32[position(&p, 0, i)], b->f32[position(&p, 1, i)]);
    }
    return CSL_OK;
}

/* Where(condition, x, y) on operands of one shape, or numbers. */
static enum csl_err where(struct csl__fold *f, const struct csl_node *node, struct csl_diag *diag) {
    const struct csl_tensor *c = csl__fold_constant(f, node, 0);
    const struct csl_tensor *x = csl__fold_constant(f, node, 1);
    const struct csl_tensor *y = csl__fold_constant(f, node, 2);
    if (x == NULL || y == NULL || c->i64 == NULL || x->dtype != y->dtype) {
        return CSL_OK;
    }
    const struct csl_tensor *largest = c->n_elements > x->n_elements ? c : x;
    largest = y->n_elements > largest->n_elements ? y : largest;
    size_t n = largest->n_elements;
    if ((c->n_elements != n && c->n_elements != 1) || (x->n_elements != n && x->n_elements != 1) ||
        (y->n_elements != n && y->n_elements != 1) || n == 0 || largest->rank > 1) {
        return CSL_OK;
    }
    struct csl_tensor *out;
    TRY(csl__fold_output(f, &out, node->outputs[0], x->dtype, largest->rank, largest->dims, diag));
    for (size_t i = 0; out != NULL && i < n; i++) {
        const struct csl_tensor *from = c->i64[c->n_elements == 1 ? 0 : i] != 0 ? x : y;
        size_t at = from->n_elements == 1 ? 0 : i;
        if (out->f32 != NULL) {
            out->f32[i] = from->f32[at];
        } else {
            out->i64[i] = from->i64[at];
        }
    }
    return CSL_OK;
}

/* Range(start, limit, delta) of integers. */
static enum csl_err range(struct csl__fold *f, const struct csl_node *node, struct csl_diag *diag) {
    int64_t v[3];
    for (unsigned i = 0; i < 3; i++) {
        const struct csl_tensor *t = csl__fold_constant(f, node, i);
        if (t == NULL || t->i64 == NULL || t->n_elements != 1 || t->i64[0] > 1 << 28 ||
            t->i64[0] < -(1 << 28)) {
            return CSL_OK;
        }
        v[i] = t->i64[0];
    }
    if (v[2] == 0) {
        return CSL_OK;
    }
    int64_t n = v[2] > 0 ? (v[1] - v[0] + v[2] - 1) / v[2] : (v[0] - v[1] - v[2] - 1) / -v[2];
    n = n < 0 ? 0 : n;
    struct csl_tensor *out;
    TRY(csl__fold_output(f, &out, node->outputs[0], CSL_DTYPE_I64, 1, &n, diag));
    for (int64_t i = 0; out != NULL && i < n; i++) {
        out->i64[i] = v[0] + i * v[2];
    }
    return CSL_OK;
}

enum csl_err csl__fold_math(struct csl__fold *f, const struct csl_node *node, struct csl_diag *diag) {
    const struct csl_tensor *a = csl__fold_constant(f, node, 0);
    const struct csl_tensor *b = csl__fold_constant(f, node, 1);
    enum function fn = find_function(node);
    if (fn != FN_NONE) {
        unsigned want = fn >= FN_NEG ? 1 : 2;
        return node->n_inputs != want ? CSL_OK : elementwise(f, node, fn, a, want == 1 ? a : b, diag);
    }
    if (node->op == CSL_OP_UNKNOWN && strcmp(node->op_name, "Where") == 0) {
        return where(f, node, diag);
    }
    if (node->op == CSL_OP_UNKNOWN && strcmp(node->op_name, "Range") == 0) {
        return range(f, node, diag);
    }
    return CSL_OK;
}
