"""System calls of a client on a kernel of the same process: nothing is sent, and nothing waits."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from rumpfs.abi import errno
from rumpfs.abi.limits import PATH_MAX
from rumpfs.base.copy import CopyIn, CopyInStr, CopyOut, Data, Done
from rumpfs.base.errors import DiskError, VfsError
from rumpfs.client.memory import AddressSpace, Waiter, WildPointer
from rumpfs.kern.local import drive
from rumpfs.sysproxy import wire

if TYPE_CHECKING:
    from rumpfs.kern.proc import Proc

log = logging.getLogger(__name__)

_header = wire.HEADER.unpack_from


class DirectTransport:
    """Does at once what a `client.transport.Transport` sends to a server.

    Args:
        p: the process that makes the calls.
    """

    lost: Final = None

    def __init__(self, p: Proc) -> None:
        self.space = AddressSpace()
        self.conn = self
        self._p = p

    def number(self) -> int:
        """Return the number of the next request, of which there is one at a time."""
        return 0

    def close(self) -> None:
        """End the process."""
        self._p.exit()

    def transact(self, waiter: Waiter, frame: bytes) -> int:
        """Do a system call and return retval[0]; `waiter` has the rest of the answer."""
        try:
            return self._call(waiter, frame)
        except VfsError as error:
            waiter.error = error.errno
        except DiskError as error:
            log.warning("%s", error)
            waiter.error = error.errno
        return 0

    def _call(self, waiter: Waiter, frame: bytes) -> int:
        sysent = self._p.sysent[_header(frame)[4]]
        if sysent is None:
            raise VfsError(errno.ENOSYS)
        slots = sysent.unpack(frame, wire.HDRLEN)
        if sysent.path:
            slots = self._string(slots[0], PATH_MAX), *slots[1:]
        result = sysent.run(self._p, *slots)
        if type(result) is int:
            return result
        if type(result) is not Done and type(result) is not tuple:
            result = drive(result, self._satisfy)
        if type(result) is Done:
            self._store(result.addr, result.data)
            return result.retval
        if type(result) is tuple:
            retval, waiter.rv1 = result
            return int(retval)
        return int(result)

    def _satisfy(self, request: object) -> bytes | None:
        """Do what a call asks for. Errors: EFAULT, ENAMETOOLONG; EDEADLK: it would wait, and for nobody."""
        if isinstance(request, CopyIn):
            try:
                return bytes(self.space.copyin(request.addr, request.length))
            except WildPointer as error:
                raise VfsError(errno.EFAULT) from error
        if isinstance(request, CopyInStr):
            return self._string(request.addr, request.maxlen)
        if isinstance(request, CopyOut):
            self._store(request.addr, request.data)
            return None
        raise VfsError(errno.EDEADLK)

    def _string(self, addr: int, maxlen: int) -> bytes:
        try:
            text = self.space.copyinstr(addr, maxlen)
        except WildPointer as error:
            raise VfsError(errno.EFAULT) from error
        if text[-1:] != b"\0":
            raise VfsError(errno.ENAMETOOLONG)
        return text[:-1]

    def _store(self, addr: int, data: Data) -> None:
        for piece in data if isinstance(data, list) else (data,):
            size = len(piece)
            if not size:
                continue
            try:
                waiter, behind, offset = self.space.find(addr, size)
            except WildPointer as error:
                raise VfsError(errno.EFAULT) from error
            if type(behind) is int:
                waiter.pieces.append((offset, bytes(piece)))
            elif type(behind) is memoryview and not behind.readonly:
                behind[offset : offset + size] = piece
            else:
                raise VfsError(errno.EFAULT)
            addr += size
