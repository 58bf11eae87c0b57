"""What the server must still know: all that was acknowledged, and all that anybody was shown.

A Name is a URL path, a Stream one incarnation of it. Facts about a stream only grow while a server
lives: the bytes at offsets that were acknowledged or read, the tail, closed, gone. A fact that
contradicts an earlier one is a violation. What was not acknowledged stays open until the
verification after the next start finds it, whole and once, or finds that it is not there.
"""
import bisect
import json
import threading
import time

import records

# The kinds of violations, in the order of the summary line.
LOST, VANISHED, DUPLICATED = "lost", "vanished", "duplicated"
REUSED, OTHER = "offsets reused", "other"
KINDS = (LOST, VANISHED, DUPLICATED, REUSED, OTHER)
# A reference that a removed fork held on its source may be given back a little later.
UNPIN_S = 5
TTL_EPSILON_S = 0.01


class Judge:
    """Collects violations, the counts for the summary, and the history. Any thread."""

    def __init__(self, history=None):
        self.lock = threading.Lock()
        self.history = open(history, "a", buffering=1 << 20) if history else None
        self.violations = []
        self.acknowledged = self.bytes_read = 0

    def violation(self, kind, text):
        with self.lock:
            self.violations.append((kind, text))
        self.note("VIOLATION", violation=kind, text=text)

    def note(self, what, **details):
        """A line of the history."""
        if self.history:
            fields = {"t": round(time.monotonic(), 6), "what": what, **details}
            line = json.dumps(fields, default=repr)
            with self.lock:
                self.history.write(line + "\n")

    def count(self, acknowledged=0, bytes_read=0):
        with self.lock:
            self.acknowledged += acknowledged
            self.bytes_read += bytes_read

    def summary(self, cycles, noun="cycles"):
        found = [kind for kind, _ in self.violations]
        text = f"{cycles} {noun}, {self.acknowledged} acknowledged, {self.bytes_read} bytes read"
        for kind in KINDS:
            if kind != OTHER or OTHER in found:
                text += f", {found.count(kind)} {kind}"
        return text

    def flush(self):
        if self.history:
            self.history.flush()


class ByteMap:
    """Which bytes are known, at which offsets from `base` on."""

    def __init__(self, base):
        self.base, self.data = base, bytearray()
        self.starts, self.ends = [], []  # of the known spans, sorted, not touching

    def learn(self, at, data):
        """Returns the first offset whose byte differs from what was known, None if none does."""
        end = at + len(data)
        first = bisect.bisect_left(self.ends, at)
        last = bisect.bisect_right(self.starts, end)
        for start, stop in zip(self.starts[first:last], self.ends[first:last]):
            start, stop = max(start, at), min(stop, end)
            old = self.data[start - self.base:stop - self.base]
            new = data[start - at:stop - at]
            if old != new:
                return start + next(n for n, (a, b) in enumerate(zip(old, new)) if a != b)
        if len(self.data) < end - self.base:
            self.data.extend(bytes(end - self.base - len(self.data)))
        self.data[at - self.base:end - self.base] = data
        if data:
            self.starts[first:last] = [min([at] + self.starts[first:last][:1])]
            self.ends[first:last] = [max([end] + self.ends[first:last][-1:])]
        return None

    def known(self, at, end):
        """The bytes of [at, end), None unless all are known."""
        n = bisect.bisect_right(self.starts, at) - 1
        if at == end:
            return b""
        if n < 0 or self.ends[n] < end:
            return None
        return bytes(self.data[at - self.base:end - self.base])


class Operation:
    """One append, close, create or fork, from the request until it is known what became of it."""

    __slots__ = ("tag", "stream", "writer", "body", "stored", "size", "closes", "producer", "seq",
                 "tail_before", "cycle", "outcome", "position", "boundaries")

    def __init__(self, tag, stream, writer, body=b"", stored=b"", closes=False, producer=None,
                 seq=None):
        self.tag, self.stream, self.writer = tag, stream, writer
        self.body, self.stored, self.size = body, stored, len(stored)
        self.closes, self.producer, self.seq = closes, producer, seq
        self.tail_before = stream.tail  # shown before it began: it cannot lie before that
        self.cycle = None
        self.outcome = "pending"  # acked, refused, unknown, present, absent
        self.position = None
        self.boundaries = None  # JSON: ends of the messages, from its start

    def __repr__(self):
        at = "" if self.position is None else f" at {self.position}"
        return f"{self.outcome} append {self.tag} of {self.size} bytes{at} on {self.stream}"


class Producer:
    """The state of one idempotent producer of one stream; one writer uses it."""

    def __init__(self, name):
        self.name = name
        self.epoch, self.seq = 0, -1  # last accepted; -1: none
        self.retry = None  # a request whose outcome nobody told


