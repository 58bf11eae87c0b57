"""sluice fsck: what it finds in a damaged data directory, and what is left after a repair."""
import json
import pathlib
import re
import struct
import subprocess
import unittest

from case import BINARY, BYTES, ROOT, ToolTest
from disk import BLOCK, COUNT, FRAME, HEADER_CRC, LSN, POSITION, SIZE, crc32c, names_in


class Check(ToolTest):
    def test_says_that_all_is_well(self):
        output = self.sluice("fsck", self.sample)
        self.assertEqual(len(re.findall(r"^shard \d: .* 0 errors$", output, re.M)), 2)
        self.assertNotIn("error:", output)
        self.assertTrue(output.endswith("\nno errors\n"))

    def test_changes_nothing(self):
        before = {p: p.read_bytes() for p in self.sample.rglob("*") if p.is_file()}
        self.sluice("fsck", self.sample)
        self.assertEqual(before, {p: p.read_bytes() for p in self.sample.rglob("*") if p.is_file()})

    def test_looks_at_one_shard(self):
        output = self.sluice("fsck", self.sample, "--shard", 1)
        self.assertIn("shard 1:", output)
        self.assertNotIn("shard 0:", output)

    def test_refuses_what_a_server_has_open(self):
        self.start()
        self.sluice("fsck", self.sample, expected=4)
        self.assertIn("another process", self.errors)

    def test_refuses_another_version(self):
        path = self.sample / "SLUICE"
        good = path.read_bytes()
        for place, value in ((8, 2), (20, 1)):  # the next version; an incompatible feature
            data = bytearray(good)
            for at in (0, BLOCK):
                struct.pack_into("<I", data, at + place, value)
                struct.pack_into("<I", data, at + 68, crc32c(data[at:at + 68]))
            path.write_bytes(data)
            for command in (("fsck",), ("dump",),
                            ("serve", "--listen", "127.0.0.1:0", "--data-dir")):
                self.sluice(*command, self.sample, expected=5)
            self.assertEqual(path.read_bytes(), data)

    def test_refuses_nonsense(self):
        for arguments in ((), ("a", "b"), (self.sample, "--shard"), (self.sample, "--shard", "x"),
                          (self.sample, "--shard", 2), (self.sample, "--cut-at", 1),
                          (self.sample, "--quarantine", "--rebuild-manifest"),
                          (self.sample, "--quarantine", "--shard", 0), (self.sample, "--repair")):
            with self.subTest(arguments=arguments):
                self.sluice("fsck", *arguments, expected=1)

    def test_explains_itself(self):
        for command in ("fsck", "dump", "backup", "restore", "rotate-keys", "serve"):
            self.assertIn(f"sluice {command}", self.sluice("--help"))
            self.assertIn(f"sluice {command}", self.sluice(command, "--help"))


