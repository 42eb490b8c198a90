#include "cli/bench/machine.h"

#include <openssl/ec.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

double csl_bench_now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

enum csl_err csl_bench_machine_measure(struct csl_bench_machine *out, unsigned n_parties, bool quick,
                                       struct csl_diag *diag) {
    memset(out, 0, sizeof *out);
    csl_bench_cpu_measure(&out->cpu, quick);
    return csl_bench_rounds_measure(&out->rounds, n_parties, quick, diag);
}

/* ---- Before and after ---- */

static void keep_larger(double *a, double b) {
    *a = b > *a ? b : *a;
}

static void keep_smaller(double *a, double b) {
    *a = b < *a ? b : *a;
}

void csl_bench_cpu_merge(struct csl_bench_cpu *cpu, const struct csl_bench_cpu *other) {
    for (size_t i = 0; i < CSL_BENCH_PATHS; i++) {
        keep_larger(&cpu->products[i].per_s, other->products[i].per_s);
    }
    if (other->prg_bytes_per_s > cpu->prg_bytes_per_s) {
        cpu->prg_bytes_per_s = other->prg_bytes_per_s;
        cpu->prg_name = other->prg_name;
    }
    keep_larger(&cpu->vpmullq_per_s, other->vpmullq_per_s);
    keep_larger(&cpu->read_bytes_per_s, other->read_bytes_per_s);
    keep_larger(&cpu->write_bytes_per_s, other->write_bytes_per_s);
    keep_larger(&cpu->weights_bytes_per_s, other->weights_bytes_per_s);
}

static double fastest_round(const struct csl_bench_rounds *r) {
    return r->spin_us[0] < r->block_us[0] ? r->spin_us[0] : r->block_us[0];
}

void csl_bench_machine_merge(struct csl_bench_machine *m, const struct csl_bench_machine *other) {
    double before = fastest_round(&m->rounds), after = fastest_round(&other->rounds);
    csl_bench_cpu_merge(&m->cpu, &other->cpu);
    for (size_t i = 0; i < CSL_BENCH_SIZES; i++) {
        keep_smaller(&m->rounds.spin_us[i], other->rounds.spin_us[i]);
        keep_smaller(&m->rounds.block_us[i], other->rounds.block_us[i]);
    }
    m->probes_quotient = before > after ? before / after : after / before;
}

enum csl_err csl_bench_machine_again(struct csl_bench_machine *m, bool quick, struct csl_diag *diag) {
    struct csl_bench_machine now;
    TRY(csl_bench_machine_measure(&now, m->rounds.n_parties, quick, diag));
    csl_bench_machine_merge(m, &now);
    return CSL_OK;
}

void csl_bench_probes_print(double quotient) {
    if (quotient > 1.5) {
        (void)printf(
            "not quiet    %10.1f times is the slower of the two probes, before and after: other work, "
            "or phases of the host\n",
            quotient);
    }
}

const struct csl_bench_path *csl_bench_best_path(const struct csl_bench_cpu *cpu, unsigned bits) {
    const struct csl_bench_path *best = &cpu->products[0];
    for (size_t i = 0; i < CSL_BENCH_PATHS; i++) {
        if (cpu->products[i].bits >= bits && cpu->products[i].per_s > best->per_s) {
            best = &cpu->products[i];
        }
    }
    return best;
}

/* ---- Reports ---- */

static json_t *rounds_json(const struct csl_bench_rounds *r) {
    json_t *list = json_array();
    for (size_t i = 0; i < CSL_BENCH_SIZES; i++) {
        (void)json_array_append_new(list,
                                    json_pack("{s:I, s:f, s:f}", "bytes", (json_int_t)csl_bench_sizes[i],
                                              "spin_us", r->spin_us[i], "block_us", r->block_us[i]));
    }
    return list;
}

static double both_ways(const struct csl_bench_rounds *r) {
    size_t last = CSL_BENCH_SIZES - 1;
    double us = r->spin_us[last] < r->block_us[last] ? r->spin_us[last] : r->block_us[last];
    return (double)csl_bench_sizes[last] * 1e6 / us;
}

json_t *csl_bench_cpu_json(const struct csl_bench_cpu *cpu) {
    json_t *products = json_array();
    for (size_t i = 0; i < CSL_BENCH_PATHS; i++) {
        const struct csl_bench_path *p = &cpu->products[i];
        if (p->per_s > 0) {
            (void)json_array_append_new(products, json_pack("{s:s, s:i, s:f}", "name", p->name, "bits",
                                                            (int)p->bits, "per_s", p->per_s));
        }
    }
    return json_pack("{s:s, s:i, s:o, s:f, s:f, s:s, s:f, s:f}", "cpu", cpu->model, "cores", (int)cpu->cores,
                     "products", products, "vpmullq_per_s", cpu->vpmullq_per_s, "prg_bytes_per_s",
                     cpu->prg_bytes_per_s, "prg", cpu->prg_name, "read_bytes_per_s", cpu->read_bytes_per_s,
                     "write_bytes_per_s", cpu->write_bytes_per_s);
}

