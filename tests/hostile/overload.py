"""Load faults: what many clients together can do wrong, and what it costs the others.

Every fault is a function of a table and a scale, and starts a server of its own. It measures the
well-behaved clients before and meanwhile, what the server holds at the worst moment, how soon the
attackers are gone, and what is left of them.
"""

import collections
import concurrent.futures
import contextlib
import itertools
import os
import re
import resource
import statistics
import threading
import time

from bare import Bare
from crowd import Crowd, paced
from target import BEHAVED_CONNECTIONS, MIB, STREAMS, TEXT, Target

from http1 import Closed, encode_request  # target knows where it lies

# What README.md promises: of the process, beside its budgets.
CONNECTION_BYTES = 32 * 1024
SLACK_BYTES = 32 * MIB
REST_BYTES = 64 * MIB  # all that is promised, where much is taken and given back
RATIO_MAX = 2  # of the well-behaved clients' p99, under attack and without it
LOOK_S = 1  # how exact times of the server are
DESCRIPTORS_SLACK = 8  # files of the log come and go
NARROW = 4096  # bytes of a receive buffer: it is full soon
TRICKLE_S = 2  # from one byte of a slow client to the next
BURST = 16  # connections that come at once
FLOOD_S = 3
GIVEN_BACK_S = 300  # the server looks for it every 30 s, or more rarely after it had much to give
KEPT_BYTES = 16 * MIB  # at the end of a heap
FLOOD_WAIT_MS = 200  # a few turns, in each of which all that flood are read
ROUNDS = 3  # of the well-behaved clients before the attack, and after it

# How much of everything: a full run, and one that is part of ./dev test.
Scale = collections.namedtuple(
    "Scale",
    "sse catch_up slow bodies fast resets producers uploads stall_s request_s come_per_s"
    " resets_per_s producers_per_s behaved",
)
FULL = Scale(
    sse=9000,
    catch_up=1000,
    slow=9000,
    bodies=9000,
    fast=100,
    resets=500,
    producers=100_000,
    uploads=20,
    stall_s=25,
    request_s=60,
    come_per_s=3000,
    resets_per_s=1000,
    producers_per_s=2000,
    behaved=True,
)
SHORT = Scale(
    sse=300,
    catch_up=50,
    slow=300,
    bodies=300,
    fast=40,
    resets=30,
    producers=12_000,
    uploads=3,
    stall_s=2,
    request_s=3,
    come_per_s=None,
    resets_per_s=None,
    producers_per_s=None,
    behaved=False,
)


def megabytes(size):
    return round(size / MIB)


