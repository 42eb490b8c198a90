/* The mesh of a session, each party a thread, over loopback. */
#include "test_pair.h"

#include "net/conn_internal.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

enum { LONG_MS = 120000 };

static struct test_ca ca;

static int setup(void **state) {
    (void)state;
    ca = test_ca_new("Test CA");
    return 0;
}

static int teardown(void **state) {
    (void)state;
    test_ca_free(&ca);
    return 0;
}

struct party;
typedef void (*act_fn)(struct party *p);

struct party {
    struct test_mesh *mesh;
    unsigned self;
    uint32_t round_ms;
    uint32_t max_bytes;
    enum csl_wait wait;
    act_fn act;
    const size_t *sizes; /* of round k: sizes[(k - 1) % n_sizes] */
    unsigned n_sizes;
    unsigned rounds;
    struct csl_loop loop;
    struct csl_mesh_link *link;
    /* what came of it */
    enum csl_err err;
    struct csl_diag diag;
    unsigned done; /* rounds that succeeded */
    bool bad;      /* wrong contents, or outputs not zero after an error */
    unsigned culprit;
};

static uint8_t content(unsigned from, uint32_t round, size_t i) {
    return (uint8_t)(from * 101 + round * 7 + i * 13 + (i >> 9));
}

static bool is_zero(const uint8_t *p, size_t n) {
    uint8_t any = 0;
    for (size_t i = 0; i < n; i++) {
        any |= p[i];
    }
    return any == 0;
}

/* One round with known contents; checks what came. */
static void one_round(struct party *p, uint32_t round, size_t n) {
    struct csl_link *base = csl_mesh_link_base(p->link);
    uint8_t *in[CSL_MAX_PARTIES] = {NULL}, *out = malloc(n + 1);
    for (size_t i = 0; i < n; i++) {
        out[i] = content(p->self, round, i);
    }
    for (unsigned j = 0; j < base->n_parties; j++) {
        in[j] = j != p->self ? calloc(1, n + 1) : NULL;
    }
    p->err = base->ops->exchange(base, in, round, out, n, &p->diag);
    for (unsigned j = 0; j < base->n_parties; j++) {
        for (size_t i = 0; p->err == CSL_OK && j != p->self && i < n; i++) {
            p->bad = p->bad || in[j][i] != content(j, round, i);
        }
        p->bad = p->bad || (p->err != CSL_OK && j != p->self && !is_zero(in[j], n));
        free(in[j]);
    }
    free(out);
    p->done += p->err == CSL_OK;
}

static void rounds_from(struct party *p, uint32_t first) {
    for (uint32_t k = first; k <= p->rounds && p->err == CSL_OK; k++) {
        one_round(p, k, p->sizes[(k - 1) % p->n_sizes]);
    }
}

static void act_good(struct party *p) {
    rounds_from(p, 1);
}

static void *party_main(void *arg) {
    struct party *p = arg;
    if (csl_loop_init(&p->loop, NULL) != CSL_OK) {
        abort();
    }
    p->link = test_mesh_link(p->mesh, p->self, &p->loop, p->max_bytes, p->round_ms, p->wait);
    p->act(p);
    if (p->link != NULL) {
        p->culprit = csl_mesh_link_culprit(p->link);
        csl_mesh_link_free(p->link);
    }
    enum csl_err err = csl_loop_clear(&p->loop, LONG_MS);
    p->bad = p->bad || err != CSL_OK;
    return NULL;
}

/* All parties good; the caller changes what differs, then runs. */
static void parties_init(struct party *p, struct test_mesh *m, unsigned n, const size_t *sizes,
                         unsigned n_sizes, unsigned rounds) {
    test_mesh_new(m, n, &ca);
    for (unsigned i = 0; i < n; i++) {
        p[i] = (struct party){.mesh = m,
                              .self = i,
                              .round_ms = LONG_MS,
                              .max_bytes = 11u << 20,
                              .act = act_good,
                              .sizes = sizes,
                              .n_sizes = n_sizes,
                              .rounds = rounds};
    }
}

static void parties_run(struct party *p, unsigned n) {
    pthread_t t[CSL_MAX_PARTIES];
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(pthread_create(&t[i], NULL, party_main, &p[i]), 0);
    }
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(pthread_join(t[i], NULL), 0);
        assert_false(p[i].bad);
    }
}

