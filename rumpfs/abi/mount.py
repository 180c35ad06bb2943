"""Mount flags and the argument structures of mount(2) (sys/sys/fstypes.h, <fs>_args in their own headers)."""

from __future__ import annotations

import struct
from typing import Final

MNT_RDONLY: Final = 0x1
MNT_SYNCHRONOUS: Final = 0x2
MNT_NOEXEC: Final = 0x4
MNT_NOSUID: Final = 0x8
MNT_NODEV: Final = 0x10
MNT_UNION: Final = 0x20
MNT_ASYNC: Final = 0x40
MNT_EXRDONLY: Final = 0x80
MNT_EXPORTED: Final = 0x100
MNT_DEFEXPORTED: Final = 0x200
MNT_EXPORTANON: Final = 0x400
MNT_EXKERB: Final = 0x800
MNT_LOCAL: Final = 0x1000
MNT_QUOTA: Final = 0x2000
MNT_ROOTFS: Final = 0x4000
MNT_NOCOREDUMP: Final = 0x8000
MNT_UPDATE: Final = 0x10000
MNT_RELATIME: Final = 0x20000
MNT_RELOAD: Final = 0x40000
MNT_FORCE: Final = 0x80000
MNT_IGNORE: Final = 0x100000
MNT_GETARGS: Final = 0x400000
MNT_DISCARD: Final = 0x800000
MNT_EXTATTR: Final = 0x1000000
MNT_LOG: Final = 0x2000000
MNT_NOATIME: Final = 0x4000000
MNT_EXNORESPORT: Final = 0x8000000
MNT_EXPUBLIC: Final = 0x10000000
MNT_SYMPERM: Final = 0x20000000
MNT_NODEVMTIME: Final = 0x40000000
MNT_SOFTDEP: Final = 0x80000000

#: flags that a mount keeps from its caller (MNT_BASIC_FLAGS)
MNT_BASIC_FLAGS: Final = (
    MNT_ASYNC | MNT_DISCARD | MNT_EXTATTR | MNT_LOG | MNT_NOATIME | MNT_NOCOREDUMP | MNT_NODEV
    | MNT_NODEVMTIME | MNT_NOEXEC | MNT_NOSUID | MNT_RDONLY | MNT_RELATIME | MNT_SOFTDEP | MNT_SYMPERM
    | MNT_SYNCHRONOUS | MNT_UNION
)  # fmt: skip
#: flags that statvfs shows (MNT_VISFLAGMASK)
MNT_VISFLAGMASK: Final = (
    MNT_BASIC_FLAGS & ~MNT_RELATIME | MNT_IGNORE | MNT_EXRDONLY | MNT_EXPORTED | MNT_DEFEXPORTED
    | MNT_EXPORTANON | MNT_EXKERB | MNT_EXNORESPORT | MNT_EXPUBLIC | MNT_LOCAL | MNT_QUOTA | MNT_ROOTFS
)  # fmt: skip

#: names of the -o options of mount(8) for the flags a caller may set
MOUNT_OPTIONS: Final = {
    b"ro": MNT_RDONLY,
    b"sync": MNT_SYNCHRONOUS,
    b"noexec": MNT_NOEXEC,
    b"nosuid": MNT_NOSUID,
    b"nodev": MNT_NODEV,
    b"union": MNT_UNION,
    b"async": MNT_ASYNC,
    b"nocoredump": MNT_NOCOREDUMP,
    b"relatime": MNT_RELATIME,
    b"force": MNT_FORCE,
    b"hidden": MNT_IGNORE,
    b"discard": MNT_DISCARD,
    b"extattr": MNT_EXTATTR,
    b"log": MNT_LOG,
    b"noatime": MNT_NOATIME,
    b"symperm": MNT_SYMPERM,
    b"nodevmtime": MNT_NODEVMTIME,
}

#: numbers that once stood for types, and are still taken (vfs_syscalls.c: mountcompatnames)
MOUNTCOMPATNAMES: Final = {
    1: b"ffs", 2: b"nfs", 3: b"mfs", 4: b"msdos", 5: b"cd9660", 6: b"fdesc", 7: b"kernfs", 9: b"afs",
}  # fmt: skip

MNT_WAIT: Final = 1
MNT_NOWAIT: Final = 2

VFS_NAMELEN: Final = 32
VFS_MNAMELEN: Final = 1024
VFS_MAX_MOUNT_DATA: Final = 8192
#: struct mnt_export_args30: what MNT_UPDATE copies in at least when it is not told a length
EXPORT_ARGS30_SIZE: Final = 128

#: struct ufs_args: fspec
UFS_ARGS: Final = struct.Struct("<Q")
#: What may follow ufs_args here, any number of times: a name and a number. `sblock`: the superblock's sector
#: of 512 bytes (as fsck_ffs -b); `replay`: what becomes of a log that is not empty
UFS_VALUE: Final = struct.Struct("<8sQ")
UFS_VALUES: Final = {"sblock": b"sblock=\0", "replay": b"replay=\0"}
#: replay: into memory, or in place where that may be written; not at all; the mount fails
UFS_REPLAY_AUTO, UFS_REPLAY_IGNORE, UFS_REPLAY_REFUSE = range(3)
#: struct tmpfs_args: version nodes_max size_max root_uid root_gid root_mode
TMPFS_ARGS: Final = struct.Struct("<i4xqQIII4x")
TMPFS_ARGS_VERSION: Final = 1
#: struct layer_args: target, and an unused struct export_args30 (sys/miscfs/genfs/layer.h)
LAYER_ARGS: Final = struct.Struct("<Q128x")


def makefstype(name: bytes) -> int:
    """Return the number that a file system's name hashes to (sys/kern/vfs_subr.c: makefstype)."""
    value = 0
    for byte in name:
        value = (value << 2 ^ byte) & 0xFFFFFFFF
    return value
