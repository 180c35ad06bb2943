"""Descriptor games of a hijacked shell, call by call (NetBSD: tests/lib/librumphijack/t_sh.sh)."""

from __future__ import annotations

from typing import Any

from rumpfs.abi.fcntl import F_DUPFD, O_CREAT, O_RDONLY, O_TRUNC, O_WRONLY
from tests.conformance.system import System

PROGRAM = "lib/librumphijack/t_sh"
SCRIPT = b"echo this is what has to come out\n"


def read_all(p: Any, fd: int) -> bytes:
    """Read to the end, as a shell and cat(1) do."""
    data = b""
    while piece := p.call("read", fd, 1024):
        data += piece
    return data


def test_runscript(system: System) -> None:
    """mv(1) from the host is a copy; the shell reads the script from a descriptor that it has moved up."""
    p = system.process()
    path = b"/tmp/thescript"
    fd = p.call("open", path, O_CREAT | O_TRUNC | O_WRONLY, 0o600)
    assert p.call("write", fd, SCRIPT) == len(SCRIPT)
    p.call("fchown", fd, 0, 0)
    p.call("fchmod", fd, 0o644)
    p.call("close", fd)

    shell = system.fork(p)
    fd = shell.call("open", path, O_RDONLY, 0)
    moved = shell.call("fcntl", fd, F_DUPFD, 10)
    assert moved == 10
    shell.call("close", fd)
    assert read_all(shell, moved) == SCRIPT
    p.call("unlink", path)


def test_redirect(system: System) -> None:
    """What the shell opens is written and read by its children, who share its offset."""
    shell = system.process()
    path = b"/tmp/thefile"
    fd = shell.call("open", path, O_CREAT | O_TRUNC | O_WRONLY, 0o666)
    child = system.fork(shell)
    assert child.call("write", fd, SCRIPT[:10]) == 10
    system.exit(child)
    assert shell.call("write", fd, SCRIPT[10:]) == len(SCRIPT) - 10
    shell.call("close", fd)
    assert shell.content(path) == SCRIPT

    fd = shell.call("open", path, O_RDONLY, 0)
    cat = system.fork(shell)
    assert read_all(cat, fd) == SCRIPT
    assert shell.call("read", fd, 100) == b""
    shell.call("close", fd)
    shell.call("unlink", path)
