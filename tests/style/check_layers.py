#!/usr/bin/env python3
"""Checks the code under src/ against the sl_room() lines in CMakeLists.txt.

  - "room/x.h" must be of the file's own room or of one of its DEPS; a room's DEPS stand above it;
  - no "../", and no "x.h" without a room; *_internal.h stays inside its room;
  - "sluice/x.h" only as PUBLIC says;
  - a guarded system or library header only where the room names it under EXTERNAL, or where
    OWNERS says so; a guarded call only where CALLS says so;
  - x.c includes its own x.h first; every .h is included somewhere;
  - a function has at most FUNCTION_LINES_MAX lines.
"""
import pathlib
import re
import sys

FUNCTION_LINES_MAX = 70

# Parts of the public API that rooms below the engine may use too.
PUBLIC = ["sluice/bytes.h", "sluice/error.h", "sluice/operation.h"]
PUBLIC_ROOMS = ["engine", "hooks", "http", "server"]

# The start of a system or library header's name -> the only files ("room/": whole rooms) for it.
OWNERS = {
    "h2o": [],  # only a room with EXTERNAL h2o
    "ck_": ["bus/ring.c"],
    "curl/": [],  # only a room with EXTERNAL curl/
    "openssl/": ["http/", "server/"],
    "pthread.h": ["base/thread.c"],
    "stdatomic.h": ["bus/port.c"],
    "sys/eventfd.h": ["bus/port.c", "bus/inbox.c"],
    "time.h": ["base/clock.c"],
    "sys/time.h": ["base/clock.c"],
    "assert.h": [],  # base/assert.h instead
    "fcntl.h": ["journal/vfs_posix.c", "server/control.c"],
    "dirent.h": ["journal/vfs_posix.c"],
    "sys/file.h": ["journal/vfs_posix.c"],
    "sys/stat": ["journal/vfs_posix.c", "server/control.c"],  # and sys/statfs.h, sys/statvfs.h
    "sys/mman.h": ["base/memory.c"],  # never a file: a damaged disk would kill the process
    "sys/uio.h": ["journal/vfs_posix.c"],
}

# A call -> the only files that may make it.
CALLS = {
    r"strcpy|strcat|strncpy|strncat|sprintf|vsprintf|strtok|gets|alloca": [],
    r"localtime|gmtime|ctime|asctime|rand|atoi|atol|atof|sscanf": [],
    r"malloc|calloc|realloc|reallocarray|free|strdup|strndup|posix_memalign|aligned_alloc|mmap|"
    r"mremap|munmap": [
        "base/memory.c"
    ],
    r"printf|fprintf|vfprintf|puts|fputs|perror": [
        "base/assert.c", "base/log.c", "base/memory.c", "server/main.c", "server/options.c",
        "server/tool.c"
    ],
    r"abort|exit|_exit|quick_exit": ["base/assert.c", "base/memory.c", "server/main.c"],
    r"clock_gettime|gettimeofday|time": ["base/clock.c"],
    r"pthread_\w+": ["base/thread.c"],
    r"open|open64|openat2?|creat|mkostemp|mkstemp|tmpfile|opendir|fdopendir|readdir|scandir|nftw|"
    r"pread|pwrite|preadv2?|pwritev2?|fsync|fdatasync|sync|syncfs|sync_file_range|posix_fadvise|"
    r"truncate|ftruncate|fallocate|posix_fallocate|rename|renameat2?|link|linkat|symlink|"
    r"unlink|unlinkat|remove|mkdir|mkdirat|rmdir|flock|lockf|fcntl|stat|fstat|lstat|fstatat|statx|"
    r"statfs|statvfs|fstatfs|fstatvfs|access|chmod|fchmod|copy_file_range": [
        "journal/vfs_posix.c", "server/control.c"  # the name of its socket
    ],
    r"fopen|freopen|fdopen": [
        "server/options.c",  # reads the file of --config
        "base/memory.c",  # reads what the system says of the process
    ],
    r"__atomic_\w+|__sync_\w+": [
        "base/block.c", "base/block.h", "base/metrics.c", "base/metrics.h", "bus/port.c", "bus/port.h",
        "bus/inbox.c", "journal/segment.c"],
}

