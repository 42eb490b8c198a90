/* Every implementation of the PRG against the definition in crypto/prg.h, written out with OpenSSL's
 * AES-128-ECB, and against NIST SP 800-38A. */
#include "tests/crypto/crypto_test.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>

#include "crypto/cpu.h"
#include "crypto/prg_internal.h"

static const uint8_t seed[CSL_SEED_BYTES] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3,
                                             2, 3, 8, 4, 6, 2, 6, 4, 3, 3, 8, 3, 2, 7, 9, 5};

static void put_be32(uint8_t *p, uint32_t v) {
    for (int i = 0; i < 4; i++) {
        p[i] = (uint8_t)(v >> (24 - 8 * i));
    }
}

/* Blocks first, first + 1, ... of a stream, cut to n bytes. */
static void reference(uint8_t *out, size_t n, const uint8_t s[CSL_SEED_BYTES], uint32_t stream,
                      uint64_t first) {
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    assert_non_null(ctx);
    assert_int_equal(EVP_EncryptInit_ex2(ctx, EVP_aes_128_ecb(), s, NULL, NULL), 1);
    for (size_t done = 0; done < n; done += 16) {
        uint8_t counter[16], block[16];
        int n_block = 0;
        memcpy(counter, s + 16, 8);
        put_be32(counter + 8, stream);
        put_be32(counter + 12, (uint32_t)(first + done / 16));
        assert_int_equal(EVP_EncryptUpdate(ctx, block, &n_block, counter, 16), 1);
        memcpy(out + done, block, n - done < 16 ? n - done : 16);
    }
    EVP_CIPHER_CTX_free(ctx);
}

/* Calls check for each implementation that this CPU runs; at least EVP's. */
static void each_path(void (*check)(struct csl_prg *prg)) {
    for (int p = 0; p < CSL__PRG_PATHS; p++) {
        if (csl__prg_paths[p].available()) {
            struct csl_prg prg;
            uint8_t secret[CSL_SEED_BYTES];
            memcpy(secret, seed, sizeof seed);
            CSL_SECRET(secret, sizeof secret);
            assert_ok(csl__prg_init_path(&prg, secret, &csl__prg_paths[p]));
            check(&prg);
            csl_prg_clear(&prg);
            assert_zero(&prg, sizeof prg);
        }
    }
    assert_true(csl__prg_paths[CSL__PRG_EVP].available());
}

/* Fills at an odd address between guards, and compares. */
static void check_fill(struct csl_prg *prg, size_t shift, size_t n, uint32_t stream, uint64_t first) {
    uint8_t *buf = malloc(n + shift + 32), *want = malloc(n + 1);
    assert_true(buf != NULL && want != NULL);
    memset(buf, 0xa7, n + shift + 32);
    reference(want, n, seed, stream, first);
    assert_ok(csl_prg_fill(prg, buf + shift, n, stream, first));
    assert_bytes(buf + shift, want, n);
    for (size_t i = 0; i < shift + 32; i++) {
        assert_int_equal(buf[i < shift ? i : n + i], 0xa7);
    }
    free(buf);
    free(want);
}

/* SP 800-38A, F.5.1: the keystream is plaintext xor ciphertext. */
static void sp800_38a(void **state) {
    (void)state;
    uint8_t s[CSL_SEED_BYTES] = {0}, want[64], got[64];
    unhex(s, sizeof s, "2b7e151628aed2a6abf7158809cf4f3cf0f1f2f3f4f5f6f7");
    unhex(want, sizeof want,
          "ec8cdf7398607cb0f2d21675ea9ea1e4362b7c3c6773516318a077d7fc5073ae"
          "6a2cc3787889374fbeb4c81b17ba6c44e89c399ff0f198c6d40a31db156cabfe");
    for (int p = 0; p < CSL__PRG_PATHS; p++) {
        if (csl__prg_paths[p].available()) {
            struct csl_prg prg;
            assert_ok(csl__prg_init_path(&prg, s, &csl__prg_paths[p]));
            assert_ok(csl_prg_fill(&prg, got, sizeof got, 0xf8f9fafb, 0xfcfdfeff));
            assert_bytes(got, want, sizeof want);
            csl_prg_clear(&prg);
        }
    }
}

