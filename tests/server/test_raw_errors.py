"""Odd and wrong messages: ours answers as NetBSD's server was recorded, and with an error where that died."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serving import ERROR, Frame, Peer, Served, serving

WIRE = Path(__file__).parents[2].parent / "shared" / "wire"
NUMBERS = re.compile(r"len=(\d+) reqno=(\d+) class=(\d+) type=(\d+) u=(\d+) body=([0-9a-f]*)")
PID = range(8, 16)

CASES: list[Any] = []
if WIRE.is_dir():
    CASES = [json.loads(line) for line in (WIRE / "raw_errors.jsonl").read_text().splitlines()]
pytestmark = pytest.mark.skipif(not CASES, reason=f"no recordings at {WIRE}")


def read_between() -> dict[str, dict[int, bytes]]:
    """What the recorder read before it sent message N of a case (the lines in front of its title)."""
    found: dict[str, dict[int, bytes]] = {}
    before: dict[int, bytes] = {}
    for line in (WIRE / "raw_errors.out").read_text().splitlines() if WIRE.is_dir() else ():
        if match := re.match(r"\s+\(before message (\d+): ([0-9a-f]*)\)", line):
            before[int(match[1])] = bytes.fromhex(match[2])
        elif line and not line.startswith(" "):
            found[line] = before
            before = {}
    return found


BETWEEN = read_between()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("raw")) as server:
        yield server


def whole_frames(data: bytes) -> list[Frame]:
    frames = []
    while data:
        length, *header = struct.unpack_from("<QQHHI", data)
        frames.append(Frame(*header, data[24:length]))
        data = data[length:]
    return frames


def same(mine: Frame, theirs: Frame) -> None:
    """Compare what is determined: not the padding, the process numbers, or a cookie."""
    assert mine[:4] == theirs[:4]
    if theirs.kind == 7:
        assert len(mine.body) == len(theirs.body)
    elif theirs.cls == 1 and theirs.kind == 1:
        error, retval, _ = struct.unpack("<i4xqq", theirs.body)
        my_error, my_retval, _ = struct.unpack("<i4xqq", mine.body)
        assert my_error == error
        assert my_retval == retval or retval == 2  # the process number of a fresh server
    else:
        assert mine.body == theirs.body


@pytest.mark.parametrize("case", CASES, ids=[case["case"] for case in CASES])
def test_case(served: Served, case: dict[str, Any]) -> None:
    with Peer(served.path) as peer:
        if case["after_guest_handshake"]:
            peer.guest()
        outgoing = b""
        for number, message in enumerate(case["sent"]):
            between = whole_frames(BETWEEN[case["case"]].get(number, b""))
            if between:
                send(peer, outgoing, case)
                outgoing = b""
            for theirs in between:
                mine = peer.frame()
                assert mine is not None
                same(mine, theirs)
            outgoing += bytes.fromhex(message)
        send(peer, outgoing, case)
        if case["case"].endswith("then EOF") or "hangs up" in case["case"]:
            peer.sock.shutdown(1)
        if case["server_died"]:
            answer = peer.frame()
            assert answer is not None
            refused = answer.cls == ERROR
            assert refused or struct.unpack_from("<i", answer.body)[0] != 0
        else:
            for line in case["received"]:
                follow(peer, line)
    with Peer(served.path) as peer:  # the server is alive
        assert peer.guest().cls == 1


def send(peer: Peer, data: bytes, case: dict[str, Any]) -> None:
    """Send what the recorder sent without reading in between, as one piece."""
    try:
        peer.send(data)
    except BrokenPipeError:
        assert "huge" in case["case"] or "-1" in case["case"] or case["server_died"]


def follow(peer: Peer, line: str) -> None:
    """Check one line of what was received."""
    if match := NUMBERS.fullmatch(line):
        mine = peer.frame()
        assert mine is not None, line
        same(mine, Frame(*map(int, match.groups()[1:5]), bytes.fromhex(match[6])))
    elif line.startswith("(nothing more"):
        peer.sock.settimeout(0.02)
        with pytest.raises(TimeoutError):
            peer.sock.recv(1)
    else:  # EOF, or a reset
        assert peer.frame() is None
