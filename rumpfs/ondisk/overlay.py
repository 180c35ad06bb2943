"""The file of a copy-on-write overlay: what is changed of an image, without the image.

The file is sparse, and little-endian throughout:

===================  =====================================================================================
bytes                content
===================  =====================================================================================
0, 4096              two slots for the header; the valid one with the greater generation counts
8192                 the running map
8192 + M             the saved map; M is what a map takes, rounded up to 4096
8192 + 2 M           the blocks: byte `n` of the image is byte `n` from here, so that unchanged blocks are
                     holes. This place is rounded up to 65536
===================  =====================================================================================

A map has a bit for each block of 4096 bytes of the image, lowest bit first; a block whose bit is set is read
from the overlay, any other from the image. It consists of leaves of 512 bytes: the bits of 4064 blocks, and
their CRC-32, which begins with that of the overlay's id and the number of the leaf. A leaf of zeros is valid.

Bits are only ever set. A write puts whole blocks into the file first and then their bits into the running
map; fsync waits for the host's disk, copies the changed leaves into the saved map, and waits again. So

- a process that is killed leaves a running map that is exact: the host has done what it was told in order;
- after a host that lost its power the running map may be ahead of the blocks. It does not count then (the
  header tells which run of the host wrote it), and the saved map does: every block of it is on the disk. What
  it lacks was written since the last fsync;
- a leaf of the saved map that is torn by the cut is whole in the running map, which was on the disk before.

When the overlay is closed, both maps are equal and the header says so. While it is being committed, the
header says that too: the image is then a mixture of old and new blocks, and seen through the overlay it is
what it was.
"""

from __future__ import annotations

import zlib
from typing import Final, NamedTuple

from rumpfs.base.errors import BadChecksum, BadMagic, Corrupt
from rumpfs.ondisk.layout import I64, LITTLE, RAW, U32, U64, Record

MAGIC: Final = b"rumpfs overlay 2"
#: What an overlay is called that is no longer read.
_OLD: Final = b"rumpfs overlay 1"

#: log2 of the bytes of a block, and the same as a mask; no file system has smaller pages to be written
BLOCK_SHIFT: Final = 12
BLOCK_SIZE: Final = 1 << BLOCK_SHIFT
BLOCK_MASK: Final = BLOCK_SIZE - 1

SLOT_SIZE: Final = 4096
#: where the maps begin
MAPS: Final = 2 * SLOT_SIZE
LEAF_SIZE: Final = 512
_LEAF_BYTES: Final = LEAF_SIZE - 4
#: what a hole reads as
EMPTY_LEAF: Final = bytes(LEAF_SIZE)
#: blocks of a leaf
LEAF_BLOCKS: Final = _LEAF_BYTES * 8
_ALIGN: Final = 65536

#: state of an overlay: closed; in use or never closed; being written into the image
CLEAN, OPEN, COMMITTING = range(3)

HEADER: Final = Record(
    "overlay_header",
    160,
    (
        (0, "magic", RAW[16]),
        (16, "block_shift", U32),
        (20, "state", U32),
        (24, "generation", U64),
        (32, "ident", RAW[16]),
        (48, "size", U64),
        (56, "mtime_ns", I64),
        (64, "fingerprint", RAW[32]),
        (96, "boot", RAW[16]),
        (112, "pathlen", U32),
        (116, "unused", RAW[44]),
    ),
)
PATH_MAX: Final = SLOT_SIZE - HEADER.size - 4
_codec = HEADER.codec(LITTLE)


