/* A guest's request as every party verifies it on arrival: what is wrong with it is that guest's fault, and
 * no request is taken twice. */
#include "replay_world.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "roles/input_share.h"
#include "roles/lane/lane_internal.h"

#define OK(x) assert_int_equal((x), CSL_OK)

enum { PARTIES = 2, COUNT = 3 };

static struct rw w;
static struct csl_package package;
static struct csl_lane *lanes[PARTIES];

static int open_lanes(void **state) {
    (void)state;
    rw_open(&w, PARTIES, false, false);
    package.plan = w.net->plan;
    for (unsigned p = 0; p < PARTIES; p++) {
        lanes[p] = calloc(1, sizeof *lanes[p]);
        assert_non_null(lanes[p]);
        lanes[p]->opt.package = &package;
        lanes[p]->opt.request.shared = true;
        lanes[p]->self = p;
        lanes[p]->n_parties = PARTIES;
        lanes[p]->is_last = p + 1 == PARTIES;
        memset(lanes[p]->agreed.digest, 0x44, CSL_DIGEST_BYTES);
    }
    return 0;
}

static int close_lanes(void **state) {
    (void)state;
    for (unsigned p = 0; p < PARTIES; p++) {
        csl__lane_forget_requests(lanes[p]);
        free(lanes[p]);
    }
    rw_close(&w);
    return 0;
}

/* What client `who` signs and sends as this guest's request, and what arrives at each party. */
struct request {
    struct csl_input_share share;
    struct csl_record_input at[PARTIES];
};

static void make(struct request *q, unsigned who, uint8_t guest, uint32_t number) {
    uint8_t id[CSL_GUEST_ID_BYTES], session[CSL_DIGEST_BYTES];
    float *x = random_inputs(&w.net->plan, COUNT, 9);
    memset(q, 0, sizeof *q);
    memset(id, guest, sizeof id);
    memset(session, 0x44, sizeof session);
    OK(csl_input_share_make(&q->share, &w.net->plan, NULL, x, COUNT, PARTIES, NULL));
    OK(csl_input_share_sign(&q->share, w.clients[who]->sign_key, session, 0, 0, id, number, NULL));
    for (unsigned p = 0; p < PARTIES; p++) {
        struct csl_record_input *in = &q->at[p];
        bool last = p + 1 == PARTIES;
        in->owner = w.clients[who];
        in->count = COUNT;
        in->request.number = number;
        memcpy(in->request.guest, id, sizeof id);
        in->each = q->share.each;
        in->n = last ? q->share.n_packed : CSL_SHARE_SEED_BYTES;
        in->share = csl_secret_alloc(in->n, 1);
        memcpy(in->share, last ? q->share.packed : q->share.seeds, in->n);
        memcpy(in->salt, q->share.salts + (size_t)p * 32, 32);
        OK(csl_signed_copy(&in->statement, q->share.statement.statement, q->share.statement.n,
                           q->share.statement.signature));
    }
    free(x);
}

static void clear(struct request *q) {
    for (unsigned p = 0; p < PARTIES; p++) {
        csl_record_input_clear(&q->at[p]);
    }
    csl_input_share_clear(&q->share);
}

static void taken(unsigned who, uint8_t guest, uint32_t number) {
    struct request q;
    make(&q, who, guest, number);
    for (unsigned p = 0; p < PARTIES; p++) {
        struct csl_diag diag = {""};
        if (csl__lane_verify_request(lanes[p], &q.at[p], &diag) != CSL_OK) {
            fail_msg("party %u: %s", p, diag.text);
        }
        assert_non_null(q.at[p].commitments);
    }
    clear(&q);
}

static void refused(unsigned who, uint8_t guest, uint32_t number, const char *word) {
    struct request q;
    make(&q, who, guest, number);
    for (unsigned p = 0; p < PARTIES; p++) {
        struct csl_diag diag = {""};
        assert_int_equal(csl__lane_verify_request(lanes[p], &q.at[p], &diag), CSL_EAUTH);
        if (strstr(diag.text, word) == NULL || strstr(diag.text, w.clients[who]->name) == NULL) {
            fail_msg("%s", diag.text);
        }
    }
    clear(&q);
}

/* ---- Which requests ---- */

static void no_request_twice(void **state) {
    (void)state;
    taken(0, 1, 1);
    refused(0, 1, 1, "comes again");
    taken(0, 1, 2);
    taken(0, 1, 7);
    refused(0, 1, 6, "comes again");
    taken(0, 2, 1); /* another guest of the same client, and one of another */
    taken(1, 3, 1);
    refused(1, 2, 2, "another client's guest");
    taken(0, 2, 2);
    for (uint8_t guest = 10; guest < 210; guest++) { /* they are remembered, however many came since */
        taken(guest % 2, guest, 1);
    }
    refused(0, 1, 7, "comes again");
    refused(1, 10, 2, "another client's guest");
    assert_false(csl__lane_many_asked(lanes[0]));
    csl__lane_forget_requests(lanes[0]);
    csl__lane_forget_requests(lanes[1]);
    taken(0, 1, 1);
}

