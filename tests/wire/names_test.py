"""Which URL is which stream (protocol 1.9 and trap 53): one canonical name, and reserved paths."""
from case import JSON, ROOT, TEXT, WireTest

NAME_SIZE_MAX = 1024
STREAM_METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE")


class Canonical(WireTest):
    def assertSame(self, one, other):
        with self.subTest(one=one, other=other):
            self.create(TEXT, b"abc", one)
            self.assertContent(b"abc", other)
            self.assertStatus(self.put(TEXT, path=other), 200)
            self.assertStatus(self.delete(other), 204)
            self.assertStatus(self.head(one), 404)

    def assertDifferent(self, one, other):
        with self.subTest(one=one, other=other):
            self.create(TEXT, b"abc", one)
            self.assertStatus(self.head(other), 404)
            self.assertStatus(self.delete(one), 204)

    def test_unreserved_characters_are_the_same_escaped_or_not(self):
        self.assertSame(ROOT + "abc", ROOT + "%61%62%63")
        self.assertSame(ROOT + "%7Ex%2D%5F%2E", ROOT + "~x-_.")
        self.assertSame(ROOT + "A0", ROOT + "%41%30")

    def test_escapes_are_the_same_in_either_case(self):
        self.assertSame(ROOT + "a%2fb", ROOT + "a%2Fb")
        self.assertSame(ROOT + "%c3%a9", ROOT + "%C3%A9")

    def test_bytes_that_must_be_escaped_are_the_same_raw(self):
        self.assertSame(ROOT + "é".encode().decode("latin-1"), ROOT + "%C3%A9")
        self.assertSame(ROOT + "a|b", ROOT + "a%7Cb")

    def test_reserved_characters_are_not_the_same_escaped(self):
        self.assertDifferent(ROOT + "a/b", ROOT + "a%2Fb")
        self.assertDifferent(ROOT + "a:b", ROOT + "a%3Ab")
        self.assertDifferent(ROOT + "a%25b", ROOT + "a%2525b")

    def test_case_matters(self):
        self.assertDifferent(ROOT + "abc", ROOT + "ABC")

    def test_escaped_question_mark_is_part_of_the_name(self):
        self.assertDifferent(ROOT + "a%3Fb", ROOT + "a")

    def test_escaped_percent_is_not_decoded_twice(self):
        self.assertDifferent(ROOT + "%2561", ROOT + "a")
        self.create(path=ROOT + "x/%252e%252e")
        self.assertStatus(self.head(ROOT + "x/%252e%252e"), 200)

    def test_names_may_look_like_anything(self):
        for name in ("...", "a..b", ".a", "a.", "..a", "-1", "now", "%20", "%25", "a%2F..%2Fb", "%2F", "a;b=c",
                     "a,b", "a=b&c", "metrics", "healthz", "v1/stream/x", "%F0%9F%98%80", "'\"<>"):
            with self.subTest(name=name):
                self.create(TEXT, path=ROOT + name)

    def test_location_names_the_stream(self):
        for name in ("loc/a%2Fb", "loc/%61", "loc/x~y"):
            location = self.create(TEXT, path=ROOT + name)["location"]
            self.assertTrue(location.startswith("http://test" + ROOT), location)
            self.assertStatus(self.head(location.removeprefix("http://test")), 200)


class Refused(WireTest):
    def assertInvalid(self, name):
        for method in STREAM_METHODS:
            with self.subTest(name=name, method=method):
                response = self.http(method, ROOT + name, TEXT, b"x" if method in ("PUT", "POST") else None)
                self.assertStatus(response, 400)
                if method != "HEAD":
                    self.assertProblem(response, 400, "INVALID_STREAM_NAME")

    def test_empty_segments(self):
        for name in ("", "/", "a/", "/a", "a//b", "a/b/"):
            self.assertInvalid(name)

    def test_dot_segments(self):
        for name in (".", "..", "a/.", "a/..", "./a", "../a", "a/../b", "a/./b", "%2e", "%2E%2e", ".%2e",
                     "a/%2e%2E/b", "../../etc/passwd"):
            self.assertInvalid(name)

    def test_control_characters(self):
        for name in ("%00", "a%00b", "%0A", "%1F", "%7F", "a%0d%0ab"):
            self.assertInvalid(name)

    def test_what_is_not_utf_8(self):
        for name in ("%FF", "%C3", "%C3(", "%C0%80", "%ED%A0%80", "%F5%80%80%80", "\xff", "\xc3\x28"):
            self.assertInvalid(name)

    def test_malformed_escapes(self):
        for name in ("%", "%2", "%zz", "a%2", "%%41", "%u0041", "%+1", "%1"):
            self.assertInvalid(name)


