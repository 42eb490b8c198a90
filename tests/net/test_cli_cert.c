/* The program's cert and roster commands, run as a person runs them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char root[64], out_path[96], err_path[96];
static char out[65536], err[8192];

static void read_text(char *buf, size_t size, const char *path) {
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t n = fread(buf, 1, size - 1, f);
    buf[n] = 0;
    (void)fclose(f);
}

static void redirect(const char *path, int fd) {
    int f = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (f < 0 || dup2(f, fd) < 0) {
        _exit(126);
    }
}

/* Runs `consilium` with the words of a line in the test's folder; returns the exit code, fills out and err.
 */
static int run(const char *line) {
    char copy[2048], *argv[64] = {CSL_PROGRAM};
    int argc = 1, status = 0;
    (void)snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok(copy, " "); word != NULL && argc < 63; word = strtok(NULL, " ")) {
        argv[argc++] = word;
    }
    argv[argc] = NULL;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        redirect(out_path, STDOUT_FILENO);
        redirect(err_path, STDERR_FILENO);
        if (chdir(root) == 0) {
            execv(CSL_PROGRAM, argv);
        }
        _exit(126);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    read_text(out, sizeof out, out_path);
    read_text(err, sizeof err, err_path);
    return WEXITSTATUS(status);
}

static void run_ok(const char *line) {
    int code = run(line);
    if (code != 0 || err[0] != 0) {
        fail_msg("%s: exit %d: %s", line, code, err);
    }
}

/* The exit code, and a part of what it says on stderr. */
static void run_bad(const char *line, int expected, const char *part) {
    int code = run(line);
    if (code != expected || strstr(err, part) == NULL || strncmp(err, "consilium", 9) != 0) {
        fail_msg("%s: exit %d (expected %d): %s", line, code, expected, err);
    }
}

static void says(const char *part) {
    if (strstr(out, part) == NULL) {
        fail_msg("not in the output: %s\n%s", part, out);
    }
}

/* Days round down, and a second may have passed since the certificate was issued. */
static void says_days(int days) {
    char exact[32], less[32];
    (void)snprintf(exact, sizeof exact, "(%d days)", days);
    (void)snprintf(less, sizeof less, "(%d days)", days - 1);
    says(strstr(out, exact) != NULL ? exact : less);
}

static const char *const sites[] = {"hospital-a", "hospital-b", "dealer", "lab"};

static const char *const build =
    "roster build --ca ca/ca.crt --name heart --member hospital-a/hospital-a.request:party+client:a.org:7400 "
    "--member hospital-b/hospital-b.request:party:[::1]:7400 --member dealer/dealer.request:dealer:d.org:1 "
    "--member lab/lab.request:owner+client --model digits:lab:lab,hospital-a --out roster.yaml";

static int setup(void **state) {
    (void)state;
    (void)snprintf(root, sizeof root, "/tmp/csl-cli-XXXXXX");
    if (mkdtemp(root) == NULL) {
        return -1;
    }
    (void)snprintf(out_path, sizeof out_path, "%s/stdout", root);
    (void)snprintf(err_path, sizeof err_path, "%s/stderr", root);
    char line[256];
    run_ok("cert ca --out ca");
    says("cert sign");
    for (size_t i = 0; i < 4; i++) {
        const char *s = sites[i];
        (void)snprintf(line, sizeof line, "cert keygen --site %s --name %s --host %s.example.org", s, s, s);
        run_ok(line);
        says("cert import");
        (void)snprintf(line, sizeof line, "cert sign --ca ca --in %s/%s.request --out %s.crt --days 40", s, s,
                       s);
        run_ok(line);
        says("example.org");
        (void)snprintf(line, sizeof line, "cert import --site %s --in %s.crt --ca ca/ca.crt", s, s);
        run_ok(line);
        says("roster install");
    }
    run_ok(build);
    says("4 members, 2 parties");
    return 0;
}

static int teardown(void **state) {
    (void)state;
    char cmd[128];
    (void)snprintf(cmd, sizeof cmd, "rm -rf '%s'", root);
    return system(cmd);
}

