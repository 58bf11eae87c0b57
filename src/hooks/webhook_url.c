#include "hooks/webhook_url.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "protocol/ascii.h"
#include "protocol/number.h"

enum {
    PORT_MAX = 65535,
    ADDRESS_TEXT_SIZE = INET6_ADDRSTRLEN, /* with the NUL */
};

/* Addresses that begin with the same bits. */
struct network {
    uint8_t bytes[16]; /* those that count; the rest 0 */
    unsigned bits;
};

/* What is not for everybody: https://www.iana.org/assignments/iana-ipv4-special-registry */
static const struct network refused_v4[] = {
    { { 0 }, 8 },                 /* this network; 0.0.0.0 is this machine */
    { { 10 }, 8 },                /* private */
    { { 100, 64 }, 10 },          /* shared by carriers (CGNAT); metadata of Alibaba */
    { { 127 }, 8 },               /* loopback */
    { { 168, 63, 129, 16 }, 32 }, /* metadata of Azure, a public address that is not public */
    { { 169, 254 }, 16 },         /* link-local; metadata of nearly everybody */
    { { 172, 16 }, 12 },          /* private */
    { { 192, 0, 0 }, 24 },        /* protocol assignments; metadata of Oracle */
    { { 192, 0, 2 }, 24 },        /* documentation */
    { { 192, 88, 99 }, 24 },      /* relays of 6to4 */
    { { 192, 168 }, 16 },         /* private */
    { { 198, 18 }, 15 },          /* benchmarks */
    { { 198, 51, 100 }, 24 },     /* documentation */
    { { 203, 0, 113 }, 24 },      /* documentation */
    { { 224 }, 4 },               /* multicast */
    { { 240 }, 4 },               /* reserved; broadcast */
};

/*
 * All unicast addresses for everybody begin so. Outside of it lie the loopback, the unspecified,
 * mapped (::ffff:0:0/96), compatible and translated (64:ff9b::/96) addresses of IPv4, unique local
 * (fc00::/7), link-local (fe80::/10), site-local (fec0::/10) and multicast (ff00::/8) ones.
 */
static const struct network global_v6 = { { 0x20 }, 3 };

/* Within it: https://www.iana.org/assignments/iana-ipv6-special-registry */
static const struct network refused_v6[] = {
    { { 0x20, 0x01 }, 23 },             /* protocol assignments; Teredo, which holds one of IPv4 */
    { { 0x20, 0x01, 0x0d, 0xb8 }, 32 }, /* documentation */
    { { 0x20, 0x02 }, 16 },             /* 6to4, which holds one of IPv4 */
    { { 0x3f, 0xff }, 20 },             /* documentation */
};

/* 127.0.0.x is what the protocol allows; one of these is localhost in nearly every /etc/hosts. */
static const struct network local_v4 = { { 127 }, 24 };
static const struct network local_v6 = { { [15] = 1 }, 128 };

/* Last labels of names that mean something only here. */
static const char *const local_names[] = {
    "localhost", "localdomain", "local", "internal", "intranet",
    "lan",       "home",        "corp",  "private",  "home.arpa",
};

static bool is_in(const struct network *network, const uint8_t *address)
{
    unsigned whole = network->bits / 8;
    unsigned rest = network->bits % 8;
    if (memcmp(network->bytes, address, whole) != 0)
        return false;
    return rest == 0 || (network->bytes[whole] ^ address[whole]) >> (8 - rest) == 0;
}

static bool is_in_any(const struct network *networks, size_t count, const uint8_t *address)
{
    for (size_t i = 0; i < count; i++)
        if (is_in(&networks[i], address))
            return true;
    return false;
}

static bool v4_is_allowed(const uint8_t address[4], bool is_local)
{
    if (is_local)
        return is_in(&local_v4, address);
    return !is_in_any(refused_v4, sizeof(refused_v4) / sizeof(refused_v4[0]), address);
}

static bool v6_is_allowed(const uint8_t address[16], bool is_local)
{
    if (is_local)
        return is_in(&local_v6, address);
    return is_in(&global_v6, address) &&
           !is_in_any(refused_v6, sizeof(refused_v6) / sizeof(refused_v6[0]), address);
}

