"""rumpfs mount."""

from __future__ import annotations

import os
from argparse import Namespace
from textwrap import fill
from typing import Final

from rumpfs.abi import errno
from rumpfs.abi.mount import MNT_UPDATE, MOUNT_OPTIONS
from rumpfs.cli.address import HostAddress, ImagePath
from rumpfs.cli.filesystems import option_names, record
from rumpfs.cli.places import Place, ServerFiles, printable
from rumpfs.cli.rump_ffs import HOST_TYPES, add_mount_options, start
from rumpfs.cli.tool import USAGE, Failure, Parser, Tool, json_text
from rumpfs.client.api import DEVICELESS, LAYERS, MOUNT_VALUES
from rumpfs.client.errors import RumpError

_ANY: Final = (
    " ".join(name.decode() for name in MOUNT_OPTIONS)
    + " rw update, and with a leading no the opposite of each;"
    + " force mounts in spite of a damaged log or check hash"
)

EXAMPLES: Final = """\
  rumpfs mount -t ffs -o ro /dev/dk unix://sock:/mnt
  rumpfs mount -t tmpfs -o size=64m,mode=700 tmpfs :/tmp/scratch
  rumpfs mount -t kernfs kernfs :/kern
  rumpfs mount -t null -o ro :/home :/mnt   a directory of the server once more, read-only
  rumpfs mount                           what is mounted in the server that RUMP_SERVER names
  rumpfs mount unix://sock               what is mounted in another one

  rumpfs mount disk.img /mnt             an image, on a directory of the host; -o as rump_ffs --help says
  rumpfs mount disk.img:a /mnt           partition a of it
  rumpfs mount -t tmpfs tmpfs /mnt
  rumpfs mount unix://sock /mnt          the files of a running server, ours or NetBSD's, for writing
  rumpfs mount -o ro tcp://10.0.0.1:3755:/home /mnt

SOURCE is a path in the rump kernel: the key of a drive that rump_allserver -d was given, for null a
directory; for a mount on the host an image of it: IMAGE, IMAGE:a, IMAGE@OFFSET, or a server: unix://sock,
unix://sock:/path, tcp://host:port:/path. What others change in a server is seen after a second at most
(-o attr_timeout=0,entry_timeout=0: at once); while it is down requests fail with EIO.

options of -o in a server:
  any {flags}
  tmpfs   size=BYTES (with b k m g t), nodes=NUMBER, uid=, gid=, mode=OCTAL
  ffs     sblock=SECTOR, another superblock when the primary is damaged (32 of UFS1, as fsck_ffs -b)
""".format(flags=fill(_ANY, 104, initial_indent=" " * 4, subsequent_indent=" " * 10))

#: options of tmpfs that may be negative, which is no limit (mount_tmpfs(8))
_LIMITS: Final = ("size", "nodes")

#: components that are not called as their file system
_COMPONENTS: Final = {"null": "nullfs"}

_HOW: Final = "rumpfs mount [-t FSTYPE] [-o OPTIONS] SOURCE :/path"


def arguments(parser: Parser) -> None:
    """Add the options."""
    add_mount_options(parser)
    add = parser.add_argument
    add("-t", dest="type", metavar="FSTYPE", default="ffs", help="ffs (default), tmpfs, kernfs, null")
    add("-o", dest="options", metavar="OPTIONS", action="append", default=[], help="see below; with commas")
    parser.flag("--json", "json", "list in JSON; see rumpfs help json")
    add(
        "source", metavar="SOURCE", nargs="?", help="block device in the rump kernel, as /dev/dk; or an image"
    )
    add(
        "target",
        metavar="ADDRESS",
        nargs="?",
        help="a directory: :/path or unix://sock:/path, or one of the host",
    )


def run(tool: Tool, args: Namespace) -> None:
    """Mount what the command line names, or list what is mounted."""
    if args.target is None:
        if args.options:
            raise Failure(f"what is to be mounted, and where? {_HOW}", USAGE)
        _list(tool, args)
        return
    if isinstance(tool.parse(args.target), HostAddress):
        _on_the_host(tool, args)
        return
    flags, values = parse_options(args.type, args.options)
    target = tool.remote(args.target)
    source = os.fsencode(args.source)
    if args.source.startswith((":/", "unix://", "tcp://")):
        source = tool.remote(args.source).path
    if args.type in LAYERS:
        _check_distinct(source, target)
    try:
        target.files.mount(args.type, source, target.path, flags, values)
    except RumpError as error:
        where, hint = _explain(error, target, source, args.type)
        tool.failed(where, error, hint)


def _check_distinct(source: bytes, target: Place[ServerFiles]) -> None:
    """Refuse a layer on a directory above or below it, as mount_null(8) does."""
    below, above = (path.rstrip(b"/") + b"/" for path in (source, target.path))
    if below.startswith(above) or above.startswith(below):
        raise Failure(f"{printable(source)} and {target} are not distinct paths", USAGE)


