"""Stubs: what they take, what they refuse, and what they send, by the rules of sysproxy's argument slots."""

from __future__ import annotations

import struct
from array import array
from pathlib import Path

import pytest

from rumpfs.abi import syscalls
from rumpfs.client import Client
from rumpfs.client.stubs import ROWS, public_name
from rumpfs.sysproxy import wire
from tests.client.peer import Peer, Server


def slots_sent(tmp_path: Path, *calls: tuple[str, tuple[object, ...]]) -> list[list[int]]:
    """Do calls and return the argument slots of each, as unsigned words."""
    sent: list[list[int]] = []

    def serve(server: Server) -> None:
        for _ in calls:
            reqno, *words = server.slots()
            sent.append(words)
            server.send(wire.sysresp(reqno, 0, 0))

    with Peer(tmp_path, serve) as peer, Client(peer.url) as client:
        for name, args in calls:
            client.call(name, *args)
    return sent


def test_numbers_are_zero_extended_in_their_slots(tmp_path: Path) -> None:
    sent = slots_sent(
        tmp_path,
        ("fchown", (3, -1, 2**32 - 1)),
        ("dup", (-100,)),
        ("lseek", (3, -5, 2)),
        ("ftruncate", (3, 2**40)),
        ("ioctl", (3, 0xC0184600, 0)),
        ("getgroups", (0xFFFF_FFFF, None)),
    )
    assert sent == [
        [3, 2**32 - 1, 2**32 - 1],
        [0xFFFF_FF9C],
        [3, 0, 2**64 - 5, 2],  # with the slot called PAD
        [3, 0, 2**40],
        [3, 0xC0184600, 0],
        [0xFFFF_FFFF, 0],
    ]


def test_null_and_addresses_pass_as_they_are(tmp_path: Path) -> None:
    sent = slots_sent(
        tmp_path,
        ("reboot", (8, None)),
        ("reboot", (8, 0)),
        ("modctl", (1, 0x1234)),
        ("read", (3, None)),
        ("write", (3, None)),
        ("unlink", (None,)),
        ("futimens", (3, None)),
    )
    assert sent == [[8, 0], [8, 0], [1, 0x1234], [3, 0, 0], [3, 0, 0], [0], [3, 0]]


def test_pointers_of_one_call_are_apart(tmp_path: Path) -> None:
    ((first, second),) = slots_sent(tmp_path, ("rename", ("/a", "/b")))
    assert abs(first - second) > 1 << 32
    assert min(first, second) > 1 << 32
    assert max(first, second) < 1 << 63


@pytest.mark.parametrize(
    ("name", "args", "error"),
    [
        ("close", (2**32,), OverflowError),
        ("close", (-(2**31) - 1,), OverflowError),
        ("lseek", (3, 2**64, 0), OverflowError),
        ("close", ("3",), TypeError),
        ("close", (), TypeError),
        ("open", (5, 0, 0), TypeError),
        ("open", ("a\0b", 0, 0), ValueError),
        ("read", (3, b"constant"), TypeError),
        ("read", (3, -1), ValueError),
        ("read", (3, "text"), TypeError),
        ("write", (3, "text"), TypeError),
        ("write", (3, 5), TypeError),
        ("futimens", (3, bytes(31)), ValueError),
        ("modctl", (1, 1.5), TypeError),
    ],
)
def test_what_cannot_be_sent_is_refused_before_anything_is(
    tmp_path: Path, name: str, args: tuple[object, ...], error: type[Exception]
) -> None:
    def serve(server: Server) -> None:
        server.send(wire.sysresp(server.frame().reqno, 0, 9))

    with Peer(tmp_path, serve) as peer, Client(peer.url) as client:
        with pytest.raises(error):
            client.call(name, *args)
        assert client.sys.getpid() == 9


def test_a_call_that_does_not_exist(tmp_path: Path) -> None:
    unknown = pytest.raises(AttributeError, match="'execve'")
    with Peer(tmp_path, lambda server: None) as peer, Client(peer.url) as client, unknown:
        client.call("execve")


