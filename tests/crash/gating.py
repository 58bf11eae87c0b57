#!/usr/bin/env python3
"""Proves that nothing is revealed before it is durable, and that what is durable is not slowed.

preload.c makes every write to the log begin late, and notes when each one has returned. A change
that was sent at T can be durable at the earliest when a write that began after T has returned; no
answer, byte, tail, event or refusal may reveal it before that.
"""
import argparse
import os
import pathlib
import re
import shutil
import sys
import tempfile
import threading
import time

import preload
from client import Broken, Client, token
from http1 import encode_request
from process import SMALL, Process

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXT = {"Content-Type": "text/plain"}
CLOSE = {"Stream-Closed": "true"}
POLL_S = 0.02  # a poller asks as often: that is how exact the moment is at which it sees a change
PRINTED_MAX = 12
HEAD_START_S = 0.1  # from the change to the probes: the server has it in memory by then


def producer(epoch, seq):
    return {"Producer-Id": "p", "Producer-Epoch": str(epoch), "Producer-Seq": str(seq)}


class Probe:
    """A request that would reveal the change. `reveals(response)`: this answer does.

    how   once: sent after the change. poll: again and again. wait: sent before the change and
          answered by it. events: an SSE response opened before it; `reveals` gets its bytes.
    """

    def __init__(self, name, how, method, path, headers, body, reveals):
        self.name, self.how, self.method, self.path = name, how, method, path
        self.headers, self.body, self.reveals = headers, body, reveals
        self.at, self.answer = None, None  # when it revealed the change, and how

    def run(self, port, until_s):
        client = Client(port, until_s)
        deadline = time.monotonic() + until_s
        try:
            if self.how == "events":
                self.follow(client)
                return
            while time.monotonic() < deadline:
                self.answer = client.call(self.method, self.path, self.headers, self.body)
                if self.reveals(self.answer):
                    self.at = time.monotonic()
                    return
                if self.how != "poll":
                    return
                time.sleep(POLL_S)
        except (Broken, OSError, AssertionError) as why:
            self.answer = why
        finally:
            client.close()

    def follow(self, client):
        client.open()
        client.send(encode_request(self.method, self.path, self.headers))
        client.read_head()
        seen = b""
        while True:
            chunk = client.read_chunk()
            seen += chunk
            if self.reveals(seen) or chunk == b"":
                self.at, self.answer = time.monotonic(), seen
                return


class Case:
    """A change, and everything that could reveal it too early."""

    def __init__(self, name, setup, change):
        self.name, self.setup, self.change = name, setup, change
        self.probes = []

    def add(self, name, how, method, path, reveals, headers=None, body=None):
        self.probes.append(Probe(name, how, method, path, headers, body, reveals))
        return self


def status(*codes):
    return lambda response: response.status in codes


def tail_from(position):
    return lambda response: (response["stream-next-offset"] or "") >= token(position)


def closed(response):
    return response["stream-closed"] is not None


def has_body(response):
    return b"new" in response.body


def append_cases(new):
    path = new()
    live = f"{path}?offset={token(3)}"
    yield (Case("append", [("PUT", path, TEXT, b"old")], ("POST", path, TEXT, b"new"))
           .add("HEAD", "poll", "HEAD", path, tail_from(6))
           .add("GET", "poll", "GET", path + "?offset=-1", has_body)
           .add("GET at the old tail", "poll", "GET", live, has_body)
           .add("GET now", "poll", "GET", path + "?offset=now", tail_from(6))
           .add("PUT again", "poll", "PUT", path, tail_from(6), TEXT)
           .add("long-poll", "wait", "GET", live + "&live=long-poll", has_body)
           .add("a late long-poll", "once", "GET", live + "&live=long-poll", has_body)
           .add("SSE", "events", "GET", live + "&live=sse", lambda data: b"new" in data
                or token(6).encode() in data)
           .add("another append", "once", "POST", path, tail_from(7), TEXT, b"x"))
    path = new()
    yield (Case("fork of a pending tail", [("PUT", path, TEXT, b"old")],
                ("POST", path, TEXT, b"new"))
           .add("fork", "once", "PUT", path + "/fork", tail_from(6), {"Stream-Forked-From": path}))
    path = new()
    yield (Case("JSON batch", [("PUT", path, {"Content-Type": "application/json"}, b"[1]")],
                ("POST", path, {"Content-Type": "application/json"}, b'["new","new"]'))
           .add("GET", "poll", "GET", path + "?offset=-1", has_body)
           .add("HEAD", "poll", "HEAD", path, tail_from(3)))


