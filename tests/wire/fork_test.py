"""Forks (protocol 5): what is inherited, what is not, sub-offsets, and the life of the source."""
from case import BYTES, CLOSE, JSON, TEXT, ZERO, WireTest, producer, token

DEPTH_MAX = 256
FAR = "2099-01-01T00:00:00Z"


class ForkTest(WireTest):
    """`self.path` is the source, `self.branch` the fork."""

    def setUp(self):
        super().setUp()
        self.branch = self.new_path()

    def fork(self, headers=None, body=None, path=None, source=None):
        return self.put({"Stream-Forked-From": source or self.path, **(headers or {})}, body,
                        path or self.branch)

    def forked(self, headers=None, body=None, path=None, source=None):
        response = self.fork(headers, body, path, source)
        self.assertStatus(response, 201)
        return response

    def assertNoFork(self, headers, status, code, body=None):
        with self.subTest(headers=headers):
            self.assertProblem(self.fork(headers, body), status, code)
            self.assertStatus(self.head(self.branch), 404)

    def at(self, offset, sub=None):
        headers = {"Stream-Fork-Offset": offset}
        return headers if sub is None else {**headers, "Stream-Fork-Sub-Offset": str(sub)}


class Inheritance(ForkTest):
    def test_starts_with_what_the_source_held(self):
        self.create(TEXT, b"abc")
        response = self.forked()
        self.assertEqual(response["stream-next-offset"], token(3))
        self.assertEqual(response["content-type"], "text/plain")
        for name in ("stream-forked-from", "stream-fork-offset", "stream-fork-sub-offset"):
            self.assertEqual(response[name], None)
        self.assertContent(b"abc", self.branch)

    def test_both_sides_go_their_own_way(self):
        self.create(TEXT, b"abc")
        self.forked()
        self.append(b"-source")
        self.append(b"-fork", path=self.branch)
        self.assertContent(b"abc-source")
        self.assertContent(b"abc-fork", self.branch)
        self.post(CLOSE)
        self.assertClosed(self.head(self.branch), False)
        self.assertStatus(self.post(CLOSE, path=self.branch), 204)

    def test_closing_the_fork_does_not_close_the_source(self):
        self.create(TEXT, b"abc")
        self.forked()
        self.post(CLOSE, path=self.branch)
        self.append(b"d")

    def test_of_a_closed_source_is_open(self):
        self.create({**TEXT, **CLOSE}, b"abc")
        self.assertClosed(self.forked(), False)
        self.append(b"d", path=self.branch)

    def test_may_be_created_closed(self):
        self.create(TEXT, b"abc")
        self.assertClosed(self.forked(CLOSE, b""))
        self.assertClosed(self.assertContent(b"abc", self.branch))

    def test_body_comes_after_the_inherited_part(self):
        self.create(TEXT, b"abc")
        response = self.forked({**TEXT, **self.at(token(2)), **CLOSE}, b"XY")
        self.assertEqual(response["stream-next-offset"], token(4))
        self.assertClosed(self.assertContent(b"abXY", self.branch))

    def test_json_is_one_array_across_the_border(self):
        self.create(JSON, b"[1,2]")
        self.forked()
        self.append(b"[3,4]", JSON, self.branch)
        self.assertContent(b"[1,2,3,4]", self.branch)

    def test_writers_are_not_inherited(self):
        self.create(TEXT)
        self.append(b"a", {**TEXT, **producer("p", 3, 0), "Stream-Seq": "5"})
        self.forked()
        response = self.post({**TEXT, **producer("p", 0, 0), "Stream-Seq": "1"}, b"b", self.branch)
        self.assertStatus(response, 200)
        self.assertContent(b"ab", self.branch)

    def test_closing_tuple_is_not_inherited(self):
        self.create(TEXT)
        closing = {**TEXT, **CLOSE, **producer("p", 0, 0)}
        self.post(closing, b"end")
        self.forked()
        self.assertStatus(self.post(closing, b"more", self.branch), 200)
        self.assertContent(b"endmore", self.branch)

    def test_offsets_of_the_inherited_part_are_those_of_the_source(self):
        self.create(TEXT, b"abc")
        self.append(b"def")
        self.forked(self.at(token(3)))
        self.append(b"xyz", path=self.branch)
        for position in range(7):
            response = self.get(f"?offset={token(position)}", path=self.branch)
            self.assertEqual(response.body, b"abcxyz"[position:])

    def test_many_generations(self):
        self.create(TEXT, b"0")
        paths = [self.path] + [self.new_path() for _ in range(40)]
        for n, (source, path) in enumerate(zip(paths, paths[1:]), 1):
            self.forked(path=path, source=source)
            self.append(b",%d" % n, path=path)
        self.assertContent(b",".join(b"%d" % n for n in range(41)), paths[-1])
        # A fork point within what a grandparent gave.
        self.forked(self.at(token(3)), source=paths[-1])
        self.assertContent(b"0,1", self.branch)

    def test_generations_are_limited(self):
        self.create(TEXT, b"0")
        paths = [self.path] + [self.new_path() for _ in range(DEPTH_MAX)]
        for source, path in zip(paths, paths[1:]):
            self.forked(TEXT, b"x", path, source)
        self.assertProblem(self.fork(source=paths[-1]), 400, "FORK_TOO_DEEP")
        self.assertContent(b"0" + b"x" * DEPTH_MAX, paths[-1])

    def test_live_reader_gets_the_inherited_part_and_then_only_its_own(self):
        self.create(TEXT, b"abc")
        self.forked()
        events = self.events(path=self.branch)
        self.assertEqual(events.batch()[0], b"abc")
        waiting = self.parked("?offset=now&live=long-poll", self.branch)
        self.append(b"-source")
        self.post(CLOSE)
        self.assertTrue(events.connection.silent())
        self.assertStatus(waiting.read_response(), 204)
        self.append(b"-fork", path=self.branch)
        self.assertEqual(events.batch()[0], b"-fork")

    def test_long_poll_within_the_inherited_part_is_answered_at_once(self):
        self.create(TEXT, b"abc")
        self.forked()
        response = self.get(f"?offset={token(1)}&live=long-poll", path=self.branch)
        self.assertStatus(response, 200)
        self.assertEqual(response.body, b"bc")


