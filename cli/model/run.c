/* consilium model run: classification in the clear, by whoever holds the network. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/model/archive.h"
#include "cli/temp_folder.h"
#include "crypto/files_internal.h"
#include "crypto/secret.h"
#include "nn/eval.h"

struct running {
    struct csl_model m;
    uint32_t *classes;
    size_t correct, n_labels;
};

/* ---- The network ---- */

static enum csl_err import_archived(struct csl_model *m, const struct csl_archive *a, struct csl_diag *diag) {
    char dir[512], path[CSL__PATH_MAX];
    /* Memory rather than a disk, where the machine has such a folder. */
    enum csl_err err = csl_temp_folder(dir, sizeof dir, "/dev/shm", diag);
    if (err != CSL_OK) {
        TRY(csl_temp_folder(dir, sizeof dir, NULL, diag));
    }
    err = csl_archive_extract(path, sizeof path, a, dir, diag);
    if (err == CSL_OK) {
        err = csl_model_file_import(&m->net, &m->issues, path, diag);
    }
    csl_archive_remove(a, dir);
    return err;
}

static enum csl_err load_archive(struct csl_model *m, const char *path, const struct csl_model_opts *o,
                                 struct csl_diag *diag) {
    struct csl_archive a = {0};
    struct csl_archive_reading how;
    if (o->key == NULL) {
        return csl_fail(diag, CSL_EUSAGE, "%s is an archive: --key DIR opens it", path);
    }
    TRY(csl_archive_load(&a, path, o->key, o->roster, diag));
    enum csl_err err = csl_archive_reading(&how, &a, diag);
    if (err == CSL_OK && o->normalize == NULL) {
        err = csl_parse_normalization(&m->choice.input, how.normalize,
                                      how.interval[0] != '\0' ? how.interval : NULL, diag);
    } else if (err == CSL_OK) {
        err = csl_parse_normalization(&m->choice.input, o->normalize, o->interval, diag);
    }
    if (err == CSL_OK) {
        err = import_archived(m, &a, diag);
    }
    csl_archive_clear(&a);
    return err;
}

/* ---- Classification ---- */

static enum csl_err classify(struct running *r, struct csl_diag *diag) {
    const struct csl_network *net = r->m.net;
    struct csl_hwc in = net->input, last = net->nodes[net->output - 1].out;
    size_t n_in = (size_t)in.h * in.w * in.c, n_out = (size_t)last.h * last.w * last.c;
    struct csl_images x = {0};
    TRY(csl_images_for(&x, &r->m.images, &r->m.choice.input, n_in, diag));
    double *y = csl_secret_alloc(n_out, sizeof *y);
    r->classes = calloc(x.count, sizeof *r->classes);
    enum csl_err err = y == NULL || r->classes == NULL ? CSL_ENOMEM : CSL_OK;
    for (size_t i = 0; err == CSL_OK && i < x.count; i++) {
        err = csl_network_eval(net, y, x.data + i * n_in, 1);
        r->classes[i] = csl_argmax(y, (uint32_t)n_out);
        if (i < r->m.labels.count) {
            r->n_labels++;
            r->correct += r->classes[i] == r->m.labels.data[i];
        }
    }
    csl_secret_free(y);
    csl_images_clear(&x);
    return err;
}

static enum csl_err report(struct csl_cli *cli, const struct running *r) {
    size_t n = r->m.images.count;
    double accuracy = r->n_labels == 0 ? 0 : (double)r->correct / (double)r->n_labels;
    if (cli->json) {
        json_t *classes = json_array();
        for (size_t i = 0; i < n; i++) {
            (void)json_array_append_new(classes, json_integer(r->classes[i]));
        }
        json_t *doc = json_pack("{s:I, s:o}", "images", (json_int_t)n, "classes", classes);
        if (doc != NULL && r->n_labels != 0) {
            (void)json_object_set_new(doc, "correct", json_integer((json_int_t)r->correct));
            (void)json_object_set_new(doc, "accuracy", json_real(accuracy));
        }
        return csl_cli_print_json(cli, doc);
    }
    for (size_t i = 0; i < n; i++) {
        (void)printf("%zu  class %u\n", i, r->classes[i]);
    }
    if (r->n_labels != 0) {
        (void)printf("right: %zu of %zu (%.2f %%)\n", r->correct, r->n_labels, 100 * accuracy);
    }
    return CSL_OK;
}

static enum csl_err run(struct csl_cli *cli, const char *path, const struct csl_model_opts *o) {
    struct running r = {.correct = 0};
    bool archive = csl_archive_detect(path);
    enum csl_err err = CSL_OK;
    if (archive) {
        TRY_OUT(csl_model_load_samples(&r.m, o, &cli->diag));
        TRY_OUT(load_archive(&r.m, path, o, &cli->diag));
    } else {
        TRY_OUT(csl_model_load(&r.m, path, o, &cli->diag));
    }
    TRY_OUT(r.m.net != NULL ? CSL_OK : csl_issues_fail(&r.m.issues, &cli->diag));
    TRY_OUT(classify(&r, &cli->diag));
    err = report(cli, &r);
out:
    free(r.classes);
    csl_model_clear(&r.m);
    return err;
}

int csl_model_run(struct csl_cli *cli, int argc, char **argv) {
    static const struct csl_opt opts[] = {
        CSL_STRING(struct csl_model_opts, key, "key", "DIR", false, "folder of the wrap.key, for an archive"),
        CSL_STRING(struct csl_model_opts, roster, "roster", "FILE", false,
                   "verify who sealed the archive by this roster"),
        CSL_OPT_IMAGES(struct csl_model_opts, true),
        CSL_OPT_NPY(struct csl_model_opts),
        CSL_OPT_LABELS(struct csl_model_opts),
        CSL_OPT_COUNT(struct csl_model_opts),
        CSL_MODEL_NORMALIZE(false),
        CSL_OPTS_END};
    static const struct csl_spec spec = {
        .name = "model run",
        .synopsis = "MODEL|ARCHIVE [--key DIR] --images FILE... [--labels FILE] [--normalize HOW] [--json]",
        .text =
            "Evaluates the network in the clear: nothing is shared, nobody else takes part. An archive says "
            "itself how\n"
            "inputs are scaled, a network's file needs --normalize. An archive is opened into a folder in "
            "memory that is\n"
            "removed at once (/dev/shm; /tmp where there is none).",
        .opts = opts,
        .has_json = true,
        .pos_min = 1,
        .pos_max = 1,
        .pos_meta = "MODEL"};
    struct csl_model_opts o = {.frac_bits = 16};
    struct csl_list files = {0};
    int code;
    if (!csl_args_parse(cli, &spec, &o, &files, argc, argv, &code)) {
        return code;
    }
    return csl_cli_finish(cli, run(cli, files.items[0], &o));
}
