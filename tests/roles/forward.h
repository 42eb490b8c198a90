/* A port in front of another one on this machine, whose connections can be cut: for a federation's `via`. */
#ifndef CSL_TESTS_ROLES_FORWARD_H
#define CSL_TESTS_ROLES_FORWARD_H

#include <pthread.h>
#include <stdint.h>

struct forward {
    uint16_t port; /* ours */
    uint16_t to;   /* the one behind */
    int listen_fd;
    int control[2]; /* a byte: 'c' cuts, 'q' ends */
    pthread_t thread;
};

void forward_start(struct forward *f, uint16_t to);
/* Every connection through it ends; new ones are let through. */
void forward_cut(struct forward *f);
void forward_stop(struct forward *f);

#endif
