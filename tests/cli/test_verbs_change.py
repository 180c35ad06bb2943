"""rumpfs cp, mv, rm, mkdir and ln."""

from __future__ import annotations

import hashlib
import os
import pty
import re
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from rumpfs.cli.progress import PLAIN, Progress
from rumpfs.client import Client
from tests.cli.verbs import BIN, Shell
from tests.serving import serving


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def read(kernel: Client, path: str | bytes) -> bytes:
    with kernel.open(path) as file:
        return file.readall()


def write(kernel: Client, path: str | bytes, data: bytes = b"", perm: int = 0o644) -> None:
    with kernel.open(path, "wb", perm=perm) as file:
        while data:
            data = data[file.write(data) :]


# --- cp -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 4095, 65536, (2 << 20) + 1, 12_345_678])
def test_a_file_in_out_and_within(shell: Shell, kernel: Client, size: int) -> None:
    data = os.urandom(size)
    (shell.cwd / "file").write_bytes(data)
    shell.ok("cp", "file", ":/t/in")
    shell.ok("cp", ":/t/in", ":/t/within")
    shell.ok("cp", ":/t/within", "out")
    assert digest((shell.cwd / "out").read_bytes()) == digest(data)
    assert kernel.stat("/t/in").st_size == size


def test_a_directory_takes_files_into_it(shell: Shell, kernel: Client) -> None:
    (shell.cwd / "a").write_text("a")
    (shell.cwd / "b").write_text("b")
    kernel.mkdir("/t/d")
    shell.ok("cp", "a", "b", ":/t/d")
    assert sorted(kernel.listdir("/t/d")) == ["a", "b"]
    (shell.cwd / "host").mkdir()
    shell.ok("cp", ":/t/d/a", ":/t/d/b", "host")
    assert sorted(os.listdir(shell.cwd / "host")) == ["a", "b"]
    shell.ok("cp", ":/t/d/a", ".")
    assert shell.fails("cp", "a", "b", ":/t/none") == (
        "rumpfs cp: :/t/none is not a directory: 2 files cannot go there\n"
    )


def tree(top: Path) -> dict[str, tuple[int, str]]:
    """Return file type and permissions, and content, text or nothing, of everything in a tree."""
    found = {}
    for directory, names, files in os.walk(os.fsencode(top)):
        for name in [*names, *files]:
            path = os.path.join(directory, name)
            st = os.lstat(path)
            content = ""
            if stat.S_ISLNK(st.st_mode):
                content = os.fsdecode(os.readlink(path))
            elif stat.S_ISREG(st.st_mode):
                content = digest(Path(os.fsdecode(path)).read_bytes())
            mode = st.st_mode if not stat.S_ISLNK(st.st_mode) else stat.S_IFLNK
            found[os.fsdecode(os.path.relpath(path, os.fsencode(top)))] = (mode, content)
    return found


@pytest.fixture
def source(shell: Shell) -> Path:
    """A tree of the host with everything that a copy has to keep."""
    top = shell.cwd / "source"
    (top / "dir" / "empty").mkdir(parents=True)
    (top / "dir" / "file").write_bytes(os.urandom(100_000))
    (top / "dir" / "file").chmod(0o640)
    (top / "closed").mkdir()
    (top / "closed" / "inside").write_text("x")
    (top / "run").write_text("#!/bin/sh\n")
    (top / "run").chmod(0o755)
    (top / "link").symlink_to("dir/file")
    (top / "dangling").symlink_to("/no/where")
    os.mkfifo(top / "fifo", 0o600)
    Path(os.fsdecode(os.fsencode(top) + b"/\xff\x80 name\n")).write_bytes(b"bytes")
    (top / "deep").mkdir()
    deep = top / "deep"
    for number in range(60):
        deep = deep / f"d{number}"
        deep.mkdir()
    (deep / "bottom").write_text("there")
    (top / "closed").chmod(0o500)
    return top


