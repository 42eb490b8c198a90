/* Two sites and two CAs in a folder of their own, for tests of identities and requests. */
#ifndef CSL_TESTS_CRYPTO_SITE_WORLD_H
#define CSL_TESTS_CRYPTO_SITE_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/cert.h"
#include "crypto/files_internal.h"
#include "crypto/secret.h"

extern char world_root[64];
extern struct csl_diag world_diag;

#define assert_ok(expr)                                                                                      \
    do {                                                                                                     \
        world_diag.text[0] = 0;                                                                              \
        enum csl_err e_ = (expr);                                                                            \
        if (e_ != CSL_OK) {                                                                                  \
            fail_msg("%s: %s: %s", #expr, csl_err_name(e_), world_diag.text);                                \
        }                                                                                                    \
    } while (0)

/* The error and a part of its sentence. */
#define assert_err(expected, part, expr)                                                                     \
    do {                                                                                                     \
        world_diag.text[0] = 0;                                                                              \
        enum csl_err e_ = (expr);                                                                            \
        if (e_ != (expected) || strstr(world_diag.text, (part)) == NULL) {                                   \
            fail_msg("%s: %s: %s", #expr, csl_err_name(e_), world_diag.text);                                \
        }                                                                                                    \
    } while (0)

/* Makes the folder with the sites a and b, certified by ca; ca2 has the same name. */
int world_setup(void **state);
int world_teardown(void **state);

/* A path in the folder; valid for eight calls. */
const char *in_root(const char *name);
char *world_read(const char *path, size_t *n); /* csl_secret_free */
void world_write(const char *path, const void *data, size_t n);

/* The request of a site; free. */
char *world_request(const char *site_dir, const char *const *hosts, size_t n_hosts);
/* Signs the request of a site into a file of the folder. */
void world_certify(const char *site_dir, const char *ca, unsigned days, const char *out);

#endif
