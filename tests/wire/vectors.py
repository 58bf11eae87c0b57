"""Requests that RFC 9112 and RFC 9110 have something to say about: the one table of them.

A vector is what a client sends, and what a strict server may answer. REFUSED: an error and the end
of the connection, or just its end. A tuple: the statuses of the answers, one for each request that
the bytes hold. EITHER of both where the RFC leaves it to the server.

PATH is a stream of text of its own, VICTIM one that must survive: where two servers could disagree
on the end of a request, what the other one would take for the next request deletes it.
"""

import collections

REFUSED = "refused"
PATH = b"/v1/stream/PATH"
VICTIM = "/v1/stream/victim"
SMUGGLED = f"DELETE {VICTIM} HTTP/1.1\r\nHost: test\r\n\r\n".encode()
HEAD_SIZE_MAX = 8192 + 100 * 4096  # bytes of a request line with all headers
TARGET_SIZE_MAX = 8192
EXTRA_SIZE_MAX = 16 * 1024  # bytes of chunk extensions and trailers
FIELDS_MAX = 100

# name, section, bytes, expected, method of the last answer, content of the stream then (or None)
Vector = collections.namedtuple("Vector", "name section data expected method content")
Either = collections.namedtuple("Either", "statuses")

VECTORS = []


def add(section, name, data, expected, method="GET", content=None):
    if isinstance(expected, int):
        expected = (expected,)
    VECTORS.append(Vector(name, section, data, expected, method, content))


def either(*statuses):
    """Refused, or these answers."""
    return Either(statuses)


def request(*lines, body=b""):
    """The lines with CR LF after each, an empty one, and the body."""
    lines = [line if isinstance(line, bytes) else line.encode("latin-1") for line in lines]
    return b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


def get(*fields, line="GET /healthz HTTP/1.1", host=("Host: test",)):
    return request(line, *host, *fields)


def post(*fields, body=b"", version=b"HTTP/1.1", host=("Host: test",)):
    """An append to PATH."""
    return request(
        b"POST " + PATH + b" " + version, *host, "Content-Type: text/plain", *fields, body=body
    )


def chunked(body, *fields):
    return post("Transfer-Encoding: chunked", *fields, body=body)


# ---- RFC 9112, 2.2: lines ------------------------------------------------------------------------

