#!/usr/bin/env python3
"""Checks that a program was built with what makes a bug hard to use, as readelf sees it.

Position independent, relocations read-only and done at the start, no stack that can be executed,
stack protector, and checked versions of string functions (FORTIFY_SOURCE).
"""

import re
import subprocess
import sys

WANTED = (
    ("position independent", r"^\s*Type:\s+DYN\b"),
    ("relocations become read-only", r"^\s*GNU_RELRO\b"),
    ("relocations are done at the start", r"\(FLAGS\)\s+.*BIND_NOW|\(FLAGS_1\)\s+.*\bNOW\b"),
    ("marked as a PIE", r"\(FLAGS_1\)\s+.*\bPIE\b"),
    ("no stack that can be executed", r"^\s*GNU_STACK\s+\S+\s+\S+\s+\S+\s+\S+\s+\S+\s+RW\s"),
    ("stack protector", r"\b__stack_chk_fail\b"),
    ("checked functions", r"\b__\w+_chk\b(?<!__stack_chk)"),
)


def main(program):
    text = subprocess.run(
        ["readelf", "-hldW", "--dyn-syms", program], check=True, capture_output=True, text=True
    ).stdout
    missing = [what for what, pattern in WANTED if not re.search(pattern, text, re.M)]
    print(
        "\n".join(f"{program}: not so: {what}" for what in missing)
        if missing
        else f"{len(WANTED)} properties, ok"
    )
    return bool(missing)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
