"""What is at a place of a file system, and to whom it belongs: `rumpfs explain`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from rumpfs.abi import errno
from rumpfs.base.errors import VfsError
from rumpfs.inspect import contents
from rumpfs.inspect.names import Names, lookup
from rumpfs.inspect.owners import Kind, Owner, Owners
from rumpfs.inspect.raw import Pieces, Raw, content, level_of
from rumpfs.inspect.shown import TYPES, one_line
from rumpfs.inspect.slack import Chunks
from rumpfs.inspect.structures import Structure, text_field
from rumpfs.ondisk.ufs.dinode import IFDIR, IFLNK, IFMT, Dinode

#: Structures of a directory, and indirect blocks, that are shown of one inode.
_MOST: Final = 4096

_LEVELS: Final = ("single", "double", "triple")

_KINDS: Final = {
    Kind.BOOT: "boot area",
    Kind.GROUP: "block of a cylinder group",
    Kind.INODES: "inodes",
    Kind.SUMMARY: "counters of all groups",
    Kind.LOG: "WAPBL log",
}


class Extent(NamedTuple):
    """A run of a file: `length` bytes from `offset` on are at byte `address` of the device, frag `frag`."""

    offset: int
    address: int
    frag: int
    length: int


class Indirect(NamedTuple):
    """An indirect block of a file.

    Attributes:
        frag: its address.
        level: 0 for one that leads to blocks of the file.
        lbn: the first block of the file that it leads to.
        used: how many of its pointers lead somewhere.
        pointers: how many it has.
    """

    frag: int
    level: int
    lbn: int
    used: int
    pointers: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is at a place.

    Attributes:
        target: what was asked for.
        address, length: bytes of the device; length 0 when it has no place.
        frag, cgx: the frag and the group in which it begins; -1 when that is none.
        what: what it is, in a few words.
        owners: what it belongs to, each in a line, with the paths that are known.
        allocated: whether its group has the frag in use; None when that does not apply.
        structures: what is there.
        extents: where the blocks of an inode are.
        indirect: its indirect blocks.
        focus: the byte that was asked for; -1 for none.
    """

    target: str
    address: int
    length: int
    frag: int
    cgx: int
    what: str
    owners: tuple[str, ...] = ()
    allocated: bool | None = None
    structures: tuple[Structure, ...] = ()
    extents: tuple[Extent, ...] = ()
    indirect: tuple[Indirect, ...] = field(default=())
    focus: int = -1


def superblock(raw: Raw, sblock: int = 0) -> Explanation:
    """Explain the superblock.

    Args:
        sblock: the sector of 512 bytes at which a copy lies; 0 for the one that is used.
    """
    offset = sblock * 512 or raw.fs.offset
    found = contents.superblock(raw, offset)
    if found is None:
        raise VfsError(errno.ENXIO, f"{raw.fs.where}: the device ends before byte {offset}")
    return _placed(raw, "superblock", offset, found.size, f"superblock at byte {offset}", (found,))


def group(raw: Raw, cgx: int) -> Explanation:
    """Explain a cylinder group. Raises: VfsError: ENXIO: there is none."""
    if not 0 <= cgx < raw.fs.fs_ncg:
        raise VfsError(errno.ENXIO, f"{raw.fs.where}: there are groups 0 to {raw.fs.fs_ncg - 1}, not {cgx}")
    found = contents.group(raw, cgx)
    if found is None:
        raise VfsError(errno.ENXIO, f"{raw.fs.where}: the device ends before group {cgx}")
    fs = raw.fs
    what = (
        f"group {cgx}: frags {fs.cgbase(cgx)} to {fs.cgbase(cgx) + fs.cgfrags(cgx) - 1}, "
        f"inodes {cgx * fs.fs_ipg} to {(cgx + 1) * fs.fs_ipg - 1}"
    )
    if raw.group(cgx) is None:
        what += "; its block is damaged"
    return _placed(raw, f"group {cgx}", found.offset, found.size, what, (found,))


