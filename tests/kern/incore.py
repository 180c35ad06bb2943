"""A kernel in this process, and processes of it that make system calls: no socket, no event loop.

The table of system calls says what each argument is, so a call is written as in C without its bookkeeping:

>>> machine = Machine()
>>> p = machine.process()
>>> fd = p.call("open", b"/file", O_CREAT | O_RDWR, 0o644)
>>> p.call("write", fd, b"content")
7
>>> p.call("pread", fd, 100, 3)
b'tent'

A path, an IN argument and a PTR take bytes (or an address, or None for NULL). The argument that says how long
an IN argument is is left out; so is the address of an OUT argument, for which its size stands. OUT structures
of a fixed size are left out altogether. A call that stores something returns the bytes, others their retval.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rumpfs.abi import errno
from rumpfs.abi.syscalls import BY_NAME, IN, OUT, PADDING, PATH, PTR, Syscall
from rumpfs.base.copy import COPYIN_MAX, CopyIn, CopyInStr, CopyOut, Done, Raise, Sleep
from rumpfs.base.errors import VfsError
from rumpfs.base.registry import find, installed
from rumpfs.dev.hostfile import HostFile
from rumpfs.dev.window import Window
from rumpfs.kern.kernel import Kernel
from rumpfs.kern.proc import Proc
from rumpfs.kern.syscall import Sysent
from rumpfs.vfs.cred import Cred
from tests.calls import Calls

PAGE = 4096
USER = Cred(1, 1, 1, 1, 1, 1)


class Machine:
    """A booted kernel.

    Args:
        components: their names; all that are installed when omitted.
    """

    def __init__(self, components: list[str] | None = None, memlimit: int | None = None) -> None:
        self.console = bytearray()
        self.kernel = Kernel(1, memlimit, False, self.console.extend)
        for name in installed() if components is None else components:
            self.kernel.add(find(name))
        self.kernel.boot()

    def process(self, cred: Cred | None = None) -> Process:
        p = self.kernel.spawn(b"test")
        if cred is not None:
            p.cred = cred
        return Process(p)

    def fork(self, process: Process) -> Process:
        return Process(self.kernel.fork(self.kernel.prefork(process.p)))

    def busy(self) -> dict[bytes, int]:
        """Mount point -> uses of the mount's vnodes."""
        assert self.kernel.vfs is not None
        return {mp.mnt_onto: mp.mnt_busy for mp in self.kernel.vfs.mountlist}

    def drive(self, key: bytes, image: Path, kind: Any = "blk") -> None:
        """Register a host file as an etfs key."""
        hostfile = HostFile.open(str(image), readonly=True)
        self.kernel.etfs_register(key, Window(hostfile, 0, hostfile.size, True), kind)


class Memory:
    """The address space of a process: buffers with unmapped pages between them."""

    def __init__(self) -> None:
        self._bases: list[int] = []
        self._buffers: list[bytearray] = []
        self._next = 0x10000

    def map(self, content: bytes | bytearray) -> int:
        """Make `content` readable, and a bytearray writable, at an address; return it."""
        base = self._next
        self._bases.append(base)
        self._buffers.append(content if isinstance(content, bytearray) else bytearray(content))
        self._next = (base + len(content) + 2 * PAGE) & -PAGE
        return base

    def _find(self, addr: int, length: int) -> tuple[bytearray, int]:
        index = bisect_right(self._bases, addr) - 1
        if addr and index >= 0 and addr + length <= self._bases[index] + len(self._buffers[index]):
            return self._buffers[index], addr - self._bases[index]
        raise VfsError(errno.EFAULT)

    def read(self, addr: int, length: int) -> bytes:
        buffer, offset = self._find(addr, length)
        return bytes(buffer[offset : offset + length])

    def string(self, addr: int, maxlen: int) -> bytes:
        buffer, offset = self._find(addr, 0)
        end = buffer.find(0, offset, offset + maxlen)
        if end < 0:
            raise VfsError(errno.ENAMETOOLONG)
        return bytes(buffer[offset:end])

    def write(self, addr: int, data: Any) -> None:
        whole = b"".join(data) if isinstance(data, list) else bytes(data)
        if whole:
            buffer, offset = self._find(addr, len(whole))
            buffer[offset : offset + len(whole)] = whole


class Running:
    """A call that waits.

    Attributes:
        request: what it waits for: a Sleep, or when it was started by `start` the memory it asks for.
        done: whether it is over; `result` is then its value, or raises its error.
    """

    def __init__(self, process: Process, body: Any, finish: Callable[[Any], Any], by_step: bool) -> None:
        self._process = process
        self._body = body
        self._finish = finish
        self._by_step = by_step
        self._woken = False
        self._value: Any = None
        self._error: VfsError | None = None
        self.request: Any = None
        self.done = False
        self._send(None)

    @property
    def result(self) -> Any:
        assert self.done, f"it waits: {self.request}"
        if self._error is not None:
            raise self._error
        return self._value

    @property
    def asleep(self) -> bool:
        return isinstance(self.request, Sleep) and not self._woken

    def step(self) -> None:
        """Answer a request for memory, or go on after a wakeup."""
        assert not self.done
        assert not self.asleep, "nobody woke it"
        if isinstance(self.request, Sleep):
            self._woken = False
            self._send(True)
        else:
            self._send(*self._answer())

    def throw(self, number: int) -> None:
        """Let what it waits for fail, as an exec and a disconnect do."""
        if isinstance(self.request, Sleep):
            self.request.queue.leave(self._wake)
        self._send(None, VfsError(number))

    def drop(self) -> None:
        """Forget the call."""
        self._body.close()
        self.done = True

    def _wake(self) -> None:
        self._woken = True

    def _answer(self) -> tuple[Any, VfsError | None]:
        try:
            return self._process.satisfy(self.request), None
        except VfsError as error:
            return None, error

    def _send(self, value: Any, error: VfsError | None = None) -> None:
        try:
            while True:
                self.request = self._body.send(value) if error is None else self._body.throw(error)
                if isinstance(self.request, Sleep):
                    self.request.queue.enter(self._wake)
                    return
                if self._by_step:
                    return
                value, error = self._answer()
        except StopIteration as stop:
            self.done = True
            self._finished(stop.value)
        except VfsError as failure:
            self.done = True
            self._error = failure

    def _finished(self, result: Any) -> None:
        try:
            self._value = self._finish(result)
        except VfsError as failure:
            self._error = failure


