#include "cli/show.h"

#include <stdio.h>
#include <time.h>

enum { DAY_S = 86400, SOON_DAYS = 30 };

char *csl_hex32(char buf[CSL_HEX32_TEXT], const uint8_t bytes[32]) {
    for (size_t i = 0; i < 32; i++) {
        (void)snprintf(buf + 2 * i, 3, "%02x", bytes[i]);
    }
    return buf;
}

char *csl_time_text(char buf[CSL_TIME_TEXT], int64_t unix_seconds) {
    time_t t = (time_t)unix_seconds;
    struct tm tm;
    if (gmtime_r(&t, &tm) == NULL || strftime(buf, CSL_TIME_TEXT, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0) {
        (void)snprintf(buf, CSL_TIME_TEXT, "unknown");
    }
    return buf;
}

int64_t csl_days_left(int64_t unix_seconds) {
    int64_t left = unix_seconds - (int64_t)time(NULL);
    return left >= 0 ? left / DAY_S : -((-left + DAY_S - 1) / DAY_S);
}

json_t *csl_cert_json(X509 *cert) {
    char name[CSL_NAME_MAX + 1], from[CSL_TIME_TEXT], to[CSL_TIME_TEXT], hex[CSL_HEX32_TEXT];
    uint8_t spki[CSL_SPKI_BYTES] = {0};
    if (csl_cert_site_name(name, cert, NULL) != CSL_OK) {
        name[0] = 0; /* a CA has none */
    }
    if (csl_cert_spki(spki, cert) != CSL_OK) {
        return NULL;
    }
    int64_t end = csl_cert_not_after(cert);
    return json_pack("{s:s, s:s, s:s, s:I, s:s}", "name", name, "not_before",
                     csl_time_text(from, csl_cert_not_before(cert)), "not_after", csl_time_text(to, end),
                     "days_left", (json_int_t)csl_days_left(end), "tls_spki_sha256", csl_hex32(hex, spki));
}

void csl_cert_print_expiry(X509 *cert) {
    char to[CSL_TIME_TEXT], from[CSL_TIME_TEXT];
    int64_t end = csl_cert_not_after(cert), start = csl_cert_not_before(cert);
    int64_t now = (int64_t)time(NULL);
    (void)csl_time_text(to, end);
    if (start > now) {
        (void)printf("certificate   not valid before %s: check this machine's clock\n",
                     csl_time_text(from, start));
    } else if (end <= now) {
        (void)printf("certificate   EXPIRED on %s: renew it with consilium cert request\n", to);
    } else {
        long long days = (long long)csl_days_left(end);
        (void)printf("certificate   valid until %s (%lld days)%s\n", to, days,
                     days < SOON_DAYS ? ": renew it soon with consilium cert request" : "");
    }
}
