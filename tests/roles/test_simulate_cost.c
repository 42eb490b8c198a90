/* What `model check` announces is what `simulate` then counts, to the byte.
 *
 *   test_simulate_cost PARTIES
 *
 * The announced bytes are the protocol's; on a wire each opening, output and correction is in a frame with a
 * header of its own. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "simulate.h"

enum { FRAME_HEADER = 12, MAX_BATCH = 4, MAX_INPUTS = 192 };

struct net {
    const char *name;
    unsigned inputs;
};
static const struct net nets[] = {
    {"pools_op11", 25},            /* max pool, average pool, residual add */
    {"torch_residual_op13", 192},  /* residual adds with ReLU, global average pool */
    {"torch_activations_op14", 12} /* sigmoid, tanh, leaky ReLUs */
};

static bool same(const char *what, double announced, double counted) {
    if (announced == counted) {
        return true;
    }
    printf("  %s: announced %.17g, counted %.17g\n", what, announced, counted);
    return false;
}

static bool agree(const json_t *announced, const json_t *counted, unsigned parties, unsigned batch) {
    const json_t *cost = json_object_get(announced, "cost"), *audit = json_object_get(announced, "audit");
    double rounds = number(cost, "rounds");
    double link = number(cost, "online_bytes_per_link") + FRAME_HEADER * (rounds - 1); /* the last: output */
    double output = number(cost, "output_bytes") + FRAME_HEADER;
    double rows = batch + number(audit, "check_rows"); /* that are dealt */
    double dealt =
        number(audit, "offline_bytes_per_link") + FRAME_HEADER * number(audit, "offline_exchanges");
    double offline = number(cost, "offline_bytes") + FRAME_HEADER * rows + dealt * (parties - 1);
    bool ok = same("images", batch, number(counted, "images"));
    ok = same("rounds", rounds, number(counted, "rounds")) && ok;
    ok = same("online, a link", link, number(counted, "online_bytes_per_link") * batch) && ok;
    ok = same("online, a party", link * (parties - 1) + output,
              number(counted, "online_bytes_per_party") * batch) &&
         ok;
    ok = same("offline", offline, number(counted, "offline_bytes_per_party") * batch) && ok;
    return same("classes that agree", 1, number(counted, "agree_with_plain")) && ok;
}

static bool check(const struct net *net, const char *images, unsigned parties, unsigned batch,
                  const char *reveal, const char *audit, const char *profile) {
    char common[512];
    (void)snprintf(
        common, sizeof common,
        "--normalize none --interval 0:1 --parties %u --batch %u --reveal %s %s --profile %s --json", parties,
        batch, reveal, audit, profile);
    json_t *announced =
        run_json("'%s' model check tests/corpus/onnx/%s.onnx %s", CSL_PROGRAM, net->name, common);
    json_t *counted = run_json(
        "'%s' simulate --model tests/corpus/onnx/%s.onnx --images '%s' --count %u --keys '" CSL_TEST_KEYS
        "' %s",
        CSL_PROGRAM, net->name, images, batch, common);
    bool ok = announced != NULL && counted != NULL && agree(announced, counted, parties, batch);
    const char *ran = json_string_value(json_object_get(counted, "profile"));
    ok = ok && ran != NULL && strcmp(ran, profile) == 0;
    /* A client that asked for the class has no logits to compare. */
    bool logits = number(counted, "max_logit_error") > 0;
    ok = ok && logits == (strcmp(reveal, "logits") == 0);
    printf("%s, %u parties, batch %u, %s, %s, %s: %s\n", net->name, parties, batch, reveal, audit, profile,
           ok ? "same" : "FAILED");
    json_decref(announced);
    json_decref(counted);
    return ok;
}

static bool check_net(const struct net *net, unsigned parties) {
    float x[MAX_BATCH * MAX_INPUTS];
    unsigned state = 1;
    for (size_t i = 0; i < sizeof x / sizeof x[0]; i++) {
        state = state * 1103515245u + 12345u;
        x[i] = (float)(state >> 16) / 65536.0F;
    }
    char images[PATH_ROOM];
    write_npy(images, x, MAX_BATCH, net->inputs);
    bool ok = true;
    /* With more parties the formulas are the same: the larger batch is enough. */
    for (unsigned batch = parties == 2 ? 1 : MAX_BATCH; batch <= MAX_BATCH; batch += MAX_BATCH - 1) {
        ok = check(net, images, parties, batch, "logits", "--sign off", "lan") && ok;
        ok = check(net, images, parties, batch, "label", "--sign before-output --check-rows 2", "lan") && ok;
    }
    ok = check(net, images, parties, 2, "label", "--sign before-output --check-rows 2", "wan") && ok;
    (void)unlink(images);
    return ok;
}

int main(int argc, char **argv) {
    unsigned parties = argc == 2 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;
    if (parties < 2) {
        return 64;
    }
    bool ok = true;
    for (size_t i = 0; i < sizeof nets / sizeof nets[0]; i++) {
        ok = check_net(&nets[i], parties) && ok;
    }
    return ok ? 0 : 1;
}
