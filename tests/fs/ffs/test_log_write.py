"""Writing with a log: what a transaction holds, what a crash leaves of it, and what is not used too early."""

from __future__ import annotations

import shutil
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rumpfs.abi import errno
from rumpfs.abi.fcntl import O_CREAT, O_RDWR, O_SYNC
from rumpfs.abi.mount import MNT_FORCE, MNT_LOG, MNT_RDONLY, MNT_SYNCHRONOUS, MNT_UPDATE, UFS_ARGS
from rumpfs.base.errors import VfsError
from rumpfs.base.memory import Memory
from rumpfs.dev.hostfile import HostFile
from rumpfs.dev.window import Window
from rumpfs.fs.ffs.ufsmount import FfsMount
from rumpfs.fs.ffs.vfsops import mount_window
from rumpfs.ondisk.ufs.wapbl import Wapbl, find_log
from rumpfs.vfs.cred import ROOT
from rumpfs.vfs.mount import Vfs
from rumpfs.vfs.vnode import SetAttr, Vnode, vref, vrele
from tests.fs.ffs.checker import complaints
from tests.fs.ffs.editor import Editor
from tests.fs.ffs.fscking import fsck
from tests.fs.ffs.harness import RDEV, content, mounted, resolve
from tests.fs.ffs.test_log import FORMATS, Make, make
from tests.fs.ffs.workload import Workload, writable
from tests.images_util import netbsd_image, scratch_copy
from tests.kern.incore import Machine, Process
from tests.kern.sysctl_util import integer, sysctl

__all__ = ["make"]

MB = 1 << 20

#: vfs.sync.delay, vfs.sync.metadelay
DELAY, METADELAY = (3, 1024, 1024), (3, 1024, 1025)


@pytest.fixture
def crash(tmp_path: Path) -> Callable[[Path], Path]:
    """A function that returns what a crash now would leave of an image."""

    def left(image: Path) -> Path:
        return Path(shutil.copy(image, tmp_path / "crashed"))

    return left


def _records(image: Path, kind: str) -> list[Any]:
    """Return the entries of records of a kind in the log of an image."""
    with Editor(image) as editor:
        wapbl = Wapbl(editor.read, editor.size, find_log(editor.fs, editor.size), image.name)
        return [entry for record in wapbl.records() if record.name == kind for entry in record.entries]


def _recovered(image: Path) -> None:
    """After a replay, and the freeing of what has no name, nothing is left to be repaired."""
    assert fsck(image).kinds in ([], ["unreferenced"])
    with writable(image, MNT_LOG):
        pass
    assert complaints(image) == []


def _fails(number: int, call: Callable[..., object], *args: object) -> None:
    with pytest.raises(VfsError) as caught:
        call(*args)
    assert caught.value.errno == number


def _fill(vp: Vnode) -> None:
    while True:
        vp.write(vp.size(), bytes(50_000), 0, ROOT)


# --- whole images ---------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: "-".join(map(str, form)))
def test_random_work_leaves_a_consistent_image(
    make: Make, form: tuple[int, str, int, int], crash: Callable[[Path], Path]
) -> None:
    image = make(*form)
    with writable(image, MNT_LOG) as mp:
        work = Workload(mp, sum(form[2:]))  # type: ignore[arg-type]
        for _ in range(3):
            work.run(150)
            mp.sync()
        work.check(mp)
        left = crash(image)
    assert complaints(image) == []
    for recovered in (image, left):
        with mounted(recovered) as mp:
            work.check(mp)
    _recovered(left)


def test_what_was_freed_is_not_used_before_the_commit(make: Make, crash: Callable[[Path], Path]) -> None:
    """A crash brings a removed file back, with what it held; the free space counts as free all the same."""
    image = make(size="4m")
    with writable(image, MNT_LOG) as mp:
        mp.mnt_root.create(b"old", 0o100644, ROOT).write(0, b"o" * 2 * MB, 0, ROOT)
        mp.sync()
        free = mp.statvfs().bfree
        mp.mnt_root.remove(b"old", resolve(mp, "/old"), ROOT)
        assert mp.statvfs().bfree >= free + 2 * MB // 1024
        new = mp.mnt_root.create(b"new", 0o100644, ROOT)
        new.write(0, b"n" * 300_000, 0, ROOT)
        left = crash(image)
        # There is only room for this when the commit has made what was freed free.
        new.write(0, b"n" * 2 * MB, 0, ROOT)
        new.fsync()
    with mounted(left) as mp:
        assert b"".join(content(resolve(mp, "/old"))) == b"o" * 2 * MB
        assert mp.mnt_root.lookup(b"new") is None
    _recovered(left)
    assert complaints(image) == []
    with mounted(image) as mp:
        assert b"".join(content(resolve(mp, "/new"))) == b"n" * 2 * MB


