"""Forks, execs and ends of processes, sentence by sentence (sysproxy.md 5.2-5.5 and 9; rump's lwproc.c)."""

from __future__ import annotations

import struct

import pytest

from rumpfs.abi.fcntl import F_SETFD, F_SETOWN, FD_CLOEXEC, O_CREAT, O_RDONLY, O_RDWR
from rumpfs.base.errors import VfsError
from rumpfs.vfs.cred import Cred
from tests.kern.incore import Machine, Process


def kinfo(p: Process) -> dict[int, tuple[int, int, bytes]]:
    """Return the parent, the number of lwps and the command of each process (kern.proc2)."""
    size = bytearray(8)
    mib = struct.pack("<6i", 1, 47, 0, 0, 680, 1000)
    p.call("__sysctl", mib, 6, None, size, None, 0)
    buffer = bytearray(int.from_bytes(size, "little"))
    p.call("__sysctl", mib, 6, buffer, size, None, 0)
    found = {}
    for start in range(0, int.from_bytes(size, "little"), 680):
        entry = buffer[start : start + 680]
        pid, ppid = struct.unpack_from("<ii", entry, 116)
        (nlwps,) = struct.unpack_from("<Q", entry, 616)
        found[pid] = ppid, nlwps, bytes(entry[368:392]).rstrip(b"\0")
    return found


def test_the_child_is_what_the_parent_was_at_the_prefork(machine: Machine) -> None:
    p = machine.process()
    kernel = machine.kernel
    p.make(b"/file", b"0123456789")
    fd = p.call("open", b"/file", O_RDONLY, 0)
    p.call("chdir", b"/tmp")
    p.call("umask", 0o77)
    p.call("setrlimit", 8, struct.pack("<QQ", 40, 50))
    p.p.cred = Cred(3, 4, 0, 0, 5, 6, (7, 8))
    cookie = kernel.prefork(p.p)
    p.call("read", fd, 3)
    later = p.call("open", b"/file", O_RDONLY, 0)
    p.call("chdir", b"/dev")
    p.call("umask", 0o22)
    p.call("setrlimit", 8, struct.pack("<QQ", 30, 49))
    child = Process(kernel.fork(cookie))
    assert child.call("read", fd, 3) == b"345", "one open file, one offset"
    assert child.error("fcntl", later, F_SETFD, 0) == "EBADF"
    assert child.getcwd() == b"/tmp"
    assert child.call("umask", 0) == 0o77
    assert child.call("getrlimit", 8) == struct.pack("<QQ", 40, 50)
    assert child.p.cred == Cred(3, 4, 0, 0, 5, 6, (7, 8))
    assert child.p.comm == p.p.comm
    assert len(cookie) == 16


def test_a_fork_uses_two_numbers_and_the_childs_parent_is_init(machine: Machine) -> None:
    p = machine.process()
    cookie = machine.kernel.prefork(p.p)
    parked = kinfo(p)
    (number,) = set(parked) - {1, p.p.pid}
    assert number == p.p.pid + 1
    assert parked[number][0] == p.p.pid
    child = machine.kernel.fork(cookie)
    assert (child.pid, child.ppid) == (p.p.pid + 2, 1)
    assert set(kinfo(p)) == {1, p.p.pid, child.pid}


def test_a_cookie_outlives_the_parent_and_is_good_for_once(machine: Machine) -> None:
    p, other = machine.process(), machine.process()
    cookies = [machine.kernel.prefork(p.p) for _ in range(3)]
    assert len(set(cookies)) == 3
    p.p.exit()
    assert {kinfo(other)[pid][0] for pid in kinfo(other)} <= {0, 1}, "what is parked is init's now"
    assert machine.kernel.fork(cookies[2]).ppid == 1
    for cookie in (cookies[2], bytes(16)):
        with pytest.raises(VfsError, match="ESRCH"):
            machine.kernel.fork(cookie)
    machine.kernel.forget(cookies[0])
    with pytest.raises(VfsError, match="ESRCH"):
        machine.kernel.forget(cookies[0])
    machine.kernel.fork(cookies[1])


def test_what_a_child_does_not_have(machine: Machine) -> None:
    p = machine.process()
    p.call("setuid", 5)
    p.call("kqueue")
    p.call("timer_create", 0, None, bytearray(4))
    assert p.call("issetugid") == 1
    child = machine.fork(p)
    assert child.call("issetugid") == 0, "lwproc.c begins with no flags"
    assert child.error("timer_delete", 4) == "EINVAL"
    assert child.error("fcntl", 3, F_SETFD, 0) == "EBADF", "an event queue"


def test_exec_keeps_the_process(machine: Machine) -> None:
    p = machine.process()
    stays = p.call("open", b"/file", O_CREAT | O_RDWR, 0o600)
    goes = p.call("open", b"/file", O_RDWR, 0)
    p.call("fcntl", goes, F_SETFD, FD_CLOEXEC)
    reader, _ = p.call("pipe")
    p.call("fcntl", reader, F_SETOWN, p.p.pid)
    p.call("umask", 0o77)
    pid = p.p.pid
    machine.kernel.exec(p.p, b"a long name of a command")
    assert p.call("getpid")[0] == pid
    assert kinfo(p)[pid][2] == b"a long name of a", "MAXCOMLEN"
    assert p.error("read", goes, 1) == "EBADF"
    assert p.call("read", stays, 1) == b""
    assert p.call("umask", 0) == 0o77


def test_clients_begin_in_the_kernels_group_and_session(p: Process) -> None:
    assert (p.call("getpgrp"), p.call("getsid", 0), p.call("getpgid", 0)) == (0, 0, 0)


def test_one_lwp_more_than_calls_are_under_way(p: Process) -> None:
    p.p.running = lambda: 3
    assert kinfo(p)[p.p.pid][1] == 4


def test_nothing_is_left_of_a_process(machine: Machine) -> None:
    watcher = machine.process()
    before = machine.busy(), set(machine.kernel.procs)
    p = machine.process()
    fd = p.call("open", b"/file", O_CREAT | O_RDWR, 0o600)
    p.call("fcntl", fd, 8, struct.pack("<qqihh", 0, 0, 0, 3, 0))
    p.call("chdir", b"/tmp")
    p.call("__setitimer50", 0, struct.pack("<qi4xqi4x", 0, 0, 60, 0), None)
    p.call("ktrace", b"/file", 0x02000000, 2, p.p.pid)
    p.p.exit()
    watcher.call("unlink", b"/file")
    assert (machine.busy(), set(machine.kernel.procs)) == before
    assert machine.kernel.callouts.deadline is None
    assert machine.kernel.pgrps.pgrp0.members == {machine.kernel.initproc, watcher.p}