static void all_sizes(struct csl_prg *prg) {
    for (size_t n = 0; n <= 600; n++) {
        check_fill(prg, n % 17, n, 7, n % 5);
    }
    const size_t large[] = {4095, 16383, 16384, 16385, 100000, (1 << 20) + 7};
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
        check_fill(prg, i, large[i], 0xfffffffe, 3);
    }
}

static void all_alignments(struct csl_prg *prg) {
    for (size_t shift = 0; shift < 64; shift++) {
        check_fill(prg, shift, 333, 1, 0);
    }
}

static void counter_edges(struct csl_prg *prg) {
    const uint64_t blocks = (uint64_t)1 << 32;
    const uint32_t streams[] = {0, 1, 0xff, 0x100, 0x7fffffff, 0x80000000, 0xffffffff};
    const uint64_t firsts[] = {0,        0xf8,     0xff,       0xfff8,     0xffff,
                               0xfffff8, 0xffffff, 0x7ffffff0, 0x7fffffff, 0x80000000};
    for (size_t s = 0; s < sizeof streams / sizeof *streams; s++) {
        for (size_t f = 0; f < sizeof firsts / sizeof *firsts; f++) {
            check_fill(prg, 3, 16 * 37 + 5, streams[s], firsts[f]);
        }
        for (uint64_t left = 0; left <= 40; left++) {
            check_fill(prg, 1, (size_t)left * 16, streams[s], blocks - left);
        }
    }
}

static void fills_stop_at_the_stream_s_end(struct csl_prg *prg) {
    const uint64_t blocks = (uint64_t)1 << 32;
    const struct {
        size_t n;
        uint64_t first;
    } beyond[] = {{1, blocks},     {17, blocks - 1}, {1, blocks + 1},
                  {0, blocks + 1}, {16, UINT64_MAX}, {33, blocks - 2}};
    for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++) {
        uint8_t out[64];
        memset(out, 0xee, sizeof out);
        assert_err(csl_prg_fill(prg, out, beyond[i].n, 0, beyond[i].first), CSL_EUSAGE);
        assert_zero(out, beyond[i].n);
        assert_int_equal(out[beyond[i].n], 0xee);
    }
    uint64_t none;
    assert_err(csl_prg_fill_u64(prg, &none, SIZE_MAX, 0, 64), CSL_EUSAGE);
    assert_ok(csl_prg_fill(prg, NULL, 0, 0, blocks));
}

static void u64_are_the_stream_s_words(struct csl_prg *prg) {
    enum { N = 5000 }; /* several chunks of 2048, and a part of one */
    static uint64_t got[N + 1];
    static uint8_t bytes[8 * N];
    reference(bytes, sizeof bytes, seed, 99, 0);
    for (unsigned bits = 1; bits <= 64; bits++) {
        const size_t sizes[] = {0, 1, 2, 3, 2047, 2048, 2049, N};
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            size_t n = sizes[s];
            got[n] = 0x1234;
            assert_ok(csl_prg_fill_u64(prg, got, n, 99, bits));
            CSL_PUBLIC(got, n * sizeof *got);
            for (size_t i = 0; i < n; i++) {
                uint64_t want = 0;
                for (int b = 7; b >= 0; b--) {
                    want = want << 8 | bytes[8 * i + (size_t)b];
                }
                want &= bits == 64 ? UINT64_MAX : ((uint64_t)1 << bits) - 1;
                assert_true(got[i] == want);
            }
            assert_true(got[n] == 0x1234);
        }
    }
    uint64_t two[2] = {1, 1};
    assert_err(csl_prg_fill_u64(prg, two, 2, 0, 0), CSL_EUSAGE);
    assert_zero(two, sizeof two);
    two[0] = 1;
    assert_err(csl_prg_fill_u64(prg, two, 2, 0, 65), CSL_EUSAGE);
    assert_zero(two, sizeof two);
}

static void every_size(void **state) {
    (void)state;
    each_path(all_sizes);
}