def test_any_buffer_can_be_written(tmp_path: Path) -> None:
    words = array("I", [1, 2, 3])

    def serve(server: Server) -> None:
        reqno, _, addr, size = server.slots()
        server.send(wire.COPY_FRAME.pack(40, 0, wire.REQ, wire.COPYIN, 0, size, addr))
        assert server.frame().body == struct.pack("<3I", 1, 2, 3)
        server.send(wire.sysresp(reqno, 0, size))

    with Peer(tmp_path, serve) as peer, Client(peer.url) as client:
        assert client.sys.write(3, words) == 12


def test_every_row_of_the_table_has_a_stub_that_sends_its_number_and_slots(tmp_path: Path) -> None:
    samples = {syscalls.PATH: "/p", syscalls.IN: b"\1" * 32, syscalls.PTR: 0}

    def arguments(row: syscalls.Syscall) -> list[object]:
        sizes = {arg.size for arg in row.args if isinstance(arg.size, str)}
        given: list[object] = []
        for arg in row.args:
            if arg.kind == syscalls.PADDING or arg.name in sizes:
                continue
            if arg.kind == syscalls.OUT:
                given += [16] if isinstance(arg.size, str) else []
            else:
                whole = arg.kind == syscalls.IN and isinstance(arg.size, int)
                given.append(bytes(arg.size) if whole else samples.get(arg.kind, 1))
        return given

    def serve(server: Server) -> None:
        for row in syscalls.SYSCALLS:
            call = server.frame()
            assert (call.union, len(call.body)) == (row.number, 8 * len(row.args)), row.name
            server.send(wire.sysresp(call.reqno, 0, 0))

    with Peer(tmp_path, serve) as peer, Client(peer.url) as client:
        for row in syscalls.SYSCALLS:
            client.call(row.name, *arguments(row))
        assert set(dir(client.sys)) == set(ROWS)


@pytest.mark.parametrize(
    ("name", "public"),
    [
        ("__stat50", "stat"), ("__getdents30", "getdents"), ("__mount50", "mount"), ("__sysctl", "sysctl"),
        ("__posix_chown", "posix_chown"), ("__fhstatvfs140", "fhstatvfs1"), ("__getcwd", "getcwd"),
        ("statvfs1", "statvfs1"), ("pipe2", "pipe2"), ("__utimes50", "utimes"), ("dup3", "dup3"),
        ("__fhopen40", "fhopen"),
    ],
)  # fmt: skip
def test_c_programs_names(name: str, public: str) -> None:
    assert public_name(syscalls.BY_NAME[name]) == public
    assert ROWS[public] is ROWS[name]


def test_no_two_calls_have_the_same_name() -> None:
    assert len({public_name(row) for row in syscalls.SYSCALLS}) == len(syscalls.SYSCALLS)


def test_mapped_buffers_have_addresses_for_pointers_in_structures(tmp_path: Path) -> None:
    buffer = bytearray(8)

    def serve(server: Server) -> None:
        reqno, _, iov, count, *_ = server.slots()
        assert count == 2
        server.send(wire.COPY_FRAME.pack(40, 0, wire.REQ, wire.COPYIN, 0, 32, iov))
        first, size, second, more = struct.unpack("<4Q", server.frame().body)
        assert (size, more) == (8, 4)
        server.send(wire.COPY_FRAME.pack(44, 1, wire.REQ, wire.COPYOUT, 0, 4, first + 2) + b"read")
        server.send(wire.COPY_FRAME.pack(40, 2, wire.REQ, wire.COPYIN, 0, 4, second))
        assert server.frame().body == b"text"
        server.send(wire.sysresp(reqno, 0, 12))

    with (
        Peer(tmp_path, serve) as peer,
        Client(peer.url) as client,
        client.mapped(buffer, b"text") as (one, other),
    ):
        assert client.sys.preadv(3, struct.pack("<4Q", one, 8, other, 4), 2, 0) == 12
    assert buffer == b"\0\0read\0\0"


def test_as_many_buffers_as_a_call_has_arguments_can_be_mapped(tmp_path: Path) -> None:
    with Peer(tmp_path, lambda server: None) as peer, Client(peer.url) as client:
        with client.mapped(*[b"x"] * 8) as addresses:
            assert len(set(addresses)) == 8
        with pytest.raises(ValueError, match="at most 8"), client.mapped(*[b""] * 9):
            pass
