#!/usr/bin/env python3
"""A short round of all crash tests, two or three minutes; one summary line each.

Two at a time: most of what they do is to wait, for disks, timeouts and servers.
"""
import argparse
import concurrent.futures
import os
import pathlib
import subprocess
import sys

FOLDER = pathlib.Path(__file__).resolve().parent
SHORT = (
    ("driver.py", "--cycles", "30"),
    ("kill_points.py", "--runs", "60", "--seconds", "45"),
    ("faults.py", "--runs", "50", "--seconds", "45"),
    ("gating.py",),
    ("damage.py", "--runs", "40"),
    ("subscriptions.py", "--cycles", "10"),
)


def run(args, name, *options):
    """Returns whether it passed, and what it printed."""
    seed = [] if name == "gating.py" else ["--seed", args.seed]
    command = [sys.executable, FOLDER / name, "--binary", args.binary, *options, *seed]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return result.returncode == 0, result.stdout.rstrip("\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=os.environ.get(
        "SLUICE_BINARY", str(FOLDER.parents[1] / "build" / "sluice")))
    parser.add_argument("--seed", default="1", help="of the load and of the samples")
    parser.add_argument("--jobs", type=int, default=2, help="tests at a time")
    args = parser.parse_args()
    passed = 0
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for good, output in pool.map(lambda test: run(args, *test), SHORT):
            print(output.split("\n")[-1] if good else output, flush=True)
            passed += good
    print(f"crash: {passed} of {len(SHORT)} passed")
    return passed < len(SHORT)


if __name__ == "__main__":
    sys.exit(main())
