"""rumpfs stat."""

from __future__ import annotations

from argparse import Namespace
from typing import Final

from rumpfs.abi.stat import S_IFLNK, S_IFMT, major, minor
from rumpfs.cli import listing
from rumpfs.cli.places import Place, ServerFiles, printable
from rumpfs.cli.tool import Parser, Tool, json_text
from rumpfs.client.records import StatResult

EXAMPLES: Final = """\
  rumpfs stat :/mnt/etc/rc.conf
  rumpfs stat -L :/tmp/link              what the symbolic link leads to
  rumpfs stat --json unix://sock:/mnt | jq .entries[0].birthtime_ns
"""


def arguments(parser: Parser) -> None:
    """Add the options."""
    parser.flag("-L", "follow", "follow symbolic links")
    parser.flag("--json", "json", "a JSON document; see rumpfs help json")
    parser.add_argument("address", metavar="ADDRESS", nargs="+", help=":/path or unix://sock:/path")


def run(tool: Tool, args: Namespace) -> None:
    """Show what the command line names."""
    entries = []
    for text in args.address:
        place = tool.remote(text, b"/")
        try:
            st = place.files.stat(place.path, follow_symlinks=args.follow)
            target = place.files.readlink(place.path) if st.st_mode & S_IFMT == S_IFLNK else None
        except OSError as error:
            tool.failed(str(place), error)
            continue
        if args.json:
            entries.append(listing.node(place.name or b"/", place.path, st, target))
        else:
            tool.write(_text(place, st, target))
    if args.json:
        tool.write(json_text({"entries": entries}))


def _text(place: Place[ServerFiles], st: StatResult, target: bytes | None) -> str:
    arrow = f" -> {printable(target)}" if target is not None else ""
    device = ""
    if listing.is_device(st.st_mode):
        device = f"  Device type: {major(st.st_rdev)}, {minor(st.st_rdev)}"
    times = zip(
        ("Access", "Modify", "Change", "Birth"),
        (st.st_atime_ns, st.st_mtime_ns, st.st_ctime_ns, st.st_birthtime_ns),
        strict=True,
    )
    mode = f"{st.st_mode & 0o7777:04o}/{listing.mode_string(st.st_mode)}"
    return "".join([
        f"  File: {place}{arrow}\n",
        f"  Type: {listing.type_name(st.st_mode)}{device}\n",
        f"  Size: {st.st_size}  Blocks: {st.st_blocks}  IO block: {st.st_blksize}\n",
        f"Device: {st.st_dev:#x}  Inode: {st.st_ino}  Links: {st.st_nlink}\n",
        f"  Mode: {mode}  Uid: {st.st_uid}  Gid: {st.st_gid}  Flags: {st.st_flags:#x}  Gen: {st.st_gen}\n",
        *(f"{name:>6}: {listing.full_time(ns)}\n" for name, ns in times),
    ])  # fmt: skip
