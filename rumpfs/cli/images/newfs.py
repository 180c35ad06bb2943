"""Making file systems in images."""

from __future__ import annotations

import os
from argparse import Namespace
from typing import Any, Final

from rumpfs.base.address import AddressError, ImageAddress, parse_image
from rumpfs.base.errors import VfsError
from rumpfs.base.sizes import SizeError, parse_size
from rumpfs.cli.images.opening import opened, reported
from rumpfs.cli.images.reproducible import now, random_source
from rumpfs.cli.tool import USAGE, Failure, Tool
from rumpfs.cli.verbs.newfs import NUMBERS
from rumpfs.dev.hostfile import HostFile
from rumpfs.fs.ffs.newfs import Newfs
from rumpfs.fs.ffs.newfs_layout import FS_OPTSPACE, FS_OPTTIME, Parameters
from rumpfs.ondisk.layout import BIG, LITTLE
from rumpfs.ondisk.ufs.wapbl import desired_size, log_numbers

_SECTOR: Final = 512
#: characters of a line with the places of superblock copies
_WIDTH: Final = 76


def run(tool: Tool, args: Namespace) -> None:
    """Make a file system as the command line says."""
    try:
        image = parse_image(args.image)
    except AddressError as error:
        raise Failure(str(error), USAGE) from error
    size = _size(args)
    if not size and not os.path.lexists(image.path):
        raise Failure(f"{image.path}: No such file or directory: -s SIZE makes it")
    made = _plan(args, size) if size else None
    if made and args.show:
        tool.write(describe(args.image, made))
        return
    if made and not image.part:
        _make_room(image, size)
    with opened(args.image, readonly=args.show) as window:
        if size > window.size:
            raise Failure(f"size {size} exceeds {args.image}, which has {window.size} bytes")
        made = made or _plan(args, window.size)
        if not args.show:
            made.write(window)
        tool.write(describe(args.image, made))


def _size(args: Namespace) -> int:
    """Return the bytes that are wanted; 0 when the image says how many."""
    if args.size is None:
        return 0
    secsize = args.secsize or _SECTOR
    try:
        number = parse_size(args.size, "-s", 1)
    except SizeError as error:
        raise Failure(str(error), USAGE) from error
    return number // secsize * secsize if args.size[-1].isalpha() else number * secsize


def _log(args: Namespace, size: int) -> int:
    """Return the bytes that are left for a log; 0 for none."""
    if args.log is None:
        return 0
    if not args.log:
        return desired_size(size)
    try:
        return parse_size(args.log, "--log", 65536, size) // _SECTOR * _SECTOR
    except SizeError as error:
        raise Failure(str(error), USAGE) from error


def _make_room(image: ImageAddress, size: int) -> None:
    """Make an image that is missing or too short as large as it has to be."""
    with reported(image.path, image.path):
        hostfile = HostFile.open(image.path, create=True)
        try:
            if hostfile.is_regular:
                hostfile.extend(image.offset + size)
        finally:
            hostfile.close()


def _plan(args: Namespace, size: int) -> Newfs:
    """Return the file system that is wanted."""
    draw = random_source()
    seconds = now()
    volname = os.fsencode(args.volname)
    if len(volname) > 31:
        raise Failure(f"a label has up to 31 bytes, not {len(volname)}", USAGE)
    numbers: dict[str, Any] = {
        name: getattr(args, name) for _, name, *_ in NUMBERS if getattr(args, name) is not None
    }
    parameters = Parameters(
        version=args.version,
        order={"le": LITTLE, "be": BIG}[args.order],
        optim=FS_OPTSPACE if args.optim == "space" else FS_OPTTIME,
        volname=volname,
        seconds=seconds,
        ident=(seconds & 0x7FFFFFFF, int.from_bytes(draw(4), "big") & 0x7FFFFFFF),
        **numbers,
    )
    log = _log(args, size)
    try:
        made = Newfs(size - log, parameters, draw, os.geteuid(), os.getegid())
        if log:
            made.place_log(size)
        return made
    except VfsError as error:
        raise Failure(f"{args.image}: {error.why}") from error


def describe(image: str, made: Newfs) -> str:
    """Return what newfs says of a file system."""
    fs = made.fs
    mega = 1 << 20
    lines = [
        f"{image}: {fs.fs_size * fs.fs_fsize / mega:.1f}MB ({fs.fs_size << fs.fs_fsbtodb} sectors) "
        f"block size {fs.fs_bsize}, fragment size {fs.fs_fsize}",
        f"\tusing {fs.fs_ncg} cylinder groups of {fs.fs_fpg * fs.fs_fsize / mega:.2f}MB, "
        f"{fs.fs_fpg // fs.fs_frag} blks, {fs.fs_ipg} inodes.",
        "super-block backups (for fsck -b #) at:",
    ]
    if fs.fs_journal_location:
        address, count, blksize, _ = log_numbers(fs)
        lines.insert(2, f"\tlog of {count * blksize / mega:.2f}MB behind it, from sector {address} on.")
    line = ""
    for copy in made.copies:
        if len(line) > _WIDTH:
            line += " ..."
            break
        line += f"{' ' if line else ''}{copy},"
    return "\n".join([*lines, line]) + "\n"
