"""The buffer cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from rumpfs.abi import errno
from rumpfs.base.errors import VfsError
from rumpfs.base.memory import Memory
from rumpfs.dev.buf import BufCache
from rumpfs.dev.hostfile import HostFile
from rumpfs.dev.window import Window


@pytest.fixture
def device(tmp_path: Path) -> Path:
    path = tmp_path / "device"
    path.write_bytes(b"." * 4096)
    return path


def _cache(path: Path, memory: Memory, readonly: bool = False) -> BufCache:
    hostfile = HostFile.open(str(path))
    return BufCache(
        Window(hostfile, 0, hostfile.size, readonly), memory, lambda error: VfsError(errno.EIO, str(error))
    )


def test_what_is_written_now_is_on_the_device_and_what_is_delayed_after_a_flush(device: Path) -> None:
    bufs = _cache(device, Memory())
    now, later = bufs.bread(0, 512), bufs.bread(512, 512)
    now.data[:4] = later.data[:4] = b"abcd"
    bufs.bwrite(now, 0, 2)
    bufs.bdwrite(later, 1, 3)
    assert device.read_bytes()[:4] == b"ab.."
    assert device.read_bytes()[512:516] == b"...."
    assert bufs.bread(512, 512) is later
    bufs.flush()
    assert device.read_bytes()[512:516] == b".bc."


def test_what_is_delayed_survives_when_memory_runs_out(device: Path) -> None:
    memory = Memory()
    bufs = _cache(device, memory)
    bp = bufs.bread(0, 512)
    bp.data[:1] = b"x"
    bufs.bdwrite(bp)
    assert bufs.reclaim(1 << 30) > 0
    assert memory.used == 0
    assert bufs.bread(0, 512) is bp
    bufs.flush()
    assert device.read_bytes()[:2] == b"x."


def test_a_block_that_is_none_any_more_is_not_written(device: Path) -> None:
    bufs = _cache(device, Memory())
    bp = bufs.getblk(1024, 512)
    assert bp.data == bytes(512)
    bufs.bdwrite(bp)
    bufs.binval(1024)
    bufs.flush()
    assert device.read_bytes() == b"." * 4096


def test_a_block_that_has_become_longer_is_read_again(device: Path) -> None:
    bufs = _cache(device, Memory())
    assert len(bufs.bread(0, 512).data) == 512
    assert len(bufs.bread(0, 1024).data) == 1024
    assert len(bufs.bread(0, 512).data) == 1024


def test_with_a_log_nothing_is_written_before_it_says_so(device: Path) -> None:
    bufs = _cache(device, Memory())
    bufs.logged = True
    one, other = bufs.bread(1024, 512), bufs.bread(0, 512)
    one.data[1:3], other.data[10:14] = b"bc", b"abcd"
    bufs.bwrite(one, 1, 3)
    bufs.bawrite(other, 10, 14)
    assert device.read_bytes() == b"." * 4096
    assert [(bp.address, bp.start, bp.stop) for bp in bufs.pending()] == [(0, 0, 14), (1024, 0, 3)]
    assert (bufs.waiting, bufs.delayed) == (2, 17)
    assert bufs.pread(1536, 0) == b"." * 10 + b"abcd" + b"." * 1011 + b"bc" + b"." * 509
    assert bufs.pread(2, 11) == b"bc"
    bufs.flush()
    assert (bufs.waiting, bufs.delayed) == (0, 0)
    assert device.read_bytes()[:1536] == bufs.pread(1536, 0)


def test_what_waits_is_kept_when_a_block_is_longer_or_made_anew(device: Path) -> None:
    bufs = _cache(device, Memory())
    bufs.logged = True
    bufs.bdwrite(bufs.bread(0, 512), 2, 4)
    assert bufs.bread(0, 1024).data == b"." * 1024
    assert [(bp.start, bp.stop) for bp in bufs.pending()] == [(0, 4)]
    bp = bufs.getblk(0, 1024)
    bp.data[:] = b"x" * 1024
    bufs.bdwrite(bp, 600, 700)
    assert [(bp.start, bp.stop) for bp in bufs.pending()] == [(0, 700)]
    bufs.flush()
    assert device.read_bytes()[:702] == b"x" * 700 + b".."


def test_only_the_sectors_that_differ_are_rewritten(device: Path) -> None:
    bufs = _cache(device, Memory())
    bufs.rewrite(0, b"." * 4096)
    assert bufs.waiting == 0
    bufs.rewrite(0, b"." * 600 + b"x" + b"." * 1000, 4096)
    (bp,) = bufs.pending()
    assert (bp.start, bp.stop) == (512, 1024)
    bufs.bwrite(bp)
    assert bufs.waiting == 0
    assert device.read_bytes() == b"." * 600 + b"x" + b"." * 3495


def test_without_memory_nothing_is_kept(device: Path) -> None:
    bufs = _cache(device, Memory(limit=100))
    bp = bufs.bread(0, 512)
    assert bufs.bread(0, 512) is not bp


def test_an_error_of_the_host_is_told(device: Path) -> None:
    bufs = _cache(device, Memory(), readonly=True)
    with pytest.raises(VfsError) as caught:
        bufs.bwrite(bufs.bread(0, 512))
    assert caught.value.errno == errno.EIO


class _Ordered(Window):
    """A device that takes down where it is written to, and None for each barrier."""

    __slots__ = ("events",)

    def __init__(self, hostfile: HostFile) -> None:
        Window.__init__(self, hostfile, 0, hostfile.size)
        self.events: list[int | None] = []

    def pwrite(self, data: bytes | bytearray | memoryview, offset: int) -> int:
        self.events.append(offset)
        return Window.pwrite(self, data, offset)

    def fsync(self) -> None:
        self.events.append(None)
        Window.fsync(self)


@pytest.mark.parametrize(
    ("ordered", "events"),
    [(True, [0, 512, None, 1024, None, 2048, 3072]), (False, [0, 512, 1024, 2048, 3072])],
)
def test_barriers_keep_the_order_that_writes_need(
    device: Path, ordered: bool, events: list[int | None]
) -> None:
    window = _Ordered(HostFile.open(str(device)))
    bufs = BufCache(window, Memory(), lambda error: error)
    bufs.ordered = ordered
    one, two, three, four, five = (bufs.bread(address, 512) for address in (0, 512, 1024, 2048, 3072))
    bufs.bdwrite(five)
    bufs.bdwrite(four)
    bufs.bwrite(one)
    bufs.bawrite(two)
    bufs.bwrite(three)
    bufs.flush()
    bufs.flush()
    assert window.events == events
    assert bufs.unsettled
    bufs.barrier()
    assert not bufs.unsettled


def test_what_comes_first_is_written_before_what_is_ordered(device: Path) -> None:
    """Content, the pointers to it, what leads to those; the pointers, changed twice, are written once."""
    window = _Ordered(HostFile.open(str(device)))
    bufs = BufCache(window, Memory(), lambda error: error)
    content, pointers, inode = (bufs.bread(address, 512) for address in (0, 2048, 1024))
    for count in (10, 20):
        bufs.bawrite(content)
        pointers.data[:count] = b"p" * count
        bufs.bdwrite_first(pointers, 0, count)
    bufs.bwrite(inode)
    bufs.flush()
    assert window.events == [0, 0, None, 2048, None, 1024]
    assert device.read_bytes()[2048:2070] == b"p" * 20 + b".."
    bufs.bdwrite_first(pointers)
    bufs.binval(2048)
    bufs.bwrite(inode)
    assert window.events[6:] == [None, 1024]
