/* Keys, masks and the guards that keep every index used once; sharing inputs and joining outputs. */
#include "crypto/hash.h"
#include "crypto/kdf.h"
#include "mpc/epoch.h"
#include "mpc/share.h"
#include "parties.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static void every_input_changes_the_epoch(void **state) {
    (void)state;
    uint8_t roster[32] = {1}, dealer[32] = {2}, nonces[3 * 32] = {3}, id[32], other[32], again[32];
    assert_int_equal(csl_epoch_id(id, roster, dealer, nonces, 3), CSL_OK);
    assert_int_equal(csl_epoch_id(again, roster, dealer, nonces, 3), CSL_OK);
    assert_memory_equal(id, again, 32);
    uint8_t *changed[] = {roster, dealer, nonces, nonces + 32, nonces + 95};
    for (size_t i = 0; i < 5; i++) {
        *changed[i] ^= 0x40;
        assert_int_equal(csl_epoch_id(other, roster, dealer, nonces, 3), CSL_OK);
        assert_memory_not_equal(id, other, 32);
        *changed[i] ^= 0x40;
    }
    assert_int_equal(csl_epoch_id(other, roster, dealer, nonces, 2), CSL_OK);
    assert_memory_not_equal(id, other, 32);
    assert_int_equal(csl_epoch_id(other, roster, dealer, nonces, 1), CSL_EUSAGE);
    assert_int_equal(csl_epoch_id(other, roster, dealer, nonces, 17), CSL_EUSAGE);
    /* K2 spelled out */
    uint8_t bytes[15 + 5 * 32];
    memcpy(bytes, "consilium/epoch", 15);
    memcpy(bytes + 15, roster, 32);
    memcpy(bytes + 47, dealer, 32);
    memcpy(bytes + 79, nonces, 96);
    assert_int_equal(csl_sha256_once(other, bytes, sizeof bytes), CSL_OK);
    assert_memory_equal(id, other, 32);
}

static void keys_seeds_and_masks_differ(void **state) {
    (void)state;
    uint8_t id[32] = {1}, seed[32] = {2}, package[32] = {3}, mask_id[32], mask_id2[32], s[4][64];
    struct csl_epoch_keys keys, keys2;
    assert_int_equal(csl_epoch_keys_derive(&keys, id, seed), CSL_OK);
    assert_memory_not_equal(keys.corr_key, keys.mask_key, 32);
    id[31] ^= 1;
    assert_int_equal(csl_epoch_keys_derive(&keys2, id, seed), CSL_OK);
    assert_memory_not_equal(keys.corr_key, keys2.corr_key, 32);
    assert_memory_not_equal(keys.mask_key, keys2.mask_key, 32);
    assert_int_equal(csl_index_seed(s[0], &keys, 1, 2), CSL_OK);
    const uint8_t index[8] = {1, 0, 0, 0, 2, 0, 0, 0}; /* K3: stream, counter, little-endian */
    assert_int_equal(csl_prf(s[1], keys.corr_key, "matrix", index, sizeof index), CSL_OK);
    assert_int_equal(csl_prf(s[1] + 32, keys.corr_key, "bits", index, sizeof index), CSL_OK);
    assert_memory_equal(s[0], s[1], 64);
    assert_memory_not_equal(s[0], s[0] + 32, 32);
    assert_int_equal(csl_index_seed(s[1], &keys, 2, 1), CSL_OK);
    assert_int_equal(csl_index_seed(s[2], &keys, 1, 3), CSL_OK);
    assert_int_equal(csl_index_seed(s[3], &keys2, 1, 2), CSL_OK);
    for (size_t i = 0; i < 4; i++) {
        for (size_t j = 0; j < i; j++) {
            assert_memory_not_equal(s[i], s[j], 32);
            assert_memory_not_equal(s[i] + 32, s[j] + 32, 32);
        }
    }
    assert_int_equal(csl_mask_id(mask_id, package, id), CSL_OK);
    package[0]++;
    assert_int_equal(csl_mask_id(mask_id2, package, id), CSL_OK);
    assert_memory_not_equal(mask_id, mask_id2, 32);
    uint64_t b[3][20], sum[20];
    assert_int_equal(csl_weight_mask(b[0], &keys, mask_id, 4, 20, 43), CSL_OK);
    assert_int_equal(csl_weight_mask(b[1], &keys2, mask_id, 4, 20, 43), CSL_OK);
    assert_int_equal(csl_weight_mask(b[2], &keys, mask_id, 5, 20, 43), CSL_OK);
    assert_memory_not_equal(b[0], b[1], sizeof b[0]);
    assert_memory_not_equal(b[0], b[2], sizeof b[0]);
    struct csl_epoch_keys both[2] = {keys, keys2};
    assert_int_equal(csl_weight_mask_sum(sum, both, 2, mask_id, 4, 20, 43), CSL_OK);
    for (size_t i = 0; i < 20; i++) {
        assert_int_equal(sum[i], (b[0][i] + b[1][i]) & csl_ring_mask(43));
    }
    assert_int_equal(csl_weight_mask(b[0], &keys, mask_id, 4, 20, 65), CSL_EUSAGE);
    assert_int_equal(b[0][0], 0);
    csl_epoch_keys_clear(&keys);
    for (size_t i = 0; i < 32; i++) {
        assert_int_equal(keys.corr_key[i] | keys.mask_key[i], 0);
    }
}