class Size(WireTest):
    def test_has_at_most_1024_bytes(self):
        for size in (NAME_SIZE_MAX - 1, NAME_SIZE_MAX):
            self.create(TEXT, path=ROOT + "n" * size)
        for method in STREAM_METHODS:
            response = self.http(method, ROOT + "n" * (NAME_SIZE_MAX + 1), TEXT)
            self.assertStatus(response, 414)
            if method != "HEAD":
                self.assertProblem(response, 414, "NAME_TOO_LONG")

    def test_counts_the_canonical_form(self):
        self.create(TEXT, path=ROOT + "%6d" * NAME_SIZE_MAX)
        self.assertStatus(self.head(ROOT + "m" * NAME_SIZE_MAX), 200)
        self.assertProblem(self.put(TEXT, path=ROOT + "%20" * 342), 414, "NAME_TOO_LONG")


class Reserved(WireTest):
    def assertReserved(self, path):
        for method in (*STREAM_METHODS, "PATCH"):
            with self.subTest(path=path, method=method):
                body = b"{}" if method in ("PUT", "POST") else None
                response = self.http(method, path, JSON, body)
                self.assertStatus(response, 404)
                self.assertEqual(response["content-type"], "application/json")
                if method != "HEAD":
                    error = response.json()["error"]
                    self.assertTrue(error["code"] and error["message"])

    def test_everything_at_and_below_ds(self):
        for name in ("__ds", "__ds/", "__ds/x", "__ds/subscriptions", "__ds/subscriptions/",
                     "__ds/subscriptions/a/", "__ds/subscriptions/a/x", "__ds/subscriptions/a/streams/",
                     "__ds/subscriptions/a/claim/x", "__ds/jwks.json/", "__ds/a/b/c", "%5F_ds",
                     "__d%73", "__ds?x=1", "__ds/..", "__ds//", "__ds/%00"):
            self.assertReserved(ROOT + name)

    def test_nothing_else(self):
        for name in ("__dsx", "__DS", "__d", "a/__ds", "a/__ds/b", "_ds", "__ds%2Fx"):
            with self.subTest(name=name):
                self.create(TEXT, path=ROOT + name)


class Elsewhere(WireTest):
    def test_is_nothing(self):
        for path in ("/", "/v1", "/v1/", "/v1/streams", "/v1/streamx/a", "/V1/stream/a", "/v2/stream/a",
                     "/v1/stream", "//v1/stream/a", "/x/../v1/stream/a", "/v1/%73tream/a", "/metricsx"):
            for method in STREAM_METHODS:
                with self.subTest(path=path, method=method):
                    response = self.http(method, path, TEXT)
                    self.assertIn(response.status, (400, 404), response)


class Root(WireTest):
    options = ("--stream-root", "/streams/here", "--public-url", "https://example.test:8443/base")

    def test_is_an_option(self):
        response = self.create(TEXT, b"abc", "/streams/here/a")
        self.assertEqual(response["location"], "https://example.test:8443/base/streams/here/a")
        self.assertContent(b"abc", "/streams/here/a")
        self.assertStatus(self.put(TEXT, path="/v1/stream/a"), 404)
        self.assertStatus(self.get(path="/streams/here/__ds/x"), 404)
        branch = {"Stream-Forked-From": "/streams/here/a"}
        self.create(branch, path="/streams/here/b")
        self.assertStatus(self.put({"Stream-Forked-From": "/v1/stream/a"}, path="/streams/here/c"), 404)
