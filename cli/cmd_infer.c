/* consilium infer: the client's command. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/images.h"
#include "cli/infer_run.h"
#include "cli/picture.h"
#include "crypto/secret.h"

struct options {
    const char *site, *roster, *model, *labels, *compare, *npy, *reveal;
    struct csl_list images, parts;
    uint64_t count, batch;
    bool show, quiet, shared, one_by_one;
};

static const struct csl_opt opts[] = {
    CSL_STRING(struct options, site, "site", "DIR", true, "the client's site folder"),
    CSL_STRING(struct options, roster, "roster", "FILE", false, "default: roster.yaml in the folder"),
    CSL_STRING(struct options, model, "model", "NAME", true, "the model's name in the roster"),
    CSL_OPT_IMAGES(struct options, false),
    CSL_LIST(
        struct options, parts, "part", "OWNER=A:B,...", false,
        "who owns which box of the input, one range an axis, \":\" for all of it; together they cover it"),
    CSL_STRING(struct options, reveal, "reveal", "logits|label", false,
               "label: learn the class and nothing else; default: what the roster allows"),
    CSL_OPT_NPY(struct options),
    CSL_OPT_LABELS(struct options),
    CSL_OPT_COUNT(struct options),
    CSL_UINT(struct options, batch, "batch", "N", 1, 65536, "images in one pass; default 1"),
    CSL_FLAG(struct options, shared, "shared",
             "join the session that the parties keep for several clients: no wait for correlations"),
    CSL_FLAG(struct options, one_by_one, "one-by-one",
             "announce a batch when the one before is answered; else the parties prepare the next ones "
             "meanwhile"),
    CSL_STRING(struct options, compare, "compare", "MODEL", false, "evaluate the plaintext network too"),
    CSL_FLAG(struct options, show, "show", "draw each image and what each party got of it"),
    CSL_FLAG(struct options, quiet, "quiet", "the summary only"),
    CSL_OPTS_END};
static const struct csl_spec spec = {
    .name = "infer",
    .synopsis = "--site DIR --model NAME --images FILE... [--labels FILE] [--count N] [--batch N] [--json]",
    .text =
        "Shares the images among the parties, lets them evaluate the model jointly, and joins the "
        "outputs, which nobody\n"
        "else can. The model says how inputs are normalised; values outside its interval are refused.\n"
        "With --part other owners share their boxes of every input: the rows 0 to 13 of a 1x28x28 input are\n"
        "a=:,0:14,: . This command prints a session id; each owner, a client of the model in the roster, "
        "runs\n"
        "`consilium contribute` with it. This site's --images hold its own "
        "box, or nothing\n"
        "and --count says how many.\n"
        "With --shared small requests are answered at once, together with those of other clients.\n"
        "--compare checks every output against the plaintext network of a file that this site has.",
    .opts = opts,
    .has_json = true};

struct run {
    struct csl_cli *cli;
    struct options o;
    struct csl_context ctx;
    struct csl_infer_inputs in;
    struct csl_plan plan;
    struct csl_infer_result r;
    struct csl_comparison c;
    uint8_t *shares; /* --show: what each party got, as gray, party-major: parties x images x pixels */
    size_t shown;    /* images whose shares are drawn already */
};

/* ---- Input ---- */

static enum csl_err copy_images(struct csl_images *to, const struct csl_images *from) {
    size_t n = from->count * csl_images_stride(from);
    *to = *from;
    to->data = csl_secret_alloc(n, sizeof *to->data);
    if (to->data == NULL) {
        *to = (struct csl_images){0};
        return CSL_ENOMEM;
    }
    memcpy(to->data, from->data, n * sizeof *to->data);
    return CSL_OK;
}

