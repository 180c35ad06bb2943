"""Walking the trees of a server, whatever their file systems say about themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from rumpfs.abi.stat import S_IFDIR, S_IFMT
from rumpfs.cli.places import Place, ServerFiles
from rumpfs.cli.tool import Tool
from rumpfs.client.records import StatResult

#: a walk goes no deeper: a path of that many components cannot be named
DEPTH_MAX: Final = 512


class Visit(NamedTuple):
    """A file that a walk meets: its own attributes, and how many directories it is below the top."""

    place: Place[ServerFiles]
    st: StatResult
    depth: int

    @property
    def is_dir(self) -> bool:
        """Whether it is a directory."""
        return self.st.st_mode & S_IFMT == S_IFDIR


def visit(tool: Tool, place: Place[ServerFiles], depth: int = 0, follow: bool = False) -> Visit | None:
    """Return a file with its attributes; None when they cannot be had, which has been said then.

    Args:
        follow: those of what a symbolic link leads to.
    """
    try:
        return Visit(place, place.files.stat(place.path, follow_symlinks=follow), depth)
    except OSError as error:
        tool.failed(str(place), error)
        return None


def children(tool: Tool, directory: Visit) -> list[Visit]:
    """Return what is in a directory, by name; what cannot be read has been said."""
    place, depth = directory.place, directory.depth + 1

    def failed(name: bytes, error: OSError) -> None:
        tool.failed(str(place.below(name)), error)

    try:
        return [Visit(place.below(name), st, depth) for name, st in place.files.scan(place.path, failed)]
    except OSError as error:
        tool.failed(str(place), error)
        return []


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
    # A file, and the directories above it; with None it is a directory whose contents have been yielded.
    pending: list[tuple[Visit, frozenset[tuple[int, int]] | None]] = [(top, frozenset())]
    while pending:
        found, above = pending.pop()
        if above is None:
            yield found
            continue
        inside = found.is_dir and (enter is None or enter(found))
        identity = (found.st.st_dev, found.st.st_ino)
        if inside and (identity in above or found.depth >= DEPTH_MAX):
            tool.error(f"{found.place}: this directory contains itself: its file system is damaged")
            inside = False
        if not inside:
            yield found
            continue
        if bottom_up:
            pending.append((found, None))
        else:
            yield found
        below = above | {identity}
        pending += [(child, below) for child in reversed(children(tool, found))]
