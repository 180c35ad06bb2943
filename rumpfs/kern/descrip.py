"""Open files and descriptor tables (NetBSD: kern_descrip.c, vfs_vnops.c)."""

from __future__ import annotations

from rumpfs.abi import errno
from rumpfs.abi.fcntl import FREAD, FWRITE, O_APPEND, O_SYNC, SEEK_CUR, SEEK_END, SEEK_SET
from rumpfs.abi.ioctl import FIOASYNC, FIONBIO, FIONREAD, FIONSPACE, FIONWRITE
from rumpfs.abi.limits import OPEN_MAX
from rumpfs.base.copy import Body, Buffer, Data, data_length
from rumpfs.base.errors import VfsError
from rumpfs.vfs.cred import Cred
from rumpfs.vfs.specfs import Device
from rumpfs.vfs.vnode import IO_APPEND, IO_SYNC, VDIR, VFIFO, VREG, Vnode, vref, vrele

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

    def restart(self) -> None:
        """The last descriptor is gone while calls use the file: those that sleep have to end (fo_restart)."""

    def close(self) -> None:
        """The last descriptor is gone, and no call uses the file."""


class VnodeFile(File):
    """An open vnode."""

    __slots__ = ("f_vnode",)

    def __init__(self, vp: Vnode, flag: int) -> None:
        super().__init__(flag)
        self.f_vnode = vp
        vref(vp)

    def read(self, length: int) -> Data:
        offset = self.f_offset
        data = self.f_vnode.read(offset, length)
        self.f_offset = offset + data_length(data)
        return data

    def pread(self, offset: int, length: int) -> Data:
        """Return at most `length` bytes at `offset`."""
        return self.f_vnode.read(offset, length)

    def write(self, data: Buffer, cred: Cred) -> int:
        end = self.f_vnode.write(self.f_offset, data, self.ioflag, cred)
        self.f_offset = end
        return len(data)

    def pwrite(self, offset: int, data: Buffer, cred: Cred) -> int:
        """Store `data` at `offset` (with O_APPEND: at the end) and return the number of bytes taken."""
        self.f_vnode.write(offset, data, self.ioflag, cred)
        return len(data)

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

    def close(self) -> None:
        self.f_vnode.close(self.f_flag)
        vrele(self.f_vnode)


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

    def close(self) -> None:
        self.device.close()
        super().close()


class Filedesc:
    """A table of descriptors."""

    __slots__ = ("cloexec", "files", "limit")

    def __init__(self) -> None:
        self.files: list[File | None] = []
        self.cloexec: set[int] = set()
        self.limit = OPEN_MAX  # soft RLIMIT_NOFILE

    def get(self, fd: int, mode: int = 0) -> File:
        """Return an open file. Errors: EBADF: not open, or not for `mode` (FREAD, FWRITE)."""
        try:
            fp = self.files[fd]
        except IndexError:
            raise VfsError(errno.EBADF) from None
        if fp is None or fd < 0 or fp.f_flag & mode != mode:
            raise VfsError(errno.EBADF)
        return fp

    def slot(self, minimum: int = 0) -> int:
        """Return the lowest free descriptor from `minimum` on. Errors: EMFILE."""
        files = self.files
        for fd in range(minimum, len(files)):
            if files[fd] is None:
                return fd
        fd = max(minimum, len(files))
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
        while len(self.files) <= fd:
            self.files.append(None)
        self.files[fd] = fp
        fp.f_count += 1

    def close(self, fd: int) -> None:
        """Close a descriptor. Errors: EBADF."""
        fp = self.get(fd)
        self.files[fd] = None
        self.cloexec.discard(fd)
        fp.f_count -= 1
        if fp.f_count == 0:
            if fp.f_busy:
                fp.restart()
            else:
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
        """Return a table with the same open files (fd_copy)."""
        new = Filedesc()
        new.limit = self.limit
        new.files = list(self.files)
        new.cloexec = set(self.cloexec)
        for fp in new.files:
            if fp is not None:
                fp.f_count += 1
        return new

    def exec(self) -> None:
        """Close what is marked close-on-exec (fd_closeexec)."""
        for fd in sorted(self.cloexec):
            self.close(fd)


def accmode(flags: int) -> int:
    """Return FREAD and FWRITE for the access mode of open flags (FFLAGS)."""
    return (flags & 3) + 1 & (FREAD | FWRITE)
