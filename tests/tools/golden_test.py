"""Data directories of every format version so far: today's program reads them, and all is there."""
import json
import pathlib
import subprocess
import tarfile
import tempfile
import unittest

import golden
from case import BINARY, SCRATCH


class Golden(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory(dir=SCRATCH)
        self.addCleanup(self.scratch.cleanup)

    def versions(self):
        """(name, where it is unpacked, what is expected of it) of every version."""
        found = sorted(path.parent for path in golden.FOLDER.glob("v*/expected.json"))
        self.assertTrue(found)
        for version in found:
            place = pathlib.Path(self.scratch.name) / version.name
            with tarfile.open(version / "data.tar.gz") as archive:
                archive.extractall(place)
            with self.subTest(version=version.name):
                yield place, json.loads((version / "expected.json").read_text())

    def check(self, directory, offsets, expected):
        self.maxDiff = None
        for life in (1, 2):
            found = golden.serve_and_observe(directory, offsets)
            for name, stream in expected["streams"].items():
                self.assertEqual(found["streams"][name], stream, f"{name} in life {life}")
            self.assertEqual(found, expected)

    def test_has_everything(self):
        for place, expected in self.versions():
            self.check(place / "data", expected["offsets"]["data"], expected["seen"]["data"])

    def test_a_backup_can_be_restored(self):
        for place, expected in self.versions():
            golden.sluice("restore", place / "backup", place / "restored")
            self.check(place / "restored", expected["offsets"]["backup"],
                       expected["seen"]["backup"])

    def test_fsck_finds_nothing_wrong(self):
        for place, _ in self.versions():
            done = subprocess.run([BINARY, "fsck", place / "data"], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_one_bit_makes_a_difference(self):
        """The comparison sees what it is there to see."""
        for place, expected in self.versions():
            segment = max((place / "data").rglob("seg-*"), key=lambda path: path.stat().st_size)
            content = bytearray(segment.read_bytes())
            content[content.find(b"0123456789")] ^= 1
            segment.write_bytes(content)
            with self.assertRaises(AssertionError):
                self.check(place / "data", expected["offsets"]["data"], expected["seen"]["data"])


if __name__ == "__main__":
    unittest.main()
