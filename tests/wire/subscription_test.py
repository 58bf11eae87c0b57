"""Subscriptions: protocol sections 6 and 7, beyond what the conformance suite looks at."""
import json
import re
import threading
import urllib.parse

from case import JSON, ROOT, TEXT, ZERO, WireTest, token
from http1 import TIMEOUT_S, encode_request, wait_until
from receiver import Receiver

DONE = json.dumps({"done": True}).encode()


class SubscriptionTest(WireTest):
    """`self.id` is the id of a subscription that does not exist; streams are below `self.name`."""

    options = ("--allow-local-webhooks",)

    def setUp(self):
        super().setUp()
        number = next(self.numbers)
        self.id, self.name = f"sub-{number}", f"events-{number}"
        self.wake = f"wake/{number}"

    # requests

    def url(self, suffix="", subscription=None):
        return f"{ROOT}__ds/subscriptions/{subscription or self.id}{suffix}"

    def control(self, method, suffix="", body=None, headers=None, subscription=None):
        data = None if body is None else json.dumps(body).encode()
        return self.http(method, self.url(suffix, subscription), headers or JSON, data)

    def subscribe(self, subscription=None, status=201, **members):
        body = {"type": "pull-wake", "pattern": f"{self.name}/*", "wake_stream": self.wake,
                "lease_ttl_ms": 1000, **members}
        response = self.control("PUT", body=body, subscription=subscription)
        self.assertStatus(response, status)
        return response.json()

    def subscribe_webhook(self, receiver, **members):
        return self.subscribe(type="webhook", webhook={"url": receiver.url}, wake_stream=None,
                              **members)

    def view(self, subscription=None):
        response = self.control("GET", subscription=subscription)
        self.assertStatus(response, 200)
        return response.json()

    def listed(self):
        """Its line in the list for the operator."""
        cursor = "0"
        while True:
            page = self.http("GET", f"/subscriptions?cursor={cursor}").json()
            for line in page["subscriptions"]:
                if line["id"] == self.id:
                    return line
            cursor = page["next_cursor"]
            self.assertNotEqual(cursor, "0")

    def cursors(self):
        return {link["path"]: link["acked_offset"] for link in self.view()["streams"]}

    def stream(self, name):
        return f"{ROOT}{self.name}/{name}"

    def make(self, name, body=b"x"):
        self.create(TEXT, body, self.stream(name))

    def more(self, name, body=b"y"):
        self.append(body, TEXT, self.stream(name))

    def claim(self, worker="w", status=200):
        response = self.control("POST", "/claim", {"worker": worker})
        self.assertStatus(response, status)
        return response.json()

    def report(self, action, wake, acks=None, done=None, bearer=None, **members):
        body = {"wake_id": wake["wake_id"], "generation": wake["generation"], **members}
        if acks is not None:
            body["acks"] = [{"stream": name, "offset": at} for name, at in acks.items()]
        if done is not None:
            body["done"] = done
        bearer = bearer or wake.get("token") or wake["callback_token"]
        headers = {**JSON, "Authorization": f"Bearer {bearer}"}
        return self.control("POST", f"/{action}", body, headers)

    def events(self):
        response = self.http("GET", f"{ROOT}{self.wake}")
        return response.json() if response.status == 200 else []

    def receiver(self, *answer):
        receiver = Receiver(*answer)
        self.addCleanup(receiver.close)
        return receiver

    def assertError(self, response, status, code):
        self.assertStatus(response, status)
        self.assertEqual(response["content-type"], "application/json")
        error = response.json()["error"]
        self.assertEqual(error["code"], code, response)
        return error


