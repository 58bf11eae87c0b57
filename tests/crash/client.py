"""The wire tests' strict HTTP client, which here also keeps what came before a connection broke."""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "wire"))
from http1 import Closed, Connection, encode_request  # noqa: E402

TIMEOUT_S = 15


def token(position):
    """The offset that names a position."""
    return f"{0:016}_{position:016}"


def position_of(offset):
    """The position that an offset names, None for what is not an offset."""
    if offset is None or len(offset) != 33 or offset[16] != "_":
        return None
    head, tail = offset[:16], offset[17:]
    return int(tail) if head == "0" * 16 and tail.isdigit() else None


class Broken(Exception):
    """No whole answer came. `sent`: the server may have got the request. `response`: what came."""

    def __init__(self, sent, response, why):
        super().__init__(why)
        self.sent, self.response, self.why = sent, response, why


class Client(Connection):
    """One connection, opened at the first request and again after a broken one."""

    def __init__(self, port, timeout_s=TIMEOUT_S):
        self.port, self.timeout_s = port, timeout_s
        self.socket, self.reusable = None, False

    def open(self):
        self.close()
        Connection.__init__(self, self.port, self.timeout_s)

    def close(self):
        if self.socket is not None:
            self.socket.close()
        self.socket, self.reusable = None, False

    def call(self, method, target, headers=None, body=None):
        """Sends a request and returns the whole response, or raises Broken."""
        sent, response = False, None
        try:
            if not self.reusable:
                self.open()
            sent = True
            self.send(encode_request(method, target, headers, body))
            response = self.read_head()
            self.read_body(method, response)
        except (Closed, AssertionError, OSError) as why:
            self.close()
            if isinstance(why, AssertionError) and "are missing" not in str(why):
                raise
            raise Broken(sent, response, f"{method} {target}: {why!r}") from None
        if not self.reusable:
            self.close()
        return response

    def read_body(self, method, response):
        """As Connection.read_response, but what has come stands in `response.body` at any time."""
        coding, length = response["transfer-encoding"], response["content-length"]
        if method == "HEAD" or response.status in (204, 304):
            return
        if coding is not None:
            while chunk := self.read_chunk():
                response.body += chunk
            return
        if length is None:
            raise AssertionError(f"no framing in {response}")
        pieces, missing = [self.buffer[:int(length)]], int(length) - len(self.buffer)
        self.buffer = self.buffer[int(length):]
        try:
            while missing > 0:
                piece = self.socket.recv(min(missing, 1 << 18))
                if not piece:
                    raise Closed(f"{missing} bytes are missing")
                pieces.append(piece)
                missing -= len(piece)
        finally:
            response.body = b"".join(pieces)


def code_of(response):
    """The `code` of a problem document, "" when there is none."""
    try:
        return str(json.loads(response.body)["code"])
    except (ValueError, KeyError, TypeError):
        return ""
