"""Extended attributes on disk: the area of a UFS2 inode, and the backing files of UFS1.

UFS2 packs the attributes of an inode one behind the other into its area (di_extb, di_extsize bytes): seven
bytes of header, the name, zeros up to a multiple of 8, the value, and zeros up to the length of the record.
UFS1 has a file for each attribute, with one slot for each inode. A backing file's numbers are in the order of
the machine that made it, which its magic shows, whatever the order of the file system.

Source: NetBSD sys/ufs/ufs/extattr.h, ufs_extattr.c, sys/ufs/ffs/ffs_extattr.c; FreeBSD extattr(9).
"""

from __future__ import annotations

from typing import NamedTuple

from rumpfs.base.errors import BadMagic, Corrupt
from rumpfs.ondisk.layout import ORDERS, U8, U32, Buffer, Order, Record

#: Blocks of an inode's area (UFS_NXADDR).
NXADDR = 2

#: struct extattr without its name
EXTATTR = Record(
    "extattr",
    7,
    (
        (0, "ea_length", U32),
        (4, "ea_namespace", U8),
        (5, "ea_contentpadlen", U8),
        (6, "ea_namelength", U8),
    ),
)

#: Names and values start, and records end, at multiples of this.
_ALIGN = 8

UFS_EXTATTR_MAGIC = 0x00B5D5EC
UFS_EXTATTR_VERSION = 3

#: Directories of the backing files: one below the root, and in it one for each namespace.
UFS_EXTATTR_FSROOTSUBDIR = b".attribute"

#: ueh_flags
UFS_EXTATTR_ATTR_FLAG_INUSE = 1

UFS_EXTATTR_FILEHEADER = Record(
    "ufs_extattr_fileheader",
    12,
    (
        (0, "uef_magic", U32),
        (4, "uef_version", U32),
        (8, "uef_size", U32),
    ),
)

UFS_EXTATTR_HEADER = Record(
    "ufs_extattr_header",
    12,
    (
        (0, "ueh_flags", U32),
        (4, "ueh_len", U32),
        (8, "ueh_i_gen", U32),
    ),
)

#: The attributes of an inode: (namespace, name) -> value.
Attributes = dict[tuple[int, bytes], bytes]


def parse_extattrs(area: bytes, order: Order, where: str) -> tuple[Attributes, Corrupt | None]:
    """Return the attributes in the area of a UFS2 inode, in their order, and what is wrong with it.

    The records before the first damaged one are returned. Of two equal names the first counts. Zeros up to
    the end of the area are no damage.

    Args:
        area: the di_extsize bytes.
        order: byte order of the file system.
        where: names the area in messages.
    """
    codec = EXTATTR.codec(order)
    attributes: Attributes = {}
    offset = 0
    end = len(area)
    while offset < end:
        if not any(area[offset : offset + 4]) and area.count(0, offset) == end - offset:
            break
        place = f"{where}: extended attribute at byte {offset}"
        if end - offset < codec.size:
            return attributes, Corrupt(place, "di_extsize", end, "the area ends within the record")
        length, namespace, padding, namelen = codec.unpack_flat(area, offset)
        start = offset + codec.size
        content = _roundup(start + namelen)
        after = offset + length
        if length % _ALIGN or not content + padding <= after <= end:
            why = (
                f"the record has at least {content + padding - offset} bytes, a multiple of {_ALIGN}, and "
                f"{end - offset} are left"
            )
            return attributes, Corrupt(place, "ea_length", length, why)
        name = area[start : start + namelen]
        if not name or 0 in name:
            return attributes, Corrupt(place, "ea_name", name, "is no name")
        attributes.setdefault((namespace, name), area[content : after - padding])
        offset = after
    return attributes, None


def build_extattr(namespace: int, name: bytes, value: bytes, order: Order) -> bytes:
    """Return the record of an attribute in the area of a UFS2 inode."""
    head = _roundup(EXTATTR.size + len(name))
    length = head + _roundup(len(value))
    header = EXTATTR.codec(order).pack((length, namespace, -len(value) % _ALIGN, len(name)))
    return (header + name).ljust(head, b"\0") + value.ljust(length - head, b"\0")


def _roundup(length: int) -> int:
    return length + -length % _ALIGN


class Slots(NamedTuple):
    """The layout of a backing file: its byte order, and the bytes that a value may have."""

    order: Order
    size: int

    def offset(self, ino: int) -> int:
        """Return the byte offset of the slot of an inode."""
        return UFS_EXTATTR_FILEHEADER.size + ino * (UFS_EXTATTR_HEADER.size + self.size)

    def fileheader(self) -> bytes:
        """Return the first bytes of the file."""
        row = (UFS_EXTATTR_MAGIC, UFS_EXTATTR_VERSION, self.size)
        return UFS_EXTATTR_FILEHEADER.codec(self.order).pack(row)

    def header(self, length: int | None, gen: int) -> bytes:
        """Return the first bytes of a slot with a value; None for one that is empty.

        Args:
            length: of the value.
            gen: di_gen of the inode.
        """
        flags = 0 if length is None else UFS_EXTATTR_ATTR_FLAG_INUSE
        return UFS_EXTATTR_HEADER.codec(self.order).pack((flags, length or 0, gen & 0xFFFFFFFF))

    def value(self, header: Buffer, gen: int, where: str) -> int | None:
        """Return the length of the value in a slot; None when there is none, or it was another file's.

        Args:
            header: the first bytes of the slot; fewer than a header has count as zeros.
            gen: di_gen of the inode.
            where: names the slot in messages.

        Raises:
            Corrupt: the value is longer than the slot.
        """
        codec = UFS_EXTATTR_HEADER.codec(self.order)
        flags, length, slot_gen = codec.unpack_flat(bytes(header).ljust(codec.size, b"\0"))
        if not flags & UFS_EXTATTR_ATTR_FLAG_INUSE or slot_gen != gen & 0xFFFFFFFF:
            return None
        if length > self.size:
            raise Corrupt(where, "ueh_len", length, f"a slot of the file has room for {self.size} bytes")
        return int(length)


def decode_fileheader(data: Buffer, where: str) -> Slots:
    """Return the layout of a backing file.

    Args:
        data: its first bytes.
        where: names the file in messages.

    Raises:
        BadMagic: it is none.
        Corrupt: it is too short, or of another version.
    """
    if len(data) < UFS_EXTATTR_FILEHEADER.size:
        why = f"a backing file begins with {UFS_EXTATTR_FILEHEADER.size} bytes of header"
        raise Corrupt(where, "di_size", len(data), why)
    for order in ORDERS:
        magic, version, size = UFS_EXTATTR_FILEHEADER.codec(order).unpack_flat(data)
        if magic == UFS_EXTATTR_MAGIC:
            if version != UFS_EXTATTR_VERSION:
                raise Corrupt(where, "uef_version", version, f"only version {UFS_EXTATTR_VERSION} is known")
            return Slots(order, size)
    raise BadMagic(where, "is no backing file of extended attributes")
