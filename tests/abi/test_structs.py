"""Structures and numbers against the specification's offsets (netbsd_abi sections 2-5)."""

from __future__ import annotations

import errno as host_errno
import re
import struct
from pathlib import Path
from types import ModuleType

import pytest

from rumpfs.abi import errno, fcntl, ioctl, limits, mount, stat
from rumpfs.abi.module import MODCTL_LOAD_ARGS, MODSTAT


def offsets(layout: struct.Struct) -> list[int]:
    """Return where each field of a layout begins."""
    found = []
    done = "<"
    for count, code in re.findall(r"(\d*)([a-zA-Z])", layout.format.lstrip("<")):
        one = "" if code != "s" else count
        for _ in range(1 if code == "s" else int(count or 1)):
            if code != "x":
                found.append(struct.calcsize(done))
            done += f"{one}{code}"
    return found


def test_stat() -> None:
    assert stat.STAT.size == 152
    assert offsets(stat.STAT) == [
        0, 8, 16, 24, 28, 32, 40, 48, 56, 64, 72, 80, 88, 96, 104, 112, 120, 128, 132, 136,
    ]  # fmt: skip


def test_statvfs() -> None:
    assert stat.STATVFS.size == 2256
    assert offsets(stat.STATVFS) == [*range(0, 152, 8), 152, 172, 204, 1228]
    assert stat.STATVFS_100.size == 3296
    assert offsets(stat.STATVFS_100) == [*range(0, 152, 8), 152, 192, 224, 1248, 2272]


def test_dirent() -> None:
    assert offsets(stat.DIRENT) == [0, 8, 10, 12]
    assert stat.DIRENT_NAME == stat.DIRENT.size == 13
    assert [stat.direntsize(length) for length in (1, 2, 3, 10, 11, 255, 511)] == [
        16,
        16,
        24,
        24,
        32,
        272,
        528,
    ]


def test_mount_arguments() -> None:
    assert mount.UFS_ARGS.size == 8
    assert (mount.TMPFS_ARGS.size, offsets(mount.TMPFS_ARGS)) == (40, [0, 8, 16, 24, 28, 32])


def test_module_structures() -> None:
    assert (MODCTL_LOAD_ARGS.size, offsets(MODCTL_LOAD_ARGS)) == (32, [0, 8, 16, 24])
    assert (MODSTAT.size, offsets(MODSTAT)) == (392, [0, 32, 352, 360, 364, 368, 372, 376])


@pytest.mark.parametrize(
    ("major", "minor", "dev"),
    [(2, 0, 512), (2, 2, 514), (197, 0, 0xC500), (4095, 0, 0xFFF00), (0, 0x12345, 0x12300045)],
)
def test_device_numbers(major: int, minor: int, dev: int) -> None:
    assert stat.makedev(major, minor) == dev
    assert (stat.major(dev), stat.minor(dev)) == (major, minor)


def test_file_system_type_numbers() -> None:
    # f_fsidx of a tmpfs as recorded: ab01, 69ab
    assert mount.makefstype(b"tmpfs") & 0xFFFF == 0x69AB
    assert stat.makedev(mount.makefstype(b"tmpfs") & 0xFF, 1) == 0xAB01


# --- numbers -------------------------------------------------------------------------------------------


def section(shared: Path, title: str) -> str:
    text = (shared / "spec" / "netbsd_abi.md").read_text()
    return text[text.index(title) :].split("\n## ")[0]


def test_errnos(shared: Path) -> None:
    listed = dict(re.findall(r"(\d+) (E[A-Z0-9]+)(?= ·|\. EWOULDBLOCK)", section(shared, "## 4. errno")))
    assert len(listed) == 96
    assert {str(number): name for number, name in errno.NAMES.items()} == listed
    assert errno.EWOULDBLOCK == 35


def test_every_errno_is_one_of_the_hosts() -> None:
    assert set(errno.TO_HOST) == set(errno.NAMES)
    assert set(errno.TO_HOST.values()) <= set(host_errno.errorcode)
    for number, name in errno.NAMES.items():
        if hasattr(host_errno, name) and name != "ENOTSUP":
            assert errno.TO_HOST[number] == getattr(host_errno, name)
            assert errno.FROM_HOST[errno.TO_HOST[number]] == number


def test_every_errno_of_the_host_is_one() -> None:
    assert set(errno.FROM_HOST) == set(host_errno.errorcode)
    assert set(errno.FROM_HOST.values()) <= set(errno.NAMES)
    assert errno.FROM_HOST[host_errno.EAGAIN] == 35
    assert errno.FROM_HOST[host_errno.EDEADLK] == 11
    assert errno.FROM_HOST[host_errno.ENOTUNIQ] == errno.EIO
    assert errno.from_oserror(OSError(host_errno.ELOOP, "")) == 62
    assert errno.from_oserror(OSError("no number")) == errno.EIO


def test_every_errno_has_a_text() -> None:
    assert all(errno.strerror(number) and "Unknown" not in errno.strerror(number) for number in errno.NAMES)
    assert errno.strerror(2) == "No such file or directory"
    assert errno.strerror(79) == "Inappropriate file type or format"


#: what the specification lists, without prefix -> the module and the prefix that its names have
LISTS = [
    ("open flags", fcntl, "O_"),
    ("mount flags", mount, "MNT_"),
    ("pathconf names", limits, "PC_"),
]


@pytest.mark.parametrize(("title", "module", "prefix"), LISTS, ids=[entry[0] for entry in LISTS])
def test_constants(shared: Path, title: str, module: ModuleType, prefix: str) -> None:
    text = section(shared, "## 5. Constants")
    line = next(line for line in text.splitlines() if line.startswith(f"**{title}**"))
    listed = {
        name: int(value, 0)
        for name, value in re.findall(r"\b([A-Z0-9_]+)(?:\(\w+\))? (0x[0-9a-f]+|\d+)\b", line)
    }
    listed = {name.removeprefix(prefix): value for name, value in listed.items()}
    mine = {
        name.removeprefix(prefix): value
        for name, value in vars(module).items()
        if name.startswith(prefix) and isinstance(value, int) and not name.endswith(("_FLAGS", "MASK"))
    }
    assert len(mine) > 8
    assert {name: listed.get(name) for name in mine} == mine


def test_ioctl_numbers(shared: Path) -> None:
    text = section(shared, "## 5. Constants")
    listed = {name: int(value, 16) for name, value in re.findall(r"\b([A-Z]+) (0x[0-9a-f]{8})\b", text)}
    mine = {name: value for name, value in vars(ioctl).items() if re.match("FIO|DIOC|TIOC", name)}
    assert len(mine) > 8
    assert {name: listed[name] for name in mine} == mine
    assert ioctl.parameter_length(ioctl.DIOCGDINFO) == 408
    assert ioctl.parameter_length(ioctl.FIOCLEX) == 0


def test_what_a_mount_keeps_and_shows() -> None:
    assert not mount.MNT_BASIC_FLAGS & (
        mount.MNT_UPDATE | mount.MNT_FORCE | mount.MNT_GETARGS | mount.MNT_RELOAD
    )
    assert not mount.MNT_VISFLAGMASK & (mount.MNT_UPDATE | mount.MNT_RELATIME | mount.MNT_GETARGS)
    assert mount.MNT_VISFLAGMASK & mount.MNT_LOCAL
    assert set(mount.MOUNT_OPTIONS.values()) <= {1 << bit for bit in range(32)}
