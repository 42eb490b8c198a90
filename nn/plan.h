/* The compiled, public plan of a network: values in rings, and a fixed list of steps with the widths that the
 * protocol needs.
 *
 * A value is h x w x c elements (HWC) of a ring Z/2^bits, each standing for  integer * 2^-frac * scale. Value
 * 0 is the input. A step computes one value of earlier ones. Everything in struct csl_plan is public; the
 * numbers of the network are in struct csl_weights, which only the model's owner holds.
 *
 * Widths come from interval bounds over the declared input interval (csl_plan_compile); a plan that came from
 * somebody else is only used after csl_plan_check.
 */
#ifndef CSL_NN_PLAN_H
#define CSL_NN_PLAN_H

#include "mpc/correlation.h"
#include "nn/image.h"
#include "nn/network.h"

enum {
    CSL_PLAN_MAX_STEPS = 256,
    CSL_PLAN_MAX_VALUES = CSL_PLAN_MAX_STEPS + 1,
    CSL_PLAN_MAX_ARMS = 1024,        /* of all piecewise-linear steps */
    CSL_PLAN_MAX_ELEMENTS = 1 << 24, /* of a value */
    CSL_PLAN_MAX_WEIGHTS = 1 << 27,  /* of one layer (1 GiB a share) and of all layers */
    CSL_PLAN_MAX_BITS = 62,
    CSL_PLAN_MAX_BATCH = 1 << 16,
    CSL_PLAN_MAX_DEMANDS = 2048,
    CSL_PLAN_MAX_TAPS = 1 << 25, /* outputs times window positions, of one step */
    CSL_PLAN_MAX_LABELS = 1 << 16,
    CSL_PLAN_NAME_BYTES = CSL_NETWORK_NAME_BYTES
};

/* X(enumerator, name) */
#define CSL_STEP_LIST(X)                                                                                     \
    X(CSL_STEP_LINEAR, "linear") /* conv or dense: out = conv(in, W) + b; L1..L4 */                          \
    X(CSL_STEP_RELU, "relu")     /* max(in, 0) >> f; T1..T5 */                                               \
    X(CSL_STEP_TRUNC, "trunc")   /* in >> f; T6 */                                                           \
    X(CSL_STEP_PWL, "pwl")       /* c0 + sum over arms of slope_j * (max(in - knot_j, 0) >> f) */            \
    X(CSL_STEP_MAX, "max")       /* max over windows: a tree of comparisons, M */                            \
    X(CSL_STEP_SUM, "sum")       /* sum over windows; local */                                               \
    X(CSL_STEP_ADD, "add")       /* sum over inputs of in_i * factor_i; local */                             \
    X(CSL_STEP_CONCAT, "concat") /* along the channels; local */                                             \
    X(CSL_STEP_PAD, "pad")       /* zeros around; local */
enum csl_step_kind {
#define CSL_STEP_ENUM(e, name) e,
    CSL_STEP_LIST(CSL_STEP_ENUM)
#undef CSL_STEP_ENUM
        CSL_STEP_COUNT
};
const char *csl_step_name(enum csl_step_kind kind);

struct csl_value {
    struct csl_hwc dim;
    uint8_t bits; /* ring of its shares; every step that uses it reduces to what it needs */
    uint8_t frac;
    double scale; /* public factor that later weights absorb (average pooling); 1 for most */
};

struct csl_step {
    char name[CSL_PLAN_NAME_BYTES]; /* for messages and reports; not part of the protocol */
    uint8_t kind;                   /* enum csl_step_kind */
    uint8_t n_in;
    uint16_t in[CSL_NETWORK_MAX_INPUTS]; /* values; step i makes value i + 1 */
    struct csl_conv_shape shape;         /* LINEAR; the window of MAX, SUM, PAD */
    uint16_t layer;                      /* LINEAR: number of its weights, in order of the steps */
    uint8_t w_frac; /* LINEAR; SUM: 0, or g: each sum times round(2^g / elements of the window inside) */
    uint8_t l_bits; /* LINEAR: ring of the product; MAX: ring of the comparison, k + f */
    struct csl_trunc_params trunc; /* RELU, TRUNC, PWL; MAX: k and f, see exact */
    uint8_t exact; /* MAX of values that are no products: max(a, b) = b + relu((a - b) << 1), exact */
    int64_t factor[CSL_NETWORK_MAX_INPUTS]; /* ADD */
    uint16_t first_arm, n_arms;             /* PWL */
    int64_t c0;                             /* PWL, at the output's frac */
};

