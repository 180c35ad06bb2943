"""Open files and descriptor tables (NetBSD: kern_descrip.c, vfs_vnops.c)."""

from __future__ import annotations

from collections.abc import Callable

from rumpfs.abi import errno
from rumpfs.abi.event import EVFILT_READ, EVFILT_VNODE, EVFILT_WRITE, NOTE_EXTEND, NOTE_WRITE
from rumpfs.abi.fcntl import FREAD, FWRITE, O_APPEND, O_SYNC, SEEK_CUR, SEEK_END, SEEK_SET
from rumpfs.abi.ioctl import FIOASYNC, FIONBIO, FIONREAD, FIONSPACE, FIONWRITE
from rumpfs.abi.limits import OPEN_MAX
from rumpfs.abi.poll import POLLIN, POLLOUT, POLLRDNORM
from rumpfs.base.copy import Body, Buffer, Data, Sleep, data_length
from rumpfs.base.errors import VfsError
from rumpfs.base.knote import FdKnotes, Filter, knote_fdclose
from rumpfs.base.pipebuf import Sigio
from rumpfs.base.waitq import WaitQueue
from rumpfs.kern.filterops import AlwaysFilter, VnodeNoteFilter, VnodeReadFilter, VnodeWriteFilter
from rumpfs.vfs.cred import Cred
from rumpfs.vfs.specfs import Device
from rumpfs.vfs.vnode import IO_APPEND, IO_SYNC, VBLK, VDIR, VFIFO, VREG, Vnode, knote, vref, vrele

#: size of a new table of descriptors, and of the next larger one, from which on it doubles
NDFILE = 20  # sys/sys/filedesc.h
NDEXTENT = 50  # sys/sys/filedesc.h
#: kern.maxfiles, the hard limit of RLIMIT_NOFILE
MAXFILES = 10_000


class File:
    """An open file, shared by the descriptors that dup and fork made of it.

    `read` and `write` answer at once, or return a generator when they have to wait.

    Attributes:
        f_count: descriptors of all processes.
        f_busy: calls that use the file and wait, for the caller's memory or in a queue; it is closed after
            the last of them.
    """

    __slots__ = ("f_busy", "f_count", "f_flag", "f_offset")

    #: written data is thrown away unseen, so it need not be fetched from the caller
    discards = False
    #: a forked process gets it, too
    inherited = True

    def __init__(self, flag: int) -> None:
        self.f_flag = flag
        self.f_offset = 0
        self.f_count = 0
        self.f_busy = 0

    def held(self, body: Body) -> Body:
        """Run `body` and keep the file open meanwhile (fd_getfile, fd_putfile)."""
        self.f_busy += 1
        try:
            return (yield from body)
        finally:
            self.f_busy -= 1
            if not self.f_busy and not self.f_count:
                self.close()

    def read(self, length: int) -> Data | Body:
        """Return at most `length` bytes at the file's offset and move it."""
        raise VfsError(errno.EOPNOTSUPP)

    def check_write(self) -> None:
        """Fail if a write is bound to, before its data is fetched. Errors: EPIPE."""

    def write(self, data: Buffer, cred: Cred) -> int | Body:
        """Store `data` at the file's offset, move it, and return the number of bytes taken."""
        raise VfsError(errno.EOPNOTSUPP)

    def stat(self) -> bytes:
        """Return struct stat."""
        raise VfsError(errno.EOPNOTSUPP)

    def ioctl(self, command: int, data: bytes) -> bytes:
        """Carry out a command and return what it stores. Errors: ENOTTY."""
        raise VfsError(errno.ENOTTY)

    def pathconf(self, name: int) -> int:
        """Return a limit. Errors: EINVAL (name); EOPNOTSUPP for what has none."""
        raise VfsError(errno.EOPNOTSUPP)

    def fsync(self) -> None:
        """Bring it to stable storage. Errors: EINVAL for what is no file."""
        raise VfsError(errno.EINVAL)

    def poll(self, events: int) -> int:
        """Return which of the POLL* `events` are the case now, and POLLHUP (fo_poll)."""
        return events & (POLLIN | POLLOUT | POLLRDNORM)

    def selqueues(self) -> tuple[WaitQueue, ...]:
        """Return the queues that are woken when `poll` may have another answer."""
        return ()

    def kqfilter(self, filt: int) -> Filter:
        """Return what watches it for kqueue (fo_kqfilter). Errors: EINVAL (filter), EOPNOTSUPP."""
        raise VfsError(errno.EOPNOTSUPP)

    def owners(self) -> list[Sigio]:
        """Return who can be told of I/O with SIGIO; nobody, unless the file knows when that would be."""
        return []

    def restart(self) -> None:
        """A descriptor is gone while calls use the file: wake those that sleep (fo_restart)."""

    def close(self) -> None:
        """The last descriptor is gone, and no call uses the file."""


