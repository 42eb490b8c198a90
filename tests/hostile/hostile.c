/* The party's and the dealer's daemon with a fault in them. The daemon is the real one; the linker puts the
 * functions below in the place of a few of the library's (--wrap).
 *
 *   hostile party|dealer --site DIR --listen-fd 3 [--wait ...] FAULT...
 *
 *   --stop-at round:N     stops itself (SIGSTOP) before the session's N-th exchange, once
 *   --stop-at mesh:N      before the N-th session's mesh of connections is made
 *   --stop-at prepare:N   before the N-th batch's correlations are used
 *   --stop-at deal:N      (dealer) before the N-th piece of corrections
 *   --short-at round:N    sends a byte less than is due in the session's N-th exchange
 *   --flip-at round:N     changes the last byte of what it sends there: of a signature, where one is due
 *   --tick WHAT           in the first tick that names a request: says that there are too many of them, names
 *                         it twice, gives it no number, no count, too large a count, or sets unknown flags
 *                         (many, twice, number, count, large, flags)
 *   --same-stream yes     proposes the first stream for every session
 *   --version N           says that it speaks protocol version N
 *   --deal WHAT           (dealer) deals wrong bits in every row, or wrong products in a batch's first row
 * (c), or signs another root, seed-root (of party 1), plan or count than it dealt
 *   --tap FILE            appends the first 64 bytes of what it opens in exchanges 2 and 5: in the first
 * session of an epoch, masked weights and the first batch's masked input
 * and the lies of lie.h, and the faults of tell.h. The options of `consilium party` have
 * their meaning.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lie.h"
#include "mpc/correlation.h"
#include "mpc/dealer.h"
#include "nn/infer.h"
#include "roles/daemon/dealer.h"
#include "roles/daemon/party.h"
#include "roles/lane/dealt.h"
#include "roles/lane/lane_internal.h"
#include "roles/talk.h"
#include "tell.h"

static struct {
    const char *stop_at, *short_at, *flip_at, *tap, *deal, *tick;
    bool same_stream;
    uint32_t version;
} fault;

/* point is "round", n counts from 1. */
static bool is_at(const char *spec, const char *point, unsigned long n) {
    size_t len = strlen(point);
    return spec != NULL && strncmp(spec, point, len) == 0 && spec[len] == ':' &&
           strtoul(spec + len + 1, NULL, 10) == n;
}

static bool deals(const char *what) {
    return fault.deal != NULL && strcmp(fault.deal, what) == 0;
}

/* Once; a lane and its pool may come here at the same time. */
static void maybe_stop(const char *point, unsigned long n) {
    static atomic_flag stopped = ATOMIC_FLAG_INIT;
    if (is_at(fault.stop_at, point, n) && !atomic_flag_test_and_set(&stopped)) {
        (void)raise(SIGSTOP);
    }
}

/* ---- Rounds ---- */

enum { LINKS_MAX = 64, TAP_BYTES = 64 };
struct tapped {
    struct csl_link base; /* what the session sees */
    struct csl_link *real;
};

static void tap(const uint8_t *out, size_t n) {
    FILE *f = fopen(fault.tap, "ab");
    if (f != NULL) {
        uint8_t head[TAP_BYTES] = {0};
        memcpy(head, out, n < sizeof head ? n : sizeof head);
        (void)fwrite(head, 1, sizeof head, f);
        (void)fclose(f);
    }
}

