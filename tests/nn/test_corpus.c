/* Every file of tests/corpus/onnx: the outputs that another runtime computed, or the message that EXPECT
 * says. */
#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "nn/fold.h"
#include "nn/network.h"
#include "nn/onnx/onnx.h"

#define FOLDER "tests/corpus/onnx"

/* The stored inputs and outputs. */
struct io {
    unsigned batch, n_in, n_out;
    float *x, *y;
};

static float *read_floats(FILE *f, size_t n) {
    float *v = calloc(n + 1, sizeof *v);
    assert_non_null(v);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(fscanf(f, "%f", &v[i]), 1);
    }
    return v;
}

static struct io read_io(const char *name) {
    char path[512];
    struct io io;
    snprintf(path, sizeof path, FOLDER "/%s.io", name);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%u %u %u", &io.batch, &io.n_in, &io.n_out), 3);
    assert_true(io.batch > 0 && io.batch < 100 && io.n_in < 100000 && io.n_out < 100000);
    io.x = read_floats(f, (size_t)io.batch * io.n_in);
    io.y = read_floats(f, (size_t)io.batch * io.n_out);
    assert_int_equal(fclose(f), 0);
    return io;
}

/* All that comes of one file. */
struct outcome {
    enum csl_err err;
    struct csl_network *net;
    struct csl_issues issues;
    struct csl_diag diag;
};

static struct outcome process(const char *path) {
    struct outcome o = {0};
    struct csl_graph *graph = NULL;
    o.err = csl_onnx_import_file(&graph, &o.issues, path, CSL_ONNX_MAX_FILE_BYTES, &o.diag);
    if (o.err == CSL_OK) {
        o.err = csl_graph_fold(graph, &o.diag); /* again: it must change nothing */
    }
    if (o.err == CSL_OK) {
        o.err = csl_network_lower(&o.net, &o.issues, graph, &o.diag);
    }
    csl_graph_free(graph);
    return o;
}

static void outcome_clear(struct outcome *o) {
    csl_issues_clear(&o->issues);
    csl_network_free(o->net);
}

static struct outcome process_name(const char *name) {
    char path[512];
    snprintf(path, sizeof path, FOLDER "/%s.onnx", name);
    return process(path);
}

static bool says(const struct outcome *o, const char *words) {
    if (strstr(o->diag.text, words) != NULL) {
        return true;
    }
    for (size_t i = 0; i < o->issues.n; i++) {
        char text[sizeof o->issues.at[i] + 8];
        snprintf(text, sizeof text, "%s (%s): %s", o->issues.at[i].node, o->issues.at[i].op,
                 o->issues.at[i].reason);
        if (strstr(text, words) != NULL && o->issues.at[i].hint[0] != '\0') {
            return true;
        }
    }
    return false;
}

static void print(const char *name, const struct outcome *o) {
    print_message("%s: error %d, %s\n", name, o->err, o->diag.text);
    for (size_t i = 0; i < o->issues.n; i++) {
        print_message("    %s (%s): %s\n", o->issues.at[i].node, o->issues.at[i].op, o->issues.at[i].reason);
    }
}

/* The head is the client's: here it is ours. */
static void apply_head(double *y, unsigned n, enum csl_head head) {
    double top = y[0];
    double sum = 0;
    for (unsigned i = 1; i < n; i++) {
        top = fmax(top, y[i]);
    }
    for (unsigned i = 0; i < n; i++) {
        sum += exp(y[i] - top);
    }
    for (unsigned i = 0; i < n; i++) {
        double log_p = y[i] - top - log(sum);
        y[i] = head == CSL_HEAD_LOGITS ? y[i] : head == CSL_HEAD_SOFTMAX ? exp(log_p) : log_p;
    }
}

static int compare(const char *name, const struct csl_network *net) {
    struct io io = read_io(name);
    struct csl_hwc out = net->output == 0 ? net->input : net->nodes[net->output - 1].out;
    double *y = calloc((size_t)io.batch * io.n_out + 1, sizeof *y);
    double top = 1e-3;
    double worst = 0;
    assert_non_null(y);
    assert_int_equal((size_t)net->input.h * net->input.w * net->input.c, io.n_in);
    assert_int_equal((size_t)out.h * out.w * out.c, io.n_out);
    assert_int_equal(csl_network_eval(net, y, io.x, io.batch), CSL_OK);
    for (unsigned i = 0; i < io.batch; i++) {
        apply_head(y + (size_t)i * io.n_out, io.n_out, net->head);
    }
    for (size_t i = 0; i < (size_t)io.batch * io.n_out; i++) {
        top = fmax(top, fabs((double)io.y[i]));
        worst = fmax(worst, fabs(y[i] - (double)io.y[i]));
    }
    free(y);
    free(io.x);
    free(io.y);
    if (!(worst <= 1e-4 * top)) {
        print_message("%s: an output is off by %g of %g\n", name, worst, top);
    }
    return worst <= 1e-4 * top ? 0 : 1;
}

