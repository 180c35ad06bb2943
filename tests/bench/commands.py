"""What whole commands cost: start-up, rump.halt, and copying a large file out of and into the kernel."""

from __future__ import annotations

import os
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

BIN = Path(sys.executable).parent
REPEAT = 5
LARGE = 512 << 20


def _cpu(*command: str, env: dict[str, str] | None = None) -> float:
    """Run a command and return its CPU seconds."""
    with open(os.devnull, "wb") as null:
        pid = os.posix_spawn(
            command[0],
            command,
            {**os.environ, **(env or {})},
            file_actions=[(os.POSIX_SPAWN_DUP2, null.fileno(), 1)],
        )
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)}: exit status {os.waitstatus_to_exitcode(status)}")
    return usage.ru_utime + usage.ru_stime


def _wall(*command: str) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def _median(measure: Callable[[], float]) -> float:
    return statistics.median(measure() for _ in range(REPEAT))


def _start(url: str, path: str) -> float:
    """Return the seconds from start to banner, and leave the server running."""
    start = time.perf_counter()
    process = subprocess.Popen([BIN / "rump_allserver", "-s", url], stdout=subprocess.DEVNULL)
    while True:
        with socket.socket(socket.AF_UNIX) as sock:
            try:
                sock.connect(path)
                sock.recv(95)
            except OSError:
                if process.poll() is not None:
                    raise SystemExit("rump_allserver did not start") from None
                time.sleep(0.002)
                continue
        return time.perf_counter() - start


def bench() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="rumpfs-bench") as name:
        directory = Path(name)
        path = str(directory / "sock")
        url = f"unix://{path}"
        env = {"RUMP_SERVER": url}
        starts = []
        halts = []
        for _ in range(REPEAT):
            starts.append(_start(url, path))
            halts.append(_cpu(str(BIN / "rump.halt"), env=env))
            while Path(path).exists():
                time.sleep(0.002)
        print(f"\n{'commands':48} goal     measured")
        line("rump_allserver, start to banner (s)", "< 0.4", statistics.median(starts))
        line("rump.halt (CPU s)", "< 0.1", statistics.median(halts))
        _start(url, path)
        try:
            _copies(directory, url)
            line("rumpfs ls (CPU s)", "< 0.15", _median(lambda: _cpu(str(BIN / "rumpfs"), "ls", f"{url}:/")))
            line("idle server (CPU s in 1 s)", "0", _idle(path))
        finally:
            subprocess.run([BIN / "rump.halt"], env={**os.environ, **env}, check=True)


def _copies(directory: Path, url: str) -> None:
    large = directory / "large"
    with large.open("wb") as stream:
        for _ in range(LARGE >> 20):
            stream.write(os.urandom(1 << 20))
    rumpfs = str(BIN / "rumpfs")
    subprocess.run([rumpfs, "mkdir", f"{url}:/big"], check=True)
    subprocess.run([rumpfs, "mount", "-t", "tmpfs", "tmpfs", f"{url}:/big"], check=True)
    into = _median(lambda: _wall(rumpfs, "cp", str(large), f"{url}:/big/large"))
    out = _median(lambda: _wall(rumpfs, "cp", f"{url}:/big/large", str(directory / "copy")))
    host = _median(lambda: _wall("cp", str(large), str(directory / "copy")))
    line("rumpfs cp into tmpfs (MB/s)", ">= 300", LARGE / into / 1e6)
    line("rumpfs cp out of tmpfs (MB/s)", ">= 300", LARGE / out / 1e6)
    line("cp on the host, for comparison (MB/s)", "", LARGE / host / 1e6)


def _idle(path: str) -> float:
    """Return the CPU seconds that a server with one idle client uses in a second."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        pid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        before = _ticks(pid)
        time.sleep(1)
        return (_ticks(pid) - before) / os.sysconf("SC_CLK_TCK")


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def line(what: str, goal: str, value: float) -> None:
    """Print a row: what was measured, what it should be, and what it is."""
    print(f"{what:48} {goal:8} {value:8.3f}", flush=True)
