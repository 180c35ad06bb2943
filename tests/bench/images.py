"""What images cost without a server: walking through one, reading all of it, one large file, starting.

Each row is a ratio to what a native tool needs for the same tree on the host, in the same run: CPU seconds,
and for the large file seconds on the clock. Other readers of FFS are there for comparison.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from tests.bench.commands import BIN, _cpu, _median, _wall, line

FILES = 150_000
PER_DIRECTORY = 50
LARGE = 1 << 30
RUMPFS = str(BIN / "rumpfs")
#: what the size of a file is, by its number
_SIZE_STEP, _SIZE_MAX = 37, 3000

#: a walk with stat by dissect.ffs, in whose entries attributes are read when they are asked for
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
        _contents(tree, image, directory)
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
    line("rumpfs survey, to find -ls", "", _cpus(RUMPFS, "survey", str(image)) / lines)
    line("rumpfs ls: start-up (CPU s)", "< 0.15", _cpus(RUMPFS, "ls", inside))
    if shutil.which("fls"):
        line("fls -r -l, to find -ls", "", _cpus("fls", "-r", "-l", str(image)) / lines)
    for module, text in (("dissect.ffs", _DISSECT), ("pytsk3", _PYTSK)):
        if _have(module):
            line(f"{module}, to find -ls", "", _cpu(sys.executable, "-c", text, str(image)) / lines)


def _contents(tree: Path, image: Path, directory: Path) -> None:
    native = _cpus("tar", "-C", str(tree), "-cf", "-", ".", through=True)
    line("tar of the tree (CPU s)", "", native)
    line("rumpfs tar, to tar", "", _cpu(RUMPFS, "tar", f"{image}:/") / native)
    if shutil.which("tsk_recover"):
        out = directory / "recovered"
        line("tsk_recover, to tar", "", _cpu(_found("tsk_recover"), "-e", str(image), str(out)) / native)
        shutil.rmtree(out)


def _large(makefs: str, directory: Path) -> None:
    """Measure how long one file takes to come out, on the clock."""
    tree = directory / "tree"
    tree.mkdir()
    large = tree / "large"
    with large.open("wb") as stream:
        for _ in range(LARGE >> 20):
            stream.write(os.urandom(1 << 20))
    inside = f"{_image(makefs, tree, directory / 'large.img')}:/large"
    copy = str(directory / "copy")
    rows: Sequence[tuple[str, list[str], list[str]]] = (
        ("rumpfs cat > file, to cat", [RUMPFS, "cat", inside], ["cat", str(large)]),
        ("rumpfs cp, to cp", [RUMPFS, "cp", inside, copy], ["cp", str(large), copy]),
    )
    for what, ours, native in rows:
        ratios = sorted(_seconds(ours, copy) / _seconds(native, copy) for _ in range(5))
        line(f"{what}, {LARGE >> 20} MiB", "<= 1.2", ratios[2])


def _seconds(command: list[str], target: str) -> float:
    """Return how long a command takes to make a file, which it writes or which is its output."""
    if command[-1] == target:
        seconds = _wall(*command)
    else:
        seconds = _wall("sh", "-c", 'exec "$@" > "$0"', target, *command)
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
