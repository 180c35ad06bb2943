"""System calls of one client: running them, and driving those that ask for memory or sleep."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import trio

from rumpfs.abi import errno
from rumpfs.abi.limits import PATH_MAX
from rumpfs.base.copy import Body, Buffer, CopyIn, CopyInStr, CopyOut, Done, Raise, Request, Sleep
from rumpfs.base.errors import DiskError, VfsError
from rumpfs.kern.syscall import Sysent
from rumpfs.sysproxy import wire
from rumpfs.sysproxy.connection import ServerConnection
from rumpfs.sysproxy.events import Answer, Call

if TYPE_CHECKING:
    from rumpfs.kern.proc import Proc
    from rumpfs.server.hub import Hub

log = logging.getLogger(__name__)

_sysresp = wire.SYSRESP_FRAME.pack
#: replies up to this size are joined and sent as one piece, larger ones go out as they are
JOIN_MAX = 16384
#: bytes of output that a client may leave unread before its calls wait
BACKLOG_MAX = 4 << 20
#: calls of a client that may be under way (sys/sys/lwp.h has 2048 lwps for all)
CALLS_MAX = 16384
#: pieces that a client may owe: 512 writes of COPYIN_MAX bytes
FETCHES_MAX = 65536
#: bytes of calls of which a client has sent a part: it is asked for one after the other, and sends so
GATHER_MAX = 64 << 20
#: how often a call that is being aborted may go on asking before it is dropped
ABORT_TRIES = 16


class Pending:
    """A call that waits: for answers of the client, for an event, or for its output to drain."""

    __slots__ = ("body", "buffer", "calls", "missing", "reqno", "size", "sleep", "string", "timer")

    def __init__(self, calls: Calls, reqno: int, body: Body) -> None:
        self.calls = calls
        self.reqno = reqno
        self.body = body
        self.buffer: bytearray | None = None  # gathers a CopyIn of several pieces, once the first is here
        self.size = 0  # bytes that it gathers
        self.string = False  # the answer awaited is a string
        self.missing = 0  # pieces not yet here
        self.sleep: Sleep | None = None
        self.timer: trio.CancelScope | None = None  # ends the sleep at its deadline

    def wake(self) -> None:
        """The event came: go on as soon as the present call is finished."""
        self.calls.hub.ready.append(self.resume)

    def awake(self) -> None:
        """The sleep is over, if there is one, and so is its deadline."""
        self.sleep = None
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def resume(self) -> None:
        """Go on after the event, unless the call has ended since."""
        if self.sleep is not None:
            self.calls.drive(self, True)
            self.calls.flush()


class Calls:
    """The calls of one process that are under way.

    Args:
        hub: whose run queue and timers are used.
        conn: takes what goes out.
        p: the process.
        flush: sends what is in `conn.out`.

    Attributes:
        bulk: bytes of large answers that are in the output; 0 again when all has been sent.
    """

    __slots__ = (
        "_fetches", "_gathered", "_paths", "_raised", "bulk", "conn", "deferred", "flush", "hub", "out",
        "p", "pending",
    )  # fmt: skip

    def __init__(self, hub: Hub, conn: ServerConnection, p: Proc, flush: Callable[[], None]) -> None:
        self.hub = hub
        self.flush = flush
        self.bulk = 0
        self._gathered = 0  # bytes of the buffers of pending calls
        self.conn = conn
        self.out = conn.out
        self.p = p
        # by number of the copy request: calls that want only their path (reqno, call, other slots),
        # and pieces of what pending calls want (call, offset or -1 for all of it, length)
        self._paths: dict[int, tuple[int, Sysent, tuple[Any, ...]]] = {}
        self._fetches: dict[int, tuple[Pending, int, int]] = {}
        self.pending: set[Pending] = set()
        self._raised = 0  # bit n is set when signal n is in the output
        p.running = self.__len__
        p.psignal = self.psignal
        # what goes on with a value, or an error, when the output has drained
        self.deferred: list[tuple[Pending, Any, VfsError | None]] = []

    def __len__(self) -> int:
        return len(self._paths) + len(self.pending)

    # --- running ----------------------------------------------------------------------------------

    def call(self, event: Call) -> None:
        """Run a system call, as far as it goes."""
        reqno, number, args = event
        try:
            sysent = self.p.sysent[number]
            slots = sysent.unpack(args)  # type: ignore[union-attr]
        except (IndexError, AttributeError):
            self.fail(reqno, errno.ENOSYS)
            return
        except struct.error:
            self.fail(reqno, errno.EFAULT)
            return
        assert sysent is not None
        if sysent.path:
            if len(self._paths) >= CALLS_MAX:
                self.fail(reqno, errno.EAGAIN)
            elif slots[0]:
                self._paths[self.conn.copyin(slots[0], PATH_MAX, True)] = reqno, sysent, slots[1:]
            else:
                self.fail(reqno, errno.EFAULT)
            return
        self.run(reqno, sysent, slots)

    def run(self, reqno: int, sysent: Sysent, args: tuple[Any, ...]) -> None:
        """Run a body and answer, or keep it pending."""
        try:
            result = sysent.run(self.p, *args)
            if type(result) is int:
                self.out.append(_sysresp(48, reqno, 1, 1, 0, 0, result, 0))
            elif type(result) is Done or type(result) is tuple:
                self.answer(reqno, result)
            elif len(self.pending) >= CALLS_MAX:
                result.close()
                self.fail(reqno, errno.EAGAIN)
            else:
                pending = Pending(self, reqno, result)
                self.pending.add(pending)
                self.drive(pending, None)
        except VfsError as error:
            self.fail(reqno, error.errno)
        except DiskError as error:
            log.warning("%s: %s", sysent.name, error)
            self.fail(reqno, error.errno)
        except Exception:
            log.exception("%s failed unexpectedly", sysent.name)
            self.fail(reqno, errno.EIO)

    def psignal(self, signo: int) -> bool:
        """Send the client a signal, unless one of that number has not gone out yet: then return False."""
        if not self.out:
            self._raised = 0
        if self._raised >> signo & 1:
            return False
        self._raised |= 1 << signo
        self.conn.raise_(signo)
        self.hub.ready.append(self.flush)
        return True

    def fail(self, reqno: int, number: int) -> None:
        """Answer a call with an errno."""
        self.out.append(_sysresp(48, reqno, 1, 1, 0, number, 0, 0))

    def answer(self, reqno: int, result: Any) -> None:
        """Answer a call with its result."""
        if type(result) is int:
            self.out.append(_sysresp(48, reqno, 1, 1, 0, 0, result, 0))
        elif type(result) is Done:
            addr, data, retval = result
            response = _sysresp(48, reqno, 1, 1, 0, 0, retval, 0)
            if type(data) is bytes and len(data) <= JOIN_MAX:
                if not data:
                    self.out.append(response)
                elif addr:
                    self.out.append(self.conn.copyout(addr, len(data)) + data + response)
                else:
                    self.fail(reqno, errno.EFAULT)
            elif self._copyout(addr, data):
                self.out.append(response)
                if self.bulk > BACKLOG_MAX:
                    self.flush()
            else:
                self.fail(reqno, errno.EFAULT)
        else:
            self.out.append(_sysresp(48, reqno, 1, 1, 0, 0, result[0], result[1]))

    def _copyout(self, addr: int, data: Any) -> bool:
        pieces: list[Buffer] = data if type(data) is list else [data]
        length = sum(map(len, pieces))
        if length:
            if not addr:
                return False
            self.out.append(self.conn.copyout(addr, length))
            self.out.extend(pieces)
            self.bulk += length
        return True

    # --- pending calls ----------------------------------------------------------------------------

    def answered(self, event: Answer) -> None:
        """The client answered a copy request; answers that nobody waits for are dropped."""
        reqno, _, body = event
        target = self._paths.pop(reqno, None)
        if target is None:
            fetch = self._fetches.pop(reqno, None)
            if fetch is not None:
                self._fetched(*fetch, body)
            return
        number, sysent, rest = target
        text = bytes(body)
        end = text.find(0, 0, PATH_MAX)
        if end < 0:
            self.fail(number, errno.ENAMETOOLONG)
        else:
            self.run(number, sysent, (text[:end], *rest))

    def _fetched(self, pending: Pending, offset: int, length: int, body: Buffer) -> None:
        if pending.string:
            text = bytes(body)
            end = text.find(0, 0, length)
            if end < 0:
                self.drive(pending, None, VfsError(errno.ENAMETOOLONG))
            else:
                self.drive(pending, text[:end])
        elif offset >= 0:
            self._piece(pending, offset, length, body)
        elif len(body) == length:
            self.drive(pending, bytes(body))
        else:
            self.drive(pending, None, VfsError(errno.EFAULT))

    def _piece(self, pending: Pending, offset: int, length: int, body: Buffer) -> None:
        buffer = pending.buffer
        number = 0 if len(body) == length else errno.EFAULT
        if buffer is None and not number:
            if self._gathered + pending.size > GATHER_MAX:
                number = errno.ENOMEM
            else:
                self._gathered += pending.size
                buffer = pending.buffer = bytearray(pending.size)
        if number:
            self._fetches = {n: fetch for n, fetch in self._fetches.items() if fetch[0] is not pending}
            self._gather_end(pending)
            self.drive(pending, None, VfsError(number))
            return
        assert buffer is not None
        buffer[offset : offset + length] = body
        pending.missing -= 1
        if not pending.missing:
            self._gather_end(pending)
            self.drive(pending, buffer)

    def _gather_end(self, pending: Pending) -> None:
        """What was gathered for a call is not kept any more."""
        if pending.buffer is not None:
            self._gathered -= pending.size
            pending.buffer = None

    def drive(self, pending: Pending, value: Any, error: VfsError | None = None) -> None:
        """Resume a pending call with what it waited for, until it waits again or is done.

        While the client leaves much output unread, none goes on.
        """
        body = pending.body
        pending.awake()
        if self.bulk > BACKLOG_MAX:
            self.deferred.append((pending, value, error))
            return
        try:
            while True:
                request = body.send(value) if error is None else body.throw(error)
                value = error = None
                if type(request) is CopyOut:
                    if not self._copyout(request.addr, request.data):
                        error = VfsError(errno.EFAULT)
                    elif self.bulk > BACKLOG_MAX:
                        self.deferred.append((pending, None, None))
                        self.flush()
                        return
                elif type(request) is Raise:
                    self.conn.raise_(request.signo)
                elif type(request) is Sleep:
                    self._sleep(pending, request)
                    return
                elif not request.addr:  # type: ignore[union-attr]
                    error = VfsError(errno.EFAULT)
                elif len(self._fetches) >= FETCHES_MAX:
                    error = VfsError(errno.ENOMEM)
                else:
                    self._fetch(pending, request)
                    return
        except StopIteration as stop:
            self.answer(pending.reqno, stop.value)
        except VfsError as failure:
            self.fail(pending.reqno, failure.errno)
        except DiskError as failure:
            log.warning("%s", failure)
            self.fail(pending.reqno, failure.errno)
        except Exception:
            log.exception("a system call failed unexpectedly")
            self.fail(pending.reqno, errno.EIO)
        self.pending.discard(pending)

    def _fetch(self, pending: Pending, request: Request) -> None:
        if type(request) is CopyInStr:
            pending.string = True
            self._fetches[self.conn.copyin(request.addr, request.maxlen, True)] = pending, -1, request.maxlen
            return
        assert type(request) is CopyIn
        addr, length = request
        pending.string = False
        if length <= wire.COPYIN_PIECE:
            self._fetches[self.conn.copyin(addr, length)] = pending, -1, length
            return
        pending.size = length
        offsets = range(0, length, wire.COPYIN_PIECE)
        pending.missing = len(offsets)
        for offset in offsets:
            piece = min(wire.COPYIN_PIECE, length - offset)
            self._fetches[self.conn.copyin(addr + offset, piece)] = pending, offset, piece

    def _sleep(self, pending: Pending, request: Sleep) -> None:
        pending.sleep = request
        request.queue.enter(pending.wake)
        if request.deadline is None:
            return

        def expire() -> None:
            if pending.sleep is request:
                request.queue.leave(pending.wake)
                self.drive(pending, False)
                self.flush()

        pending.timer = self.hub.at(request.deadline, expire)

    def drained(self) -> None:
        """The output has gone out: resume the calls that waited for it."""
        self.bulk = 0
        waiting, self.deferred = self.deferred, []
        for pending, value, error in waiting:
            self.drive(pending, value, error)

    def hang_up(self) -> None:
        """The client is gone, but may still read: its copies fail with EFAULT, its sleeps with EINTR."""
        for reqno, _, _ in self._paths.values():
            self.fail(reqno, errno.EFAULT)
        self._end(self.fail)

    def abort(self) -> None:
        """End every call without a word: the client has a new image."""
        self._end(lambda reqno, number: None)

    def _end(self, fail: Callable[[int, int], None]) -> None:
        self._paths.clear()
        self._fetches.clear()
        self.deferred.clear()
        stopped, self.pending = self.pending, set()
        for pending in stopped:
            self._gather_end(pending)
            number = errno.EFAULT
            if pending.sleep is not None:
                pending.sleep.queue.leave(pending.wake)
                pending.awake()
                number = errno.EINTR
            try:
                for _ in range(ABORT_TRIES):
                    pending.body.throw(VfsError(number))
                pending.body.close()
            except StopIteration:
                pass
            except VfsError as error:
                fail(pending.reqno, error.errno)
            except Exception:
                log.exception("a system call failed unexpectedly while it was aborted")
