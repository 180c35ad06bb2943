"""A kernel to make system calls in, here in this process or in a server behind its socket.

Both give processes that make the same calls in the same way:

>>> p = system.process()
>>> p.call("open", b"/file", O_CREAT | O_RDWR, 0o644)
>>> p.error("rmdir", b"/nothing")
'ENOENT'

An error is a VfsError with NetBSD's number, whichever it is. `begin` starts a call that may sleep, and
`finish` waits for its result. `together` lets several processes work at the same time.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rumpfs.abi.syscalls import BY_NAME
from rumpfs.base.errors import VfsError
from rumpfs.client.errors import ConnectionLost, RumpError
from rumpfs.client.raw import RawClient
from rumpfs.dev.hostfile import HostFile
from rumpfs.dev.window import Window
from tests.calls import Calls
from tests.kern import incore
from tests.serving import serving

#: how long a call may sleep that something has woken, in seconds
PATIENCE = 20.0
#: bytes of each disk: more than any image that is put on it
DISK_SIZE = 64 << 20


class System:
    """A kernel that is up, with all components."""

    def __init__(self) -> None:
        self._processes: list[Any] = []

    def process(self) -> Any:
        """Return a new process, of root and in ``/``."""
        return self._enter(self._spawn())

    def fork(self, parent: Any) -> Any:
        """Return a child with copies of a process's descriptors, directories and credentials."""
        return self._enter(self._fork(parent))

    def user(self, parent: Any, uid: int, gid: int | None = None) -> Any:
        """Return a child that has become a user in one group (its number, when it is omitted)."""
        p = self.fork(parent)
        p.call("setgroups", 0, None)
        p.call("setgid", uid if gid is None else gid)
        p.call("setuid", uid)
        return p

    def exit(self, p: Any) -> None:
        """End a process; when this returns, the kernel has closed its files."""
        self._processes.remove(p)
        self._exit(p)

    def exit_all(self, but: Any = None) -> None:
        """End all processes that are left, but one."""
        for p in [p for p in self._processes if p is not but]:
            self.exit(p)

    def _enter(self, p: Any) -> Any:
        self._processes.append(p)
        return p

    def _spawn(self) -> Any:
        raise NotImplementedError

    def _fork(self, parent: Any) -> Any:
        raise NotImplementedError

    def _exit(self, p: Any) -> None:
        raise NotImplementedError

    def begin(self, p: Any, name: str, *args: Any) -> Any:
        """Start a call that may sleep."""
        return p.begin(name, *args)

    def finish(self, running: Any) -> Any:
        """Wait for the end of a call that `begin` started; return its result or raise its error."""
        raise NotImplementedError

    def together(self, *workers: Iterator[None]) -> None:
        """Run workers to their ends at the same time, each for a process of its own.

        In process a step of one follows a step of another, in an order that is the same every time.
        """
        raise NotImplementedError

    def disk(self, name: str) -> Path:
        """Return the host file behind the block device ``/name``, which has DISK_SIZE bytes."""
        raise NotImplementedError


# --- in process -----------------------------------------------------------------------------------


class Local(incore.Process):
    """A process in this one."""

    def call(self, name: str, *args: Any) -> Any:
        """Make a call that does not sleep; only pipe has two results. Errors: VfsError."""
        result = super().call(name, *args)
        return result[0] if isinstance(result, tuple) and name != "pipe" else result


