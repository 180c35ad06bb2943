"""The system calls of extended attributes (NetBSD: vfs_xattr.c; tests/fs/ffs/t_extattr.c)."""

from __future__ import annotations

from typing import Any

import pytest

from rumpfs.abi.extattr import (
    EXTATTR_CMD_START,
    EXTATTR_NAMESPACE_SYSTEM,
    EXTATTR_NAMESPACE_USER,
    XATTR_CREATE,
    XATTR_REPLACE,
)
from rumpfs.abi.fcntl import O_CREAT, O_RDONLY, O_RDWR
from rumpfs.abi.mount import MNT_EXTATTR, MNT_FORCE, MNT_RDONLY, MNT_UPDATE
from rumpfs.abi.syscalls import SYSCALLS
from rumpfs.base.copy import COPYIN_MAX, CopyIn
from tests.images_util import freebsd_image, manifest, netbsd_image
from tests.kern.attrfs import SIZE, AttrMount, AttrOps
from tests.kern.incore import USER as NOBODY
from tests.kern.incore import Machine, Process

USER, SYSTEM = EXTATTR_NAMESPACE_USER, EXTATTR_NAMESPACE_SYSTEM
ENODATA = 89

#: the calls by what they do, each with its form for a path, for the path of a link, and for a descriptor
FORMS = {
    "set": ("extattr_set_file", "extattr_set_link", "extattr_set_fd"),
    "get": ("extattr_get_file", "extattr_get_link", "extattr_get_fd"),
    "list": ("extattr_list_file", "extattr_list_link", "extattr_list_fd"),
    "delete": ("extattr_delete_file", "extattr_delete_link", "extattr_delete_fd"),
    "setxattr": ("setxattr", "lsetxattr", "fsetxattr"),
    "getxattr": ("getxattr", "lgetxattr", "fgetxattr"),
    "listxattr": ("listxattr", "llistxattr", "flistxattr"),
    "removexattr": ("removexattr", "lremovexattr", "fremovexattr"),
}
#: arguments behind the path or descriptor
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "set": (USER, b"name\0", b"value", 5),
    "get": (USER, b"name\0", None, 0),
    "list": (USER, None, 0),
    "delete": (USER, b"name\0"),
    "setxattr": (b"user.name\0", b"value", 5, 0),
    "getxattr": (b"user.name\0", None, 0),
    "listxattr": (None, 0),
    "removexattr": (b"user.name\0",),
}


@pytest.fixture
def attrs(machine: Machine) -> Process:
    """A process in ``/a``, which keeps extended attributes of ``file`` and ``link``."""
    assert machine.kernel.vfs is not None
    machine.kernel.vfs.attach(AttrOps())
    process = machine.process()
    process.call("mkdir", b"/a", 0o755)
    process.call("__mount50", b"attrfs\0", b"/a\0", 0, None, 0)
    process.call("chdir", b"/a")
    return process


def get(p: Process, name: str, where: Any, *what: Any, room: int = 512) -> bytes:
    """Make a call that stores something, and return what it says it has stored."""
    buffer = bytearray(room)
    length = p.call(name, where, *what, buffer, room)
    assert not any(buffer[length:])
    return bytes(buffer[:length])


def packed(*names: bytes) -> bytes:
    return b"".join(bytes([len(name)]) + name for name in names)


def test_every_form_is_tested_here() -> None:
    wanted = {row.name for row in SYSCALLS if "attr" in row.name} - {"extattrctl"}
    assert wanted == {name for forms in FORMS.values() for name in forms}


# --- t_extattr.c ------------------------------------------------------------------------------------------


