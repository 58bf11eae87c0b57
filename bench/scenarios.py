"""The one list of what is measured, and the bars that it has to reach.

A scenario has variants: the same load on ours in memory, on ours with a disk, on a ceiling, with
more streams. Its rounds take turns through its variants, so what the machine does meanwhile meets
all of them alike, and a bar compares what two variants did in the same round.
"""
import dataclasses
import functools

from load import errors, metrics
from subscribe import subscribe

KIB, MIB = 1 << 10, 1 << 20


@dataclasses.dataclass(frozen=True)
class Profile:
    """How long and how large."""

    name: str
    rounds: int
    warmup_ms: int
    measure_ms: int
    streams_max: int = 1_000_000
    connections_max: int = 9_000
    bytes_max: int = 100 * MIB
    jobs: int = 1       # variants measured at a time; more than one gives figures for nobody
    idle_s: float = 16  # more than the time between two heartbeats
    long_warmup_ms: int = 3000  # of loads that take a while to become even

    def streams(self, count):
        return min(count, self.streams_max)

    def connections(self, count):
        return min(count, self.connections_max)

    def size(self, size):
        return min(size, self.bytes_max)


PROFILES = {p.name: p for p in (
    Profile("full", rounds=5, warmup_ms=500, measure_ms=1600),
    Profile("rivals", rounds=5, warmup_ms=500, measure_ms=2000, streams_max=10_000),
    Profile("quick", rounds=3, warmup_ms=200, measure_ms=500, streams_max=100_000, idle_s=2),
    Profile("smoke", rounds=1, warmup_ms=20, measure_ms=400, streams_max=100, connections_max=20,
            bytes_max=256 * KIB, jobs=4, idle_s=0.1, long_warmup_ms=20),
)}


@dataclasses.dataclass(frozen=True)
class Variant:
    """One subject under one load."""

    subject: str                # name of ours, of a ceiling or of a rival
    mode: str                   # of the subject; "program": it runs to its end and prints figures
    load: str = ""              # roles of the generator
    case: str = ""              # tells variants of the same subject and mode apart
    x: float = 0                # place on the axis of a plot
    setup: tuple = ()           # loads that run to their end before
    options: tuple = ()         # of the subject
    beside: bool = False        # only there for a bar of ours: not for rivals
    realtime: bool = False      # subject and generator run before all of ordinary priority
    measure: object = None      # function(variant, load, running, profile) instead of measure()

    @property
    def label(self):
        return "/".join(filter(None, (f"{self.subject}-{self.mode}", self.case)))


@dataclasses.dataclass(frozen=True)
class Bar:
    """What has to be reached: a metric of a variant, or its ratio to that of another."""

    what: str
    metric: str
    of: str                     # label of a variant
    over: str = ""              # label of the one it is compared with; empty: the figure itself
    over_metric: str = ""       # of that; empty: the same
    plus: tuple = ()            # (label, metric) that is added to what it is compared with
    at_least: float = None      # neither: for information
    at_most: float = None


@dataclasses.dataclass(frozen=True)
class Scenario:
    name: str
    what: str
    variants: tuple
    bars: tuple = ()
    metric: str = "rate"        # the one that is compared with the ceiling and plotted
    latency: str = ""           # prefix of the latencies that are shown: those of the first role
    ceiling: str = ""           # subject-mode of the ceiling
    ceiling_metric: str = ""    # of the ceiling; empty: the same
    quick: bool = False         # belongs to the short run
    keep: bool = False          # servers live through all rounds: their setup is expensive
    rounds_max: int = 100       # so many say it all
    rounds_times: int = 1       # those of the profile times so many: it varies more than others
    rivals: bool = False        # rivals can do it
    rival_bars: tuple = ()      # (rival, mode, at least so many times its figure), others: 1
    rival_metric: str = ""      # less of which is better than a rival's; else more of the metric
    axis: str = ""              # what x is; empty: there is no plot


class Errors(Exception):
    """A run in which something went wrong has no figures."""


def check(result, tolerates=()):
    if wrong := errors(result, tolerates):
        raise Errors(wrong)
    return result


def measure(variant, load, running, profile):
    """The load alone. Returns the metrics and what the generator said."""
    result = check(load.run(running, variant.load))
    if not any(role["status"] for role in result["roles"]):
        raise Errors("no answers")
    return metrics(result), [result]


