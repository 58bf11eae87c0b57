/*
 * hooks/subscription_json.h - a subscription as JSON: for clients, for workers, and to be kept
 *
 * What     The bodies that leave (protocol sections 6.3, 7.1, 7.2), and the records of which a
 *          subscription can be made again.
 * Why      What is kept is the JSON that a client sends, so there is one reader for both, and
 *          `sluice dump --payload` shows it.
 * Thread   That of the hooks.
 *
 * Records  One JSON object each, applied in order; later ones win.
 *   {"config":{as in a PUT},"created_at_ms":,"incarnation":,"root":}
 *       the first one
 *   {"wake":{"generation":,"id":,"worker":,"retries":,"next_attempt_ms":},
 *    "unlinks":["path"],"links":[{"path":,"acked":,"stream":,"renewed_in":,"explicit":,"glob":}]}
 *       what has changed. The wake is whole each time; without id: idle; without worker: not held.
 *       Unlinks come before links. Without acked: before the first byte. Stream: the incarnation.
 *       Renewed_in, if there is one: the generation of the wake in which it took another one's place.
 *   {"complete":true}
 *       everything that there was at some moment stands before it
 */
#ifndef SL_HOOKS_SUBSCRIPTION_JSON_H
#define SL_HOOKS_SUBSCRIPTION_JSON_H

#include "hooks/registry.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One moment on both clocks. */
struct sl_hooks_now {
    uint64_t running_ms;
    int64_t wall_ms;
};

/* How clients and receivers reach this server. */
struct sl_hooks_address {
    struct sl_bytes root; /* URL of the stream root, without a slash at its end */
    const char *kid;      /* of the key that signs now */
};

/* ---- what leaves ---- */

void sl_subscription_append_view(const struct sl_subscription *subscription,
                                 const struct sl_hooks_address *address, struct sl_buffer *out);
/*
 * No view and no claim takes more bytes. Without its own texts never more than the registry counts
 * for the links and their streams.
 */
size_t sl_subscription_answer_size_max(const struct sl_subscription *subscription,
                                       struct sl_bytes root);
/* The answer to a claim: streams as they are now. */
void sl_subscription_append_claim(const struct sl_subscription *subscription, struct sl_bytes token,
                                  struct sl_buffer *out);
/* The body of a webhook: streams as they were when the wake began. */
void sl_subscription_append_webhook(const struct sl_subscription *subscription,
                                    struct sl_bytes root, struct sl_bytes token,
                                    struct sl_buffer *out);
/* The event for a wake stream, which names the first stream with unread bytes. */
void sl_subscription_append_event(const struct sl_subscription *subscription, int64_t wall_ms,
                                  struct sl_buffer *out);
/* One line of the list for the operator. */
void sl_subscription_append_summary(const struct sl_subscription *subscription,
                                    const struct sl_hooks_now *now, struct sl_buffer *out);

/* ---- what is kept ---- */

/* The normalised configuration, with every default: equal ones have the same text. */
void sl_subscription_append_config(const struct sl_control_body *config, struct sl_buffer *out);
/* The first record. */
void sl_subscription_append_first_record(const struct sl_subscription *subscription,
                                         struct sl_buffer *out);
/*
 * A record of what is unwritten, which is written then; at most about `size_max` bytes of unlinks
 * and as many of links. The rest stays unwritten.
 */
void sl_subscription_take_record(struct sl_subscription *subscription,
                                 const struct sl_hooks_now *now, size_t size_max,
                                 struct sl_buffer *out);
/* Is there anything for such a record? */
bool sl_subscription_is_unwritten(const struct sl_subscription *subscription);
/* Everything is unwritten. */
void sl_subscription_touch_all(struct sl_subscription *subscription);

/* Makes the subscription of its first record; it is in no registry. NULL: malformed. */
bool sl_subscription_read_first_record(struct sl_bytes record, struct sl_subscription *subscription,
                                       struct sl_bytes id);
/*
 * Applies another one to a subscription of the registry. *complete becomes true if it says so.
 * False: malformed, or there are too many cursors.
 */
SL_NODISCARD bool sl_subscription_apply_record(struct sl_bytes record, struct sl_registry *registry,
                                               struct sl_subscription *subscription,
                                               const struct sl_hooks_now *now, bool *complete);

#ifdef __cplusplus
}
#endif
#endif
