#!/usr/bin/env python3
"""Damages a data directory in one place, and sees what fsck says and what a server makes of it.

Every case takes a copy of a sample (see sample.py), damages it, and starts a server. It may refuse
with exit code 3 or 5 and say what is damaged where; else every stream is byte for byte what it was,
or a read of it ends with an error. Nothing else: no wrong byte, no shorter stream, no stream that
is not there or back again, no forgotten producer. fsck has to agree.

The one exception is the blind spot that the README names: after a kill, nothing stands behind the
end of the log. When its last frames are damaged to the very last one, the changes in them may be
gone, the newest first.
"""
import argparse
import collections
import concurrent.futures
import os
import pathlib
import pickle
import random
import re
import shutil
import subprocess
import sys
import tempfile

import records
from client import Broken, Client, code_of
from process import NotReady, Process
from rot import Damage
from sample import LARGE_LOG, ROOT, SHARDS, Sample, State, copy, producer

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "tools"))
from disk import COUNT, FRAME, SIZE, frames_in, names_in  # noqa: E402

WELL, TORN, CORRUPT, VERSION = 0, 2, 3, 5  # exit codes
SAYS_WHERE = re.compile(r"file=\S+ position=\d+|the file SLUICE|a shard's directory is missing")


# ---- what a server shows ----

class Damaged:
    """A read that ended with an error after this content."""

    def __init__(self, content):
        self.content = content

    def __repr__(self):
        return f"{len(self.content)} bytes, then an error"


class Unexpected(Exception):
    """The rule is broken."""


def look(client, name):
    """A State, None, or a Damaged."""
    offset, content, closed = "-1", b"", False
    while True:
        try:
            response = client.call("GET", f"{ROOT}{name}?offset={offset}")
        except Broken as broken:
            response = broken.response
            if response is None:
                raise Unexpected(f"{name}: {broken.why}") from None
            is_json = response["content-type"] == records.JSON
            return Damaged(content + response.body[is_json:])
        if response.status in (404, 410) and offset == "-1":
            return None
        if response.status == 500 and code_of(response) == "DATA_DAMAGED":
            return Damaged(content)
        if response.status != 200:
            raise Unexpected(f"{name}: {response}")
        body = response.body
        if response["content-type"] == records.JSON:
            body = body[1:-1] + (b"," if len(body) > 2 else b"")
        content += body
        closed = response["stream-closed"] is not None
        offset = response["stream-next-offset"]
        if response["stream-up-to-date"]:
            return State(response["content-type"], content, len(content), closed)


def matches(seen, state):
    if isinstance(seen, Damaged):
        return state is not None and state.content().startswith(seen.content)
    return seen == state


# ---- one case ----

