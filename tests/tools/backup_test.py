"""sluice backup and restore: what was acknowledged is there again, byte for byte."""
import os
import random
import resource
import shutil
import stat
import threading
import time
import unittest

from case import BYTES, ROOT, Client, ToolTest, bytes_of

CHUNK_HEADER_BYTES = 32


class Load(threading.Thread):
    """Appends numbered messages to streams of its own, makes forks of them and deletes some of the forks."""

    STREAM_MESSAGES = 100
    MESSAGE_SIZE = 2008

    def __init__(self, server, number):
        super().__init__()
        self.client = Client(server)
        self.name = f"load/{number}"
        self.acknowledged = 0
        self.forks = {}  # name: (number of its source, messages in it)
        self.ending = threading.Event()
        self.began = threading.Event()
        self.error = None

    def content(self, stream, count):
        first = stream * self.STREAM_MESSAGES
        return b"".join(b"%08d" % i + bytes_of(f"{self.name} {i}", self.MESSAGE_SIZE - 8)
                        for i in range(first, first + count))

    def step(self, i):
        stream, at = divmod(i, self.STREAM_MESSAGES)
        source = f"{self.name}/{stream}"
        if at == 0:
            self.client.ask("PUT", source, BYTES, b"")
        message = b"%08d" % i + bytes_of(f"{self.name} {i}", self.MESSAGE_SIZE - 8)
        self.client.ask("POST", source, BYTES, message)
        self.acknowledged = i + 1
        if i % 5 == 0:
            fork = f"{self.name}/fork/{i}"
            self.client.ask("PUT", fork, {**BYTES, "Stream-Forked-From": ROOT + source})
            self.forks[fork] = (stream, at + 1)
        if i % 25 == 24:
            fork = f"{self.name}/fork/{i - 14}"
            self.forks.pop(fork)
            self.client.ask("DELETE", fork)
        if i == 20:
            self.began.set()

    def run(self):
        try:
            i = 0
            while not self.ending.is_set():
                self.step(i)
                i += 1
        except BaseException as error:
            self.error = error
            self.began.set()


