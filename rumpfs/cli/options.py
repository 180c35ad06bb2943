"""The options of rump_server and rump_allserver: getopt(3), and the text of ``--help``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from rumpfs.base.sizes import SizeError, parse_size
from rumpfs.dev.drivespec import DriveSpec, DriveSpecError, parse_drivespec

OPTSTRING: Final = "c:d:l:m:r:sv"
#: options that are words, and whether they take a value
LONG_OPTIONS: Final = {
    "help": False,
    "version": False,
    "print-module-dir": False,
    "module-dir": True,
    "trace": True,
    "fuse": True,
}

USAGE: Final = "usage: {prog} [-s] [-c ncpu] [-d drivespec] [-l libs] [-m modules] bindurl"

#: hw.ncpu is an int
NCPU_MAX: Final = 2**31 - 1

HELP: Final = """\
usage: {prog} [-s] [-v] [-c ncpu] [-d drivespec] [-l library] [-m module]
       {indent} [-r total_ram] [--module-dir dir] [--trace file]
       {indent} [--fuse dir[:/path]] url

Run a rump kernel, and let clients use its system calls through url. {what}
It goes on in the background as soon as it answers; rump.halt(1) or SIGTERM ends it.

url: unix://path, a socket (three slashes make the path absolute), or
     tcp://address:port/, where the address is numeric, and 0 or * are all addresses of the host.

  Sysproxy has no authentication: every client is root in this kernel. A unix socket is open to your own
  user and to root; a tcp url is open to everyone who can reach the port. To serve other hosts,
  listen on 127.0.0.1 and let them come in through ssh -L.

options:
  -s            stay in the foreground
  -v            print boot messages: components, drives with their windows, the url
  -c ncpu       number of virtual CPUs (default: as many as the host has)
  -d drivespec  map a host file into the rump kernel's file system name space; see below
  -l library    load a component before the kernel starts: its name (rumpfs_ffs), the name of its library
                (librumpfs_ffs.so), a dotted Python name (package.module, package.module:NAME), or the
                path of a .py file. With LD_BIND_NOW set, everything that components require has to
                be there; without, most of it may be missing until it is used
  -m module     load a kernel module after the kernel has started: a .kmod file, or the name of one that
                comes with rumpfs. Needs -lrumpvfs
  -r total_ram  limit of the memory that the kernel may use for tmpfs and its caches, with a suffix as in
                size (default: no limit)
  --module-dir dir
                let clients load and unload kernel modules with modctl(2): those whose .kmod files are in
                this directory, and no others. A module runs in the server: clients choose which, and the
                directory should be writable by nobody else
  --trace file  write every system call of every client there, with its arguments and its result, a line
                each; - is standard error, also in the background. What cannot be written (the disk is
                full) ends the trace, not the server
  --fuse dir[:/path]
                mount the kernel's files, from /path on, on a directory of the host; clients and the mount
                see each other's changes at once
  --help, --version
  --print-module-dir   say where the modules are that come with rumpfs

drivespec: name=value pairs with commas between them
  key=path          where it is in the rump kernel, e.g. /dev/dk
  hostpath=file     the host file; it is locked while the server runs
  size=bytes|host   length of the window. A missing file is made, a regular file that is too short is
                    extended. host: the length that the file has
  offset=bytes      start of the window (default 0)
  disklabel=letter  in place of size and offset: the partition of that letter in the file's BSD disklabel,
                    also in an MBR or GPT partition
  type=blk|chr|reg  block device (default), character device or regular file, for which size may be missing
  ro                the file is opened for reading only, and writes are refused
Numbers take a suffix, b (512) k m g t or w (4), and products: 64x32k, 2*1g.

examples:
  rump_server -lrumpvfs -m tmpfs.kmod unix://sock        a kernel with tmpfs; then:
  env RUMP_SERVER=unix://sock rump.halt                  ends it
  rump_allserver -d key=/dev/dk,hostpath=dk.img,size=1g unix://sock
                                                         dk.img, made if need be, as block device /dev/dk
  rump_allserver -d key=/dev/dk,hostpath=disk.img,disklabel=a,ro unix://sock
                                                         partition a of an image that is not to be written
  rump_server tcp://0:3755/                              on port 3755 of all addresses
  env LD_BIND_NOW=1 rump_server -s -lrumpvfs -lrumpfs_ffs unix://tsock
                                                         does it have all it needs?
  rump_server -lrumpvfs -lrumpdev -lrumpdev_disk -lrumpfs_ffs -r 16m unix://ffs
                                                         an FFS server with 16 MiB of kernel memory
