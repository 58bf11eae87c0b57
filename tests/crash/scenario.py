"""A short scripted life of a server, in three starts; what happens in the second is the test.

First start: a little data, then SIGKILL, so that the second one has to recover. Second start, with
preload.c: the script, which makes every kind of change and enough data for flush, recycling and
compaction. Third start: everything that was acknowledged or shown must be there.
"""
import random
import re
import shutil

import preload
import records
from actor import FAULT_REFUSALS, USUAL_REFUSALS, Actor, NoAnswer, producer_of
from client import Broken, Client
from http1 import wait_until
from model import OTHER, Judge, Model
from process import NotReady, Process
from verifier import Verifier, retry

# The smallest there are: the second start then writes some files, and flushes some times.
TINY = ("--shards", 2, "--acceptors", 1, "--max-body-bytes", 400_000, "--wal-file-bytes", 1 << 20,
        "--wal-budget-bytes", 1 << 20, "--memory-budget-bytes", 16 << 20)
LARGE_BYTES = 150_000
EXIT_WAIT_S = 10
SPACE_WAIT_S = 10
FULL = re.compile(rb"^sluice_shard_disk_full\{.*\} 1$", re.MULTILINE)
WRITER, VERIFIER = 0, 1


class Round:
    """One run of the scenario in a folder of its own."""

    def __init__(self, binary, folder, library, options=TINY, without=()):
        self.binary, self.folder, self.shim, self.options = binary, folder, library, options
        self.without = without  # actions to leave out, to narrow a failure down
        self.data, self.log = folder / "data", folder / "calls.log"
        self.data.mkdir(parents=True)
        self.judge = Judge(folder / "history.jsonl")
        self.model = Model(self.judge, 8, f"/v1/stream/{folder.parent.name}-{folder.name}/")
        self.stopped = False  # the script did not come to its end
        self.refused = set()  # codes that changes were answered with, instead of an outcome

    def start(self, environment=None):
        return Process(self.binary, self.data, self.options, self.folder / "server.log",
                       environment)

    def run(self, may_die=False, may_fail=False, **settings):
        """All three starts. `settings`: of preload.environment. Returns the calls of the second."""
        self.first()
        if not self.judge.violations:
            self.second(may_die, may_fail, settings)
        if not self.judge.violations:
            self.third()
        self.judge.flush()
        return preload.read_log(self.log)

    def actor(self, server, writer, tolerant=False):
        refusals = FAULT_REFUSALS if tolerant else USUAL_REFUSALS
        return Actor(self.model, server.port, writer, random.Random(1), refusals, tolerant,
                     timeout_s=20)

    def first(self):
        server = self.start().wait_ready()
        actor = self.actor(server, WRITER)
        try:
            self.steps(actor, list(FIRST))
        finally:
            actor.close()
            server.kill()

    def second(self, may_die, may_fail, settings):
        environment = preload.environment(self.shim, self.data, self.log, **settings)
        server = self.start(environment)
        try:
            server.wait_ready()
        except NotReady as why:
            killed = may_die and why.code == -9
            if not killed and not (may_fail and why.code is not None and why.code >= 0):
                self.judge.violation(OTHER, f"second start: {why}")
            return
        actor = self.actor(server, WRITER, tolerant=may_die or may_fail)
        self.steps(actor, list(SECOND))
        actor.close()
        self.end(server, may_die, may_fail, settings)

    def end(self, server, may_die, may_fail, settings):
        code = None
        if self.stopped and may_die:
            code = server.wait(EXIT_WAIT_S)
            if code is None:
                self.judge.violation(OTHER, "it stopped answering, but did not die")
        elif server.alive():
            if may_fail:
                self.check_health(server, writes=not settings["fail"].startswith("read"))
            code = server.terminate()
            if code is None:
                self.judge.violation(OTHER, "it does not end after SIGTERM")
        else:
            code = server.wait(EXIT_WAIT_S)
        if code is not None and not (code == 0 or (may_die and code == -9)
                                     or (may_fail and code > 0 and code < 128)):
            self.judge.violation(OTHER, f"exit code {code}: {server.last_lines()}")

    def check_health(self, server, writes):
        """A server whose disk fails lives, and says when it can write no more."""
        client = Client(server.port, 10)
        try:
            if client.call("GET", "/healthz").status != 200:
                self.judge.violation(OTHER, "/healthz is not 200")
            failed = writes and "STORAGE_FAILED" in self.refused
            if failed and client.call("GET", "/readyz").status != 503:
                self.judge.violation(OTHER, "a write has failed, but /readyz is not 503")
        except Broken as broken:
            self.judge.violation(OTHER, f"health: {broken}")
        finally:
            client.close()

    def await_space(self, client):
        """What failed before may have kept the log from being released until it was as large as it
        may get. The first flush makes room; only the metrics tell when.
        """
        try:
            wait_until(lambda: not FULL.search(client.call("GET", "/metrics").body), SPACE_WAIT_S)
        except AssertionError:
            self.judge.violation(OTHER, "there is no room in the log, with a disk that works")

    def third(self):
        try:
            server = self.start().wait_ready()
        except NotReady as why:
            self.judge.violation(OTHER, f"third start: {why}")
            return
        actor = self.actor(server, VERIFIER)
        try:
            self.await_space(actor.client)
            Verifier(actor, random.Random(1)).verify()
            if not self.judge.violations:
                self.steps(actor, list(THIRD))
                Verifier(actor, random.Random(1)).verify()
        except NoAnswer as none:
            self.judge.violation(OTHER, f"verification: {none}")
        actor.close()
        code = server.terminate()
        if code != 0:
            self.judge.violation(OTHER, f"third start: exit code {code}: {server.last_lines()}")

    def steps(self, actor, steps):
        """Runs them until the connection is gone for good."""
        script = Script(self.model, actor)
        for action, *arguments in steps:
            if self.judge.violations:
                return
            if action in self.without:
                continue
            try:
                getattr(script, action)(*arguments)
            except NoAnswer as none:
                if action != "look":
                    self.refused.add(str(none))
                if none.broken and not self.may_go_on(actor):
                    self.stopped = True
                    return

    @staticmethod
    def may_go_on(actor):
        """A failing server may cut a connection; is it still there?"""
        client = Client(actor.port, 5)
        try:
            return client.call("GET", "/healthz").status == 200
        except Broken:
            return False
        finally:
            client.close()

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)


