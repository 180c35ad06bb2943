"""rumpfs trace."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
from argparse import ArgumentTypeError, Namespace
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rumpfs.base.linefile import LineFile
from rumpfs.cli import hostcommand
from rumpfs.cli.relay import Relay
from rumpfs.cli.tool import USAGE, Failure, Parser, Tool
from rumpfs.client.dialling import dial
from rumpfs.client.raw import CONNECT_TIMEOUT
from rumpfs.client.stubs import ROWS
from rumpfs.sysproxy import kdump
from rumpfs.sysproxy.ktrace import Called, Record, Trace
from rumpfs.sysproxy.url import parse

EXAMPLES: Final = """\
  rumpfs trace -- rumpfs ls -l :/mnt               every system call of a command, on standard error
  rumpfs trace -o calls -e open,stat -- ./client   these calls only, into a file
  rumpfs trace -e '!getpid' -s 200 -- ./client     all but these, with more of each buffer
  rumpfs trace -c unix://sock -- make test         how many of each, and how long they took

COMMAND is any client, NetBSD's or ours; it finds the server, of whatever kind, in RUMP_SERVER as always,
and its connections pass through rumpfs trace. In a line there are the process, a number for the call while
others run beside it, the call with its arguments, its result, and the seconds it took. A process is c1, c2,
... by its connection until it has called getpid. Exit status: that of COMMAND, 128 and the signal that ended
it, 127 when there is no such command, 126 when it cannot be run.
"""

_USAGE: Final = "[-o FILE] [-e NAMES] [-s SIZE] [--json] [-c] [SERVER] -- COMMAND [ARGUMENT ...]"


def names(text: str) -> tuple[bool, frozenset[int]]:
    """Parse a list of calls; return whether they are meant, or all others, and their numbers."""
    words = text.removeprefix("!").split(",")
    for word in words:
        if word not in ROWS:
            from difflib import get_close_matches

            near = get_close_matches(word, ROWS, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ArgumentTypeError(f"NetBSD has no system call {word!r}{hint}")
    return not text.startswith("!"), frozenset(ROWS[word].number for word in words)


def size(text: str) -> int:
    """Parse a number of bytes."""
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is not a number")
    return int(text)


def arguments(parser: Parser) -> None:
    """Add the options."""
    add = parser.add_argument
    parser.usage = f"{parser.prog} {_USAGE}"
    add("-o", dest="output", metavar="FILE", default="-", help="write there (standard error)")
    add(
        "-e",
        dest="names",
        metavar="NAMES",
        type=names,
        help="these calls only; with ! before them, all others",
    )
    add("-s", dest="size", metavar="SIZE", type=size, default=kdump.STRSIZE, help="bytes of a buffer (32)")
    parser.flag("-c", "counts", "at the end, how many calls there were of each kind; no lines")
    parser.flag("--json", "json", "a JSON document in each line; see rumpfs help json")
    add("server", metavar="SERVER", nargs="?", help="unix://sock or tcp://host:port (that of RUMP_SERVER)")


def run(tool: Tool, args: Namespace) -> None:
    """Run the command, and show what it calls."""
    if not args.command:
        raise Failure(f"which command is to be traced?\nusage: {tool.name} {_USAGE}", USAGE)
    url = tool.url(args.server)
    with tool.reaching(url):
        address = parse(url, client=True)
        dial(address, CONNECT_TIMEOUT).close()
    try:
        output = LineFile.create(args.output)
    except OSError as error:
        raise Failure(f"{args.output}: {error.strerror}") from error
    report = _Report(output, args)
    with _listener() as (listener, where):
        relay = Relay(listener, address, Trace(report.take))

        def serve(process: subprocess.Popen[bytes]) -> None:
            pidfd = os.pidfd_open(process.pid)
            try:
                relay.run(pidfd)
            finally:
                os.close(pidfd)

        tool.status = hostcommand.run(tool, args.command, hostcommand.environment(where), serve)
    report.end()
    output.close()


@contextmanager
def _listener() -> Iterator[tuple[socket.socket, str]]:
    """Give a socket that only this user can connect to, and its url."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    usable = os.access(runtime, os.W_OK | os.X_OK)
    with tempfile.TemporaryDirectory(prefix="rumpfs-", dir=runtime if usable else None) as directory:
        path = Path(directory, "sock")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(bytes(path))
            yield listener, f"unix://{path}"


class _Report:
    """Writes records as the options say."""

    def __init__(self, output: LineFile, args: Namespace) -> None:
        self._output = output
        self._args = args
        self._calls: defaultdict[str, list[float]] = defaultdict(lambda: [0, 0, 0.0])
        if args.json and not args.counts:
            self._json({"schema_version": 1, "event": "trace"})

    def take(self, record: Record) -> None:
        """Take a record in."""
        if isinstance(record, Called):
            if self._args.names is not None:
                meant, numbers = self._args.names
                if (record.number in numbers) is not meant:
                    return
            if self._args.counts:
                counts = self._calls[kdump.name(record)]
                counts[0] += 1
                counts[1] += kdump.failed(record)
                counts[2] += record.elapsed
        if self._args.counts or self._output.lost:
            return
        if self._args.json:
            self._json(kdump.document(record, self._args.size))
        else:
            self._output.line(kdump.text(record, self._args.size))

    def end(self) -> None:
        """Write what stands at the end."""
        if not self._args.counts:
            return
        rows = sorted(self._calls.items(), key=lambda item: (-item[1][2], item[0]))
        if self._args.json:
            keys = ("calls", "errors", "seconds")
            calls = [{"call": name, **dict(zip(keys, counts, strict=True))} for name, counts in rows]
            self._json({"schema_version": 1, "calls": calls})
            return
        total = [sum(column) for column in zip(*(counts for _, counts in rows), strict=True)] or [0, 0, 0.0]
        self._output.line("     calls    errors     seconds  usecs/call  call")
        for name, (calls, errors, seconds) in [*rows, ("total", total)]:
            each = seconds * 1e6 / calls if calls else 0
            self._output.line(f"{calls:10} {errors or '':>9} {seconds:11.6f} {each:11.0f}  {name}")

    def _json(self, document: dict[str, object]) -> None:
        import json

        self._output.line(json.dumps(document, ensure_ascii=False))
