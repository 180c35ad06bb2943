"""Write images with our own FFS: those in images/golden were made so.

Usage: .venv/bin/python images/golden.py OUT

Writes OUT/NAME.img for both versions and byte orders, and one whose log has not been replayed. What is stored
beside each, NAME.json, is what a NetBSD kernel read from it: its stat(2), its readlink(2), and the SHA-256 of
what its read(2) gave.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rumpfs.abi.mount import MNT_LOG
from rumpfs.abi.stat import S_IFBLK, S_IFCHR, S_IFIFO, S_IFREG, UF_NODUMP, makedev
from rumpfs.base.memory import Memory
from rumpfs.dev.hostfile import HostFile
from rumpfs.fs.ffs.ufsmount import FfsMount
from rumpfs.fs.ffs.vfsops import mount_window
from rumpfs.vfs.cred import ROOT, Cred
from rumpfs.vfs.mount import Vfs
from rumpfs.vfs.vnode import SetAttr, Vnode
from tests.fs.ffs.harness import RDEV, mounted
from tests.fs.ffs.manifests import tree
from tests.fs.ffs.powercut import Recorder

USER = Cred(1000, 100, 1000, 100, 1000, 100)

#: name: version, byte order, bytes of a block, of a fragment
IMAGES = {
    "v1le": ("1", "le", 4096, 512),
    "v1be": ("1", "be", 8192, 1024),
    "v2le": ("2", "le", 8192, 1024),
    "v2be": ("2", "be", 4096, 512),
    "v2le-log": ("2", "le", 4096, 512),
}


def text(name: bytes, size: int) -> bytes:
    """Return content that says where it belongs."""
    return b"".join(b"%b %d\n" % (name, line) for line in range(size // 4 + 1))[:size]


def write_file(dvp: Vnode, name: bytes, offset: int, size: int, cred: Cred = ROOT) -> Vnode:
    """Make a file that has content from an offset on."""
    vp = dvp.create(name, S_IFREG | 0o640, cred)
    vp.write(offset, text(name, size), 0, cred)
    return vp


def fill(mp: FfsMount) -> None:
    """Write a tree with what file systems get wrong."""
    root = mp.mnt_root
    fs = mp.um_fs
    for edge in (fs.fs_fsize, fs.fs_bsize):
        for size in (edge - 1, edge, edge + 1):
            write_file(root, b"size%d" % size, 0, size)
    write_file(root, b"indirect", 0, 12 * fs.fs_bsize + 1)
    write_file(root, b"empty", 0, 0)
    write_file(root, b"hole", 5 * fs.fs_bsize + 100, 1000)
    write_file(root, b"far", (12 + fs.fs_nindir + 3) * fs.fs_bsize, 700)  # behind a double indirect block
    grown = write_file(root, b"grown", 0, 100, USER)
    for _ in range(30):
        grown.write(grown.size(), text(b"more", 700), 0, USER)
    grown.setattr(SetAttr(size=9000), USER)
    for length in (1, 59, 60, 119, 120, 1000):
        root.symlink(b"link%d" % length, 0o755, b"t" * length, ROOT)
    many = root.mkdir(b"many", 0o755, ROOT)
    for number in range(60):
        many.create(b"name%03d" % number + b"x" * (number % 40), S_IFREG | 0o600, USER)
    for number in range(0, 60, 2):
        name = b"name%03d" % number + b"x" * (number % 40)
        vp = many.lookup(name)
        assert vp is not None
        many.remove(name, vp, ROOT)
    below = many.mkdir(b"below", 0o1777, ROOT)
    many.rename(b"below", below, root, b"moved", None, ROOT)
    below.link(b"other name", grown, ROOT)
    root.create(b"fifo", S_IFIFO | 0o600, ROOT)
    root.create(b"chr", S_IFCHR | 0o600, ROOT, makedev(2, 3))
    root.create(b"blk", S_IFBLK | 0o640, ROOT, makedev(16, 260))
    grown.setattr(SetAttr(flags=UF_NODUMP, mode=0o4755), ROOT)
    below.setattr(SetAttr(mtime=(1_000_000_000, 123_456_789)), ROOT)


def make(name: str, out: Path) -> None:
    """Make an image; of one with a log all but what is needed of the last commit is left out."""
    version, order, bsize, fsize = IMAGES[name]
    image = out / f"{name}.img"
    logged = name.endswith("-log")
    newfs: list[str | Path] = [
        Path(sys.executable).parent / "rumpfs",
        "newfs",
        "-O",
        version,
        "-B",
        order,
        "-b",
        str(bsize),
    ]
    size = ["-s", "3m", "--log=256k"] if logged else ["-s", "2m"]
    subprocess.run([*newfs, "-f", str(fsize), *size, image], check=True, stdout=subprocess.DEVNULL)
    base = bytearray(image.read_bytes())
    hostfile = HostFile.open(str(image))
    device = Recorder(hostfile, 0, hostfile.size)
    mp = mount_window(Vfs(Memory()), device, RDEV, MNT_LOG if logged else 0)
    fill(mp)
    mp.sync()
    count = len(device.writes)
    mp.unmount(0)
    if not logged:
        return
    with mounted(image) as whole:
        wanted = tree(whole)
    while True:
        data = bytearray(base)
        for offset, piece in device.writes[: count - 1]:
            data[offset : offset + len(piece)] = piece
        last = image.read_bytes()
        image.write_bytes(data)
        with mounted(image) as cut:
            if tree(cut) != wanted:
                break
        count -= 1
    image.write_bytes(last)


def main() -> None:
    """Make everything in the directory that the command line names."""
    if len(sys.argv) != 2:
        sys.exit("usage: images/golden.py OUT")
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for name in IMAGES:
        make(name, out)
        print(out / f"{name}.img")


if __name__ == "__main__":
    main()
