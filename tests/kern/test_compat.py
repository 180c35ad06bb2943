"""Calls of earlier NetBSDs: the present body with the structures of then (sys/compat/sys/{stat,time}.h).

Layouts are given here as the headers have them for amd64.
"""

from __future__ import annotations

import struct
import time

import pytest

from rumpfs.abi.errno import EINTR
from rumpfs.abi.fcntl import O_CREAT, O_RDWR
from rumpfs.base.copy import Sleep
from rumpfs.base.errors import VfsError
from tests.kern.incore import Process

TIME50 = struct.Struct("<i4xq")  # struct timespec50 and struct timeval50: a 32-bit second and a long
REAL, MONOTONIC = 0, 3
#: offset and struct code of each field
STAT30 = {
    "dev": (0, "I"), "mode": (4, "I"), "ino": (8, "Q"), "nlink": (16, "I"), "uid": (20, "I"),
    "gid": (24, "I"), "rdev": (28, "I"), "atime": (32, "i4xq"), "mtime": (48, "i4xq"),
    "ctime": (64, "i4xq"), "birth": (80, "i4xq"), "size": (96, "q"), "blocks": (104, "q"),
    "blksize": (112, "I"), "flags": (116, "I"), "gen": (120, "I"),
}  # fmt: skip
STAT13 = {
    "dev": (0, "I"), "ino": (4, "I"), "mode": (8, "I"), "nlink": (12, "I"), "uid": (16, "I"),
    "gid": (20, "I"), "rdev": (24, "I"), "atime": (32, "i4xq"), "mtime": (48, "i4xq"),
    "ctime": (64, "i4xq"), "size": (80, "q"), "blocks": (88, "q"), "blksize": (96, "I"),
    "flags": (100, "I"), "gen": (104, "I"), "birth": (112, "i4xq"),
}  # fmt: skip
STAT12 = {
    "dev": (0, "I"), "ino": (4, "I"), "mode": (8, "H"), "nlink": (10, "H"), "uid": (12, "I"),
    "gid": (16, "I"), "rdev": (20, "I"), "atime": (24, "i4xq"), "mtime": (40, "i4xq"),
    "ctime": (56, "i4xq"), "size": (72, "q"), "blocks": (80, "q"), "blksize": (88, "I"), "flags": (92, "I"),
    "gen": (96, "I"),
}  # fmt: skip
STAT50 = {
    "dev": (0, "Q"), "mode": (8, "I"), "ino": (16, "Q"), "nlink": (24, "I"), "uid": (28, "I"),
    "gid": (32, "I"), "rdev": (40, "Q"), "atime": (48, "qq"), "mtime": (64, "qq"), "ctime": (80, "qq"),
    "birth": (96, "qq"), "size": (112, "q"), "blocks": (120, "q"), "blksize": (128, "I"),
    "flags": (132, "I"), "gen": (136, "I"),
}  # fmt: skip


def fields(layout: dict[str, tuple[int, str]], data: bytes) -> dict[str, tuple[int, ...]]:
    return {name: struct.unpack_from("<" + code, data, offset) for name, (offset, code) in layout.items()}


# --- stat -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layout", "size", "names"),
    [
        (STAT30, 136, ("compat_50___stat30", "compat_50___lstat30", "compat_50___fstat30")),
        (STAT13, 128, ("compat_30___stat13", "compat_30___lstat13", "compat_30___fstat13")),
        (STAT12, 120, ("compat_12_stat12", "compat_12_lstat12", "compat_12_fstat12")),
    ],
)
def test_earlier_stats(
    tmp: Process, layout: dict[str, tuple[int, str]], size: int, names: tuple[str, ...]
) -> None:
    fd = tmp.call("open", b"file", O_CREAT | O_RDWR, 0o640)
    tmp.call("write", fd, bytes(5000))
    tmp.call("chown", b"file", 70_000, 80_000)
    tmp.call("chflags", b"file", 1)
    tmp.call("__utimes50", b"file", struct.pack("<qi4xqi4x", 1_000_000_000, 5, 1_000_000_001, 6))
    tmp.call("symlink", b"file", b"link")
    present = fields(STAT50, tmp.call("__stat50", b"link"))
    present["rdev"] = (0xFFFFFFFF,)  # NODEV
    for name, argument in zip(names[::2], (b"link", fd), strict=True):
        data = tmp.call(name, argument)
        assert len(data) == size
        earlier = fields(layout, data)
        assert earlier == {field: present[field] for field in layout}
        assert earlier["mtime"] == (1_000_000_001, 6000)
    link = fields(layout, tmp.call(names[1], b"link"))
    assert link["mode"][0] & 0o170000 == 0o120000
    assert link["ino"] == fields(STAT50, tmp.call("__lstat50", b"link"))["ino"]


