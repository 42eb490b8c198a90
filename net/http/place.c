/* A URL's place, for messages. */
#include <string.h>

#include "net/http/http_internal.h"

void csl__http_printable(char *text, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (text[i] < 0x20 || text[i] > 0x7e) {
            text[i] = text[i] == '\n' || text[i] == '\t' ? ' ' : '?';
        }
    }
}

bool csl__http_odd_at(const char *url) {
    const char *sep = strstr(url, "://");
    const char *host = sep == NULL ? url : sep + 3;
    size_t n = strcspn(host, "/?#\\");
    return memchr(host, '@', n) == NULL && strchr(host + n, '@') != NULL;
}

void csl_http_place(char *out, size_t room, const char *url) {
    if (room == 0) {
        return;
    }
    const char *sep = strstr(url, "://");
    const char *host = sep == NULL ? url : sep + 3;
    size_t n_scheme = (size_t)(host - url), n = strcspn(host, "/?#\\");
    n = csl__http_odd_at(url) ? 0 : n; /* what looks like the host may be the start of a password */
    for (size_t i = n; i-- > 0;) {     /* credentials end at the last @ */
        if (host[i] == '@') {
            host += i + 1;
            n -= i + 1;
            break;
        }
    }
    n_scheme = n_scheme < room ? n_scheme : room - 1;
    n = n < room - 1 - n_scheme ? n : room - 1 - n_scheme;
    memcpy(out, url, n_scheme);
    memcpy(out + n_scheme, host, n);
    out[n_scheme + n] = '\0';
    csl__http_printable(out, n_scheme + n);
}
