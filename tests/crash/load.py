"""The load of the crash test: writers, creators, deleters and readers that choose at random."""
import time

import records
from actor import Actor, NoAnswer, producer_of
from verifier import retry

STREAM_BYTES_USUAL = 400_000  # larger streams are deleted rather than written
RECORD_BYTES_MAX = 300 * 1024
# A reader that finds nothing to follow leaves the processor to the writers, who make something.
LOOK_AGAIN_S = 0.001


class Maker:
    """Makes the body of an operation from its tag."""

    def __init__(self, rng, content_type):
        self.rng, self.content_type = rng, content_type
        self.boundaries = None

    def size(self):
        kind = self.rng.random()
        if kind < 0.3:
            return self.rng.randint(1, 40)
        if kind < 0.85:
            return self.rng.randint(40, 2000)
        if kind < 0.96:
            return self.rng.randint(2000, 70_000)
        return self.rng.randint(60_000, RECORD_BYTES_MAX)

    def __call__(self, tag):
        if self.content_type != records.JSON:
            record = records.bytes_record(tag, self.size(), self.content_type)
            return record, record
        if self.rng.random() < 0.4:
            message = records.json_message(tag, self.size())
            self.boundaries = [len(message) + 1]
            return message, message + b","
        count = self.rng.randint(1, 12)
        messages = [records.json_message(tag, self.size() // count) for _ in range(count)]
        self.boundaries, end = [], 0
        for message in messages:
            end += len(message) + 1
            self.boundaries.append(end)
        return b"[" + b",".join(messages) + b"]", b",".join(messages) + b","


class Load:
    """What one thread does. `step()` is one operation, or nothing if its name is not free."""

    ACTIONS = (("append", 46), ("create", 12), ("delete", 4), ("close_stream", 2), ("fork", 6),
               ("read", 12), ("head", 8), ("ensure", 2), ("probe", 6), ("sequence", 5))

    def __init__(self, model, port, writer, rng, without=(), **options):
        self.without = without  # actions and kinds to leave out, to narrow a failure down
        self.actor = Actor(model, port, writer, rng, **options)
        self.model, self.rng, self.writer = model, rng, writer
        self.stopping = self.actor.stopping

    def run(self, step):
        """Steps until the server ends. Any exception of our own is a violation too."""
        try:
            while not self.stopping.is_set():
                try:
                    step()
                except NoAnswer as none:
                    if none.broken:
                        break
        except Exception as why:  # the checker's own mistakes must not look like success
            import traceback
            self.model.judge.violation("other", f"writer {self.writer}: {traceback.format_exc()}"
                                       if not isinstance(why, AssertionError) else str(why))
        finally:
            self.actor.close()

    def pick(self, exclusive=False):
        """A name that could be taken; the first names are busier."""
        names = self.model.names
        name = names[int(len(names) * self.rng.random() ** 1.5)]
        return name if self.model.begin_use(name, exclusive) else None

    def write(self):
        names, weights = zip(*self.ACTIONS)
        action = self.rng.choices(names, weights)[0]
        exclusive = action in ("create", "fork", "ensure")
        name = self.pick(exclusive)
        if name is None:
            return
        try:
            stream = name.stream
            if action in self.without:
                return
            if action in ("create", "fork"):
                if stream is None or stream.gone:
                    getattr(self, action)(name)
            elif stream is None or (stream.gone and self.rng.random() < 0.9):
                pass
            else:
                getattr(self, action)(stream)
        finally:
            self.model.end_use(name)

    # creation

    def content_type(self):
        return self.rng.choice((records.BYTES, records.TEXT, records.JSON, records.JSON))

    def create(self, name):
        rng, content_type, options = self.rng, self.content_type(), {}
        if rng.random() < 0.4:
            options["make"] = Maker(rng, content_type)
        if rng.random() < 0.06:
            options["headers"] = {"Stream-Closed": "true"}
        kind = 1 if "ttl" in self.without else rng.random()
        if kind < 0.08:
            options["ttl"] = rng.randint(1, 3)
        elif kind < 0.2:
            options["ttl"] = 7200
        elif kind < 0.24:
            options["expires_in"] = rng.randint(2, 6)
        self.actor.create(name, content_type, **options)

    def fork(self, name):
        source_name = self.pick()
        if source_name is None:
            return
        try:
            source = source_name.stream
            if source is None or source.gone or source.short_lived or source.state != "live":
                return
            make = Maker(self.rng, source.content_type) if self.rng.random() < 0.3 else None
            headers = {"Stream-Closed": "true"} if self.rng.random() < 0.05 else None
            self.actor.fork(name, source, self.point(source), make, headers)
        finally:
            self.model.end_use(source_name)

    def point(self, source):
        """None (the tail), an offset of the source or its ancestors, or one with a sub-offset."""
        kind, limit, at = self.rng.random(), source.tail, source
        if kind < 0.3:
            return None
        while at.source is not None and self.rng.random() < 0.4:
            at, limit = at.source, min(limit, at.fork_at)
        with at.lock:
            anchor = self.rng.choice([b for b in at.boundaries if b <= limit] or [0])
            operation = at.placed.get(anchor)
        if anchor > limit:
            return None
        if kind < 0.6 or operation is None or operation.position + operation.size > limit:
            return anchor, 0, anchor
        if source.json:
            sub = self.rng.randint(1, len(operation.boundaries))
            return anchor, sub, anchor + operation.boundaries[sub - 1]
        sub = self.rng.randint(1, operation.size)
        return anchor, sub, anchor + sub

    def ensure(self, stream):
        if stream.surely_there():
            self.actor.ensure(stream)

    # writing

    def append(self, stream):
        if stream.tail - (stream.fork_at or 0) > STREAM_BYTES_USUAL and self.rng.random() < 0.3:
            self.actor.delete(stream)
            return
        closes = self.rng.random() < 0.02
        make = Maker(self.rng, stream.content_type)
        if "producer" in self.without or self.rng.random() < 0.5:
            self.actor.append(self.model.new_operation(stream, self.writer, make, closes=closes))
            return
        producer = producer_of(stream, f"p{self.writer}")
        if producer.retry is not None:
            retry(self.actor, stream, producer)
            return
        epoch, seq = producer.epoch, producer.seq + 1
        if seq > 0 and self.rng.random() < 0.1:
            epoch, seq = epoch + 1, 0
        operation = self.model.new_operation(stream, self.writer, make, closes=closes,
                                             producer=(producer, epoch, seq))
        self.actor.append_as(producer, operation)

    def probe(self, stream):
        """Duplicates, gaps and stale epochs, on purpose."""
        producer = producer_of(stream, f"p{self.writer}")
        if producer.retry is not None or producer.seq < 0:
            return
        epoch, seq, kind = producer.epoch, producer.seq, self.rng.random()
        if kind < 0.5:
            tuple_, status = (producer, epoch, self.rng.randint(0, seq)), 204
            expected = {"producer_epoch": epoch, "producer_seq": seq}
        elif kind < 0.8 or epoch == 0:
            tuple_, status = (producer, epoch, seq + 2), 409
            expected = {"producer_expected_seq": seq + 1, "producer_received_seq": seq + 2}
        else:
            tuple_, status, expected = (producer, epoch - 1, seq), 403, {"producer_epoch": epoch}
        make = Maker(self.rng, stream.content_type)
        operation = self.model.new_operation(stream, self.writer, make, producer=tuple_)
        self.actor.probe(stream, operation, status, **expected)

    def sequence(self, stream):
        """Stream-Seq: of every stream one writer only, so that its order is known."""
        if stream.number % WRITERS != self.writer:
            return
        make = Maker(self.rng, stream.content_type)
        if stream.last_seq is not None and self.rng.random() < 0.2:
            operation = self.model.new_operation(stream, self.writer, make, seq=stream.last_seq)
            self.actor.probe(stream, operation, 409)
            return
        seq = f"{time.monotonic_ns():020}"
        self.actor.append(self.model.new_operation(stream, self.writer, make, seq=seq))

    def close_stream(self, stream):
        self.actor.close_stream(stream)

    def delete(self, stream):
        self.actor.delete(stream)

    # reading

    def head(self, stream):
        self.actor.head(stream)

    def offset(self, stream):
        """A place where a read may begin: between two messages."""
        with stream.lock:
            return self.rng.choice([stream.tail, *stream.boundaries[-20:]])

    def read(self, stream):
        at = self.rng.choice((None, -1, self.offset(stream)))
        self.actor.read(stream, at)

    def watch(self):
        """A live reader's step: a long-poll, or a while of events."""
        name = self.pick()
        if name is None:
            return
        try:
            stream = name.stream
            if stream is None or stream.gone or stream.fork_at is None:
                self.stopping.wait(LOOK_AGAIN_S)
            elif self.rng.random() < 0.5:
                self.actor.read(stream, self.rng.choice((None, self.offset(stream))), live=True)
            else:
                until = time.monotonic() + self.rng.uniform(0.05, 0.5)
                at = self.rng.choice((None, 0, self.offset(stream)))
                self.actor.follow(stream, at, lambda: time.monotonic() > until
                                  or self.stopping.is_set())
        finally:
            self.model.end_use(name)


WRITERS = 6
READERS = 3
