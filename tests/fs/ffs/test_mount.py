"""mount(2) of an FFS: what it asks its caller for, in which order, and how it fails."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rumpfs.abi import errno
from rumpfs.abi.fcntl import FREAD
from rumpfs.abi.mount import MNT_LOCAL, MNT_LOG, MNT_RDONLY, MNT_SOFTDEP, UFS_ARGS
from rumpfs.abi.stat import STATVFS, makedev
from rumpfs.base.component import Phase
from rumpfs.base.copy import CopyInStr
from rumpfs.base.errors import VfsError
from rumpfs.base.memory import Memory
from rumpfs.dev.hostfile import HostFile
from rumpfs.dev.window import Window
from rumpfs.fs.ffs.component import COMPONENT
from rumpfs.fs.ffs.ufsmount import FfsMount
from rumpfs.fs.ffs.vfsops import FfsOps, mount_window
from rumpfs.vfs.cred import ROOT, Cred
from rumpfs.vfs.mount import MountArgs, Vfs
from rumpfs.vfs.specfs import Device, Disk
from rumpfs.vfs.vnode import VBLK, Vnode
from tests.fs.ffs.harness import resolve
from tests.images_util import makefs, netbsd_image

#: Where the caller has the names.
FSPEC, ONTO = 0x7FFFFFFFEA93, 0x55555555A31A


class _Disk(Disk):
    def __init__(self, path: Path) -> None:
        hostfile = HostFile.open(str(path), readonly=True)
        self.window = Window(hostfile, 0, hostfile.size)
        self.closed = False

    def close(self) -> None:
        assert not self.closed
        self.closed = True
        self.window.close()


@dataclass
class _Caller:
    cred: Cred
    cwd: Vnode
    rdir: Vnode


class World:
    """A kernel's vfs whose root is an image with device nodes; block major 1 is `disk`, 2 is no disk."""

    def __init__(self, root: Path, disk: Path) -> None:
        self.vfs = Vfs(Memory())
        self.ops = FfsOps()
        self.vfs.attach(self.ops)
        hostfile = HostFile.open(str(root), readonly=True)
        self.root = mount_window(self.vfs, Window(hostfile, 0, hostfile.size), makedev(9, 9), MNT_RDONLY)
        self.vfs.mount_root(self.root)
        self.disk = disk
        self.opened: list[tuple[int, int, int]] = []
        self.disks: list[_Disk] = []
        self.vfs.devsw.attach(VBLK, 1, self._open)
        self.vfs.devsw.attach(VBLK, 2, lambda *_: Device())

    def _open(self, minor: int, vtype: int, flags: int) -> Device:
        self.opened.append((minor, vtype, flags))
        self.disks.append(_Disk(self.disk))
        return self.disks[-1]

    def mount(
        self, fspec: bytes, flags: int = MNT_RDONLY, data: bytes | None = UFS_ARGS.pack(FSPEC)
    ) -> tuple[list[Any], FfsMount]:
        """Mount; return what was asked for, and the mount."""
        caller = _Caller(ROOT, self.vfs.rootvnode, self.vfs.rootvnode)
        body = self.ops.mount(self.vfs, MountArgs(caller, flags, data, ONTO))
        asked = []
        names = {FSPEC: fspec, ONTO: b"/mnt"}
        try:
            request = next(body)
            while True:
                asked.append(request)
                request = body.send(names[request.addr])
        except StopIteration as stop:
            return asked, stop.value


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A root with device nodes (needs to be root), and a disk."""
    directory = tmp_path_factory.mktemp("mount")
    for name in ("root", "disk"):
        (directory / name).mkdir()
    (directory / "disk" / "file").write_bytes(b"on the disk")
    (directory / "disk" / "sub").mkdir()
    nodes = [("dk", "b", 1, 5), ("odd", "b", 2, 0), ("none", "b", 3, 0), ("raw", "c", 1, 5)]
    spec = directory / "spec"
    lines = ["/set uname=root gname=root mode=0600 time=1600000000.0", ". type=dir mode=0755"]
    for name, kind, major, minor in nodes:
        kind = {"b": "block", "c": "char"}[kind]
        lines.append(f"./{name} type={kind} device=native,{major},{minor}")
    lines += ["./file type=file", "./link type=link link=dk"]
    (directory / "root" / "file").touch()
    (directory / "root" / "link").symlink_to("dk")
    spec.write_text("\n".join(lines) + "\n")
    root = makefs(directory / "root", directory / "root.img", 1, "<", 8192, 1024, "-F", str(spec), "-M", "1m")
    disk = makefs(directory / "disk", directory / "disk.img", 2, ">", 8192, 1024)
    return root, disk


@pytest.fixture
def world(images: tuple[Path, Path]) -> Iterator[World]:
    world = World(*images)
    yield world
    world.root.unmount(0)
    assert world.vfs.memory.used == 0


pytestmark = pytest.mark.oracle("makefs")


def test_it_asks_in_the_recorded_order(world: World, shared: Path) -> None:
    """The requests are those that the C server sent, from the device's name on (wire/ffs.jsonl)."""
    recorded = []
    for line in (shared / "wire" / "ffs.jsonl").read_text().splitlines():
        message = json.loads(line)
        if message.get("sys") == "__mount50":
            recorded.clear()
        elif message.get("type") == "COPYINSTR" and message["dir"] == "s2c":
            recorded.append(CopyInStr(int(message["addr"], 16), message["copylen"]))
        elif message.get("sys") == "__stat50":
            break
    asked, mp = world.mount(b"/dk")
    names = recorded[2 : 2 + len(asked)]
    assert [request.maxlen for request in names] == [1024, 1023, 1023]
    assert asked == [
        request._replace(addr=FSPEC if request.addr == names[0].addr else ONTO) for request in names
    ]
    assert (mp.mnt_onto, mp.mnt_from) == (b"/mnt", b"/dk")
    mp.unmount(0)