def measure_not_modified(variant, load, running, profile):
    """The same of reads of which each connection's first one only may get bytes."""
    found, results = measure(variant, load, running, profile)
    role = results[0]["roles"][0]
    if any(status != "304" and n > role["connections"] for status, n in role["status"].items()):
        raise Errors(f"not 304: {role['status']}")
    return found, results


def measure_from_disk(variant, load, running, profile):
    """All of the load, which finds nothing of the segments in the page cache."""
    running.settle()
    running.forget_files()
    before = running.disk_read_bytes()
    result = check(load.run_to_end(running, variant.load))
    found = metrics(result)
    found["disk_share"] = (running.disk_read_bytes() - before) / result["roles"][0]["bytes_received"]
    return found, [result]


def create(streams, set_="s", type_="application/octet-stream"):
    """A setup. A server works on one request of a connection at a time, so many share a commit."""
    return f"create streams={streams} set={set_} type={type_} connections={min(streams, 512)}"


def ours_and_h2o(load, *, streams=100, setup=None, **more):
    """In memory, durable, and what h2o alone does with the same requests."""
    made = setup or (create(streams),)
    return (Variant("sluice", "memory", load, setup=made, **more),
            Variant("sluice", "durable", load, setup=made, **more),
            Variant("h2o", "bare", load, **more))


# ---- appends ---------------------------------------------------------------------------------

def appends(p):
    one = p.streams(100)

    def load(connections, depth=1, size=256, more=""):
        return (f"append connections={p.connections(connections)} depth={depth} "
                f"size={p.size(size)} streams={one} {more}")

    yield Scenario(
        "append-1", "append of 256 B, 1 connection",
        (*ours_and_h2o(load(1), streams=one),
         Variant("commit", "program", options=("--seconds", "1"))),
        (Bar("share of h2o", "rate", "sluice-memory", "h2o-bare", at_least=0.55),
         Bar("durable p50 over h2o p50 + bare synchronous write", "p50_us", "sluice-durable",
             "h2o-bare", plus=("commit-program", "p50_us"), at_most=1.5)),
        ceiling="h2o-bare", quick=True, rivals=True)
    yield Scenario(
        "append-64", "append of 256 B, 64 connections", ours_and_h2o(load(64), streams=one),
        (Bar("share of h2o", "rate", "sluice-memory", "h2o-bare", at_least=0.85),
         Bar("processor per request over h2o's", "cpu_us", "sluice-memory", "h2o-bare",
             at_most=1.5)),
        ceiling="h2o-bare", quick=True, rivals=True)
    yield Scenario(
        "append-64-pipelined", "append of 256 B, 64 connections, 16 requests pipelined on each",
        ours_and_h2o(load(64, depth=16), streams=one),
        (Bar("share of h2o", "rate", "sluice-memory", "h2o-bare", at_least=0.85),),
        ceiling="h2o-bare", quick=True)
    yield Scenario(
        "append-256", "append of 256 B, 256 connections", ours_and_h2o(load(256), streams=one),
        (Bar("durable over in memory", "rate", "sluice-durable", "sluice-memory",
             at_least=0.85),),
        ceiling="h2o-bare", quick=True, rivals=True,
        rival_bars=(("durable-streams", "durable", 2), ("node", "durable", 10),
                    ("durable-streams-server", "durable", 20)))
    yield Scenario(
        "append-1024", "append of 256 B, 1,024 connections",
        ours_and_h2o(load(1024), streams=one), ceiling="h2o-bare")
    # With 64 MiB under way some may wait longer for a disk than the server lets them: 503.
    sizes = (("100B", 64, 100), ("1KiB", 64, KIB), ("64KiB", 64, 64 * KIB), ("1MiB", 16, MIB))
    yield Scenario(
        "append-sizes", "append of 100 B to 64 KiB, 64 connections; of 1 MiB, 16",
        tuple(v for case, connections, size in sizes
              for v in ours_and_h2o(load(connections, size=size), streams=one, case=case,
                                    x=size)),
        ceiling="h2o-bare", axis="bytes of an append")
    yield Scenario(
        "append-sustained", "append of 64 KiB, 64 connections, for so long that segments are "
        "written, and compacted, meanwhile",
        (Variant("sluice", "durable",
                 f"measure-ms={5 * p.measure_ms} {load(64, size=64 * KIB)}", setup=(create(one),)),
         Variant("h2o", "bare", load(64, size=64 * KIB))),
        ceiling="h2o-bare", rounds_max=3)
    yield Scenario(
        "append-json", "append of 64 JSON messages, 16 KiB in all, 64 connections",
        ours_and_h2o(load(64, size=16 * KIB, more="json=64"),
                     setup=(create(one, type_="application/json"),)),
        ceiling="h2o-bare")
    yield Scenario(
        "append-producers", "append of 256 B by 64 idempotent producers",
        ours_and_h2o(load(64, more="producers=1"), streams=one), ceiling="h2o-bare")
    yield streams_scenario(p)
    yield subscriptions_scenario(p)


