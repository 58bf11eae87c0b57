"""Single requests that are meant to break something: refused or taken, and what was taken is whole."""

from case import JSON, TEXT, WireTest

MIB = 1 << 20


class Bombs(WireTest):
    def assertRefusedJson(self, body, status=400, code="INVALID_JSON"):
        self.assertProblem(self.post(JSON, body), status, code)

    def assertTaken(self, body, content=None):
        path = self.new_path()
        self.create(JSON, path=path)
        self.append(body, JSON, path)
        offset, found = "-1", b""
        while (page := self.get(f"?offset={offset}", path=path))["stream-next-offset"] != offset:
            offset = page["stream-next-offset"]
            if page.body != b"[]":
                found += page.body
        self.assertTrue(found == (content or b"[" + body + b"]"))

    def test_depth(self):
        self.create(JSON)
        self.assertRefusedJson(b"[" * (16 * MIB))
        self.assertRefusedJson(b"[" * (8 * MIB) + b"]" * (8 * MIB))
        self.assertRefusedJson(b'{"a":' * MIB)
        self.assertRefusedJson(b'[{"a":' * MIB + b"1" + b"}]" * MIB)
        self.assertContent(b"[]")

    def test_breadth(self):
        self.create(JSON)
        self.assertRefusedJson(b"[" + b"1," * 999_999 + b"1]", 413, "TOO_MANY_MESSAGES")
        inner = b"[" + b"1," * 999_999 + b"1]"
        self.assertTaken(b"[" + inner + b"]", b"[" + inner + b"]")

    def test_long_strings_and_numbers(self):
        self.assertTaken(b'"' + b"x" * 10_000_000 + b'"')
        self.assertTaken(b'"' + b"\\u0000" * 1_666_666 + b'"')
        self.assertTaken(b'"' + "😀".encode() * 2_500_000 + b'"')
        self.assertTaken(b"1" * 1_000_000)
        self.assertTaken(b" " * 10_000_000 + b"1", b"[1]")

    def test_what_is_no_utf_8_at_its_very_end(self):
        self.create(JSON)
        for end in (b"\xff", b"\xc3", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"):
            self.assertRefusedJson(b'"' + b"x" * 1_000_000 + end + b'"')
        self.assertRefusedJson(b'"' + b"\xc3" * 1_000_000 + b'"')
        self.assertContent(b"[]")

    def test_line_feeds_as_events(self):
        body = b"\n" * MIB
        self.create(TEXT, body)
        self.assertTrue(self.events().data(MIB) == body)
