"""What an FFS costs that is written: files copied in and out, small files, makefs and fsck of whole trees.

The marks are those of the C server over its socket on one CPU, on a disk whose fdatasync takes 90 us. `plain`
waits for the disk where the order of the metadata demands it: once for a file that is made or removed, the C
server twice. `log` commits many changes at once; `async` is what the calls cost when nobody waits for a disk.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from rumpfs.abi.mount import MNT_ASYNC, MNT_LOG
from tests.bench.commands import BIN, line
from tests.bench.exchange import Exchange
from tests.serving import COPYIN, HEADER, REQ, RESP, SYSCALL, Frame, Peer, serving

OPEN, CLOSE, UNLINK, MKDIR, PWRITE, MOUNT, UNMOUNT, FSYNC = 5, 6, 10, 136, 174, 410, 22, 95
PATH, TYPE, ARGS, FSPEC, DATA = (n << 32 for n in range(1, 6))
O_RDWR, O_CREAT = 2, 0x200
SMALL = 50_000
LARGE = 1 << 30
CHECKED = 100_000
#: bytes of an answer without data, and of a request for a string
_RESP, _COPYINSTR = 24 + 24, 24 + 16


class Mode(NamedTuple):
    """How the FFS is mounted, how many files, and what the C server creates and removes per second."""

    name: str
    flags: int
    creates: int | None
    unlinks: int | None
    files: int = SMALL


MODES = (
    Mode("plain", 0, 2100, 4300, SMALL // 5),
    Mode("log", MNT_LOG, 18_000, 30_000),
    Mode("async", MNT_ASYNC, None, None),
)


class Paths:
    """Calls that have a path as their only pointer, with as little of a client as there can be."""

    def __init__(self, peer: Peer) -> None:
        self._sock = peer.sock
        self._buffer = bytearray(4096)
        self._answer = bytearray(HEADER.pack(0, 0, RESP, COPYIN, 0))

    def request(self, number: int, *slots: int) -> bytes:
        """Return a call."""
        return Frame(7, REQ, SYSCALL, number, struct.pack(f"<{len(slots)}Q", *slots)).encode()

    def call(self, request: bytes) -> int:
        """Make a call that asks for nothing; return its value."""
        self._sock.send(request)
        return self._response()

    def named(self, request: bytes, path: bytes) -> int:
        """Make a call that asks for a path; return its value."""
        sock, answer = self._sock, self._answer
        sock.send(request)
        got = sock.recv_into(self._buffer, _COPYINSTR)
        assert got == _COPYINSTR
        struct.pack_into("<Q", answer, 0, 24 + len(path))
        answer[8:16] = self._buffer[8:16]
        sock.send(answer + path)
        return self._response()

    def _response(self) -> int:
        got = self._sock.recv_into(self._buffer, _RESP)
        error, value = struct.unpack_from("<i4xq", self._buffer, 24)
        assert got == _RESP
        assert not error, f"errno {error}"
        return int(value)


@contextmanager
def _served(directory: Path, megabytes: int, flags: int) -> Iterator[Peer]:
    """Serve an FFS that can be written, on /mnt."""
    image = directory / "image"
    command: list[str | Path] = [
        BIN / "rumpfs",
        "newfs",
        "-O",
        "2",
        "-i",
        "4096",
        "-s",
        f"{megabytes}m",
        "--log",
        image,
    ]
    subprocess.run(command, check=True, capture_output=True)
    try:
        with (
            serving(directory, "-d", f"key=/dk,hostpath={image},size=host") as served,
            Peer(served.path, timeout=600) as peer,
        ):
            peer.guest()
            args = struct.pack("<Q", FSPEC)
            memory = {PATH: b"/mnt\0", TYPE: b"ffs\0", ARGS: args, FSPEC: b"/dk\0"}
            assert peer.call(MKDIR, PATH, 0o755, memory=memory).error == 0
            done = peer.call(MOUNT, TYPE, PATH, flags, ARGS, len(args), memory=memory)
            assert done.error == 0, f"mount: errno {done.error}"
            peer.sock.settimeout(None)
            yield peer
            assert peer.call(UNMOUNT, PATH, 0, memory=memory).error == 0
    finally:
        image.unlink()


def bench() -> None:
    """Measure and print."""
    print(f"\n{'FFS, for writing':48} goal     measured")
    with tempfile.TemporaryDirectory(prefix="rumpfs-bench") as name:
        directory = Path(name)
        line("fdatasync after a write of a sector (us)", "", _fdatasync(directory) * 1e6)
        cpus = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(cpus)})
        try:
            _rewrites(directory)
            host = _host_files(directory)
            for mode in MODES:
                _small_files(directory, mode, host)
        finally:
            os.sched_setaffinity(0, cpus)
        _copies(directory)
        _trees(directory)


def _fdatasync(directory: Path) -> float:
    """Return the seconds that the host's disk needs: plain creations and removals wait for it."""
    with (directory / "sectors").open("wb+") as file:
        file.write(bytes(1 << 20))
        os.fdatasync(file.fileno())

        def write() -> None:
            for offset in range(0, 1 << 18, 512):
                os.pwrite(file.fileno(), bytes(512), offset)
                os.fdatasync(file.fileno())

        return _seconds(write) / 512


