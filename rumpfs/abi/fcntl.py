"""Flags of open, fcntl, the *at calls, access and flock (sys/sys/fcntl.h, sys/sys/unistd.h)."""

from __future__ import annotations

import struct
from typing import Final

O_RDONLY: Final = 0
O_WRONLY: Final = 1
O_RDWR: Final = 2
O_ACCMODE: Final = 3
O_NONBLOCK: Final = 0x4
O_APPEND: Final = 0x8
O_SHLOCK: Final = 0x10
O_EXLOCK: Final = 0x20
O_ASYNC: Final = 0x40
O_SYNC: Final = 0x80
O_NOFOLLOW: Final = 0x100
O_CREAT: Final = 0x200
O_TRUNC: Final = 0x400
O_EXCL: Final = 0x800
O_NOCTTY: Final = 0x8000
O_DSYNC: Final = 0x10000
O_RSYNC: Final = 0x20000
O_ALT_IO: Final = 0x40000
O_DIRECT: Final = 0x80000
O_DIRECTORY: Final = 0x200000
O_CLOEXEC: Final = 0x400000
O_SEARCH: Final = 0x800000
O_NOSIGPIPE: Final = 0x1000000

# What a File keeps: FREAD and FWRITE are the access mode plus one.
FREAD: Final = 1
FWRITE: Final = 2
#: flags that F_SETFL may change (sys/sys/fcntl.h: FCNTLFLAGS)
FCNTLFLAGS: Final = (
    O_APPEND | O_ASYNC | O_SYNC | O_NONBLOCK | O_DSYNC | O_RSYNC | O_ALT_IO | O_DIRECT | O_NOSIGPIPE
)

F_DUPFD: Final = 0
F_GETFD: Final = 1
F_SETFD: Final = 2
F_GETFL: Final = 3
F_SETFL: Final = 4
F_GETOWN: Final = 5
F_SETOWN: Final = 6
F_GETLK: Final = 7
F_SETLK: Final = 8
F_SETLKW: Final = 9
F_CLOSEM: Final = 10
F_MAXFD: Final = 11
F_DUPFD_CLOEXEC: Final = 12
F_GETNOSIGPIPE: Final = 13
F_SETNOSIGPIPE: Final = 14
F_GETPATH: Final = 15
FD_CLOEXEC: Final = 1

# commands for a file system: length and direction of what they carry
F_FSCTL: Final = 0x80000000
F_FSVOID: Final = 0x40000000
F_FSOUT: Final = 0x20000000
F_FSIN: Final = 0x10000000
F_PARAM_SHIFT: Final = 16
F_PARAM_MASK: Final = 0xFFF

#: struct flock, 24 bytes: l_start l_len l_pid l_type l_whence
FLOCK: Final = struct.Struct("<qqihh")
F_RDLCK: Final = 1
F_UNLCK: Final = 2
F_WRLCK: Final = 3

# flock(2)
LOCK_SH: Final = 1
LOCK_EX: Final = 2
LOCK_NB: Final = 4
LOCK_UN: Final = 8

AT_FDCWD: Final = -100
AT_EACCESS: Final = 0x100
AT_SYMLINK_NOFOLLOW: Final = 0x200
AT_SYMLINK_FOLLOW: Final = 0x400
AT_REMOVEDIR: Final = 0x800

F_OK: Final = 0
X_OK: Final = 1
W_OK: Final = 2
R_OK: Final = 4

SEEK_SET: Final = 0
SEEK_CUR: Final = 1
SEEK_END: Final = 2

FDATASYNC: Final = 0x10
FFILESYNC: Final = 0x20
FDISKSYNC: Final = 0x40

# posix_fadvise(2)
POSIX_FADV_NORMAL: Final = 0
POSIX_FADV_NOREUSE: Final = 5
