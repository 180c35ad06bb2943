"""What a service manager hears (sd_notify(3)): from the commands, on sockets of both kinds."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rumpfs.server import notify
from tests.fuse.mounts import BIN, TIMEOUT, clear, command, why_not


@contextmanager
def manager(address: str) -> Iterator[socket.socket]:
    """A socket that hears it; an address that begins with @ is abstract."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(TIMEOUT)
        sock.bind(address.replace("@", "\0", 1))
        yield sock


def heard(sock: socket.socket) -> dict[str, str]:
    """Return the variables of the next datagram."""
    return dict(line.split("=", 1) for line in sock.recv(4096).decode().splitlines())


@pytest.fixture(params=["path", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"@rumpfs-test-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify")


def test_ready_and_stopping(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    with manager(address) as sock:
        notify.ready("two\nlines")
        assert heard(sock) == {"READY": "1", "STATUS": "two?lines", "MAINPID": str(os.getpid())}
        notify.stopping("soon")
        assert heard(sock) == {"STOPPING": "1", "STATUS": "soon"}


@pytest.mark.parametrize("value", ["", "vsock:2:1", "relative"])
def test_where_nobody_can_be_told_nothing_happens(
    value: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", value)
    notify.ready("x")
    assert caplog.records == []


def test_a_manager_that_is_gone_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/notify")
    notify.ready("x")
    assert [record.getMessage() for record in caplog.records] == [
        "NOTIFY_SOCKET=/nowhere/notify: No such file or directory"
    ]


def test_a_server_says_when_it_answers_and_when_it_ends(address: str, tmp_path: Path) -> None:
    url = f"unix://{tmp_path}/sock"
    with manager(address) as sock:
        process = subprocess.Popen(
            [BIN / "rump_server", "-s", "-lrumpvfs", url], env=os.environ | {"NOTIFY_SOCKET": address}
        )
        try:
            expected = {"READY": "1", "STATUS": f"serving {url}", "MAINPID": str(process.pid)}
            assert heard(sock) == expected
            assert command("rumpfs", "ls", f"{url}:/").returncode == 0
            process.send_signal(signal.SIGTERM)
            assert heard(sock) == {"STOPPING": "1", "STATUS": "halted"}
            assert process.wait(TIMEOUT) == 0
        finally:
            process.kill()
            process.wait()


def test_a_server_that_detaches_says_which_process_it_is(tmp_path: Path) -> None:
    """systemd needs that before the first process ends."""
    address, url = str(tmp_path / "notify"), f"unix://{tmp_path}/sock"
    with manager(address) as sock:
        done = command("rump_server", "-lrumpvfs", url, env=os.environ | {"NOTIFY_SOCKET": address})
        assert done.returncode == 0, done.stderr
        sock.setblocking(False)
        server = int(heard(sock)["MAINPID"])
        sock.settimeout(TIMEOUT)
        os.kill(server, signal.SIGTERM)
        assert heard(sock)["STOPPING"] == "1"


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_a_mount_says_when_it_can_be_used(tmp_path: Path) -> None:
    address, mountpoint = str(tmp_path / "notify"), tmp_path / "mnt"
    mountpoint.mkdir()
    with manager(address) as sock:
        process = subprocess.Popen(
            [BIN / "rump_tmpfs", "-f", "tmpfs", mountpoint], env=os.environ | {"NOTIFY_SOCKET": address}
        )
        try:
            assert heard(sock) == {
                "READY": "1", "STATUS": f"tmpfs on {mountpoint}", "MAINPID": str(process.pid),
            }  # fmt: skip
            (mountpoint / "file").touch()
            assert command("rumpfs", "umount", str(mountpoint)).returncode == 0
            assert heard(sock) == {"STOPPING": "1", "STATUS": "writing to tmpfs"}
            assert process.wait(TIMEOUT) == 0
        finally:
            clear(mountpoint)
            process.kill()
            process.wait()
