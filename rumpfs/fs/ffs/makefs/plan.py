"""Inode numbers and blocks for all files of a tree, in one order that depends on nothing but names and bytes.

Inodes are numbered, and blocks taken, directory by directory. Blocks are counted from 0 as if cylinder groups
left no gaps; an address is a block times fs_frag, plus the frag in it. Ends of files that do not fill a block
share blocks.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from rumpfs.abi import errno
from rumpfs.abi.stat import S_IFDIR
from rumpfs.base.errors import VfsError
from rumpfs.fs.ffs.makefs.node import LINK_MAX, Node
from rumpfs.ondisk.ufs.dirchunk import dirsiz
from rumpfs.ondisk.ufs.fs import DIRBLKSIZ, NDADDR, ROOTINO

if TYPE_CHECKING:
    from rumpfs.ondisk.layout import Order

_NOTHING: Final = -1


@dataclass(slots=True)
class Place:
    """Where the bytes of a small file without holes are.

    Attributes:
        size: bytes.
        block: the first of its whole blocks.
        nblocks: how many, one after the other.
        tail: address of its last frags; -1 when there are none.
        frags: how many these are.
    """

    size: int
    block: int
    nblocks: int
    tail: int
    frags: int


@dataclass(slots=True)
class Mapping:
    """Where the bytes of a large file, or of one with holes, are.

    Attributes:
        extents: (logical block, blocks, first block) in order.
        indirect: (level, first logical block) of an indirect block -> its block; at level 0 it leads to data.
    """

    extents: list[tuple[int, int, int]] = field(default_factory=list)
    indirect: dict[tuple[int, int], int] = field(default_factory=dict)


@dataclass(slots=True)
class Inode:
    """An inode that is to be.

    Attributes:
        node: the file.
        size: di_size.
        place: where its bytes are; None when it has no blocks.
        mapping: where more of them are.
        data: the bytes of a directory or of a long symbolic link.
    """

    node: Node
    size: int
    place: Place | None = None
    mapping: Mapping | None = None
    data: bytes = b""


class Plan:
    """Gives the files of a tree their inodes and blocks.

    Args:
        root: the tree; its nodes get their `ino` and `nlink`.
        order: byte order.
        bsize, fsize: bytes of a block and of a frag.
        pointer: bytes of a block pointer, 4 or 8.
        maxsymlinklen: bytes from which on a symbolic link has blocks.
        maxfilesize: bytes of the largest file.
        holes: blocks of zeros are left out.

    Attributes:
        inodes: from the root directory on, which has inode 2.
        nblocks: blocks that are used, those that files share too.
        partial: addresses of free frags in such blocks -> how many.

    Raises:
        VfsError: EMLINK: more names or directories than a file may have; EFBIG.
        OSError, Changed: from reading.
    """

    def __init__(
        self, root: Node, order: Order, bsize: int, fsize: int, pointer: int, maxsymlinklen: int,
        maxfilesize: int, holes: bool = True,
    ) -> None:  # fmt: skip
        self._order = order
        self._bsize, self._fsize, self._frag = bsize, fsize, bsize // fsize
        self._nindir = bsize // pointer
        self._maxfilesize = maxfilesize
        self._holes = holes
        self._free: list[list[int]] = [[] for _ in range(self._frag)]
        self.nblocks = 0
        self._parents: dict[Node, int] = {root: ROOTINO}
        nodes = self._number(root)
        self.inodes = [Inode(node, node.size) for node in nodes]
        for inode in self.inodes:
            node = inode.node
            if node.children is not None:
                inode.data = self._directory(node)
                inode.size = len(inode.data)
            elif node.target and len(node.target) >= maxsymlinklen:
                inode.data = node.target
            if inode.data or node.content is not None:
                self._allocate(inode)
        self.partial = {address: count for count, free in enumerate(self._free) for address in free}

    # --- inodes

    def _number(self, root: Node) -> list[Node]:
        """Return all nodes in the order of their numbers: what a directory holds stays together."""
        root.ino, root.nlink = ROOTINO, 2
        nodes = [root]
        stack = [root]
        while stack:
            directory = stack.pop()
            assert directory.children is not None
            below = []
            for name in sorted(directory.children):
                node = directory.children[name]
                if not node.ino:
                    node.ino = ROOTINO + len(nodes)
                    nodes.append(node)
                node.nlink += 1
                if node.children is not None:
                    node.nlink += 1
                    directory.nlink += 1
                    self._parents[node] = directory.ino
                    below.append(node)
            stack.extend(reversed(below))
        for node in nodes:
            if node.nlink > LINK_MAX:
                raise VfsError(errno.EMLINK, f"a file or directory would have {node.nlink} links")
        return nodes

    def _directory(self, node: Node) -> bytes:
        """Return the bytes of a directory: names in order, as many in a chunk as fit."""
        assert node.children is not None
        header = struct.Struct(self._order + "IHBB").pack
        entries = [(b".", node.ino, S_IFDIR >> 12), (b"..", self._parents[node], S_IFDIR >> 12)]
        entries += [(name, child.ino, child.mode >> 12) for name, child in sorted(node.children.items())]
        parts: list[bytes] = []
        room = DIRBLKSIZ
        last = entries[0]
        for entry in entries[1:]:
            need = dirsiz(len(last[0]))
            if room - need < dirsiz(len(entry[0])):
                parts.append(header(last[1], room, last[2], len(last[0])) + last[0].ljust(room - 8, b"\0"))
                room = DIRBLKSIZ
            else:
                parts.append(header(last[1], need, last[2], len(last[0])) + last[0].ljust(need - 8, b"\0"))
                room -= need
            last = entry
        parts.append(header(last[1], room, last[2], len(last[0])) + last[0].ljust(room - 8, b"\0"))
        return b"".join(parts)

    # --- blocks

    def _allocate(self, inode: Inode) -> None:
        """Give a file its blocks."""
        size = inode.size
        if size > self._maxfilesize:
            raise VfsError(errno.EFBIG, f"a file of {size} bytes; {self._maxfilesize} can be")
        if not size:
            return
        content = inode.node.content
        bsize = self._bsize
        if size > bsize and content is not None and self._holes:
            runs = content.blocks(bsize)
        else:
            runs = [(0, -(-size // bsize))]
        if len(runs) == 1 and runs[0][0] == 0 and size <= NDADDR * bsize:
            inode.place = self._small(size)
            return
        inode.mapping = Mapping()
        nblocks = -(-size // bsize)
        if nblocks <= NDADDR and size % bsize:
            first, count = runs.pop()
            if count > 1:
                runs.append((first, count - 1))
        for first, count in runs:
            self._map(inode.mapping, first, count)
        if nblocks <= NDADDR and size % bsize:
            inode.place = self._small(size % bsize)

    def _small(self, size: int) -> Place:
        """Take blocks one after the other, and frags for the rest."""
        nblocks, rest = divmod(size, self._bsize)
        frags = -(-rest // self._fsize)
        if frags == self._frag:
            nblocks, frags = nblocks + 1, 0
        block = self.nblocks
        self.nblocks += nblocks
        return Place(size, block, nblocks, self._frags(frags) if frags else _NOTHING, frags)

    def _frags(self, count: int) -> int:
        """Take frags: of the block that has the least left, and was used last, or of a new one."""
        for have in range(count, self._frag):
            if self._free[have]:
                address = self._free[have].pop()
                break
        else:
            have = self._frag
            address = self.nblocks * have
            self.nblocks += 1
        if have > count:
            self._free[have - count].append(address + count)
        return address

    def _map(self, mapping: Mapping, first: int, count: int) -> None:
        """Take blocks for logical blocks, and the indirect blocks that lead to them before."""
        while count:
            length = min(count, self._lead(mapping, first) - first)
            mapping.extents.append((first, length, self.nblocks))
            self.nblocks += length
            first += length
            count -= length

    def _lead(self, mapping: Mapping, lbn: int) -> int:
        """Take the indirect blocks that lead to a logical block; return where those that they lead to end."""
        if lbn < NDADDR:
            return NDADDR
        for level, start in indirect_path(lbn, self._nindir):
            if (level, start) not in mapping.indirect:
                mapping.indirect[level, start] = self.nblocks
                self.nblocks += 1
        return start + self._nindir


def indirect_path(lbn: int, nindir: int) -> Iterator[tuple[int, int]]:
    """Yield (level, first logical block) of the indirect blocks that lead to a block, outermost first."""
    start, top = NDADDR, 0
    while lbn >= start + nindir ** (top + 1):
        start += nindir ** (top + 1)
        top += 1
    for level in range(top, -1, -1):
        yield level, start
        span: int = nindir**level
        start += (lbn - start) // span * span


def frags_of(inode: Inode, frag: int) -> int:
    """Return how many frags an inode has, indirect blocks too."""
    place, mapping = inode.place, inode.mapping
    total = place.nblocks * frag + place.frags if place is not None else 0
    if mapping is not None:
        total += (sum(count for _, count, _ in mapping.extents) + len(mapping.indirect)) * frag
    return total
