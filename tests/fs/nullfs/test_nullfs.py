"""nullfs: a layer on a directory (NetBSD: null_vfsops.c, genfs/layer_*.c; mount_null(8))."""

from __future__ import annotations

import inspect
import struct

import pytest

from rumpfs.abi.event import EV_ADD, EV_CLEAR, EVFILT_VNODE, KEVENT, NOTE_WRITE
from rumpfs.abi.fcntl import (
    F_SETLK,
    F_WRLCK,
    FLOCK,
    O_CREAT,
    O_NONBLOCK,
    O_RDONLY,
    O_RDWR,
    O_WRONLY,
    SEEK_SET,
)
from rumpfs.abi.mount import MNT_FORCE, MNT_GETARGS, MNT_LOCAL, MNT_RDONLY, MNT_UPDATE
from rumpfs.fs.nullfs.vnops import LayerVnode
from rumpfs.vfs.vnode import Vnode
from tests.kern.incore import USER, Machine, Process

#: bytes of struct layer_args
ARGS = 136


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def p(machine: Machine) -> Process:
    """A process of a kernel with a tmpfs on /lower, and a layer on it on /upper."""
    process = machine.process()
    for directory in (b"/lower", b"/upper"):
        process.call("mkdir", directory, 0o755)
    process.mount_tmpfs(b"/lower")
    process.mount_null(b"/upper", b"/lower")
    return process


def args(p: Process, target: bytes) -> bytes:
    return struct.pack("<Q128x", p.map(target + b"\0"))


def null_error(p: Process, target: bytes, path: bytes, flags: int = 0) -> str:
    return p.error("__mount50", b"null\0", path + b"\0", flags, args(p, target), ARGS)


def files(p: Process, path: bytes) -> int:
    """Return the number of files that a file system has."""
    fields = p.statvfs(path)
    return int(fields[8] - fields[9])


def test_every_operation_passes_through() -> None:
    ours = vars(LayerVnode)
    vops = [name for name, value in vars(Vnode).items() if inspect.isfunction(value) and name != "__init__"]
    assert [name for name in vops if name not in ours] == []


# --- the same files in two places ------------------------------------------------------------------------


def test_what_is_made_above_is_below(p: Process) -> None:
    p.make(b"/upper/file", b"content", 0o640)
    p.call("mkdir", b"/upper/dir", 0o711)
    p.call("symlink", b"file", b"/upper/link")
    p.call("mkfifo", b"/upper/fifo", 0o600)
    p.call("link", b"/upper/file", b"/upper/dir/name")
    assert p.content(b"/lower/link") == p.content(b"/lower/dir/name") == b"content"
    assert p.call("readlink", b"/lower/link", 100) == b"file"
    p.call("rename", b"/upper/file", b"/upper/dir/file")
    p.call("unlink", b"/upper/dir/name")
    assert p.names(b"/lower") == p.names(b"/upper") == {b"dir", b"fifo", b"link"}
    assert p.error("rmdir", b"/upper/dir") == "ENOTEMPTY"
    p.call("unlink", b"/upper/dir/file")
    p.call("rmdir", b"/upper/dir")
    assert p.error("__stat50", b"/lower/dir") == "ENOENT"


def test_what_is_made_below_is_above(p: Process) -> None:
    p.make(b"/lower/file", b"content")
    assert p.content(b"/upper/file") == b"content"
    p.call("chmod", b"/lower/file", 0o600)
    assert p.stat(b"/upper/file").mode & 0o777 == 0o600
    p.call("truncate", b"/upper/file", 3)
    assert p.stat(b"/lower/file").size == 3
    p.call("unlink", b"/lower/file")
    assert p.error("__stat50", b"/upper/file") == "ENOENT"


def test_only_the_device_differs_in_stat(p: Process) -> None:
    p.make(b"/lower/file")
    above, below = p.stat(b"/upper/file"), p.stat(b"/lower/file")
    assert above.fsid != below.fsid
    assert above._replace(fsid=0) == below._replace(fsid=0)
    assert above.fsid == p.stat(b"/upper").fsid
    fd = p.call("open", b"/upper/file", O_RDONLY, 0)
    assert p.fstat(fd) == above
    assert [entry.fileno for entry in p.entries(b"/upper") if entry.name == b"file"] == [above.fileid]


