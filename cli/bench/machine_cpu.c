/* What one core can do: products of integers, AES in counter mode, memory in its cache. Loops over registers,
 * written in the instructions themselves, so that no compiler can do less than is counted. */
#include "cli/bench/machine.h"
#include <openssl/evp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

enum { TURNS = 21, CACHED = 16 << 10, PRG_TURN = 8 << 20 };

/* ---- Products ---- */

/* Steps of 16 registers each. Sources never change; a product and its addition are independent of others'. */
typedef void turn_fn(unsigned steps);

/* 64-bit products in C: what any compiler makes of them. */
static void turn_scalar(unsigned steps) {
    uint64_t a[8] = {1, 2, 3, 4, 5, 6, 7, 8}, x = 3;
    for (unsigned s = 0; s < 2 * steps; s++) {
        __asm__ volatile("" : "+r"(x));
        for (int i = 0; i < 8; i++) {
            a[i] += x * (x + (uint64_t)i);
        }
    }
    for (int i = 0; i < 8; i++) {
        __asm__ volatile("" : : "r"(a[i]));
    }
}

#if defined(__x86_64__)
#define REP16(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define REP8(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#define REP12(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define LOW                                                                                                  \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",        \
        "xmm12", "xmm13", "xmm14", "xmm15"
#define WIDE __attribute__((target("avx512f,avx512dq,avx512ifma")))
#define TURN(name, target_, text, ...)                                                                       \
    target_ static void name(unsigned steps) {                                                               \
        for (unsigned s = 0; s < steps; s++) {                                                               \
            __asm__ volatile(text::: __VA_ARGS__);                                                           \
        }                                                                                                    \
        __asm__ volatile("vzeroupper" ::: LOW);                                                              \
    }
#define MULLQ(r) "vpmullq %%zmm16, %%zmm17, %%zmm" #r "\n\t"
#define MULLQ_ADD(r) MULLQ(r) "vpaddq %%zmm" #r ", %%zmm16, %%zmm" #r "\n\t"
#define MULLD_ADD(r) "vpmulld %%zmm16, %%zmm17, %%zmm" #r "\n\tvpaddd %%zmm" #r ", %%zmm16, %%zmm" #r "\n\t"
#define MADD52(r) "vpmadd52luq %%zmm16, %%zmm17, %%zmm" #r "\n\t"
/* x y = xl yl + 2^32 (xl yh + xh yl): three partial products, summed in two accumulators */
#define PART_Z(r) "vpmuludq %%zmm16, %%zmm17, %%zmm18\n\tvpaddq %%zmm18, %%zmm" #r ", %%zmm" #r "\n\t"
#define SPLIT_Z(r) PART_Z(r) PART_Z(r) PART_Z(r)
#define PART_Y(r) "vpmuludq %%ymm14, %%ymm15, %%ymm13\n\tvpaddq %%ymm13, %%ymm" #r ", %%ymm" #r "\n\t"
#define SPLIT_Y(r) PART_Y(r) PART_Y(r) PART_Y(r)
#define MULLD_Y(r) "vpmulld %%ymm14, %%ymm15, %%ymm13\n\tvpaddd %%ymm13, %%ymm" #r ", %%ymm" #r "\n\t"

TURN(turn_mullq, WIDE, REP16(MULLQ), LOW)
TURN(turn_mullq_add, WIDE, REP16(MULLQ_ADD), LOW)
TURN(turn_mulld_add, WIDE, REP16(MULLD_ADD), LOW)
TURN(turn_madd52, WIDE, REP16(MADD52), LOW)
/* 64 bits: low and high half of the product of 52 bits, and both crossed ones in one */
#define WIDE52(r) MADD52(r) "vpmadd52huq %%zmm16, %%zmm17, %%zmm" #r "\n\t" MADD52(r)
TURN(turn_wide52, WIDE, REP16(WIDE52), LOW)
TURN(turn_split512, WIDE, REP16(SPLIT_Z), LOW, "xmm18")
TURN(turn_split256, __attribute__((target("avx2"))), REP12(SPLIT_Y), LOW)
/* the same by two: vpmulld gives both crossed ones side by side, mod 2^32 */
#define CROSS_Y(r)                                                                                           \
    "vpmuludq %%ymm14, %%ymm15, %%ymm12\n\tvpaddq %%ymm12, %%ymm" #r ", %%ymm" #r "\n\t" MULLD_Y(r)
TURN(turn_cross256, __attribute__((target("avx2"))), REP12(CROSS_Y), LOW)
TURN(turn_mulld256, __attribute__((target("avx2"))), REP12(MULLD_Y), LOW)