bool sl_webhook_address_is_allowed(const struct sockaddr *address, bool is_local)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, address, sizeof(v4));
        return v4_is_allowed((const uint8_t *)&v4.sin_addr, is_local);
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, address, sizeof(v6));
        return v6_is_allowed(v6.sin6_addr.s6_addr, is_local);
    }
    return false;
}

/*
 * ---- the text ---------------------------------------------------------------------------------
 */

/* Takes `prefix` (lower case) off the front of `text`, whatever its case there. */
static bool take_prefix(struct sl_bytes *text, const char *prefix)
{
    struct sl_bytes wanted = sl_bytes_of(prefix);
    if (text->size < wanted.size ||
        !sl_ascii_equal_ignore_case(sl_bytes(text->data, wanted.size), wanted))
        return false;
    *text = sl_bytes_from(*text, wanted.size);
    return true;
}

/* Nothing that one reader strips, decodes or takes for a separator and another one does not. */
static bool has_only_url_characters(struct sl_bytes text)
{
    static const char refused[] = "\"<>\\^`{|}#";
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = text.data[i];
        if (byte <= ' ' || byte >= 0x7f || memchr(refused, byte, sizeof(refused) - 1) != NULL)
            return false;
        if (byte == '%' && (text.size - i < 3 || sl_ascii_hex_value(text.data[i + 1]) < 0 ||
                            sl_ascii_hex_value(text.data[i + 2]) < 0))
            return false;
    }
    return true;
}

/* What stands before the first '/' or '?'. */
static struct sl_bytes authority_of(struct sl_bytes text)
{
    size_t size = 0;
    while (size < text.size && text.data[size] != '/' && text.data[size] != '?')
        size++;
    return sl_bytes(text.data, size);
}

/* Splits "HOST:PORT" or "[HOST]:PORT"; *port stays if there is none. */
static const char *split_authority(struct sl_bytes authority, bool *in_brackets,
                                   struct sl_bytes *host, uint16_t *port)
{
    const char *malformed = "the port of the URL is not a number from 1 to 65535";
    uint64_t number;
    *in_brackets = authority.size > 0 && authority.data[0] == '[';
    const uint8_t *end = authority.size == 0
                             ? NULL
                             : memchr(authority.data, *in_brackets ? ']' : ':', authority.size);
    if (*in_brackets && end == NULL)
        return "the URL's IPv6 address has no closing bracket";
    size_t size = end == NULL ? authority.size : (size_t)(end - authority.data);
    size_t start = *in_brackets ? 1 : 0;
    *host = sl_bytes(authority.data + start, size - start);
    struct sl_bytes rest = sl_bytes_from(authority, size + start);
    if (rest.size == 0)
        return NULL;
    if (rest.data[0] != ':' ||
        !sl_number_parse_canonical(sl_bytes_from(rest, 1), PORT_MAX, &number) || number == 0)
        return malformed;
    *port = (uint16_t)number;
    return NULL;
}

/* Strict: inet_pton() takes four decimal numbers without leading zeros and nothing else for IPv4.
 */
static bool parse_address(int family, struct sl_bytes host, uint8_t out[16])
{
    char text[ADDRESS_TEXT_SIZE];
    if (host.size >= sizeof(text))
        return false;
    memcpy(text, host.data, host.size);
    text[host.size] = '\0';
    return inet_pton(family, text, out) == 1;
}

/* The last label of "a.b.c"; all of it without a dot. */
static struct sl_bytes last_label(struct sl_bytes name)
{
    const uint8_t *dot = memrchr(name.data, '.', name.size);
    return dot == NULL ? name : sl_bytes_from(name, (size_t)(dot - name.data) + 1);
}

/*
 * Some readers take 127.1, 2130706433 and 0x7f.1 for addresses: a number at the end says that it is
 * meant as one.
 */
static bool ends_in_number(struct sl_bytes name)
{
    struct sl_bytes label = last_label(name);
    if (take_prefix(&label, "0x"))
        return true;
    for (size_t i = 0; i < label.size; i++)
        if (!sl_ascii_is_digit(label.data[i]))
            return false;
    return label.size > 0;
}

