"""The order of a directory's entries, against a sorted dictionary."""

from __future__ import annotations

import random

import pytest

from rumpfs.vfs.dirseq import DirSeq


def same(seq: DirSeq, model: dict[int, bytes], start: int) -> None:
    assert list(seq.since(start)) == [(cookie, model[cookie]) for cookie in sorted(model) if cookie >= start]


def test_nothing_is_in_order() -> None:
    same(DirSeq(), {}, 0)
    same(DirSeq(), {}, 7)


@pytest.mark.parametrize("seed", range(4))
def test_entries_come_and_go(seed: int) -> None:
    """Enough of them for several blocks, and then fewer again until there are none."""
    choice = random.Random(seed)
    seq = DirSeq()
    model: dict[int, bytes] = {}
    least = cookie = 1000000
    for growing in (True, False):
        while len(model) < 2000 if growing else model:
            if choice.random() < (0.2 if growing else 0.05):
                least -= choice.randrange(1, 3)
                model[least] = b"%d" % least
                seq.prepend(least, model[least])
            elif choice.random() < (0.6 if growing else 0.2):
                cookie += choice.randrange(1, 3)
                model[cookie] = b"%d" % cookie
                seq.append(cookie, model[cookie])
            elif model:
                victim = choice.choice(sorted(model)) if choice.random() < 0.5 else min(model)
                if choice.random() < 0.3:
                    model[victim] += b"x"
                    seq.replace(victim, model[victim])
                else:
                    del model[victim]
                    seq.remove(victim)
            if choice.random() < 0.02:
                same(seq, model, choice.randrange(least - 5, cookie + 5))
    same(seq, model, 0)
