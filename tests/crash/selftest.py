#!/usr/bin/env python3
"""Proves that the crash test finds what it is for: every lie of fake.py must be found.

And an honest stand-in must pass. Takes the binary of a real server, used in memory.
"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

FOLDER = pathlib.Path(__file__).resolve().parent
# Lie, chance per request, and a word that must stand in the report of it.
LIES = (
    ("lose", 0.01, "lost|offsets reused|vanished"),
    ("duplicate", 0.01, "other: .*instead of|duplicated: .*again|offsets reused|other: .*at"),
    ("tear", 0.02, "a part, or a changed copy"),
    ("half_batch", 0.05, "a part, or a changed copy"),
    ("corrupt", 0.05, "offsets reused"),
    ("early_tail", 0.05, "vanished: .*was shown"),
    ("forget_delete", 0.5, "vanished: .*(gone|back)"),
    ("forget_close", 0.5, "vanished: .*(closed|open)"),
    ("false_404", 0.02, "lost: .*nobody deleted it"),
    ("drop_stream", 0.02, "lost: .*nobody deleted it"),
    ("forget_producer", 0.02, "there and was accepted again|duplicate"),
    ("forget_data", 0.02, "told to be a duplicate|duplicate"),
    ("forget_seq", 0.3, "duplicated: probe"),
    ("late", 0.01, "is not there by all that was shown|offsets reused|instead of"),
    ("cut", 0, "lost: .*gone are|vanished: .*was shown earlier"),
    ("reuse", 0, "offsets reused"),
    ("wrong_exit", 0, "exit code 7 after SIGTERM"),
)
# Lie, the test that must find it (or, with no lie, pass), and a word of the report.
OTHERS = (
    ("", ("kill_points.py", "--runs", "10"), None),
    ("early_answer", ("kill_points.py", "--runs", "40", "--failures", "1"), "lost"),
    ("", ("faults.py", "--runs", "10"), None),
    ("ignore_error", ("faults.py", "--runs", "40", "--failures", "1"), "lost|offsets reused"),
    ("", ("gating.py",), None),
    ("early_visible", ("gating.py",), "HEAD: revealed after"),
)


class Real:
    """A server in memory that stays while its stand-in is killed."""

    def __init__(self, binary):
        self.process = subprocess.Popen(
            [binary, "serve", "--memory", "--listen", "127.0.0.1:0", "--shards", "2", "--acceptors",
             "2", "--long-poll-timeout-ms", "14000"], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.port = re.search(r":(\d+)$", self.process.stdout.readline())[1]

    def environment(self, lie="", chance=0.0):
        return {**os.environ, "FAKE_PORT": self.port, "FAKE_LIE": lie, "FAKE_CHANCE": str(chance)}

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def test(command, lie, chance):
    """Runs a test on the stand-in. Returns whether it was content, and what it printed."""
    real, folder = Real(command[0]), tempfile.mkdtemp(prefix="sluice-selftest-")
    try:
        name, *options = command[1:]
        result = subprocess.run(
            [sys.executable, FOLDER / name, "--binary", FOLDER / "fake.py", *options],
            env={**real.environment(lie, chance), "TMPDIR": folder}, text=True, timeout=300,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return result.returncode == 0, result.stdout
    finally:
        real.end()
        shutil.rmtree(folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", default=os.environ.get(
        "SLUICE_BINARY", str(FOLDER.parents[1] / "build" / "sluice")))
    parser.add_argument("--seed", default="1")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("lies", nargs="*")
    args = parser.parse_args()
    cases = [(lie, chance, ("driver.py", "--cycles", "12", "--seed", args.seed), pattern)
             for lie, chance, pattern in (("", 0.0, None), *LIES)]
    cases += [(lie, 0.0, command, pattern) for lie, command, pattern in OTHERS]
    failed = 0
    for lie, chance, command, pattern in cases:
        if args.lies and (lie or "honest") not in args.lies:
            continue
        content, output = test((args.binary, *command), lie, chance)
        found = [line for line in output.splitlines() if "VIOLATION" in line]
        good = content if pattern is None else not content and any(
            re.search(pattern, line) for line in found)
        failed += not good
        if args.verbose or not good:
            print(output)
        print(f"crash/selftest: {command[0]}: {lie or 'honest'}: {'ok' if good else 'FAILED'}"
              + (f": {found[0][:200]}" if found and args.verbose else ""), flush=True)
    print(f"crash/selftest: {len(cases)} stand-ins, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
