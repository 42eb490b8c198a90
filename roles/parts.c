#include "roles/parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHOLE_AXIS UINT32_MAX /* as an end, until csl_parts_fit knows the shape */

/* ---- From text ---- */

/* One range, "a:b" or ":"; returns what follows it, NULL when it is none. */
static const char *parse_range(uint32_t *begin, uint32_t *end, const char *s) {
    char *rest;
    unsigned long a = strtoul(s, &rest, 10);
    bool has_a = rest != s;
    if (*rest != ':' || s[0] == '-' || s[0] == '+') {
        return NULL;
    }
    s = rest + 1;
    unsigned long b = strtoul(s, &rest, 10);
    bool has_b = rest != s;
    if (s[0] == '-' || s[0] == '+' || a >= WHOLE_AXIS || (has_b && b >= WHOLE_AXIS)) {
        return NULL;
    }
    *begin = has_a ? (uint32_t)a : 0;
    *end = has_b ? (uint32_t)b : WHOLE_AXIS;
    return rest;
}

enum csl_err csl_part_parse(struct csl_part *out, const struct csl_roster *r, const char *text,
                            struct csl_diag *diag) {
    memset(out, 0, sizeof *out);
    char name[CSL_NAME_MAX + 1];
    size_t n = strcspn(text, "=");
    if (text[n] != '=' || n > CSL_NAME_MAX) {
        return csl_fail(diag, CSL_EUSAGE, "part \"%.80s\" is not OWNER=a:b,c:d,... (one range an axis)",
                        text);
    }
    memcpy(name, text, n);
    name[n] = '\0';
    out->owner = csl_roster_member(r, name);
    if (out->owner == NULL) {
        return csl_fail(diag, CSL_EPERM, "part \"%.80s\": the roster has no member %s", text, name);
    }
    const char *s = text + n + 1;
    for (;;) {
        if (out->rank == CSL_MAX_RANK ||
            (s = parse_range(&out->begin[out->rank], &out->end[out->rank], s)) == NULL ||
            (*s != ',' && *s != '\0')) {
            return csl_fail(diag, CSL_EUSAGE, "part \"%.80s\" is not OWNER=a:b,c:d,... (one range an axis)",
                            text);
        }
        out->rank++;
        if (*s == '\0') {
            return CSL_OK;
        }
        s++;
    }
}

/* ---- Messages ---- */

enum csl_err csl_parts_from_message(struct csl_parts *out, const struct csl_roster *r,
                                    const Csl__Pb__OpenSession *m, struct csl_diag *diag) {
    memset(out, 0, sizeof *out);
    if (m->n_parts > CSL_PARTS_MAX) {
        return csl_fail(diag, CSL_EPROTO, "%zu parts of an input; at most %d", m->n_parts, CSL_PARTS_MAX);
    }
    for (size_t i = 0; i < m->n_parts; i++) {
        const Csl__Pb__Part *pb = m->parts[i];
        struct csl_part *part = &out->at[i];
        part->owner = csl_roster_member(r, pb->owner);
        if (part->owner == NULL || !csl_roster_may_query(r, pb->owner, m->model)) {
            return csl_fail(diag, CSL_EPERM,
                            "the roster does not let %.40s own a part of an input of model %s", pb->owner,
                            m->model);
        }
        if (pb->n_begin != pb->n_end || pb->n_begin > CSL_MAX_RANK) {
            return csl_fail(diag, CSL_EPROTO, "part of %s: ranges do not fit together", pb->owner);
        }
        part->rank = (uint32_t)pb->n_begin;
        memcpy(part->begin, pb->begin, pb->n_begin * sizeof *pb->begin);
        memcpy(part->end, pb->end, pb->n_end * sizeof *pb->end);
    }
    out->n = m->n_parts;
    return CSL_OK;
}

void csl_parts_to_message(Csl__Pb__Part pb[CSL_PARTS_MAX], Csl__Pb__Part *list[CSL_PARTS_MAX],
                          const struct csl_parts *p) {
    for (size_t i = 0; i < p->n; i++) {
        csl__pb__part__init(&pb[i]);
        pb[i].owner = (char *)(uintptr_t)p->at[i].owner->name;
        pb[i].n_begin = pb[i].n_end = p->at[i].rank;
        pb[i].begin = (uint32_t *)(uintptr_t)p->at[i].begin;
        pb[i].end = (uint32_t *)(uintptr_t)p->at[i].end;
        list[i] = &pb[i];
    }
}

