"""Completions: what a command line can become, and that bash, zsh and fish make it that."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import time
import tomllib
from pathlib import Path

import pytest

from rumpfs.cli.completion import COMMANDS, complete
from rumpfs.cli.mountopts import OPTIONS
from rumpfs.cli.options import LONG_OPTIONS, OPTSTRING
from rumpfs.cli.rumpfs import VERBS
from rumpfs.client import Client
from tests.cli.verbs import BIN
from tests.conftest import PROJECT
from tests.serving import serving

PATIENCE = 30


def words(*line: str) -> list[str]:
    return [candidate.word for candidate in complete(line)]


# --- what there is ----------------------------------------------------------------------------------------


def test_every_command_for_people_is_completed() -> None:
    scripts = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["scripts"]
    assert set(COMMANDS) == set(scripts) - {"rumpfs-mount", "rumpfs-umount"}  # which mount(8) calls


def test_verbs_and_their_options() -> None:
    assert set(words("rumpfs", "")) == {*VERBS, "help"}
    assert words("rumpfs", "ch") == ["chflags", "chmod", "chown"]
    assert {"-l", "-R", "--json", "--help"} <= set(words("rumpfs", "ls", "-"))
    assert words("rumpfs", "help", "dumpf") == ["dumpfs"]
    assert words("rumpfs", "no-such-verb", "") == []


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_its_help(verb: str) -> None:
    assert "--help" in words("rumpfs", verb, "--")


def test_the_options_of_getopt_programs_are_those_of_their_tables() -> None:
    options = {f"-{letter}" for letter in OPTSTRING if letter != ":"} | {f"--{name}" for name in LONG_OPTIONS}
    for program in ("rump_server", "rump_allserver"):
        assert set(words(program, "-")) == options
    assert words("rump.halt", "-") == ["--help", "--version", "-d", "-h", "-n"]


def test_an_option_says_what_it_does() -> None:
    (found,) = complete(["rump_server", "--trace"])
    assert found.help.startswith("write every system call")
    (found,) = complete(["rump_ffs", "-o", "umask"])
    assert found == ("umask=", OPTIONS["umask"].help)


def test_mount_options_stand_between_commas() -> None:
    assert set(words("rump_ffs", "-o", "")) == {
        f"{name}=" if option.value else name for name, option in OPTIONS.items()
    }
    assert words("rumpfs", "mount", "-o", "ro,part") == ["ro,partition="]
    assert words("rump_tmpfs", "-o", "size=1m,umask=022,sy") == ["size=1m,umask=022,sync"]
    assert words("rump_ffs", "-o", "ro,replay=") == ["ro,replay=auto", "ro,replay=force"]
    assert words("rump_ffs", "-o", "uid=") == []


def test_a_value_is_completed_as_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("mnt", "more.d"):
        (tmp_path / name).mkdir()
    for name in ("m.img", ".hidden", "mnt/file"):
        (tmp_path / name).touch()
    assert words("rump_ffs", "") == ["m.img", "mnt/", "more.d/"]
    assert words("rump_ffs", "m.img", "") == ["mnt/", "more.d/"]
    assert words("rump_ffs", "m.img", "mnt", "") == []
    assert words("rump_ffs", ".h") == [".hidden"]
    assert words("rump_server", "-d", "key=/dev/dk,hostpath=m") == [
        f"key=/dev/dk,hostpath={name}" for name in ("m.img", "mnt/", "more.d/")
    ]
    assert words("rump_server", "-d", "key=/dev/dk,hostpath=m.img,disk") == [
        "key=/dev/dk,hostpath=m.img,disklabel="
    ]
    assert words("rump_server", "--fuse=m") == ["--fuse=mnt/", "--fuse=more.d/"]
    assert words("rump_server", "-l", "rumpfs_k") == ["rumpfs_kernfs"]
    assert "tmpfs.kmod" in words("rump_server", "-m", "")
    assert words("rump_server", f"unix://{tmp_path}/mnt/") == [f"unix://{tmp_path}/mnt/file"]
    assert words("rump_server", "-s", "u") == ["unix://"]
    assert words("rumpfs", "newfs", "-B", "") == ["be", "le"]
    assert words("rumpfs", "mount", "-t", "n") == ["null"]
    assert words("rumpfs", "dumpfs", "m.") == ["m.img"]
    assert words("rumpfs", "trace", "-e", "x", "--", "ls", "mnt/") == ["mnt/file"]
    assert words("rumpfs", "cat", "--", "-") == []


@pytest.mark.parametrize("line", [["ls", ""], ["rumpfs"], [""], ["rumpfs", "ls", "/no/such/directory/"]])
def test_there_may_be_nothing(line: list[str]) -> None:
    assert complete(line) == []


def test_names_with_a_newline_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "a\nb").touch()
    (tmp_path / "a b").touch()
    assert words("rump_ffs", f"{tmp_path}/") == [f"{tmp_path}/a b"]


def test_paths_in_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(tmp_path, "-lrumpvfs", program="rump_server") as server:
        with Client(server.url, "test") as client:
            client.mkdir("/stuff")
            client.mkdir("/stuff/below")
            with client.open("/stuff/bin", "wb"):
                pass
            client.symlink("/stuff/below", "/stuff/link")
        assert words("rumpfs", "ls", f"{server.url}:/st") == [f"{server.url}:/stuff/"]
        monkeypatch.setenv("RUMP_SERVER", server.url)
        assert ":/" in words("rumpfs", "ls", "")
        assert words("rumpfs", "ls", ":/stuff/b") == [":/stuff/below/", ":/stuff/bin"]
        assert words("rumpfs", "cp", "-r", ":/stuff/l") == [":/stuff/link/"]
        assert words("rumpfs", "ls", ":/nowhere/") == []
    assert words("rumpfs", "ls", ":/st") == []  # nobody answers any more


# --- the shells -------------------------------------------------------------------------------------------


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "mnt").mkdir()
    (tmp_path / "sock").touch()
    (tmp_path / "my disk.img").touch()
    return tmp_path


def _environment(home: Path) -> dict[str, str]:
    return {
        "PATH": f"{BIN}:/usr/bin:/bin",
        "HOME": str(home),
        "TERM": "dumb",
        "LC_ALL": "C.UTF-8",
        "PS1": "> ",
    }


def typed(directory: Path, argv: list[str], setup: str, line: str, expected: str) -> str:
    """Type a line and the tabulator into a shell; return what it shows, up to what is expected."""
    pid, fd = pty.fork()
    if not pid:
        try:
            os.chdir(directory)
            os.execvpe(argv[0], argv, _environment(directory))
        finally:
            os._exit(127)
    shown = b""

    def until(text: str) -> None:
        nonlocal shown
        deadline = time.monotonic() + PATIENCE
        while os.fsencode(text) not in shown:
            ready, _, _ = select.select([fd], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"no {text!r} in {shown!r}"
            shown += os.read(fd, 4096).replace(b"\a", b"")

    try:
        os.write(fd, os.fsencode(f"{setup}; echo rea''dy\n"))
        until("ready\r\n")
        shown = b""
        os.write(fd, os.fsencode(f"{line}\t"))
        until(expected)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(fd)
    return os.fsdecode(shown)


LINES = [
    ("rump_ffs -o part", "rump_ffs -o partition="),
    ("rump_server -d key=/dev/dk,host", "rump_server -d key=/dev/dk,hostpath="),
    ("rump_ffs -o ro my", "rump_ffs -o ro my\\ disk.img "),
    ("rumpfs dumpf", "rumpfs dumpfs "),
    ("rump_server unix://so", "rump_server unix://sock "),
    ("rump_ffs -o ro,replay=f", "rump_ffs -o ro,replay=force "),
    (f"{BIN}/rump_tmpfs tmpfs mn", f"{BIN}/rump_tmpfs tmpfs mnt/"),
]
SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], 'eval "$(rumpfs completion bash)"'),
    "zsh": (["zsh", "-f", "-i"], 'autoload -U compinit; compinit -u -D; eval "$(rumpfs completion zsh)"'),
}


@pytest.mark.parametrize(
    ("shell", "line", "whole"),
    [
        pytest.param(shell, *line, marks=pytest.mark.oracle(shell), id=f"{shell}-{line[0].split('/')[-1]}")
        for shell in SHELLS
        for line in LINES
    ],
)
def test_a_shell_completes_a_line(shell: str, directory: Path, line: str, whole: str) -> None:
    assert whole in typed(directory, *SHELLS[shell], line, whole)


@pytest.mark.oracle("fish")
def test_fish_completes_lines_and_shows_what_they_mean(directory: Path) -> None:
    commands = ["rumpfs completion fish | source", *(f"complete -C '{line}'" for line, _ in LINES)]
    done = subprocess.run(
        ["fish", "--no-config", "-c", "; ".join(commands)],
        cwd=directory, env=_environment(directory), capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.stderr == ""
    shown = [line.split("\t") for line in done.stdout.splitlines()]
    assert [word for word, *_ in shown] == [
        "partition=", "key=/dev/dk,hostpath=", "my disk.img", "dumpfs", "unix://sock", "ro,replay=force",
        "mnt/",
    ]  # fmt: skip
    assert shown[0][1:] == [OPTIONS["partition"].help]
    assert shown[3][1:] == [VERBS["dumpfs"]]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_scripts_are_sound(shell: str) -> None:
    done = subprocess.run([BIN / "rumpfs", "completion", shell], capture_output=True, text=True, check=True)
    assert f"`rumpfs completion {shell}`" in done.stdout
    assert " ".join(COMMANDS) in done.stdout


def test_another_shell_is_refused() -> None:
    done = subprocess.run([BIN / "rumpfs", "completion", "csh"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "bash, zsh, fish" in done.stderr
