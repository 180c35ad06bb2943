"""Run the benchmark and print the table."""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.bench import commands, disk, fuse, images, scale
from tests.bench.exchange import Echo, Exchange
from tests.serving import Peer, serving

O_RDONLY, O_RDWR, O_CREAT, O_TRUNC = 0, 2, 0x200, 0x400
READ, OPEN, CLOSE, UNLINK, GETPID, MKDIR = 3, 5, 6, 10, 20, 136
PREAD, PWRITE, GETDENTS, MOUNT, STAT, FSTAT = 173, 174, 390, 410, 439, 440
PATH, PATH2, DATA, OUT, TYPE, ARGS, FSPEC, MANY = (n << 32 for n in range(1, 9))
MNT_RDONLY = 1
BURST_SECONDS = 0.04
PAIRS = 25


class Row(NamedTuple):
    """One line: calls on an open file, and the ratio that the C server reaches pinned (None: not known)."""

    name: str
    fs: str
    calls: Callable[[int], list[tuple[int, tuple[int, ...]]]]
    mark: float | None


def _pread(size: int, offset: int = 0) -> Callable[[int], list[tuple[int, tuple[int, ...]]]]:
    return lambda fd: [(PREAD, (fd, OUT, size, 0, offset))]


def _pwrite(size: int) -> Callable[[int], list[tuple[int, tuple[int, ...]]]]:
    return lambda fd: [(PWRITE, (fd, DATA, size, 0, 0))]


def _open_fstat_close(fd: int) -> list[tuple[int, tuple[int, ...]]]:
    return [(OPEN, (PATH, O_RDONLY, 0)), (FSTAT, (fd + 2, OUT)), (CLOSE, (fd + 2,))]


def _create_close_unlink(fd: int) -> list[tuple[int, tuple[int, ...]]]:
    return [(OPEN, (PATH2, O_CREAT | O_RDWR, 0o644)), (CLOSE, (fd + 2,)), (UNLINK, (PATH2,))]


def _listing(fd: int) -> list[tuple[int, tuple[int, ...]]]:
    return [(OPEN, (MANY, O_RDONLY, 0)), (GETDENTS, (fd + 2, OUT, 65536)), (CLOSE, (fd + 2,))]


ROWS = (
    Row("getpid", "", lambda fd: [(GETPID, ())], 0.63),
    Row("pread 1 byte", "ffs", _pread(1), 0.41),
    Row("pread 1 byte", "tmpfs", _pread(1), 0.41),
    Row("fstat", "ffs", lambda fd: [(FSTAT, (fd, OUT))], 0.43),
    Row("fstat", "tmpfs", lambda fd: [(FSTAT, (fd, OUT))], 0.43),
    Row("stat by path", "ffs", lambda fd: [(STAT, (PATH, OUT))], 0.245),
    Row("stat by path", "tmpfs", lambda fd: [(STAT, (PATH, OUT))], 0.245),
    Row("open+fstat+close", "ffs", _open_fstat_close, 0.117),
    Row("open+fstat+close", "tmpfs", _open_fstat_close, 0.117),
    Row("create+close+unlink", "tmpfs", _create_close_unlink, 0.10),
    Row("open+getdents of 1000+close", "ffs", _listing, 0.05),
    Row("open+getdents of 1000+close", "tmpfs", _listing, 0.05),
    Row("pread 4 KiB", "ffs", _pread(4096), 0.43),
    Row("pread 4 KiB", "tmpfs", _pread(4096), 0.43),
    Row("pread 64 KiB", "ffs", _pread(65536), 0.18),
    Row("pread 64 KiB", "tmpfs", _pread(65536), 0.18),
    Row("pread 1 MiB", "ffs", _pread(1 << 20), 0.12),
    Row("pread 1 MiB", "tmpfs", _pread(1 << 20), 0.12),
    Row("pwrite 4 KiB", "tmpfs", _pwrite(4096), None),
    Row("pwrite 64 KiB", "tmpfs", _pwrite(65536), 0.05),
    Row("pwrite 1 MiB", "tmpfs", _pwrite(1 << 20), 0.035),
)


@contextmanager
def echo_server(directory: Path) -> Iterator[socket.socket]:
    """Run the echo server and connect to it."""
    path = str(directory / "echo")
    process = subprocess.Popen([sys.executable, "-m", "tests.bench.echo", path])
    try:
        sock = socket.socket(socket.AF_UNIX)
        while True:
            try:
                sock.connect(path)
                break
            except (FileNotFoundError, ConnectionRefusedError):
                if process.poll() is not None:
                    raise SystemExit("the echo server did not start") from None
                time.sleep(0.01)
        with sock:
            yield sock
    finally:
        process.kill()
        process.wait()


