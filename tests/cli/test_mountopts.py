"""The options of mounts on the host."""

from __future__ import annotations

import pytest

from rumpfs.abi.mount import MNT_ASYNC, MNT_FORCE, MNT_LOG, MNT_SYNCHRONOUS
from rumpfs.cli.mountopts import OptionError, known, parse


def test_options_by_other_names() -> None:
    assert parse(["sizelimit=1m,ufstype=44bsd"]).get("size") == 1 << 20
    assert parse(["log=ignore"]).values == parse(["replay=ignore"]).values
    assert (parse(["log"]).flags, parse(["log"]).values) == (MNT_LOG, {})
    assert parse(["log=force"]).flags == MNT_FORCE
    assert parse(["nolock"]).get("nolock") is True


def test_an_overlay_is_for_writing() -> None:
    assert parse(["overlay=x"]).writable(rw=False)
    assert not parse(["overlay=x,ro"]).writable(rw=False)
    assert not parse([""]).writable(rw=False)
    assert parse(["overlay=x"]).mount_flags(rw=False) == 0


@pytest.mark.parametrize(
    ("option", "hint"),
    [("overlya=x", "overlay"), ("sizelimt=4k", "sizelimit"), ("noloc", "nolock"), ("replya=auto", "replay")],
)
def test_what_is_misspelt_is_suggested(option: str, hint: str) -> None:
    assert not known(option)
    with pytest.raises(OptionError, match=f"did you mean {hint}\\?"):
        parse([option])


@pytest.mark.parametrize(
    "option", ["ro", "log=ignore", "sizelimit=1", "x-systemd.automount", "_netdev", "user=me"]
)
def test_what_mount_s_passes_on_is_known(option: str) -> None:
    assert known(option)


def test_of_sync_and_async_the_last_one_counts() -> None:
    assert (parse(["sync"]).flags, parse(["sync"]).host) == (MNT_SYNCHRONOUS, {"sync"})
    assert (parse(["sync,async"]).flags, parse(["sync,async"]).host) == (MNT_ASYNC, set())
    assert parse(["async,sync"]).flags == MNT_SYNCHRONOUS