static void streams_serve_once(void **state) {
    (void)state;
    struct csl_stream_set set;
    struct csl_diag diag = {""};
    assert_int_equal(csl_stream_set_init(&set), CSL_OK);
    uint32_t stream;
    for (uint32_t i = 0; i < 10; i++) {
        assert_int_equal(csl_stream_allot(&set, &stream, &diag), CSL_OK);
        assert_int_equal(stream, i);
        assert_int_equal(csl_stream_take(&set, i, &diag), CSL_ESTALE);
    }
    assert_non_null(strstr(diag.text, "stream 9"));
    assert_non_null(strstr(diag.text, "restart its daemon"));
    /* out of order, each once */
    const uint32_t order[] = {15, 12, 14, 11, 13, 10, 1500, 1000, 477};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        assert_int_equal(csl_stream_take(&set, order[i], &diag), CSL_OK);
        assert_int_equal(csl_stream_take(&set, order[i], &diag), CSL_ESTALE);
    }
    assert_int_equal(csl_stream_take(&set, 476, &diag), CSL_ESTALE); /* never seen, but beyond the window */
    assert_non_null(strstr(diag.text, "long past"));
    assert_int_equal(csl_stream_allot(&set, &stream, &diag), CSL_OK);
    assert_int_equal(stream, 1501);
    assert_int_equal(csl_stream_take(&set, UINT32_MAX, &diag), CSL_OK);
    assert_int_equal(csl_stream_take(&set, UINT32_MAX, &diag), CSL_ESTALE);
    assert_int_equal(csl_stream_take(&set, UINT32_MAX - 1023, &diag), CSL_OK);
    assert_int_equal(csl_stream_take(&set, UINT32_MAX - 1024, &diag), CSL_ESTALE);
    assert_int_equal(csl_stream_allot(&set, &stream, &diag), CSL_ESTALE);
    assert_non_null(strstr(diag.text, "new epoch"));
    csl_stream_set_clear(&set);
}

/* Against a plain list, with jumps about the window's width. */
static void streams_against_a_model(void **state) {
    (void)state;
    enum { N = 40000, TRIES = 20000 };
    bool *used = calloc(N, sizeof *used);
    uint64_t *random = alloc_words(TRIES);
    assert_non_null(used);
    test_random(random, TRIES, 64, 5);
    struct csl_stream_set set;
    assert_int_equal(csl_stream_set_init(&set), CSL_OK);
    uint32_t next = 0, taken = 0;
    for (size_t i = 0; i < TRIES; i++) {
        uint32_t back = (uint32_t)(random[i] >> 8) % 1400, jump = (random[i] & 63) == 0 ? 1200 : 3;
        uint32_t s = next + jump > back ? next + jump - back : 0;
        if ((random[i] & 3) == 0) {
            s = next;
        }
        if (s >= N) {
            break;
        }
        bool fresh = !used[s] && s + CSL_STREAM_WINDOW >= next;
        assert_int_equal(csl_stream_take(&set, s, NULL), fresh ? CSL_OK : CSL_ESTALE);
        used[s] = true;
        taken += fresh;
        next = fresh && s >= next ? s + 1 : next;
    }
    assert_true(taken > 1000);
    csl_stream_set_clear(&set);
    free(used);
    free(random);
}

