#include "site_world.h"

#include <sys/stat.h>
#include <unistd.h>

char world_root[64];
struct csl_diag world_diag;

const char *in_root(const char *name) {
    static char paths[8][256];
    static unsigned next;
    char *p = paths[next++ % 8];
    (void)snprintf(p, 256, "%s/%s", world_root, name);
    return p;
}

char *world_read(const char *path, size_t *n) {
    char *data = NULL;
    assert_ok(csl__read_file(&data, n, path, 1 << 20, &world_diag));
    return data;
}

void world_write(const char *path, const void *data, size_t n) {
    assert_ok(csl__replace_file(path, 0644, data, n, &world_diag));
}

char *world_request(const char *site_dir, const char *const *hosts, size_t n_hosts) {
    struct csl_site site;
    char *text = NULL;
    assert_ok(csl_site_load_keys(&site, in_root(site_dir), &world_diag));
    assert_ok(csl_enrolment_write(&text, &site, hosts, n_hosts, &world_diag));
    csl_site_free(&site);
    return text;
}

void world_certify(const char *site_dir, const char *ca, unsigned days, const char *out) {
    static const char *const hosts[] = {"mpc.example.org", "127.0.0.1", "::1"};
    char *text = world_request(site_dir, hosts, 3), *pem = NULL;
    struct csl_enrolment e;
    assert_ok(csl_enrolment_parse(&e, text, strlen(text), &world_diag));
    assert_ok(csl_ca_sign(&pem, in_root(ca), &e, days, &world_diag));
    world_write(in_root(out), pem, strlen(pem));
    csl_enrolment_free(&e);
    free(pem);
    free(text);
}

int world_setup(void **state) {
    (void)state;
    (void)snprintf(world_root, sizeof world_root, "/tmp/csl-identity-XXXXXX");
    if (mkdtemp(world_root) == NULL) {
        return -1;
    }
    umask(022);
    assert_ok(csl_site_keygen(in_root("a"), "hospital-a", &world_diag));
    assert_ok(csl_site_keygen(in_root("b"), "hospital-b", &world_diag));
    assert_ok(csl_ca_create(in_root("ca"), "Heart Network CA", 30, &world_diag));
    assert_ok(csl_ca_create(in_root("ca2"), "Heart Network CA", 30, &world_diag));
    world_certify("a", "ca", 10, "a.crt");
    world_certify("b", "ca", 10, "b.crt");
    assert_ok(csl_site_import_cert(in_root("a"), in_root("a.crt"), in_root("ca/ca.crt"), &world_diag));
    assert_ok(csl_site_import_cert(in_root("b"), in_root("b.crt"), in_root("ca/ca.crt"), &world_diag));
    return 0;
}

int world_teardown(void **state) {
    (void)state;
    char cmd[128];
    (void)snprintf(cmd, sizeof cmd, "rm -rf '%s'", world_root);
    return system(cmd);
}
