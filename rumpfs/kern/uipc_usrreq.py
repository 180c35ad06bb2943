"""Local stream sockets (NetBSD: uipc_usrreq.c, uipc_socket.c, sys_socket.c)."""

from __future__ import annotations

from collections import deque
from itertools import count

from rumpfs.abi import errno
from rumpfs.abi.event import EVFILT_READ, EVFILT_WRITE, NOTE_WRITE
from rumpfs.abi.fcntl import FREAD, FWRITE, O_NONBLOCK
from rumpfs.abi.ioctl import FIONSPACE, FIONWRITE
from rumpfs.abi.limits import PIPE_BUF
from rumpfs.abi.poll import POLLIN, POLLOUT, POLLRDNORM
from rumpfs.abi.socket import SHUT_RD, SHUT_RDWR, SHUT_WR, SOMAXCONN
from rumpfs.abi.stat import S_IFSOCK, STAT
from rumpfs.base.clock import now
from rumpfs.base.copy import Body, Buffer
from rumpfs.base.errors import VfsError
from rumpfs.base.knote import Filter
from rumpfs.base.pipebuf import PIPE_SIZE, Pipebuf, Sigio
from rumpfs.base.waitq import WaitQueue
from rumpfs.kern.descrip import File
from rumpfs.kern.filterops import QueueFilter
from rumpfs.kern.pipe import pipe_pathconf
from rumpfs.kern.proc import Proc
from rumpfs.vfs.cred import VWRITE, Cred
from rumpfs.vfs.namei import namei, namei_create
from rumpfs.vfs.vnode import NODEV, VSOCK, Vnode, knote, vref, vrele


class SocketTable:
    """The local sockets of a kernel: those that have a name, and the inode numbers that fstat shows."""

    def __init__(self) -> None:
        self.bound: dict[Vnode, Socket] = {}
        self.inos = count(1)