static void thousands_of_rounds(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, 16, 1000, 0, 8192, 20000, 3};
    const unsigned ns[] = {2, 3, 5};
    for (unsigned k = 0; k < 3; k++) {
        for (int wait = 0; wait < 3; wait++) {
            struct test_mesh m;
            struct party p[5];
            parties_init(p, &m, ns[k], sizes, 8, ns[k] == 2 ? 2000 : 500);
            for (unsigned i = 0; i < ns[k]; i++) {
                p[i].wait = (enum csl_wait)wait;
            }
            parties_run(p, ns[k]);
            for (unsigned i = 0; i < ns[k]; i++) {
                if (p[i].err != CSL_OK) {
                    fail_msg("party %u: %s", i, p[i].diag.text);
                }
                assert_int_equal(p[i].done, p[i].rounds);
            }
        }
    }
}

static void ten_megabytes_both_ways(void **state) {
    (void)state;
    static const size_t sizes[] = {10u << 20, 1, 0};
    for (unsigned n = 2; n <= 3; n++) {
        struct test_mesh m;
        struct party p[3];
        parties_init(p, &m, n, sizes, 3, 6);
        parties_run(p, n);
        for (unsigned i = 0; i < n; i++) {
            if (p[i].err != CSL_OK) {
                fail_msg("party %u: %s", i, p[i].diag.text);
            }
            assert_int_equal(p[i].done, 6);
        }
    }
}

static void act_count(struct party *p) {
    one_round(p, 1, 100);
    csl_mesh_link_set_slot(p->link, 2);
    one_round(p, 2, 7);
    one_round(p, 3, 0);
    const struct csl_mesh_counters *a = csl_mesh_link_counters(p->link, 0);
    const struct csl_mesh_counters *b = csl_mesh_link_counters(p->link, 2);
    p->bad = p->bad || a->rounds != 1 || b->rounds != 2;
    for (unsigned j = 0; j < 3; j++) {
        uint64_t one = j != p->self;
        p->bad = p->bad || a->peer[j].bytes_sent != one * 112 || a->peer[j].bytes_received != one * 112 ||
                 a->peer[j].frames_sent != one || b->peer[j].bytes_sent != one * 31 ||
                 b->peer[j].bytes_received != one * 31 || b->peer[j].frames_received != 2 * one;
    }
}

static void counters_by_slot(void **state) {
    (void)state;
    struct test_mesh m;
    struct party p[3];
    parties_init(p, &m, 3, NULL, 0, 0);
    for (unsigned i = 0; i < 3; i++) {
        p[i].act = act_count;
    }
    parties_run(p, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(p[i].err, CSL_OK);
    }
}

/* ---- misbehaviour of party 1 ---- */

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
        out[i] = content(p->self, 1, i);
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
    parties_init(p, &mesh, 3, size_100, 1, 5);
    for (unsigned i = 0; i < 3; i++) {
        p[i].round_ms = round_ms;
        assert_int_equal(pthread_create(&t[i], NULL, i == 1 ? rogue_main : party_main, &p[i]), 0);
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
    parties_init(p, &mesh, 3, size_100, 1, 5);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&t[i], NULL, i == 1 ? rogue_main : party_main, &p[i]), 0);
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

/* ---- interrupts, and use ---- */

static pthread_mutex_t link_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t link_known = PTHREAD_COND_INITIALIZER;
static struct csl_mesh_link *shared_link;
static bool link_done;

static void act_alone_in_round_2(struct party *p) {
    one_round(p, 1, 100);
    pthread_mutex_lock(&link_lock);
    shared_link = p->link;
    pthread_cond_signal(&link_known);
    pthread_mutex_unlock(&link_lock);
    one_round(p, 2, 100);
    pthread_mutex_lock(&link_lock);
    while (!link_done) {
        pthread_cond_wait(&link_known, &link_lock);
    }
    pthread_mutex_unlock(&link_lock);
    enum csl_err first = p->err;
    one_round(p, 3, 100); /* poisoned for good */
    p->bad = p->bad || p->err != first;
}

static bool has_failed(void *arg) {
    struct party *p = arg;
    return csl_mesh_link_error(p->link, NULL) != CSL_OK;
}

