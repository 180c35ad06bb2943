"""Deleted files of an image: listed, and restored on the host."""

from __future__ import annotations

import fnmatch
import os
import stat
from argparse import Namespace
from collections.abc import Iterator
from typing import Final

from rumpfs.cli.images.studying import studied
from rumpfs.cli.listing import full_time, type_name
from rumpfs.cli.tool import USAGE, Failure, Tool, json_name, json_text
from rumpfs.cli.verbs.undelete import CONFIDENCES
from rumpfs.client.records import TYPE_NAMES
from rumpfs.inspect import undelete
from rumpfs.inspect.raw import Raw
from rumpfs.inspect.shown import one_line
from rumpfs.inspect.undelete import Deleted, Search

#: permissions that restored files may have: who restores need not be whose they were
_PERMISSIONS: Final = 0o777


def run(tool: Tool, args: Namespace) -> None:
    """List or restore as the command line says."""
    wanted = _wanted(args)
    with studied(args.image, args.sblock) as raw:
        found = Search(raw, not args.quick).deleted()
        least = CONFIDENCES.index(args.least or "name")
        found = [each for each in found if each.confidence >= least]
        if args.tree is not None:
            restorable = [each for each in found if undelete.can_restore(each)]
            _Restorer(tool, raw, args.tree).tree(restorable)
        elif wanted is not None:
            chosen = _chosen(tool, found, wanted)
            if chosen:
                _Restorer(tool, raw, args.output).chosen(chosen)
        elif args.json:
            tool.write(json_text({"image": args.image, "deleted": [_document(each) for each in found]}))
        else:
            tool.write("".join(f"{line}\n" for line in _text(found, args.verbose)))


def _wanted(args: Namespace) -> list[bytes] | None:
    """Return what is to be restored; None for nothing. Errors: Failure: the command line is wrong."""
    if "" in (args.output, args.tree):
        raise Failure("an empty path is no directory", USAGE)
    action, *names = args.words or ["ls"]
    if action == "ls" and not names:
        if args.output is not None:
            raise Failure("-o DIR is for restore", USAGE)
        return None
    if action != "restore" or not names:
        raise Failure(f"{' '.join(args.words)}: write ls, or restore and what is to be restored", USAGE)
    if args.output is None:
        raise Failure("say with -o DIR where it is to be restored", USAGE)
    return [os.fsencode(name) for name in names]


def _chosen(tool: Tool, found: list[Deleted], wanted: list[bytes]) -> list[Deleted]:
    """Return the deleted files that the command line names."""
    chosen: dict[int, Deleted] = {}
    for word in wanted:
        matching = [each for each in found if _matches(each, word)]
        good = [each for each in matching if undelete.can_restore(each)]
        name = os.fsdecode(word)
        if not matching:
            tool.error(f"{name}: no deleted file has this name or number")
        elif not good:
            tool.error(f"{name}: cannot be restored: {'; '.join(matching[0].reasons)}")
        for each in good:
            chosen.setdefault(id(each), each)
    return list(chosen.values())


def _matches(each: Deleted, word: bytes) -> bool:
    if word.isdigit() and int(word) == each.ino:
        return True
    return any(fnmatch.fnmatchcase(name, word) for name in (each.name, each.path) if name)


# --- restoring --------------------------------------------------------------------------------------------


