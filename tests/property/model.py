"""A model of a POSIX file system in plain dictionaries: what NetBSD's kernel answers, as root.

It knows names, contents and links, nothing of blocks, caches or processes: short enough to be believed.
The rules are those of the manual pages (open(2), rename(2), unlink(2), rmdir(2) …) and of
sys/kern/vfs_lookup.c and vfs_syscalls.c where the pages are silent about which error comes first.
"""

from __future__ import annotations

from typing import Any

from rumpfs.abi import errno, fcntl
from rumpfs.base.errors import VfsError

MAXSYMLINKS = 32
NAME_MAX = 255


class Node:
    """A file: a directory has `entries`, a regular file `data`, a symbolic link `text`."""

    def __init__(self, kind: str, perm: int) -> None:
        self.kind = kind
        self.perm = perm
        self.nlink = 1
        self.mtime = 0
        self.data = bytearray()
        self.text = ""
        self.entries: dict[str, Node] = {}
        self.parent: Node | None = None


def directory(perm: int, parent: Node | None) -> Node:
    node = Node("dir", perm)
    node.parent = parent or node
    node.nlink = 2
    return node


class Found:
    """What a path leads to: the directory, the last name in it, and what has that name."""

    def __init__(self, parent: Node, name: str, node: Node | None) -> None:
        self.parent = parent
        self.name = name
        self.node = node

    @property
    def dots(self) -> bool:
        return self.name in (".", "..")


class OpenFile:
    def __init__(self, node: Node, flags: int) -> None:
        self.node = node
        self.offset = 0
        self.append = bool(flags & fcntl.O_APPEND)
        accmode = flags & fcntl.O_ACCMODE
        self.reads = accmode != fcntl.O_WRONLY
        self.writes = accmode != fcntl.O_RDONLY


def fail(number: int) -> VfsError:
    return VfsError(number)


