/* Misuses of a secret that memcheck must report; see CMakeLists.txt here. */
#include "crypto/secret.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

static volatile unsigned sink;

int main(int argc, char **argv) {
    static const uint8_t table[256] = {1, 2, 3};
    const char *what = argc > 1 ? argv[1] : "";
    uint8_t share = (uint8_t)(strlen(what) * 37);

    CSL_SECRET(&share, sizeof share);
    if (strcmp(what, "branch") == 0) {
        if (share & 1) {
            sink = 1;
        }
    } else if (strcmp(what, "index") == 0) {
        sink = table[share];
    } else if (strcmp(what, "message") == 0) {
        CSL_ASSERT_PUBLIC(&share, sizeof share);
    } else if (strcmp(what, "opened") == 0) {
        CSL_PUBLIC(&share, sizeof share);
        CSL_ASSERT_PUBLIC(&share, sizeof share);
        sink = share & 1 ? table[share] : 0;
    } else {
        fprintf(stderr, "usage: ct_selftest branch|index|message|opened\n");
        return 64;
    }
    return 0;
}