static bool has_avx2(void) {
    return __builtin_cpu_supports("avx2") != 0;
}
static bool has_avx512(void) {
    return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512dq") != 0;
}
static bool has_vaes(void) {
    enum { LEAF = 7, ECX_VAES = 1 << 9 };
    unsigned a, b, c = 0, d;
    return __get_cpuid_count(LEAF, 0, &a, &b, &c, &d) != 0 && (c & ECX_VAES) != 0;
}
static bool has_ifma(void) {
    return has_avx512() && __builtin_cpu_supports("avx512ifma") != 0;
}
#endif

static bool always(void) {
    return true;
}

static const struct way {
    const char *name;
    unsigned bits, per_step;
    bool (*available)(void);
    turn_fn *turn;
} ways[] = {
    {"64-bit scalar", 64, 16, always, turn_scalar},
#if defined(__x86_64__)
    {"AVX2, three 32-bit products", 64, 12 * 4, has_avx2, turn_split256},
    {"AVX2, two with vpmulld", 64, 12 * 4, has_avx2, turn_cross256},
    {"AVX-512, three 32-bit products", 64, 16 * 8, has_avx512, turn_split512},
    {"AVX-512 vpmullq", 64, 16 * 8, has_avx512, turn_mullq_add},
    {"AVX-512 IFMA, three products", 64, 16 * 8, has_ifma, turn_wide52},
    {"AVX-512 IFMA vpmadd52luq", 52, 16 * 8, has_ifma, turn_madd52},
    {"AVX2 vpmulld", 32, 12 * 8, has_avx2, turn_mulld256},
    {"AVX-512 vpmulld", 32, 16 * 16, has_avx512, turn_mulld_add},
#endif
};
enum { N_WAYS = sizeof ways / sizeof *ways };
_Static_assert((int)N_WAYS <= (int)CSL_BENCH_PATHS, "room for all ways");

static double rate_of(turn_fn *turn, unsigned per_step, bool quick) {
    unsigned steps = (quick ? 400000U : 16000000U) / per_step + 1;
    double best = 0;
    for (int t = 0; t < TURNS; t++) {
        double from = csl_bench_now_s();
        turn(steps);
        double rate = (double)per_step * steps / (csl_bench_now_s() - from);
        best = rate > best ? rate : best;
    }
    return best;
}

/* ---- AES-128 in counter mode ---- */

/* One key for all rounds: it makes no difference to the time. */
#if defined(__x86_64__)
#define AES_ROUND(op, r) op " %%xmm12, %%xmm" #r "\n\t"
#define AES_1(r) AES_ROUND("aesenc", r)
#define AES_BEGIN(r) "movdqa %%xmm13, %%xmm" #r "\n\tpxor %%xmm12, %%xmm" #r "\n\tpaddq %%xmm14, %%xmm13\n\t"
#define AES_END(r) AES_ROUND("aesenclast", r) "movdqu %%xmm" #r ", " #r "*16(%0)\n\t"
#define NINE(X) X X X X X X X X X
static void aesni_16k(uint8_t *out) {
    for (size_t at = 0; at < CACHED; at += 8 * 16) {
        __asm__ volatile(REP8(AES_BEGIN) NINE(REP8(AES_1)) REP8(AES_END) : : "r"(out + at) : LOW, "memory");
    }
}

#define VAES_1(r) "vaesenc %%zmm17, %%zmm" #r ", %%zmm" #r "\n\t"
#define VAES_BEGIN(r) "vpxorq %%zmm17, %%zmm16, %%zmm" #r "\n\tvpaddq %%zmm18, %%zmm16, %%zmm16\n\t"
#define VAES_END(r)                                                                                          \
    "vaesenclast %%zmm17, %%zmm" #r ", %%zmm" #r "\n\tvmovdqu64 %%zmm" #r ", " #r "*64(%0)\n\t"
WIDE static void vaes_16k(uint8_t *out) {
    for (size_t at = 0; at < CACHED; at += 1024) {
        __asm__ volatile(REP16(VAES_BEGIN) NINE(REP16(VAES_1)) REP16(VAES_END)
                         :
                         : "r"(out + at)
                         : LOW, "xmm16", "memory");
    }
    __asm__ volatile("vzeroupper" ::: LOW);
}
/* Without AVX-512 there are 16 registers. */
#define VAES_Y_1(r) "vaesenc %%ymm12, %%ymm" #r ", %%ymm" #r "\n\t"
#define VAES_Y_BEGIN(r) "vpxor %%ymm12, %%ymm13, %%ymm" #r "\n\tvpaddq %%ymm14, %%ymm13, %%ymm13\n\t"
#define VAES_Y_END(r)                                                                                        \
    "vaesenclast %%ymm12, %%ymm" #r ", %%ymm" #r "\n\tvmovdqu %%ymm" #r ", " #r "*32(%0)\n\t"