static enum csl_err load_inputs(struct run *x) {
    struct csl_image_options io;
    TRY(csl_images_options(&io, x->o.npy, x->o.count, &x->cli->diag));
    if (x->o.images.n == 0) {
        size_t n = strlen(x->ctx.self->name);
        for (size_t i = 0; i < x->o.parts.n; i++) {
            if (strncmp(x->o.parts.items[i], x->ctx.self->name, n) == 0 && x->o.parts.items[i][n] == '=') {
                return csl_fail(&x->cli->diag, CSL_EUSAGE, "--part %s is ours: give it with --images",
                                x->o.parts.items[i]);
            }
        }
        x->in.n_images = x->o.count;
        return x->o.parts.n != 0 && x->o.count != 0
                   ? CSL_OK
                   : csl_fail(&x->cli->diag, CSL_EUSAGE,
                              "give --images; or, where others own the whole input, --part and --count");
    }
    TRY(csl_images_load(&x->in.images, x->o.images.items, x->o.images.n, &io, &x->cli->diag));
    if (x->o.count != 0 && x->in.images.count > x->o.count) {
        x->in.images.count = x->o.count; /* of several files */
    }
    if (x->o.show) {
        TRY(copy_images(&x->in.raw, &x->in.images));
    }
    if (x->o.labels != NULL) {
        TRY(csl_labels_load(&x->in.labels, x->o.labels, x->in.images.count, &x->cli->diag));
        if (x->in.labels.count < x->in.images.count) {
            return csl_fail(&x->cli->diag, CSL_EDATA, "%s: %zu labels for %zu images", x->o.labels,
                            x->in.labels.count, x->in.images.count);
        }
    }
    return CSL_OK;
}

/* The share of a value as gray: its top 8 bits. */
static void keep_share(void *arg, unsigned party, const uint64_t *share, size_t n, unsigned bits) {
    struct run *x = arg;
    size_t stride = csl_images_stride(&x->in.images);
    uint8_t *to = x->shares + (party * x->in.images.count + x->shown) * stride;
    for (size_t i = 0; i < n; i++) {
        to[i] = (uint8_t)(bits >= 8 ? share[i] >> (bits - 8) : share[i] << (8 - bits));
    }
    if (party + 1 == x->ctx.roster.n_parties) {
        x->shown += n / stride;
    }
}

/* ---- Output for people ---- */

static void print_pictures(const struct run *x, size_t i) {
    size_t stride = csl_images_stride(&x->in.raw), n = x->in.raw.height * x->in.raw.width;
    struct csl_picture p[CSL_PICTURES_MAX];
    uint8_t *gray = csl_secret_alloc(n, 1);
    if (gray == NULL) {
        return;
    }
    for (size_t k = 0; k < n; k++) {
        float v = x->in.raw.data[i * stride + k];
        gray[k] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
    }
    (void)snprintf(p[0].caption, sizeof p[0].caption, "the image");
    p[0].pixels = gray;
    for (unsigned party = 0; party < x->ctx.roster.n_parties; party++) {
        (void)snprintf(p[party + 1].caption, sizeof p[0].caption, "%s got",
                       csl_roster_party(&x->ctx.roster, party)->name);
        p[party + 1].pixels = x->shares + (party * x->in.images.count + i) * stride;
    }
    csl_pictures_print(p, x->ctx.roster.n_parties + 1, x->in.raw.height, x->in.raw.width);
    csl_secret_free(gray);
}

static void print_image(const struct run *x, size_t i) {
    if (x->o.show) {
        (void)putchar('\n');
        print_pictures(x, i);
    }
    const double *y = x->r.logits + i * x->r.n_outputs;
    (void)printf("image %zu: class %u", i, x->r.classes[i]);
    if (!x->r.labels_only) {
        (void)printf(" (logit %.3f)", y[x->r.classes[i]]);
    }
    if (x->c.classes != NULL) {
        (void)printf(", plaintext network %u", x->c.classes[i]);
    }
    if (i < x->in.labels.count) {
        (void)printf(", label %u", x->in.labels.data[i]);
    }
    (void)putchar('\n');
}

struct timing {
    struct csl_quantiles online, client;
};

static struct timing timing_of(const struct csl_infer_result *r) {
    struct timing t = {0};
    double *v = calloc(r->n_batches, sizeof *v);
    if (v != NULL) {
        for (size_t i = 0; i < r->n_batches; i++) {
            v[i] = ((double)r->batches[i].output_ns - (double)r->batches[i].input_ns) / 1e6;
        }
        t.online = csl_quantiles_of(v, r->n_batches);
        for (size_t i = 0; i < r->n_batches; i++) {
            v[i] = (double)r->batches[i].client_ns / 1e6;
        }
        t.client = csl_quantiles_of(v, r->n_batches);
        free(v);
    }
    return t;
}

struct bytes {
    double online, link, offline; /* an inference */
};

static struct bytes bytes_of(const struct csl_infer_result *r) {
    struct bytes b = {0};
    for (size_t i = 0; i < r->n_batches; i++) {
        b.online += (double)r->batches[i].online_bytes;
        b.link += (double)r->batches[i].max_link_bytes;
        b.offline += (double)r->batches[i].offline_bytes;
    }
    b.online /= (double)r->n;
    b.link /= (double)r->n;
    b.offline /= (double)r->n;
    return b;
}