def make_image(directory: Path) -> Path:
    """Make the FFS image that the ffs rows read: a file of 4 MiB and a directory of 1,000 entries."""
    tree = directory / "tree"
    (tree / "many").mkdir(parents=True)
    (tree / "file").write_bytes(os.urandom(4 << 20))
    for number in range(1000):
        (tree / "many" / f"file{number:04}").touch()
    image = directory / "ffs.img"
    makefs = shutil.which("makefs", path=f"{os.environ['PATH']}:/usr/sbin")
    if makefs is None:
        raise SystemExit("makefs is not installed (Debian package makefs; make setup installs it)")
    subprocess.run(
        [makefs, "-t", "ffs", "-o", "version=2,bsize=16384,fsize=2048", image, tree],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return image


def prepare(peer: Peer, fs: str) -> tuple[int, dict[int, bytes]]:
    """Mount a file system, open its file and directory; return the first descriptor and the memory."""
    mount = f"/{fs}".encode()
    memory = {
        PATH: mount + b"/file\0", PATH2: mount + b"/new\0", TYPE: fs.encode() + b"\0", FSPEC: b"/dev/dk\0",
        DATA: os.urandom(1 << 20), OUT: mount + b"\0", MANY: mount + b"/many\0",
    }  # fmt: skip
    if not fs:
        return 0, memory
    memory[ARGS] = (
        struct.pack("<Q", FSPEC) if fs == "ffs" else struct.pack("<i4xqQIII4x", 1, 0, 0, 0, 0, 0o755)
    )
    assert peer.call(MKDIR, OUT, 0o755, memory=memory).error == 0
    flags = MNT_RDONLY if fs == "ffs" else 0
    done = peer.call(MOUNT, TYPE, OUT, flags, ARGS, len(memory[ARGS]), memory=memory)
    assert done.error == 0, f"mount {fs}: errno {done.error}"
    many = {**memory, PATH: mount + b"/many\0"}
    if fs == "tmpfs":
        _fill_tmpfs(peer, mount, memory, many)
    fd = peer.call(OPEN, PATH, O_RDONLY if fs == "ffs" else O_RDWR, 0, memory=memory).retval
    assert peer.call(OPEN, PATH, O_RDONLY, 0, memory=many).retval == fd + 1
    return fd, memory


def _fill_tmpfs(peer: Peer, mount: bytes, memory: dict[int, bytes], many: dict[int, bytes]) -> None:
    fd = peer.call(OPEN, PATH, O_CREAT | O_RDWR, 0o644, memory=memory).retval
    for offset in range(0, 4 << 20, 1 << 20):
        assert peer.call(PWRITE, fd, DATA, 1 << 20, 0, offset, memory=memory).retval == 1 << 20
    peer.call(CLOSE, fd)
    assert peer.call(MKDIR, PATH, 0o755, memory=many).error == 0
    for number in range(1000):
        name = {PATH: mount + b"/many/file%04d\0" % number}
        peer.call(CLOSE, peer.call(OPEN, PATH, O_CREAT | O_RDWR, 0o644, memory=name).retval)


def compare(exchange: Exchange, echo: Echo) -> tuple[float, float]:
    """Return the ratio to the echo server, and runs per second."""
    start = time.perf_counter()
    exchange.run()
    runs = max(1, int(BURST_SECONDS / max(time.perf_counter() - start, 1e-6)))
    ratios = []
    rates = []
    for _ in range(PAIRS):
        yardstick = _rate(echo.run, runs)
        rate = _rate(exchange.run, runs)
        ratios.append(rate / yardstick)
        rates.append(rate)
    return statistics.median(ratios), statistics.median(rates)


def _rate(run: Callable[[], None], runs: int) -> float:
    start = time.perf_counter()
    for _ in range(runs):
        run()
    return runs / (time.perf_counter() - start)


def bench(pinned: bool, only: str) -> None:
    """Measure every row once."""
    with tempfile.TemporaryDirectory(prefix="rumpfs-bench") as name:
        directory = Path(name)
        image = make_image(directory)
        drive = f"key=/dev/dk,hostpath={image},size=host,ro"
        with (
            serving(directory, "-d", drive) as served,
            echo_server(directory) as sock,
            Peer(served.path) as peer,
        ):
            peer.guest()
            prepared = {fs: prepare(peer, fs) for fs in ("", "ffs", "tmpfs")}
            peer.sock.settimeout(None)
            print(f"\n{'pinned to one CPU' if pinned else 'unpinned':36} ratio     mark    calls/s")
            for row in ROWS:
                label = f"{row.name} {row.fs}".strip()
                if only not in label:
                    continue
                fd, memory = prepared[row.fs]
                free = prepared["tmpfs"][0] + 2
                exchange = Exchange(peer, row.calls(free - 2 if "close" in row.name else fd), memory)
                ratio, rate = compare(exchange, Echo(sock, exchange))
                mark = "" if row.mark is None or not pinned else f"{row.mark:.3f}"
                verdict = "" if row.mark is None or not pinned else ("" if ratio >= row.mark else "  below")
                print(f"{label:34} {ratio:7.3f}  {mark:>7}  {rate:9.0f}{verdict}", flush=True)


def main() -> int:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--pinned", action="store_true", help="only with all processes on one CPU")
    parser.add_argument("--unpinned", action="store_true", help="only without")
    parser.add_argument(
        "--only",
        default="",
        metavar="TEXT",
        help="only rows whose name contains TEXT; scale: only what many clients and files cost; "
        "disk: only what an FFS costs that is written; images: only what images cost without a server; "
        "fuse, fuse create ...: only mounts on the host",
    )
    args = parser.parse_args()
    both = args.pinned == args.unpinned
    host = args.only.startswith("fuse")
    cpus = os.sched_getaffinity(0)
    if both or args.pinned:
        os.sched_setaffinity(0, {min(cpus)})
        if not host:
            bench(True, args.only)
        if host or not args.only:
            fuse.bench(args.only)
        os.sched_setaffinity(0, cpus)
    if (both or args.unpinned) and not host:
        bench(False, args.only)
    if not args.only:
        commands.bench()
    if args.only in ("", "scale"):
        scale.bench()
    if args.only in ("", "disk"):
        disk.bench()
    if args.only in ("", "images"):
        images.bench()
    return 0


if __name__ == "__main__":
    sys.exit(main())
