/* Folders, keys and certificates of a federation's members: the same steps as on separate machines. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/federation_internal.h"
#include "crypto/cert.h"
#include "crypto/secret.h"

static void site_dir(char out[CSL_PATH_MAX], const struct csl_federation *fed, const char *name) {
    (void)snprintf(out, CSL_PATH_MAX, "%s/%s", fed->dir, name);
}

enum csl_err csl__federation_write(const char *path, const char *text, struct csl_diag *diag) {
    FILE *f = fopen(path, "wxe");
    if (f == NULL) {
        return csl_fail(diag, CSL_ECREATE, "%s: %s", path, strerror(errno));
    }
    bool bad = fputs(text, f) == EOF;
    bad = fclose(f) != 0 || bad;
    return bad ? csl_fail(diag, CSL_EIO, "%s: cannot be written", path) : CSL_OK;
}

static enum csl_err copy_file(const char *to_dir, const char *from_dir, const char *name,
                              struct csl_diag *diag) {
    char from[CSL_PATH_MAX + 16], to[CSL_PATH_MAX + 16], bytes[16384];
    (void)snprintf(from, sizeof from, "%s/%s", from_dir, name);
    (void)snprintf(to, sizeof to, "%s/%s", to_dir, name);
    int in = open(from, O_RDONLY | O_CLOEXEC);
    ssize_t n = in < 0 ? -1 : read(in, bytes, sizeof bytes);
    int out = n < 0 ? -1 : open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool ok = out >= 0 && write(out, bytes, (size_t)n) == n;
    csl_wipe(bytes, sizeof bytes);
    if (in >= 0) {
        close(in);
    }
    if (out >= 0) {
        ok = close(out) == 0 && ok;
    }
    return ok ? CSL_OK : csl_fail(diag, CSL_EIO, "%s cannot be copied to %s", from, to);
}

/* The keys that an earlier federation left in the folder `keys`, made there if need be. */
static enum csl_err reuse_keys(const char *dir, const char *keys, const char *name, struct csl_diag *diag) {
    static const char *const files[] = {"name", "tls.key", "wrap.key", "sign.key"};
    char kept[CSL_PATH_MAX], last[CSL_PATH_MAX + 16];
    (void)snprintf(kept, sizeof kept, "%s/%s", keys, name);
    (void)snprintf(last, sizeof last, "%s/sign.key", kept);
    if (access(last, R_OK) != 0) {
        TRY(csl_site_keygen(kept, name, diag));
    }
    if (mkdir(dir, 0700) != 0) {
        return csl_fail(diag, CSL_ECREATE, "%s: %s", dir, strerror(errno));
    }
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        TRY(copy_file(dir, kept, files[i], diag));
    }
    return CSL_OK;
}

/* RSA keys take half a second each: two threads share the list. */
struct keygen {
    struct csl_federation *fed;
    const char *keys;
    unsigned first;
    enum csl_err err;
    struct csl_diag diag;
};

static void *keygen_thread(void *arg) {
    struct keygen *g = arg;
    for (unsigned i = g->first; i < g->fed->n_members && g->err == CSL_OK; i += 2) {
        char dir[CSL_PATH_MAX];
        const char *name = g->fed->members[i].name;
        site_dir(dir, g->fed, name);
        g->err =
            g->keys != NULL ? reuse_keys(dir, g->keys, name, &g->diag) : csl_site_keygen(dir, name, &g->diag);
    }
    return NULL;
}

enum csl_err csl__federation_keys(struct csl_federation *fed, const char *keys, struct csl_diag *diag) {
    struct keygen g[2] = {{.fed = fed, .keys = keys, .first = 0}, {.fed = fed, .keys = keys, .first = 1}};
    pthread_t thread;
    bool threaded = pthread_create(&thread, NULL, keygen_thread, &g[1]) == 0;
    keygen_thread(&g[0]);
    if (threaded) {
        pthread_join(thread, NULL);
    } else {
        keygen_thread(&g[1]);
    }
    for (int i = 0; i < 2; i++) {
        if (g[i].err != CSL_OK) {
            return csl_fail(diag, g[i].err, "%s", g[i].diag.text);
        }
    }
    return CSL_OK;
}

/* Request, CA signature, import: the same steps as on separate machines. */
static enum csl_err certify(struct csl_federation *fed, struct csl_fed_member *m, const char *ca_dir,
                            struct csl_diag *diag) {
    char dir[CSL_PATH_MAX], crt[CSL_PATH_MAX + 16], ca_crt[CSL_PATH_MAX + 16];
    site_dir(dir, fed, m->name);
    (void)snprintf(crt, sizeof crt, "%s/%s.crt", ca_dir, m->name);
    (void)snprintf(ca_crt, sizeof ca_crt, "%s/ca.crt", ca_dir);
    struct csl_site site = {0};
    struct csl_enrolment e = {0};
    char *request = NULL, *pem = NULL;
    const char *hosts[] = {"127.0.0.1"};
    enum csl_err err = CSL_OK;
    TRY_OUT(csl_site_load_keys(&site, dir, diag));
    TRY_OUT(csl_enrolment_write(&request, &site, hosts, 1, diag));
    TRY_OUT(csl_enrolment_parse(&e, request, strlen(request), diag));
    TRY_OUT(csl_ca_sign(&pem, ca_dir, &e, CSL_CERT_DAYS_DEFAULT, diag));
    TRY_OUT(csl__federation_write(crt, pem, diag));
    TRY_OUT(csl_site_import_cert(dir, crt, ca_crt, diag));
    memcpy(m->tls_spki, e.tls_spki, sizeof m->tls_spki);
    m->wrap_key = e.wrap_key;
    m->sign_key = e.sign_key;
    EVP_PKEY_up_ref(m->wrap_key);
    EVP_PKEY_up_ref(m->sign_key);
out:
    free(request);
    free(pem);
    csl_enrolment_free(&e);
    csl_site_free(&site);
    return err;
}

enum csl_err csl__federation_certify(struct csl_federation *fed, struct csl_diag *diag) {
    char ca_dir[CSL_PATH_MAX];
    site_dir(ca_dir, fed, "ca");
    TRY(csl_ca_create(ca_dir, "Consilium CA on this machine", CSL_CA_DAYS_DEFAULT, diag));
    for (unsigned i = 0; i < fed->n_members; i++) {
        TRY(certify(fed, &fed->members[i], ca_dir, diag));
    }
    return CSL_OK;
}
