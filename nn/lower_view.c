/* Views: logical dimensions over the axes of a canonical value. */
#include <string.h>

#include "nn/lower_internal.h"

int64_t csl__features(const struct csl__view *v) {
    int64_t n = 1;
    for (unsigned i = 0; i < v->first[v->rank]; i++) {
        n *= v->atoms[i].size;
    }
    return n;
}

bool csl__dim_is_axis(const struct csl__view *v, unsigned i, enum csl__axis axis, uint32_t size) {
    uint32_t rest = size;
    for (unsigned a = v->first[i]; a < v->first[i + 1]; a++) {
        const struct csl__atom *atom = &v->atoms[a];
        if (atom->axis != axis || rest % atom->size != 0 || atom->step != rest / atom->size) {
            return false;
        }
        rest /= atom->size;
    }
    return rest == 1 && (int)i != v->batch;
}

/* Appends a dimension that is the whole axis. */
static void push_axis(struct csl__view *v, enum csl__axis axis, uint32_t size) {
    unsigned n = v->first[v->rank];
    if (size > 1) {
        v->atoms[n++] = (struct csl__atom){axis, size, 1};
    }
    v->dims[v->rank++] = size;
    v->first[v->rank] = (uint8_t)n;
}

static void push_batch(struct csl__view *v, int64_t batch) {
    v->batch = (int)v->rank;
    v->dims[v->rank++] = batch;
    v->first[v->rank] = v->first[v->rank - 1];
}

struct csl__view csl__view_picture(struct csl_hwc d, int64_t batch, bool channels_last) {
    struct csl__view v = {0};
    push_batch(&v, batch);
    if (!channels_last) {
        push_axis(&v, CSL__AXIS_C, d.c);
    }
    push_axis(&v, CSL__AXIS_H, d.h);
    push_axis(&v, CSL__AXIS_W, d.w);
    if (channels_last) {
        push_axis(&v, CSL__AXIS_C, d.c);
    }
    return v;
}

struct csl__view csl__view_vector(uint32_t n, int64_t batch, bool transposed) {
    struct csl__view v = {0};
    if (transposed) {
        push_axis(&v, CSL__AXIS_C, n);
    }
    push_batch(&v, batch);
    if (!transposed) {
        push_axis(&v, CSL__AXIS_C, n);
    }
    return v;
}

/* Moves atoms worth `size` elements from the queue at *atom, *rest (what is left of it) to out. */
static bool take(struct csl__view *out, unsigned *n, const struct csl__view *v, unsigned *atom,
                 uint32_t *rest, int64_t size) {
    while (size > 1) {
        if (*atom == v->first[v->rank] || *n == CSL__MAX_ATOMS) {
            return false;
        }
        const struct csl__atom *a = &v->atoms[*atom];
        uint32_t part = (int64_t)*rest <= size ? *rest : (uint32_t)size;
        if (*rest % part != 0 || size % part != 0) {
            return false;
        }
        *rest /= part;
        size /= part;
        out->atoms[(*n)++] = (struct csl__atom){a->axis, part, a->step * *rest};
        if (*rest == 1) {
            ++*atom;
            *rest = *atom < v->first[v->rank] ? v->atoms[*atom].size : 1;
        }
    }
    return true;
}

bool csl__view_regroup(struct csl__view *out, const struct csl__view *v, unsigned rank, const int64_t *dims,
                       int batch) {
    struct csl__view y = {.rank = rank, .batch = batch};
    unsigned atom = 0;
    unsigned n = 0;
    uint32_t rest = v->first[v->rank] > 0 ? v->atoms[0].size : 1;
    for (unsigned i = 0; i < rank; i++) {
        y.dims[i] = dims[i];
        if ((int)i != batch && !take(&y, &n, v, &atom, &rest, dims[i])) {
            return false;
        }
        y.first[i + 1] = (uint8_t)n;
    }
    if (atom != v->first[v->rank]) {
        return false;
    }
    *out = y;
    return true;
}

