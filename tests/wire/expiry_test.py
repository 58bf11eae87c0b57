"""TTL and expiry (protocol 6): what renews, what does not, and what happens when the time comes."""
import concurrent.futures
import datetime
import time

from case import CLOSE, JSON, TEXT, WireTest, producer
from http1 import Connection, encode_request

TTL_S = 1
TTL = {**TEXT, "Stream-TTL": str(TTL_S)}
SLACK_S = 0.6


def instant(seconds_from_now):
    then = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds_from_now)
    return then.isoformat(timespec="milliseconds")


class ExpiryTest(WireTest):
    options = ("--long-poll-timeout-ms", 20000)

    def assertExists(self, path=None):
        self.assertStatus(self.head(path), 200)

    def assertExpired(self, path=None):
        self.assertStatus(self.head(path), 404)
        for method, headers, body in (("GET", {}, None), ("POST", TEXT, b"x"), ("DELETE", {}, None)):
            self.assertProblem(self.http(method, path or self.path, headers, body), 404, "NOT_FOUND")


class Sliding(ExpiryTest):
    """All cases wait at the same time, each on a stream and a connection of its own."""

    def after(self, touch, renews):
        """Touches a stream after 0.7 of its time and looks whether it is there 0.7 later."""
        connection = Connection(self.server.port)
        path = self.new_path()

        def http(method, query="", headers=None, body=None):
            return connection.request(method, path + query, headers, body)

        self.assertStatus(http("PUT", "", {**JSON, "Stream-TTL": str(TTL_S)}, b"[1]"), 201)
        http("POST", "", {**JSON, **producer("p", 0, 0)}, b"2")
        # Time is what is tested: twice 0.7 of the window is more than it, once is less.
        time.sleep(0.7 * TTL_S)
        touch(http)
        time.sleep(0.7 * TTL_S)
        self.assertEqual(http("HEAD").status, 200 if renews else 404)
        connection.close()

    def assertAll(self, touches, renews):
        with concurrent.futures.ThreadPoolExecutor(len(touches)) as pool:
            runs = {name: pool.submit(self.after, touch, renews) for name, touch in touches.items()}
            for name, run in runs.items():
                with self.subTest(name):
                    run.result()

    def test_is_renewed_by_reads_and_writes(self):
        self.assertAll({
            "append": lambda http: http("POST", "", JSON, b"3"),
            "append of a producer": lambda http: http("POST", "", {**JSON, **producer("p", 0, 1)}, b"3"),
            "close": lambda http: http("POST", "", CLOSE, b""),
            "close of a producer": lambda http: http("POST", "", {**CLOSE, **producer("p", 0, 1)}, b""),
            "append and close": lambda http: http("POST", "", {**JSON, **CLOSE}, b"3"),
            "duplicate": lambda http: http("POST", "", {**JSON, **producer("p", 0, 0)}, b"2"),
            "read": lambda http: http("GET"),
            "read of the tail": lambda http: http("GET", "?offset=now"),
            "not modified": lambda http: http("GET", "", {"If-None-Match": "*"}),
            "long-poll": lambda http: http("GET", "?offset=-1&live=long-poll"),
        }, True)

    def test_is_not_renewed_by_anything_else(self):
        self.assertAll({
            "head": lambda http: http("HEAD"),
            "repeated put": lambda http: http("PUT", "", {**JSON, "Stream-TTL": str(TTL_S)}),
            "conflicting put": lambda http: http("PUT", "", TEXT),
            "malformed JSON": lambda http: http("POST", "", JSON, b"{"),
            "other content type": lambda http: http("POST", "", TEXT, b"x"),
            "gap": lambda http: http("POST", "", {**JSON, **producer("p", 0, 9)}, b"3"),
            "empty body": lambda http: http("POST", "", JSON, b""),
            "nothing": lambda http: None,
        }, False)

    def test_many_times(self):
        self.create(TTL)
        for _ in range(6):
            time.sleep(TTL_S / 3)
            self.append(b"x")
        time.sleep(TTL_S + SLACK_S)
        self.assertExpired()


