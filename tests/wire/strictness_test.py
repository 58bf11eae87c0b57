"""Every vector of vectors.py, whole and in pieces: refused or answered, and never out of step.

After a vector the same connection carries a marker request, whose answer nothing else can give. A
connection that is still open answers it as if nothing had been before; anything else, one answer
more or less than there were requests, is a desynchronisation.
"""

import socket

from case import BYTES, TEXT, WireTest
from http1 import Closed, encode_request
from vectors import (
    FIELDS_MAX,
    HEAD_SIZE_MAX,
    PATH,
    REFUSED,
    SMUGGLED,
    VECTORS,
    VICTIM,
    Either,
    get,
)

REFUSALS = (400, 413, 414, 417, 431, 501, 505)
MARKER_PATH = "/v1/stream/marker"
MARKER = f"GET {MARKER_PATH} HTTP/1.1\r\nHost: test\r\n\r\n".encode()
MARKER_BODY = b"this is what the marker gets"
PIECES_SIZE_MAX = 2000  # of what is sent byte by byte
# What is cut at every place: where the end of a request is decided.
FRAMING = (
    "9112-2.2",
    "9112-5.2",
    "9112-6.1",
    "9112-6.2",
    "9112-6.3",
    "9112-7.1",
    "9112-7.1.1",
    "9112-7.1.2",
)
CUTS_MAX = 80  # of one of those, from its end: what comes before is the same in all of them
LARGE_READS = 4  # more bytes of answers than buffers between a server and its client hold
PING = b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n"


class StrictnessTest(WireTest):
    """One acceptor, so that the answer to a ping says that what was sent before has been looked at."""

    options = ("--acceptors", 1, "--shards", 1)

    def setUp(self):
        super().setUp()
        self.put(TEXT, b"abc", VICTIM)
        self.put(TEXT, MARKER_BODY, MARKER_PATH)
        self.pinging = self.connect()

    def let_it_read(self):
        """Two turns of the acceptor: in the second one the first is over."""
        for _ in range(2):
            self.pinging.send(PING)
            self.assertStatus(self.pinging.read_response(), 200)

    def exchange(self, connection, vector, pieces):
        """Sends the pieces; returns the statuses of the answers, and whether the marker's followed."""
        statuses = []
        try:
            for n, piece in enumerate(pieces):
                if n and len(pieces) == 2:
                    self.let_it_read()
                connection.send(piece)
        except ConnectionError:
            pass  # refused meanwhile
        try:
            while True:
                method = vector.method if not statuses else "GET"
                response = connection.read_response(method)
                if response.body == MARKER_BODY:
                    return statuses, True
                statuses.append(response.status)
        except (Closed, ConnectionError):
            return statuses, False

    def assertInStep(self, vector, statuses, marked):
        refused = (
            not marked and len(statuses) <= 1 and all(status in REFUSALS for status in statuses)
        )
        expected = vector.expected
        if expected == REFUSED:
            self.assertTrue(refused, (statuses, marked))
        elif isinstance(expected, Either) and refused:
            return
        else:
            expected = expected.statuses if isinstance(expected, Either) else expected
            self.assertEqual(tuple(statuses), expected)

    def try_vector(self, vector, pieces_of, connection=None):
        """Returns the connection if it can be used on."""
        connection = connection or self.connect()
        data = vector.data.replace(PATH, self.path.encode())
        with self.subTest(section=vector.section, name=vector.name):
            statuses, marked = self.exchange(connection, vector, pieces_of(data + MARKER))
            self.assertInStep(vector, statuses, marked)
            # Whoever did not say that it is the last answer gives the next one.
            self.assertEqual(marked, connection.reusable and bool(statuses))
            return connection if marked else None
        return None


class Whole(StrictnessTest):
    def try_all(self, vectors, pieces_of):
        for vector in vectors:
            self.path = self.new_path()
            self.create(TEXT)
            self.try_vector(vector, pieces_of)
            with self.subTest(section=vector.section, name=vector.name, of="content"):
                if vector.content is not None:
                    self.assertContent(vector.content)
                self.assertContent(b"abc", VICTIM)

    def test_table_is_large_enough(self):
        self.assertGreaterEqual(len(VECTORS), 120)
        self.assertEqual(len({(vector.section, vector.name) for vector in VECTORS}), len(VECTORS))

    def test_whole(self):
        self.try_all(VECTORS, lambda data: [data])

    def test_byte_by_byte(self):
        self.try_all(
            [vector for vector in VECTORS if len(vector.data) <= PIECES_SIZE_MAX],
            lambda data: [data[n : n + 1] for n in range(len(data))],
        )


