#include "lie.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "mpc/share.h"
#include "roles/lane/audit_link.h"

static struct {
    atomic_ulong lie, lie_unsigned; /* the opening; 0: none (any more) */
    bool lie_output, no_sign;
} fault;

bool hostile_lie_option(const char *name, const char *value) {
    unsigned long n = strncmp(value, "round:", 6) == 0 ? strtoul(value + 6, NULL, 10) : 0;
    if (strcmp(name, "--lie") == 0) {
        fault.lie = n;
    } else if (strcmp(name, "--lie-unsigned") == 0) {
        fault.lie_unsigned = n;
    } else if (strcmp(name, "--lie-output") == 0) {
        fault.lie_output = true;
    } else if (strcmp(name, "--no-sign") == 0) {
        fault.no_sign = true;
    } else {
        return false;
    }
    return true;
}

/* ---- Openings, above and below what signs them ---- */

/* Which opening of its batch this lane is at: 0 before the first. */
static _Thread_local uint32_t opening, openings;

struct between {
    struct csl_link base;
    struct csl_link *real;
};
enum { LINKS_MAX = 128 };

static struct csl_link *put_between(struct csl_link *real, const struct csl_link_ops *ops) {
    static struct between links[LINKS_MAX];
    static atomic_uint n;
    struct between *b = &links[n++ % LINKS_MAX];
    b->real = real;
    b->base = *real;
    b->base.ops = ops;
    return &b->base;
}

/* Whether it is time to lie; once. */
static bool lies(atomic_ulong *when) {
    unsigned long now = opening;
    return now != 0 && atomic_compare_exchange_strong(when, &now, 0);
}

static enum csl_err exchange_above(struct csl_link *link, uint8_t *const in[CSL_MAX_PARTIES], uint32_t round,
                                   const uint8_t *out, size_t n, struct csl_diag *diag) {
    struct between *b = (struct between *)link;
    if (opening < openings) {
        opening++;
        if (lies(&fault.lie)) {
            ((uint8_t *)(uintptr_t)out)[0] ^= 1; /* the first bit is never padding */
        }
    }
    return b->real->ops->exchange(b->real, in, round, out, n, diag);
}

static enum csl_err exchange_below(struct csl_link *link, uint8_t *const in[CSL_MAX_PARTIES], uint32_t round,
                                   const uint8_t *out, size_t n, struct csl_diag *diag) {
    struct between *b = (struct between *)link;
    if (!lies(&fault.lie_unsigned)) {
        return b->real->ops->exchange(b->real, in, round, out, n, diag);
    }
    uint8_t *other = malloc(n);
    if (other == NULL) {
        return CSL_ENOMEM;
    }
    memcpy(other, out, n);
    other[0] ^= 1;
    enum csl_err err = b->real->ops->exchange(b->real, in, round, other, n, diag);
    free(other);
    return err;
}

static const struct csl_link_ops above = {.exchange = exchange_above}, below = {.exchange = exchange_below};

enum csl_err __real_csl_audit_link_new(struct csl_audit_link **out, const struct csl_audit_link_options *opt);
enum csl_err __wrap_csl_audit_link_new(struct csl_audit_link **out, const struct csl_audit_link_options *opt);
enum csl_err __wrap_csl_audit_link_new(struct csl_audit_link **out,
                                       const struct csl_audit_link_options *opt) {
    struct csl_audit_link_options o = *opt;
    o.below = put_between(opt->below, &below);
    return __real_csl_audit_link_new(out, &o);
}

struct csl_link *__real_csl_audit_link_base(struct csl_audit_link *a);
struct csl_link *__wrap_csl_audit_link_base(struct csl_audit_link *a);
struct csl_link *__wrap_csl_audit_link_base(struct csl_audit_link *a) {
    return put_between(__real_csl_audit_link_base(a), &above);
}

enum csl_err __real_csl_audit_link_begin(struct csl_audit_link *a, struct csl_record *r, uint32_t rounds);
enum csl_err __wrap_csl_audit_link_begin(struct csl_audit_link *a, struct csl_record *r, uint32_t rounds);
enum csl_err __wrap_csl_audit_link_begin(struct csl_audit_link *a, struct csl_record *r, uint32_t rounds) {
    opening = 0;
    openings = rounds;
    return __real_csl_audit_link_begin(a, r, rounds);
}

/* ---- Signatures and output shares ---- */

enum csl_err __real_csl_statement_sign_bytes(uint8_t sig[CSL_SIGNATURE_BYTES], enum csl_statement what,
                                             const uint8_t *p, size_t n, EVP_PKEY *key,
                                             struct csl_diag *diag);
enum csl_err __wrap_csl_statement_sign_bytes(uint8_t sig[CSL_SIGNATURE_BYTES], enum csl_statement what,
                                             const uint8_t *p, size_t n, EVP_PKEY *key,
                                             struct csl_diag *diag);
enum csl_err __wrap_csl_statement_sign_bytes(uint8_t sig[CSL_SIGNATURE_BYTES], enum csl_statement what,
                                             const uint8_t *p, size_t n, EVP_PKEY *key,
                                             struct csl_diag *diag) {
    if (fault.no_sign && what == CSL_STATEMENT_HEAD) {
        memset(sig, 0, CSL_SIGNATURE_BYTES);
        return CSL_OK;
    }
    return __real_csl_statement_sign_bytes(sig, what, p, n, key, diag);
}

void __real_csl_output_cut(uint64_t *out, const uint64_t *y, size_t n, unsigned bits, unsigned cut_bits);
void __wrap_csl_output_cut(uint64_t *out, const uint64_t *y, size_t n, unsigned bits, unsigned cut_bits);
void __wrap_csl_output_cut(uint64_t *out, const uint64_t *y, size_t n, unsigned bits, unsigned cut_bits) {
    __real_csl_output_cut(out, y, n, bits, cut_bits);
    out[0] ^= fault.lie_output;
}
