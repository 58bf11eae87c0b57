"""Very many connections of one process: opened in batches, of several source addresses."""

import contextlib
import select
import socket
import struct
import time

SOURCES = ("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4")
BATCH = 512  # connections under way at a time: well below the listener's queue
OPEN_TIMEOUT_S = 60
TCP_CLOSED = (7, 8)  # TCP_CLOSE after a reset, TCP_CLOSE_WAIT after an end


def is_open(sock):
    """The other side has neither ended nor reset the connection; nothing is read for that."""
    try:
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] not in TCP_CLOSED
    except OSError:
        return False


class Crowd:
    """Sockets to one port. The caller calls close() or reset()."""

    def __init__(self, port):
        self.port = port
        self.sockets = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __len__(self):
        return len(self.sockets)

    def open(self, count, request=b"", receive_buffer=None):
        """Connects `count` more, and sends `request` on each (bytes, or a function of its number)."""
        for first in range(0, count, BATCH):
            fresh = [self._begin(receive_buffer, n) for n in range(min(BATCH, count - first))]
            self._wait(fresh)
            for sock in fresh:
                data = request(len(self.sockets)) if callable(request) else request
                if data:
                    sock.send(data)
                self.sockets.append(sock)
        return self

    def _begin(self, receive_buffer, number):
        sock = socket.socket()
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.bind((SOURCES[number % len(SOURCES)], 0))
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            sock.connect(("127.0.0.1", self.port))
        return sock

    @staticmethod
    def _wait(fresh):
        """Until all of them stand."""
        poll, waiting = select.poll(), {sock.fileno(): sock for sock in fresh}
        for number in waiting:
            poll.register(number, select.POLLOUT)
        end = time.monotonic() + OPEN_TIMEOUT_S
        while waiting:
            if time.monotonic() > end:
                raise RuntimeError(f"{len(waiting)} connections do not stand")
            for number, _ in poll.poll(1000):
                error = waiting.pop(number).getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                poll.unregister(number)
                if error:
                    raise OSError(error, "a connection is refused")

    def send(self, data):
        """The same to everybody who is still there; returns how many those are."""
        sent = 0
        for sock in self.sockets:
            with contextlib.suppress(OSError):
                sent += sock.send(data) > 0
        return sent

    def open_count(self):
        return sum(map(is_open, self.sockets))

    def answered(self, prefix=b"HTTP/1.1 200"):
        """How many have got an answer that begins like that; what has come stays there."""
        count = 0
        for sock in self.sockets:
            with contextlib.suppress(OSError):
                count += sock.recv(len(prefix), socket.MSG_PEEK) == prefix
        return count

    def close(self):
        for sock in self.sockets:
            sock.close()
        self.sockets = []

    def reset(self):
        """Closes all of them with a reset."""
        for sock in self.sockets:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()