def test_extattr_simple(attrs: Process) -> None:
    fd = attrs.call("open", b"file", O_RDWR, 0)
    assert attrs.call("extattr_set_fd", fd, USER, b"engine\0", b"carburator\0", 11) == 11
    assert get(attrs, "extattr_get_file", b"file", USER, b"engine\0") == b"carburator\0"
    assert attrs.call("extattr_set_file", b"file", USER, b"trunk\0", b"suitcase\0", 9) == 9
    assert get(attrs, "extattr_get_fd", fd, USER, b"trunk\0") == b"suitcase\0"
    for call, where in (("extattr_list_fd", fd), ("extattr_list_file", b"file")):
        assert get(attrs, call, where, USER) == b"\x06engine\x05trunk"
    assert attrs.call("extattr_delete_fd", fd, USER, b"trunk\0") == 0
    assert get(attrs, "extattr_list_fd", fd, USER) == b"\x06engine"
    assert attrs.call("extattr_delete_file", b"file", USER, b"engine\0") == 0
    assert get(attrs, "extattr_list_fd", fd, USER) == b""
    attrs.call("close", fd)


# --- what all have in common ------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", FORMS)
def test_file_systems_without_attributes(t: Process, verb: str) -> None:
    """EOPNOTSUPP of extattr(2) is ENOTSUP for the calls that Linux has, too."""
    t.make(b"f")
    t.call("symlink", b"nowhere", b"l")
    fd = t.call("open", b"f", O_RDONLY, 0)
    path, link, descriptor = FORMS[verb]
    expected = "ENOTSUP" if "xattr" in verb else "EOPNOTSUPP"
    for name, where in ((path, b"f"), (path, b"."), (link, b"f"), (link, b"l"), (descriptor, fd)):
        assert t.error(name, where, *ARGUMENTS[verb]) == expected
    assert t.error(path, b"l", *ARGUMENTS[verb]) == "ENOENT"


@pytest.mark.parametrize("verb", FORMS)
def test_which_file_is_meant(attrs: Process, verb: str) -> None:
    path, link, descriptor = FORMS[verb]
    args = ARGUMENTS[verb]
    reader, _ = attrs.call("pipe")
    assert attrs.error(path, b"missing", *args) == attrs.error(link, b"missing", *args) == "ENOENT"
    assert attrs.error(path, b"link/x", *args) == "ENOTDIR"
    assert attrs.error(path, None, *args) == attrs.error(link, None, *args) == "EFAULT"
    assert attrs.error(path, b"x" * 1024, *args) == "ENAMETOOLONG"
    assert attrs.error(descriptor, 99, *args) == "EBADF"
    assert attrs.error(descriptor, reader, *args) == "EINVAL"


@pytest.mark.parametrize("verb", [verb for verb in FORMS if "list" not in verb])
def test_the_name_comes_before_the_file(attrs: Process, verb: str) -> None:
    """It has at most 255 bytes with its NUL."""
    at = 0 if "xattr" in verb else 1

    def args(name: bytes | None) -> tuple[Any, ...]:
        return (*ARGUMENTS[verb][:at], name, *ARGUMENTS[verb][at + 1 :])

    for name, where in zip(FORMS[verb], (b"missing", b"missing", 99), strict=True):
        assert attrs.error(name, where, *args(None)) == "EFAULT"
        assert attrs.error(name, where, *args(b"x" * 255 + b"\0")) == "ENAMETOOLONG"
        assert attrs.error(name, where, *args(b"x" * 254 + b"\0")) in ("ENOENT", "EBADF")


def test_a_link_has_attributes_of_its_own(attrs: Process) -> None:
    attrs.call("extattr_set_file", b"link", USER, b"a\0", b"of the file", 11)
    attrs.call("extattr_set_link", b"link", USER, b"a\0", b"of the link", 11)
    attrs.call("setxattr", b"link", b"b\0", b"file too", 8, 0)
    attrs.call("lsetxattr", b"link", b"b\0", b"link too", 8, 0)
    for name in (b"file", b"link"):
        assert get(attrs, "extattr_get_file", name, USER, b"a\0") == b"of the file"
        assert get(attrs, "getxattr", name, b"b\0") == b"file too"
    assert get(attrs, "extattr_get_link", b"link", USER, b"a\0") == b"of the link"
    assert get(attrs, "lgetxattr", b"link", b"b\0") == b"link too"
    attrs.call("extattr_delete_link", b"link", USER, b"a\0")
    assert get(attrs, "llistxattr", b"link") == b"b\0"
    assert get(attrs, "listxattr", b"link") == b"a\0b\0"
    attrs.call("lremovexattr", b"link", b"b\0")
    assert get(attrs, "extattr_list_link", b"link", USER) == b""
    attrs.call("removexattr", b"link", b"b\0")
    assert get(attrs, "extattr_list_file", b"link", USER) == b"\x01a"


