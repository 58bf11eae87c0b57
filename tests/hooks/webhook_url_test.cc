#include "hooks/webhook_url.h"

#include "protocol/text.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

/* "https HOST PORT", with "local " before it, or what is wrong. */
static std::string parse(std::string_view url, bool allow_local)
{
    Text text(url);
    struct sl_webhook_url parsed;
    memset(&parsed, 0xff, sizeof(parsed));
    const char *wrong = sl_webhook_url_parse(text, allow_local, &parsed);
    if (wrong != nullptr) {
        EXPECT_EQ(parsed.host.size, 0u) << url;
        return wrong;
    }
    return (parsed.is_local ? "local " : "") + std::string(parsed.is_https ? "https " : "http ") +
           string_of(parsed.host) + " " + std::to_string(parsed.port);
}

constexpr char kScheme[] = "the URL does not begin with https://";
constexpr char kCharacters[] =
    "the URL has a fragment or characters that have to be percent-encoded";
constexpr char kUser[] = "the URL has a user name or password";
constexpr char kPort[] = "the port of the URL is not a number from 1 to 65535";
constexpr char kNoHost[] = "the URL has no host";
constexpr char kName[] = "the host of the URL is neither a name in ASCII nor an address";
constexpr char kLocalName[] = "the host of the URL is a name of this machine or its network";
constexpr char kQuad[] = "an IPv4 address is four decimal numbers without leading zeros";
constexpr char kV6[] = "the URL's IPv6 address is malformed";
constexpr char kBracket[] = "the URL's IPv6 address has no closing bracket";
constexpr char kNotPublic[] = "the address of the URL is not a public one";

struct Case {
    const char *url, *expected;
};

static void check(const std::vector<Case> &cases, bool allow_local)
{
    for (const Case &c : cases)
        EXPECT_EQ(parse(c.url, allow_local), c.expected) << c.url;
}

static const std::vector<Case> kPublic = {
    { "https://example.com", "https example.com 443" },
    { "https://example.com/", "https example.com 443" },
    { "HTTPS://Example.COM/Hook", "https Example.COM 443" },
    { "https://example.com:8443/a/b?c=d&e=f", "https example.com 8443" },
    { "https://example.com?x", "https example.com 443" },
    { "https://example.com:1/", "https example.com 1" },
    { "https://example.com:65535/", "https example.com 65535" },
    { "https://example.com/%7Ea/@b:c//d", "https example.com 443" },
    { "https://a_b.example-1.com/", "https a_b.example-1.com 443" },
    { "https://xn--bcher-kva.example/", "https xn--bcher-kva.example 443" },
    { "https://1e100.net/", "https 1e100.net 443" },
    { "https://127.0.0.1.example.com/", "https 127.0.0.1.example.com 443" },
    { "https://localhost.example.com/", "https localhost.example.com 443" },
    { "https://8.8.8.8/", "https 8.8.8.8 443" },
    { "https://100.63.255.255/", "https 100.63.255.255 443" },
    { "https://[2606:4700:4700::1111]/", "https 2606:4700:4700::1111 443" },
    { "https://[2606:4700:4700::1111]:444/", "https 2606:4700:4700::1111 444" },
};

