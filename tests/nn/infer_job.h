/* One secure evaluation by several parties in memory, with its model, correlations and inputs. */
#ifndef CSL_TESTS_NN_INFER_JOB_H
#define CSL_TESTS_NN_INFER_JOB_H

#include "../mpc/parties.h"
#include "cnn.h"
#include "nn/infer.h"

enum { BATCH = 3 };

struct job {
    const struct built *b;
    enum csl_profile profile;
    bool label;
    double precision; /* what the error bound must be below */
    struct csl_model_share share[CSL_MAX_PARTIES];
    struct csl_epoch_keys keys[CSL_MAX_PARTIES];
    uint8_t mask_id[CSL_DIGEST_BYTES];
    uint64_t *x[CSL_MAX_PARTIES];
    uint64_t *y[CSL_MAX_PARTIES];
    size_t n_y;
    struct csl_demand demands[CSL_PLAN_MAX_DEMANDS];
    size_t n_demands;
    uint64_t *r[CSL_PLAN_MAX_DEMANDS]; /* of every comparison and truncation, put together before its use */
    uint64_t *c[CSL_PLAN_MAX_DEMANDS]; /* what ReLU and truncation opened */
    uint32_t c_round[CSL_PLAN_MAX_DEMANDS];
    struct parties all;
};

/* Shared, dealt and with the shares of x, BATCH inputs. */
struct job *job_new(const struct built *b, unsigned n, enum csl_profile profile, bool label, const int64_t *x,
                    uint32_t salt);
void job_free(struct job *job);

/* For parties_run, with the job as arg. */
enum csl_err job_open_weights(struct party *p);
enum csl_err job_infer(struct party *p);

#endif