/* ---- Boxes ---- */

size_t csl_part_elements(const struct csl_part *part) {
    size_t n = 1;
    for (uint32_t a = 0; a < part->rank; a++) {
        n *= part->end[a] - part->begin[a];
    }
    return n;
}

static bool overlap(const struct csl_part *a, const struct csl_part *b) {
    for (uint32_t i = 0; i < a->rank; i++) {
        if (a->end[i] <= b->begin[i] || b->end[i] <= a->begin[i]) {
            return false;
        }
    }
    return true;
}

static enum csl_err fit_one(struct csl_part *part, const struct csl_plan *plan, struct csl_diag *diag) {
    if (part->rank != plan->input_rank) {
        return csl_fail(diag, CSL_EDATA, "the part of %s has %u ranges, the model's input %u axes",
                        part->owner->name, part->rank, plan->input_rank);
    }
    for (uint32_t a = 0; a < part->rank; a++) {
        if (part->end[a] == WHOLE_AXIS) {
            part->end[a] = plan->input_shape[a];
        }
        if (part->begin[a] >= part->end[a] || part->end[a] > plan->input_shape[a]) {
            return csl_fail(diag, CSL_EDATA, "the part of %s: %u:%u is not within axis %u of %u",
                            part->owner->name, part->begin[a], part->end[a], a, plan->input_shape[a]);
        }
    }
    return CSL_OK;
}

enum csl_err csl_parts_fit(struct csl_parts *p, const struct csl_plan *plan, struct csl_diag *diag) {
    size_t covered = 0;
    for (size_t i = 0; i < p->n; i++) {
        TRY(fit_one(&p->at[i], plan, diag));
        covered += csl_part_elements(&p->at[i]);
        for (size_t j = 0; j < i; j++) {
            if (p->at[i].owner == p->at[j].owner) {
                return csl_fail(diag, CSL_EDATA, "%s owns two parts; give each owner one box",
                                p->at[i].owner->name);
            }
            if (overlap(&p->at[i], &p->at[j])) {
                return csl_fail(diag, CSL_EDATA, "the parts of %s and %s overlap", p->at[j].owner->name,
                                p->at[i].owner->name);
            }
        }
    }
    if (p->n != 0 && covered != csl_plan_n_inputs(plan)) {
        return csl_fail(diag, CSL_EDATA, "the parts cover %zu of the input's %u values", covered,
                        csl_plan_n_inputs(plan));
    }
    return CSL_OK;
}

/* The place in the shared value (HWC) of an element of the tensor as users see it. */
static uint32_t hwc_position(const struct csl_plan *plan, uint32_t logical) {
    struct csl_hwc d = plan->values[0].dim;
    if (plan->input_channels_last || plan->input_rank < 3) {
        return logical;
    }
    uint32_t area = d.h * d.w, c = logical / area, at = logical % area;
    return at * d.c + c;
}

void csl_part_positions(const struct csl_part *part, const struct csl_plan *plan, uint32_t *logical,
                        uint32_t *hwc) {
    uint32_t index[CSL_MAX_RANK];
    memcpy(index, part->begin, sizeof index);
    size_t n = csl_part_elements(part);
    for (size_t i = 0; i < n; i++) {
        uint32_t at = 0;
        for (uint32_t a = 0; a < part->rank; a++) {
            at = at * plan->input_shape[a] + index[a];
        }
        logical[i] = at;
        if (hwc != NULL) {
            hwc[i] = hwc_position(plan, at);
        }
        for (uint32_t a = part->rank; a-- > 0;) {
            if (++index[a] < part->end[a]) {
                break;
            }
            index[a] = part->begin[a];
        }
    }
}

int csl_parts_find(const struct csl_parts *p, const struct csl_member *owner) {
    for (size_t i = 0; i < p->n; i++) {
        if (p->at[i].owner == owner) {
            return (int)i;
        }
    }
    return -1;
}