class Header(NamedTuple):
    """What the header says.

    Attributes:
        state: CLEAN, OPEN or COMMITTING.
        generation: grows with each header that is written.
        ident: of this overlay; random.
        size: bytes of the image.
        mtime_ns: when it was modified, nanoseconds since the epoch; 0 of a device, which has no such time.
        fingerprint: SHA-256 of samples of it. While the state is COMMITTING, of those that do not change.
        boot: the run of the host in which the running map is written; zeros when it cannot be trusted.
        path: where the image was found last, absolute.
    """

    state: int
    generation: int
    ident: bytes
    size: int
    mtime_ns: int
    fingerprint: bytes
    boot: bytes
    path: bytes

    @property
    def leaves(self) -> int:
        """Leaves of a map."""
        return -(-self.size // (LEAF_BLOCKS << BLOCK_SHIFT))

    @property
    def map_size(self) -> int:
        """Bytes from one map to the next."""
        return -(-self.leaves * LEAF_SIZE // SLOT_SIZE) * SLOT_SIZE

    @property
    def data(self) -> int:
        """Byte of the file at which the blocks begin."""
        return -(-(MAPS + 2 * self.map_size) // _ALIGN) * _ALIGN

    @property
    def file_size(self) -> int:
        """Bytes of the file."""
        return self.data + -(-self.size // BLOCK_SIZE) * BLOCK_SIZE


def encode_header(header: Header) -> tuple[int, bytes]:
    """Return the byte of the file at which a header belongs, and its bytes."""
    row = (
        MAGIC, BLOCK_SHIFT, header.state, header.generation, header.ident, header.size, header.mtime_ns,
        header.fingerprint, header.boot, len(header.path), b"",
    )  # fmt: skip
    data = (_codec.pack(row) + header.path).ljust(SLOT_SIZE - 4, b"\0")
    slot = header.generation % 2 * SLOT_SIZE
    return slot, data + zlib.crc32(data).to_bytes(4, "little")


def decode_header(data: bytes, where: str) -> Header:
    """Return the header that counts.

    Args:
        data: both slots.
        where: names the file in messages.

    Raises:
        BadMagic: it is no overlay, or none that is read here.
        BadChecksum, Corrupt: it is damaged.
    """
    slots = [data[start : start + SLOT_SIZE] for start in (0, SLOT_SIZE)]
    ours = [slot for slot in slots if slot.startswith(MAGIC)]
    if not ours:
        old = data.startswith(_OLD)
        raise BadMagic(where, "is an overlay of an older format" if old else "is no overlay")
    valid = [slot for slot in ours if len(slot) == SLOT_SIZE and _crc(slot[:-4]) == slot[-4:]]
    if not valid:
        raise BadChecksum(where, "is an overlay whose header is damaged; rm(1) removes it")
    return max((_decode(slot, where) for slot in valid), key=lambda header: header.generation)


def _crc(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "little")


def _decode(slot: bytes, where: str) -> Header:
    row = _codec.unpack(slot)
    for field, sound in (
        ("block_shift", row.block_shift == BLOCK_SHIFT),
        ("state", row.state <= COMMITTING),
        ("size", 0 < row.size < 1 << 62),
        ("pathlen", row.pathlen <= PATH_MAX),
    ):
        if not sound:
            raise Corrupt(f"{where}: header", field, getattr(row, field), "is not what this version knows")
    path = slot[HEADER.size : HEADER.size + row.pathlen]
    return Header(
        row.state, row.generation, row.ident, row.size, row.mtime_ns, row.fingerprint, row.boot, path
    )


def encode_leaf(bits: int, ident: bytes, index: int) -> bytes:
    """Return the bytes of a leaf.

    Args:
        bits: of its blocks, the first the lowest.
        ident: of the overlay.
        index: number of the leaf.
    """
    data = bits.to_bytes(_LEAF_BYTES, "little")
    return data + zlib.crc32(data, _seed(ident, index)).to_bytes(4, "little")


def decode_leaf(data: bytes, ident: bytes, index: int) -> int | None:
    """Return the bits of a leaf; None when it is damaged."""
    if data == EMPTY_LEAF:
        return 0
    bits = data[:_LEAF_BYTES]
    if len(data) != LEAF_SIZE or zlib.crc32(bits, _seed(ident, index)) != int.from_bytes(data[-4:], "little"):
        return None
    return int.from_bytes(bits, "little")


def _seed(ident: bytes, index: int) -> int:
    return zlib.crc32(ident + index.to_bytes(8, "little"))
