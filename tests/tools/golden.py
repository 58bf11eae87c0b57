#!/usr/bin/env python3
"""Makes the golden data directory of a format version, and says what a server shows of one.

    python3 tests/tools/golden.py VERSION     with $SLUICE_BINARY, or build/sluice

See tests/golden/README.md.
"""
import gzip
import hashlib
import io
import json
import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile

from case import BINARY, BYTES, JSON, ROOT, SCRATCH, SMALL, Client, Server, producer

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "golden"
TEXT = {"Content-Type": "text/plain; charset=utf-8"}
HEADERS = ("content-type", "stream-next-offset", "stream-closed", "stream-ttl", "stream-expires-at")
SHOWN_SIZE_MAX = 200  # of a body; larger ones as a hash
EVER = 100 * 366 * 86400  # seconds: the TTL of a stream that outlives its test


def offset(position):
    return f"{0:016}_{position:016}"


def fork_of(source, at=None, sub=None):
    headers = {**BYTES, "Stream-Forked-From": ROOT + source}
    if at is not None:
        headers["Stream-Fork-Offset"] = offset(at)
    if sub is not None:
        headers["Stream-Fork-Sub-Offset"] = str(sub)
    return headers


class Maker:
    """Requests that change something; it keeps the names, and the offsets that were given out."""

    def __init__(self, directory):
        self.server = Server(*SMALL, "--data-dir", directory)
        self.client = Client(self.server)
        self.offsets = {}

    def put(self, name, headers, body=b""):
        response = self.client.ask("PUT", name, headers, body)
        self.offsets.setdefault(name, []).append(response["stream-next-offset"])

    def post(self, name, headers, body=b""):
        response = self.client.ask("POST", name, headers, body)
        self.offsets.setdefault(name, []).append(response["stream-next-offset"])

    def delete(self, *names):
        for name in names:
            self.client.ask("DELETE", name)
            self.offsets.setdefault(name, [])


def fill_first(make):
    """What ends in a segment."""
    make.put("empty", BYTES)
    make.put("bytes", BYTES, b"begin")
    make.post("bytes", BYTES, b"0123456789" * 15000)  # several chunks
    make.post("bytes", BYTES, b"end")
    make.put("text", TEXT, "gr\u00fc\u00dfe\r\n".encode())
    make.put("json", JSON)
    for i in range(4):
        make.post("json", JSON, b'[{"n":%d},"%d",[%d]]' % (i, i, i))
    make.put("closed", {**TEXT, "Stream-Closed": "true"}, b"the end")
    make.put("closed/empty", {**BYTES, "Stream-Closed": "true"})
    make.put("produced", BYTES)
    for seq in range(3):
        make.post("produced", {**BYTES, **producer("p\u00e4 \"", 2, seq)}, b"message")
    make.post("produced", {**BYTES, **producer("another", 0, 0), "Stream-Closed": "true"}, b"last")
    make.put("ordered", TEXT)
    make.post("ordered", {**TEXT, "Stream-Seq": "7"}, b"seven")
    make.put("ttl", {**TEXT, "Stream-TTL": str(EVER)}, b"long")
    make.put("expires", {**TEXT, "Stream-Expires-At": "2999-12-31T23:59:59Z"}, b"longer")
    make.put("name/%C3%A4%20%22%2F", TEXT, b"of a name")
    make.put("source", BYTES, b"0123456789")
    make.post("source", BYTES, b"abc")
    make.put("fork", fork_of("source", 10), b"own")
    make.put("fork/of/fork", fork_of("fork", 10, 2))
    make.put("json/fork", {**fork_of("json", 0, 2), **JSON})
    make.put("soft", BYTES, b"kept for its fork")
    make.put("soft/fork", fork_of("soft"), b", which goes on")
    for name in ("removed/1", "removed/2", "removed/3"):
        make.put(name, BYTES, b"nobody sees it again")
    make.delete("soft", "removed/1")


def fill_second(make):
    """What comes later, about streams in a segment and new ones."""
    make.post("bytes", BYTES, b"and more")
    make.post("json", JSON, b'{"late":true}')
    make.post("text", {**TEXT, "Stream-Closed": "true"}, b"closed late")
    make.post("ordered", {**TEXT, "Stream-Seq": "8"}, b"eight")
    make.put("late", BYTES)
    for seq in range(2):
        make.post("late", {**BYTES, **producer("late", 1, seq)}, b"late message")
    make.put("late/ttl", {**TEXT, "Stream-TTL": str(EVER)}, b"long")
    make.put("late/fork", fork_of("bytes", 5), b"own")
    make.put("late/soft", fork_of("late"), b"both")
    make.put("late/soft/fork", {**fork_of("late/soft"), "Stream-Closed": "true"})
    make.delete("removed/2", "late/soft")


