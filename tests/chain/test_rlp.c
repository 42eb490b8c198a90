/* RLP: the Yellow Paper's and another implementation's examples, and every form that is not canonical. */
#include "tests/chain/chain_test.h"

#include "chain/rlp.h"
#include "tests/chain/vectors.h"

static void put_is(void (*put)(struct csl_writer *), const char *want) {
    uint8_t out[4096];
    struct csl_writer w = csl_writer_of(out, sizeof out);
    put(&w);
    assert_false(w.bad);
    assert_hex(out, w.n, want);
}

static void put_dog(struct csl_writer *w) {
    csl_rlp_put_bytes(w, (const uint8_t *)"dog", 3);
}

static void put_cat_dog(struct csl_writer *w) {
    csl_rlp_put_list(w, 8);
    csl_rlp_put_bytes(w, (const uint8_t *)"cat", 3);
    csl_rlp_put_bytes(w, (const uint8_t *)"dog", 3);
}

static void put_numbers(struct csl_writer *w) {
    static const uint64_t v[] = {0, 15, 127, 128, 255, 1024, UINT64_MAX};
    for (size_t i = 0; i < sizeof v / sizeof v[0]; i++) {
        csl_rlp_put_u64(w, v[i]);
    }
}

static void put_wide(struct csl_writer *w) {
    static const uint8_t zero[16] = {0}, one[16] = {[15] = 1}, wide[16] = {[3] = 1};
    csl_rlp_put_number(w, zero, sizeof zero);
    csl_rlp_put_number(w, one, sizeof one);
    csl_rlp_put_number(w, wide, sizeof wide);
}

static void put_long(struct csl_writer *w) {
    csl_rlp_put_bytes(w, (const uint8_t *)"Lorem ipsum dolor sit amet, consectetur adipisicing elit", 56);
}

static void put_zero_byte(struct csl_writer *w) {
    csl_rlp_put_bytes(w, (const uint8_t *)"\0", 1);
}

static void encodes(void **state) {
    (void)state;
    put_is(put_dog, "0x83646f67");
    put_is(put_cat_dog, "0xc88363617483646f67");
    put_is(put_numbers, "0x800f7f818081ff82040088ffffffffffffffff");
    put_is(put_wide, "0x80018d01000000000000000000000000");
    put_is(put_zero_byte, "0x00");
    put_is(put_long,
           "0xb8384c6f72656d20697073756d20646f6c6f722073697420616d65742c20636f6e7365637465747572206164"
           "6970697369"
           "63696e6720656c6974");
    assert_int_equal(csl_rlp_header_size(55), 1);
    assert_int_equal(csl_rlp_header_size(56), 2);
    assert_int_equal(csl_rlp_header_size(255), 2);
    assert_int_equal(csl_rlp_header_size(256), 3);
    assert_int_equal(csl_rlp_header_size(65536), 4);
}

static void writer_is_full(void **state) {
    uint8_t out[3];
    (void)state;
    struct csl_writer w = csl_writer_of(out, sizeof out);
    put_dog(&w);
    assert_true(w.bad);
}

/* Writes what is read, item by item: the same bytes must come out. */
static void write_again(struct csl_writer *w, struct csl_reader r) {
    struct csl_rlp_item item;
    while (r.left > 0) {
        assert_true(csl_rlp_next(&r, &item));
        if (item.is_list) {
            csl_rlp_put_list(w, item.n);
            write_again(w, csl_reader_of(item.p, item.n));
        } else {
            csl_rlp_put_bytes(w, item.p, item.n);
        }
    }
}

