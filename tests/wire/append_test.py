"""POST (protocol 1.2) without producers: appending, closing, Stream-Seq, and the order of checks."""
from case import BYTES, CLOSE, JSON, TEXT, WireTest, producer, token


class Append(WireTest):
    def test_answers_204_with_the_next_offset(self):
        self.create()
        response = self.post(TEXT, b"12345")
        self.assertStatus(response, 204)
        self.assertEqual(response["stream-next-offset"], token(5))
        self.assertEqual(response["cache-control"], "no-store")
        self.assertClosed(response, False)
        self.assertEqual(self.post(TEXT, b"678")["stream-next-offset"], token(8))
        self.assertContent(b"12345678")

    def test_body_may_be_chunked(self):
        self.create(BYTES)
        parts = [bytes([n]) * n for n in range(1, 100)]
        self.assertStatus(self.http("POST", self.path, BYTES, chunks=parts), 204)
        self.assertContent(b"".join(parts))

    def test_content_type_is_compared_without_case_and_parameters(self):
        self.create(TEXT)
        self.append(b"a", {"Content-Type": "TEXT/plain; charset=utf-8"})
        response = self.post({"Content-Type": "text/html"}, b"b")
        self.assertProblem(response, 409, "CONTENT_TYPE_MISMATCH")
        self.assertClosed(response, False)
        self.assertContent(b"a")

    def test_body_without_content_type_is_refused(self):
        self.create()
        self.assertProblem(self.post({}, b"a"), 400, "CONTENT_TYPE_REQUIRED")

    def test_empty_body_is_refused(self):
        self.create()
        self.assertProblem(self.post(TEXT), 400, "EMPTY_BODY")
        self.assertProblem(self.http("POST", self.path, TEXT), 400, "EMPTY_BODY")
        self.assertProblem(self.http("POST", self.path, TEXT, chunks=[]), 400, "EMPTY_BODY")
        self.assertProblem(self.post({**TEXT, "Stream-Closed": "false"}), 400, "EMPTY_BODY")

    def test_absent_stream_comes_before_every_other_error(self):
        for headers, body in (({}, b""), ({}, b"a"), ({**TEXT, "Producer-Id": ""}, b"a"),
                              (JSON, b"{"), (CLOSE, b""), ({**TEXT, "Stream-Seq": "x" * 300}, b"a")):
            self.assertProblem(self.post(headers, body), 404, "NOT_FOUND")


class Close(WireTest):
    def test_close_only_answers_204_also_again(self):
        self.create(TEXT, b"12345")
        for _ in range(2):
            response = self.post(CLOSE)
            self.assertStatus(response, 204)
            self.assertClosed(response)
            self.assertEqual(response["stream-next-offset"], token(5))
        self.assertClosed(self.head())

    def test_close_only_needs_and_looks_at_no_content_type(self):
        self.create()
        self.assertStatus(self.post({**JSON, **CLOSE}), 204)

    def test_append_and_close_is_one_step(self):
        self.create()
        response = self.post({**TEXT, **CLOSE}, b"last")
        self.assertStatus(response, 204)
        self.assertClosed(response)
        self.assertEqual(response["stream-next-offset"], token(4))
        self.assertClosed(self.assertContent(b"last"))

    def test_refused_append_does_not_close(self):
        self.create(JSON)
        self.assertProblem(self.post({**JSON, **CLOSE}, b"{"), 400, "INVALID_JSON")
        self.assertProblem(self.post({**TEXT, **CLOSE}, b"a"), 409, "CONTENT_TYPE_MISMATCH")
        self.assertClosed(self.head(), False)

    def test_value_is_true_in_any_case_and_nothing_else(self):
        for value, closed in (("TRUE", True), ("tRuE", True), ("false", False), ("", False), ("1", False)):
            with self.subTest(value=value):
                path = self.new_path()
                self.create(path=path)
                response = self.post({**TEXT, "Stream-Closed": value}, b"a", path)
                self.assertStatus(response, 204)
                self.assertClosed(response, closed)
                self.assertClosed(self.head(path), closed)

    def test_append_to_a_closed_stream_says_where_it_ended(self):
        self.create({**TEXT, **CLOSE}, b"12345")
        for headers in (TEXT, JSON, {**TEXT, **CLOSE}, {**TEXT, "Stream-Seq": "1"},
                        {**TEXT, **producer("p", 0, 0)}, {**TEXT, **producer("p", 0, 7)}):
            with self.subTest(headers=headers):
                response = self.post(headers, b"more")
                self.assertProblem(response, 409, "STREAM_CLOSED")
                self.assertClosed(response)
                self.assertEqual(response["stream-next-offset"], token(5))
        self.assertContent(b"12345")

    def test_malformed_requests_are_refused_before_the_stream_is_looked_at(self):
        self.create({**TEXT, **CLOSE})
        self.assertProblem(self.post({}, b"a"), 400, "CONTENT_TYPE_REQUIRED")
        self.assertProblem(self.post(TEXT), 400, "EMPTY_BODY")
        headers = {**TEXT, "Producer-Id": "p"}
        self.assertProblem(self.post(headers, b"a"), 400, "INVALID_PRODUCER")


