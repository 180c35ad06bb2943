"""Dumps of files, of images and of blocks."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator
from typing import Final

from rumpfs.base.sizes import INT64_MAX
from rumpfs.cli.address import HostAddress
from rumpfs.cli.images.opening import opened
from rumpfs.cli.images.studying import number, size, studied
from rumpfs.cli.tool import USAGE, Failure, Tool
from rumpfs.inspect.hexdump import explained, rows

#: bytes that are read, and lines that are written, at a time
_PIECE: Final = 1 << 18
_LINES: Final = 4096


def run(tool: Tool, args: Namespace) -> None:
    """Dump what the command line names."""
    start = size(args.skip, "-s")
    length = INT64_MAX - start if args.length is None else size(args.length, "-n")
    found = tool.parse(args.address)
    if isinstance(found, HostAddress):
        if args.explain or args.block is not None:
            _blocks(tool, args, start, length)
        else:
            with opened(args.address, readonly=True) as window:
                begin, end = min(start, window.size), min(start + length, window.size)
                pieces = _pieces(lambda nbytes, offset: window.pread(nbytes, offset), begin, end)
                _write(tool, rows(pieces, begin, not args.verbose))
        return
    if args.explain or args.block is not None:
        raise Failure("--block and --explain are for images: IMAGE[:PART][@OFFSET], without a path", USAGE)
    _file(tool, args, start, length)


def _blocks(tool: Tool, args: Namespace, start: int, length: int) -> None:
    """Dump bytes, or a block, of a file system."""
    with studied(args.address) as raw:
        if args.block is not None:
            block = number(args.block, "--block")
            if not 0 <= block < raw.frags:
                raise Failure(f"{args.address}: there are blocks 0 to {raw.frags - 1}, not {block}")
            start += block << raw.fs.fs_fshift
            if args.length is None:
                length = ((block + 1) << raw.fs.fs_fshift) - start
        if args.explain:
            _write(tool, explained(raw, start, min(length, raw.size)))
            return
        begin, end = min(start, raw.size), min(start + length, raw.size)
        _write(tool, rows(_pieces(raw.disk.read, begin, end), begin, not args.verbose))


def _file(tool: Tool, args: Namespace, start: int, length: int) -> None:
    """Dump a file."""
    place = tool.place(args.address, writes=False)
    try:
        with place.files.reader(place.path) as file:
            file.seek(start)
            pieces = _pieces(lambda nbytes, _: _full(file.read, nbytes), start, start + length)
            _write(tool, rows(pieces, start, not args.verbose))
    except OSError as error:
        tool.failed(str(place), error)


def _full(read: Callable[[int], bytes | None], nbytes: int) -> bytes:
    """Return so many bytes of a file, fewer at its end."""
    pieces = []
    while nbytes and (data := read(nbytes)):
        pieces.append(data)
        nbytes -= len(data)
    return b"".join(pieces)


def _pieces(read: Callable[[int, int], bytes], start: int, end: int) -> Iterator[bytes]:
    """Yield the bytes from `start` to `end`, or to where there are no more."""
    while start < end:
        data = read(min(_PIECE, end - start), start)
        if not data:
            return
        yield data
        start += len(data)


def _write(tool: Tool, lines: Iterator[str]) -> None:
    """Write lines, many at a time."""
    pending: list[str] = []
    for line in lines:
        pending.append(line)
        if len(pending) >= _LINES:
            tool.write("\n".join(pending) + "\n")
            pending.clear()
    if pending:
        tool.write("\n".join(pending) + "\n")