def test_a_tree_goes_in_and_comes_out(shell: Shell, source: Path) -> None:
    before = tree(source)
    shell.ok("cp", "-r", "source", ":/t/new")
    shell.ok("cp", "-r", ":/t/new", ":/t/second")
    shell.ok("cp", "-r", ":/t/second", "back")
    assert tree(shell.cwd / "back") == before
    # once more: into directories that exist now
    shell.ok("cp", "-r", "source", ":/t/new")
    shell.ok("cp", "-r", ":/t/new/source", "back")
    assert tree(shell.cwd / "back" / "source") == before


def test_a_tree_copied_over_itself_is_renewed(shell: Shell, source: Path) -> None:
    shell.ok("cp", "-r", "source/.", ":/t")
    (source / "run").write_text("changed")
    (source / "link").unlink()
    (source / "link").symlink_to("elsewhere")
    shell.ok("cp", "-r", "source/.", ":/t")
    shell.ok("cp", "-r", ":/t", "back")
    assert tree(shell.cwd / "back") == tree(source)


def test_preserve(shell: Shell, source: Path, kernel: Client) -> None:
    os.utime(source / "run", ns=(1, 1_600_000_000_123_456_789))
    os.utime(source / "closed", ns=(2, 1_500_000_000_000_000_001))
    os.utime(source / "link", ns=(3, 1_400_000_000_000_000_007), follow_symlinks=False)
    (source / "run").chmod(0o4755)
    shell.ok("cp", "-rp", "source", ":/t")
    assert kernel.stat("/t/source/run").st_mtime_ns == 1_600_000_000_123_456_789
    assert kernel.stat("/t/source/run").st_atime_ns == 1
    assert kernel.stat("/t/source/run").st_mode & 0o7777 == 0o4755
    assert kernel.stat("/t/source/closed").st_mtime_ns == 1_500_000_000_000_000_001
    assert kernel.lstat("/t/source/link").st_mtime_ns == 1_400_000_000_000_000_007
    assert kernel.stat("/t/source/run").st_uid == os.getuid()
    shell.ok("cp", "-rp", ":/t/source", "back")
    assert (shell.cwd / "back/run").stat().st_mtime_ns == 1_600_000_000_123_456_789
    assert (shell.cwd / "back/closed").stat().st_mtime_ns == 1_500_000_000_000_000_001
    assert tree(shell.cwd / "back") == tree(source)


def test_without_preserve_the_umask_counts(shell: Shell, kernel: Client) -> None:
    write(kernel, "/t/f")
    kernel.chmod("/t/f", 0o6777)
    kernel.mkdir("/t/d")
    kernel.chmod("/t/d", 0o577)
    before = os.umask(0o027)
    try:
        shell.ok("cp", "-r", ":/t/f", ":/t/d", ".")
    finally:
        os.umask(before)
    assert stat.S_IMODE((shell.cwd / "f").stat().st_mode) == 0o750
    assert stat.S_IMODE((shell.cwd / "d").stat().st_mode) == 0o550
    (shell.cwd / "f").chmod(0o666)
    shell.ok("cp", "f", ":/t/g")
    assert kernel.stat("/t/g").st_mode & 0o7777 == 0o644  # the umask of the process in the kernel
    kernel.chmod("/t/g", 0o600)
    shell.ok("cp", "f", ":/t/g")
    assert kernel.stat("/t/g").st_mode & 0o7777 == 0o600  # it existed