class Model:
    """The operations; paths are relative to the root of the model."""

    def __init__(self) -> None:
        self.root = directory(0o755, None)
        self.files: dict[int, OpenFile] = {}

    # --- paths ------------------------------------------------------------------------------------

    def _walk(self, path: str, follow: bool) -> Found:
        parts = path.split("/")
        node, links = self.root, 0
        while True:
            name = parts.pop(0)
            if node.kind != "dir":
                raise fail(errno.ENOTDIR)
            if len(name) > NAME_MAX:
                raise fail(errno.ENAMETOOLONG)
            child = self._child(node, name)
            if child is None:
                if parts:
                    raise fail(errno.ENOENT)
                return Found(node, name, None)
            if child.kind == "symlink" and (parts or follow):
                links += 1
                if links > MAXSYMLINKS:
                    raise fail(errno.ELOOP)
                parts = child.text.split("/") + parts
                continue
            if not parts:
                return Found(node, name, child)
            node = child

    @staticmethod
    def _child(node: Node, name: str) -> Node | None:
        if name == ".":
            return node
        return node.parent if name == ".." else node.entries.get(name)

    def _node(self, path: str, follow: bool = True) -> Node:
        node = self._walk(path, follow).node
        if node is None:
            raise fail(errno.ENOENT)
        return node

    def _new(self, path: str) -> Found:
        found = self._walk(path, False)
        if found.node is not None:
            raise fail(errno.EEXIST)
        return found

    def _enter(self, found: Found, node: Node) -> None:
        found.parent.entries[found.name] = node
        if node.kind == "dir":
            node.parent = found.parent
            found.parent.nlink += 1

    def _leave(self, found: Found) -> None:
        node = found.parent.entries.pop(found.name)
        if node.kind == "dir":
            found.parent.nlink -= 1
            node.nlink = 0
        else:
            node.nlink -= 1

    # --- names ------------------------------------------------------------------------------------

    def mkdir(self, path: str, perm: int) -> None:
        found = self._new(path)
        self._enter(found, directory(perm, found.parent))

    def symlink(self, text: str, path: str) -> None:
        node = Node("symlink", 0o755)
        node.text = text
        self._enter(self._new(path), node)

    def link(self, source: str, target: str) -> None:
        """linkat(2) without AT_SYMLINK_FOLLOW."""
        node = self._node(source, follow=False)
        found = self._new(target)
        if node.kind == "dir":
            raise fail(errno.EPERM)
        self._enter(found, node)
        node.nlink += 1

    def unlink(self, path: str) -> None:
        found = self._walk(path, False)
        if found.node is None:
            raise fail(errno.ENOENT)
        if found.name == ".":
            raise fail(errno.EINVAL)
        if found.node.kind == "dir":
            raise fail(errno.EPERM)
        self._leave(found)

    def rmdir(self, path: str) -> None:
        found = self._walk(path, False)
        if found.node is None:
            raise fail(errno.ENOENT)
        if found.name == ".":
            raise fail(errno.EINVAL)
        if found.node.kind != "dir":
            raise fail(errno.ENOTDIR)
        if found.node.entries or found.name == "..":
            raise fail(errno.ENOTEMPTY)
        self._leave(found)

    def rename(self, source: str, target: str) -> None:
        """rename(2) of number 128: of two names of one file the first goes."""
        self._rename(source, target, keep=False)

    def posix_rename(self, source: str, target: str) -> None:
        """__posix_rename: two names of one file stay."""
        self._rename(source, target, keep=True)

    def _rename(self, source: str, target: str, keep: bool) -> None:
        old = self._walk(source, False)
        if old.node is None:
            raise fail(errno.ENOENT)
        if old.dots:
            raise fail(errno.EINVAL)
        new = self._walk(target, False)
        if new.dots:
            raise fail(errno.EISDIR if new.name == "." else errno.EINVAL)
        if new.node is old.node:
            if not keep and (old.parent, old.name) != (new.parent, new.name):
                self._leave(old)
            return
        if old.node.kind == "dir":
            self._not_below(old.node, new)
        if new.node is old.parent:
            raise fail(errno.ENOTEMPTY)
        if new.node is not None:
            self._replaceable(old.node, new.node)
            self._leave(new)
        node, nlink = old.node, old.node.nlink
        self._leave(old)
        node.nlink = nlink
        self._enter(new, node)

    def _not_below(self, node: Node, new: Found) -> None:
        place = new.parent
        while place is not self.root:
            if place is node:
                raise fail(errno.EINVAL)
            assert place.parent is not None
            place = place.parent

    @staticmethod
    def _replaceable(old: Node, new: Node) -> None:
        if old.kind == "dir" and new.kind != "dir":
            raise fail(errno.ENOTDIR)
        if old.kind != "dir" and new.kind == "dir":
            raise fail(errno.EISDIR)
        if new.entries:
            raise fail(errno.ENOTEMPTY)

    # --- attributes -------------------------------------------------------------------------------

    def _attributes(self, node: Node) -> tuple[Any, ...]:
        size = {"file": len(node.data), "symlink": len(node.text)}.get(node.kind)
        perm = None if node.kind == "symlink" else node.perm
        return node.kind, perm, node.nlink, size

    def stat(self, path: str) -> tuple[Any, ...]:
        return self._attributes(self._node(path))

    def lstat(self, path: str) -> tuple[Any, ...]:
        return self._attributes(self._node(path, follow=False))

    def samefile(self, one: str, other: str) -> bool:
        return self._node(one) is self._node(other)

    def readlink(self, path: str) -> str:
        node = self._node(path, follow=False)
        if node.kind != "symlink":
            raise fail(errno.EINVAL)
        return node.text

    def listdir(self, path: str) -> list[str]:
        node = self._node(path)
        if node.kind != "dir":
            raise fail(errno.ENOTDIR)
        return sorted(node.entries)

    def chmod(self, path: str, perm: int) -> None:
        self._node(path).perm = perm

    def set_mtime(self, path: str, ns: int) -> None:
        self._node(path).mtime = ns

    def mtime_after_setting(self, path: str, ns: int) -> int:
        self.set_mtime(path, ns)
        return self._node(path).mtime

    def truncate(self, path: str, length: int) -> None:
        if length < 0:
            raise fail(errno.EINVAL)
        node = self._node(path)
        if node.kind == "dir":
            raise fail(errno.EISDIR)
        self._resize(node, length)

    @staticmethod
    def _resize(node: Node, length: int) -> None:
        del node.data[length:]
        node.data += bytes(length - len(node.data))

    # --- descriptors ------------------------------------------------------------------------------

    def open(self, slot: int, path: str, flags: int, perm: int) -> None:
        follow = not flags & fcntl.O_NOFOLLOW
        found = self._walk(path, follow and not flags & fcntl.O_EXCL)
        node = found.node
        if node is None:
            if not flags & fcntl.O_CREAT:
                raise fail(errno.ENOENT)
            node = Node("file", perm)
            self._enter(found, node)
        else:
            if flags & fcntl.O_CREAT and flags & fcntl.O_EXCL:
                raise fail(errno.EEXIST)
            self._openable(node, flags)
            if flags & fcntl.O_TRUNC:
                node.data.clear()
        self.files[slot] = OpenFile(node, flags)

    @staticmethod
    def _openable(node: Node, flags: int) -> None:
        if node.kind == "symlink":
            raise fail(errno.EFTYPE)
        if flags & fcntl.O_DIRECTORY and node.kind != "dir":
            raise fail(errno.ENOTDIR)
        if node.kind == "dir" and flags & (fcntl.O_ACCMODE | fcntl.O_TRUNC):
            raise fail(errno.EISDIR)

    def close(self, slot: int) -> None:
        del self.files[slot]

    def fstat(self, slot: int) -> tuple[Any, ...]:
        return self._attributes(self.files[slot].node)

    def _content(self, slot: int) -> bytearray:
        file = self.files[slot]
        if not file.reads:
            raise fail(errno.EBADF)
        if file.node.kind == "dir":
            raise fail(errno.EISDIR)
        return file.node.data

    def read(self, slot: int, count: int) -> bytes:
        data = self._content(slot)
        file = self.files[slot]
        piece = bytes(data[file.offset : file.offset + count])
        file.offset += len(piece)
        return piece

    def pread(self, slot: int, count: int, offset: int) -> bytes:
        return bytes(self._content(slot)[offset : offset + count])

    def _put(self, file: OpenFile, data: bytes, offset: int) -> int:
        if not file.writes:
            raise fail(errno.EBADF)
        if not data:
            return offset
        if file.append:
            offset = len(file.node.data)
        if offset > len(file.node.data):
            self._resize(file.node, offset)
        file.node.data[offset : offset + len(data)] = data
        return offset + len(data)

    def write(self, slot: int, data: bytes) -> int:
        file = self.files[slot]
        file.offset = self._put(file, data, file.offset)
        return len(data)

    def pwrite(self, slot: int, data: bytes, offset: int) -> int:
        self._put(self.files[slot], data, offset)
        return len(data)

    def lseek(self, slot: int, offset: int, whence: int) -> int:
        file = self.files[slot]
        place = offset + (0, file.offset, len(file.node.data))[whence]
        if place < 0:
            raise fail(errno.EINVAL)
        file.offset = place
        return place

    def ftruncate(self, slot: int, length: int) -> None:
        file = self.files[slot]
        if length < 0 or not file.writes:
            raise fail(errno.EINVAL)
        self._resize(file.node, length)
