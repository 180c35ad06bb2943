"""What the files of a kernfs say: numbers and strings of sysctl(7) as lines (NetBSD: kernfs_vnops.c)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from rumpfs.abi import errno, sysctl
from rumpfs.base.clock import now
from rumpfs.base.errors import VfsError

#: what one write takes at most, with the NUL that the kernel puts behind it
KSTRING: Final = 256

_BOOTTIME: Final = (sysctl.CTL_KERN, sysctl.KERN_BOOTTIME)
_HOSTNAME: Final = (sysctl.CTL_KERN, sysctl.KERN_HOSTNAME)
_PAGESIZE: Final = (sysctl.CTL_HW, sysctl.HW_PAGESIZE)


class Values(Protocol):
    """The kernel's sysctl tree."""

    def get(self, mib: tuple[int, ...]) -> bytes:
        """Return the value of a node, a string with its NUL."""

    def set(self, mib: tuple[int, ...], value: bytes) -> None:
        """Set the value of a node. Errors: those of the node."""


class Target(NamedTuple):
    """One file.

    Args:
        name: its name.
        read: returns its content.
        write: takes a new value; None: nobody can set it.
    """

    name: bytes
    read: Callable[[Values], bytes]
    write: Callable[[Values, bytes], None] | None = None

    @property
    def mode(self) -> int:
        """Permission bits."""
        return 0o444 if self.write is None else 0o644


def _number(data: bytes) -> int:
    return int.from_bytes(data, "little", signed=True)


def _line(*numbers: int) -> bytes:
    return b" ".join(b"%d" % number for number in numbers) + b"\n"


def _integer(*mib: int) -> Callable[[Values], bytes]:
    """Return a reader of a node that holds a number."""
    return lambda values: _line(_number(values.get(mib)))


def _boottime(values: Values) -> bytes:
    return _line(_number(values.get(_BOOTTIME)[:8]))


def _copyright(values: Values) -> bytes:
    return b"Copyright (c) 2026, the rumpfs authors\n"


def _hostname(values: Values) -> bytes:
    return values.get(_HOSTNAME).rstrip(b"\0") + b"\n"


def _set_hostname(values: Values, text: bytes) -> None:
    values.set(_HOSTNAME, text.removesuffix(b"\n"))


def _hz(values: Values) -> bytes:
    return _line(sysctl.CLOCKINFO.unpack(values.get((sysctl.CTL_KERN, sysctl.KERN_CLOCKRATE)))[0])


def _loadavg(values: Values) -> bytes:
    return _line(*sysctl.LOADAVG.unpack(values.get((sysctl.CTL_VM, sysctl.VM_LOADAVG))))


def _msgbuf(values: Values) -> bytes:
    return values.get((sysctl.CTL_KERN, sysctl.KERN_MSGBUF)).lstrip(b"\0")


def _physmem(values: Values) -> bytes:
    """Return the pages of memory."""
    nbytes = _number(values.get((sysctl.CTL_HW, sysctl.HW_PHYSMEM64)))
    return _line(nbytes // _number(values.get(_PAGESIZE)))


def _time(values: Values) -> bytes:
    seconds, nanoseconds = now()
    return _line(seconds, nanoseconds // 1000)


def _version(values: Values) -> bytes:
    return values.get((sysctl.CTL_KERN, sysctl.KERN_VERSION)).rstrip(b"\0")


#: the files in the order of a listing
TARGETS: Final = (
    Target(b"boottime", _boottime),
    Target(b"byteorder", _integer(sysctl.CTL_HW, sysctl.HW_BYTEORDER)),
    Target(b"copyright", _copyright),
    Target(b"hostname", _hostname, _set_hostname),
    Target(b"hz", _hz),
    Target(b"loadavg", _loadavg),
    Target(b"msgbuf", _msgbuf),
    Target(b"pagesize", _integer(*_PAGESIZE)),
    Target(b"physmem", _physmem),
    Target(b"time", _time),
    Target(b"version", _version),
)


def store(target: Target, values: Values, offset: int, data: bytes) -> None:
    """Give a file a new value, with one write and up to a NUL (kernfs_default_xwrite).

    Errors: EINVAL: not at its beginning; EIO: too long, or a file that nobody can set; those of the node.
    """
    if offset:
        raise VfsError(errno.EINVAL)
    if len(data) >= KSTRING or target.write is None:
        raise VfsError(errno.EIO)
    target.write(values, data.partition(b"\0")[0])
