"""A manifest applied to a tree: attributes of what is there, and files that are not (makefs(8) -F)."""

from __future__ import annotations

import os
import re
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterable
from typing import Final

from rumpfs.abi.stat import (
    S_IFBLK,
    S_IFCHR,
    S_IFDIR,
    S_IFIFO,
    S_IFLNK,
    S_IFREG,
    S_IFSOCK,
    makedev,
)
from rumpfs.cli.modes import Mode
from rumpfs.cli.sources.errors import SourceError, shown
from rumpfs.cli.sources.mtree import Entry
from rumpfs.cli.sources.users import Users
from rumpfs.cli.sources.vis import unvis
from rumpfs.cli.verbs.chflags import change
from rumpfs.fs.ffs.makefs.content import HostContent
from rumpfs.fs.ffs.makefs.node import Node, directory

#: type= of mtree(8)
TYPES: Final = {
    b"file": S_IFREG, b"dir": S_IFDIR, b"link": S_IFLNK, b"char": S_IFCHR, b"block": S_IFBLK,
    b"fifo": S_IFIFO, b"socket": S_IFSOCK,
}  # fmt: skip
_NAMES: Final = {kind: name.decode() for name, kind in TYPES.items()}
_TIME: Final = re.compile(rb"(-?\d{1,12})(?:\.(\d{1,9}))?")
_SECOND: Final = 1_000_000_000
#: what names a file of the host that has the bytes
_CONTENTS: Final = (b"contents", b"content")


class Spec:
    """Applies manifests to a tree.

    Args:
        root: the tree; it is changed.
        users: finds users by name.
        now: time of what has none, in nanoseconds.
    """

    def __init__(self, root: Node, users: Users, now: int) -> None:
        self.root = root
        self._users = users
        self._now = now
        self._named: set[Node] = {root}

    def apply(self, entries: Iterable[Entry]) -> None:
        """Apply a manifest. Raises: SourceError, OSError."""
        for entry in entries:
            if not entry.path:
                self._change(self.root, entry)
                continue
            parent = self._parent(entry)
            assert parent.children is not None
            name = entry.path[-1]
            node = parent.children.get(name)
            if node is None:
                if b"optional" in entry.words and not self._has_content(entry):
                    continue
                node = parent.children[name] = self._new(entry)
            self._change(node, entry)
            self._named.add(node)

    def only_named(self) -> None:
        """Take out of the tree what no manifest has named (makefs -x)."""
        stack = [self.root]
        while stack:
            node = stack.pop()
            if node.children is not None:
                node.children = {name: each for name, each in node.children.items() if each in self._named}
                stack.extend(node.children.values())

    def _parent(self, entry: Entry) -> Node:
        """Return the directory that a file is in."""
        node = self.root
        for depth, name in enumerate(entry.path[:-1], 1):
            below = (node.children or {}).get(name)
            if below is None or below.children is None:
                path = shown(b"/".join(entry.path[:depth]))
                why = "is not in the tree" if below is None else "is no directory"
                raise SourceError(f"{entry.where}: {path} {why}")
            node = below
        return node

    # --- files that are not there

    @staticmethod
    def _has_content(entry: Entry) -> bool:
        return any(key in entry.words for key in _CONTENTS)

    def _new(self, entry: Entry) -> Node:
        """Return the node of a file that only the manifest has."""
        words = entry.words
        needed = [("type", (b"type",)), ("mode", (b"mode",)), ("uid or uname", (b"uid", b"uname"))]
        needed.append(("gid or gname", (b"gid", b"gname")))
        kind = self._type(entry)
        if kind in (S_IFCHR, S_IFBLK):
            needed.append(("device", (b"device",)))
        if kind == S_IFLNK:
            needed.append(("link", (b"link",)))
        for what, keys in needed:
            if not any(key in words for key in keys):
                path = shown(b"/".join(entry.path))
                raise SourceError(f"{entry.where}: {path} is not in the tree, so its {what} must be given")
        now = self._now
        children: dict[bytes, Node] | None = {} if kind == S_IFDIR else None
        return Node(kind, mtime=now, atime=now, ctime=now, birthtime=now, children=children)

    def _type(self, entry: Entry) -> int:
        """Return the type bits that a manifest gives; 0 when it gives none."""
        text = entry.words.get(b"type")
        if text is None:
            return 0
        if text not in TYPES:
            raise SourceError(f"{entry.where}: type={shown(text)} is none of {shown(b' '.join(TYPES))}")
        return TYPES[text]

    # --- attributes

    def _change(self, node: Node, entry: Entry) -> None:
        """Give a node the attributes that a manifest has for it."""
        words = entry.words
        kind = self._type(entry)
        if kind and kind != node.kind:
            path = shown(b"/".join(entry.path) or b".")
            kinds = f"{_NAMES[kind]} in the manifest and {_NAMES[node.kind]} in the tree"
            raise SourceError(f"{entry.where}: {path} is {kinds}")
        if b"nochange" in words:
            return
        for key, setter in _SETTERS.items():
            if key in words:
                try:
                    setter(self, node, words[key])
                except (ValueError, SourceError) as error:
                    raise SourceError(f"{entry.where}: {shown(key)}={shown(words[key])}: {error}") from error

    def _set_uid(self, node: Node, value: bytes) -> None:
        node.uid = _number(value)

    def _set_gid(self, node: Node, value: bytes) -> None:
        node.gid = _number(value)

    def _set_uname(self, node: Node, value: bytes) -> None:
        node.uid = self._users.uid(os.fsdecode(unvis(value)))

    def _set_gname(self, node: Node, value: bytes) -> None:
        node.gid = self._users.gid(os.fsdecode(unvis(value)))

    def _set_mode(self, node: Node, value: bytes) -> None:
        permissions = Mode(value.decode("ascii")).of(node.mode, node.kind == S_IFDIR, 0)
        node.mode = node.kind | permissions

    def _set_flags(self, node: Node, value: bytes) -> None:
        node.flags = file_flags(value)

    def _set_time(self, node: Node, value: bytes) -> None:
        match = _TIME.fullmatch(value)
        if match is None:
            raise ValueError("want seconds, a dot, and nanoseconds")
        seconds, nanoseconds = match.groups(b"0")
        node.mtime = node.atime = node.birthtime = int(seconds) * _SECOND + int(nanoseconds)

    def _set_link(self, node: Node, value: bytes) -> None:
        if node.kind != S_IFLNK:
            raise ValueError("only a symbolic link has one")
        node.target = unvis(value)

    def _set_device(self, node: Node, value: bytes) -> None:
        if node.kind not in (S_IFCHR, S_IFBLK):
            raise ValueError("only type=char and type=block have one")
        node.rdev = device_number(value)

    def _set_contents(self, node: Node, value: bytes) -> None:
        if node.kind != S_IFREG:
            raise ValueError("only type=file has bytes")
        path = unvis(value)
        facts = os.stat(path)
        node.content = HostContent(os.path.realpath(path), facts)