def _rewrites(directory: Path) -> None:
    with _served(directory, 64, 0) as peer:
        paths = Paths(peer)
        fd = paths.named(paths.request(OPEN, PATH, O_CREAT | O_RDWR, 0o644), b"/mnt/file\0")
        memory = {DATA: os.urandom(1 << 20)}
        for offset in range(0, 4 << 20, 1 << 20):
            assert peer.call(PWRITE, fd, DATA, 1 << 20, 0, offset, memory=memory).retval == 1 << 20
        peer.sock.settimeout(None)
        for size, mark in ((65536, 220), (1 << 20, 252)):
            exchange = Exchange(peer, [(PWRITE, (fd, DATA, size, 0, 0))], memory)
            runs = (1 << 28) // size
            seconds = _seconds(lambda exchange=exchange, runs=runs: [exchange.run() for _ in range(runs)])
            line(
                f"pwrite of {size >> 10} KiB, in place, pinned (MB/s)",
                f">= {mark}",
                runs * size / seconds / 1e6,
            )
        paths.call(paths.request(CLOSE, fd))


class Rates(NamedTuple):
    """Creations and removals per second."""

    creates: float
    unlinks: float


def _host_files(directory: Path) -> Rates:
    """Return what the host's own file system does."""
    place = os.fsencode(directory / "host")
    os.mkdir(place)
    names = [b"%s/f%05d" % (place, number) for number in range(SMALL)]

    def create() -> None:
        for name in names:
            os.close(os.open(name, os.O_CREAT | os.O_RDWR, 0o644))

    def unlink() -> None:
        for name in names:
            os.unlink(name)

    rates = Rates(SMALL / _seconds(create), SMALL / _seconds(unlink))
    os.rmdir(place)
    return rates


def _small_files(directory: Path, mode: Mode, host: Rates) -> None:
    """Create and remove empty files in one directory, one call after the other."""
    with _served(directory, 256, mode.flags) as peer:
        paths = Paths(peer)
        opening, unlinking = paths.request(OPEN, PATH, O_CREAT | O_RDWR, 0o644), paths.request(UNLINK, PATH)
        names = [b"/mnt/f%05d\0" % number for number in range(mode.files)]

        def create() -> None:
            closing = b""
            for name in names:
                fd = paths.named(opening, name)
                closing = closing or paths.request(CLOSE, fd)
                paths.call(closing)

        def unlink() -> None:
            for name in names:
                paths.named(unlinking, name)

        rates = Rates(mode.files / _seconds(create), mode.files / _seconds(unlink))
    for what, rate, mark, best in (
        ("created", rates.creates, mode.creates, host.creates),
        ("removed", rates.unlinks, mode.unlinks, host.unlinks),
    ):
        goal = "" if mark is None else f">= {mark}"
        line(f"files {what} a second, {mode.name}, pinned", goal, rate)
        line(f"  to those of the host's file system, {best:.0f}", "", rate / best)