/* roles/lane/lane_tick.c has the layout. */
static void lie_in_tick(uint8_t *out, size_t n) {
    enum { FLAGS = 4, COUNT = 5, ENTRIES = 6, NUMBER = ENTRIES + CSL_GUEST_ID_BYTES, EACH = NUMBER + 4 };
    if (fault.tick == NULL || n != CSL__TICK_BYTES || out[COUNT] == 0) {
        return;
    }
    if (strcmp(fault.tick, "many") == 0) {
        out[COUNT] = CSL_GUESTS_MAX + 1;
    } else if (strcmp(fault.tick, "twice") == 0) {
        memcpy(out + ENTRIES + CSL__TICK_ENTRY, out + ENTRIES, CSL__TICK_ENTRY);
        out[COUNT] = 2;
    } else if (strcmp(fault.tick, "number") == 0) {
        memset(out + NUMBER, 0, 4);
    } else if (strcmp(fault.tick, "count") == 0) {
        memset(out + EACH, 0, 4);
    } else if (strcmp(fault.tick, "large") == 0) {
        memset(out + EACH, 0xff, 4);
    } else {
        out[FLAGS] = 4;
    }
    fault.tick = NULL;
}

static enum csl_err exchange(struct csl_link *link, uint8_t *const in[CSL_MAX_PARTIES], uint32_t round,
                             const uint8_t *out, size_t n, struct csl_diag *diag) {
    struct tapped *t = (struct tapped *)link;
    maybe_stop("round", round);
    if (fault.tap != NULL && (round == 2 || round == 5)) {
        tap(out, n);
    }
    if (is_at(fault.short_at, "round", round)) {
        n--;
    }
    if (is_at(fault.flip_at, "round", round)) {
        ((uint8_t *)(uintptr_t)out)[n - 1] ^= 1;
    }
    lie_in_tick((uint8_t *)(uintptr_t)out, n);
    return t->real->ops->exchange(t->real, in, round, out, n, diag);
}

static const struct csl_link_ops tapped_ops = {.exchange = exchange};

struct csl_link *__real_csl_mesh_link_base(struct csl_mesh_link *link);
struct csl_link *__wrap_csl_mesh_link_base(struct csl_mesh_link *link);
struct csl_link *__wrap_csl_mesh_link_base(struct csl_mesh_link *link) {
    static struct tapped links[LINKS_MAX];
    static atomic_uint n;
    struct tapped *t = &links[n++ % LINKS_MAX];
    t->real = __real_csl_mesh_link_base(link);
    t->base = *t->real;
    t->base.ops = &tapped_ops;
    return &t->base;
}

enum csl_err __real_csl_mesh_link_new(struct csl_mesh_link **out, struct csl_loop *loop,
                                      const struct csl_mesh_options *opt, struct csl_diag *diag);
enum csl_err __wrap_csl_mesh_link_new(struct csl_mesh_link **out, struct csl_loop *loop,
                                      const struct csl_mesh_options *opt, struct csl_diag *diag);
enum csl_err __wrap_csl_mesh_link_new(struct csl_mesh_link **out, struct csl_loop *loop,
                                      const struct csl_mesh_options *opt, struct csl_diag *diag) {
    static atomic_uint n;
    maybe_stop("mesh", ++n);
    return __real_csl_mesh_link_new(out, loop, opt, diag);
}

/* ---- Correlations ---- */

enum csl_err __real_csl_infer_prepare(struct csl_corr *corr, const struct csl_model_share *share,
                                      struct csl_diag *diag);
enum csl_err __wrap_csl_infer_prepare(struct csl_corr *corr, const struct csl_model_share *share,
                                      struct csl_diag *diag);
enum csl_err __wrap_csl_infer_prepare(struct csl_corr *corr, const struct csl_model_share *share,
                                      struct csl_diag *diag) {
    static atomic_uint n;
    maybe_stop("prepare", ++n);
    return __real_csl_infer_prepare(corr, share, diag);
}

enum csl_err __real_csl_dealer_corrections(uint8_t *out, size_t n_out, const struct csl_demand *demands,
                                           size_t n_demands, unsigned n_parties, const uint8_t *seeds,
                                           const uint64_t *const *masks, size_t batch, struct csl_diag *diag);
enum csl_err __wrap_csl_dealer_corrections(uint8_t *out, size_t n_out, const struct csl_demand *demands,
                                           size_t n_demands, unsigned n_parties, const uint8_t *seeds,
                                           const uint64_t *const *masks, size_t batch, struct csl_diag *diag);
