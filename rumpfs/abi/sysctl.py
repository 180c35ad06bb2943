"""Numbers and layouts of sysctl(3) (sys/sys/sysctl.h)."""

from __future__ import annotations

import struct
from typing import Final

CTL_MAXNAME: Final = 12  # numbers in a MIB at most
SYSCTL_NAMELEN: Final = 32  # of a node, with its NUL
CREATE_BASE: Final = 1024  # numbers above are given out to nodes that have none of their own

# type of a node, in the low bits of its flags
CTLTYPE_MASK: Final = 0xF
CTLTYPE_NODE: Final = 1
CTLTYPE_INT: Final = 2
CTLTYPE_STRING: Final = 3
CTLTYPE_QUAD: Final = 4
CTLTYPE_STRUCT: Final = 5
CTLTYPE_BOOL: Final = 6

CTLFLAG_READWRITE: Final = 0x70
CTLFLAG_ANYWRITE: Final = 0x80
CTLFLAG_PRIVATE: Final = 0x100
CTLFLAG_PERMANENT: Final = 0x200
CTLFLAG_IMMEDIATE: Final = 0x800
CTLFLAG_HEX: Final = 0x1000
CTLFLAG_ROOT: Final = 0x2000

SYSCTL_VERS_MASK: Final = 0xFF000000
SYSCTL_VERSION: Final = 0x01000000

# the last number of a MIB, for what is done with the node before it
CTL_EOL: Final = -1
CTL_QUERY: Final = -2
CTL_CREATE: Final = -3
CTL_CREATESYM: Final = -4
CTL_DESTROY: Final = -5
CTL_MMAP: Final = -6
CTL_DESCRIBE: Final = -7

CTL_KERN: Final = 1
CTL_VM: Final = 2
CTL_VFS: Final = 3
CTL_NET: Final = 4
CTL_DEBUG: Final = 5
CTL_HW: Final = 6
CTL_MACHDEP: Final = 7
CTL_USER: Final = 8
CTL_DDB: Final = 9
CTL_PROC: Final = 10
CTL_VENDOR: Final = 11
CTL_EMUL: Final = 12
CTL_SECURITY: Final = 13

KERN_OSTYPE: Final = 1
KERN_OSRELEASE: Final = 2
KERN_OSREV: Final = 3
KERN_VERSION: Final = 4
KERN_MAXVNODES: Final = 5
KERN_MAXPROC: Final = 6
KERN_MAXFILES: Final = 7
KERN_ARGMAX: Final = 8
KERN_SECURELVL: Final = 9
KERN_HOSTNAME: Final = 10
KERN_HOSTID: Final = 11
KERN_CLOCKRATE: Final = 12
KERN_POSIX1: Final = 17
KERN_NGROUPS: Final = 18
KERN_JOB_CONTROL: Final = 19
KERN_SAVED_IDS: Final = 20
KERN_DOMAINNAME: Final = 22
KERN_MAXPARTITIONS: Final = 23
KERN_RAWPARTITION: Final = 24
KERN_RTC_OFFSET: Final = 29
KERN_ROOT_DEVICE: Final = 30
KERN_FSYNC: Final = 32
KERN_SYNCHRONIZED_IO: Final = 37
KERN_IOV_MAX: Final = 38
KERN_LOGIN_NAME_MAX: Final = 44
KERN_PROC2: Final = 47
KERN_MSGBUF: Final = 53
KERN_MAXPHYS: Final = 57
KERN_MONOTONIC_CLOCK: Final = 60
KERN_URND: Final = 61
KERN_ARND: Final = 81
KERN_BOOTTIME: Final = 83

# the first number below kern.proc2: which processes
KERN_PROC_ALL: Final = 0
KERN_PROC_PID: Final = 1
KERN_PROC_PGRP: Final = 2
KERN_PROC_SESSION: Final = 3
KERN_PROC_TTY: Final = 4
KERN_PROC_UID: Final = 5
KERN_PROC_RUID: Final = 6
KERN_PROC_GID: Final = 7
KERN_PROC_RGID: Final = 8
KERN_PROC_TTY_NODEV: Final = -1

HW_MACHINE: Final = 1
HW_MODEL: Final = 2
HW_NCPU: Final = 3
HW_BYTEORDER: Final = 4
HW_PHYSMEM: Final = 5
HW_USERMEM: Final = 6
HW_PAGESIZE: Final = 7
HW_DISKNAMES: Final = 8
HW_MACHINE_ARCH: Final = 10
HW_ALIGNBYTES: Final = 11
HW_PHYSMEM64: Final = 13
HW_USERMEM64: Final = 14
HW_NCPUONLINE: Final = 16

# sys/sys/mount.h
VM_LOADAVG: Final = 2

VFS_GENERIC: Final = 0
VFS_MAXTYPENUM: Final = 1
VFS_USERMOUNT: Final = 3
VFS_MAGICLINKS: Final = 4

#: struct sysctlnode: flags, num, name, ver, a union (16 bytes: csize and clen of a node; or the value),
#: size, and addresses of the function, the parent and the description
SYSCTLNODE: Final = struct.Struct("<Ii32sI4x16sQQQQ")
#: struct sysctldesc without its string: descr_num, descr_ver, descr_len (with the NUL)
SYSCTLDESC: Final = struct.Struct("<iII")
#: struct loadavg: of three periods, and what stands for 1 (sys/sys/resource.h)
LOADAVG: Final = struct.Struct("<III4xq")
FSCALE: Final = 1 << 11  # sys/sys/param.h
#: struct clockinfo: hz, tick, tickadj, stathz, profhz
CLOCKINFO: Final = struct.Struct("<iiiii")

#: fields of struct kinfo_proc2 that mean something here: offset and format
KINFO_PROC2_SIZE: Final = 680
KINFO_PROC2: Final[dict[str, tuple[int, str]]] = {
    "p_eflag": (104, "i"),
    "p_flag": (112, "i"),
    "p_pid": (116, "i"),
    "p_ppid": (120, "i"),
    "p_sid": (124, "i"),
    "p__pgid": (128, "i"),
    "p_tpgid": (132, "i"),
    "p_uid": (136, "I"),
    "p_ruid": (140, "I"),
    "p_gid": (144, "I"),
    "p_rgid": (148, "I"),
    "p_groups": (152, "16I"),
    "p_ngroups": (216, "h"),
    "p_tdev": (220, "I"),
    "p_stat": (360, "b"),
    "p_nice": (363, "B"),
    "p_comm": (368, "24s"),
    "p_login": (408, "24s"),
    "p_uvalid": (448, "q"),
    "p_ustart_sec": (456, "I"),
    "p_ustart_usec": (460, "I"),
    "p_nlwps": (616, "Q"),
    "p_nrlwps": (624, "Q"),
    "p_realstat": (632, "Q"),
    "p_svuid": (640, "I"),
    "p_svgid": (644, "I"),
    "p_ename": (648, "16s"),
}

# values of its fields
EPROC_SLEADER: Final = 0x2
L_INMEM: Final = 0x4
P_SUGID: Final = 0x100
SACTIVE: Final = 2
LSRUN: Final = 2
LSONPROC: Final = 7
NZERO: Final = 20
NODEV: Final = 0xFFFFFFFF
NO_PGID: Final = -1
