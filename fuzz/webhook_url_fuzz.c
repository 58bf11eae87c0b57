/*
 * Any bytes as the URL of a webhook: what is taken means the same to libcurl, which is about to use
 * it, and its host is to the C library what it is to us: an address that may be connected to, or a
 * name and no spelling of an address.
 */
#include "base/assert.h"
#include "base/memory.h"
#include "hooks/webhook_url.h"
#include "protocol/ascii.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netdb.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A NUL-terminated copy, which the caller frees. */
static char *copy_of(struct sl_bytes bytes)
{
    char *text = sl_memory_alloc(bytes.size + 1);
    if (bytes.size > 0)
        memcpy(text, bytes.data, bytes.size);
    text[bytes.size] = '\0';
    return text;
}

static void expect_none(CURLU *parsed, CURLUPart part)
{
    char *text = NULL;
    CURLUcode code = curl_url_get(parsed, part, &text, 0);
    SL_ASSERT(code != CURLUE_OK);
}

/* The caller frees it. */
static char *expect_some(CURLU *parsed, CURLUPart part, unsigned flags)
{
    char *text = NULL;
    CURLUcode code = curl_url_get(parsed, part, &text, flags);
    SL_ASSERT(code == CURLUE_OK && text != NULL);
    return text;
}

/* libcurl may write an address of IPv6 differently, and in brackets. */
static void check_host(const char *host, const char *theirs)
{
    uint8_t address[16], their_address[16];
    size_t size = strlen(theirs);
    if (*theirs != '[') {
        SL_ASSERT(sl_ascii_equal_ignore_case(sl_bytes_of(host), sl_bytes_of(theirs)));
        return;
    }
    SL_ASSERT(theirs[size - 1] == ']');
    char *inner = copy_of(sl_bytes(theirs + 1, size - 2));
    SL_ASSERT(inet_pton(AF_INET6, host, address) == 1);
    SL_ASSERT(inet_pton(AF_INET6, inner, their_address) == 1);
    SL_ASSERT(memcmp(address, their_address, sizeof(address)) == 0);
    sl_memory_free(inner);
}

static void check_against_libcurl(const char *text, const struct sl_webhook_url *url,
                                  const char *host)
{
    CURLU *parsed = curl_url();
    CURLUcode code = curl_url_set(parsed, CURLUPART_URL, text, 0);
    SL_ASSERT(code == CURLUE_OK);
    expect_none(parsed, CURLUPART_USER);
    expect_none(parsed, CURLUPART_PASSWORD);
    expect_none(parsed, CURLUPART_OPTIONS);
    expect_none(parsed, CURLUPART_FRAGMENT);
    expect_none(parsed, CURLUPART_ZONEID);
    char *scheme = expect_some(parsed, CURLUPART_SCHEME, 0);
    SL_ASSERT(strcmp(scheme, url->is_https ? "https" : "http") == 0);
    char *port = expect_some(parsed, CURLUPART_PORT, CURLU_DEFAULT_PORT);
    SL_ASSERT(strtoul(port, NULL, 10) == url->port);
    char *their_host = expect_some(parsed, CURLUPART_HOST, 0);
    check_host(host, their_host);
    curl_free(scheme);
    curl_free(port);
    curl_free(their_host);
    curl_url_cleanup(parsed);
}

/* What the resolver takes for an address is one that may be connected to. */
static void check_address(const struct sl_webhook_url *url, const char *host, bool is_address)
{
    const struct addrinfo hints = { .ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM };
    struct addrinfo *addresses = NULL;
    bool is_numeric = getaddrinfo(host, NULL, &hints, &addresses) == 0;
    SL_ASSERT(is_numeric == is_address);
    for (struct addrinfo *address = addresses; address != NULL; address = address->ai_next)
        SL_ASSERT(sl_webhook_address_is_allowed(address->ai_addr, url->is_local));
    if (addresses != NULL)
        freeaddrinfo(addresses);
}

static void check(struct sl_bytes text, const struct sl_webhook_url *url)
{
    char *copy = copy_of(text);
    char *host = copy_of(url->host);
    uint8_t address[16];
    bool is_address =
        inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
    SL_ASSERT(strlen(copy) == text.size);
    SL_ASSERT(url->host.data > text.data && url->host.data < text.data + text.size);
    SL_ASSERT(url->is_https || url->is_local);
    check_against_libcurl(copy, url, host);
    check_address(url, host, is_address);
    sl_memory_free(copy);
    sl_memory_free(host);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sl_bytes text = sl_bytes(data, size);
    struct sl_webhook_url strict, local;
    bool is_strict = sl_webhook_url_parse(text, false, &strict) == NULL;
    bool is_taken = sl_webhook_url_parse(text, true, &local) == NULL;
    SL_ASSERT(is_strict || strict.host.size == 0);
    if (!is_taken) {
        SL_ASSERT(!is_strict);
        return 0;
    }
    /* The exception allows more, and means the same by the rest. */
    SL_ASSERT(is_strict == !local.is_local);
    SL_ASSERT(!is_strict || (strict.is_https && strict.port == local.port));
    SL_ASSERT(!is_strict || sl_bytes_equal(strict.host, local.host));
    check(text, &local);
    return 0;
}
