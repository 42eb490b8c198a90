/* A built graph lowers, and the network computes what the graph means; or it is refused as it should be. */
#ifndef CSL_TESTS_NN_LOWER_CHECK_H
#define CSL_TESTS_NN_LOWER_CHECK_H

#include "graph_build.h"
#include "graph_ref.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Finishes and lowers; the caller frees the network. Fails the test when it cannot be. */
struct csl_network *check_lower(struct build *b);

/* check_lower, then compares the network with graph_ref on random inputs. */
struct csl_network *check_network(struct build *b);

/* check_network on what was built, with a dense layer behind it that weighs each element by itself (so that
 * order matters), and frees all. n: elements of the output without the batch. */
void check_graph(struct build *b, uint32_t out, int64_t n);

/* Nodes of that kind in the network. */
unsigned count_nodes(const struct csl_network *net, enum csl_op_kind kind);

/* Lowering fails with CSL_EDATA; the issue list or the diag holds each word. `n_issues` in the list. Frees.
 */
void check_refused(struct build *b, size_t n_issues, const char *const *words);
#define REFUSED(b, n, ...) check_refused(b, n, (const char *const[]){__VA_ARGS__, NULL})

#endif
