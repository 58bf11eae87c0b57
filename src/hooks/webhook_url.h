/*
 * hooks/webhook_url.h - where a webhook may go (protocol section 8.7)
 *
 * What     Judges a URL when a subscription names it, and every address when it is connected to.
 * Why      Whoever may subscribe could otherwise make this server ask machines that only it can
 *          reach. What a name means changes, so a name is never trusted, only the address that is
 *          about to be used. There is one strict spelling of everything: what two readers could
 *          understand differently is refused.
 * Thread   Any; pure.
 * Format   https://HOST[:PORT][/PATH][?QUERY] in visible ASCII. HOST is a name of two labels or
 *          more, four decimal numbers without leading zeros, or an IPv6 address in brackets.
 *          Refused: user names, fragments, empty and zero ports, a dot at the end of the name,
 *          names of this machine or network (localhost, .local, .internal ...).
 * Local    With `allow_local` also http:// or https:// to localhost, 127.0.0.x and [::1], for
 *          development. Such a URL connects to this machine only, every other to public ones only.
 * Limits   SL_WEBHOOK_URL_SIZE_MAX
 */
#ifndef SL_HOOKS_WEBHOOK_URL_H
#define SL_HOOKS_WEBHOOK_URL_H

#include "sluice/bytes.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sockaddr;

enum {
    SL_WEBHOOK_URL_SIZE_MAX = 2048, /* bytes; what everybody can take */
    SL_WEBHOOK_HOST_SIZE_MAX = 253, /* bytes of a name that DNS can hold */
    SL_WEBHOOK_LABEL_SIZE_MAX = 63, /* of one of its labels */
};

struct sl_webhook_url {
    struct sl_bytes host; /* borrowed from the text; an IPv6 address without its brackets */
    uint16_t port;        /* 443 or 80 if the text does not say */
    bool is_https;
    bool is_local; /* the exception for development */
};

/*
 * NULL: it may be used, and *url says what it is. Else what is wrong with it, one sentence without
 * a full stop, static text; *url is all zero.
 */
const char *sl_webhook_url_parse(struct sl_bytes text, bool allow_local,
                                 struct sl_webhook_url *url);

/*
 * May a connection go there? `is_local` as in the URL: only the loopback; else only public unicast
 * addresses of IPv4 and IPv6. Addresses of IPv6 that stand for one of IPv4 are refused, whatever it
 * is.
 */
bool sl_webhook_address_is_allowed(const struct sockaddr *address, bool is_local);

#ifdef __cplusplus
}
#endif
#endif
