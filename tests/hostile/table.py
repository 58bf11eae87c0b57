"""The one table of the hostile tests: attack, what was measured, bound, ok or NO."""

import collections
import sys
import time

# `judged` False: printed, but it says nothing about whether the run passed.
Row = collections.namedtuple("Row", "attack what measured bound ok judged")


class Table:
    """Collects the rows of one attack after the other."""

    def __init__(self, timed):
        self.timed = timed  # figures of time are judged, too
        self.rows = []
        self.attack = ""

    def begin(self, attack):
        self.attack = attack
        print(f"{time.strftime('%H:%M:%S')} {attack}", file=sys.stderr, flush=True)

    def add(self, what, measured, bound, ok, judged=True):
        self.rows.append(Row(self.attack, what, str(measured), str(bound), bool(ok), judged))

    def at_most(self, what, measured, bound, unit=""):
        self.add(what, f"{measured:,}{unit}", f"<= {bound:,}{unit}", measured <= bound)

    def equal(self, what, measured, expected):
        self.add(what, f"{measured:,}", f"= {expected:,}", measured == expected)

    def time(self, what, measured, bound, unit):
        """A duration or a ratio of two, which only an otherwise quiet machine can hold to."""
        self.add(
            what, f"{measured:.2f}{unit}", f"<= {bound:g}{unit}", measured <= bound, self.timed
        )

    def failed(self):
        return [row for row in self.rows if row.judged and not row.ok]

    def text(self):
        """The table in Markdown."""
        lines = ["| attack | what was measured | measured | bound | |", "|---|---|---|---|---|"]
        for row in self.rows:
            verdict = ("ok" if row.ok else "NO") if row.judged else "-"
            lines.append(
                f"| {row.attack} | {row.what} | {row.measured} | {row.bound} | {verdict} |"
            )
        return "\n".join(lines)
