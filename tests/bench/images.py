"""What images cost without a server: walking through one, reading all of it, one large file, starting.

Each row is a ratio to what a native tool needs for the same tree on the host, in the same run: CPU seconds,
and for the large file seconds on the clock. Other readers of FFS are there for comparison.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from tests.bench.commands import BIN, REPEAT, _cpu, _median, _wall, line

FILES = 150_000
PER_DIRECTORY = 50
LARGE = 1 << 30
RUMPFS = str(BIN / "rumpfs")
#: what the size of a file is, by its number
_SIZE_STEP, _SIZE_MAX = 37, 3000

#: other readers from Python: a walk with stat, and with a second argument all content as well. In the
#: entries of dissect.ffs attributes are read when they are asked for
_DISSECT = """
import sys
from dissect.ffs.ffs import FFS
fs = FFS(open(sys.argv[1], "rb"))
pending = [fs.root]
while pending:
    for name, node in pending.pop().listdir().items():
        if name not in (".", ".."):
            node.size, node.mtime, node.mode
            if node.is_dir():
                pending.append(node)
            elif len(sys.argv) > 2:
                node.open().read()
"""
_PYTSK = """
import sys, pytsk3
fs = pytsk3.FS_Info(pytsk3.Img_Info(sys.argv[1]))
pending = [fs.open_dir("/")]
while pending:
    for entry in pending.pop():
        meta = entry.info.meta
        if entry.info.name.name not in (b".", b"..") and meta is not None:
            meta.size, meta.mtime, meta.mode
            if meta.type == pytsk3.TSK_FS_META_TYPE_DIR:
                pending.append(entry.as_directory())
            elif len(sys.argv) > 2 and meta.size:
                entry.read_random(0, meta.size)
"""
_OTHERS = (("dissect.ffs", _DISSECT), ("pytsk3", _PYTSK))
#: all content through the API of this project
_OURS = """
import sys, rumpfs
with rumpfs.open_image(sys.argv[1]) as image:
    for directory in image.walk():
        for found in directory.entries:
            if found.mode & 0o170000 == 0o100000:
                image.read_bytes(found)
