"""The nodes of the sysctl tree (NetBSD: init_sysctl_base.c, init_sysctl.c, kern_clock.c, vfs_init.c).

Limits that this kernel does not have in the same way can be read, and not set.
"""

from __future__ import annotations

import os
import struct
from typing import Any, Final

from rumpfs.abi import errno, limits, sysctl, version
from rumpfs.abi.sysctl import (
    CREATE_BASE,
    CTL_CREATE,
    CTL_HW,
    CTL_KERN,
    CTL_VFS,
    CTLFLAG_HEX,
    CTLFLAG_IMMEDIATE,
    CTLFLAG_PERMANENT,
    CTLFLAG_READWRITE,
    CTLTYPE_INT,
    CTLTYPE_NODE,
    CTLTYPE_QUAD,
    CTLTYPE_STRING,
    CTLTYPE_STRUCT,
    VFS_GENERIC,
)
from rumpfs.base.clock import boottime
from rumpfs.base.errors import VfsError
from rumpfs.kern.descrip import MAXFILES
from rumpfs.kern.msgbuf import MSGBUFSIZE
from rumpfs.kern.proc import Proc
from rumpfs.kern.sys_resource import MAXPROC
from rumpfs.kern.sysctl import Node, Row, Steps, SysctlRequest, Value, answer
from rumpfs.kern.sysctl_proc import sysctl_doeproc
from rumpfs.vfs.vcache import MAXVNODES

HZ: Final = 100  # sys/conf/param.c
TICKADJ: Final = 40
PHYSMEM: Final = 512 << 20  # rump's emul.c: 512 * 256 pages; what hw.physmem is without a limit
ARANDOM_MAX: Final = 256  # subr_cprng.c: sysctl_kern_arnd

_timespec = struct.Struct("<qq").pack

_NODE = CTLTYPE_NODE | CTLFLAG_PERMANENT
_INT = CTLTYPE_INT | CTLFLAG_PERMANENT
_CONST = _INT | CTLFLAG_IMMEDIATE
_QUAD = CTLTYPE_QUAD | CTLFLAG_PERMANENT
_STRING = CTLTYPE_STRING | CTLFLAG_PERMANENT
_STRUCT = CTLTYPE_STRUCT | CTLFLAG_PERMANENT
_WRITE = CTLFLAG_READWRITE
#: vfs.sync, and the longest delay there
_SYNC: Final = (CTL_VFS, CREATE_BASE)
_DELAY_MAX: Final = 1 << 31


def hostname() -> bytes:
    """Return the name that a kernel begins with: the server's process number and the host's name."""
    name = b"rump-%05d.%s" % (os.getpid(), os.fsencode(os.uname().nodename))
    return name[: limits.MAXHOSTNAMELEN - 1]


def _boottime(p: Proc) -> bytes:
    return _timespec(*boottime())


def _urandom(p: Proc) -> int:
    return int.from_bytes(os.urandom(4), "little")


def _arandom(req: SysctlRequest, node: Node, rest: tuple[int, ...]) -> Steps:
    """Answer with as many random bytes as are asked for. Errors: E2BIG, EINVAL, EPERM, EFAULT."""
    if req.oldlen > ARANDOM_MAX:
        raise VfsError(errno.E2BIG)
    if rest:
        raise VfsError(errno.EINVAL)
    if req.newp and req.newlen:
        raise VfsError(errno.EPERM)
    if req.oldlen:
        yield from answer(req, os.urandom(req.oldlen))


def _ncpu(p: Proc) -> int:
    return p.kernel.ncpu


def _physmem64(p: Proc) -> int:
    limit = p.kernel.memory.limit
    return PHYSMEM if limit is None else limit


def _physmem(p: Proc) -> int:
    return min(_physmem64(p), 0xFFFFFFFF)


def _maxvnodes(p: Proc) -> int:
    return MAXVNODES if p.kernel.vfs is None else p.kernel.vfs.vcache.maxvnodes


def _set_maxvnodes(p: Proc, value: Value) -> None:
    """Set how many vnodes are kept. Errors: EINVAL: none; EOPNOTSUPP: there is no vfs."""
    assert isinstance(value, int)
    if p.kernel.vfs is None:
        raise VfsError(errno.EOPNOTSUPP)
    p.kernel.vfs.vcache.set_maxvnodes(value)


def _delay(name: str) -> dict[str, Any]:
    """Return what reads and sets one of the syncer's delays, in seconds. Errors: EINVAL: none."""

    def get(p: Proc) -> int:
        return 0 if p.kernel.vfs is None else int(getattr(p.kernel.vfs.syncer, name))

    def change(p: Proc, value: Value) -> None:
        assert isinstance(value, int)
        if p.kernel.vfs is None or not 0 < value <= _DELAY_MAX:
            raise VfsError(errno.EINVAL)
        setattr(p.kernel.vfs.syncer, name, value)

    return {"value": get, "set": change}


def _msgbuf(p: Proc) -> bytes:
    return p.kernel.msgbuf.content()