def test_a_full_disk_stays_whole(make: Make, crash: Callable[[Path], Path]) -> None:
    image = make(size="4m")
    with writable(image, MNT_LOG) as mp:
        for number in range(12):
            vp = mp.mnt_root.create(b"%d" % number, 0o100644, ROOT)
            with pytest.raises(VfsError) as caught:
                _fill(vp)
            assert caught.value.errno == errno.ENOSPC
            assert vp.size() > 1_000_000
            mp.mnt_root.remove(b"%d" % number, vp, ROOT)
        left = crash(image)
    assert complaints(image) == []
    _recovered(left)


def test_blocks_of_metadata_are_revoked(make: Make) -> None:
    image = make(2, "le", 4096, 512, behind=MB)
    with writable(image, MNT_LOG) as mp:
        vp = mp.mnt_root.create(b"f", 0o100644, ROOT)
        vp.write(0, bytes(13 * 4096), 0, ROOT)
        directory = mp.mnt_root.mkdir(b"d", 0o755, ROOT)
        mp.sync()
        places = {vp.dinode.di_ib[0] * 512, directory.dinode.di_db[0] * 512}
        assert places <= {entry.wc_daddr * 512 for entry in _records(image, "blocks")}
        mp.mnt_root.remove(b"f", vp, ROOT)
        mp.mnt_root.rmdir(b"d", directory, ROOT)
        mp.sync()
        revoked = {entry.wc_daddr * 512: entry.wc_dlen for entry in _records(image, "revocations")}
        assert places <= revoked.keys()
        assert sorted(revoked[place] for place in places) == [512, 4096]


# --- files without a name -------------------------------------------------------------------------


def test_a_file_without_a_name_is_listed_until_it_is_freed(make: Make, crash: Callable[[Path], Path]) -> None:
    """One more than two records hold; a replay frees them, also after the log has been emptied."""
    image = make()
    with writable(image, MNT_LOG) as mp:
        files = [mp.mnt_root.create(b"%d" % number, 0o100644, ROOT) for number in range(125)]
        for vp in files:
            vp.write(0, bytes(3000), 0, ROOT)
            vref(vp)
        for number, vp in enumerate(files):
            mp.mnt_root.remove(b"%d" % number, vp, ROOT)
        mp.sync()
        listed = {entry.wc_inumber: entry.wc_imode for entry in _records(image, "inodes")}
        assert listed == {vp.i_number: 0o100644 for vp in files}
        assert mp.um_log is not None
        mp.um_log.checkpoint()
        assert len(_records(image, "inodes")) == 125
        assert _records(image, "blocks") == []
        left = crash(image)
        for vp in files:
            vrele(vp)
        mp.sync()
        assert _records(image, "inodes") == []
    with mounted(left) as mp:
        assert mp.um_freed == listed.keys()
        free = mp.statvfs().ffree
    with writable(left, MNT_LOG) as mp:
        assert not mp.um_orphans
        assert mp.statvfs().ffree == free
    assert complaints(left) == complaints(image) == []


def test_without_a_log_what_an_old_one_lists_is_freed(make: Make, crash: Callable[[Path], Path]) -> None:
    image = make(1, "be", 8192, 1024)
    with writable(image, MNT_LOG) as mp:
        vp = mp.mnt_root.create(b"f", 0o100644, ROOT)
        vp.write(0, bytes(200_000), 0, ROOT)
        vref(vp)
        mp.mnt_root.remove(b"f", vp, ROOT)
        mp.um_fs.fs_journal_flags = 2  # the log is to go
        mp.sync()
        left = crash(image)
        vrele(vp)
    with writable(left) as mp:
        assert not mp.mnt_flag & MNT_LOG
    assert complaints(left) == []