def fill_third(make):
    """What only a log has whose end was not sealed."""
    make.post("late", {**BYTES, **producer("late", 1, 2)}, b"last message")
    make.put("last", JSON, b'["unsealed"]')
    make.put("last/fork", {**fork_of("last"), **JSON}, b'["own"]')
    make.delete("removed/3")


# Requests that are refused, or were made before: they change nothing.
PROBES = [
    ("POST", "produced", {**BYTES, **producer("p\u00e4 \"", 2, 2)}, "message"),
    ("POST", "produced", {**BYTES, **producer("another", 0, 0), "Stream-Closed": "true"}, "last"),
    ("POST", "late", {**BYTES, **producer("late", 1, 1)}, "late message"),
    ("POST", "late", {**BYTES, **producer("late", 0, 5)}, "an old epoch"),
    ("POST", "late", {**BYTES, **producer("late", 1, 9)}, "a gap"),
    ("POST", "ordered", {**TEXT, "Stream-Seq": "7"}, "an old sequence"),
    ("POST", "closed", TEXT, "more"),
    ("PUT", "soft", BYTES, ""),
    ("PUT", "json", BYTES, ""),
    ("PUT", "fork", BYTES, ""),
]


def show(body):
    """A body as it stands in the list: itself, or its size and hash."""
    if len(body) <= SHOWN_SIZE_MAX:
        return body.decode("latin-1")
    return {"size": len(body), "sha256": hashlib.sha256(body).hexdigest()}


def look_at(client, name, offsets):
    """All that HEAD says of a stream, and what a reader gets from every offset it gave out."""
    head = client.ask("HEAD", name, expected=(200, 404, 410))
    seen = {"status": head.status}
    if head.status == 200:
        seen.update({header: head[header] for header in HEADERS if head[header] is not None})
        seen["reads"] = {}
        for at in ["-1", *offsets]:
            reply = client.ask("GET", name, query=f"?offset={at}", expected=(200, 400))
            seen["reads"][at] = [reply.status, reply["stream-next-offset"],
                                 show(reply.body) if reply.status == 200 else ""]
    return seen


def observe(server, offsets):
    """What the server shows of the streams that were made: `offsets` by name."""
    client = Client(server)
    streams = {name: look_at(client, name, given) for name, given in offsets.items()}
    probes = []
    for method, name, headers, body in PROBES:
        if name in offsets:
            reply = client.ask(method, name, headers, body.encode(), expected=range(200, 500))
            probes.append([method, name, reply.status, reply["stream-next-offset"],
                           reply["producer-seq"], reply["producer-expected-seq"]])
    metrics = client.connection.request("GET", "/metrics").body.decode()
    client.close()
    count = int(re.search(r"^sluice_streams (\d+)$", metrics, re.M)[1])
    return {"streams": streams, "probes": probes, "count": count}


def serve_and_observe(directory, offsets):
    """What a server shows that is started for this; as it looks after JSON."""
    server = Server(*SMALL, "--data-dir", directory)
    try:
        seen = observe(server, offsets)
        server.stop()
    except BaseException:
        server.kill()
        raise
    return json.loads(json.dumps(seen))


def sluice(command, source, destination):
    """backup, which leaves everything in segments, or restore."""
    subprocess.run([BINARY, command, source, destination], check=True, stdout=subprocess.DEVNULL)


def pack(folder, names, target):
    """The same files give the same archive."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        tops = [folder / name for name in names]
        for path in sorted(tops + [path for top in tops for path in top.rglob("*")]):
            if path.is_file() or path.is_dir():  # and no socket
                member = archive.gettarinfo(path, path.relative_to(folder))
                member.uid = member.gid = member.mtime = 0
                member.uname = member.gname = ""
                with open(path, "rb") if member.isreg() else io.BytesIO() as file:
                    archive.addfile(member, file)
    target.write_bytes(gzip.compress(content.getvalue(), 9, mtime=0))


def make(version):
    target = FOLDER / version
    target.mkdir()
    with tempfile.TemporaryDirectory(dir=SCRATCH) as scratch:
        place = pathlib.Path(scratch)
        data, first = place / "data", place / "backup"
        maker = Maker(data)
        fill_first(maker)
        sluice("backup", data, first)
        offsets = {"backup": json.loads(json.dumps(maker.offsets))}
        fill_second(maker)
        maker.server.stop()
        maker.server = Server(*SMALL, "--data-dir", data)
        maker.client = Client(maker.server)
        sluice("backup", data, place / "second")  # another segment
        fill_third(maker)
        offsets["data"] = maker.offsets
        seen = {"data": observe(maker.server, maker.offsets)}
        maker.server.kill()
        sluice("restore", first, place / "restored")
        seen["backup"] = serve_and_observe(place / "restored", offsets["backup"])
        pack(place, ["data", "backup"], target / "data.tar.gz")
    (target / "expected.json").write_text(
        json.dumps({"offsets": offsets, "seen": seen}, indent=1) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    make(sys.argv[1])
