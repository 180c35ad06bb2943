"""rumpfs chmod, chown, chflags and touch; the host's chmod(1) and touch(1) say what is right."""

from __future__ import annotations

import os
import stat
import subprocess
import time
from pathlib import Path

import pytest

from rumpfs.client import Client
from tests.cli.verbs import Shell

MODES = [
    "644", "0", "7777", "u+x", "go-w", "a=r", "=rx", "+w", "-x", "u=rwx,g=u,o=g", "g+s", "u+s,+t", "o=t",
    "a+X", "u-rwx,g+X", "ug=", "u=g-w+x", "g-s,u-s", "a=rwxst",
]  # fmt: skip


def entry(kernel: Client, path: str) -> int:
    return kernel.lstat(path).st_mode & 0o7777


@pytest.fixture
def both(shell: Shell, kernel: Client) -> Path:
    """A tree on the host, and the same one at :/t."""
    for name in ("d", "d/sub"):
        (shell.cwd / name).mkdir()
    for name in ("f", "d/x", "d/sub/y"):
        (shell.cwd / name).write_bytes(b"content")
        (shell.cwd / name).chmod(0o640)
    (shell.cwd / "d/sub/y").chmod(0o755)
    (shell.cwd / "d/link").symlink_to("x")
    shell.ok("cp", "-r", "-p", "f", "d", ":/t")
    return shell.cwd


@pytest.mark.root  # others cannot see what is below a directory that they have closed to themselves
@pytest.mark.parametrize("mode", MODES)
def test_chmod_understands_what_the_hosts_does(shell: Shell, kernel: Client, both: Path, mode: str) -> None:
    names = ("f", "d", "d/sub/y")
    subprocess.run(["chmod", "--", mode, *names], cwd=both, check=False, capture_output=True, umask=0o022)
    shell.ok("chmod", "--", mode, *(f":/t/{name}" for name in reversed(names)))
    for name in names:
        wanted = stat.S_IMODE((both / name).lstat().st_mode)
        if name == "d" and mode.isdigit():
            wanted &= 0o777 | int(mode, 8)  # GNU's keeps the setgid bit of a directory
        assert f"{entry(kernel, f'/t/{name}'):o}" == f"{wanted:o}", name


def test_chmod_of_a_tree(shell: Shell, kernel: Client, both: Path) -> None:
    done = shell.ok("chmod", "-R", "-v", "u=rwX,go=", ":/t/d")
    assert done.lines == [
        ":/t/d/sub/y: 0755 -> 0700", ":/t/d/sub: 0755 -> 0700",
        ":/t/d/x: 0640 -> 0600", ":/t/d: 0755 -> 0700",
    ]  # fmt: skip


@pytest.mark.parametrize("mode", ["", "8", "77777", "u+q", "u~x", "x", "u+x,,g+x"])
def test_a_wrong_mode(shell: Shell, mode: str) -> None:
    done = shell.run("chmod", "--", mode, ":/t")
    assert done.status == 2
    assert "is no mode" in done.err


def test_chown(shell: Shell, kernel: Client, both: Path) -> None:
    shell.ok("chown", "7:8", ":/t/f")
    shell.ok("chown", ":9", ":/t/f")
    assert (kernel.stat("/t/f").st_uid, kernel.stat("/t/f").st_gid) == (7, 9)
    shell.ok("chown", "-R", "11", ":/t/d")
    for name in ("d", "d/sub", "d/sub/y", "d/link"):
        assert kernel.lstat(f"/t/{name}").st_uid == 11
    shell.ok("chown", "-h", "12", ":/t/d/link")
    assert (kernel.lstat("/t/d/link").st_uid, kernel.lstat("/t/d/x").st_uid) == (12, 11)
    shell.ok("chown", "13", ":/t/d/link")
    assert kernel.lstat("/t/d/x").st_uid == 13


@pytest.mark.parametrize("owner", ["root", "1:wheel", "-1", "4294967295", ":", "1:2:3"])
def test_a_wrong_owner(shell: Shell, owner: str) -> None:
    done = shell.run("chown", "--", owner, ":/t")
    assert done.status == 2
    assert "owner" in done.err