def inode(raw: Raw, ino: int, names: Names | None = None) -> Explanation:
    """Explain an inode, and where its blocks are.

    Args:
        names: those of all inodes; read when they are not given.

    Raises:
        VfsError: ENXIO: there is none.
    """
    found = contents.inode(raw, ino)
    if found is None:
        why = f"there are inodes 2 to {raw.fs.maxino - 1}, as far as the device goes, not {ino}"
        raise VfsError(errno.ENXIO, f"{raw.fs.where}: {why}")
    di = raw.inode(ino)
    assert di is not None
    cg = raw.group(ino // raw.fs.fs_ipg)
    structures = [found]
    extents: tuple[Extent, ...] = ()
    indirect: tuple[Indirect, ...] = ()
    owners = []
    if di.di_mode & IFMT:
        owners.append(_inode_words(ino, names or Names(raw)))
        extents, indirect = _blocks_of(raw, di)
        structures += _beside(raw, di, ino)
    index = ino % raw.fs.fs_ipg
    if cg is not None and index >= cg.initediblk:
        owners.append("never initialised: what is here means nothing")
    used = None if cg is None else cg.inode_used(index)
    what = TYPES.get((di.di_mode & IFMT) >> 12, f"of unknown type {di.di_mode & IFMT:06o}")
    return Explanation(
        f"inode {ino}", found.offset, found.size, found.offset >> raw.fs.fs_fshift, ino // raw.fs.fs_ipg,
        what, tuple(owners), used, tuple(structures), extents, indirect,
    )  # fmt: skip


def path(raw: Raw, name: bytes) -> Explanation:
    """Explain the inode that a path leads to. Raises: VfsError: ENOENT, ENOTDIR, ENXIO."""
    return inode(raw, lookup(raw, name))


def frag(raw: Raw, number: int, owners: Owners | None = None, names: Names | None = None) -> Explanation:
    """Explain a frag.

    Args:
        owners, names: those of the file system; read when they are not given.

    Raises:
        VfsError: ENXIO: there is none.
    """
    return _bytes(raw, number << raw.fs.fs_fshift, f"block {number}", -1, owners, names)


def byte(raw: Raw, offset: int) -> Explanation:
    """Explain a byte of the device, with the frag it is in. Raises: VfsError: ENXIO: there is none."""
    return _bytes(raw, offset, f"byte {offset}", offset)


def _bytes(
    raw: Raw, offset: int, target: str, focus: int, owners: Owners | None = None, names: Names | None = None
) -> Explanation:
    fs = raw.fs
    if not 0 <= offset < raw.size:
        last = raw.frags - 1
        why = f"the device has {raw.size} bytes, the file system frags 0 to {last}: {target} is none of them"
        raise VfsError(errno.ENXIO, f"{fs.where}: {why}")
    number = offset >> fs.fs_fshift
    start = number << fs.fs_fshift
    length = min(fs.fs_fsize, raw.size - start)
    owners = owners or Owners(raw)
    found = owners.at(number)
    if names is None and any(owner.ino for owner in found):
        names = Names(raw)
    structures: list[Structure] = []
    for owner in found:
        structures += contents.structures_in(raw, owner, start, length)
        if owner.kind == Kind.INDIRECT:
            structures.append(_pointers(raw, owner, number))
    if focus >= 0:
        inside = [each for each in structures if each.offset <= focus < each.offset + each.size]
        structures = inside or structures
    words = tuple(owner_words(raw, owner, number, names) for owner in found)
    what = words[0] if words else _nobody(raw, owners, number, start, length)
    free = owners.is_free(number) if number < raw.frags else None
    return Explanation(
        target, start, length, number, number // fs.fs_fpg if number < raw.frags else -1,
        what, words, None if free is None else not free, tuple(structures), focus=focus,
    )  # fmt: skip


def _placed(
    raw: Raw, target: str, offset: int, length: int, what: str, structures: tuple[Structure, ...]
) -> Explanation:
    number = offset >> raw.fs.fs_fshift
    return Explanation(target, offset, length, number, number // raw.fs.fs_fpg, what, (), None, structures)


# --- words ------------------------------------------------------------------------------------------------


def _inode_words(ino: int, names: Names) -> str:
    """Return what to say of an inode: its number and a path."""
    where = names.path(ino)
    if where is None:
        return f"inode {ino}, which no name leads to"
    more = names.links(ino) - 1
    return f"inode {ino}, {one_line(where)}" + (f" and {more} more" * (more > 0))


def owner_words(raw: Raw, owner: Owner, number: int, names: Names | None) -> str:
    """Return what a frag is, in words."""
    fs = raw.fs
    if not owner.ino:
        if owner.kind == Kind.SUPERBLOCK:
            return "superblock" if owner.cgx < 0 else f"copy of the superblock in group {owner.cgx}"
        if owner.kind == Kind.INODES:
            per = fs.fs_fsize // fs.dinode_size
            first = owner.cgx * fs.fs_ipg + (number - owner.frag) * per
            return f"inodes {first} to {first + per - 1} of group {owner.cgx}"
        suffix = f" {owner.cgx}" if owner.cgx >= 0 else ""
        return f"{_KINDS[owner.kind]}{suffix}"
    assert names is not None
    whose = _inode_words(owner.ino, names)
    if owner.kind == Kind.INDIRECT:
        level = level_of(fs, owner.lbn)
        first = -owner.lbn - level
        return f"{_LEVELS[level % 3]} indirect block of {whose}: leads to its blocks from {first} on"
    index = number - owner.frag
    lbn = owner.lbn + index // fs.fs_frag
    offset = lbn * fs.fs_bsize + (index % fs.fs_frag) * fs.fs_fsize
    if owner.kind == Kind.ATTRIBUTES:
        return f"extended attributes of {whose}"
    return f"{owner.kind.name.lower()}: block {lbn} (bytes from {offset} on) of {whose}"


def _nobody(raw: Raw, owners: Owners, number: int, start: int, length: int) -> str:
    """Return what to say of a frag that belongs to nothing."""
    if number >= raw.frags:
        return f"behind the file system, which has {raw.fs.fs_size} frags"
    data = raw.disk.read(length, start)
    state = "free" if owners.is_free(number) else "in use, and nothing leads to it"
    if not any(data):
        return f"{state}; holds zeros"
    whose = Chunks(raw.fs).owner(data[: raw.fs.dirblksiz])
    if whose is not None:
        return f"{state}; holds what was the beginning of directory inode {whose[0]}, in inode {whose[1]}"
    return f"{state}; holds old data"


# --- what an inode leads to -------------------------------------------------------------------------------


def _blocks_of(raw: Raw, di: Dinode) -> tuple[tuple[Extent, ...], tuple[Indirect, ...]]:
    """Return the extents and the indirect blocks of an inode."""
    fs = raw.fs
    extents: list[Extent] = []
    indirect: list[Indirect] = []
    for piece in Pieces(raw).of(di):
        if piece.attributes:
            continue
        if piece.lbn < 0:
            if len(indirect) < _MOST:
                indirect.append(_indirect(raw, piece.lbn, piece.frag))
            continue
        offset, length = piece.lbn * fs.fs_bsize, piece.frags << fs.fs_fshift
        last = extents[-1] if extents else None
        if (
            last
            and last.offset + last.length == offset
            and last.frag + (last.length >> fs.fs_fshift) == piece.frag
        ):
            extents[-1] = last._replace(length=last.length + length)
        else:
            extents.append(Extent(offset, piece.frag << fs.fs_fshift, piece.frag, length))
    return tuple(extents), tuple(indirect)


def _indirect(raw: Raw, lbn: int, number: int) -> Indirect:
    pointers = contents.pointers(raw, number)
    level = level_of(raw.fs, lbn)
    return Indirect(number, level, -lbn - level, sum(map(bool, pointers)), raw.fs.fs_nindir)


def _pointers(raw: Raw, owner: Owner, number: int) -> Structure:
    """Return the pointers in a frag of an indirect block as a structure."""
    fs = raw.fs
    pointers = contents.pointers(raw, owner.frag + (number - owner.frag) // fs.fs_frag * fs.fs_frag)
    width = 8 if fs.ufs2 else 4
    per = fs.fs_fsize // width
    skip = (number - owner.frag) % fs.fs_frag * per
    level = level_of(fs, owner.lbn)
    span = fs.fs_nindir**level
    base = number << fs.fs_fshift
    fields = tuple(
        text_field(
            base + index * width,
            f"[{skip + index}]",
            b"",
            f"block {(skip + index) * span - owner.lbn - level}",
        )._replace(size=width, value=pointer, text=str(pointer))
        for index, pointer in enumerate(pointers[skip : skip + per])
        if pointer
    )
    return Structure(f"{_LEVELS[level % 3]} indirect block", "pointers", base, fs.fs_fsize, fields)


def _beside(raw: Raw, di: Dinode, ino: int) -> Iterator[Structure]:
    """Yield what belongs to an inode beside its blocks: entries, the text of a link, attributes."""
    fs = raw.fs
    kind = di.di_mode & IFMT
    if kind == IFDIR:
        count = 0
        for _, number, data in content(raw, di):
            for entry in contents.entries(raw, data, number << fs.fs_fshift):
                count += 1
                if count > _MOST:
                    return
                yield entry
    elif kind == IFLNK and fs.is_fast_symlink(di.di_size, di.di_blocks):
        data = raw.inode_bytes(ino)
        place = raw.codec.record.offset("di_db")
        text = raw.codec.fast_symlink(data, 0, di.di_size)
        at = fs.ino_to_byte(ino) + place
        yield Structure(
            "symbolic link", "text", at, len(text), (text_field(at, "target", text, "where it leads"),)
        )
    if fs.ufs2 and di.di_extsize > 0:
        for piece in Pieces(raw).of(di):
            if piece.attributes:
                left = di.di_extsize - piece.lbn * fs.fs_bsize
                data = raw.disk.read(min(left, piece.frags << fs.fs_fshift), piece.frag << fs.fs_fshift)
                yield from contents.attributes(raw, data, piece.frag << fs.fs_fshift)


__all__ = [
    "Explanation", "Extent", "Indirect", "byte", "frag", "group", "inode", "path", "superblock",
]  # fmt: skip
