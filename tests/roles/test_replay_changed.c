/* Changed views: whatever is changed in one, and in whichever way, nobody is accused. */
#include "replay_world.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"

struct change {
    const char *what, *word;
    void (*make)(struct rw_session *s, unsigned p);
};

/* A party that lies about what it received, or anybody who changes a view. */
static void accuse_nobody(const struct rw *w, const struct change *changes, size_t n, unsigned step) {
    for (size_t i = 0; i < n; i++) {
        for (unsigned p = 0; p < w->n; p += step) {
            struct rw_session *s = rw_run(w, RW_HONEST, 1);
            changes[i].make(s, p);
            struct rw_verdict v = rw_replay(s, p, 0);
            if (v.verdict != CSL_VERDICT_MISMATCH || strstr(v.text, changes[i].word) == NULL) {
                fail_msg("%s of party %u: verdict %d: %s", changes[i].what, p, (int)v.verdict, v.text);
            }
            assert_false(v.fault.found);
            rw_session_free(s);
        }
    }
}

/* ---- Sessions of one client ---- */

static void received(struct rw_session *s, unsigned p) {
    rw_first(s, p)->rounds[2].messages[(p + 1) % s->w->n][0] ^= 1;
}
static void sent(struct rw_session *s, unsigned p) {
    rw_first(s, p)->rounds[2].messages[p][0] ^= 1;
}
static void seed(struct rw_session *s, unsigned p) {
    rw_first(s, p)->seeds[70] ^= 1;
}
static void seed_leaf(struct rw_session *s, unsigned p) {
    rw_first(s, p)->seed_leaves[33] ^= 1;
}
static void counter(struct rw_session *s, unsigned p) {
    rw_first(s, p)->counters[1]--;
}
static void first_counter(struct rw_session *s, unsigned p) {
    rw_first(s, p)->first--;
    rw_first(s, p)->counters[0]--;
    rw_first(s, p)->counters[1]--;
}
static void correction(struct rw_session *s, unsigned p) {
    if (p + 1 == s->w->n) {
        rw_first(s, p)->corrections[3] ^= 1;
    } else {
        seed(s, p);
    }
}
static void dealt(struct rw_session *s, unsigned p) {
    rw_first(s, p)->dealt.signature[5] ^= 1;
}
static void input(struct rw_session *s, unsigned p) {
    rw_first(s, p)->inputs[0].share[1] ^= 1;
}
static void salt(struct rw_session *s, unsigned p) {
    rw_first(s, p)->inputs[0].salt[1] ^= 1;
}
static void input_statement(struct rw_session *s, unsigned p) {
    rw_first(s, p)->inputs[0].statement.signature[1] ^= 1;
}
static void head(struct rw_session *s, unsigned p) {
    rw_first(s, p)->heads[(p + 1) % s->w->n].signature[1] ^= 1;
}
static void own_head(struct rw_session *s, unsigned p) {
    rw_first(s, p)->heads[p].signature[1] ^= 1;
}
static void output(struct rw_session *s, unsigned p) {
    rw_first(s, p)->outputs[0].share[0] ^= 1;
}
static void output_salt(struct rw_session *s, unsigned p) {
    rw_first(s, p)->outputs[0].salt[0] ^= 1;
}
static void output_signature(struct rw_session *s, unsigned p) {
    rw_first(s, p)->outputs[0].statement.signature[0] ^= 1;
}
static void output_statement(struct rw_session *s, unsigned p) { /* another one, that nobody signed */
    rw_first(s, p)->outputs[0].statement.statement[rw_first(s, p)->outputs[0].statement.n - 1] ^= 1;
}
static void larger(struct rw_session *s, unsigned p) {
    rw_first(s, p)->count = RW_COUNT + 1; /* nothing of the size is read */
}
static void fewer_rounds(struct rw_session *s, unsigned p) {
    free(rw_first(s, p)->rounds[--rw_first(s, p)->n_rounds].messages[0]);
}
static void batches(struct rw_session *s, unsigned p) {
    struct csl_record swapped = s->batches[p][0];
    s->batches[p][0] = s->batches[p][1];
    s->batches[p][1] = swapped;
}
static void nonces(struct rw_session *s, unsigned p) {
    s->views[p].record.nonces[1] ^= 1;
}
static void session_signature(struct rw_session *s, unsigned p) {
    s->views[p].record.signatures[(p + 1) % s->w->n][1] ^= 1;
}
static void statement(struct rw_session *s, unsigned p) {
    s->views[p].record.statement[s->views[p].record.n_statement - 1] ^= 3;
}
static void manifest(struct rw_session *s, unsigned p) {
    s->views[p].manifest_signature[1] ^= 1;
}
static void model_part(struct rw_session *s, unsigned p) {
    s->views[p].part[40] ^= 1;
}
static void masked_weights(struct rw_session *s, unsigned p) {
    s->views[p].e[1][0] ^= 1;
}
static void request(struct rw_session *s, unsigned p) {
    s->views[p].request.max_batch++;
}

