"""How fast a mount on the host is, as ratios to a C libfuse file system that does no work.

Beside it stand the same in Python (`fuse_nothing`: what pyfuse3 reaches at best), and the host's own file
system. Bursts alternate, and a row has the medians of the ratios of what ran next to each other.
"""

from __future__ import annotations

import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.fuse.mounts import BIN, clear, is_mounted, why_not

HERE = Path(__file__).parent
ROUNDS = 7
#: rounds of whole commands, which take seconds
COMMAND_ROUNDS = 2
DIRECTORIES, FILES, SIZE = 2, 50_000, 1024
#: of the mounts whose host caches nothing
FEW = 2000
#: MiB of the file that is read
LARGE = 64
HOUR = 3600
UNCACHED = "attr_timeout=0,entry_timeout=0"


class System(NamedTuple):
    """Something to measure: a directory, and one of a mount whose host does not cache names."""

    name: str
    path: Path
    uncached: Path


class Row(NamedTuple):
    """What is measured.

    Attributes:
        operation: of `fuse_client`.
        target: the path in the directory.
        number: how often, in a burst.
        uncached: on the mount whose host does not cache.
        mark: the ratio to C that is wanted.
    """

    name: str
    operation: str
    target: str
    number: int
    uncached: bool = False
    mark: float = 0.5


ROWS = (
    Row("sequential read, cold (MB/s)", "read_cold", "file", LARGE, mark=0.8),
    Row("sequential read, warm (MB/s)", "read", "file", LARGE, mark=0.8),
    Row("random read of 4 KiB", "read_random", "file", 2000),
    Row("stat, uncached", "stat", "d0", FEW, uncached=True),
    Row("name that is not there", "miss", "d0", FEW, uncached=True),
    Row("open+close", "open_close", "file", 2000),
    Row("create+close", "create", "new", 500),
    Row("unlink", "unlink", "new", 500),
    Row("sequential write (MB/s)", "write_large", "written", 32),
    Row("write of 4 KiB", "write_small", "written", 2000),
)
#: each with a directory as its last word
COMMANDS = {
    f"find ({DIRECTORIES * FILES} files)": "find {} -name nothing",
    f"ls -l ({FILES} files)": "ls -l {}/d0 | cat > /dev/null",
    f"tar ({DIRECTORIES * FILES} files)": "tar -cf - -C {} d0 d1 | cat > /dev/null",
}


def obstacle() -> str | None:
    """Return why these rows cannot be measured, or None."""
    reason = why_not()
    if reason is None and shutil.which("cc") is None:
        reason = "there is no C compiler (Debian package gcc; make setup installs it)"
    if reason is None and subprocess.run(["pkg-config", "--exists", "fuse3"]).returncode:
        reason = "pkg-config does not know fuse3 (Debian package libfuse3-dev; make setup installs it)"
    return reason


def bench(only: str) -> None:
    """Measure and print the rows whose names contain `only`."""
    reason = obstacle()
    if reason is not None:
        print(f"\nfuse: not measured: {reason}")
        return
    rows = [row for row in ROWS if only in f"fuse {row.name}"]
    commands = {name: command for name, command in COMMANDS.items() if only in f"fuse {name}"}
    with tempfile.TemporaryDirectory(prefix="rumpfs-bench") as name, ExitStack() as stack:
        directory = Path(name)
        compile_program(directory / "nothing", HERE / "fuse_nothing.c", "fuse3")
        client = stack.enter_context(Timer(compile_program(directory / "client", HERE / "fuse_client.c")))
        systems = prepare(stack, directory, client, FILES if commands else FEW)
        print(f"\n{'fuse, pinned; ratios to C':32} {'C, per s':>9}", end="")
        print(*(f"{system.name:>9}" for system in systems[1:]), " mark")
        for row in rows:
            report(row.name, row.mark, measure(row, systems, client))
        for what, command in commands.items():
            report(what, 0.5, measure_command(command, systems))


def report(what: str, mark: float, rates: list[list[float]]) -> None:
    """Print a row.

    Args:
        mark: the ratio that is wanted of the mounts.
        rates: of each round, those of the systems; the first is what they are compared with.
    """
    ratios = [statistics.median(rate / row[0] for rate, row in zip(column, rates, strict=True))
              for column in zip(*rates, strict=True)]  # fmt: skip
    verdict = "" if ratios[2] >= mark else "  below"
    print(f"{what:32} {statistics.median(row[0] for row in rates):9.0f}", end="")
    print(*(f"{ratio:9.2f}" for ratio in ratios[1:]), f" {mark:.2f}{verdict}", flush=True)


# --- measuring --------------------------------------------------------------------------------------------


