"""Builds preload.c with the system's compiler, and gives the environment that loads it."""
import collections
import os
import pathlib
import subprocess

FOLDER = pathlib.Path(__file__).resolve().parent
FLAGS = ["-std=gnu17", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]

Call = collections.namedtuple("Call", "number kind file_class begin end result synced name")


def build(folder, source=FOLDER / "preload.c"):
    """The path of the library, made in `folder`."""
    library = pathlib.Path(folder) / "preload.so"
    subprocess.run([os.environ.get("CC", "cc"), *FLAGS, "-o", library, source], check=True)
    return library


def loaded(library):
    """The environment that loads it. A sanitizer's library comes first."""
    return {"LD_PRELOAD": " ".join(filter(None, (os.environ.get("SLUICE_PRELOAD_FIRST"),
                                                 str(library))))}


def environment(library, data, log=None, **settings):
    """`settings`: kill="3 before" is PRELOAD_KILL, and so on."""
    values = {**loaded(library), "PRELOAD_DIR": str(data)}
    if log is not None:
        values["PRELOAD_LOG"] = str(log)
    values |= {f"PRELOAD_{name.upper()}": value for name, value in settings.items()}
    return values


def read_log(path):
    """The calls, in the order of their ends; times in seconds of time.monotonic()."""
    calls = []
    if not os.path.exists(path):
        return calls
    with open(path) as log:
        for line in log:
            number, kind, file_class, begin, end, result, synced, name = line.split(" ", 7)
            calls.append(Call(int(number), kind, file_class, int(begin) / 1e9, int(end) / 1e9,
                              int(result), synced == "1", name.rstrip("\n")))
    return calls
