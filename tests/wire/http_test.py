"""HTTP/1.1 beside the vectors of strictness_test.py: versions, connections, timeouts, refusals."""
import select
import socket
import struct
import time

from case import BYTES, JSON, ROOT, TEXT, WireTest
from http1 import Closed, encode_request, wait_until

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
TARGET_SIZE_MAX = 8192


class HttpTest(WireTest):
    def raw(self, *lines, body=b""):
        """Sends a request as it is; returns the connection."""
        connection = self.connect()
        connection.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        return connection

    def assertAlive(self):
        self.assertTrue(self.server.alive())
        self.assertStatus(self.connect().request("GET", "/healthz"), 200)


class Head(HttpTest):
    def test_too_large(self):
        connection = self.raw("GET /healthz HTTP/1.1", "Host: a")
        self.assertStatus(connection.read_response(), 200)
        try:
            connection.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: " + b"x" * (1 << 20))
            self.assertIn(connection.read_response().status, (400, 413, 431))
        except (Closed, ConnectionError):
            pass
        self.assertAlive()

    def test_target_too_long_is_told(self):
        self.create(TEXT, b"abc")
        fits = self.path + "?x=" + "y" * (TARGET_SIZE_MAX - len(self.path) - 3)
        self.assertStatus(self.get(path=fits), 200)
        self.assertProblem(self.get(path=fits + "y"), 414, "NAME_TOO_LONG")

    def test_absolute_target(self):
        response = self.http("PUT", "http://example.test:81" + self.path, TEXT, b"abc")
        self.assertStatus(response, 201)
        self.assertEqual(response["location"], "http://example.test:81" + self.path)
        self.assertContent(b"abc")
        self.assertStatus(self.get(path="http://other.test" + self.path + "?offset=-1"), 200)


class Versions(HttpTest):
    def test_http_2_is_not_spoken_by_prior_knowledge(self):
        connection = self.connect()
        connection.send(PREFACE)
        answer = connection.read_rest()
        self.assertTrue(answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer)
        self.assertAlive()

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


class Connections(HttpTest):
    def test_requests_may_come_all_at_once(self):
        self.create(TEXT)
        connection = self.connect()
        requests = b"".join(encode_request("POST", self.path, TEXT, b"%d," % n) for n in range(64))
        connection.send(requests + encode_request("GET", self.path))
        for _ in range(64):
            self.assertStatus(connection.read_response(), 204)
        self.assertEqual(connection.read_response().body, b"".join(b"%d," % n for n in range(64)))

    def test_requests_answered_at_once_and_later_keep_their_order(self):
        self.create(TEXT)
        connection = self.connect()
        kinds = ((encode_request("GET", "/nowhere"), 404),
                 (encode_request("PUT", self.path, {"Stream-TTL": "x"}), 400),
                 (encode_request("GET", self.path + "?offset=x"), 400),
                 (encode_request("POST", self.path, TEXT, b"a"), 204),
                 (encode_request("GET", self.path + "?offset=now"), 200))
        connection.send(b"".join(request for request, _ in kinds) * 400)
        for n in range(400):
            for _, status in kinds:
                self.assertStatus(connection.read_response(), status)
        self.assertContent(b"a" * 400)

    def test_short_answers_wait_for_a_client_that_reads_slowly(self):
        body = bytes(range(256)) * 7
        self.create(BYTES, body)
        connection = self.connect(receive_buffer=4096)
        count = 4000  # more bytes than the kernel keeps
        connection.send(encode_request("GET", self.path) * count)
        for _ in range(count):
            self.assertEqual(connection.read_response().body, body)

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


class LargeBodies(WireTest):
    """They take long to be looked at: whoever comes meanwhile does not wait for all of them."""

    options = ("--acceptors", 1)
    # A quick machine looks at two of them in a turn, which may take 1 ms and the last one's time.
    COUNT, TRIES = 24, 10

    def uploads(self):
        """Connections that have sent all but the last byte of a body that is no JSON."""
        body = b'{"streams":[' + b'"a",' * (1 << 18)
        request = encode_request("PUT", ROOT + "__ds/subscriptions/s", JSON, body)
        for _ in range(self.COUNT):
            connection = self.connect()
            connection.send(request[:-1])
            yield connection, request[-1:]

    def answers_of_another_meanwhile(self):
        uploads, another = list(self.uploads()), self.connect()
        waiting, count = [connection for connection, _ in uploads], 0
        self.assertStatus(another.request("GET", "/healthz"), 200)
        for connection, rest in uploads:
            connection.send(rest)
        while len(select.select(waiting, [], [], 0)[0]) < self.COUNT:
            self.assertStatus(another.request("GET", "/healthz"), 200)
            count += 1
        for connection in waiting:
            self.assertStatus(connection.read_response("PUT"), 400)
        return count

    def test_that_are_there_together_leave_others_a_turn(self):
        # On a busy machine the other one may be slow, but not every time.
        self.assertGreater(max(self.answers_of_another_meanwhile() for _ in range(self.TRIES)), 7)

    def test_may_be_left_behind_by_their_clients(self):
        for connection, rest in list(self.uploads()):
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.send(rest)
            connection.close()
        wait_until(lambda: self.metric("sluice_connections_open") == 1)
