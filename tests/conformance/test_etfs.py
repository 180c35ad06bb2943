"""Host files in the name space (NetBSD: tests/rump/rumpvfs/t_etfs.c)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from rumpfs.abi import errno
from rumpfs.abi.fcntl import O_RDONLY, O_RDWR
from rumpfs.base.errors import VfsError
from rumpfs.dev.hostfile import HostFile
from rumpfs.dev.window import Window
from tests.kern.incore import Machine

PROGRAM = "rump/rumpvfs/t_etfs"
PATH1, PATH2 = b"/trip/to/the/moon", b"/but/not/the/dark/size"
SECTOR = 512
SEEK_SET = 0


@pytest.fixture
def machine() -> Machine:
    return Machine()


def register(machine: Machine, key: bytes, path: Path, kind: Any, offset: int = 0, size: int = -1) -> None:
    """Register a host file, or `size` bytes of it from `offset` on."""
    hostfile = HostFile.open(str(path))
    whole = 0 if kind == "reg" else hostfile.size
    machine.kernel.etfs_register(key, Window(hostfile, offset, whole if size < 0 else size), kind)


def test_reregister_reg(machine: Machine, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(b"what the host has\n")
    second.write_bytes(b"hello once more!")
    p = machine.process()
    register(machine, PATH1, first, "reg")
    fd = p.call("open", PATH1, O_RDONLY, 0)
    assert p.call("read", fd, 1024) == b"what the host has\n"
    p.call("close", fd)
    machine.kernel.etfs_remove(PATH1)
    assert p.error("open", PATH1, O_RDONLY, 0) == "ENOENT"

    register(machine, PATH2, second, "reg")
    fd = p.call("open", PATH2, O_RDWR, 0)
    assert p.call("read", fd, 1024) == b"hello once more!"
    assert p.call("lseek", fd, 0, SEEK_SET) == 0
    text = b"longer than what was there before"
    assert p.call("write", fd, text) == len(text)
    assert second.read_bytes() == text
    p.call("close", fd)


def test_reregister_blk(machine: Machine, tmp_path: Path) -> None:
    p = machine.process()
    for number, (key, sectors) in enumerate(((PATH1, 64), (PATH2, 128)), 1):
        image = tmp_path / f"disk{number}.img"
        image.write_bytes(bytes([number]) * SECTOR * sectors)
        register(machine, key, image, "blk")
        fd = p.call("open", key, O_RDONLY, 0)
        assert p.call("read", fd, SECTOR * 128) == bytes([number]) * SECTOR * sectors
        p.call("close", fd)
        machine.kernel.etfs_remove(key)
        assert p.error("open", key, O_RDONLY, 0) == "ENOENT"


def test_large_blk(machine: Machine, tmp_path: Path) -> None:
    """128 bytes at 6 TB of a sparse file of 8 TB."""
    image = tmp_path / "disk.img"
    with image.open("wb") as stream:
        try:
            os.ftruncate(stream.fileno(), (8 << 40) + SECTOR)
        except OSError as error:
            pytest.skip(f"no file of 8 TB in {tmp_path}: {error.strerror}")
    data = bytes([12]) * 128
    p = machine.process()
    register(machine, PATH1, image, "blk")
    fd = p.call("open", PATH1, O_RDWR, 0)
    assert p.call("pwrite", fd, data, 6 << 40) == 128
    p.call("close", fd)
    machine.kernel.etfs_remove(PATH1)

    register(machine, PATH2, image, "blk")
    fd = p.call("open", PATH2, O_RDWR, 0)
    assert p.call("pread", fd, 128, 6 << 40) == data
    assert p.call("pread", fd, 128, 2 << 40) == bytes(128)
    p.call("close", fd)


def test_range_blk(machine: Machine, tmp_path: Path) -> None:
    """A window of 32000 bytes from byte 16000 on, neither a number of whole sectors."""
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(32000) + b"\1" * 16 + bytes(31984))
    register(machine, PATH1, image, "blk", 16000, 32000)
    p = machine.process()
    fd = p.call("open", PATH1, O_RDWR, 0)
    assert p.call("read", fd, 32000) == bytes(16000) + b"\1" * 16 + bytes(15984)
    p.call("close", fd)
    machine.kernel.etfs_remove(PATH1)


def test_key(machine: Machine, tmp_path: Path) -> None:
    """The rest of a path from the root is compared with the key byte for byte."""
    (tmp_path / "hostfile").touch()
    register(machine, b"/key", tmp_path / "hostfile", "reg")
    with pytest.raises(VfsError) as caught:
        register(machine, b"key", tmp_path / "hostfile", "reg")
    assert caught.value.errno == errno.EINVAL
    p = machine.process()
    p.call("open", b"/key", O_RDONLY, 0)
    p.call("open", b"////////key", O_RDONLY, 0)

    register(machine, b"////key//with/slashes", tmp_path / "hostfile", "reg")
    p.call("open", b"/key//with/slashes", O_RDONLY, 0)
    p.call("open", b"key//with/slashes", O_RDONLY, 0)
    assert p.error("open", b"/key/with/slashes", O_RDONLY, 0) == "ENOENT"
    p.call("mkdir", b"/a", 0o777)
    assert p.error("open", b"/a/key//with/slashes", O_RDONLY, 0) == "ENOENT"
