/* Two sites on one loop over loopback sockets, and what came of each connection. */
#ifndef TESTS_NET_CONN_WORLD_H
#define TESTS_NET_CONN_WORLD_H

#include "net/listener.h"
#include "test_pair.h"

enum { LONG_MS = 60000, DATA_MAX = 4 << 20, MAX_ENDS = 80 };

extern struct test_ca conn_ca; /* between conn_setup and conn_teardown */
int conn_setup(void **state);
int conn_teardown(void **state);

/* ---- ends ---- */

/* One end under test, and what came of it. */
struct end {
    struct csl_conn *conn;
    bool open, closed;
    enum csl_err err;
    struct csl_diag why;
    unsigned frames;
    struct csl_frame_header last;
    uint32_t next_seq; /* DATA is expected in order */
    bool disorder;
    uint64_t bytes;
    uint8_t *direct; /* on_header gives this for DATA */
    void (*then)(struct end *e, const struct csl_frame_header *h, const uint8_t *payload);
    void *extra;
};

extern const struct csl_conn_callbacks end_callbacks; /* arg: the end */

bool end_is_open(void *end); /* fails the test when it closed instead */
bool end_is_closed(void *end);
bool end_has_one_frame(void *end); /* or is closed */

/* For `then`: sends the frame back. */
void end_echo(struct end *e, const struct csl_frame_header *h, const uint8_t *payload);
void end_drop(struct end *e);

/* ---- sites ---- */

/* A loop with a listener whose conns become ends. */
struct site {
    struct csl_loop loop;
    struct csl_listener *listener;
    struct csl_tls_ctx *alice, *bob; /* alice dials, bob listens */
    struct csl_conn_options opt;     /* of both sides */
    struct end in[MAX_ENDS];
    unsigned n_in;
    unsigned failed;
    enum csl_err fail_err;
    struct csl_diag fail_why;
};

extern const struct csl_listener_callbacks site_callbacks; /* arg: the site */

void site_init(struct site *s);
/* The same in two steps, for those who change the options. */
void site_options(struct site *s, struct csl_listener_options *opt);
void site_listen(struct site *s, const struct csl_listener_options *opt);
void site_clear(struct site *s);

void site_dial(struct site *s, struct end *e, struct csl_tls_ctx *ctx);
/* alice dials bob, until both are open: a is alice's end, s->in[0] bob's. */
void site_connect(struct site *s, struct end *a);
/* Runs the loop until done(arg), which must come. */
void site_run(struct site *s, bool (*done)(void *), void *arg);
bool site_has_guest(void *site);
bool site_has_failed(void *site);

/* ---- sockets that are no csl_conn ---- */

int site_raw_socket(const struct site *s);

/* A TLS client by hand, so that the test decides when a byte moves. */
struct hand {
    struct csl_tls *tls;
    int fd;
    struct site *site;
};

void hand_init(struct hand *h, struct site *s);
/* Runs the handshake, until the site has its end. */
void hand_connect(struct hand *h);
/* Encrypts a frame of type, seq and length n, of whose payload only `sent` bytes follow. */
void hand_frame(struct hand *h, unsigned type, uint32_t seq, uint32_t n, uint32_t sent);
/* Sends at most n bytes of what TLS has to say; the number sent. */
size_t hand_send(struct hand *h, size_t n);
void hand_clear(struct hand *h);

void assert_says(const struct csl_diag *d, const char *words);

#endif
