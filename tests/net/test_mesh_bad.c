/* The mesh of a session with a party that misbehaves. */
#include "mesh_world.h"

#include "net/conn_internal.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

static const size_t size_100[] = {100};

/* Party 1 has no link but the bare conns, so that it can send what it likes. */
struct bare {
    struct csl_conn *conn[CSL_MAX_PARTIES];
    unsigned closed, n;
    unsigned data;
};

static void bare_on_frame(struct csl_conn *c, const struct csl_frame_header *h, const uint8_t *payload,
                          void *arg) {
    struct bare *b = arg;
    (void)c, (void)payload;
    b->data += h->type == CSL_FRAME_DATA;
}

static void bare_on_close(struct csl_conn *c, enum csl_err err, const struct csl_diag *why, void *arg) {
    struct bare *b = arg;
    (void)err, (void)why;
    for (unsigned i = 0; i < CSL_MAX_PARTIES; i++) {
        b->conn[i] = b->conn[i] == c ? NULL : b->conn[i];
    }
    b->closed++;
}

static bool all_closed(void *arg) {
    const struct bare *b = arg;
    return b->closed == b->n;
}

static bool has_data(void *arg) {
    const struct bare *b = arg;
    return b->data >= 2 * b->n || b->closed != 0; /* all others are in round 2 */
}

struct misdeed {
    enum { SEND, KILL, MUTE, CLOSE_MID_FRAME } what;
    struct {
        uint8_t type;
        uint32_t seq;
        size_t n;
    } frame[4];
    unsigned n_frames;
};

static const struct misdeed *misdeed; /* of the running test */

static void play(struct bare *b, unsigned i) {
    uint8_t zeros[512] = {0};
    for (unsigned k = 0; k < misdeed->n_frames && b->conn[i] != NULL; k++) {
        enum csl_err err = csl_conn_send(b->conn[i], (enum csl_frame_type)misdeed->frame[k].type,
                                         misdeed->frame[k].seq, zeros, misdeed->frame[k].n);
        (void)err; /* the other end may have hung up */
    }
    if (misdeed->what == CLOSE_MID_FRAME && b->conn[i] != NULL) {
        /* the head of a frame whose rest never comes */
        uint8_t head[CSL_FRAME_HEADER_BYTES + 20] = {0};
        struct csl_frame_header h = {.n = 100, .type = CSL_FRAME_DATA, .seq = 2};
        csl_frame_encode_header(head, &h);
        enum csl_err err = csl_tls_write(b->conn[i]->s->tls, head, sizeof head, NULL);
        (void)err;
        csl__conn_flush(b->conn[i]);
    }
    if (misdeed->what != SEND && misdeed->what != MUTE && b->conn[i] != NULL) {
        struct linger reset = {.l_onoff = 1, .l_linger = 0};
        (void)setsockopt(b->conn[i]->s->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        csl_tls_free(b->conn[i]->s->tls); /* dies without a word: close_socket has nothing to say */
        b->conn[i]->s->tls = NULL;
        csl_conn_close(b->conn[i], CSL_OK, NULL);
    }
}

/* One good round, then the misdeed towards everybody. */
static void *rogue_main(void *arg) {
    struct party *p = arg;
    struct bare b = {.n = p->mesh->n - 1};
    const struct csl_conn_callbacks cb = {.on_frame = bare_on_frame, .on_close = bare_on_close};
    uint8_t out[100];
    if (csl_loop_init(&p->loop, NULL) != CSL_OK) {
        abort();
    }
    for (size_t i = 0; i < sizeof out; i++) {
        out[i] = mesh_content(p->self, 1, i);
    }
    for (unsigned i = 0; i < p->mesh->n; i++) {
        if (i != p->self) {
            if (csl_conn_attach(&b.conn[i], &p->loop.uv, p->mesh->parts[p->self][i], NULL, &cb, &b, NULL) !=
                CSL_OK) {
                abort();
            }
            csl_conn_set_limit(b.conn[i], CSL_FRAME_DATA, 1000);
            enum csl_err err = csl_conn_send(b.conn[i], CSL_FRAME_DATA, 1, out, sizeof out);
            p->bad = p->bad || err != CSL_OK;
        }
    }
    enum csl_err err = csl_loop_run_until(&p->loop, has_data, &b, LONG_MS);
    p->bad = p->bad || err != CSL_OK;
    for (unsigned i = 0; i < p->mesh->n; i++) {
        play(&b, i);
    }
    err = csl_loop_run_until(&p->loop, all_closed, &b, LONG_MS);
    p->bad = p->bad || err != CSL_OK;
    err = csl_loop_clear(&p->loop, LONG_MS);
    p->bad = p->bad || err != CSL_OK;
    return NULL;
}

/* Three parties; party 1 does m after a good first round. The others must both fail in round 2 with one of
 * the errors and both sentences must name party-1 and contain `says` in one of them. */
static void misbehave(const struct misdeed *m, enum csl_err want, const char *says, uint32_t round_ms) {
    struct test_mesh mesh;
    struct party p[3];
    pthread_t t[3];
    misdeed = m;
    mesh_parties_init(p, &mesh, 3, size_100, 1, 5);
    for (unsigned i = 0; i < 3; i++) {
        p[i].round_ms = round_ms;
        assert_int_equal(pthread_create(&t[i], NULL, i == 1 ? rogue_main : mesh_party_main, &p[i]), 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(t[i], NULL), 0);
        assert_false(p[i].bad);
    }
    bool said = false, wanted = false;
    for (unsigned i = 0; i < 3; i += 2) {
        if (p[i].err == CSL_OK || p[i].done != 1 || strstr(p[i].diag.text, "party-1") == NULL ||
            strstr(p[i].diag.text, "round") == NULL) {
            fail_msg("party %u, %u rounds, %s: %s", i, p[i].done, csl_err_name(p[i].err), p[i].diag.text);
        }
        said = said || strstr(p[i].diag.text, says) != NULL;
        wanted = wanted || p[i].err == want;
    }
    if (!said || !wanted) {
        fail_msg("expected %s '%s': %s: %s | %s: %s", csl_err_name(want), says, csl_err_name(p[0].err),
                 p[0].diag.text, csl_err_name(p[2].err), p[2].diag.text);
    }
}

static void wrong_round(void **state) {
    (void)state;
    const struct misdeed ahead = {SEND, {{CSL_FRAME_DATA, 3, 100}}, 1};
    misbehave(&ahead, CSL_EPROTO, "party-1 sent a message of round 3", LONG_MS);
    const struct misdeed wrapped = {SEND, {{CSL_FRAME_DATA, UINT32_MAX, 100}}, 1};
    misbehave(&wrapped, CSL_EPROTO, "message of round 4294967295", LONG_MS);
    const struct misdeed zero = {SEND, {{CSL_FRAME_DATA, 0, 100}}, 1};
    misbehave(&zero, CSL_EPROTO, "message of round 0", LONG_MS);
}

static void replayed(void **state) {
    (void)state;
    const struct misdeed again = {SEND, {{CSL_FRAME_DATA, 1, 100}}, 1};
    misbehave(&again, CSL_EPROTO, "sent a ", LONG_MS);
    const struct misdeed twice = {SEND, {{CSL_FRAME_DATA, 2, 100}, {CSL_FRAME_DATA, 2, 100}}, 2};
    struct test_mesh mesh;
    struct party p[3];
    pthread_t t[3];
    misdeed = &twice; /* the first of them may let round 2 succeed */
    mesh_parties_init(p, &mesh, 3, size_100, 1, 5);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&t[i], NULL, i == 1 ? rogue_main : mesh_party_main, &p[i]), 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(t[i], NULL), 0);
    }
    for (unsigned i = 0; i < 3; i += 2) {
        assert_true(p[i].err != CSL_OK && p[i].done <= 2);
        assert_non_null(strstr(p[i].diag.text, "party-1"));
    }
}