@pytest.mark.root
def test_devices_are_copied_as_devices(shell: Shell, kernel: Client) -> None:
    kernel.mkdir("/t/d")
    kernel.mknod("/t/d/c", stat.S_IFCHR | 0o600, 300 << 8 | 5)
    kernel.mknod("/t/d/b", stat.S_IFBLK | 0o600, 3 << 8 | 5 | 1 << 20)
    shell.ok("cp", "-r", ":/t/d", "d")
    st = (shell.cwd / "d/c").stat()
    assert (stat.S_ISCHR(st.st_mode), os.major(st.st_rdev), os.minor(st.st_rdev)) == (True, 300, 5)
    st = (shell.cwd / "d/b").stat()
    assert (stat.S_ISBLK(st.st_mode), os.major(st.st_rdev), os.minor(st.st_rdev)) == (True, 3, 261)
    shell.ok("cp", "-r", "d", ":/t/again")
    assert kernel.stat("/t/again/b").st_rdev == 3 << 8 | 5 | 1 << 20


def test_links_are_followed_without_r_and_kept_with_it(shell: Shell, kernel: Client) -> None:
    write(kernel, "/t/f", b"content")
    kernel.symlink("f", "/t/l")
    shell.ok("cp", ":/t/l", "followed")
    shell.ok("cp", "-r", ":/t/l", "kept")
    assert (shell.cwd / "followed").read_bytes() == b"content"
    assert (shell.cwd / "kept").readlink() == Path("f")


def test_a_device_is_read_without_r(shell: Shell) -> None:
    shell.ok("cp", ":/dev/null", "empty")
    assert (shell.cwd / "empty").read_bytes() == b""


def test_what_cannot_be_copied(shell: Shell, kernel: Client) -> None:
    kernel.mkdir("/t/d")
    write(kernel, "/t/d/f", b"1")
    write(kernel, "/t/f", b"2")
    fails = shell.fails
    assert fails("cp", ":/t/d", "x") == "rumpfs cp: :/t/d: Is a directory: -r copies it with what is in it\n"
    assert fails("cp", ":/t/none", "x") == "rumpfs cp: :/t/none: No such file or directory\n"
    assert fails("cp", ":/t/f", "none/x") == "rumpfs cp: none/x: No such file or directory\n"
    assert fails("cp", ":/t/f", ":/t/f") == "rumpfs cp: :/t/f: this is :/t/f itself\n"
    assert fails("cp", ":/t/f", ":/t/../t/f") == "rumpfs cp: :/t/../t/f: this is :/t/f itself\n"
    assert "cannot replace it" in fails("cp", "-r", ":/t/d", ":/t/f")
    kernel.mkdir("/t/e")
    kernel.mkdir("/t/e/f")
    assert fails("cp", ":/t/f", ":/t/e") == "rumpfs cp: :/t/e/f: Is a directory\n"
    assert "cannot be copied into itself" in fails("cp", "-r", ":/t/d", ":/t/d")
    assert "cannot be copied into itself" in fails("cp", "-r", ":/t/d", ":/t/d/x")
    assert kernel.listdir("/t/d") == ["f"]
    kernel.symlink("d", "/t/to-d")
    assert "cannot be copied into itself" in fails("cp", "-r", ":/t/d", ":/t/to-d/x")
    assert kernel.listdir("/t/d") == ["f"]
    assert read(kernel, "/t/f") == b"2"
    kernel.symlink("x", "/t/f2")
    kernel.mkdir("/t/e/f2")
    kernel.utimens("/t/e/f2", (1, 2))
    assert "cannot replace it" in fails("cp", "-rp", ":/t/f2", ":/t/e")
    assert kernel.stat("/t/e/f2").st_mtime_ns == 2
    assert fails("cp", "a", "b", status=2).startswith("rumpfs cp: all paths are the host's")


def test_nothing_is_written_through_a_link_of_the_same_copy(shell: Shell, kernel: Client) -> None:
    """What comes out of an image decides neither where it goes nor what it overwrites."""
    (shell.cwd / "out").mkdir()
    (shell.cwd / "precious").write_text("mine")
    (shell.cwd / "tree").mkdir()
    kernel.mkdir("/t/1")
    kernel.mkdir("/t/2")
    kernel.symlink("../precious", "/t/1/file")
    kernel.symlink("../tree", "/t/1/dir")
    write(kernel, "/t/2/file", b"bad")
    kernel.mkdir("/t/2/dir")
    write(kernel, "/t/2/dir/inside", b"bad")
    said = shell.fails("cp", "-r", ":/t/1/file", ":/t/1/dir", ":/t/2/file", ":/t/2/dir", "out")
    assert said.count("this has just become a symbolic link") == 2
    assert (shell.cwd / "precious").read_text() == "mine"
    assert os.listdir(shell.cwd / "tree") == []