# --- sizes ------------------------------------------------------------------------------------------------


def test_without_a_buffer_the_length_is_returned(attrs: Process) -> None:
    attrs.call("extattr_set_file", b"file", USER, b"name\0", b"x" * 1000, 1000)
    attrs.call("extattr_set_file", b"file", USER, b"other\0", None, 0)
    for size in (0, 5, 2**64 - 1):
        assert attrs.call("extattr_get_file", b"file", USER, b"name\0", None, size) == 1000
        assert attrs.call("extattr_get_file", b"file", USER, b"other\0", None, size) == 0
        assert attrs.call("getxattr", b"file", b"name\0", None, size) == 1000
        assert attrs.call("extattr_list_file", b"file", USER, None, size) == 5 + 6
        assert attrs.call("listxattr", b"file", None, size) == 5 + 6


def test_what_does_not_fit_is_cut(attrs: Process) -> None:
    attrs.call("extattr_set_file", b"file", USER, b"name\0", b"0123456789", 10)
    for size in range(12):
        assert get(attrs, "extattr_get_file", b"file", USER, b"name\0", room=size) == b"0123456789"[:size]
        assert get(attrs, "getxattr", b"file", b"name\0", room=size) == b"0123456789"[:size]
        assert get(attrs, "extattr_list_file", b"file", USER, room=size) == b"\x04name"[:size]
        assert get(attrs, "listxattr", b"file", room=size) == b"name\0"[:size]


def test_sizes_beyond_int_max(attrs: Process) -> None:
    attrs.call("extattr_set_file", b"file", USER, b"name\0", b"x", 1)
    for size in (2**31, 2**64 - 1):
        assert attrs.error("extattr_get_file", b"file", USER, b"name\0", b"", size) == "EINVAL"
        assert attrs.error("extattr_list_file", b"file", USER, b"", size) == "EINVAL"
        assert attrs.error("extattr_set_file", b"file", USER, b"name\0", b"", size) == "EINVAL"
        assert attrs.error("getxattr", b"file", b"name\0", b"", size) == "EINVAL"
        assert attrs.error("listxattr", b"file", b"", size) == "EINVAL"
        assert attrs.error("setxattr", b"file", b"name\0", b"", size, 0) == "EINVAL"


def test_a_value_is_fetched_when_all_else_is_right(attrs: Process) -> None:
    wild = 0x10
    assert attrs.error("extattr_set_file", b"file", USER, b"name\0", wild, SIZE + 1) == "ENXIO"
    assert attrs.error("extattr_set_file", b"file", 3, b"name\0", wild, 5) == "EINVAL"
    assert attrs.error("extattr_set_file", b"file", USER, b"name\0", wild, COPYIN_MAX + 1) == "EFBIG"
    assert not any(isinstance(request, CopyIn) for request in attrs.asked)
    assert attrs.error("extattr_set_file", b"file", USER, b"name\0", wild, 5) == "EFAULT"
    assert get(attrs, "extattr_list_file", b"file", USER) == b""
    assert (
        attrs.call("extattr_set_file", b"file", USER, b"name\0", bytes(COPYIN_MAX), COPYIN_MAX) == COPYIN_MAX
    )
    assert attrs.call("extattr_get_file", b"file", USER, b"name\0", None, 0) == COPYIN_MAX


