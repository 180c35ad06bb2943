"""What becomes of the calls of others when a client, or a signal, halts the kernel."""

from __future__ import annotations

import signal
import struct
from pathlib import Path

import pytest

from tests.serving import REQ, SYSCALL, Frame, Peer, serving

READ, GETPID, PIPE, REBOOT = 3, 20, 42, 208


@pytest.mark.parametrize("by_signal", [False, True])
def test_a_blocked_call_of_another_client_is_never_answered(tmp_path: Path, by_signal: bool) -> None:
    with serving(tmp_path) as served, Peer(served.path) as blocked, Peer(served.path) as other:
        blocked.guest()
        other.guest()
        reader = blocked.call(PIPE).retval
        blocked.send(Frame(9, REQ, SYSCALL, READ, struct.pack("<3Q", reader, 0x1000, 4)).encode())
        assert blocked.call(GETPID, reqno=10).error == 0
        if by_signal:
            served.process.send_signal(signal.SIGTERM)
        else:
            assert other.call(REBOOT, 0, 0).error == 0
        assert blocked.frame() is None
        served.process.communicate(timeout=10)
        assert served.process.returncode == 0
        assert not Path(served.path).exists()
