"""GET with live=sse (protocol 1.5 and 4): framing, order, and how a response ends."""
import base64
import time

from case import BYTES, CLOSE, JSON, TEXT, ZERO, WireTest, token
from http1 import EventStream, encode_request, wait_until


class Head(WireTest):
    def test_is_that_of_an_event_stream(self):
        for headers, encoding in ((TEXT, None), (JSON, None), ({"Content-Type": "text/html"}, None),
                                  ({"Content-Type": "TEXT/x"}, None), (BYTES, "base64"),
                                  ({"Content-Type": "application/ndjson"}, "base64"),
                                  ({"Content-Type": "image/png"}, "base64")):
            with self.subTest(headers=headers):
                path = self.new_path()
                self.create(headers, path=path)
                response = self.events(path=path).response
                self.assertEqual(response["content-type"], "text/event-stream")
                self.assertEqual(response["content-length"], None)
                self.assertEqual(response["transfer-encoding"], "chunked")
                self.assertIn("no-cache", response["cache-control"])
                self.assertEqual(response["stream-sse-data-encoding"], encoding)

    def test_comes_with_a_control_before_there_is_data(self):
        self.create()
        for offset in ("-1", "now", ZERO):
            control = self.events(f"?offset={offset}&live=sse").control()
            self.assertEqual(control["streamNextOffset"], self.get()["stream-next-offset"])
            self.assertIs(control["upToDate"], True)
            self.assertRegex(control["streamCursor"], r"^\d+$")
            self.assertNotIn("streamClosed", control)

    def test_errors_come_before_any_event(self):
        self.assertProblem(self.get("?offset=-1&live=sse"), 404, "NOT_FOUND")
        self.create()
        self.assertProblem(self.get("?live=sse"), 400, "INVALID_OFFSET")
        self.assertProblem(self.get("?offset=x&live=sse"), 400, "INVALID_OFFSET")


class Framing(WireTest):
    def events_of(self, headers, body):
        path = self.new_path()
        self.create(headers, body, path)
        return self.events(path=path)

    def test_on_the_wire(self):
        data, control = (events := self.events_of(TEXT, b"one\ntwo")).event(), events.event()
        self.assertEqual(data.raw, b"event: data\ndata:one\ndata:two\n\n")
        self.assertRegex(control.raw, rb"^event: control\ndata:\{[^{}\r\n]*\}\n\n$")
        self.assertEqual(data.chunk, control.chunk)

    def test_text_comes_back_with_its_line_ends_as_line_feeds(self):
        for text in (b"a", b"a\n", b"\n", b"\n\n", b"\na", b"a\rb", b"a\r\nb", b"a\r\n\rb\n\r\nc", b"\r",
                     b" a", b"  a\n b\n", b" ", b"\n \n", b"a: b", b":", b": c\n:", b"data: x", "é😀".encode()):
            with self.subTest(text=text):
                expected = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
                self.assertEqual(self.events_of(TEXT, text).batch()[0], expected)

    def test_nothing_in_a_text_makes_an_event(self):
        for end in (b"\n", b"\r", b"\r\n"):
            hostile = end.join([b"x", b"", b"event: control", b'data: {"streamNextOffset":"0"}', b"", b"",
                                b"event: data", b"data: y", b"id: 1", b"retry: 1", b": comment", b"", b""])
            events = self.events_of(TEXT, hostile)
            data, control = events.batch()
            self.assertEqual(data, hostile.replace(b"\r\n", b"\n").replace(b"\r", b"\n"))
            self.assertEqual(control["streamNextOffset"], token(len(hostile)))
            self.assertTrue(events.connection.silent())

    def test_line_end_cut_in_two_by_appends(self):
        self.create(TEXT, b"a\r")
        self.append(b"\nb")
        self.assertEqual(self.events().batch()[0].replace(b"\n\n", b"\n"), b"a\nb")

    def test_character_cut_in_two_by_appends(self):
        self.create(TEXT, b"\xc3")
        self.append(b"\xa9")
        self.assertEqual(self.events().data(2), "é".encode())

    def test_json_is_one_array_on_one_line(self):
        events = self.events_of(JSON, b'[{"a":\n1}, "x\\ny", [2]]')
        data = events.event()
        self.assertEqual(data.raw, b'event: data\ndata:[{"a":1},"x\\ny",[2]]\n\n')

    def test_bytes_are_base64_and_every_event_stands_alone(self):
        self.create(BYTES)
        events = self.events()
        events.control()
        for size in (1, 2, 3, 4, 255, 1000):
            body = bytes(n % 256 for n in range(size))
            self.append(body, BYTES)
            self.assertEqual(base64.b64decode(events.batch()[0], validate=True), body)

    def test_bytes_of_several_appends_are_one_encoding(self):
        self.create(BYTES, b"a")
        self.append(b"bb", BYTES)
        self.assertEqual(base64.b64decode(self.events().batch()[0], validate=True), b"abb")


