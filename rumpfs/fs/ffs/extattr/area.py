"""The extended attributes of UFS2, which are with the inodes (NetBSD: ffs_extattr.c).

They are read also under the plain magic: FreeBSD writes them under it, and a NetBSD that knows nothing of
them writes none, so there is nothing to mistake. They are changed where whoever checks the file system
knows them: on FreeBSD's, and under NetBSD's magic for them (newfs -O 2ea); the fsck_ffs of another NetBSD
takes their blocks for damage.

A change writes the whole area anew, at another place: first the area, then the inode that points to it, and
then the old place is free. So a cut leaves the old attributes or the new ones. Only when no space is left is
an area that does not grow written where it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from rumpfs.abi import errno
from rumpfs.abi.mount import MNT_RDONLY
from rumpfs.abi.stat import S_ISGID, S_ISUID
from rumpfs.base.copy import Buffer
from rumpfs.base.errors import Corrupt, DiskError, VfsError
from rumpfs.fs.ffs.extattr.extattrs import Extattrs, Store
from rumpfs.ondisk.ufs.dinode import Dinode
from rumpfs.ondisk.ufs.extattr import NXADDR, Attributes, build_extattr, parse_extattrs
from rumpfs.vfs.cred import VREAD, VWRITE, Cred
from rumpfs.vfs.genfs import can_extattr
from rumpfs.vfs.vnode import VBLK, VCHR, eopnotsupp

if TYPE_CHECKING:
    from rumpfs.fs.ffs.inode import Inode
    from rumpfs.fs.ffs.ufsmount import FfsMount

#: di_blocks counts units of this many bytes (DEV_BSIZE).
_UNIT_SHIFT: Final = 9

#: (first frag, frags); (0, 0) when there are none
_Run = tuple[int, int]


class InodeExtattrs(Extattrs):
    """The attributes of UFS2. Those of the inode that was asked last are kept."""

    def __init__(self, mp: FfsMount) -> None:
        Extattrs.__init__(self, mp)
        self._dinode: Dinode | None = None
        self._attributes: Attributes = {}
        self._damage: DiskError | None = None

    def get(self, ip: Inode, attrnamespace: int, name: bytes, cred: Cred) -> Buffer:
        _no_device(ip)
        can_extattr(ip, attrnamespace, VREAD, cred)
        self._load(ip)
        value = self._attributes.get((attrnamespace, name))
        if value is None:
            self._check()
            raise VfsError(errno.ENODATA)
        return value

    def names(self, ip: Inode, attrnamespace: int, cred: Cred) -> list[bytes]:
        _no_device(ip)
        can_extattr(ip, attrnamespace, VREAD, cred)
        self._load(ip)
        self._check()
        return [name for namespace, name in self._attributes if namespace == attrnamespace]

    def set(self, ip: Inode, attrnamespace: int, name: bytes, length: int, cred: Cred) -> Store:
        """Return what stores a value (ffs_setextattr).

        Errors:
            EOPNOTSUPP: a device, or a file system that should have no attributes; EINVAL: no name, or the
            value is longer than any area; EROFS; those of `can_extattr`; EIO; ENOSPC: there is no room in the
            area, or no block for it.
        """
        self._changeable(ip, name)
        if length > NXADDR * self._mp.um_fs.fs_bsize:
            raise VfsError(errno.EINVAL)
        can_extattr(ip, attrnamespace, VWRITE, cred)
        key = (attrnamespace, name)
        self._packed(self._whole(ip) | {key: bytes(length)})

        def store(value: bytes) -> None:
            self._replace(ip, self._whole(ip) | {key: value}, cred)

        return store

    def delete(self, ip: Inode, attrnamespace: int, name: bytes, cred: Cred) -> None:
        """Take an attribute away (ffs_deleteextattr). Errors: those of `set`, ENODATA."""
        self._changeable(ip, name)
        can_extattr(ip, attrnamespace, VWRITE, cred)
        attributes = self._whole(ip).copy()
        if attributes.pop((attrnamespace, name), None) is None:
            raise VfsError(errno.ENODATA)
        self._replace(ip, attributes, cred)

    def _changeable(self, ip: Inode, name: bytes) -> None:
        _no_device(ip)
        mp = self._mp
        if not mp.um_fs.keeps_extattrs:
            eopnotsupp("NetBSD changes extended attributes only in a UFS2 made for them (newfs -O 2ea)")
        if not name:
            raise VfsError(errno.EINVAL)
        if mp.mnt_flag & MNT_RDONLY:
            raise VfsError(errno.EROFS)

    # --- reading --------------------------------------------------------------------------------

    def _whole(self, ip: Inode) -> Attributes:
        """Return the attributes of an inode whose area is not damaged. Errors: EIO."""
        self._load(ip)
        self._check()
        return self._attributes

    def _load(self, ip: Inode) -> None:
        """Read the area of an inode, as far as it can be read."""
        dinode = ip.dinode
        if dinode is self._dinode:
            return
        where = f"{self._mp.um_fs.where}: inode {ip.i_number}"
        try:
            area = self._area(dinode, where)
            self._attributes, self._damage = parse_extattrs(area, self._mp.um_fs.order, where)
        except DiskError as error:
            self._attributes, self._damage = {}, error
        self._dinode = dinode

    def _area(self, dinode: Dinode, where: str) -> bytes:
        """Return the bytes of an area. Raises: Corrupt."""
        mp = self._mp
        fs = mp.um_fs
        left = dinode.di_extsize
        if not 0 <= left <= NXADDR * fs.fs_bsize:
            raise Corrupt(where, "di_extsize", left, f"an area has {NXADDR * fs.fs_bsize} bytes at most")
        parts = []
        for index, frag in enumerate(dinode.di_extb):
            nbytes = min(left, fs.fs_bsize)
            if not nbytes:
                break
            if frag <= 0 or (frag << fs.fs_fshift) + nbytes > mp.um_frags << fs.fs_fshift:
                why = f"the {nbytes} bytes there are not within the {mp.um_frags} frags of the file system"
                raise Corrupt(where, f"di_extb[{index}]", frag, why)
            parts.append(mp.pread(nbytes, frag << fs.fs_fshift))
            left -= nbytes
        return b"".join(parts)

    def _check(self) -> None:
        """Check that all of the area could be read. Errors: EIO."""
        if self._damage is not None:
            raise self._mp.damaged(self._damage)

    # --- writing --------------------------------------------------------------------------------

    def _packed(self, attributes: Attributes) -> bytes:
        """Return an area. Errors: ENOSPC: it is larger than any may be."""
        fs = self._mp.um_fs
        area = b"".join(
            build_extattr(attrnamespace, name, value, fs.order)
            for (attrnamespace, name), value in attributes.items()
        )
        if len(area) > NXADDR * fs.fs_bsize:
            raise VfsError(
                errno.ENOSPC, f"the attributes of a file have {NXADDR * fs.fs_bsize} bytes at most"
            )
        return area

    def _replace(self, ip: Inode, attributes: Attributes, cred: Cred) -> None:
        """Let an inode have these attributes (ffs_close_ea). Errors: ENOSPC, EIO."""
        mp = self._mp
        fs = mp.um_fs
        area = self._packed(attributes)
        mp.begin()
        assert mp.um_alloc is not None
        old = ip.dinode
        places, freed = self._places(ip, len(area), cred)
        for lbn, (frag, count) in enumerate(places):
            if count:
                piece = area[lbn << fs.fs_bshift : lbn + 1 << fs.fs_bshift]
                mp.pwrite(piece.ljust(count << fs.fs_fshift, b"\0"), frag << fs.fs_fshift)
        grown = sum(count for _, count in places) - sum(count for _, count in _runs(ip))
        mode = old.di_mode & ~(S_ISUID | S_ISGID) if cred.euid else old.di_mode
        first, second = (frag for frag, _ in places)
        ip.change(
            di_mode=mode,
            di_blocks=max(0, old.di_blocks + (grown << fs.fs_fshift - _UNIT_SHIFT)),
            di_extsize=len(area),
            di_extb=(first, second),
        )
        ip.update()
        for frag, count in freed:
            mp.um_alloc.free(frag, count)
        self._dinode, self._attributes, self._damage = ip.dinode, attributes, None

    def _places(self, ip: Inode, size: int, cred: Cred) -> tuple[list[_Run], list[_Run]]:
        """Return where an area of `size` bytes goes, and what is free when the inode says so.

        Errors: ENOSPC, EIO.
        """
        fs = self._mp.um_fs
        had = list(_runs(ip))
        wanted = [fs.blksize(size, lbn) >> fs.fs_fshift for lbn in range(NXADDR)]
        try:
            return self._allocated(ip, wanted, cred), [run for run in had if run[1]]
        except VfsError as error:
            pairs = list(zip(had, wanted, strict=True))
            if error.errno != errno.ENOSPC or any(want > count for (_, count), want in pairs):
                raise
        places = [(frag if want else 0, want) for (frag, _), want in pairs]
        return places, [(frag + want, count - want) for (frag, count), want in pairs if count > want]

    def _allocated(self, ip: Inode, wanted: list[int], cred: Cred) -> list[_Run]:
        """Allocate so many frags for each block of an area. Errors: ENOSPC, EIO; nothing is taken then."""
        alloc, fs = self._mp.um_alloc, self._mp.um_fs
        assert alloc is not None
        cg = ip.i_number // fs.fs_ipg
        taken: list[_Run] = []
        pref = 0
        try:
            for count in wanted:
                if not count:
                    frag = 0
                elif count == fs.fs_frag:
                    frag = alloc.blocks(cg, pref, 1, cred)[0]
                    pref = alloc.blkpref(cg, 1, frag)
                else:
                    frag = alloc.frags(cg, pref, count, cred)
                taken.append((frag, count))
        except VfsError:
            for frag, count in taken:
                alloc.untake(frag, count)
            raise
        return taken


def _runs(ip: Inode) -> Iterator[_Run]:
    """Yield the frags of each block of an inode's area."""
    fs = ip.v_mount.um_fs
    dinode = ip.dinode
    for lbn, frag in enumerate(dinode.di_extb):
        count = fs.blksize(dinode.di_extsize, lbn) >> fs.fs_fshift if dinode.di_extsize > 0 else 0
        yield (frag, count) if frag and count else (0, 0)


def _no_device(ip: Inode) -> None:
    """Refuse attributes of a device, which NetBSD has not got. Errors: EOPNOTSUPP."""
    if ip.v_type in (VBLK, VCHR):
        eopnotsupp()
