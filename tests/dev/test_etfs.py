"""The registry of keys (../shared/spec/sysproxy.md section 14.1)."""

from __future__ import annotations

import pytest

from rumpfs.abi import errno
from rumpfs.base.errors import VfsError
from rumpfs.dev.drive import open_drive
from rumpfs.dev.drivespec import parse_drivespec
from rumpfs.dev.etfs import EtfsTable
from rumpfs.dev.hostfile import HostFile
from rumpfs.dev.window import Window


@pytest.fixture
def table():
    table = EtfsTable(now=lambda: 1_700_000_000_123_456_789)
    yield table
    table.close_all()


@pytest.fixture
def window(tmp_path):
    """Return windows on one host file."""
    path = tmp_path / "image"
    path.write_bytes(bytes(4096))
    return lambda size=4096: Window(HostFile.open(str(path), readonly=True), 0, size)


def errno_of(call, *arguments):
    with pytest.raises(VfsError) as caught:
        call(*arguments)
    return caught.value.errno


def test_a_key_is_found_without_its_leading_slashes(table, window):
    entry = table.register(b"///dev/dk", window())
    assert entry.key == b"dev/dk"
    assert (entry.type, entry.minor, entry.registered) == ("blk", 0, 1_700_000_000_123_456_789)
    for path in (b"/dev/dk", b"dev/dk", b"////dev/dk"):
        assert table.lookup(path) is entry
    for path in (b"/dev//dk", b"/dev/dk/", b"/dev/./dk", b"/dev", b"/dev/dk0", b""):
        assert table.lookup(path) is None


def test_inner_slashes_are_part_of_the_key(table, window):
    table.register(b"/dev//dk", window())
    assert table.lookup(b"/dev//dk") is not None
    assert table.lookup(b"/dev/dk") is None


def test_errors_of_registration(table, window):
    one = window()
    assert errno_of(table.register, b"nokey", one) == errno.EINVAL
    table.register(b"/dev/dk", one)
    other = window()
    assert errno_of(table.register, b"//dev/dk", other) == errno.EEXIST
    other.close()
    empty = window(0)
    assert errno_of(table.register, b"/empty", empty) == errno.EINVAL
    assert table.register(b"/empty", empty, "reg").minor is None
    assert len(table) == 2


def test_16_devices_and_any_number_of_files(table, window):
    minors = [table.register(b"/dk%d" % n, window(), "chr" if n % 2 else "blk").minor for n in range(16)]
    assert minors == list(range(16))
    one_more = window()
    assert errno_of(table.register, b"/dk16", one_more) == errno.EBUSY
    table.register(b"/file", one_more, "reg")
    assert table.device(7).key == b"dk7"
    table.remove(b"/dk7")
    assert table.device(7) is None
    assert table.register(b"/dk16", window()).minor == 7


def test_removing(table, window):
    assert errno_of(table.remove, b"/dk") == errno.ENOENT
    entry = table.register(b"/dk", window())
    entry.users += 1
    assert errno_of(table.remove, b"/dk") == errno.EBUSY
    entry.users -= 1
    fd = entry.window.hostfile.fd
    table.remove(b"/dk")
    assert table.lookup(b"/dk") is None
    with pytest.raises(OSError):
        open(fd, closefd=False).close()


def test_a_drive_is_registered_under_its_key(table, tmp_path):
    drive = open_drive(parse_drivespec(f"key=/dev/disk,hostpath={tmp_path / 'dk.img'},size=1m,type=chr"))
    entry = table.register_drive(drive)
    assert list(table) == [entry]
    assert (entry.key, entry.type, entry.window.size) == (b"dev/disk", "chr", 1 << 20)