def subscriptions_scenario(p):
    """Every stream is linked by one of them. They wake at once, and nobody claims: that is what an
    append costs more while the workers are busy."""
    streams = p.streams(100_000)
    load = f"append connections=256 streams={streams} size=256"
    modes = ("memory", "durable")
    return Scenario(
        "append-subscribed", "append of 256 B by whether 10,000 subscriptions link the 100,000 "
        "streams, 256 connections",
        tuple(v for mode in modes for v in (
            Variant("sluice", mode, load, "none", setup=(create(streams),)),
            Variant("sluice", mode, load, "linked", setup=(create(streams),),
                    measure=measure_subscribed))),
        tuple(Bar(f"rate with subscriptions over that without, {mode}", "rate",
                  f"sluice-{mode}/linked", f"sluice-{mode}/none", at_least=0.9)
              for mode in modes),
        keep=True)


def measure_subscribed(variant, load, running, profile):
    """The load, once each ten streams have their subscription; they stay for the rounds after."""
    subscribe(running, profile.streams(100_000))
    return measure(variant, load, running, profile)


def streams_scenario(p):
    cases = (("1", 1), ("100", 100), ("10k", 10_000), ("100k", 100_000), ("1M", 1_000_000))
    cases = tuple((case, n) for case, n in cases if n <= max(p.streams_max, 100))
    most = cases[-1][0]
    variants = (
        *(Variant("sluice", mode, f"append connections=256 streams={n} size=256", case, n,
                  setup=(create(n),))
          for case, n in cases for mode in ("memory", "durable")),
        Variant("h2o", "bare", "append connections=256 streams=100 size=256"))
    bars = tuple(
        Bar(f"rate at {most} streams over that at 100, {mode}", "rate", f"sluice-{mode}/{most}",
            f"sluice-{mode}/100", at_least=0.8)
        for mode in ("memory", "durable"))
    return Scenario("append-streams", "append of 256 B by number of streams, 256 connections",
                    variants, bars, ceiling="h2o-bare", keep=True, rivals=True, axis="streams")


# ---- creating and deleting -------------------------------------------------------------------

def storms(p):
    many = 10_000_000  # more than there is time for
    few = p.streams(100_000)

    def variants(load, setup=()):
        return tuple(Variant("sluice", mode, load, setup=setup) for mode in ("memory", "durable"))

    put = f"create streams={many} connections=64"
    post = f"append streams={p.streams(100)} connections=64"
    yield Scenario(
        "create", "create streams, 64 connections",
        (*variants(put),
         *(Variant("sluice", mode, post, "append", setup=(create(p.streams(100)),),
                   beside=True)
           for mode in ("memory", "durable")),
         Variant("h2o", "bare", put)),
        tuple(Bar(f"over appends, {mode}", "rate", f"sluice-{mode}", f"sluice-{mode}/append",
                  at_least=0.7) for mode in ("memory", "durable")),
        ceiling="h2o-bare", quick=True, rivals=True)

    def remove(variant, load, running, profile):
        result = check(load.run_to_end(running, variant.load))
        return metrics(result), [result]

    away = f"delete streams={few} connections=64"
    yield Scenario(
        "delete", "delete streams, 64 connections",
        tuple(dataclasses.replace(v, measure=remove) for v in (
            *variants(away, (create(few),)), Variant("h2o", "bare", away))),
        ceiling="h2o-bare")


