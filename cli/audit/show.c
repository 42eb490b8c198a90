/* consilium audit show: what a ledger holds, for people. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/audit/chain.h"
#include "cli/audit/story.h"
#include "cli/commands.h"
#include "cli/hex.h"
#include "cli/show.h"
#include "roles/daemon/logbook.h"

enum { WIDTH = 100, INDENT = 8, SHORT = 6 };

struct options {
    const char *site, *session;
    struct csl_chain_node node;
};

struct job {
    struct csl_cli *cli;
    struct csl_context ctx;
    struct csl_logbook book;
    struct csl_story story;
    uint8_t id[16];
    bool of_session;
    struct csl_chain_node node;
    json_t *entries; /* --json */
    size_t shown;
    uint64_t last; /* of what was shown */
};

/* Facts, "; " between them, wrapped and indented; a fact is not torn apart unless it is longer than a line.
 */
static void print_wrapped(const char *text) {
    size_t column = 0;
    while (*text != '\0') {
        const char *stop = strchrnul(text, '\n'), *next = strstr(text, "; ");
        next = next == NULL || next > stop ? stop : next + 1;
        size_t n = (size_t)(next - text);
        if (column != 0 && column + 1 + n > WIDTH) {
            (void)printf("\n");
            column = 0;
        }
        while (column == 0 && INDENT + n > WIDTH) { /* a reason, say */
            int cut = WIDTH - INDENT;
            (void)printf("%*s%.*s\n", INDENT, "", cut, text);
            text += cut;
            n -= (size_t)cut;
        }
        if (n != 0) {
            (void)printf("%*s%.*s", column == 0 ? INDENT : 1, "", (int)n, text);
            column += column == 0 ? INDENT + n : 1 + n;
        }
        text = next;
        if (*text == '\n' || *text == '\0') {
            (void)printf("%s", column == 0 ? "" : "\n");
            column = 0;
        }
        text += *text == '\0' ? 0 : 1;
    }
}

static enum csl_err show_entry(struct job *j, uint64_t i, const csl_leaf *leaf) {
    uint8_t before[CSL_MERKLE_BYTES], after[CSL_MERKLE_BYTES];
    char from[CSL_HEX32_TEXT], to[CSL_HEX32_TEXT], when[CSL_TIME_TEXT], told[CSL_STORY_MAX];
    TRY(csl_ledger_root(j->book.ledger, before, i));
    TRY(csl_ledger_root(j->book.ledger, after, i + 1));
    (void)csl_hex32(from, before);
    (void)csl_hex32(to, after);
    (void)csl_time_text(when, (int64_t)(leaf->time_ms / 1000));
    j->shown++;
    j->last = i;
    if (j->cli->json) {
        json_t *o = csl_story_json(&j->story, leaf);
        (void)json_object_set_new(o, "entry", json_integer((json_int_t)i));
        (void)json_object_set_new(o, "time", json_string(when));
        (void)json_object_set_new(o, "time_ms", json_integer((json_int_t)leaf->time_ms));
        (void)json_object_set_new(o, "previous_hash", json_string(from));
        (void)json_object_set_new(o, "current_hash", json_string(to));
        return json_array_append_new(j->entries, o) == 0 ? CSL_OK : CSL_ENOMEM;
    }
    const uint8_t *id = csl_story_session_of(&j->story, leaf);
    char session[2 * 16 + 1] = "";
    if (id != NULL) {
        csl_hex_write(session, id, 16);
    }
    (void)printf("%6llu  %-20s  %-15s  %.*s -> %.*s\n", (unsigned long long)i, when, csl_story_kind(leaf),
                 2 * SHORT, from, 2 * SHORT, to);
    if (!j->of_session && id != NULL) {
        (void)printf("%*ssession %s\n", INDENT, "", session);
    }
    csl_story_tell(told, &j->story, leaf);
    print_wrapped(told);
    return CSL_OK;
}

/* Without --session: everything but the entries of batches. */
static bool wanted(struct job *j, const csl_leaf *leaf) {
    if (j->of_session) {
        const uint8_t *id = csl_story_session_of(&j->story, leaf);
        return id != NULL && memcmp(id, j->id, sizeof j->id) == 0;
    }
    return leaf->body_case != CSL__AUDIT__LEAF__BODY_INPUT &&
           leaf->body_case != CSL__AUDIT__LEAF__BODY_HEADS &&
           leaf->body_case != CSL__AUDIT__LEAF__BODY_OUTPUT &&
           leaf->body_case != CSL__AUDIT__LEAF__BODY_DEALT;
}

static enum csl_err show_all(struct job *j) {
    uint64_t size = csl_ledger_size(j->book.ledger);
    for (uint64_t i = 0; i < size; i++) {
        uint8_t *bytes = NULL;
        size_t n = 0;
        csl_leaf *leaf = NULL;
        TRY(csl_ledger_leaf(j->book.ledger, &bytes, &n, i, &j->cli->diag));
        enum csl_err err = csl_leaf_decode(&leaf, bytes, n, &j->cli->diag);
        free(bytes);
        if (err == CSL_OK) {
            csl_story_learn(&j->story, leaf);
            err = wanted(j, leaf) ? show_entry(j, i, leaf) : CSL_OK;
        }
        csl_leaf_free(leaf);
        TRY(err);
    }
    if (j->of_session && j->shown == 0) {
        return csl_fail(&j->cli->diag, CSL_ENOINPUT,
                        "the ledger of %s holds no such session; without --session all are listed",
                        j->ctx.self->name);
    }
    return CSL_OK;
}

/* ---- The checkpoint ---- */

