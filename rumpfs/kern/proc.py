"""Processes (NetBSD: kern_proc.c, and rump's lwproc.c)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from rumpfs.abi import errno
from rumpfs.abi.fcntl import AT_FDCWD
from rumpfs.abi.limits import MAXCOMLEN, RLIMIT_FSIZE, RLIMIT_NOFILE
from rumpfs.base.clock import Timespec, now
from rumpfs.base.errors import VfsError
from rumpfs.kern.descrip import File, Filedesc, VnodeFile
from rumpfs.kern.ktrace import untrace
from rumpfs.vfs.ancestors import below
from rumpfs.vfs.cred import ROOT, Cred
from rumpfs.vfs.vnode import VBAD, Vnode, vref, vrele

if TYPE_CHECKING:
    from rumpfs.kern.kernel import Kernel
    from rumpfs.kern.ktrace import Tracing
    from rumpfs.kern.pgrp import Pgrp
    from rumpfs.kern.syscall import Sysent
    from rumpfs.kern.timer import Timers

#: the soft and the hard limit of each resource
Rlimits = tuple[tuple[int, int], ...]

CMASK = 0o022  # sys/sys/param.h: the umask of init
PID_TABLE = 32  # kern_proc.c: INITIAL_PID_TABLE_SIZE
PID_MAX = 30_000  # sys/sys/proc.h; more only when the table is larger


class Proc:
    """A process of a client; a connection is one.

    Args:
        kernel: the kernel it runs in.
        parent: whose directories, credentials, limits, group and umask it gets; None for init.
        fd: its descriptors.

    Attributes:
        running: returns how many of its calls are under way, with the present one; set by a front end.
        psignal: sends the client a signal (NetBSD number), or returns False because it has not yet taken an
            earlier one of that number; set by a front end.
        sysent: its system calls, by number.
        ktrace: how it is traced; None: it is not.
        timers: what setitimer and timer_create made; None when nothing was.
        sugid: it has changed its ids.
        fsize: soft RLIMIT_FSIZE, in bytes.
        start: when it was made.
    """

    __slots__ = (
        "comm",
        "cred",
        "cwd",
        "fd",
        "fget",
        "fsize",
        "in_exec",
        "kernel",
        "ktrace",
        "pgrp",
        "pid",
        "ppid",
        "psignal",
        "rdir",
        "rlimit",
        "running",
        "start",
        "sugid",
        "sysent",
        "timers",
        "umask",
    )

    pid: int
    comm: bytes
    umask: int
    cwd: Vnode
    rdir: Vnode
    pgrp: Pgrp

    def __init__(self, kernel: Kernel, parent: Proc | None, fd: Filedesc) -> None:
        self.kernel = kernel
        self.pid = kernel.pids.alloc()
        self.ppid = 1 if parent is None else parent.pid
        self.comm = b"" if parent is None else parent.comm
        self.cred: Cred = ROOT if parent is None else parent.cred
        self.umask = CMASK if parent is None else parent.umask
        self.set_fd(fd)
        self.rlimit: Rlimits = kernel.rlimit if parent is None else parent.rlimit
        self.fsize = self.rlimit[RLIMIT_FSIZE][0]
        self.in_exec = False
        self.sugid = False
        self.start: Timespec = now()
        self.running: Callable[[], int] = _none
        self.psignal: Callable[[int], bool] = _unheard
        self.timers: Timers | None = None
        self.sysent: list[Sysent | None] = kernel.sysent
        self.ktrace: Tracing | None = None
        kernel.procs[self.pid] = self
        kernel.pgrps.join(self, kernel.pgrps.pgrp0 if parent is None else parent.pgrp)
        if kernel.vfs is not None:
            self.cwd = kernel.vfs.rootvnode if parent is None else parent.cwd
            self.rdir = kernel.vfs.rootvnode if parent is None else parent.rdir
            vref(self.cwd)
            vref(self.rdir)

    def set_fd(self, fd: Filedesc) -> None:
        """Use the descriptor table `fd`; `fget(fd, mode)` is then its `get`."""
        self.fd = fd
        self.fget = fd.get

    @property
    def nlwps(self) -> int:
        """The number of its lwps: one of its own, and one for every call under way (p_nlwps)."""
        return 1 + self.running()

    def setrlimit(self, which: int, soft: int, hard: int) -> None:
        """Set a limit of the process (not of its relatives)."""
        self.rlimit = (*self.rlimit[:which], (soft, hard), *self.rlimit[which + 1 :])
        if which == RLIMIT_NOFILE:
            self.fd.limit = soft
        elif which == RLIMIT_FSIZE:
            self.fsize = soft

    def set_comm(self, comm: bytes) -> None:
        """Set the command name (p_comm, cut as NetBSD cuts it)."""
        self.comm = comm[:MAXCOMLEN]

    def chdir(self, vp: Vnode) -> None:
        """Make the directory `vp` the working directory."""
        vref(vp)
        vrele(self.cwd)
        self.cwd = vp

    def chroot(self, vp: Vnode) -> None:
        """Make the directory `vp` the root that the process sees; the working directory stays in it."""
        self.set_root(vp)
        if not below(self.cwd, vp):
            self.chdir(vp)

    def set_root(self, vp: Vnode) -> None:
        """Make the directory `vp` the root that the process sees."""
        vref(vp)
        vrele(self.rdir)
        self.rdir = vp

    def directory(self, fd: int) -> Vnode | None:
        """Return where the relative path of an *at call starts; None: at the working directory.

        Errors: EBADF, EINVAL (no vnode).
        """
        if fd == AT_FDCWD:
            return None
        return self.vnode(fd)

    def vnode(self, fd: int) -> Vnode:
        """Return the vnode behind a descriptor. Errors: EBADF, EINVAL (no vnode)."""
        return self.vnode_file(fd).f_vnode

    def vnode_file(self, fd: int, number: int = errno.EINVAL) -> VnodeFile:
        """Return the vnode file behind a descriptor.

        Errors: EBADF (or the file was revoked); `number` for what is no vnode.
        """
        fp: File = self.fget(fd)
        if not isinstance(fp, VnodeFile):
            raise VfsError(number)
        if fp.f_vnode.v_type == VBAD:
            raise VfsError(errno.EBADF)
        return fp

    def exit(self) -> None:
        """End: close every descriptor, leave the directories, free the pid (kern_exit.c: exit1)."""
        if self.timers is not None:
            self.timers.free()
        untrace(self)
        self.fd.close_all()
        self.kernel.reparent(self)
        if self.kernel.vfs is not None:
            vrele(self.cwd)
            vrele(self.rdir)
        self.kernel.pgrps.leave(self)
        del self.kernel.procs[self.pid]
        self.kernel.pids.free(self.pid)


def _none() -> int:
    return 0


def _unheard(signo: int) -> bool:
    """Nobody is there to take a signal."""
    return True


class PidTable:
    """Process numbers (kern_proc.c: proc_alloc_pid, expand_pid_table).

    A number is a slot of a table plus a multiple of the table's size, so no two that are in use are alike.
    A freed slot goes to the end of a queue and is reissued one size higher; the table doubles before it is
    full.
    """

    def __init__(self) -> None:
        self._size = PID_TABLE
        self._used = {0}  # the kernel
        self._free: deque[int] = deque(range(1, PID_TABLE))  # what each free slot is issued as

    def alloc(self) -> int:
        """Return a number that is not in use."""
        if len(self._used) > self._size - self._size // 16:
            self._grow()
        pid = self._free.popleft()
        self._used.add(pid)
        return pid

    def free(self, pid: int) -> None:
        """Give a number back."""
        self._used.remove(pid)
        self._free.append(self._fit(pid + self._size))

    def _fit(self, pid: int) -> int:
        """Return `pid`, or the lowest number of its slot if it is out of range."""
        return pid if pid <= max(PID_MAX, 2 * self._size - 1) else pid % self._size

    def _grow(self) -> None:
        """Double the table: each slot keeps its number, and its new half comes to the head of the queue."""
        half = self._size
        self._size *= 2
        stay = [pid if pid < half else (pid & ~half) + self._size for pid in self._free]
        halves = [(pid % half, (pid ^ half) + self._size) for pid in self._used]
        halves += [(pid % half, pid | half) for pid in stay]
        self._free = deque(self._fit(pid) for pid in [*(pid for _, pid in sorted(halves)), *stay])