class Process(Calls):
    """A client's process.

    Attributes:
        signals: those that the kernel has raised.
        asked: the requests of the last call for memory.
    """

    def __init__(self, p: Proc) -> None:
        self.p = p
        self.memory = Memory()
        self.signals: list[int] = []
        p.psignal = self._heard
        self.asked: list[Any] = []

    def map(self, content: bytes | bytearray) -> int:
        """Make `content` readable, and a bytearray writable, at an address; return it."""
        return self.memory.map(content)

    # --- calls ----------------------------------------------------------------------------------

    def call(self, name: str, *args: Any) -> Any:
        """Make a call that does not sleep. Errors: VfsError."""
        running = self.begin(name, *args)
        assert running.done, f"{name} sleeps"
        return running.result

    def _heard(self, signo: int) -> bool:
        self.signals.append(signo)
        return True

    def begin(self, name: str, *args: Any) -> Running:
        """Make a call that may sleep."""
        return self._start(name, args, by_step=False)

    def start(self, name: str, *args: Any) -> Running:
        """Make a call that stops at every request; `Running.step` answers it."""
        return self._start(name, args, by_step=True)

    def _start(self, name: str, args: tuple[Any, ...], by_step: bool) -> Running:
        sysent = self.p.sysent[BY_NAME[name].number]
        assert sysent is not None, f"there is no {name}"
        slots, out = self._slots(sysent.row, args)
        return self._run(sysent, slots, out, by_step)

    def raw(self, name: str, *slots: int) -> int:
        sysent = self.p.sysent[BY_NAME[name].number]
        assert sysent is not None, f"there is no {name}"
        return int(self._run(sysent, list(slots), None, by_step=False).result)

    def _run(
        self, sysent: Sysent, slots: list[int], out: tuple[bytearray, bool] | None, by_step: bool
    ) -> Running:
        values = sysent.unpack(struct.pack(sysent.row.slots, *slots))
        self.asked = []

        def body() -> Any:
            if sysent.path:
                path = yield CopyInStr(values[0], 1024)
                result = sysent.run(self.p, path, *values[1:])
            else:
                result = sysent.run(self.p, *values)
            return (yield from result) if hasattr(result, "send") else result

        def finish(result: Any) -> Any:
            retval = result
            if isinstance(result, Done):
                self.memory.write(result.addr, result.data)
                retval = result.retval
            if out is None:
                return retval
            buffer, counted = out
            return bytes(buffer[:retval]) if counted else bytes(buffer)

        return Running(self, body(), finish, by_step)

    def _slots(self, row: Syscall, args: tuple[Any, ...]) -> tuple[list[int], tuple[bytearray, bool] | None]:
        """Lay arguments out in memory; return the slots, and the buffer of an OUT argument."""
        given = list(args)
        sized = {arg.size: arg for arg in row.args if arg.kind in (IN, OUT) and isinstance(arg.size, str)}
        slots: list[int] = []
        lengths: dict[str, int] = {}
        out: tuple[bytearray, bool] | None = None
        for arg in row.args:
            if arg.kind == PADDING:
                continue
            if arg.kind == OUT:
                counted = isinstance(arg.size, str)
                size = given.pop(0) if counted else arg.size
                out = bytearray(size), counted
                lengths[str(arg.size)] = size
                slots.append(self.memory.map(out[0]))
            elif arg.name in sized:
                slots.append(lengths[arg.name])
            else:
                value = given.pop(0)
                if arg.kind == IN and isinstance(arg.size, str):
                    lengths[arg.size] = len(value)
                slots.append(self._place(arg.kind, value))
        assert not given, f"{row.name}: too many arguments: {given}"
        return slots, out

    def _place(self, kind: str, value: Any) -> int:
        if value is None:
            return 0
        if kind not in (PATH, IN, PTR) or isinstance(value, int):
            return int(value)
        return self.memory.map(value + b"\0" if kind == PATH else value)

    def satisfy(self, request: Any) -> Any:
        """Do what a body asks of its caller. Errors: EFAULT, ENAMETOOLONG."""
        self.asked.append(request)
        if isinstance(request, CopyIn):
            assert 0 < request.length <= COPYIN_MAX
            return self.memory.read(request.addr, request.length)
        if isinstance(request, CopyInStr):
            return self.memory.string(request.addr, request.maxlen)
        if isinstance(request, CopyOut):
            return self.memory.write(request.addr, request.data)
        assert isinstance(request, Raise)
        self.signals.append(request.signo)
        return None