static void print_summary(const struct run *x) {
    const struct csl_infer_result *r = &x->r;
    struct timing t = timing_of(r);
    struct bytes b = bytes_of(r);
    (void)printf("\n%zu images in %zu batches among %u parties: %u rounds a batch, %.0f bytes an image sent "
                 "by a party online\n"
                 "(%.0f on a link), %.0f offline by the dealer; at the client %.2f ms a batch (median), "
                 "session opened in %.0f ms\n",
                 r->n, r->n_batches, x->ctx.roster.n_parties, r->batches[0].rounds, b.online, b.link,
                 b.offline, t.client.median, (double)r->open_ns / 1e6);
    if (x->in.labels.count != 0) {
        size_t right = 0;
        for (size_t i = 0; i < r->n; i++) {
            right += r->classes[i] == x->in.labels.data[i];
        }
        (void)printf("%zu of %zu right\n", right, r->n);
    }
    if (x->c.classes != NULL) {
        (void)printf("plaintext network agrees on %zu of %zu; largest logit difference %.5f, largest error "
                     "in parts of its "
                     "stated bound %.3f\n",
                     x->c.agree, r->n, x->c.max_logit_error, x->c.max_bound_use);
    }
}

/* ---- Output for scripts ---- */

static json_t *results_json(const struct run *x) {
    json_t *list = json_array();
    for (size_t i = 0; i < x->r.n; i++) {
        json_t *logits = json_array();
        for (uint32_t j = 0; j < x->r.n_outputs && !x->r.labels_only; j++) {
            (void)json_array_append_new(logits, json_real(x->r.logits[i * x->r.n_outputs + j]));
        }
        (void)json_array_append_new(list,
                                    json_pack("{s:i, s:o}", "class", (int)x->r.classes[i], "logits", logits));
    }
    return list;
}

static void add_comparison(const struct run *x, json_t *doc) {
    const struct csl_comparison *c = &x->c;
    double n = (double)x->r.n;
    if (x->in.labels.count != 0) {
        size_t right = 0;
        for (size_t i = 0; i < x->r.n; i++) {
            right += x->r.classes[i] == x->in.labels.data[i];
        }
        (void)json_object_set_new(doc, "accuracy", json_real((double)right / n));
    }
    if (c->classes == NULL) {
        return;
    }
    if (x->in.labels.count != 0) {
        (void)json_object_set_new(doc, "plain_accuracy", json_real((double)c->plain_correct / n));
    }
    (void)json_object_set_new(doc, "agree_with_plain", json_real((double)c->agree / n));
    (void)json_object_set_new(doc, "max_logit_error", json_real(c->max_logit_error));
    (void)json_object_set_new(doc, "max_fixed_error", json_real(c->max_fixed_error));
    (void)json_object_set_new(doc, "max_bound_use", json_real(c->max_bound_use));
}

static json_t *summary_json(const struct run *x) {
    const struct csl_infer_result *r = &x->r;
    struct timing t = timing_of(r);
    struct bytes b = bytes_of(r);
    json_t *doc =
        json_pack("{s:s, s:i, s:s, s:I, s:I, s:i, s:s, s:f, s:f, s:f, s:I}", "version", CSL_VERSION,
                  "parties", (int)x->ctx.roster.n_parties, "model", x->o.model, "images", (json_int_t)r->n,
                  "batches", (json_int_t)r->n_batches, "rounds", (int)r->batches[0].rounds, "profile",
                  csl_profile_name(r->batches[0].profile), "online_bytes_per_party", b.online,
                  "online_bytes_per_link", b.link, "offline_bytes_per_party", b.offline,
                  "setup_bytes_per_party", (json_int_t)r->batches[0].setup_bytes);
    if (doc != NULL) {
        (void)json_object_set_new(doc, "setup_ms", json_real((double)r->open_ns / 1e6));
        (void)json_object_set_new(doc, "online_ms",
                                  json_pack("{s:f, s:f}", "median", t.online.median, "p95", t.online.p95));
        (void)json_object_set_new(doc, "client_ms", json_real(t.client.median));
        (void)json_object_set_new(doc, "client_ms_p95", json_real(t.client.p95));
        (void)json_object_set_new(doc, "images_per_s", json_real((double)r->n * 1e9 / (double)r->run_ns));
        add_comparison(x, doc);
        if (!x->o.quiet) {
            (void)json_object_set_new(doc, "results", results_json(x));
        }
    }
    return doc;
}

