"""Local stream sockets: their names in file systems, connections, errors (unix(4), bind(2), connect(2))."""

from __future__ import annotations

import pytest

from rumpfs.abi.fcntl import F_GETFD, F_GETFL, O_CREAT, O_NONBLOCK, O_RDONLY, O_RDWR
from rumpfs.abi.ioctl import FIONREAD, FIONSPACE, FIONWRITE
from rumpfs.abi.limits import PC_NAME_MAX, PC_PIPE_BUF, PIPE_BUF, SIGPIPE
from rumpfs.abi.poll import POLLIN, POLLOUT
from rumpfs.abi.socket import (
    PF_LOCAL,
    SHUT_RD,
    SHUT_RDWR,
    SHUT_WR,
    SOCK_CLOEXEC,
    SOCK_NONBLOCK,
    SOCK_STREAM,
    sockaddr_un,
)
from rumpfs.abi.stat import S_IFSOCK
from tests.kern.incore import USER, Machine, Process
from tests.kern.kqueue_util import ADD, EOF, READ, VNODE, WRITE, Kevent, kevent, watch

PF_INET = 2
SOCK_DGRAM = 2


def socket(p: Process, flags: int = 0) -> int:
    fd: int = p.call("__socket30", PF_LOCAL, SOCK_STREAM | flags, 0)
    return fd


def listening(p: Process, path: bytes = b"/t/s", backlog: int = 5) -> int:
    fd = socket(p)
    p.call("bind", fd, sockaddr_un(path))
    p.call("listen", fd, backlog)
    return fd


def pair(p: Process, flags: int = 0) -> tuple[int, int]:
    stored = p.call("socketpair", PF_LOCAL, SOCK_STREAM | flags, 0)
    return int.from_bytes(stored[:4], "little"), int.from_bytes(stored[4:], "little")


def connected(p: Process) -> tuple[int, int, int]:
    head = listening(p)
    client = socket(p)
    p.call("connect", client, sockaddr_un(b"/t/s"))
    return head, client, p.call("accept", head, None, None)


def name_of(p: Process, call: str, fd: int, room: int = 106) -> bytes:
    buffer, length = bytearray(room), bytearray(room.to_bytes(4, "little"))
    p.call(call, fd, buffer, length)
    return bytes(buffer[: int.from_bytes(length, "little")])


# --- making and naming ------------------------------------------------------------------------------


def test_there_are_sockets_with_the_component_only() -> None:
    without = Machine(["rumpvfs"]).process()
    assert without.p.kernel.sysent[394] is None
    assert (
        Machine(["rumpvfs", "rumpnet"]).process().error("__socket30", PF_LOCAL, SOCK_STREAM, 0)
        == "EAFNOSUPPORT"
    )


def test_what_can_be_made(t: Process) -> None:
    assert t.error("__socket30", PF_INET, SOCK_STREAM, 0) == "EAFNOSUPPORT"
    assert t.error("__socket30", PF_LOCAL, SOCK_DGRAM, 0) == "EPROTOTYPE"
    assert t.error("__socket30", PF_LOCAL, SOCK_STREAM, 17) == "EPROTONOSUPPORT"
    fd = socket(t, SOCK_CLOEXEC | SOCK_NONBLOCK)
    assert t.call("fcntl", fd, F_GETFD, 0) == 1
    assert t.call("fcntl", fd, F_GETFL, 0) == O_RDWR | O_NONBLOCK
    assert t.fstat(fd).mode == S_IFSOCK
    assert t.call("fpathconf", fd, PC_PIPE_BUF) == PIPE_BUF
    assert t.error("fpathconf", fd, PC_NAME_MAX) == "EINVAL"
    assert t.error("lseek", fd, 0, 0) == "ESPIPE"


def test_bind_makes_a_file(t: Process) -> None:
    t.call("umask", 0o022)
    fd = socket(t)
    t.call("bind", fd, sockaddr_un(b"/t/s") + b"\0junk")
    assert t.stat(b"/t/s").mode == S_IFSOCK | 0o755
    assert name_of(t, "getsockname", fd) == b"\x06\x01/t/s"
    assert t.error("bind", fd, sockaddr_un(b"/t/other")) == "EINVAL"
    assert t.error("bind", socket(t), sockaddr_un(b"/t/s")) == "EADDRINUSE"
    t.call("close", fd)
    assert t.stat(b"/t/s").mode == S_IFSOCK | 0o755  # the name stays
    t.call("unlink", b"/t/s")
    t.call("bind", socket(t), sockaddr_un(b"/t/s"))


