/* `consilium bench`: what it counts is what the protocol's formulas say, to the byte, and every figure that
 * it promises is there. Times are not asserted. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../roles/simulate.h"

enum { FRAME_HEADER = 12, SIGNATURE = 64 };

#define MODEL "tests/corpus/onnx/pools_op11.onnx"

static json_t *at(json_t *doc, const char *key) {
    json_t *v = json_object_get(doc, key);
    if (v == NULL) {
        fail_msg("no %s", key);
    }
    return v;
}

/* A measured figure: there, finite and above 0. */
static void figure(const json_t *doc, const char *key) {
    double v = number(doc, key);
    if (!(isfinite(v) && v > 0)) {
        fail_msg("%s is %g", key, v);
    }
}

static void exactly(const json_t *doc, const char *key, double want) {
    double v = number(doc, key);
    if (!(v == want)) {
        fail_msg("%s is %.17g, not %.17g", key, v, want);
    }
}

static void check_machine(json_t *machine) {
    static const char *const keys[] = {"cores", "prg_bytes_per_s", "read_bytes_per_s", "write_bytes_per_s"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        figure(machine, keys[i]);
    }
    json_t *products = at(machine, "products");
    assert_true(json_array_size(products) > 0);
    for (size_t i = 0; i < json_array_size(products); i++) {
        figure(json_array_get(products, i), "per_s");
    }
}

static void check_rounds(json_t *machine, unsigned parties) {
    json_t *rounds = at(machine, "tls_rounds");
    exactly(machine, "parties", parties);
    assert_int_equal(json_array_size(rounds), 5);
    for (size_t i = 0; i < 5; i++) {
        figure(json_array_get(rounds, i), "spin_us");
        figure(json_array_get(rounds, i), "block_us");
    }
    figure(machine, "tls_bytes_per_s_each_way");
}

static void check_infer(unsigned parties, unsigned batch, const char *net, const char *wait,
                        const char *sign) {
    enum { BATCHES = 2 };
    const char *same = "--normalize none --interval 0:1";
    json_t *announced = run_json("'%s' model check " MODEL " %s --parties %u --batch %u --sign %s --json",
                                 CSL_PROGRAM, same, parties, batch, sign);
    json_t *doc =
        run_json("'%s' bench infer --model " MODEL " %s --parties %u --batch %u --count %d --net %s "
                 "--wait %s --sign %s --profile lan --quick --keys '" CSL_TEST_KEYS "' --json",
                 CSL_PROGRAM, same, parties, batch, BATCHES, net, wait, sign);
    assert_non_null(announced);
    assert_non_null(doc);
    figure(announced, "shared_request_inputs"); /* what a request with --shared may have */
    json_t *cost = at(announced, "cost"), *bound = at(doc, "bound"), *inputs = at(bound, "inputs");
    double rounds = number(cost, "rounds"), link = number(cost, "online_bytes_per_link");
    /* The last hop is the output's; signatures that come after it have a frame of their own. */
    double frames = rounds - 1 + (strcmp(sign, "after-output") == 0), sent = link + FRAME_HEADER * frames;
    exactly(doc, "rounds", rounds);
    exactly(doc, "bytes_per_link", sent);
    exactly(doc, "bytes_per_party", sent * (parties - 1) + number(cost, "output_bytes") + FRAME_HEADER);
    exactly(inputs, "r", rounds - 1);
    exactly(inputs, "B", link - (strcmp(sign, "off") == 0 ? 0 : SIGNATURE));
    exactly(inputs, "N", parties);
    exactly(inputs, "d_us", strcmp(net, "lan") == 0 ? 250 : 0);
    exactly(at(doc, "offline"), "correction_bytes", number(cost, "offline_bytes") / batch);
    static const char *const figures[] = {"median_ms",       "p95_ms",
                                          "bound_ms",        "ratio",
                                          "images_per_s",    "sustained_images_per_s",
                                          "client_ms",       "bound_same_wait_ms",
                                          "ratio_same_wait", "one_by_one_images_per_s"};
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
        figure(doc, figures[i]);
    }
    assert_true(json_is_string(at(bound, "formula")));
    assert_true(json_is_string(at(bound, "waiting")));
    /* Who polls may sleep, too; who sleeps does nothing else. */
    bool sleeps = strcmp(wait, "block") == 0;
    assert_string_equal(json_string_value(at(at(doc, "bound_same_wait"), "waiting")),
                        sleeps ? "sleeping" : json_string_value(at(bound, "waiting")));
    assert_true(sleeps || number(doc, "bound_same_wait_ms") == number(doc, "bound_ms"));
    assert_true(number(doc, "bound_same_wait_ms") >= number(doc, "bound_ms"));
    assert_true(number(at(doc, "machine"), "probes_quotient") >= 1); /* measured before and after */
    figure(at(bound, "terms_ms"), "rounds");
    figure(at(doc, "peak_rss_kib"), "hospital-a");
    check_machine(at(doc, "machine"));
    check_rounds(at(doc, "machine"), parties);
    json_decref(announced);
    json_decref(doc);
}

