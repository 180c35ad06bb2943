"""Kernel modules over the socket (NetBSD: sys_module.c).

What a client may load is what the operator has named: `ModuleTable.directory`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from struct import Struct
from typing import Any, Final

from rumpfs.abi import errno
from rumpfs.abi.limits import (
    MAXMODNAME,
    MODCTL_EXISTS,
    MODCTL_LOAD,
    MODCTL_STAT,
    MODCTL_UNLOAD,
    PATH_MAX,
)
from rumpfs.abi.module import MODCTL_LOAD_ARGS
from rumpfs.base.copy import Body, CopyIn, CopyInStr, CopyOut, Request
from rumpfs.base.errors import VfsError
from rumpfs.kern.proc import Proc
from rumpfs.kern.syscall import syscall

#: the longest property list that a module may be given
MAXPROPSLEN: Final = 4096
_IOVEC: Final = Struct("<QQ")

Operation = Callable[[Proc, int], Generator[Request, Any, int]]


def _authorize(p: Proc) -> None:
    """Only root loads and unloads modules (KAUTH_SYSTEM_MODULE). Errors: EPERM."""
    if p.cred.euid:
        raise VfsError(errno.EPERM)


def _load(p: Proc, arg: int) -> Generator[Request, Any, int]:
    """Load a module (handle_modctl_load).

    Errors:
        EFAULT, EINVAL (properties and their length do not fit together), ENAMETOOLONG.
        ENOMEM, EINVAL: the properties are too long, or no property list.
        EPERM: not root; those of `ModuleTable.load_named`.
    """
    filename, flags, props, propslen = MODCTL_LOAD_ARGS.unpack((yield CopyIn(arg, MODCTL_LOAD_ARGS.size)))
    if bool(props) != bool(propslen):
        raise VfsError(errno.EINVAL)
    name = yield CopyInStr(filename, PATH_MAX)
    if props:
        if propslen > MAXPROPSLEN:
            raise VfsError(errno.ENOMEM)
        _check_props((yield CopyInStr(props, propslen + 1)))
    _authorize(p)
    p.kernel.modules.load_named(name, flags)
    return 0


def _check_props(text: bytes) -> None:
    """Modules of ours have no properties to be set; but it has to be a dictionary. Errors: EINVAL."""
    # Not at the top: a start that has no use for them would take the time to import them.
    import plistlib
    from xml.parsers.expat import ExpatError

    try:
        props = plistlib.loads(text, fmt=plistlib.FMT_XML)
    except (ExpatError, ValueError, plistlib.InvalidFileException):
        raise VfsError(errno.EINVAL) from None
    if not isinstance(props, dict):
        raise VfsError(errno.EINVAL)


def _unload(p: Proc, arg: int) -> Generator[Request, Any, int]:
    """Unload a module. Errors: EFAULT, ENAMETOOLONG, EPERM, those of `ModuleTable.unload`."""
    name = yield CopyInStr(arg, MAXMODNAME)
    _authorize(p)
    p.kernel.modules.unload(name.decode("ascii", "replace"))
    return 0


def _stat(p: Proc, arg: int) -> Generator[Request, Any, int]:
    """Store as many modstat_t as fit in an iovec, and in its length that of all. Errors: EFAULT."""
    base, length = _IOVEC.unpack((yield CopyIn(arg, _IOVEC.size)))
    stats = p.kernel.modules.stat()
    if length and stats:
        yield CopyOut(base, stats[:length])
    yield CopyOut(arg, _IOVEC.pack(base, len(stats)))
    return 0


def _exists(p: Proc, arg: int) -> Generator[Request, Any, int]:
    """Whether the caller may load modules, by hand (0) or by using them (1). Errors: EINVAL, EPERM."""
    if arg > 1:
        raise VfsError(errno.EINVAL)
    _authorize(p)
    return 0
    yield


_OPERATIONS: Final[dict[int, Operation]] = {
    MODCTL_LOAD: _load,
    MODCTL_UNLOAD: _unload,
    MODCTL_STAT: _stat,
    MODCTL_EXISTS: _exists,
}


@syscall("modctl", raw=True)
def sys_modctl(p: Proc, cmd: int, arg: int) -> Body:
    """Load, unload and list modules: those built in, and those below the operator's --module-dir.

    Errors: EINVAL (command); those of `_load`, `_unload`, `_stat`, `_exists`.
    """
    operation = _OPERATIONS.get(cmd)
    if operation is None:
        raise VfsError(errno.EINVAL)
    return operation(p, arg)
