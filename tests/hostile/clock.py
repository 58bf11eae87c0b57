"""A wall clock that jumps: forward, by years, and back to 1970.

A TTL does not look at that clock; an instant of Stream-Expires-At does, but a jump of more than a
week is not believed for an hour.
"""

import datetime
import json
import pathlib
import struct
import time

from target import STREAMS, TEXT, Target, server

from http1 import Closed, encode_request  # target knows where it lies

SOURCE = pathlib.Path(__file__).with_name("clock_preload.c")
TTL_S = 3
INSTANTS = 500  # streams whose instant the largest jump goes over
CPU_SHARE_MAX = 0.1  # of a core, while nothing is to be done
YEAR_S = 365 * 86400
JUMPS = (
    ("1 s forward", lambda: 1),
    ("1 h forward", lambda: 3600),
    ("10 years forward", lambda: 10 * YEAR_S),
    ("back to 1970", lambda: 3600 - int(time.time())),
)


class Faked(server.Sluice):
    """Its clock is as many seconds off as the file `clock` beside its data directory says."""

    def command(self, mode, port, data_dir, options=()):
        argv, environment = super().command(mode, port, data_dir, options)
        folder = pathlib.Path(data_dir).parent
        (folder / "clock").write_bytes(struct.pack("q", 0))
        library = server.preload.build(folder, SOURCE)
        return argv, {
            **environment,
            **server.preload.loaded(library),
            "CLOCK_OFFSET": str(folder / "clock"),
        }


def instant(seconds_from_now):
    then = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(
        seconds=seconds_from_now
    )
    return then.isoformat(timespec="milliseconds")


class Witness:
    """What must go forward only: offsets of appends, and cursors of events and of long-polls."""

    def __init__(self, target):
        self.target, self.path = target, target.create("witness")
        self.offsets, self.cursors, self.poll_cursors = [], [], [0]
        self.follow()

    def follow(self):
        self.events = self.target.connect(timeout_s=20)
        cursor = f"&cursor={self.cursors[-1]}" if self.cursors else ""
        self.events.send(encode_request("GET", f"{self.path}?offset=now&live=sse{cursor}"))
        self.events.read_head()
        self.take()

    def take(self):
        """Events up to the next control."""
        text = b""
        while b"event: control" not in text:
            text += self.events.read_chunk()
        self.cursors.append(int(json.loads(text.rsplit(b"data:", 1)[1])["streamCursor"]))

    def look(self):
        tail = self.target.request("HEAD", self.path)["stream-next-offset"]
        self.target.append(self.path, b"x")
        self.take()
        self.offsets.append(self.target.request("HEAD", self.path)["stream-next-offset"])
        poll = self.target.request(
            "GET", f"{self.path}?offset={tail}&live=long-poll&cursor={self.poll_cursors[-1]}"
        )
        self.poll_cursors.append(int(poll["stream-cursor"]))

    def goes_forward(self):
        return (
            self.offsets == sorted(set(self.offsets))
            and self.cursors == sorted(self.cursors)
            and self.poll_cursors == sorted(self.poll_cursors)
        )


def exists(target, name):
    return target.request("HEAD", STREAMS + name).status == 200


def is_answering(target):
    try:
        return target.request("GET", "/healthz").status == 200
    except (Closed, ConnectionError):
        return False


def set_clock(target, offset_s):
    """h2o's timers look at that clock, too: connections that wait for a request may be cut once."""
    with open(target.running.folder + "/clock", "r+b") as file:
        file.write(struct.pack("q", offset_s))
    if target.wait_until(lambda: is_answering(target), 10) is None:
        raise RuntimeError("no answers after a jump of the clock")


def all_there(table, target, what):
    """What has hours or days to live."""
    names = ("hours", "day", "instant-0")
    found = [name for name in names if exists(target, name)]
    table.add(what, ", ".join(found), ", ".join(names), len(found) == len(names))


def jump(table, build, what, fake):
    with Target(build, subject=Faked) as target:
        target.create("hours", {**TEXT, "Stream-TTL": "7200"})
        target.create("day", {**TEXT, "Stream-Expires-At": instant(86400)})
        for n in range(INSTANTS):
            target.create(f"instant-{n}", {**TEXT, "Stream-Expires-At": instant(7200)})
        witness = Witness(target)
        witness.look()
        target.create("seconds", {**TEXT, "Stream-TTL": str(TTL_S)})
        created = time.monotonic()
        set_clock(target, fake())
        witness.look()
        is_there = exists(target, "seconds")
        if time.monotonic() - created < TTL_S:
            table.add(f"{what}: a TTL of {TTL_S} s is not over", is_there, "True", is_there)
        gone = target.wait_until(lambda: not exists(target, "seconds"), TTL_S + 10) is not None
        table.add(f"{what}: and then it is", gone, "True", gone)
        all_there(table, target, f"{what}: nothing else has run out")
        target.running.settle()
        before = sum(target.running.cpu_s().values())
        target.running.pass_time(1)
        table.time(
            f"{what}: cores in use while nothing happens",
            sum(target.running.cpu_s().values()) - before,
            CPU_SHARE_MAX,
            "",
        )
        target.running.restart()
        witness.follow()
        witness.look()
        all_there(table, target, f"{what}: nor after a restart")
        set_clock(target, 0)
        witness.look()
        all_there(table, target, f"{what}: nor when the clock is right again")
        table.add(
            f"{what}: offsets and cursors only grow",
            witness.goes_forward(),
            "True",
            witness.goes_forward(),
        )


def clock(table, scale, build):
    table.begin("jumps of the clock")
    for what, fake in JUMPS:
        jump(table, build, what, fake)