static void a_site_gets_through(void **state) {
    (void)state;
    run_ok("roster check roster.yaml");
    says("correct");
    run_ok("roster check roster.yaml --site hospital-a");
    says("keys as in the roster");
    says_days(40);
    run_ok("roster install roster.yaml --site hospital-a");
    says("consilium party --site hospital-a");
    run_ok("roster digest roster.yaml");
    char digest[80];
    (void)snprintf(digest, sizeof digest, "%.70s", out);
    run_ok("roster digest hospital-a/roster.yaml");
    assert_string_equal(out, digest);
    assert_int_equal(strspn(out, "0123456789abcdef"), 64);
    run_ok("cert show --site hospital-a");
    says("valid until");
    run_ok("cert show hospital-a.crt");
    says("certificate of hospital-a");
    run_ok("cert show lab/lab.request");
    says("lab.example.org");
}

static void json_is_one_document(void **state) {
    (void)state;
    static const char *const lines[] = {
        "roster show roster.yaml --json", "roster digest --json roster.yaml", "cert show --json --site lab",
        "cert show lab.crt --json",       "cert show lab/lab.request --json", "cert show ca/ca.crt --json"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        run_ok(lines[i]);
        assert_int_equal(out[0], '{');
        assert_string_equal(out + strlen(out) - 2, "}\n");
    }
    run_ok("roster show roster.yaml --json");
    says("\"dials\": [\n        \"hospital-a\",\n        \"hospital-b\"\n      ]");
    assert_int_equal(run("roster show nothing.yaml --json"), 66);
    says("\"code\": \"CSL_ENOINPUT\"");
    says("\"exit\": 66");
    assert_int_equal(run("cert show --json"), 64);
    says("CSL_EUSAGE");
    run_ok("roster show roster.yaml");
    says("dials hospital-a, dealer");
}

static void renewal(void **state) {
    (void)state;
    run_ok("cert request --site hospital-b --host new.example.org --host 10.1.2.3");
    run_ok("cert sign --ca ca --in hospital-b/hospital-b.request --out new.crt --days 80");
    says("10.1.2.3");
    run_ok("cert import --site hospital-b --in new.crt --ca ca/ca.crt");
    run_ok("roster check roster.yaml --site hospital-b");
    says_days(80);
}

static void wrong_words(void **state) {
    (void)state;
    run_bad("crt", 64, "did you mean cert?");
    run_bad("cert sing", 64, "did you mean sign?");
    run_bad("cert qqqqqq", 64, "unknown command \"qqqqqq\"\n");
    run_bad("cert sign --cat x", 64, "did you mean --ca?");
    run_bad("cert sign --in x --out y", 64, "--ca DIR is missing");
    run_bad("cert sign --ca ca --in x --out y --days 0", 64, "not a number from 1");
    run_bad("cert sign --ca ca --in x --out y --days 1e3", 64, "not a number from 1");
    run_bad("cert sign --ca ca --in x --out y --days -1", 64, "not a number from 1");
    run_bad("cert sign --ca ca --ca ca", 64, "--ca is there twice");
    run_bad("cert sign --ca", 64, "--ca needs a value");
    run_bad("cert ca --out x y", 64, "unexpected argument \"y\"");
    run_bad("roster check", 64, "FILE is missing");
    run_bad("roster check a b", 64, "unexpected argument \"b\"");
    run_bad("cert show", 64, "either --site");
    run_bad("help nonsense", 64, "nonsense");
    assert_int_equal(run(""), 64);
    says("Usage");
    assert_int_equal(run("cert"), 64);
    says("keygen");
}

static void help(void **state) {
    (void)state;
    static const char *const lines[] = {
        "help",        "--help",           "help cert",      "cert help",      "cert --help",
        "help roster", "cert sign --help", "help cert sign", "cert help sign", "help roster build"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        run_ok(lines[i]);
        says("Usage: consilium");
    }
    run_ok("help");
    says("  78  configuration or roster is wrong");
    run_ok("--version");
    assert_true(isdigit((unsigned char)out[10]));
}