# ---- catch-up --------------------------------------------------------------------------------

def fill(streams, size, of=0, set_="s"):
    """Creates streams and gives each `size` bytes, by appends of `of` bytes."""
    each = min(of or size, size)
    return (create(streams, set_),
            f"append set={set_} streams={streams} count={streams * (size // each)} size={each} "
            f"pick=2 connections={min(streams, 512 if each <= 64 * KIB else 16)}")


def reads(p):
    small = p.streams(1000)
    yield Scenario(
        "read-1KiB", "catch-up read of 1 KiB from memory, 64 connections",
        (Variant("sluice", "memory", f"read streams={small} connections=64",
                 setup=fill(small, KIB)),
         Variant("h2o", "bare", f"read streams={small} connections=64")),
        (Bar("share of h2o", "rate", "sluice-memory", "h2o-bare", at_least=0.85),),
        ceiling="h2o-bare", quick=True, rivals=True)
    yield Scenario(
        "read-304", "read that is not modified (ETag), 64 connections",
        tuple(Variant(subject, mode, f"read streams={small} connections=64 etag=1", setup=setup,
                      measure=measure_not_modified)
              for subject, mode, setup in (("sluice", "memory", fill(small, KIB)),
                                           ("h2o", "bare", ()))),
        ceiling="h2o-bare")
    loopback = Variant("loopback", "program", options=("--seconds", "1", "--warmup-ms", p.warmup_ms))
    size = p.size(MIB)
    yield Scenario(
        "read-1MiB", "catch-up read of 1 MiB from memory, 16 connections",
        (Variant("sluice", "memory", f"warmup-ms={p.long_warmup_ms} read streams=16 connections=16",
                 setup=fill(16, size)),
         Variant("loopback", "program",
                 options=("--seconds", "1", "--warmup-ms", p.long_warmup_ms))),
        (Bar("share of loopback", "bytes_per_s", "sluice-memory", "loopback-program",
             at_least=0.7),),
        metric="bytes_per_s", ceiling="loopback-program", quick=True, rivals=True)
    size = p.size(100 * MIB)
    yield Scenario(
        "read-100MiB", "catch-up read of 100 MiB from memory, by readers",
        (*(Variant("sluice", "memory", f"read streams=1 connections={p.connections(n)}", f"{n}",
                   n, setup=fill(1, size, MIB)) for n in (1, 8, 64, 512)), loopback),
        metric="bytes_per_s", ceiling="loopback-program", keep=True, axis="readers")
    cold = functools.partial(
        Variant, "sluice", "durable", setup=fill(256, p.size(MIB)),
        options=("--memory-budget-bytes", 64 * MIB, "--wal-file-bytes", 8 * MIB,
                 "--wal-budget-bytes", 16 * MIB, "--max-body-bytes", 2 * MIB))
    yield Scenario(
        "read-cold", "catch-up read of 1 MiB from segments, 16 connections: in the page cache, or, "
        "each once, from the disk",
        (cold("read streams=256 connections=16", "page-cache"),
         cold("read streams=256 count=256 pick=2 connections=16", "disk",
              measure=measure_from_disk),
         loopback),
        (Bar("share of the bytes that the disk gave", "disk_share", "sluice-durable/disk",
             at_least=0.8),),
        metric="bytes_per_s", ceiling="loopback-program")


# ---- live reads ------------------------------------------------------------------------------

TEXT = "type=text/plain"


