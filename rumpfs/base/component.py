"""Components: the parts a kernel is put together from (rump_component(9) in spirit).

A component is found by name in the entry-point group ``rumpfs.components``, or in a Python file; its
`init` runs once, when the kernel boots, in the order of `phase`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

GROUP = "rumpfs.components"


class Phase(IntEnum):
    """When a component is initialised (sys/rump/librump/rumpkern/rump_private.h)."""

    KERN = 0
    VFS = 1
    DEV = 2
    FS = 3
    POSTINIT = 4


@dataclass(frozen=True, slots=True)
class Component:
    """One component.

    Args:
        name: as in ``-l name`` (``rumpfs_ffs``).
        phase: when it is initialised.
        requires: names of the components it uses.
        init: called with the kernel; what it offers is entered in the kernel's tables.
        module: name of the built-in kernel module it holds, for modctl(MODCTL_STAT).
    """

    name: str
    phase: Phase
    requires: tuple[str, ...]
    init: Callable[[Any], None]
    module: str = ""