class Watch:
    """One fault at one server: the figures before it, and what is judged after it."""

    def __init__(self, table, scale, target):
        self.table, self.scale, self.target = table, scale, target
        self.without, self.bare, self.rounds = [], [], []
        self._remember()

    def _remember(self):
        self.target.wait_until(lambda: self.target.connections() == 0)
        self.descriptors, self.rss = self.target.descriptors(), self.target.rss_bytes()

    @contextlib.contextmanager
    def meanwhile(self):
        """The well-behaved clients, from before the first attacker comes until the body is over."""
        if not self.scale.behaved:
            yield
            return
        self._rounds_without()
        self._remember()
        with self._rounds_into(self.rounds):
            yield
        self._rounds_without()
        self._judge()

    def beside_bare(self, attack):
        """The well-behaved clients while a program that hardly does anything is attacked: what that
        costs them is the kernel's and the attackers', and the server is judged by what it adds.
        """
        if not self.scale.behaved:
            return
        with Bare() as bare, self._rounds_into(self.bare):
            attack(bare)

    def show(self, what, attack):
        """The p99 of appends under an attack and beside such a program that has it. It is not judged:
        clients wait for what attackers and server do at once, on processors that all of them share.
        """
        if not self.scale.behaved:
            return
        bare, rounds = [], []
        with Bare() as program, self._rounds_into(bare):
            attack(program.port)
        with self._rounds_into(rounds):
            attack(self.target.port)
        here, there = (statistics.median(one.append_ms for one in many) for many in (rounds, bare))
        measured = f"{here:.2f} ms, {there:.2f} beside a bare program"
        self.table.add(f"p99 of append, {what}", measured, "", True, False)

    @contextlib.contextmanager
    def _rounds_into(self, rounds):
        """Attackers have machines of their own: here they get what others leave of the processors,
        else the p99 would be the time slice of this program.
        """
        over = threading.Event()

        def run():
            while not over.is_set():
                rounds.append(self.target.behaved())

        with concurrent.futures.ThreadPoolExecutor(1) as executor:
            ended = executor.submit(run)
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))  # of this thread alone
            try:
                yield
            finally:
                os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
                over.set()
            ended.result()

    def _rounds_without(self):
        self.without += [self.target.behaved() for _ in range(ROUNDS)]

    def _judge(self):
        """The medians, so that one stop of the machine counts for nothing; the worst is shown. The
        bound is twice what they are without the attack, or with what the kernel alone makes of it.
        """
        table = self.table
        for what, field in (("append", "append_ms"), ("append to reader", "reader_ms")):
            said, medians = [], []
            for rounds, when in (
                (self.without, "without"),
                (self.bare, "beside a bare program"),
                (self.rounds, "under the attack"),
            ):
                if figures := [getattr(a_round, field) for a_round in rounds]:
                    medians.append(statistics.median(figures))
                    worst = f"{len(figures)} rounds, the worst {max(figures):.1f}"
                    said.append(f"{medians[-1]:.2f} {when} ({worst})")
            *others, under = medians
            table.time(
                f"p99 of {what}, medians in ms: {', '.join(said)}; {under / others[0]:.1f} times",
                under,
                round(RATIO_MAX * max(others), 2),
                " ms",
            )
        cores = [
            statistics.mean(a_round.others_cores for a_round in rounds)
            for rounds in (self.without, self.rounds)
        ]
        table.add(
            "cores that all but the server and its well-behaved clients used",
            f"{cores[0]:.2f} without, {cores[1]:.2f} under the attack",
            "",
            True,
            False,
        )

    def memory(self, connections, more=0):
        """Resident memory at the worst moment."""
        self.table.at_most(
            "growth of resident memory",
            megabytes(self.target.rss_bytes() - self.rss),
            megabytes(CONNECTION_BYTES * connections + SLACK_BYTES + more),
            " MiB",
        )

    def memory_is_given_back(self):
        def left():
            return megabytes(self.target.rss_bytes() - self.rss)

        self.target.wait_until(lambda: left() <= megabytes(KEPT_BYTES), GIVEN_BACK_S)
        self.table.at_most("resident memory that stays", left(), megabytes(KEPT_BYTES), " MiB")

    def gone(self, what, condition, since, bound_s):
        """How long after `since` the attackers are gone."""
        came = self.target.wait_until(condition, bound_s + 30, LOOK_S / 4)
        took_s = time.monotonic() - since if came is not None else float("inf")
        self.table.add(
            f"{what} gone after",
            f"{took_s:.1f} s",
            f"<= {bound_s:g} s",
            took_s <= bound_s,
            came is None or self.table.timed,
        )

    def nothing_leaks(self):
        """Everything that is counted is as before."""
        target, table = self.target, self.table
        target.wait_until(lambda: target.connections() == 0, 10)
        table.equal("connections left", target.connections(), 0)
        table.equal("live readers left", target.metric("sluice_live_readers"), 0)
        table.at_most(
            "descriptors more than before",
            target.descriptors() - self.descriptors,
            DESCRIPTORS_SLACK,
        )