def test_one_failure_does_not_stop_the_others(shell: Shell, kernel: Client) -> None:
    write(kernel, "/t/a", b"a")
    write(kernel, "/t/c", b"c")
    said = shell.fails("cp", ":/t/a", ":/t/b", ":/t/c", ".")
    assert said == "rumpfs cp: :/t/b: No such file or directory\n"
    assert (shell.cwd / "a").exists()
    assert (shell.cwd / "c").exists()


def test_a_partial_copy_is_left_and_named(shell: Shell, kernel: Client) -> None:
    kernel.mkdir("/t/small")
    kernel.mount("tmpfs", None, "/t/small", options={"size": 4 << 20})
    (shell.cwd / "big").write_bytes(bytes(6 << 20))
    said = shell.fails("cp", "big", ":/t/small/big")
    left = kernel.stat("/t/small/big").st_size
    assert said == (
        "rumpfs cp: :/t/small/big: No space left on device: "
        f"the partial copy :/t/small/big ({left} of {6 << 20} bytes) was left\n"
    )
    assert left >= 1 << 20


def test_a_copy_that_is_interrupted_says_what_it_left(shell: Shell, kernel: Client) -> None:
    command = [BIN / "rumpfs", "cp", ":/dev/zero", "endless"]
    process = subprocess.Popen(command, cwd=shell.cwd, env=shell.environ, stderr=subprocess.PIPE)
    try:
        while not (shell.cwd / "endless").exists() or not (shell.cwd / "endless").stat().st_size:
            os.sched_yield()
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=30)[1]
    finally:
        process.kill()
        (shell.cwd / "endless").unlink()
    assert process.returncode == 130
    assert said.startswith(b"rumpfs cp: interrupted: the partial copy endless (")
    assert b"Traceback" not in said


def test_verbose_names_files(shell: Shell, kernel: Client) -> None:
    kernel.mkdir("/t/d")
    write(kernel, "/t/d/f")
    assert shell.ok("cp", "-rv", ":/t/d", "x").lines == [":/t/d -> x", ":/t/d/f -> x/f"]


def test_between_two_servers(shell: Shell, kernel: Client, tmp_path: Path) -> None:
    write(kernel, "/t/f", b"from one to the other")
    with serving(tmp_path) as other:
        shell.ok("cp", ":/t/f", f"{other.url}:/tmp/f")
        assert shell.ok("cat", f"{other.url}:/tmp/f").out == b"from one to the other"
        shell.ok("mv", f"{other.url}:/tmp/f", ":/t/g")
        assert shell.ok("ls", f"{other.url}:/tmp").lines == []
    assert read(kernel, "/t/g") == b"from one to the other"


def test_progress_is_for_terminals_only(shell: Shell, kernel: Client) -> None:
    write(kernel, "/t/f", bytes(5 << 20))
    for style in ("auto", "none", "plain"):
        assert shell.run("cp", "--progress", style, ":/t/f", "x").status == 0
    assert shell.ok("cp", ":/t/f", "x").out == b""
    shell.fails("cp", "--progress", "pretty", ":/t/f", "x", status=2)


def test_progress_on_a_terminal(shell: Shell) -> None:
    master, slave = pty.openpty()
    command = [BIN / "rumpfs", "cp", ":/dev/zero", "/dev/null"]
    process = subprocess.Popen(command, env=shell.environ, stdin=slave, stderr=slave)
    os.close(slave)
    shown = b""
    while b"/s" not in shown:
        shown += os.read(master, 1000)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    os.close(master)
    assert re.match(rb"\r:/dev/zero  [0-9.]+[KMG]  [0-9.]+[KMG]/s", shown)


