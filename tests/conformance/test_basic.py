"""Return values (NetBSD: tests/rump/rumpvfs/t_basic.c)."""

from __future__ import annotations

from rumpfs.abi.fcntl import O_CREAT, O_RDWR
from tests.conformance.system import System

PROGRAM = "rump/rumpvfs/t_basic"
SEEK_SET = 0


def test_lseekrv(system: System) -> None:
    """Offsets beyond 32 bits come back whole."""
    p = system.process()
    fd = p.call("open", b"/tmp/lseekrv", O_RDWR | O_CREAT, 0o777)
    assert p.error("lseek", 37, 5 << 20, SEEK_SET) == "EBADF"
    for offset in (5 << 20, 5 << 30):
        assert p.call("lseek", fd, offset, SEEK_SET) == offset
    p.call("unlink", b"/tmp/lseekrv")