static void wrong_inputs(void **state) {
    (void)state;
    run_bad("cert keygen --site hospital-a --name hospital-a", 73, "hospital-a/name");
    run_bad("cert keygen --site x --name Not_A_Name", 64, "no site name");
    run_bad("cert keygen --site no/such/folder --name x", 73, "no/such/folder");
    run_bad("cert ca --out ca", 73, "ca/ca.key");
    run_bad("cert sign --ca ca --in missing --out y", 66, "missing");
    run_bad("cert sign --ca ca --in ca/ca.crt --out y", 65, "CERTIFICATE REQUEST");
    run_bad("cert sign --ca ca --in lab/tls.key --out y", 65, "never leaves its site");
    run_bad("cert sign --ca ca --in lab/lab.request --out no/such/y", 73, "no/such/y");
    run_bad("cert import --site lab --in hospital-a.crt --ca ca/ca.crt", 78, "tls.key");
    run_bad("cert import --site lab --in lab.crt --ca lab.crt", 77, "does not verify");
    run_bad("cert show --site nowhere", 66, "consilium cert keygen");
    run_bad("roster check lab.crt", 78, "lab.crt");
    run_ok("cert keygen --site stranger --name stranger");
    run_bad("roster check roster.yaml --site stranger", 66, "consilium cert import");
    run_ok("cert sign --ca ca --in stranger/stranger.request --out stranger.crt");
    run_ok("cert import --site stranger --in stranger.crt --ca ca/ca.crt");
    run_bad("roster check roster.yaml --site stranger", 78, "not in the roster");
    run_bad("roster install roster.yaml --site stranger", 78, "not in the roster");
    char path[128];
    (void)snprintf(path, sizeof path, "%s/stranger/roster.yaml", root);
    assert_int_equal(access(path, F_OK), -1);
    /* the same name with other keys */
    run_ok("cert keygen --site fake --name lab");
    run_ok("cert sign --ca ca --in fake/lab.request --out fake.crt");
    run_ok("cert import --site fake --in fake.crt --ca ca/ca.crt");
    run_bad("roster check roster.yaml --site fake", 78, "another TLS key for lab");
}

static void wrong_rosters(void **state) {
    (void)state;
#define A " --member hospital-a/hospital-a.request:party:a.org:1"
#define B " --member hospital-b/hospital-b.request:party:b.org:1"
#define D " --member dealer/dealer.request:dealer:d.org:1"
    run_bad("roster build --ca ca/ca.crt --out bad.yaml" A B, 78, "no dealer");
    run_bad("roster build --ca ca/ca.crt --out bad.yaml" A D, 78, "at least 2 parties");
    run_bad("roster build --ca ca/ca.crt --out bad.yaml" A A D, 78, "twice");
    run_bad("roster build --ca ca/ca.crt --out bad.yaml" A B D " --member lab/lab.request", 64,
            "REQUEST:ROLE");
    run_bad("roster build --ca ca/ca.crt --out bad.yaml" A B D " --member lab/lab.request:boss", 64,
            "roles are");
    run_bad("roster build --ca ca/ca.crt --out bad.yaml" A B D " --member lab/lab.request:owner:x", 64,
            "address");
    run_bad("roster build --ca ca/ca.crt --out bad.yaml" A B D " --member lab.crt:owner", 65, "lab.crt");
    run_bad("roster build --ca ca/ca.crt --out bad.yaml" A B D " --model m:lab:lab", 64, "called \"lab\"");
    run_bad("roster build --ca ca/ca.crt --out bad.yaml" A B D " --model m:hospital-a", 64, "NAME:OWNER");
    run_bad("roster build --ca ca/ca.crt --out bad.yaml" A B D " --model m:hospital-a:hospital-b", 78,
            "role owner");
    run_bad("roster build --ca ca/ca.crt --out bad.yaml" A B D " --connect hospital-a", 64, "FROM:TO");
    run_bad("roster build --ca lab.crt --out bad.yaml" A B D, 78, "not the certificate of a CA");
    char path[128];
    (void)snprintf(path, sizeof path, "%s/bad.yaml", root);
    assert_int_equal(access(path, F_OK), -1);
    run_ok("roster build --ca ca/ca.crt --out good.yaml" A B D " --connect hospital-a:hospital-b");
    run_ok("roster show good.yaml");
    says("dials hospital-b, dealer");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_site_gets_through),
        cmocka_unit_test(json_is_one_document),
        cmocka_unit_test(renewal),
        cmocka_unit_test(wrong_words),
        cmocka_unit_test(help),
        cmocka_unit_test(wrong_inputs),
        cmocka_unit_test(wrong_rosters),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
