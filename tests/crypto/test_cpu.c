#include "tests/crypto/crypto_test.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crypto/cpu_internal.h"

static const enum csl_cpu levels[] = {CSL_CPU_PORTABLE, CSL_CPU_AVX2, CSL_CPU_AVX512};

static void the_best_level_without_a_wish(void **state) {
    (void)state;
    for (int best = 0; best < 3; best++) {
        enum csl_cpu level;
        assert_ok(csl__cpu_choose(&level, levels[best], NULL, NULL));
        assert_int_equal(level, levels[best]);
        assert_ok(csl__cpu_choose(&level, levels[best], "", NULL));
        assert_int_equal(level, levels[best]);
    }
}

static void a_wish_is_followed_up_to_the_best(void **state) {
    (void)state;
    for (int best = 0; best < 3; best++) {
        for (int wish = 0; wish < 3; wish++) {
            enum csl_cpu level;
            struct csl_diag diag = {""};
            enum csl_err err = csl__cpu_choose(&level, levels[best], csl_cpu_name(levels[wish]), &diag);
            if (wish <= best) {
                assert_ok(err);
                assert_int_equal(level, levels[wish]);
            } else {
                assert_err(err, CSL_ECONFIG);
                assert_int_equal(level, levels[best]);
                assert_non_null(strstr(diag.text, csl_cpu_name(levels[wish])));
                assert_non_null(strstr(diag.text, csl_cpu_name(levels[best])));
            }
        }
    }
}

static void malformed_wishes_are_reported(void **state) {
    (void)state;
    const char *wishes[] = {"AVX2", "avx", "avx2 ", " portable", "avx5120", "none", "1"};
    for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++) {
        enum csl_cpu level;
        struct csl_diag diag = {""};
        assert_err(csl__cpu_choose(&level, CSL_CPU_AVX2, wishes[i], &diag), CSL_ECONFIG);
        assert_int_equal(level, CSL_CPU_AVX2);
        assert_non_null(strstr(diag.text, "CONSILIUM_CPU"));
        assert_non_null(strstr(diag.text, wishes[i]));
    }
}

static void names_are_never_null(void **state) {
    (void)state;
    assert_string_equal(csl_cpu_name(CSL_CPU_PORTABLE), "portable");
    assert_string_equal(csl_cpu_name((enum csl_cpu)77), "unknown");
}

/* In a child, since the level is fixed for the life of a process: level | 16 when the check fails. */
static int level_in_child(const char *wish) {
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (wish == NULL) {
            unsetenv("CONSILIUM_CPU");
        } else {
            setenv("CONSILIUM_CPU", wish, 1);
        }
        int before = (int)csl_cpu_level();
        setenv("CONSILIUM_CPU", "portable", 1); /* too late to matter */
        bool same = (int)csl_cpu_level() == before;
        int code = before | (csl_cpu_check(NULL) == CSL_OK ? 0 : 16);
        _exit(same ? code : 99);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void the_environment_sets_the_level_once(void **state) {
    (void)state;
    int best = level_in_child(NULL);
    assert_in_range(best, 0, 2);
    assert_int_equal(level_in_child(""), best);
    assert_int_equal(level_in_child("fast"), best | 16);
    for (int wish = 0; wish < 3; wish++) {
        assert_int_equal(level_in_child(csl_cpu_name(levels[wish])), wish <= best ? wish : best | 16);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_level_without_a_wish),
        cmocka_unit_test(a_wish_is_followed_up_to_the_best),
        cmocka_unit_test(malformed_wishes_are_reported),
        cmocka_unit_test(names_are_never_null),
        cmocka_unit_test(the_environment_sets_the_level_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