_SETTERS: Final[dict[bytes, Callable[[Spec, Node, bytes], None]]] = {
    b"uid": Spec._set_uid,
    b"uname": Spec._set_uname,
    b"gid": Spec._set_gid,
    b"gname": Spec._set_gname,
    b"mode": Spec._set_mode,
    b"flags": Spec._set_flags,
    b"time": Spec._set_time,
    b"link": Spec._set_link,
    b"device": Spec._set_device,
    **dict.fromkeys(_CONTENTS, Spec._set_contents),
}


def new_root(now: int) -> Node:
    """Return the root of a tree that a manifest alone describes."""
    return directory(mtime=now)


def file_flags(text: bytes) -> int:
    """Return flags by their names, as chflags(1) has them. Raises: ValueError."""
    if text in (b"none", b"", b"-"):
        return 0
    try:
        return change(text.decode("ascii")).of(0)
    except ArgumentTypeError as error:
        raise ValueError(str(error)) from error


def device_number(text: bytes) -> int:
    """Return NetBSD's number of a device.

    Args:
        text: a number, or ``FORMAT,MAJOR,MINOR`` with netbsd or native for the format.

    Raises:
        ValueError: it is neither.
    """
    parts = text.split(b",")
    if len(parts) == 1:
        return _number(text)
    if len(parts) != 3 or parts[0] not in (b"native", b"netbsd"):
        raise ValueError("want a number, or native,MAJOR,MINOR")
    major, minor = map(_number, parts[1:])
    if major > 0xFFF or minor > 0xFFFFF:
        raise ValueError("major numbers end at 4095, minor ones at 1048575")
    return makedev(major, minor)


def _number(text: bytes) -> int:
    """Return a number, decimal, octal or hexadecimal as in C. Raises: ValueError."""
    digits = text.decode("ascii")
    if not digits[:1].isdigit():
        raise ValueError("is no number")
    number = int(digits, 0) if not re.fullmatch("0[0-7]+", digits) else int(digits, 8)
    if number >= 1 << 32:
        raise ValueError("exceeds 32 bits")
    return number
