"""A raw HTTP/1.1 client that takes nothing from a server that the RFCs do not allow."""
import json
import re
import socket
import time

TIMEOUT_S = 10
STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5]\d\d) ([\x20-\x7e]*)")
HEADER_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([\x21-\x7e\x80-\xff](?:[\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?|)")
CHUNK_SIZE = re.compile(rb"[0-9a-fA-F]{1,8}")


class Closed(Exception):
    """The server closed the connection before an answer began."""


class Response:
    def __init__(self, status, reason, headers):
        self.status, self.reason, self.headers = status, reason, headers
        self.body = b""

    def values(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def __getitem__(self, name):
        """The value of a header, None when it is absent; it may be there only once."""
        values = self.values(name)
        if len(values) > 1:
            raise AssertionError(f"{name} is repeated: {values}")
        return values[0] if values else None

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        usual = ("access-control-", "cross-origin-", "x-content-type-", "date", "connection")
        headers = [f"{n}: {v}" for n, v in self.headers if not n.lower().startswith(usual)]
        return f"<{self.status} {', '.join(headers)} {self.body[:300]!r}>"


def encode_request(method, target, headers=None, body=None, chunks=None):
    """The bytes of a request. `body` goes with a length, `chunks` (a list) chunked."""
    fields = {"Host": "test", **(headers or {})}
    lines = [f"{name}: {value}" for name, value in fields.items()]
    content = b""
    if chunks is not None:
        lines.append("Transfer-Encoding: chunked")
        content = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    elif body is not None:
        lines.append(f"Content-Length: {len(body)}")
        content = body
    head = "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""])
    return head.encode("latin-1") + content


class Connection:
    def __init__(self, port, timeout_s=TIMEOUT_S, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout_s)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.reusable = True

    def close(self):
        self.socket.close()

    def fileno(self):
        return self.socket.fileno()

    def send(self, data):
        self.socket.sendall(data)

    def request(self, method, target, headers=None, body=None, chunks=None):
        self.send(encode_request(method, target, headers, body, chunks))
        return self.read_response(method)

    # reading

    def fill(self):
        """Receives more; False at the end of the connection."""
        data = self.socket.recv(1 << 16)
        self.buffer += data
        return bool(data)

    def read_line(self):
        while b"\n" not in self.buffer:
            if not self.fill():
                raise Closed(f"end of connection after {self.buffer!r}")
        line, self.buffer = self.buffer.split(b"\n", 1)
        if not line.endswith(b"\r"):
            raise AssertionError(f"a line ends without CR: {line!r}")
        return line[:-1]

    def read_exactly(self, size):
        while len(self.buffer) < size:
            if not self.fill():
                raise AssertionError(f"end of connection, {size - len(self.buffer)} bytes are missing")
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def read_fields(self):
        fields = []
        while line := self.read_line():
            match = HEADER_LINE.fullmatch(line)
            if match is None:
                raise AssertionError(f"malformed header line {line!r}")
            fields.append((match[1].decode(), match[2].decode("latin-1")))
        return fields

    def read_head(self):
        """Status line and headers of the next final response."""
        while True:
            line = self.read_line()
            match = STATUS_LINE.fullmatch(line)
            if match is None:
                raise AssertionError(f"malformed status line {line!r}")
            response = Response(int(match[1]), match[2].decode(), self.read_fields())
            if response.status >= 200:
                break
            if response.status != 100:
                raise AssertionError(f"unexpected {response}")
        if (response["connection"] or "").lower() == "close":
            self.reusable = False
        return response

    def read_chunk(self):
        """The next chunk of a chunked body; empty at its end."""
        line = self.read_line()
        if CHUNK_SIZE.fullmatch(line) is None:
            raise AssertionError(f"malformed chunk size {line!r}")
        size = int(line, 16)
        if size == 0:
            if self.read_fields():
                raise AssertionError("unexpected trailers")
            return b""
        data = self.read_exactly(size)
        if self.read_exactly(2) != b"\r\n":
            raise AssertionError("a chunk is longer than it says")
        return data

    def read_response(self, method="GET"):
        response = self.read_head()
        coding, length = response["transfer-encoding"], response["content-length"]
        if coding is not None and length is not None:
            raise AssertionError(f"both framings in {response}")
        if method == "HEAD" or response.status in (204, 304):
            if response.status == 204 and (coding or length):
                raise AssertionError(f"204 with a framing header: {response}")
        elif coding is not None:
            if coding != "chunked":
                raise AssertionError(f"unknown coding in {response}")
            while chunk := self.read_chunk():
                response.body += chunk
        elif length is not None:
            if re.fullmatch(r"0|[1-9]\d*", length) is None:
                raise AssertionError(f"malformed length in {response}")
            response.body = self.read_exactly(int(length))
        elif not self.reusable:
            response.body = self.read_rest()
        else:
            raise AssertionError(f"no framing in {response}")
        if not self.reusable and self.read_rest() != b"":
            raise AssertionError(f"bytes after the last response {response}")
        return response

    def read_rest(self):
        """Everything up to the end of the connection."""
        try:
            while self.fill():
                pass
        except ConnectionResetError:
            pass
        rest, self.buffer = self.buffer, b""
        return rest

    def silent(self, for_s=0.1):
        """Nothing more comes, not even an end."""
        if self.buffer:
            return False
        self.socket.settimeout(for_s)
        try:
            self.socket.recv(1, socket.MSG_PEEK)
            return False
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(TIMEOUT_S)

    def ended(self):
        """The server closes the connection without another byte."""
        return self.read_rest() == b""


class Event:
    """One event of an event stream."""

    def __init__(self, kind, data, raw, chunk):
        self.kind, self.data = kind, data
        self.raw = raw  # its bytes on the wire, with the blank line
        self.chunk = chunk  # the number of the chunk in which it ended

    def json(self):
        return json.loads(self.data)

    def __repr__(self):
        return f"<{self.kind} {self.data!r}>"


class EventStream:
    """Reads an SSE response as a browser would; comments are left out."""

    def __init__(self, connection, target, headers=None):
        self.connection = connection
        connection.send(encode_request("GET", target, headers))
        self.response = connection.read_head()
        if self.response.status != 200:
            raise AssertionError(f"no event stream but {self.response}")
        self.buffer = b""
        self.chunks = 0
        self.over = False

    def event(self):
        """The next event, None at the end of the response."""
        while True:
            match = re.match(rb"(?:[^\r\n]+(?:\r\n|\r|\n))*(?:\r\n|\r|\n)", self.buffer)
            if match is None:
                if self.over:
                    if self.buffer:
                        raise AssertionError(f"the response ends within an event: {self.buffer!r}")
                    return None
                chunk = self.connection.read_chunk()
                self.chunks += 1
                self.over = chunk == b""
                self.buffer += chunk
                continue
            raw, self.buffer = match[0], self.buffer[match.end():]
            lines = [line for line in re.split(rb"\r\n|\r|\n", raw) if line]
            fields = [line.partition(b":") for line in lines if not line.startswith(b":")]
            if not fields:
                continue
            kinds = [value.removeprefix(b" ").decode() for name, _, value in fields if name == b"event"]
            data = [value.removeprefix(b" ") for name, _, value in fields if name == b"data"]
            if len(kinds) != 1 or len(kinds) + len(data) != len(fields):
                raise AssertionError(f"unexpected fields in {raw!r}")
            return Event(kinds[0], b"\n".join(data), raw, self.chunks)

    def control(self):
        """The next event, which is a control; its members."""
        event = self.event()
        if event is None or event.kind != "control":
            raise AssertionError(f"no control but {event}")
        return event.json()

    def batch(self):
        """The next data event and its control: bytes and members."""
        event = self.event()
        if event is None or event.kind != "data":
            raise AssertionError(f"no data but {event}")
        return event.data, self.control()

    def data(self, size):
        """The data of as many batches as have `size` bytes together."""
        data = b""
        while len(data) < size:
            data += self.batch()[0]
        return data

    def ended(self):
        """The response ends properly, without another event."""
        return self.event() is None


def wait_until(condition, timeout_s=TIMEOUT_S):
    """Waits until the condition holds, and returns what it returned."""
    deadline = time.monotonic() + timeout_s
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise AssertionError("it does not happen")
        time.sleep(0.01)
    return result
