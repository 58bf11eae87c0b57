#!/usr/bin/env python3
"""Kills a server under load, again and again, and proves that it loses nothing that it showed.

Every cycle: start on the same data directory (sometimes killed while it recovers), verify all that
was acknowledged or shown before, load from several threads, SIGKILL (sometimes SIGTERM).
A violation ends the run with exit code 1 and keeps the data, the log and the history.
"""
import argparse
import os
import pathlib
import random
import shutil
import sys
import tempfile
import threading
import time

from actor import Actor, NoAnswer
from load import READERS, WRITERS, Load
from model import OTHER, Judge, Model
from process import SMALL, NotReady, Process
from verifier import Verifier

NAMES = 40
TERMINATED_SHARE = 0.12
RECOVERY_KILLED_SHARE = 0.3
VERIFIER = WRITERS + READERS  # its number among the writers
RETRIES = 5  # of a start that is killed


class Driver:
    def __init__(self, args, folder):
        self.args, self.folder = args, folder
        self.data = folder / "data"
        self.judge = Judge(folder / "history.jsonl")
        self.model = Model(self.judge, NAMES)
        self.rng = random.Random(args.seed)

    def start(self):
        options = ["--shards", self.args.shards, "--acceptors", self.args.acceptors,
                   *self.args.server_option]
        return Process(self.args.binary, self.data, options, self.folder / "server.log")

    def started(self):
        """A ready server; sometimes after some that were killed while they recovered."""
        kills = 0
        while kills < RETRIES and self.rng.random() < RECOVERY_KILLED_SHARE:
            kills += 1
            code = self.start().kill_during_start(self.rng.choice((0.003, 0.02, 0.1))
                                                  * self.rng.random())
            if code != -9:
                self.judge.violation(OTHER, f"exit code {code} during recovery")
        return self.start().wait_ready(), kills

    def verify(self, server):
        actor = Actor(self.model, server.port, VERIFIER, self.rng)
        verifier = Verifier(actor, self.rng)
        try:
            verifier.verify()
        except NoAnswer as none:
            self.judge.violation(OTHER, f"verification: {none}")
        finally:
            actor.close()
        return verifier

    def load(self, server):
        """Runs the load and ends the server. Returns how."""
        loads = [Load(self.model, server.port, n,
                      random.Random(f"{self.args.seed} {self.model.cycle} {n}"),
                      without=self.args.without)
                 for n in range(WRITERS + READERS)]
        threads = [threading.Thread(target=load.run, daemon=True,
                                    args=(load.write if n < WRITERS else load.watch,))
                   for n, load in enumerate(loads)]
        for thread in threads:
            thread.start()
        after_s = self.rng.uniform(0.05, 1.5)
        deadline = time.monotonic() + after_s
        while time.monotonic() < deadline and not self.judge.violations and server.alive():
            time.sleep(min(0.02, max(0, deadline - time.monotonic())))
        crashed = not server.alive()
        for load in loads:
            load.stopping.set()
        how = self.end(server, crashed)
        for thread in threads:
            thread.join(60)
            if thread.is_alive():
                self.judge.violation(OTHER, "a client hangs although the server has ended")
        return f"{how} after {after_s:.2f} s"

    def end(self, server, crashed):
        if self.rng.random() < TERMINATED_SHARE and not crashed:
            code = server.terminate()
            if code != 0:
                self.judge.violation(OTHER, f"exit code {code} after SIGTERM; "
                                     f"{server.last_lines()}")
            return "SIGTERM"
        code = server.kill()
        if code != -9:
            self.judge.violation(OTHER, f"the server ended by itself: exit code {code}; "
                                 f"{server.last_lines()}")
        return "SIGKILL"

    def cycle(self, number, load=True):
        self.model.cycle = number
        self.judge.note("cycle", number=number)
        try:
            server, kills = self.started()
        except NotReady as why:
            self.judge.violation(OTHER, f"start: {why}")
            return
        before = self.judge.acknowledged
        how = "end"
        start = time.monotonic()
        verifier = self.verify(server)
        verified_s = time.monotonic() - start
        if load and not self.judge.violations:
            how = self.load(server)
        else:
            code = server.terminate()
            if code != 0:
                self.judge.violation(OTHER, f"exit code {code} after SIGTERM; "
                                     f"{server.last_lines()}")
        streams = sum(1 for name in self.model.names if name.stream and not name.stream.gone)
        print(f"crash: cycle {number}: {kills} killed starts, verified in {verified_s:.2f} s "
              f"({verifier.present} unanswered are there, {verifier.absent} not), "
              f"{self.judge.acknowledged - before} acknowledged, {streams} streams, {how}",
              flush=True)

    def run(self):
        for number in range(1, self.args.cycles + 1):
            self.cycle(number)
            self.judge.flush()
            if self.judge.violations:
                break
        else:
            self.cycle(self.args.cycles + 1, load=False)
        self.judge.flush()
        for kind, text in self.judge.violations[:8]:
            print(f"crash: VIOLATION: {kind}: {text}")
        print(f"crash: {self.judge.summary(self.args.cycles)}", flush=True)
        return not self.judge.violations



def parse(arguments=None):
    root = pathlib.Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=os.environ.get("SLUICE_BINARY",
                                                           str(root / "build" / "sluice")))
    parser.add_argument("--cycles", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dir", help="where to keep data, log and history; default: a new one")
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--acceptors", type=int, default=2)
    parser.add_argument("--server-option", action="append", default=None, metavar="OPTION",
                        help="instead of the small budgets; may be repeated")
    parser.add_argument("--without", nargs="*", default=(), metavar="KIND",
                        help="leave out producer, ttl, or an action: fork, delete, sequence, ...")
    parser.add_argument("--keep", action="store_true", help="keep the folder after success too")
    args = parser.parse_args(arguments)
    if args.server_option is None:
        args.server_option = list(SMALL)
    return args


def main():
    args = parse()
    folder = pathlib.Path(args.dir or tempfile.mkdtemp(prefix="sluice-crash-"))
    folder.mkdir(exist_ok=True)
    good = Driver(args, folder).run()
    if good and not args.keep and not args.dir:
        shutil.rmtree(folder)
    else:
        print(f"crash: seed {args.seed}; kept in {folder}")
    return not good


if __name__ == "__main__":
    sys.exit(main())
