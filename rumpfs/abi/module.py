"""Kernel modules: classes, sources and the structures of modctl(2) (sys/sys/module.h)."""

from __future__ import annotations

import struct
from typing import Final

from rumpfs.abi.limits import MAXMODNAME

MAXMODDEPS: Final = 10

#: modclass_t, by the name that a module file uses
MODULE_CLASSES: Final = {"misc": 1, "vfs": 2, "driver": 3, "exec": 4, "secmodel": 5, "bufq": 6}

# modsrc_t
MODULE_SOURCE_KERNEL: Final = 0
MODULE_SOURCE_FILESYS: Final = 2

#: modctl_load_t: filename flags props propslen
MODCTL_LOAD_ARGS: Final = struct.Struct("<Qi4xQQ")
#: modstat_t: name required addr source class size refcnt flags
MODSTAT: Final = struct.Struct(f"<{MAXMODNAME}s{MAXMODNAME * MAXMODDEPS}sQiiIiI12x")