class InCore(System):
    """A kernel in this process.

    Args:
        directory: where the host files of its disks are made.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.machine = incore.Machine()
        self._directory = directory
        self._disks: dict[str, Path] = {}

    def _spawn(self) -> Local:
        return Local(self.machine.process().p)

    def _fork(self, parent: Local) -> Local:
        return Local(self.machine.fork(parent).p)

    def _exit(self, p: incore.Process) -> None:
        p.p.exit()

    def finish(self, running: incore.Running) -> Any:
        while not running.done:
            running.step()
        return running.result

    def together(self, *workers: Iterator[None]) -> None:
        choice = random.Random(1)
        left = list(workers)
        while left:
            worker = choice.choice(left)
            if next(worker, worker) is worker:
                left.remove(worker)

    def disk(self, name: str) -> Path:
        if name not in self._disks:
            path = self._disks[name] = new_disk(self._directory, name)
            hostfile = HostFile.open(str(path))
            window = Window(hostfile, 0, hostfile.size, False)
            self.machine.kernel.etfs_register(b"/" + name.encode(), window)
        return self._disks[name]

    def close(self) -> None:
        """Halt the kernel."""
        self.machine.kernel.reboot(0)


# --- over the socket ------------------------------------------------------------------------------


@contextmanager
def _netbsd_errors() -> Iterator[None]:
    try:
        yield
    except ConnectionLost:
        raise
    except RumpError as error:
        raise VfsError(error.netbsd_errno) from error


class Remote(Calls):
    """A process behind a socket.

    Attributes:
        client: the connection.
        pid: its number.
        signals: those that the kernel has raised.
    """

    def __init__(self, client: RawClient, signals: list[int]) -> None:
        self.client = client
        self.signals = signals
        self.pid = self.call("getpid")
        self._mapped = ExitStack()

    def call(self, name: str, *args: Any) -> Any:
        """Make a call, and wait for its end. Errors: VfsError; ConnectionLost."""
        with _netbsd_errors():
            return self.client.call(name, *args)

    def raw(self, name: str, *slots: int) -> int:
        with _netbsd_errors():
            return self.client.syscall(BY_NAME[name].number, *slots)[0]

    def map(self, content: bytes | bytearray) -> int:
        return self._mapped.enter_context(self.client.mapped(content))[0]

    def begin(self, name: str, *args: Any) -> Pending:
        """Start a call in a thread of its own."""
        return Pending(self, name, args)


class Pending:
    """A call that another thread waits for."""

    def __init__(self, p: Remote, name: str, args: tuple[Any, ...]) -> None:
        self._name = name
        self._value: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(p, args), daemon=True)
        self._thread.start()

    def _run(self, p: Remote, args: tuple[Any, ...]) -> None:
        try:
            self._value = p.call(self._name, *args)
        except (VfsError, OSError) as error:
            self._error = error

    @property
    def result(self) -> Any:
        """The result, which is waited for."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), f"{self._name} still sleeps"
        if self._error is not None:
            raise self._error
        return self._value


class Socket(System):
    """A server, seen through its socket.

    Args:
        url: its address.
        disks: name of each block device -> its host file.
    """

    def __init__(self, url: str, disks: dict[str, Path]) -> None:
        super().__init__()
        self.url = url
        self._disks = disks
        self._init = self._spawn()

    def _spawn(self) -> Remote:
        signals: list[int] = []
        return Remote(RawClient(self.url, b"test", on_signal=signals.append), signals)

    def _fork(self, parent: Remote) -> Remote:
        return Remote(RawClient.from_cookie(self.url, parent.client.prefork()), [])

    def _exit(self, p: Remote) -> None:
        p.client.close()
        # The server learns of it in its own time.
        while self._init.error("getpgid", p.pid) != "ESRCH":
            pass

    def finish(self, running: Pending) -> Any:
        return running.result

    def together(self, *workers: Iterator[None]) -> None:
        failures: list[BaseException] = []

        def run(worker: Iterator[None]) -> None:
            try:
                for _ in worker:
                    pass
            except (VfsError, OSError, AssertionError) as error:
                failures.append(error)

        threads = [threading.Thread(target=run, args=(worker,), daemon=True) for worker in workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a process hangs"
        for error in failures:
            raise error

    def disk(self, name: str) -> Path:
        return self._disks[name]

    def spoiled(self) -> bool:
        """Whether a case left a mount behind."""
        return bool(self._init.call("getvfsstat", None, 0, 0) != 1)

    def close(self) -> None:
        """End every connection."""
        for p in [*self._processes, self._init]:
            p.client.close()


@contextmanager
def socket_system(directory: Path, disks: tuple[str, ...] = (), *args: str) -> Iterator[Socket]:
    """Run a server with disks, and with further arguments; it is gone at the end."""
    files = {name: new_disk(directory, name) for name in disks}
    options = [
        word for name, path in files.items() for word in ("-d", f"key=/{name},hostpath={path},size=host")
    ]
    with serving(directory, *options, *args) as served:
        system = Socket(served.url, files)
        yield system
        system.close()


def new_disk(directory: Path, name: str) -> Path:
    """Make the host file of an empty disk."""
    path = directory / f"{name}.img"
    with path.open("wb") as stream:
        stream.truncate(DISK_SIZE)
    return path
