"""Errors of the host while an FFS is written: each write, each barrier and each read fails in turn.

The real bytes go to a real file; what fails is decided by the device.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rumpfs.abi import errno
from rumpfs.abi.mount import MNT_FORCE, MNT_LOG, MNT_RDONLY
from rumpfs.base.errors import VfsError
from rumpfs.dev.hostfile import HostFile
from tests.fs.ffs.checker import complaints
from tests.fs.ffs.harness import readdir
from tests.fs.ffs.powercut import Cut, Recorder, Tape, put
from tests.images_util import makefs


class Unlucky(Recorder):
    """A device of which one write or barrier fails; all before and after it succeed.

    Attributes:
        left: events until then.
        number: the errno.
    """

    __slots__ = ("left", "number")

    def prepare(self, left: int, number: int) -> None:
        self.left = left
        self.number = number

    def _event(self) -> None:
        self.left -= 1
        if self.left == -1:
            raise VfsError(self.number, "so the host says")

    def pwrite(self, data: bytes | bytearray | memoryview, offset: int) -> int:
        self._event()
        return Recorder.pwrite(self, data, offset)

    def fsync(self) -> None:
        self._event()
        Recorder.fsync(self)


def _tape(tmp_path: Path, flags: int, operations: int) -> Tape:
    (tmp_path / "tree").mkdir()
    image = makefs(tmp_path / "tree", tmp_path / "image", 2, "le", 4096, 512, "-s", "4m", ",density=4096")
    return Tape(image, 8, operations, flags)


def _fails(call: Callable[..., object], *args: object) -> None:
    with pytest.raises(VfsError) as caught:
        call(*args)
    assert caught.value.errno == errno.EIO


@pytest.mark.error_log("so the host says; it is read-only now; run fsck_ffs on it")
@pytest.mark.parametrize("flags", [0, MNT_LOG], ids=["plain", "log"])
@pytest.mark.parametrize("operations", [12, pytest.param(60, marks=pytest.mark.slow)])
def test_nothing_that_was_acknowledged_is_lost(tmp_path: Path, flags: int, operations: int) -> None:
    tape = _tape(tmp_path, flags, operations)
    image = tmp_path / "failing"
    events = len(tape.device.writes) + len(tape.device.barriers) - 1
    for at in range(events):
        put(image, tape.base)
        hostfile = HostFile.open(str(image))
        device = Unlucky(hostfile, 0, hostfile.size)
        device.prepare(at, (errno.EIO, errno.ENOSPC)[at % 2])
        _run(tape, device)
        cut = Cut(len(device.writes), f"event {at} of {events}", image.read_bytes())
        assert tape.complaints(cut, tmp_path / "cut") == [], cut.lost
    assert events > 40


def _run(tape: Tape, device: Unlucky) -> None:
    """Do the work until an error: the mount is read-only then, every sync reports it, and the unmount does."""
    try:
        mp = tape.mount(device)
    except VfsError:
        device.close()
        return
    _fails(_all, tape, mp)
    assert mp.mnt_flag & MNT_RDONLY
    written = len(device.writes)
    _fails(mp.mnt_root.fsync)
    _fails(mp.sync)
    assert {entry.name for entry in readdir(mp.mnt_root)} >= {b".", b".."}
    _fails(mp.unmount, 0)
    mp.unmount(MNT_FORCE)
    assert len(device.writes) == written


def _all(tape: Tape, mp: FfsMount) -> None:
    for _ in tape.perform(mp):
        pass
    mp.unmount(0)


class Unreadable(Recorder):
    """A device of which one read fails."""

    __slots__ = ("reads",)

    def prepare(self, reads: int) -> None:
        self.reads = reads

    def pread(self, nbytes: int, offset: int) -> bytes:
        self.reads -= 1
        if self.reads == -1:
            raise VfsError(errno.EIO, "so the host says")
        return Recorder.pread(self, nbytes, offset)


@pytest.mark.parametrize("flags", [0, MNT_LOG], ids=["plain", "log"])
def test_a_read_that_fails_is_that_operation_s_alone(tmp_path: Path, flags: int) -> None:
    """What was to be done is done or not, the work goes on, and the image is consistent at the end."""
    tape = _tape(tmp_path, flags, 40)
    image = tmp_path / "failing"
    at, met = 0, True
    while met:
        put(image, tape.base)
        hostfile = HostFile.open(str(image))
        device = Unreadable(hostfile, 0, hostfile.size)
        device.prepare(at)
        try:
            mp = tape.mount(device)
        except VfsError:
            device.close()
        else:
            _as_far_as_it_goes(tape, mp)
        met = device.reads < 0
        assert complaints(image) == [], at
        at += 1
    assert at > 8


def _as_far_as_it_goes(tape: Tape, mp: FfsMount) -> None:
    try:
        _all(tape, mp)
    except VfsError as error:
        if error.errno != errno.EIO:
            raise
        mp.unmount(0)
