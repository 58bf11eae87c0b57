#!/usr/bin/env python3
"""Runs the official conformance suite against the server binary, for each number of threads.

    run.py --project DIR [--binary FILE] [--jobs N] [SHARDSxACCEPTORS[-memory] ...]

DIR holds the installed packages of tests/package.json and a copy of the test file. The reporter's
JSON is what counts, not the exit code: exactly TESTS passed, and nothing else happened but that the
suite left out the OPTIONAL_TESTS of an API that has to be asked for.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "wire"))
from server import BINARY, Server

TESTS = 332
OPTIONAL_TESTS = 6
OPTIONAL_GROUP = "Reserved subscription APIs "
MATRIX = [f"{shards}x{acceptors}{storage}" for storage in ("", "-memory")
          for shards in (1, 2, 4) for acceptors in (1, 2)]
RUN_TIMEOUT_S = 600


def run(binary, project, shape):
    """Runs the suite once. Returns what went wrong, None if nothing, and a line about it."""
    threads, _, storage = shape.partition("-")
    shards, acceptors = threads.split("x")
    options = ["--memory"] if storage == "memory" else []
    start = time.monotonic()
    server = Server(
        "--shards", shards, "--acceptors", acceptors, "--long-poll-timeout-ms", 500, *options,
        binary=binary
    )
    try:
        with tempfile.TemporaryDirectory() as folder:
            report = pathlib.Path(folder) / "report.json"
            command = ["npx", "--no", "vitest", "run", "--retry=0", "--reporter=json",
                       f"--outputFile={report}", "conformance/"]
            env = dict(os.environ, SLUICE_URL=server.url)
            vitest = subprocess.run(command, cwd=project, env=env, text=True, timeout=RUN_TIMEOUT_S,
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if not report.exists():
                raise AssertionError(f"vitest wrote no report\n{vitest.stdout}")
            result = json.loads(report.read_text())
        server.stop()
    except BaseException:
        if server.alive():
            server.kill()
        raise
    tests = [test for file in result["testResults"] for test in file["assertionResults"]]
    skipped = [test for test in tests
               if test["status"] == "skipped" and test["fullName"].startswith(OPTIONAL_GROUP)]
    passed = [test for test in tests if test["status"] == "passed"]
    wrong = [
        "\n    ".join([f"{test['status']}: {test['fullName']}", *test["failureMessages"]])
        for test in tests
        if test not in passed and test not in skipped
    ]
    if len(passed) != TESTS or len(skipped) != OPTIONAL_TESTS or not result["success"]:
        wrong.append(f"{TESTS} tests should have passed (vitest exit code {vitest.returncode})")
    took_s = time.monotonic() - start
    return wrong, (f"conformance {shape}: {len(passed)} passed, "
                   f"{len(tests) - len(passed) - len(skipped)} failed ({took_s:.0f} s)")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--project", required=True, help="folder with the installed npm packages")
    parser.add_argument("--binary", default=BINARY)
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("shapes", nargs="*", default=MATRIX, metavar="SHARDSxACCEPTORS[-memory]")
    args = parser.parse_args()

    bad = False
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        runs = [pool.submit(run, args.binary, args.project, shape) for shape in args.shapes]
        for done in runs:
            wrong, line = done.result()
            for text in wrong:
                print(text)
            print(line, flush=True)
            bad = bad or bool(wrong)
    return bad


if __name__ == "__main__":
    sys.exit(main())
