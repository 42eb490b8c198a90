/* struct csl_plan as Protocol Buffers: what an owner sends and parties, dealer and clients check. */
#ifndef CSL_ROLES_PLAN_CODEC_H
#define CSL_ROLES_PLAN_CODEC_H

#include "model.pb-c.h"
#include "nn/plan.h"

/* The plan as a message, allocated; freed with csl__pb__plan__free_unpacked. */
CSL_MUST_CHECK enum csl_err csl_plan_to_message(Csl__Pb__Plan **out, const struct csl_plan *plan);

/* Converts and runs csl_plan_check: a plan that comes out is good. CSL_EDATA names the field. */
CSL_MUST_CHECK enum csl_err csl_plan_from_message(struct csl_plan *plan, const Csl__Pb__Plan *pb,
                                                  struct csl_diag *diag);

/* The plan alone as bytes (malloc'ed). */
CSL_MUST_CHECK enum csl_err csl_plan_encode(uint8_t **out, size_t *n, const struct csl_plan *plan);
CSL_MUST_CHECK enum csl_err csl_plan_decode(struct csl_plan *plan, const uint8_t *p, size_t n,
                                            struct csl_diag *diag);

#endif
