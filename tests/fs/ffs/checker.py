"""An independent check of an FFS image: everything that is recorded twice is counted anew.

It goes by the rules of fsck_ffs (pass1.c, pass2.c, pass4.c, pass5.c), shares the declarations of `ondisk` and
nothing of the file system's code, and is strict: what fsck_ffs -p would put right is a complaint, too.
"""

from __future__ import annotations

import os
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rumpfs.ondisk.ufs.cg import Cg
from rumpfs.ondisk.ufs.ckhash import CK_INODE, check_hash, check_superblock_hash
from rumpfs.ondisk.ufs.dinode import (
    IFBLK,
    IFCHR,
    IFDIR,
    IFLNK,
    IFMT,
    IFREG,
    SF_LOG,
    UFS2_DINODE,
    Dinode,
    dinode_codec,
)
from rumpfs.ondisk.ufs.direct import parse_dir
from rumpfs.ondisk.ufs.extattr import parse_extattrs
from rumpfs.ondisk.ufs.fs import CSUM, NDADDR, ROOTINO
from rumpfs.ondisk.ufs.superblock import find_superblock


class Checker:
    """The check of one image; `complaints` says what is wrong."""

    def __init__(self, image: Path, offset: int = 0) -> None:
        self._fd = os.open(image, os.O_RDONLY)
        self._base = offset
        try:
            self.fs = find_superblock(self.read, os.fstat(self._fd).st_size - offset, image.name)
            self.complaints: list[str] = []
            self.owner: dict[int, int] = {}
            self.inodes: dict[int, Dinode] = {}
            self.names: Counter[int] = Counter()
            self.run()
        finally:
            os.close(self._fd)

    def read(self, nbytes: int, offset: int) -> bytes:
        return os.pread(self._fd, nbytes, self._base + offset)

    def complain(self, text: str) -> None:
        self.complaints.append(text)

    def run(self) -> None:
        fs = self.fs
        check_superblock_hash(fs)
        if fs.record.fs_fmod or fs.record.fs_ronly:
            self.complain("fs_fmod or fs_ronly is set")
        self.groups = [
            Cg.decode(self.read(fs.fs_cgsize, fs.cgtod(cg) * fs.fs_fsize), fs, cg) for cg in range(fs.fs_ncg)
        ]
        self.scan()
        self.connect()
        self.count()

    # Pass 1: inodes and their blocks.

    def scan(self) -> None:
        fs = self.fs
        codec = dinode_codec(fs)
        for group in self.groups:
            first = group.cgx * fs.fs_ipg
            table = self.read(group.initediblk * codec.size, fs.ino_to_byte(first))
            for index, dinode in enumerate(codec.decode_many(table)):
                ino = first + index
                if not dinode.di_mode:
                    if dinode.di_size or any(dinode.di_db) or any(dinode.di_ib):
                        self.complain(f"inode {ino} is free and not empty")
                    continue
                raw = table[index * codec.size : (index + 1) * codec.size]
                check_hash(fs, CK_INODE, raw, UFS2_DINODE, "di_ckhash", f"inode {ino}")
                self.inodes[ino] = dinode
                self.blocks(ino, dinode)

    def blocks(self, ino: int, dinode: Dinode) -> None:
        fs = self.fs
        frags = self.attributes(ino, dinode)
        kind = dinode.di_mode & IFMT
        if kind in (IFREG, IFDIR) or (kind == IFLNK and not self.fast(dinode)):
            frags += self.file(ino, dinode)
        elif kind != IFLNK:
            pointers = dinode.di_db[kind in (IFBLK, IFCHR) :] + dinode.di_ib
            if dinode.di_size or any(pointers):
                self.complain(f"inode {ino} has blocks")
        if frags * fs.fs_fsize // 512 != dinode.di_blocks:
            self.complain(f"inode {ino}: di_blocks is {dinode.di_blocks}, there are {frags} frags")

    def fast(self, dinode: Dinode) -> bool:
        return self.fs.is_fast_symlink(dinode.di_size, dinode.di_blocks)

    def file(self, ino: int, dinode: Dinode) -> int:
        fs = self.fs
        frags = 0
        nblocks = -(-dinode.di_size // fs.fs_bsize)
        for lbn, frag in enumerate(dinode.di_db):
            if frag and lbn >= nblocks:
                self.complain(f"inode {ino}: block {lbn} is beyond the end")
            elif frag:
                frags += self.take(ino, frag, fs.blksize(dinode.di_size, lbn) // fs.fs_fsize)
            elif dinode.di_mode & IFMT == IFDIR and lbn < nblocks:
                self.complain(f"directory {ino} has a hole")
        start = NDADDR
        for level, frag in enumerate(dinode.di_ib):
            if frag and start >= nblocks:
                self.complain(f"inode {ino}: indirect block {level} is beyond the end")
            elif frag:
                frags += self.indirect(ino, frag, level, start, nblocks)
            start += fs.fs_nindir ** (level + 1)
        return frags

    def attributes(self, ino: int, dinode: Dinode) -> int:
        """Take the area of extended attributes, which is whole (UFS2)."""
        fs = self.fs
        frags = 0
        area = b""
        for lbn, frag in enumerate(dinode.di_extb):
            count = fs.blksize(dinode.di_extsize, lbn) // fs.fs_fsize
            if bool(frag) != bool(count):
                self.complain(f"inode {ino}: di_extb[{lbn}] is {frag}, di_extsize {dinode.di_extsize}")
            elif frag:
                frags += self.take(ino, frag, count)
                area += self.read(count * fs.fs_fsize, frag * fs.fs_fsize)
        _, damage = parse_extattrs(area[: dinode.di_extsize], fs.order, f"inode {ino}")
        if damage is not None or any(area[dinode.di_extsize :]):
            self.complain(f"inode {ino}: extended attributes: {damage or 'not zero behind them'}")
        return frags

    def indirect(self, ino: int, frag: int, level: int, start: int, nblocks: int) -> int:
        fs = self.fs
        frags = self.take(ino, frag, fs.fs_frag)
        data = self.read(fs.fs_bsize, frag * fs.fs_fsize)
        span = fs.fs_nindir**level
        pointers = struct.unpack(f"{fs.order}{fs.fs_nindir}{'q' if fs.ufs2 else 'i'}", data)
        for index, below in enumerate(pointers):
            if not below:
                continue
            first = start + index * span
            if first >= nblocks:
                self.complain(f"inode {ino}: block {first} is beyond the end")
            elif level:
                frags += self.indirect(ino, below, level - 1, first, nblocks)
            else:
                frags += self.take(ino, below, fs.fs_frag)
        return frags

    def take(self, ino: int, frag: int, count: int) -> int:
        fs = self.fs
        cg = frag // fs.fs_fpg
        if not 0 < frag <= frag + count <= fs.fs_size:
            self.complain(f"inode {ino}: frag {frag} is outside of the file system")
            return 0
        if frag % fs.fs_frag + count > fs.fs_frag:
            self.complain(f"inode {ino}: frags {frag}+{count} cross a block")
        if frag < fs.cgdmin(cg) and frag + count > (fs.cgsblock(cg) if cg else 0):
            self.complain(f"inode {ino}: frag {frag} is metadata")
        for place in range(frag, frag + count):
            if place in self.owner:
                self.complain(f"frag {place} is of inodes {self.owner[place]} and {ino}")
            self.owner[place] = ino
        return count

    # Passes 2, 3 and 4: directories and names.

    def content(self, dinode: Dinode) -> Iterator[bytes]:
        fs = self.fs
        for lbn in range(-(-dinode.di_size // fs.fs_bsize)):
            if lbn < NDADDR:
                frag = dinode.di_db[lbn]
            else:
                code = "q" if fs.ufs2 else "i"
                index = lbn - NDADDR
                assert index < fs.fs_nindir, "the checker reads no doubly indirect directories"
                data = self.read(fs.fs_bsize, dinode.di_ib[0] * fs.fs_fsize)
                frag = struct.unpack(f"{fs.order}{fs.fs_nindir}{code}", data)[index]
            nbytes = min(fs.fs_bsize, dinode.di_size - lbn * fs.fs_bsize)
            yield self.read(nbytes, frag * fs.fs_fsize)

    def connect(self) -> None:
        fs = self.fs
        todo, seen = [(ROOTINO, ROOTINO)], {ROOTINO}
        while todo:
            ino, parent = todo.pop()
            dinode = self.inodes.get(ino)
            if dinode is None or dinode.di_mode & IFMT != IFDIR:
                self.complain(f"inode {ino} is no directory")
                continue
            if not dinode.di_size or dinode.di_size % fs.dirblksiz:
                self.complain(f"directory {ino} has {dinode.di_size} bytes")
            data = b"".join(self.content(dinode))
            entries = parse_dir(data, fs.order, fs.old_dirents, fs.dirblksiz, fs.maxino, f"directory {ino}")
            dots = [(entry[1], entry[3]) for entry in entries[:2]]
            if dots != [(ino, b"."), (parent, b"..")]:
                self.complain(f"directory {ino} starts with {dots}")
            if len({entry[3] for entry in entries}) != len(entries):
                self.complain(f"directory {ino} has a name twice")
            for place, (_, below, dtype, name) in enumerate(entries):
                self.names[below] += 1
                found = self.inodes.get(below)
                if found is None:
                    self.complain(f"directory {ino}: {name!r} is the free inode {below}")
                    continue
                if not fs.old_dirents and found.di_mode >> 12 != dtype:
                    self.complain(f"directory {ino}: {name!r} has type {dtype}")
                if found.di_mode & IFMT == IFDIR and place > 1:
                    if below in seen:
                        self.complain(f"directory {below} has two names")
                        continue
                    seen.add(below)
                    todo.append((below, ino))
        for ino, dinode in self.inodes.items():
            hidden = ino in fs.fs_quotafile or dinode.di_flags & SF_LOG
            if self.names[ino] != dinode.di_nlink and not hidden:
                self.complain(f"inode {ino} has {self.names[ino]} names, di_nlink is {dinode.di_nlink}")

    # Pass 5: groups and summaries.

    def count(self) -> None:
        fs = self.fs
        summary = CSUM.codec(fs.order).iter_unpack_flat(self.read(fs.fs_ncg * 16, fs.fs_csaddr * fs.fs_fsize))
        totals = [0, 0, 0, 0]
        for place in range(fs.fs_csaddr, fs.fs_csaddr + -(-fs.fs_cssize // fs.fs_fsize)):
            self.owner[place] = 0
        for group, recorded in zip(self.groups, summary, strict=True):
            counted = self.group(group)
            if counted != group.cg_cs or counted != recorded:
                self.complain(f"group {group.cgx}: {counted}, cg_cs {group.cg_cs}, summary {recorded}")
            totals = [total + part for total, part in zip(totals, counted, strict=True)]
        if tuple(totals) != tuple(fs.fs_cstotal):
            self.complain(f"fs_cstotal is {fs.fs_cstotal}, counted {totals}")

    def group(self, group: Cg) -> tuple[int, int, int, int]:
        fs = self.fs
        cgx, base = group.cgx, fs.cgbase(group.cgx)
        used = [base + index in self.owner for index in range(group.ndblk)]
        for frag in range(0 if cgx == 0 else fs.cgsblock(cgx) - base, fs.cgdmin(cgx) - base):
            used[frag] = True
        for index in range(8 * len(group.blksfree)):
            free = group.frag_free(index)
            if free and index >= group.ndblk:
                self.complain(f"group {cgx}: frag {index} is beyond its end and free")
            elif index < group.ndblk and free == used[index]:
                self.complain(f"group {cgx}: the map of frags is wrong at frag {base + index}")
        nbfree = nffree = 0
        frsum = [0] * 8
        whole = []
        for start in range(0, group.ndblk, fs.fs_frag):
            text = "".join(" " if taken else "x" for taken in used[start : start + fs.fs_frag])
            whole.append(text == "x" * fs.fs_frag)
            if whole[-1]:
                nbfree += 1
            else:
                nffree += text.count("x")
                for piece in text.split():
                    frsum[len(piece)] += 1
        if tuple(frsum) != tuple(group.record.cg_frsum):
            self.complain(f"group {cgx}: cg_frsum is {group.record.cg_frsum}, counted {frsum}")
        if fs.fs_contigsumsize > 0:
            self.clusters(group, whole[: group.record.cg_nclusterblks])
        ndir, nifree = self.inode_map(group)
        return ndir, nbfree, nifree, nffree

    def clusters(self, group: Cg, whole: list[bool]) -> None:
        longest = self.fs.fs_contigsumsize
        sums = [0] * (longest + 1)
        run = 0
        for free in [*whole, False]:
            if not free and run:
                sums[min(run, longest)] += 1
            run = run + 1 if free else 0
        if tuple(sums[1:]) != group.clustersum[1:]:
            self.complain(f"group {group.cgx}: clusters {group.clustersum[1:]}, counted {sums[1:]}")
        for index, free in enumerate(whole):
            if bool(group.clustersfree[index >> 3] >> (index & 7) & 1) != free:
                self.complain(f"group {group.cgx}: block {index} is wrong in the cluster map")

    def inode_map(self, group: Cg) -> tuple[int, int]:
        fs = self.fs
        first = group.cgx * fs.fs_ipg
        ndir = nifree = 0
        for index in range(fs.fs_ipg):
            dinode = self.inodes.get(first + index)
            taken = dinode is not None or first + index < ROOTINO
            nifree += not taken
            ndir += dinode is not None and dinode.di_mode & IFMT == IFDIR
            if group.inode_used(index) != taken:
                self.complain(f"group {group.cgx}: the map of inodes is wrong at {first + index}")
        return ndir, nifree


def complaints(image: Path, clean: bool = True, offset: int = 0) -> list[str]:
    """Return what is wrong with an image; with `clean` that also is a file system in use."""
    checker = Checker(image, offset)
    if clean and checker.fs.fs_clean != 1:
        checker.complain(f"fs_clean is {checker.fs.fs_clean}")
    return checker.complaints
