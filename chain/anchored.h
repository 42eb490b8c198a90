/* What a chain says of a ledger that was shown: for auditors, and for whoever reads a ledger.
 *
 * A bundle's newest checkpoint is signed by its site. Every final anchor of the site (as many confirmations
 * as the roster says) must be a prefix of that ledger: in a bundle of the whole ledger the root is computed
 * again from the entries at the anchor's size; in one of a session it is compared with the signed checkpoints
 * of that size, and anchors of other sizes cannot be compared.
 *
 * Findings go into the report of audit/verify.h:
 *   - ATTRIBUTABLE: the signed ledger has another root than the anchor at its size, and the anchor's
 *     transaction, fetched from the node, is signed by the account that the roster has for the site: two
 *     signatures that exclude each other. No node can make that up.
 *     Of anchors that contradict, the 64 oldest and the 64 newest are tried until one is proven.
 *   - MISMATCH: the same without such a transaction (the node does not show it, or it is none of the
 * account's own: made up, or made by code that the account delegated to, EIP-7702), or under a development
 * key that everybody has: nothing says whose fault it is.
 *   - INCOMPLETE: the chain has anchors of more entries than were shown; or there are anchors, and the bundle
 *     shows nothing that one of them could be compared with; or the chain could not be asked, or not for all
 *     of them within c->rpc->until_ms.
 * An account without anchors, and entries that are not anchored yet, are told and are no finding.
 *
 * Errors are of this program (CSL_ENOMEM, CSL_EINTERNAL); what goes wrong with a node becomes a finding.
 * Needs CSL_HAVE_CHAIN. Variable time.
 */
#ifndef CSL_CHAIN_ANCHORED_H
#define CSL_CHAIN_ANCHORED_H

#include "audit/bundle.h"
#include "audit/verify.h"
#include "chain/contract.h"

struct csl_anchored {
    bool asked;         /* the chain answered; else the rest is what it had told before that */
    uint64_t entries;   /* of the ledger as shown */
    uint64_t n_anchors; /* on the chain, final or not */
    uint64_t n_final, n_compared;
    bool whole;                     /* the bundle shows all entries of its newest checkpoint */
    uint64_t n_beyond;              /* final anchors of more entries than were shown */
    uint64_t covered;               /* entries up to the newest final anchor that was compared and fits */
    struct csl_anchor_entry newest; /* that one; size 0: none */
    struct csl_anchor_event event;  /* of it; tx zero: the node does not show it */
};

struct csl_anchored_site {
    const struct csl_auditee *member;
    const uint8_t *account; /* CSL_ADDRESS_BYTES, as in the roster */
    const char *consortium;
};

/* Compares one site's bundle. c: as the roster has it, its URL the auditor's choice. */
CSL_MUST_CHECK enum csl_err csl_anchored_verify(struct csl_anchored *out, struct csl_audit_report *report,
                                                const struct csl_contract *c, uint32_t confirmations,
                                                const struct csl_anchored_site *site,
                                                const csl_bundle *bundle, struct csl_diag *diag);

/* The first anchor that covers leaf `leaf` of a ledger, final or not, with its event; *found false when none
 * does. confirmations: how many blocks there are, its own among them (0: none of it). */
CSL_MUST_CHECK enum csl_err csl_anchored_covering(struct csl_anchor_entry *entry,
                                                  struct csl_anchor_event *event, uint64_t *confirmations,
                                                  bool *found, const struct csl_contract *c,
                                                  const uint8_t account[CSL_ADDRESS_BYTES],
                                                  const char *origin, uint64_t leaf, struct csl_diag *diag);

#endif
