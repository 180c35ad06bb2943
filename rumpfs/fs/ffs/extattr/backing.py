"""The extended attributes of UFS1: backing files with a slot for every inode (NetBSD: ufs_extattr.c).

They have to be started: by mounting with MNT_EXTATTR, or by extattrctl(2). An attribute that is set for the
first time gets its backing file then, below .attribute.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from rumpfs.abi import errno
from rumpfs.abi.event import NOTE_WRITE
from rumpfs.abi.extattr import (
    EXTATTR_CMD_START,
    EXTATTR_CMD_STOP,
    EXTATTR_NAMESPACES,
    UFS_EXTATTR_CMD_DISABLE,
    UFS_EXTATTR_CMD_ENABLE,
)
from rumpfs.abi.mount import MNT_RDONLY
from rumpfs.abi.stat import S_IFREG
from rumpfs.base.copy import COPYIN_MAX, Buffer
from rumpfs.base.errors import Corrupt, DiskError, VfsError
from rumpfs.fs.ffs.extattr.extattrs import Extattrs, Store
from rumpfs.fs.ffs.lookup import DirDamage, read_entries
from rumpfs.fs.ffs.readwrite import DataInode
from rumpfs.ondisk.layout import BIG, LITTLE
from rumpfs.ondisk.ufs.extattr import (
    UFS_EXTATTR_FILEHEADER,
    UFS_EXTATTR_FSROOTSUBDIR,
    UFS_EXTATTR_HEADER,
    Slots,
    decode_fileheader,
)
from rumpfs.vfs.cred import ROOT, VEXEC, VREAD, VWRITE, Cred
from rumpfs.vfs.genfs import can_extattr
from rumpfs.vfs.vnode import VDIR, VREG, Vnode, eopnotsupp, knote, vref, vrele

if TYPE_CHECKING:
    from rumpfs.fs.ffs.inode import Inode
    from rumpfs.fs.ffs.ufsmount import FfsMount

log = logging.getLogger("rumpfs.fs.ffs")

#: Bytes of a value in a backing file that is made when it is needed (ufs_extattr_autocreate), and its mode.
_AUTOCREATE: Final = 1024
_AUTOCREATE_MODE: Final = S_IFREG | 0o600


class Attribute(NamedTuple):
    """An attribute that has been started: its backing file, and the layout of that."""

    vp: Vnode
    slots: Slots
    where: str


class FileExtattrs(Extattrs):
    """The attributes of UFS1."""

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

    def set(self, ip: Inode, attrnamespace: int, name: bytes, length: int, cred: Cred) -> Store:
        """Return what stores a value (ufs_extattr_set).

        Errors:
            EOPNOTSUPP: attributes are not started; EROFS; EINVAL: no name; those of `can_extattr`; ENODATA:
            there is no such attribute, and it cannot be made; ENXIO: its slots are shorter; EFBIG, ENOSPC,
            EIO.
        """
        self._changeable(ip, attrnamespace, name, cred)
        attribute = self._attribute(attrnamespace, name, cred)
        if length > attribute.slots.size:
            raise VfsError(errno.ENXIO)

        def store(value: bytes) -> None:
            self._store(attribute, ip, attribute.slots.header(len(value), ip.dinode.di_gen), value)

        return store

    def delete(self, ip: Inode, attrnamespace: int, name: bytes, cred: Cred) -> None:
        """Take an attribute away (ufs_extattr_rm). Errors: those of `set`."""
        enabled = self._changeable(ip, attrnamespace, name, cred)
        attribute = enabled.get((attrnamespace, name))
        if attribute is None or not self._remove(ip, attribute):
            raise VfsError(errno.ENODATA)

    def inactive(self, ip: Inode) -> None:
        for attribute in list((self._enabled or {}).values()):
            try:
                self._remove(ip, attribute)
            except VfsError as error:
                self._mp.damaged(error)

    def _changeable(
        self, ip: Inode, attrnamespace: int, name: bytes, cred: Cred
    ) -> dict[tuple[int, bytes], Attribute]:
        enabled = self._started()
        if self._mp.mnt_flag & MNT_RDONLY:
            raise VfsError(errno.EROFS)
        if not name:
            raise VfsError(errno.EINVAL)
        can_extattr(ip, attrnamespace, VWRITE, cred)
        return enabled

    # --- starting and stopping ------------------------------------------------------------------

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
        self._hold(vp)
        enabled[attrnamespace, name] = Attribute(vp, slots, where)

    def _disable(self, attrnamespace: int, name: bytes) -> None:
        """Stop one attribute (ufs_extattr_disable). Errors: EINVAL (no name), ENODATA."""
        if not name:
            raise VfsError(errno.EINVAL)
        attribute = (self._enabled or {}).pop((attrnamespace, name), None)
        if attribute is None:
            raise VfsError(errno.ENODATA)
        self._let_go(attribute.vp)

    def _hold(self, vp: Vnode) -> None:
        """Keep a backing file in use. One of this mount's own does not make the mount busy."""
        vref(vp)
        if vp.v_mount is self._mp:
            self._mp.mnt_busy -= 1

    def _let_go(self, vp: Vnode) -> None:
        if vp.v_mount is self._mp:
            self._mp.mnt_busy += 1
        vrele(vp)

    # --- backing files --------------------------------------------------------------------------

    def _attribute(self, attrnamespace: int, name: bytes, cred: Cred) -> Attribute:
        """Return an attribute, which is made if it is not there. Errors: ENODATA, EOPNOTSUPP."""
        enabled = self._started()
        if (attrnamespace, name) not in enabled:
            try:
                self._autocreate(attrnamespace, name, cred)
            except VfsError as error:
                raise VfsError(errno.ENODATA, str(error)) from error
        return enabled[attrnamespace, name]

    def _autocreate(self, attrnamespace: int, name: bytes, cred: Cred) -> None:
        """Make the backing file of an attribute, as its user, and start it (ufs_extattr_autocreate_attr).

        Errors: ENOENT, ENOTDIR, EACCES: the directory for it; EEXIST, EINVAL (name), ENOSPC, EIO.
        """
        mp = self._mp
        text = next(text for text, number in EXTATTR_NAMESPACES.items() if number == attrnamespace)
        dvp: Vnode = mp.mnt_root
        for part in (UFS_EXTATTR_FSROOTSUBDIR, text.encode()):
            dvp.access(VEXEC, cred)
            vp = dvp.lookup(part)
            if vp is None:
                raise VfsError(errno.ENOENT, "there is no directory for its backing file")
            dvp = vp
        dvp.access(VEXEC | VWRITE, cred)
        if b"/" in name or name in (b".", b".."):
            raise VfsError(errno.EINVAL, "a backing file cannot have this name")
        if dvp.lookup(name) is not None:
            raise VfsError(errno.EEXIST, "its backing file is not started")
        vp = dvp.create(name, _AUTOCREATE_MODE, cred)
        knote(dvp, NOTE_WRITE, name)
        order = LITTLE if sys.byteorder == "little" else BIG
        vp.write(0, Slots(order, _AUTOCREATE).fileheader(), 0, ROOT)
        where = f"{UFS_EXTATTR_FSROOTSUBDIR.decode()}/{text}/{name.decode('ascii', 'replace')}"
        self._enable(vp, attrnamespace, name, where)

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

    def _remove(self, ip: Inode, attribute: Attribute) -> bool:
        """Empty the slot of an inode; return whether there was a value. Errors: EIO."""
        if self._length(ip, attribute) is None:
            return False
        self._store(attribute, ip, attribute.slots.header(None, ip.dinode.di_gen))
        return True

    def _store(self, attribute: Attribute, ip: Inode, header: bytes, value: bytes = b"") -> None:
        """Write the slot of an inode. Errors: ENODATA: the backing file is gone; EFBIG, ENOSPC, EIO.

        Where it lies in two blocks, the header that makes the value count is written last.
        """
        vp = attribute.vp
        if not vp.getattr().mode:
            raise VfsError(errno.ENODATA, f"{attribute.where} was removed")
        offset = attribute.slots.offset(ip.i_number)
        bshift = self._mp.um_fs.fs_bshift
        if offset >> bshift == offset + len(header) + len(value) >> bshift:
            vp.write(offset, header + value, 0, ROOT)
        else:
            if value:
                vp.write(offset + len(header), value, 0, ROOT)
            vp.write(offset, header, 0, ROOT)


def _read(vp: Vnode, offset: int, length: int) -> bytes:
    """Return at most `length` bytes of a file. Errors: EIO."""
    data = vp.read(offset, length)
    return b"".join(data) if isinstance(data, list) else bytes(data)