class Point(ForkTest):
    def test_default_is_the_tail(self):
        self.create(TEXT, b"abc")
        self.append(b"def")
        self.forked()
        self.append(b"ghi")
        self.assertContent(b"abcdef", self.branch)

    def test_zero_inherits_nothing(self):
        self.create(TEXT, b"abc")
        self.assertEqual(self.forked(self.at(ZERO))["stream-next-offset"], ZERO)
        self.assertContent(b"", self.branch)

    def test_malformed_offset(self):
        self.create(TEXT, b"abc")
        for bad in ("", "-1", "now", "x", "0_0", "3", token(3)[:-1], token(3) + "0", token(3) + ","):
            self.assertNoFork(self.at(bad), 400, "INVALID_FORK_OFFSET")

    def test_beyond_the_tail(self):
        self.create(TEXT, b"abc")
        for bad in (token(4), "9999999999999999_9999999999999999"):
            self.assertNoFork(self.at(bad), 400, "INVALID_FORK_OFFSET")

    def test_within_a_json_message(self):
        self.create(JSON, b'["aaaa","bbbb"]')
        self.assertNoFork(self.at(token(3)), 400, "INVALID_FORK_OFFSET")
        self.forked(self.at(token(7)))
        self.assertContent(b'["aaaa"]', self.branch)


