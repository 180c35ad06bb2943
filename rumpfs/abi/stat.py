"""struct stat, struct dirent, struct statvfs and the bits inside them (sys/sys/stat.h, dirent.h, statvfs.h).

All layouts are LP64 little-endian, as sysproxy carries them.
"""

from __future__ import annotations

import struct
from typing import Final

S_IFMT: Final = 0o170000
S_IFIFO: Final = 0o010000
S_IFCHR: Final = 0o020000
S_IFDIR: Final = 0o040000
S_IFBLK: Final = 0o060000
S_IFREG: Final = 0o100000
S_IFLNK: Final = 0o120000
S_IFSOCK: Final = 0o140000
S_IFWHT: Final = 0o160000
S_ISUID: Final = 0o4000
S_ISGID: Final = 0o2000
S_ISTXT: Final = 0o1000

# flags of chflags(2)
UF_NODUMP: Final = 0x00000001
UF_IMMUTABLE: Final = 0x00000002
UF_APPEND: Final = 0x00000004
UF_OPAQUE: Final = 0x00000008
SF_ARCHIVED: Final = 0x00010000
SF_IMMUTABLE: Final = 0x00020000
SF_APPEND: Final = 0x00040000
SF_SETTABLE: Final = 0xFFFF0000  # by root alone
#: the names that chflags(1) and ls -o have for them
FILE_FLAGS: Final = {
    "nodump": UF_NODUMP, "uchg": UF_IMMUTABLE, "uappnd": UF_APPEND, "opaque": UF_OPAQUE,
    "archived": SF_ARCHIVED, "schg": SF_IMMUTABLE, "sappnd": SF_APPEND,
}  # fmt: skip
ALLPERMS: Final = 0o7777

DT_UNKNOWN: Final = 0
DT_FIFO: Final = 1
DT_CHR: Final = 2
DT_DIR: Final = 4
DT_BLK: Final = 6
DT_REG: Final = 8
DT_LNK: Final = 10
DT_SOCK: Final = 12
DT_WHT: Final = 14

UTIME_NOW: Final = 0x3FFFFFFF
UTIME_OMIT: Final = 0x3FFFFFFE

#: struct stat of the stat50 family, 152 bytes: dev mode ino nlink uid gid rdev, four times
#: (access, modification, change, birth; seconds and nanoseconds), size blocks blksize flags gen.
STAT: Final = struct.Struct("<QI4xQIII4xQqqqqqqqqqqIII12x")

#: struct stat30, struct stat13 and struct stat12 of NetBSD 5, 2 and 1.2 (sys/compat/sys/stat.h)
STAT30: Final = struct.Struct("<IIQIIII" + "I4xq" * 4 + "qqIII12x")
STAT13: Final = struct.Struct("<IIIIIII4x" + "I4xq" * 3 + "qqIII4xI4xq")
STAT12: Final = struct.Struct("<IIHHIII" + "I4xq" * 3 + "qqIII20x")

#: fixed part of struct dirent: fileno reclen namlen type; the name and a NUL follow, padded to 8.
DIRENT: Final = struct.Struct("<QHHB")
DIRENT_NAME: Final = 13  # offset of d_name

#: struct statvfs of NetBSD 7 (numbers 356-359 and 397), 2256 bytes.
STATVFS: Final = struct.Struct("<16QQQQI16x32s1024s1024s4x")
#: struct statvfs of NetBSD 10 (numbers 483-486), 3296 bytes.
STATVFS_100: Final = struct.Struct("<16QQQQI4x32x32s1024s1024s1024s")


def stat30(status: bytes) -> bytes:
    """Return struct stat30 for a struct stat: numbers of devices and times lose what is above 32 bits."""
    dev, mode, ino, nlink, uid, gid, rdev, *rest = STAT.unpack(status)
    return STAT30.pack(_low(dev), mode, ino, nlink, uid, gid, _low(rdev), *_times(rest[:8]), *rest[8:])


def stat13(status: bytes) -> bytes:
    """Return struct stat13 for a struct stat: the number of the inode loses what is above 32 bits, too."""
    dev, mode, ino, nlink, uid, gid, rdev, *rest = STAT.unpack(status)
    *times, birth, birthnsec = _times(rest[:8])
    numbers = (_low(dev), _low(ino), mode, nlink, uid, gid, _low(rdev))
    return STAT13.pack(*numbers, *times, *rest[8:], birth, birthnsec)


def stat12(status: bytes) -> bytes:
    """Return struct stat12 for a struct stat: no birth, and at most 32767 links (compat_12_stat_conv)."""
    dev, mode, ino, nlink, uid, gid, rdev, *rest = STAT.unpack(status)
    numbers = (_low(dev), _low(ino), mode & 0xFFFF, min(nlink, 0x7FFF), uid, gid, _low(rdev))
    return STAT12.pack(*numbers, *_times(rest[:6]), *rest[8:])


def _low(number: int) -> int:
    return number & 0xFFFFFFFF


def _times(times: list[int]) -> list[int]:
    """Return seconds and nanoseconds with the seconds cut to 32 bits."""
    return [_low(number) if index % 2 == 0 else number for index, number in enumerate(times)]


def direntsize(namlen: int) -> int:
    """Return d_reclen for a name of `namlen` bytes (sys/sys/dirent.h: _DIRENT_RECLEN)."""
    return (DIRENT_NAME + namlen + 1 + 7) & ~7


def makedev(major: int, minor: int) -> int:
    """Return the dev_t of a major and minor number (sys/sys/types.h)."""
    return (major << 8 & 0x000FFF00) | (minor << 12 & 0xFFF00000) | (minor & 0x000000FF)


def major(dev: int) -> int:
    """Return the major number of a dev_t."""
    return dev >> 8 & 0xFFF


def minor(dev: int) -> int:
    """Return the minor number of a dev_t."""
    return (dev >> 12 & 0xFFF00) | (dev & 0xFF)
