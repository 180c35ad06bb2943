"""kern.proc2: struct kinfo_proc2 (netbsd_abi.md section 3), which processes, and their lwps."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from rumpfs.abi.sysctl import KINFO_PROC2
from tests.kern.incore import USER, Machine, Process
from tests.kern.sysctl_util import mib, remote, sysctl
from tests.serving import Peer, serving

SIZE = 680


def field(data: bytes, name: str) -> int | bytes:
    offset, code = KINFO_PROC2[name]
    found: int | bytes = struct.unpack_from("<" + code, data, offset)[0]
    return found.partition(b"\0")[0] if isinstance(found, bytes) else found


def proc2(p: Process, op: int, arg: int = 0, count: int = 100) -> list[bytes]:
    answer = sysctl(p, 1, 47, op, arg, SIZE, count)
    assert answer.error == "ok"
    assert answer.oldlen % SIZE == 0
    return [answer.old[at : at + SIZE] for at in range(0, answer.oldlen, SIZE)]


def pids(p: Process, op: int, arg: int = 0) -> list[int | bytes]:
    return [field(data, "p_pid") for data in proc2(p, op, arg)]


def test_processes_are_listed_the_newest_first(machine: Machine, p: Process) -> None:
    other = machine.process()
    assert pids(p, 0) == [other.p.pid, p.p.pid, 1]
    other.p.exit()
    assert pids(p, 0) == [p.p.pid, 1]
    assert [field(data, "p_comm") for data in proc2(p, 0)] == [b"test", b"rumplocal"]


def test_what_a_process_is(machine: Machine, p: Process) -> None:
    p.call("setgroups", 2, struct.pack("<2I", 7, 8))
    p.call("__setlogin", b"toor\0")
    p.call("setreuid", 5, 6)
    (data,) = proc2(p, 1, p.p.pid)
    # offsets as netbsd_abi.md section 3 gives them
    assert struct.unpack_from("<ii", data, 116) == (p.p.pid, 1)
    assert struct.unpack_from("<I", data, 136) == (6,)
    assert data[368:392] == b"test".ljust(24, b"\0")
    assert data[408:432] == b"toor".ljust(24, b"\0")
    assert struct.unpack_from("<Q", data, 616) == (1,)
    assert (field(data, "p_ruid"), field(data, "p_svuid"), field(data, "p_ngroups")) == (5, 6, 2)
    assert struct.unpack_from("<3I", data, KINFO_PROC2["p_groups"][0]) == (7, 8, 0)
    assert (field(data, "p_sid"), field(data, "p__pgid")) == (0, 0)


def test_processes_are_chosen_by_number_group_session_and_ids(machine: Machine, p: Process) -> None:
    user = machine.process(USER)
    leader = machine.process()
    sid = leader.call("setsid")
    init, everybody = 1, [leader.p.pid, user.p.pid, p.p.pid, 1]
    assert pids(p, 0) == everybody
    assert pids(p, 1, user.p.pid) == [user.p.pid]
    assert pids(p, 1, 9999) == []
    assert pids(p, 2, sid) == pids(p, 3, sid) == [leader.p.pid]
    assert pids(p, 2, 0) == pids(p, 3, 0) == [user.p.pid, p.p.pid, init]
    assert pids(p, 4, -1) == everybody, "nobody has a terminal"
    assert pids(p, 4, 5) == []
    for op in (5, 6, 7, 8):
        assert pids(p, op, 1) == [user.p.pid]
        assert pids(p, op, 0) == [leader.p.pid, p.p.pid, init]


def test_as_many_processes_as_there_is_room_for_or_as_were_asked_for(machine: Machine, p: Process) -> None:
    other = machine.process()
    few = sysctl(p, 1, 47, 0, 0, SIZE, 100, room=SIZE + SIZE // 2)
    assert (few.error, few.oldlen) == ("ENOMEM", SIZE)
    assert field(few.old, "p_pid") == other.p.pid
    limited = sysctl(p, 1, 47, 0, 0, SIZE, 2)
    assert (limited.error, limited.oldlen) == ("ENOMEM", 2 * SIZE)
    assert sysctl(p, 1, 47, 0, 0, SIZE, 100, room=None).oldlen >= 3 * SIZE


def test_elements_may_be_shorter_or_longer_than_the_structure(p: Process) -> None:
    short = sysctl(p, 1, 47, 1, p.p.pid, 124, 1)
    assert struct.unpack("<ii", short.old[116:]) == (p.p.pid, 1)
    long = sysctl(p, 1, 47, 0, 0, 700, 2)
    assert long.oldlen == 1400
    assert long.old[680:700] == b"\xaa" * 20
    assert struct.unpack_from("<i", long.old, 700 + 116) == (1,)


@pytest.mark.parametrize(
    "rest", [(), (0,), (0, 0, SIZE), (0, 0, SIZE, 1, 1), (9, 0, SIZE, 1), (-1, 0, SIZE, 1)]
)
def test_a_question_about_processes_has_four_numbers(p: Process, rest: tuple[int, ...]) -> None:
    assert sysctl(p, 1, 47, *rest).error == "EINVAL"


def test_hostile_sizes_end(p: Process) -> None:
    oldlen = bytearray(b"\xff" * 8)
    assert p.error("__sysctl", mib(1, 47, 0, 0, 0, -1), 6, bytearray(8), oldlen, None, 0) == "ok"
    oldlen = bytearray(b"\xff" * 8)
    question = mib(1, 47, 0, 0, -1, -1)
    assert p.error("__sysctl", question, 6, (1 << 64) - 1, oldlen, None, 0) == "EFAULT"


def test_lwps_are_the_calls_under_way(tmp_path: Path) -> None:
    with (
        serving(tmp_path, program="rump_server") as served,
        Peer(served.path) as peer,
        Peer(served.path) as other,
    ):
        peer.guest()
        other.guest(b"other\0")
        pid = peer.call(20).retval

        def nlwps(asking: Peer) -> int:
            (found,) = struct.unpack_from("<Q", remote(asking, 1, 47, 1, pid, SIZE, 1), 616)
            return int(found)

        assert nlwps(peer) == 2, "its own, and that of the question"
        assert nlwps(other) == 1
        pipe = peer.call(42).retval
        readers = range(100, 226)
        for reqno in readers:
            peer.send(call_frame(reqno, 3, pipe, 0x4000, 1))
        assert nlwps(peer) == len(readers) + 2
        assert nlwps(other) == len(readers) + 1


def call_frame(reqno: int, number: int, *slots: int) -> bytes:
    body = struct.pack(f"<{len(slots)}Q", *slots)
    return struct.pack("<QQHHI", 24 + len(body), reqno, 0, 1, number) + body
