"""Starts a server binary, and stops it the way a supervisor would: SIGTERM, then a clean exit."""
import os
import pathlib
import re
import select
import signal
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("SLUICE_BINARY", str(ROOT / "build" / "sluice"))
READY_LINE = re.compile(r"sluice ready on (http://127\.0\.0\.1:(\d+))\n")
START_TIMEOUT_S = 30
STOP_TIMEOUT_S = 20
# Of a log file: a body of 16 MiB fits, and it is made quickly.
WAL_FILE_BYTES = 40 << 20


class Server:
    """A server on a port of its own, durable in a directory of its own unless the options say
    --memory or --data-dir. The caller calls stop(), or kill() after a failure."""

    def __init__(self, *options, binary=BINARY):
        options = list(map(str, options))
        self.directory = None
        if "--memory" not in options and "--data-dir" not in options:
            # Beside the binary: there is room for it, and it is on a disk wherever that can be had.
            self.directory = tempfile.TemporaryDirectory(dir=pathlib.Path(binary).resolve().parent)
            options += ["--data-dir", self.directory.name + "/data"]
        if "--data-dir" in options:
            options += ["--allow-volatile-data-dir"]
        if "--data-dir" in options and "--wal-file-bytes" not in options:
            options += ["--wal-file-bytes", str(WAL_FILE_BYTES)]
        self.errors = tempfile.TemporaryFile("w+")
        self.command = [binary, "serve", "--listen", "127.0.0.1:0", *options]
        self.launch()

    def launch(self):
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.errors,
            text=True
        )
        self.pid = self.process.pid
        try:
            ready, _, _ = select.select([self.process.stdout], [], [], START_TIMEOUT_S)
            line = self.process.stdout.readline() if ready else ""
            match = READY_LINE.fullmatch(line)
            if match is None:
                raise AssertionError(f"no ready line but {line!r}\n{self.stderr()}")
        except BaseException:
            self.kill()
            raise
        self.url, self.port = match[1], int(match[2])

    def crash(self):
        """SIGKILL, and a start on the same directory and port."""
        self.process.kill()
        if self.process.wait() != -signal.SIGKILL:
            raise AssertionError(f"died with {self.process.returncode}\n{self.stderr()}")
        self.process.stdout.close()
        self.command[self.command.index("--listen") + 1] = f"127.0.0.1:{self.port}"
        self.launch()

    def stderr(self):
        """What the server has written to standard error so far. Its offset is that of the file: it
        is not moved."""
        return os.pread(self.errors.fileno(), os.fstat(self.errors.fileno()).st_size, 0).decode()

    def memory_bytes(self):
        """Resident memory of the process."""
        with open(f"/proc/{self.pid}/status") as status:
            return int(re.search(r"VmRSS:\s+(\d+) kB", status.read())[1]) * 1024

    def alive(self):
        return self.process.poll() is None

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def wait(self, timeout_s=STOP_TIMEOUT_S):
        """Waits for the exit, demands that it is clean, and returns the seconds that it took."""
        start = time.monotonic()
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still running {timeout_s} s after SIGTERM\n{self.stderr()}") from None
        took_s = time.monotonic() - start
        self.clean_up()
        if code != 0:
            raise AssertionError(f"exit code {code}\n{self.stderr()}")
        return took_s

    def stop(self, timeout_s=STOP_TIMEOUT_S):
        if not self.alive():
            raise AssertionError(f"died with {self.process.returncode}\n{self.stderr()}")
        self.terminate()
        return self.wait(timeout_s)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.clean_up()

    def clean_up(self):
        self.process.stdout.close()
        if self.directory is not None:
            self.directory.cleanup()
