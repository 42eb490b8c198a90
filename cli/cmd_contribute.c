/* consilium contribute: the owner of a part of the inputs of somebody else's session. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/images.h"
#include "roles/client/contributor.h"

struct options {
    const char *site, *roster, *session, *npy;
    struct csl_list images;
    uint64_t count;
};

static const struct csl_opt opts[] = {
    CSL_STRING(struct options, site, "site", "DIR", true, "this owner's site folder"),
    CSL_STRING(struct options, roster, "roster", "FILE", false, "default: roster.yaml in the folder"),
    CSL_STRING(struct options, session, "session", "ID", true,
               "the session's id, as `consilium infer --part` printed it"),
    CSL_LIST(struct options, images, "images", "FILE", true,
             "our box of each input, as an image or .npy of that size, in the session's order"),
    CSL_OPT_NPY(struct options),
    CSL_OPT_COUNT(struct options),
    CSL_OPTS_END};
static const struct csl_spec spec = {.name = "contribute",
                                     .synopsis = "--site DIR --session ID --images FILE... [--count N]",
                                     .text = "Shares this site's part of every input of a session that "
                                             "another site has opened and that names us as an owner. Nobody\n"
                                             "sees the part, and this site learns neither the other parts "
                                             "nor the result. Values outside the model's\n"
                                             "interval are refused here.",
                                     .opts = opts};

static bool parse_id(uint8_t out[CSL_SESSION_ID_BYTES], const char *hex) {
    if (strlen(hex) != 2 * CSL_SESSION_ID_BYTES ||
        strspn(hex, "0123456789abcdef") != 2 * CSL_SESSION_ID_BYTES) {
        return false;
    }
    for (int i = 0; i < CSL_SESSION_ID_BYTES; i++) {
        unsigned v;
        (void)sscanf(hex + 2 * (ptrdiff_t)i, "%2x", &v);
        out[i] = (uint8_t)v;
    }
    return true;
}

static enum csl_err share_all(struct csl_contributor *c, struct csl_images *images, struct csl_diag *diag) {
    size_t stride = csl_images_stride(images), done = 0;
    if (stride != csl_part_elements(csl_contributor_part(c))) {
        return csl_fail(diag, CSL_EDATA,
                        "images have %zu x %zu x %zu values (channels, height, width), our part of the input "
                        "has %zu: give "
                        "our box of each input only",
                        images->channels, images->height, images->width,
                        csl_part_elements(csl_contributor_part(c)));
    }
    TRY(csl_images_normalize(images, &csl_contributor_plan(c)->input, diag));
    for (;;) {
        uint32_t count;
        TRY(csl_contributor_wait(c, &count, diag));
        if (count == 0) {
            (void)printf("%zu inputs shared\n", done);
            return CSL_OK;
        }
        if (done + count > images->count) {
            return csl_fail(diag, CSL_EDATA, "the session asks for %zu inputs, we have %zu", done + count,
                            images->count);
        }
        TRY(csl_contributor_send(c, images->data + done * stride, diag));
        done += count;
    }
}

static enum csl_err run(struct csl_cli *cli, const struct options *o, struct csl_context *ctx,
                        struct csl_images *images) {
    uint8_t id[CSL_SESSION_ID_BYTES];
    if (!parse_id(id, o->session)) {
        return csl_fail(&cli->diag, CSL_EUSAGE, "--session is %d hex digits", 2 * CSL_SESSION_ID_BYTES);
    }
    struct csl_image_options io;
    TRY(csl_images_options(&io, o->npy, o->count, &cli->diag));
    TRY(csl_context_load(ctx, o->site, o->roster, &cli->diag));
    TRY(csl_images_load(images, o->images.items, o->images.n, &io, &cli->diag));
    struct csl_contributor *c;
    enum csl_err err = csl_contributor_join(&c, ctx, id, &cli->diag);
    if (err != CSL_OK) {
        return csl_fail_context(
            &cli->diag, err,
            "cannot join the session (is its `infer --part` still running, and the id right?)");
    }
    err = share_all(c, images, &cli->diag);
    csl_contributor_leave(c);
    return err;
}

int cmd_contribute(struct csl_cli *cli, int argc, char **argv) {
    struct options o = {0};
    int code;
    if (!csl_args_parse(cli, &spec, &o, NULL, argc, argv, &code)) {
        return code;
    }
    struct csl_context ctx = {0};
    struct csl_images images = {0};
    enum csl_err err = run(cli, &o, &ctx, &images);
    csl_images_clear(&images);
    csl_context_free(&ctx);
    return csl_cli_finish(cli, err);
}
