"""The kernel: what its components put together, its processes, its devices, and the way down.

A kernel has no event loop and no thread; front ends call it (see `rumpfs.kern.syscall`) and drive the
generators that it answers with.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import partial

from rumpfs.abi import errno
from rumpfs.abi.limits import RB_DUMP, RB_NOSYNC
from rumpfs.abi.syscalls import KERN, NET, VFS
from rumpfs.abi.sysctl import CTL_KERN, KERN_HOSTNAME
from rumpfs.base.callout import CalloutTable
from rumpfs.base.component import Component
from rumpfs.base.errors import VfsError
from rumpfs.base.memory import Memory
from rumpfs.dev.drivespec import DriveType
from rumpfs.dev.etfs import EtfsTable
from rumpfs.dev.window import Window
from rumpfs.kern import mem, sysctl_nodes
from rumpfs.kern.bodies import sysent
from rumpfs.kern.console import ConsoleFile
from rumpfs.kern.descrip import Filedesc
from rumpfs.kern.module import ModuleTable
from rumpfs.kern.msgbuf import Msgbuf
from rumpfs.kern.pgrp import PgrpTable
from rumpfs.kern.pipe import PipeTable
from rumpfs.kern.proc import PidTable, Proc
from rumpfs.kern.secmodel import Extensions
from rumpfs.kern.sys_resource import LIMIT0
from rumpfs.kern.sys_revoke import revoke_mount
from rumpfs.kern.syscall import Sysent
from rumpfs.kern.sysctl import Sysctl
from rumpfs.kern.uipc_usrreq import SocketTable
from rumpfs.vfs.mount import Vfs

log = logging.getLogger(__name__)

#: forked processes that nobody has claimed; more than any client has children on the way
MAXPARKED = 4096


class Kernel:
    """One kernel.

    Args:
        ncpu: virtual processors that it shows.
        memlimit: bytes that it may allocate; None: no limit.
        verbose: whether `console` gets the boot messages.
        console: takes what the kernel and its processes print.
    """

    def __init__(
        self, ncpu: int, memlimit: int | None, verbose: bool, console: Callable[[bytes], None]
    ) -> None:
        self.ncpu = ncpu
        self.verbose = verbose
        self.console = console
        self.msgbuf = Msgbuf()
        self.memory = Memory(memlimit)
        self.components: dict[str, Component] = {}
        self.vfs: Vfs | None = None
        self.etfs = EtfsTable()
        self.modules = ModuleTable(self)
        self.callouts = CalloutTable()
        self.pipes = PipeTable()
        self.sockets: SocketTable | None = None
        self.pids = PidTable()
        self.procs: dict[int, Proc] = {}
        self.pgrps = PgrpTable()
        self.rlimit = LIMIT0
        self.sysctl = Sysctl((*sysctl_nodes.TOP, *sysctl_nodes.KERN, *sysctl_nodes.VM, *sysctl_nodes.HW))
        self.extensions = Extensions()
        self.howto: int | None = None  # how it was halted
        self._parked: dict[bytes, Proc] = {}
        self.sysent: list[Sysent | None] = []
        self.initproc: Proc

    def print(self, text: str) -> None:
        """Print a line on the console, and keep it in the message buffer."""
        self._log(text, True)

    def print_verbose(self, text: str) -> None:
        """Print a line of the boot messages: on the console with -v, in the message buffer always."""
        self._log(text, self.verbose)

    def _log(self, text: str, shown: bool) -> None:
        line = text.encode(errors="surrogateescape") + b"\n"
        self.msgbuf.append(line)
        if shown:
            self.console(line)

    # --- boot and halt --------------------------------------------------------------------------

    def add(self, component: Component) -> None:
        """Take a component in, to be initialised by `boot`. A second one of that name is ignored."""
        self.components.setdefault(component.name, component)

    def boot(self) -> None:
        """Initialise the components in the order of their phases, and make init."""
        for component in sorted(self.components.values(), key=lambda c: c.phase):
            component.init(self)
            self.modules.add_builtin(component)
            self.print_verbose(f"component {component.name} initialised")
        if self.vfs is not None:
            self.vfs.vflush = partial(revoke_mount, self)
            mem.attach(self.vfs.devsw)
            self.sysctl.createv(*sysctl_nodes.VFS, *self.extensions.rows())
        self.sysctl.locate((CTL_KERN, KERN_HOSTNAME))[0].value = sysctl_nodes.hostname()
        provided = {KERN: True, VFS: self.vfs is not None, NET: "rumpnet" in self.components}
        self.sysent = sysent({faction for faction, there in provided.items() if there})
        self.initproc = Proc(self, None, Filedesc())
        self.initproc.set_comm(b"rumplocal")

    def reboot(self, howto: int) -> None:
        """Sync and unmount, unless `howto` has RB_NOSYNC or RB_DUMP; then the front ends end (cpu_reboot)."""
        self.print("rump kernel halting...")
        if not howto & (RB_NOSYNC | RB_DUMP) and self.vfs is not None:
            try:
                self.vfs.unmount_all()
            except VfsError:
                log.exception("unmounting at the halt failed")
        self.etfs.close_all()
        self.howto = howto

    # --- etfs -----------------------------------------------------------------------------------

    def etfs_register(self, key: bytes, window: Window, kind: DriveType = "blk") -> None:
        """Make a host file's window the object `key` of the name space (rump_etfs(3)).

        Errors: ENOSYS without the vfs; EINVAL, EEXIST, EBUSY as `EtfsTable.register`.
        """
        if self.vfs is None:
            raise VfsError(errno.ENOSYS)
        entry = self.etfs.register(key, window, kind)
        self.vfs.keys.add_key(entry.key, entry)

    def etfs_remove(self, key: bytes) -> None:
        """Take a key out of the name space. Errors: ENOSYS, ENOENT, EBUSY."""
        if self.vfs is None:
            raise VfsError(errno.ENOSYS)
        self.etfs.remove(key)
        self.vfs.keys.remove_key(key.lstrip(b"/"))

    # --- processes ------------------------------------------------------------------------------

    def spawn(self, comm: bytes) -> Proc:
        """Make the process of a new client: a child of init with the console on 0, 1 and 2."""
        fd = Filedesc()
        console = ConsoleFile(self.console)
        for _ in range(3):
            fd.alloc(console)
        p = Proc(self, self.initproc, fd)
        p.set_comm(comm)
        return p

    def prefork(self, p: Proc) -> bytes:
        """Park a copy of a process and return the cookie it is claimed with (16 bytes). Errors: EAGAIN."""
        if len(self._parked) >= MAXPARKED:
            raise VfsError(errno.EAGAIN)
        cookie = os.urandom(16)
        self._parked[cookie] = Proc(self, p, p.fd.copy())
        return cookie

    def fork(self, cookie: bytes) -> Proc:
        """Return the process that a cookie stands for; each is good for once. Errors: ESRCH.

        As in NetBSD the claimed process is a child of the parked one, which goes: its parent is init.
        """
        parked = self._parked.pop(cookie, None)
        if parked is None:
            raise VfsError(errno.ESRCH)
        p = Proc(self, parked, parked.fd)
        p.ppid = 1
        parked.set_fd(Filedesc())
        parked.exit()
        return p

    def reparent(self, parent: Proc) -> None:
        """A process goes: its parked children are init's (lwproc.c: lwproc_proc_free)."""
        for p in self._parked.values():
            if p.ppid == parent.pid:
                p.ppid = self.initproc.pid

    def forget(self, cookie: bytes) -> None:
        """Drop a parked process. Errors: ESRCH."""
        parked = self._parked.pop(cookie, None)
        if parked is None:
            raise VfsError(errno.ESRCH)
        parked.exit()

    def exec(self, p: Proc, comm: bytes) -> None:
        """A process has a new image: close what is marked so, and take the new name."""
        p.fd.exec()
        p.set_comm(comm)
