#!/usr/bin/env python3
"""A program that takes connections and, once, sends all of them as much as the kernel takes.

It prints its port, sends when it is told to by a line, says so by one, and ends with its input. No
server is spared what attackers cost the machine here: their own work, and that of the kernel, which
takes connections and ends them, and asks those that stop reading again and again whether they take
more.
"""

import contextlib
import os
import resource
import selectors
import socket
import subprocess
import sys

UNSENT_BYTES_MAX = 64 * 1024  # as the server has it
DATA = b"x" * (1 << 20)


class Bare:
    """It as a process. The caller calls stop()."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.port = int(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def send(self):
        """To all that have come so far."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.process.stdout.readline()

    def stop(self):
        self.process.communicate()
        if self.process.returncode:
            raise RuntimeError(f"{__file__} ended with {self.process.returncode}")


def main():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES_MAX)
    print(listener.getsockname()[1], flush=True)
    clients, selector = [], selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    selector.register(sys.stdin, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is listener:
                clients.append(listener.accept()[0])
                clients[-1].setblocking(False)
            elif sys.stdin.readline():
                for client in clients:
                    with contextlib.suppress(BlockingIOError):
                        client.send(DATA)
                print(flush=True)
            else:
                os._exit(0)  # the kernel closes what is open


if __name__ == "__main__":
    main()