def fan_out(p):
    made = (create(1, type_="text/plain"),)

    def live(kind, readers, **how):
        words = " ".join(f"{name}={value}" for name, value in how.items())
        return f"append {TEXT} {words} {kind} {TEXT} connections={p.connections(readers)}"

    def both(load, **more):
        return (Variant("sluice", "memory", load, setup=made, **more),
                Variant("sse", "bare", load, **more))

    cases = (("100", 100), ("1000", 1000), ("9000", 9000))
    yield Scenario(
        "fan-out", "1 stream by SSE subscribers; the next append when all have the one before",
        tuple(v for case, n in cases
              for v in both(live("sse", n, lockstep=1), case=case, x=n)),
        (Bar("deliveries, share of a bare writer", "2.delivery_rate", "sluice-memory/1000",
             "sse-bare/1000", at_least=0.7),),
        metric="2.delivery_rate", latency="2.delivery_", ceiling="sse-bare", quick=True,
        rivals=True, axis="subscribers")
    yield Scenario(
        "fan-out-paced", "1 stream, 1,000 SSE subscribers, 100 appends/s",
        (*both(live("sse", 1000, rate=100)),
         Variant("sluice", "durable", live("sse", 1000, rate=100), setup=made)),
        (Bar("p99 from append to delivery over a bare writer's", "2.delivery_p99_us",
             "sluice-memory", "sse-bare", at_most=1.3),
         Bar("share delivered", "2.delivered_share", "sluice-memory", at_least=0.999)),
        metric="2.delivery_rate", latency="2.delivery_", ceiling="sse-bare", quick=True,
        rivals=True, rival_metric="2.delivery_p99_us")
    wide = p.streams(1000)
    yield Scenario(
        "fan-out-wide", "1,000 streams with 10 readers each, by SSE or long-poll, 5,000 appends/s",
        tuple(Variant("sluice", "memory", f"append {TEXT} streams={wide} rate=5000 connections=16 "
                      f"{role} {TEXT} streams={wide} connections={wide * 10}", role,
                      setup=(create(wide, type_="text/plain"),)) for role in ("sse", "long-poll")),
        metric="2.delivery_rate", latency="2.delivery_")
    yield Scenario(
        "fan-out-long-poll", "1 stream by long-polls; the next append when all have the one before",
        tuple(v for case, n in cases for v in (
            Variant("sluice", "memory", live("long-poll", n, lockstep=1), case, n, setup=made),
            Variant("h2o", "bare", f"read connections={p.connections(n)}", case, n))),
        metric="2.delivery_rate", latency="2.delivery_", ceiling="h2o-bare",
        ceiling_metric="rate", rivals=True, axis="subscribers")


# ---- interference, idle cost, recovery, overload ---------------------------------------------

def mixed(p):
    few, many = p.streams(100), p.streams(1000)
    writers = f"append streams={few} connections=64 rate=5000"
    readers = f"read set=r streams={many} connections={p.connections(1000)} rate=5000"
    live = f"append set=l {TEXT} rate=100 sse set=l {TEXT} connections={p.connections(100)}"
    setup = (create(few), create(1, "l", "text/plain"), *fill(many, KIB, set_="r"))
    # The system's own threads hold up about as many requests as a p99 leaves out, so without this
    # it says on which side of that a round was.
    variants = tuple(
        Variant("sluice", mode, load, case, setup=setup, realtime=True)
        for mode in ("memory", "durable")
        for case, load in (("alone", writers), ("readers", f"{writers} {readers}"),
                           ("all", f"{writers} {readers} {live}")))
    others = tuple(Variant("sluice", "memory", load, case, setup=setup, realtime=True)
                   for case, load in (("readers-alone", readers), ("live-alone", live)))
    # What one more load costs beside the first even where nothing is behind it.
    bare = tuple(Variant("h2o", "bare", load, case, realtime=True)
                 for case, load in (("alone", writers), ("readers", f"{writers} {readers}")))
    yield Scenario(
        "mixed", "5,000 appends/s alone, with 1,000 catch-up readers (5,000/s), and with live "
        "readers; real-time priority", variants + others + bare,
        tuple(bar for mode in ("memory", "durable") for bar in (
            Bar(f"p99 of appends with catch-up readers over alone, {mode}", "p99_us",
                f"sluice-{mode}/readers", f"sluice-{mode}/alone", at_most=1.1),
            Bar(f"reads per second meanwhile, {mode}", "2.rate", f"sluice-{mode}/readers",
                at_least=4950))) + (
            Bar("p99 of catch-up readers with appends over alone, memory", "2.p99_us",
                "sluice-memory/readers", "sluice-memory/readers-alone", "p99_us"),
            Bar("p99 of deliveries with both over alone, memory", "4.delivery_p99_us",
                "sluice-memory/all", "sluice-memory/live-alone", "2.delivery_p99_us")),
        metric="p99_us", rounds_times=2)


