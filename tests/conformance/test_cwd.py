"""Working directories, as hijacked programs walk through them (NetBSD: tests/lib/librumphijack/t_cwd.sh).

The preloaded library takes the prefix off a path, so the calls that arrive start at the root; with the
prefix ``//`` what is left of ``//dir`` keeps a slash.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rumpfs.abi.fcntl import O_RDONLY
from tests.conformance.system import System

PROGRAM = "lib/librumphijack/t_cwd"

Chdir = Callable[[Any, bytes], None]


def chdir(p: Any, path: bytes) -> None:
    p.call("chdir", path)


def fchdir(p: Any, path: bytes) -> None:
    fd = p.call("open", path, O_RDONLY, 0)
    p.call("fchdir", fd)
    p.call("close", fd)


def simple(system: System, prefix: bytes, go: Chdir) -> None:
    """Go down two new directories of one name, up one, and up beyond the root."""
    p = system.process()
    go(p, prefix)
    assert p.getcwd() == b"/"
    p.call("mkdir", b"dir", 0o777)
    go(p, b"dir")
    assert p.getcwd() == b"/dir"
    p.call("mkdir", b"dir", 0o777)
    go(p, b"dir")
    assert p.getcwd() == b"/dir/dir"
    go(p, b"..")
    assert p.getcwd() == b"/dir"
    go(p, b"../../../../../../..")
    assert p.getcwd() == b"/"
    p.call("rmdir", b"/dir/dir")
    p.call("rmdir", b"/dir")


def symlink(system: System, prefix: bytes, go: Chdir) -> None:
    """Through a symbolic link one arrives at the directory, not at the link."""
    p = system.process()
    go(p, prefix)
    for name in (b"adir", b"anotherdir"):
        p.call("mkdir", name, 0o777)
    p.call("symlink", b"/adir", b"anotherdir/link")
    go(p, b"anotherdir/link")
    assert p.getcwd() == b"/adir"
    p.call("unlink", b"/anotherdir/link")
    for name in (b"/adir", b"/anotherdir"):
        p.call("rmdir", name)


def test_basic_chdir(system: System) -> None:
    simple(system, b"/", chdir)


def test_basic_fchdir(system: System) -> None:
    simple(system, b"/", fchdir)


def test_slash_chdir(system: System) -> None:
    simple(system, b"//", chdir)


def test_slash_fchdir(system: System) -> None:
    simple(system, b"//", fchdir)


def test_symlink_chdir(system: System) -> None:
    symlink(system, b"/", chdir)


def test_symlink_fchdir(system: System) -> None:
    symlink(system, b"/", fchdir)


def test_symlink_slash_chdir(system: System) -> None:
    symlink(system, b"//", chdir)


def test_symlink_slash_fchdir(system: System) -> None:
    symlink(system, b"//", fchdir)
