/* Deploying the contract on nodes in trouble, and through crashes: one transaction, whatever happens. */
#include "tests/chain/chain_test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chain/account.h"
#include "chain/anchor.h"
#include "chain/contract.h"
#include "chain/tx.h"
#include "tests/net/http_server.h"

#define H1 "0x1111111111111111111111111111111111111111111111111111111111111111"
#define LATEST                                                                                               \
    "{\"number\":\"0x9\",\"hash\":\"" H1 "\",\"parentHash\":\"" H1                                           \
    "\",\"timestamp\":\"0x665544\",\"gasLimit\":\"0x1c9c380\"}"

static char code_answer[2 * CSL_CONTRACT_RUNTIME_BYTES + 8]; /* eth_getCode's result */

static void make_code_answer(void) {
    char hex[2 * CSL_CONTRACT_RUNTIME_BYTES + 3];
    csl_hex0x_text(hex, csl_contract_creation + CSL_CONTRACT_CREATION_BYTES - CSL_CONTRACT_RUNTIME_BYTES,
                   CSL_CONTRACT_RUNTIME_BYTES);
    (void)snprintf(code_answer, sizeof code_answer, "\"%s\"", hex);
}

/* ---- The node ---- */

struct deploying {
    int asked, sent;
    int bad_receipts;  /* so many are not answered */
    bool refuses;      /* to take transactions */
    bool absent;       /* no receipt */
    bool reverted;     /* it was mined, and made nothing */
    const char *taken; /* the answer to a transaction: an error object */
    pid_t kills;       /* when a transaction comes */
    char hash[CSL_HASH_ROOM], last[CSL_HASH_ROOM];
};

static const char *says_of(struct deploying *d, const char *body) {
    static char out[1024];
    const char *raw = strstr(body, "[\"0x");
    if (strstr(body, "eth_sendRawTransaction") != NULL) {
        size_t n = strcspn(raw + 2, "\"") / 2 - 1;
        uint8_t bytes[2 * CSL_CONTRACT_CREATION_BYTES], hash[CSL_HASH_BYTES];
        char hex[sizeof bytes * 2 + 3];
        if (n >= sizeof bytes) {
            abort(); /* another thread than the test's */
        }
        (void)snprintf(hex, sizeof hex, "%.*s", (int)(2 * n + 2), raw + 2);
        if (!csl_hex0x_parse(bytes, n, hex)) {
            abort();
        }
        csl_tx_hash(hash, bytes, n);
        csl_hex0x_text(d->hash, hash, sizeof hash);
        d->sent++;
        if (d->kills != 0) {
            (void)kill(d->kills, SIGKILL);
        }
        (void)snprintf(out, sizeof out, "\"%s\"", d->hash);
        return out;
    }
    if (strstr(body, "eth_getTransactionReceipt") != NULL) {
        if (d->absent || strstr(body, d->hash) == NULL || d->hash[0] == '\0') {
            return "null";
        }
        (void)snprintf(out, sizeof out,
                       "{\"transactionHash\":\"%s\",\"blockHash\":\"" H1
                       "\",\"blockNumber\":\"0x9\",\"from\":\"0x5fbdb2315678afecb367f032d93f642f64180aa3\","
                       "\"gasUsed\":\"0x5208\",\"effectiveGasPrice\":\"0x1\",\"logs\":[],\"status\":\"%s\","
                       "\"to\":null,\"contractAddress\":\"0x00000000000000000000000000000000000000ff\"}",
                       d->hash, d->reverted ? "0x0" : "0x1");
        return out;
    }
    return strstr(body, "eth_chainId") != NULL            ? "\"0x7\""
           : strstr(body, "eth_getBlockByNumber") != NULL ? LATEST
           : strstr(body, "eth_getBalance") != NULL       ? "\"0xde0b6b3a7640000\""
                                                          : "\"0x1000\"";
}

