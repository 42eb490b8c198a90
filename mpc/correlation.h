/* Correlations: data-independent randomness that is made before the input is known, one row an inference.
 *
 * A network is a list of demands (one each for its linear layers and ReLUs). A correlation object holds one
 * party's part for a batch. Its heart is the table of fields below: for each demand the parties and every
 * maker read from it what there is, how wide it is, how it is shared, and whether it is the party's OWN
 * (expanded from its seed, so that it may mask an opening) or DEALT (a function of the own fields).
 *
 * Makers
 *  - dealer (mpc/dealer.h): csl_corr_expand() row by row. Party i < N-1 expands every field from its index
 * seed (the matrix key for linear demands, the bits key for others), PRG stream demand << 8 | field (step
 * K4); the last party expands its own fields and takes the dealt ones from the corrections chunk of the
 * index.
 *  - any other maker (oblivious transfer and lattices, Paillier, a test): own fields by csl_corr_expand_own()
 *    or csl_corr_put(), every dealt field of every row by csl_corr_put(), at every party; no corrections.
 * A new kind of correlation is a new row in the field table and its value function in dealer.c.
 *
 * A demand is MOVED into the protocol that uses it: used once, wiped there. A second use is CSL_EINTERNAL and
 * poisons the session. Constant time in all values; shapes are public.
 */
#ifndef CSL_MPC_CORRELATION_H
#define CSL_MPC_CORRELATION_H

#include "mpc/conv.h"
#include "mpc/link.h"

enum {
    CSL_MAX_DIGITS = 6,
    CSL_MAX_DIGIT_BITS = 6,
    CSL_WAN_MAX_DIGITS = 4,
    CSL_WAN_MAX_DIGIT_BITS = 9,
    CSL_GUARD_BITS = 4, /* of the f that a truncation cuts, so many are opened (T1) */
    CSL_MAX_DEMANDS = 4096,
    CSL_MAX_FIELDS = 16,
    CSL_MAX_DIM = 1 << 24,
    CSL_MAX_BATCH = 1 << 20,
    CSL_DEMAND_BYTES = 77,     /* of a demand, encoded */
    CSL_INDEX_SEED_BYTES = 64, /* matrix key 32 | bits key 32 (step K3) */
};

enum csl_demand_kind {
    CSL_DEMAND_LINEAR = 1, /* conv or dense */
    CSL_DEMAND_RELU,
    CSL_DEMAND_TRUNC,
    CSL_DEMAND_MAX,   /* max(a, b) of count pairs; ring mod 2^l, the top k bits compared */
    CSL_DEMAND_ARGMAX /* the same, and the payload (a class number) of the larger one */
};

/* How a comparison runs: fewest bytes (rounds c, u, e), or fewest rounds (c, u) with more corrections. */
enum csl_form { CSL_FORM_LAN, CSL_FORM_WAN };

/* Of a ReLU or truncation (steps T): of l = k + f bits the top k + min(f, CSL_GUARD_BITS) are opened, f are
 * cut off, the result lives mod 2^out_bits. digit_bits: widths of the digits of the low k-1 bits, low digit
 * first; none for a truncation without ReLU. */
struct csl_trunc_params {
    uint8_t k;
    uint8_t f;
    uint8_t out_bits;
    uint8_t n_digits;
    uint8_t digit_bits[CSL_MAX_DIGITS];
};

struct csl_demand {
    enum csl_demand_kind kind;
    struct csl_conv_shape conv;    /* LINEAR */
    uint8_t bits;                  /* LINEAR: everything is mod 2^bits; ARGMAX: ring of the payload, 1..16 */
    uint32_t count;                /* others: elements (pairs) an inference */
    struct csl_trunc_params trunc; /* MAX, ARGMAX: out_bits = l = k + f */
    uint8_t form;                  /* RELU, MAX, ARGMAX: enum csl_form; LAN for others */
};

/* The default digits: as few as hold k-1 bits at 6 a digit, spread evenly, the low ones wider (k = 24: 6 6 6
 * 5; k = 2: 1). Parameters out of range are left for csl_demand_check() to refuse (n_digits 0). */
