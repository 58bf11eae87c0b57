"""PUT (protocol 1.1): creating, repeating, comparing configurations."""
from case import BYTES, CLOSE, JSON, TEXT, ZERO, WireTest, token

FAR = "2099-01-01T00:00:00Z"


class Created(WireTest):
    def test_says_where_and_what_the_stream_is(self):
        response = self.create({**TEXT, "Host": "example.test:81"}, b"12345")
        self.assertEqual(response["location"], f"http://example.test:81{self.path}")
        self.assertEqual(response["content-type"], "text/plain")
        self.assertEqual(response["stream-next-offset"], token(5))
        self.assertEqual(response["cache-control"], "no-store")
        self.assertClosed(response, False)
        self.assertEqual(response.body, b"")

    def test_an_empty_stream_ends_at_zero(self):
        self.assertEqual(self.create()["stream-next-offset"], ZERO)

    def test_without_a_usable_content_type_it_is_octet_stream(self):
        for headers in ({}, {"Content-Type": ""}, {"Content-Type": "garbage"}, {"Content-Type": ";"}):
            with self.subTest(headers=headers):
                response = self.create(headers, path=self.new_path())
                self.assertEqual(response["content-type"], "application/octet-stream")

    def test_content_type_is_echoed_verbatim(self):
        given = 'Text/Plain; Charset="UTF-8"'
        self.assertEqual(self.create({"Content-Type": given})["content-type"], given)
        self.assertEqual(self.head()["content-type"], given)
        self.assertEqual(self.get()["content-type"], given)

    def test_closed_with_its_content(self):
        self.assertClosed(self.create({**TEXT, **CLOSE}, b"all"))
        self.assertClosed(self.assertContent(b"all"))
        self.assertStatus(self.post(TEXT, b"more"), 409)

    def test_closed_and_empty(self):
        self.assertClosed(self.create({**TEXT, **CLOSE}))
        self.assertClosed(self.assertContent(b""))

    def test_body_may_be_chunked(self):
        response = self.http("PUT", self.path, TEXT, chunks=[b"one ", b"two ", b"three"])
        self.assertStatus(response, 201)
        self.assertContent(b"one two three")

    def test_json_body_may_be_chunked(self):
        self.assertStatus(self.http("PUT", self.path, JSON, chunks=[b"[1", b"0,2]"]), 201)
        self.assertContent(b"[10,2]")

    def test_stream_closed_counts_only_as_true_in_any_case(self):
        for value, closed in (("true", True), ("TRUE", True), ("True", True), ("", False),
                              ("false", False), ("1", False), ("yes", False), ("true,true", False)):
            with self.subTest(value=value):
                headers = {**TEXT, "Stream-Closed": value}
                self.assertClosed(self.create(headers, path=self.new_path()), closed)


class Repeated(WireTest):
    def test_says_the_same_without_location_and_ignores_the_body(self):
        self.create(TEXT, b"first")
        response = self.put(TEXT, b"second")
        self.assertStatus(response, 200)
        self.assertEqual(response["location"], None)
        self.assertEqual(response["content-type"], "text/plain")
        self.assertEqual(response["stream-next-offset"], token(5))
        self.assertContent(b"first")

    def test_does_not_look_at_the_body(self):
        self.create(JSON, b"[1]")
        self.assertStatus(self.put(JSON, b"not JSON"), 200)

    def test_content_types_are_compared_without_case_and_parameters(self):
        self.create({"Content-Type": "text/plain;charset=utf-8"})
        for same in ("text/plain", "TEXT/Plain", "text/plain ; charset=latin1"):
            self.assertStatus(self.put({"Content-Type": same}), 200)
        for other in ("text/html", "application/octet-stream", "text/plai"):
            self.assertProblem(self.put({"Content-Type": other}), 409, "CONFIG_MISMATCH")

    def test_no_content_type_is_octet_stream(self):
        self.create(BYTES)
        self.assertStatus(self.put(), 200)
        text = self.new_path()
        self.create(TEXT, path=text)
        self.assertProblem(self.put(path=text), 409, "CONFIG_MISMATCH")

    def test_time_to_live_is_part_of_the_configuration(self):
        self.create({**TEXT, "Stream-TTL": "3600"})
        self.assertStatus(self.put({**TEXT, "Stream-TTL": "3600"}), 200)
        for other in ({}, {"Stream-TTL": "3601"}, {"Stream-Expires-At": FAR}):
            self.assertProblem(self.put({**TEXT, **other}), 409, "CONFIG_MISMATCH")

    def test_asking_for_a_time_to_live_where_there_is_none_conflicts(self):
        self.create()
        self.assertProblem(self.put({**TEXT, "Stream-TTL": "3600"}), 409, "CONFIG_MISMATCH")
        self.assertProblem(self.put({**TEXT, "Stream-Expires-At": FAR}), 409, "CONFIG_MISMATCH")

    def test_expiry_is_compared_as_an_instant_and_echoed_as_given(self):
        given = "2099-01-01T01:00:00+01:00"
        self.create({**TEXT, "Stream-Expires-At": given})
        for same in (given, FAR, "2099-01-01T00:00:00.000Z", "2098-12-31T19:00:00-05:00"):
            with self.subTest(same=same):
                self.assertStatus(self.put({**TEXT, "Stream-Expires-At": same}), 200)
        for other in ("2099-01-01T00:00:01Z", "2099-01-01T00:00:00.001Z", "2099-01-01T01:00:00Z"):
            with self.subTest(other=other):
                response = self.put({**TEXT, "Stream-Expires-At": other})
                self.assertProblem(response, 409, "CONFIG_MISMATCH")
        self.assertEqual(self.head()["stream-expires-at"], given)

    def test_open_stream_asked_for_as_closed_conflicts(self):
        self.create()
        self.assertProblem(self.put({**TEXT, **CLOSE}), 409, "CONFIG_MISMATCH")
        self.assertClosed(self.head(), False)

    def test_closed_stream_asked_for_as_open_conflicts(self):
        self.create({**TEXT, **CLOSE})
        self.assertProblem(self.put(TEXT), 409, "CONFIG_MISMATCH")

    def test_closed_stream_asked_for_as_closed_agrees(self):
        self.create({**TEXT, **CLOSE}, b"end")
        response = self.put({**TEXT, "Stream-Closed": "TRUE"})
        self.assertStatus(response, 200)
        self.assertClosed(response)

    def test_closed_later_counts_as_closed_now(self):
        self.create()
        self.assertStatus(self.post(CLOSE), 204)
        self.assertProblem(self.put(TEXT), 409, "CONFIG_MISMATCH")
        self.assertStatus(self.put({**TEXT, **CLOSE}), 200)