def idle_streams(variant, load, running, profile):
    """Memory of streams that nobody touches, and the processor of doing nothing."""
    streams = profile.streams(1_000_000)
    before = running.rss_bytes()
    results = [check(load.run_to_end(running, create(streams)))]
    rss = running.rss_bytes()
    running.settle()
    used = sum(running.cpu_s().values())
    running.pass_time(profile.idle_s)
    used = sum(running.cpu_s().values()) - used
    return {"rate": results[0]["roles"][0]["rate"], "rss_bytes": rss,
            "bytes_each": (rss - before) / streams, "cpu_share": used / profile.idle_s}, results


def idle_readers(kind, variant, load, running, profile):
    """Memory of readers that get nothing, and the processor of their heartbeats."""
    readers = profile.connections(9000)
    before = running.rss_bytes()
    result = check(load.run(running, f"{kind} connections={readers} streams={variant.x:.0f}",
                            measure_ms=int(profile.idle_s * 1000)))
    found = metrics(result)
    found["bytes_each"] = (found["rss_bytes"] - before) / readers
    return found, [result]


def idle(p):
    yield Scenario(
        "idle-streams", "1,000,000 streams that nobody touches",
        tuple(Variant("sluice", mode, measure=idle_streams) for mode in ("memory", "durable")),
        tuple(Bar(f"bytes of each, {mode}", "bytes_each", f"sluice-{mode}", at_most=400)
              for mode in ("memory", "durable")) +
        (Bar("share of a core when nothing happens", "cpu_share", "sluice-durable",
             at_most=0.005),),
        metric="bytes_each", rounds_max=1)
    most = p.streams(1_000_000)
    yield Scenario(
        "idle-readers", "9,000 readers to whose streams nobody appends",
        (*(Variant("sluice", "memory", case=kind, x=1, setup=(create(1),),
                   measure=functools.partial(idle_readers, kind)) for kind in ("sse", "long-poll")),
         Variant("sluice", "durable", case="1M-streams", x=most, setup=(create(most),),
                 measure=functools.partial(idle_readers, "sse"))),
        (Bar("bytes of each SSE connection", "bytes_each", "sluice-memory/sse",
             at_most=10 * KIB),
         Bar("share of a core, 1,000,000 streams", "cpu_share", "sluice-durable/1M-streams",
             at_most=0.03)),
        metric="bytes_each", rounds_max=1)


def recover(variant, load, running, profile):
    seconds = running.restart()
    return {"rate": variant.x / seconds, "ready_s": seconds,
            "rss_bytes": running.rss_bytes()}, []


def recovery(p):
    cases = (("10k", 10_000), ("100k", 100_000), ("1M", 1_000_000))
    cases = tuple((case, n) for case, n in cases if n <= max(p.streams_max, 10_000))
    yield Scenario(
        "recovery", "time to ready, by streams with one append of 256 B each",
        tuple(Variant("sluice", "durable", case=case, x=n, measure=recover,
                      setup=(create(p.streams(n)),
                             f"append streams={p.streams(n)} count={p.streams(n)} pick=2 "
                             f"connections={p.connections(512)}"))
              for case, n in cases),
        metric="ready_s", keep=True, axis="streams", rounds_max=3)
    # Less than what is flushed: all of it is read again.
    sizes = tuple(mib for mib in (16, 64, 192) if mib * KIB <= max(p.streams_max, 16 * KIB))
    yield Scenario(
        "recovery-log", "time to ready, by the log's bytes: appends of 1 KiB to 100 streams",
        tuple(Variant("sluice", "durable", case=f"{mib}MiB", x=mib, measure=recover,
                      setup=(create(p.streams(100)),
                             f"append streams={p.streams(100)} size={KIB} count={mib * KIB} "
                             f"connections={p.connections(256)}"))
              for mib in sizes),
        metric="ready_s", keep=True, axis="MiB of log", rounds_max=3)


