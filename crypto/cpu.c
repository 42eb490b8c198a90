#include "crypto/cpu_internal.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#ifdef __x86_64__
#include <cpuid.h>
#endif

static const char *const names[] = {"portable", "avx2", "avx512"};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct {
    enum csl_cpu level;
    bool aesni, vaes;
    enum csl_err err;
    struct csl_diag diag;
} cpu;

const char *csl_cpu_name(enum csl_cpu level) {
    return (unsigned)level <= CSL_CPU_AVX512 ? names[level] : "unknown";
}

enum csl_err csl__cpu_choose(enum csl_cpu *level, enum csl_cpu best, const char *wish,
                             struct csl_diag *diag) {
    *level = best;
    if (wish == NULL || *wish == '\0') {
        return CSL_OK;
    }
    for (unsigned i = 0; i <= CSL_CPU_AVX512; i++) {
        if (strcmp(wish, names[i]) == 0) {
            if (i > best) {
                return csl_fail(diag, CSL_ECONFIG,
                                "CONSILIUM_CPU=%s: this CPU supports %s at most; unset it or lower it",
                                names[i], names[best]);
            }
            *level = (enum csl_cpu)i;
            return CSL_OK;
        }
    }
    return csl_fail(diag, CSL_ECONFIG, "CONSILIUM_CPU=%.40s: must be portable, avx2 or avx512", wish);
}

#ifdef __x86_64__
/* __builtin_cpu_supports asks the operating system too (xgetbv). */
static enum csl_cpu best_level(void) {
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("bmi2")) {
        return CSL_CPU_PORTABLE;
    }
    bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    return avx512 ? CSL_CPU_AVX512 : CSL_CPU_AVX2;
}

/* clang 14's __builtin_cpu_supports does not know vaes. */
static void aes_features(enum csl_cpu best) {
    unsigned a, b, c, d;
    cpu.aesni = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_AES) != 0;
    cpu.vaes =
        best >= CSL_CPU_AVX2 && cpu.aesni && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & bit_VAES) != 0;
}
#else
static enum csl_cpu best_level(void) {
    return CSL_CPU_PORTABLE;
}

static void aes_features(enum csl_cpu best) {
    (void)best;
}
#endif

static void detect(void) {
    enum csl_cpu best = best_level();
    aes_features(best);
    cpu.err = csl__cpu_choose(&cpu.level, best, getenv("CONSILIUM_CPU"), &cpu.diag);
}

enum csl_cpu csl_cpu_level(void) {
    (void)pthread_once(&once, detect);
    return cpu.level;
}

enum csl_err csl_cpu_check(struct csl_diag *diag) {
    (void)pthread_once(&once, detect);
    return cpu.err == CSL_OK ? CSL_OK : csl_fail(diag, cpu.err, "%s", cpu.diag.text);
}

bool csl_cpu_has_aesni(void) {
    (void)pthread_once(&once, detect);
    return cpu.aesni;
}

bool csl_cpu_has_vaes(void) {
    (void)pthread_once(&once, detect);
    return cpu.vaes;
}
