"""What every response has (protocol 1.0): CORS, security headers, problems; OPTIONS and 405."""
from case import BYTES, CLOSE, JSON, ROOT, TEXT, WireTest, producer

METHODS = {"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"}
REQUEST_HEADERS = {
    "content-type", "authorization", "if-none-match", "stream-seq", "stream-ttl", "stream-expires-at",
    "stream-closed", "producer-id", "producer-epoch", "producer-seq", "stream-forked-from",
    "stream-fork-offset", "stream-fork-sub-offset",
}


def names(value):
    return {name.strip().lower() for name in value.split(",")}


class Every(WireTest):
    options = ("--max-body-bytes", 1000)

    def assertCommon(self, response, status):
        with self.subTest(response=response):
            self.assertStatus(response, status)
            self.assertEqual(response["x-content-type-options"], "nosniff")
            self.assertEqual(response["cross-origin-resource-policy"], "cross-origin")
            self.assertEqual(response["access-control-allow-origin"], "*")
            # Without credentials, which "*" as the allowed origin excludes, it names them all.
            self.assertEqual(response["access-control-expose-headers"], "*")
            self.assertTrue(response["date"])
            self.assertEqual(response["server"], None)

    def test_success(self):
        self.assertCommon(self.put({**TEXT, "Stream-TTL": "600"}, b"abc"), 201)
        self.assertCommon(self.put({**TEXT, "Stream-TTL": "600"}), 200)
        self.assertCommon(self.post(TEXT, b"d"), 204)
        self.assertCommon(self.post({**TEXT, **producer("p", 0, 0)}, b"e"), 200)
        self.assertCommon(self.get(), 200)
        self.assertCommon(self.get("?offset=now"), 200)
        self.assertCommon(self.get("", {"If-None-Match": "*"}), 304)
        self.assertCommon(self.get("?offset=-1&live=long-poll"), 200)
        self.assertCommon(self.get("?offset=now&live=long-poll"), 204)
        self.assertCommon(self.events().response, 200)
        self.assertCommon(self.head(), 200)
        self.assertCommon(self.http("OPTIONS", self.path), 204)
        self.assertCommon(self.post(CLOSE), 204)
        self.assertCommon(self.delete(), 204)
        for path in ("/healthz", "/readyz", "/metrics"):
            self.assertCommon(self.get(path=path), 200)

    def test_errors(self):
        self.assertCommon(self.get(), 404)
        self.assertCommon(self.head(), 404)
        self.create(TEXT, b"abc")
        self.assertCommon(self.get("?offset=x"), 400)
        self.assertCommon(self.put(JSON), 409)
        self.assertCommon(self.post({**TEXT, **producer("p", 1, 0)}, b"x"), 200)
        self.assertCommon(self.post({**TEXT, **producer("p", 0, 0)}, b"x"), 403)
        self.assertCommon(self.http("PATCH", self.path), 405)
        self.assertCommon(self.get(path=ROOT + "n" * 2000), 414)
        self.assertCommon(self.get(path=ROOT + "__ds/x"), 404)
        self.assertCommon(self.get(path="/nowhere"), 404)
        self.put({"Stream-Forked-From": self.path}, path=self.new_path())
        self.delete()
        self.assertCommon(self.get(), 410)

    def test_header_names_have_no_case(self):
        self.create({"CONTENT-TYPE": "text/plain", "stream-TTL": "60"})
        self.assertEqual(self.head()["STREAM-ttl"], "60")


class Problems(WireTest):
    def test_tell_what_is_wrong_and_echo_nothing(self):
        problem = self.get("?offset=%3Cscript%3E").json()
        self.assertEqual(set(problem), {"type", "title", "status", "detail", "code"})
        self.create()
        response = self.get("?offset=%3Cscript%3E", {"X-Secret": "hidden"})
        self.assertNotIn(b"script", response.body)
        self.assertNotIn(b"hidden", response.body)

    def test_have_no_body_for_head(self):
        response = self.head(ROOT + "a//b")
        self.assertStatus(response, 400)
        self.assertEqual(response.body, b"")


class Options(WireTest):
    def test_answers_for_every_path(self):
        self.create(BYTES)
        for path in (self.path, self.new_path(), ROOT + "a//b", ROOT + "__ds/x", "/healthz", "/nowhere", "/"):
            for headers in ({}, {"Origin": "https://a.test", "Access-Control-Request-Method": "PUT"}):
                with self.subTest(path=path):
                    response = self.http("OPTIONS", path, headers)
                    self.assertStatus(response, 204)
                    self.assertEqual(response["access-control-allow-origin"], "*")
                    self.assertEqual(METHODS - {m.upper() for m in names(
                        response["access-control-allow-methods"])}, set())
                    self.assertEqual(REQUEST_HEADERS - names(response["access-control-allow-headers"]), set())


class Methods(WireTest):
    def test_others_are_not_allowed(self):
        self.create(TEXT, b"abc")
        for method in ("PATCH", "TRACE", "LINK", "PROPFIND", "get", "Post", "FOO-BAR", "G"):
            for body in (None, b"x" * 1000):
                with self.subTest(method=method):
                    response = self.http(method, self.path, TEXT, body)
                    self.assertProblem(response, 405, "METHOD_NOT_ALLOWED")
                    self.assertEqual(names(response["allow"]), {m.lower() for m in METHODS})
        self.assertContent(b"abc")

    def test_on_what_is_no_stream(self):
        for path in ("/healthz", "/readyz", "/metrics"):
            for method in ("POST", "PUT", "DELETE", "PATCH"):
                response = self.http(method, path, {}, b"")
                self.assertProblem(response, 405, "METHOD_NOT_ALLOWED")
                self.assertIn("get", names(response["allow"]))

    def test_a_body_that_nobody_asked_for_does_no_harm(self):
        self.create(TEXT, b"abc")
        for method in ("GET", "HEAD", "OPTIONS"):
            self.assertIn(self.http(method, self.path, TEXT, b"GET / HTTP/1.1\r\n\r\n").status, (200, 204))
            self.assertIn(self.http(method, self.path, TEXT, chunks=[b"x"]).status, (200, 204))
        self.assertStatus(self.http("DELETE", self.path, TEXT, b"body"), 204)
        self.assertStatus(self.get(), 404)
