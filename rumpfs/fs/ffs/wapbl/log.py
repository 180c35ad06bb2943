"""Writing a log: records, the circle that they lie in, and the two headers that commit them (vfs_wapbl.c).

A transaction is appended only when everything before it is in its place, or will be with the next barrier;
so the log holds one transaction at most, and room is never waited for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from rumpfs.base.clock import now
from rumpfs.ondisk.layout import Order, Record
from rumpfs.ondisk.ufs.wapbl import (
    DEV_BSIZE,
    WAPBL_WC_BLOCKS,
    WAPBL_WC_HEADER,
    WAPBL_WC_INODES,
    WAPBL_WC_REVOCATIONS,
    WC_BLOCK,
    WC_BLOCKLIST,
    WC_HEADER,
    WC_INODE,
    WC_INODELIST,
    WC_VERSION,
    LogPosition,
)

if TYPE_CHECKING:
    from rumpfs.base.copy import Buffer
    from rumpfs.dev.window import Window

_GENERATION_MASK: Final = 0xFFFFFFFF


class Log:
    """A log that is written.

    Args:
        window: the device.
        position: where the log lies.
        order: the byte order of its records.
        generation: of the next header.
        listed: from where to where it holds a list of inodes that is to be kept; (0, 0) for nowhere.

    Attributes:
        block: bytes of a log block, in which blocks are logged.
    """

    def __init__(
        self,
        window: Window,
        position: LogPosition,
        order: Order,
        generation: int = 0,
        listed: tuple[int, int] = (0, 0),
    ) -> None:
        self._window = window
        self._start, size, self.block = position
        self._order = order
        self._generation = generation & _GENERATION_MASK
        self._circ_off = 2 * self.block
        self._circ_size = (size - self._circ_off) // self.block * self.block
        self._circ_end = self._circ_off + self._circ_size
        self._tail, self._head = self._listed = listed
        self._per_list = (self.block - WC_BLOCKLIST.size) // WC_BLOCK.size
        self._inodes_per_list = (self.block - WC_INODELIST.size) // WC_INODE.size

    @property
    def capacity(self) -> int:
        """Bytes that a transaction may have: the circle is never quite full, which readers take for empty."""
        tail, head = self._listed
        return self._circ_size - self.block - (head - tail) % self._circ_size

    def start(self) -> None:
        """Write the header of a log that holds nothing but the list to be kept. Errors: the host's."""
        self._commit(self._head, self._tail)

    def length(self, nbytes: int, blocks: int, revocations: int, inodes: int) -> int:
        """Return the bytes that a transaction takes (wapbl_transaction_len).

        Args:
            nbytes: of all its blocks.
            blocks, revocations, inodes: their numbers.
        """
        lists = -(-blocks // self._per_list) + -(-revocations // self._per_list)
        return nbytes + (lists + max(1, -(-inodes // self._inodes_per_list))) * self.block

    def append(
        self,
        blocks: Sequence[tuple[int, Buffer]],
        revocations: Sequence[tuple[int, int]],
        inodes: Sequence[tuple[int, int]],
    ) -> None:
        """Append a transaction and commit it (wapbl_flush). What is before it is in its place.

        Args:
            blocks: (byte of the device, content), in log blocks.
            revocations: (byte, bytes) of what is no metadata any more.
            inodes: (number, mode) of those that have no name.

        Errors: the host's.
        """
        lists = b"".join(self._inodes(inodes))
        data = b"".join([*self._blocks(blocks), *self._revocations(revocations), lists])
        if len(data) > self._free():
            self.truncate()
        tail = self._head or self._circ_off
        head = self._put(tail, data)
        self._commit(head, tail)
        self._listed = (self._advance(tail, len(data) - len(lists)), head) if inodes else (0, 0)

    def truncate(self) -> None:
        """Everything in the log is in its place: forget all but the list of inodes (wapbl_truncate).

        Errors: the host's.
        """
        if (self._tail, self._head) != self._listed:
            tail, head = self._listed
            self._commit(head, tail)

    def _free(self) -> int:
        """Return the bytes that can be appended now."""
        return self._circ_size - self.block - (self._head - self._tail) % self._circ_size

    def _advance(self, offset: int, nbytes: int) -> int:
        """Return the offset that lies `nbytes` bytes, less than a lap, behind another."""
        offset += nbytes
        return offset if offset < self._circ_end else offset - self._circ_size

    def _put(self, offset: int, data: bytes) -> int:
        """Write records at an offset, and return the one behind them."""
        room = self._circ_end - offset
        view = memoryview(data)
        self._window.pwrite(view[:room], self._start + offset)
        if len(data) > room:
            self._window.pwrite(view[room:], self._start + self._circ_off)
        return self._advance(offset, len(data))

    def _commit(self, head: int, tail: int) -> None:
        """Write a header, with a barrier before and after it (wapbl_write_commit)."""
        generation = self._generation
        self._window.fsync()
        seconds, nanoseconds = now()
        shift = self.block.bit_length() - 1
        row = WC_HEADER.row(
            wc_type=WAPBL_WC_HEADER, wc_len=self.block, wc_checksum=0, wc_generation=generation,
            wc_fsid=(0, 0), wc_time=seconds, wc_timensec=nanoseconds, wc_version=WC_VERSION,
            wc_log_dev_bshift=shift, wc_fs_dev_bshift=shift, wc_head=head, wc_tail=tail,
            wc_circ_off=self._circ_off, wc_circ_size=self._circ_size,
        )  # fmt: skip
        self._window.pwrite(self._padded(WC_HEADER.codec(self._order).pack(row)), self._slot(generation))
        self._window.fsync()
        self._head, self._tail = head, tail
        self._generation = generation + 1 & _GENERATION_MASK
        if not generation:
            # The other slot may hold one that looks younger.
            self._commit(head, tail)

    def _slot(self, generation: int) -> int:
        return self._start + generation % 2 * self.block

    # --- records --------------------------------------------------------------------------------

    def _blocks(self, blocks: Sequence[tuple[int, Buffer]]) -> Iterator[Buffer]:
        for start in range(0, len(blocks), self._per_list):
            part = blocks[start : start + self._per_list]
            nbytes = sum(len(data) for _, data in part)
            places = ((address, len(data)) for address, data in part)
            yield self._block_list(WAPBL_WC_BLOCKS, self.block + nbytes, len(part), places)
            for _, data in part:
                yield data

    def _revocations(self, revocations: Sequence[tuple[int, int]]) -> Iterator[bytes]:
        for start in range(0, len(revocations), self._per_list):
            part = revocations[start : start + self._per_list]
            yield self._block_list(WAPBL_WC_REVOCATIONS, self.block, len(part), part)

    def _block_list(self, kind: int, length: int, count: int, places: Iterable[tuple[int, int]]) -> bytes:
        pack = WC_BLOCK.codec(self._order).pack_flat
        entries = (pack(address // DEV_BSIZE, 0, nbytes) for address, nbytes in places)
        return self._list(WC_BLOCKLIST, (kind, length, count, 0), entries)

    def _inodes(self, inodes: Sequence[tuple[int, int]]) -> Iterator[bytes]:
        pack = WC_INODE.codec(self._order).pack_flat
        for start in range(0, max(1, len(inodes)), self._inodes_per_list):
            part = inodes[start : start + self._inodes_per_list]
            head = (WAPBL_WC_INODES, self.block, len(part), start == 0)
            yield self._list(WC_INODELIST, head, (pack(ino, mode) for ino, mode in part))

    def _list(self, record: Record, head: tuple[int, ...], entries: Iterable[bytes]) -> bytes:
        return self._padded(record.codec(self._order).pack_flat(*head) + b"".join(entries))

    def _padded(self, record: bytes) -> bytes:
        return record.ljust(self.block, b"\0")