@pytest.mark.parametrize(
    ("path", "error"),
    [(b"/t/none/s", "ENOENT"), (b"/t/f/s", "ENOTDIR"), (b"", "ENOENT"), (b"/t/" + b"x" * 250, "EINVAL")],
)
def test_where_bind_cannot_make_one(t: Process, path: bytes, error: str) -> None:
    t.make(b"f")
    name = bytes((0, PF_LOCAL)) + path + b"\0"
    assert t.error("bind", socket(t), name[: max(3, len(name))]) == error


def test_bind_asks_for_permission_and_for_an_address(t: Process, machine: Machine) -> None:
    user = machine.process(USER)
    fd = socket(user)
    assert user.error("bind", fd, sockaddr_un(b"/t/s")) == "EACCES"
    assert user.error("bind", fd, b"\x02\x01") == "EINVAL"
    assert user.error("bind", fd, bytes((16, PF_INET)) + bytes(14)) == "EAFNOSUPPORT"
    assert user.error("bind", 99, sockaddr_un(b"/t/s")) == "EBADF"
    assert t.error("bind", t.call("pipe")[0], sockaddr_un(b"/t/s")) == "ENOTSOCK"
    assert t.raw_error("bind", socket(t), 0x10, 20) == "EFAULT"


def test_a_bound_socket_keeps_the_mount_busy(p: Process, machine: Machine) -> None:
    p.call("mkdir", b"/m", 0o755)
    p.mount_tmpfs(b"/m")
    fd = socket(p)
    p.call("bind", fd, sockaddr_un(b"/m/s"))
    assert p.error("unmount", b"/m", 0) == "EBUSY"
    p.call("close", fd)
    assert machine.busy()[b"/m"] == 0
    p.call("unmount", b"/m", 0)


def test_open_does_not_take_a_socket(t: Process) -> None:
    listening(t)
    for flags in (O_RDONLY, O_RDWR, O_RDWR | O_CREAT):
        assert t.error("open", b"/t/s", flags, 0) == "EOPNOTSUPP"


# --- connections ------------------------------------------------------------------------------------


def test_a_connection(t: Process) -> None:
    head, client, server = connected(t)
    t.call("write", client, b"to the server")
    t.call("write", server, b"to the client")
    assert t.call("read", server, 100) == b"to the server"
    assert t.call("read", client, 6) == b"to the"
    assert t.call("read", client, 100) == b" client"
    assert name_of(t, "getpeername", client) == name_of(t, "getsockname", server) == sockaddr_un(b"/t/s")
    assert name_of(t, "getpeername", server) == name_of(t, "getsockname", client) == b"\x02\x01"
    assert t.error("getpeername", head, bytearray(106), b"\x6a\0\0\0") == "ENOTCONN"
    assert name_of(t, "getsockname", head, 3) == b"\x06\x01/"


def test_accept_stores_the_address_of_the_client(t: Process) -> None:
    head = listening(t)
    client = socket(t)
    t.call("bind", client, sockaddr_un(b"/t/client"))
    t.call("connect", client, sockaddr_un(b"s"))
    buffer, length = bytearray(106), bytearray(b"\x6a\0\0\0")
    t.call("accept", head, buffer, length)
    assert buffer[: length[0]] == sockaddr_un(b"/t/client")
    client = socket(t)
    t.call("connect", client, sockaddr_un(b"s"))
    used = t.p.fd.highest()
    assert t.error("accept", head, bytearray(106), b"\xff\xff\xff\xff") == "EINVAL"
    assert t.p.fd.highest() == used
    assert t.call("read", client, 1) == b""  # the connection went with the descriptor


def test_accept_waits(t: Process, machine: Machine) -> None:
    head = listening(t)
    waiting = t.begin("accept", head, None, None)
    assert waiting.asleep
    other = machine.process()
    client = socket(other)
    other.call("connect", client, sockaddr_un(b"/t/s"))
    waiting.step()
    other.call("write", client, b"hello")
    assert t.call("read", waiting.result, 5) == b"hello"


