"""Limits: one below, at, and one above; what is refused above, and that the rest goes on."""
import contextlib
import hashlib
import os
import pathlib
import re
import tempfile
import unittest

from case import BYTES, JSON, ROOT, TEXT, WireTest, producer
from http1 import Closed, Connection, encode_request, wait_until
from server import BINARY, Server

MIB = 1 << 20


class Body(WireTest):
    MAX = 10000
    options = ("--max-body-bytes", MAX)

    def send(self, body, chunked):
        connection = self.connect()
        chunks = [body[n:n + 1000] for n in range(0, len(body), 1000)] if chunked else None
        return connection, connection.request("POST", self.path, BYTES, None if chunked else body, chunks)

    def test_up_to_the_limit_is_accepted(self):
        self.create(BYTES)
        for size in (self.MAX - 1, self.MAX):
            for chunked in (False, True):
                self.assertStatus(self.send(b"x" * size, chunked)[1], 204)

    def test_above_the_limit_is_refused_and_nothing_appended(self):
        self.create(BYTES)
        for size in (self.MAX + 1, self.MAX + 2, 10 * self.MAX):
            for chunked in (False, True):
                with self.subTest(size=size, chunked=chunked):
                    self.assertStatus(self.send(b"x" * size, chunked)[1], 413)
        self.assertContent(b"")

    def test_is_decided_before_the_body_comes(self):
        connection = self.connect()
        connection.send(f"PUT {self.path} HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n".encode())
        self.assertStatus(connection.read_response(), 413)
        self.assertStatus(self.head(), 404)

    def test_whoever_reads_the_answer_after_sending_everything_sees_it(self):
        before = self.server.memory_bytes()
        for chunked in (False, True):
            connection, response = self.send(b"x" * (16 * MIB), chunked)
            self.assertStatus(response, 413)
            self.assertFalse(connection.reusable)
            connection.close()
        connection = self.connect()
        connection.send(f"PUT {self.path} HTTP/1.1\r\nHost: a b\r\nContent-Length: 9000\r\n\r\n".encode()
                        + b"x" * (16 * MIB))
        self.assertStatus(connection.read_response(), 400)
        connection.close()
        self.assertMemoryGrowth(before, 8 * MIB)
        wait_until(lambda: self.metric("sluice_connections_open") == 1)
        self.assertStatus(self.head(), 404)


class Messages(WireTest):
    MAX = 262144

    def test_of_one_request(self):
        self.create(JSON)
        for count in (self.MAX - 1, self.MAX):
            self.append(b"[" + b"1," * (count - 1) + b"1]", JSON)
        tail = self.tail()
        response = self.post(JSON, b"[" + b"1," * self.MAX + b"1]")
        self.assertProblem(response, 413, "TOO_MANY_MESSAGES")
        self.assertEqual(self.tail(), tail)
        self.assertProblem(self.put(JSON, b"[" + b"1," * self.MAX + b"1]", self.new_path()), 413,
                           "TOO_MANY_MESSAGES")


class Streams(WireTest):
    MAX = 6
    options = ("--streams-max", MAX, "--shards", 1)

    def test_are_limited(self):
        paths = [self.new_path() for _ in range(self.MAX)]
        for path in paths:
            self.create(TEXT, path=path)
        response = self.put(TEXT)
        self.assertProblem(response, 429, "TOO_MANY_STREAMS")
        self.assertRegex(response["retry-after"], r"^\d+$")
        self.assertProblem(self.put({"Stream-Forked-From": paths[0]}), 429, "TOO_MANY_STREAMS")
        self.assertStatus(self.put(TEXT, path=paths[0]), 200)
        self.append(b"x", path=paths[0])
        self.delete(paths[0])
        self.create(TEXT)


class Producers(WireTest):
    MAX = 3
    options = ("--producers-per-stream-max", MAX)

    def test_are_limited_per_stream(self):
        self.create(TEXT)
        for n in range(self.MAX):
            self.append(b"x", {**TEXT, **producer(f"p{n}", 0, 0)})
        response = self.post({**TEXT, **producer("more", 0, 0)}, b"x")
        self.assertProblem(response, 429, "TOO_MANY_PRODUCERS")
        self.append(b"y", {**TEXT, **producer("p0", 0, 1)})
        self.append(b"z")
        other = self.new_path()
        self.create(TEXT, path=other)
        self.append(b"x", {**TEXT, **producer("more", 0, 0)}, other)


