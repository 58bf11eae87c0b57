"""What all wire tests share: a server per class, a stream name per test, requests, and problems."""
import itertools
import os
import re
import unittest

from http1 import Closed, Connection, EventStream, encode_request
from server import Server

ROOT = "/v1/stream/"
ZERO = "0000000000000000_0000000000000000"
LONG_POLL_TIMEOUT_MS = 300
TEXT = {"Content-Type": "text/plain"}
JSON = {"Content-Type": "application/json"}
BYTES = {"Content-Type": "application/octet-stream"}
CLOSE = {"Stream-Closed": "true"}


def token(position):
    """The offset that names a position."""
    return f"{0:016}_{position:016}"


def producer(name, epoch, seq):
    return {"Producer-Id": name, "Producer-Epoch": str(epoch), "Producer-Seq": str(seq)}


class WireTest(unittest.TestCase):
    """`self.path` is the URL path of a stream that does not exist yet."""

    options = ()
    numbers = itertools.count(1)

    @classmethod
    def setUpClass(cls):
        defaults = ("--shards", 2, "--acceptors", 2, "--long-poll-timeout-ms", LONG_POLL_TIMEOUT_MS)
        cls.server = Server(*defaults, *cls.options)

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def setUp(self):
        self.path = self.new_path()
        self.shared = None

    def new_path(self):
        return f"{ROOT}test/{next(self.numbers)}"

    def connect(self, **options):
        connection = Connection(self.server.port, **options)
        self.addCleanup(connection.close)
        return connection

    # requests, one after the other on one connection

    def http(self, method, target, headers=None, body=None, chunks=None):
        if self.shared is None or not self.shared.reusable:
            self.shared = self.connect()
        try:
            return self.shared.request(method, target, headers, body, chunks)
        except (Closed, ConnectionError):
            self.shared.reusable = False
            raise

    def put(self, headers=None, body=None, path=None):
        return self.http("PUT", path or self.path, headers, body)

    def post(self, headers=None, body=None, path=None):
        return self.http("POST", path or self.path, headers, b"" if body is None else body)

    def get(self, query="", headers=None, path=None):
        return self.http("GET", (path or self.path) + query, headers)

    def head(self, path=None):
        return self.http("HEAD", path or self.path)

    def delete(self, path=None):
        return self.http("DELETE", path or self.path)

    def create(self, headers=TEXT, body=None, path=None):
        response = self.put(headers, body, path)
        self.assertStatus(response, 201)
        return response

    def append(self, body, headers=TEXT, path=None):
        response = self.post(headers, body, path)
        self.assertIn(response.status, (200, 204), response)
        return response

    def parked(self, query, path=None, headers=None):
        """A connection with a live request under way."""
        connection = self.connect()
        connection.send(encode_request("GET", (path or self.path) + query, headers))
        return connection

    def events(self, query="?offset=-1&live=sse", path=None, headers=None):
        return EventStream(self.connect(), (path or self.path) + query, headers)

    def tail(self, path=None):
        return self.head(path)["stream-next-offset"]

    def metric(self, name):
        """The sum of a metric over its labels."""
        text = self.http("GET", "/metrics").body.decode()
        values = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.M)
        self.assertTrue(values, f"no metric {name}")
        return sum(map(float, values))

    # assertions

    def assertStatus(self, response, status):
        self.assertEqual(response.status, status, response)

    def assertProblem(self, response, status, code):
        self.assertStatus(response, status)
        self.assertEqual(response["content-type"], "application/problem+json")
        problem = response.json()
        self.assertEqual((problem["status"], problem["code"]), (status, code))
        self.assertTrue(problem["type"] and problem["title"] and problem["detail"], problem)
        self.assertEqual(response["cache-control"], "no-store")

    def assertContent(self, body, path=None):
        response = self.get("?offset=-1", path=path)
        self.assertStatus(response, 200)
        self.assertEqual(response.body, body)
        return response

    def assertClosed(self, response, closed=True):
        self.assertEqual(response["stream-closed"], "true" if closed else None, response)

    def assertMemoryGrowth(self, before, limit):
        """The server has not grown by more than `limit` bytes. Sanitizers keep memory of their own."""
        if "SLUICE_SANITIZER" not in os.environ:
            self.assertLess(self.server.memory_bytes() - before, limit)

    def assertUpToDate(self, response, up_to_date=True):
        self.assertEqual(response["stream-up-to-date"], "true" if up_to_date else None, response)