static bool is_label(struct sl_bytes label)
{
    if (label.size == 0 || label.size > SL_WEBHOOK_LABEL_SIZE_MAX)
        return false;
    for (size_t i = 0; i < label.size; i++) {
        uint8_t byte = label.data[i];
        if (!sl_ascii_is_alphanumeric(byte) && byte != '-' && byte != '_')
            return false;
    }
    return label.data[0] != '-' && label.data[label.size - 1] != '-';
}

static bool is_host_name(struct sl_bytes name)
{
    if (name.size > SL_WEBHOOK_HOST_SIZE_MAX)
        return false;
    while (true) {
        const uint8_t *dot = memchr(name.data, '.', name.size);
        if (dot == NULL)
            return is_label(name);
        size_t size = (size_t)(dot - name.data);
        if (!is_label(sl_bytes(name.data, size)))
            return false;
        name = sl_bytes_from(name, size + 1);
    }
}

/* Is it `domain`, or below it? */
static bool is_below(struct sl_bytes name, struct sl_bytes domain)
{
    if (name.size < domain.size)
        return false;
    size_t start = name.size - domain.size;
    return (start == 0 || name.data[start - 1] == '.') &&
           sl_ascii_equal_ignore_case(sl_bytes_from(name, start), domain);
}

static bool is_local_name(struct sl_bytes name)
{
    if (memchr(name.data, '.', name.size) == NULL)
        return true;
    for (size_t i = 0; i < sizeof(local_names) / sizeof(local_names[0]); i++)
        if (is_below(name, sl_bytes_of(local_names[i])))
            return true;
    return false;
}

static const char *check_name(struct sl_bytes name, bool allow_local, bool *is_local)
{
    if (!is_host_name(name))
        return "the host of the URL is neither a name in ASCII nor an address";
    *is_local = allow_local && sl_ascii_equal_ignore_case(name, sl_bytes_of("localhost"));
    if (!*is_local && is_local_name(name))
        return "the host of the URL is a name of this machine or its network";
    return NULL;
}

static const char *check_host(struct sl_bytes host, bool in_brackets, bool allow_local,
                              bool *is_local)
{
    uint8_t address[16];
    if (host.size == 0)
        return "the URL has no host";
    if (in_brackets) {
        if (!parse_address(AF_INET6, host, address))
            return "the URL's IPv6 address is malformed";
        *is_local = allow_local && v6_is_allowed(address, true);
        if (!*is_local && !v6_is_allowed(address, false))
            return "the address of the URL is not a public one";
        return NULL;
    }
    if (!ends_in_number(host))
        return check_name(host, allow_local, is_local);
    if (!parse_address(AF_INET, host, address))
        return "an IPv4 address is four decimal numbers without leading zeros";
    *is_local = allow_local && v4_is_allowed(address, true);
    if (!*is_local && !v4_is_allowed(address, false))
        return "the address of the URL is not a public one";
    return NULL;
}

SL_STATIC_ASSERT(SL_WEBHOOK_URL_SIZE_MAX == 2048, "what is said to the client");

static const char *parse(struct sl_bytes text, bool allow_local, struct sl_webhook_url *url)
{
    bool in_brackets;
    if (text.size > SL_WEBHOOK_URL_SIZE_MAX)
        return "the URL has more than 2048 bytes";
    if (!has_only_url_characters(text))
        return "the URL has a fragment or characters that have to be percent-encoded";
    url->is_https = take_prefix(&text, "https://");
    if (!url->is_https && !take_prefix(&text, "http://"))
        return "the URL does not begin with https://";
    url->port = url->is_https ? 443 : 80;
    struct sl_bytes authority = authority_of(text);
    if (authority.size > 0 && memchr(authority.data, '@', authority.size) != NULL)
        return "the URL has a user name or password";
    const char *wrong = split_authority(authority, &in_brackets, &url->host, &url->port);
    if (wrong == NULL)
        wrong = check_host(url->host, in_brackets, allow_local, &url->is_local);
    if (wrong == NULL && !url->is_https && !url->is_local)
        wrong = "the URL does not begin with https://";
    return wrong;
}

const char *sl_webhook_url_parse(struct sl_bytes text, bool allow_local, struct sl_webhook_url *url)
{
    struct sl_webhook_url parsed = { .port = 0 };
    const char *wrong = parse(text, allow_local, &parsed);
    *url = wrong == NULL ? parsed : (struct sl_webhook_url){ .port = 0 };
    return wrong;
}