class Case:
    """`run()` returns what became of it, or raises Unexpected."""

    def __init__(self, args, sample, folder, number):
        self.args, self.sample, self.number = args, sample, number
        self.data, self.log = folder / "data", folder / "server.log"
        self.text = self.damage(self.data)

    def damage(self, directory):
        """Makes the damaged copy. Returns what is damaged: always the same."""
        copy(self.sample.data, directory)
        rng = random.Random(f"{self.args.seed} {self.number}")
        return Damage(self.sample, directory, rng).text

    def run(self):
        fsck = subprocess.run([self.args.binary, "fsck", self.data], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.expect(fsck.returncode in (WELL, TORN, CORRUPT, VERSION),
                    f"fsck: {fsck.returncode}: {fsck.stdout}")
        losable = [self.losable(shard) for shard in range(SHARDS)]
        server = Process(self.args.binary, self.data, LARGE_LOG, self.log)
        try:
            server.wait_ready()
        except NotReady as why:
            self.expect(why.code in (CORRUPT, VERSION), f"start: {why}")
            self.expect(SAYS_WHERE.search(self.log.read_text()), f"it does not say where: {why}")
            self.expect(fsck.returncode == why.code,
                        f"fsck {fsck.returncode}, start {why.code}: {fsck.stdout} {why}")
            return "refused"
        client = Client(server.port)
        try:
            outcome = self.judge(client, losable, fsck)
        finally:
            client.close()
            code = server.kill()
        self.expect(code == -9, f"it died: {code}: {server.last_lines()}")
        return outcome

    def expect(self, condition, text):
        if not condition:
            raise Unexpected(text)

    def losable(self, shard):
        """How many records lie in frames behind which nothing is whole. None may be lost after a
        clean end, which says how far the log went."""
        if not self.sample.killed:
            return 0
        count = 0
        for path, at, fields in reversed(frames_in(self.sample.data, shard)):
            size = FRAME.size + fields[SIZE]
            other = self.data / path.relative_to(self.sample.data)
            if other.exists() and other.read_bytes()[at:at + size] == (
                    path.read_bytes()[at:at + size]):
                break
            count += fields[COUNT]
        return count

    def judge(self, client, losable, fsck):
        """Compares all streams. The last changes may be missing where they are losable."""
        seen = {name: look(client, name) for name in self.sample.history}
        damaged = {name for name, state in seen.items() if isinstance(state, Damaged)}
        expected = {name: states[-1] for name, states in self.sample.history.items()}
        missing = 0
        for shard in range(SHARDS):
            missing += self.undo_missing(shard, seen, expected, losable[shard])
        for name, state in expected.items():
            self.expect(matches(seen[name], state),
                        f"{name}: is {seen[name]}, was {state}; shard "
                        f"{self.sample.shard_of.get(name)}, {missing} changes are missing")
        self.compare_with_fsck(fsck, seen, damaged)
        if not damaged and not missing:
            self.ask_producers(client, seen)
        return "damaged" if damaged else "shortened" if missing else "whole"

    def compare_with_fsck(self, fsck, seen, damaged):
        """The same streams are damaged, but for those that inherited the damage."""
        named = names_in(fsck.stdout)
        for name in named - damaged:  # a source that is kept for its forks is shown to nobody
            self.expect(seen[name] is None, f"{name} is whole, but fsck says: {fsck.stdout}")
        for name in damaged:
            ancestor = name
            while ancestor is not None and ancestor not in named:
                ancestor = self.sample.sources.get(ancestor)
            self.expect(ancestor, f"{name} is damaged, but fsck says: {fsck.stdout}")
        faults = [line for line in fsck.stdout.splitlines() if line.startswith("error:")]
        self.expect(all("/seg-" in line for line in faults),
                    f"it starts, but fsck says: {fsck.stdout}")
        self.expect((fsck.returncode == CORRUPT) == bool(faults), f"fsck: {fsck.returncode}: "
                    f"{fsck.stdout}")

    def undo_missing(self, shard, seen, expected, losable):
        """Takes back as many of the shard's last changes as are missing. Returns their number."""
        def differs():
            return [name for name in names if not matches(seen[name], expected[name])]
        names = [name for name in seen if self.sample.shard_of.get(name) == shard]
        depth = collections.Counter()
        missing = 0
        changes = [name for name in self.sample.changes if name in names]
        while differs() and missing < losable:
            name = changes.pop()
            missing += 1
            depth[name] += 1
            expected[name] = self.sample.history[name][-1 - depth[name]]
        return missing

    def ask_producers(self, client, seen):
        for name, seq in self.sample.producers.items():
            state = seen[name]
            if state is not None and not state.closed:
                headers = {"Content-Type": state.content_type, **producer(seq)}
                response = client.call("POST", ROOT + name, headers, b"1")
                self.expect(response.status == 204, f"{name}: producer {seq}: {response}")


class Run:
    def __init__(self, args):
        self.args = args
        self.folder = pathlib.Path(args.dir or tempfile.mkdtemp(
            prefix="sluice-damage-", dir=pathlib.Path(args.binary).resolve().parent))
        self.folder.mkdir(exist_ok=True)
        self.samples = [self.sample(killed) for killed in (True, False)]

    def sample(self, killed):
        """One of before, or a new one: what it holds is the same, but not where it lies."""
        folder = self.folder / ("killed" if killed else "stopped")
        saved = folder / "sample.pickle"
        if saved.exists():
            return pickle.loads(saved.read_bytes())
        sample = Sample(self.args.binary, folder, self.args.seed, killed)
        saved.write_bytes(pickle.dumps(sample))
        return sample

    def case(self, number):
        """Returns the outcome."""
        folder = self.folder / f"case-{number}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        case = Case(self.args, self.samples[number % 2], folder, number)
        name = f"case {number}, {'stopped' if number % 2 else 'killed'}, {case.text}"
        try:
            outcome = case.run()
        except (Unexpected, Broken, AssertionError) as why:
            case.damage(folder / "before-the-start")
            print(f"crash/damage: {name}: VIOLATION: {why}; kept in {folder}", flush=True)
            return "failed"
        if self.args.verbose:
            print(f"crash/damage: {name}: {outcome}", flush=True)
        shutil.rmtree(folder)
        return outcome

    def run(self):
        numbers = range(self.args.runs) if self.args.only is None else [self.args.only]
        with concurrent.futures.ThreadPoolExecutor(self.args.jobs) as pool:
            outcomes = collections.Counter(pool.map(self.case, numbers))
        failed = outcomes["failed"]
        if failed:
            print(f"crash/damage: seed {self.args.seed}; kept in {self.folder}")
        elif not self.args.dir:
            shutil.rmtree(self.folder)
        print(f"crash/damage: {len(numbers)} damages: {outcomes['refused']} refused, "
              f"{outcomes['damaged']} answered with an error, {outcomes['whole']} whole, "
              f"{outcomes['shortened']} without the last changes before the kill, {failed} failed",
              flush=True)
        return failed > 0


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=os.environ.get(
        "SLUICE_BINARY", str(REPOSITORY / "build" / "sluice")))
    parser.add_argument("--runs", type=int, default=1000, help="how many damages")
    parser.add_argument("--seed", type=int, default=1, help="of the samples and of the damages")
    parser.add_argument("--jobs", type=int, default=2, help="cases at a time")
    parser.add_argument("--dir", help="where to keep the samples; those of before are used again")
    parser.add_argument("--only", type=int, metavar="N", help="only case N; with --dir the same")
    parser.add_argument("--verbose", action="store_true", help="a line per case")
    return Run(parser.parse_args()).run()


if __name__ == "__main__":
    sys.exit(main())
