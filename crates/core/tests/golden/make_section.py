"""Writes `v1-section.qbnn`: `v1-conv-0-1.qbnn` with a section, by docs/file-format.md alone.

    python make_section.py
"""

import pathlib
import struct
import zlib

HERE = pathlib.Path(__file__).parent
ONE = 1 << 32
plain = bytearray((HERE / "v1-conv-0-1.qbnn").read_bytes())
layers = struct.unpack_from("<H", plain, 24)[0]
end = 64 + 64 * layers

decisions = struct.pack("<hBBIQ", -301, 0, 0, 429_496_730, ONE // 4 * 3)
decisions += struct.pack("<BBBBIQ", 0, 0, 3, 0, 4_080_218_931, ONE // 2)
decisions += struct.pack("<QIIQII", 9_000, 214_748_365, 3, 0x0123456789ABCDEF, 5000, 0)
names = b"".join(bytes([len(n.encode())]) + n.encode() for n in ["a cat", "日本", ""])
entries = [(1, decisions), (2, names), (3, b"fashion-mnist"), (77, bytes([1, 2, 3]))]
content = b"".join(struct.pack("<HH", tag, len(data)) + data for tag, data in entries)
content = struct.pack("<I", len(content)) + content

records = b""
for number, at in enumerate(range(0, len(content), 40)):
    value = layers + number
    record = struct.pack("<B3sHH", 1, b"sec", value, number) + bytes(plain[end - 56 : end - 48])
    record += struct.pack("<HHH2x", 1, 0, 1) + content[at : at + 40].ljust(40, b"\0")
    records += record
for index in range(layers):
    if plain[64 + 64 * index] == 0:
        place = 64 + 64 * index + 48
        struct.pack_into("<Q", plain, place, struct.unpack_from("<Q", plain, place)[0] + len(records))
file = plain[:end] + records + plain[end:]
struct.pack_into("<H", file, 24, layers + len(records) // 64)
struct.pack_into("<Q", file, 16, len(file))
struct.pack_into("<I", file, 12, zlib.crc32(bytes(file[16:])))
(HERE / "v1-section.qbnn").write_bytes(file)