class VnodeFile(File):
    """An open vnode.

    Attributes:
        f_name: the directory and the name in it that it was opened by, when it was.
    """

    __slots__ = ("f_name", "f_vnode")

    def __init__(self, vp: Vnode, flag: int) -> None:
        super().__init__(flag)
        self.f_vnode = vp
        self.f_name: tuple[Vnode, bytes] | None = None
        vref(vp)

    def read(self, length: int) -> Data | Body:
        offset = self.f_offset
        data = self.f_vnode.read(offset, length)
        self.f_offset = offset + data_length(data)
        return data

    def pread(self, offset: int, length: int) -> Data:
        """Return at most `length` bytes at `offset`."""
        return self.f_vnode.read(offset, length)

    def write(self, data: Buffer, cred: Cred) -> int | Body:
        self.f_offset = self._vn_write(self.f_offset, data, cred)
        return len(data)

    def pwrite(self, offset: int, data: Buffer, cred: Cred) -> int:
        """Store `data` at `offset` (with O_APPEND: at the end) and return the number of bytes taken."""
        self._vn_write(offset, data, cred)
        return len(data)

    def _vn_write(self, offset: int, data: Buffer, cred: Cred) -> int:
        vp = self.f_vnode
        if vp.v_klist is None and vp.v_mount.mnt_heard is None:
            return vp.write(offset, data, self.ioflag, cred)
        size = vp.size()
        end = vp.write(offset, data, self.ioflag, cred)
        if data:
            knote(vp, NOTE_WRITE | (NOTE_EXTEND if end > size else 0))
        return end

    @property
    def ioflag(self) -> int:
        """IO_ flags that follow from the open flags."""
        flag = self.f_flag
        append = IO_APPEND if flag & O_APPEND and self.f_vnode.v_type == VREG else 0
        return append | (IO_SYNC if flag & O_SYNC else 0)

    def size(self) -> int:
        """Return the length in bytes."""
        return self.f_vnode.size()

    def stat(self) -> bytes:
        return self.f_vnode.stat()

    def readdir(self, count: int) -> Data:
        """Return struct dirents of at most `count` bytes and move the offset. Errors: EINVAL."""
        if self.f_vnode.v_type != VDIR:
            raise VfsError(errno.EINVAL)
        data, self.f_offset = self.f_vnode.readdir(self.f_offset, count)
        return data

    def seek(self, offset: int, whence: int) -> int:
        """Move the offset and return it. Errors: ESPIPE (a FIFO), EINVAL."""
        if self.f_vnode.v_type == VFIFO:
            raise VfsError(errno.ESPIPE)
        if whence == SEEK_CUR:
            offset += self.f_offset
        elif whence == SEEK_END:
            offset += self.size()
        elif whence != SEEK_SET:
            raise VfsError(errno.EINVAL)
        if not 0 <= offset < 1 << 63:
            raise VfsError(errno.EINVAL)
        self.f_offset = offset
        return offset

    def ioctl(self, command: int, data: bytes) -> bytes:
        if command == FIONREAD:
            return (max(0, self.size() - self.f_offset) & 0x7FFFFFFF).to_bytes(4, "little")
        if command in (FIONWRITE, FIONSPACE):
            return bytes(4)
        if command in (FIONBIO, FIOASYNC):
            return b""
        return self.f_vnode.ioctl(command, data)

    def pathconf(self, name: int) -> int:
        return self.f_vnode.pathconf(name)

    def fsync(self) -> None:
        self.f_vnode.fsync()

    def kqfilter(self, filt: int) -> Filter:
        """Return a filter of genfs (genfs_kqfilter). Errors: EINVAL."""
        try:
            return _GENFS_FILTERS[filt](self)
        except KeyError:
            raise VfsError(errno.EINVAL) from None

    def restart(self) -> None:
        """Without a descriptor, let requests for locks that wait fail with EBADF."""
        if not self.f_count and self.f_vnode.v_lockf is not None:
            self.f_vnode.v_lockf.release(self)

    def close(self) -> None:
        vp = self.f_vnode
        if vp.v_lockf is not None:
            vp.v_lockf.release(self)
        vp.close(self.f_flag)
        vrele(vp)


