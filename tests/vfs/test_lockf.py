"""Record locks by themselves: ranges, replacing, waiting, deadlocks, limits (fcntl(2), vfs_lockf.c)."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rumpfs.abi.errno import EAGAIN, EBADF, EDEADLK, EINTR, EINVAL, ENOLCK
from rumpfs.abi.fcntl import F_RDLCK, F_UNLCK, F_WRLCK
from rumpfs.base.copy import Sleep
from rumpfs.base.errors import VfsError
from rumpfs.vfs.lockf import EOF, MAXLOCKSPERUID, MAXLOCKSROOT, NOPID, Advlocks, Lock, Owner, byte_range
from rumpfs.vfs.mount import Mount, VfsOps
from rumpfs.vfs.vnode import VREG, Vnode


class File:
    """A vnode, and the locks of its kernel."""

    def __init__(self, table: Advlocks | None = None) -> None:
        self.table = table or Advlocks()
        self.vp = Vnode(Mount(VfsOps(), 0), VREG)

    def lock(self, owner: Owner, kind: int, start: int, end: int = EOF, uid: int = 0) -> None:
        """Lock without waiting."""
        assert self.table.advlock(self.vp, owner, Lock(kind, start, end, uid)) is None

    def error(self, owner: Owner, kind: int, start: int, end: int = EOF, uid: int = 0) -> int:
        """Return the errno that a lock fails with."""
        with pytest.raises(VfsError) as caught:
            self.lock(owner, kind, start, end, uid)
        return caught.value.errno

    def wait(self, owner: Owner, kind: int, start: int, end: int = EOF) -> Waiting:
        """Ask for a lock that is not to be had."""
        body = self.table.advlock(self.vp, owner, Lock(kind, start, end), wait=True)
        assert body is not None
        return Waiting(body)

    def seen(self, start: int = 0, end: int = EOF, kind: int = F_WRLCK) -> tuple[int, int, int, int] | None:
        """Return type, first and last byte, and pid of the first lock that a stranger meets."""
        found = self.table.getlock(self.vp, STRANGER, Lock(kind, start, end))
        return None if found is None else (*found[0][:3], found[1])


class Waiting:
    """A request that waits."""

    def __init__(self, body: Generator[Any, Any, None]) -> None:
        self.body = body
        self.done = False
        self.awake = False
        self._go(None)

    def _go(self, value: Any) -> None:
        try:
            request = self.body.send(value)
        except StopIteration:
            self.done = True
        else:
            assert isinstance(request, Sleep)
            self.awake = False
            request.queue.enter(self._wake)

    def _wake(self) -> None:
        self.awake = True

    def run(self) -> bool:
        """Go on if it was woken; return whether it has the lock."""
        if self.awake:
            self._go(True)
        return self.done


def process(pid: int) -> Owner:
    return Owner(object(), pid, posix=True)


STRANGER = process(9999)
A, B, C = process(1), process(2), process(3)


@pytest.fixture
def f() -> File:
    return File()


# --- ranges -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "length", "found"),
    [
        (0, 0, (0, EOF)),
        (5, 0, (5, EOF)),
        (5, 1, (5, 5)),
        (5, 10, (5, 14)),
        (5, -1, (4, 4)),
        (5, -5, (0, 4)),
        (2**63 - 1, 1, (EOF, EOF)),
        (2**63 - 2, 2, (2**63 - 2, EOF)),
    ],
)
def test_byte_range(start: int, length: int, found: tuple[int, int]) -> None:
    assert byte_range(start, length) == found


@pytest.mark.parametrize(
    ("start", "length"), [(-1, 0), (-1, 1), (5, -6), (0, -1), (2**63 - 1, 2), (1, 2**63 - 1 + 1)]
)
def test_what_is_no_range(start: int, length: int) -> None:
    with pytest.raises(VfsError) as caught:
        byte_range(start, length)
    assert caught.value.errno == EINVAL


# --- who is in whose way ----------------------------------------------------------------------------


def test_shared_locks_share_and_exclusive_ones_do_not(f: File) -> None:
    f.lock(A, F_RDLCK, 10, 19)
    f.lock(B, F_RDLCK, 15, 24)
    assert f.error(C, F_WRLCK, 19, 19) == EAGAIN
    assert f.error(A, F_WRLCK, 10, 19) == EAGAIN  # B has some of it
    f.lock(A, F_WRLCK, 10, 14)
    assert f.error(B, F_RDLCK, 14, 14) == EAGAIN
    f.lock(C, F_WRLCK, 25)
    f.lock(C, F_WRLCK, 0, 9)


def test_what_getlock_tells(f: File) -> None:
    assert f.seen() is None
    f.lock(A, F_WRLCK, 7, 11)
    f.lock(B, F_WRLCK, 2, 2)
    f.lock(C, F_RDLCK, 20)
    assert f.seen() == (F_WRLCK, 2, 2, 2)
    assert f.seen(3) == (F_WRLCK, 7, 11, 1)
    assert f.seen(12) == (F_RDLCK, 20, EOF, 3)
    assert f.seen(12, kind=F_RDLCK) is None
    assert f.seen(3, 6) is None
    f.lock(Owner(object()), F_RDLCK, 12, 12)
    assert f.seen(12, 12) == (F_RDLCK, 12, 12, NOPID)


def test_nobody_is_in_his_own_way(f: File) -> None:
    f.lock(A, F_WRLCK, 0)
    f.lock(A, F_RDLCK, 5, 9)
    f.lock(A, F_WRLCK, 7, 20)
    assert f.table.getlock(f.vp, A, Lock(F_WRLCK, 0, EOF)) is None


def test_the_middle_of_a_lock_becomes_another(f: File) -> None:
    f.lock(A, F_WRLCK, 0, 99)
    f.lock(A, F_RDLCK, 40, 59)
    assert f.seen() == (F_WRLCK, 0, 39, 1)
    assert f.seen(40) == (F_RDLCK, 40, 59, 1)
    assert f.seen(60) == (F_WRLCK, 60, 99, 1)
    f.lock(A, F_UNLCK, 30, 69)
    assert f.seen(30) == (F_WRLCK, 70, 99, 1)
    assert f.table.counts == {0: 2}


def test_neighbours_of_one_type_become_one(f: File) -> None:
    for start in (20, 0, 10):
        f.lock(A, F_RDLCK, start, start + 9)
    assert f.seen() == (F_RDLCK, 0, 29, 1)
    assert f.table.counts == {0: 1}
    f.lock(A, F_WRLCK, 30, 39)
    assert f.seen() == (F_RDLCK, 0, 29, 1)


def test_nothing_is_left(f: File) -> None:
    f.lock(A, F_UNLCK, 0)
    assert f.vp.v_lockf is None
    f.lock(A, F_WRLCK, 5, 9)
    f.lock(A, F_UNLCK, 0)
    assert f.vp.v_lockf is None
    assert f.table.counts == {}
    f.lock(A, F_WRLCK, 5, 9)
    assert f.vp.v_lockf is not None
    f.vp.v_lockf.release(A.id)
    assert f.vp.v_lockf is None
    assert f.table.counts == {}


SIZE = 12
OPERATIONS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from([F_RDLCK, F_WRLCK, F_UNLCK]),
        st.integers(0, SIZE - 1),
        st.integers(1, SIZE),
    ),
    max_size=40,
)


@given(OPERATIONS)
@settings(max_examples=300, deadline=None)
def test_locks_are_what_each_byte_says(operations: list[tuple[int, int, int, int]]) -> None:
    f = File()
    owners = [A, B, C]
    locked: list[dict[int, int]] = [{} for _ in range(SIZE)]  # of each byte: owner -> type
    for who, kind, start, length in operations:
        end = min(start + length, SIZE) - 1
        others = [
            other for byte in locked[start : end + 1] for number, other in byte.items() if number != who
        ]
        refused = (kind == F_WRLCK and bool(others)) or (kind == F_RDLCK and F_WRLCK in others)
        if refused:
            assert f.error(owners[who], kind, start, end) == EAGAIN
        else:
            f.lock(owners[who], kind, start, end)
            for byte in locked[start : end + 1]:
                byte.pop(who, None)
                if kind != F_UNLCK:
                    byte[who] = kind
        for place, byte in enumerate(locked):
            for number, owner in enumerate(owners):
                found = f.seen(place, place) if byte else None
                assert (found is None) == (not byte)
                against = f.table.getlock(f.vp, owner, Lock(F_WRLCK, place, place))
                assert (against is None) == all(other == number for other in byte)
        runs = sum(
            byte.get(number) is not None and (not place or locked[place - 1].get(number) != byte[number])
            for place, byte in enumerate(locked)
            for number in range(3)
        )
        assert f.table.counts.get(0, 0) == runs


# --- waiting ----------------------------------------------------------------------------------------


def test_a_lock_is_had_when_the_last_in_the_way_is_gone(f: File) -> None:
    f.lock(A, F_RDLCK, 0, 9)
    f.lock(B, F_RDLCK, 5, 14)
    waiting = f.wait(C, F_WRLCK, 0)
    f.lock(A, F_UNLCK, 0)
    assert not waiting.run()
    f.lock(B, F_UNLCK, 6)
    assert not waiting.run()
    f.lock(B, F_UNLCK, 0)
    assert waiting.run()
    assert f.seen() == (F_WRLCK, 0, EOF, 3)
    assert f.table.waits == {}


def test_a_downgrade_lets_readers_in(f: File) -> None:
    f.lock(A, F_WRLCK, 0)
    reader, writer = f.wait(B, F_RDLCK, 3, 4), f.wait(C, F_WRLCK, 3, 4)
    f.lock(A, F_RDLCK, 0)
    assert reader.run()
    assert not writer.run()


def test_closing_ends_the_locks_and_the_requests(f: File) -> None:
    f.lock(A, F_WRLCK, 0)
    mine, other = f.wait(B, F_WRLCK, 0), f.wait(C, F_WRLCK, 0)
    assert f.vp.v_lockf is not None
    f.vp.v_lockf.release(B.id)
    with pytest.raises(VfsError) as caught:
        mine.run()
    assert caught.value.errno == EBADF
    assert not other.run()
    f.vp.v_lockf.release(A.id)
    assert other.run()
    f.vp.v_lockf.release(C.id)
    assert f.vp.v_lockf is None
    assert f.table.waits == {}


def test_an_interrupted_request_is_forgotten(f: File) -> None:
    f.lock(A, F_WRLCK, 0)
    waiting = f.wait(B, F_WRLCK, 0)
    with pytest.raises(VfsError):
        waiting.body.throw(VfsError(EINTR))
    assert f.table.waits == {}
    f.lock(A, F_UNLCK, 0)
    assert f.vp.v_lockf is None


def test_an_upgrade_of_an_open_file_gives_up_what_it_has_before_it_waits(f: File) -> None:
    first, second = Owner(object()), Owner(object())
    f.lock(first, F_RDLCK, 0)
    f.lock(second, F_RDLCK, 0)
    one = f.wait(first, F_WRLCK, 0)
    f.lock(second, F_WRLCK, 0)  # flock(2): nothing of the first is left
    assert not one.run()
    f.lock(second, F_UNLCK, 0)
    assert one.run()


# --- deadlocks --------------------------------------------------------------------------------------


def test_two_that_wait_for_each_other(f: File) -> None:
    f.lock(A, F_WRLCK, 0, 0)
    f.lock(B, F_WRLCK, 1, 1)
    waiting = f.wait(A, F_WRLCK, 1, 1)
    with pytest.raises(VfsError) as caught:
        f.wait(B, F_WRLCK, 0, 0)
    assert caught.value.errno == EDEADLK
    assert f.error(B, F_WRLCK, 0, 0) == EAGAIN
    f.lock(B, F_UNLCK, 0)
    assert waiting.run()


def test_a_circle_over_several_files() -> None:
    table = Advlocks()
    files = [File(table) for _ in range(60)]
    owners = [process(number) for number in range(60)]
    for owner, file in zip(owners, files, strict=True):
        file.lock(owner, F_RDLCK, 0)
    waiting = [files[number + 1].wait(owners[number], F_WRLCK, 0) for number in range(59)]
    with pytest.raises(VfsError) as caught:
        files[0].wait(owners[59], F_WRLCK, 0)
    assert caught.value.errno == EDEADLK
    files[59].lock(owners[59], F_UNLCK, 0)
    assert waiting[58].run()


def test_who_was_woken_and_has_not_run_is_still_part_of_a_circle(f: File) -> None:
    other = File(f.table)
    f.lock(A, F_WRLCK, 0)
    waiting = f.wait(C, F_WRLCK, 0)
    other.lock(C, F_WRLCK, 0)
    f.lock(A, F_UNLCK, 0)
    f.lock(B, F_WRLCK, 0)
    with pytest.raises(VfsError) as caught:
        other.wait(B, F_WRLCK, 0)
    assert caught.value.errno == EDEADLK
    assert not waiting.run()
    f.lock(B, F_UNLCK, 0)
    assert waiting.run()


def test_many_that_wait_for_one_are_no_circle(f: File) -> None:
    f.lock(A, F_WRLCK, 0)
    waiting = [f.wait(process(number), F_WRLCK, 0) for number in range(50)]
    f.lock(A, F_UNLCK, 0)
    assert [request.run() for request in waiting] == [True] + [False] * 49


# --- limits -----------------------------------------------------------------------------------------


def test_a_user_has_so_many_locks() -> None:
    f = File()
    for number in range(MAXLOCKSPERUID):
        f.lock(A, F_RDLCK, 2 * number, 2 * number, uid=5)
    assert f.error(A, F_RDLCK, 10**6, 10**6, uid=5) == ENOLCK
    assert f.error(B, F_RDLCK, 10**6, 10**6, uid=5) == ENOLCK
    f.lock(B, F_RDLCK, 10**6, 10**6, uid=6)
    f.lock(C, F_RDLCK, 10**6, 10**6)
    f.lock(A, F_UNLCK, 0, uid=5)
    f.lock(A, F_RDLCK, 0, 0, uid=5)


def test_unlocking_middles_has_a_limit_too_but_unlocking_all_has_none() -> None:
    f = File()
    f.lock(A, F_RDLCK, 0, uid=5)
    for number in range(1, 2 * MAXLOCKSPERUID):
        f.lock(A, F_UNLCK, 2 * number, 2 * number, uid=5)
    assert f.table.counts == {5: 2 * MAXLOCKSPERUID}
    assert f.error(A, F_UNLCK, 10**6, 10**6, uid=5) == ENOLCK
    f.lock(A, F_UNLCK, 0, uid=5)
    assert f.vp.v_lockf is None


def test_the_superuser_has_more_but_not_any_number() -> None:
    f = File()
    f.table.counts[0] = MAXLOCKSROOT - 1
    f.lock(A, F_RDLCK, 0, 0)
    assert f.error(A, F_RDLCK, 5, 5) == ENOLCK
