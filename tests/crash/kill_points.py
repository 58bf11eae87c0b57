#!/usr/bin/env python3
"""Kills the server before and after every one of its calls on the data directory, one per run.

Each run is a Round of scenario.py; it must find everything that was acknowledged or shown.
"""
import argparse
import os
import pathlib
import random
import shutil
import sys
import tempfile
import time

import preload
from scenario import Round

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Rounds:
    """Runs rounds until the time is over, and prints what went wrong."""

    def __init__(self, args, noun):
        self.args, self.noun = args, noun
        self.folder = pathlib.Path(args.dir or tempfile.mkdtemp(prefix="sluice-rounds-"))
        self.folder.mkdir(exist_ok=True)
        self.shim = preload.build(self.folder)
        self.deadline = time.monotonic() + args.seconds if args.seconds else None
        self.runs = self.failed = self.acknowledged = self.bytes_read = 0

    def run(self, name, **settings):
        """One round. Returns its calls."""
        one = Round(self.args.binary, self.folder / name.replace(" ", "-"), self.shim,
                    without=self.args.without)
        calls = one.run(**settings)
        self.runs += 1
        self.acknowledged += one.judge.acknowledged
        self.bytes_read += one.judge.bytes_read
        for kind, text in one.judge.violations[:3]:
            print(f"crash/{self.noun}: {name}: VIOLATION: {kind}: {text}", flush=True)
        if one.judge.violations:
            self.failed += 1
            print(f"crash/{self.noun}: {name}: kept in {one.folder}")
        elif not self.args.keep:
            one.remove()
        return calls

    def run_all(self, rounds):
        """`rounds`: (name, settings). Stops when the time is over or enough have failed."""
        if self.args.runs and len(rounds) > self.args.runs:
            rounds = random.Random(self.args.seed).sample(rounds, self.args.runs)
        for name, settings in rounds:
            over = self.deadline is not None and time.monotonic() > self.deadline
            if over or self.failed >= self.args.failures:
                break
            self.run(name, **settings)

    def finish(self, of):
        if not self.failed and not self.args.keep and not self.args.dir:
            shutil.rmtree(self.folder)
        print(f"crash/{self.noun}: {self.runs} runs of {of}, {self.acknowledged} acknowledged, "
              f"{self.bytes_read} bytes read, {self.failed} failed", flush=True)
        return self.failed > 0


def parse(doc):
    parser = argparse.ArgumentParser(description=doc,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=os.environ.get("SLUICE_BINARY",
                                                           str(ROOT / "build" / "sluice")))
    parser.add_argument("--step", type=int, default=1, help="only every n-th call")
    parser.add_argument("--runs", type=int, help="a random sample of so many")
    parser.add_argument("--seconds", type=float, help="stop after this time")
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    parser.add_argument("--failures", type=int, default=3, help="stop after so many failures")
    parser.add_argument("--without", nargs="*", default=(), metavar="ACTION",
                        help="leave out actions of the script, to narrow a failure down")
    parser.add_argument("--only", help="only runs whose name contains this")
    parser.add_argument("--dir", help="where to keep failed runs; default: a new folder")
    parser.add_argument("--keep", action="store_true", help="keep successful runs too")
    return parser.parse_args()


def main():
    args = parse(__doc__)
    rounds = Rounds(args, "kill_points")
    calls = rounds.run("count")
    numbers = [call.number for call in calls if call.number]
    todo = [(f"kill {number} {when}", {"may_die": True, "kill": f"{number} {when}"})
            for number in range(1, max(numbers, default=0) + 1, args.step)
            for when in ("before", "after")]
    todo = [(name, settings) for name, settings in todo if not args.only or args.only in name]
    rounds.run_all(todo)
    return rounds.finish(len(todo))


if __name__ == "__main__":
    sys.exit(main())