static const std::vector<Case> kRefused = {
    /* schemes */
    { "", kScheme },
    { "example.com", kScheme },
    { "//example.com/", kScheme },
    { "http://example.com/", kScheme },
    { "http://8.8.8.8/", kScheme },
    { "ftp://example.com/", kScheme },
    { "file:///etc/passwd", kScheme },
    { "gopher://example.com/", kScheme },
    { "https:example.com", kScheme },
    { "https:/example.com", kScheme },
    { "javascript://example.com/", kScheme },
    /* what readers disagree about */
    { " https://example.com/", kCharacters },
    { "https://example.com/ ", kCharacters },
    { "https://exa\tmple.com/", kCharacters },
    { "https://example.com/\r\nX: y", kCharacters },
    { "https://example.com\\@10.0.0.1/", kCharacters },
    { "https://example.com/#fragment", kCharacters },
    { "https://example.com#@10.0.0.1/", kCharacters },
    { "https://example.com/<>", kCharacters },
    { "https://example.com/%", kCharacters },
    { "https://example.com/%4", kCharacters },
    { "https://example.com/%4g", kCharacters },
    { "https://b\xc3\xbc"
      "cher.example/",
      kCharacters },
    { "https://127\xe3\x80\x82"
      "0.0.1/",
      kCharacters },
    { "https://\xe2\x91\xa0\xe2\x91\xa1\xe2\x91\xa6.0.0.1/", kCharacters },
    { "https://user@example.com/", kUser },
    { "https://user:password@example.com/", kUser },
    { "https://@example.com/", kUser },
    { "https://example.com:443@10.0.0.1/", kUser },
    { "https://10.0.0.1%40example.com/", kName },
    /* ports */
    { "https://example.com:/", kPort },
    { "https://example.com:0/", kPort },
    { "https://example.com:00443/", kPort },
    { "https://example.com:65536/", kPort },
    { "https://example.com:18446744073709551617/", kPort },
    { "https://example.com:-1/", kPort },
    { "https://example.com:4 43/", kCharacters },
    { "https://example.com:443:443/", kPort },
    { "https://[2606:4700:4700::1111]443/", kPort },
    { "https://[2606:4700:4700::1111].example.com/", kPort },
    { "https://2606:4700:4700::1111/", kPort },
    /* hosts */
    { "https://", kNoHost },
    { "https:///path", kNoHost },
    { "https://?query", kNoHost },
    { "https://:443/", kNoHost },
    { "https://[]/", kNoHost },
    { "https://./", kName },
    { "https://example.com./", kName },
    { "https://example..com/", kName },
    { "https://.example.com/", kName },
    { "https://-example.com/", kName },
    { "https://example-.com/", kName },
    { "https://exa%6dple.com/", kName },
    { "https://exa!mple.com/", kName },
    { "https://example.com,10.0.0.1/", kQuad },
    { "https://localhost/", kLocalName },
    { "https://LOCALHOST/", kLocalName },
    { "https://localhost./", kName },
    { "https://foo.localhost/", kLocalName },
    { "https://localhost.localdomain/", kLocalName },
    { "https://intranet/", kLocalName },
    { "https://metadata/", kLocalName },
    { "https://metadata.google.internal/", kLocalName },
    { "https://printer.local/", kLocalName },
    { "https://router.home.arpa/", kLocalName },
    /* numbers that some readers take for 127.0.0.1 */
    { "https://127.1/", kQuad },
    { "https://127.0.1/", kQuad },
    { "https://2130706433/", kQuad },
    { "https://0x7f000001/", kQuad },
    { "https://0x7f.1/", kQuad },
    { "https://0x7f.0x0.0x0.0x1/", kQuad },
    { "https://0X7F.0.0.0X1/", kQuad },
    { "https://017700000001/", kQuad },
    { "https://0177.0.0.1/", kQuad },
    { "https://127.0.0.01/", kQuad },
    { "https://127.0.0.256/", kQuad },
    { "https://127.0.0.1.1/", kQuad },
    { "https://1.2.3/", kQuad },
    { "https://example.1/", kQuad },
    { "https://example.0x1f/", kQuad },
    { "https://127.0.0.1./", kName },
    { "https://4294967296/", kQuad },
    { "https://0/", kQuad },
    /* addresses */
    { "https://0.0.0.0/", kNotPublic },
    { "https://10.0.0.1/", kNotPublic },
    { "https://100.64.0.1/", kNotPublic },
    { "https://127.0.0.1/", kNotPublic },
    { "https://127.255.255.254/", kNotPublic },
    { "https://169.254.169.254/latest/meta-data/", kNotPublic },
    { "https://172.16.0.1/", kNotPublic },
    { "https://192.168.1.1/", kNotPublic },
    { "https://224.0.0.1/", kNotPublic },
    { "https://255.255.255.255/", kNotPublic },
    { "https://[::]/", kNotPublic },
    { "https://[::1]/", kNotPublic },
    { "https://[0:0:0:0:0:0:0:1]/", kNotPublic },
    { "https://[::ffff:127.0.0.1]/", kNotPublic },
    { "https://[::ffff:8.8.8.8]/", kNotPublic },
    { "https://[::ffff:7f00:1]/", kNotPublic },
    { "https://[::127.0.0.1]/", kNotPublic },
    { "https://[64:ff9b::10.0.0.1]/", kNotPublic },
    { "https://[2002:7f00:1::]/", kNotPublic },
    { "https://[fe80::1]/", kNotPublic },
    { "https://[fd00:ec2::254]/", kNotPublic },
    { "https://[ff02::1]/", kNotPublic },
    { "https://[::1/", kBracket },
    { "https://[::1%25lo]/", kV6 },
    { "https://[fe80::1%25eth0]/", kV6 },
    { "https://[::1::]/", kV6 },
    { "https://[12345::1]/", kV6 },
    { "https://[127.0.0.1]/", kV6 },
    { "https://[example.com]/", kV6 },
    { "https://[[::1]]/", kPort },
    { "https://[1:2:3:4:5:6:7:8:9]/", kV6 },
};

