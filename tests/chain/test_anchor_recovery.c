/* Anchoring after what goes back or breaks off: reorganised blocks, killed processes, old copies of the
 * outbox and the ledger. */
#include "tests/chain/anvil_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- Reorganisations ---- */

static void reorganised(void **state) {
    (void)state;
    struct site s;
    struct csl_anchor_progress p;
    site_open(&s, 2);
    anchor_close(&s);
    s.opt.confirmations = 5;
    anchor_open(&s);
    step_mined(&s);
    add_leaves(&s, 2);
    step_mined(&s);
    progress(&s, &p);
    assert_int_equal(p.mined, 4);
    automine(false);
    node_do("anvil_reorg", "[2, []]"); /* both blocks, and others in their place */
    assert_int_equal(anchors_of(&s, NULL), 0);
    assert_int_equal(step(&s, true), CSL_OK);
    assert_non_null(strstr(s.said, "reorganised"));
    progress(&s, &p);
    assert_int_equal(p.mined, 0);
    assert_int_equal(p.waiting, 2);
    assert_int_equal(p.outbox->entries[0].n_variants, 1); /* the same bytes again */
    settle(&s);
    expect_anchored(&s, 2);
    site_close(&s);
}

/* The chain is shorter for a while: no answer, no action. */
static void rolled_back_chain(void **state) {
    (void)state;
    struct site s;
    site_open(&s, 2);
    anchor_close(&s);
    s.opt.confirmations = 3;
    anchor_open(&s);
    step_mined(&s);
    automine(false);
    node_do("anvil_rollback", "[1]");
    assert_int_equal(step(&s, true), CSL_ESTALE);
    mine(2);
    settle(&s);
    expect_anchored(&s, 1);
    site_close(&s);
}

/* More blocks than the confirmations: what is left on the chain is continued. */
static void reorganised_beyond_final(void **state) {
    (void)state;
    struct site s;
    uint64_t entries = 0;
    site_open(&s, 2);
    settle(&s);
    add_leaves(&s, 1);
    settle(&s);
    expect_anchored(&s, 2);
    automine(false);
    while (anchors_of(&s, NULL) == 2) {
        node_do("anvil_rollback", "[1]");
    }
    assert_int_equal(step(&s, true), CSL_ESTALE); /* shorter: it may be a node that is behind */
    mine(6);
    automine(true);
    settle(&s);
    add_leaves(&s, 1);
    settle(&s);
    assert_int_equal(anchors_of(&s, &entries), 3);
    assert_int_equal(entries, 4);
    site_close(&s);
}

/* ---- Crashes ---- */

static enum csl_anchor_point crash_point;
static void crash(void *arg, enum csl_anchor_point point) {
    (void)arg;
    if (point == crash_point) {
        _exit(42);
    }
}

static void crash_at(struct site *s, enum csl_anchor_point point) {
    anchor_close(s);
    crash_point = point;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct csl_anchor_options opt = s->opt;
        opt.at = crash;
        for (unsigned i = 1; csl_anchor_open(&s->anchor, &opt, &s->diag) == CSL_OK && i < 300; i++) {
            enum csl_err once = step(s, true), again = step(s, true);
            (void)(once == again); /* the end is elsewhere */
            csl_anchor_close(s->anchor);
            mine_forgotten(i);
        }
        print_error("step %d was not reached: %s\n", (int)point, s->diag.text);
        _exit(1);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 42);
    anchor_open(s);
}

static void crash_at_each_step(void **state) {
    (void)state;
    for (int point = 0; point < CSL_POINTS; point++) {
        struct site s;
        site_open(&s, 3);
        crash_at(&s, (enum csl_anchor_point)point);
        settle(&s);
        expect_anchored(&s, 1);
        add_leaves(&s, 1);
        crash_at(&s, (enum csl_anchor_point)point); /* and once more, as the second */
        settle(&s);
        expect_anchored(&s, 2);
        site_close(&s);
    }
}

/* Sent twice, by us and by somebody who saw it. */
static void sent_twice(void **state) {
    (void)state;
    struct site s;
    struct csl_anchor_progress p;
    struct csl_diag diag;
    site_open(&s, 1);
    automine(false);
    assert_int_equal(step(&s, true), CSL_OK);
    progress(&s, &p);
    const struct csl_outbox_variant *v = &p.outbox->entries[0].variants[0];
    assert_int_equal(csl_rpc_send(&s.rpc, v->raw, v->n_raw, &diag), CSL_EPEER);
    assert_int_equal(s.rpc.refused, CSL_REFUSED_KNOWN);
    anchor_close(&s);
    anchor_open(&s);
    assert_int_equal(step(&s, true), CSL_OK);
    settle(&s);
    expect_anchored(&s, 1);
    site_close(&s);
}