def _seconds(what: Callable[[], object]) -> float:
    start = time.perf_counter()
    what()
    return time.perf_counter() - start


def _run(*command: str | Path) -> float:
    return _seconds(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))


def _dd(source: Path, target: Path) -> float:
    return _run("dd", f"if={source}", f"of={target}", "bs=1M", "conv=fdatasync", "status=none")


def _copies(directory: Path) -> None:
    """Copy a large file into an FFS and out of it, until the host's disk has it."""
    large, copy, image = directory / "large", directory / "copy", directory / "disk"
    with large.open("wb") as stream:
        for _ in range(LARGE >> 20):
            stream.write(os.urandom(1 << 20))
    host = _dd(large, copy)
    copy.unlink()
    rumpfs = BIN / "rumpfs"
    subprocess.run(
        [rumpfs, "newfs", "-O", "2", "-s", str((LARGE + LARGE // 8) // 512), image],
        check=True,
        capture_output=True,
    )
    with serving(directory, "-d", f"key=/dk,hostpath={image},size=host") as served:
        subprocess.run([rumpfs, "mkdir", f"{served.url}:/mnt"], check=True)
        subprocess.run([rumpfs, "mount", "-t", "ffs", "-o", "rw", "/dk", f"{served.url}:/mnt"], check=True)
        into = _seconds(lambda: (_run(rumpfs, "cp", large, f"{served.url}:/mnt/large"), _run("sync", image)))
        large.unlink()
        out = _seconds(lambda: (_run(rumpfs, "cp", f"{served.url}:/mnt/large", copy), _run("sync", copy)))
        copy.unlink()
        subprocess.run([rumpfs, "umount", f"{served.url}:/mnt"], check=True)
    line(f"rumpfs cp of 1 GiB into FFS, {LARGE / into / 1e6:.0f} MB/s, to dd", "", host / into)
    line(f"rumpfs cp of 1 GiB out of FFS, {LARGE / out / 1e6:.0f} MB/s, to dd", "", host / out)
    image.unlink()


def _tree(root: Path, files: int) -> None:
    """Make a tree of small files, 500 in a directory."""
    for first in range(0, files, 500):
        below = root / f"d{first // 500:03}"
        below.mkdir(parents=True)
        for number in range(500):
            (below / f"file{number:03}").write_bytes(b"content of a small file\n" * (number % 30))


def _trees(directory: Path) -> None:
    """Make an image of a tree, and check one."""
    tree, image, theirs = directory / "tree", directory / "tree.img", directory / "theirs.img"
    makefs = shutil.which("makefs", path=f"{os.environ['PATH']}:/usr/sbin")
    if makefs is None:
        raise SystemExit("makefs is not installed (Debian package makefs; make setup installs it)")
    _tree(tree, SMALL)
    options = ("-o", "version=2,bsize=16384,fsize=2048,density=2048")
    ours = _run(BIN / "rumpfs", "makefs", *options, image, tree)
    real = _run(makefs, "-t", "ffs", *options, "-f", "1000", "-b", "10%", theirs, tree)
    line(f"rumpfs makefs of {SMALL} files, {ours:.2f} s, to makefs(8)", "", real / ours)
    theirs.unlink()
    image.unlink()
    os.rename(tree / "d000", tree / "first")
    _tree(directory / "more", CHECKED - SMALL)
    os.rename(directory / "more", tree / "more")
    _run(makefs, "-t", "ffs", *options, "-f", "1000", "-b", "10%", image, tree)
    seconds = _run(BIN / "rumpfs", "fsck", "-n", "-f", image)
    line(f"rumpfs fsck of {CHECKED} files, {seconds / CHECKED * 1e6:.1f} us each (s)", "", seconds)
