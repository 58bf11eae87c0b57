"""Payloads that say what they are: stream, writer, counter, length and checksum."""
import random
import re
import string
import zlib

NOISE_BYTES = 1 << 20
BYTES, TEXT, JSON = "application/octet-stream", "text/plain", "application/json"
HEADER = re.compile(rb'(?:<|"tag":")(\d+\.\d+\.\d+)[ "]')

_random = random.Random(20240607)
_BINARY = _random.randbytes(NOISE_BYTES)
_LETTERS = (string.ascii_letters + string.digits + " .,").encode()
_PLAIN = bytes(_random.choices(_LETTERS, k=NOISE_BYTES))
_LINES = bytes(_random.choices(_LETTERS + b"\n", k=NOISE_BYTES))


def _noise(source, counter, size):
    """`size` bytes that differ from those of other counters."""
    start = counter * 7919 % (NOISE_BYTES // 2)
    return source[start:start + size]


def bytes_record(tag, size, content_type):
    """A record of a stream of bytes: exactly `size` bytes; no room for a header: a short mark."""
    _, writer, counter = map(int, tag.split("."))
    filler = _noise(_BINARY if content_type == BYTES else _LINES, counter, size)
    head = b"<%b %d %08x>" % (tag.encode(), size, zlib.crc32(filler))
    if size > len(head):
        return head + filler[len(head):]
    # A writer has one request under way, so its letter is enough to know what is not acknowledged.
    digits = b"%0*d" % (size, counter)
    return b"%c" % (0x41 + writer) + digits[len(digits) - size + 1:]


def json_message(tag, size):
    """A JSON value of about `size` bytes."""
    _, writer, counter = map(int, tag.split("."))
    if size < 60:
        return b"%d%06d" % (1 + writer, counter % 1000000)
    filler = _noise(_PLAIN, counter, size - 50)
    return b'{"tag":"%b","size":%d,"crc":"%08x","fill":"%b"}' % (
        tag.encode(), len(filler), zlib.crc32(filler), filler)


def stored_json(body):
    """What a JSON array is in the log: every message with a comma."""
    inner = body[1:-1]
    return inner + b"," if inner else b""


def tags_in(data):
    """The tags of the records whose headers stand in `data`."""
    return [match[1].decode() for match in HEADER.finditer(data)]