"""

_WHAT: Final = {
    False: "It has the components that\n-l names, and no file systems or devices without them.",
    True: "It has every component\nthat is installed.",
}


class UsageError(Exception):
    """The command line is wrong.

    Args:
        message: lines to print on standard error; may be empty.
        usage: whether the usage follows.
    """

    def __init__(self, message: str, usage: bool = True) -> None:
        super().__init__(message)
        self.message = message
        self.usage = usage


@dataclass(slots=True)
class Options:
    """What the command line asks for; `total_ram` in bytes, None for no limit.

    `show` is a long option that is to be answered in place of running (help, version, print-module-dir).
    `trace` is the file for the calls of clients, `module_dir` the directory of their modules. `fuse` is a
    directory of the host, and the one of the kernel that is mounted there.
    """

    url: str = ""
    ncpu: int = 1
    drives: list[DriveSpec] = field(default_factory=list)
    libraries: list[str] = field(default_factory=list)
    modules: list[str] = field(default_factory=list)
    total_ram: int | None = None
    foreground: bool = False
    verbose: bool = False
    show: str | None = None
    trace: str | None = None
    module_dir: str | None = None
    fuse: tuple[str, str] | None = None


def help_text(prog: str, everything: bool) -> str:
    """Return what ``--help`` prints.

    Args:
        everything: whether the program has all components.
    """
    return HELP.format(prog=prog, indent=" " * len(prog), what=_WHAT[everything])


def parse(prog: str, args: Sequence[str], environ: Mapping[str, str] = os.environ) -> Options:
    """Return the options in a command line.

    RUMP_NCPU, RUMP_MEMLIMIT and RUMP_VERBOSE say what -c, -r and -v do not.

    Raises:
        UsageError: something is wrong with it.
    """
    options = Options(
        ncpu=_ncpu(prog, "RUMP_NCPU", environ.get("RUMP_NCPU", "host")),
        verbose=environ.get("RUMP_VERBOSE", "0")[:1] != "0",
    )
    if "RUMP_MEMLIMIT" in environ:
        options.total_ram = _total_ram(prog, "RUMP_MEMLIMIT", environ["RUMP_MEMLIMIT"])
    operands = []
    for option, value in getopt(prog, args):
        match option:
            case "c":
                options.ncpu = _ncpu(prog, "-c", value)
            case "d":
                options.drives.append(_drivespec(prog, value))
            case "l":
                options.libraries.append(value)
            case "m":
                options.modules.append(value)
            case "r":
                options.total_ram = _total_ram(prog, "-r", value)
            case "s":
                options.foreground = True
            case "v":
                options.verbose = True
            case "module-dir":
                options.module_dir = _directory(prog, value)
            case "trace":
                options.trace = value
            case "fuse":
                options.fuse = _mountpoint(value)
            case "":
                operands.append(value)
            case _:
                options.show = option
                return options
    if len(operands) != 1:
        raise UsageError("")
    options.url = operands[0]
    return options


def getopt(prog: str, args: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the options of a command line with their values, then each operand with an empty option.

    As POSIX has it: the first operand, or ``--``, ends the options; a value may follow in the same word or
    be the next one. The value of an option that is a word may follow a ``=`` (getopt_long(3)).

    Raises:
        UsageError: an option that does not exist, or lacks its value.
    """
    rest = list(reversed(args))
    while rest and rest[-1].startswith("-") and rest[-1] != "-":
        word = rest.pop()
        if word == "--":
            break
        if word.startswith("--"):
            yield _long_option(prog, word, rest)
            continue
        while word := word[1:]:
            option = word[0]
            if option == ":" or option not in OPTSTRING:
                raise UsageError(f"{prog}: invalid option -- '{option}'")
            if not OPTSTRING[OPTSTRING.index(option) + 1 :].startswith(":"):
                yield option, ""
                continue
            if not word[1:] and not rest:
                raise UsageError(f"{prog}: option requires an argument -- '{option}'")
            yield option, word[1:] or rest.pop()
            break
    for operand in reversed(rest):
        yield "", operand


def _long_option(prog: str, word: str, rest: list[str]) -> tuple[str, str]:
    """Return the name and the value of an option that is a word; the value may be the next one of `rest`."""
    name, equals, value = word[2:].partition("=")
    valued = LONG_OPTIONS.get(name)
    if valued is None or (equals and not valued):
        raise UsageError(f"{prog}: unrecognized option '{word}'")
    if not valued:
        return name, ""
    if not equals and not rest:
        raise UsageError(f"{prog}: option '--{name}' requires an argument")
    return name, value if equals else rest.pop()


def _ncpu(prog: str, name: str, value: str) -> int:
    if value == "host":
        return os.cpu_count() or 1
    if value.isascii() and value.isdigit() and 1 <= (number := int(value[:20])) <= NCPU_MAX:
        return number
    raise UsageError(f"{prog}: {name} `{value}': a number of CPUs is from 1 to {NCPU_MAX}", usage=False)


def _directory(prog: str, value: str) -> str:
    """Return a directory as an absolute path: the server may go to another one."""
    if not os.path.isdir(value):
        raise UsageError(f"{prog}: --module-dir `{value}': no such directory", usage=False)
    return os.path.abspath(value)


def _mountpoint(value: str) -> tuple[str, str]:
    """Return a directory of the host and one of the kernel; the root where none is named."""
    directory, separator, path = value.rpartition(":/")
    return (directory, f"/{path}") if separator and directory else (value, "/")


def _total_ram(prog: str, name: str, value: str) -> int:
    try:
        return parse_size(value, name, minimum=1)
    except SizeError as error:
        raise UsageError(f"{prog}: {error}", usage=False) from error


def _drivespec(prog: str, value: str) -> DriveSpec:
    try:
        return parse_drivespec(value)
    except DriveSpecError as error:
        message = error.message if error.usage else f"{prog}: {error.message}"
        raise UsageError(message, error.usage) from error