_GENFS_FILTERS: dict[int, Callable[[VnodeFile], Filter]] = {
    EVFILT_READ: VnodeReadFilter,
    EVFILT_WRITE: VnodeWriteFilter,
    EVFILT_VNODE: VnodeNoteFilter,
}


class DeviceFile(VnodeFile):
    """An open device node."""

    __slots__ = ("device", "discards")

    def __init__(self, vp: Vnode, flag: int, device: Device) -> None:
        super().__init__(vp, flag)
        self.device = device
        self.discards = device.discards

    def read(self, length: int) -> Data:
        data = self.device.read(self.f_offset, length)
        self.f_offset += data_length(data)
        return data

    def pread(self, offset: int, length: int) -> Data:
        return self.device.read(offset, length)

    def write(self, data: Buffer, cred: Cred) -> int:
        taken = self.device.write(self.f_offset, data)
        self.f_offset += taken
        return taken

    def pwrite(self, offset: int, data: Buffer, cred: Cred) -> int:
        return self.device.write(offset, data)

    def size(self) -> int:
        return self.device.size

    def ioctl(self, command: int, data: bytes) -> bytes:
        return b"" if command in (FIONBIO, FIOASYNC) else self.device.ioctl(command, data)

    def fsync(self) -> None:
        self.device.fsync()

    def poll(self, events: int) -> int:
        return self.device.poll(events)

    def kqfilter(self, filt: int) -> Filter:
        """Return a filter (spec_kqfilter, seltrue_kqfilter). Errors: EOPNOTSUPP: a block device; EINVAL."""
        if self.f_vnode.v_type == VBLK:
            raise VfsError(errno.EOPNOTSUPP)
        if filt not in self.device.filters:
            raise VfsError(errno.EINVAL)
        return AlwaysFilter(self.device.filters[filt])

    def close(self) -> None:
        self.device.close()
        super().close()


