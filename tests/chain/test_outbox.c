/* The outbox's files: what was written is read again, and damage is said. */
#include "tests/chain/chain_test.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chain/outbox.h"
#include "crypto/secret.h"

static char base[] = "/tmp/csl_outbox_XXXXXX";
static char dir[64];
static struct csl_diag diag;

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int setup(void **state) {
    (void)state;
    (void)strcpy(base + sizeof base - 7, "XXXXXX");
    bool ok = mkdtemp(base) != NULL;
    (void)snprintf(dir, sizeof dir, "%s/box", base);
    return ok ? 0 : 1;
}

static int teardown(void **state) {
    (void)state;
    return nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static struct csl_anchor_root root_of(uint64_t size) {
    struct csl_anchor_root r = {.size = size};
    memset(r.root, (int)size, sizeof r.root);
    return r;
}

static void sign(struct csl_outbox_entry *e, uint8_t byte) {
    struct csl_outbox_variant *v = &e->variants[e->n_variants++];
    memset(v->raw, byte, 200);
    v->n_raw = 200;
    csl_keccak256(v->hash, v->raw, v->n_raw);
    v->max_fee = 17;
    v->max_priority = 3;
    e->state = CSL_OUTBOX_SIGNED;
    e->signed_s = 1700000000;
    e->nonce = 40 + e->index;
    e->gas_limit = 90000;
}

static void mined(struct csl_outbox_entry *e, uint64_t block) {
    e->state = CSL_OUTBOX_MINED;
    e->mined =
        (struct csl_outbox_mined){.block = block, .time_s = 12 * block, .gas_used = 80000, .gas_price = 9};
    memset(e->mined.block_hash, (int)block, CSL_HASH_BYTES);
    memcpy(e->mined.tx, e->variants[0].hash, CSL_HASH_BYTES);
}

/* One that is mined, one that is signed twice, one that is queued. */
static struct csl_outbox *filled(void) {
    struct csl_outbox *o = NULL;
    assert_int_equal(csl_outbox_open(&o, dir, &diag), CSL_OK);
    struct csl_anchor_root r = root_of(5);
    struct csl_outbox_entry *e = csl_outbox_add(o, &r);
    sign(e, 1);
    mined(e, 70);
    r = root_of(8);
    e = csl_outbox_add(o, &r);
    sign(e, 2);
    sign(e, 3);
    r = root_of(9);
    assert_non_null(csl_outbox_add(o, &r));
    assert_int_equal(csl_outbox_save(o, &diag), CSL_OK);
    return o;
}

static void read_again(void **state) {
    (void)state;
    struct csl_outbox *o = filled(), *again = NULL;
    struct csl_outbox copy = *o;
    assert_int_equal(csl_outbox_open(&again, dir, &diag), CSL_EBUSY); /* one process at a time */
    csl_outbox_close(o);
    assert_int_equal(csl_outbox_open(&again, dir, &diag), CSL_OK);
    assert_int_equal(again->n, 3);
    assert_memory_equal(again->entries, copy.entries, sizeof copy.entries);
    assert_int_equal(csl_outbox_last(again)->size, 9);
    csl_outbox_close(again);
}

static char *outbox_text(size_t *n) {
    char path[128], *text = NULL;
    (void)snprintf(path, sizeof path, "%s/outbox.json", dir);
    assert_int_equal(csl__read_file(&text, n, path, 1 << 22, &diag), CSL_OK);
    return text;
}

/* Cut at each byte, and each byte changed: an error, or something that is as strict. */
static void damaged(void **state) {
    (void)state;
    csl_outbox_close(filled());
    size_t n = 0, unharmed = 0;
    char *text = outbox_text(&n);
    struct csl_outbox *o = calloc(1, sizeof *o);
    assert_non_null(o);
    (void)snprintf(o->dir, sizeof o->dir, "%s", dir);
    for (size_t i = 0; i + 2 < n; i++) {
        assert_int_equal(csl_outbox_parse(o, text, i, &diag), CSL_EDATA);
        assert_non_null(strstr(diag.text, "outbox.json is damaged"));
        assert_int_equal(o->n, 0);
    }
    for (size_t i = 0; i < n; i++) {
        char before = text[i];
        text[i] = (char)(before ^ 1);
        memset(o->entries, 0, sizeof o->entries);
        o->n = 0;
        unharmed += csl_outbox_parse(o, text, n, &diag) == CSL_OK ? 1 : 0;
        text[i] = before;
    }
    assert_true(unharmed < n / 2); /* digits of numbers, of blocks' hashes */
    memset(o->entries, 0, sizeof o->entries);
    o->n = 0;
    assert_int_equal(csl_outbox_parse(o, text, n, &diag), CSL_OK);
    free(o);
    csl_secret_free(text);
}

static void finals(void **state) {
    (void)state;
    struct csl_outbox *o = filled();
    struct csl_outbox_anchor a;
    bool found = false;
    assert_int_equal(csl_outbox_covering(&a, &found, dir, 4, &diag), CSL_OK);
    assert_true(found && !a.final); /* mined, still in the outbox */
    assert_int_equal(csl_outbox_covering(&a, &found, dir, 5, &diag), CSL_OK);
    assert_false(found);
    assert_int_equal(csl_outbox_write_final(o, &diag), CSL_OK);
    assert_int_equal(csl_outbox_write_final(o, &diag), CSL_OK); /* after a crash: once */
    csl_outbox_drop_final(o);
    assert_int_equal(o->n_final, 1);
    assert_int_equal(o->final.size, 5);
    assert_int_equal(o->final_block, 70);
    assert_int_equal(o->n, 2);
    mined(&o->entries[0], 71);
    assert_int_equal(csl_outbox_save(o, &diag), CSL_OK);

    char path[128]; /* torn off in the middle of a line: cut away by the next */
    (void)snprintf(path, sizeof path, "%s/final.jsonl", dir);
    int fd = open(path, O_WRONLY | O_APPEND);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "{\"index\":\"1\",\"prev", 18), 18);
    (void)close(fd);
    assert_int_equal(csl_outbox_covering(&a, &found, dir, 4, &diag), CSL_OK);
    assert_true(found && a.final);
    assert_int_equal(a.mined.block, 70);
    assert_int_equal(csl_outbox_write_final(o, &diag), CSL_OK);
    csl_outbox_drop_final(o);
    assert_int_equal(csl_outbox_save(o, &diag), CSL_OK);
    assert_int_equal(csl_outbox_covering(&a, &found, dir, 7, &diag), CSL_OK);
    assert_true(found && a.final);
    assert_int_equal(a.index, 1);
    assert_int_equal(a.previous.size, 5);
    assert_int_equal(a.is.size, 8);

    fd = open(path, O_WRONLY | O_APPEND); /* damage is no torn end */
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "what\n", 5), 5);
    (void)close(fd);
    assert_int_equal(csl_outbox_covering(&a, &found, dir, 7, &diag), CSL_EDATA);
    assert_non_null(strstr(diag.text, "final.jsonl"));
    csl_outbox_close(o);
}

