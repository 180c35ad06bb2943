"""rumpfs hexdump."""

from __future__ import annotations

from argparse import Namespace
from typing import Final

from rumpfs.cli.tool import Parser, Tool

EXAMPLES: Final = """\
  rumpfs hexdump disk.img:a:/etc/passwd           a file, as hexdump -C shows it
  rumpfs hexdump -s 1m -n 512 disk.img            512 bytes at 1 MiB of an image
  rumpfs hexdump --block 2415 disk.img:a          a fragment of its file system
  rumpfs hexdump --explain --block 48 disk.img    and every field of the structures in it
  rumpfs hexdump :/mnt/file | less

Offsets and lengths take suffixes: b (512) k m g t, and 0x. Equal lines are one `*'; -v shows them all.
"""


def arguments(parser: Parser) -> None:
    """Add the options."""
    parser.add_argument("-s", dest="skip", metavar="OFFSET", default="0", help="begin at this byte")
    parser.add_argument("-n", dest="length", metavar="LENGTH", help="no more bytes than this")
    parser.add_argument("--block", metavar="N", help="a fragment of the file system in an image")
    parser.flag("--explain", "explain", "the fields of the structures that the bytes of an image are")
    parser.flag("-v", "verbose", "show equal lines")
    text = "a file in an image, in a server or of the host; or an image"
    parser.add_argument("address", metavar="ADDRESS|IMAGE", help=text)


def run(tool: Tool, args: Namespace) -> None:
    """Print bytes."""
    from rumpfs.cli.images.hexdump import run as run_hexdump

    run_hexdump(tool, args)
