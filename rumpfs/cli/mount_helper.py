"""rumpfs-mount and rumpfs-umount: what mount(8) and umount(8) run for the types rumpfs and fuse.rumpfs.

They are called as external helpers are (mount(8), umount(8) of util-linux), and end with mount(8)'s exit
statuses. `make install-helpers` puts them where those programs look.
"""

from __future__ import annotations

import ctypes
import os
import signal
from argparse import Namespace
from collections.abc import Callable
from typing import Final

from rumpfs.base.address import AddressError, parse_image
from rumpfs.cli import hostmounts
from rumpfs.cli.hostmounts import HostMountError
from rumpfs.cli.mountopts import MountOptions, OptionError, known, parse
from rumpfs.cli.rump_ffs import HOST_TYPES, start
from rumpfs.cli.tool import USAGE, Parser, say
from rumpfs.server.daemonize import EXIT_DIED

#: exit statuses of mount(8)
WRONG: Final = 1  # usage, permissions
SYSTEM: Final = 2  # the host lacks something
INTERNAL: Final = 4  # a bug of ours
INTERRUPTED: Final = 8
FAILED: Final = 32

_CLONE_NEWNS: Final = 0x20000
_TYPES: Final = {"ufs": "ffs"} | {name: name for name in HOST_TYPES}
#: subtypes that name this program and no file system
_OWN: Final = ("", "rumpfs", "rumpfs-mount")

_MOUNT_EXAMPLES: Final = """\
  mount -t rumpfs -o partition=a,ro /srv/disk.img /mnt
  mount -t rumpfs.tmpfs -o size=64m tmpfs /mnt
  /srv/disk.img  /mnt  rumpfs  partition=a,ro,nofail  0  0        in /etc/fstab

mount(8) finds it when it is installed (make install-helpers in the sources); without that, and with the
command on the path of root, as the type fuse.rumpfs-mount.
mount(8) asks for rw unless ro is given. An image that may not be written is mounted ro, with a warning.
rump_ffs --help lists the options. Exit status: 0, 1 usage, 2 system, 4 internal, 8 interrupted, 32 failure.
"""
_UMOUNT_EXAMPLES: Final = """\
  umount /mnt             returns when the image is written, closed and unlocked
  umount -l /mnt          does not wait
  umount -f /mnt          even if files are open there

umount(8) finds it when it is installed (make install-helpers in the sources).
Exit status: 0, 1 usage, 4 internal, 8 interrupted, 32 failure.
"""


class _Parser(Parser):
    wrong = WRONG


def mount_parser() -> Parser:
    """Return the parser of rumpfs-mount."""
    parser = _Parser(
        "rumpfs-mount", "Mount for mount(8), which calls this for the type rumpfs.", _MOUNT_EXAMPLES
    )
    add = parser.add_argument
    parser.flag("-s", "sloppy", "ignore options that do not exist")
    parser.flag("-f", "fake", "check everything, but do not mount")
    _common(parser)
    add("-o", dest="options", metavar="OPTIONS", action="append", default=[], help="as rump_ffs --help says")
    add("source", metavar="SOURCE", help="image, part of one, url of a server, or a word for a tmpfs")
    add("mountpoint", metavar="MOUNTPOINT", help="a directory")
    return parser


def umount_parser() -> Parser:
    """Return the parser of rumpfs-umount."""
    parser = _Parser("rumpfs-umount", "Unmount for umount(8), and wait for the image.", _UMOUNT_EXAMPLES)
    parser.flag("-l", "lazy", "take it away now, without waiting")
    parser.flag("-f", "force", "even if it is in use")
    parser.flag("-r", "readonly", "ignored")
    _common(parser)
    parser.add_argument("mountpoint", metavar="MOUNTPOINT", help="where it is mounted")
    return parser


def main() -> int:
    """Run rumpfs-mount."""
    return _guarded(mount_parser(), _mount)


def main_umount() -> int:
    """Run rumpfs-umount."""
    return _guarded(umount_parser(), _umount)


