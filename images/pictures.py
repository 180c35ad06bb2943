"""Draws the pictures of docs/layout.md, with `rumpfs map`: the same ones each time.

.venv/bin/python images/pictures.py docs/pictures
"""

from __future__ import annotations

import lzma
import os
import random
import sys
import tempfile
from pathlib import Path

from rumpfs.cli.rumpfs import run_verb
from rumpfs.cli.tool import Tool

WIDTH = "1000"
SIZE = "24m"
GOLDEN = Path(__file__).resolve().parent / "golden" / "v2le-log.img.xz"


def rumpfs(verb: str, *words: str) -> None:
    """Run a verb of rumpfs; end when it fails."""
    tool = Tool(f"rumpfs {verb}")
    try:
        run_verb(tool, verb, list(words))
    finally:
        tool.close()
    tool.flush()
    if tool.status:
        sys.exit(tool.status)


def picture(target: Path, name: str, *words: str) -> None:
    """Draw a map."""
    rumpfs("map", "--width", WIDTH, "-o", str(target / f"{name}.png"), *words)


def tree(top: Path, dice: random.Random) -> None:
    """Make files as there are in a small system: many small ones, few large ones."""
    for name, files, mean in (("etc", 90, 7.2), ("bin", 60, 10.0), ("home", 120, 8.4), ("var", 40, 9.0)):
        directory = top / name
        directory.mkdir(parents=True)
        for number in range(files):
            size = min(int(dice.lognormvariate(mean, 1.2)), 600_000)
            (directory / f"file{number}").write_bytes(bytes([65 + number % 26]) * size)
    (top / "netbsd").write_bytes(b"k" * 2_500_000)


def life(image: str, directory: Path, dice: random.Random) -> None:
    """Fill an image, remove files, and fill it again, so that new files get what old ones have left."""
    names = []
    for number in range(170):
        source = directory / f"s{number}"
        source.write_bytes(b"x" * min(int(dice.lognormvariate(10.6, 1.0)), 900_000))
        names.append(f"{image}:/var/old{number}")
        rumpfs("cp", str(source), names[-1])
    dice.shuffle(names)
    rumpfs("rm", *names[:120])
    for number in range(6):
        source = directory / f"l{number}"
        source.write_bytes(b"y" * dice.randrange(500_000, 1_200_000))
        rumpfs("cp", str(source), f"{image}:/home/mail{number}")


def main(target: Path) -> None:
    """Draw all pictures into a directory."""
    target.mkdir(parents=True, exist_ok=True)
    random.seed(1)  # newfs, makefs and the allocator throw dice, too
    os.environ["SOURCE_DATE_EPOCH"] = "1000000000"
    os.umask(0o022)
    dice = random.Random(2)
    target = target.resolve()
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        tree(Path("tree"), dice)
        rumpfs("newfs", "-O", "2", "-b", "8192", "-f", "1024", "-s", SIZE, "disk.img")
        picture(target, "new", "disk.img")
        rumpfs("makefs", "-o", "version=2,bsize=8k,fsize=1k", "-s", SIZE, "made.img", "tree")
        picture(target, "made", "made.img")
        rumpfs("cp", "-r", "tree/etc", "tree/bin", "tree/home", "tree/var", "tree/netbsd", "disk.img:/")
        life("disk.img", Path(), dice)
        picture(target, "used", "disk.img")
        picture(target, "marked", "disk.img", "-f", "/etc", "-f", "/home/mail3", "-f", "/netbsd")
        Path("log.img").write_bytes(lzma.decompress(GOLDEN.read_bytes()))
        picture(target, "log", "log.img", "--height", "420")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
