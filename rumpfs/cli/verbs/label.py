"""rumpfs label."""

from __future__ import annotations

from argparse import Namespace
from typing import Final

from rumpfs.cli.tool import Parser, Tool

EXAMPLES: Final = """\
  rumpfs label disk.img                  show the disklabel, as disklabel(8) does
  rumpfs label -w disk.img               write one in which a is all of the disk
  rumpfs label -w --set a=64,100m --set b=,32m,swap -M sparc disk.img
                                         two partitions, where a SPARC looks for them
  rumpfs label --set a=,+64m disk.img    make a larger; --set e=204800 adds e up to the end of the disk
  truncate -s +64m disk.img; rumpfs label --grow --set a=,+64m disk.img
                                         when the image has been made larger
  rumpfs label --delete e -n 8 disk.img  no e any more, and a table of 8
  rumpfs label disk.img >proto; rumpfs label -R proto other.img
                                         the same label for another disk
  rumpfs label -e disk.img               edit it with $EDITOR
  rumpfs label -N -w -B be disk.img      show what would be written

--set takes LETTER=OFFSET,SIZE,TYPE,FSIZE,BSIZE,CPG; what is left out stays, or follows from the FFS there.
OFFSET and SIZE are in sectors, or in bytes with a suffix (64k, 100m); +SIZE and -SIZE change it; a partition
without an OFFSET begins where the one before it ends, and without a SIZE it goes on to the end of the disk.
What else is in the sector of the label stays there: boot code, or an MBR.
"""

#: ports by the place of their label (spec of each port's <machine/disklabel.h>): byte, order -> machines
MACHINES: Final = {
    (0, "be"): ("mvme68k", "next68k"),
    (64, "le"): ("alpha", "algor", "pmax", "vax"),
    (64, "be"): ("amiga", "luna68k", "mac68k", "macppc", "news68k", "newsmips", "sun2", "x68k", "evbppc"),
    (128, "be"): ("sparc", "sparc64", "sun3"),
    (512, "le"): (
        "amd64", "i386", "evbarm", "acorn32", "cats", "shark", "zaurus", "riscv", "sh3", "hpcarm", "hpcmips",
        "hpcsh", "landisk", "cobalt", "arc", "ia64", "dreamcast",
    ),
    (512, "be"): ("mipsco", "hppa", "ofppc", "prep", "sgimips", "bebox", "sandpoint", "mvmeppc", "sbmips"),
    (516, "be"): ("atari",),
    (1024, "be"): ("hp300", "cesfic"),
    (4608, "be"): ("ews4800mips",),
}  # fmt: skip
#: those whose partition for the whole disk is d; that of the others is c
RAW_D: Final = (
    "amd64", "i386", "arc", "cobalt", "hpcmips", "hpcarm", "landisk", "mvmeppc", "bebox", "sbmips", "zaurus",
    "ia64",
)  # fmt: skip


def arguments(parser: Parser) -> None:
    """Add the options."""
    how = parser.add_mutually_exclusive_group()
    how.add_argument("-w", dest="how", action="store_const", const="new", help="write a new label")
    how.add_argument(
        "-R", dest="proto", metavar="FILE", help="write the label that FILE (-: standard input) shows"
    )
    how.add_argument("-e", dest="how", action="store_const", const="edit", help="edit the label with $EDITOR")
    how.add_argument("-D", dest="how", action="store_const", const="delete", help="delete all labels")
    text = "change a partition, or add one; may be repeated"
    parser.add_argument("--set", dest="set", metavar="PARTITION", action="append", default=[], help=text)
    text = "remove a partition; may be repeated"
    parser.add_argument("--delete", metavar="LETTER", action="append", default=[], help=text)
    parser.flag("--grow", "grow", "the disk has become as large as the image is now")
    parser.add_argument("--disk", metavar="TEXT", help="name of the type of disk, up to 16 bytes")
    parser.add_argument("--name", metavar="TEXT", help="name of the disk, up to 16 bytes")
    text = "partitions in the table: 8, 16, up to 22"
    parser.add_argument("-n", dest="count", metavar="N", type=int, help=text)
    text = "byte order of a new label"
    parser.add_argument("-B", dest="order", metavar="le|be", choices=("le", "be"), help=text)
    text = "place and byte order of a new label are those of a NetBSD port (amd64)"
    parser.add_argument("-M", dest="machine", metavar="MACHINE", help=text)
    text = "byte of the disk at which the label is, or is to be"
    parser.add_argument("-O", dest="offset", metavar="BYTE", help=text)
    parser.flag("-N", "show", "write nothing, and show what would be written")
    parser.flag("--json", "json", "a JSON document; see rumpfs help json")
    parser.add_argument("image", metavar="IMAGE[@OFFSET]", help="image, byte at which the disk begins")


def run(tool: Tool, args: Namespace) -> None:
    """Show or change a disklabel."""
    from rumpfs.cli.images.label import run as run_label

    run_label(tool, args)