def test_a_mount_stays_while_a_value_is_fetched(attrs: Process, machine: Machine) -> None:
    running = attrs.start("extattr_set_file", b"/a/file", USER, b"name\0", b"value", 5)
    while not isinstance(running.request, CopyIn):
        running.step()
    attrs.call("chdir", b"/")
    assert machine.process().error("unmount", b"/a", 0) == "EBUSY"
    running.step()
    assert running.result == 5
    assert get(attrs, "extattr_get_file", b"/a/file", USER, b"name\0") == b"value"
    assert machine.busy()[b"/a"] == 0


# --- namespaces and permissions ---------------------------------------------------------------------------


def test_namespaces_are_apart(attrs: Process) -> None:
    attrs.call("extattr_set_file", b"file", USER, b"name\0", b"user's", 6)
    attrs.call("extattr_set_file", b"file", SYSTEM, b"name\0", b"system's", 8)
    assert get(attrs, "extattr_get_file", b"file", USER, b"name\0") == b"user's"
    assert get(attrs, "extattr_get_file", b"file", SYSTEM, b"name\0") == b"system's"
    attrs.call("extattr_delete_file", b"file", USER, b"name\0")
    assert attrs.error("extattr_get_file", b"file", USER, b"name\0", None, 0) == "ENODATA"
    assert attrs.error("extattr_delete_file", b"file", USER, b"name\0") == "ENODATA"
    for attrnamespace in (0, 3, -1):
        assert attrs.error("extattr_get_file", b"file", attrnamespace, b"name\0", None, 0) == "EINVAL"
        assert attrs.error("extattr_list_file", b"file", attrnamespace, None, 0) == "EINVAL"


def test_the_prefix_of_a_linux_name_chooses_the_namespace_and_stays(attrs: Process) -> None:
    user = [b"user.a", b"a", b"system", b"other.a", b"System.a"]
    system = [b"system.a", b"security.a", b"trusted.a"]
    for name in user + system:
        attrs.call("setxattr", b"file", name + b"\0", name, len(name), 0)
    assert get(attrs, "extattr_list_file", b"file", USER) == packed(*user)
    assert get(attrs, "extattr_list_file", b"file", SYSTEM) == packed(*system)
    assert get(attrs, "listxattr", b"file") == b"".join(name + b"\0" for name in user + system)
    for name in user + system:
        assert get(attrs, "getxattr", b"file", name + b"\0") == name
        assert attrs.call("removexattr", b"file", name + b"\0") == 0
    assert get(attrs, "listxattr", b"file") == b""


def test_what_others_than_the_superuser_may(attrs: Process, machine: Machine) -> None:
    """file belongs to user 1 and has mode 0755, the directory to root."""
    attrs.call("setxattr", b"file", b"system.a\0", b"x", 1, 0)
    attrs.call("setxattr", b"/a", b"user.a\0", b"x", 1, 0)
    user = machine.process(NOBODY)
    user.call("setxattr", b"/a/file", b"user.a\0", b"x", 1, 0)
    assert get(user, "listxattr", b"/a/file") == b"user.a\0"
    assert user.call("listxattr", b"/a/file", None, 0) == 7
    for path in (b"/a/file", b"/a"):
        assert user.error("extattr_list_file", path, SYSTEM, None, 0) == "EPERM"
        assert user.error("getxattr", path, b"system.a\0", None, 0) == "EPERM"
        assert user.error("setxattr", path, b"system.a\0", b"x", 1, 0) == "EPERM"
        assert user.error("removexattr", path, b"system.a\0") == "EPERM"
    assert get(user, "getxattr", b"/a", b"user.a\0") == b"x"
    assert user.error("setxattr", b"/a", b"user.a\0", b"x", 1, 0) == "EACCES"
    assert user.error("removexattr", b"/a", b"user.a\0") == "EACCES"