class SubOffset(ForkTest):
    def test_is_a_number(self):
        self.create(TEXT, b"abc")
        for bad in ("", "-1", "abc", "1.5", "05", "+1", "00", "0x1", "1 2", "18446744073709551616"):
            self.assertNoFork(self.at(ZERO, bad), 400, "INVALID_FORK_OFFSET")

    def test_needs_a_source(self):
        for value in ("0", "1"):
            response = self.put({**TEXT, "Stream-Fork-Sub-Offset": value})
            self.assertProblem(response, 400, "INVALID_FORK_OFFSET")
            self.assertStatus(self.head(), 404)

    def test_counts_bytes_of_the_next_append(self):
        self.create(BYTES, b"abc")
        self.append(b"defg", BYTES)
        self.append(b"hi", BYTES)
        for sub, content in ((1, b"abcd"), (3, b"abcdef"), (4, b"abcdefg")):
            path = self.new_path()
            self.forked(self.at(token(3), sub), path=path)
            self.assertContent(content, path)
        self.assertNoFork(self.at(token(3), 5), 400, "INVALID_FORK_OFFSET")
        self.assertNoFork(self.at(token(9), 1), 400, "INVALID_FORK_OFFSET")

    def test_counts_messages_of_the_next_append(self):
        self.create(JSON, b"[1,2,3]")
        self.append(b"[4,5]", JSON)
        for sub, content in ((1, b"[1]"), (2, b"[1,2]"), (3, b"[1,2,3]")):
            path = self.new_path()
            self.forked(self.at(ZERO, sub), path=path)
            self.assertContent(content, path)
        self.assertNoFork(self.at(ZERO, 4), 400, "INVALID_FORK_OFFSET")

    def test_without_an_offset_is_beyond_the_tail(self):
        self.create(TEXT, b"abc")
        self.assertNoFork({"Stream-Fork-Sub-Offset": "1"}, 400, "INVALID_FORK_OFFSET")

    def test_of_an_empty_source(self):
        self.create(TEXT)
        self.assertNoFork(self.at(ZERO, 1), 400, "INVALID_FORK_OFFSET")

    def test_composes_over_generations(self):
        self.create(TEXT, b"abcdef")
        self.forked(self.at(ZERO, 4))
        grandchild = self.new_path()
        self.forked(self.at(ZERO, 2), path=grandchild, source=self.branch)
        self.assertContent(b"ab", grandchild)
        self.append(b"XYZ", path=self.branch)
        late = self.new_path()
        self.forked(self.at(token(4), 2), path=late, source=self.branch)
        self.assertContent(b"abcdXY", late)
        self.assertProblem(self.fork(self.at(ZERO, 5), path=self.new_path(), source=self.branch), 400,
                           "INVALID_FORK_OFFSET")


class Repeated(ForkTest):
    def test_asks_for_what_was_asked(self):
        self.create({**TEXT, "Stream-TTL": "3600"}, b"abc")
        self.forked()
        self.append(b"def")
        self.append(b"x", path=self.branch)
        self.assertStatus(self.fork(), 200)
        self.assertStatus(self.fork(TEXT), 200)
        self.assertStatus(self.fork({"Stream-Fork-Sub-Offset": "0"}), 200)

    def test_with_points(self):
        self.create(TEXT, b"abc")
        self.forked(self.at(ZERO, 2))
        self.assertStatus(self.fork(self.at(ZERO, 2)), 200)
        for other in (self.at(ZERO), self.at(ZERO, 1), self.at(token(2)), self.at(token(1), 1)):
            with self.subTest(other=other):
                self.assertProblem(self.fork(other), 409, "CONFIG_MISMATCH")

    def test_with_something_else(self):
        self.create(TEXT, b"abc")
        other = self.new_path()
        self.create(TEXT, b"abc", other)
        self.forked()
        for headers, source in (({}, other), (JSON, self.path), ({"Stream-TTL": "5"}, self.path),
                                ({"Stream-Expires-At": FAR}, self.path), (CLOSE, self.path)):
            with self.subTest(headers=headers):
                self.assertProblem(self.fork(headers, source=source), 409, "CONFIG_MISMATCH")
        self.assertProblem(self.put(TEXT, path=self.branch), 409, "CONFIG_MISMATCH")

    def test_source_spelled_otherwise_is_the_same(self):
        source = self.path + "%2fA~"
        self.create(TEXT, b"abc", source)
        self.forked(source=self.path + "%2F%41%7e")
        self.assertStatus(self.fork(source=source), 200)
        self.assertContent(b"abc", self.branch)

    def test_plain_stream_is_no_fork(self):
        self.create(TEXT, b"abc")
        self.create(TEXT, path=self.branch)
        self.assertProblem(self.fork(), 409, "CONFIG_MISMATCH")