@contextlib.contextmanager
def trickling(crowd, data=b"x"):
    """Everybody sends a little, again and again, as long as the body runs."""
    over = threading.Event()

    def send():
        while not over.is_set():
            crowd.send(data, len(crowd) / TRICKLE_S)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def stalled_readers(table, scale, build):
    table.begin(f"{scale.sse:,} SSE and {scale.catch_up:,} catch-up readers that stop reading")
    options = ("--stall-timeout-ms", scale.stall_s * 1000)
    with (
        Target(build, options) as target,
        Crowd(target.port) as crowd,
        Crowd(target.port) as pages,
    ):
        watched, large = target.create("watched"), target.create("large")
        for _ in range(8):
            target.append(large, b"x" * MIB)
        watch = Watch(table, scale, target)
        come = (NARROW, scale.come_per_s)

        def stop_reading(bare):
            with Crowd(bare.port) as others:
                others.open(scale.sse + scale.catch_up, b"x", *come)
                bare.send()
                target.running.pass_time(scale.stall_s)

        watch.beside_bare(stop_reading)
        with watch.meanwhile():
            crowd.open(
                scale.sse,
                encode_request("GET", watched + "?offset=now&live=sse"),
                *come,
            )
            target.wait_until(lambda: target.metric("sluice_live_readers") >= scale.sse)
            pages.open(scale.catch_up, encode_request("GET", large), *come)
            for _ in range(8):
                target.append(watched, b"x" * (256 * 1024))
            target.wait_until(target.sends_hardly_anything)
            watch.memory(scale.sse + scale.catch_up)
            target.running.pass_time(scale.stall_s / 2)
            since = max(crowd.last_taken(), pages.last_taken())
            watch.gone(
                "they are",
                lambda: crowd.open_count() + pages.open_count() == 0,
                since,
                scale.stall_s + LOOK_S,
            )
        table.equal(
            "counted as stalled",
            target.metric("sluice_stalled_readers_cut_total"),
            scale.sse + scale.catch_up,
        )
        watch.nothing_leaks()


def slow_heads(table, scale, build):
    table.begin(f"{scale.slow:,} requests whose head comes byte by byte")
    options = ("--request-timeout-ms", scale.request_s * 1000)
    with Target(build, options) as target, Crowd(target.port) as crowd:
        watch = Watch(table, scale, target)
        with watch.meanwhile():
            since = time.monotonic()
            head = b"GET /v1/stream/a HTTP/1.1\r\nHost: a\r\nX: "
            crowd.open(scale.slow, head, None, scale.come_per_s)
            last = time.monotonic()
            with trickling(crowd):
                watch.memory(scale.slow)
                target.running.pass_time(since + 0.9 * scale.request_s - time.monotonic())
                there = crowd.open_count()
                if time.monotonic() - since < scale.request_s:
                    table.equal(f"still there after 0.9 of {scale.request_s} s", there, scale.slow)
                watch.gone(
                    "all of them are",
                    lambda: crowd.open_count() == 0,
                    last,
                    scale.request_s + LOOK_S,
                )
        watch.nothing_leaks()


def slow_bodies(table, scale, build):
    table.begin(f"{scale.bodies:,} bodies of 1 MiB that stop after 64 KiB")
    budget = 256 * MIB if scale is FULL else 16 * MIB
    options = (
        "--request-timeout-ms",
        scale.request_s * 1000,
        "--upload-budget-bytes",
        budget,
        "--max-body-bytes",
        4 * MIB,
    )
    head = b"POST /v1/stream/a HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n"
    with Target(build, options) as target, Crowd(target.port) as crowd:
        watch = Watch(table, scale, target)
        with watch.meanwhile():
            crowd.open(scale.bodies, head + b"x" * 65536, None, scale.come_per_s)
            since = time.monotonic()
            with trickling(crowd):
                watch.memory(scale.bodies, budget)
                watch.gone(
                    "all of them are",
                    lambda: crowd.open_count() == 0,
                    since,
                    scale.request_s + LOOK_S,
                )
        table.add(
            "the largest were cut to keep to the budget",
            target.metric("sluice_uploads_cut_total"),
            "> 0",
            target.metric("sluice_uploads_cut_total") > 0,
        )
        watch.nothing_leaks()