class Readers(WireTest):
    MAX = 4
    options = ("--live-readers-max", MAX, "--acceptors", 1, "--long-poll-timeout-ms", 20000)

    def test_are_limited(self):
        self.create(TEXT)
        events = [self.events() for _ in range(self.MAX - 1)]
        waiting = self.parked("?offset=now&live=long-poll")
        wait_until(lambda: self.metric("sluice_live_readers") == self.MAX)
        for mode in ("sse", "long-poll"):
            response = self.get(f"?offset=now&live={mode}")
            self.assertProblem(response, 429, "TOO_MANY_READERS")
            self.assertRegex(response["retry-after"], r"^\d+$")
        self.assertStatus(self.get(), 200)
        events[0].connection.close()
        wait_until(lambda: self.metric("sluice_live_readers") == self.MAX - 1)
        self.events()
        self.append(b"x")
        self.assertEqual(waiting.read_response().body, b"x")


class Connections(WireTest):
    MAX = 10
    options = ("--connections-max", MAX, "--acceptors", 1)

    def test_more_wait_until_others_close(self):
        connections = [self.connect() for _ in range(3 * self.MAX)]
        for connection in connections:
            connection.send(encode_request("GET", "/healthz"))
        answered = [connection for connection in connections if not connection.silent(0.05)]
        self.assertEqual(len(answered), self.MAX)
        for connection in answered:
            connection.close()
        rest = [connection for connection in connections if connection not in answered]
        for connection in rest:
            self.assertStatus(connection.read_response(), 200)
            connection.close()

    def test_table_of_open_files_has_room_for_all_from_the_start(self):
        """A thread of several that makes the kernel's table grow waits for 8 ms."""
        status = pathlib.Path(f"/proc/{self.server.process.pid}/status").read_text()
        self.assertGreaterEqual(int(re.search(r"FDSize:\s+(\d+)", status)[1]), self.MAX + 256)


class Descriptors(unittest.TestCase):
    """Under a limit of open files, connections leave what the log and the segments need."""

    RESERVED, CONNECTIONS_MIN = 128 + 64 + 64, 64  # of the process, one shard, and webhooks
    WAITING, ACCEPTORS = 250, 1

    def start(self, limit):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        limited = pathlib.Path(folder.name) / "sluice"
        limited.write_text(f'#!/bin/sh\nulimit -n {limit}\nexec {BINARY} "$@"\n')
        limited.chmod(0o700)
        server = Server("--shards", 1, "--acceptors", self.ACCEPTORS, "--memory", binary=str(limited))
        self.addCleanup(server.kill)
        return server

    def test_connections_leave_the_rest(self):
        server = self.start(self.RESERVED + 150)
        waiting = [Connection(server.port) for _ in range(self.WAITING)]
        for connection in waiting:
            connection.send(encode_request("GET", "/healthz"))
        while waiting:
            answered = [connection for connection in waiting if not connection.silent(0.01)]
            self.assertTrue(answered)
            self.assertLessEqual(len(os.listdir(f"/proc/{server.pid}/fd")), 150 + self.ACCEPTORS)
            for connection in answered:
                self.assertEqual(connection.read_response().status, 200)
                connection.close()
                waiting.remove(connection)

    def test_too_low_a_limit_is_a_mistake(self):
        self.start(self.RESERVED + self.CONNECTIONS_MIN)
        with self.assertRaisesRegex(AssertionError, "is 319, .* needs at least 320"):
            self.start(self.RESERVED + self.CONNECTIONS_MIN - 1)


