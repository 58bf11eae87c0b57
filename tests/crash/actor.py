"""One client: sends operations, and tells the model what the answers say."""
import base64
import select
import threading
import time

import records
from client import Broken, Client, code_of, position_of, token
from http1 import EventStream, encode_request
from model import DUPLICATED, LOST, OTHER, VANISHED, Producer

# Codes of refusals that change nothing, and of those after which nobody knows.
USUAL_REFUSALS = {"OVERLOADED": False, "MEMORY_LIMIT_EXCEEDED": False}
FAULT_REFUSALS = {**USUAL_REFUSALS, "DISK_FULL": False, "STORAGE_FAILED": True,
                  "DATA_DAMAGED": False}


class NoAnswer(Exception):
    """No outcome. `maybe`: it may have happened. `broken`: the connection is."""

    def __init__(self, maybe, broken, why, response=None):
        super().__init__(why)
        self.maybe, self.broken, self.response = maybe, broken, response


class Seen:
    """What was shown of a stream before a request began."""

    def __init__(self, stream):
        self.gone, self.final, self.tail = stream.gone, stream.final, stream.tail


class Actor:
    def __init__(self, model, port, writer, rng, refusals=USUAL_REFUSALS, may_break=False,
                 timeout_s=15):
        self.model, self.judge, self.rng, self.writer = model, model.judge, rng, writer
        self.port = port
        self.client = Client(port, timeout_s)
        self.refusals, self.may_break = refusals, may_break
        self.stopping = threading.Event()  # the server is about to be ended

    def close(self):
        self.client.close()

    def violation(self, kind, text):
        self.judge.violation(kind, text)

    # requests

    def call(self, what, method, path, headers=None, body=None, stream=None):
        """Returns the response; raises NoAnswer without one, or with a refusal that may be.

        An answer that has begun may be cut when its `stream` goes meanwhile.
        """
        try:
            response = self.client.call(method, path, headers, body)
        except Broken as broken:
            self.judge.note(what, writer=self.writer, path=path, headers=headers, broken=broken.why)
            timed_out = "TimeoutError" in broken.why
            may_go = stream is not None and broken.response is not None and stream.may_go()
            may_break = self.may_break or self.stopping.is_set() or may_go
            if timed_out or not may_break:
                self.violation(OTHER, f"{what}: no answer: {broken.why}")
            raise NoAnswer(broken.sent, not may_go, broken.why, broken.response) from None
        self.judge.note(what, writer=self.writer, method=method, path=path, headers=headers,
                        size=len(body or b""), status=response.status,
                        tail=response["stream-next-offset"], closed=response["stream-closed"],
                        got=len(response.body))
        if response.status >= 500 or response.status == 429:
            code = code_of(response)
            if method == "HEAD" and response.status == 503 and (
                    response["retry-after"] or "STORAGE_FAILED" in self.refusals):
                raise NoAnswer(False, False, "refused without a code")
            if code not in self.refusals:
                self.violation(OTHER, f"{what}: {response}")
            raise NoAnswer(self.refusals.get(code, True), False, code)
        return response

    def ask(self, what, stream, method, headers=None, body=None, query=""):
        """A request about a stream that was there. None instead of a response: it is gone."""
        seen, start = Seen(stream), time.time()
        response = self.call(what, method, stream.name.path + query, headers, body, stream)
        if response.status in (404, 410):
            return seen, response, True
        self.model.show_there(stream, seen.gone, f"{what}: {response}")
        if response.status < 300 and method != "HEAD":
            stream.last_access = max(stream.last_access or 0, start)
        return seen, response, False

    def tail_of(self, what, response):
        position = position_of(response["stream-next-offset"])
        if position is None:
            self.violation(OTHER, f"{what}: no tail in {response}")
        return position

    # writing

    def append_as(self, producer, operation):
        """Appends as a producer, who remembers what has to be sent again. Raises NoAnswer."""
        producer.retry = operation
        try:
            self.append(operation)
        except NoAnswer as none:
            if not none.maybe:
                producer.retry = None
            raise
        producer.retry = None

    def append(self, operation, headers=None):
        """Sends it; its outcome and what follows from it are noted. Raises NoAnswer."""
        stream, what = operation.stream, f"append {operation.tag}"
        fields = dict(headers or {})
        if operation.body:
            fields["Content-Type"] = stream.content_type
        if operation.closes:
            fields["Stream-Closed"] = "true"
        if operation.producer:
            producer, epoch, seq = operation.producer
            fields |= {"Producer-Id": producer.name, "Producer-Epoch": str(epoch),
                       "Producer-Seq": str(seq)}
        if operation.seq is not None:
            fields["Stream-Seq"] = operation.seq
        with stream.lock:
            stream.closing += operation.closes
        retried = operation.outcome
        try:
            seen, response, gone = self.ask(what, stream, "POST", fields, operation.body)
        except NoAnswer as none:
            with stream.lock:
                if none.maybe and retried != "present":
                    operation.outcome = "unknown"
                    if operation not in stream.unknown:
                        stream.unknown.append(operation)
                elif retried != "present":
                    operation.outcome = "refused"
                    stream.closing -= operation.closes
            raise
        self.on_append(what, operation, seen, response, gone, retried)
        return response

    def on_append(self, what, operation, seen, response, gone, retried):
        stream = operation.stream
        duplicate = response.status == 204 and operation.producer is not None and operation.body
        if gone or response.status >= 300:
            with stream.lock:
                stream.closing -= operation.closes
                if retried == "pending":
                    operation.outcome = "refused"
        if gone:
            self.model.show_gone(stream, f"{what}: {response.status}")
        elif response.status in (200, 204):
            self.on_success(what, operation, seen, response, duplicate, retried)
        elif response.status == 409 and response["stream-closed"]:
            self.on_closed(what, operation, response, retried)
        else:
            self.on_refusal(what, operation, response)

    def on_closed(self, what, operation, response, retried):
        tail = self.tail_of(what, response)
        if tail is not None:
            self.model.show_closed(operation.stream, tail, what)
        if retried == "present" and operation.closes:
            self.violation(OTHER, f"{what}: the closing request is there, its retry got {response}")

    def on_refusal(self, what, operation, response):
        """Told to be refused although nothing stands against it, as far as is known."""
        if operation.seq is not None and response.status == 409:
            known = operation.stream.last_seq
            if known is not None and operation.seq <= known:
                return
        self.violation(OTHER, f"{what}: {operation}: refused by {response}")

    def on_success(self, what, operation, seen, response, duplicate, retried):
        stream = operation.stream
        if operation.producer:
            producer, epoch, seq = operation.producer
            producer.retry = None
            if duplicate and retried != "present":
                self.violation(LOST if retried == "absent" else OTHER,
                               f"{what}: told to be a duplicate of {epoch}/{seq}, but it is not "
                               f"there")
                return
            if not duplicate and retried == "present" and operation.body:
                self.violation(DUPLICATED, f"{what}: {epoch}/{seq} is there and was accepted again")
            producer.epoch, producer.seq = epoch, max(seq, producer.seq if
                                                      epoch == producer.epoch else -1)
        if operation.seq is not None:
            if stream.last_seq is not None and operation.seq <= stream.last_seq:
                self.violation(OTHER, f"{what}: Stream-Seq {operation.seq} was accepted after "
                               f"{stream.last_seq}")
            stream.last_seq = operation.seq
        tail = self.tail_of(what, response)
        if tail is None:
            return
        if retried == "present":
            self.model.show_tail(stream, tail, seen.tail, what)
            self.judge.count(acknowledged=1)
        else:
            if seen.final is not None and operation.stored:
                self.violation(VANISHED, f"{what}: accepted, but it was shown closed")
            self.model.acknowledge(operation, tail)
        if operation.closes:
            if not response["stream-closed"]:
                self.violation(OTHER, f"{what}: closing was accepted without Stream-Closed")
            self.model.show_closed(stream, tail, what)

    def probe(self, stream, operation, status, **expected):
        """A request that a producer's or a sequence's state must refuse, whatever its body."""
        what = f"probe {operation.tag}"
        producer, epoch, seq = operation.producer or (None, None, None)
        fields = {"Content-Type": stream.content_type}
        if producer:
            fields |= {"Producer-Id": producer.name, "Producer-Epoch": str(epoch),
                       "Producer-Seq": str(seq)}
        if operation.seq is not None:
            fields["Stream-Seq"] = operation.seq
        operation.outcome = "refused"
        seen, response, gone = self.ask(what, stream, "POST", fields, operation.body)
        if gone:
            self.model.show_gone(stream, f"{what}: {response.status}")
            return
        if response.status == 409 and response["stream-closed"]:
            tail = self.tail_of(what, response)
            if tail is not None:
                self.model.show_closed(stream, tail, what)
            return
        wrong = [name for name, value in expected.items()
                 if response[name.replace("_", "-")] != str(value)]
        if response.status != status or wrong:
            kind = DUPLICATED if response.status == 200 or (
                response.status == 204 and status != 204) else OTHER
            self.violation(kind, f"{what} on {stream}: {fields}: expected {status} {expected}, "
                           f"got {response}")

    def close_stream(self, stream):
        """A close without data."""
        operation = self.model.new_operation(stream, self.writer, lambda tag: (b"", b""),
                                             closes=True)
        self.append(operation)

    def delete(self, stream):
        with stream.lock:
            stream.deleting += 1
        what = f"delete {stream}"
        try:
            seen, response, gone = self.ask(what, stream, "DELETE")
        except NoAnswer as none:
            if not none.maybe:
                with stream.lock:
                    stream.deleting -= 1
            raise
        with stream.lock:
            if gone:
                stream.deleting -= 1
                self.model.show_gone(stream, f"{what}: {response.status}")
                stream.deleting += 1
            elif response.status == 204:
                self.judge.count(acknowledged=1)
                self.model.show_gone(stream, what)
            else:
                self.violation(OTHER, f"{what}: {response}")

    # creation; the caller has the name exclusively

    def create(self, name, content_type, make=None, headers=None, ttl=None, expires_in=None):
        """Creates a stream under a free name, with data when `make` is given. Raises NoAnswer."""
        old = name.stream
        stream = self.model.new_stream(name, content_type)
        stream.headers = {"Content-Type": content_type, **(headers or {})}
        stream.last_access = time.time()
        if ttl is not None:
            stream.ttl, stream.headers["Stream-TTL"] = ttl, str(ttl)
        if expires_in is not None:
            stream.expires_at = int(time.time() + expires_in)
            stream.headers["Stream-Expires-At"] = time.strftime(
                "%Y-%m-%dT%H:%M:%SZ", time.gmtime(stream.expires_at))
        return self.put(stream, old, make)

    def fork(self, name, source, point, make=None, headers=None):
        """`point`: None for the tail, or (anchor, sub-offset, position)."""
        old = name.stream
        stream = self.model.new_stream(name, source.content_type, source,
                                       None if point is None else point[2])
        stream.ttl = source.ttl
        stream.headers = {"Stream-Forked-From": source.name.path, **(headers or {})}
        if make:
            stream.headers["Content-Type"] = source.content_type
        if point is not None:
            anchor, sub, stream.tail = point
            stream.boundaries = [stream.tail]
            stream.headers["Stream-Fork-Offset"] = token(anchor)
            if sub:
                stream.headers["Stream-Fork-Sub-Offset"] = str(sub)
        stream.last_access = time.time()
        return self.put(stream, old, make)

    def put(self, stream, old, make):
        source = stream.source
        seen = Seen(source) if source else None
        stream.source_tail = seen.tail if seen else 0
        closes = "Stream-Closed" in stream.headers
        stream.closing += closes
        held = old is not None and old.may_be_referenced()
        self.model.install(stream)
        operation = self.model.new_operation(stream, self.writer, make or (lambda tag: (b"", b"")),
                                             closes=closes)
        stream.creation, stream.walked = operation, stream.fork_at or 0
        what = f"{'fork' if source else 'create'} {stream}"
        try:
            response = self.call(what, "PUT", stream.name.path, stream.headers, operation.body)
        except NoAnswer as none:
            if none.maybe:
                operation.outcome = "unknown"
                stream.unknown.append(operation)
            else:
                self.model.forget(stream)
            raise
        if response.status == 201:
            self.on_created(what, stream, operation, response, old, seen)
            return stream
        self.model.forget(stream)
        operation.outcome = "refused"
        if response.status == 404 and source is not None:
            self.model.show_gone(source, f"{what}: {response.status}")
        elif response.status == 409 and old is not None and source is None and not held:
            self.violation(VANISHED, f"{what}: {old} was shown to be gone and is back: {response}")
        elif response.status != 409 or not (held or (source and (source.gone or source.deleting
                                                                 or source.may_be_expired()))):
            self.violation(OTHER, f"{what} {stream.headers}: {response}")
        return None

    def on_created(self, what, stream, operation, response, old, seen):
        source = stream.source
        stream.state = "live"
        self.judge.count(acknowledged=0 if operation.stored else 1)
        if old is not None and old.surely_referenced():
            self.violation(OTHER, f"{what}: created, but the name is held by forks of {old}")
        tail = self.tail_of(what, response)
        if tail is None:
            return
        start = tail - operation.size
        if source is not None:
            self.model.show_there(source, seen.gone, f"{what}: forked from {source}")
        if stream.fork_at is None:
            self.settle_fork(stream, start)
            if start < seen.tail:
                self.violation(VANISHED, f"{what}: at the tail {start} of the source, but "
                               f"{seen.tail} was shown")
        elif start != stream.fork_at:
            self.violation(OTHER, f"{what}: starts at {start} instead of {stream.fork_at}")
            return
        if source is not None:
            self.model.show_tail(source, stream.fork_at, what=what)
        if operation.stored:
            self.model.acknowledge(operation, tail)
        else:
            operation.outcome = "acked"
            self.model.show_tail(stream, tail)
        if operation.closes:
            self.model.show_closed(stream, tail, what)
        if bool(response["stream-closed"]) != operation.closes:
            self.violation(OTHER, f"{what}: closed or open by mistake: {response}")

    @staticmethod
    def settle_fork(stream, fork_at):
        """The point of a fork that was asked for at the tail."""
        stream.fork_at = stream.walked = fork_at
        stream.bytes.base = fork_at
        stream.tail = max(stream.tail, fork_at)
        stream.boundaries = [fork_at]

    def ensure(self, stream):
        """Creates it again, as it is: 200, or 409 when it was closed since."""
        what = f"ensure {stream}"
        seen, response, gone = self.ask(what, stream, "PUT", stream.headers)
        closes = "Stream-Closed" in stream.headers
        if gone:
            self.violation(OTHER, f"{what}: {response}")
        elif response.status == 200:
            tail = self.tail_of(what, response)
            if tail is not None:
                self.model.show_tail(stream, tail, seen.tail, what)
            if seen.final is not None and not closes:
                self.violation(VANISHED, f"{what}: 200, but it was shown closed")
        elif response.status == 201:
            # An expired stream is made again by whoever asks; this is avoided by the caller.
            self.violation(VANISHED, f"{what}: created again")
        elif response.status != 409 or (stream.final is None and not stream.closing):
            self.violation(OTHER, f"{what}: {response}")

    # reading

    def stored(self, stream, body):
        """What the log holds of a response's body."""
        if not stream.json:
            return body
        if not (body.startswith(b"[") and body.endswith(b"]")):
            self.violation(OTHER, f"{stream}: not an array but {body[:60]!r}")
        return records.stored_json(body)

    def head(self, stream):
        what = f"head {stream}"
        seen, response, gone = self.ask(what, stream, "HEAD")
        if gone:
            self.model.show_gone(stream, f"{what}: {response.status}")
            return response
        tail = self.tail_of(what, response)
        if tail is not None:
            self.on_tail(what, stream, seen, tail, bool(response["stream-closed"]))
        return response

    def on_tail(self, what, stream, seen, tail, closed):
        self.model.show_tail(stream, tail, seen.tail, what)
        if closed:
            self.model.show_closed(stream, tail, what)
        else:
            self.model.show_open(stream, seen.final is not None, what)

    def read(self, stream, at=None, live=False):
        """Reads from a position, -1 or (None) "now". Returns the response."""
        offset = "now" if at is None else "-1" if at < 0 else token(at)
        query = f"?offset={offset}" + ("&live=long-poll" if live else "")
        what = f"read {stream} {query}"
        at = 0 if at == -1 else at
        try:
            seen, response, gone = self.ask(what, stream, "GET", query=query)
        except NoAnswer as none:
            part = none.response
            if part is not None and part.status == 200 and at is not None:
                data = part.body.removeprefix(b"[") if stream.json else part.body
                self.model.show_bytes(stream, at, data, f"{what} (cut)")
            raise
        if gone:
            self.model.show_gone(stream, f"{what}: {response.status}")
            return response
        if response.status not in (200, 204) or (response.status == 204 and not live):
            self.violation(OTHER, f"{what}: {response}")
            return response
        tail = self.tail_of(what, response)
        if tail is None:
            return response
        data = self.stored(stream, response.body) if response.status == 200 else b""
        if data and at is not None and tail - len(data) != at:
            self.violation(OTHER, f"{what}: {len(data)} bytes end at {tail}")
            return response
        self.model.show_bytes(stream, tail - len(data), data, what)
        if response["stream-up-to-date"]:
            self.on_tail(what, stream, seen, tail, bool(response["stream-closed"]))
        return response

    def follow(self, stream, at, until):
        """Follows by SSE from a position (None: now) until `until()`."""
        offset = "now" if at is None else token(at)
        what, connection = f"follow {stream} from {offset}", Client(self.port)
        seen = Seen(stream)
        try:
            connection.open()
            connection.send(encode_request("GET", f"{stream.name.path}?offset={offset}&live=sse"))
            response = connection.read_head()
            if response.status in (404, 410):
                self.model.show_gone(stream, f"{what}: {response.status}")
                return
            if response.status != 200:
                self.violation(OTHER, f"{what}: {response}")
                return
            self.model.show_there(stream, seen.gone, what)
            events = EventStream.__new__(EventStream)
            events.connection, events.response = connection, response
            events.buffer, events.chunks, events.over = b"", 0, False
            self.follow_events(what, stream, at, seen, events, until)
        except (Exception,) as why:
            usual = isinstance(why, OSError) or "end of connection" in str(why) or (
                "within an event" in str(why))
            may_break = self.may_break or self.stopping.is_set() or stream.may_go()
            if not usual or not may_break:
                self.violation(OTHER, f"{what}: {str(why)[:300]}")
        finally:
            connection.close()

    def follow_events(self, what, stream, at, seen, events, until):
        pending = None
        while not until():
            if not events.buffer and not events.connection.buffer and not select.select(
                    [events.connection], [], [], 0.05)[0]:
                continue
            event = events.event()
            if event is None:
                return
            if event.kind == "data":
                data = event.data
                if stream.content_type == records.BYTES:
                    data = base64.b64decode(data, validate=True)
                pending = self.stored(stream, data)
                if at is not None:
                    self.model.show_bytes(stream, at, pending, what)
                continue
            fields = event.json()
            tail = position_of(fields["streamNextOffset"])
            self.judge.note("sse", stream=stream.number, tail=tail, at=at,
                            got=len(pending or b""), closed=fields.get("streamClosed"))
            if at is not None and pending is not None and at + len(pending) != tail:
                self.violation(OTHER, f"{what}: {len(pending)} bytes from {at} end at {tail}")
            at, pending = tail, None
            self.model.show_tail(stream, tail, what=what)
            if fields.get("upToDate"):
                self.on_tail(what, stream, seen, tail, bool(fields.get("streamClosed")))


def producer_of(stream, name):
    """The state of a producer of a stream."""
    with stream.lock:
        return stream.producers.setdefault(name, Producer(name))
