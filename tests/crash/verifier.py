"""After a restart: reads everything back, and settles what became of what nobody acknowledged."""
import time

import records
from actor import NoAnswer
from client import position_of
from model import DUPLICATED, LOST, OTHER, UNPIN_S, VANISHED

SMALL_BYTES = 64  # of an operation whose bytes are kept to recognise it
# A source goes a little after its last fork, and nothing tells a client when: it asks until then,
# for UNPIN_S at most.
UNPIN_POLL_S = 0.02


class Verifier:
    """Nothing else talks to the server meanwhile, so every answer is exact."""

    def __init__(self, actor, rng):
        self.actor, self.model, self.judge, self.rng = actor, actor.model, actor.judge, rng
        self.present = self.absent = 0

    def verify(self):
        """Of all names. Raises NoAnswer when the server ends meanwhile."""
        gone = []
        for name in self.model.names:
            if name.stream is None:
                self.verify_nothing(name)
            elif name.stream.gone:
                gone.append(name.stream)
            elif self.verify_there(name.stream) and not name.stream.gone:
                self.verify_writers(name.stream)
        for stream in gone:
            self.verify_gone(stream)

    def verify_nothing(self, name):
        response = self.actor.call(f"head {name.path}", "HEAD", name.path)
        if response.status != 404:
            self.judge.violation(OTHER, f"{name.path}: {response}, but it never was")

    def verify_gone(self, stream):
        what = f"{stream}, which was shown to be gone"
        deadline = time.monotonic() + UNPIN_S
        while True:
            response = self.actor.call(f"head {what}", "HEAD", stream.name.path)
            if response.status != 410 or stream.may_be_referenced() or (
                    time.monotonic() > deadline):
                break
            time.sleep(UNPIN_POLL_S)
        if response.status not in (404, 410):
            self.judge.violation(VANISHED, f"{what}: is back: {response}")
        elif response.status == 404 and stream.surely_referenced():
            self.judge.violation(OTHER, f"{what}: 404, but forks hold it: {stream.forks}")
        elif response.status == 410 and not stream.may_be_referenced():
            self.judge.violation(OTHER, f"{what}: 410, but nothing holds it: {stream.forks}")

    def verify_there(self, stream):
        """A stream that exists, or may. False: it does not."""
        existed, closed = stream.state == "live", stream.final is not None
        response = self.actor.head(stream)
        if response.status in (404, 410):
            if not existed:
                self.absent += 1
                self.model.forget(stream)
            for operation in stream.unknown:
                operation.outcome = "absent"
            stream.unknown = []
            return False
        stream.state = "live"
        if stream.fork_at is None:
            self.settle_fork(stream, position_of(response["stream-next-offset"]))
        media_type = response["content-type"]
        if media_type != stream.content_type:
            self.judge.violation(OTHER, f"{stream}: its type is {media_type}")
        at = -1
        while True:
            response = self.actor.read(stream, at)
            if response.status != 200:
                return False
            at = position_of(response["stream-next-offset"])
            if at is None or response["stream-up-to-date"]:
                break
        if at is not None:
            self.settle(stream, at, closed)
            self.read_from_anywhere(stream)
        return True

    def read_from_anywhere(self, stream):
        """An offset that was shown is a place to go on from, for the stream's life."""
        for boundary in self.rng.sample(stream.boundaries, min(3, len(stream.boundaries))):
            self.actor.read(stream, boundary)

    def settle_fork(self, stream, tail):
        fork_at = tail - stream.creation.size
        self.actor.settle_fork(stream, fork_at)
        if fork_at < stream.source_tail:
            self.judge.violation(VANISHED, f"{stream}: starts at {fork_at} of {stream.source}, of "
                                 f"which {stream.source_tail} was shown before")

    def settle(self, stream, tail, closed):
        """Explains the content up to the tail; after this nothing about the stream is open."""
        self.walk(stream, tail)
        creation = stream.creation
        if creation.size and creation.position != stream.fork_at:
            self.judge.violation(OTHER, f"{stream}: exists without the data of its creation")
        closers = [operation for operation in stream.placed.values() if operation.closes]
        for operation in closers:
            if stream.final != operation.position + operation.size:
                self.judge.violation(OTHER, f"{operation}: is there, but the stream is closed at "
                                     f"{stream.final}")
        if stream.final is not None and not closed and not closers and not any(
                op.size == 0 and op.closes for op in [creation, *stream.unknown]):
            self.judge.violation(OTHER, f"{stream}: closed, but the data of the closing request is "
                                 f"missing: {stream.unknown}")
        for operation in stream.unknown:
            operation.outcome = "absent"
        self.absent += len(stream.unknown)
        stream.unknown = []
        stream.closing = stream.deleting = 0

    def walk(self, stream, tail):
        position, start = stream.walked, stream.walked
        content = stream.known(start, tail)
        if content is None:
            if tail > start:
                self.judge.violation(LOST, f"{stream}: [{start}, {tail}) was not read in full")
            return
        while position < tail:
            operation = stream.placed.get(position) or self.found(stream, content, start, position)
            if operation is None:
                return
            position += operation.size
            retried = operation.producer and operation.producer[0].retry is operation
            if operation.size > SMALL_BYTES and not retried:
                operation.body = operation.stored = b""
        if position > tail:
            self.judge.violation(LOST, f"{operation}: ends behind the tail {tail}")
        stream.walked = tail

    def found(self, stream, content, start, position):
        """The unacknowledged operation that is at this position; None, and a violation, if none."""
        operations = [operation for operation in stream.unknown if operation.size
                      and content.startswith(operation.stored, position - start)]
        if not operations:
            self.strange(stream, content[position - start:], position)
            return None
        operation = max(operations, key=lambda operation: operation.size)
        if position < operation.tail_before:
            self.judge.violation(OTHER, f"{operation}: is at {position}, but "
                                 f"{operation.tail_before} was shown before it began")
        self.present += 1
        operation.outcome = "present"
        stream.unknown.remove(operation)
        self.model.place(operation, position)
        if operation.producer:
            producer, producer.epoch, producer.seq = operation.producer
        if operation.seq is not None:
            stream.last_seq = max(stream.last_seq or "", operation.seq)
        return operation

    def strange(self, stream, data, position):
        """Names what is where nothing should be."""
        tags = records.tags_in(data[:200])
        operation = self.model.operations.get(tags[0]) if tags else None
        kind, why = OTHER, "nobody wrote that"
        if operation is None:
            again = [other for other in stream.placed.values()
                     if 0 < other.size <= SMALL_BYTES and data.startswith(other.stored)]
            if again:
                kind, why = DUPLICATED, f"one of {again[:3]} again"
        elif operation.outcome in ("acked", "present"):
            kind, why = DUPLICATED, f"{operation} again"
        elif operation.outcome == "unknown":
            why = f"a part, or a changed copy, of {operation}"
        else:
            why = f"{operation}, which is not there by all that was shown"
        self.judge.violation(kind, f"{stream}: at {position} is {bytes(data[:60])!r}: {why}")

    # producers and sequences

    def verify_writers(self, stream):
        """The states that are made durable with the data are those of exactly this data."""
        for producer in list(stream.producers.values()):
            if stream.final is None:
                self.probe_producer(stream, producer)
            if producer.retry is not None and self.rng.random() < 0.5:
                self.retry(stream, producer)
        if stream.last_seq is not None and stream.final is None:
            self.actor.probe(stream, self.probe_of(stream, seq=stream.last_seq), 409)

    def probe_of(self, stream, **details):
        def make(tag):
            if stream.json:
                return b'{"tag":"%b","probe":true}' % tag.encode(), b""
            return records.bytes_record(tag, 60, stream.content_type), b""
        return self.model.new_operation(stream, self.actor.writer, make, **details)

    def probe_producer(self, stream, producer):
        epoch, seq = producer.epoch, producer.seq
        if seq >= 0:
            self.actor.probe(stream, self.probe_of(stream, producer=(producer, epoch, seq)), 204,
                             producer_epoch=epoch, producer_seq=seq)
            gap = self.probe_of(stream, producer=(producer, epoch, seq + 2))
            self.actor.probe(stream, gap, 409, producer_expected_seq=seq + 1,
                             producer_received_seq=seq + 2)
        else:
            self.actor.probe(stream, self.probe_of(stream, producer=(producer, 0, 1)), 409,
                             producer_expected_seq=0, producer_received_seq=1)
        if seq >= 0 and epoch > 0:
            self.actor.probe(stream, self.probe_of(stream, producer=(producer, epoch - 1, 0)), 403,
                             producer_epoch=epoch)

    def retry(self, stream, producer):
        retry(self.actor, stream, producer)


def retry(actor, stream, producer):
    """Sends a request again that was not answered. Its bytes may be there, or not, never twice."""
    operation = producer.retry
    if operation.outcome == "absent":
        operation.tail_before = stream.tail
    try:
        actor.append(operation)
    except NoAnswer as none:
        if not none.maybe and operation.outcome == "refused":
            operation.outcome = "absent"
        raise
    producer.retry = None
