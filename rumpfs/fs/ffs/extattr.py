"""Extended attributes (NetBSD: ufs_extattr.c for UFS1, ffs_extattr.c for UFS2).

UFS1 keeps them in backing files, which have to be started: by mounting with MNT_EXTATTR, or by extattrctl(2).

UFS2 keeps them with the inode. They are read also under the plain magic: FreeBSD writes them under it, and a
NetBSD that knows nothing of them writes none, so there is nothing to mistake. NetBSD writes them only under
the magic of UFS2EA, because an fsck_ffs without them takes their blocks for damage.

Attributes are read and not changed: that is EROFS on a read-only mount, and EOPNOTSUPP on one for writing as
well as under the plain magic of UFS2.

An attribute that is not there is ENODATA: UFS1's recorded answer, and the one that setxattr's flags go by.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from rumpfs.abi import errno
from rumpfs.abi.extattr import (
    EXTATTR_CMD_START,
    EXTATTR_CMD_STOP,
    EXTATTR_NAMESPACES,
    UFS_EXTATTR_CMD_DISABLE,
    UFS_EXTATTR_CMD_ENABLE,
)
from rumpfs.abi.mount import MNT_EXTATTR, MNT_RDONLY
from rumpfs.base.copy import COPYIN_MAX, Buffer
from rumpfs.base.errors import Corrupt, DiskError, VfsError
from rumpfs.fs.ffs.lookup import DirDamage, read_entries
from rumpfs.fs.ffs.readwrite import DataInode
from rumpfs.ondisk.ufs.dinode import Dinode
from rumpfs.ondisk.ufs.extattr import (
    NXADDR,
    UFS_EXTATTR_FILEHEADER,
    UFS_EXTATTR_FSROOTSUBDIR,
    UFS_EXTATTR_HEADER,
    Attributes,
    Slots,
    decode_fileheader,
    parse_extattrs,
)
from rumpfs.ondisk.ufs.fs import FS_UFS2EA_MAGIC
from rumpfs.vfs.cred import VREAD, Cred
from rumpfs.vfs.genfs import can_extattr
from rumpfs.vfs.vnode import VDIR, VREG, Vnode, eopnotsupp, vref, vrele

if TYPE_CHECKING:
    from rumpfs.fs.ffs.inode import Inode
    from rumpfs.fs.ffs.ufsmount import FfsMount

log = logging.getLogger("rumpfs.fs.ffs")


class Extattrs:
    """The extended attributes of a mount; the operations are those of `Vnode` and `Mount`.

    Args:
        mp: the mount.
    """

    def __init__(self, mp: FfsMount) -> None:
        self._mp = mp

    def get(self, ip: Inode, attrnamespace: int, name: bytes, cred: Cred) -> Buffer:
        """Return the value of an attribute."""
        eopnotsupp()

    def names(self, ip: Inode, attrnamespace: int, cred: Cred) -> list[bytes]:
        """Return the names of the attributes in a namespace."""
        eopnotsupp()

    def change(self, name: bytes) -> NoReturn:
        """Refuse to set or delete an attribute."""
        eopnotsupp()

    def extattrctl(
        self, cmd: int, vp: Vnode | None, attrnamespace: int, name: bytes | None, cred: Cred
    ) -> None:
        """Start or stop attributes."""
        eopnotsupp()

    def start(self) -> None:
        """Start what MNT_EXTATTR asks for. Errors: ENOENT, ENOTDIR, EBUSY, EIO."""

    def stop(self) -> None:
        """Stop what was started."""

    def mounted(self) -> bool:
        """Start what a mount with MNT_EXTATTR asks for (start_extattr); it is mounted even if that fails."""
        try:
            self.start()
        except VfsError as error:
            log.warning("%s: extended attributes are not started: %s", self._mp.um_fs.where, error)
            return False
        return True

    def update(self, flags: int) -> int:
        """Start or stop as the flags of an update ask; return those that the mount gets (mount_update)."""
        if (self._mp.mnt_flag ^ flags) & MNT_EXTATTR:
            if not flags & MNT_EXTATTR:
                self.stop()
            elif not self.mounted():
                return flags & ~MNT_EXTATTR
        return flags


def _refuse_change(mp: FfsMount) -> NoReturn:
    if mp.mnt_flag & MNT_RDONLY:
        raise VfsError(errno.EROFS)
    eopnotsupp("extended attributes of an FFS can be read, not changed")


class InodeExtattrs(Extattrs):
    """The attributes of UFS2, which are with the inodes. Those of the inode that was asked last are kept."""

    def __init__(self, mp: FfsMount) -> None:
        Extattrs.__init__(self, mp)
        self._dinode: Dinode | None = None
        self._attributes: Attributes = {}
        self._damage: DiskError | None = None

    def get(self, ip: Inode, attrnamespace: int, name: bytes, cred: Cred) -> Buffer:
        can_extattr(ip, attrnamespace, VREAD, cred)
        self._load(ip)
        value = self._attributes.get((attrnamespace, name))
        if value is None:
            self._check()
            raise VfsError(errno.ENODATA)
        return value

    def names(self, ip: Inode, attrnamespace: int, cred: Cred) -> list[bytes]:
        can_extattr(ip, attrnamespace, VREAD, cred)
        self._load(ip)
        self._check()
        return [name for namespace, name in self._attributes if namespace == attrnamespace]

    def change(self, name: bytes) -> NoReturn:
        if self._mp.um_fs.fs_magic != FS_UFS2EA_MAGIC:
            eopnotsupp("NetBSD changes extended attributes only in a UFS2 made for them (newfs -O 2ea)")
        if not name:
            raise VfsError(errno.EINVAL)
        _refuse_change(self._mp)

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


class Attribute(NamedTuple):
    """An attribute that has been started: its backing file, and the layout of that."""

    vp: Vnode
    slots: Slots
    where: str


class FileExtattrs(Extattrs):
    """The attributes of UFS1, each of which is a file with a slot for every inode."""

    def __init__(self, mp: FfsMount) -> None:
        Extattrs.__init__(self, mp)
        self._enabled: dict[tuple[int, bytes], Attribute] | None = None

    def get(self, ip: Inode, attrnamespace: int, name: bytes, cred: Cred) -> Buffer:
        enabled = self._started()
        if not name:
            raise VfsError(errno.EINVAL)
        can_extattr(ip, attrnamespace, VREAD, cred)
        attribute = enabled.get((attrnamespace, name))
        length = None if attribute is None else self._length(ip, attribute)
        if attribute is None or length is None:
            raise VfsError(errno.ENODATA)
        start = attribute.slots.offset(ip.i_number) + UFS_EXTATTR_HEADER.size
        value = _read(attribute.vp, start, length)
        if len(value) < length:
            why = f"the value of inode {ip.i_number} ends {length - len(value)} bytes behind it"
            raise self._mp.damaged(Corrupt(attribute.where, "di_size", attribute.vp.size(), why))
        return value

    def names(self, ip: Inode, attrnamespace: int, cred: Cred) -> list[bytes]:
        enabled = self._started()
        can_extattr(ip, attrnamespace, VREAD, cred)
        # NetBSD puts what it starts at the head of its list.
        return [
            name
            for (namespace, name), attribute in reversed(enabled.items())
            if namespace == attrnamespace and self._length(ip, attribute) is not None
        ]

    def change(self, name: bytes) -> NoReturn:
        self._started()
        _refuse_change(self._mp)

    def extattrctl(
        self, cmd: int, vp: Vnode | None, attrnamespace: int, name: bytes | None, cred: Cred
    ) -> None:
        """Start or stop attributes (ufs_extattrctl). Errors: EPERM, EINVAL, those of the command."""
        if cred.euid:
            raise VfsError(errno.EPERM)
        if cmd == UFS_EXTATTR_CMD_ENABLE and vp is not None and name is not None:
            self._enable(vp, attrnamespace, name, name.decode("ascii", "replace"))
        elif cmd == UFS_EXTATTR_CMD_DISABLE and vp is None and name is not None:
            self._disable(attrnamespace, name)
        elif cmd == EXTATTR_CMD_START and vp is None and name is None:
            self.start()
        elif cmd == EXTATTR_CMD_STOP and vp is None and name is None:
            self.stop()
        else:
            raise VfsError(errno.EINVAL)

    def start(self) -> None:
        """Start the attributes below .attribute, without those that are damaged (ufs_extattr_autostart).

        Errors: ENOENT, ENOTDIR: there is no such directory; EBUSY: they are started; EIO.
        """
        dvp = self._mp.mnt_root.lookup(UFS_EXTATTR_FSROOTSUBDIR)
        if dvp is None:
            raise VfsError(errno.ENOENT, "there is no directory .attribute")
        if dvp.v_type != VDIR:
            raise VfsError(errno.ENOTDIR, ".attribute is no directory")
        if self._enabled is not None:
            raise VfsError(errno.EBUSY)
        self._enabled = {}
        for text, attrnamespace in reversed(EXTATTR_NAMESPACES.items()):
            directory = f"{UFS_EXTATTR_FSROOTSUBDIR.decode()}/{text}"
            subdir = dvp.lookup(text.encode())
            if isinstance(subdir, DataInode) and subdir.v_type == VDIR:
                self._start_all(subdir, attrnamespace, directory)

    def stop(self) -> None:
        for attrnamespace, name in list(self._enabled or ()):
            self._disable(attrnamespace, name)
        self._enabled = None

    def _started(self) -> dict[tuple[int, bytes], Attribute]:
        if self._enabled is None:
            eopnotsupp("extended attributes are not started: mount with -o extattr")
        return self._enabled

    def _start_all(self, dvp: DataInode, attrnamespace: int, directory: str) -> None:
        """Start the attributes that have their backing files in a directory."""
        mp = self._mp
        if dvp.size() > mp.um_dirhash_max:
            why = f"{directory} has no more than {mp.um_dirhash_max} bytes"
            mp.damaged(Corrupt(mp.um_fs.where, "di_size", dvp.size(), why))
            return
        for _, ino, _, name in read_entries(dvp, 0, dvp.size(), DirDamage(mp)):
            try:
                vp = mp.vget(ino)
                if vp.v_type == VREG:
                    self._enable(vp, attrnamespace, name, f"{directory}/{name.decode('ascii', 'replace')}")
            except VfsError as error:
                log.warning("%s: an extended attribute is not started: %s", mp.um_fs.where, error)

    def _enable(self, vp: Vnode, attrnamespace: int, name: bytes, where: str) -> None:
        """Start one attribute (ufs_extattr_enable).

        Errors: EINVAL: no name, no regular file, or no backing file; EOPNOTSUPP, EEXIST, EIO.
        """
        if not name or vp.v_type != VREG:
            raise VfsError(errno.EINVAL)
        enabled = self._started()
        if (attrnamespace, name) in enabled:
            raise VfsError(errno.EEXIST)
        where = f"{self._mp.um_fs.where}: backing file {where}"
        try:
            slots = decode_fileheader(_read(vp, 0, UFS_EXTATTR_FILEHEADER.size), where)
            if slots.size > COPYIN_MAX:
                raise Corrupt(where, "uef_size", slots.size, f"a value has {COPYIN_MAX} bytes at most")
        except DiskError as error:
            raise VfsError(errno.EINVAL, str(error)) from error
        if vp.v_mount is not self._mp:
            vref(vp)
        enabled[attrnamespace, name] = Attribute(vp, slots, where)

    def _disable(self, attrnamespace: int, name: bytes) -> None:
        """Stop one attribute (ufs_extattr_disable). Errors: EINVAL (no name), ENODATA."""
        if not name:
            raise VfsError(errno.EINVAL)
        attribute = (self._enabled or {}).pop((attrnamespace, name), None)
        if attribute is None:
            raise VfsError(errno.ENODATA)
        if attribute.vp.v_mount is not self._mp:
            vrele(attribute.vp)

    def _length(self, ip: Inode, attribute: Attribute) -> int | None:
        """Return how long the value of an inode is; None when it has none (ufs_extattr_get_header).

        Errors: EIO.
        """
        offset = attribute.slots.offset(ip.i_number)
        header = _read(attribute.vp, offset, UFS_EXTATTR_HEADER.size)
        where = f"{attribute.where}: slot at byte {offset} of inode {ip.i_number}"
        try:
            return attribute.slots.value(header, ip.dinode.di_gen, where)
        except DiskError as error:
            raise self._mp.damaged(error) from error


def _read(vp: Vnode, offset: int, length: int) -> bytes:
    """Return at most `length` bytes of a file. Errors: EIO."""
    data = vp.read(offset, length)
    return b"".join(data) if isinstance(data, list) else bytes(data)


def extattrs_of(mp: FfsMount) -> Extattrs:
    """Return the extended attributes of a mount."""
    return InodeExtattrs(mp) if mp.um_fs.ufs2 else FileExtattrs(mp)