TEST(WebhookUrl, AcceptsPublicHttps)
{
    check(kPublic, false);
}

TEST(WebhookUrl, RefusesEverythingElse)
{
    check(kRefused, false);
}

static const std::vector<Case> kLocal = {
    { "http://localhost/", "local http localhost 80" },
    { "http://LocalHost:8080/hook", "local http LocalHost 8080" },
    { "https://localhost/", "local https localhost 443" },
    { "http://127.0.0.1:65535/", "local http 127.0.0.1 65535" },
    { "http://127.0.0.255/", "local http 127.0.0.255 80" },
    { "http://[::1]:1234/", "local http ::1 1234" },
};

TEST(WebhookUrl, TheExceptionForDevelopmentIsThisMachine)
{
    check(kLocal, true);
    for (const Case &c : kLocal)
        EXPECT_NE(parse(c.url, false), c.expected) << c.url;
}

TEST(WebhookUrl, TheExceptionForDevelopmentIsNothingElse)
{
    check(kPublic, true);
    for (const Case &c : kRefused) {
        bool excepted = strcmp(c.expected, kNotPublic) == 0 || strcmp(c.expected, kLocalName) == 0;
        std::string result = parse(c.url, true);
        if (excepted && result.compare(0, 6, "local ") == 0)
            continue;
        EXPECT_EQ(result, c.expected) << c.url;
    }
    check(
        {
            { "http://10.0.0.1/hook", kNotPublic },
            { "http://127.0.1.1/", kNotPublic },
            { "http://127.1/", kQuad },
            { "http://2130706433/", kQuad },
            { "http://0x7f.1/", kQuad },
            { "http://localhost./", kName },
            { "http://foo.localhost/", kLocalName },
            { "http://[::ffff:127.0.0.1]/", kNotPublic },
            { "http://[::2]/", kNotPublic },
            { "http://user@localhost/", kUser },
            { "http://localhost#x", kCharacters },
            { "ftp://localhost/", kScheme },
        },
        true);
}

TEST(WebhookUrl, BoundsTheLength)
{
    std::string url = "https://example.com/";
    url.resize(SL_WEBHOOK_URL_SIZE_MAX - 1, 'a');
    EXPECT_EQ(parse(url, false), "https example.com 443");
    EXPECT_EQ(parse(url + "a", false), "https example.com 443");
    EXPECT_EQ(parse(url + "aa", false), "the URL has more than 2048 bytes");
}

TEST(WebhookUrl, BoundsTheName)
{
    const std::string label(SL_WEBHOOK_LABEL_SIZE_MAX, 'a');
    EXPECT_EQ(parse("https://" + label.substr(1) + ".com", false),
              "https " + label.substr(1) + ".com 443");
    EXPECT_EQ(parse("https://" + label + ".com", false), "https " + label + ".com 443");
    EXPECT_EQ(parse("https://" + label + "a.com", false), kName);

    std::string name = label + "." + label + "." + label + ".";
    std::string longest = name + std::string(SL_WEBHOOK_HOST_SIZE_MAX - name.size(), 'b');
    EXPECT_EQ(parse("https://" + longest.substr(0, longest.size() - 1), false),
              "https " + longest.substr(0, longest.size() - 1) + " 443");
    EXPECT_EQ(parse("https://" + longest, false), "https " + longest + " 443");
    EXPECT_EQ(parse("https://" + longest + "b", false), kName);
}

TEST(WebhookUrl, AZeroByteHidesNothing)
{
    EXPECT_EQ(parse(std::string("https://8.8.8.8\0.example.com/", 29), false), kCharacters);
    EXPECT_EQ(parse(std::string("https://example.com/\0", 21), false), kCharacters);
}