"""


def bench() -> None:
    """Measure and print."""
    makefs = shutil.which("makefs", path=f"{os.environ['PATH']}:/usr/sbin")
    if makefs is None:
        raise SystemExit("makefs is not installed (Debian package makefs; make setup installs it)")
    print(f"\n{'images':48} goal     measured")
    with tempfile.TemporaryDirectory(prefix="rumpfs-bench") as name:
        directory = Path(name)
        tree = _tree(directory / "tree")
        image = _image(makefs, tree, directory / "small.img")
        _walks(tree, image)
        _contents(tree, image)
        shutil.rmtree(tree)
        image.unlink()
        _large(makefs, directory)


def _tree(top: Path) -> Path:
    """Make a tree of many small files."""
    for number in range(FILES):
        if not number % PER_DIRECTORY:
            below = top / f"d{number // PER_DIRECTORY % 20}" / f"e{number // PER_DIRECTORY}"
            below.mkdir(parents=True)
        (below / f"file{number}").write_bytes(b"x" * (number * _SIZE_STEP % _SIZE_MAX))
    return top


def _image(makefs: str, tree: Path, image: Path) -> Path:
    options = ["-b", "25%", "-o", "version=1,bsize=16384,fsize=2048"]
    command = [makefs, "-t", "ffs", *options, image, tree]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return image


def _walks(tree: Path, image: Path) -> None:
    inside = f"{image}:/"
    names = _cpus("find", str(tree), "-size", "+1000000")
    lines = _cpus("find", str(tree), "-ls")
    line(f"find -size, {FILES} files: stat (CPU s)", "", names)
    line("rumpfs find, to find -size", "<= 1.5", _cpus(RUMPFS, "find", inside) / names)
    line("rumpfs find -size, to find -size", "", _cpus(RUMPFS, "find", inside, "-size", "+1000000") / names)
    line("find -ls (CPU s)", "", lines)
    line("rumpfs find -ls, to find -ls", "<= 1.5", _cpus(RUMPFS, "find", inside, "-ls") / lines)
    line("rumpfs survey, to find -ls", "", _cpu(RUMPFS, "survey", str(image)) / lines)
    line("rumpfs ls: start-up (CPU s)", "< 0.15", _cpus(RUMPFS, "ls", inside))
    if shutil.which("fls"):
        line("fls -r -l, to find -ls", "", _cpu(_found("fls"), "-r", "-l", str(image)) / lines)
    for module, text in _OTHERS:
        if _have(module):
            line(f"{module}, to find -ls", "", _cpu(sys.executable, "-c", text, str(image)) / lines)


def _contents(tree: Path, image: Path) -> None:
    inside = f"{image}:/"
    packed = _cpus("tar", "-C", str(tree), "-cf", "-", ".", through=True)
    line("tar of the tree (CPU s)", "", packed)
    line("rumpfs tar, to tar", "", _cpu(RUMPFS, "tar", inside) / packed)
    digests = _cpu(_found("find"), str(tree), "-type", "f", "-exec", "sha256sum", "{}", "+")
    line("find -exec sha256sum (CPU s)", "", digests)
    line("rumpfs sha256, to sha256sum", "", _cpu(RUMPFS, "sha256", inside) / digests)
    # In memory, where making a file costs the same each time.
    with tempfile.TemporaryDirectory(prefix="rumpfs-bench", dir=_memory()) as name:
        out = f"{name}/out"
        native = _made(out, _found("cp"), "-r", str(tree), out)
        line("cp -r (CPU s)", "", native)
        line("rumpfs cp -r, to cp -r", "", _made(out, RUMPFS, "cp", "-r", inside, out) / native)
        if shutil.which("tsk_recover"):
            recovered = _made(out, _found("tsk_recover"), "-e", str(image), out)
            line("tsk_recover, to cp -r", "", recovered / native)
    read = _cpu(_found("find"), str(tree), "-type", "f", "-exec", "cat", "{}", "+")
    line("find -exec cat (CPU s)", "", read)
    line("rumpfs.open_image, to cat", "", _cpu(sys.executable, "-c", _OURS, str(image)) / read)
    for module, text in _OTHERS:
        if _have(module):
            line(f"{module}, to cat", "", _cpu(sys.executable, "-c", text, str(image), "content") / read)


def _memory() -> str | None:
    """Return the directory of a file system in memory; None where there is none."""
    return "/dev/shm" if os.path.isdir("/dev/shm") else None


def _made(tree: str, *command: str) -> float:
    """Return the CPU seconds of a command that makes a tree, which is removed again."""
    seconds = _cpu(*command)
    shutil.rmtree(tree)
    return seconds


def _large(makefs: str, directory: Path) -> None:
    """Measure how long one file takes to come out, on the clock."""
    tree = directory / "tree"
    tree.mkdir()
    large = tree / "large"
    with large.open("wb") as stream:
        for _ in range(LARGE >> 20):
            stream.write(os.urandom(1 << 20))
    image = _image(makefs, tree, directory / "large.img")
    inside, copy, null = f"{image}:/large", str(directory / "copy"), os.devnull
    # Both are in the page cache as reading leaves it there, whatever wrote them.
    for path in (large, image):
        _cached(path)
    rows: list[tuple[str, str, list[str], list[str], str]] = [
        ("rumpfs cat > file, to cat", "<= 1.2", [RUMPFS, "cat", inside], ["cat", str(large)], copy),
        ("rumpfs cat | wc -c, to cat", "<= 1.2", [RUMPFS, "cat", inside], ["cat", str(large)], "|"),
        ("rumpfs cat > /dev/null, to cat", "<= 1.2", [RUMPFS, "cat", inside], ["cat", str(large)], null),
        ("rumpfs cp, to cat", "<= 1.2", [RUMPFS, "cp", inside, copy], ["cat", str(large)], copy),
    ]
    if shutil.which("icat"):
        listed = subprocess.run([RUMPFS, "ls", "-i", inside], check=True, capture_output=True, text=True)
        icat = ["icat", str(image), listed.stdout.split()[0]]
        rows.append(("icat, to cat", "", icat, ["cat", str(large)], copy))
    for what, goal, ours, native, target in rows:
        ratios = [_seconds(ours, target) / _seconds(native, target) for _ in range(REPEAT)]
        line(f"{what}, {LARGE >> 20} MiB", goal, statistics.median(ratios))


def _cached(path: Path) -> None:
    """Have a file read anew into the page cache."""
    with path.open("rb", buffering=0) as stream:
        os.fsync(stream.fileno())
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while stream.read(1 << 20):
            pass


def _seconds(command: list[str], target: str) -> float:
    """Return how long a command takes that makes a file, or whose output goes there or (``|``) to a pipe."""
    if target == "|":
        return _wall("sh", "-c", '"$@" | wc -c', "sh", *command)
    if command[-1] == target:
        seconds = _wall(*command)
    else:
        seconds = _wall("sh", "-c", 'exec "$@" > "$0"', target, *command)
    if target != os.devnull:
        os.unlink(target)
    return seconds


def _cpus(program: str, *words: str, through: bool = False) -> float:
    """Return the median of the CPU seconds of a command; `through` a pipe, as tar knows /dev/null."""
    command = [_found(program), *words]
    if through:
        command = [_found("sh"), "-c", '"$@" | cat > /dev/null', "sh", *command]
    return _median(lambda: _cpu(*command))


def _found(program: str) -> str:
    return shutil.which(program) or program


def _have(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