/* As if so many guests had been there (all with one name, 0). */
static void pretend(struct csl_lane *l, size_t n) {
    csl__lane_forget_requests(l);
    l->asked = calloc(n, 64); /* more than an entry has */
    assert_non_null(l->asked);
    l->n_asked = l->room_asked = n;
}

static void many_guests(void **state) {
    (void)state;
    for (unsigned p = 0; p < PARTIES; p++) {
        pretend(lanes[p], (1 << 16) - 1);
        assert_false(csl__lane_many_asked(lanes[p]));
    }
    taken(0, 1, 1);
    assert_true(csl__lane_many_asked(lanes[0]));
    assert_true(csl__lane_many_asked(lanes[1])); /* whoever says so in a tick says it for all */
    taken(0, 2, 1);
    refused(0, 2, 1, "comes again");
    for (unsigned p = 0; p < PARTIES; p++) {
        struct request q;
        struct csl_diag diag = {""};
        pretend(lanes[p], 4 << 16);
        make(&q, 0, 3, 1);
        assert_int_equal(csl__lane_verify_request(lanes[p], &q.at[p], &diag), CSL_EBUSY);
        assert_non_null(strstr(diag.text, "262144 guests"));
        clear(&q);
        csl__lane_forget_requests(lanes[p]);
    }
}

/* ---- What is wrong with one ---- */

static void owner(struct csl_record_input *in) {
    in->owner = w.clients[1];
}
static void signature(struct csl_record_input *in) {
    in->statement.signature[3] ^= 1;
}
static void guest(struct csl_record_input *in) {
    in->request.guest[3] ^= 1;
}
static void number(struct csl_record_input *in) {
    in->request.number++;
}
static void part(struct csl_record_input *in) {
    in->part = 1;
}
static void more(struct csl_record_input *in) {
    in->count++; /* of the last party it is too short for that */
}
static void salt(struct csl_record_input *in) {
    in->salt[3] ^= 1;
}
static void share(struct csl_record_input *in) {
    in->share[3] ^= 1;
}

/* Nothing of it is remembered: the right one is taken afterwards. */
static void wrong_requests_are_refused(void **state) {
    (void)state;
    static const struct {
        void (*change)(struct csl_record_input *in);
        const char *word;
    } cases[] = {{owner, "not signed"},
                 {signature, "not signed"},
                 {guest, "guest or request"},
                 {number, "guest or request"},
                 {part, "count or part"},
                 {more, "count or part"},
                 {salt, "commit"},
                 {share, "commit"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct request q;
        make(&q, 0, 0xf0, (uint32_t)i + 1);
        for (unsigned p = 0; p < PARTIES; p++) {
            struct csl_diag diag = {""};
            struct csl_record_input right = q.at[p];
            cases[i].change(&q.at[p]);
            enum csl_err err = csl__lane_verify_request(lanes[p], &q.at[p], &diag);
            if (cases[i].change == more && p + 1 == PARTIES) {
                assert_int_equal(err, CSL_EPROTO);
            } else if (err != CSL_EAUTH || strstr(diag.text, cases[i].word) == NULL) {
                fail_msg("case %zu, party %u: %s", i, p, diag.text);
            }
            free(q.at[p].commitments);
            q.at[p] = right;
            if (cases[i].change == signature || cases[i].change == share) {
                cases[i].change(&q.at[p]); /* back */
            }
        }
        clear(&q);
        taken(0, 0xf0, (uint32_t)i + 1);
    }
}

/* Well signed, and not for this: another session, or the statement of a batch. */
static void statements_of_other_things(void **state) {
    (void)state;
    for (int which = 0; which < 3; which++) {
        struct request q;
        make(&q, 0, 0xe0, 1);
        Csl__Audit__InputStatement *m = NULL;
        struct csl_signed *s = &q.at[0].statement;
        struct csl_diag diag = {""};
        OK(csl_input_statement_decode(&m, s->statement, s->n, NULL));
        if (which == 0) {
            m->session.data[0] ^= 1;
        } else if (which == 1) {
            m->batch = 1;
        } else {
            m->n_roots = 1;
        }
        csl_signed_clear(s);
        OK(csl_statement_sign(s, CSL_STATEMENT_INPUT, &m->base, w.clients[0]->sign_key, NULL));
        m->n_roots = PARTIES;
        csl_statement_free(m);
        enum csl_err err = csl__lane_verify_request(lanes[0], &q.at[0], &diag);
        assert_int_equal(err, which == 1 ? CSL_EDATA : CSL_EAUTH);
        assert_non_null(strstr(diag.text, "clinic"));
        clear(&q);
    }
    taken(0, 0xe0, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_request_twice),
        cmocka_unit_test(many_guests),
        cmocka_unit_test(wrong_requests_are_refused),
        cmocka_unit_test(statements_of_other_things),
    };
    return cmocka_run_group_tests(tests, open_lanes, close_lanes);
}