json_t *csl_bench_machine_json(const struct csl_bench_machine *m) {
    json_t *doc = csl_bench_cpu_json(&m->cpu);
    if (doc != NULL) {
        (void)json_object_set_new(doc, "parties", json_integer(m->rounds.n_parties));
        (void)json_object_set_new(doc, "tls_rounds", rounds_json(&m->rounds));
        (void)json_object_set_new(doc, "tls_bytes_per_s_each_way", json_real(both_ways(&m->rounds)));
        if (m->probes_quotient != 0) {
            (void)json_object_set_new(doc, "probes_quotient", json_real(m->probes_quotient));
        }
    }
    return doc;
}

void csl_bench_machine_print(const struct csl_bench_machine *m) {
    (void)printf("%s, %u cores\n", m->cpu.model, m->cpu.cores);
    (void)printf("TLS 1.3 round of %u processes   ", m->rounds.n_parties);
    for (size_t i = 0; i < CSL_BENCH_SIZES; i++) {
        (void)printf("%10zu B", csl_bench_sizes[i]);
    }
    (void)printf("\n  polling, us                  ");
    for (size_t i = 0; i < CSL_BENCH_SIZES; i++) {
        (void)printf("%12.1f", m->rounds.spin_us[i]);
    }
    (void)printf("\n  sleeping, us                 ");
    for (size_t i = 0; i < CSL_BENCH_SIZES; i++) {
        (void)printf("%12.1f", m->rounds.block_us[i]);
    }
    (void)printf("\n  %.2f GB/s each way at once\nmultiply and add, one core\n",
                 both_ways(&m->rounds) * 1e-9);
    for (size_t i = 0; i < CSL_BENCH_PATHS; i++) {
        const struct csl_bench_path *p = &m->cpu.products[i];
        if (p->per_s > 0) {
            (void)printf("  %-28s %6.2f G/s mod 2^%u\n", p->name, p->per_s * 1e-9, p->bits);
        }
    }
    (void)printf("AES-128-CTR, one core (%s)  %.2f GB/s; memory in cache: read %.0f, write %.0f GB/s\n",
                 m->cpu.prg_name, m->cpu.prg_bytes_per_s * 1e-9, m->cpu.read_bytes_per_s * 1e-9,
                 m->cpu.write_bytes_per_s * 1e-9);
}

/* ---- Certificates ---- */

static bool extend(X509 *cert, X509 *issuer, int nid, const char *value) {
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = e != NULL && X509_add_ext(cert, e, -1) == 1;
    X509_EXTENSION_free(e);
    return ok;
}

static bool fill(X509 *c, EVP_PKEY *key, const char *name, X509 *ca, EVP_PKEY *ca_key) {
    static long serial = 1;
    char uri[128];
    (void)snprintf(uri, sizeof uri, "URI:consilium:site:%s", name);
    bool leaf = ca != NULL;
    X509 *issuer = leaf ? ca : c;
    return X509_set_version(c, 2) == 1 && ASN1_INTEGER_set(X509_get_serialNumber(c), serial++) == 1 &&
           X509_gmtime_adj(X509_getm_notBefore(c), -3600) != NULL &&
           X509_gmtime_adj(X509_getm_notAfter(c), 86400) != NULL &&
           X509_NAME_add_entry_by_txt(X509_get_subject_name(c), "CN", MBSTRING_ASC,
                                      (const unsigned char *)name, -1, -1, 0) == 1 &&
           X509_set_issuer_name(c, X509_get_subject_name(issuer)) == 1 && X509_set_pubkey(c, key) == 1 &&
           extend(c, issuer, NID_basic_constraints, leaf ? "critical,CA:FALSE" : "critical,CA:TRUE") &&
           extend(c, issuer, NID_key_usage,
                  leaf ? "critical,digitalSignature" : "critical,keyCertSign,digitalSignature") &&
           (!leaf || extend(c, issuer, NID_ext_key_usage, "serverAuth,clientAuth")) &&
           extend(c, issuer, NID_subject_alt_name, uri) &&
           X509_sign(c, leaf ? ca_key : key, EVP_sha256()) != 0;
}

enum csl_err csl_bench_cert(X509 **cert, EVP_PKEY **key, const char *name, X509 *ca, EVP_PKEY *ca_key) {
    *cert = X509_new();
    *key = EVP_EC_gen("P-256");
    if (*cert == NULL || *key == NULL || !fill(*cert, *key, name, ca, ca_key)) {
        X509_free(*cert);
        EVP_PKEY_free(*key);
        *cert = NULL;
        *key = NULL;
        return CSL_EINTERNAL;
    }
    return CSL_OK;
}