class Log(ToolTest):
    """Damage of the log of shard 0, which holds changes that are in no segment."""

    def setUp(self):
        super().setUp()
        server = self.start(None, "--wal-budget-bytes", 64 << 20)
        client = self.client(server)
        self.content = dict(self.content)
        for i in range(40):
            client.ask("PUT", f"late/{i}", BYTES, b"%d" % i)
            self.content[f"late/{i}"] = b"%d" % i
        server.stop()

    def records(self):
        return [frame for frame in self.frames(0) if frame[2][COUNT] > 0]

    def mark(self):
        return int(re.search(r"shard 0: .* log from LSN (\d+)", self.sluice("fsck", self.sample))[1])

    def test_takes_a_cut_last_write_for_torn(self):
        path, at, last = self.frames(0)[-1]
        body = b"x" * 100
        begin = last[POSITION] + BLOCK
        frame = bytearray(FRAME.pack(0x52464C53, 0, 1, 0, len(body), 1, crc32c(b"other"), last[7],
                                     last[8], begin, last[LSN], last[LSN] - 1, last[12],
                                     last[HEADER_CRC]))
        struct.pack_into("<I", frame, 4, crc32c(bytes(frame[8:])))
        with open(path, "r+b") as file:
            file.seek(at + BLOCK)
            file.write(frame + body)
        output = self.sluice("fsck", self.sample, expected=2)
        self.assertIn("nothing that was acknowledged", output)
        self.assertIn("4096 torn bytes", output)
        self.assertTrue(output.endswith("\nno errors; the next start mends the torn end of the log\n"))
        self.assertServes(self.sample)
        self.sluice("fsck", self.sample)

    def test_cuts_where_the_operator_says(self):
        mark = self.mark()
        path, at, fields = [frame for frame in self.records() if frame[2][LSN] > mark][-2]
        self.flip(path, at + 100)
        output = self.sluice("fsck", self.sample, expected=3)
        self.assertIn(f"{path.name} at {at}", output)
        self.assertIn(f"--cut-at {fields[LSN]}", output)
        with self.assertRaisesRegex(AssertionError, "log_corrupt"):
            self.start()
        output = self.sluice("fsck", self.sample, "--shard", 0, "--cut-at", fields[LSN])
        self.assertIn(f"ends before LSN {fields[LSN]}", output)
        self.assertTrue(list((self.sample / "lost+found").glob(f"shard-00.{path.name}*")))
        server = self.start()
        client = self.client(server)
        whole = [name for name, content in self.content.items()
                 if client.read(name, (200, 404)) == content]
        self.assertGreater(len(whole), len(self.content) // 2)
        client.ask("PUT", "after/the/cut", BYTES, b"new")
        server.stop()
        self.sluice("fsck", self.sample)
        self.assertServes(self.sample, {"after/the/cut": b"new"}, ())

    def test_cuts_at_no_other_place(self):
        mark = self.mark()
        path, at, fields = [frame for frame in self.records() if frame[2][LSN] > mark][-2]
        self.flip(path, at + 100)
        before = path.read_bytes()
        for lsn in (0, mark - 1, fields[LSN] + 1, fields[LSN] + 1000):
            with self.subTest(lsn=lsn):
                self.assertIn("not repaired",
                              self.sluice("fsck", self.sample, "--shard", 0, "--cut-at", lsn, expected=3))
        self.assertEqual(before, path.read_bytes())

    def test_goes_on_without_a_missing_file(self):
        """Of the log that a start reads: what is in segments is still there."""
        self.frames(0)[-1][0].unlink()
        lsn = re.search(r"--cut-at (\d+)", self.sluice("fsck", self.sample, expected=3))[1]
        self.sluice("fsck", self.sample, "--shard", 0, "--cut-at", lsn)
        self.assertServes(self.sample, {}, ())
        self.sluice("fsck", self.sample)

    def test_gives_up_the_whole_log(self):
        segments = {}
        for line in self.sluice("dump", self.sample, "--shard", 0, "--segments").splitlines():
            entry = json.loads(line)
            if entry["kind"] == "entry":
                segments[entry["name"]] = entry["tail"] - entry["base"]
        mark = self.mark()
        output = self.sluice("fsck", self.sample, "--shard", 0, "--cut-at", mark)
        self.assertIn("given up", output)
        for round in range(2):
            server = self.start()
            client = self.client(server)
            for name in segments.keys() & self.content.keys():
                found, size = client.read(name, (200, 404)), segments[name]
                if found is not None:
                    self.assertEqual(found[-size:], self.content[name][:len(found)][-size:])
            client.ask("PUT", f"after/{round}", BYTES, b"new")
            server.stop()
            self.sluice("fsck", self.sample)

    def made(self):
        """By name, the records in the log that made streams."""
        records = map(json.loads, self.sluice("dump", self.sample, "--log").splitlines())
        return {record["name"]: record for record in records if record["kind"] == "create"}

    def assertUsesNoIdAgain(self, made):
        """A fork in another shard may still name an id of one that was cut off."""
        highest = max(record["stream_id"] for record in made.values() if record["shard"] == 0)
        server = self.start(None, "--wal-budget-bytes", 64 << 20)
        client = self.client(server)
        for i in range(20):
            client.ask("PUT", f"new/{i}", BYTES, b"new")
        server.stop()
        ids = [record["stream_id"] for name, record in self.made().items()
               if name.startswith("new/") and record["shard"] == 0]
        self.assertTrue(ids)
        self.assertGreater(min(ids), highest)

    def test_a_torn_end_gives_no_id_again(self):
        """Not even after another start that made no stream."""
        server = self.start(None, "--wal-budget-bytes", 64 << 20)
        client = self.client(server)
        for i in range(20):
            client.ask("PUT", f"torn/{i}", BYTES, b"")
        server.kill()
        made = self.made()
        path, at, fields = self.records()[-1]
        end = at + -(-(FRAME.size + fields[SIZE]) // BLOCK) * BLOCK
        with open(path, "r+b") as file:
            file.seek(end)
            file.write(bytes(path.stat().st_size - end))
        self.flip(path, at + 100)
        self.sluice("fsck", self.sample, expected=2)
        self.start(None, "--wal-budget-bytes", 64 << 20).kill()
        self.assertUsesNoIdAgain(made)

    def test_misses_the_log_that_follows_one_that_was_given_up(self):
        self.sluice("fsck", self.sample, "--shard", 0, "--cut-at", self.mark())
        self.assertMissesItsLog(self.sample)

    def test_forks_do_not_outlive_what_the_cut_took_from_their_sources(self):
        server = self.start(None, "--wal-budget-bytes", 64 << 20)
        client = self.client(server)
        for i in range(40):
            client.ask("PUT", f"source/{i}", BYTES, b"")
            client.ask("POST", f"source/{i}", BYTES, b"one")
            client.ask("PUT", f"heir/{i}", {**BYTES, "Stream-Forked-From": f"{ROOT}source/{i}"})
        server.stop()
        made = self.made()
        last = max(i for i in range(40)
                   if (made[f"source/{i}"]["shard"], made[f"heir/{i}"]["shard"]) == (0, 1))
        append = made[f"source/{last}"]["lsn"] + 1
        output = self.sluice("fsck", self.sample, "--shard", 0, "--cut-at", append, expected=3)
        self.assertIn(f"heir/{last}", names_in(output))
        with self.assertRaisesRegex(AssertionError, "what a fork inherited is not there"):
            self.start()
        output = self.sluice("fsck", self.sample, "--quarantine")
        removed = names_in(output)
        self.assertIn(f"heir/{last}", removed)
        server = self.start()
        client = self.client(server)
        self.assertEqual(client.read(f"source/{last}"), b"")
        for i in range(40):
            source, heir = client.read(f"source/{i}", (200, 404)), client.read(f"heir/{i}", (200, 404))
            self.assertIn(heir, (None, b"one"))
            self.assertTrue(heir is None or source == heir, i)
            self.assertTrue(heir is None or f"heir/{i}" not in removed, i)
        server.stop()
        self.assertUsesNoIdAgain(made)

    def test_a_fork_of_nothing_outlives_its_source(self):
        server = self.start(None, "--wal-budget-bytes", 64 << 20)
        client = self.client(server)
        begin = {"Stream-Fork-Offset": f"{0:016}_{0:016}"}
        for i in range(40):
            client.ask("PUT", f"source/{i}", BYTES, b"one")
            client.ask("PUT", f"heir/{i}", {**BYTES, **begin, "Stream-Forked-From": f"{ROOT}source/{i}"})
        server.stop()
        made = self.made()
        self.sluice("fsck", self.sample, "--shard", 0, "--cut-at", self.mark())
        server = self.start()
        client = self.client(server)
        left = {i for i in range(40) if client.read(f"source/{i}", (200, 404)) is None and
                client.read(f"heir/{i}", (200, 404)) == b""}
        self.assertTrue(left)
        for i in left:
            client.ask("DELETE", f"heir/{i}")
            client.ask("PUT", f"source/{i}", BYTES, b"two")
        server.stop()
        self.assertServes(self.sample, {f"source/{i}": b"two" for i in left}, [f"heir/{i}" for i in left])
        self.assertUsesNoIdAgain(made)


class Segments(ToolTest):
    def test_names_the_bytes_of_a_damaged_chunk(self):
        segment = self.segments(0)[0]
        self.flip(segment, 1000)
        output = self.sluice("fsck", self.sample, expected=3)
        self.assertIn(f"shard-00/{segment.name} at 0", output)
        lost = names_in(output)
        self.assertEqual(len(lost), 1)
        self.assertRegex(output, r"lost: bytes 0 to \d+ of stream")
        self.assertTrue(output.endswith("\nerrors: see above\n"))
        # It stays, and nothing but these bytes is missing.
        output = self.sluice("fsck", self.sample, "--quarantine", expected=3)
        self.assertTrue(segment.exists())
        self.assertNotIn("removing", output)
        heirs = {f"fork/{i}" for i in range(12) if f"plain/{i % 8}" in lost}
        self.assertServes(self.sample, unsure=lost | heirs)
        server = self.start()
        response = self.client(server).ask("GET", lost.pop(), query="?offset=-1", expected=(500,))
        self.assertIn(b"DATA_DAMAGED", response.body)
        server.stop()

    def test_damage_of_a_removed_stream_is_no_loss(self):
        segment = self.segments(0)[0]
        self.flip(segment, 1000)
        (name,) = names_in(self.sluice("fsck", self.sample, expected=3))
        server = self.start()
        client = self.client(server)
        for fork in (f"fork/{i}" for i in range(12) if f"plain/{i % 8}" == name):
            client.ask("DELETE", fork)
        client.ask("DELETE", name)
        server.stop()
        output = self.sluice("fsck", self.sample)
        self.assertIn(f"warning: shard-00/{segment.name} at 0", output)
        self.assertIn("lost: nothing", output)

    def quarantine(self, segment):
        """Takes it out, and some streams, whose names may be gone with it; nothing is served that is
        not whole.
        """
        output = self.sluice("fsck", self.sample, expected=3)
        self.assertIn(segment.name, output)
        with self.assertRaises(AssertionError):
            self.start()
        output = self.sluice("fsck", self.sample, "--quarantine")
        self.assertIn("removing stream", output)
        removed = names_in(output)
        self.assertFalse(segment.exists())
        server = self.start()
        client = self.client(server)
        for name, content in self.content.items():
            found = client.read(name, (200, 404))
            if found is None:
                continue
            self.assertNotIn(name, removed)
            self.assertTrue(found == content, name)
        for name in removed:
            client.ask("HEAD", name, expected=(404,))
            client.ask("PUT", name, BYTES, b"again")
        server.stop()
        self.sluice("fsck", self.sample)
        self.assertServes(self.sample, {name: b"again" for name in removed}, ())

    def test_takes_out_a_segment_without_footer(self):
        segment = self.segments(0)[-1]
        self.flip(segment, -30)
        self.quarantine(segment)
        self.assertTrue((self.sample / "lost+found" / f"shard-00.{segment.name}").exists())

    def test_takes_out_a_segment_with_a_bad_entry_block(self):
        segment = self.segments(1)[0]
        data = segment.read_bytes()
        directory = struct.unpack_from("<Q", data, len(data) - 64 + 32)[0]
        position, size = struct.unpack_from("<QI", data, directory)
        self.flip(segment, position + size // 2)
        self.quarantine(segment)

    def test_goes_on_without_a_missing_segment(self):
        segment = self.segments(0)[0]
        segment.unlink()
        self.quarantine(segment)

    def test_goes_on_without_any_segment(self):
        for segment in self.segments():
            self.flip(segment, -1)
        self.quarantine(segment)

    def test_quarantine_keeps_what_a_crash_left_of_a_flush(self):
        """Neither half a segment nor one that the manifest does not name yet is in its way."""
        segment = self.segments(0)[-1]
        number = int(segment.name[4:], 16)
        unnamed = [segment.with_name(f"seg-{number + n:016x}") for n in range(1, 4)]
        half = [segment.with_name(f"seg-{number + n:016x}.tmp") for n in range(1, 7)]
        for path in unnamed + half:
            path.write_bytes(segment.read_bytes())
        left = segment.read_bytes()
        self.flip(segment, -30)
        removed = names_in(self.sluice("fsck", self.sample, "--quarantine"))
        self.assertTrue(removed)
        for path in unnamed:
            self.assertEqual(path.read_bytes(), left)
        server = self.start()
        client = self.client(server)
        for name in removed:
            client.ask("HEAD", name, expected=(404,))
        server.stop()

    def test_does_not_quarantine_what_is_well(self):
        before = {p: p.read_bytes() for p in self.sample.rglob("*") if p.is_file()}
        self.assertNotIn("removing", self.sluice("fsck", self.sample, "--quarantine"))
        self.assertEqual(before, {p: p.read_bytes() for p in self.sample.rglob("*") if p.is_file()})


class Repairs(ToolTest):
    """The commands that fsck prints, as a shell takes them, lead to a server that starts."""

    def setUp(self):
        super().setUp()
        self.sample = self.sample.rename(self.place / "it's the data")

    def follow(self):
        """Carries out the first repair of each check that is possible, until there is none."""
        shell = {"PATH": f"{pathlib.Path(BINARY).resolve().parent}:/usr/bin:/bin"}
        done = []
        for round in range(4):
            output = self.sluice("fsck", self.sample, expected=(0, 2, 3))
            repairs = re.findall(r"^  repair: (sluice .*)$", output, re.M)
            if not repairs:
                break
            for command in repairs:
                ended = subprocess.run(command, shell=True, env=shell, capture_output=True, text=True)
                done.append((command, ended.stdout))
                if "not repaired" not in ended.stdout:
                    break
        self.assertEqual(repairs, [], done)
        self.start().stop()
        self.sluice("fsck", self.sample)

    def damage_segment(self):
        self.flip(self.segments(0)[0], -30)

    def damage_log(self):
        path, at, _ = [frame for frame in self.frames(0) if frame[2][COUNT] > 0][-2]
        self.flip(path, at + 100)

    def lose_manifest(self):
        (self.sample / "shard-00" / "MANIFEST").unlink()

    def with_late_changes(self):
        server = self.start(None, "--wal-budget-bytes", 64 << 20)
        client = self.client(server)
        for i in range(40):
            client.ask("PUT", f"late/{i}", BYTES, b"%d" % i)
        server.stop()

    def test_of_a_segment(self):
        self.damage_segment()
        self.follow()

    def test_of_a_log(self):
        self.with_late_changes()
        self.damage_log()
        self.follow()

    def test_of_a_manifest(self):
        self.lose_manifest()
        self.follow()

    def test_of_a_segment_and_the_log_of_its_shard(self):
        self.with_late_changes()
        self.damage_segment()
        self.damage_log()
        self.follow()


class Manifest(ToolTest):
    def manifest(self, shard=0):
        return self.sample / f"shard-{shard:02}" / "MANIFEST"

    def test_one_good_copy_is_enough(self):
        self.flip(self.manifest(), 50)
        self.assertIn("warning: shard-00/MANIFEST", self.sluice("fsck", self.sample))
        self.assertServes(self.sample)

    def assertRebuilds(self):
        output = self.sluice("fsck", self.sample, expected=3)
        self.assertIn("error: shard-00/MANIFEST", output)
        self.assertIn("--rebuild-manifest", output)
        with self.assertRaises(AssertionError):
            self.start()
        self.assertIn("shard 0: new manifest", self.sluice("fsck", self.sample, "--rebuild-manifest"))
        self.assertServes(self.sample)
        self.sluice("fsck", self.sample)

    def test_rebuilds_a_damaged_one(self):
        self.flip(self.manifest(), 50)
        self.flip(self.manifest(), BLOCK + 50)
        self.assertRebuilds()
        self.assertTrue((self.sample / "lost+found" / "shard-00.MANIFEST").exists())

    def test_rebuilds_a_missing_one(self):
        self.manifest().unlink()
        self.assertRebuilds()

    def test_an_emptied_shard_is_damage_and_goes_on_empty_when_told_so(self):
        shard = self.manifest().parent
        for path in shard.iterdir():
            path.unlink()
        self.assertIn("lost: everything that was in the shard",
                      self.sluice("fsck", self.sample, expected=3))
        with self.assertRaises(AssertionError):
            self.start()
        self.assertEqual(list(shard.iterdir()), [])
        self.assertIn("it is missing", self.sluice("dump", self.sample, expected=3))
        output = self.sluice("fsck", self.sample, "--shard", 0, "--rebuild-manifest", expected=(0, 3))
        self.assertIn("shard 0: new manifest: 0 segments, log from LSN 1", output)
        heirs = names_in(output)  # in the other shard, if chance has put them there
        self.assertEqual(names_in(self.sluice("fsck", self.sample, "--quarantine")), heirs)
        server = self.start()
        client = self.client(server)
        for heir in heirs:
            client.ask("HEAD", heir, expected=(404,))

    def test_says_what_a_shard_without_manifest_and_log_has_lost(self):
        server = self.start(None, "--wal-budget-bytes", 64 << 20)
        for i in range(8):
            self.client(server).ask("PUT", f"late/{i}", BYTES, b"only in the log")
        server.kill()
        self.manifest().unlink()
        for path in self.manifest().parent.glob("wal-*"):
            path.unlink()
        self.assertIn("lost: the list of segments; every change that only the log had",
                      self.sluice("fsck", self.sample, expected=3))
        self.assertIn("shard 0: there is no log: every change that only it had is lost",
                      self.sluice("fsck", self.sample, "--shard", 0, "--rebuild-manifest"))

    def test_does_not_rebuild_without_any_segment_and_the_begin_of_the_log(self):
        self.manifest().unlink()
        for segment in self.segments(0):
            segment.unlink()
        first = self.frames(0)[0]
        if first[2][LSN] == 1:
            first[0].unlink()
        self.assertIn("not repaired",
                      self.sluice("fsck", self.sample, "--rebuild-manifest", expected=3))
        self.assertFalse(self.manifest().exists())

    def test_tells_of_a_segment_that_is_not_there_when_it_rebuilds(self):
        self.manifest().unlink()
        first = self.segments(0)[0]
        first.rename(self.place / "aside")
        done = subprocess.run([BINARY, "fsck", self.sample, "--rebuild-manifest"],
                              capture_output=True, text=True)
        if self.segments(0):
            self.assertIn(f"segments {first.name[4:]} to", done.stdout)

    def test_does_not_rebuild_with_a_damaged_segment(self):
        self.manifest().unlink()
        self.flip(self.segments(0)[0], -1)
        self.assertIn("not repaired",
                      self.sluice("fsck", self.sample, "--rebuild-manifest", expected=3))


if __name__ == "__main__":
    unittest.main()
