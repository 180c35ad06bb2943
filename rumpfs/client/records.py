"""What the file API returns, decoded from the structures of rumpfs.abi.stat."""

from __future__ import annotations

from typing import Final, NamedTuple

from rumpfs.abi.errno import EIO
from rumpfs.abi.mount import MOUNT_OPTIONS
from rumpfs.abi.stat import (
    DIRENT,
    DIRENT_NAME,
    DT_BLK,
    DT_CHR,
    DT_DIR,
    DT_FIFO,
    DT_LNK,
    DT_REG,
    DT_SOCK,
    DT_WHT,
    STAT,
    STATVFS,
)
from rumpfs.client.errors import RumpError, rump_error

_NS: Final = 1_000_000_000

#: what a DT_ type, or the file type bits of a mode shifted right by 12, is called
TYPE_NAMES: Final = {
    DT_FIFO: "fifo",
    DT_CHR: "char",
    DT_DIR: "dir",
    DT_BLK: "block",
    DT_REG: "file",
    DT_LNK: "symlink",
    DT_SOCK: "socket",
    DT_WHT: "whiteout",
}


class StatResult(NamedTuple):
    """struct stat, with the names of os.stat_result; times in ns since 1970, also as float seconds."""

    st_dev: int
    st_mode: int
    st_ino: int
    st_nlink: int
    st_uid: int
    st_gid: int
    st_rdev: int
    st_atime_ns: int
    st_mtime_ns: int
    st_ctime_ns: int
    st_birthtime_ns: int
    st_size: int
    st_blocks: int
    st_blksize: int
    st_flags: int
    st_gen: int

    @property
    def st_atime(self) -> float:
        """Time of last access, seconds."""
        return self.st_atime_ns / _NS

    @property
    def st_mtime(self) -> float:
        """Time of last modification, seconds."""
        return self.st_mtime_ns / _NS

    @property
    def st_ctime(self) -> float:
        """Time of last change of the inode, seconds."""
        return self.st_ctime_ns / _NS

    @property
    def st_birthtime(self) -> float:
        """Time of creation, seconds."""
        return self.st_birthtime_ns / _NS


def stat_result(data: bytes) -> StatResult:
    """Decode a struct stat.

    Errors:
        RumpError: EIO: it has another size.
    """
    _check("stat", data, STAT.size)
    dev, mode, ino, nlink, uid, gid, rdev, a, an, m, mn, c, cn, b, bn, *rest = STAT.unpack(data)
    times = a * _NS + an, m * _NS + mn, c * _NS + cn, b * _NS + bn
    return StatResult(dev, mode, ino, nlink, uid, gid, rdev, *times, *rest)


def _check(name: str, data: bytes, size: int) -> None:
    if len(data) != size:
        raise rump_error(EIO, text=f"the server sent a struct {name} of {len(data)} bytes; it has {size}")


class DirEntry(NamedTuple):
    """One name in a directory; `type` is a DT_ number, DT_UNKNOWN (0) where the file system does not say."""

    name: bytes
    ino: int
    type: int


def dirents(data: bytes) -> list[DirEntry]:
    """Decode what getdents returned.

    Errors:
        RumpError: EIO: it is not a sequence of entries, or a name is none, such as one with a slash that
            would lead out of the directory where somebody copies it to.
    """
    entries = []
    offset = 0
    end = len(data)
    while offset < end:
        if end - offset <= DIRENT_NAME:
            raise _malformed(offset, end)
        ino, reclen, namlen, kind = DIRENT.unpack_from(data, offset)
        name = offset + DIRENT_NAME
        if reclen <= DIRENT_NAME + namlen or offset + reclen > end:
            raise _malformed(offset, end)
        if ino:  # 0 is an entry that is not used
            entry = DirEntry(data[name : name + namlen], ino, kind)
            if not entry.name or b"/" in entry.name or b"\0" in entry.name:
                raise rump_error(EIO, text=f"the server sent a name that cannot be one: {entry.name!r}")
            entries.append(entry)
        offset += reclen
    return entries


def _malformed(offset: int, end: int) -> RumpError:
    return rump_error(EIO, text=f"the server sent a directory that is malformed at byte {offset} of {end}")


def extattr_names(data: bytes) -> list[bytes]:
    """Decode what extattr_list_file stored: names, each behind a byte with its length.

    Errors:
        RumpError: EIO: the last one is cut.
    """
    names = []
    offset = 0
    while offset < len(data):
        end = offset + 1 + data[offset]
        if end > len(data):
            text = f"the server sent names of extended attributes that end in one, at byte {len(data)}"
            raise rump_error(EIO, text=text)
        names.append(data[offset + 1 : end])
        offset = end
    return names


class StatvfsResult(NamedTuple):
    """struct statvfs; blocks are of f_frsize bytes."""

    f_flag: int
    f_bsize: int
    f_frsize: int
    f_iosize: int
    f_blocks: int
    f_bfree: int
    f_bavail: int
    f_bresvd: int
    f_files: int
    f_ffree: int
    f_favail: int
    f_fresvd: int
    f_syncreads: int
    f_syncwrites: int
    f_asyncreads: int
    f_asyncwrites: int
    f_fsidx: int
    f_fsid: int
    f_namemax: int
    f_owner: int
    f_fstypename: bytes
    f_mntonname: bytes
    f_mntfromname: bytes

    @property
    def options(self) -> list[str]:
        """The mount flags by the names that mount(8) has for them."""
        return [name.decode() for name, flag in MOUNT_OPTIONS.items() if self.f_flag & flag]


def statvfs_result(data: bytes) -> StatvfsResult:
    """Decode a struct statvfs.

    Errors:
        RumpError: EIO: it has another size.
    """
    _check("statvfs", data, STATVFS.size)
    fields = STATVFS.unpack(data)
    numbers, names = fields[:-3], fields[-3:]
    return StatvfsResult(*numbers, *(name.split(b"\0", 1)[0] for name in names))
