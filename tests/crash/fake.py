#!/usr/bin/env python3
"""A stand-in for a durable server, honest or lying: a proxy before a `sluice serve --memory`.

The server behind it survives the proxy, so killing the proxy is a crash that loses nothing. Every
request that changes something is first written and synced to a file wal-* of the data directory, as
a log would be. FAKE_PORT is where that server listens. FAKE_LIE makes it lie in one way, with
FAKE_CHANCE per request, so that selftest.py can prove that this lie is found.
"""
import json
import os
import pathlib
import random
import re
import signal
import socket
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "wire"))
from http1 import Closed, Connection, encode_request  # noqa: E402

LIE = os.environ.get("FAKE_LIE", "")
CHANCE = float(os.environ.get("FAKE_CHANCE", "0.01"))
BLOCK = 4096


def option(name, default=None):
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else default


ARMED, FROZEN = threading.Event(), threading.Event()


def hang():
    """Nobody gets an answer any more, until the kill."""
    FROZEN.set()
    threading.Event().wait()


class Log:
    """Writes before it changes, in blocks, in files of some size."""

    def __init__(self, data):
        self.folder = data / "shard-00"
        self.folder.mkdir(exist_ok=True)
        self.lock = threading.Lock()
        self.number = len(list(self.folder.iterdir()))
        self.file, self.at, self.failed = None, 0, False

    def add(self, payload):
        with self.lock:
            if self.failed:
                return False
            try:
                if self.file is None or self.at > 16 * BLOCK:
                    self.file = self.new_file()
                size = -(-(len(payload) + 1) // BLOCK) * BLOCK
                if os.pwrite(self.file, payload.ljust(size, b"\0"), self.at) != size:
                    raise OSError("short")
                os.fdatasync(self.file)
                self.at += size
            except OSError:
                self.failed = True
            return not self.failed

    def new_file(self):
        if self.file is not None:
            os.close(self.file)
        self.number += 1
        self.at = 0
        name = self.folder / f"wal-{self.number:016x}"
        file = os.open(f"{name}.tmp", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        os.fsync(file)
        os.rename(f"{name}.tmp", name)
        return file


class Proxy:
    """One client's connection."""

    def __init__(self, client, port, log, rng):
        self.client, self.port, self.log, self.rng = client, port, log, rng
        self.real = socket.create_connection(("127.0.0.1", port))
        for end in (client, self.real):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def run(self):
        threading.Thread(target=self.pump, daemon=True).start()
        buffer = b""
        try:
            while True:
                while b"\r\n\r\n" not in buffer:
                    data = self.client.recv(1 << 18)
                    if not data:
                        return
                    buffer += data
                head, buffer = buffer.split(b"\r\n\r\n", 1)
                length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
                size, parts = int(length[1]) if length else 0, [buffer]
                got = len(buffer)
                while got < size:
                    parts.append(self.client.recv(1 << 18))
                    if not parts[-1]:
                        return
                    got += len(parts[-1])
                buffer = b"".join(parts)
                body, buffer = buffer[:size], buffer[size:]
                self.request(head, body)
        except OSError:
            pass
        finally:
            # Only the sending side: what the server still answers goes to the client.
            for end in (self.real, self.client):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def pump(self):
        """What the server answers."""
        try:
            while data := self.real.recv(1 << 18):
                if FROZEN.is_set():
                    hang()
                self.client.sendall(data)
            self.client.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def request(self, head, body):
        if FROZEN.is_set():
            hang()
        method = head.split(b" ", 1)[0]
        whole = head + b"\r\n\r\n" + body
        changes = method in (b"PUT", b"POST", b"DELETE")
        if self.log.failed and head.startswith(b"GET /readyz"):
            self.refuse()
            return
        if method == b"PUT":
            ARMED.set()  # the verification makes nothing
        armed = ARMED.is_set() and self.rng.random() < CHANCE
        lie = getattr(self, f"lie_{LIE}", None) if armed else None
        if LIE in ("early_answer", "ignore_error") and self.lie_promise(method, head, body, whole):
            return
        early = LIE == "early_visible" and changes
        if early:
            self.real.sendall(whole)
        if changes and not self.log.add(whole):
            self.refuse()
            return
        if early or (lie is not None and lie(method.decode(), head, body)):
            return
        self.real.sendall(whole)

    def refuse(self):
        problem = json.dumps({"status": 503, "code": "STORAGE_FAILED"}).encode()
        self.answer(b"503 Service Unavailable", b"Content-Type: application/problem+json", problem)

    def answer(self, status, fields, body=b""):
        framing = b"" if status.startswith(b"204") else b"Content-Length: %d\r\n" % len(body)
        self.client.sendall(b"HTTP/1.1 " + status + b"\r\n" + fields + b"\r\n" + framing + b"\r\n"
                            + body)

    # lies; each returns whether it has answered

    def aside(self, method, path, headers=None, body=None):
        """A request of the proxy's own."""
        connection = Connection(self.port)
        try:
            return connection.request(method, path, headers, body)
        finally:
            connection.close()

    @staticmethod
    def parts(head):
        lines = head.decode("latin-1").split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines[1:])
        fields.pop("Content-Length", None)
        return lines[0].split(" ")[1].split("?")[0], fields

    def plain_append(self, method, fields, body):
        return method == "POST" and body and not {"Producer-Id", "Stream-Seq",
                                                  "Stream-Closed"} & set(fields)

    def lie_promise(self, method, head, body, whole):
        """Answers an append before it is logged, or although it could not be."""
        path, fields = self.parts(head)
        plain = self.plain_append(method.decode(), fields, body)
        if not plain or "json" in fields["Content-Type"]:
            return False
        response = self.aside("HEAD", path)
        if response.status != 200 or response["stream-closed"]:
            return False
        early = LIE == "early_answer"
        if not early and self.log.add(whole):
            self.real.sendall(whole)
            return True
        tail = int(response["stream-next-offset"][17:]) + len(body)
        self.answer(b"204 No Content", b"Stream-Next-Offset: %016d_%016d" % (0, tail))
        if early and self.log.add(whole):
            self.aside("POST", path, fields, body)
        return True

    def lie_lose(self, method, head, body):
        """Answers an append that it does not make."""
        path, fields = self.parts(head)
        if not self.plain_append(method, fields, body) or "json" in fields["Content-Type"]:
            return False
        response = self.aside("HEAD", path)
        if response.status != 200 or response["stream-closed"]:
            return False
        tail = int(response["stream-next-offset"][17:]) + len(body)
        self.answer(b"204 No Content", b"Stream-Next-Offset: %016d_%016d" % (0, tail))
        return True

    def lie_duplicate(self, method, head, body):
        """Makes an append twice."""
        path, fields = self.parts(head)
        if self.plain_append(method, fields, body):
            self.aside("POST", path, fields, body)
        return False

    def lie_tear(self, method, head, body):
        """Makes half of an append and crashes."""
        path, fields = self.parts(head)
        if self.plain_append(method, fields, body) and len(body) > 80 and (
                "json" not in fields["Content-Type"]):
            if self.aside("POST", path, fields, body[:len(body) // 2]).status == 204:
                hang()
        return False

    def lie_corrupt(self, method, head, body):
        """Changes a byte of what it stores."""
        path, fields = self.parts(head)
        if self.plain_append(method, fields, body) and len(body) > 80 and (
                "octet" in fields["Content-Type"]):
            middle = len(body) // 2
            changed = body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1:]
            self.real.sendall(head + b"\r\n\r\n" + changed)
            return True
        return False

    def lie_early_tail(self, method, head, body):
        """Shows a tail that is not there yet, and then never is."""
        path, _ = self.parts(head)
        response = self.aside("HEAD", path)
        if method != "HEAD" or response.status != 200 or response["stream-closed"]:
            return False
        tail = int(response["stream-next-offset"][17:]) + 50
        self.answer(b"200 OK", b"Stream-Next-Offset: %016d_%016d" % (0, tail))
        return True

    def lie_forget_delete(self, method, head, body):
        if method != "DELETE":
            return False
        path, _ = self.parts(head)
        if self.aside("HEAD", path).status == 200:
            self.answer(b"204 No Content", b"X: y")
            return True
        return False

    def lie_forget_close(self, method, head, body):
        path, fields = self.parts(head)
        if method != "POST" or body or "Stream-Closed" not in fields:
            return False
        response = self.aside("HEAD", path)
        if response.status != 200:
            return False
        self.answer(b"204 No Content", b"Stream-Closed: true\r\nStream-Next-Offset: "
                    + response["stream-next-offset"].encode())
        return True

    def lie_false_404(self, method, head, body):
        if method == "GET":
            self.answer(b"404 Not Found", b"X: y")
            return True
        return False

    def lie_drop_stream(self, method, head, body):
        """Deletes what nobody asked it to delete."""
        path, _ = self.parts(head)
        if method == "HEAD":
            self.aside("DELETE", path)
        return False

    def lie_forget_producer(self, method, head, body):
        """Stores data without the producer's state, and crashes before the answer."""
        path, fields = self.parts(head)
        if method == "POST" and body and "Producer-Id" in fields:
            for name in ("Producer-Id", "Producer-Epoch", "Producer-Seq"):
                fields.pop(name)
            if self.aside("POST", path, fields, body).status == 204:
                hang()
        return False

    def lie_forget_data(self, method, head, body):
        """Takes what it never stored for a duplicate."""
        path, fields = self.parts(head)
        if method == "POST" and body and "Producer-Id" in fields and "Stream-Closed" not in fields:
            response = self.aside("HEAD", path)
            if response.status == 200 and not response["stream-closed"]:
                self.answer(b"204 No Content", "\r\n".join((
                    f"Stream-Next-Offset: {response['stream-next-offset']}",
                    f"Producer-Epoch: {fields['Producer-Epoch']}",
                    f"Producer-Seq: {fields['Producer-Seq']}")).encode())
                return True
        return False

    def lie_forget_seq(self, method, head, body):
        """Stores data without its Stream-Seq."""
        path, fields = self.parts(head)
        if method == "POST" and body and "Stream-Seq" in fields:
            fields.pop("Stream-Seq")
            self.real.sendall(encode_request("POST", path, fields, body))
            return True
        return False

    def lie_half_batch(self, method, head, body):
        """Stores the first messages of a batch and crashes."""
        path, fields = self.parts(head)
        if self.plain_append(method, fields, body) and body.startswith(b"["):
            messages = json.loads(body)
            if len(messages) > 2:
                half = json.dumps(messages[:2], separators=(",", ":")).encode()
                if self.aside("POST", path, fields, half).status == 204:
                    hang()
        return False

    def lie_late(self, method, head, body):
        """Makes an append that was not answered long after the restart."""
        path, fields = self.parts(head)
        if self.plain_append(method, fields, body) and len(body) > 80:
            note = pathlib.Path(option("--data-dir")) / "late.json"
            if not note.exists():
                note.write_text(json.dumps([path, fields, body.decode("latin-1")]))
            hang()
        return False

    def lie_wrong_exit(self, method, head, body):
        return False


def make_late(port, note):
    """What the last process left undone."""
    path, fields, body = json.loads(note.read_text())
    note.unlink()
    connection = Connection(port)
    connection.request("POST", path, fields, body.encode("latin-1"))
    connection.close()


def cut_last_record(port, state):
    """At a start: takes some streams' last bytes away and puts others there."""
    for path in state:
        connection = Connection(port)
        try:
            response = connection.request("GET", path)
            if response.status != 200 or len(response.body) < 200 or (
                    "octet" not in response["content-type"]):
                continue
            if connection.request("DELETE", path).status != 204:
                continue
            other = bytes(len(response.body) - 100)
            kept = response.body[:-100] if LIE == "cut" else response.body[:-100] + other[:150]
            connection.request("PUT", path, {"Content-Type": response["content-type"]}, kept)
        except (Closed, OSError):
            pass
        finally:
            connection.close()


def main():
    data = pathlib.Path(option("--data-dir"))
    data.mkdir(exist_ok=True)
    port = int(os.environ["FAKE_PORT"])
    if LIE in ("cut", "reuse"):
        cut_last_record(port, [f"/v1/stream/crash/{n}" for n in range(40)])
    if (data / "late.json").exists():
        threading.Timer(0.6, make_late, (port, data / "late.json")).start()
    log = Log(data)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(7 if LIE == "wrong_exit" else 0))
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    print(f"sluice ready on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    rng = random.Random(time.time_ns())
    while True:
        client, _ = listener.accept()
        proxy = Proxy(client, port, log, rng)
        threading.Thread(target=proxy.run, daemon=True).start()


if __name__ == "__main__":
    main()