class Stream:
    """One incarnation. `tail`, `final`, `gone`: what the server has shown."""

    def __init__(self, name, number, content_type, source=None, fork_at=0):
        self.name, self.number, self.content_type = name, number, content_type
        self.json = content_type == records.JSON
        self.source, self.fork_at = source, fork_at  # fork_at None: not known yet
        self.bytes = ByteMap(fork_at or 0)
        self.headers = {}  # of the PUT
        self.state = "maybe"  # live: acknowledged or seen
        self.tail = 0
        self.final = None  # the tail of a closed stream
        self.gone = False  # a 404 or 410 was shown
        self.gone_at = None
        self.closing = self.deleting = 0  # requests whose effect may come, or may have come
        self.ttl, self.expires_at, self.last_access = None, None, None
        self.unknown = []  # operations that may or may not be there
        self.placed = {}  # start -> operation
        self.starts = []  # of placed, sorted
        self.walked = 0  # the content before this is explained, record by record
        self.boundaries = [0]  # offsets between records (JSON: messages), shown or computed
        self.producers = {}
        self.last_seq = None  # the highest accepted Stream-Seq
        self.forks = []
        self.creation = None  # the operation, with the first data
        self.lock = threading.RLock()

    def __repr__(self):
        return f"{self.name.path} (stream {self.number})"

    @property
    def short_lived(self):
        return self.ttl is not None and self.ttl < 60 or self.expires_at is not None

    def may_be_expired(self):
        now = time.time() + TTL_EPSILON_S
        if self.expires_at is not None and now >= self.expires_at:
            return True
        return self.ttl is not None and now >= (self.last_access or 0) + self.ttl

    def may_go(self):
        """It may be removed while somebody uses it."""
        return self.deleting or self.gone or self.may_be_expired()

    def surely_there(self):
        return self.state == "live" and not self.gone and not self.deleting and not self.short_lived

    def may_be_referenced(self):
        """A fork may hold this stream, or may have held it until a moment ago."""
        return any(not fork.gone or time.monotonic() - fork.gone_at < UNPIN_S
                   or fork.may_be_referenced() for fork in self.forks)

    def surely_referenced(self):
        return any(fork.surely_there() or (fork.gone and fork.surely_referenced())
                   for fork in self.forks)

    def known(self, at, end):
        """The bytes of [at, end), through the ancestors; None unless all are known."""
        if self.source is None or self.fork_at is None or at >= self.fork_at:
            return self.bytes.known(at, end)
        inherited = self.source.known(at, min(end, self.fork_at))
        own = self.bytes.known(self.fork_at, end) if end > self.fork_at else b""
        return None if inherited is None or own is None else inherited + own

    def learn(self, at, data):
        """See ByteMap.learn; what is inherited is a fact about the source too."""
        if self.source is not None and self.fork_at is not None and at < self.fork_at:
            split = self.fork_at - at
            conflict = self.source.learn(at, data[:split])
            if conflict is not None or len(data) <= split:
                return conflict
            at, data = self.fork_at, data[split:]
        with self.lock:
            return self.bytes.learn(at, data)


class Name:
    """A URL path. `users` use its stream at the same time; `exclusive`: somebody makes it."""

    def __init__(self, path):
        self.path = path
        self.stream = None
        self.older = []  # earlier incarnations
        self.users, self.exclusive = 0, False


