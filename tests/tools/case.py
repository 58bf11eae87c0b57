"""What the tests of the operator's commands share: a data directory with everything in it, and ways to damage it."""
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "wire"))
from http1 import Connection  # noqa: E402
from server import BINARY, Server  # noqa: E402
from disk import frames_in  # noqa: E402

ROOT = "/v1/stream/"
BYTES = {"Content-Type": "application/octet-stream"}
JSON = {"Content-Type": "application/json"}
SMALL = ("--shards", 2, "--acceptors", 2, "--wal-file-bytes", 1 << 20, "--wal-budget-bytes", 1 << 20,
         "--max-body-bytes", 400000)
SCRATCH = pathlib.Path(BINARY).resolve().parent
TIMEOUT_S = 60


def bytes_of(name, size):
    """Bytes that no two streams have in common."""
    return hashlib.shake_128(name.encode()).digest(size)


class Client:
    """Requests on one connection; every answer is demanded to be one of those that are expected."""

    def __init__(self, server):
        self.connection = Connection(server.port)

    def close(self):
        self.connection.close()

    def ask(self, method, name, headers=None, body=None, query="", expected=(200, 201, 204)):
        response = self.connection.request(method, ROOT + name + query, headers, body)
        if response.status not in expected:
            raise AssertionError(f"{method} {name}{query}: {response}")
        return response

    def read(self, name, expected=(200,)):
        """All bytes of a stream, with its JSON pages joined; or None when the answer is not 200."""
        offset, content = "-1", b""
        while True:
            response = self.ask("GET", name, query=f"?offset={offset}", expected=expected)
            if response.status != 200:
                return None
            body = response.body
            if response["content-type"] == "application/json":
                body = body.strip()[1:-1] + (b"," if len(body.strip()) > 2 else b"")
            content += body
            offset = response["stream-next-offset"]
            if response["stream-up-to-date"] == "true":
                return content


def producer(name, epoch, seq):
    return {"Producer-Id": name, "Producer-Epoch": str(epoch), "Producer-Seq": str(seq)}


def fill(client):
    """Makes streams of every kind. Returns what each of them holds, and the names of those that are gone."""
    content, gone = {}, []
    for i in range(8):
        name = f"plain/{i}"
        client.ask("PUT", name, BYTES, b"")
        content[name] = b""
        for j in range(5):
            data = bytes_of(f"{name} {j}", 60000 + 1000 * j)
            client.ask("POST", name, BYTES, data)
            content[name] += data
    client.ask("PUT", "large", BYTES, bytes_of("large", 390000))
    content["large"] = bytes_of("large", 390000)
    client.ask("PUT", "json", JSON, b"")
    for i in range(50):
        client.ask("POST", "json", JSON, b'[{"n":%d},"%d"]' % (i, i))
    content["json"] = b"".join(b'{"n":%d},"%d",' % (i, i) for i in range(50))
    for i in range(20):
        name = "produced/%C3%A4%22" + str(i)
        client.ask("PUT", name, BYTES, b"")
        for seq in range(3):
            client.ask("POST", name, {**BYTES, **producer("p\xe4\"\\", 1, seq)}, b"message")
        content[name] = b"message" * 3
    for i in range(12):
        source, name = f"plain/{i % 8}", f"fork/{i}"
        client.ask("PUT", name, {**BYTES, "Stream-Forked-From": ROOT + source,
                                 "Stream-Fork-Offset": f"{0:016}_{60000:016}"})
        client.ask("POST", name, BYTES, b"own bytes")
        content[name] = content[source][:60000] + b"own bytes"
    for i in range(6):
        name = f"deleted/{i}"
        client.ask("PUT", name, BYTES, bytes_of(name, 30000))
        client.ask("DELETE", name)
        gone.append(name)
    client.ask("PUT", "closed", {**BYTES, "Stream-Closed": "true"}, b"the end")
    content["closed"] = b"the end"
    return content, gone


class ToolTest(unittest.TestCase):
    """`self.sample` is a copy of a data directory of a server that was stopped; `content` and `gone` say what is
    in it."""

    @classmethod
    def setUpClass(cls):
        # Beside the binary: a temporary directory may be in memory, which a server refuses.
        cls.scratch = tempfile.TemporaryDirectory(dir=SCRATCH)
        cls.original = pathlib.Path(cls.scratch.name) / "original"
        server = Server(*SMALL, "--data-dir", cls.original)
        try:
            client = Client(server)
            cls.content, cls.gone = fill(client)
            client.close()
            server.stop()
        except BaseException:
            server.kill()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def setUp(self):
        self.place = pathlib.Path(tempfile.mkdtemp(dir=self.scratch.name))
        self.sample = self.place / "data"
        shutil.copytree(self.original, self.sample)

    def start(self, directory=None, *options):
        server = Server(*SMALL, "--data-dir", directory or self.sample, *options)
        self.addCleanup(lambda: server.alive() and server.kill())
        return server

    def client(self, server):
        client = Client(server)
        self.addCleanup(client.close)
        return client

    def sluice(self, *arguments, expected=0):
        """Standard output, after the exit code was found to be the expected one, or one of these."""
        done = subprocess.run([BINARY, *map(str, arguments)], capture_output=True, timeout=TIMEOUT_S,
                              stdin=subprocess.DEVNULL)
        self.errors = done.stderr.decode()
        output = done.stdout.decode()
        codes = expected if isinstance(expected, tuple) else (expected,)
        self.assertIn(done.returncode, codes, f"{arguments}\n{output}\n{self.errors}")
        return output

    def assertServes(self, directory, content=None, gone=None, unsure=()):
        """Everything is there, byte for byte, but what is in `unsure`."""
        server = self.start(directory)
        client = self.client(server)
        for name, expected in (self.content if content is None else content).items():
            if name not in unsure:
                found = client.read(name)
                self.assertTrue(found == expected, f"{name}: {len(found)} bytes of {len(expected)}")
        for name in self.gone if gone is None else gone:
            client.ask("HEAD", name, expected=(404, 410))
        server.stop()

    def assertMissesItsLog(self, directory):
        """From its first start on: what was acknowledged since is nowhere else."""
        server = self.start(directory, "--wal-budget-bytes", 64 << 20)
        client = self.client(server)
        for i in range(8):
            client.ask("PUT", f"after/{i}", BYTES, b"acknowledged")
        server.kill()
        for path in directory.glob("shard-00/wal-*"):
            path.unlink()
        with self.assertRaisesRegex(AssertionError, "a file of the log is missing"):
            self.start(directory)
        self.sluice("fsck", directory, expected=3)

    # damage

    def flip(self, path, at):
        """One bit of a file; a negative place counts from its end."""
        with open(path, "r+b") as file:
            file.seek(at, os.SEEK_SET if at >= 0 else os.SEEK_END)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 16]))

    def segments(self, shard=None):
        pattern = "shard-*/seg-*" if shard is None else f"shard-{shard:02}/seg-*"
        return sorted(self.sample.glob(pattern))

    def frames(self, shard):
        return frames_in(self.sample, shard)