static void test_infer(void **state) {
    (void)state;
    check_infer(2, 1, "loopback", "spin", "off");
    check_infer(3, 4, "lan", "block", "after-output");
    check_infer(2, 3, "lan", "auto", "before-output");
}

/* 40 ms away and back nobody takes for near: the parties choose the wan profile. Network A has 10 rounds in
 * the other (docs/protocol.md, Cost). One image does for both batches. */
static void test_far(void **state) {
    (void)state;
    json_t *doc =
        run_json("'%s' bench infer --model examples/mnist/mnist_a.onnx --parties 2 --count 2 --net wan "
                 "--images examples/mnist/digit-1.pgm --sign off --quick --keys '" CSL_TEST_KEYS "' --json",
                 CSL_PROGRAM);
    assert_non_null(doc);
    assert_string_equal(json_string_value(at(doc, "profile")), "wan");
    exactly(doc, "rounds", 8);
    exactly(at(at(doc, "bound"), "inputs"), "r", 7);
    exactly(doc, "bytes_per_link", 6176);
    json_decref(doc);
}

/* 3 rounds: c of k + 4 bits, u of 2 (D - 1) bits for D digits, e of one bit (docs/protocol.md T). */
static void check_relu(unsigned count, unsigned parties, const char *wait) {
    enum { L = 24 + 4, INPUTS = 6 };
    json_t *doc = run_json("'%s' bench relu --count %u --parties %u --wait %s --quick --json", CSL_PROGRAM,
                           count, parties, wait);
    assert_non_null(doc);
    unsigned plane = (count + 7) / 8;
    exactly(doc, "rounds", 3);
    exactly(doc, "bytes_per_link", (double)((count * L + 7) / 8 + (INPUTS + 1) * plane));
    exactly(at(at(doc, "bound"), "inputs"), "r", 3);
    static const char *const figures[] = {"median_ms", "ns_each",        "bound_ms",
                                          "ratio",     "dealer_ns_each", "correction_bytes_each"};
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
        figure(doc, figures[i]);
    }
    check_rounds(at(doc, "machine"), parties);
    assert_true(number(at(doc, "machine"), "probes_quotient") >= 1);
    json_decref(doc);
}

/* Pairs of which the larger is taken: c of all k + f bits. */
static void check_max(unsigned count, unsigned parties) {
    enum { L = 24 + 16, INPUTS = 6 };
    json_t *doc =
        run_json("'%s' bench relu --max --count %u --parties %u --quick --json", CSL_PROGRAM, count, parties);
    assert_non_null(doc);
    exactly(doc, "rounds", 3);
    exactly(doc, "bytes_per_link", (double)((count * L + 7) / 8 + (INPUTS + 1) * ((count + 7) / 8)));
    json_decref(doc);
}

/* Two rounds: c, and u of five planes for the wan form's three digits (T8). */
static void check_wan(unsigned count) {
    json_t *doc = run_json("'%s' bench relu --wan --count %u --parties 2 --quick --json", CSL_PROGRAM, count);
    assert_non_null(doc);
    exactly(doc, "rounds", 2);
    exactly(doc, "bytes_per_link", (double)((count * (24 + 4) + 7) / 8 + 5 * ((count + 7) / 8)));
    json_decref(doc);
}

static void test_relu(void **state) {
    (void)state;
    check_relu(1000, 2, "spin");
    check_relu(777, 3, "block");
    check_max(777, 2);
    check_wan(777);
}