/* Puts so many final anchors there, of 10 entries each. */
static struct csl_outbox *with_finals(uint64_t n) {
    struct csl_outbox *o = NULL;
    assert_int_equal(csl_outbox_open(&o, dir, &diag), CSL_OK);
    for (uint64_t i = 0; i < n; i++) {
        struct csl_anchor_root r = root_of(10 * (i + 1));
        struct csl_outbox_entry *e = csl_outbox_add(o, &r);
        assert_non_null(e);
        sign(e, (uint8_t)i);
        mined(e, 100 + i);
        assert_int_equal(csl_outbox_write_final(o, &diag), CSL_OK);
        csl_outbox_drop_final(o);
    }
    assert_int_equal(csl_outbox_save(o, &diag), CSL_OK);
    return o;
}

static void expect_covering(uint64_t leaf, uint64_t index, uint64_t block) {
    struct csl_outbox_anchor a;
    bool found = false;
    assert_int_equal(csl_outbox_covering(&a, &found, dir, leaf, &diag), CSL_OK);
    assert_true(found && a.final);
    assert_int_equal(a.index, index);
    assert_int_equal(a.mined.block, block);
}

static void among_many(void **state) {
    (void)state;
    enum { MANY = 30 };
    struct csl_outbox_anchor a;
    bool found = true;
    struct csl_outbox *o = with_finals(MANY);
    for (uint64_t leaf = 0; leaf < 10 * MANY; leaf++) {
        expect_covering(leaf, leaf / 10, 100 + leaf / 10);
    }
    assert_int_equal(csl_outbox_covering(&a, &found, dir, 10 * MANY, &diag), CSL_OK);
    assert_false(found);
    csl_outbox_close(o);
}

