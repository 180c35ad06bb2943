"""Writes WAPBL logs, record by record, as spec'd in NetBSD's sys/sys/wapbl_replay.h."""

from __future__ import annotations

import struct

HEADER, INODES, REVOCATIONS, BLOCKS = range(0x5741424C, 0x57414250)


class Log:
    """A log in memory.

    Args:
        order: byte order of what is written, ``<`` or ``>``.
        size: bytes of the log, the two headers included.
        block: bytes of a log block.
        tail: where the first record goes; at the start of the circle when omitted.
    """

    def __init__(
        self, order: str = "<", size: int = 65536, block: int = 512, tail: int | None = None
    ) -> None:
        self.order = order
        self.block = block
        self.data = bytearray(size)
        self.circ_off = 2 * block
        self.circ_size = size - 2 * block
        self.head = self.tail = self.circ_off if tail is None else tail

    def blocks(self, *blocks: tuple[int, bytes]) -> None:
        """Log blocks, each given by its address in units of 512 bytes and its content."""
        data = b"".join(content for _, content in blocks)
        data += bytes(-len(data) % self.block)
        self._list(BLOCKS, [(daddr, len(content)) for daddr, content in blocks], len(data))
        self.put(data)

    def revocations(self, *blocks: tuple[int, int]) -> None:
        """Revoke blocks, each given by its address and length."""
        self._list(REVOCATIONS, list(blocks), 0)

    def inodes(self, *inodes: tuple[int, int], clear: bool = False) -> None:
        """List inodes with their modes."""
        record = struct.pack(self.order + "IiiI", INODES, self.block, len(inodes), clear)
        self.put(self._padded(record + b"".join(struct.pack(self.order + "II", *inode) for inode in inodes)))

    def put(self, data: bytes) -> None:
        """Put whole log blocks at the head, which wraps at the end of the circle."""
        for start in range(0, len(data), self.block):
            self.data[self.head : self.head + self.block] = data[start : start + self.block]
            self.head += self.block
            if self.head == self.circ_off + self.circ_size:
                self.head = self.circ_off

    def header(self, generation: int, slot: int | None = None, **fields: int) -> None:
        """Write a commit header for what is in the log; `fields` are put in place of what is true."""
        shift = self.block.bit_length() - 1
        values = {
            "type": HEADER, "len": self.block, "checksum": 0, "generation": generation, "fsid0": 0,
            "fsid1": 0, "time": 0, "timensec": 0, "version": 1, "log_dev_bshift": shift,
            "fs_dev_bshift": shift, "head": self.head, "tail": self.tail, "circ_off": self.circ_off,
            "circ_size": self.circ_size,
        }  # fmt: skip
        assert not fields.keys() - values.keys()
        packed = struct.pack(self.order + "IiIIiiQIIIIqqqq", *(values | fields).values())
        start = (generation % 2 if slot is None else slot) * self.block
        self.data[start : start + self.block] = self._padded(packed)

    def _list(self, kind: int, blocks: list[tuple[int, int]], nbytes: int) -> None:
        record = struct.pack(self.order + "IiiI", kind, self.block + nbytes, len(blocks), 0)
        for daddr, dlen in blocks:
            record += struct.pack(self.order + "qii", daddr, 0, dlen)
        self.put(self._padded(record))

    def _padded(self, record: bytes) -> bytes:
        assert len(record) <= self.block
        return record.ljust(self.block, b"\0")
