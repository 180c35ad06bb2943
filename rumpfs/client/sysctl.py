"""The sysctl tree of a rump kernel, as sysctl(8) walks it (sysctl(3), sys/sys/sysctl.h)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from rumpfs.abi import errno
from rumpfs.abi.sysctl import (
    CTL_DESCRIBE,
    CTL_MAXNAME,
    CTL_QUERY,
    CTLFLAG_HEX,
    CTLFLAG_PRIVATE,
    CTLFLAG_READWRITE,
    CTLTYPE_BOOL,
    CTLTYPE_INT,
    CTLTYPE_MASK,
    CTLTYPE_NODE,
    CTLTYPE_QUAD,
    CTLTYPE_STRING,
    SYSCTL_VERSION,
    SYSCTLDESC,
    SYSCTLNODE,
)
from rumpfs.client.errors import RumpError, rump_error
from rumpfs.client.raw import RawClient

Value = int | str | bytes

#: how often a value that grows while it is asked for is asked for again
_TRIES: Final = 8
_VALUE_MAX: Final = 64 << 20
_INTEGERS: Final = {CTLTYPE_INT: 4, CTLTYPE_QUAD: 8, CTLTYPE_BOOL: 1}


class Node(NamedTuple):
    """A node: its place in the tree, its name with dots, and its flags (CTLTYPE_ and CTLFLAG_)."""

    mib: tuple[int, ...]
    name: str
    flags: int

    @property
    def type(self) -> int:
        """CTLTYPE_."""
        return self.flags & CTLTYPE_MASK

    @property
    def writable(self) -> bool:
        """Whether its value can be set."""
        return bool(self.flags & CTLFLAG_READWRITE & ~0xF) and self.type != CTLTYPE_NODE

    @property
    def private(self) -> bool:
        """Whether only root sees its value."""
        return bool(self.flags & CTLFLAG_PRIVATE)

    @property
    def hexadecimal(self) -> bool:
        """Whether it is shown in hexadecimal."""
        return bool(self.flags & CTLFLAG_HEX)


def raw(client: RawClient, mib: tuple[int, ...], new: bytes | None = None) -> bytes:
    """Make the call sysctl(3): return the value at a MIB, and perhaps set it.

    Errors:
        RumpError: those of sysctl(3); ENOMEM: the value grows faster than it can be read.
    """
    name = b"".join((number & 0xFFFFFFFF).to_bytes(4, "little") for number in mib)
    room = 256
    for left in reversed(range(_TRIES)):
        old, oldlen = bytearray(room), bytearray(room.to_bytes(8, "little"))
        try:
            client.sys.sysctl(name, len(mib), old, oldlen, new, len(new or b""))
        except RumpError as error:
            room = max(int.from_bytes(oldlen, "little"), 2 * room)
            if error.netbsd_errno != errno.ENOMEM or room > _VALUE_MAX or not left:
                raise
        else:
            break
    return bytes(old[: int.from_bytes(oldlen, "little")])


def children(client: RawClient, node: Node | None = None) -> list[Node]:
    """Return the nodes right below a node, or the top of the tree, in the order of their numbers."""
    mib, prefix = (node.mib, f"{node.name}.") if node else ((), "")
    query = SYSCTLNODE.pack(SYSCTL_VERSION, 0, b"", 0, b"", 0, 0, 0, 0)
    data = raw(client, (*mib, CTL_QUERY), query)
    found = []
    for start in range(0, len(data) - SYSCTLNODE.size + 1, SYSCTLNODE.size):
        flags, num, name, *_ = SYSCTLNODE.unpack_from(data, start)
        text = name.partition(b"\0")[0].decode("ascii", "replace")
        found.append(Node((*mib, num), prefix + text, flags))
    return found


def walk(client: RawClient, top: Node | None = None) -> Iterator[Node]:
    """Yield the leaves below a node, or of the whole tree; of a leaf, itself."""
    if top is not None and top.type != CTLTYPE_NODE:
        yield top
        return
    if top is not None and len(top.mib) >= CTL_MAXNAME - 1:
        return
    try:
        below = children(client, top)
    except RumpError:
        if top is None:
            raise
        return  # its numbers are arguments of a question, as those of kern.proc2
    for node in below:
        yield from walk(client, node)


def find(client: RawClient, name: str) -> Node:
    """Return the node with a name such as ``kern.ostype``.

    Errors:
        RumpError: ENOENT: there is none.
    """
    node: Node | None = None
    for part in name.split("."):
        wanted = f"{node.name}.{part}" if node else part
        match = [each for each in children(client, node) if each.name == wanted]
        if not match:
            raise _no_such(name)
        node = match[0]
    if node is None:
        raise _no_such(name)
    return node


def _no_such(name: str) -> RumpError:
    return rump_error(errno.ENOENT, name, text="there is no such sysctl node")


def description(client: RawClient, node: Node) -> str:
    """Return what the kernel says about a node; empty when it says nothing."""
    query = SYSCTLNODE.pack(SYSCTL_VERSION, node.mib[-1] & 0xFFFFFFFF, b"", 0, b"", 0, 0, 0, 0)
    try:
        data = raw(client, (*node.mib[:-1], CTL_DESCRIBE), query)
    except RumpError:
        return ""
    if len(data) < SYSCTLDESC.size:
        return ""
    length = SYSCTLDESC.unpack_from(data)[2]
    return data[SYSCTLDESC.size :][:length].partition(b"\0")[0].decode("utf-8", "replace")


def decode(node: Node, data: bytes) -> Value:
    """Return a value as its type has it; a structure stays bytes."""
    if node.type in _INTEGERS:
        return int.from_bytes(data, "little", signed=node.type != CTLTYPE_BOOL)
    if node.type == CTLTYPE_STRING:
        return data.partition(b"\0")[0].decode("utf-8", "surrogateescape")
    return data


def encode(node: Node, text: str) -> bytes:
    """Return the bytes that set a node.

    Errors:
        ValueError: the text is no value of its type.
    """
    size = _INTEGERS.get(node.type)
    if size is not None:
        value = int(text, 0)
        if not -(1 << 8 * size - 1) <= value < 1 << 8 * size:
            raise ValueError(f"{text} does not fit into {size} bytes")
        return (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")
    if node.type == CTLTYPE_STRING:
        return text.encode("utf-8", "surrogateescape")
    raise ValueError(f"{node.name} is a structure, which cannot be set as text")


def get(client: RawClient, name: str) -> Any:
    """Return the value of a node by its name."""
    node = find(client, name)
    return decode(node, raw(client, node.mib))
