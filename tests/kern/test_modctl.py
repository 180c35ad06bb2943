"""modctl(2): modules over the socket, from the operator's directory and from nowhere else (sys_module.c)."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from rumpfs.kern.module_vfs import MODULE_DIR
from tests.kern.incore import USER, Machine, Process
from tests.serving import Peer, serving

LOAD, UNLOAD, STAT, EXISTS = range(4)
FORCE = 1
SOURCE_KERNEL, SOURCE_FILESYS = 0, 2
SOURCE = """
NAME = "{name}"
CLASS = "misc"
REQUIRES = {requires}

def init(kernel):
    kernel.print("{name} init")

def fini(kernel):
    kernel.print("{name} fini")
"""


def write(path: Path, name: str, *requires: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(SOURCE.format(name=name, requires=requires))
    return path


@pytest.fixture
def modules(tmp_path: Path, machine: Machine) -> Path:
    """The operator's directory."""
    directory = tmp_path / "modules"
    directory.mkdir()
    machine.kernel.modules.directory = str(directory)
    return directory


def load(
    p: Process, name: bytes, flags: int = 0, props: bytes | None = None, propslen: int | None = None
) -> str:
    """Return how loading a module came out."""
    pointer = 0 if props is None else p.memory.map(props + b"\0")
    length = len(props or b"") if propslen is None else propslen
    args = struct.pack("<Qi4xQQ", p.memory.map(name + b"\0"), flags, pointer, length)
    return p.error("modctl", LOAD, args)


def unload(p: Process, name: bytes) -> str:
    return p.error("modctl", UNLOAD, name + b"\0")


def listed(p: Process) -> dict[bytes, tuple[int, int]]:
    """Return the source and the reference count of each module."""
    iov = bytearray(struct.pack("<QQ", 0, 0))
    assert p.call("modctl", STAT, iov) == 0
    (length,) = struct.unpack_from("<Q", iov, 8)
    buffer = bytearray(length)
    p.call("modctl", STAT, struct.pack("<QQ", p.memory.map(buffer), length))
    found = {}
    for start in range(0, length, 392):
        source, refcnt = struct.unpack_from("<i8xi", buffer, start + 360)
        found[bytes(buffer[start : start + 32]).rstrip(b"\0")] = source, refcnt
    return found


# --- files ----------------------------------------------------------------------------------------------


def test_a_file_of_the_directory(machine: Machine, p: Process, modules: Path) -> None:
    write(modules / "probe.kmod", "probe")
    assert load(p, b"probe") == "ok"
    assert listed(p)[b"probe"] == (SOURCE_FILESYS, 0)
    assert load(p, b"probe") == "EEXIST"
    assert unload(p, b"probe") == "ok"
    assert unload(p, b"probe") == "ENOENT"
    assert b"probe" not in listed(p)
    assert load(p, b"probe.kmod") == "ok"
    assert machine.console == b"probe init\nprobe fini\nprobe init\n"


def test_netbsds_layout_of_the_directory(p: Process, modules: Path) -> None:
    write(modules / "probe" / "probe.kmod", "probe")
    assert load(p, b"probe") == "ok"


def test_what_is_required_is_loaded_and_counted(p: Process, modules: Path) -> None:
    write(modules / "upper.kmod", "upper", "lower")
    assert load(p, b"upper") == "ENOENT", "there is no lower"
    write(modules / "lower.kmod", "lower")
    assert load(p, b"upper") == "ok"
    assert listed(p)[b"lower"] == (SOURCE_FILESYS, 1)
    assert unload(p, b"lower") == "EBUSY"
    assert unload(p, b"upper") == "ok"
    assert listed(p)[b"lower"] == (SOURCE_FILESYS, 0)
    assert unload(p, b"lower") == "ok"


def test_without_a_directory_nothing_is_loaded(p: Process) -> None:
    assert load(p, b"probe") == "ENOENT"
    assert load(p, os.fsencode(MODULE_DIR) + b"/tmpfs") == "EPERM"


def test_no_name_leads_out_of_the_directory(p: Process, modules: Path, tmp_path: Path) -> None:
    outside = write(tmp_path / "outside" / "probe.kmod", "probe")
    write(tmp_path / "probe.kmod", "probe")
    p.make(b"/probe.kmod", outside.read_bytes())
    for name in (b"/probe.kmod", b"./probe", b"../probe", b"../probe.kmod", b"..", b"x/../../probe"):
        assert load(p, name) == "EPERM"
    for name in (b"", b".", b".kmod", b"probe", b"pro*", b"a b", b"\xff\xfe", b"@machine"):
        assert load(p, name) == "ENOENT"
    assert load(p, os.fsencode(outside)) == "EPERM"
    (modules / "probe.kmod").symlink_to(outside)
    assert load(p, b"probe") == "EPERM"
    (modules / "other").symlink_to(outside.parent)
    (outside.parent / "other.kmod").write_text(SOURCE.format(name="other", requires=()))
    assert load(p, b"other") == "EPERM"
    assert b"probe" not in listed(p)


def test_links_within_the_directory_are_followed(p: Process, modules: Path) -> None:
    write(modules / "probe.kmod.2", "probe")
    (modules / "probe.kmod").symlink_to("probe.kmod.2")
    assert load(p, b"probe") == "ok"
    (modules / "gone.kmod").symlink_to("nowhere")
    assert load(p, b"gone") == "ENOENT"