/* 502, or the result; answer is NULL where nothing good is said. */
static const char *deploy_answer(struct deploying *d, const char *body) {
    static char answer[sizeof code_answer + 1024];
    bool receipt = strstr(body, "eth_getTransactionReceipt") != NULL;
    if ((receipt && d->asked++ < d->bad_receipts) || (d->refuses && strstr(body, "eth_sendRaw") != NULL)) {
        return NULL;
    }
    int number = atoi(strstr(body, "\"id\":") + 5);
    bool taken = d->taken != NULL && strstr(body, "eth_sendRaw") != NULL;
    const char *what = taken                                 ? d->taken
                       : strstr(body, "eth_getCode") != NULL ? code_answer
                                                             : says_of(d, body);
    (void)snprintf(answer, sizeof answer, "{\"jsonrpc\":\"2.0\",\"id\":%d,\"%s\":%s}", number,
                   taken ? "error" : "result", what);
    return answer;
}

static void deploy_script(void *arg, const struct test_http_request *q, struct test_http_conn *c) {
    char *body = strndup((const char *)q->body, q->n_body);
    const char *answer = body == NULL ? NULL : deploy_answer(arg, body);
    if (answer == NULL) {
        (void)test_http_answer(c, 502, "text/plain", "bad gateway", 11);
    } else {
        (void)test_http_answer(c, 200, "application/json", answer, strlen(answer));
    }
    free(body);
}

struct deployer {
    struct csl_account *account;
    struct csl_signer signer;
    char dir[32], kept[64];
};

static void deployer_open(struct deployer *x) {
    *x = (struct deployer){.dir = "/tmp/csl-deploy-XXXXXX"};
    assert_non_null(mkdtemp(x->dir));
    (void)snprintf(x->kept, sizeof x->kept, "%s/deploy.tx", x->dir);
    assert_int_equal(csl_account_new(&x->account, NULL), CSL_OK);
    x->signer = (struct csl_signer){.kind = CSL_SIGNER_ACCOUNT, .account = x->account};
    memcpy(x->signer.address, csl_account_address(x->account), CSL_ADDRESS_BYTES);
    make_code_answer();
}

static void deployer_close(struct deployer *x) {
    char lock[80];
    (void)snprintf(lock, sizeof lock, "%s.lock", x->kept);
    (void)unlink(x->kept);
    (void)unlink(lock);
    assert_int_equal(rmdir(x->dir), 0);
    csl_account_free(x->account);
}

static enum csl_err deploy_at(struct deployer *x, const char *url, uint64_t chain_id, uint32_t wait_ms,
                              char hash[CSL_HASH_ROOM], struct csl_diag *diag) {
    uint8_t contract[CSL_ADDRESS_BYTES] = {0}, tx[CSL_HASH_BYTES];
    uint64_t gas = 0;
    struct csl_rpc rpc = {.url = url};
    enum csl_err err = csl_anchor_deploy(contract, tx, &gas, &rpc, chain_id, &x->signer,
                                         &csl_anchor_limits_default, wait_ms, x->kept, diag);
    if (err == CSL_OK) {
        assert_int_equal(contract[CSL_ADDRESS_BYTES - 1], 0xff);
        assert_int_equal(gas, 0x5208);
        csl_hex0x_text(hash, tx, sizeof tx);
    }
    return err;
}

/* With this node; *d comes back as it was left. */
static enum csl_err deploy(struct deployer *x, struct deploying *d, uint32_t wait_ms, struct csl_diag *diag) {
    struct test_http *s = test_http_start(deploy_script, d, NULL);
    *diag = (struct csl_diag){""};
    enum csl_err err = deploy_at(x, test_http_url(s, "/"), 7, wait_ms, d->last, diag);
    test_http_stop(s);
    return err;
}

static void says(const struct csl_diag *diag, const char *word) {
    if (strstr(diag->text, word) == NULL) {
        fail_msg("\"%s\" is not in: %s", word, diag->text);
    }
}

