/* ONNX bytes through import, folding, lowering and the plan compiler: libFuzzer's own mutations, and a few
 * that know the format. Folding twice is as good as once; what is refused says why; what lowers can be
 * evaluated, and what compiles is a good plan. Allocations are bounded by the file's size (see budget below).
 */
#include "nn/eval.h"
#include "nn/fold.h"
#include "nn/network.h"
#include "nn/onnx/onnx.h"
#include "nn/plan.h"

#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_WORK = 1 << 22 }; /* of an evaluation here */

static void require(bool fine, const char *what) {
    if (!fine) {
        fprintf(stderr, "fuzz_onnx: %s\n", what);
        abort();
    }
}

/* Multiplications of one evaluation, as far as a limit. */
static size_t work(const struct csl_network *net) {
    size_t sum = 0;
    for (uint32_t i = 0; i < net->n_nodes && sum < MAX_WORK; i++) {
        const struct csl_op_node *n = &net->nodes[i];
        double taps = (double)n->shape.kernel_h * n->shape.kernel_w * fmax(n->shape.in_c, 1);
        double all = (double)n->out.h * n->out.w * n->out.c * fmax(taps, 1);
        sum += all < MAX_WORK ? (size_t)all : MAX_WORK;
    }
    return sum;
}

static void evaluate(const struct csl_network *net) {
    struct csl_hwc out = net->output == 0 ? net->input : net->nodes[net->output - 1].out;
    size_t n_in = (size_t)net->input.h * net->input.w * net->input.c;
    size_t n_out = (size_t)out.h * out.w * out.c;
    float *x = calloc(n_in + 1, sizeof *x);
    double *y = calloc(n_out + 1, sizeof *y);
    require(x != NULL && y != NULL, "out of memory");
    for (size_t i = 0; i < n_in; i++) {
        x[i] = (float)(i * 2654435761u >> 7 & 0xff) / 255.0F;
    }
    enum csl_err err = csl_network_eval(net, y, x, 1);
    require(err == CSL_OK || err == CSL_ENOMEM, "a lowered network cannot be evaluated");
    free(x);
    free(y);
}

/* Names of tensors with what is known of them, and nodes: equal after a second folding. */
static uint64_t digest(const struct csl_graph *g) {
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < g->n_nodes; i++) {
        const struct csl_node *n = &g->nodes[i];
        h = (h ^ (uint64_t)n->op) * 0x100000001b3u;
        for (unsigned j = 0; j < n->n_inputs; j++) {
            h = (h ^ n->inputs[j]) * 0x100000001b3u;
        }
    }
    return h;
}

static void compile(const struct csl_network *net, unsigned frac) {
    static struct csl_plan plan;
    static struct csl_weights weights;
    struct csl_diag diag = {""};
    struct csl_plan_options opt = csl_plan_options_default();
    opt.frac_bits = frac;
    enum csl_err err = csl_plan_compile(&plan, &weights, NULL, net, &opt, &diag);
    if (err == CSL_OK) {
        require(csl_plan_check(&plan, &diag) == CSL_OK, "a compiled plan is refused");
        csl_weights_clear(&weights);
    } else {
        require(diag.text[0] != '\0' || err == CSL_ENOMEM, "refused without a word");
    }
}

/* What is allocated now, and the most that one file may leave behind: 64 MiB and some for each of its bytes.
 */
static size_t in_use(void) {
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

static void try_bytes(const uint8_t *data, size_t size) {
    struct csl_graph *graph = NULL;
    struct csl_network *net = NULL;
    struct csl_issues issues = {0};
    struct csl_diag diag = {""};
    size_t before = in_use();
    enum csl_err err = csl_onnx_import(&graph, &issues, data, size, &diag);
    require((err == CSL_OK) == (graph != NULL), "a graph and an error");
    if (err == CSL_OK) {
        require(in_use() < before + ((size_t)64 << 20) + 256 * size, "a graph larger than its file allows");
        uint64_t once = digest(graph);
        err = csl_graph_fold(graph, &diag);
        require(err != CSL_OK || once == digest(graph), "folding twice is not folding once");
    }
    if (err == CSL_OK) {
        err = csl_network_lower(&net, &issues, graph, &diag);
        require((err == CSL_OK) == (net != NULL), "a network and an error");
        require(err != CSL_OK || issues.n == 0, "lowered in spite of issues");
    }
    require(err == CSL_OK || err == CSL_ENOMEM || diag.text[0] != '\0', "refused without a word");
    csl_graph_free(graph);
    if (err == CSL_OK && work(net) < MAX_WORK) {
        evaluate(net);
        compile(net, size == 0 ? 16 : 4 + data[size - 1] % 17);
    }
    csl_network_free(net);
    csl_issues_clear(&issues);
}

static uint32_t next(uint32_t *state) { /* a linear congruential generator: the mutations repeat */
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Bytes, and the small integers and lengths that ONNX writes as single bytes. */
static void mutate(uint8_t *copy, size_t size, uint32_t *state) {
    static const uint8_t values[] = {0, 1, 2, 3, 4, 7, 8, 0x7f, 0x80, 0xff, 0x10, 0x40};
    unsigned n = 1 + next(state) % 4;
    for (unsigned i = 0; i < n; i++) {
        size_t at = next(state) % size;
        switch (next(state) % 4) {
        case 0:
            copy[at] ^= (uint8_t)(1u << next(state) % 8);
            break;
        case 1:
            copy[at] = values[next(state) % sizeof values];
            break;
        case 2:
            copy[at] = (uint8_t)(copy[at] + (next(state) % 2 == 0 ? 1 : 255));
            break;
        default: { /* a copy from elsewhere in the file */
            size_t length = next(state) % 8;
            size_t from = next(state) % size;
            length = length > size - at ? size - at : length;
            length = length > size - from ? size - from : length;
            memmove(copy + at, copy + from, length);
        }
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *more = getenv("CSL_FUZZ_MUTATIONS"); /* of each file; the replay of a corpus makes 20 */
    unsigned n = more != NULL ? (unsigned)strtoul(more, NULL, 10) : 20;
    uint32_t state = (uint32_t)size;
    try_bytes(data, size);
    for (unsigned i = 0; i < n && size > 0 && size < 1 << 16; i++) {
        uint8_t *copy = malloc(size);
        require(copy != NULL, "out of memory");
        memcpy(copy, data, size);
        mutate(copy, size, &state);
        try_bytes(copy, i % 8 == 7 ? next(&state) % size : size);
        free(copy);
    }
    return 0;
}