def _maxtypenum(p: Proc) -> int:
    return 0 if p.kernel.vfs is None else len(p.kernel.vfs.types)


def _fstypes(p: Proc) -> bytes:
    return b"" if p.kernel.vfs is None else b" ".join(p.kernel.vfs.types)


def _kern(number: int, name: bytes, flags: int, desc: bytes, value: int | bytes) -> Row:
    return Row((CTL_KERN, number), name, flags, desc, value)


# fmt: off
#: the nodes that hold all others
TOP: Final = (
    Row((CTL_KERN,), b"kern", _NODE, b"Kernel"),
    Row((sysctl.CTL_VM,), b"vm", _NODE, b"Virtual memory"),
    Row((CTL_VFS,), b"vfs", _NODE, b"File systems"),
    Row((sysctl.CTL_NET,), b"net", _NODE, b"Network"),
    Row((sysctl.CTL_DEBUG,), b"debug", _NODE, b"Debugging"),
    Row((CTL_HW,), b"hw", _NODE, b"Processors and devices"),
    Row((sysctl.CTL_MACHDEP,), b"machdep", _NODE, b"What depends on the machine"),
    Row((sysctl.CTL_USER,), b"user", _NODE, b"What the C library answers"),
    Row((sysctl.CTL_DDB,), b"ddb", _NODE, b"Debugger in the kernel"),
    Row((sysctl.CTL_PROC,), b"proc", _NODE, b"Single processes"),
    Row((sysctl.CTL_VENDOR,), b"vendor", _NODE | _WRITE, b"What vendors add"),
    Row((sysctl.CTL_EMUL,), b"emul", _NODE, b"Emulations"),
    Row((sysctl.CTL_SECURITY,), b"security", _NODE, b"Security"),
)