def producer_cases(new):
    path = new()
    first = ("POST", path, {**TEXT, **producer(0, 0)}, b"old")
    yield (Case("producer", [("PUT", path, TEXT, None), first],
                ("POST", path, {**TEXT, **producer(0, 1)}, b"new"))
           .add("duplicate", "once", "POST", path, status(204), {**TEXT, **producer(0, 1)}, b"new")
           .add("older duplicate that says the latest", "once", "POST", path,
                lambda response: response["producer-seq"] == "1",
                {**TEXT, **producer(0, 0)}, b"old")
           .add("gap", "once", "POST", path,
                lambda response: response["producer-expected-seq"] == "2",
                {**TEXT, **producer(0, 3)}, b"gap"))
    path = new()
    first = ("POST", path, {**TEXT, **producer(0, 0)}, b"old")
    yield (Case("producer's epoch", [("PUT", path, TEXT, None), first],
                ("POST", path, {**TEXT, **producer(1, 0)}, b"new"))
           .add("stale epoch", "once", "POST", path, status(403),
                {**TEXT, **producer(0, 1)}, b"stale"))
    path = new()
    yield (Case("Stream-Seq", [("PUT", path, TEXT, None)],
                ("POST", path, {**TEXT, "Stream-Seq": "5"}, b"new"))
           .add("conflict", "once", "POST", path, status(409), {**TEXT, "Stream-Seq": "5"}, b"no"))


def close_cases(new):
    path = new()
    live = f"{path}?offset={token(3)}"
    yield (Case("close", [("PUT", path, TEXT, b"old")], ("POST", path, CLOSE, b""))
           .add("HEAD", "poll", "HEAD", path, closed)
           .add("GET", "poll", "GET", path + "?offset=-1", closed)
           .add("append", "once", "POST", path, status(409), TEXT, b"late")
           .add("close again", "once", "POST", path, status(204), CLOSE, b"")
           .add("PUT again", "poll", "PUT", path, status(409), TEXT)
           .add("long-poll", "wait", "GET", live + "&live=long-poll", closed)
           .add("SSE", "events", "GET", live + "&live=sse", lambda data: b"streamClosed" in data))
    path = new()
    yield (Case("append and close", [("PUT", path, TEXT, b"old")],
                ("POST", path, {**TEXT, **CLOSE, **producer(0, 0)}, b"new"))
           .add("HEAD", "poll", "HEAD", path, lambda r: closed(r) or tail_from(4)(r))
           .add("closing tuple", "once", "POST", path, status(204),
                {**TEXT, **CLOSE, **producer(0, 0)}, b"new")
           .add("append", "once", "POST", path, status(409), TEXT, b"late"))


def delete_cases(new):
    gone = status(404, 410)
    path = new()
    live = f"{path}?offset={token(3)}"
    yield (Case("delete", [("PUT", path, TEXT, b"old")], ("DELETE", path, None, None))
           .add("HEAD", "poll", "HEAD", path, gone)
           .add("GET", "poll", "GET", path + "?offset=-1", gone)
           .add("append", "once", "POST", path, gone, TEXT, b"late")
           .add("delete again", "once", "DELETE", path, gone)
           .add("long-poll", "wait", "GET", live + "&live=long-poll", gone)
           .add("SSE", "events", "GET", live + "&live=sse", lambda data: False))
    path = new()
    yield (Case("delete and create again", [("PUT", path, TEXT, b"old")],
                ("DELETE", path, None, None))
           .add("PUT", "once", "PUT", path, status(201), TEXT, b"other"))
    path = new()
    fork = {"Stream-Forked-From": path}
    yield (Case("soft delete", [("PUT", path, TEXT, b"old"), ("PUT", path + "/fork", fork, None)],
                ("DELETE", path, None, None))
           .add("HEAD", "poll", "HEAD", path, gone)
           .add("fork", "once", "PUT", path + "/other", status(409), fork)
           .add("PUT", "once", "PUT", path, lambda response: "again" in (
               response.body.decode().lower()) or response.status == 409, TEXT))


def create_cases(new):
    path = new()
    yield (Case("create", [], ("PUT", path, TEXT, b"new"))
           .add("HEAD", "poll", "HEAD", path, status(200))
           .add("GET", "poll", "GET", path + "?offset=-1", status(200))
           .add("PUT again", "once", "PUT", path, status(200), TEXT)
           .add("PUT of another kind", "once", "PUT", path, status(409),
                {"Content-Type": "text/html"})
           .add("append", "once", "POST", path, status(204), TEXT, b"x")
           .add("fork", "once", "PUT", path + "/fork", status(201), {"Stream-Forked-From": path}))


