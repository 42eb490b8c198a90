/* Files through a real node: put into one, read out of another that has to fetch them from it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../content.h"
#include "cas/store.h"

static unsigned failures;

static void check(bool ok, const char *what, size_t size, const char *why) {
    if (!ok) {
        (void)printf("%zu bytes: %s: %s\n", size, what, why);
        failures++;
    }
}

static void same(const char *path, const uint8_t *content, size_t size) {
    uint8_t *back = malloc(size + 1);
    FILE *f = fopen(path, "rb");
    bool ok =
        back != NULL && f != NULL && fread(back, 1, size + 1, f) == size && memcmp(back, content, size) == 0;
    check(ok, "read back", size, "other bytes");
    if (f != NULL) {
        (void)fclose(f);
    }
    free(back);
}

static void one_file(struct csl_cas *rpc, struct csl_cas *gateway, const char *dir, const uint8_t *content,
                     size_t size, const struct csl_unixfs_profile *profile) {
    char in[128], out[128];
    struct csl_diag diag = {""};
    struct csl_cas_file put, got;
    (void)snprintf(in, sizeof in, "%s/in", dir);
    (void)snprintf(out, sizeof out, "%s/out", dir);
    FILE *f = fopen(in, "wb");
    check(f != NULL && fwrite(content, 1, size, f) == size && fclose(f) == 0, "write", size, in);
    if (csl_cas_put(rpc, &put, in, profile, NULL, &diag) != CSL_OK) {
        check(false, "put", size, diag.text);
        return;
    }
    struct csl_cas *ways[] = {rpc, gateway};
    for (unsigned i = 0; i < 2; i++) {
        enum csl_err err = csl_cas_get(ways[i], &got, out, &put.cid, size, NULL, NULL, NULL, &diag);
        check(err == CSL_OK && got.cid_proven, i == 0 ? "cat" : "gateway", size, diag.text);
        same(out, content, size);
        (void)unlink(out);
    }
    (void)unlink(in);
}

int main(int argc, char **argv) {
    const size_t sizes[] = {0, 1, 262144, 262145, 1048577, 3000000, 20000000};
    enum { N = sizeof sizes / sizeof *sizes };
    char dir[] = "/tmp/csl-helia-XXXXXX", url[256];
    struct csl_cas *rpc = NULL, *gateway = NULL;
    uint8_t *content = malloc(sizes[N - 1]);
    if (argc != 2 || content == NULL || mkdtemp(dir) == NULL) {
        return 1;
    }
    test_content(content, 0, sizes[N - 1]);
    (void)snprintf(url, sizeof url, "%s/ipfs", argv[1]);
    if (csl_cas_open(&rpc, argv[1], NULL, NULL) != CSL_OK ||
        csl_cas_open(&gateway, url, NULL, NULL) != CSL_OK) {
        return 1;
    }
    for (unsigned i = 0; i < N; i++) {
        one_file(rpc, gateway, dir, content, sizes[i], &csl_unixfs_256k);
        one_file(rpc, gateway, dir, content, sizes[i], &csl_unixfs_1m);
    }
    csl_cas_close(rpc);
    csl_cas_close(gateway);
    free(content);
    (void)rmdir(dir);
    (void)printf("%d files in two profiles through two Helia nodes, %u failures\n", N, failures);
    return failures != 0;
}
