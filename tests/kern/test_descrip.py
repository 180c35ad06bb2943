"""Descriptors: dup, fcntl, ioctl, close, exec and fork (netbsd_abi 1.3)."""

from __future__ import annotations

from rumpfs.abi.fcntl import (
    F_CLOSEM,
    F_DUPFD,
    F_DUPFD_CLOEXEC,
    F_GETFD,
    F_GETFL,
    F_GETNOSIGPIPE,
    F_MAXFD,
    F_SETFD,
    F_SETFL,
    F_SETNOSIGPIPE,
    O_APPEND,
    O_ASYNC,
    O_CLOEXEC,
    O_CREAT,
    O_NONBLOCK,
    O_NOSIGPIPE,
    O_RDONLY,
    O_RDWR,
    O_WRONLY,
    SEEK_CUR,
    SEEK_SET,
)
from rumpfs.abi.ioctl import (
    FIOASYNC,
    FIOCLEX,
    FIONBIO,
    FIONCLEX,
    FIONREAD,
    FIONSPACE,
    FIONWRITE,
    IOC_IN,
    IOC_OUT,
    TIOCGETA,
)
from tests.kern.incore import Machine, Process


def test_dup_shares_the_offset(t: Process) -> None:
    t.make(b"f", b"0123456789")
    fd = t.call("open", b"f", O_RDONLY, 0)
    other = t.call("dup", fd)
    assert t.call("read", fd, 4) == b"0123"
    assert t.call("read", other, 4) == b"4567"
    t.call("close", fd)
    assert t.call("read", other, 4) == b"89"
    assert t.error("read", fd, 4) == "EBADF"


def test_dup2(t: Process) -> None:
    t.make(b"f", b"content")
    fd = t.call("open", b"f", O_RDONLY, 0)
    assert t.call("dup2", fd, 127) == 127
    assert t.call("dup2", fd, fd) == fd
    assert t.call("dup2", fd, 0) == 0  # over the console
    assert t.call("read", 0, 7) == b"content"
    assert t.error("dup2", fd, 128) == "EBADF"
    assert t.error("dup2", fd, -1) == "EBADF"
    assert t.error("dup2", 99, 99) == "EBADF"
    assert t.error("dup2", 99, 3) == "EBADF"
    assert t.error("dup", 99) == "EBADF"
    assert t.error("dup", -1) == "EBADF"


def test_dup2_closes_what_was_there(t: Process) -> None:
    reader, writer = t.call("pipe")
    t.make(b"f")
    fd = t.call("open", b"f", O_RDONLY, 0)
    t.call("dup2", fd, writer)
    assert t.call("read", reader, 10) == b""  # no writer is left


def test_dup_clears_close_on_exec(t: Process) -> None:
    t.make(b"f")
    fd = t.call("open", b"f", O_RDONLY | O_CLOEXEC, 0)
    assert t.call("fcntl", fd, F_GETFD, 0) == 1
    assert t.call("fcntl", t.call("dup", fd), F_GETFD, 0) == 0
    assert t.call("fcntl", t.call("dup2", fd, 20), F_GETFD, 0) == 0
    t.call("fcntl", 20, F_SETFD, 1)
    t.call("dup2", fd, 20)
    assert t.call("fcntl", 20, F_GETFD, 0) == 0
    assert t.call("fcntl", t.call("fcntl", fd, F_DUPFD, 30), F_GETFD, 0) == 0
    assert t.call("fcntl", t.call("fcntl", fd, F_DUPFD_CLOEXEC, 30), F_GETFD, 0) == 1


def test_dup3(t: Process) -> None:
    t.make(b"f")
    fd = t.call("open", b"f", O_RDONLY, 0)
    assert t.call("dup3", fd, 9, O_CLOEXEC | O_NONBLOCK) == 9
    assert t.call("fcntl", 9, F_GETFD, 0) == 1
    assert t.call("fcntl", 9, F_GETFL, 0) == O_NONBLOCK
    assert t.call("dup3", fd, fd, O_CLOEXEC) == fd
    assert t.call("fcntl", fd, F_GETFD, 0) == 0
    assert t.error("dup3", fd, 10, O_APPEND) == "EINVAL"
    assert t.error("dup3", fd, 128, 0) == "EBADF"


