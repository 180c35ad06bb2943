"""What is in a run of bytes whose kind is known: its structures, taken apart."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final

from rumpfs.base.errors import DiskError
from rumpfs.inspect.owners import Kind, Owner
from rumpfs.inspect.raw import Raw
from rumpfs.inspect.slack import Chunks
from rumpfs.inspect.structures import Field, Structure, fields_of, structure, text_field
from rumpfs.ondisk.disklabel import DISKLABEL, MAGIC_BYTES, MAXPARTITIONS, PARTITION, label_order
from rumpfs.ondisk.layout import BIG, LITTLE, ORDERS, Order, Record
from rumpfs.ondisk.ufs.appleufs import (
    APPLEUFS_LABEL_OFFSET,
    APPLEUFS_LABEL_SIZE,
    APPLEUFSLABEL,
    is_appleufs_label,
)
from rumpfs.ondisk.ufs.cg import CG, Cg
from rumpfs.ondisk.ufs.direct import DIRECT, DIRECT_HEADER, ODIRECT
from rumpfs.ondisk.ufs.extattr import EXTATTR
from rumpfs.ondisk.ufs.fs import CSUM, FS, FS_SIZE
from rumpfs.ondisk.ufs.wapbl import WAPBL_WC_HEADER, WC_HEADER, WC_LISTS, WC_NAMES, find_log

#: Structures that are taken apart at most, so that a large run stays readable.
_MOST: Final = 1024
#: Bytes in front of a superblock that are looked through for labels.
_BOOT: Final = 65536


def structures_in(raw: Raw, owner: Owner, start: int, length: int) -> list[Structure]:
    """Return the structures in some bytes.

    Args:
        raw: the file system.
        owner: what they belong to.
        start: byte of the device.
        length: bytes.
    """
    reader = _READERS.get(owner.kind)
    if reader is None:
        return []
    found: list[Structure] = []
    for each in reader(raw, owner, start, length):
        found.append(each)
        if len(found) >= _MOST:
            break
    return found


def superblock(raw: Raw, offset: int) -> Structure | None:
    """Return the superblock at a byte of the device; None when the device ends before."""
    data = raw.disk.read(FS_SIZE, offset)
    return structure(FS, data, raw.fs.order, offset, "superblock") if len(data) == FS_SIZE else None


def group(raw: Raw, cgx: int) -> Structure | None:
    """Return the block of a cylinder group, with its maps; None when the device ends before."""
    fs = raw.fs
    offset = fs.cgtod(cgx) << fs.fs_fshift
    data = raw.disk.read(fs.fs_cgsize, offset)
    if len(data) < CG.size:
        return None
    fields = fields_of(CG, data, fs.order, offset)
    try:
        cg = Cg.decode(data, fs, cgx)
    except DiskError:
        cg = None
    if cg is not None and not cg.old:
        fields += _maps(cg, offset, fs.fs_ipg)
    return Structure(f"cylinder group {cgx}", CG.name, offset, fs.fs_cgsize, tuple(fields))


def _maps(cg: Cg, offset: int, ipg: int) -> Iterator[Field]:
    """Yield the maps of a group as fields."""
    used = int.from_bytes(cg.inosused, "little").bit_count()
    free = int.from_bytes(cg.blksfree, "little").bit_count()
    yield Field(
        offset + cg.record.cg_iusedoff, len(cg.inosused), "cg_inosused", cg.inosused, f"{used} of {ipg}",
        "map of the inodes; 1: in use",
    )  # fmt: skip
    yield Field(
        offset + cg.record.cg_freeoff, len(cg.blksfree), "cg_blksfree", cg.blksfree, f"{free} of {cg.ndblk}",
        "map of the frags; 1: free",
    )  # fmt: skip
    if cg.clustersfree:
        blocks = int.from_bytes(cg.clustersfree, "little").bit_count()
        yield Field(
            offset + cg.record.cg_clusteroff, len(cg.clustersfree), "cg_clustersfree", cg.clustersfree,
            f"{blocks} of {cg.record.cg_nclusterblks}", "map of the blocks; 1: all of it is free",
        )  # fmt: skip


def inode(raw: Raw, ino: int) -> Structure | None:
    """Return an inode; None when there is none, or not on the device."""
    data = raw.inode_bytes(ino)
    if not data:
        return None
    return structure(raw.codec.record, data, raw.fs.order, raw.fs.ino_to_byte(ino), f"inode {ino}")


def entries(raw: Raw, data: bytes, base: int) -> Iterator[Structure]:
    """Yield the entries of chunks of a directory, also unused and deleted ones.

    Args:
        data: chunks.
        base: byte of the device at which they are.
    """
    record: Record = ODIRECT if raw.fs.old_dirents else DIRECT
    chunks = Chunks(raw.fs)
    for first in range(0, len(data), chunks.size):
        chunk = data[first : first + chunks.size]
        for place in chunks.places(chunk):
            at = base + first + place.offset
            fields = fields_of(record, chunk, raw.fs.order, at, place.offset)
            if place.name:
                fields.append(text_field(at + DIRECT_HEADER, "d_name", place.name, "the name"))
            what = "deleted entry" if place.deleted else "entry" if place.ino else "unused entry"
            yield Structure(what, record.name, at, place.length, tuple(fields))


def attributes(raw: Raw, data: bytes, base: int) -> Iterator[Structure]:
    """Yield the extended attributes in the area of an inode, up to the first damaged one."""
    place = 0
    while place + EXTATTR.size <= len(data):
        fields = fields_of(EXTATTR, data, raw.fs.order, base + place, place)
        length, namelen = fields[0].value, fields[3].value
        start = place + EXTATTR.size
        if length < EXTATTR.size + namelen or place + length > len(data):
            return
        fields.append(text_field(base + start, "ea_name", data[start : start + namelen], "the name"))
        value = start + namelen + -(start + namelen) % 8
        end = max(value, place + length - fields[2].value)
        fields.append(text_field(base + value, "ea_content", data[value:end], "the value"))
        yield Structure("extended attribute", EXTATTR.name, base + place, length, tuple(fields))
        place += length


def pointers(raw: Raw, frag: int) -> tuple[int, ...]:
    """Return what an indirect block at a frag holds; nothing when the device ends before."""
    fs = raw.fs
    data = raw.read_frags(frag, fs.fs_frag)
    if len(data) < fs.fs_bsize:
        return ()
    return struct.unpack(f"{fs.order}{fs.fs_nindir}{'q' if fs.ufs2 else 'i'}", data)


def labels(raw: Raw, start: int, length: int) -> Iterator[Structure]:
    """Yield the disklabels, and the label of Apple UFS, in some bytes."""
    data = raw.disk.read(length, start)
    for magic in MAGIC_BYTES:
        place = data.find(magic)
        while place >= 0:
            order = label_order(data, place)
            if order is not None and place + DISKLABEL.size <= len(data):
                yield structure(DISKLABEL, data, order, start + place, "disklabel", place)
                yield from _partitions(data, order, start, place)
            place = data.find(magic, place + 1)
    if start <= APPLEUFS_LABEL_OFFSET < start + length:
        label = raw.disk.read(APPLEUFS_LABEL_SIZE, APPLEUFS_LABEL_OFFSET)
        if is_appleufs_label(label):
            yield structure(APPLEUFSLABEL, label, BIG, APPLEUFS_LABEL_OFFSET, "label of Apple UFS")


def _partitions(data: bytes, order: Order, start: int, place: int) -> Iterator[Structure]:
    """Yield the partitions of a disklabel that are in use."""
    count = DISKLABEL.codec(order).unpack(data, place).d_npartitions
    for index in range(min(count, MAXPARTITIONS)):
        at = place + DISKLABEL.size + index * PARTITION.size
        if at + PARTITION.size > len(data):
            return
        found = structure(PARTITION, data, order, start + at, f"partition {chr(ord('a') + index)}", at)
        if found.fields[0].value:
            yield found


# --- by kind ----------------------------------------------------------------------------------------------


def _boot(raw: Raw, owner: Owner, start: int, length: int) -> Iterator[Structure]:
    return labels(raw, start, min(length, _BOOT))


def _superblock(raw: Raw, owner: Owner, start: int, length: int) -> Iterator[Structure]:
    found = superblock(raw, owner.frag << raw.fs.fs_fshift)
    if owner.cgx < 0:
        found = superblock(raw, raw.fs.fs_sblockloc)
    if found is not None:
        yield found


def _group(raw: Raw, owner: Owner, start: int, length: int) -> Iterator[Structure]:
    found = group(raw, owner.cgx)
    if found is not None:
        yield found


def _inodes(raw: Raw, owner: Owner, start: int, length: int) -> Iterator[Structure]:
    fs = raw.fs
    table = owner.frag << fs.fs_fshift
    size = fs.dinode_size
    end = (start + length - table + size - 1) // size
    for index in range((start - table) // size, min(end, fs.fs_ipg)):
        found = inode(raw, owner.cgx * fs.fs_ipg + index)
        if found is not None:
            yield found


def _summary(raw: Raw, owner: Owner, start: int, length: int) -> Iterator[Structure]:
    fs = raw.fs
    table = owner.frag << fs.fs_fshift
    data = raw.disk.read(fs.fs_ncg * CSUM.size, table)
    first = (start - table) // CSUM.size
    for cgx in range(first, min((start + length - table) // CSUM.size, len(data) // CSUM.size)):
        at = cgx * CSUM.size
        yield structure(CSUM, data, fs.order, table + at, f"counters of group {cgx}", at)


def _directory(raw: Raw, owner: Owner, start: int, length: int) -> Iterator[Structure]:
    start -= start % raw.fs.dirblksiz
    return entries(raw, raw.disk.read(length, start), start)


def _attributes(raw: Raw, owner: Owner, start: int, length: int) -> Iterator[Structure]:
    base = owner.frag << raw.fs.fs_fshift
    di = raw.inode(owner.ino)
    size = min(owner.frags << raw.fs.fs_fshift, max(0, di.di_extsize if di else 0))
    return attributes(raw, raw.disk.read(size, base), base)


def _log(raw: Raw, owner: Owner, start: int, length: int) -> Iterator[Structure]:
    """Yield the header or the record that begins in the first of the bytes."""
    try:
        position = find_log(raw.fs, raw.size)
    except DiskError:
        return
    for at in range(start - start % position.blksize, start + length, position.blksize):
        data = raw.below.pread(position.blksize, at) if position.start <= at < raw.size else b""
        yield from log_block(data, at)


_READERS: Final[dict[Kind, Callable[[Raw, Owner, int, int], Iterator[Structure]]]] = {
    Kind.BOOT: _boot,
    Kind.SUPERBLOCK: _superblock,
    Kind.GROUP: _group,
    Kind.INODES: _inodes,
    Kind.SUMMARY: _summary,
    Kind.DIRECTORY: _directory,
    Kind.ATTRIBUTES: _attributes,
    Kind.LOG: _log,
}


def log_block(data: bytes, base: int) -> Iterator[Structure]:
    """Yield the header, or the record with what it lists, that a block of a log begins with; if any does."""
    for order in ORDERS:
        kind = int.from_bytes(data[:4], "little" if order == LITTLE else "big")
        if kind == WAPBL_WC_HEADER and len(data) >= WC_HEADER.size:
            yield structure(WC_HEADER, data, order, base, "header of the log")
        elif kind in WC_LISTS:
            head, counter, entry = WC_LISTS[kind]
            yield structure(head, data, order, base, f"{WC_NAMES[kind]} of the log")
            count = getattr(head.codec(order).unpack(data), counter)
            for index in range(max(0, min(count, (len(data) - head.size) // entry.size))):
                at = head.size + index * entry.size
                yield structure(entry, data, order, base + at, entry.name, at)
