"""Copying and removing files and trees, on the host and in servers."""

from __future__ import annotations

import errno
from argparse import Namespace
from collections.abc import Callable, Sequence
from io import FileIO, RawIOBase
from typing import Final, TypeAlias

from rumpfs.abi.stat import S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_ISGID, S_ISUID
from rumpfs.cli.places import Attributes, Files, HostFiles, Place
from rumpfs.cli.progress import Progress
from rumpfs.cli.sending import Sender
from rumpfs.cli.tool import ITSELF, USAGE, Failure, Tool

#: what one read asks for: large enough that the calls cost nothing beside the bytes
CHUNK: Final = 2 << 20
_PERMISSIONS: Final = 0o777
#: what a file system answers that keeps no extended attributes
_NO_XATTRS: Final = (errno.EOPNOTSUPP, errno.ENOSYS)


def same_side(one: Place[Files], other: Place[Files]) -> bool:
    """Whether two places are on the same host or in the same server."""
    hosts = isinstance(one.files, HostFiles) and isinstance(other.files, HostFiles)
    return hosts or one.files is other.files


_Pair: TypeAlias = tuple[Place[Files], Place[Files]]


def operands(tool: Tool, args: Namespace) -> list[_Pair]:
    """Return what is to be copied or moved, and where to: a target that is a directory takes files into it.

    Errors:
        Failure: the command line asks for what is no work of this program, or does not go.
    """
    target = tool.place(args.target, writes=True)
    sources = [tool.place(text) for text in args.source]
    if all(isinstance(place.files, HostFiles) for place in [target, *sources]):
        raise Failure("all paths are the host's; in a server they are :/path or unix://sock:/path", USAGE)
    return pairs(tool, sources, target)


def pairs(tool: Tool, sources: Sequence[Place[Files]], target: Place[Files]) -> list[_Pair]:
    """Return each source with the place that it goes to: in `target` when that is a directory.

    Errors:
        Failure: several files cannot become one.
    """
    try:
        directory = target.is_dir()
    except OSError as error:
        tool.failed(str(target), error)
        return []
    if not directory:
        if len(sources) > 1:
            raise Failure(f"{target} is not a directory: {len(sources)} files cannot go there")
        return [(sources[0], target)]
    found = []
    for source in sources:
        inside = source.name not in (b"", b".", b"..")
        found.append((source, target.below(source.name) if inside else target))
    return found


#: source and target of what is to be copied; with attributes: of a directory that is full and gets them now
_Work: TypeAlias = tuple[Attributes | None, Place[Files], Place[Files]]


def _contains(st: Attributes, place: Place[Files]) -> bool:
    """Whether a place is below the directory with these attributes."""
    path = place.path.rstrip(b"/")
    while b"/" in path:
        path = path.rpartition(b"/")[0].rstrip(b"/")
        try:
            above = place.files.stat(path or b"/")
        except FileNotFoundError:
            continue
        if (above.st_dev, above.st_ino) == (st.st_dev, st.st_ino):
            return True
    return False


class _Partial(Exception):
    """Copying of data ended early: the side that failed, why, and the bytes that were copied."""

    def __init__(self, place: Place[Files], error: OSError, done: int) -> None:
        super().__init__(str(error))
        self.place = place
        self.error = error
        self.done = done


class _Above:
    """The directories that a walk is in; one that contains itself (in a damaged file system) has no end."""

    def __init__(self) -> None:
        self._entered: list[tuple[int, tuple[int, int]]] = []

    def enter(self, place: Place[Files], st: Attributes) -> bool:
        """Go into a directory, after the one that it is in; return whether it is none of those above."""
        depth, identity = place.path.rstrip(b"/").count(b"/"), (st.st_dev, st.st_ino)
        while self._entered and self._entered[-1][0] >= depth:
            self._entered.pop()
        if any(identity == above for _, above in self._entered):
            return False
        self._entered.append((depth, identity))
        return True


_IN_ITSELF: Final = "this directory contains itself: its file system is damaged"


class _State:
    """How far the copy of a file is: the bytes that are done, and the side that is at work."""

    def __init__(self, source: Place[Files], target: Place[Files]) -> None:
        self.source = source
        self.target = self.busy = target
        self.done = 0


