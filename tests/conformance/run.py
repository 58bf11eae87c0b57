#!/usr/bin/env python3
"""Runs the official conformance suite against the server binary, for each number of threads.

    run.py --project DIR [--binary FILE] [--jobs N] [SHARDSxACCEPTORS[-memory|-killed] ...]

DIR holds the installed packages of tests/package.json and a copy of the test files. The reporter's
JSON is what counts, not the exit code: exactly TESTS passed, and nothing else happened. With -killed
the server is killed and restarted between groups of tests, see kills.js.
"""
import argparse
import concurrent.futures
import contextlib
import http.server
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "wire"))
from server import BINARY, Server

TESTS = 338
# The one that takes longest first.
MATRIX = ["2x2-killed"] + [f"{shards}x{acceptors}{storage}" for storage in ("", "-memory")
                           for shards in (1, 2, 4) for acceptors in (1, 2)]
# Every start after a kill writes a new log file per shard: small ones, but the suite's body of
# 10 MiB fits.
OPTIONS = {"": (), "memory": ("--memory",),
           "killed": ("--wal-file-bytes", 24 << 20, "--max-body-bytes", 21 << 19)}
RUN_TIMEOUT_S = 600


class Restarter(http.server.HTTPServer):
    """Kills and restarts `sluice` whenever it is told to by a POST to `url`."""

    def __init__(self, sluice):
        super().__init__(("127.0.0.1", 0), RestartRequest)
        self.sluice, self.kills = sluice, 0
        self.url = f"http://127.0.0.1:{self.server_port}/"

    @contextlib.contextmanager
    def running(self):
        thread = threading.Thread(target=self.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            self.shutdown()
            thread.join()
            self.server_close()


class RestartRequest(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        status, text = 200, ""
        try:
            self.server.sluice.crash()
            self.server.kills += 1
        except AssertionError:
            status, text = 500, traceback.format_exc()
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        """The answer says it all."""


def run_suite(project, **environment):
    """Runs vitest. Returns its report."""
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "report.json"
        # A test compares 102,400 bytes one by one: vitest's own 5 s are short on a busy machine.
        command = ["npx", "--no", "vitest", "run", "--retry=0", "--testTimeout=20000",
                   "--reporter=json", f"--outputFile={report}", "conformance/"]
        vitest = subprocess.run(command, cwd=project, env={**os.environ, **environment}, text=True,
                                timeout=RUN_TIMEOUT_S, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT)
        if not report.exists():
            raise AssertionError(f"vitest wrote no report\n{vitest.stdout}")
        return json.loads(report.read_text())


def judge(result):
    """What went wrong in a report, and a line about it."""
    tests = [test for file in result["testResults"] for test in file["assertionResults"]]
    passed = [test for test in tests if test["status"] == "passed"]
    wrong = [
        "\n    ".join([f"{test['status']}: {test['fullName']}", *test["failureMessages"]])
        for test in tests
        if test not in passed
    ]
    if len(passed) != TESTS or not result["success"]:
        wrong.append(f"{TESTS} tests should have passed, and nothing else be wrong")
        wrong += [file["message"] for file in result["testResults"] if file["message"]]
    failed = len(tests) - len(passed)
    return wrong, f"{len(passed)} passed, {failed} failed"


def run(binary, project, shape):
    """Runs the suite once. Returns what went wrong, None if nothing, and a line about it."""
    threads, _, kind = shape.partition("-")
    shards, acceptors = threads.split("x")
    start = time.monotonic()
    server = Server(
        "--shards", shards, "--acceptors", acceptors, "--long-poll-timeout-ms", 500,
        "--allow-local-webhooks", *OPTIONS[kind], binary=binary
    )
    kills = ""
    try:
        if kind == "killed":
            with Restarter(server).running() as restarter:
                result = run_suite(project, SLUICE_URL=server.url,
                                   SLUICE_RESTART_URL=restarter.url)
            kills = f", {restarter.kills} kills"
        else:
            result = run_suite(project, SLUICE_URL=server.url)
        server.stop()
    except BaseException:
        if server.alive():
            server.kill()
        raise
    wrong, line = judge(result)
    if kills and not restarter.kills:
        wrong.append("nothing was killed")
    took_s = time.monotonic() - start
    name = f"{threads} {kind}".rstrip()
    return wrong, f"conformance {name}: {line}{kills} ({took_s:.0f} s)"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--project", required=True, help="folder with the installed npm packages")
    parser.add_argument("--binary", default=BINARY)
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("shapes", nargs="*", default=MATRIX,
                        metavar="SHARDSxACCEPTORS[-memory|-killed]")
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
