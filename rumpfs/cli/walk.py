"""Walking the trees of a server, whatever their file systems say about themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from rumpfs.abi.stat import S_IFDIR, S_IFMT
from rumpfs.cli.places import Place, Scanned, ServerFiles, printable
from rumpfs.cli.tool import Tool
from rumpfs.client.records import StatResult

#: a walk goes no deeper: a path of that many components cannot be named
DEPTH_MAX: Final = 512


class Visit:
    """A file that a walk meets.

    Args:
        top: the place that the walk began at, or any on that side.
        path: its path on that side.
        depth: how many directories it is below the top.
        mode: st_mode; of a symbolic link, its own.
        found: what a scan has found of it; None when `st` is known.
        st: its attributes.
    """

    __slots__ = ("_found", "_st", "_top", "depth", "mode", "path")

    def __init__(
        self,
        top: Place[ServerFiles],
        path: bytes,
        depth: int,
        mode: int,
        found: Scanned | None,
        st: StatResult | None = None,
    ) -> None:
        self._top = top
        self.path = path
        self.depth = depth
        self.mode = mode
        self._found = found
        self._st = st

    @property
    def place(self) -> Place[ServerFiles]:
        """Its place."""
        return Place(self._top.files, self.path, self._top.prefix)

    @property
    def st(self) -> StatResult:
        """Its attributes; of a symbolic link, its own."""
        if self._st is None:
            self._st = self._top.files.attributes(self._found)
        return self._st

    @property
    def size(self) -> int:
        """st_size; known without the other attributes."""
        return self.st.st_size if self._found is None else self._found.size

    @property
    def is_dir(self) -> bool:
        """Whether it is a directory."""
        return self.mode & S_IFMT == S_IFDIR

    def children(self, tool: Tool) -> list[Visit]:
        """Return what is in a directory, by name; what cannot be read has been said."""
        top, path, depth = self._top, self.path, self.depth + 1
        slash = path if path.endswith(b"/") else path + b"/"

        def failed(name: bytes, error: OSError) -> None:
            tool.failed(top.prefix + printable(slash + name), error)

        try:
            scanned = top.files.scan(path, failed, self._found)
        except OSError as error:
            tool.failed(str(self.place), error)
            return []
        return [Visit(top, slash + found.name, depth, found.mode, found) for found in scanned]


def visit(tool: Tool, place: Place[ServerFiles], follow: bool = False) -> Visit | None:
    """Return a file with its attributes; None when they cannot be had, which has been said then.

    Args:
        follow: those of what a symbolic link leads to.
    """
    try:
        st = place.files.stat(place.path, follow_symlinks=follow)
    except OSError as error:
        tool.failed(str(place), error)
        return None
    return Visit(place, place.path, 0, st.st_mode, None, st)


def walk(
    tool: Tool,
    top: Visit,
    enter: Callable[[Visit], bool] | None = None,
    bottom_up: bool = False,
) -> Iterator[Visit]:
    """Yield a file and, of a directory, all that is below it: by name, without following symbolic links.

    Errors are reported, and the walk goes on. A directory that contains itself, as in a damaged file system,
    is reported and not entered again.

    Args:
        enter: whether to go into a directory; into all when None.
        bottom_up: a directory comes after what is in it.
    """
    # The directories that the walk is in, each with what is left of it; the first one holds only the top.
    pending: list[tuple[Visit, Iterator[Visit]]] = [(top, iter((top,)))]
    entered: set[tuple[int, int]] = set()
    while pending:
        directory, left = pending[-1]
        for found in left:
            if found.mode & S_IFMT != S_IFDIR or (enter is not None and not enter(found)):
                yield found
                continue
            identity = _identity(found)
            if identity in entered or found.depth >= DEPTH_MAX:
                tool.error(f"{found.place}: this directory contains itself: its file system is damaged")
                yield found
                continue
            if not bottom_up:
                yield found
            entered.add(identity)
            pending.append((found, iter(found.children(tool))))
            break
        else:
            pending.pop()
            if pending:
                entered.remove(_identity(directory))
                if bottom_up:
                    yield directory


def _identity(found: Visit) -> tuple[int, int]:
    return found.st.st_dev, found.st.st_ino
