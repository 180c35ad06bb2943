"""Reading and writing (NetBSD: sys_generic.c, vfs_vnops.c)."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Generator
from typing import Any

from rumpfs.abi import errno
from rumpfs.abi.fcntl import FREAD, FWRITE, O_ASYNC, O_NONBLOCK, O_NOSIGPIPE
from rumpfs.abi.ioctl import (
    FIOASYNC,
    FIOCLEX,
    FIONBIO,
    FIONCLEX,
    IOC_IN,
    IOC_OUT,
    IOCPARM_MAX,
    parameter_length,
)
from rumpfs.abi.limits import IOV_MAX, RLIM_INFINITY, SIGPIPE, SSIZE_MAX
from rumpfs.base.copy import (
    COPYIN_MAX,
    DATA_TYPES,
    Body,
    Buffer,
    CopyIn,
    CopyOut,
    Data,
    Done,
    Raise,
    Request,
    Result,
    data_length,
)
from rumpfs.base.errors import VfsError
from rumpfs.kern.descrip import File, VnodeFile
from rumpfs.kern.proc import Proc
from rumpfs.kern.sigio import fo_ioctl
from rumpfs.kern.sys_resource import enforce_rlimit_fsize
from rumpfs.kern.syscall import syscall
from rumpfs.vfs.vnode import VFIFO

#: address and length of each place
Iovec = deque[tuple[int, int]]

#: the flag of an open file that each of these commands sets or clears
_FLAG_OF = {FIONBIO: O_NONBLOCK, FIOASYNC: O_ASYNC}


@syscall("read", raw=True)
def sys_read(p: Proc, fd: int, buf: int, nbyte: int) -> Result | Body:
    """Read at the file's offset. Errors: EBADF, EINVAL (length), EFAULT, EISDIR, EAGAIN, EIO."""
    fp = p.fget(fd, FREAD)
    if nbyte > COPYIN_MAX:
        return fp.held(_read_long(p, fd, fp, None, deque([(buf, _length(nbyte))])))
    if not buf and nbyte:
        raise VfsError(errno.EFAULT)
    data = fp.read(nbyte)
    if isinstance(data, DATA_TYPES):
        return Done(buf, data, data_length(data))
    return fp.held(_read_waiting(p.fd.using(fd, fp, data), buf))


def _read_waiting(body: Body, buf: int) -> Generator[Request, Any, Done]:
    data: Data = yield from body
    return Done(buf, data, data_length(data))


@syscall("pread", raw=True)
def sys_pread(p: Proc, fd: int, buf: int, nbyte: int, offset: int) -> Result | Body:
    """Read at `offset`. Errors: EBADF, ESPIPE, EINVAL (length, offset), EFAULT, EISDIR, EIO."""
    fp = p.fget(fd, FREAD)
    if not isinstance(fp, VnodeFile) or fp.f_vnode.v_type == VFIFO:
        raise VfsError(errno.ESPIPE)
    if offset < 0:
        raise VfsError(errno.EINVAL)
    if nbyte > COPYIN_MAX:
        return fp.held(_read_long(p, fd, fp, offset, deque([(buf, _length(nbyte))])))
    if not buf and nbyte:
        raise VfsError(errno.EFAULT)
    data = fp.pread(offset, nbyte)
    return Done(buf, data, data_length(data))


def _length(nbyte: int) -> int:
    if nbyte > SSIZE_MAX:
        raise VfsError(errno.EINVAL)
    return nbyte


def _read_long(p: Proc, fd: int, fp: File, offset: int | None, iov: Iovec) -> Generator[Request, Any, int]:
    """Read into several places, or more than fits in one answer."""
    if not isinstance(fp, VnodeFile) or fp.f_vnode.v_type == VFIFO:
        return (yield from _read_once(p, fd, fp, iov))
    total = 0
    for addr, length in iov:
        done = 0
        while done < length:
            want = min(length - done, COPYIN_MAX)
            try:
                data = fp.read(want) if offset is None else fp.pread(offset + total, want)
            except VfsError:
                if total:
                    return total
                raise
            assert isinstance(data, DATA_TYPES)
            count = data_length(data)
            if count:
                yield CopyOut(addr + done, data)
            total += count
            done += count
            if count < want:
                return total
    return total


def _read_once(p: Proc, fd: int, fp: File, iov: Iovec) -> Generator[Request, Any, int]:
    """Read what is there, once something is, into several places."""
    data = fp.read(sum(length for _, length in iov))
    if not isinstance(data, DATA_TYPES):
        data = yield from p.fd.using(fd, fp, data)
    whole = memoryview(b"".join(data) if isinstance(data, list) else data)
    done = 0
    for addr, length in iov:
        piece = whole[done : done + length]
        if piece:
            yield CopyOut(addr, piece)
            done += len(piece)
    return done


@syscall("write", raw=True)
def sys_write(p: Proc, fd: int, buf: int, nbyte: int) -> Result | Body:
    """Write at the file's offset.

    Errors: EBADF, EINVAL (length), EFAULT, EPIPE (and SIGPIPE), EFBIG, ENOSPC, EAGAIN, EIO.
    """
    fp = p.fget(fd, FWRITE)
    if fp.discards:
        return _length(nbyte)
    return fp.held(_write(p, fp, None, deque([(buf, _length(nbyte))]), fd))


@syscall("pwrite", raw=True)
def sys_pwrite(p: Proc, fd: int, buf: int, nbyte: int, offset: int) -> Result | Body:
    """Write at `offset`. Errors: those of write, and ESPIPE; EINVAL for a negative offset."""
    fp = _seekable(p.fget(fd, FWRITE), offset)
    if fp.discards:
        return _length(nbyte)
    return fp.held(_write(p, fp, offset, deque([(buf, _length(nbyte))])))


