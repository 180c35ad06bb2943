"""Starting the installed programs, and asking the servers among them for what a test needs to know."""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BIN = Path(sys.prefix) / "bin"

#: No test takes this long; it keeps a broken server from stopping the whole run.
PATIENCE = 30

#: What would change the programs' behaviour.
_FOREIGN = (
    "LD_BIND_NOW",
    "PYTHONDONTWRITEBYTECODE",
    "RUMP_NCPU",
    "RUMP_MEMLIMIT",
    "RUMP_VERBOSE",
    "RUMP_SERVER",
)


def environment(**more: str) -> dict[str, str]:
    """Return the environment for a program, with the messages of the host in English."""
    kept = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    return kept | {"LC_ALL": "C"} | more


def run(cwd: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end in the directory `cwd`; `environ` is added to its environment."""
    return subprocess.run(
        [str(BIN / words[0]), *words[1:]],
        cwd=cwd, env=environment(**environ), capture_output=True, text=True, timeout=PATIENCE,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


@contextmanager
def foreground(cwd: Path, *words: str, **environ: str) -> Iterator[subprocess.Popen[str]]:
    """Run a server with -s and -v until the block ends; it is entered when the server listens.

    What the server printed before that is read already: `boot_messages`.
    """
    process = subprocess.Popen(
        [str(BIN / words[0]), "-s", "-v", *words[1:]],
        cwd=cwd, env=environment(**environ), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    lines = []
    try:
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if line.startswith("listening on "):
                break
        else:
            raise AssertionError(f"it did not start: {process.stderr.read()}")
        process.boot_messages = lines  # type: ignore[attr-defined]
        yield process
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE)


@contextmanager
def background(cwd: Path, *words: str, **environ: str) -> Iterator[int]:
    """Start a server that detaches, on the unix socket that its last word names; yield its pid."""
    done = run(cwd, *words, **environ)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    pid = listener(cwd / words[-1].removeprefix("unix://"))
    try:
        yield pid
    finally:
        if os.path.exists(f"/proc/{pid}"):
            os.kill(pid, signal.SIGKILL)


def listener(path: Path) -> int:
    """Return the pid of the process that listens on a unix socket."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(_short(path))
        pid, _, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return pid


def _short(path: Path) -> str:
    """Return a name for a path that fits into sun_path however deep the directory of the tests is."""
    return os.path.relpath(path) if len(str(path)) > 100 else str(path)


def wait_for_end(pid: int) -> None:
    """Wait until a process that is not our child has ended."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ended, _, _ = select.select([fd], [], [], PATIENCE)
        assert ended, f"process {pid} goes on"
    finally:
        os.close(fd)


def banner(path: Path) -> bytes:
    """Connect to a unix socket and return the first line that the server says."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(_short(path))
        with sock.makefile("rb") as stream:
            return stream.readline()