KERN: Final = (
    _kern(sysctl.KERN_OSTYPE, b"ostype", _STRING, b"Name of the operating system", version.OSTYPE),
    _kern(sysctl.KERN_OSRELEASE, b"osrelease", _STRING, b"Its release", version.OSRELEASE),
    _kern(sysctl.KERN_OSREV, b"osrevision", _CONST, b"Its release as a number", version.OSREVISION),
    _kern(sysctl.KERN_VERSION, b"version", _STRING, b"Version of the kernel", version.VERSION),
    Row((CTL_KERN, sysctl.KERN_MAXVNODES), b"maxvnodes", _INT | _WRITE, b"Vnodes kept without a user",
        _maxvnodes, set=_set_maxvnodes),
    _kern(sysctl.KERN_MAXPROC, b"maxproc", _INT, b"Highest number of processes", MAXPROC),
    _kern(sysctl.KERN_MAXFILES, b"maxfiles", _INT, b"Highest number of open files", MAXFILES),
    _kern(sysctl.KERN_ARGMAX, b"argmax", _CONST, b"Bytes that execve(2) passes on at most", limits.ARG_MAX),
    _kern(sysctl.KERN_SECURELVL, b"securelevel", _INT, b"Security level (-1: for ever insecure)", -1),
    Row((CTL_KERN, sysctl.KERN_HOSTNAME), b"hostname", _STRING | _WRITE, b"Name of the host", b"",
        limits.MAXHOSTNAMELEN),
    _kern(sysctl.KERN_HOSTID, b"hostid", _INT | _WRITE | CTLFLAG_HEX, b"Number of the host", 0),
    _kern(sysctl.KERN_CLOCKRATE, b"clockrate", _STRUCT, b"Rates of the clocks",
          sysctl.CLOCKINFO.pack(HZ, 1_000_000 // HZ, TICKADJ, HZ, HZ)),
    _kern(sysctl.KERN_POSIX1, b"posix1version", _CONST, b"Version of POSIX 1003.1", 200112),
    _kern(sysctl.KERN_NGROUPS, b"ngroups", _CONST, b"Groups of a process at most", limits.NGROUPS_MAX),
    _kern(sysctl.KERN_JOB_CONTROL, b"job_control", _CONST, b"Whether there is job control", 1),
    _kern(sysctl.KERN_SAVED_IDS, b"saved_ids", _CONST, b"Whether processes have saved ids", 1),
    Row((CTL_KERN, sysctl.KERN_DOMAINNAME), b"domainname", _STRING | _WRITE, b"Name of the YP domain", b"",
        limits.MAXHOSTNAMELEN),
    _kern(sysctl.KERN_MAXPARTITIONS, b"maxpartitions", _CONST, b"Partitions of a disk at most", 16),
    _kern(sysctl.KERN_RAWPARTITION, b"rawpartition", _CONST, b"Partition that is the whole disk", 3),
    _kern(sysctl.KERN_RTC_OFFSET, b"rtc_offset", _INT, b"Minutes by which the clock is west of UTC", 0),
    _kern(sysctl.KERN_ROOT_DEVICE, b"root_device", _STRING, b"Device of the root file system", b""),
    _kern(sysctl.KERN_FSYNC, b"fsync", _CONST, b"Whether there is fsync(2)", 1),
    _kern(sysctl.KERN_SYNCHRONIZED_IO, b"synchronized_io", _CONST, b"Whether there is O_SYNC", 1),
    _kern(sysctl.KERN_IOV_MAX, b"iov_max", _CONST, b"Pieces of a readv(2) at most", limits.IOV_MAX),
    _kern(sysctl.KERN_LOGIN_NAME_MAX, b"login_name_max", _CONST, b"Length of a login name, with its NUL",
          limits.LOGIN_NAME_MAX),
    Row((CTL_KERN, sysctl.KERN_PROC2), b"proc2", _NODE, b"Processes", func=sysctl_doeproc),
    Row((CTL_KERN, sysctl.KERN_MSGBUF), b"msgbuf", _STRUCT, b"What the kernel printed", _msgbuf, MSGBUFSIZE),
    _kern(sysctl.KERN_MAXPHYS, b"maxphys", _CONST, b"Bytes of a raw transfer at most", limits.MAXPHYS),
    _kern(sysctl.KERN_MONOTONIC_CLOCK, b"monotonic_clock", _CONST, b"Version of the monotonic clock", 200112),
    Row((CTL_KERN, sysctl.KERN_URND), b"urandom", _INT, b"A random number", _urandom),
    Row((CTL_KERN, sysctl.KERN_ARND), b"arandom", _INT, b"Random bytes", func=_arandom),
    Row((CTL_KERN, sysctl.KERN_BOOTTIME), b"boottime", _STRUCT, b"When the kernel was booted", _boottime, 16),
)

HW: Final = (
    Row((CTL_HW, sysctl.HW_MACHINE), b"machine", _STRING, b"Class of the machine", version.MACHINE),
    Row((CTL_HW, sysctl.HW_MODEL), b"model", _STRING, b"Model of the machine", version.MODEL),
    Row((CTL_HW, sysctl.HW_NCPU), b"ncpu", _INT, b"Number of processors", _ncpu),
    Row((CTL_HW, sysctl.HW_BYTEORDER), b"byteorder", _CONST, b"Order of bytes", 1234),
    Row((CTL_HW, sysctl.HW_PHYSMEM), b"physmem", _INT, b"Bytes of memory", _physmem),
    Row((CTL_HW, sysctl.HW_USERMEM), b"usermem", _INT, b"Bytes of memory for processes", _physmem),
    Row((CTL_HW, sysctl.HW_PAGESIZE), b"pagesize", _CONST, b"Bytes of a page", limits.PAGE_SIZE),
    Row((CTL_HW, sysctl.HW_DISKNAMES), b"disknames", _STRING, b"Disks that keep statistics", b""),
    Row((CTL_HW, sysctl.HW_MACHINE_ARCH), b"machine_arch", _STRING, b"Class of its processor",
        version.MACHINE_ARCH),
    Row((CTL_HW, sysctl.HW_ALIGNBYTES), b"alignbytes", _CONST, b"Mask that aligns every type", 15),
    Row((CTL_HW, sysctl.HW_PHYSMEM64), b"physmem64", _QUAD, b"Bytes of memory", _physmem64),
    Row((CTL_HW, sysctl.HW_USERMEM64), b"usermem64", _QUAD, b"Bytes of memory for processes", _physmem64),
    Row((CTL_HW, sysctl.HW_NCPUONLINE), b"ncpuonline", _INT, b"Number of processors that run", _ncpu),
)

VM: Final = (
    Row((sysctl.CTL_VM, sysctl.VM_LOADAVG), b"loadavg", _STRUCT, b"Load of the last 1, 5 and 15 minutes",
        sysctl.LOADAVG.pack(0, 0, 0, sysctl.FSCALE)),
)

#: what comes with the file systems
VFS: Final = (
    Row((CTL_VFS, VFS_GENERIC), b"generic", _NODE, b"What all file systems share"),
    Row((CTL_VFS, VFS_GENERIC, sysctl.VFS_MAXTYPENUM), b"maxtypenum", _INT, b"Number of types", _maxtypenum),
    Row((CTL_VFS, VFS_GENERIC, sysctl.VFS_USERMOUNT), b"usermount", _INT, b"Whether users may mount", 0),
    Row((CTL_VFS, VFS_GENERIC, sysctl.VFS_MAGICLINKS), b"magiclinks", _INT,
        b"Whether variables in symbolic links are expanded", 0),
    Row((CTL_VFS, VFS_GENERIC, CTL_CREATE), b"fstypes", _STRING, b"Types of file systems", _fstypes),
    Row(_SYNC, b"sync", _NODE, b"When what was changed is written"),
    Row((*_SYNC, CREATE_BASE), b"delay", _QUAD | _WRITE, b"Seconds until files are", **_delay("delay")),
    Row((*_SYNC, CREATE_BASE + 1), b"metadelay", _QUAD | _WRITE,
        b"Seconds until what goes through a log is", **_delay("metadelay")),
)
# fmt: on
