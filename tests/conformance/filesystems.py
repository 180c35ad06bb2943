"""The file systems that the cases are run for, and what each of them lacks.

NetBSD skips a case where a file system has not got what it is about; here a case names its needs
(`@pytest.mark.needs("rename")`), and a file system the reason why it cannot meet one. A case that works in
the fixture `fs`, which is mounted for writing, needs "write".
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from rumpfs.abi.extattr import EXTATTR_CMD_START
from rumpfs.abi.mount import MNT_ASYNC, MNT_LOG, MNT_RDONLY
from rumpfs.ondisk.ufs.fs import FS_UFS2EA_MAGIC
from tests.calls import Calls
from tests.conformance.system import DISK_SIZE, System
from tests.fs.ffs.checker import complaints
from tests.fs.ffs.editor import Editor
from tests.images_util import makefs

if TYPE_CHECKING:
    from tests.conformance.volume import Volume

#: bytes of an image when a case does not say otherwise (NetBSD: FSTEST_IMGSIZE)
IMAGE_SIZE = 10000 * 512


class Kind:
    """A file system type.

    Attributes:
        name: in the names of tests.
        column: in the table of results; the kinds of one column have to agree.
        slow: the faces with which cases are among the slow tests.
        fstype: what mount(2) and statvfs(2) call it.
        survives: whether files are there again after an unmount.
    """

    fstype: bytes
    survives = False
    slow: tuple[str, ...] = ()

    def __init__(self, name: str, column: str, lacks: Mapping[str, str]) -> None:
        self.name = name
        self.column = column
        self.lacks = lacks

    def why_not(self, needs: set[str]) -> str | None:
        """Return why a case with these needs is not applicable, or None."""
        reasons = [self.lacks[need] for need in sorted(needs) if need in self.lacks]
        return ", ".join(reasons) or None

    def newfs(self, system: System, size: int, files: Mapping[str, bytes]) -> None:
        """Make a new file system of `size` bytes with files in its root."""

    def mount(self, p: Calls, mp: bytes, flags: int, **args: int) -> None:
        """Mount what newfs made; `args` are fields of struct tmpfs_args."""
        raise NotImplementedError

    def unmount(self, p: Calls, mp: bytes, flags: int) -> None:
        """Unmount it."""
        p.call("unmount", mp, flags)

    def mount_extattrs(self, volume: Volume) -> None:
        """Mount it so that files have extended attributes."""
        raise NotImplementedError

    def check(self, system: System) -> None:
        """Check what is left of it once it is unmounted."""

    def updated(self, mp: bytes) -> bytes:
        """Return the mount point to give to MNT_UPDATE when flags are to change."""
        return mp


class Rumpfs(Kind):
    """The root file system's type, mounted once more."""

    fstype = b"rumpfs"

    def mount(self, p: Calls, mp: bytes, flags: int, **args: int) -> None:
        p.call("__mount50", b"rumpfs\0", mp + b"\0", flags, None, 0)


class Kernfs(Kind):
    """What the kernel says of itself; it is not for files of others."""

    fstype = b"kernfs"

    def mount(self, p: Calls, mp: bytes, flags: int, **args: int) -> None:
        p.call("__mount50", b"kernfs\0", mp + b"\0", flags, None, 0)


class Tmpfs(Kind):
    """tmpfs; the size is its limit."""

    fstype = b"tmpfs"

    def __init__(self, name: str, column: str, lacks: Mapping[str, str]) -> None:
        super().__init__(name, column, lacks)
        self._size = 0

    def newfs(self, system: System, size: int, files: Mapping[str, bytes]) -> None:
        self._size = size

    def mount(self, p: Calls, mp: bytes, flags: int, **args: int) -> None:
        p.mount_tmpfs(mp, flags, **({"size": self._size} | args))


class Null(Tmpfs):
    """A layer on a tmpfs of its own, which flags and arguments are for."""

    fstype = b"null"

    def check(self, system: System) -> None:
        """Check what is left of it once it is unmounted."""

    def updated(self, mp: bytes) -> bytes:
        return mp + b".lower"

    def mount(self, p: Calls, mp: bytes, flags: int, **args: int) -> None:
        lower = self.updated(mp)
        assert p.error("mkdir", lower, 0o777) in ("ok", "EEXIST")
        super().mount(p, lower, flags, **args)
        p.mount_null(mp, lower, flags)

    def unmount(self, p: Calls, mp: bytes, flags: int) -> None:
        super().unmount(p, mp, flags)
        super().unmount(p, self.updated(mp), flags)


