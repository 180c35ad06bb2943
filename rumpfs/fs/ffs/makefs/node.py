"""What an image is to hold: a tree of nodes. A file with two names is one node that two directories hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rumpfs.abi import errno
from rumpfs.abi.stat import S_IFDIR, S_IFLNK, S_IFMT
from rumpfs.base.errors import VfsError

if TYPE_CHECKING:
    from rumpfs.fs.ffs.makefs.content import Content

#: bytes of a name (FFS_MAXNAMLEN), of a symbolic link (MAXPATHLEN less its NUL), and links (LINK_MAX)
MAXNAMLEN: Final = 255
MAXLINKTEXT: Final = 1023
LINK_MAX: Final = 32767


@dataclass(slots=True, eq=False)
class Node:
    """A file of any kind; times in nanoseconds since 1970.

    Attributes:
        mode: type and permissions.
        rdev: NetBSD's dev_t of a device.
        target: what a symbolic link says.
        content: the bytes of a regular file; None when it has none.
        children: what a directory holds; None for what is no directory.
        ino, nlink: are given by the plan.
    """

    mode: int
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    atime: int = 0
    ctime: int = 0
    birthtime: int = 0
    flags: int = 0
    rdev: int = 0
    target: bytes = b""
    content: Content | None = None
    children: dict[bytes, Node] | None = None
    ino: int = 0
    nlink: int = 0

    @property
    def kind(self) -> int:
        """The type bits of the mode."""
        return self.mode & S_IFMT

    @property
    def size(self) -> int:
        """Bytes of a regular file or of a symbolic link; 0 for everything else."""
        if self.content is not None:
            return self.content.size
        return len(self.target)


def directory(mode: int = 0o755, mtime: int = 0) -> Node:
    """Return an empty directory of root's."""
    return Node(S_IFDIR | mode, mtime=mtime, atime=mtime, ctime=mtime, birthtime=mtime, children={})


def walk(root: Node) -> Iterator[tuple[bytes, Node]]:
    """Yield the path and node of everything in a tree, a directory before what it holds, names in order."""
    stack = [(b".", root)]
    while stack:
        path, node = stack.pop()
        yield path, node
        if node.children is not None:
            stack.extend(
                (path + b"/" + name, node.children[name]) for name in sorted(node.children, reverse=True)
            )


def set_times(root: Node, ns: int) -> None:
    """Set all times of a tree (makefs -T)."""
    for _, node in walk(root):
        node.mtime = node.atime = node.ctime = node.birthtime = ns


def clamp_times(root: Node, ns: int) -> None:
    """Let nothing in a tree be younger, nor depend on when files were read or moved.

    This is what SOURCE_DATE_EPOCH asks for: times of modification are kept up to it, and are the others, too.
    """
    for _, node in walk(root):
        node.mtime = node.atime = node.ctime = node.birthtime = min(node.mtime, ns)


def check(root: Node, ufs2: bool) -> None:
    """See whether an FFS can hold a tree.

    Raises:
        VfsError: ENAMETOOLONG, EFBIG or EOVERFLOW with the path of what it cannot hold.
    """
    for path, node in walk(root):
        why = _wrong(path, node, ufs2)
        if why is not None:
            raise VfsError(why[0], f"{path.decode('utf-8', 'backslashreplace')}: {why[1]}")


def _wrong(path: bytes, node: Node, ufs2: bool) -> tuple[int, str] | None:
    """Return errno and reason of what cannot be; None when all is well."""
    name = path.rpartition(b"/")[2]
    if len(name) > MAXNAMLEN:
        return errno.ENAMETOOLONG, f"a name has up to {MAXNAMLEN} bytes, not {len(name)}"
    if node.kind == S_IFLNK and not 0 < len(node.target) <= MAXLINKTEXT:
        return errno.ENAMETOOLONG, f"a symbolic link has 1 to {MAXLINKTEXT} bytes, not {len(node.target)}"
    limit = 1 << 31 if not ufs2 else 1 << 62
    for ns in (node.mtime, node.atime, node.ctime):
        if not -limit <= ns // 1_000_000_000 < limit:
            return errno.EOVERFLOW, "FFSv1 keeps times up to 2038: use version=2, or set them with -T"
    for number in (node.uid, node.gid):
        if not 0 <= number < 1 << 32:
            return errno.EOVERFLOW, f"{number} is no owner: 32 bits are kept"
    return None


def merge(into: Node, other: Node, replace: bool, where: bytes = b".") -> None:
    """Add a tree to a tree; directories that both have become one.

    Args:
        replace: what is in both and no directory is taken from `other`.
        where: path, for messages.

    Raises:
        VfsError: EEXIST: it is in both, and `replace` is False.
    """
    assert into.children is not None
    for name, node in (other.children or {}).items():
        path = where + b"/" + name
        old = into.children.get(name)
        if old is not None and old.children is not None and node.children is not None:
            merge(old, node, replace, path)
        elif old is None or replace:
            into.children[name] = node
        else:
            text = path.decode("utf-8", "backslashreplace")
            raise VfsError(errno.EEXIST, f"{text} is in more than one of the sources; -r takes the last one")
