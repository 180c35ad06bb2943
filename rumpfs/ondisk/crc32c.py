"""CRC-32C (Castagnoli), as FreeBSD's sys/libkern/gsb_crc32.c counts it: without inverting the result."""

from __future__ import annotations

import functools
import struct

from rumpfs.ondisk.layout import Buffer

#: The polynomial, its bits reversed.
_POLYNOMIAL = 0x82F63B78


@functools.cache
def _tables() -> tuple[list[int], list[int]]:
    """Return what one byte, and what two bytes do to a remainder."""
    byte = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        byte.append(value)
    return byte, [byte[byte[low] & 0xFF ^ high] ^ byte[low] >> 8 for high in range(256) for low in range(256)]


def crc32c(data: Buffer, crc: int = 0xFFFFFFFF) -> int:
    """Return the remainder of `data`, continued from `crc`."""
    byte, pair = _tables()
    count = len(data) // 2
    for word in struct.unpack_from(f"<{count}H", data):
        crc = crc >> 16 ^ pair[(crc ^ word) & 0xFFFF]
    if len(data) & 1:
        crc = crc >> 8 ^ byte[(crc ^ data[-1]) & 0xFF]
    return crc
