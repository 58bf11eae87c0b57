"""A data directory with everything in it, made by a real server, and what its streams ever were.

Several lives of a server, each ended by SIGKILL or SIGTERM, fill segments and the log with random
changes, one after the other; copies of the directory from between two lives are kept.
"""
import json
import pathlib
import random
import subprocess

import records
from client import Client, token
from process import Process
from scenario import TINY

ROOT = "/v1/stream/"
SHARDS = 2  # of TINY
NAMES = 40
CHANGES = 350  # tried in one life
DELETED_BYTES = 100_000  # only streams larger than that are
LIVES = 5
# In the last lives so much stays in the log; before, data goes to segments.
LOG_LIVES = 2
LARGE_LOG = (*TINY, "--wal-budget-bytes", 64 << 20, "--memory-budget-bytes", 128 << 20)
SIZES = ((1, 300), (1, 300), (1, 300), (2_000, 20_000), (2_000, 20_000), (50_000, 250_000))


class State:
    """A stream as a reader sees it: the first bytes of a buffer that later states share.

    JSON: the messages, each with a comma.
    """

    def __init__(self, content_type, buffer, size=0, closed=False):
        self.content_type, self.buffer = content_type, buffer
        self.size, self.closed = size, closed

    def __eq__(self, other):
        return (other is not None and self.content_type == other.content_type
                and self.closed == other.closed and self.content() == other.content())

    def __repr__(self):
        return f"{self.content_type}, {self.size} bytes{', closed' if self.closed else ''}"

    def content(self):
        return bytes(self.buffer[:self.size])


class Sample:
    """`killed`: how its last life ended. `history`: name -> states, None where it is gone."""

    def __init__(self, binary, folder, seed, killed):
        self.binary, self.folder, self.killed = binary, pathlib.Path(folder).resolve(), killed
        self.rng = random.Random(seed)
        self.data = self.folder / "data"
        self.data.mkdir(parents=True)
        self.history = {f"damage/{n}": [None] for n in range(NAMES)}
        self.changes = []  # the name of each, in their order
        self.producers = {}  # name -> the last sequence number
        self.forked = set()  # names whose stream has, or had, forks
        self.sources = {}  # fork -> what it was made from
        self.older = []  # directories
        self.counter = 0
        for life in range(LIVES):
            self.live(LARGE_LOG if life >= LIVES - LOG_LIVES else TINY, life)
        self.shard_of = {}
        self.identify()

    def live(self, options, life):
        if life:
            self.older.append(self.folder / f"older-{life}")
            copy(self.data, self.older[-1])
        server = Process(self.binary, self.data, options, self.folder / "server.log").wait_ready()
        self.client = Client(server.port)
        try:
            for _ in range(CHANGES):
                self.change(self.rng.choice(list(self.history)))
        except BaseException:
            server.kill()
            raise
        self.client.close()
        self.client = None
        is_last = life == LIVES - 1
        if self.killed if is_last else self.rng.random() < 0.5:
            server.kill()
        elif server.terminate() != 0:
            raise AssertionError(f"after SIGTERM: {server.last_lines()}")

    def identify(self):
        """Sets `shard_of` of all names that segments and log know of."""
        dump = subprocess.run([self.binary, "dump", self.data], stdout=subprocess.PIPE, check=True)
        for line in map(json.loads, dump.stdout.splitlines()):
            if "name" in line:
                self.shard_of[line["name"]] = line["shard"]

    # changes

    def state(self, name):
        return self.history[name][-1]

    def ask(self, method, name, headers=None, body=None):
        response = self.client.call(method, ROOT + name, headers, body)
        if response.status not in (200, 201, 204):
            raise AssertionError(f"{method} {name} {headers}: {response}")

    def note(self, name, state):
        self.history[name].append(state)
        self.changes.append(name)

    def change(self, name):
        """One random change of a stream, if there is one that it allows."""
        state, kind = self.state(name), self.rng.random()
        if state is None:
            if name not in self.forked:
                self.make(name)
        elif kind < 0.06 and state.size > DELETED_BYTES:
            self.ask("DELETE", name)
            self.note(name, None)
        elif state.closed:
            return
        elif kind < 0.08:
            self.ask("POST", name, {"Stream-Closed": "true"}, b"")
            self.note(name, State(state.content_type, state.buffer, state.size, True))
        else:
            self.append(name, state, produced=kind < 0.5)

    def make(self, name):
        sources = [other for other, states in self.history.items() if states[-1]]
        self.producers.pop(name, None)
        self.sources.pop(name, None)
        if not sources or self.rng.random() < 0.7:
            content_type = self.rng.choice((records.BYTES, records.TEXT, records.JSON))
            self.ask("PUT", name, {"Content-Type": content_type}, b"")
            self.note(name, State(content_type, bytearray()))
            return
        source = self.rng.choice(sources)
        state = self.state(source)
        at = state.size
        if state.content_type != records.JSON and self.rng.random() < 0.5:
            at = self.rng.choice(self.ends(source))
        self.forked.add(source)
        self.sources[name] = source
        self.ask("PUT", name, {"Stream-Forked-From": ROOT + source,
                               "Stream-Fork-Offset": token(at)})
        self.note(name, State(state.content_type, state.buffer[:at], at))

    def ends(self, name):
        """Where the appends of a stream ended, in its life until now."""
        states = self.history[name]
        first = max(n for n, state in enumerate(states) if state is None)
        return [state.size for state in states[first + 1:]]

    def append(self, name, state, produced):
        self.counter += 1
        size = self.rng.randint(*self.rng.choice(SIZES))
        headers = {"Content-Type": state.content_type}
        if state.content_type == records.JSON:
            body = records.json_message(f"0.0.{self.counter}", size)
            stored = body + b","
        else:
            body = stored = self.rng.randbytes(size)
        if produced:
            seq = self.producers[name] = self.producers.get(name, -1) + 1
            headers |= producer(seq)
        self.ask("POST", name, headers, body)
        state.buffer += stored
        self.note(name, State(state.content_type, state.buffer, state.size + len(stored)))


def producer(seq):
    return {"Producer-Id": "p", "Producer-Epoch": "0", "Producer-Seq": str(seq)}


def copy(directory, to):
    """With links to the same blocks where the file system can."""
    subprocess.run(["cp", "-a", "--reflink=auto", directory, to], check=True)