def test_progress_has_percents_of_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(PLAIN)
    progress.begin("\udcffname", 200 << 20)
    progress._next = 0
    progress.update(50 << 20)
    progress.end()
    assert re.fullmatch(r"\?name   25% 50M of 200M  \S+/s\n", capsys.readouterr().err)


# --- mv -------------------------------------------------------------------------------------------------


def test_mv_renames(shell: Shell, kernel: Client) -> None:
    write(kernel, "/t/a", b"a")
    ino = kernel.stat("/t/a").st_ino
    shell.ok("mv", ":/t/a", ":/t/b")
    kernel.mkdir("/t/d")
    shell.ok("mv", ":/t/b", ":/t/d")
    assert kernel.stat("/t/d/b").st_ino == ino
    shell.ok("mv", ":/t/d", ":/t/e")
    assert kernel.listdir("/t") == ["e"]
    assert shell.fails("mv", ":/t/x", ":/t/y") == "rumpfs mv: :/t/x to :/t/y: No such file or directory\n"


def test_mv_where_the_file_system_cannot_rename(shell: Shell) -> None:
    """The rump kernel's root file system has no rename (rumpfs.c); nor has it hard links."""
    shell.ok("touch", ":/tmp/from")
    for verb in ("mv", "ln"):
        said = shell.fails(verb, ":/tmp/from", ":/tmp/to")
        assert said == (
            f"rumpfs {verb}: :/tmp/from to :/tmp/to: Operation not supported: "
            "the file system there cannot do that; rumpfs mount shows which one it is\n"
        )
    shell.ok("rm", ":/tmp/from")


def test_mv_to_another_file_system_copies_and_removes(shell: Shell, kernel: Client) -> None:
    kernel.mkdir("/t/m")
    kernel.mount("tmpfs", None, "/t/m")
    kernel.mkdir("/t/d")
    write(kernel, "/t/d/f", b"x" * 100_000, 0o640)
    kernel.utimens("/t/d/f", (1, 2))
    shell.ok("mv", ":/t/d", ":/t/m")
    assert kernel.listdir("/t") == ["m"]
    assert read(kernel, "/t/m/d/f") == b"x" * 100_000
    st = kernel.stat("/t/m/d/f")
    assert (st.st_mode & 0o7777, st.st_mtime_ns) == (0o640, 2)


def test_mv_out_and_in(shell: Shell, kernel: Client, source: Path) -> None:
    if os.geteuid():
        (source / "closed").chmod(0o700)  # only root takes something out of a directory that is closed
    before = tree(source)
    shell.ok("mv", "source", ":/t/")
    assert not source.exists()
    shell.ok("mv", ":/t/source", "back")
    assert kernel.listdir("/t") == []
    assert tree(shell.cwd / "back") == before


def test_mv_removes_nothing_that_was_not_copied(shell: Shell, kernel: Client) -> None:
    kernel.mkdir("/t/small")
    kernel.mount("tmpfs", None, "/t/small", options={"size": 4 << 20})
    (shell.cwd / "d").mkdir()
    (shell.cwd / "d/big").write_bytes(bytes(6 << 20))
    assert "d: not removed, because it was not copied whole" in shell.fails("mv", "d", ":/t/small")
    assert (shell.cwd / "d/big").stat().st_size == 6 << 20


# --- rm -------------------------------------------------------------------------------------------------


def test_rm(shell: Shell, kernel: Client, source: Path) -> None:
    shell.ok("cp", "-r", "source", ":/t")
    write(kernel, "/t/f")
    shell.ok("rm", ":/t/f")
    assert shell.fails("rm", ":/t/f") == "rumpfs rm: :/t/f: No such file or directory\n"
    shell.ok("rm", "-f", ":/t/f")
    assert shell.fails("rm", ":/t/source").startswith("rumpfs rm: :/t/source: Is a directory: -r removes it")
    kernel.symlink("source", "/t/l")
    shell.ok("rm", "-r", ":/t/l")
    assert kernel.listdir("/t") == ["source"]
    shell.ok("rm", "-r", ":/t/source")
    assert kernel.listdir("/t") == []


