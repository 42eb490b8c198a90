/* simulate on the public MNIST test set, the command as a user runs it.
 *
 *   test_simulate_mnist MODEL PARTIES IMAGES      skipped (77) where the model or the data is not
 *
 * MODEL is a file of examples/mnist, or of the folder of trained models.
 */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "simulate.h"

/* The first of the folders that holds the file. */
static bool find(char path[PATH_ROOM], const char *const *folders, const char *file) {
    for (; *folders != NULL; folders++) {
        (void)snprintf(path, PATH_ROOM, "%s/%s", *folders, file);
        if (access(path, R_OK) == 0) {
            return true;
        }
    }
    return false;
}

static bool judge(const json_t *doc, double images) {
    return number(doc, "images") == images && number(doc, "plain_accuracy") > 0.95 &&
           fabs(number(doc, "accuracy") - number(doc, "plain_accuracy")) <= 0.0005 &&
           number(doc, "agree_with_plain") >= 0.999 && number(doc, "max_bound_use") <= 1;
}

/* What the small network of the examples holds beyond that. */
static bool judge_example(const json_t *doc) {
    return number(doc, "plain_accuracy") > 0.97 && number(doc, "agree_with_plain") >= 0.9995 &&
           number(doc, "rounds") <= 12 && number(doc, "online_bytes_per_link") <= 10000;
}

int main(int argc, char **argv) {
    const char *const data[] = {"data/mnist", "../shared/data/mnist", NULL};
    const char *const models[] = {"examples/mnist", "../shared/data/models", NULL};
    char images[PATH_ROOM], labels[PATH_ROOM], model[PATH_ROOM];
    if (argc != 4) {
        return 64;
    }
    if (!find(images, data, "t10k-images-idx3-ubyte.gz") ||
        !find(labels, data, "t10k-labels-idx1-ubyte.gz")) {
        puts("skipped: the MNIST files are not here");
        return SKIPPED;
    }
    if (!find(model, models, argv[1])) {
        printf("skipped: the model %s is not here\n", argv[1]);
        return SKIPPED;
    }
    json_t *doc =
        run_json("'%s' simulate --parties '%s' --model '%s' --images '%s' --labels '%s' --count '%s' "
                 "--batch 128 --keys '" CSL_TEST_KEYS "' --json",
                 CSL_PROGRAM, argv[2], model, images, labels, argv[3]);
    printf("%s, %s parties: accuracy %.4f, plain %.4f, agree %.4f, bound use %.3f, largest logit error %.5f, "
           "%.0f rounds, %.0f bytes a link, %.0f images/s\n",
           argv[1], argv[2], number(doc, "accuracy"), number(doc, "plain_accuracy"),
           number(doc, "agree_with_plain"), number(doc, "max_bound_use"), number(doc, "max_logit_error"),
           number(doc, "rounds"), number(doc, "online_bytes_per_link"), number(doc, "images_per_s"));
    bool ok =
        judge(doc, strtod(argv[3], NULL)) && (strcmp(argv[1], "mnist_a.onnx") != 0 || judge_example(doc));
    json_decref(doc);
    return ok ? 0 : 1;
}
