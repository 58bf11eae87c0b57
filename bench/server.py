"""Starts and stops what is measured, each on its own processor, and reads what it uses.

A subject is ours, a ceiling or a rival; they differ only in their command line. A variant of a
scenario starts a subject, loads it and stops it, so nothing that one measurement leaves behind is
part of the next.
"""
import contextlib
import functools
import itertools
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
sys.path.insert(0, str(ROOT / "tests" / "crash"))
import preload  # noqa: E402  (delays the writes of a process)

SLOW_DISK_MS = 2
READY_S = 120  # a server that takes no connection after this time does not start
KNOCK_S = 0.002  # from one try to the next; times to ready are as exact as that
CONNECT_S = 10
STOP_TIMEOUT_S = 60
PORTS = 15_000, 30_000
SETTLE_STEP_S, SETTLE_TIMEOUT_S = 0.5, 120
STILL_SHARE = 0.05  # of a core: a server that does nothing uses less
NS = 1e9

_port = itertools.count(os.getpid() * 101)  # so that two processes begin at different ones


@contextlib.contextmanager
def on_cores(cores):
    """What is started inside runs on these cores only, with all threads it will have."""
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@functools.cache
def realtime():
    """Words before a command with which its threads run before all of ordinary priority; none
    where the system does not let us."""
    words = ("chrt", "--fifo", "1")
    try:
        allowed = subprocess.run([*words, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        allowed = False
    return words if allowed else ()


def free_port():
    """A port that nobody listens on, and that nobody will get meanwhile: no other caller here, and
    no outgoing connection, whose ports the system takes from higher ones."""
    while True:
        port = PORTS[0] + next(_port) % (PORTS[1] - PORTS[0])
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def wait_for_port(process, port):
    """Until a connection is taken. Servers have no common way to say that they are ready, so this
    knocks, and between two knocks waits for nothing but the end of the process."""
    end = time.monotonic() + READY_S
    while time.monotonic() < end:
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=CONNECT_S).close()
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            raise OSError(f"ended with {process.wait(KNOCK_S)}")
    raise OSError("takes no connections")


class Sluice:
    """Ours; slow-disk: durable, and every write to the log takes some milliseconds more."""

    name = "sluice"
    path = "/v1/stream/"

    def __init__(self, binary):
        self.binary = str(binary)

    def command(self, mode, port, data_dir, options=()):
        where = ["--memory", "--memory-budget-bytes", str(12 << 30)] if mode == "memory" else \
            ["--data-dir", data_dir, "--allow-volatile-data-dir"]
        environment = {}
        if mode == "slow-disk":
            library = preload.build(pathlib.Path(data_dir).parent)
            environment = preload.environment(library, data_dir, delay=f"wal {SLOW_DISK_MS}")
        # Readers stay for the whole measurement.
        return [self.binary, "serve", "--listen", f"127.0.0.1:{port}", "--sse-lifetime-ms", "0",
                *where, *map(str, options)], environment


class Ceiling:
    """A server that does one thing only: build/NAME_ceiling. As many threads as our acceptors."""

    path = "/v1/stream/"

    def __init__(self, name, build):
        self.name = name
        self.binary = str(pathlib.Path(build) / f"{name}_ceiling")

    def command(self, mode, port, data_dir, options=()):
        threads = max(os.cpu_count() // 2, 1)
        return [self.binary, "--port", str(port), "--threads", str(threads),
                *map(str, options)], {}


class Rival:
    """One of bench/rivals.py, in the shape of the others."""

    def __init__(self, rival):
        self.rival = rival
        self.name = rival.name
        self.path = re.sub(r"^http://[^/]*", "", rival.stream_url(1, ""))

    def command(self, mode, port, data_dir, options=()):
        return self.rival.command(mode, port, data_dir)


class Running:
    """A subject that is ready. The caller calls stop()."""

    def __init__(self, subject, mode, options=(), cores=(), priority=()):
        self.subject, self.cores, self.priority = subject, cores, priority
        self.port = free_port()
        (BUILD / "bench").mkdir(parents=True, exist_ok=True)
        self.folder = tempfile.mkdtemp(prefix="data-", dir=BUILD / "bench")
        data_dir = os.path.join(self.folder, "data")
        os.mkdir(data_dir)  # what delays a disk looks for it when the server starts
        argv, self.env = subject.command(mode, self.port, data_dir, options)
        self.argv = [*priority, *argv]
        self.log = open(os.path.join(self.folder, "log"), "w+")
        self.process = None
        try:
            self.ready_s = self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self):
        with on_cores(self.cores):
            start = time.monotonic()
            self.process = subprocess.Popen(
                self.argv, env={**os.environ, **self.env}, stdin=subprocess.DEVNULL,
                stdout=self.log, stderr=self.log, cwd=self.folder, start_new_session=True)
        try:
            wait_for_port(self.process, self.port)
        except OSError as error:
            raise RuntimeError(f"{self.subject.name}: {error}: {self.argv}\n"
                               f"{self.said()}") from None
        return time.monotonic() - start

    def restart(self):
        """Ends it and starts it on what it left; returns the seconds until it was ready."""
        self._end()
        self.ready_s = self._start()
        return self.ready_s

    def pass_time(self, seconds):
        """Lets time go by, in which the subject has nothing to do but must not end."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return
        raise RuntimeError(f"{self.subject.name} ended with {code}\n{self.said()}")

    def forget_files(self):
        """The page cache gives back what it has of the data: the next reads are the disk's. Files
        that a compaction removes meanwhile are not read either."""
        for folder, _, names in os.walk(os.path.join(self.folder, "data")):
            for name in names:
                with contextlib.suppress(OSError), open(os.path.join(folder, name), "rb") as file:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def disk_read_bytes(self):
        """What the disk has given it since it was started."""
        with open(f"/proc/{self.process.pid}/io") as counts:
            return int(re.search(r"^read_bytes: (\d+)", counts.read(), re.M)[1])

    def settle(self):
        """Until what earlier requests left to be done is done: nothing says so but the processor
        time, which stands still then."""
        before, end = -1, time.monotonic() + SETTLE_TIMEOUT_S
        while (used := sum(self.cpu_s().values())) - before > STILL_SHARE * SETTLE_STEP_S:
            if time.monotonic() > end:
                raise RuntimeError(f"{self.subject.name} is busy with nothing to do")
            before = used
            self.pass_time(SETTLE_STEP_S)

    def said(self):
        """The end of what it has written."""
        self.log.flush()
        self.log.seek(0)
        return self.log.read()[-4000:]

    def pids(self):
        """The process and what it has started."""
        found, look = [], [self.process.pid]
        while look:
            pid = look.pop()
            found.append(pid)
            with contextlib.suppress(OSError):
                for task in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{task}/children") as children:
                        look += map(int, children.read().split())
        return found

    def cpu_s(self):
        """Processor time of every thread so far, by the thread's name."""
        used = {}
        for pid in self.pids():
            with contextlib.suppress(OSError):
                for task in os.listdir(f"/proc/{pid}/task"):
                    with contextlib.suppress(OSError):
                        with open(f"/proc/{pid}/task/{task}/schedstat") as stat, \
                                open(f"/proc/{pid}/task/{task}/comm") as comm:
                            name = comm.read().strip()
                            used[name] = used.get(name, 0) + int(stat.read().split()[0]) / NS
        return used

    def rss_bytes(self):
        """Resident memory of all its processes."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError), open(f"/proc/{pid}/status") as status:
                if match := re.search(r"VmRSS:\s+(\d+) kB", status.read()):
                    total += int(match[1]) * 1024
        return total

    def _end(self):
        """As a supervisor would do it."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def stop(self):
        self._end()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)