class Refused(WireTest):
    def assertRefused(self, headers, code, body=None):
        with self.subTest(headers=headers, body=body):
            path = self.new_path()
            self.assertProblem(self.put(headers, body, path), 400, code)
            self.assertStatus(self.head(path), 404)

    def test_malformed_time_to_live(self):
        for value in ("", "-1", "+5", "05", "00", "1.5", "1e3", "abc", "5s", "0x5", "1 2",
                      "99999999999999999999"):
            self.assertRefused({"Stream-TTL": value}, "INVALID_TTL")

    def test_malformed_expiry(self):
        for value in ("", "tomorrow", "2099-01-01", "2099-01-01T00:00:00", "2099-13-01T00:00:00Z",
                      "2099-00-01T00:00:00Z", "2099-02-30T00:00:00Z", "2099-01-01T24:00:00Z",
                      "2099-01-01T00:60:00Z", "2099-01-01T00:00:00.Z", "2099-01-01T00:00:00+25:00",
                      "2099-01-01T00:00:00ZZ", "99-01-01T00:00:00Z", "4070908800"):
            self.assertRefused({"Stream-Expires-At": value}, "INVALID_EXPIRES_AT")

    def test_two_kinds_of_expiry_before_either_is_looked_at(self):
        both = {"Stream-TTL": "60", "Stream-Expires-At": FAR}
        self.assertRefused(both, "TTL_AND_EXPIRES_AT")
        self.assertRefused({**both, "Stream-TTL": "x"}, "TTL_AND_EXPIRES_AT")

    def test_malformed_json_makes_no_stream(self):
        for body in (b"{", b"[1,]", b" ", b"1 2"):
            self.assertRefused(JSON, "INVALID_JSON", body)

    def test_malformed_header_is_refused_also_where_the_stream_exists(self):
        self.create()
        self.assertProblem(self.put({**TEXT, "Stream-TTL": "x"}), 400, "INVALID_TTL")


class Accepted(WireTest):
    def test_time_to_live_is_echoed_as_given(self):
        for value in ("1", "60", "31536000", "9007199254740991"):
            path = self.new_path()
            self.create({**TEXT, "Stream-TTL": value}, path=path)
            self.assertEqual(self.head(path)["stream-ttl"], value)

    def test_expiry_forms(self):
        for value in (FAR, "2099-01-01T00:00:00+00:00", "2099-06-30T23:59:59.123456789-23:59",
                      "2096-02-29T12:00:00Z"):
            path = self.new_path()
            self.create({**TEXT, "Stream-Expires-At": value}, path=path)
            self.assertEqual(self.head(path)["stream-expires-at"], value)

    def test_empty_array_makes_an_empty_json_stream(self):
        for body in (b"[]", b" [ \n] "):
            path = self.new_path()
            self.assertEqual(self.create(JSON, body, path)["stream-next-offset"], ZERO)
            self.assertContent(b"[]", path)