static void deploys(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    struct deployer x;
    struct deploying d = {.bad_receipts = 1};
    char first[CSL_HASH_ROOM];
    deployer_open(&x);
    assert_int_equal(deploy(&x, &d, 5000, &diag), CSL_OK);
    assert_string_equal(d.last, d.hash);
    memcpy(first, d.hash, sizeof first);
    d.sent = 0; /* run again: the same contract, and nobody pays */
    assert_int_equal(deploy(&x, &d, 5000, &diag), CSL_OK);
    assert_string_equal(d.last, first);
    assert_int_equal(d.sent, 0);
    assert_int_equal(unlink(x.kept), 0); /* as if it had never been (and the node's nonce the same) */
    assert_int_equal(deploy(&x, &d, 5000, &diag), CSL_OK);
    assert_int_equal(d.sent, 1);
    deployer_close(&x);
}

/* What was signed may have been sent: it is kept, the sentence says where, and the next run goes on with it.
 */
static void interrupted_deployments(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    struct deployer x;
    struct deploying d = {.bad_receipts = 1000};
    char first[CSL_HASH_ROOM];
    deployer_open(&x);
    assert_int_equal(deploy(&x, &d, 1, &diag), CSL_EPROTO);
    memcpy(first, d.hash, sizeof first);
    says(&diag, first);
    says(&diag, x.kept);
    says(&diag, "run this again");
    d = (struct deploying){.absent = true}; /* another node, which has not got it: the same bytes */
    assert_int_equal(deploy(&x, &d, 1, &diag), CSL_ETIMEOUT);
    says(&diag, first);
    assert_string_equal(d.hash, first);
    d.absent = false;
    d.sent = 0;
    assert_int_equal(deploy(&x, &d, 1, &diag), CSL_OK);
    assert_string_equal(d.last, first);
    assert_int_equal(d.sent, 0);
    deployer_close(&x);

    deployer_open(&x);
    d = (struct deploying){.refuses = true};
    assert_int_equal(deploy(&x, &d, 5000, &diag), CSL_EPROTO);
    says(&diag, "transaction 0x");
    assert_int_equal(d.asked, 0);
    d.refuses = false;
    assert_int_equal(deploy(&x, &d, 5000, &diag), CSL_OK);
    assert_int_equal(d.sent, 1);
    deployer_close(&x);
}

/* The process is killed when its transaction is at the node, and before the answer. */
static void killed_while_deploying(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    struct deployer x;
    struct deploying d = {.sent = 0};
    char first[CSL_HASH_ROOM];
    int status = 0, go[2];
    deployer_open(&x);
    assert_int_equal(pipe(go), 0);
    pid_t child = fork(); /* before the server's thread */
    assert_true(child >= 0);
    if (child == 0) {
        char url[128] = "";
        ssize_t n = read(go[0], url, sizeof url - 1);
        _exit(n > 0 && deploy_at(&x, url, 7, 5000, d.last, &diag) == CSL_OK ? 0 : 1);
    }
    d.kills = child;
    struct test_http *s = test_http_start(deploy_script, &d, NULL);
    const char *url = test_http_url(s, "/");
    assert_int_equal(write(go[1], url, strlen(url)), (ssize_t)strlen(url));
    assert_int_equal(waitpid(child, &status, 0), child);
    test_http_stop(s);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    (void)close(go[0]);
    (void)close(go[1]);
    assert_int_equal(d.sent, 1);
    memcpy(first, d.hash, sizeof first);
    d.kills = 0;
    assert_int_equal(deploy(&x, &d, 5000, &diag), CSL_OK);
    assert_string_equal(d.last, first);
    assert_int_equal(d.sent, 1);
    deployer_close(&x);
}

static const char low[] = "{\"code\":-32000,\"message\":\"nonce too low: next nonce 5, tx nonce 4\"}";
static const char known[] = "{\"code\":-32000,\"message\":\"already known\"}";

