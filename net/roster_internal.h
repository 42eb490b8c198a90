/* Between the files of the roster: YAML scanning, conversion, cross checks. */
#ifndef CSL_NET_ROSTER_INTERNAL_H
#define CSL_NET_ROSTER_INTERNAL_H

#include "net/roster.h"

/* A roster's text, for errors that name the line. */
struct csl__roster_text {
    const char *what; /* file name */
    const unsigned char *text;
    size_t n;
    struct csl_diag *diag;
};

/* Where something stands: field of entry `index` of the list `section`; section.field when index is -1. */
struct csl__roster_at {
    const char *section;
    long index;
    const char *field; /* NULL: the entry or section itself */
};

/* Walks the YAML events before libcyaml builds anything: refuses repeated fields, anchors, aliases, tags,
 * directives, deep nesting, more than one document, NUL bytes and text that is not UTF-8 (libcyaml lets these
 * pass). */
CSL_MUST_CHECK enum csl_err csl__roster_scan(const struct csl__roster_text *t);

/* Whether the schema has this field in a section ("" is the top level). Unknown sections know nothing. */
bool csl__roster_known(const char *section, const char *field);

/* The line (from 1) of a place in scanned text; that of its entry or section when the field is not there. */
size_t csl__roster_line(const struct csl__roster_text *t, struct csl__roster_at at);

/* "file:line: members[2].address: sentence"; returns CSL_ECONFIG. */
enum csl_err csl__roster_bad(const struct csl__roster_text *t, struct csl__roster_at at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Checks that concern more than one field; fills in the derived part. */
CSL_MUST_CHECK enum csl_err csl__roster_cross_check(struct csl_roster *r, const struct csl__roster_text *t);

/* Rows of the tables of numbers; struct csl_timeouts, csl_limits, csl_audit_policy and csl_chain_rule are
 * read and written through them. */
struct csl__roster_number {
    const char *name;
    size_t offset; /* in the struct of its section */
    uint32_t standard, min, max;
};
enum { CSL__N_TIMEOUTS = 6, CSL__N_LIMITS = 3, CSL__N_AUDIT = 3, CSL__N_CHAIN = 1 };
extern const struct csl__roster_number csl__timeouts[CSL__N_TIMEOUTS];
extern const struct csl__roster_number csl__limits[CSL__N_LIMITS];
extern const struct csl__roster_number csl__audit[CSL__N_AUDIT];
extern const struct csl__roster_number csl__chain[CSL__N_CHAIN];

static inline uint32_t csl__number_get(const void *base, const struct csl__roster_number *row) {
    return *(const uint32_t *)((const char *)base + row->offset);
}

static inline void csl__number_set(void *base, const struct csl__roster_number *row, uint32_t value) {
    *(uint32_t *)((char *)base + row->offset) = value;
}

#endif
