"""mkdir(2) and rmdir(2) of one name at the same time (NetBSD: tests/fs/vfs/t_rmdirrace.c)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.conformance.volume import Volume

PROGRAM = "fs/vfs/t_rmdirrace"

ROUNDS = 200


def test_race(fs: Volume) -> None:
    def make(p: Any) -> Iterator[None]:
        for _ in range(ROUNDS):
            assert p.error("mkdir", b"rmdir.test", 0o755) in ("ok", "EEXIST")
            yield

    def remove(p: Any) -> Iterator[None]:
        for _ in range(ROUNDS):
            assert p.error("rmdir", b"rmdir.test") in ("ok", "ENOENT")
            yield

    fs.system.together(make(fs.process()), remove(fs.process()))
    assert fs.names(b".") <= {b"rmdir.test"}
