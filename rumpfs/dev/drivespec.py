"""Drivespecs: the argument of rump_server's ``-d``, which maps a host file into the rump kernel.

``key=/dev/dk,hostpath=dk.img,size=1g`` and the like; rump_server(1) says what the names mean. The bare
word ``ro`` is ours.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from rumpfs.base.sizes import SizeError, parse_size

DriveType = Literal["blk", "chr", "reg"]
TYPES: tuple[DriveType, ...] = ("blk", "chr", "reg")


class DriveSpecError(ValueError):
    """A drivespec is wrong.

    Args:
        message: what to print.
        usage: True when the usage is to be printed after it; False for a bad number, where the program's
            name goes before it instead.
    """

    def __init__(self, message: str, usage: bool = True) -> None:
        super().__init__(message)
        self.message = message
        self.usage = usage


@dataclass(frozen=True, slots=True)
class DriveSpec:
    """A parsed drivespec.

    Attributes:
        key: path in the rump kernel.
        hostpath: path of the host file.
        size: bytes of the window; None when not given (the disklabel or the host file decides).
        size_host: True for ``size=host``: the file exists, and its size now is the size.
        offset: first byte of the window.
        disklabel: partition letter, or None.
        type: what the key is in the rump kernel.
        readonly: True for ``ro``: the host file is neither created, extended nor written.
    """

    key: bytes
    hostpath: str
    size: int | None = None
    size_host: bool = False
    offset: int = 0
    disklabel: str | None = None
    type: DriveType = "blk"
    readonly: bool = False


@dataclass(slots=True)
class _Draft:
    """What has been read so far."""

    key: bytes | None = None
    hostpath: str | None = None
    size: int = 0
    size_host: bool = False
    offset: int = 0
    disklabel: str | None = None
    type: DriveType | None = None
    readonly: bool = False


def parse_drivespec(text: str) -> DriveSpec:
    """Return the drivespec in `text`.

    Raises:
        DriveSpecError: with rump_server's message.
    """
    draft = _Draft()
    words = text.split(",")
    if words[-1] == "":
        words.pop()
    for word in words:
        name, equals, value = word.partition("=")
        if word in _WORDS:
            _WORDS[word](draft)
        elif name not in _NAMES:
            raise DriveSpecError("invalid dtoken")
        elif not equals:
            raise DriveSpecError(f"missing value for {name}")
        else:
            _NAMES[name](draft, value)
    if draft.key is None or draft.hostpath is None:
        raise DriveSpecError("incomplete drivespec")
    sized = draft.size or draft.size_host or draft.disklabel is not None
    if not sized and draft.type != "reg":
        raise DriveSpecError("incomplete drivespec")
    labelled = draft.disklabel is not None
    return DriveSpec(
        key=draft.key,
        hostpath=draft.hostpath,
        size=draft.size if draft.size and not labelled else None,
        size_host=draft.size_host and not labelled,
        offset=0 if labelled else draft.offset,
        disklabel=draft.disklabel,
        type=draft.type or "blk",
        readonly=draft.readonly,
    )


def _key(draft: _Draft, value: str) -> None:
    if draft.key is not None:
        raise DriveSpecError("key already given")
    draft.key = os.fsencode(value)


def _hostpath(draft: _Draft, value: str) -> None:
    if draft.hostpath is not None:
        raise DriveSpecError("hostpath already given")
    draft.hostpath = value


def _size(draft: _Draft, value: str) -> None:
    if draft.size or draft.size_host:
        raise DriveSpecError("size already given")
    if value == "host":
        if draft.offset:
            raise DriveSpecError("cannot specify offset with size=host")
        draft.size_host = True
    else:
        draft.size = _number(value, "-d size")


def _offset(draft: _Draft, value: str) -> None:
    if draft.offset:
        raise DriveSpecError("offset already given")
    if draft.size_host:
        raise DriveSpecError("cannot specify offset with size=host")
    draft.offset = _number(value, "-d offset")


def _disklabel(draft: _Draft, value: str) -> None:
    if draft.offset or draft.size or draft.size_host:
        raise DriveSpecError("disklabel needs to be used alone")
    if not re.fullmatch("[a-z]", value):
        raise DriveSpecError("invalid label part")
    draft.disklabel = value


def _type(draft: _Draft, value: str) -> None:
    if draft.type is not None:
        raise DriveSpecError("type already specified")
    if value not in TYPES:
        raise DriveSpecError(f"invalid type {value}")
    draft.type = value


def _ro(draft: _Draft) -> None:
    draft.readonly = True


def _number(value: str, what: str) -> int:
    try:
        return parse_size(value, what)
    except SizeError as error:
        raise DriveSpecError(str(error), usage=False) from error


#: The names that take a value, and what each does; the words that take none.
_NAMES: dict[str, Callable[[_Draft, str], None]] = {
    "key": _key,
    "hostpath": _hostpath,
    "size": _size,
    "offset": _offset,
    "disklabel": _disklabel,
    "type": _type,
}
_WORDS: dict[str, Callable[[_Draft], None]] = {"ro": _ro}
