#!/usr/bin/env python3
"""Makes the k-th call of one kind on one class of files fail, for every k, kind and error.

The server may refuse (503, 507, 500), it may not start; it must never acknowledge wrongly, hang, or
die by a signal. After a start without faults everything that was acknowledged or shown is there.
"""
import sys

from kill_points import Rounds, parse

# What can happen to a call of each kind.
ERRORS = {
    "open": ("EIO", "ENOSPC"),
    "write": ("EIO", "ENOSPC", "EINTR", "SHORT"),
    "sync": ("EIO", "ENOSPC"),
    "read": ("EIO", "EINTR", "SHORT"),
    "rename": ("EIO", "ENOSPC"),
    "link": ("EIO", "ENOSPC"),
    "unlink": ("EIO",),
    "truncate": ("EIO", "ENOSPC"),
    "allocate": ("EIO", "ENOSPC"),
    "mkdir": ("EIO", "ENOSPC"),
}


def all_rounds(calls, step):
    """(name, settings) for every step-th call of each kind and class that the script makes."""
    counts = {}
    for call in calls:
        key = call.kind, call.file_class
        counts[key] = counts.get(key, 0) + 1
    rounds = []
    for (kind, file_class), count in sorted(counts.items()):
        for number in range(1, count + 1, step):
            for error in ERRORS[kind]:
                for how in ("once", "sticky") if error not in ("EINTR", "SHORT") else ("once",):
                    fail = f"{kind} {file_class} {number} {error} {how}"
                    rounds.append((f"fail {fail}", {"may_fail": True, "fail": fail}))
    return rounds


def main():
    args = parse(__doc__)
    rounds = Rounds(args, "faults")
    calls = rounds.run("count")
    todo = [(name, settings) for name, settings in all_rounds(calls, args.step)
            if not args.only or args.only in name]
    rounds.run_all(todo)
    return rounds.finish(len(todo))


if __name__ == "__main__":
    sys.exit(main())