class Copier:
    """Copies files as cp(1) does.

    Args:
        tool: reports errors; a file that cannot be copied does not stop the others.
        recursive: directories with what is in them; symbolic links and special files as themselves.
        preserve: permissions, owner and times as well.
        archive: hard links and extended attributes as well.
        verbose: name each file.
        progress: shows how far a file is.
    """

    def __init__(
        self, tool: Tool, *, recursive: bool, preserve: bool, archive: bool, verbose: bool, progress: Progress
    ) -> None:
        self.tool = tool
        self.recursive = recursive
        self.preserve = preserve
        self.archive = archive
        self.verbose = verbose
        self.progress = progress
        self.failures = 0
        self._buffer = memoryview(bytearray(CHUNK))
        # Directories that this copy has made, which it must not copy again.
        self._made: set[tuple[int, int]] = set()
        # What a file with several names has become: device and inode of the source -> the first copy.
        self._copies: dict[tuple[int, int], Place[Files]] = {}
        # Symbolic links that it has made: what it writes next must not go where they lead.
        self._links: set[str] = set()
        self._above = _Above()

    def copy(self, source: Place[Files], target: Place[Files]) -> bool:
        """Copy a file or tree to exactly `target`; return whether all of it was copied."""
        failures = self.failures
        self._above = _Above()
        pending: list[_Work] = [(None, source, target)]
        while pending:
            st, source, target = pending.pop()
            if st is not None:
                self._attributes(st, target)
                continue
            try:
                pending += self._node(source, target)
            except OSError as error:
                # What can fail on the target's side is caught there.
                self._failed(source, error)
        return self.failures == failures

    def _failed(self, place: Place[Files], error: OSError, hint: str = "") -> None:
        self.failures += 1
        self.tool.failed(str(place), error, hint)

    def _refused(self, text: str) -> None:
        self.failures += 1
        self.tool.error(text)

    def _node(self, source: Place[Files], target: Place[Files]) -> list[_Work]:
        """Copy one file, or begin a directory and return what is left to do, the last thing first."""
        st = source.stat(follow_symlinks=not self.recursive)
        kind = st.st_mode & S_IFMT
        if kind == S_IFDIR and not self.recursive:
            self._refused(f"{source}: Is a directory: -r copies it with what is in it")
            return []
        if kind != S_IFLNK and str(target) in self._links:
            self._refused(f"{target}: this has just become a symbolic link; {source} is not written there")
            return []
        if self.verbose:
            self.tool.write(f"{source} -> {target}\n")
        if kind == S_IFDIR:
            return self._directory(source, st, target)
        if self.archive and st.st_nlink > 1 and self._linked(source, st, target):
            return []
        if kind == S_IFREG or not self.recursive:
            self._file(source, st, target)
        elif kind == S_IFLNK:
            text = source.files.readlink(source.path)
            self._links.add(str(target))
            made = self._replace(source, target, lambda: target.files.symlink(text, target.path))
            if made and self.preserve:
                self._owner_and_times(st, target)
        elif kind in (S_IFIFO, S_IFCHR, S_IFBLK):
            dev = 0 if kind == S_IFIFO else target.files.number(*source.files.device(st))
            mode = st.st_mode & (S_IFMT | _PERMISSIONS)
            made = self._replace(source, target, lambda: target.files.mknod(target.path, mode, dev))
            if made and self.preserve:
                self._attributes(st, target)
        else:
            self._refused(f"{source}: a socket cannot be copied")
        return []

    def _directory(self, source: Place[Files], st: Attributes, target: Place[Files]) -> list[_Work]:
        if same_side(source, target) and (st.st_dev, st.st_ino) in self._made:
            self._refused(f"{source}: this directory is part of the copy: it cannot be copied into itself")
            return []
        if not self._above.enter(source, st):
            self._refused(f"{source}: {_IN_ITSELF}")
            return []
        names = sorted(set(source.files.listdir(source.path)))
        made = False
        try:
            if not self._made and same_side(source, target) and _contains(st, target):
                self._refused(f"{target}: this is inside of {source}, which cannot be copied into itself")
                return []
            kind = target.kind()
            if kind not in (0, S_IFDIR):
                self._refused(f"{target}: Not a directory: the directory {source} cannot replace it")
                return []
            if not kind:
                # Whatever its permissions: it has to be filled first.
                target.files.mkdir(target.path, st.st_mode & _PERMISSIONS | 0o700)
                made = True
            if same_side(source, target):
                here = target.stat()
                self._made.add((here.st_dev, here.st_ino))
        except OSError as error:
            self._failed(target, error)
            return []
        later: list[_Work] = []
        if self.preserve or (made and st.st_mode & 0o700 != 0o700):
            later.append((st, source, target))
        later += [(None, source.below(name), target.below(name)) for name in reversed(names)]
        return later

    def _replace(self, source: Place[Files], target: Place[Files], make: Callable[[], None]) -> bool:
        """Make something at `target`, in place of what is there unless that is a directory.

        Returns:
            whether it was made.
        """
        try:
            kind = target.kind(follow_symlinks=False)
            if kind == S_IFDIR:
                self._refused(f"{target}: Is a directory: {source} cannot replace it")
                return False
            if kind and self._is_image(target):
                return False
            if kind:
                target.files.unlink(target.path)
            make()
        except OSError as error:
            self._failed(target, error)
            return False
        return True

    def _linked(self, source: Place[Files], st: Attributes, target: Place[Files]) -> bool:
        """Make a further name of a file that was copied under another; return whether there was one."""
        first = self._copies.setdefault((st.st_dev, st.st_ino), target)
        if first is target:
            return False
        self._replace(source, target, lambda: target.files.link(first.path, target.path))
        return True

    def _is_image(self, target: Place[Files]) -> bool:
        """True when a file of the host is an image that is in use; this is said then."""
        found = isinstance(target.files, HostFiles) and self.tool.is_image(target.path)
        if found:
            self._refused(f"{target}: {ITSELF}")
        return found

    # --- data -------------------------------------------------------------------------------------

    def _file(self, source: Place[Files], st: Attributes, target: Place[Files]) -> None:
        reader = source.files.reader(source.path)
        try:
            perm = st.st_mode & (0o700 if self.preserve else _PERMISSIONS)
            try:
                if same_side(source, target) and self._is_same(st, target):
                    self._refused(f"{target}: this is {source} itself")
                    return
                if self._is_image(target):
                    return
                if isinstance(source.files, HostFiles) and self.tool.is_around(target.files, source.path):
                    self._refused(f"{source}: this is the image itself; it is not copied into itself")
                    return
                writer = target.files.writer(target.path, perm)
            except OSError as error:
                self._failed(target, error)
                return
            try:
                self._pump(source, reader, target, writer, st.st_size)
                self._xattrs(source, target)
            finally:
                self._close(target, writer)
        except _Partial as partial:
            left = f"the partial copy {target} ({partial.done} of {st.st_size} bytes) was left"
            self._failed(partial.place, partial.error, left)
            return
        finally:
            reader.close()
        if self.preserve:
            self._attributes(st, target)

    def _is_same(self, st: Attributes, target: Place[Files]) -> bool:
        if not target.kind():
            return False
        there = target.stat()
        return (there.st_dev, there.st_ino) == (st.st_dev, st.st_ino)

    def _pump(
        self, source: Place[Files], reader: RawIOBase, target: Place[Files], writer: RawIOBase, size: int
    ) -> None:
        """Copy what a file holds; a hole that is known to be one stays one."""
        runs = source.files.runs(source.path, size) if writer.seekable() else None
        state = _State(source, target)
        self.progress.begin(str(source), size)
        try:
            for start, length in [(0, None)] if runs is None else runs:
                if start != state.done:
                    reader.seek(start)
                    writer.seek(start)
                    state.done = start
                self._run(state, reader, writer, None if length is None else start + length)
            if runs is not None and state.done < size:
                writer.truncate(size)
        except OSError as error:
            raise _Partial(state.busy, error, state.done) from error
        except KeyboardInterrupt:
            self.tool.error(f"interrupted: the partial copy {target} ({state.done} of {size} bytes) was left")
            raise
        finally:
            self.progress.end()

    def _run(self, state: _State, reader: RawIOBase, writer: RawIOBase, stop: int | None) -> None:
        """Copy to byte `stop`, or to the end of the file."""
        sender = Sender(reader, writer.fileno() if isinstance(writer, FileIO) and stop is not None else None)
        while stop is None or state.done < stop:
            state.busy = state.target
            if stop is not None and (sent := sender.send(state.done, stop)):
                state.done += sent
                reader.seek(state.done)
                self.progress.update(state.done)
                continue
            state.busy = state.source
            room = self._buffer if stop is None else self._buffer[: stop - state.done]
            rest = room[: reader.readinto(room) or 0]
            if not rest:
                return
            state.busy = state.target
            while rest:
                written = writer.write(rest) or 0
                state.done += written
                rest = rest[written:]
            self.progress.update(state.done)

    def _close(self, target: Place[Files], writer: RawIOBase) -> None:
        try:
            writer.close()
        except OSError as error:
            self._failed(target, error)

    # --- attributes -------------------------------------------------------------------------------

    def _attributes(self, st: Attributes, target: Place[Files]) -> None:
        """Set permissions and, with `preserve`, owner and times."""
        mode = st.st_mode & 0o7777
        try:
            if self.preserve:
                if not self._owner_and_times(st, target):
                    mode &= ~(S_ISUID | S_ISGID)
                target.files.chmod(target.path, mode)
                target.files.utimens(target.path, (st.st_atime_ns, st.st_mtime_ns))
            else:
                target.files.chmod(target.path, mode & _PERMISSIONS & ~target.files.umask())
        except OSError as error:
            self._failed(target, error)

    def _xattrs(self, source: Place[Files], target: Place[Files]) -> None:
        """Copy the extended attributes, if that is wanted and there are any."""
        if not self.archive:
            return
        try:
            names = source.files.listxattr(source.path, follow_symlinks=False)
        except OSError as error:
            if error.errno in _NO_XATTRS:
                return
            raise
        for name in names:
            value = source.files.getxattr(source.path, name, follow_symlinks=False)
            try:
                target.files.setxattr(target.path, name, value, follow_symlinks=False)
            except OSError as error:
                self._failed(target, error, f"its extended attribute {name} was not copied")

    def _owner_and_times(self, st: Attributes, target: Place[Files]) -> bool:
        """Set owner and times without following a symbolic link; return whether the owner was allowed."""
        try:
            try:
                target.files.chown(target.path, st.st_uid, st.st_gid, follow_symlinks=False)
                owner = True
            except PermissionError:
                owner = False
            times = (st.st_atime_ns, st.st_mtime_ns)
            target.files.utimens(target.path, times, follow_symlinks=False)
        except OSError as error:
            self._failed(target, error)
            return False
        return owner