def test_names_and_numbers_of_the_mount(p: Process) -> None:
    above, below = p.statvfs(b"/upper"), p.statvfs(b"/lower")
    assert above[-3:] == (b"null", b"/upper", b"/lower")
    assert above[0] == MNT_LOCAL  # which the tmpfs is
    assert above[1:12] == below[1:12]
    assert above[16] != below[16]


def test_getcwd_and_dotdot_stay_in_the_layer(p: Process) -> None:
    p.call("mkdir", b"/lower/a", 0o755)
    p.call("mkdir", b"/lower/a/b", 0o755)
    p.call("chdir", b"/upper/a/b")
    assert p.getcwd() == b"/upper/a/b"
    assert p.stat(b"..") == p.stat(b"/upper/a")
    assert p.stat(b"../../..") == p.stat(b"/")
    p.call("chdir", b"../..")
    assert p.getcwd() == b"/upper"


def test_a_file_is_the_same_however_it_is_reached(p: Process) -> None:
    p.make(b"/lower/file")
    p.call("link", b"/lower/file", b"/lower/other")
    # rename(2) onto another name of the same file takes the source away
    p.call("rename", b"/upper/file", b"/upper/other")
    assert p.names(b"/lower") == {b"other"}


def test_names_do_not_move_between_layer_and_below(p: Process) -> None:
    p.make(b"/lower/file")
    assert p.error("rename", b"/upper/file", b"/lower/new") == "EXDEV"
    assert p.error("rename", b"/lower/file", b"/upper/new") == "EXDEV"
    assert p.error("link", b"/lower/file", b"/upper/new") == "EXDEV"
    assert p.error("link", b"/upper/file", b"/lower/new") == "EXDEV"


def test_layers_on_layers(p: Process) -> None:
    p.call("mkdir", b"/top", 0o755)
    p.call("mkdir", b"/lower/dir", 0o755)
    p.mount_null(b"/top", b"/upper/dir")
    p.make(b"/top/file", b"content")
    assert p.content(b"/lower/dir/file") == b"content"
    assert len({p.stat(path).fsid for path in (b"/lower/dir", b"/upper/dir", b"/top")}) == 3
    assert p.stat(b"/top/..") == p.stat(b"/")
    assert p.error("unmount", b"/upper", 0) == "EBUSY"
    p.call("unmount", b"/top", 0)
    p.call("unmount", b"/upper", 0)


def test_what_is_mounted_below_is_not_seen(p: Process) -> None:
    p.call("mkdir", b"/lower/dir", 0o700)
    p.mount_tmpfs(b"/lower/dir", mode=0o755)
    p.make(b"/lower/dir/file")
    assert p.names(b"/upper/dir") == set()
    assert p.stat(b"/upper/dir").mode & 0o777 == 0o700
    assert p.error("rmdir", b"/upper/dir") == "EBUSY"
    assert p.error("rename", b"/upper/dir", b"/upper/moved") == "EBUSY"


def test_a_directory_on_itself_and_on_one_below(p: Process) -> None:
    p.call("mkdir", b"/lower/dir", 0o755)
    p.make(b"/lower/file")
    p.mount_null(b"/lower/dir", b"/lower")  # the kernel refuses no circle: there is none
    assert p.names(b"/lower/dir") == {b"dir", b"file"}
    assert p.names(b"/lower/dir/dir") == set()
    p.call("unmount", b"/lower/dir", 0)
    p.mount_null(b"/lower", b"/lower")
    assert p.names(b"/lower") == {b"dir", b"file"}
    assert p.statvfs(b"/lower")[-3:] == (b"null", b"/lower", b"/lower")
    p.call("unmount", b"/lower", 0)
    assert p.statvfs(b"/lower")[-3] == b"tmpfs"