class Gating:
    def __init__(self, args, folder):
        self.args, self.delay_s = args, args.delay_ms / 1000
        self.folder, self.log, self.when = folder, folder / "calls.log", folder / "late"
        data = folder / "data"
        data.mkdir()
        environment = preload.environment(preload.build(folder), data, self.log,
                                          when=str(self.when), delay=f"wal {args.delay_ms}")
        options = ("--shards", args.shards, "--acceptors", 2, *SMALL)
        self.server = Process(args.binary, data, options, folder / "server.log", environment,
                              long_poll_ms=20 * args.delay_ms)
        self.server.wait_ready()
        self.client = Client(self.server.port)
        self.checked = self.numbers = 0
        self.failures = []

    def new_path(self):
        self.numbers += 1
        return f"/v1/stream/{self.folder.name}/{self.numbers}"

    def earliest(self, sent):
        """The earliest time at which what was sent at `sent` can be durable; None: not yet."""
        ends = []
        calls = [call for call in preload.read_log(self.log) if call.file_class == "wal"]
        for write in calls:
            if write.kind != "write" or write.begin < sent or write.result < 0:
                continue
            if write.synced:
                ends.append(write.end)
                continue
            ends += [call.end for call in calls if call.kind == "sync" and call.begin >= write.end]
        return min(ends, default=None)

    def fail(self, text):
        self.failures.append(text)
        if len(self.failures) <= PRINTED_MAX:
            print(f"crash/gating: VIOLATION: {text}", flush=True)

    def run_case(self, case):
        for method, path, headers, body in case.setup:
            response = self.client.call(method, path, headers, body)
            if response.status not in (200, 201, 204):
                self.fail(f"{case.name}: setup: {response}")
                return
        answer = Probe("its own answer", "once", *case.change, status(200, 201, 204))
        until_s = 8 * self.delay_s + 5

        def start(probe):
            thread = threading.Thread(target=probe.run, daemon=True,
                                      args=(self.server.port, until_s))
            thread.start()
            return thread

        threads = [start(probe) for probe in case.probes if probe.how in ("wait", "events")]
        # That a reader waits is not to be seen from outside; without this it might come too late to
        # hear of the change.
        time.sleep(HEAD_START_S if threads else 0)
        self.when.touch()
        sent = time.monotonic()
        threads.append(start(answer))
        time.sleep(HEAD_START_S)
        threads += [start(probe) for probe in case.probes if probe.how in ("once", "poll")]
        self.old_data_is_fast(case)
        for thread in threads:
            thread.join(until_s + 5)
        self.when.unlink()
        durable = self.earliest(sent)
        for probe in (answer, *case.probes):
            self.judge(case, probe, sent, durable)

    def judge(self, case, probe, sent, durable):
        self.checked += 1
        if probe.at is None:
            # A poll, a live reader and the change itself must come to it; the others may have
            # been answered from the state before the change.
            if probe.how != "once" or probe.name == "its own answer":
                self.fail(f"{case.name}: {probe.name}: never revealed: {probe.answer}")
        elif durable is None or probe.at < durable:
            late = "is not durable yet" if durable is None else (
                f"is durable {durable - sent:.3f} s after it was sent at the earliest")
            self.fail(f"{case.name}: {probe.name}: revealed after {probe.at - sent:.3f} s, the "
                      f"change {late}: {probe.answer!r}")

    def old_data_is_fast(self, case):
        """What is durable already is read at once, of this stream and of another one.

        Of a stream whose deletion is under way nothing can be said before that is durable.
        """
        deleted = case.change[0] == "DELETE"
        for path in (self.old, case.setup[0][1] if case.setup and not deleted else self.old):
            start = time.monotonic()
            response = self.client.call("GET", path + "?offset=-1")
            took = time.monotonic() - start
            self.checked += 1
            if took > self.delay_s / 2:
                self.fail(f"{case.name}: a read of durable data took {took:.3f} s: {response}")

    def run(self):
        self.old = self.new_path()
        self.client.call("PUT", self.old, TEXT, b"old")
        makers = append_cases, producer_cases, close_cases, delete_cases, create_cases
        cases = [case for make in makers for case in make(self.new_path)]
        for case in cases:
            if not self.args.only or re.search(self.args.only, case.name):
                self.run_case(case)
        code = self.server.terminate()
        if code != 0:
            self.fail(f"exit code {code}: {self.server.last_lines()}")
        print(f"crash/gating: {len(cases)} cases, {self.checked} answers checked, "
              f"{len(self.failures)} early, slow or missing", flush=True)
        return not self.failures


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=os.environ.get("SLUICE_BINARY",
                                                           str(ROOT / "build" / "sluice")))
    parser.add_argument("--delay-ms", type=int, default=700)
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--only", help="only cases whose name matches this")
    args = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-gating-"))
    gating = Gating(args, folder)
    try:
        good = gating.run()
    finally:
        if gating.server.alive():
            gating.server.kill()
    if good:
        shutil.rmtree(folder)
    else:
        print(f"crash/gating: kept in {folder}")
    return not good


if __name__ == "__main__":
    sys.exit(main())
