"""Operations of a mount (NetBSD: tests/fs/vfs/t_vfsops.c)."""

from __future__ import annotations

import random

import pytest

from rumpfs.abi.fcntl import O_RDONLY, O_RDWR
from tests.conformance.volume import Volume

PROGRAM = "fs/vfs/t_vfsops"

TEXT = b"just some text\0"
MAXNAMLEN = 511


def getfh(volume: Volume, path: bytes) -> bytes:
    """Return a file handle, after asking how long it is."""
    size = bytearray(8)
    assert volume.error("__getfh30", path, None, size) == "E2BIG"
    handle = bytearray(int.from_bytes(size, "little"))
    assert handle
    volume.call("__getfh30", path, handle, size)
    return bytes(handle)


def test_tmount(volume: Volume) -> None:
    volume.mount_read_only({})
    volume.unmount()
    assert volume.error("unmount", volume.mp, 0) == "EINVAL"


def test_tstatvfs(volume: Volume) -> None:
    volume.mount_read_only({})
    *_, namemax, _, fstypename, mntonname, _ = volume.statvfs(volume.mp)
    assert 0 < namemax <= MAXNAMLEN
    assert fstypename == volume.kind.fstype
    assert mntonname == volume.mp


def test_tsync(volume: Volume) -> None:
    volume.mount_read_only({})
    volume.call("sync")


@pytest.mark.needs("handles")
def test_tfilehandle(volume: Volume) -> None:
    volume.mount_read_only({"file": TEXT})
    handle = getfh(volume, volume.mp + b"/file")
    fd = volume.call("__fhopen40", handle, len(handle), O_RDONLY)
    assert volume.call("read", fd, 100) == TEXT


@pytest.mark.needs("handles")
def test_tfhremove(fs: Volume) -> None:
    fs.make(b"a_file", mode=0o777)
    handle = getfh(fs, b"a_file")
    fs.call("unlink", b"a_file")
    assert fs.error("__fhopen40", handle, len(handle), O_RDONLY) == "ESTALE"


@pytest.mark.needs("handles")
def test_tfhinval(volume: Volume) -> None:
    volume.mount_read_only({})
    handle = getfh(volume, b".")
    garbage = random.Random(1)
    for _ in range(100):
        wrong = garbage.randbytes(len(handle))
        assert volume.error("__fhopen40", wrong, len(wrong), O_RDWR) != "ok"
    # the same with the part of the handle that names the mount
    for _ in range(100):
        wrong = handle[:8] + garbage.randbytes(len(handle) - 8)
        assert volume.error("__fhopen40", wrong, len(wrong), O_RDWR) != "ok"