void csl__view_permute(struct csl__view *out, const struct csl__view *v, const unsigned *perm) {
    struct csl__view y = {.rank = v->rank, .batch = -1};
    unsigned n = 0;
    for (unsigned i = 0; i < v->rank; i++) {
        unsigned p = perm[i];
        y.dims[i] = v->dims[p];
        y.batch = (int)p == v->batch ? (int)i : y.batch;
        for (unsigned a = v->first[p]; a < v->first[p + 1]; a++) {
            y.atoms[n++] = v->atoms[a];
        }
        y.first[i + 1] = (uint8_t)n;
    }
    *out = y;
}

void csl__view_set_channels(struct csl__view *v, unsigned i, uint32_t c) {
    struct csl__view y = {.rank = v->rank, .batch = v->batch};
    unsigned n = 0;
    for (unsigned d = 0; d < v->rank; d++) {
        y.dims[d] = d == i ? (int64_t)c : v->dims[d];
        if (d == i && c > 1) {
            y.atoms[n++] = (struct csl__atom){CSL__AXIS_C, c, 1};
        }
        for (unsigned a = v->first[d]; d != i && a < v->first[d + 1]; a++) {
            y.atoms[n++] = v->atoms[a];
        }
        y.first[d + 1] = (uint8_t)n;
    }
    *v = y;
}

/* The atoms, neighbours joined that go on where the other ends. */
static unsigned join_atoms(struct csl__atom out[CSL__MAX_ATOMS], const struct csl__view *v) {
    unsigned n = 0;
    for (unsigned i = 0; i < v->first[v->rank]; i++) {
        const struct csl__atom *a = &v->atoms[i];
        if (n > 0 && out[n - 1].axis == a->axis && out[n - 1].step == a->step * a->size) {
            out[n - 1].size *= a->size;
            out[n - 1].step = a->step;
        } else {
            out[n++] = *a;
        }
    }
    return n;
}

bool csl__view_same(const struct csl__view *a, const struct csl__view *b) {
    struct csl__atom x[CSL__MAX_ATOMS];
    struct csl__atom y[CSL__MAX_ATOMS];
    unsigned n = join_atoms(x, a);
    if (a->rank != b->rank || a->batch != b->batch || n != join_atoms(y, b)) {
        return false;
    }
    for (unsigned i = 0; i < a->rank; i++) {
        if ((int)i != a->batch && a->dims[i] != b->dims[i]) {
            return false;
        }
    }
    for (unsigned i = 0; i < n; i++) {
        if (x[i].axis != y[i].axis || x[i].size != y[i].size || x[i].step != y[i].step) {
            return false;
        }
    }
    return true;
}

/* Distance of neighbours along an axis, in canonical order. */
static uint32_t axis_stride(enum csl__axis axis, struct csl_hwc d) {
    return axis == CSL__AXIS_C ? 1 : axis == CSL__AXIS_W ? d.c : d.w * d.c;
}

/* Counts through the atoms in row-major order, with two running sums. */
struct counter {
    unsigned n;
    uint32_t size[CSL__MAX_ATOMS], at[CSL__MAX_ATOMS];
    size_t to_step[CSL__MAX_ATOMS], from_step[CSL__MAX_ATOMS];
    size_t to, from;
};

static bool advance(struct counter *c) {
    for (unsigned i = c->n; i-- > 0;) {
        c->to += c->to_step[i];
        c->from += c->from_step[i];
        if (++c->at[i] < c->size[i]) {
            return true;
        }
        c->to -= c->to_step[i] * c->size[i];
        c->from -= c->from_step[i] * c->size[i];
        c->at[i] = 0;
    }
    return false;
}

void csl__view_map(uint32_t *map, const struct csl__view *v, struct csl_hwc d) {
    struct counter c = {.n = v->first[v->rank]};
    for (unsigned i = 0; i < c.n; i++) {
        c.size[i] = v->atoms[i].size;
        c.to_step[i] = (size_t)v->atoms[i].step * axis_stride(v->atoms[i].axis, d);
    }
    do {
        *map++ = (uint32_t)c.to;
    } while (advance(&c));
}

