"""sysctlbyname(3): the kernel is asked for the number of each name on the way."""

from __future__ import annotations

import struct
from typing import Any

from rumpfs.abi.sysctl import CTL_QUERY, SYSCTL_VERSION, SYSCTLNODE


def sysctlbyname(p: Any, name: bytes, new: bytes | None = None) -> bytes:
    """Return the value of a node, and set it. Errors: VfsError; KeyError: there is no such node."""
    mib: tuple[int, ...] = ()
    for part in name.split(b"."):
        query = SYSCTLNODE.pack(SYSCTL_VERSION, 0, b"", 0, b"", 0, 0, 0, 0)
        nodes = _sysctl(p, (*mib, CTL_QUERY), query)
        fields = (nodes[at : at + SYSCTLNODE.size] for at in range(0, len(nodes), SYSCTLNODE.size))
        numbers = {found[2].rstrip(b"\0"): found[1] for found in map(SYSCTLNODE.unpack, fields)}
        mib = (*mib, numbers[part])
    return _sysctl(p, mib, new)


def _sysctl(p: Any, mib: tuple[int, ...], new: bytes | None) -> bytes:
    old = bytearray(1 << 16)
    oldlen = bytearray(struct.pack("<Q", len(old)))
    p.call("__sysctl", struct.pack(f"<{len(mib)}i", *mib), len(mib), old, oldlen, new, len(new or b""))
    return bytes(old[: int.from_bytes(oldlen, "little")])
