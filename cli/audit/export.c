/* consilium audit export: a site's ledger, or what it holds of one session, for an auditor. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "audit/bundle.h"
#include "audit/statement.h"
#include "cli/commands.h"
#include "cli/hex.h"
#include "roles/daemon/logbook.h"

enum { ID_BYTES = 16, POLL_MS = 100 };

struct options {
    const char *site, *session, *out, *roster;
    bool last;
    uint64_t wait_ms;
};

struct job {
    struct csl_context ctx;
    struct csl_logbook book;
    bool earlier; /* a roster that was given, instead of the site's own */
    struct csl_note_signer members[CSL_ROSTER_MEMBERS_MAX];
    uint8_t id[ID_BYTES];
    bool of_session;
    uint64_t scanned, covers; /* entries looked at; those that the bundle must cover */
    bool found, closed;
    bool under_this, under_another; /* roster the statements of the session were made */
    uint8_t another[32];            /* its digest */
    bool *cosigned;                 /* by members[i] */
    size_t others, n_signed;        /* daemons that should cosign; that did */
    uint64_t size;
};

/* ---- Which session ---- */

static bool id_of(uint8_t id[ID_BYTES], const csl_leaf *leaf, bool *closes) {
    *closes = false;
    if (leaf->body_case == CSL__AUDIT__LEAF__BODY_CLOSE) {
        memcpy(id, leaf->close->session_id.data, ID_BYTES);
        *closes = true;
        return true;
    }
    bool ok = false;
    if (leaf->body_case == CSL__AUDIT__LEAF__BODY_SESSION) {
        Csl__Audit__SessionStatement *m = NULL;
        const ProtobufCBinaryData *s = &leaf->session->statement;
        if (csl_session_statement_decode(&m, s->data, s->len, NULL) == CSL_OK) {
            memcpy(id, m->session_id.data, ID_BYTES);
            ok = true;
        }
        csl_statement_free(m);
    } else if (leaf->body_case == CSL__AUDIT__LEAF__BODY_DEALT) {
        Csl__Audit__DealtStatement *m = NULL;
        const ProtobufCBinaryData *s = &leaf->dealt->dealt->statement;
        if (csl_dealt_statement_decode(&m, s->data, s->len, NULL) == CSL_OK) {
            memcpy(id, m->session_id.data, ID_BYTES);
            ok = true;
        }
        csl_statement_free(m);
    }
    return ok;
}

static enum csl_err leaf_at(csl_leaf **leaf, struct csl_ledger *l, uint64_t i, struct csl_diag *diag) {
    uint8_t *bytes = NULL;
    size_t n = 0;
    *leaf = NULL;
    TRY(csl_ledger_leaf(l, &bytes, &n, i, diag));
    enum csl_err err = csl_leaf_decode(leaf, bytes, n, diag);
    free(bytes);
    return err;
}

/* The newest session that was opened here or that was dealt for; else the newest that at least ended. */
static enum csl_err find_last(struct job *j, struct csl_diag *diag) {
    bool any = false;
    for (uint64_t i = csl_ledger_size(j->book.ledger); i-- > 0;) {
        csl_leaf *leaf = NULL;
        uint8_t id[ID_BYTES];
        bool closes = false;
        TRY(leaf_at(&leaf, j->book.ledger, i, diag));
        bool has = id_of(id, leaf, &closes);
        csl_leaf_free(leaf);
        if (has && (!closes || !any)) {
            memcpy(j->id, id, sizeof id);
            any = true;
        }
        if (has && !closes) {
            return CSL_OK;
        }
    }
    return any ? CSL_OK
               : csl_fail(diag, CSL_ENOINPUT, "the ledger of %s holds no session", j->ctx.self->name);
}

/* Parties have the statement; the dealer knows of no roster. */
static void note_roster(struct job *j, const csl_leaf *leaf) {
    Csl__Audit__SessionStatement *m = NULL;
    const ProtobufCBinaryData *s =
        leaf->body_case == CSL__AUDIT__LEAF__BODY_SESSION ? &leaf->session->statement : NULL;
    if (s == NULL || csl_session_statement_decode(&m, s->data, s->len, NULL) != CSL_OK) {
        return;
    }
    bool this_one = memcmp(m->roster_digest.data, j->ctx.roster_digest, 32) == 0;
    j->under_this |= this_one;
    if (!this_one) {
        j->under_another = true;
        memcpy(j->another, m->roster_digest.data, 32);
    }
    csl_statement_free(m);
}