static void wrong_length(void **state) {
    (void)state;
    const struct misdeed shorter = {SEND, {{CSL_FRAME_DATA, 2, 99}}, 1};
    misbehave(&shorter, CSL_EPROTO, "sent 99 bytes in round 2, where 100 are due", LONG_MS);
    const struct misdeed empty = {SEND, {{CSL_FRAME_DATA, 2, 0}}, 1};
    misbehave(&empty, CSL_EPROTO, "sent 0 bytes in round 2", LONG_MS);
    const struct misdeed longer = {SEND, {{CSL_FRAME_DATA, 2, 101}}, 1};
    misbehave(&longer, CSL_EPROTO, "sent 101 bytes in round 2", LONG_MS);
}

static void unasked_types(void **state) {
    (void)state;
    const struct misdeed hello = {SEND, {{CSL_FRAME_HELLO, 0, 10}}, 1};
    misbehave(&hello, CSL_EPROTO, "a HELLO frame that nobody asked for", LONG_MS);
}

static void aborts(void **state) {
    (void)state;
    const struct misdeed abort_frame = {SEND, {{CSL_FRAME_ABORT, 0, 5}}, 1};
    misbehave(&abort_frame, CSL_EPEER, "party-1 aborted", LONG_MS);
}

static void killed(void **state) {
    (void)state;
    const struct misdeed kill = {KILL, {{0, 0, 0}}, 0};
    misbehave(&kill, CSL_EPEER, "lost connection to party-1", LONG_MS);
    const struct misdeed mid_frame = {CLOSE_MID_FRAME, {{0, 0, 0}}, 0};
    misbehave(&mid_frame, CSL_EPEER, "lost connection to party-1 in round 2", LONG_MS);
}

static void mute(void **state) {
    (void)state;
    const struct misdeed silent = {MUTE, {{0, 0, 0}}, 0};
    misbehave(&silent, CSL_ETIMEOUT, "no message from party-1 in round 2", 200);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_round),   cmocka_unit_test(replayed), cmocka_unit_test(wrong_length),
        cmocka_unit_test(unasked_types), cmocka_unit_test(aborts),   cmocka_unit_test(killed),
        cmocka_unit_test(mute),
    };
    return cmocka_run_group_tests(tests, mesh_setup, mesh_teardown);
}
