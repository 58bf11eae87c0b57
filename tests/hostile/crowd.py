"""Very many connections of one process: opened in batches, of several source addresses."""

import contextlib
import select
import socket
import struct
import time

SOURCES = ("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4")
BATCH = 16  # connections under way at a time, if nobody says how fast they come
OPEN_TIMEOUT_S = 60
EARLY_S = 0.001  # sleeping for less is not worth it
ASKED_PER_S = 5000
LAST_DATA_RECV = struct.Struct("52xI")  # of tcp_info: ms since something was taken


def paced(items, per_second):
    """Gives the items, so many a second; None: as they are asked for.

    Attackers come and send evenly: on the few processors that the server has as well, a burst of
    thousands would measure what this program needs for it.
    """
    start = time.monotonic()
    for n, item in enumerate(items):
        if per_second and (early_s := start + n / per_second - time.monotonic()) > EARLY_S:
            time.sleep(early_s)
        yield item


class Crowd:
    """Sockets to one port. The caller calls close() or reset()."""

    def __init__(self, port):
        self.port = port
        self.sockets = []
        self._ends, self._ended = select.epoll(), 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __len__(self):
        return len(self.sockets)

    def open(self, count, request=b"", receive_buffer=None, per_second=None, at_once=None):
        """Connects `count` more, so many a second, and sends `request` on each. So many come at
        once: one, where nothing is said but how many come a second.
        """
        at_once = at_once or (1 if per_second else BATCH)
        for first in paced(range(0, count, at_once), per_second and per_second / at_once):
            fresh = [self._begin(receive_buffer, n) for n in range(min(at_once, count - first))]
            self._wait(fresh)
            for sock in fresh:
                self._ends.register(sock, select.EPOLLRDHUP | select.EPOLLONESHOT)
                if request:
                    sock.send(request)
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

    def send(self, data, per_second=None):
        """The same to everybody who is still there."""
        for sock in paced(list(self.sockets), per_second):
            with contextlib.suppress(OSError):
                sock.send(data)

    def open_count(self):
        """Those that the other side has neither ended nor reset; nothing is read for that."""
        self._ended += len(self._ends.poll(0, len(self.sockets) + 1))
        return len(self.sockets) - self._ended

    def last_taken(self):
        """When the kernel of one of them last took something. That may be seconds after it was
        sent: what is larger than the window that is left goes in parts, at ever longer intervals.
        """

        def taken(sock):
            info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, LAST_DATA_RECV.size)
            return time.monotonic() - LAST_DATA_RECV.unpack(info)[0] / 1000

        return max(map(taken, paced(self.sockets, ASKED_PER_S)))

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
        self._ends.close()

    def reset(self, per_second=None):
        """Closes all of them with a reset."""
        for sock in paced(self.sockets, per_second):
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
        self.close()