/* Whoever has this bundle verifies the session with one roster. (A client can use an id twice.) */
static enum csl_err check_roster(const struct job *j, struct csl_diag *diag) {
    char hex[2 * 32 + 1];
    if (j->under_this || !j->under_another) {
        return CSL_OK;
    }
    csl_hex_write(hex, j->another, 32);
    return csl_fail(diag, CSL_EUSAGE,
                    j->earlier ? "the session ran under a roster of digest %s, which is not that of --roster"
                               : "the session ran under an earlier roster, of digest %s: give its file with "
                                 "--roster, here and to audit verify",
                    hex);
}

static enum csl_err scan(struct job *j, struct csl_diag *diag) {
    TRY(csl_ledger_refresh(j->book.ledger, diag));
    uint64_t size = csl_ledger_size(j->book.ledger);
    if (!j->of_session) {
        j->covers = j->covers == 0 ? size : j->covers;
        return CSL_OK;
    }
    for (; j->scanned < size; j->scanned++) {
        csl_leaf *leaf = NULL;
        uint8_t id[ID_BYTES];
        bool closes = false;
        TRY(leaf_at(&leaf, j->book.ledger, j->scanned, diag));
        if (id_of(id, leaf, &closes) && memcmp(id, j->id, sizeof id) == 0) {
            note_roster(j, leaf);
            j->found = true;
            j->closed |= closes;
            j->covers = j->scanned + 1;
        }
        csl_leaf_free(leaf);
    }
    return check_roster(j, diag);
}

/* ---- Who has cosigned ---- */

static bool is_daemon(const struct csl_member *m) {
    return (m->roles & (CSL_ROLE_PARTY | CSL_ROLE_DEALER)) != 0;
}

static void count(struct job *j, const struct csl_note *note) {
    const struct csl_roster *r = &j->ctx.roster;
    j->others = j->n_signed = 0;
    j->size = note->checkpoint.size;
    for (size_t i = 0; i < r->n_members; i++) {
        const struct csl_member *m = &r->members[i];
        j->cosigned[i] =
            note->n_body != 0 && csl_note_verify_cosignature(note, m->name, m->sign_key, NULL) == CSL_OK;
        if (m != j->ctx.self && is_daemon(m)) {
            j->others++;
            j->n_signed += j->cosigned[i] ? 1 : 0;
        }
    }
}

/* Whether there is nothing to wait for any more. Of an earlier roster some may have left: nobody waits for
 * them. */
static enum csl_err complete(bool *done, struct job *j, struct csl_diag *diag) {
    struct csl_note *note = calloc(1, sizeof *note);
    *done = false;
    if (note == NULL) {
        return CSL_ENOMEM;
    }
    enum csl_err err = scan(j, diag);
    if (err == CSL_OK) {
        struct csl_diag ignored;
        enum csl_err none = csl_ledger_newest(j->book.ledger, note, &ignored);
        err = none == CSL_ENOINPUT ? CSL_OK : none;
        if (err == CSL_OK) {
            count(j, note);
            bool covered = j->covers != 0 && note->checkpoint.size >= j->covers;
            *done = (!j->of_session || j->closed) && covered && (j->earlier || j->n_signed == j->others);
        }
    }
    free(note);
    return err;
}

