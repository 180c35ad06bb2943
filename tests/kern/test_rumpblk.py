"""etfs's devices: transfers, what the raw device refuses, ioctls, and the driver that is not there."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from rumpfs.abi import errno
from rumpfs.abi.fcntl import FREAD, FWRITE
from rumpfs.abi.ioctl import DIOCCACHESYNC, DIOCGDINFO, DIOCGMEDIASIZE, DIOCGSECTORSIZE, TIOCGETA
from rumpfs.base.copy import data_length
from rumpfs.base.errors import VfsError
from rumpfs.base.registry import solve
from rumpfs.dev.hostfile import HostFile
from rumpfs.dev.window import Window
from rumpfs.kern.kernel import Kernel
from rumpfs.kern.rumpblk import attach_missing, fictitious_label
from rumpfs.vfs.namei import namei
from rumpfs.vfs.specfs import Device

SIZE = 8192
OFFSET = 512


class Machine:
    """A kernel with a block and a character device on parts of one host file."""

    def __init__(self, path: Path, names: tuple[str, ...], readonly: bool = False) -> None:
        self.output: list[bytes] = []
        self.kernel = Kernel(1, None, False, self.output.append)
        for component in solve(names):
            self.kernel.add(component)
        self.kernel.boot()
        for key, kind in ((b"/dev/blk", "blk"), (b"/dev/chr", "chr")):
            hostfile = HostFile.open(str(path), readonly=readonly)
            self.kernel.etfs_register(key, Window(hostfile, OFFSET, SIZE, readonly), kind)  # type: ignore[arg-type]

    def open(self, key: bytes, flags: int = FREAD | FWRITE) -> Device:
        assert self.kernel.vfs is not None
        return self.kernel.vfs.devsw.open(namei(self.kernel.initproc, key), flags)


ALL = ("rumpvfs", "rumpdev", "rumpdev_disk")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(OFFSET) + bytes(range(256)) * (SIZE // 256) + b"outside")
    return path


@pytest.fixture
def machine(image: Path) -> Machine:
    return Machine(image, ALL)


def error(function: Callable[..., object], *args: object) -> int:
    with pytest.raises(VfsError) as caught:
        function(*args)
    return caught.value.errno


KEYS = pytest.mark.parametrize("key", [b"/dev/blk", b"/dev/chr"])


@KEYS
def test_transfers_are_in_the_window(machine: Machine, image: Path, key: bytes) -> None:
    device = machine.open(key)
    assert device.size == SIZE
    assert device.read(512, 512) == bytes(range(256)) * 2
    assert device.write(1024, b"\xee" * 512) == 512
    device.fsync()
    content = image.read_bytes()
    assert content[OFFSET + 1024 : OFFSET + 1536] == b"\xee" * 512
    assert content[:OFFSET] == bytes(OFFSET)
    assert content[OFFSET + SIZE :] == b"outside"


@KEYS
def test_transfers_end_at_the_end_of_the_window(machine: Machine, image: Path, key: bytes) -> None:
    # At the end nothing, beyond it EINVAL, across it what there is (rumpblk.c: dostrategy).
    device = machine.open(key)
    assert data_length(device.read(SIZE, 512)) == 0
    assert device.write(SIZE, bytes(512)) == 0
    assert error(device.read, SIZE + 512, 512) == errno.EINVAL
    assert error(device.write, SIZE + 512, bytes(512)) == errno.EINVAL
    assert data_length(device.read(SIZE - 512, 4096)) == 512
    assert device.write(SIZE - 512, bytes(4096)) == 512
    assert image.read_bytes()[OFFSET + SIZE :] == b"outside"


def test_the_block_device_takes_any_offset_and_length(machine: Machine) -> None:
    device = machine.open(b"/dev/blk")
    assert device.read(3, 5) == bytes([3, 4, 5, 6, 7])
    assert device.write(7, b"abc") == 3
    assert device.read(6, 5) == b"\6abc\12"


@pytest.mark.parametrize(("offset", "length"), [(0, 511), (0, 1), (1, 512), (256, 256), (SIZE - 1, 512)])
def test_the_character_device_takes_whole_sectors_only(machine: Machine, offset: int, length: int) -> None:
    device = machine.open(b"/dev/chr")
    assert error(device.read, offset, length) == errno.EINVAL
    assert error(device.write, offset, bytes(length)) == errno.EINVAL


def test_a_read_only_drive_opens_for_reading_only(image: Path) -> None:
    machine = Machine(image, ALL, readonly=True)
    assert error(machine.open, b"/dev/blk", FREAD | FWRITE) == errno.EROFS
    assert error(machine.open, b"/dev/chr", FWRITE) == errno.EROFS
    device = machine.open(b"/dev/blk", FREAD)
    assert device.read(0, 2) == b"\0\1"
    assert error(device.write, 0, b"x") == errno.EROFS


def test_a_key_in_use_cannot_be_removed(machine: Machine) -> None:
    device = machine.open(b"/dev/blk")
    assert error(machine.kernel.etfs_remove, b"/dev/blk") == errno.EBUSY
    device.close()
    machine.kernel.etfs_remove(b"/dev/blk")
    assert error(machine.open, b"/dev/blk") == errno.ENOENT


def test_ioctls(machine: Machine) -> None:
    device = machine.open(b"/dev/blk")
    assert device.ioctl(DIOCGMEDIASIZE, b"") == struct.pack("<q", SIZE)
    assert device.ioctl(DIOCGSECTORSIZE, b"") == struct.pack("<I", 512)
    assert device.ioctl(DIOCCACHESYNC, bytes(4)) == b""
    assert error(device.ioctl, TIOCGETA, b"") == errno.ENOTTY


def test_the_label_is_fictitious(machine: Machine) -> None:
    # netbsd_abi.md, struct disklabel; d_secperunit in sectors, where the C program has bytes.
    label = machine.open(b"/dev/chr").ioctl(DIOCGDINFO, b"")  # minor 1
    assert len(label) <= 408
    label = label.ljust(408, b"\0")
    u16: Callable[[int], int] = lambda at: struct.unpack_from("<H", label, at)[0]  # noqa: E731
    u32: Callable[[int], int] = lambda at: struct.unpack_from("<I", label, at)[0]  # noqa: E731
    assert (u32(0), u32(132)) == (0x82564557, 0x82564557)
    assert (label[8:24].rstrip(b"\0"), label[24:40].rstrip(b"\0")) == (b"rumpd", b"fictitious")
    assert u16(4) == 21
    assert [u32(at) for at in (40, 44, 48, 52, 56, 60)] == [512, 16, 1, 1, 16, 16]
    assert [u16(at) for at in (72, 74, 136, 138)] == [11, 1, 0, 2]
    assert label[148:164] == bytes(16)
    assert label[164:180] == struct.pack("<II8x", 16, 0)


def test_a_label_of_a_huge_device_holds_what_fits() -> None:
    label = fictitious_label(1 << 62, 15)
    assert struct.unpack_from("<I", label, 60) == (0xFFFFFFFF,)
    assert len(label) == 148 + 16 * 16


def test_units_that_do_not_exist_are_enxio(machine: Machine) -> None:
    machine.kernel.etfs_remove(b"/dev/chr")
    assert machine.kernel.vfs is not None
    directory = namei(machine.kernel.initproc, b"/dev")
    for minor in (1, 15, 16, 1 << 19):
        vp = directory.create(b"node%d" % minor, 0o060600, machine.kernel.initproc.cred, rdev(minor))
        assert error(machine.kernel.vfs.devsw.open, vp, FREAD) == errno.ENXIO


def rdev(minor: int) -> int:
    """dev_t as netbsd_abi.md has it, of major 197."""
    return 197 << 8 | (minor & 0xFFF00) << 12 | minor & 0xFF


def test_a_missing_driver_names_its_component_once(image: Path) -> None:
    machine = Machine(image, ("rumpvfs",))
    attach_missing(machine.kernel, "rumpdev_disk")
    assert error(machine.open, b"/dev/blk") == errno.ENXIO
    assert error(machine.open, b"/dev/chr", FREAD) == errno.ENXIO
    assert machine.output == [b"rumpblk0: component rumpdev_disk is not loaded (add -lrumpdev_disk)\n"]