/* What became of the nonce, as nodes say. */
static void kept_and_refused(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    struct deployer x;
    struct deploying d = {.absent = true};
    deployer_open(&x);
    assert_int_equal(deploy(&x, &d, 1, &diag), CSL_ETIMEOUT);
    d.taken = known; /* it waits there */
    assert_int_equal(deploy(&x, &d, 1, &diag), CSL_ETIMEOUT);
    d.taken = low; /* by another transaction */
    assert_int_equal(deploy(&x, &d, 1, &diag), CSL_ESTALE);
    says(&diag, "used the nonce");
    says(&diag, "move");
    assert_int_equal(access(x.kept, F_OK), 0);
    d = (struct deploying){.reverted = true}; /* mined: it has made nothing, and the next one is another */
    assert_int_equal(deploy(&x, &d, 1, &diag), CSL_EPEER);
    says(&diag, "made no contract");
    assert_int_not_equal(access(x.kept, F_OK), 0);
    d.reverted = false;
    assert_int_equal(deploy(&x, &d, 1, &diag), CSL_OK);
    deployer_close(&x);
}

static void put_file(const char *path, const char *text) {
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* A file of something else is neither sent nor overwritten. */
static void strange_kept_files(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    struct deployer x, other;
    struct deploying d = {.sent = 0};
    deployer_open(&x);
    assert_int_equal(deploy(&x, &d, 1, &diag), CSL_OK);
    FILE *f = fopen(x.kept, "re");
    static char good[2 * CSL_TX_RAW_MAX + 4], bad[sizeof good];
    assert_non_null(f);
    size_t n = fread(good, 1, sizeof good - 1, f);
    assert_int_equal(fclose(f), 0);
    const char *const texts[] = {"", "\n", "0x", "0x\n", "0x0", "0x00\n", "0xzz\n", "02", "{}\n"};
    d.sent = 0;
    for (size_t i = 0; i < sizeof texts / sizeof *texts + 4; i++) {
        memcpy(bad, good, n + 1);
        bad[i % 4 == 0 ? n - 1 : n / 4 * (i % 4)] = i % 4 == 0 ? '\0' : 'x'; /* torn off; changed */
        put_file(x.kept, i < sizeof texts / sizeof *texts ? texts[i] : bad);
        assert_int_equal(deploy(&x, &d, 1, &diag), CSL_EDATA);
        says(&diag, x.kept);
    }
    bad[0] = '\0';
    put_file(x.kept, good);
    struct test_http *s = test_http_start(deploy_script, &d, NULL);
    assert_int_equal(deploy_at(&x, test_http_url(s, "/"), 8, 1, d.last, &diag),
                     CSL_ECONFIG); /* the node's chain */
    test_http_stop(s);
    deployer_open(&other); /* another account's */
    put_file(other.kept, good);
    assert_int_equal(deploy(&other, &d, 1, &diag), CSL_EDATA);
    assert_int_equal(d.sent, 0);
    deployer_close(&other);
    deployer_close(&x);
}

static void one_deploys_at_a_time(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    struct deployer x;
    struct deploying d = {.sent = 0};
    char lock[80];
    deployer_open(&x);
    (void)snprintf(lock, sizeof lock, "%s.lock", x.kept);
    int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_int_equal(deploy(&x, &d, 1, &diag), CSL_EBUSY);
    assert_int_equal(d.sent, 0);
    (void)close(fd);
    assert_int_equal(deploy(&x, &d, 1, &diag), CSL_OK);
    deployer_close(&x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deploys),
        cmocka_unit_test(interrupted_deployments),
        cmocka_unit_test(killed_while_deploying),
        cmocka_unit_test(kept_and_refused),
        cmocka_unit_test(strange_kept_files),
        cmocka_unit_test(one_deploys_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
