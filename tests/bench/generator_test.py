#!/usr/bin/env python3
"""What the load generator counts, told by servers that misbehave: generator_test.py BINARY"""
import json
import re
import select
import socket
import subprocess
import sys
import threading
import unittest

BINARY = sys.argv.pop()
TIMEOUT_S = 60
NOTHING_S = 0.05  # in which nothing comes; what comes later is not noticed
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"


class Server:
    """Listens; each connection is `serve(connection, requests)` in a thread of its own."""

    def __init__(self, serve):
        self.serve = serve
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.run, args=[connection], daemon=True).start()

    def run(self, connection):
        try:
            with connection:
                self.serve(connection, requests_of(connection))
        except OSError:
            pass  # the generator has ended

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def requests_of(connection):
    """The requests that come, one by one: (head, body)."""
    got = b""
    while True:
        while b"\r\n\r\n" not in got:
            more = connection.recv(65536)
            if not more:
                return
            got += more
        head, got = got.split(b"\r\n\r\n", 1)
        match = re.search(rb"Content-Length: (\d+)", head)
        size = int(match[1]) if match else 0
        while len(got) < size:
            more = connection.recv(65536)
            if not more:
                return
            got += more
        body, got = got[:size], got[size:]
        yield head.decode(), body


def run(port, *words):
    """Runs the generator; returns the roles of its result."""
    done = subprocess.run([BINARY, f"port={port}", *words], capture_output=True, text=True,
                          timeout=TIMEOUT_S, check=True)
    return json.loads(done.stdout)["roles"]


def answer_all(with_what):
    def serve(connection, requests):
        for _ in requests:
            connection.sendall(with_what)
    return serve


def never(connection, requests):
    for _ in requests:
        pass