def test_flags_forbid(shell: Shell, kernel: Client, both: Path) -> None:
    """chflags(2): an immutable file can be neither changed nor removed."""
    shell.ok("chflags", "uchg,nodump", ":/t/f")
    assert kernel.stat("/t/f").st_flags == 0x3
    done = shell.run("rm", ":/t/f")
    assert (done.status, "Operation not permitted" in done.err) == (1, True)
    shell.ok("chflags", "nouchg,dump", ":/t/f")
    shell.ok("rm", ":/t/f")


def test_flags_of_a_tree_in_octal(shell: Shell, kernel: Client, both: Path) -> None:
    shell.ok("chflags", "-R", "1", ":/t/d")
    assert [kernel.lstat(f"/t/{name}").st_flags for name in ("d", "d/sub/y", "d/link")] == [1, 1, 1]
    assert shell.ok("chflags", "-R", "-v", "0", ":/t/d/sub").lines == [
        ":/t/d/sub/y: 1 -> 0",
        ":/t/d/sub: 1 -> 0",
    ]


@pytest.mark.parametrize("flags", ["9", "uchange,what", "", "nonodump"])
def test_wrong_flags(shell: Shell, flags: str) -> None:
    done = shell.run("chflags", "--", flags, ":/t")
    assert done.status == 2
    assert "is no flag" in done.err


@pytest.mark.parametrize(
    "words",
    [
        ["-d", "2001-02-03T04:05:06.123456789Z"], ["-d", "1969-12-31T23:59:59Z"], ["-t", "200102030405.06"],
        ["-t", "0102030405"], ["-a", "-d", "2010-01-01T00:00:00Z"], ["-m", "-d", "2010-01-01T00:00:00+02:00"],
        ["-t", "7001010000"],
    ],
)  # fmt: skip
def test_touch_understands_what_the_hosts_does(
    shell: Shell, kernel: Client, both: Path, words: list[str]
) -> None:
    os.utime(both / "f", ns=(11, 22))
    kernel.utimens("/t/f", (11, 22))
    subprocess.run(["touch", *words, both / "f"], check=True, env={**os.environ, "TZ": "UTC"})
    shell.ok("touch", *words, ":/t/f")
    wanted, found = (both / "f").stat(), kernel.stat("/t/f")
    assert (found.st_atime_ns, found.st_mtime_ns) == (wanted.st_atime_ns, wanted.st_mtime_ns)


def test_touch_makes_files_and_copies_times(shell: Shell, kernel: Client, both: Path) -> None:
    before = time.time_ns()
    shell.ok("touch", ":/t/new")
    assert before // 10**9 <= kernel.stat("/t/new").st_mtime_ns // 10**9
    shell.ok("touch", "-c", ":/t/absent")
    assert not kernel.exists("/t/absent")
    os.utime(both / "f", ns=(5, 7))
    shell.ok("touch", "-r", "f", ":/t/new")
    assert (kernel.stat("/t/new").st_atime_ns, kernel.stat("/t/new").st_mtime_ns) == (5, 7)
    shell.ok("touch", "-h", "-r", "f", ":/t/d/link")
    assert kernel.lstat("/t/d/link").st_mtime_ns == 7 != kernel.lstat("/t/d/x").st_mtime_ns


@pytest.mark.parametrize("words", [["-t", "13"], ["-t", "13010000"], ["-d", "today"], ["-d", "2001-02-30"]])
def test_a_wrong_time(shell: Shell, words: list[str]) -> None:
    done = shell.run("touch", *words, ":/t/f")
    assert done.status == 2
    assert "is no time" in done.err


@pytest.mark.parametrize("words", [["chmod", "1"], ["chown", "1"], ["chflags", "1"], ["touch", "-c"]])
def test_a_file_that_does_not_exist(shell: Shell, words: list[str]) -> None:
    done = shell.run(*words, ":/t/absent/file")
    if words[0] == "touch":
        assert done.status == 0
    else:
        assert (done.status, done.err) == (
            1,
            f"rumpfs {words[0]}: :/t/absent/file: No such file or directory\n",
        )