def test_accept_does_not_wait(t: Process) -> None:
    fd = socket(t, SOCK_NONBLOCK)
    assert t.error("accept", fd, None, None) == "EINVAL"
    assert t.error("listen", fd, 1) == "EINVAL"  # without a name
    t.call("bind", fd, sockaddr_un(b"/t/s"))
    t.call("listen", fd, 1)
    assert t.error("accept", fd, None, None) == "EAGAIN"
    t.call("shutdown", fd, SHUT_RDWR)
    assert t.error("accept", fd, None, None) == "EAGAIN"


def test_a_closed_listener_ends_accept(t: Process) -> None:
    head = listening(t)
    waiting = t.begin("accept", head, None, None)
    t.call("close", head)
    waiting.step()
    with pytest.raises(Exception, match="EBADF"):
        _ = waiting.result


def test_who_cannot_connect(t: Process, machine: Machine) -> None:
    t.make(b"f")
    head, client, server = connected(t)
    address = sockaddr_un(b"/t/s")
    assert t.error("connect", client, address) == "EISCONN"
    assert t.error("connect", server, address) == "EISCONN"
    assert t.error("listen", client, 1) == "EINVAL"
    assert t.error("connect", head, address) == "EOPNOTSUPP"
    fd = socket(t)
    assert t.error("connect", fd, sockaddr_un(b"/t/none")) == "ENOENT"
    assert t.error("connect", fd, sockaddr_un(b"/t/f")) == "ENOTSOCK"
    t.call("bind", fd, sockaddr_un(b"/t/deaf"))
    assert t.error("connect", socket(t), sockaddr_un(b"/t/deaf")) == "ECONNREFUSED"
    t.call("chmod", b"/t/s", 0o755)
    user = machine.process(USER)
    assert user.error("connect", socket(user), address) == "EACCES"
    t.call("close", head)
    assert t.error("connect", fd, address) == "ECONNREFUSED"


def test_only_so_many_wait(t: Process) -> None:
    """uipc_socket2.c, sonewconn: refused once more than 3/2 of the backlog wait."""
    listening(t, backlog=2)
    for _ in range(4):
        t.call("connect", socket(t), sockaddr_un(b"/t/s"))
    assert t.error("connect", socket(t), sockaddr_un(b"/t/s")) == "ECONNREFUSED"


def test_without_a_connection(t: Process) -> None:
    fd = socket(t)
    assert t.error("read", fd, 1) == "ENOTCONN"
    assert t.error("write", fd, b"x") == "ENOTCONN"
    assert t.signals == []


# --- pairs, and how they end ------------------------------------------------------------------------


def test_a_pair(t: Process) -> None:
    first, second = pair(t, SOCK_NONBLOCK)
    assert (first, second) == (3, 4)
    assert t.error("read", first, 1) == "EAGAIN"
    assert t.call("write", first, b"x" * 5000) == 5000
    for command, count in ((FIONREAD, 5000), (FIONWRITE, 0)):
        buffer = bytearray(4)
        t.call("ioctl", second, command, buffer)
        assert int.from_bytes(buffer, "little") == count
    before, after = bytearray(4), bytearray(4)
    t.call("ioctl", first, FIONSPACE, before)
    assert t.call("read", second, 9000) == b"x" * 5000
    t.call("ioctl", first, FIONSPACE, after)
    assert int.from_bytes(after, "little") - int.from_bytes(before, "little") == 5000


def test_a_pair_that_cannot_be_stored_leaves_nothing(t: Process) -> None:
    assert t.raw_error("socketpair", PF_LOCAL, SOCK_STREAM, 0, 0x10) == "EFAULT"
    assert t.p.fd.highest() == 2


def test_a_writer_waits_for_room(t: Process) -> None:
    first, second = pair(t)
    writing = t.begin("write", first, bytes(100_000))
    got = 0
    while not writing.done:
        assert writing.asleep
        got += len(t.call("read", second, 30_000))
        writing.step()
    assert writing.result == 100_000
    while got < 100_000:
        got += len(t.call("read", second, 30_000))


