"""The server under attack: what it holds, and how its well-behaved clients fare meanwhile."""

import collections
import os
import pathlib
import re
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "bench"), str(ROOT / "tests" / "wire")]
import load  # noqa: E402
import server  # noqa: E402
from http1 import Connection  # noqa: E402

MIB = 1 << 20
STREAMS = "/v1/stream/"
TEXT = {"Content-Type": "text/plain"}
WAIT_S = 120
LOOK_S = 0.05
QUIET_BYTES_MAX = MIB  # sent in a second: two answers about metrics, and the well-behaved
# The well-behaved: producers with a rate of their own, and readers that follow what they write.
WORDS = "streams=64 set=behaved type=text/plain"
BEHAVED = f"append {WORDS} connections=16 rate=400 size=256 sse {WORDS} connections=64"
BEHAVED_CONNECTIONS = 16 + 64
# One round of theirs: p99 of an append and of its way to a reader, and what everybody but them and
# the server used of the processors meanwhile.
Round = collections.namedtuple("Round", "append_ms reader_ms others_cores")


class Target:
    """A server with its options. The caller calls stop()."""

    def __init__(self, build, options=(), warmup_ms=300, measure_ms=3000, subject=server.Sluice):
        self.running = server.Running(subject(build / "sluice"), "durable", options)
        self.load = load.Load(build / "sluice-bench", warmup_ms=warmup_ms, measure_ms=measure_ms)
        self.port = self.running.port
        self.load.run_to_end(self.running, f"create {WORDS}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Ends the server, which must still run, and end well."""
        was_alive, process = self.running.process.poll() is None, self.running.process
        said = self.running.said()
        self.running.stop()
        if not was_alive or process.returncode != 0:
            raise RuntimeError(f"the server ended with {process.returncode}\n{said}")

    def connect(self, **options):
        return Connection(self.port, **options)

    def request(self, method, path, headers=None, body=None):
        connection = self.connect()
        try:
            return connection.request(method, path, headers, body)
        finally:
            connection.close()

    def create(self, name, headers=TEXT, body=None):
        response = self.request("PUT", STREAMS + name, headers, body)
        if response.status not in (200, 201):
            raise RuntimeError(f"no stream but {response}")
        return STREAMS + name

    def append(self, path, body, headers=TEXT):
        response = self.request("POST", path, headers, body)
        if response.status not in (200, 204):
            raise RuntimeError(f"no append but {response}")

    # what it holds

    def metric(self, name, connection=None):
        """The sum of a metric over its labels."""
        response = (
            connection.request("GET", "/metrics") if connection else self.request("GET", "/metrics")
        )
        text = response.body.decode()
        return int(sum(map(float, re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.M))))

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.running.process.pid}/fd"))

    def rss_bytes(self):
        return self.running.rss_bytes()

    def connections(self):
        """Those that are open, without the one that asks."""
        return self.metric("sluice_connections_open") - 1

    def wait_until(self, condition, timeout_s=WAIT_S, look_s=LOOK_S):
        """Returns the seconds until it holds, or None when it does not in time."""
        start = time.monotonic()
        while not condition():
            if time.monotonic() - start > timeout_s:
                return None
            self.running.pass_time(look_s)
        return time.monotonic() - start

    # the well-behaved

    def behaved(self):
        """One round."""
        result = self.load.run(self.running, BEHAVED)
        wrong = load.errors(result)
        if wrong:
            raise RuntimeError(f"well-behaved clients see errors: {wrong}")
        appends, readers = result["roles"]
        return Round(
            appends["latency_us"]["p99"] / 1000,
            readers["delivery_us"]["p99"] / 1000,
            result["others_cpu_s"] / result["seconds"],
        )

    def sends_hardly_anything(self):
        """For a second: whoever still waits for something does not read."""
        before = self.metric("sluice_sent_bytes_total")
        self.running.pass_time(1)
        return self.metric("sluice_sent_bytes_total") - before < QUIET_BYTES_MAX