class Script:
    """The actions of the script; those that are impossible by now do nothing."""

    def __init__(self, model, actor):
        self.model, self.actor = model, actor

    def stream(self, index):
        stream = self.model.names[index].stream
        return stream if stream is not None and not stream.gone and stream.state == "live" else None

    def is_free(self, index):
        stream = self.model.names[index].stream
        return stream is None or (stream.gone and not stream.may_be_referenced())

    def maker(self, content_type, size):
        def make(tag):
            if content_type != records.JSON:
                record = records.bytes_record(tag, size, content_type)
                return record, record
            messages = [records.json_message(tag, max(60, size // 3)) for _ in range(3)]
            make.boundaries = [sum(len(m) + 1 for m in messages[:n + 1]) for n in range(3)]
            return b"[" + b",".join(messages) + b"]", b",".join(messages) + b","
        return make

    def create(self, index, content_type, size=0, **options):
        if self.is_free(index):
            make = self.maker(content_type, size) if size else None
            self.actor.create(self.model.names[index], content_type, make, **options)

    def append(self, index, size=100, closes=False, seq=None):
        stream = self.stream(index)
        if stream is not None:
            make = self.maker(stream.content_type, size)
            self.actor.append(self.model.new_operation(stream, self.actor.writer, make,
                                                       closes=closes, seq=seq))

    def fill(self, index, count):
        for _ in range(count):
            self.append(index, LARGE_BYTES)

    def produce(self, index, size=100, bump=False):
        stream = self.stream(index)
        if stream is None:
            return
        producer = producer_of(stream, "p")
        if producer.retry is not None:
            retry(self.actor, stream, producer)
            return
        epoch, seq = (producer.epoch + 1, 0) if bump else (producer.epoch, producer.seq + 1)
        operation = self.model.new_operation(stream, self.actor.writer,
                                             self.maker(stream.content_type, size),
                                             producer=(producer, epoch, seq))
        self.actor.append_as(producer, operation)

    def fork(self, index, source_index, sub=0, size=0):
        source = self.stream(source_index)
        if source is None or not self.is_free(index):
            return
        point = None
        first = source.placed.get(source.boundaries[0])
        if sub and first is not None and not source.json:
            anchor = source.boundaries[0]
            point = anchor, sub, anchor + min(sub, first.size)
            point = anchor, min(sub, first.size), point[2]
        make = self.maker(source.content_type, size) if size else None
        self.actor.fork(self.model.names[index], source, point, make)

    def close(self, index):
        if self.stream(index) is not None:
            self.actor.close_stream(self.stream(index))

    def delete(self, index):
        if self.stream(index) is not None:
            self.actor.delete(self.stream(index))

    def look(self, index):
        stream = self.stream(index)
        if stream is not None:
            self.actor.head(stream)
            at = -1
            while True:
                response = self.actor.read(stream, at)
                if response.status != 200 or response["stream-up-to-date"]:
                    return
                at = stream.tail if at == -1 else at
                at = int(response["stream-next-offset"][17:])


FIRST = (
    ("create", 0, records.BYTES, 500), ("create", 1, records.JSON), ("append", 0), ("append", 1),
    ("produce", 1), ("fork", 2, 0), ("append", 2), ("create", 3, records.TEXT, 40), ("close", 3),
    ("create", 6, records.TEXT), ("append", 6, 10, False, "001"), ("delete", 6),
)

SECOND = (
    ("append", 0), ("produce", 0), ("produce", 0), ("produce", 1, 100, True), ("look", 0),
    ("append", 1, 700), ("append", 1, 10, False, "005"), ("fork", 4, 0, 7, 50), ("append", 4),
    ("fill", 0, 6), ("delete", 0), ("append", 2), ("delete", 3), ("create", 3, records.BYTES, 300),
    ("fill", 3, 7), ("produce", 3), ("close", 4), ("look", 1), ("create", 5, records.TEXT, 50),
    ("append", 5, 90, True), ("fill", 1, 4), ("fill", 3, 6), ("fork", 6, 2), ("delete", 2),
    ("append", 6), ("look", 3), ("look", 4), ("delete", 4), ("fill", 6, 8), ("produce", 1),
    ("delete", 6), ("fill", 1, 6), ("look", 1), ("look", 5), ("create", 7, records.JSON, 200),
)

# Life goes on: whatever state was recovered can be written to.
THIRD = (
    ("append", 1), ("append", 2), ("append", 3), ("append", 4), ("produce", 1), ("produce", 3),
    ("delete", 1), ("create", 1, records.BYTES, 100), ("fork", 7, 3), ("append", 7),
)