static enum csl_err present(struct run *x) {
    if (x->cli->json) {
        return csl_cli_print_json(x->cli, summary_json(x));
    }
    for (size_t i = 0; i < x->r.n && !x->o.quiet; i++) {
        print_image(x, i);
    }
    print_summary(x);
    return CSL_OK;
}

/* ---- The command ---- */

static void print_session(void *arg, const uint8_t id[CSL_SESSION_ID_BYTES]) {
    const struct run *x = arg;
    if (x->o.parts.n == 0) {
        return;
    }
    (void)fprintf(stderr, "session ");
    for (int i = 0; i < CSL_SESSION_ID_BYTES; i++) {
        (void)fprintf(stderr, "%02x", id[i]);
    }
    (void)fprintf(stderr, ": the owners of the other parts join with consilium contribute --session\n");
}

static enum csl_err choose(struct run *x, struct csl_infer_options *opt, struct csl_parts *parts) {
    struct csl_diag *diag = &x->cli->diag;
    bool label = x->o.reveal == NULL ? csl_roster_label_only(&x->ctx.roster, x->o.model)
                                     : strcmp(x->o.reveal, "label") == 0;
    if (x->o.reveal != NULL && !label && strcmp(x->o.reveal, "logits") != 0) {
        return csl_fail(diag, CSL_EUSAGE, "--reveal is logits or label, not \"%.40s\"", x->o.reveal);
    }
    if (x->o.parts.n > CSL_PARTS_MAX) {
        return csl_fail(diag, CSL_EUSAGE, "at most %d parts", CSL_PARTS_MAX);
    }
    for (; parts->n < x->o.parts.n; parts->n++) {
        TRY(csl_part_parse(&parts->at[parts->n], &x->ctx.roster, x->o.parts.items[parts->n], diag));
    }
    *opt = (struct csl_infer_options){.client = {.model = x->o.model,
                                                 .max_batch = (uint32_t)x->o.batch,
                                                 .reveal_label = label,
                                                 .parts = parts,
                                                 .shared = x->o.shared,
                                                 .on_session = print_session,
                                                 .arg = x},
                                      .show = x->o.show ? keep_share : NULL,
                                      .show_arg = x,
                                      .one_by_one = x->o.one_by_one};
    return CSL_OK;
}

static enum csl_err run(struct run *x) {
    struct csl_diag *diag = &x->cli->diag;
    TRY(csl_context_load(&x->ctx, x->o.site, x->o.roster, diag));
    if (x->o.compare != NULL && access(x->o.compare, R_OK) != 0) { /* now, not after all the work */
        return csl_fail(diag, CSL_ENOINPUT, "%s: %s", x->o.compare, strerror(errno));
    }
    TRY(load_inputs(x));
    if (x->in.images.count == 0 && x->in.n_images == 0) {
        return csl_fail(diag, CSL_EDATA, "%s: no images", x->o.images.items[0]);
    }
    struct csl_infer_options opt;
    struct csl_parts parts = {.n = 0};
    TRY(choose(x, &opt, &parts));
    if (x->o.show) {
        x->shares =
            csl_secret_alloc(x->ctx.roster.n_parties * x->in.images.count, csl_images_stride(&x->in.images));
        if (x->shares == NULL) {
            return CSL_ENOMEM;
        }
    }
    TRY(csl_infer_run(&x->r, &x->ctx, &x->in, &x->plan, &opt, diag));
    if (x->o.compare != NULL) {
        TRY(csl_infer_compare(&x->c, &x->r, &x->in, &x->plan, x->o.compare, x->ctx.roster.n_parties, diag));
    }
    return present(x);
}

int cmd_infer(struct csl_cli *cli, int argc, char **argv) {
    struct run *x = calloc(1, sizeof *x);
    if (x == NULL) {
        return csl_cli_finish(cli, CSL_ENOMEM);
    }
    x->cli = cli;
    x->o.batch = 1;
    int code;
    if (csl_args_parse(cli, &spec, &x->o, NULL, argc, argv, &code)) {
        x->o.show = x->o.show && !cli->json && x->o.parts.n == 0;
        code = csl_cli_finish(cli, run(x));
    }
    csl_infer_inputs_clear(&x->in);
    csl_infer_result_clear(&x->r);
    csl_comparison_clear(&x->c);
    csl_context_free(&x->ctx);
    csl_secret_free(x->shares);
    free(x);
    return code;
}
