"""Our client does what NetBSD's client did in the recordings, with the same bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from rumpfs.sysproxy import wire
from tests.client.recording import FakeServer, Script, load, recordings
from tests.conftest import SHARED

WIRE = SHARED / "wire"
NAMES = list(recordings(WIRE)) if WIRE.is_dir() else []


@pytest.fixture(autouse=True)
def _recordings(shared: Path) -> None:
    """Skip, and say so, without the recordings."""


def test_there_are_recordings() -> None:
    assert {"guest", "tmpfs", "ffs", "rootfs", "fork", "exec", "pipe_blocking", "bigio_ffs"} <= set(NAMES)


@pytest.mark.parametrize("piece", [0, 1, 17], ids=["whole", "bytes", "pieces"])
@pytest.mark.parametrize("name", NAMES)
def test_the_same_calls_give_the_same_bytes(name: str, piece: int, tmp_path: Path) -> None:
    messages = load(WIRE / f"{name}.jsonl")
    server = FakeServer(messages, tmp_path, piece)
    script = Script(messages, server.url)
    try:
        script.run()
    finally:
        server.finish()
    raised = [message.heading[4] for message in messages if message.is_(wire.REQ, wire.RAISE)]
    assert script.results == [f"signal {signo}" for signo in raised]
    assert all(message.seen.is_set() for message in messages if message.to_server)
