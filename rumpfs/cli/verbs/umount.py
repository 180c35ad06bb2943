"""rumpfs umount."""

from __future__ import annotations

from argparse import Namespace
from typing import Final

from rumpfs.abi import errno
from rumpfs.abi.mount import MNT_FORCE
from rumpfs.cli.address import HostAddress
from rumpfs.cli.hostmounts import HostMountError, unmount
from rumpfs.cli.tool import Parser, Tool
from rumpfs.client.errors import RumpError

EXAMPLES: Final = """\
  rumpfs umount :/mnt
  rumpfs umount -f unix://sock:/mnt      even if files are open there
  rumpfs umount /mnt                     a mount on the host; returns when the image is closed
"""


def arguments(parser: Parser) -> None:
    """Add the options."""
    parser.flag("-f", "force", "even if it is in use")
    parser.add_argument(
        "address",
        metavar="ADDRESS",
        nargs="+",
        help=":/path or unix://sock:/path, or a directory of the host",
    )


_HINTS: Final = {
    errno.EBUSY: "files are open there, or a file system is mounted below; -f unmounts it nevertheless",
    errno.EINVAL: "no file system is mounted there that could be unmounted; rumpfs mount lists them",
}


def run(tool: Tool, args: Namespace) -> None:
    """Unmount what the command line names."""
    for text in args.address:
        if isinstance(tool.parse(text), HostAddress):
            try:
                unmount(text, args.force)
            except HostMountError as error:
                tool.error(str(error))
            continue
        place = tool.remote(text)
        try:
            place.files.unmount(place.path, MNT_FORCE if args.force else 0)
        except RumpError as error:
            tool.failed(str(place), error, _HINTS.get(error.netbsd_errno, ""))
