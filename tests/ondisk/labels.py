"""Labels and partition tables packed by hand, from the tables of the format alone."""

from __future__ import annotations

import struct
import zlib

MAGIC = 0x82564557
NETBSD_FFS_GUID = bytes.fromhex("5a8df4490eb1dc11b99b0019d1879648")


def checksum(order: str, label: bytes) -> bytes:
    total = 0
    for (word,) in struct.iter_unpack(order + "H", label):
        total ^= word
    return label[:136] + struct.pack(order + "H", total) + label[138:]


def label(order, partitions, *, count=8, sectors=40000, secsize=512, entries=None) -> bytes:
    """Return a NetBSD label; partitions: letter -> (offset, size[, type]) in sectors."""
    head = struct.pack(order + "IHH16s16s", MAGIC, 0, 0, b"image", b"fictitious")
    head += struct.pack(order + "6I", secsize, 32, 64, max(1, sectors // 2048), 2048, sectors & 0xFFFFFFFF)
    head += struct.pack(order + "HHI4H3I", 0, 0, 0, 3600, 1, 0, 0, 0, 0, 0) + bytes(40)
    head += struct.pack(order + "IHHII", MAGIC, 0, count, 8192, 8192)
    assert len(head) == 148
    if entries is None:
        entries = b""
        for index in range(count):
            offset, size, *kind = partitions.get("abcdefghijklmnopqrstuvwxyz"[index], (0, 0, 0))
            fstype = kind[0] if kind else 7
            entries += struct.pack(order + "IIIBBH", size, offset, 1024, fstype, 8, 0)
    return checksum(order, head + entries)


def openbsd_label(order, partitions, *, sectors, count=16, secsize=512) -> bytes:
    """Return an OpenBSD label of version 1, with 64-bit offsets and sizes."""
    entries = b""
    for index in range(count):
        offset, size = partitions.get("abcdefghijklmnopqrstuvwxyz"[index], (0, 0))
        # 0x1c: blocks of 1 << (3 + 12) bytes, 1 << (4 - 1) frags in each.
        entries += struct.pack(
            order + "IIHHBBH", size & 0xFFFFFFFF, offset & 0xFFFFFFFF, offset >> 32, size >> 32, 7, 0x1C, 1
        )
    data = bytearray(label(order, {}, count=count, sectors=sectors, secsize=secsize, entries=entries))
    data[64:72] = b"uniqueid"
    data[72:92] = bytes(20)
    struct.pack_into(order + "HH", data, 112, sectors >> 32, 1)
    struct.pack_into(order + "H", data, 136, 0)
    return checksum(order, bytes(data))


def mbr(*slices) -> bytes:
    """Return a boot sector; slices: (type, start, size) in sectors."""
    table = b"".join(struct.pack("<B3sB3sII", 0, b"", kind, b"", start, size) for kind, start, size in slices)
    return bytes(446) + table.ljust(64, b"\0") + b"\x55\xaa"


def gpt(disk: bytearray, *partitions) -> None:
    """Put a protective MBR and a primary GPT on a disk; partitions: (GUID, first sector, last sector)."""
    table = b"".join(
        guid + bytes([index + 1] * 16) + struct.pack("<QQQ", first, last, 0) + bytes(72)
        for index, (guid, first, last) in enumerate(partitions)
    ).ljust(128 * 128, b"\0")
    last = len(disk) // 512 - 1
    head = struct.pack(
        "<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, 0, 0, 1, last, 34, last - 33, bytes(16), 2, 128, 128,
        zlib.crc32(table),
    )  # fmt: skip
    head = head[:16] + struct.pack("<I", zlib.crc32(head)) + head[20:]
    disk[:512] = mbr((0xEE, 1, last))
    disk[512 : 512 + 92] = head
    disk[1024 : 1024 + len(table)] = table


def put(disk: bytearray, offset: int, data: bytes) -> None:
    disk[offset : offset + len(data)] = data