/* Fees rose between signing and sending: it is signed again, for more, before it ever waits. */
static void fees_too_low(void **state) {
    (void)state;
    struct site s;
    struct csl_anchor_progress p;
    site_open(&s, 2);
    crash_at(&s, CSL_POINT_SIGNED);
    automine(false);
    node_do("anvil_setNextBlockBaseFeePerGas", "[\"0x826299e00\"]"); /* 35 gwei */
    assert_int_equal(step(&s, true), CSL_OK);
    progress(&s, &p);
    assert_int_equal(p.outbox->entries[0].n_variants, 2);
    assert_int_equal(p.outbox->entries[0].variants[0].max_fee < 35000000000, 1);
    assert_int_equal(p.outbox->entries[0].variants[1].max_fee > 35000000000, 1);
    settle(&s);
    expect_anchored(&s, 1);
    site_close(&s);
    mine(40); /* the base fee falls again */
}

/* ---- Backups ---- */

static void outbox_path(char out[CSL__PATH_MAX], struct site *s, const char *file) {
    char dir[CSL__PATH_MAX];
    assert_int_equal(
        csl_anchor_dir(dir, s->state, CSL_ANVIL_CHAIN_ID, contract_address, s->signer.address, &s->diag),
        CSL_OK);
    assert_int_equal(csl__path(out, dir, file, &s->diag), CSL_OK);
}

static void outbox_is_an_old_copy_or_lost(void **state) {
    (void)state;
    struct site s;
    char path[CSL__PATH_MAX], finals[CSL__PATH_MAX], old[CSL__PATH_MAX + 8];
    site_open(&s, 1);
    automine(false);
    assert_int_equal(step(&s, true), CSL_OK); /* signed and sent */
    anchor_close(&s);
    outbox_path(path, &s, "outbox.json");
    outbox_path(finals, &s, "final.jsonl");
    (void)snprintf(old, sizeof old, "%s.old", path);
    assert_int_equal(rename(path, old), 0); /* the first moment */
    char *text = NULL;
    size_t n = 0;
    assert_int_equal(csl__read_file(&text, &n, old, 1 << 20, &s.diag), CSL_OK);
    assert_int_equal(csl__replace_file(path, 0600, text, n, &s.diag), CSL_OK);
    anchor_open(&s);
    automine(true);
    settle(&s);
    for (unsigned i = 0; i < 3; i++) {
        add_leaves(&s, 1);
        settle(&s);
    }
    expect_anchored(&s, 4);

    anchor_close(&s); /* the old copy is put back */
    assert_int_equal(csl__replace_file(path, 0600, text, n, &s.diag), CSL_OK);
    csl_secret_free(text);
    anchor_open(&s);
    settle(&s);
    expect_anchored(&s, 4);
    add_leaves(&s, 1);
    settle(&s);
    expect_anchored(&s, 5);

    anchor_close(&s); /* everything is lost */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(unlink(finals), 0);
    anchor_open(&s);
    settle(&s);
    expect_anchored(&s, 5);
    add_leaves(&s, 1);
    settle(&s);
    expect_anchored(&s, 6);

    anchor_close(&s); /* damaged */
    assert_int_equal(csl__replace_file(path, 0600, "{\"version\":1}", 13, &s.diag), CSL_OK);
    assert_int_equal(csl_anchor_open(&s.anchor, &s.opt, &s.diag), CSL_EDATA);
    assert_non_null(strstr(s.diag.text, "outbox.json"));
    site_close(&s);
}

/* The ledger itself is an older copy, or another: nothing is anchored, and it is said. */
static void ledger_is_not_what_was_anchored(void **state) {
    (void)state;
    struct site s, shorter;
    site_open(&s, 5);
    settle(&s);
    site_open(&shorter, 3);
    anchor_close(&shorter);
    struct csl_signer own = shorter.signer;
    shorter.signer = s.signer;
    anchor_open(&shorter);
    assert_int_equal(step(&shorter, true), CSL_EAUTH);
    assert_non_null(strstr(shorter.diag.text, "rolled back"));
    assert_false(csl_anchor_again(CSL_EAUTH));
    add_leaves(&shorter, 4); /* as long, but other entries */
    assert_int_equal(step(&shorter, true), CSL_EAUTH);
    assert_non_null(strstr(shorter.diag.text, "another ledger"));
    expect_anchored(&s, 1);
    shorter.signer = own;
    site_close(&shorter);
    site_close(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reorganised),
        cmocka_unit_test(rolled_back_chain),
        cmocka_unit_test(reorganised_beyond_final),
        cmocka_unit_test(crash_at_each_step),
        cmocka_unit_test(sent_twice),
        cmocka_unit_test(fees_too_low),
        cmocka_unit_test(outbox_is_an_old_copy_or_lost),
        cmocka_unit_test(ledger_is_not_what_was_anchored),
    };
    need_anvil();
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