class Configuration(SubscriptionTest):
    def test_is_shown_with_everything_that_was_left_open(self):
        view = self.subscribe(lease_ttl_ms=None)
        self.assertEqual(view["id"], self.id)
        self.assertEqual(view["subscription_id"], self.id)
        self.assertEqual(view["lease_ttl_ms"], 30000)
        self.assertEqual(view["status"], "active")
        self.assertRegex(view["created_at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertEqual(view, self.view())

    def test_is_the_same_or_another(self):
        first = self.subscribe(streams=["a", "/b/"], description="d")
        same = {"streams": ["b", "a", "a"], "description": "d"}
        self.assertEqual(self.subscribe(status=200, **same), first)
        self.control("POST", "/streams", {"streams": ["c"]})
        self.subscribe(status=200, **same)
        for other in ({"lease_ttl_ms": 1001}, {"pattern": "other/*"}, {"description": "e"},
                      {"streams": ["a"]}, {"wake_stream": "other"}):
            body = {"type": "pull-wake", "pattern": f"{self.name}/*", "wake_stream": self.wake,
                    "lease_ttl_ms": 1000, **same, **other}
            self.assertError(self.control("PUT", body=body), 409, "SUBSCRIPTION_ALREADY_EXISTS")

    def test_is_refused_when_it_makes_no_sense(self):
        for body in ({}, {"type": "push"}, {"type": "pull-wake", "wake_stream": "w"},
                     {"type": "pull-wake", "pattern": "a"}, {"type": "webhook", "pattern": "a"},
                     {"type": "pull-wake", "pattern": "a/../b", "wake_stream": "w"},
                     {"type": "pull-wake", "pattern": "a", "wake_stream": "__ds/x"}):
            error = self.assertError(self.control("PUT", body=body), 400, "INVALID_REQUEST")
            self.assertTrue(error["message"])
        for text in (b"", b"[]", b"{", b"\xff", b'{"type":"pull-wake"}x'):
            response = self.http("PUT", self.url(), JSON, text)
            self.assertError(response, 400, "INVALID_REQUEST")
        self.assertError(self.control("GET"), 404, "SUBSCRIPTION_NOT_FOUND")

    def test_refuses_webhooks_to_where_only_the_server_can_go(self):
        for url in ("http://10.0.0.1/hook", "https://[fd00::1]/", "https://169.254.169.254/",
                    "http://example.com/", "https://user@example.com/", "https://2130706433/"):
            body = {"type": "webhook", "pattern": "a", "webhook": {"url": url}}
            self.assertError(self.control("PUT", body=body), 400, "WEBHOOK_URL_REJECTED")

    def test_takes_any_id_that_is_one_segment(self):
        odd = "a%20b%2Fc%C3%A4%22"
        self.assertEqual(self.subscribe(odd)["id"], urllib.parse.unquote(odd))
        self.assertEqual(self.view(odd.replace("%2F", "%2f"))["id"], urllib.parse.unquote(odd))
        self.assertStatus(self.control("DELETE", subscription=odd), 204)
        for wrong in ("%00", "%ff", "..", "x" * 256):
            self.assertError(self.control("GET", subscription=wrong), 400, "INVALID_REQUEST")

    def test_knows_its_methods(self):
        for suffix, method in (("", "POST"), ("/streams", "PUT"), ("/claim", "GET"),
                               ("/ack", "DELETE"), ("/streams/x", "POST")):
            response = self.control(method, suffix, {})
            self.assertError(response, 405, "METHOD_NOT_ALLOWED")
            self.assertNotIn(method, response["allow"])
        response = self.http("POST", ROOT + "__ds/jwks.json", JSON, b"")
        self.assertError(response, 405, "METHOD_NOT_ALLOWED")
        self.assertStatus(self.http("HEAD", ROOT + "__ds/jwks.json"), 200)

    def test_keys_are_public(self):
        response = self.http("GET", ROOT + "__ds/jwks.json")
        self.assertEqual(response["content-type"], "application/jwk-set+json")
        self.assertEqual(response["cache-control"], "public, max-age=300")
        key, = response.json()["keys"]
        self.assertEqual((key["kty"], key["crv"], key["alg"], key["use"]),
                         ("OKP", "Ed25519", "EdDSA", "sig"))
        self.assertNotIn("d", key)

    def test_is_removed_for_good(self):
        self.subscribe()
        self.make("a")
        wake = self.claim()
        self.assertStatus(self.control("DELETE"), 204)
        self.assertStatus(self.control("DELETE"), 204)
        for action in ("ack", "release", "callback"):
            self.assertError(self.report(action, wake, {}), 404, "SUBSCRIPTION_NOT_FOUND")
        self.assertError(self.control("POST", "/claim", {"worker": "w"}), 404,
                         "SUBSCRIPTION_NOT_FOUND")
        self.subscribe()
        self.more("a")
        again = self.claim()
        self.assertEqual(again["generation"], wake["generation"])
        response = self.report("ack", again, {}, bearer=wake["token"])
        self.assertError(response, 401, "TOKEN_INVALID")


class Links(SubscriptionTest):
    def test_begin_at_the_tails_of_what_is_there(self):
        self.make("a", b"abc")
        self.make("empty", None)
        self.subscribe(streams=[f"{self.name}/a", f"{self.name}/later", "elsewhere"])
        self.assertEqual(self.cursors(), {
            f"{self.name}/a": token(3), f"{self.name}/empty": ZERO,
            f"{self.name}/later": ZERO, "elsewhere": ZERO})
        kinds = {link["path"]: link["link_type"] for link in self.view()["streams"]}
        self.assertEqual(kinds[f"{self.name}/a"], "explicit")
        self.assertEqual(kinds[f"{self.name}/empty"], "glob")
        self.claim(status=409)

    def test_of_new_streams_begin_before_their_first_append(self):
        self.subscribe()
        self.make("empty", None)
        self.claim(status=409)
        self.assertEqual(self.cursors(), {})
        self.make("a", b"abc")
        self.more("empty")
        self.assertEqual(len(self.claim()["streams"]), 2)
        self.assertEqual(self.cursors(), {f"{self.name}/a": "-1", f"{self.name}/empty": "-1"})

    def test_match_whole_segments_only(self):
        self.subscribe(pattern=f"{self.name}/*/x")
        for name in ("a/x", "a/y", "a/b/x", "x"):
            self.make(name)
        self.claim()
        self.assertEqual(list(self.cursors()), [f"{self.name}/a/x"])

    def test_are_added_at_the_tail_and_keep_their_place(self):
        self.subscribe(streams=["x"])
        self.make("a", b"abc")
        self.claim()
        both = {"streams": [f"{self.name}/a", f"{self.name}-b/1"]}
        self.create(TEXT, b"12345", f"{ROOT}{self.name}-b/1")
        self.assertStatus(self.control("POST", "/streams", both), 204)
        self.assertEqual(self.cursors(), {"x": ZERO, f"{self.name}/a": "-1",
                                          f"{self.name}-b/1": token(5)})
        self.assertError(self.control("POST", "/streams", {"streams": "x"}), 400,
                         "INVALID_REQUEST")
        self.assertError(self.control("POST", "/streams", both, subscription="none"), 404,
                         "SUBSCRIPTION_NOT_FOUND")

    def test_that_were_added_wake(self):
        self.create(TEXT, b"12345", f"{ROOT}{self.name}-b/1")
        self.subscribe()
        self.control("POST", "/streams", {"streams": [f"{self.name}-b/1"]})
        self.claim(status=409)
        self.append(b"x", TEXT, f"{ROOT}{self.name}-b/1")
        self.claim()

    def test_of_a_pattern_outlive_the_explicit_ones(self):
        self.make("a")
        self.subscribe(streams=[f"{self.name}/a", "x/y"])
        escaped = urllib.parse.quote(f"{self.name}/a", safe="")
        for path in (escaped, "x/y", "x/y", "never/was"):
            self.assertStatus(self.control("DELETE", f"/streams/{path}"), 204)
        link, = self.view()["streams"]
        self.assertEqual((link["path"], link["link_type"]), (f"{self.name}/a", "glob"))

    def test_end_with_their_stream(self):
        self.subscribe(lease_ttl_ms=600000)
        self.make("a")
        self.make("b")
        wake = self.claim()
        self.delete(self.stream("a"))
        wait_until(lambda: list(self.cursors()) == [f"{self.name}/b"])
        response = self.report("ack", wake, {f"{self.name}/a": token(1)})
        self.assertError(response, 409, "INVALID_OFFSET")
        self.make("a", b"new")
        self.report("ack", wake, {f"{self.name}/b": token(1)}, done=True)
        self.claim()
        self.assertEqual(self.cursors()[f"{self.name}/a"], "-1")

    def test_to_a_stream_made_anew_are_not_acked_by_who_was_told_of_the_old_one(self):
        self.subscribe(lease_ttl_ms=600000)
        self.make("a", b"old")
        wake = self.claim()
        self.delete(self.stream("a"))
        self.make("a", b"new")
        a = f"{self.name}/a"
        error = self.assertError(self.report("ack", wake, {a: token(3)}, done=True), 409,
                                 "INVALID_OFFSET")
        self.assertIn("made anew", error["message"])
        self.assertEqual(self.report("ack", wake, {}, done=True).json()["next_wake"], True)
        wake = self.claim()
        self.assertStatus(self.report("ack", wake, {a: token(3)}, done=True), 200)
        self.assertEqual(self.cursors(), {a: token(3)})

    def test_never_hold_the_own_wake_stream_or_reserved_ones(self):
        self.create(JSON, b"[]", ROOT + self.wake)
        self.subscribe(pattern="**")
        self.make("a")
        self.claim()
        paths = list(self.cursors())
        self.assertIn(f"{self.name}/a", paths)
        self.assertNotIn(self.wake, paths)
        self.assertFalse([path for path in paths if path.startswith("__ds")])
        self.control("DELETE")


class PullWake(SubscriptionTest):
    def test_works_right_after_the_append_was_answered(self):
        self.subscribe()
        self.make("a", None)
        for i in range(1, 30):
            self.more("a")
            wake = self.claim()
            self.assertEqual(wake["streams"][0]["tail_offset"], token(i))
            response = self.report("ack", wake, {f"{self.name}/a": token(i)}, done=True)
            self.assertEqual(response.json(), {"ok": True, "next_wake": False})

    def test_writes_events_into_streams_of_any_kind(self):
        for headers, body in ((JSON, b"[]"), (TEXT, None)):
            self.setUp()
            self.create(headers, body, ROOT + self.wake)
            self.subscribe()
            self.make("a")
            path = ROOT + self.wake
            text = wait_until(lambda: self.http("GET", path).body.strip(b"[]"))
            event = json.loads(text)
            self.assertEqual((event["type"], event["subscription_id"], event["stream"],
                              event["generation"]), ("wake", self.id, f"{self.name}/a", 1))

    def test_does_without_its_wake_stream(self):
        self.subscribe()
        self.make("a")
        self.claim()

    def test_tells_a_wake_stream_that_is_made_later(self):
        self.subscribe()
        self.make("a")
        line = wait_until(lambda: self.listed()["failures"] and self.listed())
        self.assertEqual((line["state"], line["last_error"], line["last_status"]),
                         ("waking", "there is no such stream", 0))
        self.create(JSON, b"[]", ROOT + self.wake)
        event, = wait_until(self.events)
        self.assertEqual((event["stream"], event["generation"]), (f"{self.name}/a", 1))
        wait_until(lambda: self.listed()["failures"] == 0)
        self.assertIsNone(self.listed()["last_error"])
        self.assertEqual(self.claim()["generation"], 1)

    def test_tells_a_wake_stream_that_is_made_anew_after_it_was_closed(self):
        self.create({**JSON, "Stream-Closed": "true"}, b"[]", ROOT + self.wake)
        self.subscribe()
        self.make("a")
        wait_until(lambda: self.listed()["last_error"] == "the stream is closed")
        self.delete(ROOT + self.wake)
        self.create(JSON, b"[]", ROOT + self.wake)
        wait_until(self.events)

    def test_wakes_once_for_many_appends(self):
        self.create(JSON, b"[]", ROOT + self.wake)
        self.subscribe()
        self.make("a")
        wait_until(self.events)
        for _ in range(20):
            self.more("a")
        wake = self.claim()
        self.assertEqual(wake["streams"][0]["tail_offset"], token(21))
        self.assertEqual(len(self.events()), 1)

    def test_is_held_by_one_worker(self):
        self.subscribe(lease_ttl_ms=600000)
        self.make("a")
        wake = self.claim("w-1")
        error = self.assertError(self.control("POST", "/claim", {"worker": "w-2"}), 409,
                                 "ALREADY_CLAIMED")
        self.assertEqual((error["current_holder"], error["generation"]), ("w-1", 1))
        self.assertEqual(error["message"], "another worker holds the lease. Wait for the next wake event.")
        error = self.assertError(self.control("POST", "/claim", {"worker": "w-1"}), 409,
                                 "ALREADY_CLAIMED")
        self.assertIn("a worker of this name holds the lease", error["message"])
        self.assertStatus(self.report("release", wake), 204)
        again = self.claim("w-2")
        self.assertEqual(again["generation"], 2)
        self.assertNotEqual(again["wake_id"], wake["wake_id"])

    def test_acks_move_cursors_together_or_not_at_all(self):
        self.subscribe(lease_ttl_ms=600000)
        self.make("a", b"abc")
        self.make("b", b"abc")
        wake = self.claim()
        a, b = f"{self.name}/a", f"{self.name}/b"
        for wrong, why in (({b: "-1"}, "can have"), ({b: token(4)}, "beyond the end"),
                           ({"c": token(1)}, "not linked"), ({"__ds/c": token(1)}, "not linked"),
                           ({b: "x"}, "can have"), ({b: "now"}, "can have")):
            response = self.report("ack", wake, {a: token(2), **wrong})
            error = self.assertError(response, 409, "INVALID_OFFSET")
            self.assertIn(why, error["message"])
            self.assertIn(error.get("stream", "__ds/c"), wrong)
            self.assertEqual(self.cursors(), {a: "-1", b: "-1"})
        response = self.report("ack", wake, {a: token(2), b: token(3)})
        self.assertEqual(response.json(), {"ok": True, "next_wake": False})
        self.assertEqual(self.cursors(), {a: token(2), b: token(3)})
        error = self.assertError(self.report("ack", wake, {a: token(1)}), 409, "INVALID_OFFSET")
        self.assertIn("before what was acked", error["message"])
        self.assertStatus(self.report("ack", wake, {a: token(2)}), 200)
        response = self.report("ack", wake, {}, done=True)
        self.assertEqual(response.json(), {"ok": True, "next_wake": True})
        self.assertEqual(self.claim()["generation"], 2)

    def test_takes_acks_of_what_was_read_before_the_hooks_know_of_it(self):
        self.subscribe(lease_ttl_ms=600000)
        self.make("a", b"1")
        wake = self.claim()
        for i in range(2, 30):
            self.more("a")
            self.assertStatus(self.report("ack", wake, {f"{self.name}/a": token(i)}), 200)

    def test_checks_in_the_order_of_the_protocol(self):
        self.subscribe(lease_ttl_ms=600000)
        self.make("a")
        wake = self.claim()
        body = b"{"
        for action in ("ack", "release", "callback"):
            path = self.url("/" + action)
            for headers in (JSON, {**JSON, "Authorization": "Basic x"},
                            {**JSON, "Authorization": "Bearer "}):
                response = self.http("POST", path, headers, body)
                error = self.assertError(response, 401, "TOKEN_INVALID")
                self.assertIn("Authorization: Bearer", error["message"])
            bearer = {**JSON, "Authorization": "Bearer x"}
            self.assertError(self.http("POST", path, bearer, body), 400, "INVALID_REQUEST")
            missing = self.url("/" + action, "none")
            self.assertError(self.http("POST", missing, bearer, b"{}"), 404,
                             "SUBSCRIPTION_NOT_FOUND")
            self.assertError(self.http("POST", path, bearer, b"{}"), 401, "TOKEN_INVALID")
            good = {**JSON, "Authorization": f"bearer {wake['token']}"}
            for incomplete in (b"{}", b'{"generation":1}', b'{"wake_id":"w_0"}'):
                error = self.assertError(self.http("POST", path, good, incomplete), 400,
                                         "INVALID_REQUEST")
                self.assertEqual(error["message"], "wake_id and generation are needed")
        flipped = wake["token"][:-2] + ("AA" if wake["token"][-2:] != "AA" else "BB")
        self.assertError(self.report("ack", wake, {}, bearer=flipped), 401, "TOKEN_INVALID")

    def test_fences_what_is_over(self):
        self.subscribe(lease_ttl_ms=600000)
        self.make("a")
        wake = self.claim()
        for members in ({"generation": 2}, {"generation": 0}, {"wake_id": "w_0"}):
            self.assertError(self.report("ack", wake, {}, **members), 409, "FENCED")
        self.assertStatus(self.report("ack", wake, {f"{self.name}/a": token(1)}, done=True), 200)
        for action in ("ack", "release"):
            self.assertError(self.report(action, wake, {}), 409, "FENCED")
        self.more("a")
        again = self.claim()
        response = self.report("ack", again, {}, bearer=wake["token"])
        self.assertError(response, 409, "FENCED")

    def test_tokens_are_of_one_subscription(self):
        self.subscribe(lease_ttl_ms=600000)
        self.make("a")
        wake = self.claim()
        other, self.id = self.id, self.id + "-2"
        self.subscribe(lease_ttl_ms=600000)
        self.more("a")
        mine = self.claim()
        self.assertError(self.report("ack", mine, {}, bearer=wake["token"]), 401, "TOKEN_INVALID")
        self.control("DELETE", subscription=other)

    def test_a_lease_that_runs_out_wakes_again(self):
        self.create(JSON, b"[]", ROOT + self.wake)
        self.subscribe()
        self.make("a")
        wake = self.claim()
        wait_until(lambda: [event for event in self.events() if event["generation"] == 2])
        self.assertError(self.report("ack", wake, {f"{self.name}/a": token(1)}), 409, "FENCED")
        self.assertEqual(self.cursors(), {f"{self.name}/a": "-1"})
        self.assertEqual(self.listed()["leases_expired"], 1)
        wake = self.claim("w-2")
        self.assertEqual(wake["generation"], 2)
        self.assertStatus(self.report("ack", wake, {}), 200)
        self.assertEqual(self.listed()["leases_expired"], 0)


class Webhook(SubscriptionTest):
    def test_is_told_the_tails_of_the_wake(self):
        receiver = self.receiver(lambda delivery: (200, DONE))
        self.subscribe_webhook(receiver)
        self.make("a", b"abc")
        body = receiver.next().json()
        self.assertEqual(body["subscription_id"], self.id)
        self.assertEqual(body["streams"], [{
            "path": f"{self.name}/a", "link_type": "glob", "acked_offset": "-1",
            "tail_offset": token(3), "has_pending": True}])
        self.assertEqual(body["callback_url"], f"http://test{self.url('/callback')}")
        wait_until(lambda: self.cursors() == {f"{self.name}/a": token(3)})
        self.assertError(self.report("callback", body, {}), 409, "FENCED")

    def test_wakes_again_for_what_came_meanwhile(self):
        def answer(delivery):
            if delivery.json()["generation"] == 1:
                self.append_meanwhile()
            return 200, DONE

        self.append_meanwhile = lambda: None
        receiver = self.receiver(answer)
        connection = self.connect()
        self.append_meanwhile = lambda: connection.request("POST", self.stream("a"), TEXT, b"more")
        self.subscribe_webhook(receiver, lease_ttl_ms=60000)
        self.make("a")
        self.assertEqual(receiver.next().json()["generation"], 1)
        second = receiver.next().json()
        self.assertEqual(second["generation"], 2)
        self.assertEqual(second["streams"][0]["acked_offset"], token(1))
        wait_until(lambda: self.cursors() == {f"{self.name}/a": token(5)})

    def test_is_answered_by_a_callback(self):
        receiver = self.receiver()
        self.subscribe_webhook(receiver, lease_ttl_ms=60000)
        self.make("a")
        body = receiver.next().json()
        self.more("a")
        path = f"{self.name}/a"
        response = self.report("callback", body, {path: token(1)})
        self.assertEqual(response.json(), {"ok": True, "next_wake": False})
        response = self.report("callback", body, {path: token(1)}, done=True)
        self.assertEqual(response.json(), {"ok": True, "next_wake": True})
        self.assertEqual(receiver.next().json()["generation"], 2)
        for action in ("ack", "release"):
            self.assertError(self.report(action, body, {}), 400, "INVALID_REQUEST")
        self.assertError(self.control("POST", "/claim", {"worker": "w"}), 400, "INVALID_REQUEST")

    def test_that_fails_is_sent_again_and_says_the_same(self):
        answers = [(500, b""), (302, b""), (200, DONE)]
        receiver = self.receiver(lambda delivery: answers.pop(0) if answers else (200, DONE))
        self.subscribe_webhook(receiver, lease_ttl_ms=60000)
        self.make("a")
        first = receiver.next()
        wait_until(lambda: self.view()["status"] == "failed")
        line = self.listed()
        self.assertEqual((line["failures"], line["last_error"], line["last_status"]),
                         (1, "the answer was not one of 2xx", 500))
        self.assertGreater(line["next_attempt_ms"], 0)
        self.more("a")
        second, third = receiver.next(), receiver.next()
        self.assertEqual(second.json()["wake_id"], first.json()["wake_id"])
        self.assertEqual(second.json()["streams"], first.json()["streams"])
        self.assertEqual(third.json()["generation"], 1)
        self.assertNotEqual(first.headers["Webhook-Signature"], third.headers["Webhook-Signature"])
        wait_until(lambda: self.view()["status"] == "active")
        self.assertGreaterEqual(self.metric("sluice_webhook_retries_total"), 2)

    def test_without_an_answer_is_a_failure_when_the_lease_runs_out(self):
        stuck = []

        def answer(delivery):
            if not stuck:
                stuck.append(delivery)
                hold.wait(TIMEOUT_S)
            return 200, DONE

        hold = threading.Event()
        self.addCleanup(hold.set)
        receiver = self.receiver(answer)
        self.subscribe_webhook(receiver)
        self.make("a")
        self.assertEqual(receiver.next().json()["generation"], 1)
        wait_until(lambda: self.view()["status"] == "failed")
        self.assertEqual(receiver.next().json()["generation"], 2)
        wait_until(lambda: self.cursors() == {f"{self.name}/a": token(1)})
        hold.set()


class Restart(SubscriptionTest):
    def crash(self):
        self.server.crash()
        self.shared = None

    def test_keeps_subscriptions_cursors_and_generations(self):
        self.make("old", b"abc")
        self.subscribe(streams=["x"])
        self.make("a")
        wake = self.claim()
        self.report("ack", wake, {f"{self.name}/a": token(1)}, done=True)
        before = self.view()
        self.crash()
        self.assertEqual(self.view(), before)
        self.claim(status=409)
        self.more("a")
        self.assertEqual(self.claim()["generation"], 2)

    def test_keeps_what_is_larger_than_a_piece_of_a_page(self):
        self.subscribe(streams=[f"{self.name}/{n:0100}" for n in range(4000)])
        before = self.cursors()
        self.assertEqual(len(before), 4000)
        self.crash()
        self.assertEqual(self.cursors(), before)

    def test_wakes_for_what_is_pending(self):
        self.create(JSON, b"[]", ROOT + self.wake)
        self.subscribe()
        self.make("a")
        wait_until(self.events)
        self.crash()
        wait_until(lambda: len(self.events()) > 1)
        self.assertEqual(self.claim()["generation"], 1)

    def test_keeps_a_claim_and_its_token(self):
        self.subscribe(lease_ttl_ms=600000)
        self.make("a")
        wake = self.claim("w-1")
        self.crash()
        error = self.assertError(self.control("POST", "/claim", {"worker": "w-2"}), 409,
                                 "ALREADY_CLAIMED")
        self.assertEqual(error["current_holder"], "w-1")
        response = self.report("ack", wake, {f"{self.name}/a": token(1)}, done=True)
        self.assertEqual(response.json(), {"ok": True, "next_wake": False})

    def test_forgets_what_was_removed(self):
        self.subscribe()
        self.make("a")
        self.claim()
        self.control("DELETE")
        self.crash()
        self.assertError(self.control("GET"), 404, "SUBSCRIPTION_NOT_FOUND")

    def test_finds_streams_that_were_removed_and_made_anew(self):
        self.subscribe(streams=["never"])
        for name in ("a", "b"):
            self.make(name, b"abc")
        wake = self.claim()
        self.report("ack", wake, {f"{self.name}/a": token(3), f"{self.name}/b": token(3)},
                    done=True)
        self.delete(self.stream("a"))
        self.delete(self.stream("b"))
        self.make("b", b"12345")
        self.crash()
        self.assertEqual(self.cursors(), {"never": ZERO, f"{self.name}/b": "-1"})
        self.claim()

    def test_keeps_the_keys_and_the_schedule_of_retries(self):
        receiver = self.receiver(lambda delivery: (503, b""))
        self.subscribe_webhook(receiver, lease_ttl_ms=60000)
        keys = self.http("GET", ROOT + "__ds/jwks.json").json()
        self.make("a")
        for _ in range(2):
            receiver.next()
        wait_until(lambda: self.view()["status"] == "failed")
        self.crash()
        self.assertEqual(self.http("GET", ROOT + "__ds/jwks.json").json(), keys)
        self.assertEqual(self.view()["status"], "failed")
        self.assertEqual(receiver.next().json()["generation"], 1)


class FailureLog(SubscriptionTest):
    def test_has_a_line_for_the_first_failure_and_at_most_one_in_a_second(self):
        receiver = self.receiver(lambda delivery: (500, b""))
        failing = re.compile(rf"webhook_failed id={self.id}-(\d+) url={receiver.url} status=500 "
                             r'reason="the answer was not one of 2xx" left_out=(\d+)\n')
        made = []

        def fail_one_more():
            """Of its own stream, which is new."""
            name = f"{self.id}-{len(made)}"
            self.subscribe(name, type="webhook", webhook={"url": receiver.url}, wake_stream=None,
                           pattern=f"{self.name}/{len(made)}", lease_ttl_ms=600000)
            self.make(str(len(made)))
            made.append(name)
            receiver.next()
            return [int(left_out) for _, left_out in failing.findall(self.server.stderr())]

        self.assertEqual(wait_until(fail_one_more), [0])
        first, second = wait_until(lambda: (lines := fail_one_more())[1:] and lines)
        self.assertEqual(first, 0)
        self.assertGreater(second, 0)
        self.assertLessEqual(second + 2, len(made))


class EventLog(SubscriptionTest):
    def test_names_the_wake_stream_that_is_missing(self):
        self.subscribe()
        self.make("a")
        line = (f"wake_event_failed id={self.id} wake_stream={self.wake} status=0 "
                'reason="there is no such stream" left_out=0\n')
        wait_until(lambda: line in self.server.stderr())


class Operator(SubscriptionTest):
    def test_lists_all_subscriptions_in_pages(self):
        names = {f"{self.id}-{i}" for i in range(300)}
        for name in names:
            self.subscribe(name)
        self.make("a")
        found, cursor = [], "0"
        while cursor:
            page = self.http("GET", f"/subscriptions?cursor={cursor}").json()
            found += page["subscriptions"]
            cursor = page["next_cursor"] if page["next_cursor"] != "0" else None
        mine = [one for one in found if one["id"] in names]
        self.assertEqual(len(mine), len(names))
        self.assertEqual({one["id"] for one in mine}, names)
        wait_until(lambda: self.metric("sluice_subscriptions_pending") >= 300)
        self.assertGreaterEqual(self.metric("sluice_subscriptions"), 300)
        for name in names:
            self.control("DELETE", subscription=name)
        wait_until(lambda: self.metric("sluice_subscriptions_pending") == 0)

    def test_is_told_what_is_wrong_with_the_request_for_a_list(self):
        error = self.assertError(self.http("GET", "/subscriptions?cursor=x"), 400,
                                 "INVALID_REQUEST")
        self.assertIn("cursor", error["message"])
        response = self.http("POST", "/subscriptions", JSON, b"{}")
        self.assertStatus(response, 405)
        self.assertEqual(response["allow"], "GET, HEAD, OPTIONS")
        self.assertStatus(self.http("HEAD", "/subscriptions"), 200)


class PublicOnly(SubscriptionTest):
    options = ()

    def test_names_the_option_for_webhooks_to_this_machine(self):
        for url, is_local in (("http://localhost:1/", True), ("http://127.0.0.1/hook", True),
                              ("https://[::1]:8443/", True), ("http://example.com/", False),
                              ("https://10.0.0.1/", False)):
            body = {"type": "webhook", "pattern": "a", "webhook": {"url": url}}
            error = self.assertError(self.control("PUT", body=body), 400, "WEBHOOK_URL_REJECTED")
            self.assertEqual("--allow-local-webhooks" in error["message"], is_local, error)


class Limits(SubscriptionTest):
    options = ("--allow-local-webhooks", "--subscriptions-max", 2, "--subscription-links-max", 3)

    def test_are_kept(self):
        for i in range(2):
            self.subscribe(f"{self.id}-{i}", pattern=None, streams=["a"])
        body = {"type": "pull-wake", "streams": ["a"], "wake_stream": "w"}
        error = self.assertError(self.control("PUT", body=body), 429, "TOO_MANY_SUBSCRIPTIONS")
        self.assertIn("--subscriptions-max", error["message"])
        self.control("DELETE", subscription=f"{self.id}-0")
        body["streams"] = ["a", "b", "c"]
        response = self.control("PUT", body=body)
        error = self.assertError(response, 429, "TOO_MANY_LINKS")
        self.assertIn("--subscription-links-max", error["message"])
        self.assertError(self.control("GET"), 404, "SUBSCRIPTION_NOT_FOUND")
        body["streams"] = ["a", "b"]
        self.assertStatus(self.control("PUT", body=body), 201)
        response = self.control("POST", "/streams", {"streams": ["c"]})
        self.assertError(response, 429, "TOO_MANY_LINKS")
        response = self.control("POST", "/streams", {"streams": ["b", "a"]})
        self.assertStatus(response, 204)


class Streams(SubscriptionTest):
    options = ("--streams-max", 1, "--shards", 1)

    def test_are_limited(self):
        body = {"type": "pull-wake", "streams": ["a"], "wake_stream": "w"}
        self.create(TEXT)
        error = self.assertError(self.control("PUT", body=body), 429, "TOO_MANY_STREAMS")
        self.assertIn("--streams-max", error["message"])
        self.assertError(self.control("GET"), 404, "SUBSCRIPTION_NOT_FOUND")
        self.delete(self.path)
        self.assertStatus(self.control("PUT", body=body), 201)


class Memory(SubscriptionTest):
    """An eighth of the budget is what requests may hold: 2 MiB."""

    options = ("--memory-budget-bytes", 16 << 20)
    LINKS = 600

    def large(self):
        """A subscription whose view takes more than a quarter of that, and less than a third."""
        names = [f"{self.name}/{i}/" + "x" * 900 for i in range(self.LINKS)]
        self.subscribe(status=201, pattern=None, streams=names)

    def stalled(self):
        """A client that asks for the view and reads nothing but the head of its answer."""
        connection = self.connect(receive_buffer=4096)
        connection.send(encode_request("GET", self.url()))
        return connection, connection.read_head()

    def test_clients_that_do_not_read_take_no_more_than_there_is(self):
        self.large()
        size = len(self.control("GET").body)
        before = self.server.memory_bytes()
        clients = [self.stalled() for _ in range(40)]
        self.assertEqual([head.status for _, head in clients], 3 * [200] + 37 * [503])
        self.assertTrue(clients[-1][1]["retry-after"])
        self.assertLess(self.server.memory_bytes() - before, 20 * size)
        self.assertGreaterEqual(self.metric("sluice_refusals_total"), 37)
        # others: what is small goes on, what is large has to wait
        self.assertStatus(self.http("GET", ROOT + "__ds/jwks.json"), 200)
        self.assertError(self.control("GET"), 503, "OVERLOADED")
        many = {"streams": 60000 * ["the/other/two"]}
        self.assertError(self.control("POST", "/streams", many), 503, "OVERLOADED")
        self.assertStatus(self.control("POST", "/streams", {"streams": ["one"]}), 204)
        # one has read its answer, the others are gone
        connection, head = clients[0]
        body = connection.read_exactly(int(head["content-length"]))
        self.assertEqual(len(json.loads(body)["streams"]), self.LINKS)
        for connection, _ in clients:
            connection.close()
        wait_until(lambda: self.control("GET").status == 200)
        self.assertStatus(self.control("POST", "/streams", many), 204)