def test_f_dupfd(t: Process) -> None:
    t.make(b"f")
    fd = t.call("open", b"f", O_RDONLY, 0)
    assert t.call("fcntl", fd, F_DUPFD, 10) == 10
    assert t.call("fcntl", fd, F_DUPFD, 10) == 11
    assert t.call("fcntl", fd, F_DUPFD, 0) == 4
    assert t.error("fcntl", fd, F_DUPFD, 128) == "EINVAL"
    assert t.error("fcntl", fd, F_DUPFD, 0xFFFFFFFF) == "EINVAL"
    assert t.error("fcntl", 99, F_DUPFD, 0) == "EBADF"


def test_descriptor_flags(t: Process) -> None:
    t.make(b"f")
    fd = t.call("open", b"f", O_RDONLY, 0)
    t.call("fcntl", fd, F_SETFD, 1)
    assert t.call("fcntl", fd, F_GETFD, 0) == 1
    t.call("fcntl", fd, F_SETFD, 2)  # only FD_CLOEXEC counts
    assert t.call("fcntl", fd, F_GETFD, 0) == 0
    assert t.call("ioctl", fd, FIOCLEX, None) == 0
    assert t.call("fcntl", fd, F_GETFD, 0) == 1
    assert t.call("ioctl", fd, FIONCLEX, None) == 0
    assert t.call("fcntl", fd, F_GETFD, 0) == 0


def test_f_setfl_changes_what_it_may(t: Process) -> None:
    fd = t.call("open", b"f", O_CREAT | O_WRONLY, 0o644)
    t.call("fcntl", fd, F_SETFL, O_RDWR | O_APPEND | O_NONBLOCK | O_CREAT)
    assert t.call("fcntl", fd, F_GETFL, 0) == O_WRONLY | O_APPEND | O_NONBLOCK
    t.call("fcntl", fd, F_SETFL, 0)
    assert t.call("fcntl", fd, F_GETFL, 0) == O_WRONLY


def test_nosigpipe(t: Process) -> None:
    _, writer = t.call("pipe")
    assert t.call("fcntl", writer, F_GETNOSIGPIPE, 0) == 0
    t.call("fcntl", writer, F_SETNOSIGPIPE, 1)
    assert t.call("fcntl", writer, F_GETNOSIGPIPE, 0) == 1
    assert t.call("fcntl", writer, F_GETFL, 0) == O_WRONLY | O_NOSIGPIPE
    t.call("fcntl", writer, F_SETNOSIGPIPE, 0)
    assert t.call("fcntl", writer, F_GETNOSIGPIPE, 0) == 0


def test_closem_and_maxfd(t: Process) -> None:
    t.make(b"f")
    fd = t.call("open", b"f", O_RDONLY, 0)
    t.call("dup2", fd, 50)
    t.call("dup2", fd, 20)
    assert t.call("fcntl", -1, F_MAXFD, 0) == 50
    t.call("fcntl", 21, F_CLOSEM, 0)
    assert t.call("fcntl", 0, F_MAXFD, 0) == 20
    assert t.error("fcntl", -1, F_CLOSEM, 0) == "EBADF"
    t.call("fcntl", 0, F_CLOSEM, 0)
    assert t.call("fcntl", 0, F_MAXFD, 0) == -1
    assert t.error("read", fd, 1) == "EBADF"


def test_unknown_fcntl(t: Process) -> None:
    assert t.error("fcntl", 1, 999, 0) == "EINVAL"
    assert t.error("fcntl", 99, 999, 0) == "EBADF"


def test_close(t: Process) -> None:
    t.make(b"f")
    fd = t.call("open", b"f", O_RDONLY, 0)
    t.call("close", fd)
    assert t.error("close", fd) == "EBADF"
    assert t.error("close", -1) == "EBADF"
    assert t.error("close", 1 << 30) == "EBADF"


# --- ioctl ------------------------------------------------------------------------------------------


def ioctl_int(p: Process, fd: int, command: int) -> int:
    buffer = bytearray(b"\xff" * 4)
    p.call("ioctl", fd, command, buffer)
    return int.from_bytes(buffer, "little")


def test_fionread_of_a_file(t: Process) -> None:
    t.make(b"f", b"0123456789")
    fd = t.call("open", b"f", O_RDWR, 0)
    assert ioctl_int(t, fd, FIONREAD) == 10
    t.call("lseek", fd, 7, SEEK_SET)
    assert ioctl_int(t, fd, FIONREAD) == 3
    assert ioctl_int(t, fd, FIONWRITE) == 0
    assert ioctl_int(t, fd, FIONSPACE) == 0