struct csl_trunc_params csl_trunc_params_default(unsigned k, unsigned f, unsigned out_bits);

/* Shorthands for the kinds. A truncation gets no digits. */
struct csl_demand csl_demand_linear(uint32_t k_dim, uint32_t n_dim, unsigned bits);
struct csl_demand csl_demand_conv(const struct csl_conv_shape *conv, unsigned bits);
struct csl_demand csl_demand_max(uint32_t count, unsigned k, unsigned f);
struct csl_demand csl_demand_argmax(uint32_t count, unsigned k, unsigned f, unsigned payload_bits);
struct csl_demand csl_demand_relu(uint32_t count, unsigned k, unsigned f, unsigned out_bits);
struct csl_demand csl_demand_trunc(uint32_t count, unsigned k, unsigned f, unsigned out_bits);

/* The wan form of a RELU, MAX or ARGMAX with its default digits: as few as hold k-1 bits at 8, 8, 9, 9 a
 * digit for one to four of them (k = 24: 8 8 7). Other kinds are returned as they are. */
struct csl_demand csl_demand_wan(struct csl_demand d);

/* Bits of the opened c below the k that are compared: all f of a maximum, the guard bits of the others. r and
 * c have k more. */
static inline unsigned csl_demand_low_bits(const struct csl_demand *d) {
    bool whole = d->kind == CSL_DEMAND_MAX || d->kind == CSL_DEMAND_ARGMAX || d->trunc.f < CSL_GUARD_BITS;
    return whole ? d->trunc.f : CSL_GUARD_BITS;
}

/* CSL_EDATA with the reason unless: dimensions in 1..CSL_MAX_DIM; LINEAR: 1 <= bits <= 64; RELU and TRUNC: f
 * >= 1, k >= 2, k + f <= 62, k <= out_bits <= 64; RELU: 1..6 digits of 1..6 bits which hold exactly k-1 bits
 * (k <= 37), in the wan form 1..4 digits of 1..9 bits; TRUNC: no digits; MAX, ARGMAX: as RELU with out_bits =
 * k + f; ARGMAX: 1 <= bits <= 16; LINEAR: csl_conv_check(). Demands may come from outside: every function
 * below checks them by this. */
CSL_MUST_CHECK enum csl_err csl_demand_check(const struct csl_demand *d, struct csl_diag *diag);

/* ---- fields ---- */

enum csl_field_form {
    CSL_FIELD_RING,  /* `count` elements, shared additively mod 2^bits; one uint64_t each */
    CSL_FIELD_TABLE, /* `count` elements of `bits` bits, shared by XOR; one uint64_t each */
    CSL_FIELD_PLANES /* `planes` planes of `count` bits, shared by XOR; each in whole uint64_t, padding zero
                      */
};

/* Field numbers (docs/protocol.md F2): positions in the table and parts of the PRG stream number. Never
 * renumber. */
enum csl_linear_field { CSL_LINEAR_A, CSL_LINEAR_C, CSL_LINEAR_N_FIELDS };
enum csl_trunc_field { CSL_TRUNC_R, CSL_TRUNC_R_HIGH, CSL_TRUNC_S, CSL_TRUNC_N_FIELDS };
enum csl_relu_field {
    CSL_RELU_R,     /* own: r mod 2^(k + low bits); r' is without the low bits */
    CSL_RELU_M,     /* own: masks m, planes e_1..e_{D-1}, l_0..l_{D-2} (D digits) */
    CSL_RELU_BETA,  /* own: bit beta */
    CSL_RELU_TABLE, /* dealt, six fields: T_j(v) = [v < digit j of r'], bit v of the element, without the last
                     */
    CSL_RELU_PRODUCTS = CSL_RELU_TABLE + CSL_MAX_DIGITS, /* dealt: products of masks, see csl__products */
    CSL_RELU_S_BIT,                                      /* dealt: <s>; of a ReLU empty, in [s] */
    CSL_RELU_BETA_R,                                     /* dealt: [beta] mod 2^out_bits */
    CSL_RELU_R_HIGH,                                     /* dealt: [r'] */
    CSL_RELU_R_BETA,                                     /* dealt: [r' beta] */
    CSL_RELU_S,      /* dealt: [s] mod 2^(out_bits - k), at least 1 bit: its low bits are <s> */
    CSL_RELU_S_BETA, /* dealt: [s beta] */
    CSL_RELU_N_FIELDS
};