__attribute__((target("avx2"))) static void vaes_y_16k(uint8_t *out) {
    for (size_t at = 0; at < CACHED; at += 256) {
        __asm__ volatile(REP8(VAES_Y_BEGIN) NINE(REP8(VAES_Y_1)) REP8(VAES_Y_END)
                         :
                         : "r"(out + at)
                         : LOW, "memory");
    }
    __asm__ volatile("vzeroupper" ::: LOW);
}
#endif

static void evp_16k(uint8_t *out, EVP_CIPHER_CTX *evp) {
    static const uint8_t zeros[CACHED];
    int n;
    (void)EVP_EncryptUpdate(evp, out, &n, zeros, CACHED);
}

enum aes { AES_EVP, AES_NI, AES_VAES_Y, AES_VAES, AES_WAYS };
static const char *const aes_names[AES_WAYS] = {"OpenSSL", "AES-NI", "VAES, 256 bit", "VAES, 512 bit"};

static bool aes_has(enum aes way) {
#if defined(__x86_64__)
    return way == AES_EVP || (way == AES_NI && __builtin_cpu_supports("aes") != 0) ||
           (way == AES_VAES_Y && has_avx2() && has_vaes()) || (way == AES_VAES && has_avx512() && has_vaes());
#else
    return way == AES_EVP;
#endif
}

static double aes_turn(enum aes way, uint8_t *out, EVP_CIPHER_CTX *evp, size_t bytes) {
    double from = csl_bench_now_s();
    for (size_t done = 0; done < bytes; done += CACHED) {
        switch (way) {
#if defined(__x86_64__)
        case AES_VAES:
            vaes_16k(out);
            break;
        case AES_VAES_Y:
            vaes_y_16k(out);
            break;
        case AES_NI:
            aesni_16k(out);
            break;
#endif
        default:
            evp_16k(out, evp);
        }
        __asm__ volatile("" : : "r"(out) : "memory");
    }
    return (double)bytes / (csl_bench_now_s() - from);
}

static void measure_prg(struct csl_bench_cpu *out, uint8_t *buffer, bool quick) {
    static const uint8_t key[16] = {1}, iv[16] = {0};
    EVP_CIPHER_CTX *evp = EVP_CIPHER_CTX_new();
    bool ready = evp != NULL && EVP_EncryptInit_ex(evp, EVP_aes_128_ctr(), NULL, key, iv) == 1;
    out->prg_name = "none";
    for (int w = ready ? AES_EVP : AES_NI; w < AES_WAYS; w++) {
        for (int t = 0; t < TURNS && aes_has((enum aes)w); t++) {
            double rate = aes_turn((enum aes)w, buffer, evp, quick ? PRG_TURN / 16 : PRG_TURN);
            if (rate > out->prg_bytes_per_s) {
                out->prg_bytes_per_s = rate;
                out->prg_name = aes_names[w];
            }
        }
    }
    EVP_CIPHER_CTX_free(evp);
}

/* ---- Memory ---- */

typedef void pass_fn(uint8_t *p, size_t n);

static void read_c(uint8_t *p, size_t n) {
    uint64_t a[8] = {0}, v;
    for (size_t i = 0; i + 64 <= n; i += 64) {
        for (size_t k = 0; k < 8; k++) {
            memcpy(&v, p + i + 8 * k, sizeof v);
            a[k] ^= v;
        }
    }
    for (int k = 0; k < 8; k++) {
        __asm__ volatile("" : : "r"(a[k]));
    }
}

static void write_c(uint8_t *p, size_t n) {
    memset(p, 1, n);
}