struct csl_arm {
    int64_t knot;  /* at the input's frac */
    int64_t slope; /* what is added to the slope there, with slope_frac = output frac - (input frac - f)
                      fractional bits */
};

struct csl_plan {
    char name[CSL_PLAN_NAME_BYTES];
    uint32_t input_rank; /* 1..CSL_MAX_RANK, without the batch dimension */
    uint32_t input_shape[CSL_MAX_RANK];
    uint8_t input_channels_last;    /* of input_shape; shares are always HWC */
    struct csl_normalization input; /* inputs outside lo..hi are refused by the client */
    uint8_t from_samples; /* ranges were narrowed by sample inputs with 2 bits of margin: an assumption, shown
                          to people */
    uint32_t n_steps;     /* 1..CSL_PLAN_MAX_STEPS */
    uint32_t n_layers;    /* LINEAR steps */
    uint32_t n_arms;
    struct csl_value values[CSL_PLAN_MAX_VALUES];
    struct csl_step steps[CSL_PLAN_MAX_STEPS];
    struct csl_arm arms[CSL_PLAN_MAX_ARMS];
    uint8_t head;       /* enum csl_head */
    uint8_t output_cut; /* s of step O1: low bits of the output share that stay with the parties */
};
/* The numbers of the linear layers (step.layer), in the layout of mpc/conv.h, scaled by what average pooling
 * left to them. The owner's; wiped by csl_weights_clear. layers is allocated, n_layers long. */
struct csl_weights {
    uint32_t n_layers;
    struct csl_layer_weights {
        size_t n_w, n_b;
        double *w, *b;
    } * layers;
};

/* Observed ranges of the float network on sample inputs: one entry a value of struct csl_network (0 is the
 * input). */
struct csl_ranges {
    uint32_t n_values;
    double *lo, *hi; /* smallest and largest element */
};
void csl_ranges_clear(struct csl_ranges *r);
/* Runs the float network over n inputs (in the order of input_shape) and widens *r (all zero at first). */
CSL_MUST_CHECK enum csl_err csl_ranges_observe(struct csl_ranges *r, const struct csl_network *net,
                                               const float *x, uint32_t n);

struct csl_plan_options {
    struct csl_normalization input;
    unsigned frac_bits; /* of inputs, weights and activations: 4..20 */
    const struct csl_ranges
        *samples; /* NULL: intervals alone. Else each value's range is the smaller of its interval
                     and 4 times the observed range (2 bits of margin); plan.from_samples is set */
};

/* frac_bits 16, CSL_NORMALIZE_UNIT over 0..1, no samples. */
struct csl_plan_options csl_plan_options_default(void);

/* What interval analysis found, for `consilium model check`; all in real units except bits. One entry a step.
 */
struct csl_step_report {
    double lo, hi;    /* of the step's result, every input of the interval and every rounding included */
    double noise_std; /* standard deviation (upper bound) of its rounding noise */
    double max_abs_w, max_abs_b; /* LINEAR */
    double approximation;        /* PWL: largest distance from the function over the input's range */
};

struct csl_plan_report {
    uint32_t n_steps;
    struct csl_step_report steps[CSL_PLAN_MAX_STEPS];
    double output_noise_std; /* in logit units */
    double output_unit;      /* one unit of the cut output, in logit units */
};

/* Compiles a lowered network. Outputs: plan, weights (csl_weights_clear), report (may be NULL). Widths: the
 * exact integer interval of every element over every input of the interval, over the quantised weights
 * themselves, and over every rounding of earlier steps (each truncation gives the floor or one unit more);
 * each ring is the smallest that its protocol step allows (docs/protocol.md T, M). A step that would need
 * more than CSL_PLAN_MAX_BITS, or a comparison of more than 37 bits, is CSL_EDATA and named, with what to
 * change. */
