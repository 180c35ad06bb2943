"""Writing a file system with the files of a plan in it."""

from __future__ import annotations

import struct
from array import array
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from rumpfs.abi.stat import S_IFBLK, S_IFCHR
from rumpfs.fs.ffs.makefs.blocks import BlockMap
from rumpfs.fs.ffs.makefs.content import PIECE, Content, HeldContent
from rumpfs.fs.ffs.makefs.plan import Inode, Mapping, Plan, frags_of
from rumpfs.fs.ffs.newfs import Newfs, Random
from rumpfs.fs.ffs.newfs_group import GroupUse, free_frags, initial_inodes
from rumpfs.fs.ffs.newfs_layout import Parameters
from rumpfs.ondisk.layout import LITTLE
from rumpfs.ondisk.ufs.dinode import Dinode, dinode_codec
from rumpfs.ondisk.ufs.fs import NDADDR, NIADDR, ROOTINO
from rumpfs.ondisk.ufs.wapbl import DEV_BSIZE

if TYPE_CHECKING:
    from rumpfs.dev.window import Window

#: Bytes of files that are put together before they are written.
_GATHER: Final = 4 << 20
_SECOND: Final = 1_000_000_000
_DEVICES: Final = (S_IFCHR, S_IFBLK)


class Makefs(Newfs):
    """A file system that is to be made with files in it.

    Args:
        size: bytes of the file system.
        p: what is wanted; its block size, frag size, version and order are those of the plan.
        random: for generation numbers of inodes.
        plan: the files.
        told: is called with the bytes written, now and then.

    Raises:
        VfsError: EINVAL, with the reason why there is no such file system.
    """

    def __init__(
        self, size: int, p: Parameters, random: Random, plan: Plan, told: Callable[[int], None] | None = None
    ) -> None:  # fmt: skip
        super().__init__(size, p, random)
        fs = self.fs
        self._plan = plan
        self._told = told
        self._map = BlockMap(fs)
        self._used = self._map.used(plan.nblocks, plan.partial.items(), fs.fs_fpg, fs.fs_ncg)
        self._dirs = Counter(
            (ROOTINO + index) // fs.fs_ipg
            for index, inode in enumerate(plan.inodes)
            if inode.node.children is not None
        )
        self._codec = dinode_codec(fs)
        self._gen = struct.Struct(fs.order + "i")
        self._gen_offset = self._codec.record.offset("di_gen")

    # --- groups

    def _use(self, cgx: int) -> GroupUse:
        """Return what is used of a group."""
        fs = self.fs
        count = ROOTINO + len(self._plan.inodes) - cgx * fs.fs_ipg
        inodes = max(0, min(fs.fs_ipg, count))
        free = free_frags(fs, cgx) & ~self._used[cgx]
        return GroupUse(inodes, self._dirs[cgx], free, initial_inodes(fs, inodes))

    def _fill(self, table: bytearray, first: int) -> None:
        """Enter inodes in a part of the table of a group."""
        codec = self._codec
        size = codec.size
        start = max(0, ROOTINO - first)
        stop = first + len(table) // size - ROOTINO
        inodes = self._plan.inodes[first + start - ROOTINO : max(0, stop)]
        for at, inode in enumerate(inodes, start):
            place = slice(at * size, (at + 1) * size)
            table[place] = self._encode(inode, bytes(table[place]))

    def _encode(self, inode: Inode, blank: bytes) -> bytes:
        """Return the bytes of an inode, with the generation that a blank one has."""
        node = inode.node
        fs = self.fs
        db, ib = self._pointers(inode)
        text = b""
        if node.target and not inode.data:
            text = node.target
        elif node.kind in _DEVICES:
            db = (_rdev(node.rdev, fs.ufs2), *(0,) * (NDADDR - 1))
        (gen,) = self._gen.unpack_from(blank, self._gen_offset)
        blocks = frags_of(inode, fs.fs_frag) * fs.fs_fsize // DEV_BSIZE
        dinode = Dinode(
            node.mode, node.nlink, node.uid, node.gid, inode.size, blocks, node.flags, gen,
            *divmod(node.atime, _SECOND), *divmod(node.mtime, _SECOND), *divmod(node.ctime, _SECOND),
            db, ib, *divmod(node.birthtime, _SECOND), 0, (0, 0),
        )  # fmt: skip
        return self._codec.encode(dinode, blank, text)

    def _pointers(self, inode: Inode) -> tuple[tuple[int, ...], tuple[int, int, int]]:
        """Return the direct and the indirect pointers of an inode."""
        fs = self.fs
        place, mapping = inode.place, inode.mapping
        frags = self._map
        if mapping is None:
            found = frags.addresses(place.block, place.nblocks) if place is not None else []
            if place is not None and place.frags:
                found.append(frags.frag(place.tail))
            return (*found, *(0,) * (NDADDR - len(found))), (0, 0, 0)
        db = [0] * NDADDR
        for lbn, count, block in mapping.extents:
            if lbn < NDADDR:
                db[lbn : lbn + count] = frags.addresses(block, count)
        if place is not None:
            address = place.tail if place.frags else place.block * fs.fs_frag
            db[(inode.size - 1) // fs.fs_bsize] = frags.frag(address)
        nindir = fs.fs_nindir
        starts = [NDADDR + sum(nindir**below for below in range(1, level + 1)) for level in range(NIADDR)]
        blocks = [mapping.indirect.get((level, start)) for level, start in enumerate(starts)]
        first, second, third = (0 if block is None else frags.frag(block * fs.fs_frag) for block in blocks)
        return tuple(db), (first, second, third)

    # --- files

    def _write_files(self, window: Window) -> None:
        """Write what is in directories, files and long symbolic links."""
        sink = _Sink(window, self._map, self.fs.fs_bsize)
        fs = self.fs
        for inode in self._plan.inodes:
            content = inode.node.content
            if inode.mapping is not None:
                content = content or HeldContent(b"", inode.data)
                self._write_mapped(sink, inode, inode.mapping, content)
            elif inode.place is not None:
                place = inode.place
                split = place.nblocks * fs.fs_bsize
                data = inode.data or (content.read() if content is not None else b"")
                data = data.ljust(split + place.frags * fs.fs_fsize, b"\0")
                if split:
                    sink.put(place.block * fs.fs_bsize, data[:split])
                if place.frags:
                    sink.put(place.tail * fs.fs_fsize, data[split:])
            if self._told is not None:
                self._told(sink.top)
        sink.flush()

    def _write_mapped(self, sink: _Sink, inode: Inode, mapping: Mapping, content: Content) -> None:
        """Write the bytes of a file, and its indirect blocks."""
        fs = self.fs
        leaves: dict[int, Any] = {}
        for lbn, count, block in mapping.extents:
            self._copy_run(sink, content, lbn, count, block)
            if lbn >= NDADDR:
                start = lbn - (lbn - NDADDR) % fs.fs_nindir
                leaf = leaves.setdefault(start, array("q", bytes(8 * fs.fs_nindir)))
                leaf[lbn - start : lbn - start + count] = array("q", self._map.addresses(block, count))
        if inode.place is not None:
            place = inode.place
            rest = _tail(content, (inode.size - 1) % fs.fs_bsize + 1)
            if place.frags:
                sink.put(place.tail * fs.fs_fsize, rest.ljust(place.frags * fs.fs_fsize, b"\0"))
            else:
                sink.put(place.block * fs.fs_bsize, rest.ljust(fs.fs_bsize, b"\0"))
        for (level, start), block in sorted(mapping.indirect.items()):
            pointers = leaves[start] if level == 0 else self._inner(mapping, level, start)
            sink.put(block * fs.fs_bsize, self._packed(pointers))

    def _inner(self, mapping: Mapping, level: int, start: int) -> Any:
        """Return the pointers of an indirect block that leads to indirect blocks."""
        fs = self.fs
        span = fs.fs_nindir**level
        pointers = array("q", bytes(8 * fs.fs_nindir))
        for index in range(fs.fs_nindir):
            block = mapping.indirect.get((level - 1, start + index * span))
            if block is not None:
                pointers[index] = self._map.frag(block * fs.fs_frag)
        return pointers

    def _packed(self, pointers: Any) -> bytes:
        """Return an indirect block."""
        packed = pointers if self.fs.ufs2 else array("i", pointers)
        if (self.fs.order == LITTLE) != (array("H", [1]).tobytes() == b"\1\0"):
            packed.byteswap()
        return bytes(packed.tobytes())

    def _copy_run(self, sink: _Sink, content: Content, lbn: int, count: int, block: int) -> None:
        """Write blocks of a file that follow each other."""
        bsize = self.fs.fs_bsize
        start = lbn * bsize
        stop = min(content.size, start + count * bsize)
        address = block * bsize
        fd = content.open()
        try:
            while start < stop:
                length = min(PIECE, stop - start)
                data = bytearray(-(-length // bsize) * bsize)
                content.fill(fd, memoryview(data)[:length], start)
                sink.put(address, data)
                start += length
                address += length
                if self._told is not None:
                    self._told(address)
        finally:
            content.close(fd)


def _tail(content: Content, nbytes: int) -> bytes:
    """Return the last bytes of a file."""
    data = bytearray(nbytes)
    fd = content.open()
    try:
        content.fill(fd, memoryview(data), content.size - nbytes)
    finally:
        content.close(fd)
    return bytes(data)


def _rdev(rdev: int, ufs2: bool) -> int:
    """Return a device number as the first pointer keeps it."""
    return rdev if ufs2 else (rdev & 0xFFFFFFFF ^ 1 << 31) - (1 << 31)


class _Sink:
    """Gathers the bytes of files, and writes many at once.

    Args:
        window: the device.
        blocks: where the blocks are.
        bsize: bytes of a block.

    Attributes:
        top: the first byte behind all that was put.
    """

    def __init__(self, window: Window, blocks: BlockMap, bsize: int) -> None:
        self._window = window
        self._map = blocks
        self._bsize = bsize
        self._buffer = bytearray(_GATHER)
        self._base = self._length = 0

    @property
    def top(self) -> int:
        """The first byte behind what is gathered."""
        return self._base + self._length

    def put(self, address: int, data: bytes | bytearray) -> None:
        """Take the bytes at a byte address, in which a block of the plan has bsize."""
        at = address - self._base
        if at < 0:
            self._write(address, memoryview(data))
            return
        if at + len(data) > _GATHER:
            self.flush()
            self._base = address
            at = 0
        if at > self._length:
            self._buffer[self._length : at] = bytes(at - self._length)
        self._buffer[at : at + len(data)] = data
        self._length = max(self._length, at + len(data))

    def flush(self) -> None:
        """Write what is gathered."""
        if self._length:
            self._write(self._base, memoryview(self._buffer)[: self._length])
            self._length = 0

    def _write(self, address: int, data: memoryview) -> None:
        """Write bytes that may cross blocks."""
        block, skip = divmod(address, self._bsize)
        count = -(-(skip + len(data)) // self._bsize)
        for first, length in self._map.runs(block, count):
            piece = data[: length * self._bsize - skip]
            self._window.pwrite(piece, first * self._bsize + skip)
            data = data[len(piece) :]
            skip = 0
