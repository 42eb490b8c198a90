/* Checking and ordering a graph: producers, missing tensors, cycles, dead nodes. */
#include <stdlib.h>
#include <string.h>

#include "nn/graph.h"

/* Every tensor has one producer; constants and the input have none. */
static enum csl_err set_producers(struct csl_graph *g, struct csl_diag *diag) {
    for (size_t i = 0; i < g->n_tensors; i++) {
        g->tensors[i].producer = CSL_NO_NODE;
    }
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        const struct csl_node *node = &g->nodes[i];
        for (unsigned j = 0; j < node->n_outputs; j++) {
            if (node->outputs[j] == CSL_NO_TENSOR) {
                continue;
            }
            struct csl_tensor *t = &g->tensors[node->outputs[j]];
            if (t->dtype != CSL_DTYPE_NONE || node->outputs[j] == g->input) {
                return csl_fail(diag, CSL_EDATA, "node \"%s\" (%s) writes \"%s\", which is %s", node->name,
                                node->op_name, t->name,
                                t->dtype != CSL_DTYPE_NONE ? "a constant" : "the network's input");
            }
            if (t->producer != CSL_NO_NODE) {
                return csl_fail(diag, CSL_EDATA, "tensor \"%s\" is written by node \"%s\" and by node \"%s\"",
                                t->name, g->nodes[t->producer].name, node->name);
            }
            t->producer = i;
        }
    }
    return CSL_OK;
}

enum { UNSEEN, OPEN, DONE };

struct walk {
    struct csl_graph *g;
    uint8_t *state;  /* of each node */
    uint32_t *stack; /* nodes on the path from the output */
    unsigned *at;    /* next input of each node on the stack */
    uint32_t *order;
    size_t n_stack, n_order;
};

/* Depth first, without recursion: a file must not choose our stack's depth. */
static enum csl_err visit(struct walk *w, uint32_t first, struct csl_diag *diag) {
    struct csl_graph *g = w->g;
    w->n_stack = 0;
    w->stack[w->n_stack] = first;
    w->at[w->n_stack++] = 0;
    w->state[first] = OPEN;
    while (w->n_stack > 0) {
        const struct csl_node *node = &g->nodes[w->stack[w->n_stack - 1]];
        if (w->at[w->n_stack - 1] == node->n_inputs) {
            uint32_t done = w->stack[--w->n_stack];
            w->state[done] = DONE;
            w->order[w->n_order++] = done;
            continue;
        }
        uint32_t input = node->inputs[w->at[w->n_stack - 1]++];
        if (input == CSL_NO_TENSOR || input == g->input || g->tensors[input].dtype != CSL_DTYPE_NONE) {
            continue;
        }
        uint32_t producer = g->tensors[input].producer;
        if (producer == CSL_NO_NODE) {
            return csl_fail(
                diag, CSL_EDATA,
                "node \"%s\" (%s) reads \"%s\", which nothing provides: its initialiser is missing",
                node->name, node->op_name, g->tensors[input].name);
        }
        if (w->state[producer] == OPEN) {
            return csl_fail(diag, CSL_EDATA,
                            "the nodes form a cycle through node \"%s\" (%s) and tensor \"%s\"", node->name,
                            node->op_name, g->tensors[input].name);
        }
        if (w->state[producer] == UNSEEN) {
            w->state[producer] = OPEN;
            w->stack[w->n_stack] = producer;
            w->at[w->n_stack++] = 0;
        }
    }
    return CSL_OK;
}

/* Puts the visited nodes in order and drops the rest. */
static enum csl_err reorder(struct walk *w) {
    struct csl_graph *g = w->g;
    struct csl_node *nodes = calloc(w->n_order + 1, sizeof *nodes);
    if (nodes == NULL) {
        return CSL_ENOMEM;
    }
    for (size_t i = 0; i < w->n_order; i++) {
        nodes[i] = g->nodes[w->order[i]];
    }
    for (size_t i = 0; i < g->n_nodes; i++) {
        if (w->state[i] != DONE) {
            free(g->nodes[i].name);
            free(g->nodes[i].op_name);
            free(g->nodes[i].inputs);
            free(g->nodes[i].outputs);
        }
    }
    free(g->nodes);
    g->nodes = nodes;
    g->n_nodes = w->n_order;
    g->cap_nodes = w->n_order + 1;
    return CSL_OK;
}

/* Producers again, after the nodes have moved. */
static void renumber(struct csl_graph *g) {
    for (size_t i = 0; i < g->n_tensors; i++) {
        g->tensors[i].producer = CSL_NO_NODE;
    }
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        for (unsigned j = 0; j < g->nodes[i].n_outputs; j++) {
            if (g->nodes[i].outputs[j] != CSL_NO_TENSOR) {
                g->tensors[g->nodes[i].outputs[j]].producer = i;
            }
        }
    }
}

static enum csl_err check_ends(const struct csl_graph *g, struct csl_diag *diag) {
    if (g->n_nodes == 0) {
        return csl_fail(diag, CSL_EDATA, "the network has no nodes");
    }
    if (g->input == CSL_NO_TENSOR) {
        return csl_fail(diag, CSL_EDATA, "the network has no input");
    }
    if (g->output == CSL_NO_TENSOR) {
        return csl_fail(diag, CSL_EDATA, "the network has no output");
    }
    if (g->tensors[g->output].producer == CSL_NO_NODE) {
        return csl_fail(diag, CSL_EDATA, "no node writes the network's output \"%s\"",
                        g->tensors[g->output].name);
    }
    return CSL_OK;
}

enum csl_err csl_graph_finish(struct csl_graph *graph, struct csl_diag *diag) {
    TRY(set_producers(graph, diag));
    TRY(check_ends(graph, diag));
    size_t n = graph->n_nodes;
    struct walk w = {.g = graph,
                     .state = calloc(n, 1),
                     .stack = calloc(n, sizeof *w.stack),
                     .at = calloc(n, sizeof *w.at),
                     .order = calloc(n, sizeof *w.order)};
    enum csl_err err = CSL_ENOMEM;
    if (w.state == NULL || w.stack == NULL || w.at == NULL || w.order == NULL) {
        goto out;
    }
    TRY_OUT(visit(&w, graph->tensors[graph->output].producer, diag));
    TRY_OUT(reorder(&w));
    renumber(graph);
out:
    free(w.state);
    free(w.stack);
    free(w.at);
    free(w.order);
    return err;
}
