/* The compiled, public plan of a network: a fixed list of layers with the widths that the protocol needs.
 *
 * Layer d computes  Y = act(X . W + b):  X is batch x k at x_frac fractional bits, W is k x n at w_frac, b
 * and the product z = X.W + b at x_frac + w_frac, in Z/2^bits. The activation removes trunc_f bits
 * (docs/protocol.md T) and leaves its result in Z/2^out_bits, the ring of the next layer. Everything in
 * struct csl_plan is public (architecture, widths); the numbers of the network are in struct csl_weights,
 * which only the model's owner holds.
 *
 * Widths come from interval bounds over the declared input interval (csl_plan_compile); a plan that came from
 * somebody else is only used after csl_plan_check.
 */
#ifndef CSL_NN_PLAN_H
#define CSL_NN_PLAN_H

#include "nn/graph.h"
#include "nn/image.h"

enum {
    CSL_PLAN_MAX_LAYERS = 64,
    CSL_PLAN_MAX_DIM = 1 << 20,     /* of a layer's k or n */
    CSL_PLAN_MAX_WEIGHTS = 1 << 27, /* of one layer (1 GiB a share) and of all layers */
    CSL_PLAN_MAX_BITS = 62,         /* of any ring in a plan */
    CSL_PLAN_MAX_DIGITS = 6,        /* of a comparison: CSL_MAX_DIGITS of mpc/correlation.h */
    CSL_PLAN_MAX_BATCH = 1 << 16,
    CSL_PLAN_NAME_BYTES = 64
};

enum csl_activation {
    CSL_ACTIVATION_NONE,  /* the last layer: z itself is the result */
    CSL_ACTIVATION_RELU,  /* max(z, 0) >> trunc_f, steps T1..T5 */
    CSL_ACTIVATION_TRUNC, /* z >> trunc_f, step T6 */
    CSL_ACTIVATION_COUNT
};

/* What the client does with the opened logits. */
enum csl_head { CSL_HEAD_LOGITS, CSL_HEAD_SOFTMAX, CSL_HEAD_LOGSOFTMAX, CSL_HEAD_COUNT };

struct csl_layer {
    char name[CSL_PLAN_NAME_BYTES]; /* for messages and reports; not part of the protocol */
    uint32_t k, n;                  /* inputs, outputs */
    uint8_t x_frac, w_frac;
    uint8_t bits; /* l: ring of z; trunc_k + trunc_f where there is an activation */
    uint8_t activation;
    uint8_t trunc_k, trunc_f;                /* 0 for CSL_ACTIVATION_NONE */
    uint8_t out_bits;                        /* ring of the result; for CSL_ACTIVATION_NONE: bits */
    uint8_t n_digits;                        /* of the low trunc_k - 1 bits (RELU only) */
    uint8_t digit_bits[CSL_PLAN_MAX_DIGITS]; /* widths, low digit first */
};

struct csl_plan {
    char name[CSL_PLAN_NAME_BYTES];
    uint32_t input_rank; /* 1..CSL_MAX_RANK, without the batch dimension */
    uint32_t input_shape[CSL_MAX_RANK];
    struct csl_normalization input; /* inputs outside lo..hi are refused by the client */
    uint32_t n_layers;              /* 1..CSL_PLAN_MAX_LAYERS */
    struct csl_layer layers[CSL_PLAN_MAX_LAYERS];
    uint8_t head;       /* enum csl_head */
    uint8_t output_cut; /* s of step O1: low bits of the output share that stay with the parties */
};

/* Float weights, row-major k x n as in the plan, and n biases. The owner's; wiped by csl_weights_clear. */
struct csl_weights {
    uint32_t n_layers;
    struct csl_layer_weights {
        uint32_t k, n;
        float *w, *b;
    } layers[CSL_PLAN_MAX_LAYERS];
};

struct csl_plan_options {
    struct csl_normalization input;
    unsigned frac_bits; /* of inputs, weights and activations: 4..20 */
};

/* frac_bits 16, CSL_NORMALIZE_UNIT over 0..1. */
struct csl_plan_options csl_plan_options_default(void);

