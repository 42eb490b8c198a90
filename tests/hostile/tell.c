#include "tell.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "audit/ledger.h"
#include "roles/message.h"

static struct {
    const char *tell;
    unsigned long full_from; /* 0: never */
} fault;

bool hostile_tell_option(const char *name, const char *value) {
    if (strcmp(name, "--tell") == 0) {
        fault.tell = value;
    } else if (strcmp(name, "--ledger-full") == 0) {
        fault.full_from = strtoul(value, NULL, 10);
    } else {
        return false;
    }
    return true;
}

/* ---- The ledger ---- */

enum csl_err __real_csl_ledger_append(struct csl_ledger *l, uint64_t *index, const uint8_t *leaf, size_t n,
                                      bool durable, struct csl_diag *diag);
enum csl_err __wrap_csl_ledger_append(struct csl_ledger *l, uint64_t *index, const uint8_t *leaf, size_t n,
                                      bool durable, struct csl_diag *diag);
enum csl_err __wrap_csl_ledger_append(struct csl_ledger *l, uint64_t *index, const uint8_t *leaf, size_t n,
                                      bool durable, struct csl_diag *diag) {
    static atomic_ulong appended;
    if (fault.full_from != 0 && ++appended >= fault.full_from) {
        return csl_fail(diag, CSL_EIO, "the ledger cannot be written: No space left on device");
    }
    return __real_csl_ledger_append(l, index, leaf, n, durable, diag);
}

/* ---- What clients are told ---- */

static bool tells(const char *what) {
    return fault.tell != NULL && strcmp(fault.tell, what) == 0;
}

/* The field with its first bit changed, in memory of our own. */
static ProtobufCBinaryData another(uint8_t room[64], const ProtobufCBinaryData *b) {
    memcpy(room, b->data, b->len);
    room[0] ^= 1;
    return csl_bytes(room, b->len);
}

enum csl_err __real_csl_message_encode(uint8_t **out, size_t *n, const csl_control *m);
enum csl_err __wrap_csl_message_encode(uint8_t **out, size_t *n, const csl_control *m);
enum csl_err __wrap_csl_message_encode(uint8_t **out, size_t *n, const csl_control *m) {
    uint8_t room[64];
    csl_control copy = *m;
    Csl__Pb__SessionReady ready;
    Csl__Pb__BatchDone done;
    if (m->kind_case == CSL__PB__CONTROL__KIND_SESSION_READY) {
        ready = *m->session_ready;
        copy.session_ready = &ready;
        ready.session = tells("session") ? another(room, &ready.session) : ready.session;
        ready.manifest_signature =
            tells("manifest") ? another(room, &ready.manifest_signature) : ready.manifest_signature;
    } else if (m->kind_case == CSL__PB__CONTROL__KIND_BATCH_DONE) {
        static const ProtobufCBinaryData none;
        done = *m->batch_done;
        copy.batch_done = &done;
        done.salt = tells("salt") ? another(room, &done.salt) : done.salt;
        done.signature = tells("signature") ? another(room, &done.signature) : done.signature;
        if (tells("unsigned")) {
            done.salt = done.statement = done.signature = none;
        }
    }
    return __real_csl_message_encode(out, n, &copy);
}