def test_fionbio_and_fioasync(t: Process) -> None:
    t.make(b"f")
    reader, _ = t.call("pipe")
    for fd in (t.call("open", b"f", O_RDONLY, 0), reader):
        t.call("ioctl", fd, FIONBIO, (1).to_bytes(4, "little"))
        assert t.call("fcntl", fd, F_GETFL, 0) == O_NONBLOCK
        t.call("ioctl", fd, FIOASYNC, (1).to_bytes(4, "little"))
        assert t.call("fcntl", fd, F_GETFL, 0) == O_NONBLOCK | O_ASYNC
        t.call("ioctl", fd, FIONBIO, bytes(4))
        t.call("ioctl", fd, FIOASYNC, bytes(4))
        assert t.call("fcntl", fd, F_GETFL, 0) == O_RDONLY
        assert t.error("ioctl", fd, FIONBIO, None) == "EFAULT"


def test_unknown_ioctls(t: Process) -> None:
    t.make(b"f")
    reader, _ = t.call("pipe")
    for fd in (t.call("open", b"f", O_RDONLY, 0), t.call("open", b".", O_RDONLY, 0), reader):
        assert t.error("ioctl", fd, TIOCGETA, bytearray(44)) == "ENOTTY"
        assert t.error("ioctl", fd, IOC_OUT | IOC_IN | 0x1FFF << 16, bytearray(8191)) == "ENOTTY"
    assert t.error("ioctl", 99, FIOCLEX, None) == "EBADF"


def test_ioctl_copies_in_first_and_out_after_success(t: Process) -> None:
    fd = t.call("open", b"f", O_CREAT | O_RDWR, 0o644)
    assert t.error("ioctl", fd, IOC_IN | 8 << 16 | 0x7A00, None) == "EFAULT"
    assert t.error("ioctl", fd, IOC_OUT | 8 << 16 | 0x7A00, None) == "ENOTTY"


# --- exec, fork -------------------------------------------------------------------------------------


def test_exec_closes_what_is_marked(machine: Machine, t: Process) -> None:
    keep = t.call("open", b"keep", O_CREAT | O_RDWR, 0o644)
    gone = t.call("open", b"gone", O_CREAT | O_RDWR | O_CLOEXEC, 0o644)
    machine.kernel.exec(t.p, b"a name that is far too long")
    assert t.error("write", gone, b"x") == "EBADF"
    assert t.call("write", keep, b"x") == 1
    assert t.p.comm == b"a name that is f"  # MAXCOMLEN is 16


def test_fork(machine: Machine, t: Process) -> None:
    # sysproxy 5.2: the table is copied when the fork begins, the open files are shared; the parent is init
    t.make(b"f", b"0123456789")
    t.call("umask", 0o77)
    fd = t.call("open", b"f", O_RDWR, 0)
    cookie = machine.kernel.prefork(t.p)
    t.call("close", fd)
    later = t.call("open", b"f", O_RDONLY, 0)
    assert later == fd
    child = Process(machine.kernel.fork(cookie))
    assert child.call("read", fd, 3) == b"012"
    assert t.call("lseek", fd, 0, SEEK_CUR) == 0
    assert child.call("getpid")[1] == 1
    assert child.call("getpid")[0] not in (0, 1, t.call("getpid")[0])
    assert child.call("umask", 0) == 0o77
    assert child.getcwd() == t.getcwd()
    child.call("chdir", b"/")
    assert t.getcwd() == b"/t"


def test_pipes_join_relatives(machine: Machine, p: Process) -> None:
    reader, writer = p.call("pipe")
    child = machine.fork(p)
    reading = child.begin("read", reader, 10)
    assert reading.asleep
    p.call("write", writer, b"hello")
    reading.step()
    assert reading.result == b"hello"
    child.p.exit()
    p.call("close", reader)
    assert p.error("write", writer, b"x") == "EPIPE"


def test_ids(p: Process) -> None:
    pid, ppid = p.call("getpid")
    assert (ppid, p.call("getppid")) == (1, 1)
    assert pid >= 2
    assert p.call("getuid") == (0, 0)
    assert p.call("getgid") == (0, 0)
    assert p.call("geteuid") == p.call("getegid") == p.call("issetugid") == 0
