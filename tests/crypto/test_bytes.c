#include "tests/crypto/crypto_test.h"

#include "crypto/bytes.h"

static void loads_and_stores_are_little_endian(void **state) {
    (void)state;
    const uint8_t b[] = {0xff, 0x01, 0x82, 0x03, 0x84, 0x05, 0x86, 0x07, 0x88};
    assert_int_equal(csl_load_u16(b + 1), 0x8201);
    assert_true(csl_load_u32(b + 1) == 0x84038201u);
    assert_true(csl_load_u64(b + 1) == 0x8807860584038201ull);
    uint8_t out[9] = {0xff};
    csl_store_u64(out + 1, 0x8807860584038201ull);
    assert_memory_equal(out, b, sizeof b);
    csl_store_u32(out + 1, 0x84038201u);
    csl_store_u16(out + 5, 0x8605);
    assert_memory_equal(out, b, sizeof b);
}

static void what_is_written_is_read(void **state) {
    (void)state;
    uint8_t buf[64];
    struct csl_writer w = csl_writer_of(buf, sizeof buf);
    csl_writer_u8(&w, 200);
    csl_writer_u16(&w, 60000);
    csl_writer_u32(&w, 4000000000u);
    csl_writer_u64(&w, UINT64_MAX - 1);
    csl_writer_bytes(&w, (const uint8_t *)"abc", 3);
    csl_writer_bytes(&w, NULL, 0);
    assert_false(w.bad);
    assert_int_equal(w.n, 1 + 2 + 4 + 8 + 3);
    struct csl_reader r = csl_reader_of(buf, w.n);
    uint8_t abc[3];
    assert_int_equal(csl_reader_u8(&r), 200);
    assert_int_equal(csl_reader_u16(&r), 60000);
    assert_true(csl_reader_u32(&r) == 4000000000u);
    assert_true(csl_reader_u64(&r) == UINT64_MAX - 1);
    assert_false(csl_reader_done(&r));
    csl_reader_bytes(&r, abc, sizeof abc);
    assert_memory_equal(abc, "abc", 3);
    assert_true(csl_reader_done(&r));
}

/* Each read of 8, 4, 2, 1 and 5 bytes, from every length that is too short for it. */
static void short_reads_give_zero_and_stay_bad(void **state) {
    (void)state;
    uint8_t b[8];
    memset(b, 0xee, sizeof b);
    for (size_t n = 0; n < 8; n++) {
        struct csl_reader r = csl_reader_of(b, n);
        assert_true(csl_reader_u64(&r) == 0);
        assert_true(r.bad);
        assert_int_equal(csl_reader_u8(&r), 0); /* although a byte may be left */
        assert_null(csl_reader_view(&r, 0));
        assert_false(csl_reader_done(&r));
        if (n < 4) {
            r = csl_reader_of(b, n);
            assert_true(csl_reader_u32(&r) == 0 && r.bad);
        }
        if (n < 2) {
            r = csl_reader_of(b, n);
            assert_true(csl_reader_u16(&r) == 0 && r.bad);
        }
        uint8_t out[8];
        memset(out, 0x11, sizeof out);
        r = csl_reader_of(b, n);
        csl_reader_bytes(&r, out, n + 1);
        assert_true(r.bad);
        assert_zero(out, n + 1);
    }
}

static void huge_lengths_do_not_wrap(void **state) {
    (void)state;
    uint8_t b[16] = {0};
    struct csl_reader r = csl_reader_of(b, sizeof b);
    assert_non_null(csl_reader_view(&r, 3));
    assert_null(csl_reader_view(&r, SIZE_MAX));
    assert_true(r.bad);
    struct csl_writer w = csl_writer_of(b, sizeof b);
    assert_non_null(csl_writer_reserve(&w, 3));
    assert_null(csl_writer_reserve(&w, SIZE_MAX - 1));
    assert_true(w.bad);
}

static void writers_never_pass_their_room(void **state) {
    (void)state;
    for (size_t room = 0; room < 15; room++) {
        uint8_t b[16];
        memset(b, 0x77, sizeof b);
        struct csl_writer w = csl_writer_of(b, room);
        csl_writer_u64(&w, UINT64_MAX);
        csl_writer_u32(&w, UINT32_MAX);
        csl_writer_u16(&w, UINT16_MAX);
        csl_writer_u8(&w, UINT8_MAX);
        assert_true(w.bad);
        assert_true(w.n <= room);
        for (size_t i = 0; i < sizeof b; i++) {
            assert_int_equal(b[i], i < w.n ? 0xff : 0x77);
        }
    }
}

static void empty_inputs_are_fine(void **state) {
    (void)state;
    struct csl_reader r = csl_reader_of(NULL, 0);
    assert_true(csl_reader_done(&r));
    (void)csl_reader_view(&r, 0);
    csl_reader_bytes(&r, NULL, 0);
    assert_true(csl_reader_done(&r));
    struct csl_writer w = csl_writer_of(NULL, 0);
    (void)csl_writer_reserve(&w, 0);
    csl_writer_bytes(&w, NULL, 0);
    assert_false(w.bad);
    csl_writer_u8(&w, 1);
    assert_true(w.bad);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loads_and_stores_are_little_endian), cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(short_reads_give_zero_and_stay_bad), cmocka_unit_test(huge_lengths_do_not_wrap),
        cmocka_unit_test(writers_never_pass_their_room),      cmocka_unit_test(empty_inputs_are_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
