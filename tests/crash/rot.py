"""What can happen to a data directory: rot, and writes that were lost or went astray.

The functions take a file's bytes and a place in it, and return other bytes, or None.
"""
import pathlib
import shutil
import sys

from sample import SHARDS

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tools"))
from disk import BLOCK, FRAME, SIZE, frames_in  # noqa: E402

SECTOR = 512
FILES = (("wal-*", 45), ("seg-*", 40), ("MANIFEST", 10), ("SLUICE", 5))
REMOVED_SHARE, STALE_SHARE = 0.06, 0.15
SHARD_SHARE = 0.05  # of all: a shard's folder is emptied, or gone
WHOLE_SHARE = 0.4  # of what is stale: a whole file
AT_END_SHARE = 0.15  # of the damages to a log: at its last frames
LAST_FRAMES = 3
LIVE_SHARE = 0.9  # of the others: where something else than zeros is
DULL_MAX = 1000  # draws of a damage that would change nothing


def flip(data, at, rng):
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1:]


def zero(data, at, _):
    at -= at % SECTOR
    return data[:at] + bytes(len(data[at:at + SECTOR])) + data[at + SECTOR:]


def scribble(data, at, rng):
    size = min(rng.choice((8, SECTOR, BLOCK, 64 << 10)), len(data) - at)
    return data[:at] + rng.randbytes(size) + data[at + size:]


def cut(data, at, _):
    return data[:at]


def block_of(data, at):
    at -= at % BLOCK
    return at, data[at:at + BLOCK]


def swap(data, at, rng):
    at, one = block_of(data, at)
    to, other = block_of(data, rng.randrange(len(data)))
    if len(one) != len(other):
        return None
    data = bytearray(data)
    data[at:at + BLOCK], data[to:to + BLOCK] = other, one
    return bytes(data)


def double(data, at, rng):
    at, one = block_of(data, at)
    _, other = block_of(data, rng.randrange(len(data)))
    return data[:at] + other[:len(one)] + data[at + BLOCK:]


def stale(data, at, older):
    at, one = block_of(data, at)
    return data[:at] + older[at:at + len(one)] + data[at + len(one):]


IN_PLACE = (flip, flip, flip, zero, scribble, scribble, cut, swap, double)


class Damage:
    """Of a directory that is the copy of a sample. `text` says what was done."""

    def __init__(self, sample, directory, rng):
        self.sample, self.directory, self.rng = sample, directory, rng
        for _ in range(DULL_MAX):
            if self.draw():
                return
        raise AssertionError("nothing can be damaged")

    def draw(self):
        """False: it would change nothing."""
        if self.rng.random() < SHARD_SHARE:
            self.lose_shard()
            return True
        if not self.choose():
            return False
        name = self.path.relative_to(self.directory)
        older = [directory / name for directory in self.sample.older
                 if (directory / name).exists()]
        kind = self.rng.random()
        if kind < REMOVED_SHARE:
            self.path.unlink()
            self.text = f"{name} removed"
            return True
        data = self.path.read_bytes()
        if kind < REMOVED_SHARE + STALE_SHARE and older:
            source = self.rng.choice(older)
            whole = self.rng.random() < WHOLE_SHARE
            damaged = source.read_bytes()
            if not whole:
                damaged = stale(data, self.at, damaged)
            what = "all" if whole else f"the block at {self.at}"
            self.text = f"{name}: {what} as of {source.relative_to(self.sample.folder)}"
        else:
            function = self.rng.choice(IN_PLACE)
            damaged = function(data, self.at, self.rng)
            self.text = f"{name}: {function.__name__} at {self.at}"
        if damaged is None or damaged == data:
            return False
        self.path.write_bytes(damaged)
        return True

    def lose_shard(self):
        shard = self.rng.choice(sorted(self.directory.glob("shard-*")))
        self.text = f"{shard.name} removed"
        shutil.rmtree(shard)
        if self.rng.random() < 0.5:
            self.text = f"{shard.name} emptied"
            shard.mkdir()

    def choose(self):
        """A file and a place in it: mostly where there is something, often at a log's end."""
        patterns, weights = zip(*FILES)
        pattern = self.rng.choices(patterns, weights)[0]
        if pattern == "wal-*" and self.rng.random() < AT_END_SHARE:
            last = frames_in(self.directory, self.rng.randrange(SHARDS))[-LAST_FRAMES:]
            self.path, at, fields = self.rng.choice(last)
            self.at = at + self.rng.randrange(FRAME.size + fields[SIZE])
            return True
        # A segment of which nothing was written before the kill is empty: there is nothing to rot.
        paths = sorted(path for path in self.directory.rglob(pattern) if path.stat().st_size > 0)
        if not paths:
            return False
        self.path = self.rng.choice(paths)
        data = self.path.read_bytes()
        live = [at for at in range(0, len(data), SECTOR) if data[at:at + SECTOR].strip(b"\0")]
        self.at = self.rng.randrange(len(data))
        if live and self.rng.random() < LIVE_SHARE:
            self.at = min(self.rng.choice(live) + self.at % SECTOR, len(data) - 1)
        return True