static void another_implementation(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rlp_vectors / sizeof rlp_vectors[0]; i++) {
        uint8_t again[1024];
        size_t n = 0, depth = rlp_vectors[i].depth;
        uint8_t *p = from_hex(rlp_vectors[i].bytes, &n);
        assert_true(csl_rlp_valid(p, n, depth));
        assert_true(depth == 0 || !csl_rlp_valid(p, n, depth - 1));
        struct csl_writer w = csl_writer_of(again, sizeof again);
        write_again(&w, csl_reader_of(p, n));
        assert_int_equal(w.n, n);
        assert_memory_equal(again, p, n);
        for (size_t cut = 0; cut < n; cut++) { /* truncated at every byte */
            assert_false(csl_rlp_valid(p, cut, CSL_RLP_DEPTH_MAX));
        }
        free(p);
    }
}

static void not_canonical(void **state) {
    static const char *const bad[] = {
        "0x",                   /* nothing */
        "0x8100",               /* a single byte below 0x80 with a header */
        "0x817f",               /* likewise */
        "0xb800",               /* a long length that is zero */
        "0xb83761",             /* a long length of 55, and too little content */
        "0xb90001",             /* a length with a zero in front */
        "0xbfffffffffffffffff", /* more than there can be */
        "0xffffffffffffffffff", /* likewise, a list */
        "0xbb7fffffff61",       /* gigabytes */
        "0xc180c0",             /* something behind the item */
        "0xc2c1",               /* a list that ends early */
        "0xc3820102ff",         /* more */
        "0xc28361",             /* an item that leaves its list */
        "0xc6c5828061818080",   /* not canonical deep inside */
        "0xf8",                 /* no length */
        "0xf800",               /* a long list without need */
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        size_t n = 0;
        uint8_t *p = from_hex(bad[i], &n);
        assert_false(csl_rlp_valid(p, n, CSL_RLP_DEPTH_MAX));
        free(p);
    }
    /* 55 bytes of content in the long form. */
    uint8_t long_form[57] = {0xb8, 55};
    assert_false(csl_rlp_valid(long_form, sizeof long_form, 0));
    uint8_t deep[4096];
    memset(deep, 0xc1, sizeof deep);
    assert_false(csl_rlp_valid(deep, sizeof deep, CSL_RLP_DEPTH_MAX));
    assert_false(csl_rlp_valid((const uint8_t *)"\xc0", 1, CSL_RLP_DEPTH_MAX + 1));
}

static void numbers(void **state) {
    static const uint8_t seven[] = {7}, zero[] = {0x80}, zero_byte[] = {0}, front[] = {0x82, 0, 1},
                         nine[] = {0x89, 1, 0, 0, 0, 0, 0, 0, 0, 0}, list[] = {0xc0},
                         max[] = {0x88, 255, 255, 255, 255, 255, 255, 255, 255};
    uint64_t v = 1;
    (void)state;
    struct csl_reader r = csl_reader_of(seven, sizeof seven);
    assert_true(csl_rlp_next_u64(&r, &v) && v == 7 && csl_reader_done(&r));
    r = csl_reader_of(zero, sizeof zero);
    assert_true(csl_rlp_next_u64(&r, &v) && v == 0);
    r = csl_reader_of(max, sizeof max);
    assert_true(csl_rlp_next_u64(&r, &v) && v == UINT64_MAX);
    const struct {
        const uint8_t *p;
        size_t n;
    } bad[] = {{zero_byte, sizeof zero_byte},
               {front, sizeof front},
               {nine, sizeof nine},
               {list, sizeof list},
               {list, 0}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        r = csl_reader_of(bad[i].p, bad[i].n);
        assert_false(csl_rlp_next_u64(&r, &v));
        assert_true(r.bad);
        assert_false(csl_rlp_next_u64(&r, &v)); /* and stays bad */
    }
    struct csl_reader content;
    r = csl_reader_of(seven, sizeof seven);
    assert_false(csl_rlp_next_list(&r, &content));
    r = csl_reader_of(list, sizeof list);
    assert_true(csl_rlp_next_list(&r, &content) && content.left == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(encodes), cmocka_unit_test(writer_is_full),
                                       cmocka_unit_test(another_implementation),
                                       cmocka_unit_test(not_canonical), cmocka_unit_test(numbers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