/*
 * ---- addresses --------------------------------------------------------------------------------
 */

static bool allowed(const char *text, bool is_local)
{
    struct sockaddr_storage address = {};
    auto *v4 = reinterpret_cast<struct sockaddr_in *>(&address);
    auto *v6 = reinterpret_cast<struct sockaddr_in6 *>(&address);
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        address.ss_family = AF_INET;
    } else {
        address = {};
        EXPECT_EQ(inet_pton(AF_INET6, text, &v6->sin6_addr), 1) << text;
        address.ss_family = AF_INET6;
    }
    return sl_webhook_address_is_allowed(reinterpret_cast<struct sockaddr *>(&address), is_local);
}

TEST(WebhookAddress, EveryRefusedNetworkEndsWhereItEnds)
{
    /* The address before the network, its first, its last, the one after it. */
    static const struct {
        const char *before, *first, *last, *after;
    } networks[] = {
        { nullptr, "0.0.0.0", "0.255.255.255", "1.0.0.0" },
        { "9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0" },
        { "100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0" },
        { "126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0" },
        { "168.63.129.15", "168.63.129.16", "168.63.129.16", "168.63.129.17" },
        { "169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0" },
        { "172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0" },
        { "191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0" },
        { "192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0" },
        { "192.88.98.255", "192.88.99.0", "192.88.99.255", "192.88.100.0" },
        { "192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0" },
        { "198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0" },
        { "198.51.99.255", "198.51.100.0", "198.51.100.255", "198.51.101.0" },
        { "203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0" },
        { "223.255.255.255", "224.0.0.0", "255.255.255.255", nullptr },
        { nullptr, "::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", nullptr },
        { nullptr, "2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::" },
        { "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
          "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::" },
        { "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
          "2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::" },
        { "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
          "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::" },
        { "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
          "4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", nullptr },
    };
    for (const auto &n : networks) {
        EXPECT_FALSE(allowed(n.first, false)) << n.first;
        EXPECT_FALSE(allowed(n.last, false)) << n.last;
        for (const char *outside : { n.before, n.after })
            if (outside != nullptr) {
                EXPECT_TRUE(allowed(outside, false)) << outside;
            }
    }
}

TEST(WebhookAddress, RefusesWhatStandsForAnother)
{
    static const char *const addresses[] = {
        "::ffff:127.0.0.1", /* mapped */
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:8.8.8.8",
        "::ffff:0:127.0.0.1", /* translated by SIIT */
        "::127.0.0.1",        /* compatible */
        "::10.0.0.1",
        "64:ff9b::7f00:1", /* NAT64 */
        "64:ff9b::8.8.8.8",
        "64:ff9b:1::10.0.0.1",
        "2001:0:7f00:1::", /* Teredo */
        "2002:a00:1::",    /* 6to4 */
        "2002:7f00:1::1",
        "2002:a9fe:a9fe::",
        "100::1",  /* discarded */
        "5f00::1", /* segment routing */
        "fc00::1", /* unique local */
        "fd12:3456:789a:1::1",
        "fe80::1", /* link-local */
        "febf::1",
        "fec0::1", /* site-local */
        "ff02::1", /* multicast */
        "ff0e::1",
    };
    for (const char *address : addresses) {
        EXPECT_FALSE(allowed(address, false)) << address;
        EXPECT_FALSE(allowed(address, true)) << address;
    }
}

TEST(WebhookAddress, LocalIsTheLoopbackOnly)
{
    for (const char *address : { "127.0.0.0", "127.0.0.1", "127.0.0.255", "::1" })
        EXPECT_TRUE(allowed(address, true)) << address;
    for (const char *address : { "126.255.255.255", "127.0.1.0", "0.0.0.0", "8.8.8.8", "10.0.0.1",
                                 "192.168.0.1", "::", "::2", "2606:4700:4700::1111" })
        EXPECT_FALSE(allowed(address, true)) << address;
}

TEST(WebhookAddress, KnowsNoOtherFamily)
{
    struct sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    EXPECT_FALSE(
        sl_webhook_address_is_allowed(reinterpret_cast<struct sockaddr *>(&address), false));
    EXPECT_FALSE(
        sl_webhook_address_is_allowed(reinterpret_cast<struct sockaddr *>(&address), true));
}