def test_what_is_mounted(world: World) -> None:
    _, mp = world.mount(b"/dk", MNT_RDONLY | MNT_LOG | MNT_SOFTDEP)
    assert world.opened == [(5, VBLK, FREAD)]
    assert mp.mnt_flag == MNT_RDONLY | MNT_LOCAL
    assert mp.mnt_fsid == (makedev(1, 5), 0x78B)
    assert mp.mnt_root.getattr().fsid == makedev(1, 5)
    assert resolve(mp, "/file").read(0, 100) == b"on the disk"
    fields = STATVFS.unpack(mp.pack_statvfs())
    assert fields[0] == MNT_RDONLY | MNT_LOCAL
    assert fields[16] == makedev(1, 5) | 0x78B << 32
    assert fields[-3].rstrip(b"\0") == b"ffs"
    mp.unmount(0)


def test_a_link_to_the_device_is_followed(world: World) -> None:
    _, mp = world.mount(b"link")
    assert mp.mnt_from == b"link"
    mp.unmount(0)


@pytest.mark.parametrize(
    ("fspec", "number"),
    [
        (b"/nothing", errno.ENOENT), (b"", errno.ENOENT), (b"/file", errno.ENOTBLK), (b"/", errno.ENOTBLK),
        (b"/raw", errno.ENOTBLK), (b"/file/x", errno.ENOTDIR), (b"/none", errno.ENXIO),
        (b"/odd", errno.ENXIO),
    ],
)  # fmt: skip
def test_what_cannot_be_mounted(world: World, fspec: bytes, number: int) -> None:
    with pytest.raises(VfsError) as caught:
        world.mount(fspec)
    assert caught.value.errno == number


@pytest.mark.parametrize("data", [None, b"", b"\0" * 7, bytes(8), bytes(16)])
def test_arguments_that_are_missing(world: World, data: bytes | None) -> None:
    with pytest.raises(VfsError) as caught:
        world.mount(b"/dk", data=data)
    assert caught.value.errno == errno.EINVAL


def test_arguments_may_be_longer(world: World) -> None:
    _, mp = world.mount(b"/dk", data=UFS_ARGS.pack(FSPEC) + b"more")
    mp.unmount(0)


def test_one_mount_at_a_time(world: World) -> None:
    _, mp = world.mount(b"/dk")
    for _ in range(2):
        with pytest.raises(VfsError) as caught:
            world.mount(b"/dk")
        assert caught.value.errno == errno.EBUSY
    mp.unmount(0)
    _, again = world.mount(b"/dk")
    assert resolve(again, "/file").read(0, 100) == b"on the disk"
    again.unmount(0)
    assert [disk.closed for disk in world.disks] == [True, True]