/* Of MAX and ARGMAX: numbers up to CSL_RELU_S_BIT are those of a ReLU (the comparison is the same). */
enum csl_max_field {
    CSL_MAX_BETA_R = CSL_RELU_S_BIT + 1, /* dealt: [beta] mod 2^l, or the payload's ring if that is wider */
    CSL_MAX_R_BETA,                      /* dealt: [r beta] mod 2^l */
    CSL_MAX_P,                           /* own: P mod 2^bits, masks the payload; empty for MAX */
    CSL_MAX_P_BETA,                      /* dealt: [P beta] mod 2^bits; empty for MAX */
    CSL_MAX_N_FIELDS
};

/* Of RELU, MAX and ARGMAX in the wan form. M: a monomial of masks, F5. */
enum csl_wan_field {
    CSL_WAN_R,     /* own: as CSL_RELU_R */
    CSL_WAN_M,     /* own: masks m, planes e_1..e_{D-1}, l_0..l_{D-1} */
    CSL_WAN_P,     /* own: as CSL_MAX_P; ARGMAX only */
    CSL_WAN_TABLE, /* dealt, four fields: T_j, bit v of the element, in 2^(d_j - 6) words of 64 bits if d_j >
                      6 */
    CSL_WAN_S = CSL_WAN_TABLE + CSL_WAN_MAX_DIGITS, /* dealt: [s] mod 2^out_bits, or the payload's ring */
    CSL_WAN_R_HIGH,                                 /* dealt: [r'] mod 2^out_bits; RELU only */
    CSL_WAN_S_R,                                    /* dealt: [s r'], [s r] of a maximum */
    CSL_WAN_A,                                      /* dealt: [(1-2s) M] for each M, rings as [s] */
    CSL_WAN_A_R,                                    /* dealt: [(1-2s) M r'], [(1-2s) M r] of a maximum */
    CSL_WAN_S_M,                                    /* dealt: [s M] mod 2^(out_bits - k); RELU only */
    CSL_WAN_S_P,                                    /* dealt: [s P] mod 2^bits; ARGMAX only */
    CSL_WAN_A_P,                                    /* dealt: [(1-2s) M P]; ARGMAX only */
    CSL_WAN_N_FIELDS
};

struct csl_field {
    const char *name;
    enum csl_field_form form;
    bool dealt;
    uint8_t bits;     /* 1 for planes; 0: the field is empty */
    uint32_t count;   /* a multiple of the demand's where an element has several */
    uint32_t planes;  /* of PLANES; may be 0 */
    size_t row_words; /* uint64_t of one row in memory */
    size_t row_bytes; /* of one row packed, as corrections carry it */
};

/* Fills the table of a checked demand; returns the number of fields. */
size_t csl_demand_fields(struct csl_field fields[CSL_MAX_FIELDS], const struct csl_demand *d);

/* Bytes of corrections for one inference (one index), step F4: the dealt fields in order, each packed for
 * itself. 0 when a demand is wrong or the sum overflows. */
size_t csl_correction_bytes(const struct csl_demand *demands, size_t n_demands);

/* SHA-256 over the corrections of linear demands, and over those of all others, of one index, each in the
 * order of the demands (docs/protocol.md C): the second can be made anew from opened bits keys. n must be
 * csl_correction_bytes(), else CSL_EPROTO. */
CSL_MUST_CHECK enum csl_err csl_correction_digests(uint8_t matrix[32], uint8_t bits[32],
                                                   const struct csl_demand *demands, size_t n_demands,
                                                   const uint8_t *corrections, size_t n);

/* Demands as bytes, CSL_DEMAND_BYTES each, and their digest SHA-256("consilium/demands" 0 | bytes): what a
 * dealer says that it dealt for. Decoding checks every demand: CSL_EDATA. */
void csl_demands_encode(uint8_t *out, const struct csl_demand *demands, size_t n_demands);
CSL_MUST_CHECK enum csl_err csl_demands_decode(struct csl_demand *out, const uint8_t *in, size_t n_demands,
                                               struct csl_diag *diag);