/* What interval analysis found, for `consilium model check`; all in real units except bits. */
struct csl_layer_report {
    double x_lo, x_hi; /* input of the layer */
    double z_lo, z_hi; /* X.W + b, every input of the interval and every rounding included */
    double max_abs_w, max_abs_b;
    double noise_std; /* standard deviation (upper bound) of the rounding noise in z */
};

struct csl_plan_report {
    uint32_t n_layers;
    struct csl_layer_report layers[CSL_PLAN_MAX_LAYERS];
    double output_noise_std; /* in logit units */
    double output_unit;      /* one unit of the cut output, 2^(s - fraction bits), in logit units */
};

/* Compiles the graph. Outputs: plan, weights (csl_weights_clear), report (may be NULL). Nodes that cannot be
 * evaluated are appended to issues, all of them; with any issue (also of the importer) the result is
 * CSL_EDATA. Widths: the exact integer interval of every z over every input of the interval, over the
 * quantised weights themselves, and over every rounding of earlier layers (each truncation gives the floor or
 * one unit more); bits is the smallest l with -2^(l-1) <= z <= 2^(l-1) - 2^f (ReLU), |z| < 2^(l-2)
 * (truncation alone), and -2^(l-1) <= z < 2^(l-1) (last layer). A layer that would need more than
 * CSL_PLAN_MAX_BITS is CSL_EDATA and named, with what to change. */
CSL_MUST_CHECK enum csl_err csl_plan_compile(struct csl_plan *plan, struct csl_weights *weights,
                                             struct csl_plan_report *report, struct csl_issues *issues,
                                             const struct csl_graph *graph,
                                             const struct csl_plan_options *opt, struct csl_diag *diag);

/* Every field is within bounds and consistent with the others; for a plan that came from outside. CSL_EDATA
 * names layer and field. Never reads beyond the struct. */
CSL_MUST_CHECK enum csl_err csl_plan_check(const struct csl_plan *plan, struct csl_diag *diag);

/* Of a checked plan: */
uint32_t csl_plan_n_inputs(const struct csl_plan *plan);
uint32_t csl_plan_n_outputs(const struct csl_plan *plan);
unsigned csl_plan_input_bits(const struct csl_plan *plan); /* ring of the input shares */
unsigned csl_plan_input_frac(const struct csl_plan *plan);
unsigned csl_plan_output_bits(const struct csl_plan *plan); /* ring of the output shares */
unsigned csl_plan_output_frac(const struct csl_plan *plan);

/* What one inference batch over the plan costs; payload bytes, without frames and TLS. */
struct csl_cost {
    uint32_t rounds;             /* sequential one-way hops: openings, and the output shares to the client */
    uint64_t online_bytes;       /* a party sends to EACH peer, all openings */
    uint64_t output_bytes;       /* a party sends to the client */
    uint64_t input_bytes;        /* the client sends to the last party (the others get 32 bytes) */
    uint64_t offline_bytes;      /* corrections that the last party receives from the dealer */
    uint64_t open_weights_bytes; /* a party sends to each peer, once a mask id (step L1) */
    uint64_t share_bytes;        /* the last party's share of the model, packed; the others get 32 bytes */
    uint64_t party_memory;       /* estimate of a party's memory for one session, bytes */
    uint64_t total_sent_bytes;   /* by a party: online to all peers, and the output */
};

/* Of a checked plan; 2 <= n_parties <= CSL_MAX_PARTIES, 1 <= batch <= CSL_PLAN_MAX_BATCH, else CSL_EUSAGE. */
CSL_MUST_CHECK enum csl_err csl_plan_cost(const struct csl_plan *plan, struct csl_cost *cost,
                                          unsigned n_parties, uint32_t batch);

struct csl_demand; /* mpc/correlation.h */

/* Correlation demands of one inference, in the order in which csl_infer takes them: number 2d is layer d's
 * linear one, number 2d + 1 that of its activation. out has room for CSL_PLAN_MAX_DEMANDS. */
enum { CSL_PLAN_MAX_DEMANDS = 2 * CSL_PLAN_MAX_LAYERS };
CSL_MUST_CHECK enum csl_err csl_plan_demands(const struct csl_plan *plan, struct csl_demand *out,
                                             size_t *n_out);

void csl_weights_clear(struct csl_weights *weights);

#endif
