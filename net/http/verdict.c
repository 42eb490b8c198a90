/* How a request ended, as an error of ours with a sentence. */
#include <string.h>

#include "net/http/http_internal.h"

static enum csl_err redirected(struct csl__http *h, long status) {
    char to[CSL__PLACE_MAX] = "nowhere";
    const char *url = NULL;
    if (curl_easy_getinfo(h->easy, CURLINFO_REDIRECT_URL, &url) == CURLE_OK && url != NULL) {
        csl_http_place(to, sizeof to, url);
    }
    return csl_fail(h->diag, CSL_EPROTO,
                    "%s answers with a redirect (%ld) to %s, which is never followed; give the URL of the "
                    "service itself",
                    h->place, status, to);
}

static enum csl_err refused(struct csl__http *h, long status) {
    csl__http_printable(h->snippet, h->n_snippet);
    h->snippet[h->n_snippet] = '\0';
    if (h->n_snippet == 0) {
        return csl_fail(h->diag, CSL_EPROTO, "%s answers with HTTP status %ld and no reason", h->place,
                        status);
    }
    return csl_fail(h->diag, CSL_EPROTO, "%s answers with HTTP status %ld: %s", h->place, status, h->snippet);
}

static enum csl_err certificate(struct csl__http *h) {
    return csl_fail(h->diag, CSL_EAUTH,
                    "the certificate of %s cannot be trusted (%.200s); check its name and dates, or give the "
                    "file of the authority that issued it",
                    h->place, h->curl_says);
}

static enum csl_err other(struct csl__http *h, CURLcode code) {
    const char *says = h->curl_says[0] != '\0' ? h->curl_says : curl_easy_strerror(code);
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return csl_fail(h->diag, CSL_EUNAVAILABLE, "the host name of %s is unknown; check the URL", h->place);
    case CURLE_COULDNT_CONNECT:
        return csl_fail(h->diag, CSL_EUNAVAILABLE,
                        "%s cannot be reached (%.200s); check that the service runs and the URL is right",
                        h->place, says);
    case CURLE_OPERATION_TIMEDOUT:
        return csl_fail(h->diag, CSL_ETIMEOUT, "%s did not answer in time (%.200s); try again", h->place,
                        says);
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
        return csl_fail(h->diag, CSL_EPEER,
                        "%s ended the connection before its answer was complete (%.200s); try again",
                        h->place, says);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
        return certificate(h);
    case CURLE_SSL_CACERT_BADFILE:
        return csl_fail(h->diag, CSL_ENOINPUT,
                        "%s: no file of PEM certificates that could be read, to check %s with",
                        h->q->ca_file != NULL ? h->q->ca_file : "the system's roots", h->place);
    case CURLE_URL_MALFORMAT:
        return csl_fail(h->diag, CSL_EUSAGE, "%s: not a URL of a service", h->place);
    case CURLE_OUT_OF_MEMORY:
        return csl_fail(h->diag, CSL_ENOMEM, "%s: out of memory", h->place);
    case CURLE_SSL_CONNECT_ERROR:
        return csl_fail(h->diag, CSL_EPROTO,
                        "no TLS connection with %s (%.200s); check the URL's scheme and port", h->place,
                        says);
    default:
        return csl_fail(h->diag, CSL_EPROTO,
                        "%s does not answer as an HTTP server (%.200s); check the URL's scheme and port",
                        h->place, says);
    }
}

enum csl_err csl__http_verdict(struct csl__http *h, CURLcode code, long status) {
    csl__http_printable(h->curl_says, strlen(h->curl_says));
    if (h->err != CSL_OK) {
        return h->err;
    }
    if (status >= 300 && status < 400) {
        return redirected(h, status);
    }
    if (status != 0 && (status < 200 || status >= 300) && code != CURLE_OPERATION_TIMEDOUT) {
        return refused(h, status);
    }
    return code == CURLE_OK ? CSL_OK : other(h, code);
}
