"""rename(2) and other calls on one name at the same time (NetBSD: tests/fs/vfs/t_renamerace.c)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.races import ROUNDS, create_and_unlink, rename
from tests.conformance.volume import Volume

PROGRAM = "fs/vfs/t_renamerace"

WORKERS = 8
OLD, NEW = b"rename.test1", b"rename.test2"


@pytest.mark.slow
@pytest.mark.needs("rename")
@pytest.mark.imgsize(50000 * 512)
def test_renamerace(fs: Volume) -> None:
    pairs = [(create_and_unlink(fs.process(), OLD), rename(fs.process(), OLD, NEW)) for _ in range(WORKERS)]
    fs.system.together(*(worker for pair in pairs for worker in pair))
    assert fs.names(b".") <= {OLD, NEW}


@pytest.mark.needs("rename")
@pytest.mark.imgsize(50000 * 512)
def test_renamerace_dirs(fs: Volume) -> None:
    def make_and_remove(p: Any) -> Iterator[None]:
        for _ in range(ROUNDS):
            p.call("mkdir", OLD, 0o777)
            yield
            assert p.error("rmdir", OLD) in ("ok", "ENOENT")
            yield

    fs.system.together(make_and_remove(fs.process()), rename(fs.process(), OLD, NEW))
    assert fs.names(b".") <= {OLD, NEW}
    assert fs.stat(b".").nlink == 2 + len(fs.names(b"."))


@pytest.mark.slow
@pytest.mark.needs("rename")
@pytest.mark.imgsize(50000 * 512)
def test_renamerace_cycle(fs: Volume) -> None:
    """A directory never gets below itself, whoever makes, removes and renames what lies between."""

    def chain(p: Any) -> None:
        for path in (b"c", b"c/d", b"c/d/e"):
            assert p.error("mkdir", path, 0o777) in ("ok", "ENOENT", "EEXIST")

    def remove(p: Any) -> Iterator[None]:
        for _ in range(ROUNDS):
            chain(p)
            for path in (b"c/d/e", b"c/d"):
                assert p.error("rmdir", path) in ("ok", "ENOENT", "ENOTEMPTY")
                yield

    def move(p: Any, source: bytes, target: bytes, *errors: str) -> Iterator[None]:
        for _ in rename(p, source, target, *errors):
            chain(p)
            yield

    fs.system.together(
        remove(fs.process()),
        move(fs.process(), b"c", b"c/d/e", "EINVAL"),
        move(fs.process(), b"c/d/e", b"c", "ENOTEMPTY"),
    )
    depth, path = 0, b"."
    while names := fs.names(path):
        (name,) = names
        path += b"/" + name
        assert fs.stat(path).nlink == 2 + len(fs.names(path))
        depth += 1
        assert depth <= 3
