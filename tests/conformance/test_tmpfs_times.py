"""What changes the times of a file (NetBSD: tests/fs/tmpfs/t_times.sh).

NetBSD's cases wait a second between two calls; here the times are of an hour ago, but for that of the last
change, which nobody can set: the clock is at least a nanosecond on.
"""

from __future__ import annotations

import pytest

from rumpfs.abi.fcntl import O_TRUNC, O_WRONLY
from tests.conformance.clock import age
from tests.conformance.volume import Volume

PROGRAM = "fs/tmpfs/t_times"


def times(fs: Volume, path: bytes) -> dict[str, tuple[int, int]]:
    """Return the times of access, modification and change, in seconds and nanoseconds."""
    found = fs.stat(path)
    return {
        "atime": (found.atime, found.atimensec),
        "mtime": (found.mtime, found.mtimensec),
        "ctime": (found.ctime, found.ctimensec),
    }


def later(fs: Volume, path: bytes, before: dict[str, tuple[int, int]]) -> set[str]:
    """Return which times are later than `before`; none may be earlier."""
    after = times(fs, path)
    assert all(after[name] >= before[name] for name in before)
    return {name for name in before if after[name] > before[name]}


def old_file(fs: Volume, path: bytes, content: bytes = b"") -> dict[str, tuple[int, int]]:
    """Make a file that was last used an hour ago; return its times."""
    fs.make(path, content)
    age(fs, path)
    return times(fs, path)


@pytest.mark.needs("atime", "birthtime")
def test_empty(fs: Volume) -> None:
    fs.make(b"a")
    made = fs.stat(b"a")
    assert made.birthtime == made.atime == made.mtime == made.ctime
    age(fs, b"a")
    before = times(fs, b"a")
    fs.content(b"a")
    assert later(fs, b"a", before) == {"atime"}
    before = times(fs, b"a")
    fs.call("write", fs.call("open", b"a", O_WRONLY | O_TRUNC, 0), b"foo\n")
    assert later(fs, b"a", before) == {"mtime", "ctime"}


@pytest.mark.needs("atime")
def test_non_empty(fs: Volume) -> None:
    before = old_file(fs, b"b", b"foo\n")
    fs.content(b"b")
    assert later(fs, b"b", before) == {"atime"}


@pytest.mark.needs("links")
def test_link(fs: Volume) -> None:
    before = old_file(fs, b"c", b"foo\n")
    fs.call("link", b"c", b"d")
    assert later(fs, b"c", before) == {"ctime"}


@pytest.mark.needs("rename")
def test_rename(fs: Volume) -> None:
    fs.call("mkdir", b"e", 0o777)
    before = old_file(fs, b"e/a", b"foo\n")
    age(fs, b"e")
    directory = times(fs, b"e")
    fs.call("rename", b"e/a", b"e/b")
    assert later(fs, b"e/b", before) == {"ctime"}
    assert "mtime" in later(fs, b"e", directory)
