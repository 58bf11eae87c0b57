#!/usr/bin/env python3
"""A short round of all crash tests, two or three minutes; one summary line each."""
import argparse
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
)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", default=os.environ.get(
        "SLUICE_BINARY", str(FOLDER.parents[1] / "build" / "sluice")))
    parser.add_argument("--seed", default="1", help="of the load and of the samples")
    args = parser.parse_args()
    failed = 0
    for name, *options in SHORT:
        seed = [] if name == "gating.py" else ["--seed", args.seed]
        command = [sys.executable, FOLDER / name, "--binary", args.binary, *options, *seed]
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                text=True)
        lines = result.stdout.rstrip("\n").split("\n")
        print(lines[-1] if result.returncode == 0 else result.stdout.rstrip("\n"), flush=True)
        failed += result.returncode != 0
    print(f"crash: {len(SHORT) - failed} of {len(SHORT)} passed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
