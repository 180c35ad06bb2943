"""rename(2) between two directories while a process looks at one (NetBSD: tests/fs/tmpfs/t_renamerace.c)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from rumpfs.abi.fcntl import O_RDWR
from tests.conformance.races import ROUNDS
from tests.conformance.volume import Volume

PROGRAM = "fs/tmpfs/t_renamerace"


@pytest.mark.needs("rename")
def test_renamerace2(fs: Volume) -> None:
    def back_and_forth(p: Any) -> Iterator[None]:
        for _ in range(ROUNDS):
            p.call("rename", b"file", b"dir/file")
            yield
            p.call("rename", b"dir/file", b"file")
            yield

    def look(p: Any) -> Iterator[None]:
        for _ in range(ROUNDS):
            assert p.error("open", b"dir/file1", O_RDWR, 0) == "ENOENT"
            yield

    fs.call("mkdir", b"dir", 0o777)
    fs.make(b"file")
    fs.system.together(back_and_forth(fs.process()), look(fs.process()))
    assert fs.names(b".") == {b"dir", b"file"}
