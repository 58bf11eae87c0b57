"""Runs the unittest files of a folder, a few at a time, each in a process of its own."""
import argparse
import concurrent.futures
import os
import pathlib
import re
import signal
import subprocess
import sys

FILE_TIMEOUT_S = 300


def run(folder, name):
    """Runs one file. Returns tests run, how many failed, the seconds, and the output."""
    # SIGABRT makes a file that hangs say where.
    command = [sys.executable, "-X", "faulthandler", "-m", "unittest", name]
    process = subprocess.Popen(command, cwd=folder, text=True,
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


def main(folder, jobs):
    """The command line of a folder's run.py; its name names the tests. Returns whether one failed."""
    files = sorted(p.stem for p in folder.glob("*_test.py"))
    parser = argparse.ArgumentParser(
        description=f"Runs the {folder.name} tests: run.py [-j N] [FILE or FILE.Class.test ...]")
    parser.add_argument("-j", type=int, default=jobs, help="files at a time")
    parser.add_argument("--binary", help="of sluice, instead of $SLUICE_BINARY or build/sluice")
    parser.add_argument("names", nargs="*", default=files)
    args = parser.parse_args()
    for name in args.names:
        if name.split(".")[0] not in files:
            parser.error(f"no file '{name}'; there are {' '.join(files)}")
    if args.binary:
        os.environ["SLUICE_BINARY"] = str(pathlib.Path(args.binary).resolve())

    total = failed = 0
    with concurrent.futures.ThreadPoolExecutor(args.j) as pool:
        runs = pool.map(lambda name: run(folder, name), args.names)
        for name, (ran, bad, seconds, output) in zip(args.names, runs):
            if bad:
                print(output)
            print(f"{folder.name}/{name}: {ran} tests, {bad} failed ({seconds} s)", flush=True)
            total += ran
            failed += bad
    print(f"{folder.name}: {total - failed} passed, {failed} failed")
    return failed > 0