enum csl_err __wrap_csl_dealer_corrections(uint8_t *out, size_t n_out, const struct csl_demand *demands,
                                           size_t n_demands, unsigned n_parties, const uint8_t *seeds,
                                           const uint64_t *const *masks, size_t batch,
                                           struct csl_diag *diag) {
    static atomic_uint n;
    maybe_stop("deal", ++n);
    TRY(__real_csl_dealer_corrections(out, n_out, demands, n_demands, n_parties, seeds, masks, batch, diag));
    size_t chunk = n_out / batch, bits = 0;
    while (demands[bits].kind == CSL_DEMAND_LINEAR) {
        bits++;
    }
    for (size_t row = 0; row < batch && deals("bits"); row++) {
        out[row * chunk + csl_correction_bytes(demands, bits)] ^= 1;
    }
    out[0] ^= deals("c"); /* the first demand is linear */
    return CSL_OK;
}

enum csl_err __real_csl_dealt_sign(struct csl_signed *out, const struct csl_dealt *d,
                                   const uint8_t *seed_leaves, const uint8_t *correction_leaves,
                                   EVP_PKEY *key, struct csl_diag *diag);
enum csl_err __wrap_csl_dealt_sign(struct csl_signed *out, const struct csl_dealt *d,
                                   const uint8_t *seed_leaves, const uint8_t *correction_leaves,
                                   EVP_PKEY *key, struct csl_diag *diag);
enum csl_err __wrap_csl_dealt_sign(struct csl_signed *out, const struct csl_dealt *d,
                                   const uint8_t *seed_leaves, const uint8_t *correction_leaves,
                                   EVP_PKEY *key, struct csl_diag *diag) {
    struct csl_dealt other = *d;
    uint8_t *leaves = (uint8_t *)(uintptr_t)seed_leaves; /* the dealing's own, not used again */
    other.demands_digest[0] ^= deals("plan");
    leaves[(size_t)d->total * CSL_MERKLE_BYTES] ^= deals("seed-root");
    *(uint8_t *)(uintptr_t)correction_leaves ^= deals("root");
    if (!deals("count")) {
        return __real_csl_dealt_sign(out, &other, seed_leaves, correction_leaves, key, diag);
    }
    leaves = calloc((size_t)d->n_parties * ++other.total, CSL_MERKLE_BYTES);
    enum csl_err err =
        leaves == NULL ? CSL_ENOMEM : __real_csl_dealt_sign(out, &other, leaves, leaves, key, diag);
    free(leaves);
    return err;
}

enum csl_err __real_csl_stream_allot(struct csl_stream_set *set, uint32_t *stream, struct csl_diag *diag);
enum csl_err __wrap_csl_stream_allot(struct csl_stream_set *set, uint32_t *stream, struct csl_diag *diag);
enum csl_err __wrap_csl_stream_allot(struct csl_stream_set *set, uint32_t *stream, struct csl_diag *diag) {
    static atomic_int first = -1;
    TRY(__real_csl_stream_allot(set, stream, diag));
    if (first < 0) {
        first = (int)*stream;
    }
    if (fault.same_stream) {
        *stream = (uint32_t)first;
    }
    return CSL_OK;
}

/* ---- HELLO ---- */

enum csl_err __real_csl_hello_encode(uint8_t **out, size_t *n, const struct csl_context *ctx,
                                     Csl__Pb__Purpose purpose, const uint8_t *session_id);
enum csl_err __wrap_csl_hello_encode(uint8_t **out, size_t *n, const struct csl_context *ctx,
                                     Csl__Pb__Purpose purpose, const uint8_t *session_id);