def _on_the_host(tool: Tool, args: Namespace) -> None:
    """Mount an image or a tmpfs on a directory of the host."""
    if args.type not in HOST_TYPES:
        raise Failure(f"-t {args.type}: on the host, {' and '.join(HOST_TYPES)} can be mounted", USAGE)
    if isinstance(tool.parse(args.source), ImagePath):
        raise Failure(f"{args.source}: an image is mounted as a whole, without a path in it", USAGE)
    args.mountpoint = args.target
    tool.status = start(tool.name, args.type, args)


def _list(tool: Tool, args: Namespace) -> None:
    text = args.source or ":"
    files, path = tool.server(text)
    if path is not None:
        raise Failure(f"where is {text} to be mounted? {_HOW}", USAGE)
    try:
        found = files.getvfsstat()
    except OSError as error:
        tool.failed(text, error)
        return
    if args.json:
        tool.write(json_text({"filesystems": [record(vfs) for vfs in found]}))
        return
    for vfs in found:
        options = ", ".join(option_names(vfs))
        source, mountpoint = printable(vfs.f_mntfromname), printable(vfs.f_mntonname)
        suffix = f" ({options})" if options else ""
        tool.write(f"{source} on {mountpoint} type {printable(vfs.f_fstypename)}{suffix}\n")


def parse_options(fstype: str, options: list[str]) -> tuple[int, dict[str, int]]:
    """Return the mount flags and the values of the file system's own options.

    Errors:
        Failure: an option is unknown or malformed.
    """
    flags = 0
    values: dict[str, int] = {}
    own = MOUNT_VALUES.get(fstype, {})
    for option in (part for text in options for part in text.split(",") if part):
        name, equals, value = option.partition("=")
        if equals and name in own:
            values[name] = _number(name, value)
        elif not equals and name == "update":
            flags |= MNT_UPDATE
        elif not equals and (found := _flag(name)) is not None:
            bit, on = found
            flags = flags | bit if on else flags & ~bit
        else:
            names = [name.decode() for name in MOUNT_OPTIONS]
            has = ", ".join([*names, "rw", "update", *(f"{key}=" for key in own)])
            raise Failure(f"-o {option}: {fstype} has no such option; it has {has}", USAGE)
    return flags, values


def _flag(name: str) -> tuple[int, bool] | None:
    """Return the MNT_ flag of an option and whether the option sets it."""
    if name == "rw":
        return MOUNT_OPTIONS[b"ro"], False
    key = os.fsencode(name)
    if key in MOUNT_OPTIONS:
        return MOUNT_OPTIONS[key], True
    # The opposite of nodev is dev, that of sync is nosync.
    opposite = key[2:] if key.startswith(b"no") else b"no" + key
    return (MOUNT_OPTIONS[opposite], False) if opposite in MOUNT_OPTIONS and opposite != b"ro" else None


def _number(name: str, text: str) -> int:
    """Return the value of an option: octal for mode, with suffixes and products as in -d for the rest."""
    from rumpfs.base.sizes import SizeError, parse_size  # only a mount with values needs it

    limit = name in _LIMITS
    most = (1 << 63 if limit else 1 << 32) - 1
    least = -most - 1 if limit else 0
    try:
        number = int(text, 8) if name == "mode" else parse_size(text.lower(), name, least, most)
    except (SizeError, ValueError):
        number = most + 1
    if not text[limit and text[:1] == "-" :][:1].isdigit() or not least <= number <= most:
        raise Failure(f"-o {name}={text}: not a number that {name} can have", USAGE)
    return number


def _explain(error: RumpError, target: Place[ServerFiles], source: bytes, fstype: str) -> tuple[str, str]:
    """Return what an error is about, and what helps."""
    device = f"{target.prefix}{printable(source)}"
    number = error.netbsd_errno
    if number == errno.ENODEV:
        component = _COMPONENTS.get(fstype, fstype)
        if fstype not in MOUNT_VALUES.keys() | DEVICELESS | LAYERS:
            return fstype, "the server has no such file system"
        return fstype, f"the server lacks it: start it as rump_allserver, or with -l rumpfs_{component}"
    if fstype in LAYERS and number in (errno.ENOENT, errno.ENOTDIR) and target.files.exists(target.path):
        return device, "it shows a directory of the server"
    if number == errno.EROFS and fstype not in DEVICELESS:
        return device, "it can only be mounted read-only: -o ro"
    if number == errno.ENOENT and target.files.exists(target.path):
        return device, f"the server has no such device: start it with -d key={printable(source)},hostpath=..."
    if number == errno.ENOENT:
        return str(target), f"rumpfs mkdir {target} makes the directory"
    if number in (errno.ENOTBLK, errno.ENXIO, errno.EBUSY):
        return device, "in use already" if number == errno.EBUSY else "not a block device of the server"
    if number == errno.EINVAL and fstype not in DEVICELESS | LAYERS:
        return device, f"it does not hold a sound {fstype} file system; rumpfs sysctl -n kern.msgbuf says why"
    if number == errno.EFTYPE:
        return device, "its log is damaged; fsck_ffs repairs it, -o force mounts without the latest changes"
    return str(target), ""