static int64_t now_ms(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* A site without a daemon has nobody who would make checkpoints and have them cosigned meanwhile. */
static enum csl_err wait_for_all(struct job *j, uint64_t wait_ms, struct csl_diag *diag) {
    int64_t until = now_ms() + (is_daemon(j->ctx.self) ? (int64_t)wait_ms : 0);
    for (;;) {
        bool done = false;
        TRY(complete(&done, j, diag));
        if (done || now_ms() >= until) {
            return CSL_OK;
        }
        const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
        (void)nanosleep(&pause, NULL);
    }
}

/* ---- The bundle ---- */

static enum csl_err write_bundle(struct job *j, const char *out, size_t *n_leaves, struct csl_diag *diag) {
    csl_bundle *b = NULL;
    const struct csl_roster *r = &j->ctx.roster;
    size_t n = 0;
    for (size_t i = 0; i < r->n_members; i++) {
        if (&r->members[i] != j->ctx.self) {
            j->members[n++] =
                (struct csl_note_signer){.name = r->members[i].name, .key = r->members[i].sign_key};
        }
    }
    struct csl_bundle_roster of = {
        .digest = j->ctx.roster_digest, .members = j->members, .n = n, .earlier = j->earlier};
    TRY(csl_bundle_export_under(&b, j->book.ledger, j->ctx.self->name, &of, j->of_session ? j->id : NULL,
                                diag));
    *n_leaves = b->n_leaves;
    struct csl_note *note = calloc(1, sizeof *note);
    enum csl_err err = note == NULL ? CSL_ENOMEM : CSL_OK;
    if (err == CSL_OK && b->n_checkpoints != 0) {
        const char *text = b->checkpoints[b->n_checkpoints - 1]->note;
        err = csl_note_parse(note, text, strlen(text), diag);
    }
    if (err == CSL_OK) {
        count(j, note);
        err = csl_bundle_write(b, out, diag);
    }
    free(note);
    csl_bundle_free(b);
    return err;
}

static enum csl_err say(struct csl_cli *cli, const struct job *j, const char *out, const char *roster,
                        size_t n_leaves) {
    char hex[2 * ID_BYTES + 1] = "";
    if (j->of_session) {
        csl_hex_write(hex, j->id, ID_BYTES);
    }
    json_t *names = json_array();
    const struct csl_roster *r = &j->ctx.roster;
    if (!cli->json) {
        (void)printf("bundle        %s: %zu entries of %s's ledger, checkpoint of %llu entries\n", out,
                     n_leaves, j->ctx.self->name, (unsigned long long)j->size);
        if (j->of_session) {
            (void)printf("session       %s, %s\n", hex, j->closed ? "closed" : "NOT CLOSED");
        }
        (void)printf("cosigned      by %zu of %zu other daemons%s", j->n_signed, j->others,
                     j->n_signed == j->others ? "" : "; not by:");
    }
    for (size_t i = 0; i < r->n_members; i++) {
        bool daemon = &r->members[i] != j->ctx.self && is_daemon(&r->members[i]);
        if (!cli->json && daemon && !j->cosigned[i]) {
            (void)printf(" %s", r->members[i].name);
        } else if (j->cosigned[i]) {
            (void)json_array_append_new(names, json_string(r->members[i].name));
        }
    }
    if (!cli->json) {
        (void)printf("\nNext: consilium audit verify --roster %s BUNDLE... with those of the other sites\n",
                     roster);
        json_decref(names);
        return CSL_OK;
    }
    return csl_cli_print_json(
        cli, json_pack("{s:s, s:s, s:o, s:b, s:I, s:I, s:o, s:i}", "bundle", out, "site", j->ctx.self->name,
                       "session", j->of_session ? json_string(hex) : json_null(), "closed", (int)j->closed,
                       "leaves", (json_int_t)n_leaves, "checkpoint", (json_int_t)j->size, "cosigned", names,
                       "daemons", (int)j->others));
}

/* The site as a member of an earlier roster: of its keys the signing key counts, which its checkpoints verify
 * with; TLS and wrapping keys, certificates and the CA may be others by now. */
static enum csl_err load_earlier(struct csl_context *ctx, const char *dir, const char *roster,
                                 struct csl_diag *diag) {
    ctx->dir = strdup(dir);
    if (ctx->dir == NULL) {
        return CSL_ENOMEM;
    }
    TRY(csl_site_load_keys(&ctx->site, dir, diag));
    TRY(csl_roster_load(&ctx->roster, roster, diag));
    TRY(csl_roster_digest(ctx->roster_digest, &ctx->roster));
    ctx->self = csl_roster_member(&ctx->roster, ctx->site.name);
    if (ctx->self == NULL) {
        return csl_fail(diag, CSL_ECONFIG, "%s: %s is not in this roster", roster, ctx->site.name);
    }
    return memcmp(ctx->self->sign_spki, ctx->site.sign_spki, CSL_SPKI_BYTES) == 0
               ? CSL_OK
               : csl_fail(
                     diag, CSL_ECONFIG,
                     "%s: the signing key of %s is another one there, and nobody who has that roster can "
                     "verify what this site signs now; bundles for it had to be made before the key changed",
                     roster, ctx->site.name);
}

static enum csl_err load(struct job *j, const struct options *o, struct csl_diag *diag) {
    j->earlier = o->roster != NULL;
    return j->earlier ? load_earlier(&j->ctx, o->site, o->roster, diag)
                      : csl_context_load(&j->ctx, o->site, NULL, diag);
}

static enum csl_err export_bundle(struct csl_cli *cli, const struct options *o) {
    struct job *j = calloc(1, sizeof *j);
    size_t n_leaves = 0;
    enum csl_err err;
    if (j == NULL) {
        return CSL_ENOMEM;
    }
    j->of_session = o->last || o->session != NULL;
    if (o->session != NULL && !csl_hex_parse(j->id, ID_BYTES, o->session)) {
        err = csl_fail(&cli->diag, CSL_EUSAGE, "--session: not 32 lower-case hex digits");
        goto out;
    }
    TRY_OUT(load(j, o, &cli->diag));
    j->cosigned = calloc(j->ctx.roster.n_members, sizeof *j->cosigned);
    err = j->cosigned == NULL ? CSL_ENOMEM : CSL_OK;
    TRY_OUT(err);
    TRY_OUT(csl_logbook_open(&j->book, &j->ctx, 0, &cli->diag));
    if (o->last) {
        TRY_OUT(find_last(j, &cli->diag));
    }
    TRY_OUT(wait_for_all(j, o->wait_ms, &cli->diag));
    TRY_OUT(write_bundle(j, o->out, &n_leaves, &cli->diag));
    TRY_OUT(say(cli, j, o->out, o->roster != NULL ? o->roster : "roster.yaml", n_leaves));
out:
    if (j->book.ledger != NULL) {
        csl_logbook_close(&j->book);
    }
    csl_context_free(&j->ctx);
    free(j->cosigned);
    free(j);
    return err;
}

int cmd_audit_export(struct csl_cli *cli, int argc, char **argv) {
    static const struct csl_opt opts[] = {
        CSL_STRING(struct options, site, "site", "DIR", true, "the site's folder; its daemon may run"),
        CSL_STRING(struct options, session, "session", "ID", false, "one session; default: the whole ledger"),
        CSL_FLAG(struct options, last, "last", "the newest session"),
        CSL_STRING(struct options, roster, "roster", "FILE", false,
                   "the earlier roster under which the session ran"),
        CSL_STRING(struct options, out, "out", "FILE", true, "the bundle"),
        CSL_UINT(struct options, wait_ms, "wait-ms", "N", 0, 600000,
                 "how long to wait for cosignatures (5000)"),
        CSL_OPTS_END};
    static const struct csl_spec spec = {
        .name = "audit export",
        .synopsis = "--site DIR [--session ID | --last] [--roster FILE] --out FILE [--wait-ms N] [--json]",
        .text = "Writes what this site's ledger holds of a session, with proofs and the cosigned checkpoint, "
                "for an\n"
                "auditor: hashes and signatures, never a message. Waits until the session is closed and all "
                "other\n"
                "daemons have cosigned; after --wait-ms it writes what there is, and says who did not.\n"
                "A session of an earlier roster needs that roster, here and at audit verify.",
        .has_json = true,
        .opts = opts};
    struct options o = {.wait_ms = 5000};
    int code;
    if (!csl_args_parse(cli, &spec, &o, NULL, argc, argv, &code)) {
        return code;
    }
    if (o.last && o.session != NULL) {
        return csl_cli_usage(cli, "--last and --session exclude each other");
    }
    if (o.last && o.roster != NULL) {
        return csl_cli_usage(cli,
                             "--roster: say which session with --session (consilium audit show lists them)");
    }
    return csl_cli_finish(cli, export_bundle(cli, &o));
}
