"""Reading and writing (NetBSD: sys_generic.c, vfs_vnops.c)."""

from __future__ import annotations

import struct
from collections.abc import Generator
from typing import Any

from rumpfs.abi import errno
from rumpfs.abi.fcntl import FREAD, FWRITE, O_NOSIGPIPE
from rumpfs.abi.ioctl import FIOCLEX, FIONCLEX, IOC_IN, IOC_OUT, IOCPARM_MAX, parameter_length
from rumpfs.abi.limits import IOV_MAX, SIGPIPE, SSIZE_MAX
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
from rumpfs.kern.syscall import syscall

Iovec = list[tuple[int, int]]


@syscall("read", raw=True)
def sys_read(p: Proc, fd: int, buf: int, nbyte: int) -> Result | Body:
    """Read at the file's offset. Errors: EBADF, EINVAL (length), EFAULT, EISDIR, EAGAIN, EIO."""
    fp = p.fget(fd, FREAD)
    if nbyte > COPYIN_MAX:
        return _read_long(fp, None, [(buf, _length(nbyte))])
    if not buf and nbyte:
        raise VfsError(errno.EFAULT)
    data = fp.read(nbyte)
    if isinstance(data, DATA_TYPES):
        return Done(buf, data, data_length(data))
    return _read_waiting(data, buf)


def _read_waiting(body: Body, buf: int) -> Generator[Request, Any, Done]:
    data: Data = yield from body
    return Done(buf, data, data_length(data))


@syscall("pread", raw=True)
def sys_pread(p: Proc, fd: int, buf: int, nbyte: int, offset: int) -> Result | Body:
    """Read at `offset`. Errors: EBADF, ESPIPE, EINVAL (length, offset), EFAULT, EISDIR, EIO."""
    fp = p.fget(fd, FREAD)
    if not isinstance(fp, VnodeFile):
        raise VfsError(errno.ESPIPE)
    if offset < 0:
        raise VfsError(errno.EINVAL)
    if nbyte > COPYIN_MAX:
        return _read_long(fp, offset, [(buf, _length(nbyte))])
    if not buf and nbyte:
        raise VfsError(errno.EFAULT)
    data = fp.pread(offset, nbyte)
    return Done(buf, data, data_length(data))


def _length(nbyte: int) -> int:
    if nbyte > SSIZE_MAX:
        raise VfsError(errno.EINVAL)
    return nbyte


def _read_long(fp: File, offset: int | None, iov: Iovec) -> Generator[Request, Any, int]:
    """Read into several places, or more than fits in one answer."""
    total = 0
    for addr, length in iov:
        done = 0
        while done < length:
            want = min(length - done, COPYIN_MAX)
            try:
                if offset is None:
                    data = fp.read(want) if not total or isinstance(fp, VnodeFile) else b""
                else:
                    assert isinstance(fp, VnodeFile)
                    data = fp.pread(offset + total, want)
                if not isinstance(data, DATA_TYPES):
                    data = yield from data
            except VfsError:
                if total:
                    return total
                raise
            count = data_length(data)
            if count:
                yield CopyOut(addr + done, data)
            total += count
            done += count
            if count < want:
                return total
    return total


@syscall("write", raw=True)
def sys_write(p: Proc, fd: int, buf: int, nbyte: int) -> Result | Body:
    """Write at the file's offset.

    Errors: EBADF, EINVAL (length), EFAULT, EPIPE (and SIGPIPE), EFBIG, ENOSPC, EAGAIN, EIO.
    """
    fp = p.fget(fd, FWRITE)
    if fp.discards:
        return _length(nbyte)
    return _write(p, fp, None, [(buf, _length(nbyte))])


@syscall("pwrite", raw=True)
def sys_pwrite(p: Proc, fd: int, buf: int, nbyte: int, offset: int) -> Result | Body:
    """Write at `offset`. Errors: those of write, and ESPIPE; EINVAL for a negative offset."""
    fp = _seekable(p.fget(fd, FWRITE), offset)
    if fp.discards:
        return _length(nbyte)
    return _write(p, fp, offset, [(buf, _length(nbyte))])


