"""rumpfs touch."""

from __future__ import annotations

import re
import time
from argparse import ArgumentTypeError, Namespace
from datetime import UTC, datetime
from typing import Final

from rumpfs.abi.fcntl import O_CREAT, O_WRONLY
from rumpfs.cli.places import Place, ServerFiles
from rumpfs.cli.tool import Parser, Tool

#: images are opened for writing
WRITES: Final = True

EXAMPLES: Final = """\
  rumpfs touch :/tmp/new                 an empty file, or the time of now for one that exists
  rumpfs touch -d 2001-02-03T04:05:06Z unix://sock:/tmp/file
  rumpfs touch -r host-file :/tmp/copy   the times of another file, here one of the host
"""
_NS: Final = 1_000_000_000
_STAMP: Final = re.compile(r"(\d\d(?:\d\d)?)?(\d\d)(\d\d)(\d\d)(\d\d)(?:\.(\d\d))?")


def stamp(text: str) -> int:
    """Parse [[CC]YY]MMDDhhmm[.SS], local time (touch(1)); return ns since 1970."""
    parsed = _STAMP.fullmatch(text)
    if parsed is None:
        raise ArgumentTypeError(f"{text!r} is no time: it is [[CC]YY]MMDDhhmm[.SS]")
    year = int(parsed[1] or time.localtime().tm_year)
    if len(parsed[1] or "") == 2:
        year += 2000 if year < 69 else 1900
    month, day, hour, minute, second = (int(part or 0) for part in parsed.groups()[1:])
    try:
        return int(datetime(year, month, day, hour, minute, second).timestamp()) * _NS
    except (ValueError, OverflowError) as error:
        raise ArgumentTypeError(f"{text!r} is no time: {error}") from error


def date(text: str) -> int:
    """Parse a time as ISO 8601 has it, local unless it says its zone; return ns since 1970."""
    whole, _, rest = text.partition(".")
    digits = re.match(r"\d{0,9}", rest)
    fraction = digits[0] if digits else ""
    try:
        at = datetime.fromisoformat(whole + rest[len(fraction) :])
        seconds = at.timestamp() if at.tzinfo is None else at.astimezone(UTC).timestamp()
    except (ValueError, OverflowError) as error:
        raise ArgumentTypeError(f"{text!r} is no time: it is as 2001-02-03T04:05:06Z ({error})") from error
    return int(seconds) * _NS + int(fraction.ljust(9, "0") or 0)


def arguments(parser: Parser) -> None:
    """Add the options."""
    parser.flag("-c", "existing", "make no new files")
    parser.flag("-a", "access", "the time of last access alone")
    parser.flag("-m", "modified", "the time of last modification alone")
    parser.flag("-h", "itself", "the times of a symbolic link itself")
    when = parser.add_mutually_exclusive_group()
    when.add_argument("-t", dest="when", metavar="TIME", type=stamp, help="[[CC]YY]MMDDhhmm[.SS], local time")
    when.add_argument("-d", dest="when", metavar="TIME", type=date, help="as 2001-02-03T04:05:06.789Z")
    when.add_argument("-r", dest="reference", metavar="ADDRESS", help="the times of this file")
    parser.add_argument("address", metavar="ADDRESS", nargs="+", help=":/path or unix://sock:/path")


def run(tool: Tool, args: Namespace) -> None:
    """Set the times of what the command line names."""
    times = None if args.when is None else (args.when, args.when)
    if args.reference is not None:
        place = tool.place(args.reference)
        try:
            st = place.stat()
        except OSError as error:
            tool.failed(str(place), error)
            return
        times = (st.st_atime_ns, st.st_mtime_ns)
    for text in args.address:
        target = tool.remote(text)
        try:
            _touch(target, args, times)
        except OSError as error:
            tool.failed(str(target), error)


def _touch(place: Place[ServerFiles], args: Namespace, times: tuple[int, int] | None) -> None:
    files = place.files
    if not place.kind(follow_symlinks=not args.itself):
        if args.existing or args.itself:
            return
        files.sys.close(files.sys.open(place.path, O_WRONLY | O_CREAT, 0o666))
        if times is None:
            return
    if args.access != args.modified:
        st = place.stat(follow_symlinks=not args.itself)
        atime, mtime = times or (time.time_ns(), time.time_ns())
        times = (atime, st.st_mtime_ns) if args.access else (st.st_atime_ns, mtime)
    files.utimens(place.path, times, follow_symlinks=not args.itself)