def test_the_file_system_of_the_device_node_is_busy(world: World) -> None:
    before = world.root.mnt_busy
    _, mp = world.mount(b"/dk")
    assert world.root.mnt_busy == before + 1
    mp.unmount(0)
    assert world.root.mnt_busy == before


def test_writing_is_refused_and_the_device_closed(world: World) -> None:
    with pytest.raises(VfsError) as caught:
        world.mount(b"/dk", flags=0)
    assert caught.value.errno == errno.EROFS
    assert [disk.closed for disk in world.disks] == [True]


def test_no_file_system_there(world: World, tmp_path: Path) -> None:
    world.disk = tmp_path / "empty"
    world.disk.write_bytes(bytes(1 << 20))
    before = world.root.mnt_busy
    for flags in (MNT_RDONLY, 0):
        with pytest.raises(VfsError) as caught:
            world.mount(b"/dk", flags)
        assert caught.value.errno == errno.EINVAL
    assert [disk.closed for disk in world.disks] == [True, True]
    assert world.root.mnt_busy == before


@pytest.mark.parametrize("answers", [0, 1, 2])
def test_a_caller_that_goes_away(world: World, answers: int) -> None:
    """Whenever the client disconnects, the device is free again."""
    caller = _Caller(ROOT, world.vfs.rootvnode, world.vfs.rootvnode)
    body = world.ops.mount(world.vfs, MountArgs(caller, MNT_RDONLY, UFS_ARGS.pack(FSPEC), ONTO))
    next(body)
    for name in [b"/dk", b"/mnt"][:answers]:
        body.send(name)
    with pytest.raises(VfsError) as caught:
        body.throw(VfsError(errno.EINTR))
    assert caught.value.errno == errno.EINTR
    assert all(disk.closed for disk in world.disks)
    _, mp = world.mount(b"/dk")
    mp.unmount(0)


def test_after_a_forced_unmount_open_files_fail(world: World) -> None:
    _, mp = world.mount(b"/dk")
    root, file, sub = mp.mnt_root, resolve(mp, "/file"), resolve(mp, "/sub")
    assert file.read(0, 2) == b"on"
    mp.unmount(0)
    actions: list[Callable[[], Any]] = [
        lambda: file.read(0, 2), lambda: file.read(5, 100), lambda: root.lookup(b"file"),
        lambda: sub.readdir(0, 512), lambda: sub.lookup(b"x"),
    ]  # fmt: skip
    for action in actions:
        with pytest.raises(VfsError) as caught:
            action()
        assert caught.value.errno == errno.EIO


def test_mounting_again_and_again_leaves_nothing_behind(world: World) -> None:
    world.mount(b"/dk")[1].unmount(0)
    used = world.vfs.memory.used
    for _ in range(20):
        _, mp = world.mount(b"/dk")
        assert resolve(mp, "/file").stat()
        assert world.vfs.memory.used > used
        mp.unmount(0)
        assert world.vfs.memory.used == used


def test_the_root_directory_of_a_real_image_over_a_real_node() -> None:
    """A device node that NetBSD made names the disk."""
    world = World(netbsd_image("clean-v2be-8k-1k"), netbsd_image("clean-v1le-16k-2k"))
    nodes = [
        entry for entry in (b"blk0", b"blk2") if resolve(world.root, b"/dev/" + entry).rdev() == makedev(1, 3)
    ]
    _, mp = world.mount(b"/dev/" + nodes[0])
    assert world.opened == [(3, VBLK, FREAD)]
    assert mp.mnt_root.getattr().fileid == 2
    mp.unmount(0)
    world.root.unmount(0)


def test_the_component() -> None:
    class Kernel:
        vfs = Vfs(Memory())

    COMPONENT.init(Kernel)
    assert Kernel.vfs.types[b"ffs"].args_size == 8
    assert (COMPONENT.name, COMPONENT.phase) == ("rumpfs_ffs", Phase.FS)
    assert "rumpdev_disk" in COMPONENT.requires
