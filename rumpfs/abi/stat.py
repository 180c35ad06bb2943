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

#: fixed part of struct dirent: fileno reclen namlen type; the name and a NUL follow, padded to 8.
DIRENT: Final = struct.Struct("<QHHB")
DIRENT_NAME: Final = 13  # offset of d_name

#: struct statvfs of NetBSD 7 (numbers 356-359 and 397), 2256 bytes.
STATVFS: Final = struct.Struct("<16QQQQI16x32s1024s1024s4x")
#: struct statvfs of NetBSD 10 (numbers 483-486), 3296 bytes.
STATVFS_100: Final = struct.Struct("<16QQQQI4x32x32s1024s1024s1024s")


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
