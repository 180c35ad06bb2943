"""File handles of files that follow each other (NetBSD: tests/fs/tmpfs/t_id_gen.sh).

NetBSD's case wants the inode number 3 for both, which its tmpfs gave out again when the case was written.
"""

from __future__ import annotations

import pytest

from rumpfs.abi.fcntl import O_RDONLY
from tests.conformance.test_vfsops import getfh
from tests.conformance.volume import Volume

PROGRAM = "fs/tmpfs/t_id_gen"


@pytest.mark.needs("handles")
def test_main(fs: Volume) -> None:
    fs.call("mkdir", b"a", 0o777)
    first = getfh(fs, b"a")
    fs.call("rmdir", b"a")
    fs.call("mkdir", b"b", 0o777)
    assert getfh(fs, b"b") != first
    assert fs.error("__fhopen40", first, len(first), O_RDONLY) == "ESTALE"