static void test_serve(void **state) {
    (void)state;
    json_t *doc = run_json("'%s' bench serve --model " MODEL " --normalize none --interval 0:1 --parties 3 "
                           "--clients 1,3 --requests 4 --batch 2 --profile lan --quick --keys '" CSL_TEST_KEYS
                           "' --json",
                           CSL_PROGRAM);
    assert_non_null(doc);
    json_t *steps = at(doc, "steps"), *idle = at(doc, "idle"), *checked = at(doc, "checked");
    static const char *const figures[] = {"p50_ms", "p95_ms", "p99_ms", "online_p50_ms"};
    static const unsigned clients[] = {1, 3};
    assert_int_equal(json_array_size(steps), 2);
    for (size_t i = 0; i < 2; i++) {
        json_t *step = json_array_get(steps, i);
        exactly(step, "clients", clients[i]);
        exactly(step, "requests", 4 * clients[i]);
        exactly(step, "inferences_per_s", 2 * number(step, "requests_per_s"));
        exactly(step, "mean_batch_inferences", 2 * number(step, "mean_batch_requests"));
        assert_true(number(step, "mean_batch_requests") >= 1);
        assert_true(number(step, "mean_batch_requests") <= clients[i]);
        for (size_t k = 0; k < sizeof figures / sizeof *figures; k++) {
            figure(step, figures[k]);
            figure(at(idle, "own"), figures[k]);
            figure(at(idle, "shared"), figures[k]);
        }
    }
    figure(at(doc, "saturation"), "inferences_per_s");
    figure(at(doc, "peak_rss_kib"), "hospital-a");
    exactly(checked, "inferences", 2 * (2 + 3 * 2)); /* two requests of each client in each step */
    assert_true(number(checked, "max_bound_use") <= 1);
    json_decref(doc);
}

static void test_kernels(void **state) {
    (void)state;
    json_t *doc = run_json("'%s' bench kernels --quick --json", CSL_PROGRAM);
    assert_non_null(doc);
    json_t *rows = at(doc, "kernels");
    unsigned gemm = 0, gemv = 0, conv = 0, pack = 0, prg = 0, relu = 0;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        json_t *row = json_array_get(rows, i);
        const char *name = json_string_value(at(row, "kernel"));
        figure(row, "ns");
        gemm += strcmp(name, "gemm") == 0;
        gemv += strcmp(name, "gemv") == 0;
        conv += strcmp(name, "conv") == 0;
        pack += strcmp(name, "pack") == 0;
        prg += strcmp(name, "prg") == 0;
        relu += strncmp(name, "relu", 4) == 0;
    }
    assert_true(gemm > 0 && gemv > 0 && conv > 0 && pack > 0 && prg > 0 && relu > 0);
    check_machine(at(doc, "machine"));
    json_decref(doc);
}

static void test_round(void **state) {
    (void)state;
    json_t *doc = run_json("'%s' bench round --parties 3 --quick --json", CSL_PROGRAM);
    assert_non_null(doc);
    exactly(doc, "parties", 3);
    json_t *rounds = at(doc, "rounds");
    assert_int_equal(json_array_size(rounds), 5);
    for (size_t i = 0; i < 5; i++) {
        static const char *const figures[] = {"spin_us", "block_us", "plain_spin_us", "plain_block_us"};
        for (size_t k = 0; k < sizeof figures / sizeof *figures; k++) {
            figure(json_array_get(rounds, i), figures[k]);
        }
    }
    json_decref(doc);
}

/* bench/compare takes tables and single results, and nothing else. */
static void check_compare(json_t *doc, const char *path) {
    char single[300], command[1024];
    json_t *const parts[] = {json_array_get(at(doc, "infer"), 0), json_array_get(at(doc, "relu"), 0),
                             json_array_get(at(doc, "serve"), 0), at(doc, "kernels")};
    (void)snprintf(single, sizeof single, "%s.part", path);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        assert_int_equal(json_dump_file(parts[i], single, 0), 0);
        (void)snprintf(command, sizeof command, "bench/compare '%s' '%s' >/dev/null", path, single);
        assert_int_equal(system(command), 0);
    }
    (void)snprintf(command, sizeof command, "bench/compare '%s' '%s' >/dev/null", path, path);
    assert_int_equal(system(command), 0);
    assert_int_equal(json_dump_file(at(doc, "machine"), single, 0), 0);
    (void)snprintf(command, sizeof command, "bench/compare '%s' '%s' >/dev/null 2>&1", path, single);
    assert_int_not_equal(system(command), 0);
    assert_int_equal(unlink(single), 0);
}

