#!/usr/bin/env python3
"""Runs the tests of the official client libraries, and of an application with subscriptions,
against the server binary.

    run.py --project DIR [--binary FILE]

DIR holds the installed packages of tests/package.json and a copy of the test files. Responses are
ended early so that the clients have to go on where they were.
"""
import argparse
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "wire"))
from server import BINARY, Server


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--project", required=True, help="folder with the installed npm packages")
    parser.add_argument("--binary", default=BINARY)
    args = parser.parse_args()

    server = Server("--shards", 2, "--acceptors", 2, "--long-poll-timeout-ms", 500,
                    "--sse-lifetime-ms", 2000, "--allow-local-webhooks", binary=args.binary)
    environment = dict(os.environ, SLUICE_URL=server.url,
                       SLUICE_BINARY=str(pathlib.Path(args.binary).resolve()),
                       SLUICE_DATA_DIR=server.directory.name + "/data")
    try:
        code = subprocess.run(
            ["npx", "--no", "vitest", "run", "--retry=0", "--testTimeout=20000", "client/"],
            cwd=args.project, env=environment, check=False,
        ).returncode
        server.stop()
    finally:
        if server.alive():
            server.kill()
    return code


if __name__ == "__main__":
    sys.exit(main())
