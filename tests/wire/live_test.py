"""Many live readers, readers that go away, and readers that do not read."""
import selectors
import socket
import time

from case import BYTES, CLOSE, JSON, TEXT, WireTest
from http1 import EventStream, encode_request, wait_until


class Gone(WireTest):
    options = ("--long-poll-timeout-ms", 20000)

    def assertNoReaders(self):
        wait_until(lambda: self.metric("sluice_live_readers") == 0)
        wait_until(lambda: self.metric("sluice_waiting_reads") == 0)

    def test_readers_that_close_their_connection_are_noticed(self):
        self.create()
        readers = [self.events().connection for _ in range(20)]
        readers += [self.parked("?offset=now&live=long-poll") for _ in range(20)]
        wait_until(lambda: self.metric("sluice_live_readers") == len(readers))
        for reader in readers:
            reader.close()
        self.assertNoReaders()
        self.append(b"x")

    def test_readers_that_break_their_connection_are_noticed(self):
        self.create()
        readers = [self.events().connection for _ in range(20)]
        readers += [self.parked("?offset=now&live=long-poll") for _ in range(20)]
        for reader in readers:
            reader.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            reader.close()
        self.assertNoReaders()

    def test_readers_that_leave_while_something_is_sent(self):
        self.create()
        for _ in range(20):
            readers = [self.events().connection for _ in range(10)]
            readers += [self.parked("?offset=now&live=long-poll") for _ in range(10)]
            self.append(b"x" * 1000)
            for reader in readers:
                reader.close()
        self.delete()
        self.assertNoReaders()
        self.assertStatus(self.get(), 404)

    def test_readers_that_leave_before_their_turn_are_noticed(self):
        """The poll tells of their end while the requests before are answered."""
        self.create()
        for live in ("long-poll", "sse"):
            for _ in range(20):
                connection = self.connect()
                connection.send(encode_request("GET", self.path) * 5 +
                                encode_request("GET", f"{self.path}?offset=now&live={live}"))
                connection.close()
        wait_until(lambda: self.metric("sluice_connections_open") <= 1)
        self.assertNoReaders()

    def test_a_next_request_behind_a_waiting_one_is_answered_after_it(self):
        self.create()
        reader = self.parked("?offset=-1&live=long-poll")
        reader.send(encode_request("GET", "/healthz"))
        self.assertTrue(reader.silent())
        self.append(b"x")
        self.assertEqual(reader.read_response().body, b"x")
        self.assertEqual(reader.read_response().body, b"ok\n")


class Many(WireTest):
    SUBSCRIBERS = 1000
    APPENDS = 30

    def test_a_thousand_subscribers_get_every_byte_in_order(self):
        self.create()
        streams = [self.events() for _ in range(self.SUBSCRIBERS)]
        for events in streams:
            events.control()
        self.assertEqual(self.metric("sluice_live_readers"), self.SUBSCRIBERS)
        for n in range(self.APPENDS):
            self.append(b"%d," % n)
        self.post({**TEXT, **CLOSE}, b"end")
        whole = b"".join(b"%d," % n for n in range(self.APPENDS)) + b"end"
        for events in streams:
            self.assertEqual(events.data(len(whole)), whole)
            self.assertTrue(events.ended())
        wait_until(lambda: self.metric("sluice_live_readers") == 0)

    def test_appends_go_on_while_many_are_served(self):
        self.create()
        streams = [self.events() for _ in range(300)]
        slowest_s = 0
        for _ in range(50):
            start = time.monotonic()
            self.append(b"x" * 1000)
            slowest_s = max(slowest_s, time.monotonic() - start)
        self.assertLess(slowest_s, 1)
        for events in streams:
            events.control()
            self.assertEqual(len(events.data(50 * 1000)), 50 * 1000)

    def test_readers_at_different_places_get_the_same(self):
        self.create(JSON)
        starts = ["-1", "now"]
        streams = []
        for n in range(40):
            streams.append((n, self.events(f"?offset={starts[0]}&live=sse")))
            streams.append((n, self.events(f"?offset={self.tail()}&live=sse")))
            self.append(b"[%d,%d]" % (2 * n, 2 * n + 1), JSON)
        for index, (n, events) in enumerate(streams):
            expected = list(range(0 if index % 2 == 0 else 2 * n, 80))
            seen = []
            while len(seen) < len(expected):
                event = events.event()
                if event.kind == "data":
                    seen += event.json()
            self.assertEqual(seen, expected)