def fast_bodies(table, scale, build):
    """They are to be cut before they are too much: so fast the budget is passed within a turn."""
    table.begin(f"{scale.fast:,} bodies of 16 MiB, sent as fast as they are taken")
    budget = 32 * MIB
    head = b"POST /v1/stream/a HTTP/1.1\r\nHost: a\r\nContent-Length: 16777216\r\n\r\n"
    with Target(build, ("--upload-budget-bytes", budget)) as target:
        path = target.create("a")
        watch = Watch(table, scale, target)
        peak = slowest_s = 0
        with Crowd(target.port) as crowd:
            crowd.open(scale.fast, head)
            end = time.monotonic() + FLOOD_S
            while (start := time.monotonic()) < end:
                target.append(path, b"x")
                slowest_s = max(slowest_s, time.monotonic() - start)
                crowd.send(b"x" * MIB)
                peak = max(peak, target.rss_bytes())
        table.at_most(
            "growth of resident memory at its peak",
            megabytes(peak - watch.rss),
            megabytes(budget + CONNECTION_BYTES * scale.fast + REST_BYTES),
            " MiB",
        )
        table.time("slowest append of another client", slowest_s * 1000, FLOOD_WAIT_MS, " ms")
        watch.nothing_leaks()
        if scale.behaved:
            watch.memory_is_given_back()


def no_descriptors(table, scale, build):
    """The limit sinks under the running server: it cannot even make files of the log."""
    table.begin("no descriptor is left")
    options = ("--wal-file-bytes", MIB, "--wal-budget-bytes", 4 * MIB, "--max-body-bytes", 400_000)
    with Target(build, options) as target, Crowd(target.port) as crowd:
        path = target.create("a")
        watch = Watch(table, scale, target)
        keeper = target.connect()
        pid, free = target.running.process.pid, 20
        limit = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        keeper.request("GET", "/healthz")
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (target.descriptors() + free, limit[1]))
        crowd.open(5 * free, encode_request("GET", "/healthz"))
        written, refused = 0, set()
        for n in range(300):
            response = keeper.request("POST", path, TEXT, b"%06d" % n + b"x" * 100_000)
            if response.status == 204:
                written += 1
            else:
                refused.add(response.status)
        table.add(
            "appends on a connection that stands",
            f"{written} taken, others {sorted(refused) or 'none'}",
            "204, 503 or 507",
            refused <= {503, 507} and written > 0,
        )
        table.equal("the log has failed", target.metric("sluice_shard_failed", keeper), 0)
        named = "no_descriptor" in target.running.said()
        table.add("the server says what its files want for", named, "True", named)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limit)
        came = target.wait_until(lambda: crowd.answered() == 5 * free, 20)
        table.add(
            "all that waited are answered when the limit is back",
            came is not None,
            "True",
            came is not None,
        )
        table.add(
            "logged once, and counted",
            f"{target.running.said().count('accept_failed')} lines",
            ">= 1",
            target.running.said().count("accept_failed") >= 1
            and target.metric("sluice_accepts_failed_total") > 0,
        )
        came = target.wait_until(
            lambda: keeper.request("POST", path, TEXT, b"x" * 100_000).status == 204, 20
        )
        table.add("appends go on", came is not None, "True", came is not None)
        keeper.close()
        crowd.close()
        watch.nothing_leaks()


