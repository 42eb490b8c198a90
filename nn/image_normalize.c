/* How raw pixels become the network's inputs. */
#include "nn/image.h"

#include <math.h>
#include <string.h>

static const struct {
    const char *name;
    double lo, hi;
} kinds[CSL_NORMALIZE_COUNT] = {[CSL_NORMALIZE_NONE] = {"none", 0, 0},
#define KIND(e, name, lo, hi) [e] = {name, lo, hi},
                                CSL_NORMALIZE_LIST(KIND)
#undef KIND
};

const char *csl_normalize_name(enum csl_normalize kind) {
    return (unsigned)kind < CSL_NORMALIZE_COUNT ? kinds[kind].name : "unknown";
}

enum csl_err csl_normalization_named(struct csl_normalization *out, const char *name, struct csl_diag *diag) {
    *out = (struct csl_normalization){0};
    for (int k = CSL_NORMALIZE_NONE + 1; k < CSL_NORMALIZE_COUNT; k++) {
        if (strcmp(name, kinds[k].name) == 0) {
            *out = (struct csl_normalization){
                .kind = (enum csl_normalize)k, .lo = kinds[k].lo, .hi = kinds[k].hi};
            return CSL_OK;
        }
    }
    if (strcmp(name, kinds[CSL_NORMALIZE_NONE].name) == 0) {
        return csl_fail(diag, CSL_EUSAGE, "normalisation none needs the interval of its values");
    }
    return csl_fail(diag, CSL_EUSAGE,
                    "normalisation '%.40s' is not known; raw, unit, centered, mnist or none", name);
}

enum csl_err csl_normalization_none(struct csl_normalization *out, double lo, double hi,
                                    struct csl_diag *diag) {
    *out = (struct csl_normalization){0};
    if (!isfinite(lo) || !isfinite(hi) || !(lo < hi)) {
        return csl_fail(diag, CSL_EUSAGE, "the interval %g..%g is empty or not finite", lo, hi);
    }
    *out = (struct csl_normalization){.kind = CSL_NORMALIZE_NONE, .lo = lo, .hi = hi};
    return CSL_OK;
}

static double normalized(double x, enum csl_normalize kind) {
    switch (kind) {
    case CSL_NORMALIZE_UNIT:
        return x / 255.0;
    case CSL_NORMALIZE_CENTERED:
        return (x / 255.0 - 0.5) / 0.5;
    case CSL_NORMALIZE_MNIST:
        return (x / 255.0 - 0.1307) / 0.3081;
    default:
        return x;
    }
}

/* The float next to v that lies in lo..hi, since rounding v to float may have left the interval. */
static float inside(double v, double lo, double hi) {
    float f = (float)v;
    if ((double)f > hi) {
        f = nextafterf(f, -INFINITY);
    } else if ((double)f < lo) {
        f = nextafterf(f, INFINITY);
    }
    return f;
}

enum csl_err csl_images_normalize(struct csl_images *images, const struct csl_normalization *how,
                                  struct csl_diag *diag) {
    bool none = how->kind == CSL_NORMALIZE_NONE;
    double lo = none ? how->lo : 0.0, hi = none ? how->hi : 255.0;
    size_t stride = csl_images_stride(images), n = images->count * stride;
    if ((unsigned)how->kind >= CSL_NORMALIZE_COUNT || !(how->lo < how->hi)) {
        return csl_fail(diag, CSL_EUSAGE, "the normalisation was not declared");
    }
    for (size_t i = 0; i < n; i++) {
        double x = (double)images->data[i];
        if (!(x >= lo && x <= hi)) {
            return csl_fail(
                diag, CSL_EDATA, "image %zu, element %zu is %g, outside %g..%g of normalisation %s%s",
                i / stride, i % stride, x, lo, hi, kinds[how->kind].name,
                none ? "" : "; if the file holds normalised numbers, declare none and their interval");
        }
    }
    for (size_t i = 0; !none && i < n; i++) {
        images->data[i] = inside(normalized((double)images->data[i], how->kind), how->lo, how->hi);
    }
    return CSL_OK;
}
