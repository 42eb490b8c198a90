/* Shared by ledger.c (life, appending, reading), ledger_log.c (the log file), ledger_notes.c (checkpoints and
 * witnessing) and ledger_history.c. */
#ifndef CSL_AUDIT_LEDGER_INTERNAL_H
#define CSL_AUDIT_LEDGER_INTERNAL_H

#include <pthread.h>
#include <sys/types.h>

#include "audit/ledger.h"
#include "crypto/files_internal.h"

enum {
    CSL__LOG_HEADER = 8,    /* "CSLL" | version */
    CSL__ENTRY_HEADER = 12, /* length u32 | SHA-256(length)[0..4) | leaf hash[0..4) */
    CSL__MARK_EVERY = 32,   /* entries between two of which the place is kept */
    CSL__HISTORY_MAX = 4096
};

struct csl_ledger {
    char dir[CSL__PATH_MAX];
    char origin[CSL_ORIGIN_MAX + 1], name[CSL_NOTE_NAME_MAX + 1];
    EVP_PKEY *key;

    /* The log. Who holds lock may also hold the file lock of fd, which keeps other processes out. */
    pthread_mutex_t lock;
    int fd;
    uint64_t end;    /* bytes of whole entries that are in the tree */
    uint64_t synced; /* bytes that are known to be on the disk */
    bool syncing;    /* a thread is in fdatasync, without the lock */
    pthread_cond_t sync_done;
    struct csl_merkle_tree tree;
    uint64_t *marks; /* offsets of entries 0, MARK_EVERY, ... */
    size_t n_marks, room_marks;
    uint64_t torn;
    enum csl_err failed; /* closed for good */
    struct csl_diag why;

    /* Group commit. */
    pthread_t syncer;
    bool has_syncer, stopping;
    pthread_cond_t dirty;
    uint32_t sync_ms;

    /* Everything else in the folder. Taken before lock, never after. */
    pthread_mutex_t notes_lock;
    int notes_fd; /* of <dir>/lock, for a file lock */
    char *history;
    size_t n_history_bytes;
    size_t *notes; /* offsets into history, and its end */
    size_t n_notes;
    dev_t history_dev;
    ino_t history_ino;
};

/* Closes the ledger for good (the first reason stays) and fills diag with the reason. lock is held. */
enum csl_err csl__ledger_fail(struct csl_ledger *l, enum csl_err err, const struct csl_diag *why,
                              struct csl_diag *diag);
/* CSL_OK, or why it is closed. lock is held. */
enum csl_err csl__ledger_alive(const struct csl_ledger *l, struct csl_diag *diag);

/* ---- ledger_log.c: lock is held ---- */
enum csl_err csl__log_open(struct csl_ledger *l, bool create, struct csl_diag *diag);
void csl__log_flock(struct csl_ledger *l, bool on);
/* Takes in the whole entries behind l->end. An unfinished one at the end stays where it is; *torn is its
 * bytes. CSL_EAUTH: damage. */
enum csl_err csl__log_read(struct csl_ledger *l, uint64_t *torn, struct csl_diag *diag);
/* The same with the file lock held: an unfinished entry is a dead process's, and is cut off. */
enum csl_err csl__log_catch_up(struct csl_ledger *l, struct csl_diag *diag);
/* Writes behind l->end, with the file lock held, and takes it in. */
enum csl_err csl__log_write(struct csl_ledger *l, const uint8_t *leaf, size_t n, struct csl_diag *diag);
enum csl_err csl__log_leaf(struct csl_ledger *l, uint8_t **leaf, size_t *n, uint64_t i,
                           struct csl_diag *diag);
/* Returns when everything up to l->end is on the disk; gives the lock away meanwhile. */
enum csl_err csl__log_sync(struct csl_ledger *l, struct csl_diag *diag);

/* ---- ledger_notes.c ---- */
void csl__notes_enter(struct csl_ledger *l);
void csl__notes_leave(struct csl_ledger *l);
/* A note in the folder; CSL_ENOINPUT when there is no such file, CSL_EAUTH when it is none. */
enum csl_err csl__notes_read(const struct csl_ledger *l, struct csl_note *out, const char *file,
                             struct csl_diag *diag);
enum csl_err csl__notes_write(struct csl_ledger *l, const struct csl_note *note, const char *file,
                              struct csl_diag *diag);
/* At the opening: history, checkpoint and seen against the log. *size: leaves of the checkpoint. */
enum csl_err csl__notes_check(struct csl_ledger *l, struct csl_diag *diag);

/* ---- ledger_history.c: notes_lock is held ---- */
/* Reads the file when it is not the one that we know; an unfinished note at its end is cut off. */
enum csl_err csl__history_load(struct csl_ledger *l, struct csl_diag *diag);
void csl__history_forget(struct csl_ledger *l);
enum csl_err csl__history_note(const struct csl_ledger *l, struct csl_note *out, size_t i,
                               struct csl_diag *diag);
enum csl_err csl__history_add(struct csl_ledger *l, const struct csl_note *note, struct csl_diag *diag);

#endif