def descriptor_limit(table, scale, build):
    """As many connections as the limit of the machine allows, from four addresses."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    table.begin(f"connections up to the limit of {hard:,} descriptors")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, before[1]))  # the server inherits it
    try:
        target = Target(build)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, before[1]))
    with target, Crowd(target.port) as crowd:
        soft = resource.prlimit(target.running.process.pid, resource.RLIMIT_NOFILE)[0]
        table.equal("soft limit, raised from 1,024", soft, hard)
        said = target.running.said()
        table.add(
            "the log says that it is low",
            "connections_max_lowered" in said,
            "True",
            "connections_max_lowered" in said,
        )
        watch = Watch(table, scale, target)
        allowed = int(re.search(r"connections_max_lowered from=\d+ to=(\d+)", said)[1])
        count = allowed - 50 if scale is FULL else 2000
        crowd.open(count, encode_request("GET", "/healthz"))
        target.wait_until(lambda: crowd.answered() == count)
        table.equal("connections that are answered", crowd.answered(), count)
        watch.memory(count)
        if scale is FULL:
            late = Crowd(target.port).open(100, encode_request("GET", "/healthz"))
            target.running.pass_time(1)
            answered = late.answered()
            table.add("more of them wait", f"{100 - answered} of 100", ">= 1", answered < 100)
            crowd.close()
            came = target.wait_until(lambda: late.answered() == 100, 20)
            table.add(
                "and are answered when others close", came is not None, "True", came is not None
            )
            late.close()
        crowd.close()
        watch.nothing_leaks()


def early_refusals(table, scale, build):
    """A client that reads nothing before it has sent all of a body that is too large."""
    size, options = 4 * MIB, ("--max-body-bytes", 100_000)
    table.begin("bodies above the limit, refused while the client sends")
    with Target(build, options) as target:
        path = target.create("a")
        watch = Watch(table, scale, target)
        seen = collections.Counter()
        for n in range(scale.uploads):
            for chunks in (None, [b"x" * 65536] * (size // 65536)):
                connection = target.connect(timeout_s=20)
                try:
                    body = None if chunks else b"x" * size
                    seen[connection.request("POST", path, TEXT, body, chunks).status] += 1
                except (OSError, AssertionError) as error:
                    seen[type(error).__name__] += 1
                finally:
                    connection.close()
        table.add("what they see", dict(seen), "only 413", set(seen) == {413})
        watch.nothing_leaks()


def upload(target, path, duration_s, parts=40, size=10_000):
    """Sends a body in so much time; returns the status, or "cut"."""
    connection, start = target.connect(timeout_s=30), time.monotonic()
    try:
        connection.send(
            f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\n"
            f"Content-Length: {parts * size}\r\n\r\n".encode()
        )
        for n in range(1, parts + 1):
            connection.send(b"x" * size)
            target.running.pass_time(max(start + duration_s * n / parts - time.monotonic(), 0))
        return connection.read_response().status
    except (Closed, OSError):
        return "cut"
    finally:
        connection.close()


def slow_upload(table, scale, build):
    """An honest client on a thin line: taken up to the deadline, and not beyond."""
    table.begin("a slow upload")
    deadline_s = 10 if scale is FULL else 4
    options = ("--request-timeout-ms", deadline_s * 1000)
    with Target(build, options) as target:
        path = target.create("a")
        for share, expected in ((0.6, 204), (1.5, "cut")):
            status = upload(target, path, share * deadline_s)
            table.add(
                f"one that takes {share:g} of --request-timeout-ms",
                status,
                expected,
                status == expected,
            )


STAGES = {
    "after connecting": b"",
    "in the request line": b"GET /v1/str",
    "in the head": b"GET /v1/stream/a HTTP/1.1\r\nHost: a\r\nX",
    "before the body": b"POST /v1/stream/a HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n",
    "in the body": b"POST /v1/stream/a HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"
    + b"x" * 50_000,
    "in a chunk": b"POST /v1/stream/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\nxxx",
    "while it is asked to go on": b"POST /v1/stream/a HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\n"
    b"Expect: 100-continue\r\nContent-Length: 9\r\n\r\n",
    "before the answer": b"POST /v1/stream/a HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 3\r\n\r\nabc",
    "in a large answer": b"GET /v1/stream/large HTTP/1.1\r\nHost: a\r\n\r\n",
    "with requests behind": b"GET /v1/stream/large HTTP/1.1\r\nHost: a\r\n\r\n" * 20,
    "in a long-poll": b"GET /v1/stream/a?offset=now&live=long-poll HTTP/1.1\r\nHost: a\r\n\r\n",
    "in an event stream": b"GET /v1/stream/a?offset=-1&live=sse HTTP/1.1\r\nHost: a\r\n\r\n",
    "while a refused body is thrown away": b"POST /v1/stream/a HTTP/1.1\r\nHost: a\r\n"
    b"Content-Length: 99999999999\r\n\r\n" + b"x" * 50_000,
    "after a refused head": b"GET /v1/stream/a HTTP/1.1\r\nHost: a b\r\n\r\n" + b"x" * 5000,
}


def reset_at_each_stage(port, scale, at_once=None, before_odd_ones=lambda: None):
    for n, data in enumerate(STAGES.values()):
        with Crowd(port) as crowd:
            crowd.open(scale.resets, data, NARROW, scale.resets_per_s, at_once)
            if n % 2:
                before_odd_ones()
            crowd.reset(scale.resets_per_s)


def resets(table, scale, build):
    table.begin(f"{scale.resets:,} resets at each of {len(STAGES)} stages")
    with Target(build) as target:
        large = target.create("large")
        target.create("a", body=b"abc")
        target.append(large, b"x" * 3 * MIB)
        watch = Watch(table, scale, target)
        rss = []

        def wake_readers():
            target.append(STREAMS + "a", b"x")

        with watch.meanwhile():
            for _ in range(3):
                reset_at_each_stage(target.port, scale, before_odd_ones=wake_readers)
                target.wait_until(lambda: target.connections() <= BEHAVED_CONNECTIONS, 10)
                rss.append(target.rss_bytes())
        # Over the larger one: the server may have given memory back in between.
        table.at_most(
            "resident memory, third round over those before",
            megabytes(max(rss[2] - max(rss[:2]), 0)),
            8,
            " MiB",
        )
        watch.show(
            f"{BURST} connections at once",
            lambda port: reset_at_each_stage(port, scale, BURST),
        )
        watch.nothing_leaks()


def many_producers(target, path, count, per_second, connections=100):
    """The first append of each, one after the other; returns how often there was which status."""
    seen, crowd = collections.Counter(), [target.connect(timeout_s=60) for _ in range(connections)]
    for number, connection in zip(paced(range(count), per_second), itertools.cycle(crowd)):
        if number >= connections:
            seen[connection.read_response().status] += 1
        producer = {"Producer-Id": f"p{number}", "Producer-Epoch": "0", "Producer-Seq": "0"}
        connection.send(encode_request("POST", path, {**TEXT, **producer}, b"x"))
    for connection in crowd:
        seen[connection.read_response().status] += 1
        connection.close()
    return seen


def producers(table, scale, build):
    """A stream remembers 10,000 producers by default, and more if it is told to."""
    for limit in (10_000, scale.producers) if scale is FULL else (10_000,):
        table.begin(f"{scale.producers:,} producers on a stream, {limit:,} allowed")
        options = ("--producers-per-stream-max", limit)
        with Target(build, options) as target:
            path = target.create("many")
            watch = Watch(table, scale, target)
            start = time.monotonic()
            with watch.meanwhile():
                seen = many_producers(target, path, scale.producers, scale.producers_per_s)
            rate = scale.producers / (time.monotonic() - start)
            table.equal(f"taken, of {rate:,.0f} a second", seen[200], min(limit, scale.producers))
            table.equal("refused with 429", seen[429], max(scale.producers - limit, 0))
            watch.memory(1, 600 * min(limit, scale.producers))
            watch.nothing_leaks()


FAULTS = (
    stalled_readers,
    slow_heads,
    slow_bodies,
    fast_bodies,
    no_descriptors,
    descriptor_limit,
    early_refusals,
    slow_upload,
    resets,
    producers,
)
