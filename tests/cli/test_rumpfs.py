"""The command `rumpfs` itself: its verbs, help, exit statuses, and what it says when no server answers."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from rumpfs.cli.rumpfs import HUMAN, VERBS
from tests.cli.verbs import BIN, Shell
from tests.client.peer import Peer, Server

#: a command line of each verb that needs the server of RUMP_SERVER
LINES = {
    "ls": ":/", "cat": ":/x", "stat": ":/x", "cp": ":/x y", "mkdir": ":/x", "rm": ":/x", "mv": ":/x :/y",
    "ln": ":/x :/y", "df": "", "mount": "", "umount": ":/x", "quota": "",
    "chmod": "0 :/x", "chown": "0 :/x", "chflags": "0 :/x", "touch": ":/x", "find": "", "tree": "", "du": "",
    "grep": "x :/", "diff": ":/x :/y", "tar": ":/x",
    "sha256": ":/x", "mtree": ":/x",
    "sysctl": "", "top": "", "sh": "", "trace": "-- true",
}  # fmt: skip
#: verbs that work on images, without a server
IMAGES = {
    "overlay",
    "map",
    "explore",
    "fsck",
    "newfs",
    "makefs",
    "tunefs",
    "growfs",
    "label",
    "dumpfs",
    "info",
    "survey",
    "explain",
    "log",
    "hexdump",
    "undelete",
    "carve",
}


@pytest.fixture
def alone(tmp_path: Path) -> Shell:
    """A shell without a server."""
    return Shell(None, tmp_path)


def test_the_help_names_every_verb_and_every_verb_has_help(alone: Shell) -> None:
    text = alone.ok("--help").out.decode()
    assert text.startswith("usage: rumpfs VERB")
    assert set(LINES) | IMAGES | {"completion"} == set(VERBS)
    for verb, summary in VERBS.items():
        assert f"  {verb:10}  {summary}\n" in text
    assert alone.ok("-h").out == alone.ok("help").out == text.encode()


@pytest.mark.parametrize("verb", list(VERBS))
def test_a_verb_explains_itself(alone: Shell, verb: str) -> None:
    text = alone.ok(verb, "--help").out.decode()
    assert text.startswith(f"usage: rumpfs {verb} ")
    _, examples = text.split("examples:\n")
    assert examples.startswith(f"  rumpfs {verb}")
    assert alone.ok("help", verb).out.decode() == text
    if verb not in HUMAN:
        assert alone.ok(verb, "-h").out.decode() == text
    assert alone.ok(verb, "--version").out.startswith(b"rumpfs ")


def test_the_schema_is_documented(alone: Shell) -> None:
    text = alone.ok("help", "json").out.decode()
    for word in ("schema_version", "entries", "filesystems", "name_b64", "mtime_ns", "mountpoint"):
        assert word in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "usage: rumpfs VERB"),
        (["lss"], "no verb 'lss'; did you mean ls?"),
        (["unmount"], "did you mean umount?"),
        (["frobnicate"], "no verb 'frobnicate'\n"),
        (["--colour"], "no option --colour"),
        (["help", "lx"], "no help on 'lx'"),
        (["help", "ls", "cp"], "no help on 'ls cp'"),
        (["ls", "--long"], "unrecognized arguments: --long"),
        (["cat"], "the following arguments are required: ADDRESS"),
        (["cp", "x"], "required: TARGET"),
        (["cat", "/etc/passwd"], "/etc/passwd is a path of the host; in a server it is written :/etc/passwd"),
        (["cat", "passwd"], "written :/passwd (with RUMP_SERVER set) or unix://sock:/passwd"),
        (["cat", "unix://sock"], "a path in it is written unix://sock:/path"),
        (["ls", ":etc"], "write :/etc"),
        (["ls", "disk.img@x:/etc"], "No such file"),
        (["ls", ""], "an empty path"),
        (["ls", "tcp6://::1:99:/"], "support not yet implemented"),
        (["ls", "tcp://localhost:99:/"], "cannot parse localhost"),
        (["ls", "tcp://127.0.0.1:/"], "missing port specifier"),
        (["ls", "tcp://127.0.0.1:x:/"], "port now found"),
        (["ls", f"unix://{'x' * 200}:/"], "too long"),
        (["ls", b"unix://\xff\0".split(b"\0")[0] + b":/"], "no server is there"),
    ],
)
def test_wrong_command_lines(alone: Shell, words: list[str | bytes], said: str) -> None:
    done = alone.run(*words)
    assert done.status == (1 if said.lower().startswith("no s") else 2)
    assert said in done.err
    assert done.out == b""


@pytest.mark.parametrize(("verb", "line"), LINES.items())
def test_no_server_is_named(alone: Shell, verb: str, line: str) -> None:
    said = alone.fails(verb, *line.split(), status=2)
    assert said == (
        f"rumpfs {verb}: RUMP_SERVER is not set, so :/path names no server: "
        "export RUMP_SERVER=unix://sock, or write unix://sock:/path\n"
    )


@pytest.mark.parametrize(("verb", "line"), LINES.items())
def test_no_server_answers(tmp_path: Path, verb: str, line: str) -> None:
    shell = Shell("unix://none", tmp_path)
    assert shell.fails(verb, *line.split(), status=2 if verb in ("diff", "grep") else 1) == (
        f"rumpfs {verb}: unix://none: No such file or directory: no server is there; "
        "this starts one: rump_allserver unix://none\n"
    )


def test_a_socket_without_a_server(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(f"{tmp_path}/dead")
    said = Shell(None, tmp_path).fails("ls", "unix://dead:/")
    assert said == (
        "rumpfs ls: unix://dead: Connection refused: no server is there; "
        "this starts one: rump_allserver unix://dead\n"
    )


def test_a_socket_of_something_else(tmp_path: Path) -> None:
    with Peer(tmp_path, lambda server: None, b"* OK IMAP4 ready\r\n") as peer:
        said = Shell(peer.url, tmp_path).fails("ls")
    assert said.endswith("something answers there that is not a rump kernel: b'* OK IMAP4 ready\\r\\n'\n")


def test_a_server_that_goes_away_ends_the_command(tmp_path: Path) -> None:
    def leave(server: Server) -> None:
        server.frame()

    with Peer(tmp_path, leave) as peer:
        said = Shell(peer.url, tmp_path).fails("ls", ":/a", ":/b", ":/c")
    assert said == f"rumpfs ls: {peer.url}: the server closed the connection\n"


@pytest.mark.parametrize("words", [["ls", "--help"], ["ls", ":/"]])
def test_a_listing_starts_fast(shell: Shell, words: list[str]) -> None:
    """CPU time of the whole program; the least of five, for others use the machine."""
    spent = []
    for _ in range(5):
        process = subprocess.Popen([BIN / "rumpfs", *words], env=shell.environ, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        spent.append(usage.ru_utime + usage.ru_stime)
    assert min(spent) < 0.15


def test_a_listing_imports_only_its_verb(shell: Shell) -> None:
    program = (
        "import sys\nfrom rumpfs.cli.rumpfs import main\nsys.argv = ['rumpfs', 'ls', ':/']\nmain()\n"
        "print(*sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [BIN / "python", "-c", program], env=shell.environ, capture_output=True, text=True, check=True
    )
    loaded = set(done.stderr.split())
    assert "rumpfs.cli.verbs.ls" in loaded
    packages = {f"rumpfs.{name}" for name in ("kern", "server", "dev", "vfs", "fs", "ondisk", "cli.trees")}
    assert not loaded & (packages | {"json", "trio", "construct", "shutil", "dataclasses"})
