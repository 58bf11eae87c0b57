#!/usr/bin/env python3
"""The rivals without a measurement.

    try_rivals.py install   gets and builds them all; cargo takes a quarter of an hour on 2 cores
    try_rivals.py check     starts each in each mode, creates, appends, reads, and prints a table
    try_rivals.py list      prints what there is
"""
import argparse
import http.client
import sys

import rivals
import server


def check_mode(rival, mode):
    """Starts, tries out and stops; returns a row of the table without its first two cells."""
    try:
        running = server.Running(server.Rival(rival), mode)
    except RuntimeError as wrong:
        return ["-", "-", "-", "-", str(wrong).splitlines()[0]], False
    try:
        statuses = rival.try_out(running.port)
        return [f"{running.ready_s * 1000:.0f}", *map(str, statuses), "ok: " + rival.modes[mode]], \
            True
    except (OSError, http.client.HTTPException) as wrong:
        last = running.said().strip().splitlines()[-1:]
        return ["-", "-", "-", "-", f"{wrong} {' '.join(last)}".strip()], False
    finally:
        running.stop()


def print_table(head, rows):
    """Markdown, aligned."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, ["-" * width for width in widths], *rows]:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |")


def install_all():
    """Says of each whether it is there. Not to have one is no failure: the report says so."""
    for rival in rivals.RIVALS:
        print(f"{rival.name} {rival.version}: ", end="", flush=True)
        try:
            rival.install()
            print("installed")
        except rivals.Unavailable as reason:
            print(f"unavailable: {reason}")


def check_all():
    """False if one that is installed does not do what it should."""
    rows, well = [], True
    for rival in rivals.RIVALS:
        for mode in rival.modes:
            if not rival.program().exists():
                rows.append([rival.name, mode, "-", "-", "-", "-", "not installed"])
                continue
            row, good = check_mode(rival, mode)
            rows.append([rival.name, mode, *row])
            well = well and good
    print_table(["rival", "mode", "ready ms", "PUT", "POST", "GET", "result"], rows)
    return well


def list_all():
    print_table(["rival", "version", "mode", "what an acknowledged append is worth", "scenarios"],
                [[rival.name, rival.version, mode, text, ", ".join(rival.scenarios or ["all"])]
                 for rival in rivals.RIVALS for mode, text in rival.modes.items()])


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["install", "check", "list"])
    what = parser.parse_args().what
    if what == "check":
        return 0 if check_all() else 1
    (install_all if what == "install" else list_all)()
    return 0


if __name__ == "__main__":
    sys.exit(main())