/* A party restored from a snapshot proposes streams that its peers have seen. */
static void a_restored_copy_is_refused(void **state) {
    (void)state;
    struct csl_stream_set proposer, peer, snapshot;
    assert_int_equal(csl_stream_set_init(&proposer), CSL_OK);
    assert_int_equal(csl_stream_set_init(&peer), CSL_OK);
    assert_int_equal(csl_stream_set_init(&snapshot), CSL_OK);
    uint32_t stream;
    struct csl_diag diag;
    for (int i = 0; i < 30; i++) {
        if (i == 20) {
            snapshot.next = proposer.next;
            memcpy(snapshot.seen, proposer.seen, sizeof snapshot.seen);
        }
        assert_int_equal(csl_stream_allot(&proposer, &stream, &diag), CSL_OK);
        assert_int_equal(csl_stream_take(&peer, stream, &diag), CSL_OK);
    }
    for (int i = 20; i < 30; i++) {
        assert_int_equal(csl_stream_allot(&snapshot, &stream, &diag), CSL_OK);
        assert_int_equal(csl_stream_take(&peer, stream, &diag), CSL_ESTALE);
        assert_non_null(strstr(diag.text, "behind its peers"));
    }
    csl_stream_set_clear(&proposer);
    csl_stream_set_clear(&peer);
    csl_stream_set_clear(&snapshot);
}

static void counters_only_rise(void **state) {
    (void)state;
    struct csl_counter_guard g = csl_counter_guard_of(7);
    struct csl_diag diag = {""};
    assert_int_equal(csl_counter_take(&g, 0, 1, &diag), CSL_OK);
    assert_int_equal(csl_counter_take(&g, 0, 1, &diag), CSL_ESTALE);
    assert_non_null(strstr(diag.text, "stream 7: counter 0"));
    assert_int_equal(csl_counter_take(&g, 1, 0, &diag), CSL_EDATA);
    assert_int_equal(csl_counter_take(&g, 1, 128, &diag), CSL_OK);
    assert_int_equal(csl_counter_take(&g, 128, 1, &diag), CSL_ESTALE);
    assert_int_equal(csl_counter_take(&g, 200, 10, &diag), CSL_OK); /* 129..199 are burnt */
    assert_int_equal(csl_counter_take(&g, 150, 1, &diag), CSL_ESTALE);
    assert_int_equal(csl_counter_take(&g, UINT32_MAX, 2, &diag), CSL_ESTALE);
    assert_int_equal(csl_counter_take(&g, UINT32_MAX, 1, &diag), CSL_OK);
    assert_int_equal(csl_counter_take(&g, UINT32_MAX, 1, &diag), CSL_ESTALE);
}

/* Lanes allot side by side: no stream twice. */
struct allotter {
    struct csl_stream_set *set;
    uint32_t got[500];
};

static void *allot_many(void *arg) {
    struct allotter *a = arg;
    for (size_t i = 0; i < 500; i++) {
        if (csl_stream_allot(a->set, &a->got[i], NULL) != CSL_OK) {
            a->got[i] = UINT32_MAX;
        }
    }
    return NULL;
}

