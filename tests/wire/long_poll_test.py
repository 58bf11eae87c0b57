"""GET with live=long-poll (protocol 1.4) and its cursor (9)."""
import time

from case import CLOSE, JSON, LONG_POLL_TIMEOUT_MS, TEXT, ZERO, WireTest, token
from http1 import encode_request, wait_until

LIVE = "live=long-poll"
INTERVAL_S = 20
EPOCH_S = 1728432000


def interval():
    return int((time.time() - EPOCH_S) // INTERVAL_S)


class Answer(WireTest):
    def poll(self, offset, more="", headers=None):
        return self.get(f"?offset={offset}&{LIVE}{more}", headers)

    def assertNothing(self, response, closed=False):
        self.assertStatus(response, 204)
        self.assertEqual(response["stream-next-offset"], self.tail())
        self.assertUpToDate(response)
        self.assertClosed(response, closed)
        self.assertEqual(response["cache-control"], "no-store")
        self.assertEqual(response["content-type"], None)

    def test_offset_is_required_and_well_formed(self):
        self.create()
        self.assertProblem(self.get(f"?{LIVE}"), 400, "INVALID_OFFSET")
        for bad in ("", "x", "-1%00", "NOW"):
            self.assertProblem(self.poll(bad), 400, "INVALID_OFFSET")

    def test_absent_stream_is_not_waited_for(self):
        self.assertProblem(self.poll("-1"), 404, "NOT_FOUND")
        self.assertProblem(self.poll("x"), 404, "NOT_FOUND")

    def test_data_that_is_there_comes_at_once(self):
        self.create(JSON, b"[1,2]")
        response = self.poll("-1")
        self.assertStatus(response, 200)
        self.assertEqual(response.body, b"[1,2]")
        self.assertEqual(response["content-type"], "application/json")
        self.assertEqual(response["stream-next-offset"], self.tail())
        self.assertUpToDate(response)
        self.assertRegex(response["stream-cursor"], r"^\d+$")

    def test_nothing_comes_before_the_timeout(self):
        self.create(TEXT, b"abc")
        for offset in ("now", token(3)):
            start = time.monotonic()
            response = self.poll(offset)
            waited_s = time.monotonic() - start
            self.assertNothing(response)
            self.assertRegex(response["stream-cursor"], r"^\d+$")
            self.assertGreaterEqual(waited_s, LONG_POLL_TIMEOUT_MS / 1000 - 0.05)
            self.assertLess(waited_s, LONG_POLL_TIMEOUT_MS / 1000 + 1)

    def test_start_of_an_empty_stream_is_waited_at(self):
        for headers in (TEXT, JSON):
            self.path = self.new_path()
            self.create(headers)
            for offset in ("-1", ZERO):
                self.assertNothing(self.poll(offset))

    def test_offset_beyond_the_tail_is_not_waited_at(self):
        for headers, body, empty in ((TEXT, b"abc", b""), (JSON, b"[1]", b"[]")):
            self.path = self.new_path()
            self.create(headers, body)
            response = self.poll(token(1000))
            self.assertStatus(response, 200)
            self.assertEqual(response.body, empty)
            self.assertEqual(response["stream-next-offset"], self.tail())
            self.assertUpToDate(response)

    def test_closed_stream_is_not_waited_at(self):
        self.create({**TEXT, **CLOSE}, b"abc")
        for offset in ("now", token(3)):
            start = time.monotonic()
            self.assertNothing(self.poll(offset), closed=True)
            self.assertLess(time.monotonic() - start, LONG_POLL_TIMEOUT_MS / 2000)
        response = self.poll("-1")
        self.assertStatus(response, 200)
        self.assertClosed(response)


class Woken(WireTest):
    options = ("--long-poll-timeout-ms", 20000)

    def setUp(self):
        super().setUp()
        self.waiting = 0
        wait_until(lambda: self.metric("sluice_live_readers") == 0)

    def wait_at(self, offset, headers=None):
        """A long-poll that waits: the server counts it, and nothing comes."""
        connection = self.parked(f"?offset={offset}&{LIVE}", headers=headers)
        self.waiting += 1
        wait_until(lambda: self.metric("sluice_live_readers") == self.waiting)
        self.assertTrue(connection.silent())
        return connection

    def test_by_an_append(self):
        self.create(TEXT, b"old")
        waiting = [self.wait_at(offset) for offset in ("now", token(3))]
        self.append(b"new")
        for connection in waiting:
            response = connection.read_response()
            self.assertStatus(response, 200)
            self.assertEqual(response.body, b"new")
            self.assertEqual(response["stream-next-offset"], token(6))
            self.assertUpToDate(response)
            self.assertClosed(response, False)
            self.assertRegex(response["stream-cursor"], r"^\d+$")

    def test_by_the_first_append(self):
        self.create(JSON)
        connection = self.wait_at("-1")
        self.append(b"[1,2]", JSON)
        self.assertEqual(connection.read_response().body, b"[1,2]")

    def test_without_a_page_that_the_client_has(self):
        self.create(TEXT, b"abc")
        query = f"?offset={token(1)}&{LIVE}"
        etag = self.get(query)["etag"]
        response = self.get(query, {"If-None-Match": etag})
        self.assertStatus(response, 304)
        self.assertEqual(response.body, b"")
        self.assertEqual(response["etag"], etag)
        self.assertRegex(response["stream-cursor"], r"^\d+$")
        self.append(b"d")
        response = self.get(query, {"If-None-Match": etag})
        self.assertStatus(response, 200)
        self.assertEqual(response.body, b"bcd")

    def test_without_a_page_for_who_wants_none(self):
        self.create(TEXT, b"abc")
        connection = self.wait_at(token(3), {"If-None-Match": "*"})
        self.append(b"d")
        response = connection.read_response()
        self.assertStatus(response, 304)
        self.assertEqual(response.body, b"")
        self.assertTrue(connection.silent())

    def test_without_validator_where_it_asked_for_now(self):
        self.create()
        connection = self.wait_at("now")
        self.append(b"new")
        self.assertEqual(connection.read_response()["etag"], None)

    def test_by_append_and_close_with_both(self):
        self.create()
        connection = self.wait_at("now")
        self.post({**TEXT, **CLOSE}, b"last")
        response = connection.read_response()
        self.assertStatus(response, 200)
        self.assertEqual(response.body, b"last")
        self.assertClosed(response)
        self.assertUpToDate(response)

    def test_by_close(self):
        self.create(TEXT, b"abc")
        connection = self.wait_at("now")
        self.post(CLOSE)
        response = connection.read_response()
        self.assertStatus(response, 204)
        self.assertClosed(response)
        self.assertUpToDate(response)
        self.assertEqual(response["stream-next-offset"], token(3))

    def test_by_delete(self):
        self.create()
        connection = self.wait_at("now")
        self.delete()
        self.assertProblem(connection.read_response(), 404, "NOT_FOUND")

    def test_not_by_a_stream_made_again_under_the_name(self):
        self.create()
        connection = self.wait_at("now")
        self.delete()
        self.create(TEXT, b"other")
        self.assertProblem(connection.read_response(), 404, "NOT_FOUND")

    def test_not_by_a_refused_append(self):
        self.create(JSON)
        connection = self.wait_at("now")
        self.post(JSON, b"{")
        self.post(JSON, b"[]")
        self.post(TEXT, b"1")
        self.assertTrue(connection.silent())
        self.append(b"1", JSON)
        self.assertEqual(connection.read_response().body, b"[1]")

    def test_64_at_once(self):
        self.create()
        waiting = [self.parked(f"?offset=-1&{LIVE}") for _ in range(64)]
        wait_until(lambda: self.metric("sluice_live_readers") == 64)
        self.append(b"new")
        for connection in waiting:
            self.assertEqual(connection.read_response().body, b"new")

    def test_and_polls_again_on_the_same_connection(self):
        self.create()
        connection = self.connect()
        offset, seen = ZERO, b""
        for n in range(50):
            connection.send(encode_request("GET", f"{self.path}?offset={offset}&{LIVE}"))
            self.append(b"%d," % n)
            response = connection.read_response()
            seen, offset = seen + response.body, response["stream-next-offset"]
        self.assertEqual(seen, b"".join(b"%d," % n for n in range(50)))


class Cursor(WireTest):
    def cursor(self, given):
        return int(self.get(f"?offset=-1&{LIVE}&cursor={given}")["stream-cursor"])

    def test_is_the_current_interval(self):
        self.create(TEXT, b"abc")
        for given in ("", "0", "1", str(interval() - 2), "x", "-5", "1.5", "1e3", "%20", "0x9",
                      str(2**53 + 1), "9" * 30):
            with self.subTest(given=given):
                before = interval()
                self.assertIn(self.cursor(given), (before, before + 1))

    def test_is_above_one_that_is_not_behind(self):
        self.create(TEXT, b"abc")
        for given in (interval() + 1, interval() + 1000):
            for _ in range(5):
                cursor = self.cursor(given)
                self.assertGreater(cursor, given)
                self.assertLessEqual(cursor, given + 180)

    def test_is_ignored_by_other_reads(self):
        self.create(TEXT, b"abc")
        self.assertStatus(self.get("?offset=-1&cursor=x"), 200)
