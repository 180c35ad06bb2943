"""The sysctl tree: its nodes, finding them, and what every node can be asked (NetBSD: kern_sysctl.c).

A kernel has one tree, made from the rows of `rumpfs.kern.sysctl_nodes`; components enter rows of their own
with `Sysctl.createv`. A value is a constant, or a function of the process that asks.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from rumpfs.abi import errno
from rumpfs.abi.sysctl import (
    CREATE_BASE,
    CTL_CREATE,
    CTLFLAG_ANYWRITE,
    CTLFLAG_IMMEDIATE,
    CTLFLAG_PERMANENT,
    CTLFLAG_READWRITE,
    CTLFLAG_ROOT,
    CTLTYPE_BOOL,
    CTLTYPE_INT,
    CTLTYPE_MASK,
    CTLTYPE_NODE,
    CTLTYPE_QUAD,
    CTLTYPE_STRING,
    SYSCTL_NAMELEN,
    SYSCTL_VERS_MASK,
    SYSCTL_VERSION,
    SYSCTLDESC,
    SYSCTLNODE,
)
from rumpfs.base.copy import CopyIn, CopyOut
from rumpfs.base.copy import Request as CopyRequest
from rumpfs.base.errors import VfsError

if TYPE_CHECKING:
    from rumpfs.kern.proc import Proc

Value: TypeAlias = int | bytes
#: what a request does step by step
Steps: TypeAlias = Generator[CopyRequest, Any, None]

MAXDESCLEN: Final = 1024  # of a description with its head

_SIZES: Final = {CTLTYPE_NODE: SYSCTLNODE.size, CTLTYPE_INT: 4, CTLTYPE_QUAD: 8, CTLTYPE_BOOL: 1}


@dataclass(slots=True)
class SysctlRequest:
    """Who asks, and where the old and the new value are (SYSCTLFN_ARGS).

    Attributes:
        oldlen: room at `oldp`, in bytes; then, what the answer needs.
    """

    p: Proc
    oldp: int
    oldlen: int
    newp: int
    newlen: int


class Row(NamedTuple):
    """One node, as it is declared.

    Args:
        mib: its place; the last number may be CTL_CREATE, for any that is free.
        name: at most 31 letters, digits, dashes and underscores.
        flags: CTLTYPE_ and CTLFLAG_.
        desc: what sysctl -d shows.
        value: of a leaf, or a function that returns it: an int, a string without its NUL, or a structure.
        size: of a structure, or the room of a string that can be set; in bytes.
        set: takes a new value; without it a node that can be set keeps it.
        func: answers instead of `lookup`, with the numbers that follow in the MIB.
    """

    mib: tuple[int, ...]
    name: bytes
    flags: int
    desc: bytes
    value: Value | Callable[[Proc], Value] = 0
    size: int = 0
    set: Callable[[Proc, Value], None] | None = None
    func: Callable[[SysctlRequest, Node, tuple[int, ...]], Steps] | None = None


class Node:
    """A node of the tree (struct sysctlnode). `ver` changes with everything below it."""

    __slots__ = ("children", "desc", "flags", "func", "name", "num", "set", "size", "value", "ver")

    def __init__(self, num: int, row: Row) -> None:
        self.num = num
        self.name = row.name
        self.flags = row.flags
        self.desc = row.desc
        self.value = row.value
        self.set = row.set
        self.func = row.func
        self.ver = 0
        self.children: dict[int, Node] = {}
        self.size = row.size or _SIZES.get(self.type, 0)
        if not self.size and isinstance(row.value, bytes):
            self.size = len(row.value) + (self.type == CTLTYPE_STRING)

    @property
    def type(self) -> int:
        """CTLTYPE_."""
        return self.flags & CTLTYPE_MASK

    def read(self, p: Proc) -> bytes:
        """Return the value as `p` gets it."""
        value = self.value(p) if callable(self.value) else self.value
        if isinstance(value, int):
            return (value & (1 << 8 * self.size) - 1).to_bytes(self.size, "little")
        return value + b"\0" if self.type == CTLTYPE_STRING else value

    def write(self, p: Proc, data: bytes) -> None:
        """Take a new value. Errors: EINVAL (a boolean that is none; those of the node's own rule)."""
        value: Value = data
        if self.type == CTLTYPE_STRING:
            value = data.partition(b"\0")[0]
        elif self.type in _SIZES:
            value = int.from_bytes(data, "little", signed=self.type == CTLTYPE_INT)
            if self.type == CTLTYPE_BOOL and value > 1:
                raise VfsError(errno.EINVAL)
        if self.set is not None:
            self.set(p, value)
        else:
            self.value = value

    def encode(self, p: Proc) -> bytes:
        """Return struct sysctlnode, without addresses of the kernel."""
        union = b""
        if self.type == CTLTYPE_NODE:
            union = len(self.children).to_bytes(4, "little") * 2
        elif self.flags & CTLFLAG_IMMEDIATE:
            union = self.read(p)
        flags = SYSCTL_VERSION | self.flags
        return SYSCTLNODE.pack(flags, self.num, self.name, self.ver, union, self.size, 0, 0, 0)

    def describe(self) -> bytes:
        """Return struct sysctldesc: the description, with NULs up to a multiple of 4 bytes."""
        text = self.desc[: MAXDESCLEN - SYSCTLDESC.size - 1] + b"\0"
        return SYSCTLDESC.pack(self.num, self.ver, len(text)) + text + bytes(-len(text) % 4)


class Sysctl:
    """A tree."""

    def __init__(self, rows: Iterable[Row]) -> None:
        flags = CTLTYPE_NODE | CTLFLAG_ROOT | CTLFLAG_READWRITE | CTLFLAG_PERMANENT
        self.root = Node(0, Row((), b"(root)", flags, b""))
        self._next = CREATE_BASE
        self.createv(*rows)

    def createv(self, *rows: Row) -> None:
        """Enter rows, each after the node that it is below (sysctl_createv)."""
        for row in rows:
            assert len(row.name) < SYSCTL_NAMELEN
            path = [self.root]
            for number in row.mib[:-1]:
                path.append(path[-1].children[number])
            siblings = path[-1].children
            number = row.mib[-1]
            while number == CTL_CREATE or number in siblings:
                self._next += 1
                number = self._next
            node = siblings[number] = Node(number, row)
            path[-1].children = dict(sorted(siblings.items()))
            version = self.root.ver + 1
            for changed in (*path, node):
                changed.ver = version

    def locate(self, mib: tuple[int, ...]) -> tuple[Node, int, int]:
        """Return the last node on the way of a MIB, how many numbers led there, and an errno (sysctl_locate).

        The errno is 0 when all did, ENOTDIR when numbers follow a leaf, else ENOENT.
        """
        node = self.root
        for used, number in enumerate(mib):
            if node.type != CTLTYPE_NODE:
                return node, used, errno.ENOTDIR
            child = node.children.get(number)
            if child is None:
                return node, used, errno.ENOENT
            node = child
        return node, len(mib), 0


def lookup(req: SysctlRequest, node: Node) -> Steps:
    """Hand out the value, as much as there is room for, and take a new one (sysctl_lookup).

    Errors:
        EINVAL: an inner node.
        EPERM: a new value, and neither root nor a node for all; a node that cannot be set.
        EFAULT.
        EINVAL: a new value of another size; a string that does not fit with its NUL.
    """
    if node.type == CTLTYPE_NODE:
        raise VfsError(errno.EINVAL)
    if (new := bool(req.newp and req.newlen)) and (
        not node.flags & CTLFLAG_READWRITE or (req.p.cred.euid and not node.flags & CTLFLAG_ANYWRITE)
    ):
        raise VfsError(errno.EPERM)
    yield from answer(req, node.read(req.p))
    if not new:
        return
    is_string = node.type == CTLTYPE_STRING
    if req.newlen > node.size if is_string else req.newlen != node.size:
        raise VfsError(errno.EINVAL)
    data: bytes = yield CopyIn(req.newp, req.newlen)
    if is_string and req.newlen == node.size and data[-1]:
        raise VfsError(errno.EINVAL)
    node.write(req.p, data)


def answer(req: SysctlRequest, data: bytes) -> Steps:
    """Store `data`, as much as there is room for. Errors: EFAULT."""
    if req.oldp:
        yield CopyOut(req.oldp, data[: req.oldlen])
    req.oldlen = len(data)


def _records(req: SysctlRequest, records: list[bytes]) -> Steps:
    """Store those records for which there is room, one after the other, whole ones only."""
    fit = []
    left = req.oldlen
    for record in records:
        if len(record) <= left:
            fit.append(record)
            left -= len(record)
    if req.oldp and fit:
        yield CopyOut(req.oldp, b"".join(fit))
    req.oldlen = sum(map(len, records))


def _node_in(req: SysctlRequest) -> Generator[CopyRequest, Any, tuple[int, int, int]]:
    """Fetch the struct sysctlnode of a request: its num, ver and desc. Errors: EINVAL, EFAULT."""
    if not req.newp or req.newlen < 4:
        raise VfsError(errno.EINVAL)
    data = yield CopyIn(req.newp, 4)
    if req.newlen != SYSCTLNODE.size or int.from_bytes(data, "little") & SYSCTL_VERS_MASK != SYSCTL_VERSION:
        raise VfsError(errno.EINVAL)
    _, num, _, ver, _, _, _, _, desc = SYSCTLNODE.unpack((yield CopyIn(req.newp, SYSCTLNODE.size)))
    return num, ver, desc


def query(req: SysctlRequest, node: Node, root: Node) -> Steps:
    """List the children (sysctl_query). Errors: EINVAL (the request, or the version it asks for), EFAULT."""
    _, ver, _ = yield from _node_in(req)
    if ver and ver not in (node.ver, root.ver):
        raise VfsError(errno.EINVAL)
    yield from _records(req, [child.encode(req.p) for child in node.children.values()])


def describe(req: SysctlRequest, node: Node, root: Node) -> Steps:
    """Describe the children, or one of them (sysctl_describe).

    Errors:
        EINVAL, EFAULT: the request.
        ENOENT: no such child.
        EPERM: a new description.
    """
    children = list(node.children.values())
    if req.newp:
        num, ver, desc = yield from _node_in(req)
        if desc and req.p.cred.euid:
            raise VfsError(errno.EPERM)
        children = [child for child in children if child.num == num]
        if not children:
            raise VfsError(errno.ENOENT)
        if desc:
            raise VfsError(errno.EINVAL if ver and ver != children[0].ver else errno.EPERM)
    yield from _records(req, [child.describe() for child in children])
