"""rumpfs overlay."""

from __future__ import annotations

from argparse import Namespace
from typing import Final

from rumpfs.cli.tool import Parser, Tool

ACTIONS: Final = ("status", "diff", "commit", "drop", "rebase")

EXAMPLES: Final = """\
  rumpfs overlay status try                  what is in it, of which image, and who uses it
  rumpfs overlay diff try                    the bytes of the image that are changed: first, how many
  rumpfs overlay commit try                  write them to disk.img, and remove try
  rumpfs overlay drop try                    forget them: remove try
  rumpfs overlay rebase try /new/disk.img    the image has been moved or copied
  rumpfs mount -o overlay=try disk.img /mnt  makes one: changes go to the file try, disk.img stays as it is

An overlay is a sparse file. It keeps blocks of 4096 bytes, and works only while its image stays the same;
several overlays of one image can be used at a time. A commit that was cut short is done again.

Exit status: 0 when all went well, 1 when something failed, 2 when the command line is wrong. Of diff, as of
diff(1): 0 when nothing is different, 1 when something is, 2 when something failed.
"""


def arguments(parser: Parser) -> None:
    """Add the options."""
    parser.flag("--force", "force", "although the image has changed, or a commit was cut short")
    parser.flag("--json", "json", "a JSON document; see rumpfs help json")
    parser.add_argument("action", metavar="ACTION", choices=ACTIONS, help=", ".join(ACTIONS))
    parser.add_argument("overlay", metavar="FILE", help="the overlay")
    parser.add_argument("image", metavar="IMAGE", nargs="?", default="", help="if it is not where it was")


def run(tool: Tool, args: Namespace) -> None:
    """Do what the command line says."""
    from rumpfs.cli.images.overlay import run as run_overlay

    run_overlay(tool, args)
