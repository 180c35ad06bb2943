"""rumpfs top."""

from __future__ import annotations

import os
import select
import sys
import time
from argparse import ArgumentTypeError, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from rumpfs.abi.sysctl import CTL_KERN, KERN_PROC2, KERN_PROC_ALL, KINFO_PROC2, KINFO_PROC2_SIZE
from rumpfs.cli.filesystems import used
from rumpfs.cli.listing import human
from rumpfs.cli.places import ServerFiles, printable
from rumpfs.cli.tool import USAGE, Failure, Parser, Tool, json_name, json_text
from rumpfs.client import sysctl

EXAMPLES: Final = """\
  rumpfs top                             the processes of a server, until q is pressed
  rumpfs top -b unix://sock              once, as text
  rumpfs top -b -n 3 -s 2                three times, with 2 seconds between
  rumpfs top --json | jq '.processes[].comm'
"""
_MIB: Final = (CTL_KERN, KERN_PROC2, KERN_PROC_ALL, 0, KINFO_PROC2_SIZE)
_ALL: Final = 0x7FFFFFFF
_HOME, _CLEAR, _END = "\x1b[H", "\x1b[J", "\x1b[K"


class Process(NamedTuple):
    """A process, as kern.proc2 has it."""

    pid: int
    ppid: int
    pgid: int
    sid: int
    uid: int
    gid: int
    lwps: int
    start: float
    comm: bytes


def processes(client: ServerFiles) -> list[Process]:
    """Return the processes of a server, by pid."""
    from struct import unpack_from

    data = sysctl.raw(client, (*_MIB, _ALL))
    found = []
    for base in range(0, len(data) - KINFO_PROC2_SIZE + 1, KINFO_PROC2_SIZE):
        field = {
            name: unpack_from("<" + code, data, base + at)[0] for name, (at, code) in KINFO_PROC2.items()
        }
        found.append(
            Process(
                field["p_pid"], field["p_ppid"], field["p__pgid"], field["p_sid"],
                field["p_uid"], field["p_gid"], field["p_nlwps"],
                field["p_ustart_sec"] + field["p_ustart_usec"] / 1e6,
                field["p_comm"].partition(b"\0")[0],
            )
        )  # fmt: skip
    return sorted(found)


def seconds(text: str) -> float:
    """Parse a time between two pictures."""
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0.1 <= value <= 86400:
        raise ArgumentTypeError(f"{text!r} is no time: it is in seconds, at least 0.1")
    return value


def count(text: str) -> int:
    """Parse a number of pictures."""
    if not text.isdecimal() or not int(text):
        raise ArgumentTypeError(f"{text!r} is no number of times: it is 1, 2 …")
    return int(text)


def arguments(parser: Parser) -> None:
    """Add the options."""
    parser.flag("-b", "batch", "text without a terminal's controls; once, unless -n is given")
    parser.flag("--json", "json", "a JSON document, once; see rumpfs help json")
    parser.add_argument("-n", dest="count", metavar="N", type=count, help="end after so many pictures")
    parser.add_argument(
        "-s", dest="interval", metavar="S", type=seconds, default=2.0, help="seconds between two pictures (2)"
    )
    parser.add_argument("address", metavar="SERVER", nargs="?", default=":", help="unix://sock")


def run(tool: Tool, args: Namespace) -> None:
    """Show the processes of a server."""
    files, path = tool.server(args.address)
    if path is not None:
        raise Failure(f"{args.address} is a path in a server; a server is written unix://sock", USAGE)
    try:
        if args.json:
            found = [_record(process) for process in processes(files)]
            tool.write(json_text({"processes": found}))
        elif args.batch or not (sys.stdout.isatty() and sys.stdin.isatty()):
            _batch(tool, args, files)
        else:
            _live(tool, args, files)
    except OSError as error:
        tool.failed(tool.url(None) if args.address == ":" else args.address, error)


def _record(process: Process) -> dict[str, object]:
    record = process._asdict()
    return {**record, **json_name("comm", record.pop("comm"))}


def _batch(tool: Tool, args: Namespace, files: ServerFiles) -> None:
    times = args.count or 1
    for number in range(times):
        if number:
            time.sleep(args.interval)
            tool.write("\n")
        tool.write("\n".join(_picture(files)) + "\n")
        tool.flush()


def _live(tool: Tool, args: Namespace, files: ServerFiles) -> None:
    left = args.count
    with _keys() as keyboard:
        while left is None or left > 0:
            width, height = os.get_terminal_size(sys.stdout.fileno())
            # A terminal that does not know its size says 0.
            lines = [line[: width or 80] for line in _picture(files)][: (height or 24) - 1]
            tool.write(_HOME + "".join(f"{line}{_END}\r\n" for line in lines) + _CLEAR)
            tool.flush()
            left = None if left is None else left - 1
            if left != 0 and _pressed(keyboard, args.interval):
                return


def _pressed(keyboard: int, interval: float) -> bool:
    """Wait for the time of the next picture; return whether the user wants to leave."""
    deadline = time.monotonic() + interval
    while (left := deadline - time.monotonic()) > 0:
        if select.select([keyboard], [], [], left)[0]:
            key = os.read(keyboard, 1)
            if key in (b"q", b"Q", b""):
                return True
            if key == b" ":
                return False
    return False


@contextmanager
def _keys() -> Iterator[int]:
    """Let single keys be read from the terminal; what was set before is set again at the end."""
    import termios
    import tty

    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    tty.setcbreak(keyboard, termios.TCSANOW)
    try:
        yield keyboard
    finally:
        termios.tcsetattr(keyboard, termios.TCSANOW, before)


def _picture(files: ServerFiles) -> list[str]:
    """Return the lines of one picture: the kernel, its file systems, its processes."""
    system = [str(sysctl.get(files, f"kern.{leaf}")) for leaf in ("ostype", "osrelease", "hostname")]
    found = processes(files)
    lwps = sum(process.lwps for process in found)
    lines = [f"{' '.join(system)}: {len(found)} processes, {lwps} threads"]
    for vfs in files.getvfsstat():
        taken, whole = used(vfs) * vfs.f_frsize, vfs.f_blocks * vfs.f_frsize
        fstype = printable(vfs.f_fstypename)
        lines.append(f"{printable(vfs.f_mntonname)}: {fstype}, {human(taken)} of {human(whole)} used")
    lines += ["", f"{'PID':>6} {'PPID':>6} {'PGID':>6} {'UID':>6} {'LWPS':>5} {'AGE':>9}  COMMAND"]
    now = time.time()
    for process in found:
        ids = f"{process.pid:>6} {process.ppid:>6} {process.pgid:>6} {process.uid:>6}"
        lines.append(f"{ids} {process.lwps:>5} {_age(now - process.start):>9}  {printable(process.comm)}")
    return lines


def _age(span: float) -> str:
    whole = max(int(span), 0)
    days, rest = divmod(whole, 86400)
    clock = f"{rest // 3600:02}:{rest // 60 % 60:02}"
    return f"{days}d{clock}" if days else f"{clock}:{rest % 60:02}"
