"""Random work on an FFS that is mounted for writing, in step with what its files should hold."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rumpfs.abi.errno import ENOSPC
from rumpfs.abi.mount import MNT_ASYNC
from rumpfs.base.errors import VfsError
from rumpfs.base.memory import Memory
from rumpfs.dev.hostfile import HostFile
from rumpfs.dev.window import Window
from rumpfs.fs.ffs.ufsmount import FfsMount
from rumpfs.fs.ffs.vfsops import mount_window
from rumpfs.vfs.cred import ROOT, Cred
from rumpfs.vfs.mount import Vfs
from rumpfs.vfs.vnode import SetAttr, Vnode
from tests.fs.ffs.harness import RDEV, content, resolve

USER = Cred(7, 7, 7, 7, 7, 7)


@contextmanager
def writable(
    image: Path, flags: int = MNT_ASYNC, window: Callable[[HostFile, int, int], Window] = Window
) -> Iterator[FfsMount]:
    """Mount an image for writing, and unmount it at the end; no order is kept on the host's disk."""
    hostfile = HostFile.open(str(image))
    device = window(hostfile, 0, hostfile.size)
    try:
        mp = mount_window(Vfs(Memory()), device, RDEV, flags)
    except BaseException:
        device.close()
        raise
    yield mp
    mp.unmount(0)


class Workload:
    """Operations drawn at random.

    Args:
        mp: the mount.
        seed: of the random numbers.
        moves: directories move, too.

    Attributes:
        files: path -> content, one object for all names of a file.
        refused: operations that found no space.
    """

    #: bytes that one write has, and that it leaves out behind the end
    SIZES: tuple[int, ...] = (1, 100, 511, 512, 513, 4096, 5000, 16384, 70000, 200000)
    GAPS: tuple[int, ...] = (1, 511, 4096, 70000, 900000)

    def __init__(self, mp: FfsMount, seed: int, moves: bool = True) -> None:
        self.mp = mp
        self.operations = (
            [self.create] * 3 + [self.write] * 6 + [self.truncate] * 3 + [self.remove] * 2
            + [self.mkdir, self.rmdir, self.rename, self.link, self.symlink]
            + ([self.move_directory] if moves else [])
        )  # fmt: skip
        self.random = random.Random(seed)
        self.files: dict[bytes, bytearray] = {}
        self.dirs = [b""]
        self.refused = 0
        self._count = 0

    def run(self, count: int) -> None:
        """Do `count` operations."""
        for _ in range(count):
            self._count += 1
            try:
                self.random.choice(self.operations)(self.random.choice((ROOT, USER)))
            except VfsError as error:
                if error.errno != ENOSPC:
                    raise
                self.refused += 1

    def check(self, mp: FfsMount) -> None:
        """Compare the content of all files."""
        for path, data in self.files.items():
            assert b"".join(content(resolve(mp, path))) == data, path

    def _vp(self, path: bytes) -> Vnode:
        return resolve(self.mp, path)

    def _file(self) -> bytes:
        return self.random.choice(list(self.files))

    def _new(self, kind: bytes) -> tuple[bytes, bytes]:
        name = kind + b"%d" % self._count + b"x" * self.random.choice((0, 0, 5, 60, 200))
        return self.random.choice(self.dirs), name

    def empty(self) -> bytearray:
        """Return the content of a new file."""
        return bytearray()

    def piece(self, data: bytearray, offset: int, size: int) -> bytes:
        """Return what is written to a file at an offset."""
        return self.random.randbytes(size)

    def create(self, cred: Cred) -> None:
        directory, name = self._new(b"f")
        self._vp(directory).create(name, 0o100644, cred)
        self.files[directory + b"/" + name] = self.empty()

    def write(self, cred: Cred) -> None:
        if self.files:
            path = self._file()
            data = self.files[path]
            end = len(data)
            places = (0, end, end, self.random.randrange(end + 1), end + self.random.choice(self.GAPS))
            offset = self.random.choice(places)
            piece = self.piece(data, offset, self.random.choice(self.SIZES))
            self._vp(path).write(offset, piece, 0, cred)
            data.extend(bytes(max(0, offset - end)))
            data[offset : offset + len(piece)] = piece

    def truncate(self, cred: Cred) -> None:
        if self.files:
            path = self._file()
            data = self.files[path]
            choices = (0, self.random.randrange(len(data) + 1), len(data) + self.random.choice(self.SIZES))
            size = self.random.choice(choices)
            self._vp(path).setattr(SetAttr(size=size), ROOT)
            data[size:] = bytes(max(0, size - len(data)))

    def remove(self, cred: Cred) -> None:
        if self.files:
            path = self._file()
            directory, _, name = path.rpartition(b"/")
            self._vp(directory).remove(name, self._vp(path), cred)
            del self.files[path]

    def mkdir(self, cred: Cred) -> None:
        directory, name = self._new(b"d")
        self._vp(directory).mkdir(name, 0o755, cred)
        self.dirs.append(directory + b"/" + name)

    def rmdir(self, cred: Cred) -> None:
        path = self.random.choice(self.dirs)
        if path and not any(other.startswith(path + b"/") for other in [*self.files, *self.dirs]):
            directory, _, name = path.rpartition(b"/")
            self._vp(directory).rmdir(name, self._vp(path), cred)
            self.dirs.remove(path)

    def rename(self, cred: Cred) -> None:
        if self.files:
            path, other = self._file(), self._file()
            directory, name = self._new(b"r")
            replaced = None
            if self.random.random() < 0.5 and self.files[path] is not self.files[other]:
                directory, _, name = other.rpartition(b"/")
                replaced = self._vp(other)
            source, _, old = path.rpartition(b"/")
            self._vp(source).rename(old, self._vp(path), self._vp(directory), name, replaced, cred)
            self.files[directory + b"/" + name] = self.files.pop(path)

    def move_directory(self, cred: Cred) -> None:
        path = self.random.choice(self.dirs)
        directory, name = self._new(b"m")
        if path and not (directory + b"/").startswith(path + b"/"):
            source, _, old = path.rpartition(b"/")
            self._vp(source).rename(old, self._vp(path), self._vp(directory), name, None, ROOT)
            new = directory + b"/" + name
            for key in [key for key in self.files if key.startswith(path + b"/")]:
                self.files[new + key[len(path) :]] = self.files.pop(key)
            self.dirs = [new + d[len(path) :] if (d + b"/").startswith(path + b"/") else d for d in self.dirs]

    def link(self, cred: Cred) -> None:
        if self.files:
            path = self._file()
            directory, name = self._new(b"l")
            self._vp(directory).link(name, self._vp(path), cred)
            self.files[directory + b"/" + name] = self.files[path]

    def symlink(self, cred: Cred) -> None:
        directory, name = self._new(b"s")
        text = b"t" * self.random.choice((1, 59, 60, 119, 120, 1000))
        vp = self._vp(directory)
        vp.symlink(name, 0o755, text, cred)
        link = vp.lookup(name)
        assert link is not None
        assert link.readlink() == text
        vp.remove(name, link, cred)
