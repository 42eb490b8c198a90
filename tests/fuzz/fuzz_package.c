/* What a model's owner sends and a party stores: manifest, plan, package, package file; the first byte
 * chooses. What is let through must be written and read back the same. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/rsa.h>

#include "crypto/bytes.h"
#include "roles/package.h"
#include "roles/plan_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The store logs each file that it does not serve: hidden (--wrap). */
void __wrap_csl_log(const char *fmt, ...);
void __wrap_csl_log(const char *fmt, ...) {
    (void)fmt;
}

/* Party 0 of 3, which holds a seed. */
static struct csl_member members[3];
static struct csl_context ctx = {
    .roster = {.members = members, .n_members = 3, .n_parties = 3, .parties = {0, 1, 2}},
    .self = &members[0]};

static void check(bool ok) {
    if (!ok) {
        abort();
    }
}

static void manifest(const uint8_t *data, size_t size) {
    static struct csl_manifest m, again;
    struct csl_diag diag = {""};
    if (csl_manifest_decode(&m, data, size, &diag) != CSL_OK) {
        check(diag.text[0] != '\0' && m.n_parties == 0 && m.name[0] == '\0');
        return;
    }
    uint8_t *bytes;
    size_t n;
    memcpy(&again, &m, sizeof m);
    check(m.n_parties >= 2 && m.n_parties <= CSL_MAX_PARTIES && csl_name_valid(m.owner) && m.name[0] != '\0');
    check(csl_plan_check(&m.plan, &diag) == CSL_OK);
    check(csl_manifest_encode(&bytes, &n, &again) == CSL_OK);
    static struct csl_manifest back;
    check(csl_manifest_decode(&back, bytes, n, &diag) == CSL_OK && back.n_parties == m.n_parties &&
          strcmp(back.name, m.name) == 0 &&
          memcmp(back.commitments, m.commitments, sizeof m.commitments) == 0);
    free(bytes);
}

static void plan(const uint8_t *data, size_t size) {
    static struct csl_plan p, again;
    struct csl_diag diag = {""};
    memset(&p, 0, sizeof p);
    if (csl_plan_decode(&p, data, size, &diag) != CSL_OK) {
        check(diag.text[0] != '\0' && p.n_steps == 0);
        return;
    }
    uint8_t *bytes = NULL;
    size_t n = 0;
    check(csl_plan_check(&p, &diag) == CSL_OK && csl_plan_encode(&bytes, &n, &p) == CSL_OK);
    check(csl_plan_decode(&again, bytes, n, &diag) == CSL_OK && memcmp(&p, &again, sizeof p) == 0);
    free(bytes);
}

/* u16 length of the manifest, manifest, part. */
static void package(const uint8_t *data, size_t size) {
    if (size < 2 || csl_load_u16(data) > size - 2) {
        return;
    }
    size_t n = csl_load_u16(data);
    struct csl_package *p;
    struct csl_diag diag = {""};
    if (csl_package_new(&p, &ctx, data + 2, n, data + 2 + n, size - 2 - n, &diag) != CSL_OK) {
        check(diag.text[0] != '\0' && p == NULL);
        return;
    }
    check(p->n_parties == 3 && p->n_part == csl_part_bytes(&p->plan, 3, 0));
    csl_package_unref(p);
}

static void make_site(void) {
    static char dir[] = "/tmp/fuzz-package-XXXXXX";
    char path[64];
    check(mkdtemp(dir) != NULL);
    (void)snprintf(path, sizeof path, "%s/state", dir);
    check(mkdir(path, 0700) == 0);
    (void)snprintf(path, sizeof path, "%s/state/models", dir);
    check(mkdir(path, 0700) == 0);
    ctx.dir = dir;
    ctx.site.wrap_key = EVP_RSA_gen(CSL_WRAP_BITS);
    check(ctx.site.wrap_key != NULL);
}

static void remove_site(void) {
    static const char *const parts[] = {"/state/models", "/state", ""};
    char path[96];
    for (int i = 0; i < 3; i++) {
        (void)snprintf(path, sizeof path, "%s%s", ctx.dir, parts[i]);
        (void)rmdir(path);
    }
    EVP_PKEY_free(ctx.site.wrap_key);
}

static void file(const uint8_t *data, size_t size) {
    if (ctx.dir == NULL) {
        make_site();
        (void)atexit(remove_site);
    }
    char path[96];
    (void)snprintf(path, sizeof path, "%s/state/models/x.model", ctx.dir);
    FILE *f = fopen(path, "wb");
    check(f != NULL);
    check(chmod(path, 0600) == 0 && fwrite(data, 1, size, f) == size && fclose(f) == 0);
    struct csl_store s;
    struct csl_diag diag = {""};
    check(csl_store_init(&s, &ctx, &diag) == CSL_OK && s.n == 0); /* the roster names no model */
    csl_store_clear(&s);
    (void)unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static void (*const decoders[])(const uint8_t *, size_t) = {manifest, plan, package, file};
    for (int i = 0; i < 3; i++) {
        members[i].party = i;
    }
    if (size != 0) {
        decoders[data[0] % 4](data + 1, size - 1);
    }
    return 0;
}
