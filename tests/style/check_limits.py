#!/usr/bin/env python3
"""Checks the tables of limits and options in README.md against the program and its headers.

The table of options is what `sluice options` prints. A limit with an option has the default of that
option; one without has the value of a constant, which stands here beside the name of its row.
"""

import pathlib
import re
import subprocess
import sys

HEADERS = ("src/base/limits.h", "include/sluice/operation.h")
UNITS = {"s": 1000, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
# Name of a row without an option -> the constant that it tells of.
CONSTANTS = {
    "wait of a request for a busy shard": "SL_OVERLOAD_AGE_MS",
    "names of streams in a request at `__ds`": "SL_NAMES_PER_REQUEST_MAX",
    "messages in a JSON request": "SL_MESSAGES_PER_REQUEST_MAX",
    "depth of JSON": "SL_JSON_DEPTH_MAX",
    "ancestors of a fork whose bytes it has": "SL_FORK_DEPTH_MAX",
    "stream name, percent-encoded": "SL_NAME_SIZE_MAX",
    "request target": "SL_TARGET_SIZE_MAX",
    "request headers": "SL_HEADERS_MAX",
    "extensions and trailers of a chunked body": "SL_CHUNK_EXTRA_SIZE_MAX",
    "`Content-Type` of a PUT": "SL_CONTENT_TYPE_SIZE_MAX",
    "`Producer-Id`": "SL_PRODUCER_ID_SIZE_MAX",
    "`Producer-Epoch`, `Producer-Seq`": "SL_PRODUCER_NUMBER_MAX",
    "`Stream-Seq`": "SL_SEQ_SIZE_MAX",
    "`Stream-Expires-At`": "SL_EXPIRES_TEXT_SIZE_MAX",
    "answer to one catch-up read": "SL_PAGE_SIZE_BYTES",
    "client that was refused may go on sending": "SL_LINGER_MS",
}


def rows(text, heading):
    """The cells of the table's rows below a heading."""
    section = text.split(f"\n{heading}\n", 1)[1]
    table = re.search(r"^\|.*\n\|[-|]+\n((?:\|.*\n)+)", section, re.M)[1]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()]


def number(text):
    """What a default says: 16 MiB, 30 s, 100,000, 2^53 - 1, 255 bytes."""
    if match := re.fullmatch(r"2\^(\d+) - 1.*", text):
        return 2 ** int(match[1]) - 1
    match = re.fullmatch(r"([\d,]+)(?: (\S+))?.*", text)
    return int(match[1].replace(",", "")) * UNITS.get(match[2], 1) if match else None


def constants(root):
    """NAME -> value, of everything that is a number there."""
    text = "".join((root / header).read_text() for header in HEADERS)
    found = {}
    for name, value in re.findall(
        r"\b(SL_\w+)(?: =|\s) ?((?:UINT64_C\()?[\d][\d *()]*)[,\n ]", text
    ):
        value = re.sub(r"UINT64_C|[(),]", "", value).strip()
        if re.fullmatch(r"\d+(?: \* \d+)*", value):
            found[name] = eval(value)  # numbers and products of them only, see above
    return found


def main(root, program):
    root = pathlib.Path(root)
    text, known, errors = (root / "README.md").read_text(), constants(root), []
    printed = subprocess.run(
        [program, "options"], check=True, capture_output=True, text=True
    ).stdout
    if printed.strip() not in text:
        errors.append("the table of options is not what `sluice options` prints")
    defaults = {re.match(r"`(--[\w-]+)", row[0])[1]: row[1] for row in rows(text, "## Options")}
    for row in rows(text, "## Limits"):
        name, default = re.sub(r"(?: \[\d+\])+$", "", row[0]), row[1]
        if options := re.findall(r"--[\w-]+", row[2]):
            wanted = number(defaults[options[0]])
        elif name in CONSTANTS:
            wanted = known.get(CONSTANTS[name])
        else:
            continue
        if number(default) != wanted:
            errors.append(f"{name}: the table says {default}, the code {wanted}")
    missing = set(CONSTANTS) - {
        re.sub(r"(?: \[\d+\])+$", "", row[0]) for row in rows(text, "## Limits")
    }
    errors += [f"the table of limits has no row {name!r}" for name in sorted(missing)]
    print(
        "\n".join(errors)
        if errors
        else f"{len(CONSTANTS)} constants and {len(defaults)} options, ok"
    )
    return bool(errors)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
