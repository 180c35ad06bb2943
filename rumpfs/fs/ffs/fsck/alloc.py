"""Space for what a repair has to make: the root directory, lost+found, and more room in it.

Frags and inodes are taken from the tables of the check, first fit; pass 5 then sets the groups right.
Source: NetBSD sbin/fsck_ffs/utilities.c (`allocblk`), inode.c (`allocino`, `freeino`), dir.c (`allocdir`).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from rumpfs.fs.ffs.fsck.claim import charge, release
from rumpfs.fs.ffs.fsck.tables import DIR, DIRECTORIES, FREE, Directory
from rumpfs.ondisk.ufs.cg import CG, CG_MAGIC
from rumpfs.ondisk.ufs.dinode import IFDIR, Dinode
from rumpfs.ondisk.ufs.dirchunk import first_chunk
from rumpfs.ondisk.ufs.direct import DIRECT_HEADER, DT_DIR
from rumpfs.ondisk.ufs.fs import ROOTINO
from rumpfs.ondisk.ufs.wapbl import DEV_BSIZE

if TYPE_CHECKING:
    from rumpfs.fs.ffs.fsck.checker import Check


def allocate_frags(ck: Check, count: int) -> int:
    """Take free frags that lie in one block; return the first, or 0 when there are none."""
    fs = ck.fs
    full = (1 << fs.fs_frag) - 1
    wanted = (1 << count) - 1
    for block in range(0, fs.fs_size - fs.fs_frag, fs.fs_frag):
        free = ck.map.free_bits(block, fs.fs_frag)
        if not free or (count == fs.fs_frag and free != full):
            continue
        for shift in range(fs.fs_frag - count + 1):
            if free >> shift & wanted == wanted:
                ck.map.claim(block + shift, count)
                ck.blocks += count
                return block + shift
    return 0


def _allocate_inode(ck: Check, wanted: int) -> int:
    """Take a free inode, `wanted` or for 0 the first one; return 0 when there is none.

    An inode that was never initialised is not taken, unless there is no other: a file system in which few
    inodes were ever used at once may have no other.
    """
    state, ipg = ck.inodes.state, ck.fs.fs_ipg
    if wanted:
        return wanted if state[wanted] == FREE else 0
    ino = state.find(FREE, ROOTINO)
    while ino >= 0 and ino % ipg >= ck.inited[ino // ipg]:
        ino = state.find(FREE, (ino // ipg + 1) * ipg)
    return ino if ino >= 0 else _initialise(ck)


def _initialise(ck: Check) -> int:
    """Initialise another block of inodes in some group; return the first of them, or 0 when there is none."""
    fs = ck.fs
    codec = CG.codec(fs.order)
    for cg, count in ck.inited.items():
        if count < fs.fs_ipg:
            ino = cg * fs.fs_ipg + count
            ck.disk.write(bytes(fs.fs_bsize), fs.ino_to_fsba(ino) * fs.fs_fsize)
            ck.inited[cg] = min(count + fs.fs_inopb, fs.fs_ipg)
            address = fs.cgtod(cg) * fs.fs_fsize
            row = codec.unpack(ck.disk.read(CG.size, address).ljust(CG.size, b"\0"))
            if row.cg_magic == CG_MAGIC:
                ck.disk.write(codec.pack(row._replace(cg_initediblk=ck.inited[cg])), address)
            return ino
    return 0


def allocate_directory(ck: Check, parent: int, wanted: int, mode: int) -> int:
    """Make an empty directory without a name.

    Args:
        ck: the check.
        parent: what its ``..`` says, and whose di_nlink goes up.
        wanted: its inode number, or 0 for any.
        mode: permissions.

    Returns:
        Its inode number; 0 when there is no room.
    """
    fs = ck.fs
    ino = _allocate_inode(ck, wanted)
    frag = allocate_frags(ck, 1) if ino else 0
    if not frag:
        return 0
    form = ck.dirs_format
    size = max(fs.fs_fsize, form.chunk)
    content = (_first_chunk(ck, ino, parent) + form.empty() * (size // form.chunk))[:size]
    ck.disk.write(content, frag * fs.fs_fsize)
    now = ck.now()
    di = ck.dinode(ino)._replace(
        di_mode=IFDIR | mode, di_nlink=2, di_uid=0, di_gid=0, di_size=size, di_flags=0,
        di_blocks=fs.fs_fsize // DEV_BSIZE, di_db=(frag, *(0,) * 11), di_ib=(0, 0, 0),
        di_atime=now, di_mtime=now, di_ctime=now, di_atimensec=0, di_mtimensec=0, di_ctimensec=0,
        di_extsize=0, di_extb=(0, 0),
    )  # fmt: skip
    ck.put(ino, di)
    ck.files += 1
    charge(ck, ino, di, di.di_blocks, 1)
    _enter(ck, ino, parent, di)
    return ino


def _enter(ck: Check, ino: int, parent: int, di: Dinode) -> None:
    """Enter a new directory in the tables of the check."""
    inodes = ck.inodes
    inodes.dtype[ino] = DT_DIR
    d = Directory(ino, di.di_size, di.di_db, di.di_ib, parent, parent)
    ck.dirs[ino] = d
    if ino == ROOTINO:
        inodes.state[ino] = DIR
        inodes.links[ino] = di.di_nlink
        return
    inodes.state[ino] = inodes.state[parent]
    inodes.links[ino] = 0
    ck.order.append(d)
    if inodes.state[ino] == DIR:
        inodes.links[ino] = di.di_nlink
        inodes.links[parent] += 1
    assert inodes.state[parent] in DIRECTORIES
    old = ck.dinode(parent)
    ck.put(parent, old._replace(di_nlink=old.di_nlink + 1))


def _first_chunk(ck: Check, ino: int, parent: int) -> bytes:
    """Return the chunk of a new directory, in either format."""
    form = ck.dirs_format
    chunk = first_chunk(form.order, form.chunk, ino, parent)
    if not form.old:
        return chunk
    old = bytearray(chunk)
    for offset, namlen in ((0, 1), (12, 2)):
        struct.pack_into(form.order + "H", old, offset + DIRECT_HEADER - 2, namlen)
    return bytes(old)


def free_inode(ck: Check, ino: int) -> None:
    """Free an inode and what it holds."""
    release(ck, ino, ck.dinode(ino))
    ck.dirs.pop(ino, None)
