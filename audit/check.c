#include "audit/check_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/identity.h"

void csl__check_fail(struct csl__check *c, const char *field, const char *fmt, ...) {
    if (c->err != CSL_OK) {
        return;
    }
    char text[160];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    c->err = csl_fail(c->diag, CSL_EDATA, "%s: field %s %s", c->what, field, text);
}

void csl__check_exact(struct csl__check *c, const char *field, const ProtobufCBinaryData *b, size_t n) {
    if (b->len != n) {
        csl__check_fail(c, field, "has %zu bytes, not %zu", b->len, n);
    }
}

void csl__check_optional(struct csl__check *c, const char *field, const ProtobufCBinaryData *b, size_t n) {
    if (b->len != 0) {
        csl__check_exact(c, field, b, n);
    }
}

void csl__check_bounded(struct csl__check *c, const char *field, const ProtobufCBinaryData *b, size_t max) {
    if (b->len == 0 || b->len > max) {
        csl__check_fail(c, field, "has %zu bytes; 1 to %zu are allowed", b->len, max);
    }
}

void csl__check_digests(struct csl__check *c, const char *field, const ProtobufCBinaryData *b, size_t n,
                        size_t min, size_t max) {
    csl__check_range(c, field, n, min, max);
    for (size_t i = 0; c->err == CSL_OK && i < n; i++) {
        csl__check_exact(c, field, &b[i], CSL__DIGEST_BYTES);
    }
}

void csl__check_name(struct csl__check *c, const char *field, const char *s) {
    if (!csl_name_valid(s)) {
        csl__check_fail(c, field, "is not the name of a member");
    }
}

void csl__check_text(struct csl__check *c, const char *field, const char *s, size_t max) {
    size_t n = strlen(s);
    if (n > max) {
        csl__check_fail(c, field, "has %zu bytes; at most %zu are allowed", n, max);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f) {
            csl__check_fail(c, field, "holds control characters");
            return;
        }
    }
}

void csl__check_range(struct csl__check *c, const char *field, uint64_t v, uint64_t min, uint64_t max) {
    if (v < min || v > max) {
        csl__check_fail(c, field, "is or has %llu; %llu to %llu are allowed", (unsigned long long)v,
                        (unsigned long long)min, (unsigned long long)max);
    }
}

static bool known_field(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f) {
    const uint8_t *base = (const uint8_t *)m;
    if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        size_t n = *(const size_t *)(const void *)(base + f->quantifier_offset);
        ProtobufCMessage *const *all = *(ProtobufCMessage *const *const *)(const void *)(base + f->offset);
        for (size_t i = 0; i < n; i++) {
            if (!csl__known_fields(all[i])) {
                return false;
            }
        }
        return true;
    }
    if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0 &&
        *(const uint32_t *)(const void *)(base + f->quantifier_offset) != f->id) {
        return true;
    }
    const ProtobufCMessage *one = *(ProtobufCMessage *const *)(const void *)(base + f->offset);
    return one == NULL || csl__known_fields(one);
}

bool csl__known_fields(const ProtobufCMessage *m) {
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        if (f->type == PROTOBUF_C_TYPE_MESSAGE && !known_field(m, f)) {
            return false;
        }
    }
    return m->n_unknown_fields == 0;
}

void csl__check_canonical(struct csl__check *c, const ProtobufCMessage *m, const uint8_t *p, size_t n) {
    if (c->err != CSL_OK) {
        return;
    }
    if (!csl__known_fields(m)) {
        c->err = csl_fail(c->diag, CSL_EDATA, "%s: holds a field that this version does not know", c->what);
        return;
    }
    size_t packed = protobuf_c_message_get_packed_size(m);
    uint8_t *again = packed == n ? malloc(n + 1) : NULL;
    if (packed == n && again == NULL) {
        c->err = csl_fail(c->diag, CSL_ENOMEM, "out of memory");
        return;
    }
    if (packed != n || protobuf_c_message_pack(m, again) != n || memcmp(again, p, n) != 0) {
        c->err = csl_fail(c->diag, CSL_EDATA, "%s: is not encoded in the one way that is allowed", c->what);
    }
    free(again);
}