def remove(tool: Tool, top: Place[Files], recursive: bool = True, force: bool = False) -> None:
    """Remove a file or, with `recursive`, a tree, as rm(1) does; failures are reported.

    Args:
        force: it is no failure when nothing is there.
    """
    if top.path.rstrip(b"/").rpartition(b"/")[2] in (b"", b".", b".."):
        tool.error(f"{top}: this is not removed: it is the root directory, or . or ..")
        return
    # A directory comes twice: to be read, and when it is empty to be removed.
    pending: list[tuple[Place[Files], bool]] = [(top, False)]
    above = _Above()
    while pending:
        place, empty = pending.pop()
        try:
            if empty:
                place.files.rmdir(place.path)
                continue
            st = place.stat(follow_symlinks=False)
            if st.st_mode & S_IFMT != S_IFDIR:
                place.files.unlink(place.path)
            elif recursive and not above.enter(place, st):
                tool.error(f"{place}: {_IN_ITSELF}")
            elif recursive:
                names = sorted(place.files.listdir(place.path), reverse=True)
                pending.append((place, True))
                pending += [(place.below(name), False) for name in names]
            else:
                tool.error(f"{place}: Is a directory: -r removes it with what is in it")
        except FileNotFoundError as error:
            if not force:
                tool.failed(str(place), error)
        except OSError as error:
            tool.failed(str(place), error)
