"""The log of an image: what is shown of its transactions."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from typing import Final, NamedTuple

from rumpfs.cli.images.studying import studied
from rumpfs.cli.listing import full_time, type_name
from rumpfs.cli.tool import Tool, json_name, json_text
from rumpfs.inspect.log import Log, NameChange, Reader, Touch, Transaction
from rumpfs.inspect.names import Names
from rumpfs.inspect.owners import Kind, Owners
from rumpfs.inspect.remains import Remains
from rumpfs.inspect.shown import one_line
from rumpfs.ondisk.layout import ORDER_NAMES
from rumpfs.ondisk.ufs.dinode import Dinode

_INDENT: Final = "  "


class _Shown(NamedTuple):
    """A transaction, and what it has done."""

    transaction: Transaction
    touches: list[Touch]


def run(tool: Tool, args: Namespace) -> None:
    """Show a log as the command line says."""
    with studied(args.image) as raw:
        log = Log(raw)
        reader = Reader(raw, log, Owners(raw))
        shown = [_Shown(each, list(reader.read(each))) for each in log.transactions]
        paths = _Paths(Names(raw), reader)
        runs = [] if args.live else log.remains()
        remains = Remains(raw, log.position.blksize, runs)
    shown = [each for each in shown if each.transaction.live or not args.live]
    if args.json:
        document = _document(args.image, log, shown, paths)
        tool.write(json_text({**document, "remains": _remains(runs, remains)}))
    else:
        tool.write("".join(f"{line}\n" for line in _text(args.image, log, shown, paths, args.verbose)))
        tool.write("".join(f"{line}\n" for line in _remains_text(runs, remains, paths, args.verbose)))
    if log.damage:
        tool.error(log.damage)


class _Paths:
    """Finds names of inodes: as they are now, else as the log has them."""

    def __init__(self, names: Names, reader: Reader) -> None:
        self._names = names
        self._reader = reader

    def __call__(self, ino: int) -> bytes | None:
        path = self._names.path(ino)
        if path is not None or ino not in self._reader.names:
            return path
        directory, name = self._reader.names[ino]
        above = self._names.path(directory)
        return (above.rstrip(b"/") if above is not None else b"?") + b"/" + name

    def shown(self, ino: int) -> str:
        """Return an inode, with a name when one is known."""
        path = self(ino)
        return f"inode {ino}" + (f", {one_line(path)}" if path else "")

    def entry(self, change: NameChange) -> str:
        """Return a name, with its directory when that is known."""
        above = self(change.directory) if change.directory else None
        where = "?" if above is None else one_line(above).rstrip("/")
        return f"{where}/{one_line(change.name)}"


# --- for people -------------------------------------------------------------------------------------------


def _text(image: str, log: Log, shown: list[_Shown], paths: _Paths, verbose: bool) -> Iterator[str]:
    start, size, block = log.position
    about = f"log blocks of {block}, {ORDER_NAMES[log.order]}"
    yield f"{image}: WAPBL log of {size} bytes at byte {start}, {about}"
    state = f"{log.live} bytes to replay" if log.in_use and log.live else "nothing to replay"
    yield f"{_INDENT}generation {log.header.wc_generation}, {state}"
    for number, each in enumerate(shown, 1):
        yield from _transaction_text(number, each, paths, verbose)


def _transaction_text(number: int, shown: _Shown, paths: _Paths, verbose: bool) -> Iterator[str]:
    transaction, touches = shown
    words = ["live" if transaction.live else "old"]
    if transaction.generation is not None:
        words.append(f"generation {transaction.generation}")
    if transaction.time is not None:
        words.append(full_time(transaction.time * 10**9))
    if not transaction.complete:
        words.append("its end is overwritten")
    place = f"{transaction.length} bytes at byte {transaction.offset} of the log"
    yield f"transaction {number}: {', '.join(words)}; {len(touches)} blocks, {place}"
    for touch in touches:
        if verbose:
            whose = f" of {paths.shown(touch.ino)}" if touch.ino else ""
            yield f"{_INDENT}byte {touch.address}, {touch.length} bytes: {_kind(touch.kind)}{whose}"
        for name in touch.names:
            yield f"{_INDENT}{name.change:8} {paths.entry(name)} (inode {name.ino})"
        for inode in touch.inodes:
            yield f"{_INDENT}{inode.change:8} {paths.shown(inode.ino)}: {_about(inode.dinode)}"
    for address, length in transaction.revoked:
        if verbose:
            yield f"{_INDENT}revoked  {length} bytes at byte {address}"
    for ino, _ in transaction.inodes:
        yield f"{_INDENT}nameless {paths.shown(ino)}"


def _about(di: Dinode) -> str:
    """Return what an inode is."""
    return f"{type_name(di.di_mode)}, {di.di_size} bytes, {di.di_nlink} names" if di.di_mode else "free"


def _remains_text(runs: list[bytes], remains: Remains, paths: _Paths, verbose: bool) -> Iterator[str]:
    """Yield what is left of transactions whose beginning is overwritten."""
    if not runs:
        return
    inodes = list(remains.used())
    whole = f"{len(inodes)} copies of inodes, {len(remains.directories)} pieces of directories"
    yield f"overwritten at the beginning: {sum(map(len, runs))} bytes; {whole}"
    for ino, di in inodes if verbose else ():
        yield f"{_INDENT}once     {paths.shown(ino)}: {_about(di)}"
    for ino, data in remains.directories if verbose else ():
        whose = f"directory {paths.shown(ino)}" if ino else "a directory"
        yield f"{_INDENT}once     {whose}: {len(data)} bytes of it"


def _kind(kind: Kind) -> str:
    return "nothing now" if kind == Kind.FREE else kind.name.lower()


# --- for programs -----------------------------------------------------------------------------------------


def _document(image: str, log: Log, shown: list[_Shown], paths: _Paths) -> dict[str, object]:
    start, size, block = log.position
    return {
        "image": image,
        "offset": start,
        "size": size,
        "log_block_size": block,
        "byte_order": ORDER_NAMES[log.order],
        "in_use": log.in_use,
        "live_bytes": log.live,
        "generation": log.header.wc_generation,
        "head": log.header.wc_head,
        "tail": log.header.wc_tail,
        "damage": log.damage or None,
        "transactions": [_transaction(each, paths) for each in shown],
    }


def _remains(runs: list[bytes], remains: Remains) -> dict[str, object]:
    return {
        "length": sum(map(len, runs)),
        "inodes": [
            {"inode": ino, "type": type_name(di.di_mode), "size": di.di_size, "nlink": di.di_nlink}
            for ino, di in remains.used()
        ],
        "directories": [{"directory": ino or None, "length": len(data)} for ino, data in remains.directories],
    }


def _transaction(shown: _Shown, paths: _Paths) -> dict[str, object]:
    transaction, touches = shown
    return {
        "live": transaction.live,
        "offset": transaction.offset,
        "length": transaction.length,
        "complete": transaction.complete,
        "generation": transaction.generation,
        "time_ns": None if transaction.time is None else transaction.time * 10**9,
        "records": [record.name for record in transaction.records],
        "blocks": [
            {
                "address": touch.address,
                "length": touch.length,
                "kind": _kind(touch.kind),
                "inode": touch.ino or None,
            }
            for touch in touches
        ],
        "inodes": [
            {
                "inode": inode.ino,
                "change": inode.change,
                "type": type_name(inode.dinode.di_mode) if inode.dinode.di_mode else None,
                "size": inode.dinode.di_size,
                "nlink": inode.dinode.di_nlink,
                **_named("path", paths(inode.ino)),
            }
            for touch in touches
            for inode in touch.inodes
        ],
        "names": [
            {
                "directory": name.directory or None,
                **_named("directory_path", paths(name.directory) if name.directory else None),
                **json_name("name", name.name),
                "inode": name.ino,
                "change": name.change,
            }
            for touch in touches
            for name in touch.names
        ],
        "revoked": [{"address": address, "length": length} for address, length in transaction.revoked],
        "nameless": [{"inode": ino, "mode": mode} for ino, mode in transaction.inodes],
    }


def _named(key: str, path: bytes | None) -> dict[str, object]:
    return {key: None} if path is None else json_name(key, path)
