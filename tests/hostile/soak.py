#!/usr/bin/env python3
"""Hours of ordinary life in a small house: creates, appends, reads, deletes and expiries, at a pace.

Every worker has streams of its own and knows what is in them, so every answer is checked. Budgets
are small, so that data moves to the disk, is compacted and given back all the time, and a server
that keeps anything grows. The allocator keeps what was needed at the worst moment, so the warm-up is
busier than what follows, which must do with that: resident memory is flat when the medians of the
second and of the last quarter of the time after the warm-up differ by no more than 1 %. A run
of less than 20 minutes is too short for that: it tells the growth and does not judge it.

One stream is there from the start to the end, alone in a segment that is too small to be picked for
its own sake: what was removed must not be kept because of it.
"""

import argparse
import collections
import itertools
import math
import pathlib
import random
import statistics
import sys
import threading
import time

from target import STREAMS, TEXT, Target

ROOT = pathlib.Path(__file__).resolve().parents[2]
MIB = 1 << 20
OPTIONS = (
    "--memory-budget-bytes",
    64 * MIB,
    "--wal-budget-bytes",
    16 * MIB,
    "--wal-file-bytes",
    4 * MIB,
    "--max-body-bytes",
    MIB,
)
WORKERS = 4
STREAMS_MAX = 150  # of a worker
TTL_S = 20
TTL_SLACK_S = 2
IDLE_MAX_S = 20  # below --request-timeout-ms: the server ends what is idle
ANSWER_MAX_S = 600
SAMPLE_S = 2
GROWTH_MAX = 0.01
MINUTES_MIN = 1  # for medians of some samples
JUDGED_MINUTES_MIN = 20
OLD = b"there from the start to the end"
BESIDE_COUNT, BESIDE_BYTES = 20, 900_000  # more than the log's budget, so a segment is written
WARMUP_SHARE = 0.2
WARMUP_HASTE = 3  # times the rate
REPORT_S = 60

# What a worker knows of a stream: up to `lasts_until` it is there, from `gone_at` on it is not; None:
# for ever. Between the two lies the time that the last request took.
Known = collections.namedtuple("Known", "content lasts_until gone_at")


