"""Writing down what a process does, for kdump(1) (NetBSD: kern_ktrace.c).

A process that is traced has a table of system calls of its own, so that the others need not be asked. There
are records of calls, their results, their paths, and of what utrace(2) says; data that is read and written
and signals are not recorded.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Generator
from types import GeneratorType
from typing import TYPE_CHECKING, Any, Final

from rumpfs.abi.ktrace import (
    KTR_EMUL,
    KTR_HEADER,
    KTR_NAMEI,
    KTR_SYSCALL,
    KTR_SYSCALL_HEAD,
    KTR_SYSRET,
    KTR_SYSRET_RECORD,
    KTR_USER,
    KTR_USER_MAXIDLEN,
)
from rumpfs.abi.limits import MAXCOMLEN, PATH_MAX
from rumpfs.base.clock import now
from rumpfs.base.copy import Body, CopyInStr, Done, Request
from rumpfs.base.errors import DiskError, VfsError
from rumpfs.kern.syscall import Sysent
from rumpfs.vfs.cred import Cred

if TYPE_CHECKING:
    from rumpfs.kern.descrip import File
    from rumpfs.kern.proc import Proc

log = logging.getLogger(__name__)

_EMULATION: Final = b"netbsd"
_LID: Final = 1


class Ktrace:
    """Where records of some processes go (struct ktr_desc).

    Args:
        fp: a file that is open for writing; it stays open as long as a process is traced.
        cred: of who asked for the trace.
    """

    __slots__ = ("_cred", "fp", "procs")

    def __init__(self, fp: File, cred: Cred) -> None:
        self.fp = fp
        self._cred = cred
        self.procs: set[Proc] = set()
        fp.f_count += 1

    def write(self, data: bytes) -> None:
        """Write a record; what would have to wait is lost, and an error ends the trace (ktrwrite)."""
        try:
            taken = self.fp.write(data, self._cred)
        except (VfsError, DiskError) as error:
            log.warning("ktrace write failed (%s), tracing stopped", error)
            for p in list(self.procs):
                untrace(p)
            return
        if not isinstance(taken, int):
            taken.close()

    def release(self) -> None:
        """No process is traced any longer: close the file."""
        self.fp.f_count -= 1
        if not self.fp.f_count and not self.fp.f_busy:
            self.fp.close()


class Tracing:
    """How a process is traced.

    Args:
        ktd: where records go.

    Attributes:
        facs: which records: 1 << KTR_.
        version: their version.
        emul: the emulation is recorded before the next record.
    """

    __slots__ = ("emul", "facs", "ktd", "version")

    def __init__(self, ktd: Ktrace) -> None:
        self.ktd = ktd
        self.facs = 0
        self.version = 0
        self.emul = False

    def record(self, p: Proc, kind: int, data: bytes) -> None:
        """Write a record of `kind` (KTR_) about `p`, if that is wanted."""
        if not self.facs & 1 << kind:
            return
        if self.emul:
            self.emul = False
            self.record(p, KTR_EMUL, _EMULATION)
            if p.ktrace is not self:
                return  # that could not be written
        seconds, fraction = now()
        last = 0 if self.version == 0 else _LID
        if self.version == 0:
            fraction //= 1000
        header = KTR_HEADER[self.version].pack(
            len(data), kind, self.version, p.pid, p.comm[:MAXCOMLEN], seconds, fraction, last
        )
        self.ktd.write(header + data)


def trace(p: Proc, ktd: Ktrace, facs: int, version: int) -> None:
    """Let `p` be traced, too, for `facs`; another trace of it ends (ktrops)."""
    if p.ktrace is None or p.ktrace.ktd is not ktd:
        untrace(p)
        p.ktrace = Tracing(ktd)
        ktd.procs.add(p)
    p.ktrace.facs |= facs
    p.ktrace.version = version
    p.ktrace.emul = bool(p.ktrace.facs & 1 << KTR_EMUL)
    p.sysent = [entry and TracedSysent(entry) for entry in p.kernel.sysent]


def untrace(p: Proc, facs: int = -1) -> None:
    """Let `p` no longer be traced for `facs` (ktrderef)."""
    tracing = p.ktrace
    if tracing is None:
        return
    tracing.facs &= ~facs
    if tracing.facs:
        return
    p.ktrace = None
    p.sysent = p.kernel.sysent
    tracing.ktd.procs.discard(p)
    if not tracing.ktd.procs:
        tracing.ktd.release()


class TracedSysent(Sysent):
    """A call of a traced process: it is written down, and so is its result."""

    __slots__ = ("_entry",)

    def __init__(self, entry: Sysent) -> None:
        self._entry = entry
        self.row = entry.row
        self.name = entry.name
        self.unpack = entry.unpack
        self.path = False
        self.run = self._run

    def _run(self, p: Proc, *slots: Any) -> Any:
        number = self.row.number
        args = struct.pack(self.row.slots, *slots)
        record(p, KTR_SYSCALL, KTR_SYSCALL_HEAD.pack(number, len(args)) + args)
        try:
            result = self._with_path(p, slots) if self._entry.path else self._entry.run(p, *slots)
        except (VfsError, DiskError) as error:
            self._sysret(p, error.errno)
            raise
        if isinstance(result, GeneratorType):
            return self._finish(p, result)
        self._sysret(p, 0, result)
        return result

    def _with_path(self, p: Proc, slots: tuple[Any, ...]) -> Generator[Request, Any, Any]:
        result = self._entry.run(p, (yield CopyInStr(slots[0], PATH_MAX)), *slots[1:])
        return (yield from result) if isinstance(result, GeneratorType) else result

    def _finish(self, p: Proc, body: Body) -> Generator[Request, Any, Any]:
        """Run the rest of a call; paths that are fetched for it are written down."""
        try:
            request = next(body)
            while True:
                try:
                    value = yield request
                except BaseException as error:  # noqa: BLE001 - it goes on to the body, whatever it is
                    request = body.throw(error)
                else:
                    if type(request) is CopyInStr and request.maxlen == PATH_MAX:
                        record(p, KTR_NAMEI, value)
                    request = body.send(value)
        except StopIteration as stop:
            self._sysret(p, 0, stop.value)
            return stop.value
        except (VfsError, DiskError) as error:
            self._sysret(p, error.errno)
            raise

    def _sysret(self, p: Proc, number: int, result: Any = 0) -> None:
        if isinstance(result, Done):
            result = result.retval
        first, second = result if isinstance(result, tuple) else (result, 0)
        record(p, KTR_SYSRET, KTR_SYSRET_RECORD.pack(self.row.number, 0, number, first, second))


def record(p: Proc, kind: int, data: bytes) -> None:
    """Write a record about `p`, if it is traced: the trace may have begun or ended within this very call."""
    if p.ktrace is not None:
        p.ktrace.record(p, kind, data)


def user_record(label: bytes, data: bytes) -> bytes:
    """Return the content of a KTR_USER record (ktruser)."""
    return struct.pack(f"{KTR_USER_MAXIDLEN}s", label[: KTR_USER_MAXIDLEN - 1]) + data


def wants_user(p: Proc) -> bool:
    """Whether what utrace(2) says is recorded."""
    return p.ktrace is not None and bool(p.ktrace.facs & 1 << KTR_USER)