class Refused(ForkTest):
    def test_source_that_is_not_there(self):
        self.assertNoFork({}, 404, "FORK_SOURCE_NOT_FOUND")

    def test_source_that_is_no_path_of_a_stream(self):
        for source in ("x", "http://test" + self.path, "/v1/other/x", "/v1/stream", self.path[1:],
                       self.path + "?x", "/v1/stream/__ds/x"):
            with self.subTest(source=source):
                self.assertProblem(self.fork(source=source), 404, "FORK_SOURCE_NOT_FOUND")

    def test_source_that_is_malformed(self):
        for source in ("/v1/stream/a//b", "/v1/stream/%00", "/v1/stream/../x", "/v1/stream/%ff"):
            with self.subTest(source=source):
                self.assertIn(self.fork(source=source).status, (400, 404))

    def test_content_type_of_another_kind(self):
        self.create(TEXT, b"abc")
        self.assertNoFork(JSON, 409, "CONTENT_TYPE_MISMATCH")
        self.forked({"Content-Type": "TEXT/plain; charset=utf-8"})

    def test_malformed_body(self):
        self.create(JSON, b"[1]")
        self.assertNoFork(JSON, 400, "INVALID_JSON", b"{")

    def test_leaves_no_reference_at_the_source(self):
        self.create(JSON, b"[1]")
        self.assertNoFork(JSON, 400, "INVALID_JSON", b"{")
        self.assertNoFork(TEXT, 409, "CONTENT_TYPE_MISMATCH")
        self.assertNoFork(self.at(token(99)), 400, "INVALID_FORK_OFFSET")
        self.assertNoFork(self.at(ZERO, 9), 400, "INVALID_FORK_OFFSET")
        self.forked()
        self.assertStatus(self.fork(self.at(ZERO)), 409)
        self.assertStatus(self.fork(), 200)
        self.delete(self.branch)
        self.delete()
        self.assertStatus(self.get(), 404)


class Expiry(ForkTest):
    """The table of what a fork's time is; its passing is in expiry_test.py."""

    def assertTimes(self, source, asked, ttl, expires_at):
        with self.subTest(source=source, asked=asked):
            self.path, self.branch = self.new_path(), self.new_path()
            self.create({**TEXT, **source}, b"abc")
            self.forked(asked)
            response = self.head(self.branch)
            self.assertEqual((response["stream-ttl"], response["stream-expires-at"]), (ttl, expires_at))

    def test_is_that_of_the_source_or_what_was_asked(self):
        nothing, ttl, at = {}, {"Stream-TTL": "600"}, {"Stream-Expires-At": FAR}
        own_ttl, own = {"Stream-TTL": "900"}, "2098-01-01T00:00:00Z"
        own_at = {"Stream-Expires-At": own}
        self.assertTimes(nothing, nothing, None, None)
        self.assertTimes(nothing, own_ttl, "900", None)
        self.assertTimes(nothing, own_at, None, own)
        self.assertTimes(ttl, nothing, "600", None)
        self.assertTimes(ttl, own_ttl, "900", None)
        self.assertTimes(ttl, own_at, None, own)
        self.assertTimes(at, nothing, None, FAR)
        self.assertTimes(at, own_ttl, "900", None)
        self.assertTimes(at, own_at, None, own)