_S = "9112-2.2"
add(_S, "empty line before the request", b"\r\n" + get(), 200)
add(_S, "two empty lines before the request", b"\r\n\r\n" + get(), either(200))
add(_S, "bare LF before the request", b"\n" + get(), either(200))
add(
    _S, "bare LF after the request line", get().replace(b"HTTP/1.1\r\n", b"HTTP/1.1\n"), either(200)
)
add(_S, "bare LF after a field", get().replace(b"test\r\n", b"test\n"), either(200))
add(_S, "bare LF as empty line", get("X: y").replace(b"y\r\n\r\n", b"y\r\n\n"), either(200))
add(_S, "nothing but bare LF", get().replace(b"\r\n", b"\n"), either(200))
add(
    _S,
    "bare LF hides a field",
    post("X: a\nTransfer-Encoding: chunked", "Content-Length: 3", body=b"abc"),
    REFUSED,
)
add(_S, "bare CR in the request line", get(line="GET /healthz\r HTTP/1.1"), REFUSED)
add(_S, "bare CR after the version", get(line="GET /healthz HTTP/1.1\rX: y"), REFUSED)
add(_S, "bare CR in a field's value", get("X: a\rb"), REFUSED)
add(
    _S,
    "bare CR hides a field",
    post("X: a\rContent-Length: 0", "Content-Length: 3", body=b"abc"),
    REFUSED,
)
add(_S, "bare CR in a field's name", get("X\rY: z"), REFUSED)
add(_S, "CR CR LF after a field", get("X: y\r"), REFUSED)
add(_S, "CR CR LF as empty line", get().replace(b"\r\n\r\n", b"\r\n\r\r\n"), REFUSED)
add(_S, "space before the first field", request("GET /healthz HTTP/1.1", " Host: test"), REFUSED)
add(
    _S,
    "tab before the first field",
    request("GET /healthz HTTP/1.1", "\tX: y", "Host: test"),
    REFUSED,
)
add(
    _S,
    "blank line of blanks before the first field",
    request("GET /healthz HTTP/1.1", "  ", "Host: test"),
    REFUSED,
)
add(_S, "NUL in the request line", get(line="GET /heal\0thz HTTP/1.1"), REFUSED)
add(_S, "NUL for a request", b"\0" * 8, REFUSED)
add(_S, "TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 32, REFUSED)
add(_S, "SSH", b"SSH-2.0-x\r\n\r\n", REFUSED)

# ---- RFC 9112, 3: request line -------------------------------------------------------------------

_S = "9112-3"
for _name, _line in (
    ("no version", "GET /healthz"),
    ("nothing but a method", "GET"),
    ("no method", "/healthz HTTP/1.1"),
    ("empty method", " /healthz HTTP/1.1"),
    ("space before the method", " GET /healthz HTTP/1.1"),
    ("two spaces before the target", "GET  /healthz HTTP/1.1"),
    ("two spaces before the version", "GET /healthz  HTTP/1.1"),
    ("space after the version", "GET /healthz HTTP/1.1 "),
    ("space in the target", "GET /heal thz HTTP/1.1"),
    ("tab for a space", "GET\t/healthz\tHTTP/1.1"),
    ("vertical tab for a space", "GET\x0b/healthz HTTP/1.1"),
    ("no target", "GET HTTP/1.1"),
    ("control in the method", "G\x01T /healthz HTTP/1.1"),
    ("colon in the method", "GET: /healthz HTTP/1.1"),
    ("bracket in the method", "G(T /healthz HTTP/1.1"),
    ("quoted method", '"GET" /healthz HTTP/1.1'),
    ("obs-text in the method", "G\xc3T /healthz HTTP/1.1"),
    ("DEL in the method", "G\x7fT /healthz HTTP/1.1"),
    ("slash in the method", "GET/ /healthz HTTP/1.1"),
    ("comma in the method", "GET,PUT /healthz HTTP/1.1"),
    ("DEL in the target", "GET /heal\x7fthz HTTP/1.1"),
    ("control in the target", "GET /heal\x1fthz HTTP/1.1"),
):
    add(_S, _name, get(line=_line), REFUSED)
add(_S, "method in lower case", get(line="get /healthz HTTP/1.1"), 405)
add(_S, "unknown method", get(line="BREW /healthz HTTP/1.1"), either(405))
add(
    _S,
    "unknown method with every mark of a token",
    get(line="!#$%&'*+-.^_`|~ /healthz HTTP/1.1"),
    either(405),
)
add(_S, "method of 10000 letters", get(line="A" * 10000 + " /healthz HTTP/1.1"), either(405))

# ---- RFC 9112, 2.3: versions ---------------------------------------------------------------------

_S = "9112-2.3"
for _version in (
    "HTTP/0.9",
    "HTTP/2.0",
    "HTTP/3",
    "HTTP/9.9",
    "HTTP/1",
    "HTTP/1.",
    "HTTP/.1",
    "HTTP/1.11",
    "HTTP/11.1",
    "HTTP/1.1x",
    "HTTP/1.a",
    "HTTP/1,1",
    "HTTP/-1.1",
    "HTTP 1.1",
    "http/1.1",
    "Http/1.1",
    "HTTPS/1.1",
    "XHTTP/1.1",
    "HTTP/\xb9.1",
    "1.1",
):
    add(_S, f"version {_version!r}", get(line=f"GET /healthz {_version}"), REFUSED)
add(_S, "higher minor version", get(line="GET /healthz HTTP/1.2"), either(200))
add(_S, "HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", REFUSED)
add(_S, "HTTP/1.0 ends", get(line="GET /healthz HTTP/1.0"), 200)
add(_S, "HTTP/1.0 without Host", get(line="GET /healthz HTTP/1.0", host=()), 200)
add(
    _S,
    "HTTP/1.0 stays when asked",
    get("Connection: keep-alive", line="GET /healthz HTTP/1.0"),
    200,
)

# ---- RFC 9112, 3.2: targets and Host -------------------------------------------------------------

_S = "9112-3.2"
add(_S, "no Host", get(host=()), REFUSED)
add(_S, "no Host, absolute target", get(line="GET http://test/healthz HTTP/1.1", host=()), REFUSED)
add(_S, "two equal Host", get(host=("Host: test", "Host: test")), REFUSED)
add(_S, "two different Host", get(host=("Host: test", "Host: other")), REFUSED)
add(_S, "two Host in different case", get(host=("Host: test", "X: y", "hOST: other")), REFUSED)
add(
    _S,
    "two Host, HTTP/1.0",
    get(line="GET /healthz HTTP/1.0", host=("Host: a", "Host: b")),
    REFUSED,
)
for _host in (
    "a b",
    "a/b",
    "user@a",
    "user:pw@a",
    "a?b",
    "a#b",
    "a\\b",
    "http://a",
    "a:b",
    "a:80:80",
    "a:-1",
    "[::1",
    "::1",
    "[::1]x",
    "[]",
    "a\tb",
    "a\"b",
    "<a>",
    "a\xe9",
    "%zz",
    "a%",
):
    add(_S, f"Host {_host!r}", get(host=(f"Host: {_host}",)), REFUSED)
for _host in (
    "test:80",
    "[::1]:80",
    "[::1]",
    "127.0.0.1:",
    "",
    "a%41",
    "a_b",
    "  test  ",
    "TEST.example",
):
    add(_S, f"Host {_host!r}", get(host=(f"Host: {_host}",)), 200)
add(_S, "absolute target", get(line="GET http://other.test:81/healthz HTTP/1.1"), 200)
add(_S, "absolute target, https", get(line="GET https://other.test/healthz HTTP/1.1"), 200)
for _target in (
    "http://",
    "http:/healthz",
    "http:///healthz",
    "http://u@test/healthz",
    "http://a b/healthz",
    "http://test:x/healthz",
    "ftp://test/healthz",
    "://test/healthz",
    "http://[::1/healthz",
):
    add(_S, f"target {_target!r}", get(line=f"GET {_target} HTTP/1.1"), either(400))
for _target in ("healthz", "?x", "a:b", "test:80", "\\healthz", "*", "."):
    add(
        _S,
        f"target {_target!r}",
        get(line=f"GET {_target} HTTP/1.1"),
        either(400) if _target != "*" else either(404),
    )
add(_S, "asterisk target of OPTIONS", get(line="OPTIONS * HTTP/1.1"), 204)
add(_S, "authority target of CONNECT", get(line="CONNECT test:80 HTTP/1.1"), either(405))
add(
    _S,
    "nothing follows a refused CONNECT",
    get(line="CONNECT test:80 HTTP/1.1") + get(),
    either(405, 200),
)
for _target in ("/healthz#x", "/v1/stream/a#b", "/v1/stream/a?b#c", "#", "http://test/healthz#"):
    add(_S, f"fragment in {_target!r}", get(line=f"GET {_target} HTTP/1.1"), either(400))
add(
    _S, "longest target", get(line="GET /healthz?" + "x" * (TARGET_SIZE_MAX - 9) + " HTTP/1.1"), 200
)
add(
    _S,
    "target too long",
    get(line="GET /healthz?" + "x" * (TARGET_SIZE_MAX - 8) + " HTTP/1.1"),
    414,
)
add(_S, "target of 100000 bytes", get(line="GET /" + "x" * 100000 + " HTTP/1.1"), 414)
add(_S, "target that climbs", get(line="GET /../../etc/passwd HTTP/1.1"), either(404))

# ---- RFC 9112, 5: fields -------------------------------------------------------------------------

_S = "9112-5"
add(_S, "no space after the colon", get("X:y"), 200)
add(_S, "blanks around a value", get("X: \t y \t "), 200)
add(_S, "empty value", get("X:"), 200)
add(_S, "value of blanks", get("X:  \t "), 200)
add(_S, "obs-text in a value", get("X: \x80\xe9\xff"), 200)
add(_S, "tab in a value", get("X: a\tb"), 200)
add(_S, "every mark of a token in a name", get("!#$%&'*+-.^_`|~: y"), 200)
for _name, _field in (
    ("no colon", "X"),
    ("no name", ": y"),
    ("space before the colon", "X : y"),
    ("tab before the colon", "X\t: y"),
    ("space in a name", "X Y: z"),
    ("bracket in a name", "X(: y"),
    ("slash in a name", "X/Y: z"),
    ("at in a name", "X@: y"),
    ("quote in a name", '"X": y'),
    ("brace in a name", "{X}: y"),
    ("backslash in a name", "X\\: y"),
    ("equals in a name", "X=Y: z"),
    ("comma in a name", "X,Y: z"),
    ("semicolon in a name", "X;Y: z"),
    ("obs-text in a name", "X\xe9: y"),
    ("control in a name", "X\x01: y"),
    ("NUL in a name", "X\0: y"),
    ("DEL in a name", "X\x7f: y"),
    ("NUL in a value", "X: \0"),
    ("control in a value", "X: a\x01b"),
    ("escape in a value", "X: \x1b[2J"),
    ("DEL in a value", "X: a\x7f"),
    ("vertical tab in a value", "X: a\x0bb"),
    ("form feed in a value", "X: a\x0cb"),
):
    add(_S, _name, get(_field), REFUSED)
_S = "9112-5.2"
add(_S, "folded line", get("X: a", " b"), REFUSED)
add(_S, "folded with a tab", get("X: a", "\tb"), REFUSED)
add(_S, "folded into an empty value", get("X:", " b"), REFUSED)
add(_S, "folded Content-Length", post("Content-Length:", " 3", body=b"abc" + SMUGGLED), REFUSED)
add(
    _S,
    "folded Transfer-Encoding",
    post("Transfer-Encoding:", " chunked", body=b"0\r\n\r\n" + SMUGGLED),
    REFUSED,
)
add(
    _S,
    "fold that looks like a field",
    post("X: a", " Content-Length: 3", "Content-Length: 0"),
    REFUSED,
)
add(_S, "folded Host", request("GET /healthz HTTP/1.1", "Host:", " test"), REFUSED)
_S = "9110-5.4"
add(_S, "as many fields as allowed", get(*[f"X-{n}: y" for n in range(FIELDS_MAX - 1)]), 200)
add(_S, "one field too many", get(*[f"X-{n}: y" for n in range(FIELDS_MAX)]), REFUSED)
add(_S, "1000 fields", get(*["X: y"] * 1000), REFUSED)
add(_S, "value of 100000 bytes", get("X: " + "y" * 100000), either(200))
add(_S, "name of 100000 bytes", get("X" * 100000 + ": y"), either(200))
add(_S, "head too large", get("X: " + "y" * HEAD_SIZE_MAX), REFUSED)

# ---- RFC 9112, 6.1: Transfer-Encoding ------------------------------------------------------------

_S = "9112-6.1"
_ABC = b"3\r\nabc\r\n0\r\n\r\n"
add(_S, "chunked", chunked(_ABC), 204, content=b"abc")
add(_S, "chunked in any case", post("TRANSFER-encoding: ChUnKeD", body=_ABC), 204, content=b"abc")
add(
    _S, "chunked with blanks", post("Transfer-Encoding: \t chunked", body=_ABC), 204, content=b"abc"
)
add(_S, "chunked with blanks behind", post("Transfer-Encoding: chunked ", body=_ABC), either(204))
for _coding in (
    "gzip",
    "identity",
    "gzip, chunked",
    "chunked, gzip",
    "chunked, chunked",
    "chunked, identity",
    ", chunked",
    "chunked,",
    "xchunked",
    "chunkedx",
    "chunked;q=1",
    "chunked; a=b",
    '"chunked"',
    "'chunked'",
    "chunk",
    "",
    "\x0bchunked",
    "chunked\x0c",
    "\xa0chunked",
    "cow",
    "chu\tnked",
):
    add(
        _S,
        f"coding {_coding!r}",
        post(f"Transfer-Encoding: {_coding}", body=b"0\r\n\r\n" + SMUGGLED),
        REFUSED,
    )
add(
    _S,
    "two codings",
    post("Transfer-Encoding: gzip", "Transfer-Encoding: chunked", body=b"0\r\n\r\n" + SMUGGLED),
    REFUSED,
)
add(
    _S,
    "twice chunked",
    post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    REFUSED,
)
add(
    _S,
    "identity, then chunked",
    post("Transfer-Encoding: identity", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    REFUSED,
)
add(
    _S,
    "space before the colon",
    post("Transfer-Encoding : chunked", body=b"0\r\n\r\n" + SMUGGLED),
    REFUSED,
)
add(
    _S,
    "HTTP/1.0",
    post("Transfer-Encoding: chunked", version=b"HTTP/1.0", body=_ABC + SMUGGLED),
    REFUSED,
)
add(
    _S,
    "HTTP/1.0 that stays",
    post(
        "Transfer-Encoding: chunked",
        "Connection: keep-alive",
        version=b"HTTP/1.0",
        body=_ABC + SMUGGLED,
    ),
    REFUSED,
)
add(
    _S,
    "underscore",
    post("Transfer_Encoding: chunked", "Content-Length: 3", body=b"abc"),
    204,
    content=b"abc",
)
add(_S, "of a GET", get("Transfer-Encoding: chunked") + b"0\r\n\r\n", 200)

# ---- RFC 9112, 6.2: Content-Length ---------------------------------------------------------------

_S = "9112-6.2"
add(_S, "length", post("Content-Length: 3", body=b"abc"), 204, content=b"abc")
add(_S, "length with leading zeros", post("Content-Length: 0003", body=b"abc"), either(204))
add(_S, "length with blanks behind", post("Content-Length: 3 ", body=b"abc"), either(204))
add(_S, "length with blanks before", post("Content-Length: \t 3", body=b"abc"), 204, content=b"abc")
for _length in (
    "3, 3",
    "3,3",
    "3, 4",
    "3,",
    ",3",
    "+3",
    "-1",
    "-0",
    "0x3",
    "3a",
    "a3",
    "3.0",
    "3e0",
    "1e1",
    "3 3",
    "3;3",
    '"3"',
    "",
    "\x0b3",
    "3\0",
    "\xb3",
    "\xd9\xa3",
    "true",
    "99999999999999999999",
    "18446744073709551619",
    "9223372036854775808",
    "4294967299" * 3,
):
    add(
        _S,
        f"length {_length!r}",
        post(f"Content-Length: {_length}", body=b"abc" + SMUGGLED),
        REFUSED,
    )
add(
    _S,
    "two equal lengths",
    post("Content-Length: 3", "Content-Length: 3", body=b"abc"),
    either(204),
)
for _one, _other in ((3, 5), (5, 3), (0, 3), (3, 0)):
    add(
        _S,
        f"lengths {_one} and {_other}",
        post(f"Content-Length: {_one}", f"Content-Length: {_other}", body=b"abc" + SMUGGLED),
        REFUSED,
    )
add(
    _S,
    "two lengths, HTTP/1.0",
    post("Content-Length: 3", "Content-Length: 5", version=b"HTTP/1.0", body=b"abc" + SMUGGLED),
    REFUSED,
)
add(
    _S,
    "two lengths in different case",
    post("content-length: 3", "CONTENT-LENGTH: 5", body=b"abc" + SMUGGLED),
    REFUSED,
)
add(_S, "space before the colon", post("Content-Length : 3", body=b"abc" + SMUGGLED), REFUSED)
add(_S, "tab before the colon", post("Content-Length\t: 3", body=b"abc" + SMUGGLED), REFUSED)
add(
    _S,
    "underscore",
    post("Content_Length: 30", "Content-Length: 3", body=b"abc"),
    204,
    content=b"abc",
)
add(
    _S,
    "longer name",
    post("Content-Lengthy: 30", "Content-Length: 3", body=b"abc"),
    204,
    content=b"abc",
)
add(_S, "length of a GET", get("Content-Length: 3") + b"abc", 200)
add(_S, "no framing at all", post(), 400)
add(_S, "larger than allowed", post("Content-Length: 99999999999"), REFUSED)

# ---- RFC 9112, 6.3: both -------------------------------------------------------------------------

_S = "9112-6.3"
for _name, _fields in (
    ("length, then chunked", ("Content-Length: 5", "Transfer-Encoding: chunked")),
    ("chunked, then length", ("Transfer-Encoding: chunked", "Content-Length: 5")),
    ("both in lower case", ("transfer-encoding: chunked", "content-length: 5")),
    (
        "chunked between two lengths",
        ("Content-Length: 5", "Transfer-Encoding: chunked", "Content-Length: 5"),
    ),
    ("length 0 and chunked", ("Content-Length: 0", "Transfer-Encoding: chunked")),
    (
        "length of all and chunked",
        (f"Content-Length: {5 + len(SMUGGLED)}", "Transfer-Encoding: chunked"),
    ),
    ("malformed length and chunked", ("Content-Length: x", "Transfer-Encoding: chunked")),
    ("length and unknown coding", ("Content-Length: 5", "Transfer-Encoding: x")),
    ("length and coding with a tab", ("Content-Length: 5", "Transfer-Encoding:\tchunked")),
    ("length and empty coding", ("Content-Length: 5", "Transfer-Encoding:")),
):
    add(_S, _name, post(*_fields, body=b"0\r\n\r\n" + SMUGGLED), REFUSED)

# ---- RFC 9112, 7.1: chunks -----------------------------------------------------------------------

_S = "9112-7.1"
add(_S, "two chunks", chunked(b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"), 204, content=b"abc")
add(
    _S,
    "digits in both cases",
    chunked(b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n"),
    204,
    content=b"0123456789" * 2,
)
add(_S, "leading zeros", chunked(b"0003\r\nabc\r\n000\r\n\r\n"), 204, content=b"abc")
add(_S, "line ends in the data", chunked(b"4\r\n\r\n\r\n\r\n0\r\n\r\n"), 204, content=b"\r\n\r\n")
add(
    _S,
    "chunks that look like requests",
    chunked(b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)),
    204,
    content=SMUGGLED,
)
add(_S, "no chunk but the last", chunked(b"0\r\n\r\n"), 400)
for _size in (
    "",
    "x",
    "-3",
    "+3",
    "0x3",
    "0x0",
    "3.",
    "3_",
    " 3",
    "3 ",
    "3\t",
    "3 3",
    "3,",
    "0 3",
    "\x003",
    "\xb3",
    "three",
    "40000001",
    "fffffffffffffffe",
    "fffffffffffffffff",
    "10000000000000003",
    "100000000000000000000000000000003",
):
    add(
        _S,
        f"size {_size!r}",
        chunked(_size.encode("latin-1") + b"\r\nabc\r\n0\r\n\r\n" + SMUGGLED),
        REFUSED,
    )
for _name, _body in (
    ("bare LF after a size", b"3\nabc\r\n0\r\n\r\n"),
    ("bare LF after data", b"3\r\nabc\n0\r\n\r\n"),
    ("bare LF after the last size", b"3\r\nabc\r\n0\n\r\n"),
    ("bare LF as last line", b"3\r\nabc\r\n0\r\n\n"),
    ("nothing but bare LF", b"3\nabc\n0\n\n"),
    ("bare CR after a size", b"3\rabc\r\n0\r\n\r\n"),
    ("CR CR LF after a size", b"3\r\r\nabc\r\n0\r\n\r\n"),
    ("CR CR LF after data", b"3\r\nabc\r\r\n0\r\n\r\n"),
    ("CR CR LF as last line", b"3\r\nabc\r\n0\r\n\r\r\n"),
    ("data longer than its size", b"2\r\nabc\r\n0\r\n\r\n"),
    ("no line end after data", b"3\r\nabc0\r\n\r\n"),
    ("LF CR after data", b"3\r\nabc\n\r0\r\n\r\n"),
    ("space after data", b"3\r\nabc \r\n0\r\n\r\n"),
    ("blank line between chunks", b"3\r\nabc\r\n\r\n0\r\n\r\n"),
    ("a length for the last size", b"3\r\nabc\r\n-0\r\n\r\n"),
):
    add(_S, _name, chunked(_body + SMUGGLED), REFUSED)

_S = "9112-7.1.1"
add(_S, "extensions", chunked(b"3;a\r\nabc\r\n0;b=c;d=\"e;f\"\r\n\r\n"), 204, content=b"abc")
add(_S, "extension after blanks", chunked(b"3 \t;a = b\r\nabc\r\n0\r\n\r\n"), 204, content=b"abc")
for _name, _extension in (
    ("bare LF in an extension", b";a\nb"),
    ("bare CR in an extension", b";a\rb"),
    ("NUL in an extension", b";\0"),
    ("control in an extension", b";\x01"),
    ("DEL in an extension", b";\x7f"),
    ("no semicolon", b" a=b"),
    ("extension ends with bare LF", b";\n\r\n"),
):
    add(_S, _name, chunked(b"3" + _extension + b"\r\nabc\r\n0\r\n\r\n" + SMUGGLED), REFUSED)
add(
    _S,
    "longest extension",
    chunked(b"3;" + b"x" * (EXTRA_SIZE_MAX - 1) + b"\r\nabc\r\n0\r\n\r\n"),
    204,
    content=b"abc",
)
add(
    _S,
    "extension too long",
    chunked(b"3;" + b"x" * EXTRA_SIZE_MAX + b"\r\nabc\r\n0\r\n\r\n"),
    REFUSED,
)
add(_S, "many extensions", chunked(b"1;x\r\na\r\n" * EXTRA_SIZE_MAX + b"0\r\n\r\n"), REFUSED)

_S = "9112-7.1.2"
add(
    _S,
    "trailers are ignored",
    chunked(b"3\r\nabc\r\n0\r\nStream-Closed: true\r\nX:\r\n\r\n"),
    204,
    content=b"abc",
)
add(
    _S,
    "framing in a trailer",
    chunked(b"3\r\nabc\r\n0\r\nContent-Length: 9\r\nTransfer-Encoding: x\r\n\r\n"),
    204,
    content=b"abc",
)
for _name, _trailer in (
    ("no colon in a trailer", b"X\r\n"),
    ("space before the colon of a trailer", b"X : y\r\n"),
    ("no name of a trailer", b": y\r\n"),
    ("bare LF after a trailer", b"X: y\n"),
    ("bare CR in a trailer", b"X: y\rz\r\n"),
    ("NUL in a trailer", b"X: \0\r\n"),
    ("folded trailer", b"X: y\r\n z\r\n"),
    ("control in a trailer's name", b"X\x01: y\r\n"),
):
    add(_S, _name, chunked(b"3\r\nabc\r\n0\r\n" + _trailer + b"\r\n" + SMUGGLED), REFUSED)
add(_S, "a request for a trailer", chunked(b"3\r\nabc\r\n0\r\n" + SMUGGLED), REFUSED)
add(
    _S,
    "longest trailers",
    chunked(b"3\r\nabc\r\n0\r\nX:" + b"y" * (EXTRA_SIZE_MAX - 2) + b"\r\n\r\n"),
    204,
    content=b"abc",
)
add(
    _S,
    "trailers too long",
    chunked(b"3\r\nabc\r\n0\r\n" + b"X: y\r\n" * EXTRA_SIZE_MAX + b"\r\n"),
    REFUSED,
)

# ---- RFC 9112, 9: connections --------------------------------------------------------------------

_S = "9112-9.3"
add(
    _S,
    "pipelined",
    get() + post("Content-Length: 3", body=b"abc") + get() + chunked(_ABC) + get(),
    (200, 204, 200, 204, 200),
    content=b"abcabc",
)
add(_S, "empty line between requests", get() + b"\r\n" + get(), (200, 200))
add(
    _S,
    "empty line after a body",
    post("Content-Length: 3", body=b"abc\r\n") + get(),
    (204, 200),
    content=b"abc",
)
add(_S, "an error does not end it", get(line="GET /nothing HTTP/1.1") + get(), (404, 200))
add(_S, "what follows a refused request is nothing", get("X : y") + SMUGGLED, REFUSED)
add(
    _S,
    "what follows a refused framing is nothing",
    post("Content-Length: 3", "Content-Length: 4", body=b"abc") + SMUGGLED,
    REFUSED,
)
add(_S, "unknown options of a connection", get("Connection: te, x-y", "TE: trailers"), 200)
_S = "9112-9.6"
for _name, _fields in (
    ("close", ("Connection: close",)),
    ("close in any case", ("connection: CLOSE",)),
    ("close, then keep-alive", ("Connection: close, keep-alive",)),
    ("keep-alive, then close", ("Connection: keep-alive, close",)),
    ("close among others", ("Connection: te , close , x",)),
    ("close in one of two", ("Connection: close", "Connection: keep-alive")),
    ("close in the other of two", ("Connection: keep-alive", "Connection: close")),
):
    add(_S, _name, get(*_fields) + SMUGGLED, 200)

# ---- RFC 9110: methods, expectations, upgrades ---------------------------------------------------

_S = "9110-9"
add(_S, "HEAD of a stream", request(b"HEAD " + PATH + b" HTTP/1.1", "Host: test"), 200, "HEAD")
add(_S, "HEAD of nothing", get(line="HEAD /nothing HTTP/1.1"), 404, "HEAD")
add(
    _S,
    "HEAD with a body",
    get("Content-Length: 3", line="HEAD /healthz HTTP/1.1") + b"abc",
    200,
    "HEAD",
)
add(
    _S,
    "DELETE with a body",
    get("Content-Length: 3", line="DELETE /v1/stream/nothing HTTP/1.1") + b"abc",
    404,
)
add(
    _S,
    "OPTIONS with a body",
    get("Content-Length: 3", line="OPTIONS /healthz HTTP/1.1") + b"abc",
    204,
)
add(_S, "TRACE", get("X: secret", line="TRACE /healthz HTTP/1.1"), either(405))
add(
    _S,
    "body behind an early answer",
    get("Content-Length: 9", line="BREW /healthz HTTP/1.1") + b"GET / HTT",
    either(405),
)
_S = "9110-10.1.1"
add(
    _S,
    "continue, body at once",
    post("Content-Length: 3", "Expect: 100-continue", body=b"abc"),
    204,
    content=b"abc",
)
add(
    _S,
    "continue in any case",
    post("Content-Length: 3", "Expect: 100-Continue", body=b"abc"),
    204,
    content=b"abc",
)
add(_S, "continue, chunked", chunked(_ABC, "Expect: 100-continue"), 204, content=b"abc")
add(_S, "continue without a body", get("Expect: 100-continue"), 200)
add(_S, "continue, malformed length", post("Content-Length: x", "Expect: 100-continue"), REFUSED)
add(_S, "unknown expectation", post("Content-Length: 3", "Expect: magic", body=b"abc"), REFUSED)
_S = "9110-7.8"
add(
    _S,
    "upgrade to h2c",
    get(
        "Connection: Upgrade, HTTP2-Settings",
        "Upgrade: h2c",
        "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA",
    ),
    200,
)
add(
    _S,
    "upgrade to WebSocket",
    get(
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ),
    200,
)
