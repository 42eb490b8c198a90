/* The local work of a ReLU between its rounds, one row at a time; one table of kernels an instruction set.
 *
 * Bit rows are whole words, 64 elements each, padding zero in what they read; what they write there is not
 * specified (openings cut it off). Constant time in shares; tables are read at public digits.
 */
#ifndef CSL_MPC_RELU_KERNELS_H
#define CSL_MPC_RELU_KERNELS_H

#include "mpc/products_internal.h"

/* One row of T5. */
struct csl__relu_finish {
    const uint64_t *c_high; /* c', public */
    const uint64_t *e;      /* bits, public */
    const uint64_t *beta;   /* shares from here on */
    const uint64_t *r_high;
    const uint64_t *r_beta;
    const uint64_t *s; /* NULL with s_beta when out_bits = k */
    const uint64_t *s_beta;
    size_t n;
    unsigned k;
    unsigned out_bits;
    uint64_t one; /* 1 at party 0, else 0: a share of the constant 1 */
};

/* One row of T8: y = keep (c - r), and the wrap. a, a_r and s_m in the order of F5. */
struct csl__relu_select {
    struct csl__monomials monomials;
    const uint64_t *c;   /* what is multiplied, public */
    const uint64_t *top; /* public; its bit top_shift is c'_{k-1} */
    const uint64_t *u;   /* planes of n_words, public: e_1.., l_0.. */
    const uint64_t *s;   /* shares from here on */
    const uint64_t *r;
    const uint64_t *s_r;
    const uint64_t *a;
    const uint64_t *a_r;
    const uint64_t *s_m; /* NULL: no wrap */
    size_t n, n_words;
    unsigned top_shift;
    unsigned k;
    unsigned out_bits;
    uint64_t one; /* as above */
};

struct csl__relu_kernels {
    /* T1: out = (z + add) >> shift, and of what came back (c + add mod 2^bits) >> shift. out may be the
     * input. */
    void (*shift_out)(uint64_t *out, const uint64_t *z, size_t n, uint64_t add, unsigned bits,
                      unsigned shift);
    /* T4: bit `at` of every element. */
    void (*gather)(uint64_t *plane, const uint64_t *in, size_t n, unsigned at);
    /* T2: lt bits of a digit (at `shift`, `width` bits wide) and eq bits where eq is not NULL. one: as above.
     * A table is one word an element, or 2^(width - 6). */
    void (*read_table)(uint64_t *lt, uint64_t *eq, const uint64_t *table, const uint64_t *c_high, size_t n,
                       unsigned shift, unsigned width, uint64_t one);
    /* T3: lt, which holds <lt_{D-1}>, becomes <lt>; n_words of it. u: opened inputs, planes of n_words. m:
     * their masks, products: dealt; n_words of planes that are `stride` apart. ones: all bits set at party 0,
     * else 0. */
    void (*combine)(uint64_t *lt, const uint64_t *u, const uint64_t *m, const uint64_t *products,
                    const struct csl__products *p, size_t n_words, size_t stride, uint64_t ones);
    /* T5; y may be c_high */
    void (*finish)(uint64_t *y, const struct csl__relu_finish *f);
    /* T8; y may be c, or top */
    void (*select)(uint64_t *y, const struct csl__relu_select *f);
};

extern const struct csl__relu_kernels csl__relu_portable;
extern const struct csl__relu_kernels csl__relu_avx2;   /* needs AVX2; equal to portable elsewhere */
extern const struct csl__relu_kernels csl__relu_avx512; /* needs AVX-512 F, DQ, BW, VL; likewise */

/* What csl_cpu_level() permits. */
const struct csl__relu_kernels *csl__relu_kernels_get(void);

#endif