def test_what_does_not_fit_loses_its_upper_bits(tmp: Process) -> None:
    tmp.make(b"file")
    tmp.call("__utimes50", b"file", struct.pack("<qi4xqi4x", (1 << 32) + 5, 0, (1 << 31) + 7, 0))
    earlier = fields(STAT30, tmp.call("compat_50___stat30", b"file"))
    assert earlier["atime"] == (5, 0)
    assert earlier["mtime"] == (7 - (1 << 31), 0)


def test_device_numbers_have_32_bits(tmp: Process) -> None:
    tmp.call("compat_50_mknod", b"node", 0o020600, 0x12345)
    assert fields(STAT50, tmp.call("__stat50", b"node"))["rdev"] == (0x12345,)
    assert fields(STAT30, tmp.call("compat_50___stat30", b"node"))["rdev"] == (0x12345,)


def test_fhstat40(tmp: Process) -> None:
    tmp.make(b"file")
    size, handle = bytearray((1000).to_bytes(8, "little")), bytearray(1000)
    tmp.call("__getfh30", b"file\0", handle, size)
    length = int.from_bytes(size, "little")
    out = tmp.call("compat_50___fhstat40", bytes(handle[:length]), length)
    assert out == tmp.call("compat_50___stat30", b"file")


# --- times of files -------------------------------------------------------------------------------------


def test_earlier_utimes(tmp: Process) -> None:
    tmp.make(b"file")
    tmp.call("symlink", b"file", b"link")
    fd = tmp.call("open", b"file", O_RDWR, 0)
    for name, argument, seen in [
        ("compat_50_utimes", b"link", b"file"), ("compat_50_futimes", fd, b"file"),
        ("compat_50_lutimes", b"link", b"link"),
    ]:  # fmt: skip
        tmp.call(name, argument, TIME50.pack(1_000_000_000, 7) + TIME50.pack(1_000_000_001, 8))
        st = tmp.lstat(seen)
        assert (st.atime, st.atimensec, st.mtime, st.mtimensec) == (1_000_000_000, 7000, 1_000_000_001, 8000)
        before = time.time()
        tmp.call(name, argument, None)
        assert before - 1 <= tmp.lstat(seen).mtime
        assert tmp.error(name, argument, TIME50.pack(0, 1_000_000) * 2) == "EINVAL"


# --- clocks ---------------------------------------------------------------------------------------------


def test_earlier_clocks(p: Process) -> None:
    for name, argument, unit in [
        ("compat_50_clock_gettime", REAL, 1),
        ("compat_50_gettimeofday", None, 1000),
    ]:
        before = time.time_ns()
        seconds, fraction = TIME50.unpack(p.call(name, argument))
        assert before // unit <= seconds * (1_000_000_000 // unit) + fraction <= time.time_ns() // unit
    assert p.call("compat_50_clock_getres", REAL) == TIME50.pack(0, 1)
    assert p.error("compat_50_clock_gettime", 99) == "EINVAL"


@pytest.mark.usefixtures("host_clock")
def test_setting_an_earlier_clock(p: Process) -> None:
    def now() -> int:
        return int(TIME50.unpack(p.call("compat_50_clock_gettime", REAL))[0])

    old = bytearray(b"\xaa" * 16)
    p.call("compat_50_clock_settime", REAL, TIME50.pack(1000, 5))
    assert 1000 <= now() < 1010
    p.call("compat_50_settimeofday", TIME50.pack(2000, 5), None)
    assert 2000 <= now() < 2010
    p.call("compat_50_adjtime", TIME50.pack(1000, 0), old)
    assert 3000 <= now() < 3010
    assert old == bytes(16)
    assert p.error("compat_50_clock_settime", REAL, TIME50.pack(0, -1)) == "EINVAL"
    assert p.error("compat_50_settimeofday", TIME50.pack(0, 1_000_000), None) == "EINVAL"


# --- sleeping and waiting -------------------------------------------------------------------------------


def test_earlier_nanosleep(p: Process) -> None:
    left = bytearray(16)
    running = p.begin("compat_50_nanosleep", TIME50.pack(100, 500), left)
    running.throw(EINTR)
    with pytest.raises(VfsError, match="EINTR"):
        _ = running.result
    seconds, fraction = TIME50.unpack(left)
    assert 99 < seconds + fraction / 1e9 <= 100.1
    assert p.error("compat_50_nanosleep", TIME50.pack(1, -1), None) == "EINVAL"


