"""The side of a mounted FFS that writes (NetBSD: ffs_vfsops.c: ffs_sync, ffs_sbupdate; ufs_vnops.c).

Every operation that changes something starts with `begin`. Operations never overlap, so the next `begin` is
also the end of the one before: between two of them the file system is whole.

The clean flag: before anything else is written it is 0 on the disk, which all BSDs take for a file system in
use; it is set again, last of all, when everything is written. With a log it is FS_WASCLEAN meanwhile, and
FS_DOWAPBL is set: what has to be done after a crash is to replay the log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Final, NoReturn, cast

from rumpfs.abi import errno
from rumpfs.abi.mount import (
    MNT_ASYNC,
    MNT_FORCE,
    MNT_LOG,
    MNT_NOATIME,
    MNT_RDONLY,
    MNT_RELATIME,
    MNT_SYNCHRONOUS,
)
from rumpfs.abi.stat import S_IFDIR, S_IFMT, S_ISGID
from rumpfs.base.clock import now
from rumpfs.base.errors import Corrupt, VfsError
from rumpfs.dev.buf import BufCache
from rumpfs.dev.overlay import Overlay
from rumpfs.fs.ffs.inode import Inode
from rumpfs.fs.ffs.inodetable import Put, inode_table
from rumpfs.fs.ffs.vnops import vnode_class
from rumpfs.ondisk.ufs.dinode import Dinode
from rumpfs.ondisk.ufs.fs import (
    FS_42POSTBLFMT,
    FS_DOWAPBL,
    FS_GJOURNAL,
    FS_ISCLEAN,
    FS_NEEDSFSCK,
    FS_SUJ,
    FS_WASCLEAN,
    NDADDR,
)
from rumpfs.vfs.mount import Mount
from rumpfs.vfs.vnode import NODEV, type_of

if TYPE_CHECKING:
    from rumpfs.base.copy import Buffer
    from rumpfs.dev.window import Window
    from rumpfs.fs.ffs.alloc import Alloc
    from rumpfs.fs.ffs.ufsmount import FfsMount
    from rumpfs.fs.ffs.wapbl.replay import Replayed
    from rumpfs.fs.ffs.wapbl.transaction import Transaction
    from rumpfs.ondisk.ufs.superblock import Superblock
    from rumpfs.vfs.cred import Cred
    from rumpfs.vfs.syncer import Syncer

logger = logging.getLogger("rumpfs.fs.ffs")

#: Inodes that wait to be written at most.
_DIRTY_MAX: Final = 4096

#: Inodes that are tried when a group calls those free that are not.
_ATTEMPTS: Final = 16

_GEN_MASK: Final = 0x7FFFFFFF

#: What keeps a file system from being written: a test, and what to say.
_REFUSALS: Final[tuple[tuple[Callable[[Superblock], object], str], ...]] = (
    (lambda fs: fs.fs_sblockloc != fs.offset, "its superblock is a copy; fsck_ffs can repair the primary"),
    (
        lambda fs: fs.fs_flags & FS_SUJ and not fs.is_clean,
        "its journal of soft updates (SU+J) may hold what is not in place yet; run fsck_ffs on it first",
    ),
    (lambda fs: fs.fs_flags & FS_GJOURNAL, "it is journaled by gjournal; mount it read-only"),
    (lambda fs: any(fs.fs_snapinum), "it has snapshots, which would have to be kept; remove them first"),
    (lambda fs: fs.has_quota2, "it has quotas (quota2), which would have to be kept; mount it read-only"),
    (lambda fs: fs.old_dirents, "its directories have the format of 4.2BSD; fsck_ffs -c converts it"),
    (
        lambda fs: not fs.ufs2 and fs.fs_old_postblformat == FS_42POSTBLFMT,
        "its cylinder groups have the format of 4.2BSD; fsck_ffs -c converts it",
    ),
)


def check_writable(fs: Superblock, window: Window, force: bool) -> None:
    """Check that a file system may be written.

    Args:
        force: although it was not unmounted cleanly.

    Errors: EROFS.
    """
    why = next((text for test, text in _REFUSALS if test(fs)), "")
    dirty = fs.fs_flags & FS_NEEDSFSCK or not (fs.has_wapbl or fs.fs_clean & FS_ISCLEAN)
    if window.readonly:
        why = "the image is served read-only"
    elif fs.bytes_needed > window.size:
        why = f"cut off: it has {fs.bytes_needed} bytes, and the device {window.size}; mount it read-only"
    elif not why and not force and dirty:
        why = "it was not unmounted cleanly; run fsck_ffs on it, or mount with -o force"
    if why:
        logger.warning("%s: it cannot be mounted for writing: %s", fs.where, why)
        raise VfsError(errno.EROFS, f"{fs.where}: {why}")


class Writing(Mount):
    """What `ufsmount.FfsMount` needs for writing.

    Attributes:
        um_alloc: the groups; None while the mount is read-only.
        um_log: what has not been committed to the log; None without one.
        um_atime, um_relatime: whether it is noted when a file is read; and only once after each change.
        um_dirty: inodes that are newer than on the disk, by number.
        um_orphans: inodes in use that have no name.
        um_failed: the host could not write.
    """

    um_fs: Superblock
    um_bufs: BufCache
    um_window: Window
    um_alloc: Alloc | None = None
    um_log: Transaction | None = None
    um_replayed: Replayed | None
    _syncer: Syncer
    um_atime = um_relatime = um_failed = False

    def _init_writing(self) -> None:
        self.um_dirty: dict[int, Inode] = {}
        self.um_orphans: dict[int, Inode] = {}
        self._table = inode_table(self._mp)
        self._was_clean = False
        self._awaited = False  # whether the syncer has been told

    @property
    def _mp(self) -> FfsMount:
        return cast("FfsMount", self)

    # --- beginning and end ----------------------------------------------------------------------

    def start_writing(self, flags: int) -> None:
        """Make the mount one that can be written; the disk says then that it is in use.

        With MNT_LOG there is a log, which is made if need be; and when the mount has found one in use.

        Args:
            flags: MNT_ flags that it gets; MNT_FORCE: although it was not unmounted cleanly.

        Errors: EROFS; EINVAL: it cannot have a log; ENOSPC: there is no room for one; EIO.
        """
        from rumpfs.fs.ffs.alloc import Alloc  # what only reads starts without all that
        from rumpfs.fs.ffs.wapbl import position
        from rumpfs.fs.ffs.wapbl.replay import replay_finish

        fs = self.um_fs
        check_writable(fs, self.um_window, bool(flags & MNT_FORCE))
        removed = position.is_to_go(fs)
        logged = bool(flags & MNT_LOG) or (fs.has_wapbl and not removed)
        if logged:
            position.check_log(fs)
        replayed, self.um_replayed = self.um_replayed, None
        self._was_clean = fs.is_clean or replayed is not None
        self.um_alloc = Alloc(self._mp)
        try:
            if removed or not logged or not position.has_place(fs):
                self._start_plainly(logged, removed)
            if logged:
                self._start_log(None if removed else replayed)
            if replayed is not None:
                replay_finish(self._mp, replayed.inodes)
        except VfsError:
            self._give_up()
            raise
        self.note_flags(flags)

    def _start_plainly(self, logged: bool, removed: bool) -> None:
        """Begin without a log; `logged`: make one, `removed`: remove one before. Errors: ENOSPC, EIO."""
        from rumpfs.fs.ffs.wapbl import position

        self.say_unclean()
        if removed:
            position.remove_log(self._mp)
        if logged:
            position.make_log(self._mp)

    def _start_log(self, replayed: Replayed | None) -> None:
        """Use the log from now on (wapbl_start). Errors: EINVAL, ENOSPC, EIO."""
        from rumpfs.fs.ffs.wapbl import position
        from rumpfs.fs.ffs.wapbl.log import Log
        from rumpfs.fs.ffs.wapbl.transaction import Transaction

        fs = self.um_fs
        place, order = position.open_position(self._mp)
        if replayed is None:
            log = Log(self.um_window, place, order)
        else:
            log = Log(self.um_window, place, replayed.order, replayed.generation + 1, replayed.listed)
        self.um_log = Transaction(self._mp, log, {} if replayed is None else replayed.inodes)
        self.um_log.start()
        fs.fs_clean = FS_WASCLEAN if self._was_clean else 0
        fs.fs_flags |= FS_DOWAPBL
        self.mnt_flag |= MNT_LOG
        self.put_superblock()
        self.um_log.commit()
        self.um_log.checkpoint()

    def _give_up(self) -> None:
        """The mount cannot be written after all; what was done so far is undone, or whole."""
        try:
            self.stop_writing()
        except VfsError as error:
            logger.warning("%s: %s", self.um_fs.where, error)
            self.stopped()

    def change_writing(self, flags: int) -> None:
        """Begin or end to write, with or without a log, as the flags of the mount say.

        Errors: EBUSY: files without names are in use, which only the log knows of; those of `start_writing`.
        """
        if flags & MNT_RDONLY:
            self.stop_writing()
        elif self.um_alloc is None:
            if isinstance(self.um_window, Overlay):
                self._replay_in_place(self.um_window.below)
            self.start_writing(flags)
        elif bool(flags & MNT_LOG) != (self.um_log is not None):
            if self.um_orphans:
                raise VfsError(errno.EBUSY)
            self.stop_writing()
            self.start_writing(flags)
        self.note_flags(flags)

    def _replay_in_place(self, window: Window) -> None:
        """Let the disk be what it was in memory so far. Errors: EROFS; EIO: the host cannot write."""
        check_writable(self.um_fs, window, True)
        replayed = self.um_replayed
        assert replayed is not None
        replayed.to_disk(window)
        self._mp.attach(window)
        self._mp.um_freed.clear()
        self.um_fs.fs_cstotal = replayed.cstotal

    def note_flags(self, flags: int) -> None:
        """Note the times of access, and order what is written, as the flags of the mount say."""
        self.um_bufs.synchronous = bool(flags & MNT_SYNCHRONOUS)
        self.um_bufs.ordered = not flags & MNT_ASYNC
        self.um_atime = self.um_alloc is not None and not flags & MNT_NOATIME
        self.um_relatime = bool(flags & MNT_RELATIME)

    def stop_writing(self) -> None:
        """Write everything, and say on the disk that the file system is clean, if it was and still is.

        Errors: EIO, also when something could not be written earlier.
        """
        fs = self.um_fs
        if self.um_alloc is None:
            return
        if self.um_failed:
            raise self._unwritten()
        for ip in list(self.um_orphans.values()):
            ip.inactive()
        self.sync()
        if self.um_bufs.unread and self._was_clean:
            self._was_clean = False
            logger.warning("%s: the host could not read what was to be changed; run fsck_ffs on it", fs.where)
        if self._was_clean:
            fs.mark_clean()
        if self.um_log is not None:
            self.um_log.checkpoint()
            fs.fs_flags &= ~FS_DOWAPBL
            self.put_superblock()
            self.um_log.commit()
            self.um_log.checkpoint()
        elif self._was_clean:
            self._write_superblock()
        self.stopped()

    def stopped(self) -> None:
        """Nothing is written any more."""
        self._synced()
        self.um_dirty.clear()
        self.um_orphans.clear()
        self.um_alloc = self.um_log = None
        self.um_bufs.logged = False
        self.um_atime = False
        self.mnt_flag &= ~MNT_LOG

    def begin(self) -> None:
        """Start an operation that changes something. Errors: EIO: the host could not write; EROFS."""
        if self.um_failed:
            raise self._unwritten()
        if self.um_alloc is None:
            raise VfsError(errno.EROFS)
        if self.um_log is not None:
            if self.um_log.full:
                self.um_log.commit()
        elif len(self.um_dirty) > _DIRTY_MAX:
            self._update_all()
        if not self._awaited:
            self._awaited = True
            delay = self._syncer.delay if self.um_log is None else self._syncer.metadelay
            self._syncer.add(self, monotonic() + delay)

    def make_room(self) -> bool:
        """Let others have what was freed, if a log keeps it from them; return whether it did. Errors: EIO."""
        if self.um_log is None or self.um_alloc is None or not self.um_alloc.freed:
            return False
        self.um_log.commit()
        return True

    # --- writing --------------------------------------------------------------------------------

    def write_failed(self, error: VfsError) -> VfsError:
        """The host could not write: nothing more is written. Return what to raise."""
        if not self.um_failed:
            self.um_failed = True
            self.um_atime = False
            self.mnt_flag |= MNT_RDONLY
            # Not even what undoes the operation: what is on the disk now can be repaired.
            self.um_bufs.stop(self._refuse)
            logger.error("%s: %s; it is read-only now; run fsck_ffs on it", self.um_fs.where, error)
        return VfsError(errno.EIO, str(error))

    def _unwritten(self) -> VfsError:
        return VfsError(errno.EIO, f"{self.um_fs.where} could not be written")

    def _refuse(self, *_: object) -> NoReturn:
        raise self._unwritten()

    def pwrite(self, data: Buffer, address: int) -> None:
        """Write content of files at a byte of the device. Errors: EIO."""
        if self.um_failed:
            raise self._unwritten()
        try:
            self.um_window.pwrite(data, address)
        except VfsError as error:
            raise self.write_failed(error) from error
        self.um_bufs.unsettled = True

    def fdatasync(self) -> None:
        """Wait until what was written is on the host's disk. Errors: EIO."""
        self.um_bufs.barrier()

    def sync(self) -> None:
        """Write everything, and wait until it is on the host's disk (ffs_sync). Errors: EIO."""
        if self.um_alloc is None:
            return
        self.begin()
        self.lazy_sync()
        if self.um_log is None:
            self.fdatasync()
            self._write_superblock()

    def lazy_sync(self) -> None:
        """Write what waits for it; with a log, commit it. Errors: EIO."""
        if self.um_alloc is None or self.um_failed:
            return
        self._synced()
        if self.um_log is not None:
            self.um_log.commit()
            return
        self._update_all()
        self.um_alloc.flush()
        self.um_bufs.flush()

    def _synced(self) -> None:
        """The syncer need not come."""
        self._awaited = False
        self._syncer.remove(self)

    def _update_all(self) -> None:
        """Write the inodes that wait for it."""
        self.flush_inodes()
        self.um_bufs.flush()

    def flush_inodes(self) -> None:
        """Hand the inodes that wait for it to the buffer cache. Errors: EIO."""
        for ino in sorted(self.um_dirty):
            self._table.write(ino, self.um_dirty[ino].dinode, BufCache.bdwrite)
        self.um_dirty.clear()

    def put_superblock(self) -> None:
        """Hand the superblock to the buffer cache (ffs_sbupdate). Errors: EIO."""
        fs = self.um_fs
        fs.fs_time = now()[0]
        fs.fs_fsmnt = self.mnt_onto or fs.fs_fsmnt
        self.um_bufs.rewrite(fs.offset, fs.encode())

    def _write_superblock(self) -> None:
        """Write the superblock, and wait for it (ffs_sbupdate). Errors: EIO."""
        self.put_superblock()
        self.um_bufs.bwrite(self.um_bufs.bread(self.um_fs.offset, self.um_fs.fs_sbsize))
        self.fdatasync()

    def say_unclean(self) -> None:
        """Let the disk say that the file system has to be checked. Errors: EIO."""
        fs = self.um_fs
        fs.mark_in_use(now()[0])
        if fs.has_wapbl:
            fs.fs_flags &= ~FS_DOWAPBL
        self._write_superblock()

    def revoke(self, frag: int, count: int) -> None:
        """These frags are no metadata any more."""
        if self.um_log is not None:
            fshift = self.um_fs.fs_fshift
            self.um_log.revoke(frag << fshift, count << fshift)

    # --- inodes ---------------------------------------------------------------------------------

    def write_inode(self, ino: int, dinode: Dinode, put: Put) -> None:
        """Write an inode in one of the buffer cache's ways. Errors: EIO."""
        self._table.write(ino, dinode, put)

    def moved(self, vp: Inode, dp: Inode) -> None:
        """A directory is in another one now. Errors: EIO."""
        self._table.set_dirdepth(vp.i_number, dp.i_number)

    def write_symlink(self, vp: Inode, text: bytes) -> None:
        """Write the inode of a symbolic link that holds the text itself. Errors: EIO."""
        vp.dinode = vp.dinode._replace(di_size=len(text))
        vp.remap(len(text))
        self._table.write(vp.i_number, vp.dinode, text=text)
        self.um_dirty.pop(vp.i_number, None)
        vp.dinode = self._table.peek(vp.i_number)

    def initialised(self, cg: int) -> None:
        """More inodes of a group are initialised."""
        self._table.forget(cg)

    def make_inode(self, dp: Inode, mode: int, cred: Cred, rdev: int = NODEV) -> Inode:
        """Allocate an inode and return its vnode, which nothing names yet (ufs_makeinode).

        Args:
            dp: the directory that it will be in, which gives it its group.
            mode: type and permission bits.

        Errors: ENOSPC, EIO.
        """
        gid = dp.dinode.di_gid
        if mode & S_ISGID and cred.euid and not cred.ingroup(gid):
            mode &= ~S_ISGID
        ino, gen = self._allocate(dp.i_number, mode)
        self._table.set_dirdepth(ino, dp.i_number if mode & S_IFMT == S_IFDIR else 0)
        moment = now()
        ufs2 = self.um_fs.ufs2
        db = (_stored_rdev(rdev, ufs2), *(0,) * (NDADDR - 1))
        dinode = Dinode(
            mode, 1, cred.euid, gid, 0, 0, 0, gen, *moment * 3, db, (0, 0, 0), *(moment if ufs2 else (0, 0)),
            0, (0, 0),
        )  # fmt: skip
        vp = vnode_class(dinode)(self._mp, type_of(mode), ino, dinode)
        self._mp.enter_vnode(ino, vp)
        vp.changed()
        return vp

    def _allocate(self, parent: int, mode: int) -> tuple[int, int]:
        """Return an inode that nobody uses, and its next generation."""
        assert self.um_alloc is not None
        for _ in range(_ATTEMPTS):
            ino = self.um_alloc.inode(parent, mode)
            old = self._table.peek(ino)
            if not old.di_mode:
                return ino, (old.di_gen + 1 & _GEN_MASK) or self.um_alloc.new_generation()
            where = f"{self.um_fs.where}: inode {ino}"
            self._mp.damaged(Corrupt(where, "di_mode", old.di_mode, "its group has it as free; run fsck_ffs"))
        raise VfsError(errno.EIO, "the maps of free inodes are damaged")


def _stored_rdev(rdev: int, ufs2: bool) -> int:
    """Return a device number as the first block pointer has it; 0 for none."""
    if rdev == NODEV:
        return 0
    rdev &= 0xFFFFFFFF
    return rdev if ufs2 else (rdev ^ 0x80000000) - 0x80000000