static void lanes_allot_side_by_side(void **state) {
    (void)state;
    struct csl_stream_set set;
    static struct allotter a[4];
    pthread_t thread[4];
    bool seen[2000] = {false};
    assert_int_equal(csl_stream_set_init(&set), CSL_OK);
    for (int i = 0; i < 4; i++) {
        a[i].set = &set;
        assert_int_equal(pthread_create(&thread[i], NULL, allot_many, &a[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    }
    for (size_t i = 0; i < 2000; i++) {
        uint32_t s = a[i / 500].got[i % 500];
        assert_true(s < 2000 && !seen[s]);
        seen[s] = true;
    }
    csl_stream_set_clear(&set);
}

/* ---- input and output ---- */

static void inputs_come_back(void **state) {
    (void)state;
    enum { N = 37 };
    uint64_t x[N], last[N], sum[N], part[N];
    uint8_t seeds[15 * 32];
    test_random(x, N, 64, 6);
    for (unsigned n = 2; n <= 16; n++) {
        for (unsigned bits = 1; bits <= 64; bits += 7) {
            assert_int_equal(csl_share_input(seeds, last, x, N, bits, n), CSL_OK);
            memcpy(sum, last, sizeof sum);
            for (unsigned p = 0; p + 1 < n; p++) {
                assert_int_equal(csl_share_expand(part, seeds + 32 * p, N, bits), CSL_OK);
                csl_add_mod(sum, sum, part, N, bits);
            }
            csl_reduce_mod(part, x, N, bits);
            assert_memory_equal(sum, part, sizeof sum);
        }
    }
    uint8_t seeds2[32];
    assert_int_equal(csl_share_input(seeds, last, x, N, 64, 2), CSL_OK);
    assert_int_equal(csl_share_input(seeds2, last, x, N, 64, 2), CSL_OK);
    assert_memory_not_equal(seeds, seeds2, 32);
    assert_int_equal(csl_share_input(seeds, last, x, N, 64, 1), CSL_EUSAGE);
    assert_int_equal(csl_share_input(seeds, last, x, N, 64, 17), CSL_EUSAGE);
    assert_int_equal(csl_share_input(seeds, last, x, N, 0, 2), CSL_EUSAGE);
    assert_int_equal(csl_share_input(seeds, last, x, N, 65, 2), CSL_EUSAGE);
}

static void outputs_within_the_carries(void **state) {
    (void)state;
    enum { N = 500 };
    const unsigned n_parties[] = {2, 3, 5, 16};
    uint64_t y[N];
    int64_t out[N];
    for (size_t t = 0; t < 4; t++) {
        int64_t n = n_parties[t];
        for (unsigned bits = 20; bits <= 64; bits += 11) {
            for (unsigned cut = 0; cut <= 12; cut += 4) {
                uint64_t *shares[CSL_MAX_PARTIES];
                test_random(y, N, bits - 1, bits + cut);
                for (size_t i = 0; i < N; i++) { /* a margin of N units to the ring's ends */
                    y[i] = (y[i] - ((uint64_t)1 << (bits - 2))) & csl_ring_mask(bits);
                }
                make_shares(shares, (unsigned)n, y, N, bits, 11);
                for (unsigned p = 0; p < n; p++) {
                    csl_output_cut(shares[p], shares[p], N, bits, cut);
                    assert_int_equal(shares[p][0] & ~csl_ring_mask(bits - cut), 0);
                }
                csl_output_join(out, (const uint64_t *const *)shares, (unsigned)n, N, bits, cut);
                for (size_t i = 0; i < N; i++) {
                    int64_t error = out[i] - (csl_ring_signed(y[i], bits) >> cut);
                    assert_true(cut == 0 ? error == 0 : error >= n / 2 - (n - 1) && error <= n / 2);
                }
                free_shares(shares, (unsigned)n);
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_input_changes_the_epoch),
        cmocka_unit_test(keys_seeds_and_masks_differ),
        cmocka_unit_test(streams_serve_once),
        cmocka_unit_test(streams_against_a_model),
        cmocka_unit_test(a_restored_copy_is_refused),
        cmocka_unit_test(counters_only_rise),
        cmocka_unit_test(lanes_allot_side_by_side),
        cmocka_unit_test(inputs_come_back),
        cmocka_unit_test(outputs_within_the_carries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