class Backup(ToolTest):
    def setUp(self):
        super().setUp()
        self.backup, self.restored = self.place / "backup", self.place / "restored"

    def restore(self):
        output = self.sluice("restore", self.backup, self.restored)
        self.assertIn("copying", output)
        self.sluice("fsck", self.restored)

    def test_of_a_server_that_is_stopped(self):
        self.assertIn("backup complete", self.sluice("backup", self.sample, self.backup))
        self.assertServes(self.sample)
        self.restore()
        self.assertServes(self.restored)
        # A second life, with a log of its own.
        self.assertServes(self.restored)
        self.sluice("fsck", self.restored)

    def test_what_is_restored_misses_its_log(self):
        self.sluice("backup", self.sample, self.backup)
        self.restore()
        self.assertMissesItsLog(self.restored)

    def test_says_that_a_file_may_not_be_as_large(self):
        self.sluice("backup", self.sample, self.backup)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_FSIZE, before)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10000, before[1]))
        self.sluice("restore", self.backup, self.restored, expected=6)
        self.assertIn("File too large", self.errors)

    def test_of_a_server_that_runs(self):
        server = self.start()
        self.sluice("backup", self.sample, self.backup)
        self.client(server).ask("DELETE", "large")
        server.stop()
        self.restore()
        self.assertServes(self.restored)

    def test_has_what_was_acknowledged_under_load(self):
        server = self.start()
        loads = [Load(server, i) for i in range(4)]
        for load in loads:
            load.start()
        for load in loads:
            load.began.wait()
        for round in range(3):
            before = [(load, load.acknowledged, dict(load.forks)) for load in loads]
            backup, restored = self.place / f"backup{round}", self.place / f"restored{round}"
            self.sluice("backup", self.sample, backup)
            self.sluice("restore", backup, restored)
            self.sluice("fsck", restored)
            after = {load: dict(load.forks) for load in loads}
            self.assertLoaded(restored, before, after)
        for load in loads:
            load.ending.set()
        for load in loads:
            load.join()
            self.assertIsNone(load.error)
            load.client.close()
        server.stop()
        self.sluice("fsck", self.sample)

    def assertLoaded(self, directory, before, after):
        server = self.start(directory)
        client = self.client(server)
        for name, content in self.content.items():
            self.assertTrue(client.read(name) == content, name)
        for load, acknowledged, forks in before:
            for stream in range(acknowledged // load.STREAM_MESSAGES + 1):
                least = min(acknowledged - stream * load.STREAM_MESSAGES, load.STREAM_MESSAGES)
                if least == 0:
                    continue
                found = client.read(f"{load.name}/{stream}")
                count = len(found) // load.MESSAGE_SIZE
                self.assertGreaterEqual(count, least)
                self.assertTrue(found == load.content(stream, count), f"{load.name}/{stream}")
            # A fork that is deleted meanwhile is there or not.
            left = sorted(forks.keys() & after[load].keys())
            for fork in left[-5:] + random.sample(left, min(5, len(left))):
                stream, count = forks[fork]
                self.assertTrue(client.read(fork) == load.content(stream, count), fork)
            client.ask("POST", f"{load.name}/0", BYTES, b"it goes on")
        server.stop()

    def test_forks_outlive_their_sources(self):
        server = self.start()
        client = self.client(server)
        for i in range(8):
            client.ask("DELETE", f"plain/{i}")
        self.sluice("backup", self.sample, self.backup)
        server.stop()
        self.restore()
        forks = {name: content for name, content in self.content.items() if "fork/" in name}
        self.assertServes(self.restored, forks, [f"plain/{i}" for i in range(8)])

    def test_stays_whole_when_the_server_goes_on(self):
        """What the server gives back of its disk is not taken from the backup."""
        server = self.start(None, "--wal-budget-bytes", 64 << 20)
        client = self.client(server)
        content = {f"more/{i}": bytes_of(f"more/{i}", 390000) for i in range(16)}
        for name in content:
            client.ask("PUT", name, BYTES, content[name])
        self.sluice("backup", self.sample, self.backup)
        sizes = {path: path.stat().st_size for path in self.backup.rglob("seg-*")}
        # Only large files are cut in steps; what has nothing but tombstones may stay.
        large = [path for path, size in sizes.items() if size > 2 << 20]
        self.assertTrue(large)
        for name in [*self.content, *content]:
            client.ask("DELETE", name)
        self.sluice("backup", self.sample, self.place / "another")
        old = [self.sample / path.relative_to(self.backup) for path in large]
        deadline = time.monotonic() + 30
        while any(path.exists() for path in old) and time.monotonic() < deadline:
            time.sleep(0.1)  # files are freed in the background, and nothing says when
        self.assertFalse([path for path in old if path.exists()])
        server.stop()
        self.assertEqual(sizes, {path: path.stat().st_size for path in self.backup.rglob("seg-*")})
        self.restore()
        self.assertServes(self.restored, {**self.content, **content})

    def test_has_a_history_of_its_own(self):
        server = self.start()
        tag = self.client(server).ask("GET", "closed", query="?offset=-1")["etag"]
        self.sluice("backup", self.sample, self.backup)
        server.stop()
        self.restore()
        server = self.start(self.restored)
        self.assertNotEqual(tag, self.client(server).ask("GET", "closed", query="?offset=-1")["etag"])
        server.stop()

    def test_says_that_it_is_whole(self):
        output = self.sluice("backup", self.sample, self.backup)
        self.assertIn("backup checked", output)
        self.assertIn("0 errors", output)
        output = self.sluice("backup", self.sample, self.place / "b", "--no-check")
        self.assertNotIn("checked", output)

    def test_says_that_it_has_the_damage_of_what_it_was_made_of(self):
        self.flip(self.segments(0)[0], CHUNK_HEADER_BYTES)
        for serves in (False, True):
            server = self.start() if serves else None
            backup = self.place / f"backup{serves}"
            output = self.sluice("backup", self.sample, backup, expected=3)
            self.assertRegex(output, r"error: shard-00/seg-\S+ at 0: a chunk is damaged")
            self.assertIn("the backup is durable, but damaged", self.errors)
            self.sluice("restore", backup, self.place / f"restored{serves}")
            if serves:
                server.stop()
        self.sluice("backup", self.sample, self.backup, "--no-check")

    def test_can_be_restored_twice(self):
        self.sluice("backup", self.sample, self.backup)
        self.restore()
        shutil.rmtree(self.restored)
        self.restore()
        self.assertServes(self.restored)


class Refusals(ToolTest):
    def setUp(self):
        super().setUp()
        self.backup = self.place / "backup"

    def test_the_destination_is_empty(self):
        self.backup.mkdir()
        self.sluice("backup", self.sample, self.backup)
        before = sorted(self.backup.rglob("*"))
        server = self.start()
        self.sluice("backup", self.sample, self.backup, expected=1)
        self.assertIn("not empty", self.errors)
        server.stop()
        self.sluice("backup", self.sample, self.backup, expected=1)
        self.assertEqual(before, sorted(self.backup.rglob("*")))
        self.sluice("restore", self.backup, self.sample, expected=1)
        self.assertIn("not empty", self.errors)
        self.assertServes(self.sample)

    def test_the_parent_of_the_destination_is_there(self):
        self.sluice("backup", self.sample, self.backup)
        nowhere = self.place / "nothing" / "backup"
        self.sluice("restore", self.backup, nowhere, expected=1)
        self.assertIn("its parent has to be there", self.errors)
        self.sluice("backup", self.sample, nowhere, expected=1)
        self.assertIn("its parent has to be there", self.errors)
        server = self.start()
        self.sluice("backup", self.sample, nowhere, expected=1)
        self.assertIn("its parent has to be there", self.errors)
        server.stop()
        self.assertFalse(nowhere.parent.exists())

    def test_the_destination_is_outside_of_what_it_is_made_of(self):
        for inside in (self.sample / "backup", self.sample / "shard-00" / "backup/",
                       self.sample / ".." / self.sample.name / "backup"):
            self.sluice("backup", self.sample, inside, expected=1)
            self.assertIn("it is inside of the data directory", self.errors)
            self.assertFalse(inside.exists())
        self.sluice("backup", self.sample, f"{self.sample}-backup")

    def test_a_server_does_not_start_on_a_backup(self):
        self.sluice("backup", self.sample, self.backup)
        with self.assertRaisesRegex(AssertionError, "sluice restore"):
            self.start(self.backup)
        self.sluice("fsck", self.backup, expected=1)
        self.sluice("restore", self.backup, self.place / "restored")

    def test_an_incomplete_backup_is_not_restored(self):
        self.sluice("backup", self.sample, self.backup)
        (self.backup / "SLUICE.backup").unlink()
        self.sluice("restore", self.backup, self.place / "restored", expected=1)
        self.assertIn("no complete backup", self.errors)
        self.assertFalse((self.place / "restored").exists())

    def test_a_failed_restore_says_so(self):
        self.sluice("backup", self.sample, self.backup)
        next(self.backup.rglob("seg-*")).unlink()
        restored = self.place / "restored"
        self.sluice("restore", self.backup, restored, expected=3)
        self.assertIn("Remove it", (restored / "INCOMPLETE").read_text())
        self.assertFalse(list(restored.rglob("seg-*")))
        with self.assertRaises(AssertionError):
            self.start(restored)

    def test_a_data_directory_is_there(self):
        self.sluice("backup", self.place / "nothing", self.backup, expected=1)
        self.assertFalse(self.backup.exists())
        self.assertFalse((self.place / "nothing").exists())

    def test_corrupt_data_is_not_backed_up(self):
        self.flip(self.segments(0)[0], -1)
        self.sluice("backup", self.sample, self.backup, expected=3)
        self.assertFalse(self.backup.exists())


class ControlSocket(ToolTest):
    def socket(self, directory):
        return directory / "control.sock"

    def test_is_only_for_the_owner_and_goes_with_the_server(self):
        server = self.start()
        status = os.stat(self.socket(self.sample))
        self.assertTrue(stat.S_ISSOCK(status.st_mode))
        self.assertEqual(stat.S_IMODE(status.st_mode), 0o600)
        server.stop()
        self.assertFalse(self.socket(self.sample).exists())

    def test_replaces_that_of_a_killed_server(self):
        self.start().kill()
        self.assertTrue(self.socket(self.sample).exists())
        server = self.start()
        self.sluice("backup", self.sample, self.place / "backup")
        server.stop()

    def test_of_a_killed_server_is_no_obstacle(self):
        self.start().kill()
        self.sluice("backup", self.sample, self.place / "backup")

    def test_works_at_the_end_of_a_long_path(self):
        deep = self.place / ("x" * 100) / ("y" * 100)
        deep.mkdir(parents=True)
        shutil.move(self.sample, deep / "data")
        server = self.start(deep / "data")
        self.sluice("backup", deep / "data", self.place / "backup")
        server.stop()


if __name__ == "__main__":
    unittest.main()
