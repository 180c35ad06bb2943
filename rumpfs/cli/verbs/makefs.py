"""rumpfs makefs."""

from __future__ import annotations

from argparse import Namespace
from typing import Final

from rumpfs.cli.tool import Parser, Tool

EXAMPLES: Final = """\
  rumpfs makefs disk.img tree            an image with the files of the directory tree
  rumpfs makefs -o version=2,bsize=16k,fsize=2k -s 64m disk.img root.tar.xz
                                         FFSv2 of 64 MiB with the files of an archive
  zcat base.tgz | rumpfs makefs -B be -b 10% -f 500 sparc.img -
                                         a big-endian one with room for more
  rumpfs makefs -F METALOG -N etc disk.img destdir
                                         owners, modes and devices from a manifest of mtree(8)
  rumpfs makefs disk.img manifest        files as the manifest's contents= names them
  SOURCE_DATE_EPOCH=0 rumpfs makefs disk.img tree
                                         the same bytes each time

-o takes, with commas between them: version=1|2 bsize=N fsize=N density=N minfree=PERCENT
optimization=time|space maxbpg=N maxbpcg=N extent=N avgfilesize=N avgfpdir=N label=TEXT

Sizes are as in makefs(8): 2m, 64k, 3x512. The image is as small as its files, the reserve of minfree, -b
and -f allow, or as large as -s or -M say. Whole blocks of zeros become holes. When something fails, nothing
is there.
"""

SIZES: Final = (
    ("-s", "size", "SIZE", "size of the image"),
    ("-M", "minimum", "SIZE", "smallest size of the image"),
    ("-m", "maximum", "SIZE", "largest size of the image"),
    ("-b", "free_blocks", "N", "blocks that are to be free; 10%%: in percent of those that are not"),
    ("-f", "free_files", "N", "inodes that are to be free; 10%%: in percent of those that are not"),
    ("-S", "secsize", "N", "bytes of a sector (512)"),
    ("-T", "timestamp", "SECONDS", "time of all files"),
)
ORDERS: Final = ("le", "little", "1234", "be", "big", "4321")


def arguments(parser: Parser) -> None:
    """Add the options."""
    parser.add_argument(
        "-t", dest="fstype", choices=("ffs",), default="ffs", help="type of file system (ffs)"
    )
    text = "options of the file system, see below"
    parser.add_argument("-o", dest="options", metavar="OPTIONS", action="append", default=[], help=text)
    text = "byte order (le)"
    parser.add_argument("-B", dest="order", metavar="le|be", choices=ORDERS, default="le", help=text)
    for option, name, metavar, text in SIZES:
        parser.add_argument(option, dest=name, metavar=metavar, help=text)
    text = "apply a manifest of mtree(8)"
    parser.add_argument("-F", dest="specs", metavar="FILE", action="append", default=[], help=text)
    text = "find users and groups in DIR/master.passwd and DIR/group"
    parser.add_argument("-N", dest="dbdir", metavar="DIR", help=text)
    parser.flag("-x", "exclude", "leave out what no manifest names")
    parser.flag("-r", "replace", "what several sources have is taken from the last one")
    parser.flag("-Z", "sparse", "is allowed for makefs's sake: images are always sparse")
    parser.flag("--allocate", "allocate", "give blocks of zeros a place, too")
    parser.flag("--disklabel", "disklabel", "put a disklabel in the boot area, in which a is the file system")
    parser.flag("--json", "json", "a JSON document; see rumpfs help json")
    text = "image that is made; or an image that is there, and its partition, which is overwritten"
    parser.add_argument("image", metavar="IMAGE[:PART][@OFFSET]", help=text)
    text = "directory, tar archive (- for standard input), or manifest of mtree(8)"
    parser.add_argument("sources", metavar="SOURCE", nargs="+", help=text)


def run(tool: Tool, args: Namespace) -> None:
    """Make an image with files in it."""
    from rumpfs.cli.images.makefs import run as run_makefs

    run_makefs(tool, args)