class _Restorer:
    """Writes deleted files below a directory of the host.

    Args:
        top: the directory; made when there is none.
    """

    def __init__(self, tool: Tool, raw: Raw, top: str) -> None:
        self._tool = tool
        self._raw = raw
        self._top = os.fsencode(top)
        self._times: list[tuple[bytes, Deleted]] = []
        self._taken: dict[bytes, Deleted] = {}
        self._count = 0

    def chosen(self, files: list[Deleted]) -> None:
        """Restore files, all into the directory itself."""
        self._all((each, [each.name or b"#%d" % each.ino]) for each in files)

    def tree(self, files: list[Deleted]) -> None:
        """Restore files below the directories in which they were."""
        self._all((each, [_component(part) for part in each.path.split(b"/") if part]) for each in files)

    def _all(self, files: Iterator[tuple[Deleted, list[bytes]]]) -> None:
        try:
            os.makedirs(self._top, exist_ok=True)
        except OSError as error:
            raise Failure(f"{os.fsdecode(self._top)}: {error.strerror}") from error
        for each, parts in files:
            path = self._free(os.path.join(self._top, *parts), each)
            try:
                self._directories(parts[:-1])
                self._restore(each, path)
            except OSError as error:
                self._tool.error(f"{os.fsdecode(path)}: {error.strerror or error}")
                continue
            self._count += 1
        for path, each in reversed(self._times):
            self._attributes(path, each)
        self._tool.write(f"{self._count} restored\n")

    def _free(self, path: bytes, each: Deleted) -> bytes:
        """Return a path, with something behind it when an earlier file of this run has it."""
        taken = self._taken.get(path)
        self._taken[path] = each
        if taken is None or (stat.S_ISDIR(taken.mode) and stat.S_ISDIR(each.mode)):
            return path
        return self._free(path + b"~%d" % each.ino, each)

    def _directories(self, parts: list[bytes]) -> None:
        """Make the directories that lead to a file; never through a link. Errors: OSError."""
        path = self._top
        for part in parts:
            path = os.path.join(path, part)
            try:
                os.mkdir(path)
            except FileExistsError:
                if not stat.S_ISDIR(os.lstat(path).st_mode):
                    raise

    def _restore(self, each: Deleted, path: bytes) -> None:
        """Restore a file. Errors: OSError."""
        if stat.S_ISDIR(each.mode):
            self._directories([os.path.relpath(path, self._top)])
        elif stat.S_ISLNK(each.mode):
            os.symlink(undelete.target(self._raw, each), path)
        else:
            self._regular(each, path)
        self._times.append((path, each))

    def _regular(self, each: Deleted, path: bytes) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        lost = 0
        with open(fd, "wb") as file:
            for part in undelete.content(self._raw, each):
                if part.data is None:
                    lost += part.length
                else:
                    file.seek(part.offset)
                    file.write(part.data)
            file.truncate(each.size)
        if lost:
            self._tool.error(f"{os.fsdecode(path)}: {lost} of its {each.size} bytes are other files' now")

    def _attributes(self, path: bytes, each: Deleted) -> None:
        """Give what was restored its permissions and times."""
        assert each.version is not None
        di = each.version.dinode
        times = (di.di_atime * 10**9 + di.di_atimensec, di.di_mtime * 10**9 + di.di_mtimensec)
        try:
            if not stat.S_ISLNK(each.mode):
                os.chmod(path, each.mode & _PERMISSIONS)
            os.utime(path, ns=times, follow_symlinks=False)
        except (OSError, OverflowError) as error:
            self._tool.error(f"{os.fsdecode(path)}: its times and permissions are not kept: {error}")


def _component(part: bytes) -> bytes:
    """Return a component of a path on the host: what is not known of a path is a directory of its own."""
    return b"unknown" if part in (b"?", b".", b"..") else part


# --- for people -------------------------------------------------------------------------------------------


def _text(found: list[Deleted], verbose: bool) -> Iterator[str]:
    """Yield a line for each file."""
    for each in found:
        size = str(each.size) if each.size >= 0 else "-"
        when = each.mtime_ns if each.mtime_ns is not None else each.deleted_ns
        date = full_time(when)[:19] if when else "-"
        name = CONFIDENCES[each.confidence]
        yield f"{name:6} {_type(each):8} {size:>12} {date:19} {each.ino or '-':>10} {one_line(each.path)}"
        if verbose:
            if each.deleted_ns:
                yield f"       removed {full_time(each.deleted_ns)}"
            yield from (f"       {reason}" for reason in each.reasons)


def _type(each: Deleted) -> str:
    return type_name(each.mode) if each.mode else TYPE_NAMES.get(each.dtype, "unknown")


# --- for programs -----------------------------------------------------------------------------------------


def _document(each: Deleted) -> dict[str, object]:
    return {
        **json_name("path", each.path),
        **json_name("name", each.name),
        "inode": each.ino or None,
        "directory": each.directory or None,
        "type": _type(each),
        "mode": each.mode & 0o7777 if each.mode else None,
        "size": each.size if each.size >= 0 else None,
        "mtime_ns": each.mtime_ns,
        "deleted_ns": each.deleted_ns,
        "confidence": CONFIDENCES[each.confidence],
        "reasons": list(each.reasons),
        "blocks": each.blocks,
        "blocks_free": each.free,
        "source": each.source or None,
    }