# --- long files -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "order", "top"), [(1, "be", 3 << 40), (2, "le", 400 << 30)])
def test_a_long_file_is_shortened_in_steps_that_fit_in_the_log(
    make: Make, crash: Callable[[Path], Path], version: int, order: str, top: int
) -> None:
    image = make(version, order, 4096, 512, size="16m")
    offsets = (0, 100_000, 3 * MB, 500 * MB, 6 << 30, top)
    with writable(image, MNT_LOG) as mp:
        vp = mp.mnt_root.create(b"f", 0o100644, ROOT)
        for offset in offsets:
            vp.write(offset, b"%20d" % offset, 0, ROOT)
        assert all(vp.dinode.di_ib)
        vp.setattr(SetAttr(size=500 * MB + 10), ROOT)
        assert not vp.dinode.di_ib[2]
        vp.fsync()
        left = crash(image)
        mp.mnt_root.remove(b"f", vp, ROOT)
    assert complaints(image) == []
    with mounted(left) as mp:
        assert resolve(mp, "/f").size() == 500 * MB + 10
        for offset in offsets[:3]:
            assert resolve(mp, "/f").read(offset, 20) == b"%20d" % offset
        assert resolve(mp, "/f").read(500 * MB, 20) == (b"%20d" % (500 * MB))[:10]
    _recovered(left)


def test_the_removal_of_a_long_file_is_finished_by_a_replay(
    make: Make, crash: Callable[[Path], Path]
) -> None:
    """The crash comes between two of its steps."""
    image = make(2, "le", 4096, 512, size="24m", behind=MB)
    steps: list[Path] = []
    with writable(image, MNT_LOG) as mp:
        vp = mp.mnt_root.create(b"f", 0o100644, ROOT)
        vp.write(0, bytes(9 * MB), 0, ROOT)
        vp.write(9 * MB, bytes(9 * MB), 0, ROOT)
        mp.sync()
        begin = mp.begin

        def between() -> None:
            begin()
            if not steps and 0 < vp.size() < 12 * MB:
                assert mp.um_log is not None
                mp.um_log.commit()
                steps.append(crash(image))

        mp.begin = between  # type: ignore[method-assign]
        mp.mnt_root.remove(b"f", vp, ROOT)
    (left,) = steps
    with mounted(left) as mp:
        assert mp.mnt_root.lookup(b"f") is None
        assert len(mp.um_freed) == 1
    _recovered(left)
    with mounted(left) as mp:
        assert mp.statvfs().bfree * 512 > 20 * MB


# --- what is durable when -------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [MNT_LOG, MNT_LOG | MNT_SYNCHRONOUS])
def test_a_synchronous_mount_commits_each_operation(
    make: Make, crash: Callable[[Path], Path], flags: int
) -> None:
    image = make()
    with writable(image, flags) as mp:
        directory = mp.mnt_root.mkdir(b"d", 0o755, ROOT)
        directory.create(b"f", 0o100644, ROOT)
        directory.rename(b"f", resolve(mp, "/d/f"), mp.mnt_root, b"g", None, ROOT)
        left = crash(image)
    with mounted(left) as mp:
        assert (mp.mnt_root.lookup(b"g") is not None) == bool(flags & MNT_SYNCHRONOUS)
    _recovered(left)


class _Failing(Window):
    """A device that fails when it is told to."""

    broken = False

    def pwrite(self, data: bytes | bytearray | memoryview, offset: int) -> int:
        if self.broken:
            raise VfsError(errno.EIO, "the host's disk is broken")
        return Window.pwrite(self, data, offset)


@pytest.mark.error_log("read-only now")
def test_a_host_that_cannot_write_the_log(make: Make) -> None:
    """The commit answers EIO, nothing more is written, and the disk has the last commit."""
    image = make(behind=MB)
    hostfile = HostFile.open(str(image))
    device = _Failing(hostfile, 0, hostfile.size)
    mp = mount_window(Vfs(Memory()), device, RDEV, MNT_LOG)
    kept = mp.mnt_root.create(b"kept", 0o100644, ROOT)
    kept.fsync()
    mp.mnt_root.create(b"lost", 0o100644, ROOT)
    device.broken = True
    _fails(errno.EIO, kept.fsync)
    assert mp.mnt_flag & MNT_RDONLY
    device.broken = False
    _fails(errno.EIO, mp.mnt_root.create, b"more", 0o100644, ROOT)
    _fails(errno.EIO, mp.unmount, 0)
    mp.unmount(MNT_FORCE)
    with mounted(image) as mp:
        assert mp.mnt_root.lookup(b"kept") is not None
        assert mp.mnt_root.lookup(b"lost") is None
    _recovered(image)


