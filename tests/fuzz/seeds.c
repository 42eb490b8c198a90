/* Of a fuzz target that reads JSON: hash tables are in the same order in every process, so that the same
 * inputs take the same paths. */
#include <jansson.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    json_object_seed(1);
    return 0;
}