class Order(WireTest):
    def test_every_data_event_is_followed_by_its_control_in_the_same_send(self):
        self.create(JSON)
        events = self.events()
        last = events.control()["streamNextOffset"]
        for n in range(20):
            self.append(b"%d" % n, JSON)
            data, control = events.event(), events.event()
            self.assertEqual((data.kind, control.kind), ("data", "control"))
            self.assertEqual(data.chunk, control.chunk)
            self.assertEqual(data.json(), [n])
            self.assertGreater(control.json()["streamNextOffset"], last)
            self.assertIs(control.json()["upToDate"], True)
            last = control.json()["streamNextOffset"]

    def test_control_names_the_place_to_go_on_from(self):
        self.create(TEXT, b"abc")
        self.append(b"def")
        offset = self.events().batch()[1]["streamNextOffset"]
        self.append(b"ghi")
        self.assertEqual(self.events(f"?offset={offset}&live=sse").batch()[0], b"ghi")
        self.assertEqual(self.get(f"?offset={offset}").body, b"ghi")

    def test_now_starts_at_the_tail(self):
        self.create(TEXT, b"old")
        events = self.events("?offset=now&live=sse")
        self.assertEqual(events.control()["streamNextOffset"], token(3))
        self.append(b"new")
        self.assertEqual(events.batch()[0], b"new")

    def test_beyond_the_tail_starts_at_the_tail(self):
        self.create(TEXT, b"old")
        events = self.events(f"?offset={token(1000)}&live=sse")
        control = events.control()
        self.assertEqual(control["streamNextOffset"], token(3))
        self.assertIs(control["upToDate"], True)
        self.append(b"new")
        self.assertEqual(events.batch()[0], b"new")

    def test_long_history_comes_whole_and_says_when_it_is_over(self):
        self.create(TEXT)
        part = b"".join(b"line %d\n" % n for n in range(100000))
        for _ in range(6):
            self.append(part)
        events = self.events()
        seen, last, up_to_date = [], "", False
        while not up_to_date:
            data, control = events.batch()
            seen.append(data)
            self.assertGreater(control["streamNextOffset"], last)
            last, up_to_date = control["streamNextOffset"], control.get("upToDate", False)
        self.assertEqual(b"".join(seen), part * 6)
        self.assertEqual(last, self.tail())

    def test_cursor_never_goes_back(self):
        self.create()
        given = 10**9
        events = self.events(f"?offset=-1&live=sse&cursor={given}")
        cursors = [int(events.control()["streamCursor"])]
        for _ in range(30):
            self.append(b"x")
            cursors.append(int(events.batch()[1]["streamCursor"]))
        self.assertGreater(cursors[0], given)
        self.assertEqual(cursors, sorted(cursors))

    def test_two_readers_with_different_cursors_get_the_same_data(self):
        self.create()
        plain, ahead = self.events(), self.events(f"?offset=-1&live=sse&cursor={10**9}")
        plain.control(), ahead.control()
        self.append(b"x")
        (data, control), (same, other) = plain.batch(), ahead.batch()
        self.assertEqual(data, same)
        self.assertLess(int(control["streamCursor"]), 10**9)
        self.assertGreater(int(other["streamCursor"]), 10**9)


class End(WireTest):
    def assertFinal(self, control, offset):
        self.assertEqual(control["streamNextOffset"], offset)
        self.assertIs(control["streamClosed"], True)
        self.assertIs(control["upToDate"], True)
        self.assertNotIn("streamCursor", control)

    def assertEnded(self, events):
        """Ended properly: the connection takes the next request."""
        self.assertTrue(events.ended())
        self.assertStatus(events.connection.request("GET", "/healthz"), 200)

    def test_of_a_stream_that_is_closed_while_waiting(self):
        self.create(TEXT, b"abc")
        events = self.events("?offset=now&live=sse")
        events.control()
        self.post(CLOSE)
        self.assertFinal(events.control(), token(3))
        self.assertEnded(events)

    def test_of_a_stream_that_is_closed_with_data(self):
        self.create()
        events = self.events()
        events.control()
        self.post({**TEXT, **CLOSE}, b"last")
        data, control = events.batch()
        self.assertEqual(data, b"last")
        self.assertFinal(control, token(4))
        self.assertEnded(events)

    def test_of_a_closed_stream(self):
        self.create({**TEXT, **CLOSE}, b"abc")
        for offset in ("now", token(3), token(99)):
            events = self.events(f"?offset={offset}&live=sse")
            self.assertFinal(events.control(), token(3))
            self.assertEnded(events)
        events = self.events()
        data, control = events.batch()
        self.assertEqual(data, b"abc")
        self.assertFinal(control, token(3))
        self.assertEnded(events)

    def test_of_a_closed_empty_stream(self):
        self.create({**JSON, **CLOSE})
        events = self.events()
        self.assertFinal(events.control(), ZERO)
        self.assertEnded(events)

    def test_of_a_deleted_stream(self):
        self.create(TEXT, b"abc")
        events = self.events()
        events.batch()
        self.delete()
        self.assertEnded(events)

    def test_not_by_a_stream_made_again_under_the_name(self):
        self.create(TEXT, b"abc")
        events = self.events()
        events.batch()
        self.delete()
        self.create(TEXT, b"other")
        self.assertEnded(events)


