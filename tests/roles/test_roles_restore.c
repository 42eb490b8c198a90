/* Nothing is used twice: restarts, restored backups, replays. And certificates renewed in flight. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/x509.h>

#include "crypto/cert.h"

static struct world world;

static int start(void **state) {
    (void)state;
    struct csl_federation_options opt = world_options(3);
    world_open(&world, &opt);
    return 0;
}

static int stop(void **state) {
    (void)state;
    world_close(&world);
    return 0;
}

/* ---- Epochs ---- */

static void close_session(struct fake *f) {
    struct csl_diag diag = {""};
    for (unsigned i = 0; i < world.n; i++) {
        CSL_CONTROL(m, body, CloseSession, CLOSE_SESSION, CLOSE_SESSION, close_session);
        must(csl_talk_send(&f->talks[i], &m, &diag), &diag, "close");
    }
    for (unsigned i = 0; i < world.n; i++) { /* until it has gone */
        FAILED(fake_end(f, i, &diag), &diag, CSL_EPEER, "ended the connection");
    }
    fake_close(f);
}

/* The epoch of a session now, once one can be had. */
static void epoch_now(uint8_t id[CSL_DIGEST_BYTES]) {
    struct fake f;
    world_session(&world); /* waits for the epoch */
    fake_open(&f, &world, &world.clinic);
    fake_session(&f, 1);
    memcpy(id, f.epoch_id, CSL_DIGEST_BYTES);
    close_session(&f);
}

static void a_restart_is_a_new_epoch(void **state) {
    (void)state;
    static const char *const names[] = {"hospital-a", "hospital-b", "hospital-c", "dealer"};
    uint8_t ids[5][CSL_DIGEST_BYTES], same[CSL_DIGEST_BYTES];
    epoch_now(ids[0]);
    epoch_now(same);
    assert_memory_equal(ids[0], same, sizeof same); /* sessions share it */
    for (int i = 0; i < 4; i++) {
        world_kill(&world, names[i]);
        world_spawn(&world, names[i]);
        epoch_now(ids[i + 1]);
        for (int j = 0; j <= i; j++) {
            assert_memory_not_equal(ids[i + 1], ids[j], CSL_DIGEST_BYTES);
        }
    }
}

/* ---- A restored backup ---- */

enum { TAP = 64, TAPPED = 2 * TAP };

/* Without the ledger: one that was put back is found out at once (test_roles_ledger.c). */
static void all_state(const char *from, const char *to) {
    char command[4096];
    for (unsigned i = 0; i < world.n; i++) { /* the dealer keeps nothing */
        const char *name = csl_federation_party_name(world.fed, i);
        const char *dir = csl_federation_dir(world.fed);
        (void)snprintf(command, sizeof command,
                       "cd '%s/%s' && mkdir -p %s && for f in %s/*; do case $f in */ledger) ;; "
                       "*) rm -rf %s/${f##*/} && cp -a $f %s/ ;; esac; done",
                       dir, name, to, from, to, to);
        assert_int_equal(system(command), 0);
    }
}

/* Restarts every daemon and runs the same batch with the same shares of the same input; what each party opens
 * of its weights and of the input. */
static void one_life(uint8_t opened[][TAPPED], unsigned life) {
    char path[CSL_MAX_PARTIES][1024], file[32];
    for (unsigned i = 0; i <= world.n; i++) {
        const char *name = i < world.n ? csl_federation_party_name(world.fed, i) : "dealer";
        world_kill(&world, name);
        if (i < world.n) {
            (void)snprintf(file, sizeof file, "tap-%u", life);
            world_path(path[i], &world, name, file);
            world_spawn_hostile(&world, name, (const char *const[]){"--tap", path[i], NULL});
        } else {
            world_spawn(&world, name);
        }
    }
    struct fake f;
    fake_open(&f, &world, &world.clinic);
    fake_session(&f, 1); /* all daemons are new: the first epoch, the first session, the first stream */
    fake_prepare_all(&f, 1, 1);
    fake_input_all(&f, 1, 1);
    for (unsigned i = 0; i < world.n; i++) {
        struct csl_diag diag = {""};
        struct csl_frame_in *in;
        must(csl_talk_receive(&f.talks[i], &in, FAKE_WAIT_MS, &diag), &diag, "output");
        assert_int_equal(in->h.type, CSL_FRAME_DATA);
        csl_frame_in_free(in);
        fake_expect(&f, i, CSL__PB__CONTROL__KIND_BATCH_DONE);
    }
    close_session(&f);
    for (unsigned i = 0; i < world.n; i++) {
        FILE *in = fopen(path[i], "re");
        assert_non_null(in);
        assert_int_equal(fread(opened[i], 1, TAPPED, in), TAPPED);
        (void)fclose(in);
    }
}