class SoftDelete(ForkTest):
    def assertGone(self, path=None):
        for method, headers, body in (("GET", {}, None), ("POST", TEXT, b"x"), ("POST", CLOSE, b""),
                                      ("DELETE", {}, None)):
            self.assertProblem(self.http(method, path or self.path, headers, body), 410, "GONE")
        self.assertStatus(self.head(path), 410)
        for mode in ("long-poll", "sse"):
            response = self.get(f"?offset=-1&live={mode}", path=path)
            self.assertProblem(response, 410, "GONE")

    def assertNothingThere(self, *paths):
        for path in paths:
            self.assertProblem(self.get(path=path), 404, "NOT_FOUND")

    def test_source_with_forks_is_gone_but_readable_through_them(self):
        self.create(TEXT, b"abc")
        self.forked()
        self.append(b"later")
        self.assertStatus(self.delete(), 204)
        self.assertGone()
        self.assertContent(b"abc", self.branch)
        self.append(b"def", path=self.branch)
        self.assertContent(b"abcdef", self.branch)

    def test_path_of_a_gone_source_is_blocked(self):
        self.create(TEXT, b"abc")
        self.forked()
        self.delete()
        for headers in (TEXT, JSON, CLOSE, {"Stream-Forked-From": self.branch}):
            self.assertProblem(self.put(headers), 409, "PATH_BLOCKED")

    def test_gone_source_gives_no_more_forks(self):
        self.create(TEXT, b"abc")
        self.forked()
        self.delete()
        response = self.fork(path=self.new_path())
        self.assertProblem(response, 409, "FORK_SOURCE_GONE")

    def test_malformed_requests_to_a_gone_source(self):
        self.create(TEXT, b"abc")
        self.forked()
        self.delete()
        self.assertProblem(self.get("?offset=x"), 410, "GONE")
        self.assertProblem(self.post({}, b""), 410, "GONE")

    def test_last_fork_takes_the_source_along(self):
        self.create(TEXT, b"abc")
        other = self.new_path()
        self.forked()
        self.forked(path=other)
        self.delete()
        self.delete(self.branch)
        self.assertGone()
        self.delete(other)
        self.assertNothingThere(self.path, self.branch, other)
        self.create(JSON)

    def test_goes_up_through_all_generations(self):
        self.create(TEXT, b"0")
        paths = [self.path] + [self.new_path() for _ in range(20)]
        for source, path in zip(paths, paths[1:]):
            self.forked(path=path, source=source)
        for path in paths[:-1]:
            self.delete(path)
        for path in paths[:-1]:
            self.assertStatus(self.head(path), 410)
        self.assertContent(b"0", paths[-1])
        self.delete(paths[-1])
        # Forks and their sources may belong to different threads: the references go one by one.
        for path in reversed(paths):
            for _ in range(100):
                if self.head(path).status == 404:
                    break
            self.assertNothingThere(path)

    def test_live_source_outlives_its_forks(self):
        self.create(TEXT, b"abc")
        self.forked()
        self.delete(self.branch)
        self.append(b"d")
        self.delete()
        self.assertNothingThere(self.path)

    def test_middle_generation(self):
        self.create(TEXT, b"abc")
        grandchild = self.new_path()
        self.forked(TEXT, b"def")
        self.forked(path=grandchild, source=self.branch)
        self.delete(self.branch)
        self.assertGone(self.branch)
        self.assertContent(b"abcdef", grandchild)
        self.delete(grandchild)
        for _ in range(100):
            if self.head(self.branch).status == 404:
                break
        self.assertNothingThere(self.branch, grandchild)
        self.assertContent(b"abc")

    def test_ends_live_readers_of_the_source_only(self):
        self.create(TEXT, b"abc")
        self.forked()
        of_source, of_fork = self.events(), self.events(path=self.branch)
        of_source.batch(), of_fork.batch()
        self.delete()
        self.assertTrue(of_source.ended())
        self.append(b"d", path=self.branch)
        self.assertEqual(of_fork.batch()[0], b"d")