enum csl_err __wrap_csl_hello_encode(uint8_t **out, size_t *n, const struct csl_context *ctx,
                                     Csl__Pb__Purpose purpose, const uint8_t *session_id) {
    TRY(__real_csl_hello_encode(out, n, ctx, purpose, session_id));
    if (fault.version != 0) {
        Csl__Pb__Hello *h = csl__pb__hello__unpack(NULL, *n, *out);
        h->protocol = fault.version; /* as long as before: both are below 128 */
        *n = csl__pb__hello__pack(h, *out);
        csl__pb__hello__free_unpacked(h, NULL);
    }
    return CSL_OK;
}

enum csl_err __real_csl_hello_ack_encode(uint8_t **out, size_t *n, const struct csl_context *ctx,
                                         enum csl_err err, const char *reason);
enum csl_err __wrap_csl_hello_ack_encode(uint8_t **out, size_t *n, const struct csl_context *ctx,
                                         enum csl_err err, const char *reason);
enum csl_err __wrap_csl_hello_ack_encode(uint8_t **out, size_t *n, const struct csl_context *ctx,
                                         enum csl_err err, const char *reason) {
    TRY(__real_csl_hello_ack_encode(out, n, ctx, err, reason));
    if (fault.version != 0) {
        Csl__Pb__HelloAck *h = csl__pb__hello_ack__unpack(NULL, *n, *out);
        h->protocol = fault.version;
        *n = csl__pb__hello_ack__pack(h, *out);
        csl__pb__hello_ack__free_unpacked(h, NULL);
    }
    return CSL_OK;
}

/* ---- The program ---- */

int main(int argc, char **argv) {
    const char *site = NULL, *roster = NULL;
    enum csl_wait patience = CSL_WAIT_BLOCK;
    struct csl_daemon_options daemon = {.listen_fd = -1};
    for (int i = 2; i + 1 < argc; i += 2) {
        const char *name = argv[i], *value = argv[i + 1];
        if (hostile_lie_option(name, value) || hostile_tell_option(name, value)) {
            continue;
        }
        if (strcmp(name, "--site") == 0) {
            site = value;
        } else if (strcmp(name, "--listen-fd") == 0) {
            daemon.listen_fd = atoi(value);
        } else if (strcmp(name, "--roster") == 0) {
            roster = value;
        } else if (strcmp(name, "--bind") == 0) {
            daemon.bind_address = value;
        } else if (strcmp(name, "--port") == 0) {
            daemon.port = (uint16_t)atoi(value);
        } else if (strcmp(name, "--wait") == 0) {
            patience = csl_wait_parse(&patience, value) ? patience : CSL_WAIT_BLOCK;
        } else if (strcmp(name, "--stop-at") == 0) {
            fault.stop_at = value;
        } else if (strcmp(name, "--short-at") == 0) {
            fault.short_at = value;
        } else if (strcmp(name, "--flip-at") == 0) {
            fault.flip_at = value;
        } else if (strcmp(name, "--same-stream") == 0) {
            fault.same_stream = true;
        } else if (strcmp(name, "--version") == 0) {
            fault.version = (uint32_t)strtoul(value, NULL, 10);
        } else if (strcmp(name, "--deal") == 0) {
            fault.deal = value;
        } else if (strcmp(name, "--tick") == 0) {
            fault.tick = value;
        } else if (strcmp(name, "--tap") == 0) {
            fault.tap = value;
        }
    }
    struct csl_diag diag = {""};
    struct csl_context ctx;
    enum csl_err err = argc < 2 || site == NULL ? CSL_EUSAGE : csl_context_load(&ctx, site, roster, &diag);
    if (err == CSL_OK && strcmp(argv[1], "dealer") == 0) {
        err = csl_dealer_run(&ctx, &daemon, &diag);
        csl_context_free(&ctx);
    } else if (err == CSL_OK) {
        struct csl_party_options po = {.daemon = daemon, .wait = patience};
        err = csl_party_run(&ctx, &po, &diag);
        csl_context_free(&ctx);
    }
    if (err != CSL_OK) {
        (void)fprintf(stderr, "hostile: %s\n", diag.text);
    }
    return csl_err_exit_code(err);
}
