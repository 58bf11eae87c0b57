"""Idempotent producers (protocol 7): one test per row of its table, and what surrounds it."""
from case import CLOSE, JSON, TEXT, WireTest, producer, token

NUMBER_MAX = 9007199254740991


class Producer(WireTest):
    def send(self, epoch, seq, body=b"x", name="p", more=None, path=None, content_type=TEXT):
        headers = {**content_type, **producer(name, epoch, seq), **(more or {})}
        return self.post(headers, body, path)

    def assertAccepted(self, response, epoch, seq):
        self.assertStatus(response, 200)
        self.assertEcho(response, epoch, seq)

    def assertDuplicate(self, response, epoch, highest_seq):
        self.assertStatus(response, 204)
        self.assertEcho(response, epoch, highest_seq)
        self.assertEqual(response["stream-next-offset"], self.tail())

    def assertEcho(self, response, epoch, seq):
        self.assertEqual((response["producer-epoch"], response["producer-seq"]), (str(epoch), str(seq)))

    def assertGap(self, response, expected, received):
        self.assertProblem(response, 409, "SEQUENCE_GAP")
        self.assertEqual(response["producer-expected-seq"], str(expected))
        self.assertEqual(response["producer-received-seq"], str(received))
        self.assertClosed(response, False)


class Headers(Producer):
    def assertInvalid(self, headers):
        with self.subTest(headers=headers):
            self.assertProblem(self.post({**TEXT, **headers}, b"x"), 400, "INVALID_PRODUCER")

    def test_all_or_none(self):
        self.create()
        whole = producer("p", 0, 0)
        for name in whole:
            self.assertInvalid({key: value for key, value in whole.items() if key != name})
            self.assertInvalid({name: whole[name]})

    def test_id_is_not_empty(self):
        self.create()
        self.assertInvalid(producer("", 0, 0))

    def test_id_has_at_most_256_bytes(self):
        self.create()
        for size in (255, 256):
            self.assertAccepted(self.send(0, 0, name="p" * size), 0, 0)
        self.assertInvalid(producer("p" * 257, 0, 0))

    def test_numbers_are_digits_up_to_2_to_the_53_minus_1(self):
        self.create()
        for bad in ("", "-1", "+1", "1.0", "1e0", "a", "0x1", "1 2", NUMBER_MAX + 1,
                    "18446744073709551616", "99999999999999999999999"):
            self.assertInvalid(producer("p", bad, 0))
            self.assertInvalid(producer("p", 0, bad))
        self.assertAccepted(self.send(NUMBER_MAX - 1, 0), NUMBER_MAX - 1, 0)
        self.assertAccepted(self.send(NUMBER_MAX, 0), NUMBER_MAX, 0)
        self.assertGap(self.send(NUMBER_MAX, NUMBER_MAX), 1, NUMBER_MAX)

    def test_leading_zeros_do_not_matter(self):
        self.create()
        self.assertAccepted(self.send("007", "000"), 7, 0)
        self.assertAccepted(self.send("7", "01"), 7, 1)


class Table(Producer):
    def test_first_request_starts_at_zero_in_any_epoch(self):
        self.create()
        self.assertAccepted(self.send(5, 0), 5, 0)
        self.assertGap(self.send(0, 1, name="q"), 0, 1)

    def test_accepts_the_next_one(self):
        self.create()
        for seq in range(5):
            response = self.send(0, seq)
            self.assertAccepted(response, 0, seq)
            self.assertEqual(response["stream-next-offset"], token(seq + 1))
            self.assertClosed(response, False)

    def test_duplicate_is_answered_with_the_highest_and_appends_nothing(self):
        self.create()
        for seq in range(3):
            self.send(1, seq, b"%d" % seq)
        for seq in range(3):
            self.assertDuplicate(self.send(1, seq, b"other"), 1, 2)
        self.assertContent(b"012")

    def test_gap(self):
        self.create()
        self.send(0, 0)
        self.assertGap(self.send(0, 2), 1, 2)
        self.assertAccepted(self.send(0, 1), 0, 1)

    def test_older_epoch_is_fenced(self):
        self.create()
        self.send(5, 0)
        for seq in (0, 1, 9):
            response = self.send(4, seq)
            self.assertProblem(response, 403, "EPOCH_FENCED")
            self.assertEqual(response["producer-epoch"], "5")

    def test_newer_epoch_starts_at_zero(self):
        self.create()
        self.send(0, 0)
        self.assertProblem(self.send(1, 1), 400, "INVALID_PRODUCER_STATE")
        self.assertAccepted(self.send(0, 1), 0, 1)
        self.assertAccepted(self.send(3, 0), 3, 0)
        self.assertDuplicate(self.send(3, 0), 3, 0)

    def test_producers_do_not_know_each_other(self):
        self.create()
        for name in ("a", "b", "A"):
            self.assertAccepted(self.send(0, 0, name=name), 0, 0)
        self.assertGap(self.send(0, 2, name="a"), 1, 2)

    def test_one_request_is_one_sequence_however_many_messages(self):
        self.create(JSON)
        self.assertAccepted(self.send(0, 0, b"[1,2,3]", content_type=JSON), 0, 0)
        self.assertAccepted(self.send(0, 1, b"4", content_type=JSON), 0, 1)
        self.assertContent(b"[1,2,3,4]")

    def test_deleting_the_stream_forgets_its_producers(self):
        self.create()
        self.send(5, 0)
        self.delete()
        self.create()
        self.assertAccepted(self.send(0, 0), 0, 0)


