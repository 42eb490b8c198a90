/* The Keras corpus: what must be read gives the outputs that were computed when it was written; what must be
 * refused says why; and damaged files end in an error. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nn/fold.h"
#include "nn/keras/keras.h"
#include "nn/network.h"

#include <cmocka.h>

#define FOLDER "tests/corpus/keras/"
enum { MAX_FILE = 1 << 22 };

static enum csl_err import(struct csl_network **net, struct csl_issues *issues, const char *name,
                           struct csl_diag *diag) {
    char path[256];
    struct csl_graph *graph;
    snprintf(path, sizeof path, FOLDER "%s", name);
    enum csl_err err = csl_keras_import_file(&graph, issues, path, MAX_FILE, diag);
    *net = NULL;
    if (err == CSL_OK) {
        err = csl_graph_fold(graph, diag);
    }
    if (err == CSL_OK) {
        err = csl_network_lower(net, issues, graph, diag);
    }
    csl_graph_free(graph);
    return err;
}

static void read_values(FILE *f, double *out, size_t n) {
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(fscanf(f, "%lf", &out[i]), 1);
    }
}

/* One entry of expected.txt against the network of its file. */
static void check_file(FILE *f, const char *name, size_t batch, size_t n_in, size_t n_out) {
    double *x = calloc(batch * n_in, sizeof *x), *want = calloc(batch * n_out, sizeof *want),
           *y = calloc(batch * n_out, sizeof *y);
    float *xf = calloc(batch * n_in, sizeof *xf);
    struct csl_issues issues = {0};
    struct csl_diag diag = {""};
    struct csl_network *net;
    assert_true(x != NULL && want != NULL && y != NULL && xf != NULL);
    read_values(f, x, batch * n_in);
    read_values(f, want, batch * n_out);
    if (import(&net, &issues, name, &diag) != CSL_OK) {
        fail_msg("%s: %s %s", name, diag.text, issues.n != 0 ? issues.at[0].reason : "");
    }
    assert_int_equal(issues.n, 0);
    size_t input = 1;
    for (uint32_t i = 0; i < net->input_rank; i++) {
        input *= net->input_shape[i];
    }
    assert_int_equal(input, n_in);
    for (size_t i = 0; i < batch * n_in; i++) {
        xf[i] = (float)x[i];
    }
    assert_int_equal(csl_network_eval(net, y, xf, (uint32_t)batch), CSL_OK);
    for (size_t i = 0; i < batch * n_out; i++) {
        if (!(fabs(y[i] - want[i]) <= 1e-4 * fmax(1, fabs(want[i])))) {
            fail_msg("%s: output %zu is %.6f, not %.6f", name, i, y[i], want[i]);
        }
    }
    csl_network_free(net);
    csl_issues_clear(&issues);
    free(x);
    free(want);
    free(y);
    free(xf);
}

static void test_expected(void **state) {
    (void)state;
    char name[128];
    size_t batch, n_in, n_out, n_files = 0;
    FILE *f = fopen(FOLDER "expected.txt", "r");
    assert_non_null(f);
    while (fscanf(f, "%127s %zu %zu %zu", name, &batch, &n_in, &n_out) == 4) {
        assert_true(batch <= 64 && n_in <= 4096 && n_out <= 4096);
        check_file(f, name, batch, n_in, n_out);
        n_files++;
    }
    (void)fclose(f);
    assert_true(n_files >= 15);
}

/* Versions, layouts and forms of one network are one network. */
static void test_input_shapes(void **state) {
    (void)state;
    static const struct {
        const char *name;
        uint32_t rank, dims[3];
        bool channels_last;
    } files[] = {
        {"mlp_keras3.h5", 1, {20}, false},
        {"lenet_keras22.h5", 3, {8, 8, 1}, true},
        {"lenet_keras213.keras", 3, {8, 8, 1}, true},
        {"channels_first_keras24.h5", 3, {2, 6, 5}, false},
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct csl_issues issues = {0};
        struct csl_diag diag = {""};
        struct csl_network *net;
        assert_int_equal(import(&net, &issues, files[i].name, &diag), CSL_OK);
        assert_int_equal(net->input_rank, files[i].rank);
        assert_memory_equal(net->input_shape, files[i].dims, files[i].rank * sizeof(uint32_t));
        if (files[i].rank == 3) {
            assert_int_equal(net->input_channels_last, files[i].channels_last);
        }
        csl_network_free(net);
        csl_issues_clear(&issues);
    }
}