class Lifetime(WireTest):
    options = ("--sse-lifetime-ms", 500)

    def test_ends_properly_and_the_next_request_goes_on(self):
        self.create()
        connection, offset, seen = self.connect(), "-1", b""
        for _ in range(4):
            start = time.monotonic()
            events = EventStream(connection, f"{self.path}?offset={offset}&live=sse")
            while (event := events.event()) is not None:
                if event.kind == "data":
                    seen += event.data
                    continue
                offset = event.json()["streamNextOffset"]
                self.append(b"x")
                time.sleep(0.02)
                self.assertLess(time.monotonic() - start, 3)
            self.assertGreater(time.monotonic() - start, 0.3)
        rest = self.get(f"?offset={offset}").body
        self.assertEqual(len(seen + rest), int(self.tail()[17:]))

    def test_ends_also_when_nothing_happens(self):
        self.create()
        events = self.events()
        events.control()
        start = time.monotonic()
        self.assertTrue(events.ended())
        self.assertLess(time.monotonic() - start, 2)


class Pieces(WireTest):
    """While others hold much of what they do not take, what is read from segments comes in pieces of
    4 KiB, within an event."""

    options = ("--memory-budget-bytes", 16 << 20, "--max-body-bytes", 1 << 20,
               "--shards", 1, "--acceptors", 1)

    def test_that_are_nothing_but_a_comma(self):
        first, second = b'"' + b"a" * 4094 + b'"', b'"second"'
        self.create(JSON)
        self.append(first, JSON)
        others = self.new_path()
        self.create(BYTES, path=others)
        for _ in range(7):
            self.append(bytes(1 << 20), BYTES, path=others)
        wait_until(lambda: self.metric("sluice_shard_segments") > 0)
        self.append(second, JSON)
        for _ in range(14):
            self.connect(receive_buffer=2048).send(encode_request("GET", others + "?offset=-1"))
        wait_until(lambda: self.metric("sluice_read_copies_bytes") > 2 << 20)
        events = self.events()
        self.assertEqual(events.event().data, b"[" + first + b"," + second + b"]")
        self.assertTrue(events.control()["upToDate"])


class SlowClients(WireTest):
    """Line ends take six times their size as events; many who take nothing hold 32 MiB of them
    together, and each 32 KiB beside that. Others get what they want meanwhile, who takes it in
    large pieces."""

    options = ("--memory", "--shards", 1, "--acceptors", 1)
    COUNT, SIZE = 600, 512 << 10

    def test_hold_a_bounded_amount_together(self):
        self.create(TEXT, b"\n" * self.SIZE)
        before = self.server.memory_bytes()
        for _ in range(self.COUNT):
            self.connect(receive_buffer=2048).send(
                encode_request("GET", self.path + "?offset=-1&live=sse"))
        wait_until(lambda: self.metric("sluice_live_readers") == self.COUNT)
        other = self.new_path()
        self.create(TEXT, path=other)
        live = self.events(path=other)
        live.control()
        begin = token(1000)
        events, seen, pieces = self.events(f"?offset={begin}&live=sse"), b"", 0
        while len(seen) < self.SIZE - 1000:
            data, control = events.batch()
            seen += data
            pieces += 1
        self.assertLess(pieces, 100)  # of 2 KiB only until it is known to take them
        self.assertEqual(seen, b"\n" * (self.SIZE - 1000))
        self.assertTrue(control["upToDate"])
        for body in (b"small", b"large" * 100_000):
            self.append(body, path=other)
            self.assertEqual(live.data(len(body)), body)
        self.assertMemoryGrowth(before, (32 << 20) + self.COUNT * (32 << 10))
