"""rump.halt: its options, messages and exit statuses are those of the C program."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.verbs import BIN, Shell
from tests.client.peer import Peer, Server
from tests.client.recording import FakeServer, load
from tests.conftest import SHARED
from tests.serving import serving


def halt(shell: Shell, *words: str) -> tuple[int, bytes, str]:
    return tuple(shell.run(*words, program="rump.halt"))  # type: ignore[return-value]


@pytest.mark.parametrize("line", ["-x", "file", "-d -x", "-dx", "-", "-- x", "--nothing", "-d file"])
def test_usage(tmp_path: Path, line: str) -> None:
    assert halt(Shell("unix://none", tmp_path), *line.split()) == (1, b"", "usage: rump.halt [-dhn]\n")


def test_no_server_is_named(tmp_path: Path) -> None:
    status, out, err = halt(Shell(None, tmp_path))
    assert (status, out) == (1, b"")
    assert err == "error: RUMP_SERVER not set\nrump.halt: init failed: No such file or directory\n"


@pytest.mark.parametrize(
    ("url", "err"),
    [
        ("unix://none", "rump.halt: init failed: No such file or directory\n"),
        ("", "rump_sp: invalid locator ``''\nrump.halt: init failed: Invalid argument\n"),
        ("nonsense", "rump_sp: invalid locator ``nonsense''\nrump.halt: init failed: Invalid argument\n"),
        ("tcp://0:1/", "rump_sp_tcp: client needs !INADDR_ANY\nrump.halt: init failed: Invalid argument\n"),
        ("tcp://1.2.3.4:99999/", "rump_sp_tcp: port 99999 out of range\nrump.halt: init failed: Result too"),
    ],
)
def test_no_server_is_there(tmp_path: Path, url: str, err: str) -> None:
    status, out, said = halt(Shell(url, tmp_path))
    assert (status, out) == (1, b"")
    assert said.startswith(err)


@pytest.mark.parametrize("words", [[], ["-n"], ["-hn"], ["--"]])
def test_the_server_ends(tmp_path: Path, words: list[str]) -> None:
    with serving(tmp_path) as served:
        if "-hn" in words:
            assert halt(Shell(served.url, tmp_path), *words) == (0, b"", "")
            # The process stays; its socket is gone.
            assert served.process.poll() is None
            assert not os.path.exists(served.path)
            served.process.kill()
            served.process.communicate(timeout=20)
            served.process.returncode = 0
        else:
            assert halt(Shell(served.url, tmp_path), *words) == (0, b"", "")
            served.process.communicate(timeout=20)
            assert served.process.returncode == 0


@pytest.mark.parametrize(
    ("words", "howto"),
    [([], 0), (["-d"], 0x100), (["-h"], 0x8), (["-n"], 0x4), (["-d", "-hn"], 0x10C), (["-nn"], 0x4)],
)
def test_options_are_the_flags_of_reboot(tmp_path: Path, words: list[str], howto: int) -> None:
    def check(server: Server) -> None:
        call = server.frame()
        assert call.union == 208
        assert call.body == howto.to_bytes(8, "little") + bytes(8)
        server.sock.close()

    with Peer(tmp_path, check) as peer:
        status, _, err = halt(Shell(peer.url, tmp_path), *words)
    assert status == 1
    assert err.startswith("rump.halt: reboot: ")


def test_the_recorded_halt(tmp_path: Path, shared: Path) -> None:
    messages = load(SHARED / "wire" / "halt.jsonl")
    handshake = next(message for message in messages if message.to_server)
    # The recorded program was called rump_halt, and NetBSD's is called rump.halt.
    handshake.data = handshake.data.replace(b"rump_halt", b"rump.halt")
    server = FakeServer(messages, tmp_path)
    try:
        assert halt(Shell(server.url, tmp_path)) == (0, b"", "")
    finally:
        server.finish()


def test_a_halt_takes_under_a_tenth_of_a_second(tmp_path: Path) -> None:
    """CPU time of the whole program, with a connection; the least of five, for others use the machine."""
    spent = []
    for number in range(5):
        directory = tmp_path / str(number)
        directory.mkdir()
        with Peer(directory, lambda server: server.frame() and None) as peer:  # type: ignore[func-returns-value]
            shell = Shell(peer.url, directory)
            process = subprocess.Popen(BIN / "rump.halt", env=shell.environ, stderr=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        spent.append(usage.ru_utime + usage.ru_stime)
    assert min(spent) < 0.1


def test_help_has_examples(tmp_path: Path) -> None:
    status, out, err = halt(Shell(None, tmp_path), "--help")
    assert (status, err) == (0, "")
    assert out.startswith(b"usage: rump.halt [-dhn]\n")
    assert b"env RUMP_SERVER=unix://sock rump.halt" in out
