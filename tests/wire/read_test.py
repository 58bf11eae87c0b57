"""GET without live (protocol 1.3, 2, 9) and HEAD (1.6): offsets, pages, validators, caching."""
import re

from case import BYTES, CLOSE, JSON, TEXT, ZERO, WireTest, token

CACHEABLE = "public, max-age=60, stale-while-revalidate=300"


class Offsets(WireTest):
    def test_absent_is_the_start(self):
        self.create(TEXT, b"abc")
        for query in ("", "?", "?offset=-1", "?offset=%2D1", "?other=1", f"?offset={ZERO}"):
            with self.subTest(query=query):
                response = self.get(query)
                self.assertStatus(response, 200)
                self.assertEqual(response.body, b"abc")
                self.assertEqual(response["stream-next-offset"], token(3))
                self.assertUpToDate(response)

    def test_unknown_modes_and_parameters_are_ignored(self):
        self.create(TEXT, b"abc")
        for query in ("?live=", "?live=websocket", "?live=SSE", "?cursor=1", "?offsets=x", "?a&b=&&=c"):
            with self.subTest(query=query):
                self.assertEqual(self.get(query).body, b"abc")

    def test_malformed_ones_are_refused(self):
        self.create(TEXT, b"abc")
        good = token(1)
        for bad in ("", "a", "NOW", "Now", "-2", "--1", "0", "1", "0_0", "-1%00", "now%0A", "now%00",
                    "-1%20", "%20-1", "+-1", "-1,", good[:-1], "0" + good, good + "0", good + "%00",
                    good.replace("_", "-"), good.replace("_", ""), "0" * 16 + "_", "_" + "0" * 16,
                    "00000000000000x0_0000000000000001", "..", "%2e%2e", "a/b", "%0d%0a", "-1%0d%0a",
                    "1e1", "%2b1", "%zz", "0" * 300):
            with self.subTest(offset=bad):
                self.assertProblem(self.get(f"?offset={bad}"), 400, "INVALID_OFFSET")

    def test_twice_is_refused(self):
        self.create(TEXT, b"abc")
        for query in ("?offset=-1&offset=-1", f"?offset={ZERO}&x=1&offset=", "?offset=-1&%6Fffset=-1"):
            self.assertProblem(self.get(query), 400, "INVALID_OFFSET")

    def test_absent_stream_wins_over_a_malformed_offset(self):
        self.assertProblem(self.get("?offset=x"), 404, "NOT_FOUND")

    def test_byte_stream_is_read_from_any_byte(self):
        self.create(BYTES, b"0123")
        self.append(b"4567", BYTES)
        for position in range(9):
            response = self.get(f"?offset={token(position)}")
            self.assertEqual(response.body, b"01234567"[position:])
            self.assertEqual(response["stream-next-offset"], token(8))

    def test_beyond_the_tail_is_the_tail(self):
        self.create(TEXT, b"abc")
        for offset in (token(4), token(10**16 - 1), "9999999999999999_9999999999999999"):
            response = self.get(f"?offset={offset}")
            self.assertStatus(response, 200)
            self.assertEqual(response.body, b"")
            self.assertEqual(response["stream-next-offset"], token(3))
            self.assertUpToDate(response)

    def test_closed_is_said_at_the_end_only(self):
        self.create({**TEXT, **CLOSE}, b"abc")
        for query in ("", f"?offset={token(3)}", "?offset=now", f"?offset={token(99)}"):
            response = self.get(query)
            self.assertClosed(response)
            self.assertUpToDate(response)


class Now(WireTest):
    def test_is_empty_fresh_and_without_validator(self):
        for headers, body, empty in ((TEXT, b"abc", b""), (JSON, b"[1]", b"[]")):
            path = self.new_path()
            self.create(headers, body, path)
            response = self.get("?offset=now", path=path)
            self.assertStatus(response, 200)
            self.assertEqual(response.body, empty)
            self.assertEqual(response["stream-next-offset"], self.tail(path))
            self.assertUpToDate(response)
            self.assertEqual(response["cache-control"], "no-store")
            self.assertEqual(response["etag"], None)

    def test_is_never_not_modified(self):
        self.create(TEXT, b"abc")
        self.assertStatus(self.get("?offset=now", {"If-None-Match": "*"}), 200)


