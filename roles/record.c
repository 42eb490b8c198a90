#include "roles/record.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"

static void clear_input(struct csl_record_input *in) {
    csl_signed_clear(&in->statement);
    csl_secret_free(in->share);
    free(in->commitments);
    csl_wipe(in->salt, sizeof in->salt);
}

void csl_record_clear(struct csl_record *r) {
    csl_signed_clear(&r->dealt);
    free(r->counters);
    csl_secret_free(r->seeds);
    free(r->seed_leaves);
    csl_secret_free(r->corrections);
    free(r->correction_leaves);
    for (size_t i = 0; i < r->n_inputs; i++) {
        clear_input(&r->inputs[i]);
    }
    for (size_t i = 0; i < r->n_rounds; i++) {
        free(r->rounds[i].messages[0]);
    }
    free(r->rounds);
    for (unsigned i = 0; i < CSL_MAX_PARTIES; i++) {
        csl_signed_clear(&r->heads[i]);
    }
    csl_secret_free(r->output_share);
    csl_signed_clear(&r->output);
    csl_wipe(r, sizeof *r);
}

void csl_session_record_clear(struct csl_session_record *r) {
    free(r->statement);
    csl_wipe(r, sizeof *r);
}
