/* Keras files. An input that begins with 'W' is what a child that was taken over might send: it goes to the
 * parent's side alone. Anything else is a file: the child may die of it, this process may not. */
#include <stdlib.h>

#include "nn/keras/keras_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct csl_graph *graph;
    struct csl_issues issues = {0};
    struct csl_diag diag = {""};
    enum csl_err err = size > 0 && data[0] == 'W'
                           ? csl__keras_build(&graph, &issues, data + 1, size - 1, &diag)
                           : csl_keras_import(&graph, &issues, data, size, &diag);
    if ((graph == NULL) != (err != CSL_OK) || (err != CSL_OK && err != CSL_ENOMEM && diag.text[0] == '\0')) {
        abort();
    }
    csl_graph_free(graph);
    csl_issues_clear(&issues);
    return 0;
}