def _common(parser: Parser) -> None:
    parser.flag("-n", "n", "ignored")
    parser.flag("-v", "verbose", "say what was done")
    parser.add_argument("-N", dest="namespace", metavar="NS", help="in this mount namespace")
    parser.add_argument(
        "-t", dest="type", metavar="TYPE", default="rumpfs", help="rumpfs.ffs or rumpfs.tmpfs"
    )


def _guarded(parser: Parser, run: Callable[[Namespace], int]) -> int:
    """Run with the words of the command line; return mount(8)'s exit status."""
    args = parser.parse_intermixed_args()
    args.prog = parser.prog
    try:
        if args.namespace is not None:
            _enter(args.namespace)
        return run(args)
    except OptionError as error:
        say(f"{parser.prog}: {error}")
        return WRONG
    except HostMountError as error:
        say(f"{parser.prog}: {error}")
        return FAILED
    except OSError as error:
        say(f"{parser.prog}: {error.filename or 'the host'}: {error.strerror}")
        return SYSTEM
    except KeyboardInterrupt:
        return INTERRUPTED


def _enter(path: str) -> None:
    """Go to the mount namespace that a file stands for (setns(2)). Errors: OSError."""
    library = ctypes.CDLL(None, use_errno=True)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if library.setns(fd, _CLONE_NEWNS):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
    finally:
        os.close(fd)


# --- mounting ---------------------------------------------------------------------------------------------


def _mount(args: Namespace) -> int:
    words = [word for text in args.options for word in text.split(",")]
    if "remount" in words:
        raise HostMountError(
            f"{args.mountpoint}: a mount of rumpfs cannot be changed: umount it and mount it again "
            "(mount -i -o remount,ro lets the host refuse writes)"
        )
    if args.sloppy:
        words = [word for word in words if known(word)]
    options = parse(words)
    fstype = options.values.get("fstype") or _fstype(args.type)
    try:
        hostmounts.fuse_device()
    except HostMountError as error:
        say(f"{args.prog}: {error}")
        return SYSTEM
    if fstype != "tmpfs" and options.rw and _write_protected(args.source, options):
        say(f"{args.prog}: {args.mountpoint}: WARNING: {args.source} is write-protected, mounted read-only")
        words.append("ro")
    if args.fake:
        hostmounts.check(args.mountpoint, force=False)
        return 0
    job = Namespace(
        source=args.source, mountpoint=args.mountpoint, options=words, foreground=False, force=False
    )
    child = os.fork()
    if not child:
        return start(args.prog, fstype, job)
    status = _status(os.waitpid(child, 0)[1])
    if args.verbose and not status:
        print(f"{args.prog}: {args.source} mounted on {args.mountpoint}")
    return status


def _fstype(word: str) -> str:
    """Return the file system that -t means. Errors: OptionError."""
    name = word.rpartition(".")[2]
    fstype = "ffs" if name in _OWN else _TYPES.get(name)
    if fstype is None:
        raise OptionError(f"-t {word}: there is no {name}; there are {', '.join(_TYPES)}")
    return fstype


def _write_protected(source: str, options: MountOptions) -> bool:
    """Whether changes would have to go to an image that cannot be opened for writing."""
    try:
        path = parse_image(source).path
    except AddressError:
        return False
    return "overlay" not in options.values and os.path.exists(path) and not os.access(path, os.W_OK)


def _status(waited: int) -> int:
    """Return mount(8)'s exit status for how rump_ffs has ended."""
    if os.WIFSIGNALED(waited):
        return INTERRUPTED if os.WTERMSIG(waited) in (signal.SIGINT, signal.SIGTERM) else INTERNAL
    return {0: 0, USAGE: WRONG, EXIT_DIED: INTERNAL}.get(os.WEXITSTATUS(waited), FAILED)


# --- unmounting -------------------------------------------------------------------------------------------


def _umount(args: Namespace) -> int:
    hostmounts.unmount(args.mountpoint, args.force, args.lazy)
    if args.verbose:
        print(f"{args.prog}: {args.mountpoint} unmounted")
    return 0
