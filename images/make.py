"""Make the sample images that makefs(8) can make: 2 versions, 2 byte orders, 5 block sizes, of one tree.

Usage: .venv/bin/python images/make.py OUT

Writes OUT/tree (the tree of the tests, with the cases that file systems get wrong), OUT/MANIFEST (type,
mode, links, size, sha256 and name of everything in it) and OUT/ffs-v{1,2}{le,be}-{4096..65536}.img. Nothing
of rumpfs itself takes part, so that what is made is independent of what is tested with it.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.images_util import makefs, standard_tree


def manifest(tree: Path) -> Iterator[str]:
    """Yield a line for everything below `tree`; a symlink's line ends with what it says."""
    for path in sorted(tree.rglob("*")):
        facts = path.lstat()
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(facts.st_mode) else "-"
        arrow = f" -> {os.readlink(path)}" if path.is_symlink() else ""
        size = 0 if path.is_dir() else facts.st_size
        name = f"{path.relative_to(tree)}{arrow}"
        yield f"{stat.filemode(facts.st_mode)} {facts.st_nlink} {size} {digest} {name}"


def main() -> None:
    """Make everything in the directory that the command line names."""
    if len(sys.argv) != 2:
        sys.exit("usage: images/make.py OUT")
    out = Path(sys.argv[1])
    tree = standard_tree(out / "tree")
    (out / "MANIFEST").write_text("".join(f"{line}\n" for line in manifest(tree)))
    for version in (1, 2):
        for order in ("le", "be"):
            for bsize in (4096, 8192, 16384, 32768, 65536):
                image = out / f"ffs-v{version}{order}-{bsize}.img"
                makefs(tree, image, version, order, bsize, bsize // 8)
                print(image)


if __name__ == "__main__":
    main()