class Slow(WireTest):
    options = ("--stall-timeout-ms", 1000, "--sse-heartbeat-ms", 500)

    def test_reader_that_does_not_read_is_cut_and_costs_no_memory(self):
        self.create(BYTES)
        part = b"x" * (1 << 20)
        for _ in range(8):
            self.append(part, BYTES)
        before = self.server.memory_bytes()
        stuck = []
        for query in ("?offset=-1&live=sse", "?offset=-1"):
            for _ in range(10):
                connection = self.connect(receive_buffer=4096)
                connection.send(encode_request("GET", self.path + query))
                stuck.append(connection)
        for _ in range(10):
            self.append(part, BYTES)
            time.sleep(0.05)
        self.assertMemoryGrowth(before, 80 << 20)
        wait_until(lambda: self.metric("sluice_connections_open") <= 1)
        self.assertEqual(self.metric("sluice_live_readers"), 0)

    def test_reader_that_does_not_read_is_found_among_many_connections(self):
        self.create(BYTES)
        self.append(b"x" * (3 << 20), BYTES)
        connections = []
        for n in range(800):
            connections.append(self.connect(receive_buffer=4096))
            if n % 100 == 0:
                connections[-1].send(encode_request("GET", self.path))
        cut = self.metric("sluice_stalled_readers_cut_total")
        wait_until(lambda: self.metric("sluice_stalled_readers_cut_total") == cut + 8)

    def refused_behind_answers(self):
        """Answers that nobody reads fill the kernel, so what h2o itself refuses then is not out."""
        missing, head = (encode_request(method, self.path) for method in ("GET", "HEAD"))
        too_large = encode_request("POST", self.path, {"Content-Length": "999999999999"})
        answers = r'sluice_requests_total{operation="read",status="404"}'
        self.assertStatus(self.get(), 404)
        cut = self.metric("sluice_stalled_readers_cut_total")
        self.connect(receive_buffer=2304).send(missing * 1000)
        seen = []  # the last one may be of after the cut

        def is_cut():
            seen.append(int(self.metric(answers)) - 1)
            return self.metric("sluice_stalled_readers_cut_total") > cut

        wait_until(is_cut)
        fit = seen[-2]
        connections = []
        for full in range(max(fit - 6, 0), fit + 1):
            for more in range(7):
                connections.append(self.connect(receive_buffer=2304))
                connections[-1].send(missing * full + head * more + too_large)
        return connections

    def test_client_that_does_not_take_a_refusal_is_cut(self):
        self.refused_behind_answers()
        cut = self.metric("sluice_stalled_readers_cut_total")
        # Where the refusal is out the connection lingers for 30 s.
        wait_until(lambda: self.metric("sluice_connections_open") <= 1, timeout_s=40)
        self.assertGreater(self.metric("sluice_stalled_readers_cut_total"), cut)

    def test_client_that_slowly_comes_to_a_refusal_is_not_cut(self):
        """It takes something within the timeout, but not soon what makes room for the refusal."""
        connections = self.refused_behind_answers()
        cut = self.metric("sluice_stalled_readers_cut_total")
        start = time.monotonic()
        while time.monotonic() - start < 4:
            for connection in connections:
                self.assertTrue(connection.socket.recv(1000))
            # The slow pace is what is tried: nothing tells its end, so there is nothing to wait for.
            time.sleep(0.1)
        self.assertEqual(self.metric("sluice_stalled_readers_cut_total"), cut)

    def test_reader_that_reads_slowly_is_not_cut(self):
        self.create(BYTES)
        self.append(b"x" * (3 << 20), BYTES)
        connection = self.connect(receive_buffer=8192)
        connection.send(encode_request("GET", self.path))
        self.assertStatus(connection.read_head(), 200)
        start = time.monotonic()
        while time.monotonic() - start < 3:
            self.assertTrue(connection.socket.recv(1000))
            time.sleep(0.05)

    def test_reader_that_pauses_for_less_than_the_timeout_is_not_cut(self):
        """What it takes after a pause counts from then on, and not from when the server asks."""
        self.create(BYTES)
        self.append(b"x" * (3 << 20), BYTES)
        connection = self.connect(receive_buffer=8192)
        connection.send(encode_request("GET", self.path))
        for _ in range(8):
            self.assertTrue(connection.socket.recv(1 << 20))
            # The pause is what is tried: well below the timeout of 1 s, well above the server's looks.
            time.sleep(0.7)

    def test_time_before_an_answer_is_no_part_of_the_timeout(self):
        self.create(BYTES)
        self.append(b"x" * 20_000, BYTES)  # it waits in the server's kernel as a whole
        connection = self.connect(receive_buffer=4096)
        connection.send(encode_request("GET", self.path))
        # That nothing happens is what is tried: twice the timeout, with no answer being written.
        time.sleep(2)
        self.append(b"x" * (3 << 20), BYTES)
        connection.send(encode_request("GET", self.path))
        # The pause is what is tried: who counts the time before would cut by now, 1 s is not over.
        time.sleep(0.8)
        for size in (20_000, 20_000 + (3 << 20)):
            self.assertEqual(len(connection.read_response().body), size)

    def test_what_a_kernel_takes_in_parts_arrives_whole(self):
        self.create()
        connection = self.connect(receive_buffer=4096)
        events = EventStream(connection, self.path + "?offset=-1&live=sse")
        events.control()
        whole, got = b"", b""
        for n in range(60):
            part = b"%d," % n * (1 + 1500 * n)
            self.append(part)
            whole += part
            if n % 7 == 0:
                got += events.data(1)
        got += events.data(len(whole) - len(got))
        self.assertEqual(got, whole)

    def test_waiting_reader_is_not_cut_and_hears_that_the_server_is_there(self):
        self.create()
        connection = self.connect()
        events = EventStream(connection, self.path + "?offset=now&live=sse")
        events.control()
        comments = b""
        for _ in range(4):
            comments += connection.read_chunk()
        self.assertEqual(comments, b":\n\n" * 4)
        self.append(b"x")
        self.assertEqual(events.batch()[0], b"x")


class Race(WireTest):
    """Appends and readers at the same time: whoever reads, nothing is missing or twice."""

    def test_long_pollers_keep_up_with_a_writer(self):
        self.create()
        selector, readers = selectors.DefaultSelector(), []
        for _ in range(30):
            reader = self.connect()
            reader.offset, reader.seen = "-1", b""
            reader.send(encode_request("GET", self.path + "?offset=-1&live=long-poll"))
            selector.register(reader, selectors.EVENT_READ)
            readers.append(reader)
        whole, unfinished = b"", set(readers)
        for n in range(200):
            whole += b"%d," % n
            self.append(b"%d," % n)
            for key, _ in selector.select(0):
                self.poll_again(key.fileobj)
        deadline = time.monotonic() + 10
        while unfinished and time.monotonic() < deadline:
            for key, _ in selector.select(1):
                self.poll_again(key.fileobj)
            unfinished = {reader for reader in unfinished if len(reader.seen) < len(whole)}
        for reader in readers:
            self.assertEqual(reader.seen, whole)

    def poll_again(self, reader):
        response = reader.read_response()
        reader.seen += response.body
        reader.offset = response["stream-next-offset"]
        reader.send(encode_request("GET", f"{self.path}?offset={reader.offset}&live=long-poll"))