class Order(Producer):
    def test_duplicate_comes_before_stream_seq(self):
        self.create()
        self.send(0, 0, more={"Stream-Seq": "5"})
        self.assertDuplicate(self.send(0, 0, more={"Stream-Seq": "5"}), 0, 0)

    def test_duplicate_comes_before_the_json(self):
        self.create(JSON)
        self.send(0, 0, b"1", content_type=JSON)
        self.assertDuplicate(self.send(0, 0, b"{", content_type=JSON), 0, 0)

    def test_duplicate_comes_after_the_content_type(self):
        self.create()
        self.send(0, 0)
        self.assertProblem(self.send(0, 0, content_type=JSON), 409, "CONTENT_TYPE_MISMATCH")

    def test_duplicate_with_nothing_in_it_is_an_empty_body(self):
        self.create()
        self.send(0, 0)
        self.assertProblem(self.send(0, 0, b""), 400, "EMPTY_BODY")

    def test_refused_append_leaves_the_producer_as_it_was(self):
        self.create(JSON)
        self.send(0, 0, b"0", content_type=JSON, more={"Stream-Seq": "5"})
        for body, more, status in ((b"{", {}, 400), (b"[]", {}, 400), (b"1", {"Stream-Seq": "4"}, 409)):
            self.assertStatus(self.send(0, 1, body, content_type=JSON, more=more), status)
        self.assertAccepted(self.send(0, 1, b"1", content_type=JSON), 0, 1)
        self.assertStatus(self.send(1, 0, b"{", content_type=JSON), 400)
        self.assertAccepted(self.send(0, 2, b"2", content_type=JSON), 0, 2)
        self.assertContent(b"[0,1,2]")

    def test_refused_first_append_makes_no_producer(self):
        self.create(JSON)
        self.assertStatus(self.send(5, 0, b"{", content_type=JSON), 400)
        self.assertAccepted(self.send(0, 0, b"1", content_type=JSON), 0, 0)


class Closing(Producer):
    def assertClosedConflict(self, response):
        self.assertProblem(response, 409, "STREAM_CLOSED")
        self.assertClosed(response)
        self.assertEqual(response["stream-next-offset"], self.tail())

    def assertClosingTuple(self, response, epoch, seq):
        self.assertDuplicate(response, epoch, seq)
        self.assertClosed(response)

    def test_append_and_close_again(self):
        self.create()
        self.send(2, 0)
        response = self.send(2, 1, b"end", more=CLOSE)
        self.assertAccepted(response, 2, 1)
        self.assertClosed(response)
        self.assertClosingTuple(self.send(2, 1, b"end", more=CLOSE), 2, 1)
        self.assertClosingTuple(self.send(2, 1, b"other", more=CLOSE), 2, 1)
        self.assertContent(b"xend")

    def test_close_only_answers_204_also_again(self):
        self.create()
        self.send(0, 0)
        for _ in range(2):
            self.assertClosingTuple(self.send(0, 1, b"", more=CLOSE), 0, 1)

    def test_every_other_tuple_conflicts(self):
        self.create()
        self.send(1, 0)
        self.send(1, 1, b"end", more=CLOSE)
        self.assertClosedConflict(self.send(1, 0))
        self.assertClosedConflict(self.send(1, 2))
        self.assertClosedConflict(self.send(2, 0))
        self.assertClosedConflict(self.send(0, 0))
        self.assertClosedConflict(self.send(1, 1, b"end", name="q", more=CLOSE))
        self.assertClosedConflict(self.send(1, 2, b"", more=CLOSE))

    def test_stream_closed_by_someone_else_conflicts(self):
        self.create()
        self.send(0, 0)
        self.post(CLOSE)
        self.assertClosedConflict(self.send(0, 0))
        self.assertClosedConflict(self.send(0, 1, b"", more=CLOSE))
        self.assertClosedConflict(self.send(0, 1, b"end", more=CLOSE))

    def test_plain_close_of_a_stream_that_a_producer_closed(self):
        self.create()
        self.send(0, 0, b"end", more=CLOSE)
        response = self.post(CLOSE)
        self.assertStatus(response, 204)
        self.assertClosed(response)

    def test_old_duplicate_with_close_leaves_the_stream_open(self):
        self.create()
        self.send(0, 0)
        self.send(0, 1)
        response = self.send(0, 0, more=CLOSE)
        self.assertDuplicate(response, 0, 1)
        self.assertClosed(response, False)
        self.assertClosed(self.head(), False)

    def test_refused_close_leaves_stream_and_producer_as_they_were(self):
        self.create(JSON)
        self.assertStatus(self.send(0, 0, b"{", content_type=JSON, more=CLOSE), 400)
        self.assertStatus(self.send(0, 3, b"1", content_type=JSON, more=CLOSE), 409)
        self.assertAccepted(self.send(0, 0, b"1", content_type=JSON, more=CLOSE), 0, 0)
