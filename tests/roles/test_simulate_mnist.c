/* simulate on the public MNIST test set: 10,000 images, the command as a user runs it.
 *
 *   test_simulate_mnist PARTIES      skipped (77) where the data is not
 */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

enum { SKIP = 77 };

static const char *find(const char *const *paths) {
    for (; *paths != NULL; paths++) {
        if (access(*paths, R_OK) == 0) {
            return *paths;
        }
    }
    return NULL;
}

static double number(const json_t *doc, const char *key) {
    const json_t *v = json_object_get(doc, key);
    return json_is_number(v) ? json_number_value(v) : NAN; /* every comparison with it fails */
}

static int judge(const json_t *doc, const char *parties) {
    double accuracy = number(doc, "accuracy"), plain = number(doc, "plain_accuracy");
    printf("%s parties: accuracy %.4f, plain %.4f, agree %.4f, bound use %.3f, largest logit error %.5f\n",
           parties, accuracy, plain, number(doc, "agree_with_plain"), number(doc, "max_bound_use"),
           number(doc, "max_logit_error"));
    bool ok = number(doc, "images") == 10000 && plain > 0.97 && fabs(accuracy - plain) <= 0.0005 &&
              number(doc, "agree_with_plain") >= 0.9995 && number(doc, "max_bound_use") <= 1 &&
              number(doc, "rounds") <= 12 && number(doc, "online_bytes_per_link") <= 10000;
    return ok ? 0 : 1;
}

int main(int argc, char **argv) {
    const char *const image_paths[] = {"data/mnist/t10k-images-idx3-ubyte.gz",
                                       "../shared/data/mnist/t10k-images-idx3-ubyte.gz", NULL};
    const char *const label_paths[] = {"data/mnist/t10k-labels-idx1-ubyte.gz",
                                       "../shared/data/mnist/t10k-labels-idx1-ubyte.gz", NULL};
    const char *images = find(image_paths), *labels = find(label_paths);
    if (argc != 2) {
        return 64;
    }
    if (images == NULL || labels == NULL) {
        printf("skipped: the MNIST files are not here\n");
        return SKIP;
    }
    char command[4096];
    (void)snprintf(
        command, sizeof command,
        "'%s' simulate --parties %s --model examples/mnist/mnist_a.onnx --images '%s' --labels '%s' "
        "--batch 128 --json",
        CSL_PROGRAM, argv[1], images, labels);
    FILE *out = popen(command, "re");
    json_error_t e;
    json_t *doc = out != NULL ? json_loadf(out, 0, &e) : NULL;
    int code = out != NULL ? pclose(out) : 1;
    if (doc == NULL || code != 0) {
        printf("simulate failed (%d)\n", code);
        json_decref(doc);
        return 1;
    }
    code = judge(doc, argv[1]);
    json_decref(doc);
    return code;
}
