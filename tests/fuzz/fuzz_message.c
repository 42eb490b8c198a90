/* Control messages, HELLO and HELLO_ACK as roles decodes them; the first byte chooses. What is let through
 * must keep every promise of roles/message.h and survive being sent on. */
#include <stdlib.h>
#include <string.h>

#include "roles/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *s, size_t max) {
    size_t n = strlen(s);
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f) {
            abort();
        }
    }
    if (n > max) {
        abort();
    }
}

/* An error says something and leaves nothing. */
static int refused(enum csl_err err, const void *out, const struct csl_diag *diag) {
    if (err != CSL_EPROTO || out != NULL || diag->text[0] == '\0') {
        abort();
    }
    return 0;
}

/* All three or none. */
static void check_signed(const ProtobufCBinaryData *salt, const ProtobufCBinaryData *statement,
                         const ProtobufCBinaryData *signature) {
    bool there = statement->len != 0;
    if (salt->len != (there ? 32 : 0) || signature->len != (there ? 64 : 0) || statement->len > 8192) {
        abort();
    }
}

static void check_kind(const csl_control *m) {
    switch (m->kind_case) {
    case CSL__PB__CONTROL__KIND_FAILURE:
        check_text(m->failure->reason, 2048);
        if (m->failure->error == CSL_OK || m->failure->error >= CSL_ERR_COUNT) {
            abort();
        }
        break;
    case CSL__PB__CONTROL__KIND_OPEN_SESSION:
        check_text(m->open_session->model, CSL_MODEL_NAME_MAX);
        if (m->open_session->session_id.len != CSL_SESSION_ID_BYTES || m->open_session->max_batch == 0) {
            abort();
        }
        break;
    case CSL__PB__CONTROL__KIND_INPUT:
        if (m->input->seed.len != 32 && m->input->seed.len != 0) {
            abort();
        }
        check_signed(&m->input->salt, &m->input->statement, &m->input->signature);
        break;
    case CSL__PB__CONTROL__KIND_BATCH_DONE:
        check_signed(&m->batch_done->salt, &m->batch_done->statement, &m->batch_done->signature);
        break;
    case CSL__PB__CONTROL__KIND_SESSION_READY:
        if ((m->session_ready->session.len != 0 && m->session_ready->session.len != 32) ||
            m->session_ready->manifest_signature.len != 64) {
            abort();
        }
        break;
    default:
        break;
    }
}

static int control(const uint8_t *data, size_t size) {
    csl_control *m = NULL;
    struct csl_diag diag = {""};
    enum csl_err err = csl_message_decode(&m, data, size, &diag);
    if (err != CSL_OK) {
        return refused(err, m, &diag);
    }
    uint8_t *bytes;
    size_t n;
    check_kind(m);
    if (strcmp(csl_message_kind_name((int)m->kind_case), "(unknown)") == 0 ||
        csl_message_encode(&bytes, &n, m) != CSL_OK) {
        abort();
    }
    free(bytes);
    csl_message_free(m);
    return 0;
}

static int hello(const uint8_t *data, size_t size) {
    Csl__Pb__Hello *h = NULL;
    struct csl_diag diag = {""};
    enum csl_err err = csl_hello_decode(&h, data, size, &diag);
    if (err != CSL_OK) {
        return refused(err, h, &diag);
    }
    check_text(h->software, CSL_MODEL_NAME_MAX);
    if (h->roster_digest.len != 32 ||
        (h->purpose == CSL__PB__PURPOSE__PURPOSE_PEER && h->session_id.len != CSL_SESSION_ID_BYTES)) {
        abort();
    }
    csl__pb__hello__free_unpacked(h, NULL);
    return 0;
}

static int hello_ack(const uint8_t *data, size_t size) {
    Csl__Pb__HelloAck *h = NULL;
    struct csl_diag diag = {""};
    enum csl_err err = csl_hello_ack_decode(&h, data, size, &diag);
    if (err != CSL_OK) {
        return refused(err, h, &diag);
    }
    check_text(h->software, CSL_MODEL_NAME_MAX);
    check_text(h->reason, 2048);
    if (h->roster_digest.len != 32 || h->error >= CSL_ERR_COUNT) {
        abort();
    }
    csl__pb__hello_ack__free_unpacked(h, NULL);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    switch (data[0] % 3) {
    case 0:
        return control(data + 1, size - 1);
    case 1:
        return hello(data + 1, size - 1);
    default:
        return hello_ack(data + 1, size - 1);
    }
}