/* Takes part in round 1, then only listens. */
static void act_listen(struct party *p) {
    one_round(p, 1, 100);
    enum csl_err err = csl_loop_run_until(&p->loop, has_failed, p, LONG_MS);
    p->bad = p->bad || err != CSL_OK;
    p->err = csl_mesh_link_error(p->link, &p->diag);
}

/* Sleeps until another one has begun a round, and until one has gone. */
static bool is_pending(void *arg) {
    const struct party *p = arg;
    return csl_mesh_link_pending(p->link);
}

static void act_wake(struct party *p) {
    for (uint32_t k = 1; k <= 3; k++) {
        enum csl_err err = csl_loop_run_until(&p->loop, is_pending, p, LONG_MS);
        p->bad = p->bad || err != CSL_OK;
        one_round(p, k, 100);
        p->bad = p->bad || p->done != k || csl_mesh_link_error(p->link, NULL) != CSL_OK;
    }
    enum csl_err err = csl_loop_run_until(&p->loop, is_pending, p, LONG_MS);
    p->bad = p->bad || err != CSL_OK;
    one_round(p, 4, 100);
}

static void woken(void **state) {
    (void)state;
    struct test_mesh m;
    struct party p[2];
    parties_init(p, &m, 2, size_100, 1, 3);
    p[0].act = act_wake;
    parties_run(p, 2);
    assert_int_equal(p[0].err, CSL_EPEER);
    assert_non_null(strstr(p[0].diag.text, "lost connection to party-1"));
    assert_int_equal(p[1].err, CSL_OK);
}

static void interrupted(void **state) {
    (void)state;
    for (int wait = 0; wait < 3; wait++) {
        struct test_mesh m;
        struct party p[2];
        pthread_t t[2];
        shared_link = NULL;
        link_done = false;
        parties_init(p, &m, 2, size_100, 1, 5);
        p[0].act = act_alone_in_round_2;
        p[0].wait = (enum csl_wait)wait;
        p[1].act = act_listen;
        for (unsigned i = 0; i < 2; i++) {
            assert_int_equal(pthread_create(&t[i], NULL, party_main, &p[i]), 0);
        }
        pthread_mutex_lock(&link_lock);
        while (shared_link == NULL) {
            pthread_cond_wait(&link_known, &link_lock);
        }
        csl_mesh_link_interrupt(shared_link, CSL_EPEER, "party-1 does not answer its heartbeat");
        csl_mesh_link_interrupt(shared_link, CSL_EBUSY, "a second reason");
        link_done = true;
        pthread_cond_signal(&link_known);
        pthread_mutex_unlock(&link_lock);
        for (unsigned i = 0; i < 2; i++) {
            assert_int_equal(pthread_join(t[i], NULL), 0);
            assert_false(p[i].bad);
        }
        assert_int_equal(p[0].err, CSL_EPEER);
        assert_true(strstr(p[0].diag.text, "does not answer its heartbeat (in round 2)") != NULL ||
                    strstr(p[0].diag.text, "does not answer its heartbeat (after round 1)") != NULL);
        assert_int_equal(p[1].err, CSL_EPEER);
        assert_non_null(strstr(p[1].diag.text, "party-0 aborted"));
        assert_non_null(strstr(p[1].diag.text, "does not answer its heartbeat"));
    }
}

/* Counts its calls; the third one refuses. */
static enum csl_err third_refuses(void *arg, struct csl_diag *diag) {
    unsigned *calls = arg;
    return ++*calls == 3 ? csl_fail(diag, CSL_EAUTH, "the clinic signed something else") : CSL_OK;
}

static void act_meanwhile(struct party *p) {
    struct csl_link *base = csl_mesh_link_base(p->link);
    unsigned calls = 0;
    base->meanwhile = third_refuses;
    base->meanwhile_arg = &calls;
    rounds_from(p, 1);
    p->bad = p->bad || calls != 3 || p->done != 2;
}

