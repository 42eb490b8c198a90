/* consilium doctor: what it finds, what it advises, and its exit code. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct world world;

static int start(void **state) {
    (void)state;
    struct csl_timeouts timeouts = quick_timeouts();
    struct csl_federation_options opt = world_options(3);
    opt.timeouts = &timeouts;
    world_open(&world, &opt);
    return 0;
}

static int stop(void **state) {
    (void)state;
    world_close(&world);
    return 0;
}

/* `doctor --json [--roster FILE]` at a site. */
static enum csl_err doctor(json_t **doc, const char *site, const char *roster, struct csl_diag *diag) {
    const char *args[] = {"doctor", "--json", roster != NULL ? "--roster" : NULL, roster, NULL};
    enum csl_err err = csl_federation_run_as(world.fed, doc, site, args, diag);
    assert_non_null(*doc);
    return err;
}

static const char *field(const json_t *doc, const char *peer, const char *key) {
    size_t i;
    json_t *p;
    json_array_foreach(json_object_get(doc, "peers"), i, p) {
        if (strcmp(json_string_value(json_object_get(p, "peer")), peer) == 0) {
            const char *value = json_string_value(json_object_get(p, key));
            return value != NULL ? value : "";
        }
    }
    fail_msg("doctor does not speak of %s", peer);
    return "";
}

/* hospital-b is the one that fails, at this check; the others are well. */
static void finds(const char *roster, enum csl_err exit_as, const char *check, const char *finding) {
    struct csl_diag diag = {""};
    json_t *doc;
    FAILED(doctor(&doc, "clinic", roster, &diag), &diag, exit_as, "1 of 3 peers");
    assert_string_equal(field(doc, "hospital-a", "status"), "ok");
    assert_string_equal(field(doc, "hospital-c", "status"), "ok");
    assert_string_equal(field(doc, "hospital-b", "status"), "failed");
    assert_string_equal(field(doc, "hospital-b", "check"), check);
    assert_non_null(strstr(field(doc, "hospital-b", "finding"), finding));
    assert_true(field(doc, "hospital-b", "advice")[0] != '\0');
    json_decref(doc);
}

static void all_is_well(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    json_t *doc;
    static const char *const sites[] = {"clinic", "model-owner", "hospital-c"};
    for (int i = 0; i < 3; i++) {
        must(doctor(&doc, sites[i], NULL, &diag), &diag, sites[i]);
        assert_string_equal(field(doc, "hospital-a", "status"), "ok");
        assert_string_equal(field(doc, "hospital-b", "status"), "ok");
        json_decref(doc);
    }
    must(doctor(&doc, "hospital-b", NULL, &diag), &diag, "hospital-b");
    assert_string_equal(field(doc, "dealer", "status"), "ok");
    assert_string_equal(field(doc, "hospital-a", "status"), "ok");
    assert_string_equal(field(doc, "hospital-c", "status"), "not dialled from here");
    json_decref(doc);
}

static void a_daemon_is_down(void **state) {
    (void)state;
    world_kill(&world, "hospital-b");
    finds(NULL, CSL_EUNAVAILABLE, "tcp", "hospital-b");
    world_spawn(&world, "hospital-b");
}

static void a_daemon_hangs(void **state) {
    (void)state;
    world_signal(&world, "hospital-b", SIGSTOP);
    world_wait_stopped(&world, "hospital-b");
    finds(NULL, CSL_ETIMEOUT, "tcp", "hospital-b");
    world_signal(&world, "hospital-b", SIGCONT);
    world_session(&world);
}

static void other_program_version(void **state) {
    (void)state;
    world_kill(&world, "hospital-b");
    world_spawn_hostile(&world, "hospital-b", (const char *const[]){"--version", "2", NULL});
    finds(NULL, CSL_EPROTO, "version", "protocol version 2");
    world_kill(&world, "hospital-b");
    world_spawn(&world, "hospital-b");
}

/* The clinic's roster with one word changed, in a file of its own. */
static const char *edited(const char *from, const char *to) {
    static char path[1024], text[65536];
    world_path(path, &world, "clinic", "roster.yaml");
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    (void)fclose(f);
    char *at = strstr(text, from);
    assert_non_null(at);
    world_path(path, &world, "clinic", "edited.yaml");
    f = fopen(path, "we");
    assert_non_null(f);
    (void)fprintf(f, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    assert_int_equal(fclose(f), 0);
    return path;
}

static void address(char out[64], const char *host, unsigned party) {
    (void)snprintf(out, 64, "%s:%u", host, csl_roster_party(&world.clinic.roster, party)->port);
}

/* With another roster at this site every peer fails; hospital-b's own trouble comes before that. */
static void another_roster_finds(const char *roster, const char *check, const char *word) {
    struct csl_diag diag = {""};
    json_t *doc;
    FAILED(doctor(&doc, "clinic", roster, &diag), &diag, CSL_ECONFIG, "3 of 3 peers");
    assert_string_equal(field(doc, "hospital-a", "check"), "roster");
    assert_string_equal(field(doc, "hospital-b", "check"), check);
    assert_non_null(strstr(field(doc, "hospital-b", "finding"), word));
    json_decref(doc);
}

static void another_roster(void **state) {
    (void)state;
    another_roster_finds(edited("max_batch: 16", "max_batch: 15"), "roster", "another roster");
}

static void wrong_addresses(void **state) {
    (void)state;
    char right[64], wrong[64];
    address(right, "127.0.0.1", 1);
    address(wrong, "no-such-host.invalid", 1);
    another_roster_finds(edited(right, wrong), "name", "no-such-host.invalid");
    another_roster_finds(edited(right, "127.0.0.1:1"), "tcp", "127.0.0.1:1"); /* nobody listens on port 1 */
    /* Another site answers there. */
    address(wrong, "localhost", 0);
    another_roster_finds(edited(right, wrong), "certificate", "hospital-a");
}

/* The last test: a failure of the group's teardown would not count. */
static void all_end_in_order(void **state) {
    (void)state;
    world_lives(&world, NULL);
    world_close(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_is_well),      cmocka_unit_test(a_daemon_is_down),
        cmocka_unit_test(a_daemon_hangs),   cmocka_unit_test(other_program_version),
        cmocka_unit_test(another_roster),   cmocka_unit_test(wrong_addresses),
        cmocka_unit_test(all_end_in_order),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
