"""Process numbers of clients that come and go (kern_proc.c)."""

from __future__ import annotations

import random
from pathlib import Path

from rumpfs.kern.proc import PID_MAX, PidTable
from tests.serving import Peer, Served, serving

SYS_GETPID = 20


def pids(served: Served, peers: list[Peer], count: int) -> list[int]:
    """Connect until `peers` are `count`, and return everybody's process number."""
    while len(peers) < count:
        peers.append(Peer(served.path))
        peers[-1].guest()
    return [peer.call(SYS_GETPID).retval for peer in peers]


def test_clients_that_live_together_have_different_pids(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        peers: list[Peer] = []
        early = pids(served, peers, 20)
        for peer in peers[:19]:
            peer.sock.close()
        del peers[:19]
        late = pids(served, peers, 70)
        for peer in peers:
            peer.sock.close()
    assert len(set(late)) == 70
    assert early == list(range(2, 22))
    assert not set(early[:19]) & set(late)


def test_numbers_go_up_and_are_reissued_late() -> None:
    table = PidTable()
    assert [table.alloc() for _ in range(4)] == [1, 2, 3, 4]
    table.free(3)
    assert [table.alloc() for _ in range(26)] == list(range(5, 31))
    assert table.alloc() == 31
    # 30 are in use: the table has 64 slots now, and the upper ones come first
    assert [table.alloc() for _ in range(3)] == [32 + 64, 33 + 64, 34 + 64]


def test_no_number_is_issued_twice_however_they_come_and_go() -> None:
    rng = random.Random(1)
    table = PidTable()
    live: set[int] = set()
    for turn in range(20_000):
        wanted = 9_000 if turn > 10_000 else 100
        if live and rng.randrange(wanted + 100) < len(live):
            pid = live.pop()
            table.free(pid)
        else:
            pid = table.alloc()
            assert 0 < pid <= PID_MAX
            assert pid not in live
            live.add(pid)