class Cuts(StrictnessTest):
    def test_cut_at_every_place(self):
        self.create(TEXT)
        for vector in VECTORS:
            if vector.section not in FRAMING or len(vector.data) > PIECES_SIZE_MAX:
                continue
            size = len(vector.data.removesuffix(SMUGGLED))
            from_end = len(vector.data) - size + len(MARKER)
            connection = None
            for left in range(min(size, CUTS_MAX)):
                cut = -(from_end + left)
                connection = self.try_vector(
                    vector, lambda data: [data[:cut], data[cut:]], connection
                )
        self.assertContent(b"abc", VICTIM)


class Garbage(StrictnessTest):
    """What h2o cannot parse is refused like everything else, and takes no answer before it along."""

    garbage = (
        b"G\x01T / HTTP/1.1\r\nHost: test\r\n\r\n",
        get("X y"),
        get(*(f"X: {n}" for n in range(FIELDS_MAX + 1))),
        b"GET / HTTP/1.1\r\nX: " + b"x" * HEAD_SIZE_MAX,
    )

    def test_is_a_problem_and_counted(self):
        for data in self.garbage:
            with self.subTest(data=data[:40]):
                before = self.metric("sluice_framing_rejected_total")
                connection = self.connect()
                connection.send(data)
                self.assertProblem(connection.read_response(), 400, "BAD_REQUEST")
                self.assertFalse(connection.reusable)
                self.assertEqual(connection.read_rest(), b"")
                self.assertEqual(self.metric("sluice_framing_rejected_total"), before + 1)

    def test_broken_bodies_are_counted_too(self):
        for fields, body in (
            ("Transfer-Encoding: gzip", b""),
            ("Content-Length: +1", b"x"),
            ("Transfer-Encoding: chunked", b"zz\r\n"),
        ):
            with self.subTest(fields):
                before = self.metric("sluice_framing_rejected_total")
                connection = self.connect()
                connection.send(f"POST {VICTIM} HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n".encode() + body)
                self.assertStatus(connection.read_response(), 400)
                self.assertEqual(self.metric("sluice_framing_rejected_total"), before + 1)

    def test_answers_before_it_arrive(self):
        large = self.new_path()
        self.create(BYTES, b"x" * (1 << 20), large)
        reads = [encode_request("GET", large + "?offset=-1")] * LARGE_READS
        for data in self.garbage:
            with self.subTest(data=data[:40]):
                connection = self.connect(receive_buffer=1 << 16)
                connection.send(b"".join(reads) + data)
                connection.send(MARKER * 100)  # unread when the connection ends
                for _ in reads:
                    self.assertEqual(len(connection.read_response().body), 1 << 20)
                self.assertProblem(connection.read_response(), 400, "BAD_REQUEST")
                self.assertEqual(connection.read_rest(), b"")


class HalfClosed(StrictnessTest):
    """A client that has nothing more to send still gets its answer, and a cut request gets none."""

    def test_whole_request(self):
        connection = self.connect()
        connection.send(MARKER)
        connection.socket.shutdown(socket.SHUT_WR)
        self.assertEqual(connection.read_response().body, MARKER_BODY)

    def test_cut_request(self):
        for vector in VECTORS:
            if (
                vector.expected != (204,)
                or vector.section not in FRAMING
                or len(vector.data) > PIECES_SIZE_MAX
            ):
                continue
            with self.subTest(section=vector.section, name=vector.name):
                self.path = self.new_path()
                self.create(TEXT)
                connection = self.connect()
                connection.send(vector.data.replace(PATH, self.path.encode())[:-1])
                connection.socket.shutdown(socket.SHUT_WR)
                self.assertEqual(connection.read_rest(), b"")
                self.assertContent(b"")
