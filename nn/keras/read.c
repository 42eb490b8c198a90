/* The child's sending end. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "nn/keras/keras_internal.h"

size_t csl__keras_budget(size_t n) {
    const size_t base = (size_t)64 << 20, most = (size_t)4 << 30;
    return n > (most - base) / 16 ? most : base + 16 * n;
}

static bool write_all(int fd, const void *bytes, size_t n) {
    const char *p = bytes;
    while (n > 0) {
        ssize_t w = write(fd, p, n);
        if (w < 0 && errno == EINTR) {
            continue;
        }
        if (w <= 0) {
            return false;
        }
        p += w;
        n -= (size_t)w;
    }
    return true;
}

static bool send_record(int fd, enum csl__keras_record type, const char *name, const void *payload,
                        size_t n) {
    uint8_t head[CSL_KR_HEADER] = {(uint8_t)type};
    uint32_t n_name = (uint32_t)strlen(name) + 1;
    uint64_t n_payload = n;
    memcpy(head + 1, &n_name, sizeof n_name);
    memcpy(head + 5, &n_payload, sizeof n_payload);
    return write_all(fd, head, sizeof head) && write_all(fd, name, n_name) && write_all(fd, payload, n);
}

bool csl__keras_send(struct csl__keras_sink *sink, enum csl__keras_record type, const char *name,
                     const void *payload, size_t n) {
    size_t overhead = CSL_KR_HEADER + strlen(name) + 1;
    if (strlen(name) + 1 > CSL_KR_MAX_NAME) {
        return csl__keras_refuse(sink, "a name in the file is longer than %d bytes", CSL_KR_MAX_NAME);
    }
    if (++sink->n_records >= CSL_KR_MAX_RECORDS) {
        return csl__keras_refuse(sink, "the file has more than %d parts", CSL_KR_MAX_RECORDS);
    }
    if (n > sink->left || overhead > sink->left - n) {
        return csl__keras_refuse(sink, "the file unpacks to far more than its size; save it again without "
                                       "compression");
    }
    sink->left -= n + overhead;
    return send_record(sink->fd, type, name, payload, n);
}

bool csl__keras_refuse(struct csl__keras_sink *sink, const char *fmt, ...) {
    char text[400];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (n > 0) {
        (void)send_record(sink->fd, CSL_KR_ERROR, "", text, strlen(text));
    }
    return false;
}