class Timer:
    """The program that carries out operations and says how long they took."""

    def __init__(self, program: Path) -> None:
        self._process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Timer:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def __call__(self, operation: str, path: Path, count: int) -> float:
        """Return the seconds that an operation took."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(operation, path, count, file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer.strip().isdigit():
            raise SystemExit(f"{operation} {path}: {answer or 'no answer'}")
        return int(answer) / 1e9


def measure(row: Row, systems: list[System], client: Timer) -> list[list[float]]:
    """Return the rates of all systems in each round."""
    return [[_rate(row, system, client) for system in systems] for _ in range(ROUNDS)]


def _rate(row: Row, system: System, client: Timer) -> float:
    target = (system.uncached if row.uncached else system.path) / row.target
    if row.operation == "unlink":
        client("create", target, row.number)
    seconds = client(row.operation, target, row.number)
    if row.operation == "create":
        client("unlink", target, row.number)
    return row.number / seconds


def measure_command(command: str, systems: list[System]) -> list[list[float]]:
    """Return how often a command would be done in a second; what the host has cached is dropped before."""
    rates = []
    for _ in range(COMMAND_ROUNDS):
        _drop_caches()
        _rest()
        rates.append([1 / _seconds(command.format(shlex.quote(str(system.path)))) for system in systems])
    return rates


def _seconds(command: str) -> float:
    start = time.perf_counter()
    subprocess.run(["sh", "-c", command], check=True)
    return time.perf_counter() - start


def _drop_caches() -> None:
    """Have the host forget names and attributes; only root may, and others measure what is cached."""
    if os.geteuid() == 0:
        Path("/proc/sys/vm/drop_caches").write_text("2")


def _rest() -> None:
    """Wait until nothing that is measured has anything to do: the host tells mounts what it has forgotten."""
    before = None
    while before != (used := _used()):
        before = used
        time.sleep(0.1)


def _used() -> list[str]:
    """Return what the host says of this process's children, among it their processor time (proc(5))."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    pids = children.read_text().split() if children.exists() else []
    return [Path(f"/proc/{pid}/schedstat").read_text() for pid in pids]


# --- what is measured -------------------------------------------------------------------------------------


def compile_program(program: Path, source: Path, *libraries: str) -> Path:
    """Compile a program and return its path."""
    flags: list[str] = []
    if libraries:
        done = subprocess.run(
            ["pkg-config", "--cflags", "--libs", *libraries], capture_output=True, text=True, check=True
        )
        flags = done.stdout.split()
    subprocess.run(["cc", "-O2", "-o", program, source, *flags], check=True)
    return program


def prepare(stack: ExitStack, directory: Path, client: Timer, files: int) -> list[System]:
    """Make and mount what is measured, each with the same files: so many in each of the directories."""
    native = directory / "native"
    native.mkdir()
    _fill(client, native, files)
    small = directory / "small"
    (small / "d0").mkdir(parents=True)
    client("fill", small / "d0", FEW)

    def both(name: str, mount: Callable[[Path, bool], object]) -> System:
        paths = directory / name, directory / f"{name}-uncached"
        for path, cached in zip(paths, (True, False), strict=True):
            path.mkdir()
            mount(path, cached)
        return System(name, *paths)

    def served(path: Path, *program: str) -> None:
        # In the foreground: the host's scheduler treats daemons differently (sched(7), autogroup).
        stack.enter_context(_served([*program], path))

    def nothing(*program: str) -> Callable[[Path, bool], None]:
        given = {True: (HOUR, DIRECTORIES, files, SIZE), False: (0, 1, FEW, SIZE)}
        return lambda path, cached: served(path, *program, str(path), *map(str, given[cached]))

    def tmpfs(path: Path, cached: bool) -> None:
        served(path, str(BIN / "rump_tmpfs"), "-f", "-o", "rw" if cached else UNCACHED, "tmpfs", str(path))
        if cached:
            _fill(client, path, files)
        else:
            (path / "d0").mkdir()
            client("fill", path / "d0", FEW)

    def ffs(path: Path, cached: bool) -> None:
        image = _makefs(directory / f"{path.name}.img", native if cached else small)
        options = "rw,log" if cached else f"rw,log,{UNCACHED}"
        served(path, str(BIN / "rump_ffs"), "-f", "-o", options, str(image), str(path))

    systems = [
        both("C", nothing(str(directory / "nothing"))),
        both("pyfuse3", nothing(sys.executable, "-m", "tests.bench.fuse_nothing")),
    ]
    systems += [both("tmpfs", tmpfs), both("ffs", ffs), System("native", native, small)]
    for system in systems:
        (system.path / "new").mkdir()
        client("write_large", system.path / "file", LARGE)
    return systems


def _fill(client: Timer, path: Path, files: int) -> None:
    for number in range(DIRECTORIES):
        (path / f"d{number}").mkdir()
        client("fill", path / f"d{number}", files)


def _makefs(image: Path, tree: Path) -> Path:
    makefs = shutil.which("makefs", path=f"{os.environ['PATH']}:/usr/sbin")
    if makefs is None:
        raise SystemExit("makefs is not installed (Debian package makefs; make setup installs it)")
    free = ["-b", "256m", "-f", "5000"]
    options = ["-t", "ffs", *free, "-o", "version=2,bsize=16384,fsize=2048"]
    subprocess.run([makefs, *options, image, tree], check=True, stdout=subprocess.DEVNULL)
    return image


@contextmanager
def _served(program: list[str], mountpoint: Path) -> Iterator[None]:
    """Run a program that mounts, until it is unmounted."""
    process = subprocess.Popen(program)
    try:
        while not is_mounted(mountpoint):
            if process.poll() is not None:
                raise SystemExit(f"{shlex.join(program)} did not mount")
            time.sleep(0.01)
        yield
    finally:
        clear(mountpoint)
        process.wait()
