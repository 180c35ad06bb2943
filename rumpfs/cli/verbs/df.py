"""rumpfs df."""

from __future__ import annotations

from argparse import Namespace
from typing import Final

from rumpfs.cli.filesystems import record, used
from rumpfs.cli.listing import human
from rumpfs.cli.places import printable
from rumpfs.cli.tool import Parser, Tool, json_text
from rumpfs.client.records import StatvfsResult

EXAMPLES: Final = """\
  rumpfs df                              all file systems of the server that RUMP_SERVER names
  rumpfs df -h unix://sock               those of another server
  rumpfs df :/mnt/etc                    the one that holds a file
"""


def arguments(parser: Parser) -> None:
    """Add the options."""
    parser.flag("-h", "human", "sizes in K, M, G ...")
    parser.flag("--json", "json", "a JSON document; see rumpfs help json")
    parser.add_argument(
        "address", metavar="ADDRESS", nargs="*", help=":/path, unix://sock:/path or unix://sock"
    )


def run(tool: Tool, args: Namespace) -> None:
    """Show what the command line names."""
    found: list[StatvfsResult] = []
    for text in args.address or [":"]:
        files, path = tool.server(text)
        try:
            mounts = files.getvfsstat() if path is None else [files.statvfs(path)]
        except OSError as error:
            tool.failed(text, error)
            continue
        # What is mounted over is out of reach.
        found += {vfs.f_mntonname: vfs for vfs in mounts}.values()
    if args.json:
        tool.write(json_text({"filesystems": [record(vfs) for vfs in found]}))
    elif found:
        tool.write(_table(found, args.human))


def _table(found: list[StatvfsResult], readable: bool) -> str:
    rows = [["Filesystem", "Size" if readable else "1K-blocks", "Used", "Avail", "Capacity", "Mounted on"]]
    for vfs in found:
        taken = used(vfs)
        # What only root may use counts as full for everybody else.
        whole = taken + vfs.f_bavail
        capacity = f"{-(-taken * 100 // whole)}%" if whole > 0 else "0%"
        counts = (vfs.f_blocks, taken, vfs.f_bavail)
        sizes = [count * vfs.f_frsize for count in counts]
        shown = [human(size) if readable else str(size // 1024) for size in sizes]
        rows.append([printable(vfs.f_mntfromname), *shown, capacity, printable(vfs.f_mntonname)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for source, *numbers, mountpoint in rows:
        aligned = "  ".join(cell.rjust(width) for cell, width in zip(numbers, widths[1:], strict=False))
        lines.append(f"{source.ljust(widths[0])}  {aligned}  {mountpoint}\n")
    return "".join(lines)
