"""The same tree here and on the host: random paths lead to the same place, or fail for the same reason.

Linux and NetBSD agree on all of this but for the number of links that one path may have (40 there).
"""

from __future__ import annotations

import errno as host_errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import HealthCheck, given, settings

from rumpfs.abi.errno import FROM_HOST, NAMES
from rumpfs.base.errors import VfsError
from rumpfs.vfs.cred import ROOT
from rumpfs.vfs.getcwd import getcwd
from rumpfs.vfs.vnode import VDIR, Vnode
from tests.vfs.harness import Caller, World

#: directories above the tree, more than any path here can climb
DEPTH = 40

DIRECTORIES = [b"a", b"b", b"a/a", b"a/b", b"a/a/b"]
FILES = [b"f", b"a/f", b"a/b/f"]
LINKS = [b"l", b"m", b"a/l", b"a/a/m", b"b/l"]
NAMES_ = [b"a", b"b", b"f", b"l", b"m", b".", b"..", b"", b"gone", b"n" * 256]

components = st.sampled_from(NAMES_)
paths = st.lists(components, min_size=1, max_size=6).map(b"/".join).map(lambda path: path.lstrip(b"/"))
paths = paths.filter(lambda path: len(path) < 600)  # with links in them they stay below PATH_MAX
#: what a link says: relative, and never empty (Linux has no empty links)
texts = st.lists(st.sampled_from(NAMES_[:-2]), min_size=1, max_size=3).map(b"/".join)
texts = texts.map(lambda text: text.lstrip(b"/") or b".")


class Twin:
    """One tree twice."""

    def __init__(self, base: Path, links: list[bytes]) -> None:
        self.world = World()
        top = b""
        for number in range(DEPTH):
            top += b"/u"
            self.world.mkdir(top)
            if number == DEPTH // 2:
                self.world.mount(top)
        self.host = os.fsencode(base) + top
        os.makedirs(self.host)
        self.top = top
        for directory in DIRECTORIES:
            self.world.mkdir(top + b"/" + directory)
            os.mkdir(self.host + b"/" + directory)
        for file in FILES:
            self.world.make(top + b"/" + file)
            Path(os.fsdecode(self.host + b"/" + file)).touch()
        for link, text in zip(LINKS, links, strict=True):
            self.world.symlink(top + b"/" + link, text)
            os.symlink(text, self.host + b"/" + link)
        self.world.caller.cwd = self.world.find(top)
        # inode on the host -> where it is
        self._places = {
            os.lstat(os.path.join(directory, name)).st_ino: os.path.join(directory, name)
            for directory, names, files in os.walk(os.fsencode(base))
            for name in (*names, *files)
        }
        self._above = len(os.fsencode(base))

    def place(self, ino: int) -> bytes:
        """Return where a host inode is, as a path here."""
        return self._places[ino][self._above :]


def outcome(function: Callable[[], object]) -> object:
    """Return what a function returns, or the name of NetBSD's errno that it fails with."""
    try:
        return function()
    except OSError as error:
        return NAMES[FROM_HOST[error.errno or host_errno.EIO]]
    except VfsError as error:
        return NAMES[error.errno]


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(
    links=st.lists(texts, min_size=len(LINKS), max_size=len(LINKS)),
    asked=st.lists(paths, min_size=40, max_size=60),
)
def test_random_paths(links: list[bytes], asked: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        twin = Twin(Path(directory), links)
        start = os.open(twin.host, os.O_RDONLY)
        inside = os.open(twin.host + b"/a/b", os.O_RDONLY)
        ats = ((start, None), (inside, twin.world.find(twin.top + b"/a/b")))
        try:
            for path in asked:
                for fd, at in ats:
                    for follow in (True, False):
                        compare(twin, path, fd, at, follow)
        finally:
            os.close(start)
            os.close(inside)


def compare(twin: Twin, path: bytes, fd: int, at: Vnode | None, follow: bool) -> None:
    """Look one path up in both trees; where it is a directory, ask for its name, too."""
    expected = outcome(lambda: os.stat(path, dir_fd=fd, follow_symlinks=follow).st_ino)
    found = outcome(lambda: twin.world.find(path, follow, at))
    if found == "ELOOP" and expected != "ELOOP":
        return  # between 33 and 40 links
    if not isinstance(expected, int):
        assert found == expected, (path, follow)
        return
    place = twin.place(expected)
    assert found is twin.world.find(place, follow=False), (path, follow, place)
    assert isinstance(found, Vnode)
    if found.v_type == VDIR:
        assert getcwd(Caller(ROOT, found, twin.world.vfs.rootvnode), 4096) == place
