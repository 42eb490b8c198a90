/* A Keras model file through `simulate`, with the inputs and outputs that were computed when it was written:
 * the classes are the labels, so that accuracy 1 says they came out of the secure evaluation.
 *
 *   test_simulate_keras FILE      of tests/corpus/keras; skipped (77) without HDF5 or libzip */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "simulate.h"

#define FOLDER "tests/corpus/keras/"
enum { MAX_BATCH = 2, MAX_INPUTS = 256, MAX_OUTPUTS = 16 };

struct expected {
    unsigned batch, inputs, outputs;
    float x[MAX_BATCH * MAX_INPUTS];
    unsigned char classes[MAX_BATCH];
};

static bool read_numbers(struct expected *e, FILE *f) {
    if (e->batch == 0 || e->batch > MAX_BATCH || e->inputs > MAX_INPUTS || e->outputs > MAX_OUTPUTS) {
        return false;
    }
    for (unsigned i = 0; i < e->batch * e->inputs; i++) {
        if (fscanf(f, "%f", &e->x[i]) != 1) {
            return false;
        }
    }
    for (unsigned i = 0; i < e->batch; i++) {
        double top = 0;
        for (unsigned j = 0; j < e->outputs; j++) {
            double y;
            if (fscanf(f, "%lf", &y) != 1) {
                return false;
            }
            if (j == 0 || y > top) {
                top = y;
                e->classes[i] = (unsigned char)j;
            }
        }
    }
    return true;
}

static bool find(struct expected *e, const char *file) {
    char line[65536], name[64];
    FILE *f = fopen(FOLDER "expected.txt", "re");
    bool found = false;
    while (f != NULL && !found && fgets(line, sizeof line, f) != NULL) {
        found = sscanf(line, "%63s %u %u %u", name, &e->batch, &e->inputs, &e->outputs) == 4 &&
                strcmp(name, file) == 0;
    }
    found = found && read_numbers(e, f);
    if (f != NULL) {
        (void)fclose(f);
    }
    return found;
}

int main(int argc, char **argv) {
    static struct expected e;
    if (argc != 2) {
        return 64;
    }
    if (!CSL_WITH_KERAS) {
        puts("skipped: built without HDF5 or libzip");
        return SKIPPED;
    }
    if (!find(&e, argv[1])) {
        printf("%s: nothing is expected of it\n", argv[1]);
        return 1;
    }
    char images[PATH_ROOM], labels[PATH_ROOM];
    write_npy(images, e.x, e.batch, e.inputs);
    write_labels(labels, e.classes, e.batch);
    json_t *doc = run_json("'%s' simulate --parties 3 --model '" FOLDER "%s' --images '%s' --labels '%s' "
                           "--normalize none --interval 0:1 --batch %u --keys '" CSL_TEST_KEYS "' --json",
                           CSL_PROGRAM, argv[1], images, labels, e.batch);
    (void)unlink(images);
    (void)unlink(labels);
    bool ok = number(doc, "images") == e.batch && number(doc, "accuracy") == 1 &&
              number(doc, "plain_accuracy") == 1 && number(doc, "max_bound_use") <= 1;
    printf("%s: accuracy %g, plain %g, bound use %.3f, largest logit error %.5f\n", argv[1],
           number(doc, "accuracy"), number(doc, "plain_accuracy"), number(doc, "max_bound_use"),
           number(doc, "max_logit_error"));
    json_decref(doc);
    return ok ? 0 : 1;
}