class Uploads(WireTest):
    options = ("--upload-budget-bytes", 4 * MIB, "--max-body-bytes", 4 * MIB, "--acceptors", 1)

    def begin(self, size):
        """Sends the first half of a body."""
        connection = self.connect()
        connection.send(encode_request("POST", self.path, TEXT, b"x" * size)[: -(size // 2)])
        return connection

    def test_the_largest_are_cut_and_no_more_than_needed(self):
        self.create()
        before = self.metric("sluice_uploads_cut_total")

        def cut():
            return self.metric("sluice_uploads_cut_total") - before

        small = [self.begin(200_000) for _ in range(5)]
        for _ in range(8):
            with contextlib.suppress(OSError):  # it may be cut before it has sent all
                self.begin(3 * MIB)
        wait_until(lambda: cut() >= 6)  # two times 2 MiB fit
        for connection in small:
            connection.send(b"x" * 100_000)
            self.assertStatus(connection.read_response(), 204)
        self.assertLess(cut(), 8)

    def test_are_found_while_many_connections_come_and_go(self):
        """All are looked at in parts, the first ones last; only the three together are too much."""
        before = self.metric("sluice_uploads_cut_total")
        uploads, others = [], []
        for _ in range(3):
            uploads.append(self.begin(3 * MIB))
            others += [self.connect() for _ in range(260)]

        def is_cut():
            others.append(self.connect())
            for _ in range(2):
                others.pop(0).close()
            return self.metric("sluice_uploads_cut_total") > before

        wait_until(is_cut, timeout_s=5)

    def assertBodiesAreCut(self, target):
        """Bodies of requests whose answer is not out yet take no room from uploads."""
        before = self.metric("sluice_uploads_cut_total")
        idle = []
        for _ in range(6):
            connection = self.connect(receive_buffer=4096)
            with contextlib.suppress(OSError):  # it may be cut before it has sent all
                connection.send(encode_request("GET", target, None, b"x" * (3 * MIB)))
            idle.append(connection)
        wait_until(lambda: self.metric("sluice_uploads_cut_total") >= before + 4)
        connection = self.begin(200_000)
        connection.send(b"x" * 100_000)
        self.assertStatus(connection.read_response(), 204)
        for connection in idle:
            connection.close()

    def test_of_requests_that_wait_for_data_are_cut(self):
        self.create()
        self.assertBodiesAreCut(self.path + "?offset=now&live=long-poll")

    def test_of_answers_that_nobody_takes_are_cut(self):
        self.create()
        for _ in range(3):
            self.assertStatus(self.post(TEXT, b"y" * (3 * MIB)), 204)
        self.assertBodiesAreCut(self.path + "?offset=-1")


class UploadsOfClientsThatOnlySend(WireTest):
    options = ("--upload-budget-bytes", 32 * MIB, "--acceptors", 1)

    def test_learn_at_once_that_they_are_cut(self):
        self.create()
        for _ in range(14):  # 28 MiB of buffers
            self.connect().send(encode_request("POST", self.path, TEXT, b"x" * MIB)[:-1])
        for _ in range(10):
            connection = self.connect(timeout_s=5)
            with self.assertRaises((BrokenPipeError, ConnectionResetError)):
                connection.send(encode_request("POST", self.path, TEXT, b"x" * (16 * MIB)))


class Memory(WireTest):
    BUDGET = 16 * MIB
    options = ("--memory", "--memory-budget-bytes", BUDGET, "--shards", 2)

    def fill(self, path, part):
        """Appends until it is refused; returns how many were accepted."""
        for count in range(2 * self.BUDGET // len(part)):
            response = self.post(BYTES, part, path)
            if response.status != 204:
                self.assertProblem(response, 503, "MEMORY_LIMIT_EXCEEDED")
                self.assertRegex(response["retry-after"], r"^\d+$")
                return count
        self.fail("the budget is never used up")

    def test_used_up_by_large_appends(self):
        self.assertWritesAreRefusedAndNothingElse(bytes(range(256)) * 2048)

    def test_used_up_by_small_appends(self):
        self.assertWritesAreRefusedAndNothingElse(bytes(range(250)) * 80)

    def assertWritesAreRefusedAndNothingElse(self, part):
        paths = [self.new_path() for _ in range(3)]
        for path in paths:
            self.create(BYTES, path=path)
        before = self.server.memory_bytes()
        count = self.fill(paths[0], part)
        self.assertGreater(count * len(part), self.BUDGET / 4)
        self.assertLess(count * len(part), self.BUDGET + len(part))
        self.assertMemoryGrowth(before, 3 * self.BUDGET)
        self.assertGreater(self.metric("sluice_refusals_total"), 0)

        offset, content = "-1", b""
        while (response := self.get(f"?offset={offset}", path=paths[0])).body:
            content += response.body
            offset = response["stream-next-offset"]
        self.assertTrue(content == part * count)
        self.assertStatus(self.head(paths[0]), 200)

        self.assertStatus(self.delete(paths[0]), 204)
        wait_until(lambda: self.post(BYTES, part, paths[1]).status == 204)
        for path in paths[1:]:
            self.assertStatus(self.delete(path), 204)
        self.create(BYTES)
        again = self.fill(self.path, part)
        self.assertGreaterEqual(again, count // 2)
        self.assertStatus(self.delete(), 204)


class MoreDataThanMemory(WireTest):
    BUDGET = 16 * MIB
    STREAMS = 8
    options = ("--memory-budget-bytes", BUDGET, "--wal-budget-bytes", 2 * BUDGET, "--shards", 2)

    def append_patiently(self, part, path):
        """503: the disk does not keep up; nothing was changed."""
        wait_until(lambda: self.post(BYTES, part, path).status == 204)

    def test_moves_to_the_disk_and_is_read_from_there(self):
        before = self.server.memory_bytes()
        parts = {self.new_path(): [] for _ in range(self.STREAMS)}
        for path in parts:
            self.create(BYTES, path=path)
        for n in range(4 * self.BUDGET // (100000 * self.STREAMS)):
            for path, written in parts.items():
                part = hashlib.sha256(f"{path} {n}".encode()).digest() * 3125
                self.append_patiently(part, path)
                written.append(part)
        for path, written in parts.items():
            offset, content = "-1", []
            while (response := self.get(f"?offset={offset}", path=path)).body:
                self.assertStatus(response, 200)
                content.append(response.body)
                offset = response["stream-next-offset"]
            self.assertTrue(b"".join(content) == b"".join(written))
        self.assertMemoryGrowth(before, 3 * self.BUDGET)
        self.assertGreater(self.metric("sluice_shard_segments"), 0)
        used = self.metric("sluice_shard_segment_bytes")
        for path in parts:
            self.assertStatus(self.delete(path), 204)
        self.create(BYTES)
        self.append_patiently(b"x" * 100000, self.path)
        wait_until(lambda: self.post(BYTES, b"y" * 100000, self.path).status != 204
                   or self.metric("sluice_shard_segment_bytes") < used / 2, 60)


class MemoryOfStreams(WireTest):
    options = ("--memory", "--memory-budget-bytes", 16 * MIB, "--shards", 2)

    def test_is_part_of_the_budget(self):
        refused = None
        for _ in range(200000):
            response = self.put(TEXT, b"x" * 500, self.new_path())
            if response.status != 201:
                refused = response
                break
        self.assertProblem(refused, 503, "MEMORY_LIMIT_EXCEEDED")


class Names(WireTest):
    def test_content_type_has_at_most_255_bytes(self):
        for size in (254, 255):
            given = "text/" + "x" * (size - 5)
            self.create({"Content-Type": given}, path=self.new_path())
        response = self.put({"Content-Type": "text/" + "x" * 251})
        self.assertProblem(response, 400, "INVALID_CONTENT_TYPE")


class Pressure(WireTest):
    """Many clients at once, each with its own stream and a common one."""

    def test_everything_is_answered(self):
        common = ROOT + "common"
        self.create(TEXT, path=common)
        connections = [self.connect() for _ in range(200)]
        for n, connection in enumerate(connections):
            mine = f"{ROOT}pressure/{n}"
            connection.send(b"".join([
                encode_request("PUT", mine, TEXT, b"a"),
                encode_request("POST", common, TEXT, b"x" * 100),
                encode_request("POST", mine, TEXT, b"b" * 10000),
                encode_request("GET", common + "?offset=now&live=long-poll"),
                encode_request("GET", mine),
                encode_request("DELETE", mine),
            ]))
        for connection in connections:
            try:
                statuses = [connection.read_response().status for _ in range(6)]
            except Closed as closed:
                self.fail(closed)
            self.assertIn(statuses[3], (200, 204))
            self.assertEqual(statuses[:3] + statuses[4:], [201, 204, 204, 200, 204])
        self.assertEqual(len(self.get(path=common).body), 200 * 100)
