"""The recorded conversations of NetBSD's clients with NetBSD's server, held with ours.

What a client sends goes out as recorded. Of what comes back everything is compared that C determines: the
order, addresses and lengths of copy requests, the memory that a call leaves, errors, results, signals.
Pieces of one transfer that follow each other in memory count as one, because C cuts data at pages and
entries and we do not. Times, free space, tmpfs's inode numbers and unused bytes are masked.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.serving import COPYIN, COPYINSTR, COPYOUT, Frame, Peer, Served, serving

MNT_RDONLY = 1
WIRE = Path(__file__).parents[2].parent / "shared" / "wire"
pytestmark = pytest.mark.skipif(not WIRE.is_dir(), reason=f"no recordings at {WIRE}")

STAT_CALLS = {"__stat50", "__lstat50", "__fstat50"}
TIMES = range(48, 112)
OWNER = struct.pack("<II", os.geteuid(), os.getegid())
STATVFS_CALLS = {"statvfs1"}


class Recording:
    """One recorded file, as messages in order."""

    def __init__(self, name: str) -> None:
        lines = (WIRE / f"{name}.jsonl").read_text().splitlines()
        self.messages: list[dict[str, Any]] = [json.loads(line) for line in lines]

    def first_pid(self) -> int | None:
        """The process number that the first getpid was answered with."""
        for message in self.messages:
            if message.get("class") == "RESP" and message.get("type") == "SYSCALL" and "retval" in message:
                return int(message["retval"][0])
        return None


def frame_of(message: dict[str, Any]) -> Frame:
    raw = bytes.fromhex(message["hex"])
    _, reqno, cls, kind, union = struct.unpack_from("<QQHHI", raw)
    return Frame(reqno, cls, kind, union, raw[24:])


class Expected:
    """What the recording says of one request."""

    def __init__(self, message: dict[str, Any]) -> None:
        self.message = message
        self.frame = frame_of(message)
        self.requests: list[tuple[int, int, int]] = []  # kind, addr, length
        self.memory: dict[int, bytes] = {}
        self.stored: list[tuple[int, bytes]] = []
        self.signals: list[int] = []
        self.response: Frame | None = None


def expectations(messages: list[dict[str, Any]]) -> list[Expected]:
    """Gather what belongs to each request of one connection, in the order of the requests."""
    found: list[Expected] = []
    asked: dict[int, tuple[Expected, int]] = {}
    open_: list[Expected] = []
    for message in messages:
        if "hex" not in message or "banner" in message:
            continue
        frame = frame_of(message)
        if message["dir"] == "c2s" and frame.cls == 0:
            expected = Expected(message)
            found.append(expected)
            open_.append(expected)
        elif message["dir"] == "c2s":
            owner, addr = asked[frame.reqno]
            owner.memory[addr] = frame.body
        elif frame.cls == 0:
            owner = open_[-1]
            if frame.kind in (COPYIN, COPYINSTR):
                length, addr = struct.unpack("<QQ", frame.body)
                owner.requests.append((frame.kind, addr, length))
                asked[frame.reqno] = owner, addr
            elif frame.kind == COPYOUT:
                _, addr = struct.unpack_from("<QQ", frame.body)
                owner = next((e for e in open_ if addr in _pointers(e)), owner)
                owner.stored.append((addr, frame.body[16:]))
            else:
                owner.signals.append(frame.union)
        else:
            owner = next(e for e in open_ if e.frame.reqno == frame.reqno)
            owner.response = frame
            open_.remove(owner)
    return found


def _pointers(expected: Expected) -> set[int]:
    body = expected.frame.body
    return set(struct.unpack(f"<{len(body) // 8}Q", body[: len(body) // 8 * 8]))


def joined(pieces: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Join pieces that follow each other in memory."""
    result: list[tuple[int, bytes]] = []
    for addr, data in pieces:
        if result and result[-1][0] + len(result[-1][1]) == addr:
            result[-1] = result[-1][0], result[-1][1] + data
        else:
            result.append((addr, data))
    return result