static void print_checkpoint(const struct job *j, const struct csl_note *note) {
    uint64_t size = csl_ledger_size(j->book.ledger);
    (void)printf("ledger        of %s, %llu entries\n", j->ctx.self->name, (unsigned long long)size);
    if (note->checkpoint.size == 0) {
        (void)printf("checkpoint    none yet\n\n");
        return;
    }
    char root[CSL_HEX32_TEXT];
    (void)printf("checkpoint    %llu entries, %.16s..., cosigned by",
                 (unsigned long long)note->checkpoint.size, csl_hex32(root, note->checkpoint.root));
    size_t n = 0;
    for (size_t i = 0; i < note->n_signatures; i++) {
        if (note->signatures[i].cosignature) {
            (void)printf("%s %s", n++ == 0 ? "" : ",", note->signatures[i].name);
        }
    }
    (void)printf("%s\n\n entry  when                  what             previous hash -> current hash\n",
                 n == 0 ? " nobody yet" : "");
}

static json_t *checkpoint_json(const struct csl_note *note) {
    char root[CSL_HEX32_TEXT];
    json_t *names = json_array();
    for (size_t i = 0; i < note->n_signatures; i++) {
        if (note->signatures[i].cosignature) {
            (void)json_array_append_new(names, json_string(note->signatures[i].name));
        }
    }
    return json_pack("{s:I, s:s, s:o}", "entries", (json_int_t)note->checkpoint.size, "root",
                     csl_hex32(root, note->checkpoint.root), "cosigned", names);
}

/* The anchor that covers all of a session. */
static enum csl_err find_anchor(json_t **anchor, struct job *j) {
    *anchor = NULL;
    if (!j->of_session) {
        return CSL_OK;
    }
    TRY(csl_chain_anchor_of(anchor, &j->ctx, j->last, &j->node, &j->cli->diag));
    bool chain = j->ctx.roster.chain.id != 0 && j->ctx.self->has_account;
    if (!j->cli->json && json_is_object(*anchor)) {
        (void)printf("\n");
        csl_chain_print_anchor(*anchor, "");
    } else if (!j->cli->json && chain) {
        (void)printf("\nanchor        none of %s covers all of it%s\n",
                     j->node.url == NULL ? "those in this site's outbox" : "those on the chain",
                     j->node.url == NULL ? " (--chain URL asks the chain itself)" : " yet");
    }
    return CSL_OK;
}

static enum csl_err show(struct job *j) {
    struct csl_diag ignored;
    struct csl_note *note = calloc(1, sizeof *note);
    if (note == NULL) {
        return CSL_ENOMEM;
    }
    enum csl_err err = csl_ledger_newest(j->book.ledger, note, &ignored);
    if (err == CSL_ENOINPUT) {
        memset(note, 0, sizeof *note);
        err = CSL_OK;
    }
    if (err == CSL_OK && !j->cli->json) {
        print_checkpoint(j, note);
    }
    err = err == CSL_OK ? show_all(j) : err;
    json_t *anchor = NULL;
    err = err == CSL_OK ? find_anchor(&anchor, j) : err;
    if (err == CSL_OK && j->cli->json) {
        err = csl_cli_print_json(
            j->cli, json_pack("{s:s, s:I, s:o, s:O, s:O*}", "site", j->ctx.self->name, "entries_in_all",
                              (json_int_t)csl_ledger_size(j->book.ledger), "checkpoint",
                              checkpoint_json(note), "entries", j->entries, "anchor", anchor));
    }
    json_decref(anchor);
    free(note);
    return err;
}

static enum csl_err run(struct csl_cli *cli, const struct options *o) {
    enum csl_err err;
    struct job *j = calloc(1, sizeof *j);
    if (j == NULL) {
        return CSL_ENOMEM;
    }
    j->cli = cli;
    j->of_session = o->session != NULL;
    j->node = o->node;
    if (o->session != NULL && !csl_hex_parse(j->id, sizeof j->id, o->session)) {
        err = csl_fail(&cli->diag, CSL_EUSAGE, "--session: not 32 lower-case hex digits");
        goto out;
    }
    j->entries = json_array();
    TRY_OUT(csl_context_load(&j->ctx, o->site, NULL, &cli->diag));
    TRY_OUT(csl_logbook_open(&j->book, &j->ctx, 0, &cli->diag));
    TRY_OUT(show(j));
out:
    if (j->book.ledger != NULL) {
        csl_logbook_close(&j->book);
    }
    csl_context_free(&j->ctx);
    json_decref(j->entries);
    free(j);
    return err;
}

int cmd_audit_show(struct csl_cli *cli, int argc, char **argv) {
    static const struct csl_opt opts[] = {
        CSL_STRING(struct options, site, "site", "DIR", true, "the site's folder; its daemon may run"),
        CSL_STRING(struct options, session, "session", "ID", false, "one session, with all its batches"),
        CSL_STRING(struct options, node.url, "chain", "URL", false,
                   "with --session: ask this node for its anchor; default: what this site wrote down"),
        CSL_STRING(struct options, node.ca_file, "ca-file", "FILE", false, "PEM roots for its https"),
        CSL_OPTS_END};
    static const struct csl_spec spec = {
        .name = "audit show",
        .synopsis = "--site DIR [--session ID [--chain URL]] [--json]",
        .text = "Tells what this site's ledger holds: who, when, what, which "
                "hashes (their first digits; --json has\n"
                "all), with the ledger's hash before and after each entry. "
                "Without --session: the sessions, models,\n"
                "refusals and openings; with it: every entry of the session, and the anchor "
                "on the chain that covers it.",
        .has_json = true,
        .opts = opts};
    struct options o = {0};
    int code;
    if (!csl_args_parse(cli, &spec, &o, NULL, argc, argv, &code)) {
        return code;
    }
    return csl_cli_finish(cli, run(cli, &o));
}