static int expect_run(const char *name) {
    struct outcome o = process_name(name);
    int bad = 1;
    if (o.err == CSL_OK && o.issues.n == 0) {
        bad = compare(name, o.net);
    } else {
        print(name, &o);
    }
    outcome_clear(&o);
    return bad;
}

static int expect_refused(const char *name, const char *words) {
    struct outcome o = process_name(name);
    int bad = (o.err == CSL_EDATA || o.err == CSL_EIO) && o.net == NULL && says(&o, words) ? 0 : 1;
    if (bad != 0) {
        print_message("not refused as expected (%s): ", words);
        print(name, &o);
    }
    outcome_clear(&o);
    return bad;
}

/* Is there such a line for this file? */
static bool is_listed(FILE *expect, const char *name) {
    char line[512];
    char listed[256];
    rewind(expect);
    while (fgets(line, sizeof line, expect) != NULL) {
        if (sscanf(line, "%*s %255[^:\n]", listed) == 1 && strcmp(listed, name) == 0) {
            return true;
        }
    }
    return false;
}

static void test_corpus(void **state) {
    (void)state;
    char line[512];
    char name[256];
    int bad = 0;
    int n_run = 0;
    int n_refused = 0;
    FILE *expect = fopen(FOLDER "/EXPECT", "r");
    assert_non_null(expect);
    while (fgets(line, sizeof line, expect) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (sscanf(line, "run %255s", name) == 1) {
            bad += expect_run(name);
            n_run++;
        } else if (sscanf(line, "refuse %255[^:]", name) == 1) {
            const char *words = strchr(line, ':');
            assert_non_null(words);
            assert_true(strlen(words) > 2);
            bad += expect_refused(name, words + 2);
            n_refused++;
        } else {
            assert_true(line[0] == '#' || line[0] == '\0');
        }
    }
    DIR *dir = opendir(FOLDER);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        char *dot = strstr(e->d_name, ".onnx");
        if (dot != NULL && dot[5] == '\0') {
            *dot = '\0';
            assert_true(is_listed(expect, e->d_name));
        }
    }
    closedir(dir);
    fclose(expect);
    assert_true(n_run >= 20 && n_refused >= 20);
    assert_int_equal(bad, 0);
}

static void copy_file(const char *to, const char *from) {
    FILE *in = fopen(from, "rb");
    FILE *out = fopen(to, "wb");
    assert_non_null(in);
    assert_non_null(out);
    for (int c; (c = fgetc(in)) != EOF;) {
        assert_int_equal(fputc(c, out), c);
    }
    assert_int_equal(fclose(out), 0);
    assert_int_equal(fclose(in), 0);
}

/* External data: a link out of the folder, a pipe and a short file in its place. */
static void test_external_links(void **state) {
    (void)state;
    char folder[] = "/tmp/csl_corpus_XXXXXX";
    char model[128];
    char data[128];
    char target[512];
    char cwd[384];
    assert_non_null(mkdtemp(folder));
    assert_non_null(getcwd(cwd, sizeof cwd));
    snprintf(model, sizeof model, "%s/m.onnx", folder);
    snprintf(data, sizeof data, "%s/external_op17.onnx.data", folder);
    snprintf(target, sizeof target, "%s/" FOLDER "/external_op17.onnx.data", cwd);
    copy_file(model, FOLDER "/external_op17.onnx");
    copy_file(data, target);
    struct outcome o = process(model);
    assert_int_equal(o.err, CSL_OK);
    outcome_clear(&o);
    assert_int_equal(truncate(data, 351), 0);
    o = process(model);
    assert_int_equal(o.err, CSL_EDATA);
    assert_true(says(&o, "of its external file \"external_op17.onnx.data\" (351 bytes)"));
    outcome_clear(&o);
    assert_int_equal(unlink(data), 0);
    assert_int_equal(symlink(target, data), 0);
    o = process(model);
    assert_int_equal(o.err, CSL_EDATA);
    assert_true(says(&o, "symbolic link"));
    outcome_clear(&o);
    assert_int_equal(unlink(data), 0);
    assert_int_equal(mkfifo(data, 0600), 0);
    o = process(model); /* without waiting for somebody to write */
    assert_int_equal(o.err, CSL_EDATA);
    assert_true(says(&o, "not a regular file"));
    outcome_clear(&o);
    assert_int_equal(unlink(data), 0);
    assert_int_equal(unlink(model), 0);
    assert_int_equal(rmdir(folder), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_corpus),
        cmocka_unit_test(test_external_links),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