static const struct change changes[] = {
    {"a received message", "is not what", received},
    {"a sent message", "not what it signed", sent},
    {"a seed", "seed", seed},
    {"a leaf of a seed", "seeds", seed_leaf},
    {"a counter", "seed of inference 2", counter},
    {"the first counter", "first counter", first_counter},
    {"a correction", "inference", correction},
    {"the dealer's signature", "dealer signed", dealt},
    {"the input share", "committed to", input},
    {"its salt", "committed to", salt},
    {"the input's signature", "not signed by clinic", input_statement},
    {"a peer's signature", "does not carry its signature", head},
    {"its own signature", "does not carry its signature", own_head},
    {"the output share", "output share", output},
    {"its salt", "output share", output_salt},
    {"its signature", "output share", output_signature},
    {"its statement", "output share", output_statement},
    {"a larger count", "session allows 2", larger},
    {"a message less", "not what", fewer_rounds},
    {"batches swapped", "where 1 is due", batches},
    {"the nonces", "nonces", nonces},
    {"a session signature", "not signed by", session_signature},
    {"the statement", "", statement},
    {"the manifest's signature", "not signed by the model's owner", manifest},
    {"the share of the model", "share of the model", model_part},
    {"the masked weights", "masked weights", masked_weights},
    {"the request", "request", request},
};

static void of_one_client(void **state) {
    (void)state;
    struct rw w;
    rw_open(&w, 3, false, false);
    accuse_nobody(&w, changes, sizeof changes / sizeof *changes, 2);
    rw_close(&w);
}

/* ---- Shared sessions ---- */

static void guest(struct rw_session *s, unsigned p) {
    rw_first(s, p)->inputs[1].request.guest[3] ^= 1;
}
static void number(struct rw_session *s, unsigned p) {
    rw_first(s, p)->inputs[1].request.number++;
}
static void no_number(struct rw_session *s, unsigned p) {
    rw_first(s, p)->inputs[1].request.number = 0;
}
static void owner(struct rw_session *s, unsigned p) {
    rw_first(s, p)->inputs[1].owner = rw_first(s, p)->inputs[0].owner;
}
static void no_owner(struct rw_session *s, unsigned p) {
    rw_first(s, p)->inputs[1].owner = NULL;
}
static void rows_of_request(struct rw_session *s, unsigned p) {
    rw_first(s, p)->inputs[1].count++;
}
static void first_of_request(struct rw_session *s, unsigned p) {
    rw_first(s, p)->inputs[1].first = 0;
}
static void fewer_rows(struct rw_session *s, unsigned p) {
    rw_first(s, p)->inputs[1].first = rw_first(s, p)->inputs[0].count = 0;
}
static void inputs_swapped(struct rw_session *s, unsigned p) {
    struct csl_record_input *in = rw_first(s, p)->inputs, swapped = in[0];
    in[0] = in[1];
    in[1] = swapped;
    in[0].first = 0;
    in[1].first = 1;
}
static void shares_swapped(struct rw_session *s, unsigned p) {
    struct csl_record_input *in = rw_first(s, p)->inputs;
    uint8_t *share = in[0].share;
    in[0].share = in[1].share;
    in[1].share = share;
}
static void outputs_swapped(struct rw_session *s, unsigned p) {
    struct csl_record_output *out = rw_first(s, p)->outputs, swapped = out[0];
    out[0] = out[1];
    out[1] = swapped;
}
static void output_share(struct rw_session *s, unsigned p) {
    rw_first(s, p)->outputs[1].share[0] ^= 1;
}
static void fewer_outputs(struct rw_session *s, unsigned p) {
    struct csl_record_output *out = &rw_first(s, p)->outputs[--rw_first(s, p)->n_outputs];
    csl_secret_free(out->share);
    csl_signed_clear(&out->statement);
}
static void first_row(struct rw_session *s, unsigned p) {
    rw_first(s, p)->first_row = 1; /* 1 and 2 have these counters, if the checked one is the last */
    rw_first(s, p)->counters[0] = 1;
    rw_first(s, p)->counters[1] = 2;
}
static void first_row_alone(struct rw_session *s, unsigned p) {
    rw_first(s, p)->first_row = 3;
}
static void first_row_beyond(struct rw_session *s, unsigned p) {
    rw_first(s, p)->first_row = UINT32_MAX;
}
static void not_shared(struct rw_session *s, unsigned p) {
    s->views[p].request.shared = false;
}

static const struct change shared_changes[] = {
    {"a guest", "committed to", guest},
    {"a request's number", "committed to", number},
    {"no number", "those of the batch", no_number},
    {"another owner", "is not signed by", owner},
    {"no owner", "is not signed by", no_owner},
    {"rows of a request", "those of the batch", rows_of_request},
    {"first row of a request", "those of the batch", first_of_request},
    {"fewer rows", "those of the batch", fewer_rows},
    {"inputs swapped", "signed", inputs_swapped},
    {"shares swapped", "committed to", shares_swapped},
    {"outputs swapped", "output share", outputs_swapped},
    {"an output share", "output share", output_share},
    {"an output less", "those of the batch", fewer_outputs},
    {"the first row", "seed of inference", first_row},
    {"the first row alone", "rows that the heads name", first_row_alone},
    {"a first row beyond all", "rows that the heads name", first_row_beyond},
    {"a session of its own", "request", not_shared},
};

static void of_several_clients(void **state) {
    (void)state;
    struct rw w;
    rw_open(&w, 2, false, false);
    rw_set_shared(&w);
    accuse_nobody(&w, shared_changes, sizeof shared_changes / sizeof *shared_changes, 1);
    rw_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_one_client),
        cmocka_unit_test(of_several_clients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