def joined_requests(requests: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Join COPYINs that follow each other in memory; strings stand alone."""
    result: list[tuple[int, int, int]] = []
    for kind, addr, length in requests:
        if kind == COPYIN and result and result[-1][0] == COPYIN and result[-1][1] + result[-1][2] == addr:
            result[-1] = COPYIN, result[-1][1], result[-1][2] + length
        else:
            result.append((kind, addr, length))
    return result


class Player:
    """Plays recordings to a server.

    Args:
        cut: how the bytes of each frame are handed over: whole, or byte by byte.
    """

    def __init__(self, served: Served, cut: int) -> None:
        self.served = served
        self.cut = cut
        self.cookies: dict[bytes, bytes] = {}
        self.open = ExitStack()

    def __enter__(self) -> Player:
        return self

    def __exit__(self, *exc: object) -> None:
        self.open.close()

    def play(self, recording: Recording, on_tmpfs: bool) -> int:
        """Play one recording and return the number of calls compared."""
        conns: dict[int, list[dict[str, Any]]] = {}
        for message in recording.messages:
            conns.setdefault(message["conn"], []).append(message)
        expected = {conn: iter(expectations(messages)) for conn, messages in conns.items()}
        peers: dict[int, Peer] = {}
        waiting: dict[int, list[Expected]] = {}
        compared = 0
        for position, message in enumerate(recording.messages):
            conn = message["conn"]
            if message.get("event") == "open":
                peers[conn] = self.open.enter_context(Peer(self.served.path))
                waiting[conn] = []
            elif message.get("event") == "close":
                peers.pop(conn).sock.close()
            elif "banner" in message:
                assert peers[conn].banner == bytes.fromhex(message["hex"])
            elif message["dir"] == "c2s" and frame_of(message).cls == 0:
                item = next(expected[conn])
                self._send(peers[conn], self._with_cookie(item.frame))
                waiting[conn].append(item)
                if self._answered_later(recording, position, conn, item):
                    continue
                compared += self._settle(peers[conn], waiting[conn], on_tmpfs)
        return compared

    def _answered_later(self, recording: Recording, position: int, conn: int, item: Expected) -> bool:
        """Whether the recording goes on with another request before this one is answered."""
        for message in recording.messages[position + 1 :]:
            if message["conn"] != conn or "hex" not in message:
                continue
            frame = frame_of(message)
            if message["dir"] == "c2s" and frame.cls == 0:
                return True
            if frame.cls != 0 and message["dir"] == "s2c" and frame.reqno == item.frame.reqno:
                return False
        return True

    def _send(self, peer: Peer, frame: Frame) -> None:
        data = frame.encode()
        for start in range(0, len(data), self.cut):
            peer.send(data[start : start + self.cut])

    def _with_cookie(self, frame: Frame) -> Frame:
        if frame.kind == 0 and frame.union == 2:
            return frame._replace(body=self.cookies[frame.body[:16]] + frame.body[16:])
        return frame

    def _settle(self, peer: Peer, waiting: list[Expected], on_tmpfs: bool) -> int:
        """Read until everything sent is answered, and compare."""
        compared = 0
        seen: dict[int, tuple[list[tuple[int, int, int]], list[tuple[int, bytes]], list[int]]] = {}
        while waiting:
            frame = peer.frame()
            assert frame is not None
            if frame.cls == 0:
                owner = self._owner(frame, waiting)
                requests, stored, signals = seen.setdefault(owner.frame.reqno, ([], [], []))
                if frame.kind in (COPYIN, COPYINSTR):
                    length, addr = struct.unpack("<QQ", frame.body)
                    requests.append((frame.kind, addr, length))
                    data = _memory(owner.memory, addr, length, frame.kind == COPYINSTR)
                    self._send(peer, Frame(frame.reqno, 1, COPYIN, 0, data))
                elif frame.kind == COPYOUT:
                    stored.append((struct.unpack_from("<QQ", frame.body)[1], frame.body[16:]))
                else:
                    signals.append(frame.union)
                continue
            owner = next(e for e in waiting if e.frame.reqno == frame.reqno)
            waiting.remove(owner)
            self._compare(owner, frame, *seen.get(frame.reqno, ([], [], [])), on_tmpfs)
            compared += 1
        return compared

    def _owner(self, frame: Frame, waiting: list[Expected]) -> Expected:
        if len(waiting) == 1 or len(frame.body) < 16:
            return waiting[-1]
        addr = struct.unpack_from("<QQ", frame.body)[1]
        return next(e for e in waiting if addr in _pointers(e))

    def _compare(
        self, expected: Expected, answer: Frame, requests: list[tuple[int, int, int]],
        stored: list[tuple[int, bytes]], signals: list[int], on_tmpfs: bool,
    ) -> None:  # fmt: skip
        name = expected.message.get("sys", expected.message["type"])
        recorded = expected.response
        assert recorded is not None
        assert answer[:4] == recorded[:4], name
        assert signals == expected.signals, name
        if answer.kind == 7:
            assert len(answer.body) == len(recorded.body)
            self.cookies[recorded.body] = answer.body
            return
        assert joined_requests(requests) == joined_requests(expected.requests), name
        mine, theirs = joined(stored), joined(expected.stored)
        assert [(a, mask(name, d, on_tmpfs)) for a, d in mine] == [
            (a, mask(name, d, on_tmpfs)) for a, d in theirs
        ], name
        if answer.kind == 1:
            unpack = struct.Struct("<i4xqq").unpack
            assert unpack(answer.body) == unpack(recorded.body), name
        else:
            assert answer.body == recorded.body, name


def _memory(memory: dict[int, bytes], addr: int, length: int, string: bool) -> bytes:
    if string:
        return memory[addr]
    data = b""
    while len(data) < length:
        base = next(b for b, d in memory.items() if b <= addr + len(data) < b + len(d))
        data += memory[base][addr + len(data) - base :]
    return data[:length]


def mask(name: str, data: bytes, on_tmpfs: bool) -> bytes:
    """Blank what depends on the moment or the machine."""
    out = bytearray(data)
    if name in STAT_CALLS:
        out[TIMES.start : TIMES.stop] = bytes(len(TIMES))
        if out[28:36] == OWNER:
            out[28:36] = bytes(8)  # st_uid, st_gid of an image that was made here: 0 in the recording
        if on_tmpfs:
            out[16:24] = bytes(8)  # st_ino: an address in C
    elif name in STATVFS_CALLS and on_tmpfs:
        out[32:96] = bytes(64)  # blocks and files: what memory the host has
    elif name in STATVFS_CALLS and out[172:176] == b"ffs\0":
        out[0] &= ~MNT_RDONLY
        for field in (5, 6, 9, 10, 12, 13, 14, 15):  # free space and inodes; transfers, which we do not count
            out[8 * field : 8 * field + 8] = bytes(8)
    elif name == "__getdents30" and on_tmpfs:
        position = 0
        while position < len(out):
            out[position : position + 8] = bytes(8)
            position += struct.unpack_from("<H", out, position + 8)[0]
    return bytes(out)


#: those of the server that was recorded (wire/README.md)
COMPONENTS = ("rumpvfs", "rumpdev", "rumpdev_disk", "rumpfs_tmpfs", "rumpfs_ffs")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A server with a disk on /dev/dk, as the recordings had."""
    (tmp_path / "disk.img").write_bytes(bytes(1 << 20))
    options = [f"-l{name}" for name in COMPONENTS]
    options += ["-d", f"key=/dev/dk,hostpath={tmp_path}/disk.img,size=host"]
    with serving(tmp_path, *options, program="rump_server") as server:
        yield server


def use_up_pids(served: Served, first: int | None) -> None:
    """Connect and leave until the next process gets the number that the recording begins with."""
    for _ in range(2, first or 2):
        with Peer(served.path) as peer:
            peer.guest()


RECORDINGS = (
    "guest", "errors", "root", "rootfs", "tmpfs", "fork", "prefork_cancel", "exec", "sigpipe_raise",
    "pipe_blocking", "kill_enosys", "bigio_tmpfs", "bigio_rootfs", "hijack",
)  # fmt: skip
CUTS = pytest.mark.parametrize("cut", [1 << 30, 24, 1], ids=["whole", "at every header", "byte by byte"])


def requests_of(recording: Recording) -> int:
    return sum(m.get("class") == "REQ" and m["dir"] == "c2s" for m in recording.messages)


@CUTS
@pytest.mark.parametrize("name", RECORDINGS)
def test_recording(served: Served, name: str, cut: int) -> None:
    recording = Recording(name)
    use_up_pids(served, recording.first_pid() if name != "hijack" else None)
    with Player(served, cut) as player:
        assert player.play(recording, on_tmpfs="tmpfs" in name) == requests_of(recording)


@CUTS
@pytest.mark.oracle("makefs")
def test_reading_ffs(tmp_path: Path, cut: int) -> None:
    """The recorded mount of FFS, asked for read-only, up to the first write; on an image made alike."""
    tree = tmp_path / "tree"
    (tree / "dir").mkdir(parents=True)
    (tree / "dir" / "a").write_bytes(b"x")
    (tree / "README").write_bytes(b"x" * 2000)
    (tree / "link").symlink_to("README")
    image = tmp_path / "ffs.img"
    makefs = shutil.which("makefs")
    assert makefs is not None
    subprocess.run(
        [makefs, "-t", "ffs", "-B", "le", "-s", "32m", "-o", "version=2", image, tree],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    recording = Recording("ffs")
    last = next(
        i for i, m in enumerate(recording.messages) if m.get("sys") == "open" and m["args"][1] != "0x0"
    )
    recording.messages = recording.messages[:last]
    mount = next(m for m in recording.messages if m.get("sys") == "__mount50")
    raw = bytearray.fromhex(mount["hex"])
    raw[24 + 16] |= MNT_RDONLY
    mount["hex"] = raw.hex()
    with (
        serving(tmp_path, "-d", f"key=/dev/dk,hostpath={image},size=host,ro") as served,
        Player(served, cut) as player,
    ):
        use_up_pids(served, recording.first_pid())
        assert player.play(recording, on_tmpfs=False) == requests_of(recording)


def test_halt(served: Served) -> None:
    """The recorded rump.halt gets its answer, and the server ends well with its socket gone."""
    with Player(served, 1 << 30) as player:
        recording = Recording("halt")
        assert player.play(recording, on_tmpfs=False) == requests_of(recording)
    out, err = served.process.communicate(timeout=10)
    assert served.process.returncode == 0
    assert out.decode().splitlines() == ["rump kernel halting...", "halted"]
    assert not err
    assert not Path(served.path).exists()
