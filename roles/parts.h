/* Inputs with several owners: who owns which box of the input tensor.
 *
 * A part is a box over the axes of plan.input_shape (begin <= i < end on each axis); the parts of a session
 * are disjoint and cover the input. Each owner shares only its part; the parties put the shares together.
 * Public.
 */
#ifndef CSL_ROLES_PARTS_H
#define CSL_ROLES_PARTS_H

#include "control.pb-c.h"
#include "nn/plan.h"
#include "roles/context.h"

enum { CSL_PARTS_MAX = 16 };

struct csl_part {
    const struct csl_member *owner;
    uint32_t rank;
    uint32_t begin[CSL_MAX_RANK], end[CSL_MAX_RANK];
};

struct csl_parts {
    size_t n; /* 0: the client owns the whole input */
    struct csl_part at[CSL_PARTS_MAX];
};

/* "OWNER=0:14,0:28": a box, one range an axis ("a:b", or ":" for the whole axis). CSL_EUSAGE, CSL_EPERM (no
 * such member). Ranges that need the shape (":") are filled by csl_parts_fit. */
CSL_MUST_CHECK enum csl_err csl_part_parse(struct csl_part *out, const struct csl_roster *r, const char *text,
                                           struct csl_diag *diag);

/* Fits open ranges to the plan's shape and checks: every box within it, disjoint, covering it, each owner
 * once. CSL_EDATA names owner and axis. */
CSL_MUST_CHECK enum csl_err csl_parts_fit(struct csl_parts *p, const struct csl_plan *plan,
                                          struct csl_diag *diag);

/* From an OpenSession message; every owner must be allowed to query the model. CSL_EPROTO, CSL_EPERM. */
CSL_MUST_CHECK enum csl_err csl_parts_from_message(struct csl_parts *out, const struct csl_roster *r,
                                                   const Csl__Pb__OpenSession *m, struct csl_diag *diag);
/* Into message parts; lists has room for n, and points into p. */
void csl_parts_to_message(Csl__Pb__Part pb[CSL_PARTS_MAX], Csl__Pb__Part *list[CSL_PARTS_MAX],
                          const struct csl_parts *p);

/* Number of elements of one input that belong to a part. */
size_t csl_part_elements(const struct csl_part *part);
/* The part's elements in row-major order of its box: position of each in the tensor of input_shape
 * (logical[]), and in the shared HWC value (hwc[], may be NULL). Both have csl_part_elements entries. */
void csl_part_positions(const struct csl_part *part, const struct csl_plan *plan, uint32_t *logical,
                        uint32_t *hwc);

/* The index of an owner's part, or -1. */
int csl_parts_find(const struct csl_parts *p, const struct csl_member *owner);

#endif
