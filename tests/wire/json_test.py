"""JSON streams (protocol 3): what is a message, what it looks like, and what is refused."""
from case import JSON, TEXT, ZERO, WireTest, token


class Representation(WireTest):
    def assertStored(self, body, content):
        with self.subTest(body=body):
            path = self.new_path()
            self.create(JSON, path=path)
            self.append(body, JSON, path)
            self.assertContent(content, path)

    def test_numbers_strings_and_duplicate_keys_stay_as_they_are(self):
        for text in (b"1e400", b"12345678901234567890", b"-0", b"1.0", b"1E+2", b"0.10",
                     b'{"a":1,"b":2,"a":3}', b'"\\u0041\\/\\n"', b'"\\ud800"', b'"\\udc00\\ud800"',
                     '"é😀\u2028"'.encode(), b'"\x7f"', b'{"headers":{"operation":"insert"}}',
                     b"true", b"false", b"null", b'""', b"{}"):
            self.assertStored(text, b"[" + text + b"]")

    def test_white_space_between_tokens_is_dropped_and_nowhere_else(self):
        self.assertStored(b' \t\r\n{ "a b" :\n[ 1 , " x " ] } ', b'[{"a b":[1," x "]}]')

    def test_one_level_of_array_is_flattened(self):
        for body, content in ((b"[1,[2,[3]]]", b"[1,[2,[3]]]"), (b"[[]]", b"[[]]"),
                              (b"[[1],[2]]", b"[[1],[2]]"), (b"[[1,2]]", b"[[1,2]]"),
                              (b'{"a":[]}', b'[{"a":[]}]'), (b"[null]", b"[null]")):
            self.assertStored(body, content)

    def test_all_appends_are_one_array(self):
        self.create(JSON, b"[1,2]")
        self.append(b"3", JSON)
        self.append(b"[[4]]", JSON)
        self.assertContent(b"[1,2,3,[4]]")

    def test_nesting_is_limited(self):
        for depth, accepted in ((1023, True), (1024, True), (1025, False), (100000, False)):
            with self.subTest(depth=depth):
                body = b"[" * depth + b"]" * depth
                if accepted:
                    self.assertStored(body, body)
                else:
                    path = self.new_path()
                    self.create(JSON, path=path)
                    self.assertProblem(self.post(JSON, body, path), 400, "INVALID_JSON")


class Refused(WireTest):
    def test_malformed_texts(self):
        self.create(JSON)
        for body in (b" ", b"\n", b"[1,]", b"[,1]", b"[1", b"1]", b"[1}", b"{]", b'{"a"}', b'{"a":}',
                     b'{"a":1,}', b"{a:1}", b"{1:1}", b"01", b"-", b"1.", b".5", b"+1", b"1e", b"0x1",
                     b"NaN", b"Infinity", b"nul", b"True", b"1 2", b"[1 2]", b"'a'", b'"a', b'"\x01"',
                     b'"\n"', b'"\\x"', b'"\\u12"', b'"\\u12g4"', b"\xef\xbb\xbf1", b"1\x00", b"\x00",
                     b"// c\n1", b"\xa01", b"\x0b1"):
            with self.subTest(body=body):
                self.assertProblem(self.post(JSON, body), 400, "INVALID_JSON")
        self.assertContent(b"[]")

    def test_what_is_not_utf_8(self):
        self.create(JSON)
        for text in (b"\xff", b"\xc3", b"\xc3(", b"\xc0\x80", b"\xe0\x80\x80", b"\xed\xa0\x80",
                     b"\xf5\x80\x80\x80", b"\xf4\x90\x80\x80", b"\x80"):
            with self.subTest(text=text):
                self.assertProblem(self.post(JSON, b'"' + text + b'"'), 400, "INVALID_JSON")

    def test_empty_array_appends_nothing(self):
        self.create(JSON)
        for body in (b"[]", b" [ ] ", b"[\n]"):
            self.assertProblem(self.post(JSON, body), 400, "EMPTY_ARRAY")

    def test_one_bad_element_refuses_the_whole_batch(self):
        self.create(JSON)
        self.assertProblem(self.post(JSON, b"[1,2,3,x]"), 400, "INVALID_JSON")
        self.assertEqual(self.tail(), ZERO)


class Reading(WireTest):
    def test_empty_range_is_an_empty_array(self):
        self.create(JSON)
        for query in ("", "?offset=-1", "?offset=now"):
            self.assertEqual(self.get(query).body, b"[]")
        self.append(b"1", JSON)
        for offset in ("now", self.tail(), token(10**15)):
            response = self.get(f"?offset={offset}")
            self.assertEqual(response.body, b"[]")
            self.assertEqual(response["content-type"], "application/json")

    def test_every_append_is_a_place_to_go_on_from(self):
        self.create(JSON)
        offsets = [ZERO]
        for n in range(5):
            offsets.append(self.append(b"[%d,%d]" % (n, n), JSON)["stream-next-offset"])
        self.assertEqual(offsets, sorted(set(offsets)))
        for n, offset in enumerate(offsets):
            rest = ",".join(f"{k},{k}" for k in range(n, 5))
            self.assertEqual(self.get(f"?offset={offset}").body.decode(), f"[{rest}]")

    def test_offset_within_a_message_is_refused(self):
        self.create(JSON, b'["aaaa","bbbb"]')
        for position in (1, 6, 8, 13):
            response = self.get(f"?offset={token(position)}")
            self.assertProblem(response, 400, "INVALID_OFFSET")
        self.assertEqual(self.get(f"?offset={token(7)}").body, b'["bbbb"]')

    def test_only_application_json_is_json(self):
        for content_type in ("application/json; charset=utf-8", "Application/JSON"):
            path = self.new_path()
            self.create({"Content-Type": content_type}, path=path)
            self.assertContent(b"[]", path)
            self.append(b"[1]", JSON, path)
            self.assertContent(b"[1]", path)
        for content_type in ("application/vnd.x+json", "application/ndjson", "application/json-seq",
                             "text/json", "application/jsonx"):
            path = self.new_path()
            self.create({"Content-Type": content_type}, b"[1", path)
            self.assertContent(b"[1", path)
            self.assertEqual(self.get("?offset=now", path=path).body, b"")


class Text(WireTest):
    def test_is_never_looked_into(self):
        self.create(TEXT, b"[1,")
        self.append(b"\xff\x00]")
        self.assertContent(b"[1,\xff\x00]")