def test_what_a_log_has_no_room_for(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is written all the same, and the disk says meanwhile that it has to be checked."""
    image = make(2, "le", 4096, 512, behind=MB)
    said: list[tuple[int, bool]] = []
    with writable(image, MNT_LOG) as mp:
        work = Workload(mp, 5)
        work.run(100)
        log = mp.um_log
        assert log is not None
        monkeypatch.setattr(type(log._log), "capacity", property(lambda _: 1000))
        flush = type(mp.um_bufs).flush

        def flushed(bufs: Any) -> None:
            flush(bufs)
            with Editor(image) as editor:
                said.append((editor.fs.fs_clean, editor.fs.has_wapbl))

        monkeypatch.setattr(type(mp.um_bufs), "flush", flushed)
        mp.sync()
        monkeypatch.undo()
        assert said == [(0, False), (2, True)]
        work.run(50)
        work.check(mp)
    assert complaints(image) == []
    with mounted(image) as mp:
        work.check(mp)


# --- through a kernel -----------------------------------------------------------------------------


def _kernel(image: Path) -> tuple[Machine, Process]:
    """Return a kernel with the image as /dk and a directory /mnt, and a process of it."""
    machine = Machine()
    hostfile = HostFile.open(str(image))
    machine.kernel.etfs_register(b"/dk", Window(hostfile, 0, hostfile.size))
    process = machine.process()
    process.call("mkdir", b"/mnt", 0o755)
    return machine, process


def _update(p: Process, flags: int) -> str:
    args = UFS_ARGS.pack(0)
    return p.error("__mount50", b"ffs\0", b"/mnt\0", MNT_UPDATE | flags, args, len(args))


@pytest.fixture
def running(make: Make) -> Iterator[tuple[Machine, Process, Path]]:
    image = make()
    machine, p = _kernel(image)
    yield machine, p, image
    machine.kernel.reboot(0)


def _flags(p: Process) -> int:
    return int(p.statvfs(b"/mnt")[0])


def _in_use(image: Path) -> bool:
    with Editor(image) as editor:
        return editor.fs.has_wapbl


def test_a_mount_gets_a_log_and_loses_it(running: tuple[Machine, Process, Path]) -> None:
    _, p, image = running
    p.mount_ffs(b"/mnt", b"/dk", 0)
    p.call("mkdir", b"/mnt/d", 0o755)
    assert not _flags(p) & MNT_LOG
    assert _update(p, MNT_LOG) == "ok"
    assert _flags(p) & MNT_LOG
    assert _in_use(image)
    fd = p.call("open", b"/mnt/f", O_CREAT | O_RDWR, 0o644)
    p.call("unlink", b"/mnt/f")
    assert _update(p, 0) == "EBUSY"
    p.call("close", fd)
    assert _update(p, 0) == "ok"
    assert not _flags(p) & MNT_LOG
    assert not _in_use(image)
    assert _update(p, MNT_RDONLY) == "ok"
    assert _update(p, MNT_LOG) == "ok"
    p.call("rmdir", b"/mnt/d")
    p.call("unmount", b"/mnt", 0)
    assert complaints(image) == []


def test_a_log_that_was_replayed_in_memory_is_replayed_to_the_disk_for_writing(tmp_path: Path) -> None:
    image = scratch_copy(netbsd_image("wapbl-dirty-wrap-v2le"), tmp_path)
    machine, p = _kernel(image)
    p.mount_ffs(b"/mnt", b"/dk", MNT_RDONLY)
    before = p.statvfs(b"/mnt")
    assert _update(p, MNT_LOG) == "ok"
    assert not _flags(p) & MNT_RDONLY
    p.call("mkdir", b"/mnt/new", 0o755)
    p.call("rmdir", b"/mnt/new")
    assert p.statvfs(b"/mnt")[8] == before[8]
    p.call("unmount", b"/mnt", 0)
    machine.kernel.reboot(0)
    assert complaints(image) == []


def test_o_sync_and_fsync_commit(
    running: tuple[Machine, Process, Path], crash: Callable[[Path], Path]
) -> None:
    _, p, image = running
    p.mount_ffs(b"/mnt", b"/dk", MNT_LOG)
    fd = p.call("open", b"/mnt/f", O_CREAT | O_RDWR | O_SYNC, 0o644)
    with mounted(crash(image)) as mp:
        assert mp.mnt_root.lookup(b"f") is None
    p.call("write", fd, b"content")
    with mounted(crash(image)) as mp:
        assert resolve(mp, "/f").read(0, 10) == b"content"
    p.call("close", fd)
    fd = p.call("open", b"/mnt/g", O_CREAT | O_RDWR, 0o644)
    p.call("fsync", fd)
    with mounted(crash(image)) as mp:
        assert mp.mnt_root.lookup(b"g") is not None
    p.call("close", fd)
    p.call("unmount", b"/mnt", 0)


def test_the_syncer_commits_after_ten_seconds(
    running: tuple[Machine, Process, Path], crash: Callable[[Path], Path]
) -> None:
    """vfs_subr.c: metadelay with a log, syncdelay (30) without; nothing when nothing changes."""
    machine, p, image = running
    callouts = machine.kernel.callouts
    for flags, delay in ((MNT_LOG, 10), (0, 30)):
        p.mount_ffs(b"/mnt", b"/dk", flags)
        p.call("sync")
        assert callouts.deadline is None
        p.call("mkdir", b"/mnt/d", 0o755)
        started = callouts.deadline
        assert started is not None
        p.call("mkdir", b"/mnt/e", 0o755)
        assert callouts.deadline == started
        callouts.run(started - 0.001)
        with mounted(crash(image)) as mp:
            assert (mp.mnt_root.lookup(b"d") is None) == bool(flags)
        callouts.run(started)
        assert callouts.deadline is None
        with mounted(crash(image)) as mp:
            assert mp.mnt_root.lookup(b"e") is not None
        p.call("rmdir", b"/mnt/d")
        again = callouts.deadline
        assert again is not None
        assert again - started < delay
        p.call("rmdir", b"/mnt/e")
        p.call("unmount", b"/mnt", 0)
        assert callouts.deadline is None


def test_how_long_the_syncer_waits_can_be_set(running: tuple[Machine, Process, Path]) -> None:
    """sysctl vfs.sync.metadelay and vfs.sync.delay (vfs_subr.c)."""
    machine, p, _ = running
    assert [integer(p, *delay) for delay in (DELAY, METADELAY)] == [30, 10]
    assert sysctl(p, *METADELAY, new=struct.pack("<q", 3)).error == "ok"
    assert integer(p, *METADELAY) == 3
    assert sysctl(p, *DELAY, new=struct.pack("<q", 0)).error == "EINVAL"
    p.mount_ffs(b"/mnt", b"/dk", MNT_LOG)
    p.call("sync")
    before = time.monotonic()
    p.call("mkdir", b"/mnt/d", 0o755)
    deadline = machine.kernel.callouts.deadline
    assert deadline is not None
    assert before + 3 <= deadline <= time.monotonic() + 3
    p.call("unmount", b"/mnt", 0)


def test_readers_see_what_is_not_in_place_yet(make: Make) -> None:
    """Directories and indirect blocks, when memory is short and nothing but the log's buffers is kept."""
    image = make(2, "be", 4096, 512)
    with writable(image, MNT_LOG) as mp:
        assert isinstance(mp, FfsMount)
        for large in (False, True):
            if large:
                mp.um_dirhash_max = 0
            top = mp.mnt_root.mkdir(b"large" if large else b"small", 0o755, ROOT)
            for number in range(300):
                vp = top.create(b"name%d" % number, 0o100644, ROOT)
            vp.write(60_000, b"x" * 5000, 0, ROOT)
            for cache in (mp.um_bufs, mp.um_dirs):
                cache.reclaim(1 << 40)
            mp.um_bmap.clear()
            mp.um_namecache.purge_mount(mp)
            vp = resolve(mp, b"/large/name299" if large else b"/small/name299")
            assert vp.read(60_000, 5000) == b"x" * 5000
            assert top.lookup(b"name150") is not None
    assert complaints(image) == []
