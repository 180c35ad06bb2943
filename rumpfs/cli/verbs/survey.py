"""rumpfs survey."""

from __future__ import annotations

from argparse import ArgumentTypeError, Namespace
from typing import Final

from rumpfs.cli.tool import Parser, Tool

EXAMPLES: Final = """\
  rumpfs survey *.img                        a line of JSON for each image
  rumpfs survey -j 8 --timeout 60 *.img.xz   eight at a time, none longer than a minute
  rumpfs survey --sha256 https://host/disk.img | jq .sha256
  rumpfs survey *.img | jq -r 'select(.error) | .image'
  rumpfs survey --dask tcp://head:8786 s3://images/a.img s3://images/b.img

Each image is looked at in a process of its own: one that is broken, or takes too long, is a line with "error"
and stops nothing. Lines come as they are ready; --ordered lets them come as the images were named. With
--dask the workers of that cluster look at the images, which they have to see under the same names; rumpfs has
to be installed there. Exit status: 1 when an image has an "error".
"""


def _count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 1 << 20:
        raise ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def arguments(parser: Parser) -> None:
    """Add the options."""
    parser.add_argument("-j", "--jobs", metavar="N", type=_count, help="so many at a time (one per CPU)")
    help_ = "give an image up after that (600)"
    parser.add_argument("--timeout", metavar="SECONDS", type=_count, default=600, help=help_)
    parser.flag("--ordered", "ordered", "print lines in the order of the images")
    parser.flag("--sha256", "digest", "also the SHA-256 of each image")
    parser.add_argument("--dask", metavar="ADDRESS", help="let the workers of this Dask scheduler do it")
    parser.add_argument("image", metavar="IMAGE[:PART][@OFFSET]", nargs="+", help="path or url of an image")


def run(tool: Tool, args: Namespace) -> None:
    """Look at images."""
    from rumpfs.cli.images.survey import run as run_survey

    run_survey(tool, args)