class Ffs(Kind):
    """An FFS that makefs(8) made.

    Args:
        version: 1 or 2.
        order: le or be.
        logged: it is mounted with a log: a small one behind it when there is room, so that it goes round.
    """

    fstype = b"ffs"
    survives = True

    def __init__(self, version: int, order: str, lacks: Mapping[str, str], logged: bool = False) -> None:
        super().__init__(f"ffsv{version}{order}{'log' if logged else ''}", "ffs", lacks)
        self._version = version
        self._order = order
        self.logged = logged
        if (version, order) not in _FAST:
            self.slow = ("incore", "socket") if logged else ("socket",)
        elif logged:
            self.slow = ("socket",)

    def newfs(self, system: System, size: int, files: Mapping[str, bytes]) -> None:
        image = _image(self._version, self._order, size, tuple(files.items()))
        with system.disk(self.name).open("r+b") as disk:
            disk.truncate(0)
            disk.truncate(DISK_SIZE)
            for offset, piece in image:
                disk.seek(offset)
                disk.write(piece)
        if self.logged and size + _LOG_SIZE <= DISK_SIZE:
            with Editor(system.disk(self.name)) as editor:
                end = editor.fs.fs_size * editor.fs.fs_fsize // _SECTOR
                locs = (end, _LOG_SIZE // _SECTOR, _SECTOR, 0)
                editor.superblock(fs_journal_version=1, fs_journal_location=1, fs_journallocs=locs)

    def mount(self, p: Calls, mp: bytes, flags: int, **args: int) -> None:
        if not flags & MNT_RDONLY:
            # Waiting for the host's disk between writes changes nothing that a case can see.
            flags |= MNT_LOG if self.logged else MNT_ASYNC
        p.mount_ffs(mp, b"/" + self.name.encode(), flags)

    def mount_extattrs(self, volume: Volume) -> None:
        """FFSv1 keeps them in files, for which there are directories; FFSv2 wants the magic for them."""
        if self._version == 2:
            with Editor(volume.system.disk(self.name)) as editor:
                editor.superblock(fs_magic=FS_UFS2EA_MAGIC)
            volume.mount()
            return
        volume.mount()
        for directory in (b".attribute", b".attribute/user"):
            volume.call("mkdir", directory, 0o755)
        volume.call("extattrctl", b".", EXTATTR_CMD_START, None, 0, None)

    def check(self, system: System) -> None:
        assert complaints(system.disk(self.name)) == []


#: the forms of which fewer cases are slow tests: with a log those over a socket, without one none
_FAST = ((1, "be"), (2, "le"))

#: bytes for each inode: as many as newfs gives a small file system (sbin/newfs/newfs.c: 4 * fsize)
_DENSITY = ",density=2048"

#: the bytes of a log, and its blocks
_LOG_SIZE, _SECTOR = 150 << 10, 512

_Pieces = list[tuple[int, bytes]]


@cache
def _image(version: int, order: str, size: int, files: tuple[tuple[str, bytes], ...]) -> _Pieces:
    """Return the pieces of a new image that are not zero, with their offsets."""
    with tempfile.TemporaryDirectory() as directory:
        tree = Path(directory) / "tree"
        tree.mkdir()
        tree.chmod(0o755)
        for name, content in files:
            (tree / name).write_bytes(content)
            (tree / name).chmod(0o755)
        path = makefs(tree, Path(directory) / "image", version, order, 8192, 1024, "-s", str(size), _DENSITY)
        image = path.read_bytes()
    step = 4096
    pieces = ((at, image[at : at + step]) for at in range(0, len(image), step))
    return [(at, piece) for at, piece in pieces if piece.count(0) != len(piece)]


_NO_TMPFS_ARGS = {"tmpfs_args": "only tmpfs has these arguments"}
_RUMPFS_LACKS = _NO_TMPFS_ARGS | {
    "rename": "rumpfs has no rename",
    "links": "rumpfs has no hard links",
    "handles": "rumpfs has no file handles",
    "limit": "nothing limits a rumpfs",
    "nlink": "directories of a rumpfs do not count their links",
    "dots": "a rumpfs does not list . and ..",
    "flags": "a rumpfs keeps file flags, and does nothing about them",
    "atime": "a rumpfs does not note when a file is read",
    "extattr": "a rumpfs has no extended attributes",
}
_KERNFS_LACKS = _NO_TMPFS_ARGS | {
    "write": "nothing can be made in a kernfs",
    "files": "a kernfs has files of its own",
    "handles": "kernfs has no file handles",
    "times": "the times of a kernfs are always now",
    "extattr": "a kernfs has no extended attributes",
}
_TMPFS_LACKS = {"extattr": "a tmpfs has no extended attributes"}

_UFS1_LACKS = _NO_TMPFS_ARGS | {"birthtime": "UFS1 does not keep when a file was made"}

KINDS: tuple[Kind, ...] = (
    Rumpfs("rumpfs", "rumpfs", _RUMPFS_LACKS),
    Tmpfs("tmpfs", "tmpfs", _TMPFS_LACKS),
    Null("null", "null", _TMPFS_LACKS),
    Kernfs("kernfs", "kernfs", _KERNFS_LACKS),
    *(Ffs(1, order, _UFS1_LACKS) for order in ("le", "be")),
    *(Ffs(2, order, _NO_TMPFS_ARGS) for order in ("le", "be")),
    *(Ffs(1, order, _UFS1_LACKS, logged=True) for order in ("le", "be")),
    *(Ffs(2, order, _NO_TMPFS_ARGS, logged=True) for order in ("le", "be")),
)
#: the columns of the table of results
COLUMNS = tuple(dict.fromkeys(kind.column for kind in KINDS))
#: names of the disks that a server needs for them
DISKS = tuple(kind.name for kind in KINDS if isinstance(kind, Ffs))
