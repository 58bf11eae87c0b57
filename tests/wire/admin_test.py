"""/healthz, /readyz and /metrics."""
import re
import time

from case import BYTES, TEXT, WireTest, producer
from http1 import wait_until

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf'({NAME})(?:\{{((?:{NAME}="(?:[^"\\\n]|\\[\\"n])*",?)+)\}})? (-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)')


class Health(WireTest):
    def test_is_answered(self):
        for path in ("/healthz", "/readyz"):
            for method in ("GET", "HEAD"):
                response = self.http(method, path)
                self.assertStatus(response, 200)
                self.assertEqual(response["cache-control"], "no-store")
            self.assertStatus(self.http("GET", path + "?x=1"), 200)
            self.assertStatus(self.http("GET", path + "/x"), 404)


class Metrics(WireTest):
    def samples(self):
        """(name, labels) -> value; checks the text on the way."""
        response = self.http("GET", "/metrics")
        self.assertStatus(response, 200)
        self.assertRegex(response["content-type"], r"^text/plain; version=0\.0\.4")
        text = response.body.decode("ascii")
        self.assertTrue(text.endswith("\n"))
        types, helps, samples, last = {}, set(), {}, None
        for line in text.splitlines():
            if match := re.fullmatch(rf"# HELP ({NAME}) .+", line):
                self.assertNotIn(match[1], helps)
                helps.add(match[1])
            elif match := re.fullmatch(rf"# TYPE ({NAME}) (counter|gauge|histogram)", line):
                self.assertNotIn(match[1], types)
                types[match[1]], last = match[2], match[1]
            else:
                match = SAMPLE.fullmatch(line)
                self.assertIsNotNone(match, line)
                base = re.sub(r"_(bucket|sum|count)$", "", match[1]) if types.get(last) == "histogram" else match[1]
                self.assertEqual(base, last, "samples of one name stand together, after their type")
                self.assertNotIn((match[1], match[2]), samples)
                samples[match[1], match[2]] = float(match[3])
        self.assertEqual(set(types), helps)
        for name, kind in types.items():
            self.assertEqual(kind == "counter", name.endswith("_total"), name)
        return samples

    def change(self, act):
        """What an act adds to every sample."""
        before = self.samples()
        act()
        after = self.samples()
        self.assertEqual(set(before) - set(after), set())
        for key, value in before.items():
            if key[0].endswith("_total"):
                self.assertGreaterEqual(after[key], value)
        return {key: value - before.get(key, 0) for key, value in after.items()}

    def test_text_is_well_formed(self):
        self.assertGreater(len(self.samples()), 20)

    def test_count_what_happens(self):
        def act():
            self.create(BYTES, b"abc")
            self.append(b"defgh", {**BYTES, **producer("p", 0, 0)})
            self.append(b"defgh", {**BYTES, **producer("p", 0, 0)})
            self.get()
            self.get("?offset=x")
            self.get("?offset=now&live=long-poll")

        added = self.change(act)
        for name, labels, count in (
            ("sluice_streams_created_total", None, 1),
            ("sluice_appended_bytes_total", None, 8), ("sluice_duplicate_appends_total", None, 1),
            ("sluice_long_poll_timeouts_total", None, 1), ("sluice_live_readers", 'kind="sse"', 0),
            ("sluice_requests_total", 'operation="create",status="201"', 1),
            ("sluice_requests_total", 'operation="append",status="200"', 1),
            ("sluice_requests_total", 'operation="append",status="204"', 1),
            ("sluice_requests_total", 'operation="read",status="200"', 1),
            ("sluice_requests_total", 'operation="read",status="400"', 1),
            ("sluice_requests_total", 'operation="long_poll",status="204"', 1),
        ):
            self.assertEqual(added[name, labels], count, (name, labels))
        self.assertGreaterEqual(added["sluice_sent_bytes_total", None], 8)

    def test_say_for_every_shard_how_far_it_is(self):
        samples = self.samples()
        for name in ("sluice_shard_appended_lsn", "sluice_shard_durable_lsn"):
            self.assertEqual([key[1] for key in samples if key[0] == name], ['shard="0"', 'shard="1"'])

    def test_say_which_process_and_options(self):
        before = self.samples()
        self.assertEqual([value for key, value in before.items() if key[0] == "sluice_build_info"], [1])
        self.assertLess(abs(time.time() - before["process_start_time_seconds", None]), 600)
        self.assertGreater(before["process_resident_memory_bytes", None], 1 << 20)
        self.assertEqual(before["sluice_option", 'name="shards"'], 2)
        self.assertEqual(before["sluice_option", 'name="streams-max"'], 4000000)
        self.assertNotIn(("sluice_option", 'name="memory"'), before)
        for _ in range(50):
            self.get()
        self.assertGreater(self.samples()["process_cpu_seconds_total", None],
                           before["process_cpu_seconds_total", None])

    def test_gauges_follow_and_come_back(self):
        """Each thread publishes its gauges at the end of a turn, so they come a little later."""
        for _ in range(10):
            path = self.new_path()
            streams, memory = self.metric("sluice_streams"), self.metric("sluice_memory_used_bytes")
            self.create(TEXT, b"x" * 100000, path)
            events = self.events("?offset=now&live=sse", path)
            events.control()
            wait_until(lambda: self.metric("sluice_streams") == streams + 1)
            wait_until(lambda: self.metric("sluice_memory_used_bytes") >= memory + 100000)
            self.assertEqual(self.metric("sluice_live_readers"), 1)
            self.delete(path)
            self.assertTrue(events.ended())
            wait_until(lambda: self.metric("sluice_streams") == streams)
            wait_until(lambda: self.metric("sluice_memory_used_bytes") < memory + 100000)
            wait_until(lambda: self.metric("sluice_live_readers") == 0)