class Pages(WireTest):
    PAGE_MAX = 4 << 20

    def read_all(self):
        """All pages from the start on."""
        pages, offset = [], "-1"
        while True:
            response = self.get(f"?offset={offset}")
            self.assertStatus(response, 200)
            pages.append(response)
            if response["stream-up-to-date"] == "true":
                return pages
            self.assertClosed(response, False)
            self.assertGreater(response["stream-next-offset"], offset)
            offset = response["stream-next-offset"]

    def test_large_byte_stream_comes_in_pages(self):
        self.create(BYTES)
        part = bytes(range(251)) * 4000
        for _ in range(12):
            self.append(part, BYTES)
        self.post(CLOSE)
        pages = self.read_all()
        self.assertEqual(b"".join(page.body for page in pages), part * 12)
        self.assertGreater(len(pages), 1)
        self.assertLessEqual(max(len(page.body) for page in pages), self.PAGE_MAX)
        self.assertClosed(pages[-1])

    def test_pages_of_json_are_arrays(self):
        self.create(JSON)
        text = "x" * 1000
        for n in range(10):
            self.append(f'["{text}{n}"{f",{n}" * 200000}]'.encode(), JSON)
        values = [value for page in self.read_all() for value in page.json()]
        self.assertEqual(values, [v for n in range(10) for v in [f"{text}{n}", *[n] * 200000]])

    def test_one_message_larger_than_a_page_is_whole(self):
        self.create(JSON, b"[1]")
        big = b'"' + b"y" * (self.PAGE_MAX + 1000) + b'"'
        self.append(big, JSON)
        self.append(b"2", JSON)
        messages = b",".join(page.body[1:-1] for page in self.read_all())
        self.assertEqual(messages, b"1," + big + b",2")


class Validators(WireTest):
    PAGE_MAX = Pages.PAGE_MAX

    def etag(self, query="", path=None):
        etag = self.get(query, path=path)["etag"]
        self.assertRegex(etag, r'^"[\x21\x23-\x7e]+"$')
        return etag

    def assertNotModified(self, value, query=""):
        with self.subTest(value=value):
            response = self.get(query, {"If-None-Match": value})
            self.assertStatus(response, 304)
            self.assertEqual(response["etag"], self.etag(query))
            self.assertTrue(response["cache-control"])
            self.assertEqual(response["access-control-allow-origin"], "*")

    def assertModified(self, value, query=""):
        with self.subTest(value=value):
            self.assertStatus(self.get(query, {"If-None-Match": value}), 200)

    def test_not_modified_with_lists_weak_tags_and_star(self):
        self.create(TEXT, b"abc")
        etag = self.etag()
        for value in (etag, f'"a", {etag}', f'{etag}, "b"', f'"a,b",{etag}', f"W/{etag}",
                      f'W/"x" , W/{etag}', "*"):
            self.assertNotModified(value)

    def test_modified_with_other_tags(self):
        self.create(TEXT, b"abc")
        etag = self.etag()
        for value in ('"x"', etag.strip('"'), etag[:-1], f'"x{etag[1:]}', "W/*", '"', '"*"', ""):
            self.assertModified(value)

    def test_changes_with_new_data(self):
        self.create(TEXT, b"abc")
        etag = self.etag()
        self.append(b"d")
        self.assertModified(etag)

    def test_changes_when_the_stream_is_closed(self):
        self.create(TEXT, b"abc")
        tags = {query: self.etag(query) for query in ("", f"?offset={token(1)}", f"?offset={token(3)}")}
        self.post(CLOSE)
        for query, etag in tags.items():
            self.assertModified(etag, query)
            self.assertClosed(self.get(query))

    def test_changes_when_more_follows_a_full_page(self):
        self.create(TEXT, b"a" * self.PAGE_MAX)
        etag = self.etag()
        self.assertUpToDate(self.get())
        self.append(b"b")
        self.assertModified(etag)
        self.assertUpToDate(self.get(), False)
        etag = self.etag()
        self.post({**TEXT, **CLOSE}, b"c")
        self.assertNotModified(etag)

    def test_differs_by_start(self):
        self.create(TEXT, b"abc")
        self.assertNotEqual(self.etag(), self.etag(f"?offset={token(1)}"))

    def test_differs_for_a_stream_made_again(self):
        self.create(TEXT, b"abc")
        etag = self.etag()
        self.delete()
        self.create(TEXT, b"xyz")
        self.assertModified(etag)
        self.assertNotEqual(self.etag(), etag)

    def test_differs_between_streams(self):
        other = self.new_path()
        self.create(TEXT, b"abc")
        self.create(TEXT, b"abc", other)
        self.assertNotEqual(self.etag(), self.etag(path=other))

    def test_there_is_no_content_coding(self):
        self.create(TEXT, b"a" * 10000)
        response = self.get("", {"Accept-Encoding": "gzip, br"})
        self.assertEqual(response["content-encoding"], None)
        self.assertEqual(response.body, b"a" * 10000)