class Filedesc:
    """A table of descriptors.

    Attributes:
        advlock: the process, once it has asked for a record lock: its locks on a file go with any
            descriptor of it (PK_ADVLOCK).
        knotes: what watches the descriptors.
    """

    __slots__ = ("_free", "advlock", "cloexec", "files", "knotes", "limit")

    def __init__(self) -> None:
        self.advlock: object = None
        self.files: list[File | None] = []
        self._free = 0  # bit n is set when descriptor n is below the end of `files` and free
        self.cloexec: set[int] = set()
        self.limit = OPEN_MAX  # soft RLIMIT_NOFILE
        self.knotes: FdKnotes = {}

    @property
    def nfiles(self) -> int:
        """The size of the table as NetBSD grows it (fd_tryexpand): poll and select go by it."""
        used = len(self.files)
        size = NDFILE if used <= NDFILE else NDEXTENT
        while size < used:
            size *= 2
        return size

    def get(self, fd: int, mode: int = 0) -> File:
        """Return an open file. Errors: EBADF: not open, or not for `mode` (FREAD, FWRITE)."""
        try:
            fp = self.files[fd]
        except IndexError:
            raise VfsError(errno.EBADF) from None
        if fp is None or fd < 0 or fp.f_flag & mode != mode:
            raise VfsError(errno.EBADF)
        return fp

    def using(self, fd: int, fp: File, body: Body) -> Body:
        """Run `body`, which uses the descriptor `fd` of `fp`.

        When it was woken and the descriptor is closed, the call begins anew, so to say, and fails (fd_close).

        Errors: EBADF.
        """
        files = self.files
        try:
            request = next(body)
            while True:
                try:
                    value = yield request
                    if type(request) is Sleep and (fd >= len(files) or files[fd] is not fp):
                        raise VfsError(errno.EBADF)
                except BaseException as error:  # noqa: BLE001 - it goes on to the body, whatever it is
                    request = body.throw(error)
                else:
                    request = body.send(value)
        except StopIteration as stop:
            return stop.value

    def slot(self, minimum: int = 0) -> int:
        """Return the lowest free descriptor from `minimum` on. Errors: EMFILE."""
        free = self._free >> minimum
        fd = minimum + (free & -free).bit_length() - 1 if free else max(minimum, len(self.files))
        if fd >= self.limit:
            raise VfsError(errno.EMFILE)
        return fd

    def alloc(self, fp: File, minimum: int = 0, cloexec: bool = False) -> int:
        """Enter `fp` at the lowest free descriptor from `minimum` on. Errors: EMFILE."""
        fd = self.slot(minimum)
        self.put(fd, fp)
        if cloexec:
            self.cloexec.add(fd)
        return fd

    def put(self, fd: int, fp: File) -> None:
        """Enter `fp` at the free descriptor `fd`."""
        files = self.files
        used = len(files)
        if fd < used:
            self._free &= ~(1 << fd)
            files[fd] = fp
        else:
            if fd > used:
                self._free |= (1 << fd) - (1 << used)
                files.extend([None] * (fd - used))
            files.append(fp)
        fp.f_count += 1

    def close(self, fd: int) -> None:
        """Close a descriptor. Errors: EBADF."""
        fp = self.get(fd)
        if self.knotes:
            knote_fdclose(self.knotes, fd)
        self.files[fd] = None
        self._free |= 1 << fd
        self.cloexec.discard(fd)
        self._release(fp)

    def replace(self, fd: int, fp: File) -> None:
        """Let an open descriptor be of another file; what it has of its own stays."""
        old = self.get(fd)
        self.files[fd] = fp
        fp.f_count += 1
        self._release(old)

    def _release(self, fp: File) -> None:
        """One descriptor less is of `fp` (kern_descrip.c: closef)."""
        if self.advlock is not None and isinstance(fp, VnodeFile) and fp.f_vnode.v_lockf is not None:
            fp.f_vnode.v_lockf.release(self.advlock)
        fp.f_count -= 1
        if fp.f_busy:
            fp.restart()
        elif not fp.f_count:
            fp.close()

    def close_all(self, start: int = 0) -> None:
        """Close every descriptor from `start` on."""
        for fd in range(start, len(self.files)):
            if self.files[fd] is not None:
                self.close(fd)

    def highest(self) -> int:
        """Return the highest open descriptor; -1 when none is open."""
        return max((fd for fd, fp in enumerate(self.files) if fp is not None), default=-1)

    def copy(self) -> Filedesc:
        """Return a table with the same open files, but without event queues (fd_copy)."""
        new = Filedesc()
        new.limit = self.limit
        new.files = list(self.files)
        new._free = self._free
        new.cloexec = set(self.cloexec)
        for fd, fp in enumerate(new.files):
            if fp is None:
                continue
            if fp.inherited:
                fp.f_count += 1
            else:
                new.files[fd] = None
                new._free |= 1 << fd
                new.cloexec.discard(fd)
        return new

    def exec(self) -> None:
        """Close what is marked close-on-exec (fd_closeexec)."""
        for fd in sorted(self.cloexec):
            self.close(fd)


def accmode(flags: int) -> int:
    """Return FREAD and FWRITE for the access mode of open flags (FFLAGS)."""
    return (flags & 3) + 1 & (FREAD | FWRITE)
