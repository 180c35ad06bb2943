"""The file API: what Python's `os` has for the host, for the files of a rump kernel.

Paths are str or bytes; names come back as what the path was. Errors are RumpError, with the paths in
`filename` and `filename2`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from struct import Struct
from typing import Final, overload

from rumpfs.abi.fcntl import AT_FDCWD, AT_SYMLINK_NOFOLLOW, O_DIRECTORY, O_RDONLY
from rumpfs.abi.limits import PATH_MAX
from rumpfs.abi.mount import MNT_WAIT, TMPFS_ARGS, TMPFS_ARGS_VERSION, UFS_ARGS
from rumpfs.abi.stat import STATVFS
from rumpfs.client.errors import RumpError, rump_error
from rumpfs.client.files import RemoteFile, close_fd, open_flags
from rumpfs.client.raw import RawClient
from rumpfs.client.records import (
    DirEntry,
    StatResult,
    StatvfsResult,
    dirents,
    stat_result,
    statvfs_result,
)

Path = str | bytes

#: bytes of directory asked for at once: NetBSD gives no more
_GETDENTS: Final = 65536
#: two struct timespec
TIMES: Final = Struct("<qqqq")
#: options of a tmpfs mount and their defaults (mount_tmpfs(8)); 0 is no limit
TMPFS_OPTIONS: Final = {"nodes": 0, "size": 0, "uid": 0, "gid": 0, "mode": 0o1777}


class Client(RawClient):
    """A process in a rump kernel, and the files that it sees.

    Arguments and errors are those of RawClient; `sys` has every system call.
    """

    def open(
        self, path: Path, mode: str = "rb", *, perm: int = 0o666, flags: int = 0, buffering: int = 0
    ) -> RemoteFile:
        """Open a file.

        Args:
            mode: as for Python's open(): r, w, a or x, perhaps with +; always binary.
            perm: permissions of a new file, less the umask of the process (022 at first).
            flags: further flags of NetBSD's open(2) (rumpfs.abi.fcntl).
            buffering: none but 0: io.BufferedReader and io.BufferedWriter go on top.
        """
        if buffering:
            raise ValueError("a RemoteFile is not buffered; put io.BufferedReader or io.BufferedWriter on it")
        wanted = open_flags(mode) | flags
        while self.forgotten:
            self.sys.close(self.forgotten.pop())
        return RemoteFile(self, self.sys.open(path, wanted, perm), path, wanted)

    # --- attributes -------------------------------------------------------------------------------

    def stat(self, path: Path | int, *, follow_symlinks: bool = True) -> StatResult:
        """Return the attributes of a path or descriptor."""
        if isinstance(path, int):
            return stat_result(self.sys.fstat(path))
        return stat_result(self.sys.stat(path) if follow_symlinks else self.sys.lstat(path))

    def lstat(self, path: Path) -> StatResult:
        """Return the attributes of a path; of a symbolic link, its own."""
        return stat_result(self.sys.lstat(path))

    def exists(self, path: Path) -> bool:
        """Whether something has this path; a symbolic link counts whatever it points to."""
        try:
            self.sys.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def chmod(self, path: Path, mode: int, *, follow_symlinks: bool = True) -> None:
        """Set the permissions."""
        (self.sys.chmod if follow_symlinks else self.sys.lchmod)(path, mode)

    def chown(self, path: Path, uid: int, gid: int, *, follow_symlinks: bool = True) -> None:
        """Set owner and group; -1 leaves one as it is."""
        (self.sys.chown if follow_symlinks else self.sys.lchown)(path, uid, gid)

    def chflags(self, path: Path, flags: int, *, follow_symlinks: bool = True) -> None:
        """Set the file flags (chflags(2))."""
        (self.sys.chflags if follow_symlinks else self.sys.lchflags)(path, flags)

    def utimens(
        self, path: Path, times_ns: tuple[int, int] | None = None, *, follow_symlinks: bool = True
    ) -> None:
        """Set the times of last access and modification, in ns since 1970; to now when None."""
        spec = None
        if times_ns is not None:
            spec = TIMES.pack(*(part for time in times_ns for part in divmod(time, 1_000_000_000)))
        self.sys.utimensat(AT_FDCWD, path, spec, 0 if follow_symlinks else AT_SYMLINK_NOFOLLOW)

    # --- directories ------------------------------------------------------------------------------

    def scandir(self, path: Path = b".") -> list[DirEntry]:
        """Return the entries of a directory without . and .., in its own order; names are bytes."""
        fd = self.sys.open(path, O_RDONLY | O_DIRECTORY, 0)
        try:
            entries: list[DirEntry] = []
            while data := self.sys.getdents(fd, _GETDENTS):
                entries += dirents(data)
        finally:
            close_fd(self.sys, fd)
        return [entry for entry in entries if entry.name not in (b".", b"..")]

    @overload
    def listdir(self, path: str = ".") -> list[str]: ...
    @overload
    def listdir(self, path: bytes) -> list[bytes]: ...
    def listdir(self, path: Path = ".") -> list[str] | list[bytes]:
        """Return the names in a directory without . and .., as what `path` is."""
        names = [entry.name for entry in self.scandir(path)]
        return names if isinstance(path, bytes) else [os.fsdecode(name) for name in names]

    def mkdir(self, path: Path, mode: int = 0o777) -> None:
        """Make a directory."""
        self.sys.mkdir(path, mode)

    def rmdir(self, path: Path) -> None:
        """Remove an empty directory."""
        self.sys.rmdir(path)

    def getcwd(self) -> bytes:
        """Return the working directory of the process."""
        path: bytes = self.sys.getcwd(PATH_MAX)
        return path.rstrip(b"\0")

    def chdir(self, path: Path) -> None:
        """Change the working directory of the process."""
        self.sys.chdir(path)

    # --- names ------------------------------------------------------------------------------------

    def unlink(self, path: Path) -> None:
        """Remove a name that is not a directory."""
        self.sys.unlink(path)

    def rename(self, source: Path, target: Path) -> None:
        """Rename, over `target` if that exists."""
        self.sys.rename(source, target)

    def link(self, source: Path, target: Path) -> None:
        """Make `target` a further name of the file `source`; a symbolic link is followed."""
        self.sys.link(source, target)

    def symlink(self, text: Path, path: Path) -> None:
        """Make a symbolic link at `path` that says `text`."""
        self.sys.symlink(text, path)

    @overload
    def readlink(self, path: str) -> str: ...
    @overload
    def readlink(self, path: bytes) -> bytes: ...
    def readlink(self, path: Path) -> Path:
        """Return what a symbolic link says."""
        text: bytes = self.sys.readlink(path, PATH_MAX)
        return text if isinstance(path, bytes) else os.fsdecode(text)

    def mknod(self, path: Path, mode: int, dev: int = 0) -> None:
        """Make a device or, with the type S_IFIFO in `mode`, a FIFO."""
        self.sys.mknod(path, mode, dev)

    def truncate(self, path: Path, length: int) -> None:
        """Give a file `length` bytes."""
        self.sys.truncate(path, length)

    # --- file systems -----------------------------------------------------------------------------

    def statvfs(self, path: Path) -> StatvfsResult:
        """Return the figures of the file system that holds a path."""
        return statvfs_result(self.sys.statvfs1(path, MNT_WAIT))

    def getvfsstat(self) -> list[StatvfsResult]:
        """Return the figures of all file systems, in the order in which they were mounted."""
        count = self.sys.getvfsstat(0, 0, MNT_WAIT)
        buffer = bytearray((count + 1) * STATVFS.size)
        count = min(self.sys.getvfsstat(buffer, len(buffer), MNT_WAIT), count + 1)
        whole = bytes(buffer)
        return [statvfs_result(whole[index * STATVFS.size :][: STATVFS.size]) for index in range(count)]

    def mount(
        self,
        fstype: str,
        source: Path | None,
        path: Path,
        flags: int = 0,
        options: Mapping[str, int] | None = None,
    ) -> None:
        """Mount a file system on the directory `path`.

        Args:
            fstype: tmpfs; or ffs or another whose arguments are the path of a block device.
            source: that path, in the rump kernel; not looked at for tmpfs.
            flags: MNT_ flags (rumpfs.abi.mount).
            options: of tmpfs: TMPFS_OPTIONS.

        Errors:
            RumpError: ENODEV: the kernel has no such file system; and those of the file system.
            ValueError: an option that the file system does not have.
        """
        known = TMPFS_OPTIONS if fstype == "tmpfs" else {}
        for name in options or ():
            if name not in known:
                has = ", ".join(known) or "none"
                raise ValueError(f"{fstype} has no option {name!r}; it has {has}")
        values = {**known, **(options or {})}
        try:
            if fstype == "tmpfs":
                args = TMPFS_ARGS.pack(
                    TMPFS_ARGS_VERSION, *(values[name] for name in ("nodes", "size", "uid", "gid", "mode"))
                )
                self.sys.mount(fstype, path, flags, args, len(args))
                return
            if source is None:
                raise ValueError(f"{fstype} needs the path of a block device")
            with self.mapped(os.fsencode(source) + b"\0") as (fspec,):
                args = UFS_ARGS.pack(fspec)
                self.sys.mount(fstype, path, flags, args, len(args))
        except RumpError as error:
            if error.filename is not None or isinstance(error, ConnectionError):
                raise
            raise rump_error(error.netbsd_errno, path) from None

    def unmount(self, path: Path, flags: int = 0) -> None:
        """Unmount the file system mounted on `path`; MNT_FORCE even when it is in use."""
        self.sys.unmount(path, flags)

    def sync(self) -> None:
        """Let the kernel write everything to its disks."""
        self.sys.sync()

    def reboot(self, howto: int = 0) -> None:
        """Halt the kernel, and the server with it (RB_ flags of rumpfs.abi.limits)."""
        self.sys.reboot(howto, None)
