"""The file API: what Python's `os` has for the host, for the files of a rump kernel.

Paths are str or bytes; names come back as what the path was. Errors are RumpError, with the paths in
`filename` and `filename2`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from struct import Struct
from typing import Final, overload

from rumpfs.abi.errno import EPERM
from rumpfs.abi.extattr import EXTATTR_NAMESPACES
from rumpfs.abi.fcntl import AT_FDCWD, AT_SYMLINK_NOFOLLOW, O_DIRECTORY, O_RDONLY
from rumpfs.abi.limits import PATH_MAX
from rumpfs.abi.mount import (
    LAYER_ARGS,
    MNT_WAIT,
    TMPFS_ARGS,
    TMPFS_ARGS_VERSION,
    UFS_ARGS,
    UFS_VALUE,
    UFS_VALUES,
)
from rumpfs.abi.stat import STATVFS
from rumpfs.base.copy import Buffer
from rumpfs.client.errors import RumpError, rump_error
from rumpfs.client.files import RemoteFile, close_fd, open_flags
from rumpfs.client.raw import RawClient
from rumpfs.client.records import (
    DirEntry,
    StatResult,
    StatvfsResult,
    dirents,
    extattr_names,
    stat_result,
    statvfs_result,
)

Path = str | bytes

#: bytes of directory asked for at once: NetBSD gives no more
_GETDENTS: Final = 65536
#: two struct timespec
TIMES: Final = Struct("<qqqq")
#: options of a mount that have values, and their defaults. tmpfs: mount_tmpfs(8), 0 is no limit. ffs: the
#: sector of 512 bytes of another superblock, as fsck_ffs -b takes it; 0 is the primary one
MOUNT_VALUES: Final[Mapping[str, Mapping[str, int]]] = {
    "tmpfs": {"nodes": 0, "size": 0, "uid": 0, "gid": 0, "mode": 0o1777},
    "ffs": {"sblock": 0},
}
_U64: Final = (1 << 64) - 1
#: file systems that are on no device
DEVICELESS: Final = frozenset({"tmpfs", "kernfs", "rumpfs"})
#: and those that show a directory of the kernel once more; the rest are on a block device
LAYERS: Final = frozenset({"null"})


def _tmpfs_args(values: Mapping[str, int]) -> bytes:
    """Return struct tmpfs_args; a limit may be negative, which is none (mount_tmpfs(8))."""
    limits = (values[name] & _U64 for name in ("nodes", "size"))
    return TMPFS_ARGS.pack(TMPFS_ARGS_VERSION, *limits, *(values[name] for name in ("uid", "gid", "mode")))


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

    # --- extended attributes ------------------------------------------------------------------------

    def listxattr(self, path: Path | int, *, follow_symlinks: bool = True) -> list[str]:
        """Return the names of the extended attributes of a path or descriptor, user.NAME and system.NAME.

        Those of the namespace system are only for the superuser. NetBSD's own listxattr leaves the prefixes
        out, so these names are for the methods here, not for `sys.getxattr`.
        """
        names = []
        for prefix, attrnamespace in EXTATTR_NAMESPACES.items():
            try:
                packed = self._extattr_whole("list", path, follow_symlinks, attrnamespace)
            except PermissionError as error:
                if prefix != "system" or not isinstance(error, RumpError) or error.netbsd_errno != EPERM:
                    raise
                continue
            names += [f"{prefix}.{os.fsdecode(name)}" for name in extattr_names(packed)]
        return names

    def getxattr(self, path: Path | int, name: Path, *, follow_symlinks: bool = True) -> bytes:
        """Return the value of an extended attribute; `name` is user.NAME or system.NAME."""
        return self._extattr_whole("get", path, follow_symlinks, *_extattr_name(name))

    def setxattr(self, path: Path | int, name: Path, value: Buffer, *, follow_symlinks: bool = True) -> None:
        """Set an extended attribute; `name` is user.NAME or system.NAME."""
        data = bytes(value)
        self._extattr("set", path, follow_symlinks)(path, *_extattr_name(name), data, len(data))

    def removexattr(self, path: Path | int, name: Path, *, follow_symlinks: bool = True) -> None:
        """Delete an extended attribute; `name` is user.NAME or system.NAME."""
        self._extattr("delete", path, follow_symlinks)(path, *_extattr_name(name))

    def _extattr(self, verb: str, path: Path | int, follow_symlinks: bool) -> Callable[..., int]:
        """Return the call that does something with an extended attribute of what `path` is."""
        form = "fd" if isinstance(path, int) else "file" if follow_symlinks else "link"
        call: Callable[..., int] = getattr(self.sys, f"extattr_{verb}_{form}")
        return call

    def _extattr_whole(self, verb: str, path: Path | int, follow_symlinks: bool, *what: int | bytes) -> bytes:
        """Return all of what a call stores; without a buffer it says how long that is."""
        call = self._extattr(verb, path, follow_symlinks)
        while True:
            buffer = bytearray(call(path, *what, 0, 0) + 1)
            length = call(path, *what, buffer, len(buffer))
            if length < len(buffer):
                return bytes(buffer[:length])

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
            fstype: one of DEVICELESS or LAYERS; or ffs or another that is on a block device.
            source: the path of the device or directory, in the rump kernel; not looked at for DEVICELESS.
            flags: MNT_ flags (rumpfs.abi.mount).
            options: those of the file system in MOUNT_VALUES.

        Errors:
            RumpError: ENODEV: the kernel has no such file system; and those of the file system.
            ValueError: an option that the file system does not have.
        """
        known = MOUNT_VALUES.get(fstype, {})
        for name in options or ():
            if name not in known:
                has = ", ".join(known) or "none"
                raise ValueError(f"{fstype} has no option {name!r}; it has {has}")
        values = {**known, **(options or {})}
        try:
            if fstype in DEVICELESS:
                args = _tmpfs_args(values) if fstype == "tmpfs" else None
                self.sys.mount(fstype, path, flags, args, len(args or b""))
                return
            if source is None:
                what = "directory" if fstype in LAYERS else "block device"
                raise ValueError(f"{fstype} needs the path of a {what}")
            with self.mapped(os.fsencode(source) + b"\0") as (fspec,):
                args = (LAYER_ARGS if fstype in LAYERS else UFS_ARGS).pack(fspec)
                for name, value in values.items():
                    if value:
                        args += UFS_VALUE.pack(UFS_VALUES[name], value)
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


def _extattr_name(name: Path) -> tuple[int, bytes]:
    """Return the namespace of a name with a prefix, and the name in it.

    Errors:
        ValueError: it has no prefix, or nothing behind it.
    """
    text = os.fsencode(name)
    prefix, _, attrname = text.partition(b".")
    attrnamespace = EXTATTR_NAMESPACES.get(prefix.decode("ascii", "replace"))
    if attrnamespace is None or not attrname or b"\0" in attrname:
        prefixes = " or ".join(f"{prefix}.NAME" for prefix in EXTATTR_NAMESPACES)
        raise ValueError(f"an extended attribute is {prefixes}, not {name!r}")
    return attrnamespace, attrname
