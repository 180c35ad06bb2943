"""Callouts: what is due is called once, in order, and a front end hears when it is wanted."""

from __future__ import annotations

from rumpfs.base.callout import Callout, CalloutTable


def test_what_is_due_is_called_once_and_in_order() -> None:
    table = CalloutTable()
    called: list[str] = []
    for deadline, name in [(3.0, "c"), (1.0, "a"), (2.0, "b"), (9.0, "z")]:
        table.reset(Callout(lambda name=name: called.append(name)), deadline)  # type: ignore[misc]
    assert table.deadline == 1.0
    table.run(0.5)
    assert called == []
    table.run(3.0)
    assert called == ["a", "b", "c"]
    table.run(3.0)
    assert called == ["a", "b", "c"]
    assert table.deadline == 9.0


def test_a_callout_has_one_time() -> None:
    table = CalloutTable()
    called: list[float] = []
    callout = Callout(lambda: called.append(1))
    table.reset(callout, 1.0)
    table.reset(callout, 5.0)
    assert table.deadline == 5.0
    table.run(2.0)
    assert called == []
    table.stop(callout)
    assert table.deadline is None
    table.run(100.0)
    assert called == []


def test_one_that_is_set_again_while_others_run_waits_for_its_new_time() -> None:
    table = CalloutTable()
    called: list[str] = []
    second = Callout(lambda: called.append("second"))
    table.reset(Callout(lambda: table.reset(second, 10.0)), 1.0)
    table.reset(second, 2.0)
    table.run(3.0)
    assert called == []
    assert table.deadline == 10.0


def test_a_front_end_hears_of_an_earlier_deadline() -> None:
    table = CalloutTable()
    heard: list[float | None] = []
    table.changed = lambda: heard.append(table.deadline)
    late, early = Callout(lambda: None), Callout(lambda: None)
    table.reset(late, 5.0)
    table.reset(early, 2.0)
    assert heard == [5.0, 2.0]
    table.run(2.0)
    assert heard[-1] == 5.0


def test_stopping_leaves_nothing_behind() -> None:
    table = CalloutTable()
    callout = Callout(lambda: None)
    for index in range(10_000):
        table.reset(callout, 1000.0 + index)
    assert len(table._heap) < 200
    assert table.deadline == 1000.0 + 9999