static void test_refused(void **state) {
    (void)state;
    static const struct {
        const char *name, *words[4];
    } bad[] = {
        {"bad_weights_only.h5", {"weights only", "dense_1", "model.save("}},
        {"bad_weights_only_keras3.h5", {"weights only", "load_weights"}},
        {"bad_other.h5", {"not a Keras model", "model.save("}},
        {"bad_no_weights.h5", {"\"dense_1\" (Dense)", "\"kernel\" are missing"}},
        {"bad_bias_missing.h5", {"\"dense_2\" (Dense)", "\"bias\" are missing"}},
        {"bad_shape.h5", {"\"dense_1\" (Dense)", "20 x 11", "any x 12"}},
        {"bad_nan.h5", {"\"dense_1/kernel\"", "element 40", "not a number"}},
        {"bad_json.h5", {"not JSON"}},
        {"bad_subclass.h5", {"MyNetwork", "keras.Model(inputs, outputs)"}},
        {"bad_keras1.h5", {"Keras 1"}},
        {"bad_two_outputs.h5", {"2 outputs"}},
        {"bad_bomb.h5", {"far more than its size"}},
        {"bad_zip_bomb.keras", {"config.json", "unpacks to"}},
        {"bad_entry.keras", {"without \"model.weights.h5\""}},
        {"bad_truncated.h5", {"cut off or damaged"}},
        {"bad_truncated.keras", {"cut off or damaged"}},
        {"expected.txt", {"not a Keras model"}},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct csl_issues issues = {0};
        struct csl_diag diag = {""};
        struct csl_network *net;
        assert_int_equal(import(&net, &issues, bad[i].name, &diag), CSL_EDATA);
        assert_non_null(strstr(diag.text, bad[i].name));
        for (size_t j = 0; j < 4 && bad[i].words[j] != NULL; j++) {
            if (strstr(diag.text, bad[i].words[j]) == NULL) {
                fail_msg("%s: \"%s\" is not in \"%s\"", bad[i].name, bad[i].words[j], diag.text);
            }
        }
        csl_issues_clear(&issues);
    }
}

static void expect_issue(const struct csl_issues *issues, const char *node, const char *op,
                         const char *reason) {
    for (size_t i = 0; i < issues->n; i++) {
        const struct csl_issue *at = &issues->at[i];
        if (strcmp(at->node, node) == 0 && strcmp(at->op, op) == 0) {
            assert_non_null(strstr(at->reason, reason));
            assert_true(at->hint[0] != '\0');
            return;
        }
    }
    fail_msg("no issue about \"%s\" (%s)", node, op);
}

static void test_issues(void **state) {
    (void)state;
    struct csl_issues issues = {0};
    struct csl_diag diag = {""};
    struct csl_network *net;
    assert_int_equal(import(&net, &issues, "bad_several.h5", &diag), CSL_EDATA);
    assert_int_equal(issues.n, 2); /* both, each once */
    expect_issue(&issues, "lstm_1", "LSTM", "not supported");
    expect_issue(&issues, "act_1", "Activation", "gelu");
    csl_issues_clear(&issues);
    assert_int_equal(import(&net, &issues, "bad_lambda.h5", &diag), CSL_EDATA);
    assert_int_equal(issues.n, 1);
    expect_issue(&issues, "lambda_1", "Lambda", "not supported");
    csl_issues_clear(&issues);
}

