"""The component `devnodes`: the device nodes in /dev that programs expect (NetBSD: devnodes.c, MAKEDEV(8)).

They are files of the root file system, which everybody can list and remove, unlike the keys of drives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rumpfs.abi.stat import S_IFCHR, makedev
from rumpfs.base.component import Component, Phase
from rumpfs.dev.etfs import RUMPBLK_MAJOR, EtfsEntry
from rumpfs.kern import console, mem, rnd

if TYPE_CHECKING:
    from rumpfs.kern.kernel import Kernel
    from rumpfs.vfs.mount import Keys

#: character devices: name, permission bits (MAKEDEV(8)), major and minor
NODES: Final = (
    (b"console", 0o600, console.MAJOR, 0),
    (b"full", 0o666, mem.MAJOR, mem.FULL_MINOR),
    (b"random", 0o444, rnd.MAJOR, rnd.RANDOM_MINOR),
    (b"urandom", 0o644, rnd.MAJOR, rnd.URANDOM_MINOR),
)
_RAW_MODE: Final = 0o600
_DEV: Final = b"dev/"


def _init(kernel: Kernel) -> None:
    vfs = kernel.vfs
    if vfs is None:
        return
    console.attach(vfs.devsw, kernel.console)
    rnd.attach(vfs.devsw)
    for name, mode, major, minor in NODES:
        vfs.keys.add_node(name, S_IFCHR | mode, makedev(major, minor))
    raw = RawNodes(vfs.keys)
    kernel.etfs.added.append(raw.add)
    kernel.etfs.removed.append(raw.remove)


class RawNodes:
    """A raw device /dev/rNAME beside each drive that is a block device /dev/NAME.

    Args:
        keys: what makes the nodes.
    """

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def add(self, entry: EtfsEntry) -> None:
        """A drive has come."""
        name, rdev = _raw(entry)
        if name:
            self._keys.add_node(name, S_IFCHR | _RAW_MODE, rdev)

    def remove(self, entry: EtfsEntry) -> None:
        """A drive is gone."""
        name, rdev = _raw(entry)
        if name:
            self._keys.remove_node(name, rdev)


def _raw(entry: EtfsEntry) -> tuple[bytes, int]:
    """Return the name of a drive's raw device in /dev, and its number; no name when it has none."""
    name = entry.key.removeprefix(_DEV)
    if entry.type != "blk" or entry.minor is None or name == entry.key or not name or b"/" in name:
        return b"", 0
    return b"r" + name, makedev(RUMPBLK_MAJOR, entry.minor)


COMPONENT = Component("devnodes", Phase.DEV, ("rumpvfs", "rumpdev"), _init)
