"""The options of mounts on the host: one table, for parsing and for ``--help``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from rumpfs.abi.mount import (
    MNT_ASYNC,
    MNT_EXTATTR,
    MNT_FORCE,
    MNT_LOG,
    MNT_NOATIME,
    MNT_RDONLY,
    MNT_SYNCHRONOUS,
)
from rumpfs.base.sizes import SizeError, parse_size

_ID_MAX: Final = 2**32 - 2


class OptionError(Exception):
    """An option is unknown or malformed; the text says what would do."""


@dataclass(slots=True)
class MountOptions:
    """What -o says; None where it says nothing.

    Attributes:
        rw: mount for writing.
        flags: MNT_ flags for the kernel, without MNT_RDONLY.
        values: of options for the file system and for FUSE, by their names.
        host: words for the host's own mount.
    """

    rw: bool | None
    flags: int
    values: dict[str, Any]
    host: set[str]

    def get(self, name: str) -> Any:
        """Return the value of an option, or None."""
        return self.values.get(name)

    def writable(self, rw: bool) -> bool:
        """Return whether it is to be mounted for writing.

        Args:
            rw: whether it is where nothing is said; with an overlay it is in any case.
        """
        return self.rw if self.rw is not None else rw or "overlay" in self.values

    def mount_flags(self, rw: bool) -> int:
        """Return MNT_ flags for the kernel. Args: as of `writable`."""
        return self.flags | (0 if self.writable(rw) else MNT_RDONLY)


class _Option(NamedTuple):
    """One option: what `--help` says, and what reads its value; None for a word without one."""

    help: str
    value: Callable[[str], Any] | None = None


def _size(text: str) -> int:
    try:
        return parse_size(text.lower(), "")
    except SizeError:
        raise ValueError("is not a number of bytes (suffixes b k m g t)") from None


def _id(text: str) -> int:
    if not text.isdecimal() or int(text) > _ID_MAX:
        raise ValueError("is not the number of a user or group")
    return int(text)


def _octal(text: str) -> int:
    if not re.fullmatch("[0-7]{1,4}", text):
        raise ValueError("is not an octal number up to 7777")
    return int(text, 8)


def _seconds(text: str) -> float:
    if not re.fullmatch(r"\d{1,9}(\.\d*)?", text):
        raise ValueError("is not a number of seconds")
    return float(text)


def _partition(text: str) -> str:
    if not re.fullmatch(r"(?:s?\d{1,3})?[a-z]?", text) or not text:
        raise ValueError("is no partition; they are called a, 2 or s2a")
    return text


def _path(text: str) -> str:
    if not text:
        raise ValueError("is no path")
    return text


def _one_of(*words: str) -> Callable[[str], str]:
    def value(text: str) -> str:
        if text not in words:
            raise ValueError(f"is not one of {', '.join(words)}")
        return text

    return value


OPTIONS: Final[Mapping[str, _Option]] = {
    "ro": _Option("for reading only; so are images unless rw or overlay= is given"),
    "rw": _Option("for writing"),
    "overlay": _Option("file that changes go to; the image stays as it is (rumpfs overlay)", _path),
    "fstype": _Option("ffs or tmpfs, as -t", _one_of("ffs", "ufs", "tmpfs")),
    "partition": _Option("a of the disklabel, 2 of the MBR or GPT, s2a: both", _partition),
    "offset": _Option("byte of the image at which the file system begins", _size),
    "size": _Option("bytes of the image that it has; of a tmpfs: how much it may hold", _size),
    "sizelimit": _Option("the same as size", _size),
    "nodes": _Option("files that a tmpfs may hold", _size),
    "mode": _Option("permissions of the root of a tmpfs, in octal", _octal),
    "uid": _Option("owner of all files; of a tmpfs: of its root", _id),
    "gid": _Option("group of all files; of a tmpfs: of its root", _id),
    "umask": _Option("permissions that files do not have, in octal", _octal),
    "attr_timeout": _Option("seconds for which the host may keep attributes", _seconds),
    "entry_timeout": _Option("seconds for which the host may keep names", _seconds),
    "allow_other": _Option("all users may use the mount, not only yours"),
    "default_permissions": _Option("the host checks permissions; it always does"),
    "sync": _Option("writes go to the disk at once"),
    "async": _Option("the disk may write in any order: faster, but not safe when the power fails"),
    "noatime": _Option("reading does not change times"),
    "extattr": _Option("extended attributes of an FFSv1, from the files below its .attribute"),
    "noexec": _Option("programs there cannot be run"),
    "log": _Option("with a log (WAPBL), which is made where there is none"),
    "replay": _Option(
        "auto, or what else becomes of a log: force (do without a damaged one), ignore, refuse",
        _one_of("auto", "replay", "force", "ignore", "refuse"),
    ),
    "force": _Option("mount in spite of a damaged log or check hash"),
    "nolock": _Option("do not lock the image, nor the overlay"),
    "ufstype": _Option(
        "44bsd, ufs2, 5xbsd, old: ignored, as it is found out", _one_of("44bsd", "ufs2", "5xbsd", "old")
    ),
    "max_read": _Option("ignored", _size),
}
#: other names of options that have a value
_ALIASES: Final = {"sizelimit": "size", "log": "replay"}

#: options -> flags for the kernel
_FLAGS: Final = {
    "sync": MNT_SYNCHRONOUS,
    "async": MNT_ASYNC,
    "noatime": MNT_NOATIME,
    "extattr": MNT_EXTATTR,
    "log": MNT_LOG,
    "force": MNT_FORCE,
}
#: words for the host's mount
_HOST: Final = ("allow_other", "sync", "noatime", "noexec")
#: words that are for us
_OURS: Final = ("nolock",)
#: words that take back what another has said
_OPPOSITES: Final = {"async": "sync", "sync": "async", "atime": "noatime", "exec": "noexec"}
#: what mount(8), fstab(5) and systemd.mount(5) add
IGNORED: Final = frozenset((
    "auto", "noauto", "user", "nouser", "users", "owner", "group", "nofail", "fail", "_netdev", "defaults",
    "dev", "nodev", "exec", "suid", "nosuid", "atime", "relatime", "norelatime", "strictatime",
    "nostrictatime", "lazytime", "nolazytime", "diratime", "nodiratime", "dirsync", "mand", "nomand",
    "iversion", "noiversion", "silent", "loud", "loop", "auto_unmount",
))  # fmt: skip
_IGNORED_VALUES: Final = ("comment", "subtype", "fsname", "user", "loop", "helper", "uhelper")


def parse(words: Iterable[str]) -> MountOptions:
    """Return what -o says.

    Args:
        words: the values of -o, each with commas between options. The last of two that contradict counts.

    Errors:
        OptionError.
    """
    options = MountOptions(None, 0, {}, set())
    for option in (part for text in words for part in text.split(",") if part):
        name, equals, value = option.partition("=")
        name = _ALIASES.get(name, name) if equals else name
        found = OPTIONS.get(name)
        if found is None or bool(equals) != (found.value is not None):
            if _ignored(option):
                _unset(options, _OPPOSITES.get(option, ""))
                continue
            raise OptionError(_unknown(option, name, found))
        if found.value is None:
            _set(options, name)
            continue
        try:
            options.values[name] = found.value(value)
        except ValueError as error:
            raise OptionError(f"-o {option}: {value!r} {error}") from None
    if options.get("replay") == "force":
        options.flags |= MNT_FORCE
    return options


def known(option: str) -> bool:
    """Return whether there is such an option, or it is ignored; what is not known `mount -s` leaves out."""
    return option.partition("=")[0] in OPTIONS or _ignored(option)


def _ignored(option: str) -> bool:
    name, equals, _ = option.partition("=")
    return option in IGNORED or name.startswith(("x-", "X-")) or bool(equals and name in _IGNORED_VALUES)


def _set(options: MountOptions, name: str) -> None:
    if name in ("ro", "rw"):
        options.rw = name == "rw"
    _unset(options, _OPPOSITES.get(name, ""))
    options.flags |= _FLAGS.get(name, 0)
    if name in _HOST:
        options.host.add(name)
    if name in _OURS:
        options.values[name] = True


def _unset(options: MountOptions, name: str) -> None:
    options.flags &= ~_FLAGS.get(name, 0)
    options.host.discard(name)


def _unknown(option: str, name: str, found: _Option | None) -> str:
    if found is not None:
        how = f"{name}=VALUE" if found.value is not None else name
        return f"-o {option}: it is written {how}"
    from difflib import get_close_matches

    near = get_close_matches(name, OPTIONS, 1)
    hint = f"did you mean {near[0]}?" if near else f"the options are {', '.join(OPTIONS)}"
    return f"-o {option}: there is no such option; {hint}"


def help_lines() -> str:
    """Return the options as ``--help`` shows them."""
    names = {name: f"{name}=" if option.value is not None else name for name, option in OPTIONS.items()}
    return "\n".join(f"  {names[name]:20}{option.help}" for name, option in OPTIONS.items())