def test_mounts_in_the_layer(p: Process) -> None:
    p.call("mkdir", b"/lower/dir", 0o755)
    p.mount_tmpfs(b"/upper/dir")
    p.make(b"/upper/dir/file")
    assert p.names(b"/lower/dir") == set()
    assert p.error("unmount", b"/upper", 0) == "EBUSY"
    p.call("unmount", b"/upper/dir", 0)
    assert p.names(b"/upper/dir") == set()


# --- what files share ------------------------------------------------------------------------------------


def test_a_removed_file_lives_while_it_is_open_above(p: Process) -> None:
    p.make(b"/lower/file", b"content")
    fd = p.call("open", b"/upper/file", O_RDONLY, 0)
    p.call("unlink", b"/lower/file")
    assert p.call("read", fd, 100) == b"content"
    assert files(p, b"/lower") == 2
    p.call("close", fd)
    assert files(p, b"/lower") == 1


def test_locks_are_those_of_the_file(machine: Machine, p: Process) -> None:
    p.make(b"/lower/file")
    other = machine.process()
    lock = FLOCK.pack(0, 0, 0, F_WRLCK, SEEK_SET)
    p.call("fcntl", p.call("open", b"/upper/file", O_RDWR, 0), F_SETLK, p.map(lock))
    fd = other.call("open", b"/lower/file", O_RDWR, 0)
    assert other.error("fcntl", fd, F_SETLK, other.map(lock)) == "EAGAIN"
    p.p.exit()
    other.call("fcntl", fd, F_SETLK, other.map(lock))


@pytest.mark.parametrize(("watched", "written"), [(b"/lower", b"/upper"), (b"/upper", b"/lower")])
def test_who_watches_hears_of_both_places(p: Process, watched: bytes, written: bytes) -> None:
    p.make(b"/lower/file")
    fd = p.call("open", watched + b"/file", O_RDONLY, 0)
    kq = p.call("kqueue")
    p.call(
        "__kevent50", kq, KEVENT.pack(fd, EVFILT_VNODE, EV_ADD | EV_CLEAR, NOTE_WRITE, 0, 0), 1, None, 0, None
    )
    p.make(written + b"/file", b"content")
    room = bytearray(KEVENT.size)
    assert p.call("__kevent50", kq, None, 0, room, 1, struct.pack("<qq", 0, 0)) == 1
    assert KEVENT.unpack(room)[:4] == (fd, EVFILT_VNODE, EV_ADD | EV_CLEAR, NOTE_WRITE)


def test_a_fifo_joins_both_places(p: Process) -> None:
    p.call("mkfifo", b"/lower/fifo", 0o600)
    reader = p.call("open", b"/lower/fifo", O_RDONLY | O_NONBLOCK, 0)
    writer = p.call("open", b"/upper/fifo", O_WRONLY | O_NONBLOCK, 0)
    p.call("write", writer, b"through")
    assert p.call("read", reader, 100) == b"through"


def test_revoke_reaches_both_places(p: Process) -> None:
    p.make(b"/lower/file")
    above = p.call("open", b"/upper/file", O_RDONLY, 0)
    below = p.call("open", b"/lower/file", O_RDONLY, 0)
    p.call("revoke", b"/upper/file")
    assert p.error("read", above, 1) == p.error("read", below, 1) == "EIO"


def test_file_handles(p: Process) -> None:
    p.make(b"/lower/file", b"content")
    handles = []
    for path in (b"/upper/file", b"/lower/file"):
        handle, size = bytearray(64), bytearray((64).to_bytes(8, "little"))
        p.call("__getfh30", path, handle, size)
        handles.append(bytes(handle[: int.from_bytes(size, "little")]))
    above, below = handles
    assert above != below  # by the file system's id
    assert above[8:] == below[8:]
    fd = p.raw("__fhopen40", p.map(above), len(above), O_RDONLY)
    assert p.call("read", fd, 100) == b"content"
    assert p.fstat(fd) == p.stat(b"/upper/file")


# --- read-only -------------------------------------------------------------------------------------------