static void test_files(void **state) {
    (void)state;
    struct csl_graph *graph;
    struct csl_issues issues = {0};
    struct csl_diag diag = {""};
    assert_int_equal(csl_keras_import_file(&graph, &issues, FOLDER "absent.h5", MAX_FILE, &diag),
                     CSL_ENOINPUT);
    assert_non_null(strstr(diag.text, "absent.h5"));
    assert_int_equal(csl_keras_import_file(&graph, &issues, "tests/corpus", MAX_FILE, &diag), CSL_ENOINPUT);
    assert_int_equal(csl_keras_import_file(&graph, &issues, FOLDER "mlp_keras3.h5", 1000, &diag), CSL_EDATA);
    assert_non_null(strstr(diag.text, "too large"));
    assert_int_equal(csl_keras_detect(FOLDER "mlp_keras3.h5"), CSL_KERAS_HDF5);
    assert_int_equal(csl_keras_detect(FOLDER "lenet_keras213.keras"), CSL_KERAS_ZIP);
    assert_int_equal(csl_keras_detect(FOLDER "expected.txt"), CSL_KERAS_NOT);
    assert_int_equal(csl_keras_detect(FOLDER "absent.h5"), CSL_KERAS_NOT);
    assert_int_equal(csl_keras_detect("tests"), CSL_KERAS_NOT);
    csl_issues_clear(&issues);
}

/* ---- Mutations ---- */

static uint8_t *load(const char *name, size_t *n) {
    char path[256];
    snprintf(path, sizeof path, FOLDER "%s", name);
    FILE *f = fopen(path, "rb");
    uint8_t *bytes = malloc(MAX_FILE);
    assert_true(f != NULL && bytes != NULL);
    *n = fread(bytes, 1, MAX_FILE, f);
    (void)fclose(f);
    assert_true(*n > 512 && *n < MAX_FILE);
    return bytes;
}

static uint64_t next_random(uint64_t *s) {
    *s ^= *s << 13;
    *s ^= *s >> 7;
    return *s ^= *s << 17;
}

/* Some bytes changed, mostly in the first part, where HDF5 keeps its structure; sometimes cut off. */
static size_t mutate(uint8_t *to, const uint8_t *from, size_t n, uint64_t *s) {
    static const uint8_t odd[] = {0, 1, 0x7f, 0x80, 0xff, 0xfe};
    memcpy(to, from, n);
    for (size_t k = 1 + next_random(s) % 8; k > 0; k--) {
        size_t reach = next_random(s) % 2 == 0 ? n : n / 4;
        size_t at = 8 + next_random(s) % (reach - 8);
        uint64_t r = next_random(s);
        to[at] = r % 3 == 0   ? odd[(r >> 8) % sizeof odd]
                 : r % 3 == 1 ? (uint8_t)(r >> 8)
                              : to[at] ^ 1U << (r >> 8) % 8;
    }
    return next_random(s) % 8 == 0 ? 8 + next_random(s) % (n - 8) : n;
}

/* Every mutant is a graph or an error with a sentence; no child is left over. */
static void test_mutants(void **state) {
    (void)state;
    static const char *const names[] = {"lenet_keras24_gzip.h5", "mlp_keras22_fixed.h5",
                                        "windows_keras24_latest.h5", "shapes_keras3_deflate.keras",
                                        "residual_keras3.keras"};
    uint64_t s = 0x9e3779b97f4a7c15u;
    size_t refused = 0;
    for (size_t f = 0; f < sizeof names / sizeof names[0]; f++) {
        size_t n;
        uint8_t *bytes = load(names[f], &n);
        uint8_t *mutant = malloc(n);
        assert_non_null(mutant);
        for (int i = 0; i < 120; i++) {
            struct csl_graph *graph;
            struct csl_issues issues = {0};
            struct csl_diag diag = {""};
            size_t m = mutate(mutant, bytes, n, &s);
            enum csl_err err = csl_keras_import(&graph, &issues, mutant, m, &diag);
            assert_true(err == CSL_OK || err == CSL_EDATA);
            assert_true((graph != NULL) == (err == CSL_OK) && (diag.text[0] != '\0') == (err != CSL_OK));
            refused += err != CSL_OK;
            csl_graph_free(graph);
            csl_issues_clear(&issues);
        }
        free(mutant);
        free(bytes);
    }
    assert_true(refused > 100);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

int main(void) {
    if (!csl_keras_available()) {
        puts("skipped: built without HDF5 or libzip");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expected), cmocka_unit_test(test_input_shapes), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_issues),   cmocka_unit_test(test_files),        cmocka_unit_test(test_mutants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