static void a_restored_backup_repeats_nothing(void **state) {
    (void)state;
    static uint8_t opened[2][CSL_MAX_PARTIES][TAPPED];
    all_state("state", "backup");
    one_life(opened[0], 0);
    all_state("backup", "state");
    one_life(opened[1], 1);
    for (unsigned i = 0; i < world.n; i++) {
        assert_memory_not_equal(opened[0][i], opened[1][i], TAP);
        assert_memory_not_equal(opened[0][i] + TAP, opened[1][i] + TAP, TAP);
    }
}

/* ---- A party 0 that proposes a used stream ---- */

static void a_used_stream_is_refused(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    struct fake f;
    world_kill(&world, "hospital-a");
    world_spawn_hostile(&world, "hospital-a", (const char *const[]){"--same-stream", "yes", NULL});
    world_session(&world);
    fake_open(&f, &world, &world.clinic);
    for (unsigned i = 0; i < world.n; i++) {
        fake_dial(&f, i, CSL__PB__PURPOSE__PURPOSE_CLIENT);
        fake_ask(&f, i, MODEL, 1);
        fake_expect(&f, i, CSL__PB__CONTROL__KIND_ADMITTED);
    }
    FAILED2(fake_end(&f, 1, &diag), &diag, CSL_ESTALE, CSL_EPEER, "hospital-b|hospital-c", "stream",
            "restart");
    fake_close(&f);
    /* The library's client tries again, and gets the same answer. */
    FAILED(world_try(&world, &diag), &diag, CSL_ESTALE, "hospital-b|hospital-c", "stream", "restart");
    world_lives(&world, NULL);
    world_kill(&world, "hospital-a"); /* what the sentence advises */
    world_spawn(&world, "hospital-a");
    world_session(&world);
}

/* ---- A renewed certificate ---- */

static uint64_t serial(const struct csl_context *ctx, unsigned party) {
    struct fake f;
    uint64_t low = 0;
    fake_open(&f, &world, ctx);
    fake_dial(&f, party, CSL__PB__PURPOSE__PURPOSE_PROBE);
    const ASN1_INTEGER *number = X509_get0_serialNumber(csl_conn_peer_cert(f.talks[party].conn));
    BIGNUM *n = ASN1_INTEGER_to_BN(number, NULL);
    (void)BN_mask_bits(n, 63); /* of a random 159 bits */
    low = BN_get_word(n);
    BN_free(n);
    fake_close(&f);
    return low;
}

/* Request and import are the commands; the CA signs. */
static void renew(const char *site) {
    struct csl_diag diag = {""};
    char path[1024], ca_dir[1024], ca_crt[1040], text[65536], *pem;
    const char *const request[] = {"cert", "request", "--host", "127.0.0.1", NULL};
    must(csl_federation_run_as(world.fed, NULL, site, request, &diag), &diag, "request");
    (void)snprintf(ca_dir, sizeof ca_dir, "%s/ca", csl_federation_dir(world.fed));
    (void)snprintf(ca_crt, sizeof ca_crt, "%s/ca.crt", ca_dir);
    char name[64];
    (void)snprintf(name, sizeof name, "%s.request", site);
    world_path(path, &world, site, name);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof text, f);
    (void)fclose(f);
    struct csl_enrolment e;
    must(csl_enrolment_parse(&e, text, n, &diag), &diag, "parse");
    must(csl_ca_sign(&pem, ca_dir, &e, 30, &diag), &diag, "sign");
    world_path(path, &world, site, "new.crt");
    f = fopen(path, "we");
    assert_non_null(f);
    assert_true(fputs(pem, f) >= 0);
    assert_int_equal(fclose(f), 0);
    const char *const import[] = {"cert", "import", "--in", path, "--ca", ca_crt, NULL};
    must(csl_federation_run_as(world.fed, NULL, site, import, &diag), &diag, "import");
    csl_enrolment_free(&e);
    free(pem);
}

static void certificates_are_renewed_in_flight(void **state) {
    (void)state;
    struct csl_client *c = world_client(&world, 2);
    pid_t pid = csl_federation_pid(world.fed, "hospital-b");
    world_infer(&world, c, 1, NULL);
    uint64_t before = serial(&world.clinic, 1), after = before;
    renew("hospital-b");
    world_signal(&world, "hospital-b", SIGHUP);
    for (int i = 0; i < 10000 && after == before;
         i++) { /* until the daemon has read it: every try is an answer */
        after = serial(&world.clinic, 1);
    }
    assert_true(after != before);
    assert_int_equal(csl_federation_pid(world.fed, "hospital-b"), pid);
    world_infer(&world, c, 2, NULL); /* what was open lives on */
    csl_client_close(c);
    world_session(&world); /* and the lanes of new sessions use it */
    world_lives(&world, NULL);
}

/* The last test: a failure of the group's teardown would not count. */
static void all_end_in_order(void **state) {
    (void)state;
    world_lives(&world, NULL);
    world_close(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_restart_is_a_new_epoch), cmocka_unit_test(a_restored_backup_repeats_nothing),
        cmocka_unit_test(a_used_stream_is_refused), cmocka_unit_test(certificates_are_renewed_in_flight),
        cmocka_unit_test(all_end_in_order),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