@pytest.fixture
def ro(p: Process) -> Process:
    """With a file in /lower, and a read-only layer on /ro."""
    p.make(b"/lower/file", b"content", 0o666)
    p.call("mkdir", b"/ro", 0o755)
    p.mount_null(b"/ro", b"/lower", MNT_RDONLY)
    return p


def test_a_read_only_layer_on_what_can_be_written(ro: Process) -> None:
    assert ro.statvfs(b"/ro")[0] == MNT_RDONLY | MNT_LOCAL
    assert ro.content(b"/ro/file") == b"content"
    for name, *arguments in (
        ("open", b"/ro/file", O_RDWR, 0),
        ("open", b"/ro/new", O_CREAT | O_RDWR, 0o644),
        ("truncate", b"/ro/file", 0),
        ("chmod", b"/ro/file", 0o600),
        ("chown", b"/ro/file", 1, 1),
        ("unlink", b"/ro/file"),
        ("unlink", b"/ro/absent"),
        ("mkdir", b"/ro/new", 0o755),
        ("rename", b"/ro/file", b"/ro/new"),
        ("access", b"/ro/file", 2),
    ):
        assert ro.error(name, *arguments) == "EROFS", name
    ro.make(b"/lower/file", b"changed")
    assert ro.content(b"/ro/file") == b"changed"


def test_a_layer_on_what_is_read_only(p: Process) -> None:
    p.make(b"/lower/file", b"content")
    p.mount_tmpfs(b"/lower", MNT_UPDATE | MNT_RDONLY)
    assert p.statvfs(b"/upper")[0] == MNT_LOCAL
    for name, *arguments in (
        ("open", b"/upper/file", O_RDWR, 0),
        ("open", b"/upper/new", O_CREAT | O_RDWR, 0o644),
        ("chmod", b"/upper/file", 0o600),
        ("unlink", b"/upper/file"),
        ("mkdir", b"/upper/new", 0o755),
        ("rename", b"/upper/file", b"/upper/new"),
    ):
        assert p.error(name, *arguments) == "EROFS", name


def test_a_layer_on_a_kernfs(p: Process) -> None:
    p.call("mkdir", b"/kern", 0o755)
    p.call("__mount50", b"kernfs\0", b"/kern\0", 0, None, 0)
    p.call("unmount", b"/upper", 0)
    p.mount_null(b"/upper", b"/kern")
    assert p.content(b"/upper/pagesize") == b"4096\n"
    assert p.error("unlink", b"/upper/nothing") == p.error("mkdir", b"/upper/new", 0o755) == "EROFS"


def test_permissions_are_those_below(machine: Machine, p: Process) -> None:
    p.make(b"/lower/file", mode=0o600)
    user = machine.process(USER)
    assert user.error("open", b"/upper/file", O_RDONLY, 0) == "EACCES"
    assert user.error("open", b"/upper/new", O_CREAT | O_RDWR, 0o644) == "EACCES"
    assert user.error("chmod", b"/upper/file", 0o666) == "EPERM"


# --- mounting --------------------------------------------------------------------------------------------


def test_arguments(p: Process) -> None:
    p.call("mkdir", b"/mp", 0o755)
    assert p.error("__mount50", b"null\0", b"/mp\0", 0, None, 0) == "EINVAL"
    assert p.error("__mount50", b"null\0", b"/mp\0", 0, args(p, b"/lower")[:-1], ARGS - 1) == "EINVAL"
    assert p.error("__mount50", b"null\0", b"/mp\0", 0, bytes(ARGS), ARGS) == "EFAULT"
    assert null_error(p, b"/absent", b"/mp") == "ENOENT"
    p.make(b"/lower/file")
    assert null_error(p, b"/lower/file", b"/mp") == "ENOTDIR"
    p.call("__mount50", b"null\0", b"/mp\0", 0, args(p, b"/lower"), 0)  # the length of null_args is known
    assert p.names(b"/mp") == {b"file"}


