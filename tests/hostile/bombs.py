"""Bombs: single requests that are meant to cost more than they should."""

import re

from target import Target

from http1 import encode_request  # target knows where it lies

MIB = 1 << 20
MS_PER_MIB_MAX = 10  # of processor, all threads together
STACK_MAX_KIB = 1024  # of a thread's stack, touched
STACK_SIZE_KIB = 4096
JSON = {"Content-Type": "application/json"}
TEXT = {"Content-Type": "text/plain"}
HEADERS = 99  # and Host: as many as there may be

# What is sent, and the statuses that it may get.
BODIES = {
    "16 MiB of [": (JSON, b"[" * (16 * MIB), {400}),
    "8 MiB of [ and 8 MiB of ]": (JSON, b"[" * (8 * MIB) + b"]" * (8 * MIB), {400}),
    "8 MiB of {\"a\":": (JSON, b'{"a":' * (8 * MIB // 5), {400}),
    "an array of a million elements": (JSON, b"[" + b"1," * 999_999 + b"1]", {413}),
    "an array of a million elements in an array": (
        JSON,
        b"[[" + b"1," * 999_999 + b"1]]",
        {200, 204},
    ),
    "an array of 262,144 objects": (JSON, b"[" + b'{"a":[1,2,3]},' * 262_143 + b"{}]", {200, 204}),
    "a string of 10 MB": (JSON, b'"' + b"x" * 10_000_000 + b'"', {200, 204}),
    "a string of 10 MB of escapes": (JSON, b'"' + b"\\u0000" * 1_666_666 + b'"', {200, 204}),
    "a string of 10 MB of 4-byte characters": (
        JSON,
        b'"' + "😀".encode() * 2_500_000 + b'"',
        {200, 204},
    ),
    "10 MB that are no UTF-8 at the end": (JSON, b'"' + b"x" * 10_000_000 + b'\xff"', {400}),
    "10 MB of half characters": (JSON, b'"' + b"\xc3" * 10_000_000 + b'"', {400}),
    "a number of 10 MB": (JSON, b"1" * 10_000_000, {200, 204}),
    "10 MB of blanks": (JSON, b" " * 10_000_000 + b"1", {200, 204}),
    "10 MB of line feeds": (TEXT, b"\n" * 10_000_000, {200, 204}),
}
# A head, and the statuses that it may get.
HEADS = {
    "100 headers of 4,000 bytes": (
        b"".join(b"X-%d: %b\r\n" % (n, b"y" * 3990) for n in range(HEADERS)),
        {200},
    ),
    "a header whose name has 400,000 bytes": (b"X" * 400_000 + b": y\r\n", {200, 400}),
    "a header whose value has 400,000 bytes": (b"X: " + b"y" * 400_000 + b"\r\n", {200, 400}),
    "400,000 bytes of empty headers": (b"a:\r\n" * 100_000, {400}),
}


def stack_kib(pid):
    """The largest part of a thread's stack that was ever touched."""
    with open(f"/proc/{pid}/smaps") as maps:
        sizes = re.findall(r"^Size:\s+(\d+) kB.*?^Rss:\s+(\d+) kB", maps.read(), re.M | re.S)
    return max((int(rss) for size, rss in sizes if int(size) == STACK_SIZE_KIB), default=0)


class Cost:
    """Processor time of the server for one request."""

    def __init__(self, table, target):
        self.table, self.target = table, target

    def used_s(self):
        return sum(self.target.running.cpu_s().values())

    def judge(self, name, size, statuses, ask):
        before = self.used_s()
        status = ask()
        ms = (self.used_s() - before) * 1000
        self.table.add(f"{name}: status", status, sorted(statuses), status in statuses)
        self.table.time(f"{name}: processor", ms / (size / MIB), MS_PER_MIB_MAX, " ms/MiB")


def events(target, path, size):
    """Reads the stream as events until `size` bytes of data have come."""
    connection = target.connect(timeout_s=60)
    connection.send(encode_request("GET", path + "?offset=-1&live=sse"))
    status, taken = connection.read_head().status, 0
    while taken < size:
        taken += len(connection.read_chunk())
    connection.close()
    return status


def bombs(table, scale, build):
    table.begin("bombs")
    with Target(build) as target:
        cost = Cost(table, target)
        for n, (name, (headers, body, statuses)) in enumerate(BODIES.items()):
            path = target.create(f"bomb/{n}", headers)
            target.running.settle()
            cost.judge(
                name,
                len(body),
                statuses,
                lambda: target.request("POST", path, headers, body).status,
            )
        target.running.settle()
        size = 6 * 10_000_000  # "data:" and a line feed for each
        cost.judge(
            "10 MB of line feeds as 60 MB of events",
            size,
            {200},
            lambda: events(target, path, size),
        )
        for name, (head, statuses) in HEADS.items():

            def ask():
                connection = target.connect()
                connection.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + head + b"\r\n")
                try:
                    return connection.read_response().status
                finally:
                    connection.close()

            cost.judge(name, len(head), statuses, ask)
        table.at_most(
            "stack of a thread", stack_kib(target.running.process.pid), STACK_MAX_KIB, " KiB"
        )