def test_create_and_replace(attrs: Process) -> None:
    def set_(value: bytes, flags: int) -> str:
        return attrs.error("setxattr", b"file", b"n\0", value, len(value), flags)

    assert set_(b"0", XATTR_REPLACE) == set_(b"0", XATTR_CREATE | XATTR_REPLACE) == "ENODATA"
    assert set_(b"1", XATTR_CREATE) == "ok"
    assert set_(b"2", XATTR_CREATE) == set_(b"2", XATTR_CREATE | XATTR_REPLACE) == "EEXIST"
    assert get(attrs, "getxattr", b"file", b"n\0") == b"1"
    assert set_(b"3", XATTR_REPLACE) == set_(b"4", 0) == "ok"
    assert get(attrs, "getxattr", b"file", b"n\0") == b"4"
    assert attrs.call("setxattr", b"file", b"n\0", b"12345", 5, 0) == 0


def test_a_read_only_mount(attrs: Process) -> None:
    attrs.call("extattr_set_file", b"file", USER, b"n\0", b"x", 1)
    attrs.p.cwd.v_mount.mnt_flag |= MNT_RDONLY
    wild = 0x10
    assert attrs.error("extattr_set_file", b"file", USER, b"n\0", wild, 1) == "EROFS"
    assert attrs.error("setxattr", b"file", b"n\0", wild, 1, XATTR_REPLACE) == "EROFS"
    assert attrs.error("setxattr", b"file", b"n\0", wild, 1, XATTR_CREATE) == "EEXIST"
    assert attrs.error("extattr_delete_file", b"file", USER, b"n\0") == "EROFS"
    assert get(attrs, "extattr_get_file", b"file", USER, b"n\0") == b"x"


# --- extattrctl -------------------------------------------------------------------------------------------


def test_extattrctl(attrs: Process, t: Process) -> None:
    mp = attrs.p.cwd.v_mount
    assert isinstance(mp, AttrMount)
    file = mp.mnt_root.lookup(b"file")
    assert attrs.call("extattrctl", b"file", EXTATTR_CMD_START, None, 0, None) == 0
    assert attrs.call("extattrctl", b".", 3, b"link", USER, b"name\0") == 0
    assert mp.commands == [(EXTATTR_CMD_START, None, 0, None, 0), (3, file, USER, b"name", 0)]
    assert attrs.error("extattrctl", b"missing", 1, None, 0, b"x" * 255 + b"\0") == "ENAMETOOLONG"
    assert attrs.error("extattrctl", b"missing", 1, b"missing", 0, None) == "ENOENT"
    assert attrs.error("extattrctl", b"file", 1, b"missing", 0, None) == "ENOENT"
    assert attrs.error("extattrctl", None, 1, None, 0, None) == "EFAULT"
    assert t.error("extattrctl", b".", 1, None, 0, None) == "EOPNOTSUPP"
    assert len(mp.commands) == 2


# --- on images ----------------------------------------------------------------------------------------------


