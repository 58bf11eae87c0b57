#!/usr/bin/env python3
"""Runs the tests of the operator's commands, a few files at a time: run.py [-j N] [FILE or FILE.Class.test ...]"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import signal
import subprocess
import sys

FOLDER = pathlib.Path(__file__).resolve().parent
FILE_TIMEOUT_S = 300


def run(name):
    """Runs one file in a process of its own. Returns tests run, whether all passed, and the output."""
    # SIGABRT makes a file that hangs say where.
    command = [sys.executable, "-X", "faulthandler", "-m", "unittest", name]
    process = subprocess.Popen(command, cwd=FOLDER, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        output, _ = process.communicate(timeout=FILE_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        output, _ = process.communicate()
    counts = re.search(r"^Ran (\d+) tests? in ([\d.]+)s$", output, re.M)
    bad = len(set(re.findall(r"^(?:FAIL|ERROR): (\S+ \S+)", output, re.M)))
    bad = max(bad, int(process.returncode != 0))
    ran = max(int(counts[1]) if counts else 0, bad)
    return ran, bad, counts[2] if counts else "?", output


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-j", type=int, default=2, help="files at a time")
    parser.add_argument("--binary", help="of sluice, instead of $SLUICE_BINARY or build/sluice")
    parser.add_argument("names", nargs="*", default=sorted(p.stem for p in FOLDER.glob("*_test.py")))
    args = parser.parse_args()
    if args.binary:
        os.environ["SLUICE_BINARY"] = str(pathlib.Path(args.binary).resolve())

    total = failed = 0
    with concurrent.futures.ThreadPoolExecutor(args.j) as pool:
        for name, (ran, bad, seconds, output) in zip(args.names, pool.map(run, args.names)):
            if bad:
                print(output)
            print(f"tools/{name}: {ran} tests, {bad} failed ({seconds} s)", flush=True)
            total += ran
            failed += bad
    print(f"tools: {total - failed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
