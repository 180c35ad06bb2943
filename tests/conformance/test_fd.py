"""Descriptors of clients on the host, and SIGIO (NetBSD: tests/lib/librumpclient/t_fd.c)."""

from __future__ import annotations

from pathlib import Path

from rumpfs.abi.fcntl import F_GETFL, F_SETFL, F_SETOWN, O_ASYNC
from rumpfs.abi.limits import SIGIO
from rumpfs.client.raw import RawClient
from tests.conformance.programs import run
from tests.serving import serving

PROGRAM = "lib/librumpclient/t_fd"


def test_bigenough(tmp_path: Path) -> None:
    with serving(tmp_path, program="rump_server") as served:
        run(served, "t_fd_bigenough")


def test_sigio(tmp_path: Path) -> None:
    """Who owns a file with O_ASYNC gets SIGIO when it becomes readable: here a pipe, in NetBSD a socket."""
    signals: list[int] = []
    with (
        serving(tmp_path, program="rump_server") as served,
        RawClient(served.url, on_signal=signals.append) as client,
    ):
        reader, writer = client.sys.pipe()
        client.sys.fcntl(reader, F_SETOWN, client.sys.getpid())
        flags = client.sys.fcntl(reader, F_GETFL, 0)
        client.sys.fcntl(reader, F_SETFL, flags | O_ASYNC)
        assert signals == []
        assert client.sys.write(writer, b"x") == 1
        client.sys.getpid()
        assert signals
        assert set(signals) == {SIGIO}