class Worker:
    """One connection; one operation after the other, each at its time."""

    def __init__(self, number, target, rate, seed):
        self.number, self.target, self.rate = number, target, rate
        self.random = random.Random(f"{seed} {number}")
        self.names, self.streams = itertools.count(), {}
        self.done, self.wrong = collections.Counter(), []
        self.connection, self.used = None, 0

    def request(self, method, name, headers=None, body=None):
        idle_s = time.monotonic() - self.used  # long if somebody stops all of us for a while
        if not self.connection or not self.connection.reusable or idle_s > IDLE_MAX_S:
            self.connection = self.target.connect(timeout_s=ANSWER_MAX_S)
        response = self.connection.request(method, STREAMS + name, headers, body)
        self.used = time.monotonic()
        return response

    def expect(self, what, name, response, statuses):
        self.done[what] += 1
        if response.status not in statuses:
            self.wrong.append(f"{what} {name}: {response}, not {statuses}")
        return response.status

    def payload(self):
        size = self.random.choice((10, 100, 1000, 1000, 10_000, 100_000))
        return self.random.randbytes(size // 2).hex().encode()

    def create(self):
        name, ttl = f"soak/{self.number}/{next(self.names)}", self.random.random() < 0.4
        body, sent = self.payload(), time.monotonic()
        headers = {**TEXT, **({"Stream-TTL": str(TTL_S)} if ttl else {})}
        status = self.expect("create", name, self.request("PUT", name, headers, body), {201})
        if status == 201:
            known = Known([body], None, None)
            self.streams[name] = self.renewed(known, sent) if ttl else known

    @staticmethod
    def renewed(known, sent):
        return known._replace(lasts_until=sent + TTL_S, gone_at=time.monotonic() + TTL_S)

    @staticmethod
    def statuses(known, good):
        """What is right for a stream that may have run out by now."""
        now = time.monotonic()
        if known.gone_at is None or now < known.lasts_until - TTL_SLACK_S:
            return {good}
        return {good, 404} if now < known.gone_at + TTL_SLACK_S else {404}

    def ask(self, what, name, good, method, target=None, headers=None, body=None):
        """A request of a stream that is known. Returns the response, None when it has run out."""
        known, sent = self.streams[name], time.monotonic()
        before = self.statuses(known, good)
        response = self.request(method, target or name, headers, body)
        status = self.expect(what, name, response, before | self.statuses(known, good))
        if status != good:
            del self.streams[name]
            return None
        if known.gone_at:
            self.streams[name] = self.renewed(known, sent)
        return response

    def append(self, name):
        body = self.payload()
        if self.ask("append", name, 204, "POST", None, TEXT, body):
            self.streams[name].content.append(body)

    def read(self, name):
        wanted, content, offset = b"".join(self.streams[name].content), b"", "-1"
        while response := self.ask("read", name, 200, "GET", f"{name}?offset={offset}"):
            content += response.body
            if response["stream-up-to-date"]:
                break
            offset = response["stream-next-offset"]
        if response and content != wanted:
            self.wrong.append(f"read {name}: {len(content)} bytes, {len(wanted)} were written")

    def delete(self, name):
        if self.ask("delete", name, 204, "DELETE"):
            del self.streams[name]

    def forget_expired(self):
        for name, known in list(self.streams.items()):
            if known.gone_at and known.gone_at + TTL_SLACK_S < time.monotonic():
                self.expect("expired", name, self.request("HEAD", name), {404})
                del self.streams[name]

    def step(self):
        full = len(self.streams) >= STREAMS_MAX
        if not self.streams or (not full and self.random.random() < 0.15):
            self.create()
            return
        name = self.random.choice(list(self.streams))
        if full or len(self.streams[name].content) > 20 or self.random.random() < 0.1:
            self.delete(name)
        else:
            self.random.choice((self.append, self.append, self.read))(name)
        self.forget_expired()

    def run(self, over):
        due = time.monotonic()
        try:
            while not over.is_set():
                self.step()
                due = max(due + 1 / self.rate, time.monotonic() - 1)
                over.wait(max(due - time.monotonic(), 0))
        except Exception as error:  # whatever it is, the soak has failed, and says so at its end
            self.wrong.append(f"worker {self.number} ended: {error!r}")


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def growth(samples):
    """Of the median, from the second quarter to the last one, after the warm-up."""
    rest = samples[int(len(samples) * WARMUP_SHARE) :]
    quarter = len(rest) // 4
    before, after = statistics.median(rest[quarter : 2 * quarter]), statistics.median(
        rest[3 * quarter :]
    )
    return (after - before) / before, before, after


def leave_old_alone(target):
    """Its segment had a large stream, too, which is deleted and compacted away."""
    old, beside = target.create("old", body=OLD), target.create("beside")
    for _ in range(BESIDE_COUNT):
        target.append(beside, b"x" * BESIDE_BYTES)
    if target.wait_until(lambda: target.metric("sluice_shard_segment_bytes") > MIB) is None:
        raise RuntimeError("no segment was written")
    response = target.request("DELETE", beside)
    if response.status != 204:
        raise RuntimeError(f"no removal but {response}")
    if target.wait_until(lambda: target.metric("sluice_shard_segment_bytes") < MIB) is None:
        raise RuntimeError("what was removed is still in a segment")
    return old


def soak(target, args):
    rate = args.rate / WORKERS
    workers = [Worker(n, target, WARMUP_HASTE * rate, args.seed) for n in range(WORKERS)]
    over, samples = threading.Event(), []
    threads = [threading.Thread(target=worker.run, args=(over,)) for worker in workers]
    for thread in threads:
        thread.start()
    count = round(args.minutes * 60 / SAMPLE_S)  # and not by the clock: all of us may be stopped
    while len(samples) < count and not any(worker.wrong for worker in workers):
        if len(samples) >= count * WARMUP_SHARE:
            for worker in workers:
                worker.rate = rate
        target.running.pass_time(SAMPLE_S)
        samples.append(target.rss_bytes())
        if len(samples) % (REPORT_S // SAMPLE_S) == 0:
            done = sum(sum(worker.done.values()) for worker in workers)
            say(
                f"{len(samples) * SAMPLE_S // 60} min, {done:,} operations, "
                f"resident {samples[-1] / MIB:.1f} MiB, {target.descriptors()} descriptors"
            )
    over.set()
    for thread in threads:
        thread.join()
    done = sum((worker.done for worker in workers), collections.Counter())
    return samples, done, [wrong for worker in workers for wrong in worker.wrong]


def minutes(text):
    value = float(text)
    if not MINUTES_MIN <= value < math.inf:
        raise argparse.ArgumentTypeError(f"at least {MINUTES_MIN} minute")
    return value


def main():
    parser = argparse.ArgumentParser(prog="./dev soak", description=__doc__)
    parser.add_argument(
        "minutes",
        nargs="?",
        type=minutes,
        default=JUDGED_MINUTES_MIN,
        help=f"default: {JUDGED_MINUTES_MIN}; in less growth is not judged",
    )
    parser.add_argument("--build", default=str(ROOT / "build"), help="folder of the programs")
    parser.add_argument("--rate", type=float, default=150, help="operations a second")
    parser.add_argument("--seed", default="1")
    parser.add_argument(
        "--any-growth", action="store_true", help="for sanitizers, which keep freed memory"
    )
    args = parser.parse_args()
    with Target(pathlib.Path(args.build).resolve(), OPTIONS) as target:
        old = leave_old_alone(target)
        samples, done, wrong = soak(target, args)
        response = target.request("GET", f"{old}?offset=-1")
        if response.body != OLD:
            wrong.append(f"read {old}: {response}")
        segments = target.metric("sluice_shard_segments")
    share, before, after = growth(samples)
    say(
        f"operations: {', '.join(f'{n:,} {what}' for what, n in sorted(done.items()))}; {segments} segments at the end"
    )
    say(f"resident memory: {before / MIB:.1f} MiB, then {after / MIB:.1f} MiB: {share:+.2%}")
    for line in wrong[:10]:
        say(line)
    judged = not args.any_growth and args.minutes >= JUDGED_MINUTES_MIN
    if not judged:
        why = "--any-growth" if args.any_growth else f"below {JUDGED_MINUTES_MIN} minutes"
        say(f"growth is not judged: {why}")
    good = not wrong and (not judged or share <= GROWTH_MAX)
    say("soak: passed" if good else "soak: FAILED")
    return not good


if __name__ == "__main__":
    sys.exit(main())
