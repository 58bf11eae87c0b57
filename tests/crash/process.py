"""A server process on a data directory, started and ended in every way there is."""
import os
import re
import select
import signal
import subprocess
import time

READY_LINE = re.compile(r"sluice ready on (http://127\.0\.0\.1:(\d+))\n")
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 30
# Small, so that a few seconds of load fill, flush and recycle files.
SMALL = ("--max-body-bytes", 400_000, "--wal-file-bytes", 1 << 20, "--wal-budget-bytes", 4 << 20,
         "--memory-budget-bytes", 64 << 20)


class NotReady(Exception):
    """It ended, or hangs, before the ready line. `code`: its exit code, None while it runs."""

    def __init__(self, code, why):
        super().__init__(why)
        self.code = code


class Process:
    """`options` follow the data directory on the command line. Standard error goes to `log`."""

    def __init__(self, binary, data, options=(), log=os.devnull, environment=None,
                 long_poll_ms=300):
        self.log = log
        command = [binary, "serve", "--listen", "127.0.0.1:0", "--data-dir", str(data),
                   "--allow-volatile-data-dir", "--long-poll-timeout-ms", str(long_poll_ms),
                   *map(str, options)]
        with open(log, "ab") as errors:
            errors.write(f"=== {' '.join(command)}\n".encode())
            errors.flush()
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True,
                env={**os.environ, **(environment or {})})
        self.port = None

    def wait_ready(self, timeout_s=START_TIMEOUT_S):
        ready, _, _ = select.select([self.process.stdout], [], [], timeout_s)
        line = self.process.stdout.readline() if ready else ""
        match = READY_LINE.fullmatch(line)
        if match is None:
            code = None
            if ready:
                code = self.process.wait(STOP_TIMEOUT_S)
            self.kill()
            raise NotReady(code, f"no ready line but {line!r}, exit code {code}: "
                           f"{self.last_lines()}")
        self.port = int(match[2])
        return self

    def last_lines(self):
        with open(self.log, "rb") as file:
            return b" | ".join(file.read().splitlines()[-3:]).decode(errors="replace")

    def alive(self):
        return self.process.poll() is None

    def kill(self):
        """SIGKILL. Returns the exit code: -9 unless it had ended before."""
        self.process.kill()
        code = self.process.wait()
        self.process.stdout.close()
        return code

    def terminate(self, timeout_s=STOP_TIMEOUT_S):
        """SIGTERM, and the exit code; None: it still ran after the timeout and was killed."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait(timeout_s)

    def wait(self, timeout_s):
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return None
        self.process.stdout.close()
        return code

    def kill_during_start(self, after_s):
        """SIGKILL that long after the start. Returns the exit code."""
        time.sleep(after_s)
        return self.kill()