def test_what_failed_leaves_nothing_in_use(machine: Machine, p: Process) -> None:
    before = machine.busy()
    mount = p.start("__mount50", b"null\0", b"/upper\0", 0, args(p, b"/lower"), ARGS)
    while not mount.done:
        seen = machine.busy()
        mount.step()
    assert seen[b"/lower"] > before[b"/lower"]
    p.call("unmount", b"/upper", 0)
    assert machine.busy() == before
    again = p.start("__mount50", b"null\0", b"/upper\0", 0, args(p, b"/lower"), ARGS)
    while machine.busy()[b"/lower"] == before[b"/lower"]:
        again.step()
    again.throw(4)
    assert again.done
    assert machine.busy() == before


def test_getargs_does_not_tell_the_target(p: Process) -> None:
    data = bytearray(b"\1" * 200)
    assert p.call("__mount50", b"null\0", b"/upper\0", MNT_GETARGS, data, len(data)) == ARGS
    assert data[:8] == bytes(8)
    assert data[ARGS:] == b"\1" * 64
    assert p.error("__mount50", b"null\0", b"/upper\0", MNT_GETARGS, bytearray(8), 8) == "EINVAL"


def test_update_is_not_supported(p: Process) -> None:
    assert null_error(p, b"/lower", b"/upper", MNT_UPDATE | MNT_RDONLY) == "EOPNOTSUPP"
    assert p.error("__mount50", b"null\0", b"/upper\0", MNT_UPDATE, None, 0) == "EINVAL"
    assert p.statvfs(b"/upper")[0] == MNT_LOCAL


# --- unmounting ------------------------------------------------------------------------------------------


def test_a_file_system_with_a_layer_is_busy(machine: Machine, p: Process) -> None:
    before = machine.busy()[b"/"]
    p.make(b"/upper/file")
    fd = p.call("open", b"/upper/file", O_RDONLY, 0)
    assert p.error("unmount", b"/lower", 0) == "EBUSY"
    assert p.error("unmount", b"/upper", 0) == "EBUSY"
    p.call("close", fd)
    assert p.error("unmount", b"/lower", 0) == "EBUSY"
    p.call("unmount", b"/upper", 0)
    p.call("unmount", b"/lower", 0)
    assert machine.busy() == {b"/": before - 2}


def test_forced_unmount_of_the_layer(machine: Machine, p: Process) -> None:
    p.make(b"/upper/file", b"content")
    fd = p.call("open", b"/upper/file", O_RDONLY, 0)
    p.call("chdir", b"/upper")
    p.call("unmount", b"/upper", MNT_FORCE)
    assert p.error("read", fd, 1) == "EIO"
    assert p.content(b"/lower/file") == b"content"
    p.call("chdir", b"/")
    p.call("close", fd)
    p.call("unmount", b"/lower", 0)
    assert list(machine.busy()) == [b"/"]


def test_forced_unmount_below_leaves_a_dead_layer(machine: Machine, p: Process) -> None:
    p.make(b"/upper/file", b"content")
    fd = p.call("open", b"/upper/file", O_RDONLY, 0)
    p.call("unmount", b"/lower", MNT_FORCE)
    assert p.error("read", fd, 1) == "EIO"
    assert p.error("__stat50", b"/upper/file") == "ENOENT"
    assert p.error("__stat50", b"/upper") == "EBADF"
    assert p.statvfs(b"/upper")[-3] == b"null"
    p.call("close", fd)
    p.call("unmount", b"/upper", 0)
    assert list(machine.busy()) == [b"/"]


def test_a_layer_on_the_root(p: Process) -> None:
    p.mount_null(b"/upper", b"/")
    assert p.stat(b"/upper/dev").fileid == p.stat(b"/dev").fileid
    p.call("chroot", b"/upper/lower")
    assert p.stat(b"/..") == p.stat(b"/")


def test_halt_takes_layers_first(machine: Machine, p: Process) -> None:
    fd = p.call("open", b"/upper/file", O_CREAT | O_RDWR, 0o644)
    p.call("write", fd, b"content")
    assert machine.kernel.vfs is not None
    machine.kernel.vfs.unmount_all()
    assert list(machine.busy()) == [b"/"]
