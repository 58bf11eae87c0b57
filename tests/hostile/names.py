"""Names that look like paths: whatever a stream is called, no file outside the data directory is made.

The server runs under strace, which says every path that it gives to the kernel.
"""

import itertools
import re
import subprocess

from target import STREAMS, TEXT, Target, server

NAMES = (
    "..",
    "../../../../tmp/sluice-escape",
    "..%2f..%2f..%2ftmp%2fsluice-escape",
    "%2e%2e/%2e%2e/x",
    "%2e%2e%2f%2e%2e%2fx",
    "..%5c..%5cx",
    "%2ftmp%2fsluice-escape",
    "//tmp/sluice-escape",
    "x%00",
    "%00",
    "x%00.txt",
    "..%00/",
    "%c0%ae%c0%ae/x",
    "%c0%af",
    "%e0%80%af",
    "%f0%80%80%af",
    "..%c0%afx",
    "a/./b",
    "./x",
    "x/..",
    "x/../../y",
    ".",
    "...",
    "~root",
    "$HOME",
    "`id`",
    "x;id",
    "x|id",
    "CON",
    "NUL",
    "x%0ay",
    "x%0d%0ay",
    "SLUICE",
    "control.sock",
    "lost+found",
    "shard-00",
    "Case",
    "case",
    "CASE",
    "%43ase",
    "x" * 1024,
    "x" * 1025,
    "%2e" * 100,
    "%252e%252e%252f",
    "\xc3\xa9",
    "%c3%a9",
    "%C3%A9",
    "e%cc%81",
    "-rf",
    "*",
    "?",
    "#",
    "%23",
)
# Calls that make, change or remove a file, with the path or paths.
CHANGES = re.compile(
    r"\b(?:mkdir|mkdirat|rename|renameat2?|link|linkat|symlink|symlinkat|unlink|unlinkat|rmdir|"
    r"truncate|chmod|fchmodat|mknod|bind)\("
)
OPENS = re.compile(r"\b(?:open|openat|openat2|creat)\(")
PATH = re.compile(r'"((?:[^"\\]|\\.)*)"')
WRITES = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_TMPFILE")
# Not files of ours, and harmless.
KNOWN = ("/dev/null", "/proc/self/")


class Traced(server.Sluice):
    """Writes every call with a path beside its data directory. -D: signals go to the server."""

    def command(self, mode, port, data_dir, options=()):
        argv, environment = super().command(mode, port, data_dir, options)
        trace = data_dir + ".strace"
        return [
            "strace",
            "-D",
            "-f",
            "-qq",
            "-s",
            "4096",
            "-e",
            "trace=%file,bind",
            "-o",
            trace,
            *argv,
        ], environment


def outside(trace, data_dir):
    """Lines of calls that write somewhere else."""
    found = []
    for line in trace.splitlines():
        if not (CHANGES.search(line) or (OPENS.search(line) and WRITES.search(line))):
            continue
        paths = PATH.findall(line)
        if "sin_port" in line or any(path.startswith(KNOWN) for path in paths):
            continue
        if not all(path.startswith(data_dir) or not path.startswith(("/", "..")) for path in paths):
            found.append(line)
    return found


def names(table, scale, build):
    table.begin("names that look like paths")
    answers = {}
    with Target(build, subject=Traced) as target:
        data_dir = target.running.folder + "/data"
        for name, method in itertools.product(NAMES, ("PUT", "POST", "GET", "HEAD", "DELETE")):
            body = b"x" if method in ("PUT", "POST") else None
            answers[name, method] = target.request(method, STREAMS + name, TEXT, body).status
        with open(data_dir + ".strace") as trace:
            found = outside(trace.read(), data_dir)
        here = set(
            subprocess.run(
                ["find", data_dir, "-printf", "%P\n"], capture_output=True, text=True, check=True
            ).stdout.split("\n")
        )
        ours = re.compile(r"|SLUICE|lock|control\.sock|lost\+found|[\w.-]+(/[\w.-]+)*")
        strange = sorted(name for name in here if not ours.fullmatch(name))
    table.add(
        f"statuses of {len(answers)} requests",
        sorted(set(answers.values())),
        "200 to 414",
        set(answers.values()) <= {200, 201, 204, 400, 404, 405, 414},
    )
    table.add(
        "calls that write outside of the data directory", found[:3] or "none", "none", not found
    )
    table.add("files with strange names", strange[:3] or "none", "none", not strange)