COMMENT_OR_TEXT = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
FUNCTION = re.compile(r"^\{\n(.*?)^\}\n", re.M | re.S)


def rooms_of(cmake):
    """room -> {"DEPS": [...], "EXTERNAL": [...]}, in the order of the lines."""
    rooms = {}
    for name, body in re.findall(r"^sl_room\((\w+)([^)]*)\)", cmake, re.M):
        part = {"DEPS": [], "EXTERNAL": []}
        key = None
        for word in body.split():
            if word in part:
                key = word
            else:
                part[key].append(word)
        rooms[name] = part
    return rooms


def without(text, blank_literals):
    """The text with its comments, and string literals if asked, blanked; line numbers stay."""

    def blank(match):
        token = match[0]
        if token[0] == "/":
            return "\n" * token.count("\n")
        return '""' if blank_literals else token

    return COMMENT_OR_TEXT.sub(blank, text)


def owned(rel, owners):
    return rel in owners or rel.split("/")[0] + "/" in owners


def check_include(rel, room, part, form, name):
    """What is wrong with one #include, or None."""
    if form == "<":
        for guard, owners in OWNERS.items():
            if name.startswith(guard) and not owned(rel, owners) \
                    and not any(name.startswith(external) for external in part["EXTERNAL"]):
                return f"<{name}> is not allowed in {rel}"
        return None
    owner = name.split("/")[0]
    if owner == "sluice":
        if name not in PUBLIC and room not in PUBLIC_ROOMS:
            return f"room {room} may not use {name}"
    elif ".." in name or "/" not in name:
        return f'write "room/file.h", not "{name}"'
    elif owner != room and owner not in part["DEPS"]:
        return f"room {room} may not look into {owner}"
    elif owner != room and name.endswith("_internal.h"):
        return f"{name} is private to {owner}"
    return None


def check_file(src, rel, part):
    """Returns the errors of one file and the headers that it includes."""
    text = (src / rel).read_text()
    errors, includes = [], []
    room = rel.split("/")[0]
    for n, line in enumerate(without(text, False).splitlines(), 1):
        if match := re.match(r'\s*#\s*include\s*(["<])([^">]+)', line):
            includes.append(match[2])
            if wrong := check_include(rel, room, part, match[1], match[2]):
                errors.append(f"{rel}:{n}: {wrong}")
    for n, line in enumerate(without(text, True).splitlines(), 1):
        for calls, owners in CALLS.items():
            bad = re.search(rf"(?<![\w.>])({calls})\s*\(", line)
            if bad and not owned(rel, owners):
                errors.append(f"{rel}:{n}: {bad[1]}() is not allowed in {rel}")
    own = rel[:-1] + "h"
    if rel.endswith(".c") and (src / own).exists() and includes[:1] != [own]:
        errors.append(f'{rel}: include "{own}" first')
    for match in FUNCTION.finditer(text):
        lines = match[1].count("\n") + 2
        if lines > FUNCTION_LINES_MAX:
            n = text.count("\n", 0, match.start()) + 1
            errors.append(f"{rel}:{n}: a function of {lines} lines")
    return errors, includes


def main(root):
    root = pathlib.Path(root)
    src = root / "src"
    rooms = rooms_of((root / "CMakeLists.txt").read_text())
    errors, included, seen = [], set(), []
    for name, part in rooms.items():
        for dep in part["DEPS"]:
            if dep not in seen:
                errors.append(f"CMakeLists.txt: room {name} depends on {dep}, which is not below it")
        seen.append(name)
    files = [path.relative_to(src).as_posix() for path in sorted(src.rglob("*.[ch]"))]
    for rel in files:
        room = rel.split("/")[0]
        if room not in rooms:
            errors.append(f"{rel}: no sl_room({room})")
            continue
        wrong, includes = check_file(src, rel, rooms[room])
        errors += wrong
        included.update(includes)
    errors += [f"{rel}: nobody includes it" for rel in files
               if rel.endswith(".h") and rel not in included]
    print("\n".join(errors) if errors else f"{len(rooms)} rooms, {len(files)} files, ok")
    return bool(errors)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