class Live(ExpiryTest):
    def test_stream_does_not_expire_while_a_reader_waits_and_gets_its_time_afterwards(self):
        for mode in ("long-poll", "sse"):
            with self.subTest(mode):
                path = self.new_path()
                self.create(TTL, path=path)
                connection = self.connect()
                connection.send(encode_request("GET", f"{path}?offset=now&live={mode}"))
                time.sleep(1.6 * TTL_S)
                self.assertExists(path)
                connection.close()
                time.sleep(0.5 * TTL_S)
                self.assertExists(path)
                time.sleep(0.5 * TTL_S + SLACK_S)
                self.assertExpired(path)

    def test_expiry_instant_wakes_readers(self):
        self.create({**TEXT, "Stream-Expires-At": instant(1)}, b"abc")
        waiting = self.parked("?offset=now&live=long-poll")
        events = self.events()
        events.batch()
        start = time.monotonic()
        self.assertProblem(waiting.read_response(), 404, "NOT_FOUND")
        self.assertTrue(events.ended())
        self.assertLess(time.monotonic() - start, 1 + SLACK_S)


class Instant(ExpiryTest):
    def test_is_never_moved(self):
        self.create({**TEXT, "Stream-Expires-At": instant(3)})
        for _ in range(4):
            time.sleep(0.2)
            self.append(b"x")
            self.assertStatus(self.get(), 200)
        time.sleep(2.2 + SLACK_S)
        self.assertExpired()

    def test_in_the_past_is_created_and_gone(self):
        for headers in ({"Stream-Expires-At": "2001-01-01T00:00:00Z"}, {"Stream-Expires-At": instant(-1)},
                        {"Stream-Expires-At": "1969-12-31T23:59:59Z"}, {"Stream-TTL": "0"}):
            with self.subTest(headers=headers):
                path = self.new_path()
                self.create({**TEXT, **headers}, b"abc", path)
                self.assertExpired(path)
                self.create({**TEXT, **headers}, b"abc", path)


class Afterwards(ExpiryTest):
    def test_name_is_free_for_any_configuration(self):
        self.create(TTL, b"old")
        time.sleep(TTL_S + SLACK_S)
        self.create(JSON)
        self.assertContent(b"[]")
        self.assertEqual(self.head()["stream-ttl"], None)

    def test_happens_without_any_touch(self):
        before = self.metric("sluice_streams_expired_total")
        paths = [self.new_path() for _ in range(20)]
        for path in paths:
            self.create(TTL, b"x" * 1000, path)
        time.sleep(TTL_S + SLACK_S)
        self.assertEqual(self.metric("sluice_streams_expired_total") - before, len(paths))

    def test_source_with_forks_is_gone_and_its_path_blocked(self):
        self.create(TTL, b"abc")
        branch = self.new_path()
        self.create({"Stream-Forked-From": self.path, "Stream-TTL": "600"}, path=branch)
        time.sleep(TTL_S + SLACK_S)
        self.assertProblem(self.get(), 410, "GONE")
        self.assertProblem(self.put(TEXT), 409, "PATH_BLOCKED")
        response = self.put({"Stream-Forked-From": self.path}, path=self.new_path())
        self.assertProblem(response, 409, "FORK_SOURCE_GONE")
        self.assertContent(b"abc", branch)
        self.delete(branch)
        self.assertExpired()

    def test_fork_from_an_expired_source(self):
        self.create(TTL, b"abc")
        time.sleep(TTL_S + SLACK_S)
        response = self.put({"Stream-Forked-From": self.path}, path=self.new_path())
        self.assertProblem(response, 404, "FORK_SOURCE_NOT_FOUND")

    def test_expired_fork_releases_its_source_without_any_touch(self):
        self.create(TEXT, b"abc")
        branches = [self.new_path() for _ in range(3)]
        for branch in branches:
            self.create({"Stream-Forked-From": self.path, "Stream-TTL": str(TTL_S)}, path=branch)
        self.delete()
        self.assertStatus(self.head(), 410)
        time.sleep(TTL_S + SLACK_S)
        self.assertStatus(self.head(), 404)

    def test_reading_a_fork_renews_the_fork_and_not_the_source(self):
        self.create(TTL, b"abc")
        branch = self.new_path()
        self.create({"Stream-Forked-From": self.path}, path=branch)
        for _ in range(4):
            time.sleep(0.4 * TTL_S)
            self.assertContent(b"abc", branch)
        self.assertStatus(self.head(), 410)