def _seekable(fp: File, offset: int) -> VnodeFile:
    if not isinstance(fp, VnodeFile):
        raise VfsError(errno.ESPIPE)
    if offset < 0:
        raise VfsError(errno.EINVAL)
    return fp


def _write(p: Proc, fp: File, offset: int | None, iov: Iovec) -> Generator[Request, Any, int]:
    total = 0
    try:
        fp.check_write()
        for addr, length in iov:
            done = 0
            while done < length:
                data: Buffer = yield CopyIn(addr + done, min(length - done, COPYIN_MAX))
                count = yield from _store(p, fp, None if offset is None else offset + total, data)
                total += count
                done += count
                if count < len(data):
                    return total
    except VfsError as error:
        if error.errno == errno.EPIPE and not fp.f_flag & O_NOSIGPIPE:
            yield Raise(SIGPIPE)
        if total and error.errno in (errno.EINTR, errno.EAGAIN):
            return total
        raise
    return total


def _store(p: Proc, fp: File, offset: int | None, data: Buffer) -> Generator[Request, Any, int]:
    if offset is None:
        count = fp.write(data, p.cred)
        if not isinstance(count, int):
            count = yield from count
        return count
    assert isinstance(fp, VnodeFile)
    return fp.pwrite(offset, data, p.cred)


def _iovec(iovp: int, iovcnt: int) -> Generator[Request, Any, Iovec]:
    """Fetch an array of struct iovec. Errors: EINVAL (count, total length), EFAULT."""
    if not 0 < iovcnt <= IOV_MAX:
        raise VfsError(errno.EINVAL)
    data = yield CopyIn(iovp, 16 * iovcnt)
    iov = list(struct.iter_unpack("<QQ", data))
    if sum(length for _, length in iov) > SSIZE_MAX:
        raise VfsError(errno.EINVAL)
    return iov


@syscall("readv", raw=True)
def sys_readv(p: Proc, fd: int, iovp: int, iovcnt: int) -> Body:
    """Read at the file's offset into several places. Errors: those of read; EINVAL."""
    fp = p.fget(fd, FREAD)
    return (yield from _read_long(fp, None, (yield from _iovec(iovp, iovcnt))))


@syscall("writev", raw=True)
def sys_writev(p: Proc, fd: int, iovp: int, iovcnt: int) -> Body:
    """Write at the file's offset from several places. Errors: those of write; EINVAL."""
    fp = p.fget(fd, FWRITE)
    return (yield from _write(p, fp, None, (yield from _iovec(iovp, iovcnt))))


@syscall("preadv", raw=True)
def sys_preadv(p: Proc, fd: int, iovp: int, iovcnt: int, offset: int) -> Body:
    """Read at `offset` into several places. Errors: those of pread."""
    fp = _seekable(p.fget(fd, FREAD), offset)
    return (yield from _read_long(fp, offset, (yield from _iovec(iovp, iovcnt))))


@syscall("pwritev", raw=True)
def sys_pwritev(p: Proc, fd: int, iovp: int, iovcnt: int, offset: int) -> Body:
    """Write at `offset` from several places. Errors: those of pwrite."""
    fp = _seekable(p.fget(fd, FWRITE), offset)
    return (yield from _write(p, fp, offset, (yield from _iovec(iovp, iovcnt))))


@syscall("ioctl", raw=True)
def sys_ioctl(p: Proc, fd: int, com: int, data: int) -> Body:
    """Carry out a device command. Errors: EBADF, ENOTTY, EFAULT."""
    fp = p.fget(fd)
    if not fp.f_flag & (FREAD | FWRITE):
        raise VfsError(errno.EBADF)
    com &= 0xFFFFFFFF
    if com in (FIOCLEX, FIONCLEX):
        (p.fd.cloexec.add if com == FIOCLEX else p.fd.cloexec.discard)(fd)
        return 0
    length = parameter_length(com)
    if length > IOCPARM_MAX:
        raise VfsError(errno.ENOTTY)
    given = (yield CopyIn(data, length)) if com & IOC_IN and length else b""
    result = fp.ioctl(com, given)
    if com & IOC_OUT and length:
        yield CopyOut(data, result.ljust(length, b"\0")[:length])
    return 0
