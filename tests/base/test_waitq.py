"""Wait queues: everybody wakes once for each time he stood in line, in order."""

from __future__ import annotations

from rumpfs.base.waitq import WaitQueue


def test_all_wake_in_order_and_once() -> None:
    queue = WaitQueue()
    woken: list[int] = []
    for number in (3, 1, 2):
        queue.enter(lambda number=number: woken.append(number))
    assert len(queue) == 3
    queue.wakeup()
    assert woken == [3, 1, 2]
    queue.wakeup()
    assert (woken, len(queue)) == ([3, 1, 2], 0)


def test_who_has_left_sleeps_on() -> None:
    queue = WaitQueue()
    woken: list[str] = []

    def first() -> None:
        woken.append("first")

    queue.enter(first)
    queue.enter(lambda: woken.append("second"))
    queue.leave(first)
    queue.leave(first)
    queue.wakeup()
    assert woken == ["second"]


def test_bound_methods_can_leave() -> None:
    class Sleeper:
        woken = False

        def wake(self) -> None:
            self.woken = True

    queue, sleeper = WaitQueue(), Sleeper()
    queue.enter(sleeper.wake)
    queue.enter(sleeper.wake)
    assert len(queue) == 1
    queue.leave(sleeper.wake)
    queue.wakeup()
    assert not sleeper.woken


def test_who_enters_again_while_being_woken_waits_for_the_next_time() -> None:
    queue = WaitQueue()
    count = 0

    def again() -> None:
        nonlocal count
        count += 1
        queue.enter(again)

    queue.enter(again)
    queue.wakeup()
    assert count == 1
    queue.wakeup()
    assert count == 2
