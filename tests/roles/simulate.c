#include "simulate.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

json_t *run_json(const char *format, ...) {
    char command[4096];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(command, sizeof command, format, args);
    va_end(args);
    if (length < 0 || (size_t)length >= sizeof command) {
        puts("the command is too long");
        return NULL;
    }
    FILE *out = popen(command, "re");
    json_error_t e;
    json_t *doc = out != NULL ? json_loadf(out, 0, &e) : NULL;
    int code = out != NULL ? pclose(out) : -1;
    if (doc == NULL || code != 0) {
        printf("failed (%d): %s\n", code, command);
        json_decref(doc);
        return NULL;
    }
    return doc;
}

double number(const json_t *doc, const char *key) {
    const json_t *v = json_object_get(doc, key);
    return json_is_number(v) ? json_number_value(v) : (double)NAN;
}

static FILE *create(char path[PATH_ROOM]) {
    const char *dir = getenv("TMPDIR");
    (void)snprintf(path, PATH_ROOM, "%s/consilium-test-XXXXXX", dir != NULL && *dir != 0 ? dir : "/tmp");
    int fd = mkstemp(path);
    FILE *f = fd >= 0 ? fdopen(fd, "wb") : NULL;
    if (f == NULL) {
        perror(path);
        exit(1);
    }
    return f;
}

static void finish(FILE *f, const char *path, int written) {
    if (fclose(f) != 0 || !written) {
        perror(path);
        exit(1);
    }
}

void write_npy(char path[PATH_ROOM], const float *x, unsigned n, unsigned size) {
    enum { HEADER = 128 };
    char head[HEADER + 1];
    memset(head, ' ', HEADER);
    memcpy(head, "\x93NUMPY\x01\x00\x76\x00", 10); /* version 1.0, 118 more bytes of header */
    int text = snprintf(head + 10, sizeof head - 10,
                        "{'descr': '<f4', 'fortran_order': False, 'shape': (%u, 1, %u), }", n, size);
    head[10 + text] = ' ';
    head[HEADER - 1] = '\n';
    FILE *f = create(path);
    finish(f, path,
           fwrite(head, HEADER, 1, f) == 1 && fwrite(x, sizeof *x, (size_t)n * size, f) == (size_t)n * size);
}

void write_labels(char path[PATH_ROOM], const unsigned char *label, unsigned n) {
    const unsigned char head[8] = {0,
                                   0,
                                   8,
                                   1,
                                   (unsigned char)(n >> 24),
                                   (unsigned char)(n >> 16),
                                   (unsigned char)(n >> 8),
                                   (unsigned char)n};
    FILE *f = create(path);
    finish(f, path, fwrite(head, sizeof head, 1, f) == 1 && fwrite(label, 1, n, f) == n);
}