def _seekable(fp: File, offset: int) -> VnodeFile:
    if not isinstance(fp, VnodeFile) or fp.f_vnode.v_type == VFIFO:
        raise VfsError(errno.ESPIPE)
    if offset < 0:
        raise VfsError(errno.EINVAL)
    return fp


def _write(p: Proc, fp: File, offset: int | None, iov: Iovec, fd: int = -1) -> Generator[Request, Any, int]:
    """Write from several places; what they hold goes to the file as one, up to COPYIN_MAX bytes at a time.

    Without an offset `fd` is the descriptor, which may be closed while a call waits for room in a pipe.
    """
    total = 0
    try:
        fp.check_write()
        if p.fsize < RLIM_INFINITY:
            yield from enforce_rlimit_fsize(p, fp, offset, sum(length for _, length in iov))
        while iov:
            data = yield from _gather(iov)
            if not data:
                break
            count = yield from _store(p, fp, None if offset is None else offset + total, data, fd)
            total += count
            if count < len(data):
                break
    except VfsError as error:
        if error.errno == errno.EPIPE and not fp.f_flag & O_NOSIGPIPE:
            yield Raise(SIGPIPE)
        if total and error.errno in (errno.EINTR, errno.EAGAIN):
            return total
        raise
    return total


def _gather(iov: Iovec) -> Generator[Request, Any, Buffer]:
    """Fetch up to COPYIN_MAX bytes from the places at the head of `iov`, and take them off it."""
    pieces: list[Buffer] = []
    room = COPYIN_MAX
    while iov and room:
        addr, length = iov.popleft()
        if length > room:
            iov.appendleft((addr + room, length - room))
            length = room
        if length:
            pieces.append((yield CopyIn(addr, length)))
            room -= length
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _store(p: Proc, fp: File, offset: int | None, data: Buffer, fd: int) -> Generator[Request, Any, int]:
    if offset is None:
        count = fp.write(data, p.cred)
        if not isinstance(count, int):
            count = yield from p.fd.using(fd, fp, count)
        return count
    assert isinstance(fp, VnodeFile)
    return fp.pwrite(offset, data, p.cred)


def _iovec(iovp: int, iovcnt: int) -> Generator[Request, Any, Iovec]:
    """Fetch an array of struct iovec. Errors: EINVAL (count, total length), EFAULT."""
    if not 0 < iovcnt <= IOV_MAX:
        raise VfsError(errno.EINVAL)
    data = yield CopyIn(iovp, 16 * iovcnt)
    iov = deque(struct.iter_unpack("<QQ", data))
    if sum(length for _, length in iov) > SSIZE_MAX:
        raise VfsError(errno.EINVAL)
    return iov


def _readv(
    p: Proc, fd: int, fp: File, offset: int | None, iovp: int, iovcnt: int
) -> Generator[Request, Any, int]:
    return (yield from _read_long(p, fd, fp, offset, (yield from _iovec(iovp, iovcnt))))


def _writev(
    p: Proc, fp: File, offset: int | None, iovp: int, iovcnt: int, fd: int = -1
) -> Generator[Request, Any, int]:
    return (yield from _write(p, fp, offset, (yield from _iovec(iovp, iovcnt)), fd))


@syscall("readv", raw=True)
def sys_readv(p: Proc, fd: int, iovp: int, iovcnt: int) -> Body:
    """Read at the file's offset into several places. Errors: those of read; EINVAL."""
    fp = p.fget(fd, FREAD)
    return fp.held(_readv(p, fd, fp, None, iovp, iovcnt))


@syscall("writev", raw=True)
def sys_writev(p: Proc, fd: int, iovp: int, iovcnt: int) -> Body:
    """Write at the file's offset from several places. Errors: those of write; EINVAL."""
    fp = p.fget(fd, FWRITE)
    return fp.held(_writev(p, fp, None, iovp, iovcnt, fd))


@syscall("preadv", raw=True)
def sys_preadv(p: Proc, fd: int, iovp: int, iovcnt: int, offset: int) -> Body:
    """Read at `offset` into several places. Errors: those of pread."""
    fp = _seekable(p.fget(fd, FREAD), offset)
    return fp.held(_readv(p, fd, fp, offset, iovp, iovcnt))


@syscall("pwritev", raw=True)
def sys_pwritev(p: Proc, fd: int, iovp: int, iovcnt: int, offset: int) -> Body:
    """Write at `offset` from several places. Errors: those of pwrite."""
    fp = _seekable(p.fget(fd, FWRITE), offset)
    return fp.held(_writev(p, fp, offset, iovp, iovcnt))


@syscall("ioctl", raw=True)
def sys_ioctl(p: Proc, fd: int, com: int, data: int) -> int | Body:
    """Carry out a device command. Errors: EBADF, ENOTTY, EFAULT."""
    fp = p.fget(fd)
    com &= 0xFFFFFFFF
    if com in (FIOCLEX, FIONCLEX):
        (p.fd.cloexec.add if com == FIOCLEX else p.fd.cloexec.discard)(fd)
        return 0
    return fp.held(_ioctl(p, fp, com, data))


def _ioctl(p: Proc, fp: File, com: int, data: int) -> Generator[Request, Any, int]:
    length = parameter_length(com)
    if length > IOCPARM_MAX:
        raise VfsError(errno.ENOTTY)
    given = (yield CopyIn(data, length)) if com & IOC_IN and length else b""
    flag = _FLAG_OF.get(com)
    if flag is not None:
        fp.f_flag = fp.f_flag | flag if any(given) else fp.f_flag & ~flag
    result = fo_ioctl(p, fp, com, given)
    if com & IOC_OUT and length:
        yield CopyOut(data, result.ljust(length, b"\0")[:length])
    return 0
