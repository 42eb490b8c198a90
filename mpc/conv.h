/* Shapes of linear layers, and the ring convolution that all of them are.
 *
 * Activations are height x width x channels (HWC, channels innermost), one uint64_t an element. A dense layer
 * is the 1 x 1 convolution of a 1 x 1 picture. Weights stand as kernel height x kernel width x (in_c /
 * groups) rows by out_c columns, row-major; group g reads input channels g * in_c/groups .. and writes output
 * channels g * out_c/groups ... (columns g * out_c/groups ..). What lies outside the picture is zero. Shapes
 * are public; constant time in all values. Large ones are spread over the pool (mpc/threads.h).
 */
#ifndef CSL_MPC_CONV_H
#define CSL_MPC_CONV_H

#include "crypto/err.h"

struct csl_conv_shape {
    uint32_t in_h, in_w, in_c;
    uint32_t out_h, out_w, out_c;
    uint32_t kernel_h, kernel_w;
    uint32_t stride_h, stride_w;
    uint32_t pad_top, pad_left; /* the other sides follow from the sizes */
    uint32_t dilation_h, dilation_w;
    uint32_t groups;
};

/* A dense layer of k inputs and n outputs. */
struct csl_conv_shape csl_conv_dense(uint32_t k, uint32_t n);

/* CSL_EDATA with the reason unless: every field 1..CSL_MAX_DIM (pads may be 0, and those behind the picture,
 * which follow, are bounded by it too), groups divides both channel numbers, inputs and outputs are at most
 * CSL_MAX_DIM and the weights fit in memory's address space. A window may lie wholly in the padding. */
CSL_MUST_CHECK enum csl_err csl_conv_check(const struct csl_conv_shape *s, struct csl_diag *diag);

size_t csl_conv_inputs(const struct csl_conv_shape *s);  /* in_h * in_w * in_c */
size_t csl_conv_outputs(const struct csl_conv_shape *s); /* out_h * out_w * out_c */
size_t csl_conv_weights(const struct csl_conv_shape *s); /* kernel_h * kernel_w * in_c / groups * out_c */

/* y (batch x outputs) += conv(d, w) mod 2^bits (below 2^bits after it). d: batch x inputs. Either operand may
 * be the secret one. Scratch (csl_conv_scratch) is taken inside; it is wiped when `secret_d`. y
 * overlaps neither operand. CSL_ENOMEM; then y is zero. */
CSL_MUST_CHECK enum csl_err csl_conv_acc(uint64_t *y, const uint64_t *d, const uint64_t *w,
                                         const struct csl_conv_shape *s, size_t batch, unsigned bits,
                                         bool secret_d);

/* The words of scratch that csl_conv_acc takes for a checked shape with so many threads: pictures with zeros
 * around, or unfolded rows, of d. None where windows can be read where they stand; otherwise at most 256 KB a
 * thread, or four times one picture or 48 rows where those are more (with groups, their products and a
 * group's weights, too). */
size_t csl_conv_scratch(const struct csl_conv_shape *s, size_t batch, size_t threads);

#endif
