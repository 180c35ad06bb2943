"""What happens to a call that waits for its caller's memory while other calls go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from rumpfs.abi.errno import EINTR
from rumpfs.abi.fcntl import O_CREAT, O_RDONLY, O_RDWR
from rumpfs.abi.mount import MNT_FORCE, MNT_RDONLY, TMPFS_ARGS, UFS_ARGS
from rumpfs.base.copy import COPYIN_MAX, CopyIn, CopyInStr
from rumpfs.base.errors import VfsError
from tests.images_util import makefs
from tests.kern.incore import Machine, Process, Running


def outcome(running: Running) -> object:
    """Finish a call; return its result or the name of its errno."""
    while not running.done:
        running.step()
    try:
        return running.result
    except VfsError as error:
        return str(error).split()[0]


def test_a_write_whose_descriptor_is_closed(tmp: Process, machine: Machine) -> None:
    fd = tmp.call("open", b"f", O_CREAT | O_RDWR, 0o644)
    writing = tmp.start("write", fd, b"data")
    tmp.call("close", fd)
    assert tmp.error("unmount", b"/t", 0) == "EBUSY"
    assert outcome(writing) == 4
    assert tmp.content(b"f") == b"data"
    tmp.call("chdir", b"/")
    tmp.call("unmount", b"/t", 0)


def test_a_write_whose_file_is_removed_and_closed(tmp: Process, machine: Machine) -> None:
    used = machine.kernel.memory.used
    fd = tmp.call("open", b"f", O_CREAT | O_RDWR, 0o644)
    writing = tmp.start("write", fd, bytes(100000))
    tmp.call("unlink", b"f")
    tmp.call("close", fd)
    assert outcome(writing) == 100000
    assert machine.kernel.memory.used == used  # the file went with the call


def test_a_write_whose_descriptor_has_another_file_now(tmp: Process) -> None:
    first = tmp.call("open", b"first", O_CREAT | O_RDWR, 0o644)
    writing = tmp.start("write", first, b"data")
    tmp.call("close", first)
    assert tmp.call("open", b"second", O_CREAT | O_RDWR, 0o644) == first
    assert outcome(writing) == 4
    assert (tmp.content(b"first"), tmp.content(b"second")) == (b"data", b"")


def test_a_write_whose_process_ends(tmp: Process, machine: Machine) -> None:
    other = machine.process()
    other.call("chdir", b"/t")
    busy = machine.busy()
    fd = other.call("open", b"f", O_CREAT | O_RDWR, 0o644)
    writing = other.start("write", fd, b"data")
    writing.throw(EINTR)  # what a front end does first
    other.p.exit()
    assert outcome(writing) == "EINTR"
    assert machine.busy()[b"/t"] == busy[b"/t"] - 1  # its directory
    assert tmp.stat(b"f").size == 0


def test_a_long_write_whose_mount_is_forced_away(tmp: Process) -> None:
    fd = tmp.call("open", b"f", O_CREAT | O_RDWR, 0o644)
    writing = tmp.start("write", fd, bytes(COPYIN_MAX + 10))
    writing.step()
    assert writing.request == CopyIn(writing.request.addr, 10)
    tmp.call("unmount", b"/t", MNT_FORCE)
    assert outcome(writing) == "EIO"
    tmp.call("close", fd)


def test_a_long_read_of_a_file_that_gets_shorter(tmp: Process) -> None:
    tmp.make(b"f", bytes(COPYIN_MAX + 10))
    fd = tmp.call("open", b"f", O_RDONLY, 0)
    reading = tmp.start("read", fd, COPYIN_MAX + 10)
    tmp.call("truncate", b"f", 5)
    tmp.call("close", fd)
    reading.step()
    assert outcome(reading) == bytes(COPYIN_MAX)


def test_an_ioctl_whose_descriptor_is_closed(tmp: Process) -> None:
    reader, writer = tmp.call("pipe")
    command = tmp.start("ioctl", writer, 0x8004667E, (1).to_bytes(4, "little"))  # FIONBIO
    tmp.call("close", writer)
    assert tmp.begin("read", reader, 1).asleep  # the end is not closed while the call has it
    assert outcome(command) == 0
    assert tmp.call("read", reader, 1) == b""


# --- mount ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("ffs")
    tree = directory / "tree"
    tree.mkdir()
    (tree / "file").write_bytes(b"content")
    return makefs(tree, directory / "image", 2, "<", 8192, 1024)


TMPFS = ("__mount50", b"tmpfs\0", b"/m\0", 0, TMPFS_ARGS.pack(1, 0, 0, 0, 0, 0o755), TMPFS_ARGS.size)


def steps_of_a_mount() -> int:
    machine = Machine()
    p = machine.process()
    p.call("mkdir", b"/m", 0o755)
    mounting = p.start(*TMPFS)
    count = 0
    while not mounting.done:
        mounting.step()
        count += 1
    return count


@pytest.mark.parametrize("after", range(1, 5))
def test_a_mount_whose_directory_goes_away(machine: Machine, after: int) -> None:
    p = machine.process()
    p.call("mkdir", b"/m", 0o755)
    before = machine.busy()
    mounting = p.start(*TMPFS)
    for _ in range(after):
        mounting.step()
    p.call("rmdir", b"/m")
    assert outcome(mounting) == "ENOENT"
    assert machine.busy() == before
    p.call("mkdir", b"/m", 0o755)


@pytest.mark.parametrize("after", range(1, 5))
def test_a_mount_whose_directory_is_another_now(machine: Machine, after: int) -> None:
    p = machine.process()
    p.call("mkdir", b"/m", 0o755)
    before = machine.busy()
    mounting = p.start(*TMPFS)
    for _ in range(after):
        mounting.step()
    p.call("rmdir", b"/m")
    p.call("mkdir", b"/m", 0o755)
    assert outcome(mounting) == "EINVAL"  # vfs_mount.c: mount_domount
    assert machine.busy() == before


@pytest.mark.parametrize("after", range(1, 5))
def test_of_two_mounts_on_one_directory_the_second_is_refused(machine: Machine, after: int) -> None:
    p = machine.process()
    p.call("mkdir", b"/m", 0o755)
    mounting = p.start(*TMPFS)
    for _ in range(after):
        mounting.step()
    p.mount_tmpfs(b"/m")
    p.make(b"/m/first")
    assert outcome(mounting) == "EINVAL"  # vfs_mount.c: mount_domount
    assert p.names(b"/m") == {b"first"}
    p.call("unmount", b"/m", 0)
    assert set(machine.busy()) == {b"/"}


@pytest.mark.parametrize("force", [0, MNT_FORCE])
def test_a_mount_in_a_file_system_that_is_unmounted(machine: Machine, force: int) -> None:
    p = machine.process()
    p.call("mkdir", b"/t", 0o755)
    p.mount_tmpfs(b"/t")
    p.call("mkdir", b"/t/m", 0o755)
    before = machine.busy()
    mounting = p.start(TMPFS[0], TMPFS[1], b"/t/m\0", *TMPFS[3:])
    mounting.step()
    if not force:
        assert p.error("unmount", b"/t", 0) == "EBUSY"
        assert outcome(mounting) == 0
        assert machine.busy() == before | {b"/t": 1, b"/t/m": 0}
        return
    p.call("unmount", b"/t", MNT_FORCE)
    assert outcome(mounting) == "ENOENT"
    assert machine.busy() == {b"/": before[b"/"] - 1}  # /t is no longer mounted on


def test_two_mounts_of_one_device(machine: Machine, image: Path) -> None:
    machine.drive(b"/dev/dk", image)
    p = machine.process()
    p.call("mkdir", b"/m", 0o755)
    fspec = p.memory.map(b"/dev/dk\0")
    ffs = ("__mount50", b"ffs\0", b"/m\0", MNT_RDONLY, UFS_ARGS.pack(fspec), UFS_ARGS.size)
    first = p.start(*ffs)
    while not (isinstance(first.request, CopyInStr) and first.request.maxlen == 1023):
        first.step()
    assert p.error(*ffs) == "EBUSY"
    first.drop()  # its caller is gone
    assert outcome(p.begin(*ffs)) == 0
    assert p.content(b"/m/file") == b"content"


def test_a_device_that_is_removed_during_a_mount(machine: Machine, image: Path) -> None:
    machine.drive(b"/dev/dk", image)
    p = machine.process()
    p.call("mkdir", b"/m", 0o755)
    fspec = p.memory.map(b"/dev/dk\0")
    mounting = p.start("__mount50", b"ffs\0", b"/m\0", MNT_RDONLY, UFS_ARGS.pack(fspec), UFS_ARGS.size)
    while not (isinstance(mounting.request, CopyInStr) and mounting.request.maxlen == 1023):
        mounting.step()
    with pytest.raises(VfsError, match="EBUSY"):
        machine.kernel.etfs_remove(b"/dev/dk")
    assert outcome(mounting) == 0


def test_a_mount_asks_as_often_as_these_tests_believe() -> None:
    assert steps_of_a_mount() == 5
