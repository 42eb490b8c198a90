/* Which products of masks the comparison needs, and on which plane each one stands (docs/protocol.md, T3
 * and F3).
 *
 * With D digits, inputs are e_1..e_{D-1} and l_0..l_{D-2}. A set of e's is a bit mask: bit j-1 for e_j.
 * lt = l_{D-1} ^ sum over low < D-1 of l_low * product of e_j, j > low. Expanding each (u ^ m) needs the
 * product of the masks of every subset. Planes 0..n_inputs-1 are the masks themselves (field M), the others
 * are planes of the field PRODUCTS, counted on from n_inputs.
 */
#ifndef CSL_MPC_PRODUCTS_INTERNAL_H
#define CSL_MPC_PRODUCTS_INTERNAL_H

#include "mpc/correlation.h"

enum { CSL__MAX_SETS = 1 << (CSL_MAX_DIGITS - 1) };

struct csl__products {
    unsigned n_digits;
    unsigned n_inputs;                                  /* 2 (D-1) */
    unsigned n_products;                                /* planes of PRODUCTS */
    uint8_t e_plane[CSL__MAX_SETS];                     /* of a set of e's; not the empty one */
    uint8_t l_plane[CSL_MAX_DIGITS - 1][CSL__MAX_SETS]; /* of l_low times a set of higher e's */
};

/* The sets of e's above digit low are the multiples of 1 << low. n_digits in 1..CSL_MAX_DIGITS. */
void csl__products_init(struct csl__products *p, unsigned n_digits);

/* Of the wan form, which takes l_{D-1} as an input too: lt as an integer over monomials of the masks (T8).
 * Sets as above; F5 numbers them. */
enum { CSL__MAX_MONOMIALS = 22, CSL__WAN_SETS = 1 << (CSL_WAN_MAX_DIGITS - 1) };

struct csl__monomials {
    unsigned n_digits;
    unsigned n_inputs; /* 2D - 1 */
    unsigned n;
    uint8_t e[CSL__WAN_SETS];                     /* of a set of e's; not the empty one */
    uint8_t l[CSL_WAN_MAX_DIGITS][CSL__WAN_SETS]; /* of l_low times a set of higher e's */
};

/* n_digits in 1..CSL_WAN_MAX_DIGITS */
void csl__monomials_init(struct csl__monomials *m, unsigned n_digits);

#endif
