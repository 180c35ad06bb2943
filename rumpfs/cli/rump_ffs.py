"""rump_ffs(8) and rump_tmpfs(8): mount a file system on the host, in a kernel of its own."""

from __future__ import annotations

import sys
from argparse import Namespace
from importlib import import_module
from typing import Final

from rumpfs.cli.mountopts import OptionError, help_lines, parse
from rumpfs.cli.tool import USAGE, Parser, say
from rumpfs.cli.urlsource import URL, check, is_url

#: what can be mounted on the host
HOST_TYPES: Final = ("ffs", "tmpfs")

_FFS_EXAMPLES: Final = """\
  rump_ffs disk.img /mnt                 an image, for reading
  rump_ffs -o partition=a disk.img /mnt  partition a of its disklabel; the same as disk.img:a
  rump_ffs disk.img@32256 /mnt           what begins at byte 32256
  rump_ffs -o overlay=try disk.img /mnt  for writing; changes go to the file try (rumpfs overlay)
  rumpfs umount /mnt                     returns when the image is closed

options of -o, with commas between them:
{options}

What mount(8), fstab(5) and systemd add is accepted and ignored.
"""

_TMPFS_EXAMPLES: Final = """\
  rump_tmpfs tmpfs /mnt
  rump_tmpfs -o size=64m,mode=700 tmpfs /mnt
  rumpfs umount /mnt

options of -o, with commas between them:
{options}

What mount(8), fstab(5) and systemd add is accepted and ignored.
"""


#: program -> file system, what the source is called, what it is, examples
_PROGRAMS: Final = {
    "rump_ffs": (
        "ffs",
        "IMAGE",
        "image of a disk, or a part of one: IMAGE:a, IMAGE:2, IMAGE:s2a, IMAGE@OFFSET",
        _FFS_EXAMPLES,
    ),
    "rump_tmpfs": ("tmpfs", "tmpfs", "any word, which /proc/mounts shows", _TMPFS_EXAMPLES),
}


def main() -> int:
    """Run rump_ffs."""
    return _run("rump_ffs")


def main_tmpfs() -> int:
    """Run rump_tmpfs."""
    return _run("rump_tmpfs")


def add_mount_options(parser: Parser) -> None:
    """Add what every command has that mounts on the host."""
    parser.flag("-f", "foreground", "on the host: stay in the foreground")
    parser.flag("--force", "force", "on the host: clear a mount there that has lost its server")


def parser(prog: str) -> Parser:
    """Return the parser of rump_ffs or rump_tmpfs."""
    fstype, source, what, examples = _PROGRAMS[prog]
    made = Parser(prog, f"Mount a {fstype} on the host.", examples.format(options=help_lines()))
    add = made.add_argument
    add("-o", dest="options", metavar="OPTIONS", action="append", default=[], help="see below")
    add_mount_options(made)
    add("source", metavar=source, help=what)
    add("mountpoint", metavar="MOUNTPOINT", help="a directory of the host")
    return made


def _run(prog: str) -> int:
    return start(prog, _PROGRAMS[prog][0], parser(prog).parse_args())


def start(prog: str, fstype: str, args: Namespace) -> int:
    """Mount what a command line says, and serve it; return the exit status.

    Args:
        prog: how messages begin.
        fstype: ffs or tmpfs; ``fstype=`` in -o counts more; neither does when the source is a url.
        args: source, mountpoint, options, foreground and force.
    """
    try:
        options = parse(args.options)
        if is_url(args.source):
            check(args.options)
            fstype = URL
    except OptionError as error:
        say(f"{prog}: {error}")
        return USAGE
    fstype = options.values.get("fstype", fstype)
    # Not before: what is answered above, and every other verb of rumpfs, does without a kernel.
    mounting = import_module("rumpfs.cli.mounting")
    words = (args.source, args.mountpoint, options, args.foreground, args.force)
    return int(mounting.mount(mounting.Job(prog, "ffs" if fstype == "ufs" else fstype, *words)))


if __name__ == "__main__":
    sys.exit(main())
