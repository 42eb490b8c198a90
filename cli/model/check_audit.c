#include "cli/model/check_audit.h"

#include <stdio.h>
#include <stdlib.h>

#include "crypto/sign.h"
#include "roles/lane/dealt.h"

static enum csl_err add_check(struct csl_check_audit *a, struct csl_model_report *report,
                              struct csl_diag *diag) {
    uint32_t total = report->batch + a->rows;
    if (total > CSL_PLAN_MAX_BATCH) {
        return csl_fail(diag, CSL_EUSAGE, "a batch of %u and %u rows to check are more than %d",
                        report->batch, a->rows, CSL_PLAN_MAX_BATCH);
    }
    struct csl_demand *demands = calloc(CSL_PLAN_MAX_DEMANDS, sizeof *demands);
    size_t n = 0;
    enum csl_err err =
        demands == NULL ? CSL_ENOMEM
                        : csl_plan_demands(&report->plan, report->profile, report->reveal_label, demands, &n);
    if (err == CSL_OK && (a->rows != 0 || a->sign != CSL_ROSTER_SIGN_OFF)) {
        a->dealt_bytes = csl_dealt_bytes(demands, n, a->rows, total);
        a->dealt_exchanges = 1 + (a->rows != 0 ? csl_check_rounds(demands, n) : 0);
        a->caught = a->rows != 0 ? csl_check_chance(total, a->rows, 1) : 0;
        report->cost.offline_bytes = (uint64_t)csl_correction_bytes(demands, n) * total;
    }
    free(demands);
    return err;
}

enum csl_err csl_check_audit_add(struct csl_check_audit *out, struct csl_model_report *report,
                                 const char *sign, uint32_t rows, struct csl_diag *diag) {
    *out = (struct csl_check_audit){.rows = rows};
    if (!csl_roster_sign_parse(&out->sign, sign)) {
        return csl_fail(diag, CSL_EUSAGE, "--sign is before-output, after-output or off, not \"%.40s\"",
                        sign);
    }
    if (!report->ok) {
        return CSL_OK;
    }
    if (out->sign != CSL_ROSTER_SIGN_OFF) {
        out->signature_bytes = CSL_SIGNATURE_BYTES;
        csl_cost_add_signatures(&report->cost, report->n_parties);
    }
    return add_check(out, report, diag);
}

void csl_check_audit_print(const struct csl_check_audit *a) {
    (void)printf("audit (signed %s):\n  %-32s%13llu bytes\n  %-32s%13llu bytes, %u exchanges\n",
                 csl_roster_sign_name((enum csl_roster_sign)a->sign), "signature, of the online bytes",
                 (unsigned long long)a->signature_bytes, "offline, a party to each peer",
                 (unsigned long long)a->dealt_bytes, a->dealt_exchanges);
    if (a->rows != 0) {
        (void)printf("  %u correlations more are dealt, opened and thrown away: one bad among those of the "
                     "batch is found with\n  probability %.4g, a wrong matrix product with at least %.4g\n",
                     a->rows, a->caught, 1 - 1 / (double)(1ULL << (a->rows < 63 ? a->rows : 63)));
    }
}

json_t *csl_check_audit_json(const struct csl_check_audit *a) {
    return json_pack("{s:s, s:i, s:I, s:I, s:i, s:f}", "sign",
                     csl_roster_sign_name((enum csl_roster_sign)a->sign), "check_rows", (int)a->rows,
                     "signature_bytes_per_link", (json_int_t)a->signature_bytes, "offline_bytes_per_link",
                     (json_int_t)a->dealt_bytes, "offline_exchanges", (int)a->dealt_exchanges,
                     "one_bad_is_caught", a->caught);
}
