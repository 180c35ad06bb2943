"""Where module files are on the host (NetBSD: kern_module_vfs.c)."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from typing import Final

from rumpfs.abi import errno
from rumpfs.base.errors import VfsError

#: the module files that come with the package
MODULE_DIR: Final = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "modules")
SUFFIX: Final = ".kmod"
#: larger than any module is; it bounds what is read and parsed
MAX_SOURCE: Final = 1 << 20


def module_load_vfs(name: str, directories: Sequence[str]) -> tuple[bytes, str]:
    """Return the content of a module's file, at most MAX_SOURCE + 1 bytes of it, and its path.

    The file is NAME.kmod in one of the directories or, as NetBSD has it, in a directory NAME there. It may be
    a symbolic link to a regular file, but does not lead out of the directory that was given.

    Args:
        name: of the module, or with the suffix; letters, digits and _.
        directories: where it is searched, in order.

    Errors:
        ENOENT: there is none.
        EPERM: it is no regular file, or not in that directory; EACCES.
    """
    name = name.removesuffix(SUFFIX)
    for directory in directories:
        top = os.path.realpath(directory)
        for relative in (name + SUFFIX, os.path.join(name, name + SUFFIX)):
            path = os.path.join(directory, relative)
            found = os.path.realpath(path)
            if os.path.lexists(path):
                if os.path.commonpath((top, found)) != top:
                    raise VfsError(errno.EPERM, f"{path} leads out of {directory}")
                return _read(found, path), path
    searched = " or ".join(directories)
    raise VfsError(errno.ENOENT, f"no module {name}" + (f" in {searched}" if searched else ""))


def _read(path: str, what: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise VfsError(errno.ENOENT, f"{what} leads nowhere") from None
    except OSError as error:
        raise VfsError(errno.EACCES, f"{what}: {error.strerror}") from None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise VfsError(errno.EPERM, f"{what} is no regular file")
        with open(fd, "rb", closefd=False) as stream:
            return stream.read(MAX_SOURCE + 1)
    finally:
        os.close(fd)