def test_rm_refuses_roots_and_goes_on(shell: Shell, kernel: Client) -> None:
    write(kernel, "/t/f")
    for path in ("/", "//", "/t/.", "/t/..", "/t/./"):
        assert "this is not removed" in shell.fails("rm", "-r", f":{path}")
    kernel.mkdir("/t/m")
    kernel.mount("tmpfs", None, "/t/m")
    assert shell.fails("rm", "-r", ":/t/m", ":/t/f") == "rumpfs rm: :/t/m: Device or resource busy\n"
    assert kernel.listdir("/t") == ["m"]
    kernel.mkdir("/t/ro")
    kernel.mount("tmpfs", None, "/t/ro", 1)
    assert shell.fails("rm", ":/t/ro/none") == "rumpfs rm: :/t/ro/none: No such file or directory\n"


# --- mkdir ----------------------------------------------------------------------------------------------


def test_mkdir(shell: Shell, kernel: Client) -> None:
    shell.ok("mkdir", ":/t/a", ":/t/b/")
    assert kernel.stat("/t/a").st_mode & 0o7777 == 0o755
    assert shell.fails("mkdir", ":/t/a", ":/t/c") == "rumpfs mkdir: :/t/a: File exists\n"
    assert sorted(kernel.listdir("/t")) == ["a", "b", "c"]
    said = shell.fails("mkdir", ":/t/x/y")
    assert said.endswith(":/t/x/y: No such file or directory: -p makes the directories above as well\n")
    shell.ok("mkdir", "-p", ":/t/x/y/z", ":/t/x/y")
    assert kernel.listdir("/t/x/y") == ["z"]
    shell.ok("mkdir", "-m", "2700", ":/t/p")
    assert kernel.stat("/t/p").st_mode & 0o7777 == 0o2700
    write(kernel, "/t/f")
    assert shell.fails("mkdir", "-p", ":/t/f/x") == "rumpfs mkdir: :/t/f/x: File exists\n"
    assert "not an octal number" in shell.fails("mkdir", "-m", "9", ":/t/q", status=2)


# --- ln -------------------------------------------------------------------------------------------------


def test_ln(shell: Shell, kernel: Client) -> None:
    write(kernel, "/t/f", b"x")
    kernel.mkdir("/t/d")
    shell.ok("ln", ":/t/f", ":/t/g")
    assert kernel.stat("/t/f").st_nlink == 2
    shell.ok("ln", "-s", "../f", ":/t/d")
    assert kernel.readlink("/t/d/f") == "../f"
    shell.ok("ln", "-s", ":/t/f", ":/t/s")
    assert kernel.readlink("/t/s") == "/t/f"
    shell.ok("ln", "-s", b"\xff", ":/t/b")
    assert kernel.readlink(b"/t/b") == b"\xff"
    said = shell.fails("ln", "-s", "x", ":/t/s")
    assert said == "rumpfs ln: :/t/s: File exists: -f replaces it\n"
    shell.ok("ln", "-sf", "x", ":/t/s")
    assert kernel.readlink("/t/s") == "x"
    said = shell.fails("ln", ":/t/none", ":/t/n")
    assert said == "rumpfs ln: :/t/none to :/t/n: No such file or directory\n"


def test_ln_within_one_server_only(shell: Shell, tmp_path: Path) -> None:
    with serving(tmp_path) as other:
        said = shell.fails("ln", f"{other.url}:/dev/null", ":/t/n", status=2)
    assert said == f"rumpfs ln: {other.url}:/dev/null and :/t/n are in different servers\n"
