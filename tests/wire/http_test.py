"""HTTP/1.1 itself: framing that could be read in two ways, limits of the head, and other versions."""
import time

from case import BYTES, ROOT, TEXT, WireTest
from http1 import Closed, encode_request

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
TARGET_SIZE_MAX = 8192


class HttpTest(WireTest):
    def raw(self, *lines, body=b""):
        """Sends a request as it is; returns the connection."""
        connection = self.connect()
        connection.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        return connection

    def assertRefused(self, *lines, body=b"", statuses=(400,)):
        """An error and the end of the connection: what follows the head is not a second request."""
        with self.subTest(lines=lines, body=body):
            connection = self.raw(*lines, body=body)
            response = connection.read_response()
            self.assertIn(response.status, statuses, response)
            self.assertFalse(connection.reusable)
            self.assertAlive()

    def assertAlive(self):
        self.assertTrue(self.server.alive())
        self.assertStatus(self.connect().request("GET", "/healthz"), 200)


class Framing(HttpTest):
    SMUGGLED = b"DELETE /v1/stream/victim HTTP/1.1\r\nHost: test\r\n\r\n"

    def setUp(self):
        super().setUp()
        self.put(TEXT, b"abc", ROOT + "victim")
        self.put(BYTES)

    def tearDown(self):
        self.assertContent(b"abc", ROOT + "victim")
        self.assertContent(b"")

    def post_with(self, *fields, body, statuses=(400,)):
        self.assertRefused(f"POST {self.path} HTTP/1.1", "Host: test",
                           "Content-Type: application/octet-stream", *fields, body=body, statuses=statuses)

    def test_both_length_and_chunked(self):
        body = b"0\r\n\r\n" + self.SMUGGLED
        for fields in (("Content-Length: 5", "Transfer-Encoding: chunked"),
                       ("Transfer-Encoding: chunked", "Content-Length: 5"),
                       ("transfer-encoding: chunked", f"content-length: {len(body)}")):
            self.post_with(*fields, body=body)

    def test_two_lengths(self):
        for one, other in ((3, 5), (5, 3), (3, 3), (0, 3), (0, 0)):
            self.post_with(f"Content-Length: {one}", f"Content-Length: {other}", body=b"abc" + self.SMUGGLED)

    def test_two_codings(self):
        self.post_with("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body=b"0\r\n\r\n")
        self.post_with("Transfer-Encoding: identity", "Transfer-Encoding: chunked", body=b"0\r\n\r\n")

    def test_malformed_length(self):
        for value in ("3, 3", "+3", "-1", "0x3", "3a", "", " ", "3 3", "99999999999999999999999", "1e1"):
            self.post_with(f"Content-Length: {value}", body=b"abc", statuses=(400, 413))

    def test_unknown_coding(self):
        for value in ("gzip", "identity", "gzip, chunked", "chunked, gzip", "xchunked", "chunkedx", ""):
            self.post_with(f"Transfer-Encoding: {value}", body=b"0\r\n\r\n", statuses=(400, 501))

    def test_malformed_chunks(self):
        for body in (b"x\r\n", b"-1\r\n\r\n", b"g\r\nabc\r\n0\r\n\r\n", b"fffffffffffffffff\r\n"):
            with self.subTest(body=body):
                connection = self.raw(f"POST {self.path} HTTP/1.1", "Host: test", "Transfer-Encoding: chunked",
                                      body=body)
                try:
                    self.assertIn(connection.read_response().status, (400, 413))
                except (Closed, ConnectionError):
                    pass
                self.assertAlive()

    def test_space_before_the_colon(self):
        self.post_with("Content-Length : 3", body=b"abc")
        self.post_with("Transfer-Encoding : chunked", body=b"0\r\n\r\n")

    def test_folded_lines(self):
        self.post_with("X-One: 1", " two", body=b"")
        self.post_with("X-One: 1", "\ttwo: 2", body=b"")
        self.post_with("Content-Length:", " 3", body=b"abc")


class Head(HttpTest):
    def test_host_is_required_once(self):
        self.assertRefused("GET /healthz HTTP/1.1")
        self.assertRefused("GET /healthz HTTP/1.1", "Host: a", "Host: a")
        self.assertRefused("GET /healthz HTTP/1.1", "Host: a", "X: y", "host: b")

    def test_host_is_not_required_before_http_1_1(self):
        connection = self.raw("GET /healthz HTTP/1.0")
        self.assertStatus(connection.read_response(), 200)

    def test_malformed_lines(self):
        for lines in (("GET /healthz", "Host: a"), ("GET", "Host: a"),
                      ("/healthz HTTP/1.1", "Host: a"), ("G\x01T /healthz HTTP/1.1", "Host: a"),
                      ("GET /healthz HTTP/1.1", "Host: a", "no colon"),
                      ("GET /healthz HTTP/1.1", "Host: a", ": no name"),
                      ("GET /healthz HTTP/1.1", "Host: a", "X\x00: y"),
                      ("GET /healthz HTTP/1.1", "Host: a", "X: \x00"),
                      ("GET /healthz HTTP/1.1", "Host: a", "X(: y")):
            self.assertRefused(*lines)

    def test_too_many_fields(self):
        fields = [f"X-{n}: {n}" for n in range(200)]
        self.assertRefused("GET /healthz HTTP/1.1", "Host: a", *fields)
        self.assertStatus(self.raw("GET /healthz HTTP/1.1", "Host: a", *fields[:90]).read_response(), 200)

    def test_too_large(self):
        connection = self.raw("GET /healthz HTTP/1.1", "Host: a")
        self.assertStatus(connection.read_response(), 200)
        try:
            connection.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: " + b"x" * (1 << 20))
            self.assertIn(connection.read_response().status, (400, 413, 431))
        except (Closed, ConnectionError):
            pass
        self.assertAlive()

    def test_target_too_long(self):
        self.create(TEXT, b"abc")
        fits = self.path + "?x=" + "y" * (TARGET_SIZE_MAX - len(self.path) - 3)
        self.assertStatus(self.get(path=fits), 200)
        for target in (fits + "y", "/" + "z" * TARGET_SIZE_MAX, fits + "y" * 100000):
            self.assertProblem(self.get(path=target), 414, "NAME_TOO_LONG")

    def test_absolute_target(self):
        response = self.http("PUT", "http://example.test:81" + self.path, TEXT, b"abc")
        self.assertStatus(response, 201)
        self.assertEqual(response["location"], "http://example.test:81" + self.path)
        self.assertContent(b"abc")
        self.assertStatus(self.get(path="http://other.test" + self.path + "?offset=-1"), 200)

    def test_malformed_target(self):
        for target in ("", "healthz", "http:", "http://", "://x/", "*", "a:b", "?x"):
            with self.subTest(target=target):
                connection = self.raw(f"GET {target} HTTP/1.1", "Host: a")
                self.assertIn(connection.read_response().status, (400, 404))
                self.assertAlive()

    def test_options_of_everything(self):
        self.assertStatus(self.http("OPTIONS", "*"), 204)


class Versions(HttpTest):
    def test_http_2_is_not_spoken_by_prior_knowledge(self):
        connection = self.connect()
        connection.send(PREFACE)
        answer = connection.read_rest()
        self.assertTrue(answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer)
        self.assertAlive()

    def test_http_2_is_not_upgraded_to(self):
        connection = self.raw("GET /healthz HTTP/1.1", "Host: a", "Connection: Upgrade, HTTP2-Settings",
                              "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA")
        response = connection.read_response()
        self.assertStatus(response, 200)
        self.assertEqual(response.body, b"ok\n")
        self.assertAlive()

    def test_websocket_is_not_upgraded_to(self):
        self.create(TEXT, b"abc")
        connection = self.raw(f"GET {self.path} HTTP/1.1", "Host: a", "Connection: Upgrade", "Upgrade: websocket",
                              "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
        self.assertStatus(connection.read_response(), 200)

    def test_http_1_0_reader(self):
        self.create(TEXT, b"abc")
        connection = self.raw(f"GET {self.path} HTTP/1.0")
        response = connection.read_response()
        self.assertEqual(response.body, b"abc")
        self.assertEqual(response["transfer-encoding"], None)

    def test_http_1_0_event_stream_ends_with_the_connection(self):
        self.create(TEXT, b"abc")
        self.post({"Stream-Closed": "true"})
        connection = self.raw(f"GET {self.path}?offset=-1&live=sse HTTP/1.0")
        response = connection.read_head()
        self.assertEqual(response["transfer-encoding"], None)
        events = connection.read_rest()
        self.assertTrue(events.startswith(b"event: data\ndata:abc\n\nevent: control\n"), events)

    def test_something_else(self):
        for data in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100, b"\x00" * 1000,
                     b"SSH-2.0-x\r\n\r\n", b"\r\n\r\n\r\n\r\n"):
            connection = self.connect()
            connection.send(data)
            connection.socket.shutdown(1)
            connection.read_rest()
            self.assertAlive()


class Connections(HttpTest):
    def test_requests_may_come_all_at_once(self):
        self.create(TEXT)
        connection = self.connect()
        requests = b"".join(encode_request("POST", self.path, TEXT, b"%d," % n) for n in range(64))
        connection.send(requests + encode_request("GET", self.path))
        for _ in range(64):
            self.assertStatus(connection.read_response(), 204)
        self.assertEqual(connection.read_response().body, b"".join(b"%d," % n for n in range(64)))

    def test_request_may_come_byte_by_byte(self):
        connection = self.connect()
        for request in (encode_request("PUT", self.path, TEXT, chunks=[b"ab", b"c"]),
                        encode_request("POST", self.path, TEXT, b"def")):
            for n in range(len(request)):
                connection.send(request[n:n + 1])
            self.assertIn(connection.read_response().status, (201, 204))
        self.assertContent(b"abcdef")

    def test_close_is_honoured(self):
        connection = self.connect()
        self.assertStatus(connection.request("GET", "/healthz", {"Connection": "close"}), 200)
        self.assertFalse(connection.reusable)

    def test_client_may_close_its_side_after_the_request(self):
        self.create(TEXT, b"abc")
        connection = self.connect()
        connection.send(encode_request("GET", self.path))
        connection.socket.shutdown(1)
        self.assertEqual(connection.read_response().body, b"abc")

    def test_expectation_to_continue_is_answered(self):
        self.create(TEXT)
        connection = self.raw(f"POST {self.path} HTTP/1.1", "Host: a", "Content-Type: text/plain",
                              "Content-Length: 3", "Expect: 100-continue")
        self.assertEqual(connection.read_line(), b"HTTP/1.1 100 Continue")
        connection.read_fields()
        connection.send(b"abc")
        self.assertStatus(connection.read_response(), 204)

    def test_other_expectations_fail(self):
        connection = self.raw(f"POST {self.path} HTTP/1.1", "Host: a", "Content-Length: 3", "Expect: magic")
        self.assertStatus(connection.read_response(), 417)

    def test_chunk_extensions_and_trailers_are_ignored(self):
        self.create(TEXT)
        connection = self.raw(f"POST {self.path} HTTP/1.1", "Host: a", "Content-Type: text/plain",
                              "Transfer-Encoding: chunked",
                              body=b"3;a=b\r\nabc\r\n0;c\r\nStream-Closed: true\r\n\r\n")
        self.assertStatus(connection.read_response(), 204)
        self.assertStatus(connection.request("GET", self.path), 200)
        self.assertClosed(self.assertContent(b"abc"), False)


class Timeout(HttpTest):
    options = ("--request-timeout-ms", 1000)

    def assertCut(self, data):
        connection = self.connect()
        start = time.monotonic()
        if data:
            connection.send(data)
        connection.read_rest()
        self.assertLess(time.monotonic() - start, 4)
        self.assertAlive()

    def test_cuts_unfinished_requests(self):
        whole = encode_request("PUT", self.path, TEXT, b"abc")
        for size in (0, 1, 20, len(whole) - 3, len(whole) - 1):
            self.assertCut(whole[:size])
        self.assertStatus(self.head(), 404)