def test_attributes_of_ufs1_are_started_by_the_mount(p: Process, machine: Machine) -> None:
    name = "extattr-v1be"
    fact = manifest(name)["extattrs"][0]
    path = b"/m" + fact["path"].encode()
    args = USER, fact["name"].encode() + b"\0", None, 0
    machine.drive(b"/dev/dk", netbsd_image(name))
    p.call("mkdir", b"/m", 0o755)
    p.mount_ffs(b"/m", b"/dev/dk")

    def update(flags: int) -> int:
        p.call("__mount50", None, b"/m\0", MNT_UPDATE | MNT_RDONLY | flags, bytes(8), 8)
        return int(p.statvfs(b"/m")[0]) & MNT_EXTATTR

    assert p.error("extattr_get_file", path, *args) == "EOPNOTSUPP"
    assert p.error("getxattr", path, *args[1:]) == "ENOTSUP"
    for _ in range(2):
        assert update(MNT_EXTATTR) == MNT_EXTATTR
        assert p.call("extattr_get_file", path, *args) == fact["size"]
        assert update(MNT_EXTATTR) == MNT_EXTATTR
        assert update(0) == 0
        assert p.error("extattr_get_file", path, *args) == "EOPNOTSUPP"
    assert p.call("extattrctl", b"/m", EXTATTR_CMD_START, None, 0, None) == 0
    assert machine.process(NOBODY).error("extattrctl", b"/m", EXTATTR_CMD_START, None, 0, None) == "EPERM"
    assert update(MNT_EXTATTR) == 0  # it was started already, so NetBSD says that it failed
    p.call("unmount", b"/m", 0)
    p.mount_ffs(b"/m", b"/dev/dk", MNT_RDONLY | MNT_EXTATTR)
    assert p.call("extattr_get_file", path, *args) == fact["size"]
    fd = p.call("open", path, O_RDONLY, 0)
    p.call("unmount", b"/m", MNT_FORCE)
    assert p.error("extattr_get_fd", fd, *args) != "ok"


def test_an_update_that_cannot_start_attributes_says_so_in_its_flags(p: Process, machine: Machine) -> None:
    machine.drive(b"/dev/dk", netbsd_image("clean-v1le-16k-2k"))
    p.call("mkdir", b"/m", 0o755)
    p.mount_ffs(b"/m", b"/dev/dk")
    p.call("__mount50", None, b"/m\0", MNT_UPDATE | MNT_RDONLY | MNT_EXTATTR, bytes(8), 8)
    assert not p.statvfs(b"/m")[0] & MNT_EXTATTR


def test_a_backing_file_of_another_file_system_keeps_it_mounted(tmp: Process, machine: Machine) -> None:
    """extattrctl(2): UFS_EXTATTR_CMD_ENABLE. The file here is a tmpfs's."""
    name = "extattr-v1le"
    fact = manifest(name)["extattrs"][0]
    path = b"/m" + fact["path"].encode()
    machine.drive(b"/dev/dk", netbsd_image(name))
    tmp.call("mkdir", b"/m", 0o755)
    tmp.mount_ffs(b"/m", b"/dev/dk", MNT_RDONLY | MNT_EXTATTR)
    fd = tmp.call("open", b"backing", O_CREAT | O_RDWR, 0o600)
    source = tmp.call("open", b"/m/.attribute/user/mime", O_RDONLY, 0)
    while data := tmp.call("read", source, 1 << 20):
        tmp.call("write", fd, data)
    tmp.call("close", fd)
    tmp.call("close", source)
    tmp.call("extattrctl", b"/m", 3, b"backing", USER, b"copy\0")
    assert get(tmp, "extattr_get_file", path, USER, b"copy\0") == get(
        tmp, "extattr_get_file", path, USER, b"mime\0"
    )
    tmp.call("chdir", b"/")
    assert tmp.error("unmount", b"/t", 0) == "EBUSY"
    tmp.call("unmount", b"/m", 0)
    assert tmp.error("unmount", b"/t", 0) == "ok"


def test_attributes_of_freebsd_through_the_calls(p: Process, machine: Machine) -> None:
    machine.drive(b"/dev/dk", freebsd_image("ufs-big"))
    p.call("mkdir", b"/m", 0o755)
    p.mount_ffs(b"/m", b"/dev/dk")
    size = p.call("listxattr", b"/m/xattrs2", None, 0)
    names = get(p, "listxattr", b"/m/xattrs2", room=size).split(b"\0")
    assert names == [b"attr%d" % number for number in range(1, 2298)] + [b""]
    assert get(p, "extattr_get_file", b"/m/xattrs", USER, b"test\0") == b"testvalue"
    assert p.error("extattr_set_file", b"/m/xattrs", USER, b"test\0", b"x", 1) == "EROFS"
    assert p.error("setxattr", b"/m/xattrs", b"test\0", b"x", 1, 0) == "EROFS"