void csl__view_spread(double *dst, const struct csl__view *v, struct csl_hwc d, bool channels,
                      const double *src, const size_t stride[CSL_MAX_RANK]) {
    struct counter c = {0};
    for (unsigned i = 0; i < v->rank; i++) {
        size_t from = stride[i];
        for (unsigned a = v->first[i + 1]; a-- > v->first[i];) {
            const struct csl__atom *atom = &v->atoms[a];
            c.size[a] = !channels || atom->axis == CSL__AXIS_C ? atom->size : 1;
            c.to_step[a] = (size_t)atom->step * axis_stride(atom->axis, d);
            c.from_step[a] = from;
            from *= atom->size;
        }
    }
    c.n = v->first[v->rank];
    do {
        dst[c.to] = src[c.from];
    } while (advance(&c));
}

/* Distance of neighbours along dimension i in the order in which users give the input; 0: of size 1. False
 * when they are not evenly spaced. */
static bool user_stride(const struct csl__lowering *lo, const struct csl__view *v, unsigned i,
                        uint64_t *stride) {
    struct csl_hwc d = lo->input.dim;
    uint64_t axis[3] = {d.w, 1, (uint64_t)d.h * d.w}; /* H, W, C of channels first */
    if (lo->input.channels_last) {
        axis[CSL__AXIS_H] = (uint64_t)d.w * d.c;
        axis[CSL__AXIS_W] = d.c;
        axis[CSL__AXIS_C] = 1;
    }
    *stride = 0;
    for (unsigned a = v->first[i]; a < v->first[i + 1]; a++) {
        uint64_t step = axis[v->atoms[a].axis] * v->atoms[a].step;
        if (*stride != 0 && *stride != step * v->atoms[a].size) {
            return false;
        }
        *stride = step;
    }
    return true;
}

/* The layout of the input in which dimensions c, h, w of this view would be its axes. */
static bool layout_for(const struct csl__lowering *lo, struct csl__layout *layout, const struct csl__view *v,
                       unsigned c, unsigned h, unsigned w) {
    uint64_t sc;
    uint64_t sh;
    uint64_t sw;
    if (!user_stride(lo, v, c, &sc) || !user_stride(lo, v, h, &sh) || !user_stride(lo, v, w, &sw)) {
        return false;
    }
    struct csl_hwc d = {(uint32_t)v->dims[h], (uint32_t)v->dims[w], (uint32_t)v->dims[c]};
    bool last = (sc == 0 || sc == 1) && (sw == 0 || sw == d.c) && (sh == 0 || sh == (uint64_t)d.w * d.c);
    bool first = (sw == 0 || sw == 1) && (sh == 0 || sh == d.w) && (sc == 0 || sc == (uint64_t)d.h * d.w);
    *layout = (struct csl__layout){d, last && !first};
    return last || first;
}

enum csl_err csl__need_picture(struct csl__lowering *lo, bool *ok, const struct csl_node *node,
                               struct csl__value *x, bool channels_last) {
    const struct csl__view *v = &x->view;
    struct csl_hwc d = csl__dim(lo, x->value);
    unsigned c = channels_last ? 3 : 1;
    unsigned h = channels_last ? 1 : 2;
    unsigned w = h + 1;
    struct csl__layout layout;
    *ok = false;
    if (v->rank != 4 || v->batch != 0) {
        return csl__issue(lo, node, "give it pictures: [batch, channels, height, width]",
                          v->rank != 4 ? "its input has %u dimensions, not 4"
                                       : "its input of %u dimensions does not have the batch first",
                          v->rank);
    }
    *ok = csl__dim_is_axis(v, c, CSL__AXIS_C, d.c) && csl__dim_is_axis(v, h, CSL__AXIS_H, d.h) &&
          csl__dim_is_axis(v, w, CSL__AXIS_W, d.w);
    if (*ok || (layout_for(lo, &layout, v, c, h, w) && csl__want_input(lo, x, layout))) {
        return CSL_OK;
    }
    return csl__issue(lo, node,
                      "keep pictures as pictures until the dense layers; transpose the weights instead",
                      "its input was reordered or reshaped: its channels, height and width are not those of "
                      "the layer before it");
}