class Caching(WireTest):
    def max_age(self, response):
        return int(re.search(r"max-age=(\d+)", response["cache-control"])[1])

    def test_data_is_cacheable(self):
        self.create(TEXT, b"abc")
        self.assertEqual(self.get()["cache-control"], CACHEABLE)
        self.post(CLOSE)
        self.assertEqual(self.get()["cache-control"], CACHEABLE)

    def test_empty_range_of_an_open_stream_is_not(self):
        self.create(TEXT, b"abc")
        for query in (f"?offset={token(3)}", f"?offset={token(9)}"):
            self.assertRegex(self.get(query)["cache-control"], "no-store|max-age=0")

    def test_is_never_promised_for_longer_than_the_stream_lives(self):
        self.create({**TEXT, "Stream-TTL": "7"}, b"abc")
        self.assertLessEqual(self.max_age(self.get()), 7)
        path = self.new_path()
        self.create({**TEXT, "Stream-TTL": "1000"}, b"abc", path)
        self.assertEqual(self.max_age(self.get(path=path)), 60)

    def test_of_every_other_answer_is_no_store(self):
        self.assertEqual(self.create(TEXT, b"abc")["cache-control"], "no-store")
        for response in (self.put(TEXT), self.post(TEXT, b"d"), self.head(), self.get("?offset=now"),
                         self.post(CLOSE), self.post(TEXT, b"e"), self.delete(), self.get()):
            self.assertEqual(response["cache-control"], "no-store", response)


class Head(WireTest):
    def test_says_what_the_stream_is(self):
        self.create({**TEXT, "Stream-TTL": "3600"}, b"abc")
        response = self.head()
        self.assertStatus(response, 200)
        self.assertEqual(response["content-type"], "text/plain")
        self.assertEqual(response["stream-next-offset"], token(3))
        self.assertEqual(response["stream-ttl"], "3600")
        self.assertEqual(response["stream-expires-at"], None)
        self.assertClosed(response, False)
        self.post(CLOSE)
        self.assertClosed(self.head())

    def test_has_no_body_also_when_it_fails(self):
        connection = self.connect()
        self.create(TEXT, b"abc")
        self.assertStatus(connection.request("HEAD", self.new_path()), 404)
        self.assertStatus(connection.request("HEAD", self.path), 200)
        self.assertTrue(connection.silent())
        self.assertStatus(connection.request("GET", self.path), 200)

    def test_ignores_the_query(self):
        self.create(TEXT, b"abc")
        for query in ("?offset=x", "?live=sse&offset=-1", "?live=long-poll&offset=now", "?offset="):
            self.assertStatus(self.http("HEAD", self.path + query), 200)


class Delete(WireTest):
    def test_forgets_everything(self):
        self.create({**TEXT, **CLOSE, "Stream-TTL": "3600"}, b"old")
        self.assertStatus(self.delete(), 204)
        for response in (self.get(), self.post(TEXT, b"x"), self.delete()):
            self.assertProblem(response, 404, "NOT_FOUND")
        self.assertStatus(self.head(), 404)
        self.assertEqual(self.create(JSON)["stream-next-offset"], ZERO)
        self.assertContent(b"[]")
        self.assertClosed(self.head(), False)
        self.assertEqual(self.head()["stream-ttl"], None)
