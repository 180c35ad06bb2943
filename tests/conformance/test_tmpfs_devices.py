"""Devices in a file system (NetBSD: tests/fs/tmpfs/t_devices.sh)."""

from __future__ import annotations

import pytest

from rumpfs.abi.fcntl import O_RDONLY, O_WRONLY
from rumpfs.abi.stat import S_IFCHR, makedev
from tests.conformance.volume import Volume

PROGRAM = "fs/tmpfs/t_devices"


@pytest.mark.needs("devices")
def test_basic(fs: Volume) -> None:
    fs.call("__mknod50", b"zero", S_IFCHR | 0o666, makedev(2, 12))
    fs.call("__mknod50", b"null", S_IFCHR | 0o666, makedev(2, 2))
    assert fs.call("read", fs.call("open", b"zero", O_RDONLY, 0), 10240) == bytes(10240)
    size = fs.stat(b"null").size
    assert fs.call("write", fs.call("open", b"null", O_WRONLY, 0), b"foo\n") == 4
    assert fs.stat(b"null").size == size