static void every_alignment(void **state) {
    (void)state;
    each_path(all_alignments);
}

static void every_counter_edge(void **state) {
    (void)state;
    each_path(counter_edges);
}

static void every_path_stops_at_the_end(void **state) {
    (void)state;
    each_path(fills_stop_at_the_stream_s_end);
}

static void every_path_gives_u64(void **state) {
    (void)state;
    each_path(u64_are_the_stream_s_words);
}

static void seeds_of_all_kinds_expand_alike(void **state) {
    (void)state;
    uint8_t s[CSL_SEED_BYTES], want[300], got[300];
    for (int round = 0; round < 200; round++) {
        for (size_t i = 0; i < sizeof s; i++) {
            s[i] = round == 0 ? 0 : round == 1 ? 0xff : (uint8_t)((unsigned)(round * 251 + 7) * (i + 3) >> 2);
        }
        reference(want, sizeof want, s, (uint32_t)round, 1);
        for (int p = 0; p < CSL__PRG_PATHS; p++) {
            if (csl__prg_paths[p].available()) {
                struct csl_prg prg;
                assert_ok(csl__prg_init_path(&prg, s, &csl__prg_paths[p]));
                s[31] ^= 1; /* not part of the definition */
                assert_ok(csl_prg_fill(&prg, got, sizeof got, (uint32_t)round, 1));
                assert_bytes(got, want, sizeof want);
                csl_prg_clear(&prg);
            }
        }
    }
}

static void the_level_chooses_the_path(void **state) {
    (void)state;
    struct csl_prg prg;
    assert_ok(csl_prg_init(&prg, seed));
    const char *want = csl_cpu_level() == CSL_CPU_PORTABLE ? "evp"
                       : csl_cpu_has_vaes()                ? "vaes"
                       : csl_cpu_has_aesni()               ? "aesni"
                                                           : "evp";
    assert_string_equal(prg.path->name, want);
    check_fill(&prg, 5, 1000, 2, 0);
    csl_prg_clear(&prg);
}

static void cleared_generators_are_refused(void **state) {
    (void)state;
    struct csl_prg prg = {0};
    uint8_t out[32];
    uint64_t words[4];
    csl_prg_clear(&prg);
    memset(out, 1, sizeof out);
    assert_err(csl_prg_fill(&prg, out, sizeof out, 0, 0), CSL_EUSAGE);
    assert_zero(out, sizeof out);
    assert_ok(csl_prg_init(&prg, seed));
    csl_prg_clear(&prg);
    csl_prg_clear(&prg);
    memset(words, 1, sizeof words);
    assert_err(csl_prg_fill_u64(&prg, words, 4, 0, 8), CSL_EUSAGE);
    assert_zero(words, sizeof words);
}

static void *fill_in_thread(void *bad) {
    for (int i = 0; i < 50; i++) {
        struct csl_prg prg;
        uint8_t got[100];
        if (csl__prg_init_path(&prg, seed, &csl__prg_paths[CSL__PRG_EVP]) != CSL_OK) {
            *(int *)bad = 1;
            return NULL;
        }
        *(int *)bad |= csl_prg_fill(&prg, got, sizeof got, 1, 0) != CSL_OK;
        csl_prg_clear(&prg);
    }
    return NULL;
}

/* The fetched algorithms are shared between threads. */
static void threads_share_the_fetched_cipher(void **state) {
    (void)state;
    pthread_t thread[4];
    int bad[4] = {0};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, fill_in_thread, &bad[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
        assert_int_equal(bad[i], 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_share_the_fetched_cipher),
        cmocka_unit_test(sp800_38a),
        cmocka_unit_test(every_size),
        cmocka_unit_test(every_alignment),
        cmocka_unit_test(every_counter_edge),
        cmocka_unit_test(every_path_stops_at_the_end),
        cmocka_unit_test(every_path_gives_u64),
        cmocka_unit_test(seeds_of_all_kinds_expand_alike),
        cmocka_unit_test(the_level_chooses_the_path),
        cmocka_unit_test(cleared_generators_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