CSL_MUST_CHECK enum csl_err csl_demands_digest(uint8_t out[32], const struct csl_demand *demands,
                                               size_t n_demands);

/* ---- one party's correlations for a batch ---- */

struct csl_corr;

/* Memory that csl_corr_new() would take, for a budget; 0 when the demands are wrong or it overflows. */
size_t csl_corr_bytes(const struct csl_demand *demands, size_t n_demands, size_t batch);

/* demands are copied. batch: rows, 1..CSL_MAX_BATCH. The caller frees by csl_corr_free(). CSL_EDATA,
 * CSL_ENOMEM. */
CSL_MUST_CHECK enum csl_err csl_corr_new(struct csl_corr **out, const struct csl_demand *demands,
                                         size_t n_demands, unsigned n_parties, unsigned self, size_t batch,
                                         struct csl_diag *diag);

/* Fills one row from the party's index seed (step K3). corrections: the index's chunk of exactly
 * csl_correction_bytes() at the last party, NULL and 0 at every other. Wrong length or padding: CSL_EPROTO;
 * a row that is already there: CSL_EINTERNAL (its demand would be expanded twice). */
CSL_MUST_CHECK enum csl_err csl_corr_expand(struct csl_corr *c, size_t row,
                                            const uint8_t index_seed[CSL_INDEX_SEED_BYTES],
                                            const uint8_t *corrections, size_t n_corrections,
                                            struct csl_diag *diag);

/* At the last party, before csl_corr_bind_weights(): the corrections of a row as they came. Secret. n_out is
 * csl_correction_bytes(). Else CSL_EINTERNAL, and out is untouched. */
CSL_MUST_CHECK enum csl_err csl_corr_corrections(uint8_t *out, size_t n_out, const struct csl_corr *c,
                                                 size_t row, struct csl_diag *diag);

/* For other makers: the own fields of a row only. */
CSL_MUST_CHECK enum csl_err csl_corr_expand_own(struct csl_corr *c, size_t row,
                                                const uint8_t index_seed[CSL_INDEX_SEED_BYTES],
                                                struct csl_diag *diag);

/* For other makers: one row of one field, field.row_words words; reduced to the field's width, padding
 * cleared. A field is put once. */
CSL_MUST_CHECK enum csl_err csl_corr_put(struct csl_corr *c, size_t demand, unsigned field, size_t row,
                                         const uint64_t *words, struct csl_diag *diag);

/* Step L2: Z = conv(A, E) + C for all rows of a linear demand; E is csl_conv_weights() opened elements, mod
 * 2^bits. CSL_ENOMEM uses the demand up. All rows must be filled. Before csl_linear_forward(), once. */
CSL_MUST_CHECK enum csl_err csl_corr_bind_weights(struct csl_corr *c, size_t demand, const uint64_t *e,
                                                  struct csl_diag *diag);

/* Wipes n rows (rising) for good and closes the gaps: the batch becomes so many smaller. For rows that were
 * used to check the dealer. CSL_EINTERNAL, with c unchanged, when a row does not exist, all would go, or a
 * demand was bound or used before. */
CSL_MUST_CHECK enum csl_err csl_corr_discard(struct csl_corr *c, const uint32_t *rows, size_t n,
                                             struct csl_diag *diag);

/* Moves n whole rows from `first` on, bound to the weights or not, into a correlation of their own: they are
 * wiped here and cannot be used or moved again. CSL_EINTERNAL, with c unchanged, when one of them is not
 * there. */
CSL_MUST_CHECK enum csl_err csl_corr_move(struct csl_corr **out, struct csl_corr *c, size_t first, size_t n,
                                          struct csl_diag *diag);

size_t csl_corr_batch(const struct csl_corr *c);
size_t csl_corr_n_demands(const struct csl_corr *c);
/* Borrowed; NULL when there is no such demand. */
const struct csl_demand *csl_corr_demand(const struct csl_corr *c, size_t demand);

/* Wipes and frees; c may be NULL. */
void csl_corr_free(struct csl_corr *c);

#endif
