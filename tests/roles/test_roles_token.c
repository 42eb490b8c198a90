/* A party, and then a client, whose keys are in a token (SoftHSM2): TLS, envelopes, statements of whole
 * sessions.
 */
#include "world.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../crypto/softhsm.h"
#include "crypto/files_internal.h"

static struct world world;

/* Moves a site's keys into the token. The PIN's file stands in its folder. */
static void move_keys(const char *site) {
    static const char *const files[] = {"tls.key", "wrap.key", "sign.key"};
    char path[1024], object[64], id[8];
    struct csl_diag diag = {""};
    static unsigned next = 16;
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(object, sizeof object, "%s-%s", site, files[i]);
        (void)snprintf(id, sizeof id, "%02x", next++);
        world_path(path, &world, site, files[i]);
        softhsm_import(path, object, id);
        const char *line = softhsm_uri(object);
        must(csl__replace_file(path, 0600, line, strlen(line), &diag), &diag, path);
    }
    world_path(path, &world, site, "token.pin");
    must(csl__replace_file(path, 0600, SOFTHSM_PIN, strlen(SOFTHSM_PIN), &diag), &diag, path);
}

static void session_with_a_token(void **state) {
    (void)state;
    struct csl_federation_options opt = world_options(2);
    opt.idle = true;
    world_open_unshared(&world, &opt);
    move_keys("hospital-b");
    world_spawn(&world, "dealer");
    world_spawn(&world, "hospital-a");
    world_spawn(&world, "hospital-b");
    world_share(&world);
    world_session(&world);
}

/* The token goes while the daemon runs: sessions fail and say why, the daemon lives, and goes on when it is
 * back. */
static void token_gone_and_back(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    world_session(&world);
    softhsm_hide(true);
    enum csl_err err = world_try(&world, &diag);
    FAILED(err, &diag, CSL_EPEER, "hospital-b", "fault of its own");
    world_lives(&world, NULL);
    softhsm_hide(false);
    world_session(&world);
}

/* What a person sees. */
static void doctor_says_where(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    json_t *doc = NULL;
    const char *const args[] = {"doctor", "--json", NULL};
    must(csl_federation_run_as(world.fed, &doc, "hospital-b", args, &diag), &diag, "doctor");
    const json_t *keys = json_object_get(doc, "private_keys");
    static const char *const kinds[] = {"tls", "wrap", "sign"};
    for (size_t i = 0; i < 3; i++) {
        const char *where = json_string_value(json_object_get(keys, kinds[i]));
        assert_non_null(where);
        assert_non_null(strstr(where, "token \"" SOFTHSM_TOKEN "\", object \"hospital-b-"));
    }
    json_decref(doc);
}

static enum csl_err keygen(const char *name, const char *option, const char *value, struct csl_diag *diag) {
    char dir[1024], pin[1024];
    int code = -1;
    world_path(dir, &world, name, "");
    world_path(pin, &world, name, "token.pin");
    TRY(csl__make_dir(dir, diag));
    TRY(csl__replace_file(pin, 0600, SOFTHSM_PIN, strlen(SOFTHSM_PIN), diag));
    const char *const args[] = {"cert", "keygen", "--site", dir, "--name", name, option, value, NULL};
    TRY(csl_federation_run_tool(world.fed, NULL, &code, args, diag));
    assert_int_equal(code, 0);
    return CSL_OK;
}

/* Keys by the command: all three in the token, or one. */
static void keygen_in_the_token(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    struct csl_site site;
    char dir[1024], where[CSL_TOKEN_WHERE_MAX], one[600];
    must(keygen("site-x", "--token", softhsm_uri(NULL), &diag), &diag, "--token");
    (void)snprintf(one, sizeof one, "wrap=%s", softhsm_uri("site-x-wrap"));
    must(keygen("site-y", "--token-key", one, &diag), &diag, "--token-key");
    world_path(dir, &world, "site-y", "");
    must(csl_site_load_keys(&site, dir, &diag), &diag, dir);
    assert_string_equal(csl_token_where(where, site.sign_key), "file");
    assert_non_null(strstr(csl_token_where(where, site.wrap_key), "object \"site-x-wrap\""));
    csl_site_free(&site);
    world_path(dir, &world, "site-x", "name");
    assert_int_equal(unlink(dir), 0);
    for (size_t i = 0; i < 3; i++) { /* the folder is emptied, the token is not */
        static const char *const files[] = {"tls.key", "wrap.key", "sign.key"};
        world_path(dir, &world, "site-x", files[i]);
        assert_int_equal(unlink(dir), 0);
    }
    FAILED(keygen("site-x", "--token", softhsm_uri(NULL), &diag), &diag, CSL_ECREATE, "\"site-x-tls\"",
           "--token-key tls=URI");
    FAILED(keygen("site-z", "--token", softhsm_uri("x"), &diag), &diag, CSL_EUSAGE, "--token-key");
    FAILED(keygen("site-z", "--token", "hsm", &diag), &diag, CSL_EUSAGE, "--token", "pkcs11:");
    FAILED(keygen("site-z", "--token-key", "seal=pkcs11:object=x", &diag), &diag, CSL_EUSAGE, "wrap=URI");
    FAILED(keygen("site-z", "--token-key", "sign=pkcs11:object=x;pin-value=77", &diag), &diag, CSL_EUSAGE,
           "pin-value");
}

static void client_with_a_token(void **state) {
    (void)state;
    char where[CSL_TOKEN_WHERE_MAX];
    struct csl_diag diag = {""};
    move_keys("clinic");
    csl_context_free(&world.clinic);
    world_context(&world.clinic, &world, "clinic");
    assert_non_null(strstr(csl_token_where(where, world.clinic.site.tls_key), SOFTHSM_TOKEN));
    world_session(&world);
    softhsm_hide(true);
    FAILED(world_try(&world, &diag), &diag, CSL_EUNAVAILABLE, "clinic/tls.key", SOFTHSM_TOKEN);
    softhsm_hide(false);
    world_session(&world);
}

/* A daemon with a wrong PIN does not start, and says so once. */
static void wrong_pin(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    char path[1024];
    world_kill(&world, "hospital-b");
    world_path(path, &world, "hospital-b", "token.pin");
    must(csl__replace_file(path, 0600, "1111", 4, &diag), &diag, path);
    enum csl_err err = csl_federation_spawn(world.fed, "hospital-b", NULL, NULL, &diag);
    assert_true(err != CSL_OK || csl_federation_wait_ended(world.fed, "hospital-b") == 77);
    must(csl__replace_file(path, 0600, SOFTHSM_PIN, strlen(SOFTHSM_PIN), &diag), &diag, path);
    world_spawn(&world, "hospital-b");
    world_session(&world);
}

static int stop(void **state) {
    (void)state;
    world_close(&world);
    softhsm_stop();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(session_with_a_token), cmocka_unit_test(token_gone_and_back),
        cmocka_unit_test(doctor_says_where),    cmocka_unit_test(keygen_in_the_token),
        cmocka_unit_test(client_with_a_token),  cmocka_unit_test(wrong_pin)};
    if (!softhsm_start()) {
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, stop);
}