def overload_measure(at_capacity, beyond, variant, load, running, profile):
    """Capacity in a closed loop, then twice as much in an open one; readers meanwhile."""
    readers = f"read set=r streams=10 connections={profile.connections(64)} rate=1000"
    closed = check(load.run(running, f"{variant.load} {at_capacity} {readers}"))
    before = metrics(closed)
    rate = max(int(before["rate"] * 2), 1)
    over = load.run(running, f"{variant.load} {beyond} rate={rate} {readers}")
    answered = sum(over["roles"][0]["status"].values())
    refused = sum(over["roles"][0]["status"].get(s, 0) for s in ("429", "503"))
    later = over["roles"][0]["retry_after"]
    found = metrics(check(over, ("429", "503")))
    found |= {"capacity": before["rate"], "goodput_share": found["rate"] / before["rate"],
              "refused_share": refused / max(answered, 1)}
    if found.get("2.p99_us") and before.get("2.p99_us"):
        found["readers_p99_ratio"] = found["2.p99_us"] / before["2.p99_us"]
    if refused:
        found["retry_after_share"] = later / refused
    return found, [closed, over]


def overload(p):
    many, few = p.connections(1024), p.connections(64)
    load = f"append streams={p.streams(100)}"
    setup = (create(p.streams(100)), *fill(10, KIB, set_="r"))
    held_back = functools.partial(overload_measure, f"connections={many} depth=8",
                                  f"connections={many} depth=8")
    # A commit holds half a file at most, so these wait for more than the second after which a
    # change is refused; the first ones grow old together. Nothing is flushed meanwhile: what that
    # costs readers is not the disk's.
    refused = Variant(
        "sluice", "slow-disk", f"warmup-ms={p.long_warmup_ms} {load} size={32 * KIB}",
        "small-commits", setup=setup, realtime=True,
        measure=functools.partial(overload_measure, f"connections={few}",
                                  f"connections={p.connections(4096)}"),
        options=("--wal-file-bytes", MIB, "--max-body-bytes", 448 * KIB,
                 "--wal-budget-bytes", 8192 * MIB, "--memory-budget-bytes", 8192 * MIB))
    variants = tuple(Variant("sluice", mode, load, measure=held_back, setup=setup)
                     for mode in ("memory", "durable", "slow-disk")) + (refused,)

    def bars(what, metric, of, **wanted):
        return tuple(Bar(f"{what}, {v.label.removeprefix('sluice-')}", metric, v.label, **wanted)
                     for v in of)

    yield Scenario(
        "overload", "twice as many appends as it can do, 1,024 connections; slow-disk: every "
        "commit takes 2 ms more; small-commits: of 15 appends of 32 KiB, 4,096 connections",
        variants,
        bars("goodput over capacity", "goodput_share", variants, at_least=0.9) +
        # A connection of those that are refused has one answer or two.
        bars("slowest connection over fastest", "least_share", variants[:-1], at_least=0.1) +
        bars("p99 of reads over that at capacity", "readers_p99_ratio", variants[2:], at_most=2) +
        bars("refusals with Retry-After", "retry_after_share", variants[-1:], at_least=1) +
        bars("share of answers that are refusals", "refused_share", variants),
        metric="goodput_share", latency="service_", quick=True)


def scenarios(profile):
    """All of them, in the order in which they run."""
    return [scenario for group in (appends, storms, reads, fan_out, mixed, idle, recovery, overload)
            for scenario in group(profile)]


def _rival_bar(scenario, ours, theirs):
    if scenario.rival_metric:
        return Bar(f"{scenario.rival_metric} over {theirs.label}", scenario.rival_metric, ours,
                   theirs.label, at_most=1)
    wanted = {(rival, mode): times for rival, mode, times in scenario.rival_bars}
    return Bar(f"{scenario.metric} over {theirs.label}", scenario.metric, ours, theirs.label,
               at_least=wanted.get((theirs.subject, theirs.mode), 1))


def with_rivals(scenario, rivals):
    """The scenario with variants of ours for each rival, and ours to be the first of all.

    A rival's mode that keeps what it acknowledges does what ours does on a disk.
    """
    variants, bars = list(scenario.variants), list(scenario.bars)
    for rival in rivals:
        if rival.scenarios is not None and scenario.name not in rival.scenarios:
            continue
        for mode in rival.modes:
            ours = "memory" if mode == "memory" else "durable"
            for variant in scenario.variants:
                if (variant.subject, variant.mode) != ("sluice", ours) or variant.beside:
                    continue
                theirs = dataclasses.replace(variant, subject=rival.name, mode=mode, options=())
                variants.append(theirs)
                bars.append(_rival_bar(scenario, variant.label, theirs))
    return dataclasses.replace(scenario, variants=tuple(variants), bars=tuple(bars))
