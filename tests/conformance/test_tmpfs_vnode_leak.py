"""More directories than there may be vnodes (NetBSD: tests/fs/tmpfs/t_vnode_leak.sh)."""

from __future__ import annotations

import pytest

from tests.conformance.sysctlbyname import sysctlbyname
from tests.conformance.volume import Volume

PROGRAM = "fs/tmpfs/t_vnode_leak"

DIRECTORIES = 4000


@pytest.mark.slow
@pytest.mark.imgsize((DIRECTORIES + 2) * 4096)
def test_main(fs: Volume) -> None:
    before = sysctlbyname(fs, b"kern.maxvnodes", (DIRECTORIES // 2).to_bytes(4, "little"))
    try:
        for number in range(DIRECTORIES):
            fs.call("mkdir", b"%d" % number, 0o777)
        assert len(fs.names(b".")) == DIRECTORIES
        fs.unmount()
    finally:
        sysctlbyname(fs, b"kern.maxvnodes", before)