/* All of it: every row says what it measured, the files are there, and bench/compare reads them. */
static void test_all(void **state) {
    (void)state;
    char dir[] = "/tmp/consilium-bench-XXXXXX", path[256];
    assert_non_null(mkdtemp(dir));
    json_t *doc = run_json("'%s' bench all --quick --out '%s' --json", CSL_PROGRAM, dir);
    assert_non_null(doc);
    json_t *infer = at(doc, "infer");
    assert_true(json_array_size(infer) > 0);
    for (size_t i = 0; i < json_array_size(infer); i++) {
        json_t *row = json_array_get(infer, i);
        assert_null(json_object_get(row, "error"));
        /* Network A: docs/protocol.md, Cost. Elsewhere than over the wan a busy machine may look far away. */
        int wan = strcmp(json_string_value(at(row, "profile")), "wan") == 0;
        assert_true(wan || strcmp(json_string_value(at(at(row, "workload"), "net")), "wan") != 0);
        exactly(row, "rounds", wan ? 8 : 10);
        figure(row, "ratio");
    }
    assert_true(json_array_size(at(doc, "relu")) > 0);
    json_t *serve = at(doc, "serve");
    assert_int_equal(json_array_size(serve), 1); /* of the one network that stands in examples/ */
    figure(at(json_array_get(serve, 0), "saturation"), "requests_per_s");
    (void)snprintf(path, sizeof path, "%s/latency-mnist_a.onnx.svg", dir);
    assert_int_equal(access(path, R_OK), 0);
    assert_int_equal(unlink(path), 0);
    (void)snprintf(path, sizeof path, "%s/result.json", dir);
    json_t *file = json_load_file(path, 0, NULL);
    assert_true(json_equal(doc, file));
    if (access("/usr/bin/python3", X_OK) == 0) {
        check_compare(doc, path);
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
    json_decref(file);
    json_decref(doc);
}

static void test_machine(void **state) {
    (void)state;
    json_t *doc = run_json("'%s' bench machine --parties 3 --quick --json", CSL_PROGRAM);
    assert_non_null(doc);
    check_machine(doc);
    check_rounds(doc, 3);
    json_decref(doc);
}

/* An error is a JSON document with the exit code that the table of errors gives it. */
static void refused(const char *args, const char *code) {
    char command[512], text[4096];
    (void)snprintf(command, sizeof command, "'%s' bench %s --json 2>/dev/null", CSL_PROGRAM, args);
    FILE *out = popen(command, "re");
    assert_non_null(out);
    size_t n = fread(text, 1, sizeof text, out);
    assert_int_not_equal(pclose(out), 0);
    json_t *doc = json_loadb(text, n, 0, NULL);
    assert_non_null(doc);
    assert_string_equal(json_string_value(at(at(doc, "error"), "code")), code);
    json_decref(doc);
}

static void test_refusals(void **state) {
    (void)state;
    refused("infer --model " MODEL " --normalize none --interval 0:1 --net moon", "CSL_EUSAGE");
    refused("infer --model " MODEL " --normalize none --interval 0:1 --wait never", "CSL_EUSAGE");
    refused("infer --model " MODEL " --normalize none --interval 0:1 --sign maybe", "CSL_EUSAGE");
    refused("infer --model " MODEL " --normalize none --interval 0:1 --profile moon", "CSL_EUSAGE");
    refused("infer --model " MODEL " --normalize none", "CSL_EUSAGE");
    refused("infer --model no-such.onnx", "CSL_ENOINPUT");
    refused("infer --model examples/mnist/mnist_a.onnx --images no-such.pgm", "CSL_ENOINPUT");
    refused("infer --model " MODEL " --normalize none --interval 0:1 --images examples/mnist/digit-1.pgm",
            "CSL_EDATA");
    refused("infer --model " MODEL " --parties 1", "CSL_EUSAGE");
    refused("serve --model no-such.onnx", "CSL_ENOINPUT");
    refused("serve --model " MODEL " --clients 1,x", "CSL_EUSAGE");
    refused("serve --model " MODEL " --clients 33", "CSL_EUSAGE");
    refused("serve --model " MODEL " --clients 1, --own", "CSL_EUSAGE");
    refused("serve --model " MODEL " --own --shared", "CSL_EUSAGE");
    refused("serve --model " MODEL " --compare " MODEL, "CSL_EUSAGE");
    refused("relu --wait never", "CSL_EUSAGE");
    refused("relu --k 40", "CSL_EUSAGE");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_machine), cmocka_unit_test(test_kernels),
        cmocka_unit_test(test_relu),     cmocka_unit_test(test_infer),   cmocka_unit_test(test_far),
        cmocka_unit_test(test_round),    cmocka_unit_test(test_serve),   cmocka_unit_test(test_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
