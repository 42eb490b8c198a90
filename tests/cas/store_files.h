/* What the tests of the store have in common: a file to put, a place to get it to, and what must be there
 * then. */
#ifndef TESTS_CAS_STORE_FILES_H
#define TESTS_CAS_STORE_FILES_H

#include "cas/store.h"
#include "content.h"

enum { SIZE = 700001, MAX = 1 << 24 };

/* A folder of the test's own; in it a file of SIZE bytes of the content, a place in an empty folder, and one
 * for a store. */
extern char test_root[], test_source[64], test_target[64], test_place[64];
extern uint8_t *test_bytes;
extern uint8_t test_sha256[CSL_SHA256_BYTES];

/* For cmocka_run_group_tests. */
int test_store_setup(void **state);
int test_store_teardown(void **state);

void test_write_file(const char *path, const uint8_t *p, size_t n);
struct csl_cas *test_store_open(const char *where, const struct csl_cas_options *o);

/* The target is the file, and alone in its folder; or there is nothing. */
void test_store_target(bool there);
/* The file comes whole, proven by its CID or by the digest; or nothing does, for this reason. */
void test_get_ok(struct csl_cas *c, const struct csl_cid *cid, bool proven, const uint8_t *sha256);
void test_get_fails(struct csl_cas *c, const struct csl_cid *cid, enum csl_err want, const char *says);

#endif
