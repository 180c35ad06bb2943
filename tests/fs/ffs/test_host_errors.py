"""Errors of the host while an FFS is written: each write, each barrier and each read fails in turn.

The real bytes go to a real file. What fails is decided by the device, and at the end by the host itself.
"""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rumpfs.abi import errno
from rumpfs.abi.mount import MNT_FORCE, MNT_LOG, MNT_RDONLY
from rumpfs.base.errors import VfsError
from rumpfs.client import Client, RumpError
from rumpfs.dev.hostfile import HostFile
from rumpfs.fs.ffs.ufsmount import FfsMount
from tests.fs.ffs.checker import complaints
from tests.fs.ffs.harness import content, mounted, readdir, resolve
from tests.fs.ffs.powercut import Cut, Recorder, Tape, marks, put, recover
from tests.images_util import makefs, scratch_copy
from tests.serving import Served, serving


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
    """Do the work until an error: the mount is read-only then, every sync reports it, and so does unmount."""
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
    """The mount ends as others do; when something is half done, the image is not called clean."""
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
        assert recover(image, 0) == "", at
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


# --- real hosts -------------------------------------------------------------------------------------------


def _limit(served: Served, image: Path) -> None:
    """Let the server's writes beyond 3 MiB fail: EFBIG."""
    resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, (3 << 20, 3 << 20))


def _fill(served: Served, image: Path) -> None:
    """Fill the disk that the sparse image is on, but for 1 MiB: ENOSPC."""
    free = os.statvfs(image.parent)
    with (image.parent / "ballast").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - (1 << 20))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A directory on a disk of 8 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("flags", [0, MNT_LOG], ids=["plain", "log"])
def test_a_host_that_limits_the_file(tmp_path: Path, flags: int) -> None:
    _write_until_it_fails(tmp_path, tmp_path, flags, _limit)


@pytest.mark.root
@pytest.mark.parametrize("flags", [0, MNT_LOG], ids=["plain", "log"])
def test_a_host_whose_disk_is_full(tmp_path: Path, small_disk: Path, flags: int) -> None:
    _write_until_it_fails(tmp_path, small_disk, flags, _fill)


def _write_until_it_fails(
    tmp_path: Path, disk: Path, flags: int, trouble: Callable[[Served, Path], None]
) -> None:
    """Write and sync files until the host does not take them: those that were synced are there."""
    (tmp_path / "tree").mkdir()
    made = makefs(tmp_path / "tree", tmp_path / "made", 2, "le", 8192, 1024, "-s", "12m", ",density=4096")
    image = scratch_copy(made, disk)
    synced = 0
    with (
        serving(tmp_path, "-d", f"key=/dk,hostpath={image},size=host") as served,
        Client(served.url) as client,
    ):
        client.mkdir("/mnt")
        client.mount("ffs", "/dk", "/mnt", flags)
        trouble(served, image)
        try:
            while True:
                with client.open(f"/mnt/f{synced}", "x") as file:
                    file.write(marks(b"%04d" % synced, 50_000))
                    client.sys.fsync(file.fd)
                synced += 1
        except RumpError as error:
            failed = error.netbsd_errno
        assert failed == errno.EIO
        assert client.statvfs("/mnt").f_flag & MNT_RDONLY
        with pytest.raises(RumpError) as caught:
            client.mkdir("/mnt/d")
        assert caught.value.netbsd_errno == errno.EROFS
        with pytest.raises(RumpError) as caught:
            client.unmount("/mnt")
        assert caught.value.netbsd_errno == errno.EIO
        client.unmount("/mnt", MNT_FORCE)
    assert synced > 5
    (disk / "ballast").unlink(missing_ok=True)
    assert recover(image, flags) == ""
    assert complaints(image) == []
    with mounted(image) as mp:
        for number in range(synced):
            assert b"".join(content(resolve(mp, f"f{number}"))) == marks(b"%04d" % number, 50_000)


def test_an_image_that_another_process_cuts_off(tmp_path: Path) -> None:
    """What is gone is EIO, what is there is served, and when the file is as long again, zeros are."""
    (tmp_path / "tree").mkdir()
    image = makefs(tmp_path / "tree", tmp_path / "image", 2, "le", 8192, 1024, "-s", "12m", ",density=4096")
    size = image.stat().st_size
    with (
        serving(tmp_path, "-d", f"key=/dk,hostpath={image},size=host") as served,
        Client(served.url) as client,
    ):
        client.mkdir("/mnt")
        client.mount("ffs", "/dk", "/mnt")
        with client.open("/mnt/small", "x") as file:
            file.write(b"small" * 1000)
        with client.open("/mnt/large", "x") as file:
            while file.tell() < 8 << 20:
                file.write(bytes(range(256)) * 4096)
            client.sys.fsync(file.fd)
        os.truncate(image, 4 << 20)
        with client.open("/mnt/large") as file:
            assert file.read(1 << 20) == bytes(range(256)) * 4096
            file.seek(7 << 20)
            with pytest.raises(RumpError) as caught:
                file.read(1 << 20)
            assert caught.value.netbsd_errno == errno.EIO
        with client.open("/mnt/small") as file:
            assert file.read() == b"small" * 1000
        os.truncate(image, size)
        with client.open("/mnt/large", "r+") as file:
            file.seek(7 << 20)
            assert file.read(100) == bytes(100)
            file.seek(7 << 20)
            file.write(b"again")
        client.unmount("/mnt")
    assert complaints(image) == []
    with mounted(image) as mp:
        assert resolve(mp, "large").read(7 << 20, 5) == b"again"