class CountTest(unittest.TestCase):
    def test_a_server_that_stalls_is_charged_for_every_request_that_was_due(self):
        with Server(never) as server:
            role, = run(server.port, "warmup-ms=0", "measure-ms=500", "drain-ms=1",
                        "append", "rate=1000", "connections=2")
        self.assertAlmostEqual(role["unfinished"], 500, delta=2)
        self.assertEqual(role["latency_us"]["count"], role["unfinished"])
        self.assertEqual(role["operations"], 0)

    def test_a_closed_loop_waits_for_its_answer(self):
        with Server(never) as server:
            # Long enough to connect where a server under attack has both processors.
            role, = run(server.port, "warmup-ms=0", "measure-ms=500", "drain-ms=1",
                        "append", "connections=3", "depth=4")
        self.assertEqual(role["unfinished"], 12)

    def test_ends_after_the_count_and_sends_each_its_stream(self):
        seen = []

        def serve(connection, requests):
            for head, body in requests:
                seen.append((head.split()[1], len(body)))
                connection.sendall(NO_CONTENT)

        with Server(serve) as server:
            role, = run(server.port, "threads=2", "measure-ms=0", "append", "connections=5",
                        "depth=3", "streams=7", "count=21", "pick=2", "size=100")
        self.assertEqual(role["status"], {"204": 21})
        self.assertEqual(role["operations"], 21)
        self.assertEqual(sorted(seen), sorted([(f"/v1/stream/s/{n:08}", 100)
                                               for n in range(7)] * 3))

    def test_refusals_are_counted_and_are_no_operations(self):
        busy = b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 2\r\n\r\nno"
        with Server(answer_all(busy)) as server:
            role, = run(server.port, "measure-ms=0", "append", "count=10")
        self.assertEqual((role["status"], role["retry_after"]), ({"503": 10}, 10))
        self.assertEqual((role["operations"], role["latency_us"]["count"]), (0, 0))

    def test_a_connection_that_the_server_ends_is_made_again(self):
        def serve(connection, requests):
            for _ in requests:
                connection.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
                return

        with Server(serve) as server:
            role, = run(server.port, "measure-ms=0", "append", "count=20", "connections=2")
        self.assertEqual((role["operations"], role["lost"]), (20, 0))

    def test_a_request_whose_connection_breaks_is_lost(self):
        def serve(connection, requests):
            for n, _ in enumerate(requests):
                if n == 3:
                    return
                connection.sendall(NO_CONTENT)

        with Server(serve) as server:
            role, = run(server.port, "measure-ms=0", "append", "count=20")
        self.assertEqual((role["operations"], role["lost"]), (15, 5))

    def test_what_is_no_http_is_bad(self):
        with Server(answer_all(b"hello\r\n")) as server:
            role, = run(server.port, "measure-ms=0", "append", "count=3")
        self.assertEqual((role["bad"], role["operations"]), (3, 0))

    def test_nobody_listens(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        role, = run(port, "warmup-ms=0", "measure-ms=50", "append", "connections=4")
        self.assertEqual((role["refused"], role["operations"]), (4, 0))


class ReadTest(unittest.TestCase):
    def test_reads_from_page_to_page_until_the_end(self):
        seen = []

        def serve(connection, requests):
            for head, _ in requests:
                offset = re.search(r"offset=(\S+)", head)[1]
                seen.append(offset)
                after = {"-1": "a", "a": "b", "b": "c"}[offset]
                end = "Stream-Up-To-Date: true\r\n" if after == "c" else ""
                connection.sendall(f"HTTP/1.1 200 OK\r\nStream-Next-Offset: {after}\r\n{end}"
                                   "Content-Length: 1\r\n\r\nx".encode())

        with Server(serve) as server:
            role, = run(server.port, "measure-ms=0", "read", "count=2")
        self.assertEqual(seen, ["-1", "a", "b"] * 2)
        self.assertEqual((role["operations"], role["status"]), (2, {"200": 6}))

    def test_repeats_the_etag(self):
        seen = []

        def serve(connection, requests):
            for head, _ in requests:
                seen.append("If-None-Match: \"e\"" in head)
                connection.sendall(b"HTTP/1.1 304 Not Modified\r\nETag: \"e\"\r\n\r\n"
                                   if seen[-1] else b"HTTP/1.1 200 OK\r\nETag: \"e\"\r\n"
                                   b"Stream-Up-To-Date: true\r\nContent-Length: 1\r\n\r\nx")

        with Server(serve) as server:
            role, = run(server.port, "measure-ms=0", "read", "count=3", "etag=1")
        self.assertEqual(seen, [False, True, True])
        self.assertEqual(role["status"], {"200": 1, "304": 2})


class Broker:
    """Posts go to all subscribers, as `write` says."""

    def __init__(self, write):
        self.write, self.subscribers, self.lock = write, [], threading.Lock()

    def serve(self, connection, requests):
        for head, body in requests:
            if head.startswith("GET"):
                connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                with self.lock:
                    self.subscribers.append(connection)
            else:
                with self.lock:
                    for subscriber in self.subscribers:
                        self.write(subscriber, body)
                connection.sendall(NO_CONTENT)


def chunk(data):
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


class LiveTest(unittest.TestCase):
    def deliver(self, write, *words):
        with Server(Broker(write).serve) as server:
            return run(server.port, "measure-ms=0", "append", "count=10", *words,
                       "sse", "connections=3")

    def test_every_reader_of_an_append_is_a_delivery(self):
        _, live = self.deliver(lambda to, body: to.sendall(chunk(b"data: " + body + b"\n\n")))
        self.assertEqual((live["deliveries"], live["delivery_us"]["count"]), (30, 30))

    def test_appends_in_one_event_count_each(self):
        _, live = self.deliver(lambda to, body: to.sendall(chunk(body + body)))
        self.assertEqual(live["deliveries"], 60)

    def test_a_time_that_comes_in_two_pieces_is_one(self):
        _, live = self.deliver(lambda to, body: to.sendall(chunk(body[:9]) + chunk(body[9:])))
        self.assertEqual(live["deliveries"], 30)

    def test_in_lockstep_an_append_waits_for_all_readers(self):
        broker, early = Broker(lambda to, body: to.sendall(chunk(body))), []

        def serve(connection, requests):
            for head, body in requests:
                if head.startswith("GET"):
                    broker.serve(connection, iter([(head, body)]))
                    continue
                # The answer alone must not bring the next one.
                connection.sendall(NO_CONTENT)
                early.extend(select.select([connection], [], [], NOTHING_S)[0])
                for subscriber in broker.subscribers:
                    broker.write(subscriber, body)

        with Server(serve) as server:
            append, live = run(server.port, "measure-ms=0", "append", "count=5", "lockstep=1",
                               "sse", "connections=3")
        self.assertEqual((append["operations"], live["deliveries"], early), (5, 15, []))

    def test_long_polls_follow_from_where_the_end_was(self):
        seen = []

        def serve(connection, requests):
            for head, _ in requests:
                offset = re.search(r"offset=(\S+?)[& ]", head)[1]
                live = "live=long-poll" in head
                seen.append((offset, live))
                after = int(offset[1:]) + 1 if live else 0
                body = "@0000000000000001;" if live else ""
                connection.sendall(f"HTTP/1.1 200 OK\r\nStream-Next-Offset: o{after}\r\n"
                                   f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
                if offset == "o2":
                    never(connection, requests)

        with Server(serve) as server:
            role, = run(server.port, "warmup-ms=0", "measure-ms=300", "long-poll")
        self.assertEqual(seen, [("now", False), ("o0", True), ("o1", True), ("o2", True)])
        self.assertEqual(sum(role["status"].values()), 4)


if __name__ == "__main__":
    unittest.main()