class Socket(File):
    """A socket.

    Args:
        table: its kernel's.
        flag: O_NONBLOCK, O_NOSIGPIPE.

    Attributes:
        so_path, so_vnode: its name and what is there, or empty and None.
        so_peer: the other end of the connection.
        so_rcv: what has come from there; its `writable` is the peer's `so_writable`.
        so_writable: where writers wait, and is woken when there is a connection or no longer.
        so_q: while it listens, connections that nobody has accepted yet.
        so_qlimit: how many of them are to be had.
        so_cantsendmore, so_cantrcvmore: a direction was shut down, or the peer is gone.
    """

    __slots__ = (
        "_born", "_ino", "_table", "so_cantrcvmore", "so_cantsendmore", "so_path", "so_peer", "so_q",
        "so_qlimit", "so_rcv", "so_vnode", "so_writable",
    )  # fmt: skip

    def __init__(self, table: SocketTable, flag: int = 0) -> None:
        super().__init__(flag | FREAD | FWRITE)
        self._table = table
        self._born = now()
        self._ino = next(table.inos)
        self.so_path = b""
        self.so_vnode: Vnode | None = None
        self.so_peer: Socket | None = None
        self.so_rcv = Pipebuf()
        self.so_rcv.open(FREAD)
        self.so_writable = WaitQueue()
        self.so_q: deque[Socket] | None = None
        self.so_qlimit = 0
        self.so_cantsendmore = False
        self.so_cantrcvmore = False

    # --- connections ----------------------------------------------------------------------------

    def bind(self, p: Proc, path: bytes) -> None:
        """Give it a name, where a file of the type VSOCK is made (unp_bind).

        Errors:
            EINVAL: it has one; those of `namei_create`; EADDRINUSE: something is there; those of VOP_CREATE.
        """
        if self.so_vnode is not None:
            raise VfsError(errno.EINVAL)
        nd = namei_create(p, path, None, follow=True)
        if nd.vp is not None:
            raise VfsError(errno.EADDRINUSE)
        vp = nd.dvp.create(nd.name, 0o777 & ~p.umask | S_IFSOCK, p.cred)
        knote(nd.dvp, NOTE_WRITE, nd.name)
        vref(vp)
        self.so_vnode, self.so_path = vp, path
        self._table.bound[vp] = self

    def listen(self, backlog: int) -> None:
        """Let others connect to its name (solisten). Errors: EINVAL: it is connected, or has no name."""
        if self.so_peer is not None or self.so_vnode is None:
            raise VfsError(errno.EINVAL)
        if self.so_q is None:
            self.so_q = deque()
        self.so_qlimit = min(max(backlog, 0), SOMAXCONN)

    def connect(self, p: Proc, path: bytes) -> None:
        """Connect to the socket that listens at `path` (soconnect, unp_connect).

        Errors:
            EOPNOTSUPP: it listens itself; EISCONN; those of `namei`; ENOTSOCK; EACCES: the name may not be
            written; ECONNREFUSED: nobody listens there, or too many wait already.
        """
        if self.so_q is not None:
            raise VfsError(errno.EOPNOTSUPP)
        if self.so_peer is not None:
            raise VfsError(errno.EISCONN)
        vp = namei(p, path)
        if vp.v_type != VSOCK:
            raise VfsError(errno.ENOTSOCK)
        vp.access(VWRITE, p.cred)
        head = self._table.bound.get(vp)
        if head is None or head.so_q is None or len(head.so_q) > 3 * head.so_qlimit // 2:
            raise VfsError(errno.ECONNREFUSED)
        so = Socket(self._table)
        so.so_path = head.so_path
        connect2(self, so)
        head.so_q.append(so)
        head.so_rcv.readable.wakeup()
        if head.so_rcv.sigio is not None:
            head.so_rcv.sigio[FREAD].notify()

    def shutdown(self, how: int) -> None:
        """End one direction or both (soshutdown). Errors: EINVAL."""
        if how not in (SHUT_RD, SHUT_WR, SHUT_RDWR):
            raise VfsError(errno.EINVAL)
        if how != SHUT_WR:
            self.so_rcv.buffer.clear()
            self._socantrcvmore()
        if how != SHUT_RD:
            self.so_cantsendmore = True
            self.so_writable.wakeup()
            if self.so_peer is not None:
                self.so_peer._socantrcvmore()

    def _socantrcvmore(self) -> None:
        """Nothing more will come: readers get what is there, and then the end of the file."""
        self.so_cantrcvmore = True
        if self.so_rcv.writers:
            self.so_rcv.close(FWRITE)

    # --- the file -------------------------------------------------------------------------------

    def read(self, length: int) -> Buffer | Body:
        """Return what has come, or wait. Errors: ENOTCONN, EAGAIN."""
        if self.so_peer is None and not self.so_cantrcvmore:
            raise VfsError(errno.ENOTCONN)
        return self.so_rcv.read(self, length)

    def check_write(self) -> None:
        """Fail if a write is bound to. Errors: EPIPE, ENOTCONN."""
        self._receiver()

    def _receiver(self) -> Pipebuf:
        """Return where the peer reads what is written here. Errors: EPIPE: that has ended; ENOTCONN."""
        if self.so_cantsendmore:
            raise VfsError(errno.EPIPE)
        if self.so_peer is None:
            raise VfsError(errno.ENOTCONN)
        return self.so_peer.so_rcv

    def write(self, data: Buffer, cred: Cred) -> int | Body:
        return self._receiver().write(self, data)

    def stat(self) -> bytes:
        """Return struct stat (unp_stat): only type, times and a number mean anything."""
        return STAT.pack(NODEV, S_IFSOCK, self._ino, 0, 0, 0, 0, *self._born * 3, 0, 0, 0, 0, PIPE_SIZE, 0, 0)

    def ioctl(self, command: int, data: bytes) -> bytes:
        """Answer FIONREAD and its relatives (soo_ioctl). What is written is with the peer at once."""
        if command == FIONWRITE:
            return bytes(4)
        if command == FIONSPACE:
            return self._room().to_bytes(4, "little")
        return self.so_rcv.ioctl(command)

    def _room(self) -> int:
        """Return how many bytes the peer has room for."""
        peer = self.so_peer
        return 0 if peer is None else peer.so_rcv.size - len(peer.so_rcv.buffer)

    def pathconf(self, name: int) -> int:
        return pipe_pathconf(name)

    def _read_state(self) -> tuple[int, bool, bool]:
        waiting = len(self.so_rcv.buffer) if self.so_q is None else len(self.so_q)
        return waiting, waiting > 0, self.so_cantrcvmore

    def _write_state(self) -> tuple[int, bool, bool]:
        room = self._room()
        return room, room >= PIPE_BUF, self.so_cantsendmore

    def poll(self, events: int) -> int:
        revents = 0
        if any(self._read_state()[1:]):
            revents |= events & (POLLIN | POLLRDNORM)
        if any(self._write_state()[1:]):
            revents |= events & POLLOUT
        return revents

    def selqueues(self) -> tuple[WaitQueue, ...]:
        return self.so_rcv.readable, self.so_writable

    def kqfilter(self, filt: int) -> Filter:
        """Return what watches it (soo_kqfilter). Errors: EINVAL."""
        if filt == EVFILT_READ:
            return QueueFilter(self.so_rcv.readable, self._read_state)
        if filt == EVFILT_WRITE:
            return QueueFilter(self.so_writable, self._write_state)
        raise VfsError(errno.EINVAL)

    def owners(self) -> list[Sigio]:
        return self.so_rcv.owners(FREAD)

    def restart(self) -> None:
        """Wake who sleeps with it (soo_restart)."""
        self.so_rcv.readable.wakeup()
        self.so_writable.wakeup()

    def close(self) -> None:
        """Give up the name, the connection, and those that wait to be accepted (soclose, unp_detach)."""
        if self.so_vnode is not None:
            del self._table.bound[self.so_vnode]
            vrele(self.so_vnode)
            self.so_vnode = None
        for so in self.so_q or ():
            so.close()
        peer, self.so_peer = self.so_peer, None
        if peer is not None:
            peer.so_peer = None
            peer.so_cantsendmore = True
            peer._socantrcvmore()
        self.so_rcv.close(FREAD)
        self.restart()


def connect2(so: Socket, so2: Socket) -> None:
    """Connect two sockets with each other (unp_connect2)."""
    for this, other in ((so, so2), (so2, so)):
        this.so_peer = other
        this.so_rcv.writable = other.so_writable
        this.so_rcv.open(FWRITE)
        this.so_writable.wakeup()


def accept(so: Socket) -> Socket | None:
    """Return the connection that has waited longest, or None when there is none to be waited for.

    It does not wait itself if the listening socket does not.

    Errors: EINVAL: it does not listen; EAGAIN: it does not wait; ECONNABORTED: it was shut down.
    """
    if so.so_q is None:
        raise VfsError(errno.EINVAL)
    if so.so_q:
        new = so.so_q.popleft()
        new.f_flag |= so.f_flag & O_NONBLOCK
        return new
    if so.f_flag & O_NONBLOCK:
        raise VfsError(errno.EAGAIN)
    if so.so_cantrcvmore:
        raise VfsError(errno.ECONNABORTED)
    return None