class StreamSeq(WireTest):
    def assertOrder(self, lower, higher):
        with self.subTest(lower=lower, higher=higher):
            path = self.new_path()
            self.create(path=path)
            self.append(b"a", {**TEXT, "Stream-Seq": lower}, path)
            self.append(b"b", {**TEXT, "Stream-Seq": higher}, path)
            for old in (higher, lower):
                response = self.post({**TEXT, "Stream-Seq": old}, b"c", path)
                self.assertProblem(response, 409, "SEQ_ORDERING_VIOLATION")
                self.assertClosed(response, False)
            self.assertContent(b"ab", path)

    def test_is_compared_byte_by_byte(self):
        for lower, higher in (("10", "9"), ("Z", "a"), ("a", "aa"), ("2", "20"), ("a b", "a c"),
                              ("z", "\xff"), ("\x7e", "\x80")):
            self.assertOrder(lower, higher)

    def test_of_a_refused_append_does_not_count(self):
        self.create(JSON)
        self.append(b"1", {**JSON, "Stream-Seq": "5"})
        self.assertStatus(self.post({**JSON, "Stream-Seq": "9"}, b"{"), 400)
        self.assertStatus(self.post({**TEXT, "Stream-Seq": "9"}, b"1"), 409)
        self.append(b"2", {**JSON, "Stream-Seq": "6"})

    def test_is_not_looked_at_by_close_only(self):
        self.create()
        self.append(b"a", {**TEXT, "Stream-Seq": "5"})
        self.assertStatus(self.post({**CLOSE, "Stream-Seq": "1"}), 204)

    def test_appends_without_one_are_always_in_order(self):
        self.create()
        self.append(b"a", {**TEXT, "Stream-Seq": "5"})
        self.append(b"b")
        self.assertStatus(self.post({**TEXT, "Stream-Seq": "5"}, b"c"), 409)
        self.append(b"d", {**TEXT, "Stream-Seq": "6"})

    def test_has_at_most_256_bytes(self):
        self.create()
        self.append(b"a", {**TEXT, "Stream-Seq": "1" * 255})
        self.append(b"b", {**TEXT, "Stream-Seq": "1" * 256})
        self.assertProblem(self.post({**TEXT, "Stream-Seq": "2" * 257}, b"c"), 400, "INVALID_SEQ")

    def test_is_forgotten_with_the_stream(self):
        self.create()
        self.append(b"a", {**TEXT, "Stream-Seq": "5"})
        self.delete()
        self.create()
        self.append(b"b", {**TEXT, "Stream-Seq": "1"})
