"""System calls of a caller in this process: their arguments lie in a memory of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rumpfs.abi import errno
from rumpfs.base.copy import Body, CopyIn, CopyInStr, CopyOut
from rumpfs.base.errors import VfsError

_PAGE = 4096


def drive(body: Body, answer: Callable[[object], bytes | None]) -> Any:
    """Carry out a call, and return its result.

    Args:
        answer: does what the call asks for, or raises VfsError.

    Errors: those of the call.
    """
    try:
        request = next(body)
        while True:
            try:
                value = answer(request)
            except VfsError as error:
                request = body.throw(error)
            else:
                request = body.send(value)
    except StopIteration as stop:
        return stop.value


class Local:
    """A caller's memory: buffers at addresses of their own."""

    def __init__(self) -> None:
        self._buffers: dict[int, bytearray] = {}
        self._next = _PAGE

    def map(self, content: bytes) -> int:
        """Put bytes into the memory and return their address."""
        addr = self._next
        self._buffers[addr] = bytearray(content)
        self._next = (addr + len(content) + 2 * _PAGE) & -_PAGE
        return addr

    def string(self, text: bytes) -> int:
        """Put a string into the memory, with a NUL, and return its address."""
        return self.map(text + b"\0")

    def run(self, body: Body) -> Any:
        """Carry out a call that does not sleep, and return its result. Errors: those of the call."""
        return drive(body, self._answer)

    def _answer(self, request: object) -> bytes | None:
        """Do what a call asks of its caller. Errors: EFAULT, ENAMETOOLONG; EDEADLK: it would sleep."""
        if isinstance(request, CopyIn):
            return bytes(self._at(request.addr, request.length)[: request.length])
        if isinstance(request, CopyInStr):
            text, nul, _ = self._at(request.addr, 0).partition(b"\0")
            if not nul or len(text) >= request.maxlen:
                raise VfsError(errno.ENAMETOOLONG)
            return bytes(text)
        if isinstance(request, CopyOut):
            data = b"".join(request.data) if isinstance(request.data, list) else bytes(request.data)
            self._at(request.addr, len(data))[: len(data)] = data
            return None
        raise VfsError(errno.EDEADLK)

    def _at(self, addr: int, length: int) -> bytearray:
        buffer = self._buffers.get(addr)
        if buffer is None or len(buffer) < length:
            raise VfsError(errno.EFAULT)
        return buffer
