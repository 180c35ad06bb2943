"""rumpfs sysctl and top."""

from __future__ import annotations

import os
import pty
import select
import subprocess
from pathlib import Path

import pytest

from rumpfs.client import Client, RumpError, sysctl
from tests.cli.verbs import BIN, PATIENCE, Shell


def test_values_by_name(shell: Shell) -> None:
    """What spec and uname(3) say of these nodes."""
    assert shell.ok("sysctl", "kern.ostype", "hw.byteorder", "hw.pagesize").lines == [
        "kern.ostype = NetBSD", "hw.byteorder = 1234", "hw.pagesize = 4096",
    ]  # fmt: skip
    assert shell.ok("sysctl", "-n", "kern.ngroups").lines == ["16"]
    assert shell.ok("sysctl", "--json", "hw.ncpu", "kern.ostype").json["sysctl"]["kern.ostype"] == "NetBSD"


def test_the_tree_is_walked(shell: Shell, kernel: Client) -> None:
    lines = shell.ok("sysctl").lines
    names = [line.partition(" = ")[0] for line in lines]
    assert {"kern.ostype", "kern.boottime", "hw.machine", "vfs.generic.magiclinks"} <= set(names)
    assert len(names) == len(set(names))
    below = shell.ok("sysctl", kernel.url, "vfs.generic").lines
    assert below == [line for line in lines if line.startswith("vfs.generic.")]


def test_a_value_is_set(shell: Shell, kernel: Client) -> None:
    before = sysctl.get(kernel, "kern.hostname")
    done = shell.ok("sysctl", "-w", "kern.hostname=storage")
    assert done.lines == [f"kern.hostname: {before} -> storage"]
    assert sysctl.get(kernel, "kern.hostname") == "storage"
    shell.ok("sysctl", "-w", f"kern.hostname={before}")


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (["kern.nope"], 1, "there is no such sysctl node"),
        (["kern.ostype.deeper"], 1, "kern.ostype.deeper: "),
        (["kern.hostname=x"], 2, "-w sets values"),
        (["-w", "kern.hostname"], 2, "nothing to set it to"),
        (["-w"], 2, "-w needs what to set"),
        (["-w", "kern.ostype=x"], 1, "it cannot be set"),
        (["-w", "kern.maxvnodes=many"], 1, "invalid literal"),
        (["-w", "kern.maxvnodes=99999999999"], 1, "does not fit into 4 bytes"),
        (["-w", "hw=1"], 1, "a part of the tree"),
    ],
)
def test_what_does_not_go(shell: Shell, words: list[str], status: int, text: str) -> None:
    done = shell.run("sysctl", *words)
    assert (done.status, text in done.err) == (status, True), done.err


def test_a_path_is_no_server(shell: Shell, kernel: Client) -> None:
    done = shell.run("sysctl", f"{kernel.url}:/t")
    assert (done.status, "is a path in a server" in done.err) == (2, True)


def test_descriptions(shell: Shell) -> None:
    for line in shell.ok("sysctl", "-d", "hw").lines:
        name, _, text = line.partition(": ")
        assert name.startswith("hw.")
        assert text


def test_the_nodes_are_the_kernels(kernel: Client) -> None:
    node = sysctl.find(kernel, "kern.hostname")
    assert (node.mib, node.writable, node.private) == ((1, 10), True, False)
    assert not sysctl.find(kernel, "kern.ostype").writable
    with pytest.raises(RumpError, match="no such sysctl node"):
        sysctl.find(kernel, "")
    assert sysctl.encode(node, "text") == b"text"
    assert sysctl.decode(sysctl.find(kernel, "kern.rtc_offset"), b"\xff\xff\xff\xff") == -1


def test_top_shows_processes(shell: Shell, kernel: Client) -> None:
    with Client(kernel.url, comm="worker") as worker:
        pid = worker.sys.getpid()
        found = shell.ok("top", "--json").json["processes"]
        assert [process["lwps"] for process in found if process["pid"] == pid] == [1]
        line = next(line for line in shell.ok("top", "-b").lines if line.split()[:1] == [str(pid)])
        assert line.endswith("  worker")


def test_top_twice(shell: Shell) -> None:
    done = shell.ok("top", "-b", "-n", "2", "-s", "0.1")
    assert sum(line.startswith("NetBSD ") for line in done.lines) == 2


def test_top_on_a_terminal_ends_at_q(shell: Shell, tmp_path: Path) -> None:
    master, slave = pty.openpty()
    environ = {**shell.environ, "TERM": "xterm"}
    process = subprocess.Popen([BIN / "rumpfs", "top"], env=environ, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    shown = b""
    while b"COMMAND" not in shown:
        assert select.select([master], [], [], PATIENCE)[0]
        shown += os.read(master, 4096)
    os.write(master, b"q")
    assert process.wait(PATIENCE) == 0
    os.close(master)


@pytest.mark.parametrize("words", [["-s", "0"], ["-n", "0"], ["-s", "x"], [":/path"]])
def test_top_asked_wrongly(shell: Shell, words: list[str]) -> None:
    assert shell.run("top", *words).status == 2