#if defined(__x86_64__)
#define READ_Z(r) "vmovdqu64 " #r "*64(%0), %%zmm" #r "\n\t"
__attribute__((target("avx512f"))) static void read_z(uint8_t *p, size_t n) {
    for (const uint8_t *end = p + n; p + 1024 <= end; p += 1024) {
        __asm__ volatile(REP16(READ_Z) : : "r"(p) : LOW, "memory");
    }
    __asm__ volatile("vzeroupper" ::: LOW);
}
/* The same of eight places at once, as one row's product with a wide matrix does: memory may like it more. */
#define READ_AT(r) "vmovdqu64 (%0), %%zmm" #r "\n\tadd %1, %0\n\t"
__attribute__((target("avx512f"))) static void read_8z(uint8_t *p, size_t n) {
    size_t part = n / 8 / 64 * 64;
    for (size_t i = 0; i < part; i += 64) {
        uint8_t *at = p + i;
        __asm__ volatile(REP8(READ_AT) : "+r"(at) : "r"(part) : LOW, "memory");
    }
    __asm__ volatile("vzeroupper" ::: LOW);
}
#define WRITE_Z(r) "vmovdqu64 %%zmm0, " #r "*64(%0)\n\t"
__attribute__((target("avx512f"))) static void write_z(uint8_t *p, size_t n) {
    for (const uint8_t *end = p + n; p + 1024 <= end; p += 1024) {
        __asm__ volatile(REP16(WRITE_Z) : : "r"(p) : "memory");
    }
}
#define READ_Y(r) "vmovdqu " #r "*32(%0), %%ymm" #r "\n\t"
__attribute__((target("avx2"))) static void read_y(uint8_t *p, size_t n) {
    for (const uint8_t *end = p + n; p + 512 <= end; p += 512) {
        __asm__ volatile(REP16(READ_Y) : : "r"(p) : LOW, "memory");
    }
    __asm__ volatile("vzeroupper" ::: LOW);
}
#endif

static double pass_rate(pass_fn *pass, uint8_t *p, size_t n, bool quick) {
    size_t repeat = (quick ? (size_t)1 << 20 : (size_t)32 << 20) / n + 1;
    double best = 0;
    for (int t = 0; t < TURNS; t++) {
        double from = csl_bench_now_s();
        for (size_t i = 0; i < repeat; i++) {
            pass(p, n);
            __asm__ volatile("" : : "r"(p) : "memory");
        }
        double rate = (double)n * (double)repeat / (csl_bench_now_s() - from);
        best = rate > best ? rate : best;
    }
    return best;
}

enum { PASSES = 4 };
static double best_pass(pass_fn *const list[PASSES], uint8_t *p, size_t n, bool quick) {
    double best = 0;
    for (int i = 0; i < PASSES; i++) {
        double rate = list[i] != NULL ? pass_rate(list[i], p, n, quick) : 0;
        best = rate > best ? rate : best;
    }
    return best;
}

static double read_rate(uint8_t *p, size_t n, bool quick) {
    pass_fn *list[PASSES] = {read_c, NULL, NULL};
#if defined(__x86_64__)
    list[1] = has_avx512() ? read_z : NULL;
    list[2] = has_avx2() ? read_y : NULL;
    list[3] = has_avx512() ? read_8z : NULL;
#endif
    return best_pass(list, p, n, quick);
}

static double write_rate(uint8_t *p, size_t n, bool quick) {
    pass_fn *list[PASSES] = {write_c, NULL, NULL};
#if defined(__x86_64__)
    list[1] = has_avx512() ? write_z : NULL;
#endif
    return best_pass(list, p, n, quick);
}

double csl_bench_read_rate(size_t n, bool quick) {
    n = (n + 1023) & ~(size_t)1023;
    uint8_t *p = malloc(n);
    if (p == NULL) {
        return 0;
    }
    memset(p, 1, n);
    double rate = read_rate(p, n, quick);
    free(p);
    return rate;
}

/* ---- All of it ---- */

static void read_model(char out[96]) {
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "re");
    (void)snprintf(out, 96, "unknown CPU");
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        char *at = strstr(line, ": ");
        if (strncmp(line, "model name", 10) == 0 && at != NULL) {
            (void)snprintf(out, 96, "%.*s", (int)strcspn(at + 2, "\n"), at + 2);
            break;
        }
    }
    if (f != NULL) {
        fclose(f);
    }
}

void csl_bench_cpu_measure(struct csl_bench_cpu *out, bool quick) {
    _Alignas(64) uint8_t buffer[CACHED] = {1};
    cpu_set_t set;
    memset(out, 0, sizeof *out);
    read_model(out->model);
    out->cores = sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
    for (size_t i = 0; i < N_WAYS; i++) {
        out->products[i] = (struct csl_bench_path){.name = ways[i].name, .bits = ways[i].bits};
        if (ways[i].available()) {
            out->products[i].per_s = rate_of(ways[i].turn, ways[i].per_step, quick);
        }
    }
#if defined(__x86_64__)
    out->vpmullq_per_s = has_avx512() ? rate_of(turn_mullq, 16 * 8, quick) : 0;
#endif
    measure_prg(out, buffer, quick);
    out->read_bytes_per_s = read_rate(buffer, sizeof buffer, quick);
    out->write_bytes_per_s = write_rate(buffer, sizeof buffer, quick);
}
