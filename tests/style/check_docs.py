#!/usr/bin/env python3
"""Checks that every path of the repository that the documents name in backticks exists.

A path is named from the root of the repository or from the document's folder. What starts with
neither a file nor a folder of these two places (`application/json`, `/v1/stream/x`) is no path, and
what is built (`build/sluice`) need not exist. `*` and `<noun>` stand for any name.
"""
import pathlib
import re
import sys

DOCUMENTS = ["README.md", "src/README.md", "bench/README.md"]
PATH = re.compile(r"(?:\./)?([\w.*<>-]+(?:/[\w.*<>-]*)*)")


def main(root):
    root, named, errors = pathlib.Path(root), 0, []
    for document in DOCUMENTS:
        if not (root / document).exists():
            continue
        places = [root, (root / document).parent]
        for n, line in enumerate((root / document).read_text().splitlines(), 1):
            for words in re.findall(r"`([^`]+)`", line):
                match = PATH.fullmatch(words.split()[0]) if words.strip() else None
                if match is None or re.match(r"build\b", match[1]):
                    continue
                path = match[1].rstrip("/")
                looks_like_one = "/" in match[1] or re.search(r"\.(c|h|cc|py|md|txt|js)$", path)
                if not looks_like_one or not any((p / path.split("/")[0]).exists() for p in places):
                    continue
                named += 1
                pattern = re.sub(r"<[\w-]+>", "*", path)
                if not any(any(place.glob(pattern)) for place in places):
                    errors.append(f"{document}:{n}: there is no {path}")
    print("\n".join(errors) if errors else f"{named} paths, ok")
    return bool(errors)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