CSL_MUST_CHECK enum csl_err csl_plan_compile(struct csl_plan *plan, struct csl_weights *weights,
                                             struct csl_plan_report *report, const struct csl_network *net,
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
/* Ring of a label share (--reveal label): bits that hold any index of an output. */
unsigned csl_plan_label_bits(const struct csl_plan *plan);

/* What a session optimises for. A choice of each session, agreed by its parties before anything is dealt: the
 * plan, the package and the weights' masks are the same for both. WAN: comparisons take 2 rounds instead of 3
 * (docs/protocol.md T8; those of at most 7 bits have 2 anyway, and stay as they are), for about four times
 * the corrections. */
enum csl_profile { CSL_PROFILE_LAN, CSL_PROFILE_WAN, CSL_PROFILE_COUNT };
const char *csl_profile_name(enum csl_profile p); /* "lan", "wan" */
/* CSL_EUSAGE for another name. */
CSL_MUST_CHECK enum csl_err csl_profile_parse(enum csl_profile *out, const char *name, struct csl_diag *diag);
/* An option "auto", "lan" or "wan"; NULL: auto, for which *out is LAN and of no meaning. */
CSL_MUST_CHECK enum csl_err csl_profile_option(bool *automatic, enum csl_profile *out, const char *name,
                                               struct csl_diag *diag);

/* What one inference batch over the plan costs; payload bytes, without frames and TLS. */
struct csl_cost {
    uint32_t rounds;             /* sequential one-way hops: openings, and the output shares to the client */
    uint64_t online_bytes;       /* a party sends to EACH peer, all openings */
    uint64_t output_bytes;       /* a party sends to the client: cut outputs, or labels */
    uint64_t input_bytes;        /* the client sends to the last party (the others get 32 bytes) */
    uint64_t offline_bytes;      /* corrections that the last party receives from the dealer */
    uint64_t open_weights_bytes; /* a party sends to each peer, once a mask id (step L1) */
    uint64_t share_bytes;        /* the last party's share of the model, packed; the others get 32 bytes */
    uint64_t party_memory; /* estimates for one session, without the program itself (about 10 MiB), bytes */
    uint64_t ahead_memory; /* of a party, beside that, where the client announces batches ahead of need */
    uint64_t dealer_memory;
    uint64_t client_memory;
    uint64_t total_sent_bytes; /* by a party: online to all peers, and the output */
};

/* Of a checked plan; 2 <= n_parties <= CSL_MAX_PARTIES, 1 <= batch <= CSL_PLAN_MAX_BATCH, else CSL_EUSAGE. */
CSL_MUST_CHECK enum csl_err csl_plan_cost(const struct csl_plan *plan, struct csl_cost *cost,
                                          unsigned n_parties, uint32_t batch, enum csl_profile profile,
                                          bool reveal_label);

/* What parties that sign their transcripts send beside it (audit.sign of the roster, docs/audit.md T3): each
 * a signature a batch to each peer. */
void csl_cost_add_signatures(struct csl_cost *cost, unsigned n_parties);

/* Correlation demands of one inference, in the order in which csl_infer takes them: step by step (a MAX step
 * has one a level of its tree, from the leaves). PWL: element j * n + i is arm j of element i. Of a level,
 * element i * pairs + p is pair p of output i. reveal_label: the demands of the arg-max over the outputs
 * follow at the end, one a level; CSL_EUSAGE for more than CSL_PLAN_MAX_LABELS outputs.
 * The weight mask of LINEAR step with layer number d is csl_weight_mask(..., layer d). out has room for
 * CSL_PLAN_MAX_DEMANDS. The profile changes neither their number nor their order, only the forms of
 * comparisons; CSL_EUSAGE for one that does not exist. */
CSL_MUST_CHECK enum csl_err csl_plan_demands(const struct csl_plan *plan, enum csl_profile profile,
                                             bool reveal_label, struct csl_demand *out, size_t *n_out);

void csl_weights_clear(struct csl_weights *weights);

#endif