def test_what_is_no_module_file(p: Process, modules: Path) -> None:
    (modules / "dir.kmod").mkdir()
    os.mkfifo(modules / "fifo.kmod")
    (modules / "elf.kmod").write_bytes(b"\x7fELF" + bytes(100))
    write(modules / "alias.kmod", "another")
    for name, error in [(b"dir", "EPERM"), (b"fifo", "EPERM"), (b"elf", "ENOEXEC"), (b"alias", "ENOENT")]:
        assert load(p, name) == error
    assert load(p, b"n" * 32) == "ENAMETOOLONG"
    assert load(p, b"n" * 2000) == "ENAMETOOLONG"


# --- what is built in -----------------------------------------------------------------------------------


def mount(p: Process, fstype: bytes) -> str:
    data = struct.pack("<i4xQQIII4x", 1, 0, 0, 0, 0, 0o755)
    return p.error("__mount50", fstype + b"\0", b"/mnt\0", 0, data, len(data))


def test_a_built_in_file_system_is_unloaded_and_forced_back(p: Process) -> None:
    """As t_modcmd.c does twice: mounting fails, works once the module is there, and fails again without."""
    p.call("mkdir", b"/mnt", 0o755)
    assert listed(p)[b"tmpfs"] == (SOURCE_KERNEL, 0)
    assert load(p, b"tmpfs") == "EEXIST"
    for _ in range(2):
        assert mount(p, b"tmpfs") == "ok"
        assert unload(p, b"tmpfs") == "EBUSY"
        p.call("unmount", b"/mnt", 0)
        assert unload(p, b"tmpfs") == "ok"
        assert unload(p, b"tmpfs") == "ENOENT"
        assert mount(p, b"tmpfs") == "ENODEV"
        assert listed(p)[b"tmpfs"] == (SOURCE_KERNEL, -1)
        assert list(listed(p))[-1] == b"tmpfs", "those come last"
        assert load(p, b"tmpfs") == "EPERM"
        assert load(p, b"tmpfs", FORCE) == "ok"


def test_a_module_of_the_operator_is_no_exception(machine: Machine, tmp_path: Path) -> None:
    """tmpfs.kmod of the package, in a kernel that has no tmpfs, from --module-dir."""
    machine = Machine(["rumpvfs"])
    p = machine.process()
    p.call("mkdir", b"/mnt", 0o755)
    assert mount(p, b"tmpfs") == "ENODEV"
    assert load(p, b"tmpfs") == "ENOENT", "a client does not name the package's directory"
    machine.kernel.modules.directory = MODULE_DIR
    assert load(p, b"tmpfs") == "ok"
    assert mount(p, b"tmpfs") == "ok"
    assert unload(p, b"tmpfs") == "EBUSY"
    p.call("unmount", b"/mnt", 0)
    assert unload(p, b"tmpfs") == "ok"
    assert mount(p, b"tmpfs") == "ENODEV"


# --- arguments ------------------------------------------------------------------------------------------


def test_only_root_loads_and_unloads(machine: Machine, modules: Path) -> None:
    write(modules / "probe.kmod", "probe")
    user = machine.process(USER)
    assert load(user, b"probe") == "EPERM"
    assert unload(user, b"tmpfs") == "EPERM"
    assert user.error("modctl", EXISTS, 0) == "EPERM"
    assert b"tmpfs" in listed(user)
    root = machine.process()
    assert [root.error("modctl", EXISTS, arg) for arg in (0, 1, 2)] == ["ok", "ok", "EINVAL"]


def test_properties(p: Process, modules: Path) -> None:
    write(modules / "probe.kmod", "probe")
    plist = b'<?xml version="1.0"?><plist version="1.0"><dict><key>a</key><integer>1</integer></dict></plist>'
    for props, propslen, error in [
        (None, 5, "EINVAL"),
        (plist, 0, "EINVAL"),
        (plist, 4097, "ENOMEM"),
        (plist, 10, "ENAMETOOLONG"),
        (b"<plist><dict>", None, "EINVAL"),
        (b"<plist><array/></plist>", None, "EINVAL"),
        (b"nonsense", None, "EINVAL"),
        (plist, None, "ok"),
    ]:
        assert load(p, b"probe", 0, props, propslen) == error


def test_stat_stores_what_fits(p: Process) -> None:
    buffer = bytearray(b"\xaa" * 500)
    iov = bytearray(struct.pack("<QQ", p.memory.map(buffer), 400))
    p.call("modctl", STAT, iov)
    base, length = struct.unpack("<QQ", iov)
    assert length > 400
    assert length % 392 == 0
    assert bytes(buffer[:32]).rstrip(b"\0") in listed(p)
    assert buffer[400:] == b"\xaa" * 100
    assert base


def test_bad_commands_and_addresses(p: Process) -> None:
    for cmd in (-1, 4):
        assert p.error("modctl", cmd, None) == "EINVAL"
    for cmd in (LOAD, UNLOAD, STAT):
        assert p.error("modctl", cmd, None) == "EFAULT"
        assert p.error("modctl", cmd, 8) == "EFAULT"
    assert unload(p, b"n" * 32) == "ENAMETOOLONG"
    assert p.error("modctl", STAT, struct.pack("<QQ", 8, 100)) == "EFAULT"


def test_a_server_with_module_dir(tmp_path: Path) -> None:
    modctl = 246
    directory = tmp_path / "modules"
    write(directory / "probe.kmod", "probe")
    memory = {0x1000: struct.pack("<Qi4xQQ", 0x2000, 0, 0, 0), 0x2000: b"probe\0"}
    for options, error in [(["--module-dir", str(directory)], 0), ([], 2)]:
        (tmp_path / str(error)).mkdir()
        with (
            serving(tmp_path / str(error), *options, "-lrumpvfs", program="rump_server") as served,
            Peer(served.path) as peer,
        ):
            peer.guest()
            assert peer.call(modctl, LOAD, 0x1000, memory=memory).error == error
            assert peer.call(modctl, UNLOAD, 0x2000, memory=memory).error == error
