"""Structures as the kernel's headers lay them out, and bytes that are none."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from rumpfs.abi import syscalls
from rumpfs.abi.stat import STATVFS
from rumpfs.client import RumpError
from rumpfs.client.records import DirEntry, dirents, stat_result, statvfs_result
from rumpfs.sysproxy import wire
from tests.client.recording import Message, calls_of, load


def stored(path: Path, call: str) -> bytes:
    """Return what the recorded kernel stored in the first call of this name."""
    number = syscalls.BY_NAME[call].number
    calls = calls_of(load(path)).values()
    first = next(call for call in calls if call.request.heading[4] == number)
    return b"".join(data for _, data in sorted(first.stored.items()))


def test_stat_as_the_c_client_printed_it(shared: Path) -> None:
    data = stored(shared / "wire/root.jsonl", "__stat50")
    st = stat_result(data)
    lines = (shared / "wire/root.out").read_text().splitlines()
    (line,) = [line for line in lines if line.strip().startswith("/: dev=")]
    facts = dict(word.split("=") for word in line.split()[1:])
    assert (st.st_dev, st.st_ino) == (int(facts["dev"], 16), int(facts["ino"], 16))
    assert st.st_mode == int(facts["mode"], 8)
    for key in ("nlink", "uid", "gid", "size", "blocks", "blksize", "flags", "gen"):
        assert getattr(st, f"st_{key}") == int(facts[key]), key
    seconds, nanoseconds = struct.unpack_from("<qq", data, 64)
    assert st.st_mtime_ns == seconds * 10**9 + nanoseconds
    assert st.st_birthtime == pytest.approx(struct.unpack_from("<q", data, 96)[0], abs=1)


def test_directory_as_recorded(shared: Path) -> None:
    names = [entry.name for entry in dirents(stored(shared / "wire/root.jsonl", "__getdents30"))]
    assert sorted(names) == [b"dev", b"tmp"]


def test_statvfs_as_recorded(shared: Path) -> None:
    vfs = statvfs_result(stored(shared / "wire/tmpfs.jsonl", "statvfs1"))
    assert (vfs.f_bsize, vfs.f_frsize, vfs.f_iosize, vfs.f_namemax) == (4096, 4096, 4096, 255)
    assert (vfs.f_fstypename, vfs.f_mntfromname) == (b"tmpfs", b"tmpfs")
    assert vfs.f_fsid == vfs.f_fsidx & 0xFFFFFFFF
    assert STATVFS.size == 2256


def entry(name: bytes, ino: int = 5, kind: int = 8, **wrong: int) -> bytes:
    size = (13 + len(name) + 1 + 7) & ~7
    head = struct.pack("<QHHB", ino, wrong.get("reclen", size), wrong.get("namlen", len(name)), kind)
    return (head + name).ljust(size, b"\0")


def test_entries_follow_each_other_and_unused_ones_are_left_out() -> None:
    data = entry(b"a", 7, 4) + entry(b"gone", 0) + entry(b"\xff" * 255, 2**64 - 1, 14)
    assert dirents(data) == [DirEntry(b"a", 7, 4), DirEntry(b"\xff" * 255, 2**64 - 1, 14)]
    assert dirents(b"") == []


@pytest.mark.parametrize(
    "data",
    [
        b"x",
        entry(b"name")[:13],
        entry(b"name")[:-1],
        entry(b"name", reclen=0),
        entry(b"name", reclen=13),
        entry(b"name", reclen=16),
        entry(b"name", reclen=65535),
        entry(b"name", namlen=65535),
        entry(b"name", namlen=12),
        entry(b""),
        entry(b"../up"),
        entry(b"/etc"),
        entry(b"a\0b"),
        entry(b"fine") + b"\1" * 5,
    ],
    ids=lambda data: data.hex()[:60],
)
def test_what_is_no_directory_is_an_error(data: bytes) -> None:
    with pytest.raises(RumpError, match="the server sent"):
        dirents(data)


def test_a_structure_of_another_size_is_an_error() -> None:
    for decode, size in ((stat_result, 152), (statvfs_result, 2256)):
        decode(bytes(size))
        for wrong in (0, size - 1, size + 1):
            with pytest.raises(RumpError, match=f"of {wrong} bytes; it has {size}"):
                decode(bytes(wrong))


def test_messages_of_recordings_are_whole(shared: Path) -> None:
    messages: list[Message] = load(shared / "wire/guest.jsonl")
    assert messages[0].data == wire.BANNER
    assert all(message.heading[0] == len(message.data) for message in messages[1:])