def test_the_end_of_a_connection(t: Process) -> None:
    first, second = pair(t)
    t.call("write", first, b"last words")
    reading = t.begin("read", first, 10)
    t.call("close", second)
    reading.step()
    assert reading.result == b""
    assert t.error("write", first, b"x") == "EPIPE"
    assert t.signals == [SIGPIPE]
    assert t.error("getpeername", first, bytearray(8), b"\x08\0\0\0") == "ENOTCONN"


def test_what_was_sent_can_be_read_after_the_end(t: Process) -> None:
    first, second = pair(t)
    t.call("write", first, b"last words")
    t.call("close", first)
    assert t.call("read", second, 100) == b"last words"
    assert t.call("read", second, 100) == b""


def test_shutdown(t: Process) -> None:
    first, second = pair(t)
    assert t.error("shutdown", first, 3) == "EINVAL"
    t.call("shutdown", first, SHUT_WR)
    assert t.error("write", first, b"x") == "EPIPE"
    assert t.call("read", second, 1) == b""
    t.call("write", second, b"still")
    assert t.call("read", first, 10) == b"still"
    t.call("write", second, b"unread")
    t.call("shutdown", first, SHUT_RD)
    assert t.call("read", first, 10) == b""


def test_connections_nobody_accepted_end_with_the_listener(t: Process) -> None:
    head = listening(t)
    client = socket(t)
    t.call("connect", client, sockaddr_un(b"/t/s"))
    t.call("write", client, b"early")
    t.call("close", head)
    assert t.call("read", client, 1) == b""
    assert t.error("write", client, b"x") == "EPIPE"


# --- waiting for them -------------------------------------------------------------------------------


def ready(p: Process, fd: int) -> int:
    array = bytearray(fd.to_bytes(4, "little") + (POLLIN | POLLOUT).to_bytes(2, "little") + bytes(2))
    p.call("poll", array, 1, 0)
    return int.from_bytes(array[6:], "little")


def test_poll(t: Process) -> None:
    head = listening(t)
    client = socket(t)
    assert ready(t, head) == ready(t, client) == 0
    t.call("connect", client, sockaddr_un(b"/t/s"))
    assert (ready(t, head), ready(t, client)) == (POLLIN, POLLOUT)
    server = t.call("accept", head, None, None)
    assert (ready(t, head), ready(t, server)) == (0, POLLOUT)
    t.call("write", client, b"x")
    assert ready(t, server) == POLLIN | POLLOUT
    t.call("close", client)
    assert ready(t, server) == POLLIN | POLLOUT


def test_poll_is_woken(t: Process) -> None:
    head = listening(t)
    array = bytearray(head.to_bytes(4, "little") + POLLIN.to_bytes(2, "little") + bytes(2))
    waiting = t.begin("poll", array, 1, -1)
    assert waiting.asleep
    t.call("connect", socket(t), sockaddr_un(b"/t/s"))
    waiting.step()
    assert waiting.result == 1
    assert int.from_bytes(array[6:], "little") == POLLIN


def test_kqueue(t: Process) -> None:
    head = listening(t)
    client = socket(t)
    kq = watch(t, head, READ)
    watch(t, client, WRITE, kq=kq)
    assert kevent(t, kq) == []
    t.call("connect", client, sockaddr_un(b"/t/s"))
    assert {(event.ident, event.flags & EOF) for event in kevent(t, kq)} == {(head, 0), (client, 0)}
    server = t.call("accept", head, None, None)
    watch(t, server, READ, kq=kq)
    t.call("write", client, b"abc")
    assert {(event.ident, event.filter): event.data for event in kevent(t, kq)}[server, READ] == 3
    t.call("close", client)
    assert [(event.ident, event.flags & EOF, event.data) for event in kevent(t, kq)] == [(server, EOF, 3)]
    assert t.error("__kevent50", kq, Kevent(server, VNODE, ADD).encode(), 1, None, 0, None) == "EINVAL"


def test_a_fork_has_the_same_socket(t: Process, machine: Machine) -> None:
    first, second = pair(t)
    child = machine.fork(t)
    t.call("close", second)
    child.call("write", second, b"from the child")
    assert t.call("read", first, 100) == b"from the child"
    child.call("close", second)
    assert t.call("read", first, 100) == b""