class Model:
    """All names, and the judgement of every answer. Thread-safe."""

    def __init__(self, judge, names, root="/v1/stream/"):
        self.judge = judge
        self.lock = threading.RLock()
        self.names = [Name(f"{root}crash/{n}") for n in range(names)]
        self.operations = {}  # tag -> operation
        self.streams = 0
        self.counters = {}
        self.cycle = 0

    # names

    def begin_use(self, name, exclusive=False):
        """Takes a name; False when somebody else has it in a way that does not go together."""
        with self.lock:
            if name.exclusive or (exclusive and name.users):
                return False
            name.exclusive = exclusive
            name.users += 1
            return True

    def end_use(self, name):
        with self.lock:
            name.users -= 1
            name.exclusive = False

    def new_stream(self, name, content_type, source=None, fork_at=0):
        with self.lock:
            self.streams += 1
            return Stream(name, self.streams, content_type, source, fork_at)

    def install(self, stream):
        """Makes a stream the one of its name, before its creation is asked for."""
        with self.lock:
            name = stream.name
            if name.stream is not None:
                name.older.append(name.stream)
            name.stream = stream
            if stream.source is not None:
                stream.source.forks.append(stream)

    def forget(self, stream):
        """The creation was refused, or it did not happen before the crash."""
        with self.lock:
            name = stream.name
            if name.stream is stream:
                name.stream = name.older.pop() if name.older else None
            if stream.source is not None:
                stream.source.forks.remove(stream)

    # operations

    def new_operation(self, stream, writer, make, **details):
        """`make(tag)` gives the body and what the log holds of it."""
        with self.lock:
            counter = self.counters[writer] = self.counters.get(writer, 0) + 1
        tag = f"{stream.number}.{writer}.{counter}"
        body, stored = make(tag)
        operation = Operation(tag, stream, writer, body, stored, **details)
        operation.boundaries = getattr(make, "boundaries", None)
        operation.cycle = self.cycle
        with self.lock:
            self.operations[tag] = operation
        return operation

    def acknowledge(self, operation, tail):
        """An append or a creation was answered with success; its bytes end at `tail`."""
        stream = operation.stream
        self.judge.count(acknowledged=1)
        operation.outcome = "acked"
        if operation.stored:
            position = tail - operation.size
            if position < operation.tail_before:
                self.judge.violation(VANISHED, f"{operation}: acknowledged with tail {tail}, but "
                                     f"{operation.tail_before} was shown before it began")
            self.place(operation, position)
            if stream.learn(position, operation.stored) is not None:
                self.judge.violation(REUSED, f"{operation}: other bytes were shown there before: "
                                     f"{self.describe(stream, position)}")
        self.show_tail(stream, tail)

    def place(self, operation, position):
        """The operation's bytes are at `position`."""
        stream = operation.stream
        operation.position = position
        with stream.lock:
            n = bisect.bisect_left(stream.starts, position)
            before = stream.placed[stream.starts[n - 1]] if n else None
            after = stream.placed[stream.starts[n]] if n < len(stream.starts) else None
            if (before and before.position + before.size > position) or (
                    after and after.position < position + operation.size):
                self.judge.violation(REUSED, f"{operation} overlaps {before} or {after}")
            stream.starts.insert(n, position)
            stream.placed[position] = operation
            ends = operation.boundaries or [operation.size]
            for boundary in (position, *(position + end for end in ends)):
                self.add_boundary(stream, boundary)

    def add_boundary(self, stream, position):
        with stream.lock:
            n = bisect.bisect_left(stream.boundaries, position)
            if n == len(stream.boundaries) or stream.boundaries[n] != position:
                stream.boundaries.insert(n, position)

    # facts shown

    def show_tail(self, stream, tail, at_least=None, what="a tail"):
        """Somebody saw this tail; `at_least` had been shown before the question was asked."""
        with stream.lock:
            if at_least is not None and tail < at_least:
                lost = [operation for operation in stream.placed.values()
                        if operation.position + operation.size > tail]
                self.judge.violation(LOST if lost else VANISHED, f"{stream}: {what} of {tail}, but "
                                     f"{at_least} was shown earlier; gone are {lost[:5]}")
            stream.tail = max(stream.tail, tail)
            if stream.final is not None and tail > stream.final:
                self.judge.violation(VANISHED, f"{stream}: {what} of {tail}, but it was closed at "
                                     f"{stream.final}")

    def show_bytes(self, stream, at, data, what):
        self.judge.count(bytes_read=len(data))
        conflict = stream.learn(at, data)
        if conflict is not None:
            shown = bytes(data[conflict - at:][:60])
            self.judge.violation(REUSED, f"{stream}: {what}: offset {conflict} is {shown!r}; "
                                 f"before it was {self.describe(stream, conflict)}")
        with stream.lock:
            stream.tail = max(stream.tail, at + len(data))

    def show_closed(self, stream, final, what):
        with stream.lock:
            if stream.final is None and not stream.closing:
                self.judge.violation(OTHER, f"{stream}: {what}: closed at {final}, but nobody "
                                     f"closed it")
            if stream.final is not None and stream.final != final:
                self.judge.violation(VANISHED, f"{stream}: {what}: closed at {final}, earlier at "
                                     f"{stream.final}")
            stream.final = final
            if stream.tail > final:
                self.judge.violation(VANISHED, f"{stream}: {what}: closed at {final}, but "
                                     f"{stream.tail} was shown")
            stream.tail = final

    def show_open(self, stream, closed_before, what):
        if closed_before:
            self.judge.violation(VANISHED, f"{stream}: {what}: open, but it was shown closed")

    def show_gone(self, stream, what):
        """A 404 or 410."""
        with stream.lock:
            if not (stream.deleting or stream.gone or stream.state == "maybe"
                    or stream.may_be_expired()):
                kind = LOST if stream.state == "live" else VANISHED
                self.judge.violation(kind, f"{stream}: {what}, but nobody deleted it; it had "
                                     f"{stream.tail} bytes")
            if not stream.gone:
                stream.gone, stream.gone_at = True, time.monotonic()

    def show_there(self, stream, gone_before, what):
        if gone_before:
            self.judge.violation(VANISHED, f"{stream}: {what}, but it was shown to be gone")

    def describe(self, stream, position):
        """Whose bytes are at a position, for a violation's text."""
        while stream.source is not None and position < (stream.fork_at or 0):
            stream = stream.source
        with stream.lock:
            n = bisect.bisect_right(stream.starts, position) - 1
            if n >= 0:
                operation = stream.placed[stream.starts[n]]
                if operation.position + operation.size > position:
                    return repr(operation)
            return "shown to a reader"