static void meanwhile(void **state) {
    (void)state;
    struct test_mesh m;
    struct party p[3];
    parties_init(p, &m, 3, size_100, 1, 5);
    p[1].act = act_meanwhile;
    parties_run(p, 3);
    assert_int_equal(p[1].err, CSL_EAUTH);
    assert_string_equal(p[1].diag.text, "the clinic signed something else");
    assert_int_equal(p[1].culprit, 3); /* no peer's fault */
    for (unsigned i = 0; i < 3; i += 2) {
        assert_int_equal(p[i].err, CSL_EPEER);
        assert_non_null(strstr(p[i].diag.text, "party-1 aborted"));
        assert_non_null(strstr(p[i].diag.text, "the clinic signed something else"));
    }
}

static void act_misuse(struct party *p) {
    struct csl_link *base = csl_mesh_link_base(p->link);
    uint8_t a[8] = {0}, b[8] = {0};
    uint8_t *in[CSL_MAX_PARTIES] = {a, b};
    uint8_t out[8] = {0};
    p->bad = p->bad || base->ops->exchange(base, in, 2, out, 8, &p->diag) != CSL_EUSAGE;
    p->bad = p->bad || base->ops->exchange(base, in, 0, out, 8, &p->diag) != CSL_EUSAGE;
    p->bad = p->bad || base->ops->exchange(base, in, 1, out, (size_t)1 << 40, &p->diag) != CSL_EUSAGE;
    one_round(p, 1, 100);
    p->bad = p->bad || p->err != CSL_OK || base->ops->exchange(base, in, 1, out, 8, NULL) != CSL_EUSAGE;
}

static void misused(void **state) {
    (void)state;
    struct test_mesh m;
    struct party p[2];
    parties_init(p, &m, 2, size_100, 1, 1);
    p[0].act = p[1].act = act_misuse;
    parties_run(p, 2);
    assert_int_equal(p[0].err, CSL_OK);
}

static void wrong_peer_attached(void **state) {
    (void)state;
    struct test_mesh m;
    struct csl_loop loop;
    struct csl_mesh_link *link;
    struct csl_diag diag;
    struct csl_mesh_options opt = {.n_parties = 3, .self = 0, .names = {"party-0", "party-1", "party-2"}};
    test_mesh_new(&m, 3, &ca);
    assert_int_equal(csl_loop_init(&loop, NULL), CSL_OK);
    assert_int_equal(csl_mesh_link_new(&link, &loop, &opt, &diag), CSL_OK);
    assert_int_equal(csl_mesh_link_attach(link, 1, m.parts[0][2], &diag), CSL_EAUTH);
    assert_non_null(strstr(diag.text, "party-2 was given for party-1"));
    assert_int_equal(csl_mesh_link_attach(link, 0, m.parts[1][0], &diag), CSL_EUSAGE);
    assert_int_equal(csl_mesh_link_attach(link, 1, m.parts[0][1], &diag), CSL_OK);
    uint8_t *in[CSL_MAX_PARTIES] = {NULL};
    struct csl_link *base = csl_mesh_link_base(link);
    assert_int_equal(base->ops->exchange(base, in, 1, NULL, 0, &diag), CSL_EUSAGE);
    assert_non_null(strstr(diag.text, "no connection to party-2"));
    csl_mesh_link_free(link);
    csl_conn_parts_free(m.parts[1][2]);
    csl_conn_parts_free(m.parts[2][0]);
    csl_conn_parts_free(m.parts[2][1]);
    assert_int_equal(csl_loop_clear(&loop, LONG_MS), CSL_OK);
    opt.n_parties = 1;
    assert_int_equal(csl_loop_init(&loop, NULL), CSL_OK);
    assert_int_equal(csl_mesh_link_new(&link, &loop, &opt, &diag), CSL_EUSAGE);
    assert_int_equal(csl_loop_clear(&loop, LONG_MS), CSL_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thousands_of_rounds),
        cmocka_unit_test(ten_megabytes_both_ways),
        cmocka_unit_test(counters_by_slot),
        cmocka_unit_test(wrong_round),
        cmocka_unit_test(replayed),
        cmocka_unit_test(wrong_length),
        cmocka_unit_test(unasked_types),
        cmocka_unit_test(aborts),
        cmocka_unit_test(killed),
        cmocka_unit_test(mute),
        cmocka_unit_test(woken),
        cmocka_unit_test(interrupted),
        cmocka_unit_test(meanwhile),
        cmocka_unit_test(misused),
        cmocka_unit_test(wrong_peer_attached),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