@pytest.mark.parametrize("name", ["select", "pselect", "pollts", "kevent"])
def test_earlier_timeouts(p: Process, name: str) -> None:
    reader, writer = p.call("pipe")
    sets = (bytearray((1 << reader).to_bytes(32, "little")), None, None)
    pollfd = bytearray(struct.pack("<ihh", reader, 1, 0))
    kq = p.call("kqueue")
    change, event = struct.pack("<QIII4xqQ", reader, 0, 1, 0, 0, 99), bytearray(40)
    before = {
        "select": (32, *sets), "pselect": (32, *sets), "pollts": (pollfd, 1),
        "kevent": (kq, change, 1, event, 1),
    }[name]  # fmt: skip
    behind = (None,) if name in ("pselect", "pollts") else ()
    running = p.begin(f"compat_50_{name}", *before, TIME50.pack(100, 5), *behind)
    assert isinstance(running.request, Sleep)
    assert running.request.deadline is not None
    assert 99 < running.request.deadline - time.monotonic() <= 100.1
    p.call("write", writer, b"x")
    running.step()
    assert running.result == 1
    bad = 1_000_000 if name == "select" else 1_000_000_000
    p.call("read", reader, 1)
    assert p.error(f"compat_50_{name}", *before, TIME50.pack(0, bad), *behind) == "EINVAL"


# --- timers ---------------------------------------------------------------------------------------------


def test_earlier_timers(p: Process) -> None:
    left = bytearray(32)
    p.call("compat_50_setitimer", REAL, TIME50.pack(7, 0) + TIME50.pack(50, 0), None)
    p.call("compat_50_getitimer", REAL, left)
    assert TIME50.unpack_from(left) == (7, 0)
    assert 49 <= TIME50.unpack_from(left, 16)[0] <= 50
    number = bytearray(4)
    p.call("timer_create", MONOTONIC, None, number)
    timerid = int.from_bytes(number, "little")
    p.call("compat_50_timer_settime", timerid, 0, TIME50.pack(3, 4) + TIME50.pack(60, 0), None)
    p.call("compat_50_timer_gettime", timerid, left)
    assert TIME50.unpack_from(left) == (3, 4)
    assert 59 <= TIME50.unpack_from(left, 16)[0] <= 60


# --- kevent of NetBSD 10 --------------------------------------------------------------------------------

KEVENT100 = struct.Struct("<QIII4xqQ4Q")  # ident filter flags fflags data udata ext[4]
EV_ADD, EV_RECEIPT, EV_ERROR = 0x0001, 0x0040, 0x4000


def test_kevent_of_netbsd_10_has_four_more_words(p: Process) -> None:
    reader, writer = p.call("pipe")
    kq = p.call("kqueue")
    change = KEVENT100.pack(reader, 0, EV_ADD, 0, 0, 99, 1, 2, 3, 4)
    assert p.call("__kevent100", kq, change, 1, None, 0, None) == 0
    p.call("write", writer, b"abc")
    events = bytearray(KEVENT100.size * 2)
    assert p.call("__kevent100", kq, None, 0, events, 2, None) == 1
    assert KEVENT100.unpack_from(events) == (reader, 0, EV_ADD, 0, 3, 99, 1, 2, 3, 4)
    short = bytearray(40)
    assert p.call("__kevent50", kq, None, 0, short, 1, None) == 1
    assert short == events[:40]


def test_changes_of_netbsd_10_are_72_bytes_apart(p: Process) -> None:
    kq = p.call("kqueue")
    changes = b"".join(KEVENT100.pack(n, 0, EV_ADD, 0, 0, n, n, 0, 0, 0) for n in range(90, 110))
    events = bytearray(KEVENT100.size * 20)
    assert p.call("__kevent100", kq, changes, 20, events, 20, None) == 20
    for index, event in enumerate(KEVENT100.iter_unpack(events)):
        assert event == (90 + index, 0, EV_ERROR, 0, 9, 90 + index, 90 + index, 0, 0, 0)


def test_dup3_of_netbsd_10_refuses_the_same_descriptor(p: Process) -> None:
    assert p.call("dup3", 1, 1, 0) == 1
    assert p.error("__dup3100", 1, 1, 0) == "EINVAL"
    assert p.error("__dup3100", 77, 77, 0) == "EINVAL"
    assert p.call("__dup3100", 1, 9, 0) == 9
    assert p.error("__dup3100", 77, 9, 0) == "EBADF"
