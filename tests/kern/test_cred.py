"""Ids, groups, sessions and login names (kern_prot.c; setuid(2), setreuid(2), setpgid(2), setsid(2))."""

from __future__ import annotations

import struct

import pytest

from rumpfs.vfs.cred import Cred
from tests.kern.incore import Machine, Process

SAME = 0xFFFFFFFF


def uids(p: Process) -> tuple[int, int, int]:
    """Real, effective, saved."""
    cred = p.p.cred
    assert p.call("getuid") == (cred.ruid, cred.euid)
    assert p.call("geteuid") == cred.euid
    return cred.ruid, cred.euid, cred.svuid


def gids(p: Process) -> tuple[int, int, int]:
    cred = p.p.cred
    assert p.call("getgid") == (cred.rgid, cred.egid)
    assert p.call("getegid") == cred.egid
    return cred.rgid, cred.egid, cred.svgid


@pytest.fixture(params=["uid", "gid"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def ids(p: Process, kind: str) -> tuple[int, int, int]:
    return uids(p) if kind == "uid" else gids(p)


def user(machine: Machine, real: int, effective: int, saved: int) -> Process:
    """A process with these user ids, and the same group ids; none of them is root's."""
    return machine.process(
        Cred(ruid=real, euid=effective, svuid=saved, rgid=real, egid=effective, svgid=saved)
    )


def test_root_becomes_anybody(machine: Machine, kind: str) -> None:
    p = machine.process()
    assert p.call(f"set{kind}", 10) == 0
    assert ids(p, kind) == (10, 10, 10)


def test_nobody_returns_from_setuid(p: Process) -> None:
    p.call("setuid", 10)
    assert p.error("setuid", 0) == p.error("seteuid", 0) == p.error("setgid", 5) == "EPERM"
    assert p.error("setuid", 10) == "ok"


def test_the_effective_id_goes_to_the_real_and_to_the_saved_one(machine: Machine, kind: str) -> None:
    p = user(machine, 1, 2, 3)
    assert p.call(f"sete{kind}", 3) == 0
    assert ids(p, kind) == (1, 3, 3)
    assert p.call(f"sete{kind}", 1) == 0
    assert ids(p, kind) == (1, 1, 3)
    assert p.error(f"sete{kind}", 2) == "EPERM"
    assert p.error(f"sete{kind}", 4) == "EPERM"


def test_root_can_return_from_seteuid(p: Process) -> None:
    p.call("seteuid", 10)
    assert uids(p) == (0, 10, 0)
    p.call("seteuid", 0)
    assert uids(p) == (0, 0, 0)


def test_setuid_takes_the_real_id_only(machine: Machine, kind: str) -> None:
    p = user(machine, 1, 2, 3)
    for other in (2, 3, 4):
        assert p.error(f"set{kind}", other) == "EPERM"
    p.call(f"set{kind}", 1)
    assert ids(p, kind) == (1, 1, 1)


@pytest.mark.parametrize(
    ("real", "effective", "result"),
    [
        (2, 1, (2, 1, 1)),  # exchanged; the saved one follows when the real one changes
        (SAME, 3, (1, 3, 3)),
        (1, SAME, (1, 2, 3)),
        (2, SAME, (2, 2, 2)),
        (SAME, SAME, (1, 2, 3)),
        (3, SAME, None),  # the saved one cannot become the real one
        (4, SAME, None),
        (SAME, 4, None),
        (2, 4, None),
    ],
)
def test_setreuid(
    machine: Machine, kind: str, real: int, effective: int, result: tuple[int, int, int] | None
) -> None:
    p = user(machine, 1, 2, 3)
    if result is None:
        assert p.error(f"setre{kind}", real, effective) == "EPERM"
        assert ids(p, kind) == (1, 2, 3)
    else:
        assert p.call(f"setre{kind}", real, effective) == 0
        assert ids(p, kind) == result


def test_issetugid_tells_that_ids_have_changed(machine: Machine, p: Process) -> None:
    p.call("setuid", 0)
    p.call("seteuid", SAME)
    assert p.call("issetugid") == 0
    p.call("seteuid", 5)
    assert p.call("issetugid") == 1
    assert machine.process().call("issetugid") == 0


def test_a_forked_process_has_the_ids_and_groups_of_its_parent(machine: Machine, p: Process) -> None:
    p.call("setgroups", 1, struct.pack("<I", 20))
    p.call("setreuid", 7, 8)
    child = machine.fork(p)
    child.call("seteuid", 7)
    assert uids(child) == (7, 7, 8)
    assert uids(p) == (7, 8, 8)
    assert child.call("getgroups", 0, None) == 1


def test_ids_count_for_permissions(p: Process) -> None:
    p.make(b"/secret", b"text", 0o600)
    p.make(b"/ours", b"text", 0o060)
    p.call("chown", b"/ours", 0, 20)
    p.call("setgroups", 2, struct.pack("<2I", 10, 20))
    p.call("seteuid", 5)
    assert p.error("open", b"/secret", 0, 0) == "EACCES"
    assert p.error("open", b"/ours", 0, 0) == "ok"
    p.call("seteuid", 0)
    p.call("setgroups", 0, None)
    p.call("seteuid", 5)
    assert p.error("open", b"/ours", 0, 0) == "EACCES"


# --- groups -------------------------------------------------------------------------------------------


def test_groups_come_back_in_their_order(p: Process) -> None:
    groups = struct.pack("<4I", 9, 3, 0xFFFFFFFE, 3)
    assert p.call("setgroups", 4, groups) == 0
    room = bytearray(40)
    assert p.call("getgroups", 10, room) == 4
    assert room == groups + bytes(24)
    assert p.call("getgroups", 0, None) == 4
    assert p.error("getgroups", 3, room) == "EINVAL"
    assert p.error("getgroups", -1, room) == "EINVAL"
    assert p.error("getgroups", 4, None) == "EFAULT"


def test_a_process_has_at_most_16_groups(machine: Machine, p: Process) -> None:
    assert p.call("getgroups", 0, None) == 0
    assert p.call("setgroups", 16, struct.pack("<16I", *range(16))) == 0
    assert p.error("setgroups", 17, struct.pack("<17I", *range(17))) == "EINVAL"
    assert p.error("setgroups", -1, None) == "EINVAL"
    assert p.error("setgroups", 1, None) == "EFAULT"
    assert p.call("getgroups", 0, None) == 16
    assert user(machine, 1, 1, 1).error("setgroups", 0, None) == "EPERM"


# --- process groups and sessions ------------------------------------------------------------------------


def test_clients_are_in_the_kernels_group_and_session(p: Process) -> None:
    assert p.call("getpgrp") == p.call("getpgid", 0) == p.call("getsid", 0) == 0
    assert p.call("getpgid", 1) == p.call("getsid", 1) == 0


def test_processes_that_are_not_there(machine: Machine, p: Process) -> None:
    other = machine.process()
    gone = other.p.pid
    assert p.error("getpgid", gone) == "ok"
    other.p.exit()
    for pid in (gone, 9999, -1):
        assert p.error("getpgid", pid) == p.error("getsid", pid) == "ESRCH"


def test_setsid_makes_a_leader_once(machine: Machine, p: Process) -> None:
    pid = p.p.pid
    assert p.call("setsid") == pid
    assert p.call("getpgrp") == p.call("getsid", pid) == pid
    assert p.error("setsid") == "EPERM"
    assert p.error("setpgid", 0, 0) == "ok", "nothing changes"
    child = machine.fork(p)
    assert child.call("getsid", 0) == child.call("getpgrp") == pid
    assert child.call("setsid") == child.p.pid


def test_setsid_is_not_for_the_leader_of_a_group(machine: Machine, p: Process) -> None:
    p.call("setpgid", 0, 0)
    assert p.call("getpgrp") == p.p.pid
    assert p.call("getsid", 0) == 0
    assert p.error("setsid") == "EPERM"


def test_setsid_waits_for_a_group_of_its_number_to_end(machine: Machine, p: Process) -> None:
    p.call("setpgid", 0, 0)
    child = machine.fork(p)
    other = machine.process()
    other.call("setpgid", 0, 0)
    p.call("setpgid", 0, other.p.pid)
    assert p.error("setsid") == "EPERM"
    child.p.exit()
    assert p.error("setsid") == "ok"


def test_setpgid(machine: Machine, p: Process) -> None:
    other = machine.process()
    pid = p.p.pid
    assert p.error("setpgid", 0, -1) == "EINVAL"
    assert p.error("setpgid", 0, other.p.pid) == "EPERM", "there is no such group"
    assert p.error("setpgid", other.p.pid, 0) == "ESRCH", "it is no child"
    assert p.error("setpgid", 9999, 0) == "ESRCH"
    other.call("setpgid", 0, 0)
    p.call("setpgid", 0, other.p.pid)
    assert p.call("getpgrp") == other.p.pid
    p.call("setpgid", pid, pid)
    assert p.call("getpgrp") == pid
    other.p.exit()
    assert p.error("setpgid", 0, other.p.pid) == "EPERM", "it ended with its last member"


def test_setpgid_stays_in_the_session(machine: Machine, p: Process) -> None:
    leader = machine.process()
    leader.call("setsid")
    assert p.error("setpgid", 0, leader.p.pid) == "EPERM"
    assert leader.error("setpgid", 0, 0) == "ok"
    follower = machine.fork(leader)
    follower.call("setpgid", 0, 0)
    assert leader.error("setpgid", 0, follower.p.pid) == "EPERM", "a leader stays"
    assert follower.error("setpgid", 0, leader.p.pid) == "ok"


def test_a_parent_moves_its_children(machine: Machine, p: Process) -> None:
    cookie = machine.kernel.prefork(p.p)
    parked = max(machine.kernel.procs)
    assert p.error("setpgid", parked, 0) == "ok"
    assert p.call("getpgid", parked) == parked
    machine.kernel.forget(cookie)
    assert p.error("getpgid", parked) == "ESRCH"


# --- login names --------------------------------------------------------------------------------------


def test_a_login_name_is_the_sessions(machine: Machine, p: Process) -> None:
    other = machine.process()
    assert p.call("__setlogin", b"operator\0") == 0
    assert login(other) == b"operator".ljust(16, b"\0")
    other.call("setsid")
    assert login(other)[:8] == b"operator"
    other.call("__setlogin", b"guest\0")
    assert login(other)[:6] == b"guest\0"
    assert login(p)[:9] == b"operator\0"


def login(p: Process, size: int = 64) -> bytes:
    """Return what getlogin(2) stores; it returns 0, not a length."""
    room = bytearray(b"\xaa" * size)
    assert p.call("__getlogin", room, size) == 0
    return bytes(room).rstrip(b"\xaa")


def test_a_login_name_has_at_most_16_bytes(machine: Machine, p: Process) -> None:
    assert p.error("__setlogin", b"n" * 16 + b"\0") == "ok"
    assert login(p) == b"n" * 16
    assert login(p, 5) == b"n" * 5
    assert p.error("__setlogin", b"n" * 17 + b"\0") == "EINVAL"
    assert p.error("__setlogin", None) == "EFAULT"
    assert user(machine, 1, 1, 1).error("__setlogin", b"me\0") == "EPERM"
