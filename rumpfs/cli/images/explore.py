"""Looking around in an image, where textual is there."""

from __future__ import annotations

import sys
from argparse import Namespace

from rumpfs.cli.explore.volumes import Volumes
from rumpfs.cli.tool import FAILED, Failure


def run(args: Namespace) -> None:
    """Run the browser that the command line asks for."""
    try:
        from rumpfs.cli.explore.app import Explorer
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("textual", "rich"):
            raise
        raise Failure("this needs textual, which is not there: pip install 'rumpfs[tui]'") from error
    with Volumes(args.image, args.sblock) as volumes:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise Failure("standard input and output must be a terminal; rumpfs tree and rumpfs ls need none")
        explorer = Explorer(volumes)
        explorer.run()
    if explorer.return_code:
        raise Failure(f"{args.image}: it could not be shown to the end", FAILED)
