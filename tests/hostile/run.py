#!/usr/bin/env python3
"""What clients can do to a server, and what comes of it: one table, ok or NO in every row.

The short round is scaled down and judges no figures of time; it is part of ./dev test.
"""

import argparse
import pathlib
import resource
import sys
import time

from bombs import bombs
from clock import clock
from names import names
from overload import FAULTS, FULL, SHORT
from table import Table

from http1 import Closed  # target knows where it lies

ROOT = pathlib.Path(__file__).resolve().parents[2]
ATTACKS = {attack.__name__.replace("_", "-"): attack for attack in (*FAULTS, bombs, names, clock)}


def main():
    parser = argparse.ArgumentParser(prog="./dev hostile", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="ATTACK", help=f"of {', '.join(ATTACKS)}; default: all"
    )
    parser.add_argument("--short", action="store_true", help="the short round")
    parser.add_argument("--build", default=str(ROOT / "build"), help="folder of the programs")
    args = parser.parse_args()
    if unknown := set(args.names) - set(ATTACKS):
        parser.error(f"no such attack: {' '.join(sorted(unknown))}; there are {', '.join(ATTACKS)}")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    table, start = Table(timed=not args.short), time.monotonic()
    for name in args.names or ATTACKS:
        try:
            ATTACKS[name](table, SHORT if args.short else FULL, pathlib.Path(args.build).resolve())
        except (OSError, RuntimeError, AssertionError, Closed) as error:
            table.add("it could be carried out", repr(error)[:300], "True", False)
    failed = table.failed()
    if failed or not args.short:
        print(table.text())
    print(
        f"hostile: {len(table.rows) - len(failed)} ok, {len(failed)} NO, {time.monotonic() - start:.0f} s"
    )
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
