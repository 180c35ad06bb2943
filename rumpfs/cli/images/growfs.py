"""Making file systems in images larger."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import Final

from rumpfs.base.address import AddressError, parse_image
from rumpfs.base.sizes import SizeError, parse_size
from rumpfs.cli.images.opening import opened, reported
from rumpfs.cli.images.reproducible import now, random_source
from rumpfs.cli.progress import AUTO, Progress
from rumpfs.cli.tool import USAGE, Failure, Tool, json_text
from rumpfs.dev.hostfile import HostFile
from rumpfs.dev.window import Window
from rumpfs.fs.ffs.growfs import Growfs
from rumpfs.ondisk.ufs.superblock import Superblock, find_superblock

_SECTOR: Final = 512


def run(tool: Tool, args: Namespace) -> None:
    """Make a file system larger, as the command line says."""
    wanted = _wanted(args)
    try:
        image = parse_image(args.image)
    except AddressError as error:
        raise Failure(str(error), USAGE) from error
    with opened(args.image, readonly=args.show) as window:
        size = wanted or window.size
        whole = not image.part and window.hostfile.is_regular
        if size > window.size and not whole and not args.show:
            raise Failure(f"{args.image} has {window.size} bytes, and not {size}")
        fs = find_superblock(window.pread, window.size, args.image)
        growth = Growfs(window, fs, size, now(), random_source())
        grows = growth.fs.fs_size > growth.old.fs_size
        if grows and not args.show:
            _confirm(tool, args, growth)
            if size > window.size:
                window = _longer(window, args.image, size)
                growth = Growfs(window, fs, size, now(), random_source())
            _write(args, growth)
        _report(tool, args, growth, grows)


def _wanted(args: Namespace) -> int:
    """Return the bytes that are asked for; 0 when the image says how many."""
    if args.size is None:
        return 0
    try:
        number = parse_size(args.size, "-s", 1)
    except SizeError as error:
        raise Failure(str(error), USAGE) from error
    return number if args.size[-1].isalpha() else number * _SECTOR


def _longer(window: Window, image: str, size: int) -> Window:
    """Return a window on the image, which is made as long as it has to be."""
    hostfile: HostFile = window.hostfile
    with reported(image, hostfile.path):
        hostfile.extend(window.offset + size)
    return Window(hostfile, window.offset, size, name=window.name)


def _write(args: Namespace, growth: Growfs) -> None:
    progress = Progress(AUTO)
    group = growth.fs.fs_fpg * growth.fs.fs_fsize
    progress.begin(args.image, growth.fs.bytes_needed)
    try:
        growth.write(lambda cgx: progress.update(cgx * group))
    finally:
        progress.end()


def _confirm(tool: Tool, args: Namespace, growth: Growfs) -> None:
    """Ask, unless -y says so; nobody there means no."""
    if args.yes:
        return
    sizes = f"from {_mega(growth.old)} to {_mega(growth.fs)}"
    tool.write(f"{args.image}: grow the file system {sizes}? [yn] ")
    tool.flush()
    answer = sys.stdin.readline()
    if not answer:
        tool.write("\n")
    if answer[:1] not in ("y", "Y"):
        raise Failure("nothing was changed (-y: do not ask)")


def _mega(fs: Superblock) -> str:
    return f"{fs.bytes_needed / (1 << 20):.1f}MB"


def _report(tool: Tool, args: Namespace, growth: Growfs, grows: bool) -> None:
    """Say what has been done."""
    old, fs = growth.old, growth.fs
    if args.json:
        tool.write(
            json_text(
                {
                    "image": args.image,
                    "written": grows and not args.show,
                    "old_size": old.bytes_needed,
                    "size": fs.bytes_needed,
                    "old_groups": old.fs_ncg,
                    "groups": fs.fs_ncg,
                    "fragment_size": fs.fs_fsize,
                    "summary_moved": fs.fs_csaddr != old.fs_csaddr,
                }
            )
        )
        return
    if not grows:
        tool.write(f"{args.image}: the file system has {_mega(old)}, and there is no room for more\n")
        return
    lines = [
        f"{args.image}: {'would grow' if args.show else 'has grown'} from {_mega(old)} to {_mega(fs)}",
        f"\t{old.fs_ncg} cylinder groups, now {fs.fs_ncg}; {old.maxino} inodes, now {fs.maxino}",
    ]
    if growth.fs.fs_csaddr != growth.old.fs_csaddr:
        lines.append(f"\tthe summary of the groups moves from fragment {old.fs_csaddr} to {fs.fs_csaddr}")
    tool.write("\n".join(lines) + "\n")
