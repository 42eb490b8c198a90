/* What protocols, makers and tests share with correlation.c. */
#ifndef CSL_MPC_CORRELATION_INTERNAL_H
#define CSL_MPC_CORRELATION_INTERNAL_H

#include "crypto/prg.h"
#include "mpc/correlation.h"
#include "mpc/products_internal.h"
#include "mpc/session.h"

/* One demand's part of a correlation. */
struct csl__corr_demand {
    struct csl_demand demand;
    struct csl_field fields[CSL_MAX_FIELDS];
    size_t n_fields;
    uint64_t *words;                /* everything below; NULL when used up */
    uint64_t *data[CSL_MAX_FIELDS]; /* batch rows of fields[i].row_words; NULL for an empty field */
    uint32_t *filled;               /* batch masks of the fields that are there */
    uint32_t wiped;                 /* a mask of the fields that the protocol has wiped while it used them */
    size_t batch;                   /* rows that there is memory for */
    bool by_blocks;                 /* so much that a field is wiped where it is used, in the cache */
    bool bound;                     /* LINEAR: C has become Z */
    bool used;
};

struct csl_corr {
    unsigned n_parties;
    unsigned self;
    size_t batch;
    size_t n_demands;
    struct csl__corr_demand *demands;
};

/* Row `row` of a field. The caller knows that both exist. */
static inline uint64_t *csl__corr_row(const struct csl__corr_demand *cd, unsigned field, size_t row) {
    return cd->data[field] + row * cd->fields[field].row_words;
}

/* Moves a demand into a protocol: checks that it is whole, of this kind and unused, and marks it used. What
 * is wrong poisons the session. The protocol ends with csl__corr_done(), whatever happens. */
CSL_MUST_CHECK enum csl_err csl__corr_take(struct csl__corr_demand **out, struct csl_session *s,
                                           struct csl_corr *c, size_t demand, enum csl_demand_kind kind);

/* The protocol has wiped all rows of a field; only of a demand that is used by blocks. */
static inline void csl__corr_wiped(struct csl__corr_demand *cd, unsigned field) {
    cd->wiped |= cd->by_blocks ? 1u << field : 0;
}

/* Wipes what was not wiped while it was used, and frees its memory. */
void csl__corr_done(struct csl__corr_demand *cd);

/* Wipes a row; it is not filled then. */
void csl__corr_wipe_row(struct csl_corr *c, size_t row);

/* Step K4: one row of a field from the PRG, stream demand << 8 | field. */
CSL_MUST_CHECK enum csl_err csl__field_expand(uint64_t *row, const struct csl_field *f, struct csl_prg *prg,
                                              size_t demand, unsigned field);

/* Cuts elements to their width and clears padding. */
void csl__field_reduce(uint64_t *row, const struct csl_field *f);

/* f->row_bytes bytes from and to the corrections chunk. Unpacking refuses padding bits. */
void csl__field_pack(uint8_t *out, const struct csl_field *f, const uint64_t *row);
CSL_MUST_CHECK enum csl_err csl__field_unpack(uint64_t *row, const struct csl_field *f, const uint8_t *in,
                                              struct csl_diag *diag);

/* The value function: fills the dealt fields of one row from the own fields (not of LINEAR). data[i] is
 * the row of field i, NULL where it is empty. */
void csl__demand_values(uint64_t *const data[CSL_MAX_FIELDS], const struct csl_demand *d);

#endif
