"""__sysctl (netbsd_abi.md section 6): values, the order of its copies, errors, and walking the tree."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from rumpfs.abi import errno
from rumpfs.base.copy import CopyIn, CopyOut
from rumpfs.base.errors import VfsError
from rumpfs.kern.sysctl import Row
from tests.kern.incore import USER, Machine, Process, Running
from tests.kern.sysctl_util import integer, mib, remote, sysctl, value
from tests.serving import Peer, serving

QUERY, CREATE, DESTROY, MMAP, DESCRIBE = -2, -3, -5, -6, -7
VERSION = 0x01000000


# --- values -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("numbers", "string"),
    [
        ((1, 1), b"NetBSD\0"),
        ((1, 2), b"7.99.34\0"),
        ((1, 4), b"NetBSD 7.99.34 (RUMP-ROAST)\n\0"),
        ((6, 1), b"amd64\0"),
        ((6, 2), b"rumpcore (virtual)\0"),
        ((6, 10), b"x86_64\0"),
        ((1, 22), b"\0"),
    ],
)
def test_strings_have_their_nul(p: Process, numbers: tuple[int, ...], string: bytes) -> None:
    assert value(p, *numbers) == string


@pytest.mark.parametrize(
    ("numbers", "number"),
    [
        ((1, 3), 799003400),
        ((1, 18), 16),
        ((1, 38), 1024),
        ((1, 23), 16),
        ((1, 24), 3),
        ((6, 4), 1234),
        ((6, 7), 4096),
    ],
)
def test_integers_have_four_bytes(p: Process, numbers: tuple[int, ...], number: int) -> None:
    assert value(p, *numbers) == struct.pack("<i", number)


def test_the_hosts_name_is_made_of_the_servers_pid_and_the_hosts(p: Process) -> None:
    assert value(p, 1, 10) == b"rump-%05d.%s\0" % (os.getpid(), os.uname().nodename.encode())


def test_clockrate_is_struct_clockinfo(p: Process) -> None:
    hz, tick, _, stathz, profhz = struct.unpack("<5i", value(p, 1, 12))
    assert hz * tick == 1_000_000
    assert stathz == profhz == hz


def test_boottime_is_a_timespec_in_the_past(p: Process) -> None:
    seconds, nanoseconds = struct.unpack("<qq", value(p, 1, 83))
    assert 0 < seconds + nanoseconds / 1e9 <= time.time()


def test_the_memory_limit_is_the_physical_memory() -> None:
    p = Machine(["rumpvfs"], memlimit=16 << 20).process()
    assert integer(p, 6, 5) == 16 << 20
    assert value(p, 6, 13) == struct.pack("<Q", 16 << 20)
    assert integer(Machine([]).process(), 6, 5) > 0


def test_memory_beyond_32_bits_does_not_wrap() -> None:
    p = Machine([], memlimit=1 << 40).process()
    assert value(p, 6, 5) == b"\xff" * 4
    assert value(p, 6, 13) == struct.pack("<Q", 1 << 40)


def test_file_systems_are_listed_by_name(p: Process) -> None:
    assert set(value(p, *by_name(p, b"vfs", b"generic", b"fstypes")).rstrip(b"\0").split()) >= {
        b"rumpfs",
        b"tmpfs",
        b"ffs",
    }


def test_without_the_vfs_there_is_no_vfs_generic() -> None:
    p = Machine([]).process()
    assert sysctl(p, 3, 0, 1).error == "ENOENT"
    assert value(p, 1, 1) == b"NetBSD\0"


def test_random_numbers(p: Process) -> None:
    assert len({value(p, 1, 61) for _ in range(8)}) > 1
    assert sysctl(p, 1, 81, room=64).oldlen == 64
    assert len({sysctl(p, 1, 81, room=8).old for _ in range(8)}) == 8
    assert sysctl(p, 1, 81, room=256).error == "ok"
    assert sysctl(p, 1, 81, room=257).error == "E2BIG"
    assert sysctl(p, 1, 81, room=None) == ("ok", b"", 0)


# --- the call -----------------------------------------------------------------------------------------


def requests(running: Running) -> list[tuple[type, int, int]]:
    """Return all that a call asks for: kind, address and number of bytes."""
    found = []
    while not running.done:
        request = running.request
        length = request.length if isinstance(request, CopyIn) else len(request.data)
        found.append((type(request), request.addr, length))
        running.step()
    return found


def test_the_order_of_the_copies(p: Process) -> None:
    name, old, oldlen, new = (
        p.memory.map(data)
        for data in (mib(1, 10), bytearray(300), bytearray(struct.pack("<Q", 300)), bytearray(b"new"))
    )
    length = len(value(p, 1, 10))
    assert requests(p.start("__sysctl", name, 2, old, oldlen, new, 3)) == [
        (CopyIn, oldlen, 8),
        (CopyIn, name, 8),
        (CopyOut, old, length),
        (CopyIn, new, 3),
        (CopyOut, oldlen, 8),
    ]


def test_a_null_oldlenp_is_neither_read_nor_written(p: Process) -> None:
    name = p.memory.map(mib(1, 1))
    assert requests(p.start("__sysctl", name, 2, 0, 0, 0, 0)) == [(CopyIn, name, 8)]


def test_a_null_oldp_asks_for_the_size(p: Process) -> None:
    assert sysctl(p, 1, 1, room=None) == ("ok", b"", 7)


@pytest.mark.parametrize("room", [0, 3, 6])
def test_too_little_room_is_enomem_after_what_fits(p: Process, room: int) -> None:
    old, oldlen = bytearray(b"\xaa" * 16), bytearray(struct.pack("<Q", room))
    assert p.error("__sysctl", mib(1, 1), 2, old, oldlen, None, 0) == "ENOMEM"
    assert old == (b"NetBSD\0"[:room]).ljust(16, b"\xaa")
    assert oldlen == struct.pack("<Q", 7)


@pytest.mark.parametrize("namelen", [0, 13, 0x7FFFFFFF])
def test_a_mib_has_1_to_12_numbers(p: Process, namelen: int) -> None:
    oldlen = bytearray(b"\x11" * 8)
    assert p.error("__sysctl", mib(1, 1), namelen, None, oldlen, None, 0) == "EINVAL"
    assert oldlen == b"\x11" * 8
    assert sysctl(p, *[1] * 12).error == "ENOTDIR" if namelen else "EINVAL"


@pytest.mark.parametrize(
    ("numbers", "error"),
    [
        ((99,), "ENOENT"),
        ((1, 9999), "ENOENT"),
        ((2, 1), "ENOENT"),
        ((1, 1, 1), "ENOTDIR"),
        ((1, 3, 0, 0), "ENOTDIR"),
        ((1,), "EINVAL"),
        ((3, 0), "EINVAL"),
        ((1, 1, QUERY), "ENOTDIR"),
        ((1, -1), "EOPNOTSUPP"),
        ((1, -99), "EOPNOTSUPP"),
        ((1, -99, 1), "ENOENT"),
        ((1, MMAP), "EOPNOTSUPP"),
    ],
)
def test_names_that_lead_to_no_value(p: Process, numbers: tuple[int, ...], error: str) -> None:
    answer = sysctl(p, *numbers, room=40)
    assert answer.error == error
    assert answer.oldlen == 40, "the length is stored although the call fails, and unchanged"


def test_bad_addresses_are_efault(p: Process) -> None:
    assert p.error("__sysctl", 0, 2, None, None, None, 0) == "EFAULT"
    assert p.error("__sysctl", mib(1, 1), 2, None, 8, None, 0) == "EFAULT"
    oldlen = bytearray(struct.pack("<Q", 100))
    assert p.error("__sysctl", mib(1, 1), 2, 8, oldlen, None, 0) == "EFAULT"
    assert p.error("__sysctl", mib(1, 10), 2, None, None, 8, 5) == "EFAULT"


def test_an_answer_that_cannot_be_stored_ends_with_the_first_error(p: Process) -> None:
    """As a disconnect does, which fails every request from then on."""
    running = p.start("__sysctl", mib(1, 1), 2, bytearray(10), bytearray(struct.pack("<Q", 10)), None, 0)
    running.step()
    running.step()
    running.throw(errno.EFAULT)
    running.throw(errno.EFAULT)
    with pytest.raises(VfsError) as caught:
        _ = running.result
    assert caught.value.errno == errno.EFAULT


# --- setting ------------------------------------------------------------------------------------------


def test_the_hosts_name_can_be_set_with_and_without_a_nul(p: Process) -> None:
    assert sysctl(p, 1, 10, room=None, new=b"first\0").error == "ok"
    assert value(p, 1, 10) == b"first\0"
    old = sysctl(p, 1, 10, new=b"sec")
    assert old == ("ok", b"first\0", 6)
    assert value(p, 1, 10) == b"sec\0"


def test_a_name_is_the_kernels(machine: Machine) -> None:
    one, two = machine.process(), machine.process()
    sysctl(one, 1, 22, room=None, new=b"domain")
    assert value(two, 1, 22) == b"domain\0"
    assert value(Machine([]).process(), 1, 22) == b"\0"


@pytest.mark.parametrize(
    ("new", "error"),
    [(b"n" * 255, "ok"), (b"n" * 255 + b"\0", "ok"), (b"n" * 256, "EINVAL"), (b"n" * 257, "EINVAL")],
)
def test_a_name_has_at_most_255_bytes(p: Process, new: bytes, error: str) -> None:
    answer = sysctl(p, 1, 10, new=new)
    assert answer.error == error
    assert value(p, 1, 10) == (new.rstrip(b"\0") + b"\0" if error == "ok" else answer.old)


@pytest.mark.parametrize("size", [1, 3, 5, 8])
def test_an_integer_is_set_with_four_bytes_only(p: Process, size: int) -> None:
    assert sysctl(p, 1, 11, room=None, new=bytes(size)).error == "EINVAL"
    assert sysctl(p, 1, 11, room=None, new=b"\x01\x02\x03\xf4").error == "ok"
    assert value(p, 1, 11) == b"\x01\x02\x03\xf4"


def test_setting_needs_root_and_a_node_that_can_be_set(machine: Machine, p: Process) -> None:
    user = machine.process(USER)
    assert sysctl(user, 1, 10, room=None, new=b"mine").error == "EPERM"
    assert sysctl(p, 1, 1, room=None, new=b"Linux").error == "EPERM"
    assert sysctl(p, 1, 81, room=8, new=b"Linux").error == "EPERM"
    refused = sysctl(p, 1, 1, new=b"Linux")
    assert refused.error == "EPERM"
    assert refused.old[:7] == b"\xaa" * 7, "and then nothing is read either"


def test_a_new_value_of_no_bytes_is_none(p: Process) -> None:
    assert sysctl(p, 1, 1, new=b"") == ("ok", b"NetBSD\0", 7)


def test_a_component_enters_nodes_of_its_own(machine: Machine, p: Process) -> None:
    seen: list[int | bytes] = []
    flags = 0x70 | 0x80  # read and write, by anyone
    machine.kernel.sysctl.createv(
        Row((11, CREATE), b"acme", 1, b"Acme"),
        Row(
            (11, 1025 + 1, CREATE),
            b"on",
            6 | flags,
            b"",
            lambda p: True,
            set=lambda p, value: seen.append(value),
        ),
        Row((11, 1025 + 1, CREATE), b"big", 4, b"", -1),
    )
    user = machine.process(USER)
    on = by_name(p, b"vendor", b"acme", b"on")
    assert value(p, *on) == b"\1"
    assert sysctl(user, *on, room=None, new=b"\0").error == "ok"
    assert sysctl(user, *on, room=None, new=b"\2").error == "EINVAL"
    assert seen == [0]
    assert value(p, *by_name(p, b"vendor", b"acme", b"big")) == b"\xff" * 8


# --- walking the tree ---------------------------------------------------------------------------------


class SysctlNode(NamedTuple):
    """The fields of struct sysctlnode that say something: offsets of netbsd_abi.md."""

    flags: int
    num: int
    name: bytes
    ver: int
    union: bytes
    size: int
    addresses: bytes


def node(num: int = 0, ver: int = 0, desc: int = 0, flags: int = VERSION) -> bytes:
    data = bytearray(96)
    struct.pack_into("<Ii32sI", data, 0, flags, num, b"", ver)
    struct.pack_into("<Q", data, 88, desc)
    return bytes(data)


def query(p: Process, *numbers: int) -> list[SysctlNode]:
    answer = sysctl(p, *numbers, QUERY, new=node())
    assert answer.error == "ok"
    assert answer.oldlen % 96 == 0
    found = []
    for at in range(0, answer.oldlen, 96):
        flags, num, name, ver = struct.unpack_from("<Ii32sI", answer.old, at)
        (size,) = struct.unpack_from("<Q", answer.old, at + 64)
        union, addresses = answer.old[at + 48 : at + 64], answer.old[at + 72 : at + 96]
        found.append(SysctlNode(flags, num, name.rstrip(b"\0"), ver, union, size, addresses))
    return found


def by_name(p: Process, *names: bytes) -> tuple[int, ...]:
    """Find a MIB as sysctlbyname(3) does."""
    numbers: tuple[int, ...] = ()
    for name in names:
        (found,) = [child for child in query(p, *numbers) if child.name == name]
        numbers += (found.num,)
    return numbers


def walk(p: Process, *numbers: int) -> Iterator[tuple[tuple[int, ...], SysctlNode]]:
    for child in query(p, *numbers):
        yield (*numbers, child.num), child
        if child.flags & 0xF == 1:
            yield from walk(p, *numbers, child.num)


def test_the_top_levels_have_their_numbers(p: Process) -> None:
    names = b"kern vm vfs net debug hw machdep user ddb proc vendor emul security".split()
    assert [(child.num, child.name) for child in query(p)] == list(enumerate(names, 1))


def test_every_node_has_a_version_a_type_and_no_address(p: Process) -> None:
    nodes = dict(walk(p))
    assert len(nodes) > 60
    for child in nodes.values():
        assert child.flags & 0xFF000000 == VERSION
        assert child.flags & 0xF in range(1, 7)
        assert child.flags & 0x200, "permanent"
        assert child.ver
        assert child.addresses == bytes(24)


def test_nodes_say_how_many_children_they_have(p: Process) -> None:
    for child in query(p):
        csize, clen, pointer = struct.unpack("<IIQ", child.union)
        assert clen == len(query(p, child.num)) <= csize
        assert (child.size, pointer) == (96, 0)


def test_every_leaf_can_be_read_and_integers_stand_in_their_node(p: Process) -> None:
    for numbers, child in walk(p):
        kind = child.flags & 0xF
        if kind == 1:
            continue
        answer = sysctl(p, *numbers, room=max(256, child.size))
        assert answer.error == "ok", child.name
        if kind == 3:
            assert answer.old.index(0) == answer.oldlen - 1
        elif child.name != b"arandom":
            assert answer.oldlen == child.size
        if child.flags & 0x800:
            assert child.union == answer.old.ljust(16, b"\0")


def test_flags_show_what_can_be_set(p: Process) -> None:
    writable = {child.name for numbers, child in walk(p) if child.flags & 0x70 and child.flags & 0xF != 1}
    links = {b"hardlink_check_uid", b"hardlink_check_gid"}
    assert writable == {b"hostname", b"domainname", b"hostid", b"maxvnodes", b"delay", b"metadelay"} | links
    (hostname,) = [child for child in query(p, 1) if child.num == 10]
    assert hostname.size == 256


def test_a_query_stores_whole_nodes_only(p: Process) -> None:
    answer = sysctl(p, QUERY, room=96 * 2 + 95, new=node())
    assert answer.error == "ENOMEM"
    assert answer.oldlen == 96 * 13
    assert answer.old[96 * 2 :] == b"\xaa" * 95
    assert sysctl(p, QUERY, room=None, new=node()).oldlen == 96 * 13


@pytest.mark.parametrize(
    "new",
    [None, b"", b"\0\0", bytes(96), node()[:95], node() + b"\0", node(ver=12345), node(flags=0x02000000)],
)
def test_a_query_has_a_node_of_this_version(p: Process, new: bytes | None) -> None:
    assert sysctl(p, 1, QUERY, new=new).error == "EINVAL"


def test_a_query_may_name_the_trees_version(machine: Machine, p: Process) -> None:
    (hw,) = [child for child in query(p) if child.num == 6]
    assert sysctl(p, 6, QUERY, new=node(ver=hw.ver)).error == "ok"
    machine.kernel.sysctl.createv(Row((6, CREATE), b"more", 2, b""))
    assert sysctl(p, 6, QUERY, new=node(ver=hw.ver)).error == "EINVAL"
    (vm,) = [child for child in query(p) if child.num == 2]
    assert sysctl(p, 2, QUERY, new=node(ver=vm.ver)).error == "ok"


def test_nodes_that_answer_for_themselves_have_no_children(p: Process) -> None:
    assert query(p, 1, 47) == []


def descriptions(data: bytes) -> list[tuple[int, bytes]]:
    found = []
    at = 0
    while at < len(data):
        num, _, length = struct.unpack_from("<iII", data, at)
        text = data[at + 12 : at + 12 + length]
        assert text.index(0) == length - 1
        found.append((num, text[:-1]))
        at += 12 + (length + 3 & -4)
    assert at == len(data)
    return found


def test_every_node_is_described(p: Process) -> None:
    for numbers, child in [((), None), *walk(p)]:
        if child is not None and (child.flags & 0xF != 1 or numbers == (1, 47)):
            continue
        answer = sysctl(p, *numbers, DESCRIBE)
        assert answer.error == "ok"
        found = descriptions(answer.old)
        assert [num for num, _ in found] == [child.num for child in query(p, *numbers)]
        assert all(text for _, text in found)


def test_one_node_is_described(p: Process) -> None:
    whole = dict(descriptions(sysctl(p, 1, DESCRIBE).old))
    assert descriptions(sysctl(p, 1, DESCRIBE, new=node(num=10)).old) == [(10, whole[10])]
    assert sysctl(p, 1, DESCRIBE, new=node(num=9999)).error == "ENOENT"
    assert sysctl(p, 1, DESCRIBE, new=bytes(96)).error == "EINVAL"
    assert sysctl(p, 1, DESCRIBE, room=20).error == "ENOMEM"


def test_descriptions_and_nodes_are_the_kernels(machine: Machine, p: Process) -> None:
    user = machine.process(USER)
    for process in (p, user):
        assert sysctl(process, 1, DESCRIBE, new=node(num=10, desc=4096)).error == "EPERM"
        for meta in (CREATE, DESTROY):
            assert sysctl(process, 11, meta, new=node(num=CREATE)).error == "EPERM"
            assert sysctl(process, 11, meta).error == "EINVAL"
    assert sysctl(p, 1, DESCRIBE, new=node(num=10, ver=12345, desc=4096)).error == "EINVAL"


# --- through a server ---------------------------------------------------------------------------------


def test_uname_is_five_sysctls_and_ncpu_is_what_c_says(tmp_path: Path) -> None:
    with serving(tmp_path, "-c", "7", program="rump_server") as served, Peer(served.path) as peer:
        peer.guest()
        uname = [remote(peer, *numbers) for numbers in ((1, 1), (1, 10), (1, 2), (1, 4), (6, 1))]
        name = b"rump-%05d.%s\0" % (served.process.pid, os.uname().nodename.encode())
        assert uname == [b"NetBSD\0", name, b"7.99.34\0", b"NetBSD 7.99.34 (RUMP-ROAST)\n\0", b"amd64\0"]
        assert remote(peer, 6, 3) == remote(peer, 6, 16) == struct.pack("<i", 7)
        assert peer.banner == b"RUMPSP-0.4-NetBSD-7.99.34/amd64\n"
