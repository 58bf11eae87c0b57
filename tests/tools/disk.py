"""What a test has to know of the files of a data directory, and of what fsck says about them."""
import re
import struct

BLOCK = 4096
FRAME = struct.Struct("<IIHHIIIQQQQQqI20x")
HEADER_CRC, SIZE, COUNT, POSITION, LSN = 1, 4, 5, 9, 10  # in a frame's fields


def crc_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


TABLE = crc_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def frames_in(directory, shard):
    """(path, place in it, fields) of every frame of a shard's log, by position."""
    found = []
    for path in sorted(directory.glob(f"shard-{shard:02}/wal-*")):
        data = path.read_bytes()
        begin = int(path.name[4:], 16) * len(data)
        for at in range(0, len(data), BLOCK):
            fields = FRAME.unpack_from(data, at)
            if data[at:at + 4] == b"SLFR" and fields[POSITION] == begin + at:
                found.append((path, at, fields))
    return found


def names_in(output):
    """The streams that a line of the output names in quotes."""
    return set(re.findall(r'stream "((?:[^"\\]|\\.)*)"', output))
