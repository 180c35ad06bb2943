"""Programs that people use, on every file system that can be written."""

from __future__ import annotations

import filecmp
import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def run(*words: str | Path) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small tree with files of many sizes, links and odd modes."""
    root = tmp_path / "tree"
    (root / "sub" / "deep").mkdir(parents=True)
    for size in (0, 1, 511, 4096, 65537, 300_000):
        (root / "sub" / f"file{size}").write_bytes(os.urandom(size))
    os.link(root / "sub" / "file511", root / "hard")
    os.symlink("sub/file4096", root / "soft")
    os.mkfifo(root / "fifo")
    (root / "sub").chmod(0o711)
    (root / "sub" / "file1").chmod(0o400)
    os.utime(root / "sub" / "file1", ns=(10**18, 10**18 + 7))
    return root


def test_cp_diff_tar_and_find(tree: Path, volume: Path, tmp_path: Path) -> None:
    copy = volume / "copy"
    run("cp", "-a", tree, copy)
    run("diff", "-r", "--no-dereference", "--exclude=fifo", tree, copy)
    shape = ("-printf", "%P %y %m %s %n %l %T@\n")
    # The size of a directory is a matter of the file system.
    listing = [line for line in sorted(run("find", tree, *shape).splitlines()) if " d " not in line]
    assert [line for line in sorted(run("find", copy, *shape).splitlines()) if " d " not in line] == listing
    run("tar", "-cf", tmp_path / "t.tar", "-C", copy, ".")
    (tmp_path / "again").mkdir()
    run("tar", "-xf", tmp_path / "t.tar", "-C", tmp_path / "again")
    run("diff", "-r", "--no-dereference", "--exclude=fifo", tree, tmp_path / "again")
    assert (tmp_path / "again" / "hard").stat().st_nlink == 2
    run("rm", "-r", copy)
    assert os.listdir(volume) == []


@pytest.mark.oracle("rsync")
def test_rsync_finds_no_difference(tree: Path, volume: Path) -> None:
    run("cp", "-a", f"{tree}/.", volume)
    assert (
        run("rsync", "-aHAX", "--checksum", "--dry-run", "--itemize-changes", f"{tree}/", f"{volume}/") == ""
    )


@pytest.mark.oracle("git")
def test_git_works_in_a_checkout(volume: Path) -> None:
    git = ("git", "-C", volume, "-c", "user.name=n", "-c", "user.email=e", "-c", "safe.directory=*")
    run(*git, "init", "-q")
    for number in range(20):
        (volume / f"file{number}").write_text(f"{number}\n" * number)
    run(*git, "add", ".")
    run(*git, "commit", "-q", "-m", "all")
    assert run(*git, "status", "--porcelain") == ""
    (volume / "file3").write_text("changed\n")
    (volume / "file4").unlink()
    assert run(*git, "status", "--porcelain") == " M file3\n D file4\n"
    run(*git, "checkout", "-q", ".")
    assert run(*git, "status", "--porcelain") == ""
    run(*git, "fsck", "--strict")


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_sqlite_is_consistent(volume: Path, mode: str) -> None:
    path = volume / "db"
    with sqlite3.connect(path) as database, sqlite3.connect(path) as other:
        assert database.execute(f"pragma journal_mode={mode}").fetchone() == (mode,)
        database.execute("create table t (n integer primary key, text)")
        for start in range(0, 1000, 250):
            database.executemany(
                "insert into t values (?, ?)", ((n, "x" * n) for n in range(start, start + 250))
            )
            database.commit()
            assert other.execute("select count(*) from t").fetchone() == (start + 250,)
        database.execute("delete from t where n % 3 = 0")
        database.commit()
        assert other.execute("select count(*), sum(length(text)) from t").fetchone() == (
            666, sum(n for n in range(1000) if n % 3),
        )  # fmt: skip
        assert database.execute("pragma integrity_check").fetchone() == ("ok",)
    database.close()
    other.close()


# --- random access, as a plain file has it -----------------------------------------------------------------

SIZE = 300_000
OFFSETS = st.integers(0, SIZE) | st.sampled_from([0, 4095, 4096, 65535, 65536, 131072])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), OFFSETS, st.integers(1, 140_000), st.integers(0, 255)),
        st.tuples(st.just("read"), OFFSETS, st.integers(1, 140_000), st.just(0)),
        st.tuples(st.just("truncate"), OFFSETS, st.just(0), st.just(0)),
        st.tuples(st.just("append"), st.just(0), st.integers(1, 5_000), st.integers(0, 255)),
        st.tuples(st.just("map"), OFFSETS, st.integers(1, 20_000), st.integers(0, 255)),
        st.tuples(st.just("reopen"), st.just(0), st.just(0), st.just(0)),
    ),
    max_size=25,
)


class Random:
    """A file that is accessed at random."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)

    def write(self, offset: int, length: int, byte: int) -> object:
        return os.pwrite(self.fd, bytes([byte]) * length, offset)

    def read(self, offset: int, length: int, _: int) -> object:
        return os.pread(self.fd, length, offset)

    def truncate(self, offset: int, _: int, __: int) -> object:
        return os.ftruncate(self.fd, offset)

    def append(self, _: int, length: int, byte: int) -> object:
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        written = os.write(fd, bytes([byte]) * length)
        os.close(fd)
        return written

    def map(self, offset: int, length: int, byte: int) -> object:
        import mmap

        size = os.fstat(self.fd).st_size
        length = min(length, size - offset)
        if length <= 0:
            return size
        with mmap.mmap(self.fd, size) as mapped:
            mapped[offset : offset + length] = bytes([byte]) * length
        return size

    def reopen(self, *_: int) -> object:
        os.close(self.fd)
        self.fd = os.open(self.path, os.O_RDWR)
        return os.fstat(self.fd).st_size


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_random_access_is_that_of_a_plain_file(
    volume_mount: Path, tmp_path: Path, steps: list[tuple[str, int, int, int]]
) -> None:
    files = [Random(volume_mount / "random"), Random(tmp_path / "plain")]
    try:
        for name, *args in steps:
            ours, theirs = (getattr(file, name)(*args) for file in files)
            assert ours == theirs
        assert filecmp.cmp(files[0].path, files[1].path, shallow=False)
    finally:
        for file in files:
            os.close(file.fd)


@pytest.mark.oracle("cc")
def test_a_program_is_compiled_and_runs(volume: Path) -> None:
    (volume / "p.c").write_text("int main(void) { return 42; }\n")
    run(shutil.which("cc") or "cc", "-o", volume / "p", volume / "p.c")
    assert subprocess.run([volume / "p"]).returncode == 42