/* Anchors that were final and are not: their lines are not told any more, also when a crash came before they
 * were cut; and others take their places. */
static void gone_back_on(void **state) {
    (void)state;
    struct csl_outbox_anchor a;
    bool found = true;
    struct csl_outbox *o = with_finals(9);
    o->n_final = 4;
    o->final = root_of(40);
    assert_int_equal(csl_outbox_save(o, &diag), CSL_OK);
    for (unsigned cut = 0; cut < 3; cut++) {
        expect_covering(39, 3, 103);
        assert_int_equal(csl_outbox_covering(&a, &found, dir, 40, &diag), CSL_OK);
        assert_false(found);
        if (cut == 0) {
            csl_outbox_close(o);
            assert_int_equal(csl_outbox_open(&o, dir, &diag), CSL_OK);
        } else {
            assert_int_equal(csl_outbox_cut_finals(o, &diag), CSL_OK);
        }
    }
    struct csl_anchor_root r = root_of(95);
    struct csl_outbox_entry *e = csl_outbox_add(o, &r);
    sign(e, 77);
    mined(e, 500);
    assert_int_equal(csl_outbox_write_final(o, &diag), CSL_OK);
    e->mined.block = 501; /* taken back after a crash, and in another block since */
    assert_int_equal(csl_outbox_write_final(o, &diag), CSL_OK);
    csl_outbox_drop_final(o);
    assert_int_equal(csl_outbox_save(o, &diag), CSL_OK);
    expect_covering(40, 4, 501);
    expect_covering(94, 4, 501);
    csl_outbox_close(o);
}

/* Any byte of any line changed or cut: an error, or an anchor that covers what was asked for. */
static void damaged_finals(void **state) {
    (void)state;
    char path[128], *text = NULL;
    size_t n = 0;
    csl_outbox_close(with_finals(3));
    (void)snprintf(path, sizeof path, "%s/final.jsonl", dir);
    assert_int_equal(csl__read_file(&text, &n, path, 1 << 20, &diag), CSL_OK);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    for (size_t i = 0; i < n; i += 3) {
        struct csl_outbox_anchor a;
        bool found = false;
        for (unsigned how = 0; how < 2; how++) {
            const char byte = how == 0 ? '\n' : (char)(text[i] ^ 1);
            assert_int_equal(pwrite(fd, &byte, 1, (off_t)i), 1);
            enum csl_err err = csl_outbox_covering(&a, &found, dir, 15, &diag);
            assert_true(err == CSL_OK || err == CSL_EDATA);
            assert_true(err == CSL_EDATA || !found || a.is.size > 15);
        }
        assert_int_equal(pwrite(fd, text + i, 1, (off_t)i), 1);
    }
    for (size_t cut = n; cut-- > 0;) {
        struct csl_outbox_anchor a;
        bool found = false;
        assert_int_equal(ftruncate(fd, (off_t)cut), 0);
        assert_int_equal(csl_outbox_covering(&a, &found, dir, 5, &diag), CSL_OK);
        assert_int_equal(found, memchr(text, '\n', cut) != NULL);
    }
    (void)close(fd);
    csl_secret_free(text);
}

static void bounded(void **state) {
    (void)state;
    struct csl_outbox *o = NULL;
    assert_int_equal(csl_outbox_open(&o, dir, &diag), CSL_OK);
    for (uint64_t i = 0; i < CSL_OUTBOX_MAX; i++) {
        struct csl_anchor_root r = root_of(i + 1);
        struct csl_outbox_entry *e = csl_outbox_add(o, &r);
        assert_non_null(e);
        for (unsigned k = 0; k < CSL_OUTBOX_VARIANTS; k++) {
            sign(e, (uint8_t)(i + k));
        }
    }
    struct csl_anchor_root more = root_of(1000);
    assert_null(csl_outbox_add(o, &more));
    assert_int_equal(csl_outbox_save(o, &diag), CSL_OK); /* the largest that there can be is read again */
    csl_outbox_close(o);
    assert_int_equal(csl_outbox_open(&o, dir, &diag), CSL_OK);
    assert_int_equal(o->n, CSL_OUTBOX_MAX);
    csl_outbox_close(o);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {TEST(read_again), TEST(damaged),      TEST(finals),
                                       TEST(among_many), TEST(gone_back_on), TEST(damaged_finals),
                                       TEST(bounded)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
