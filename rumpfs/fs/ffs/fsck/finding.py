"""Findings: what is wrong in one place, and what was decided about it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rumpfs.base.errors import DiskError
from rumpfs.fs.ffs.fsck.kinds import KINDS, Kind
from rumpfs.ondisk.ufs.dinode import Dinode


class Unexpected(DiskError):
    """A check that only repairs what a crash leaves behind has found something else (fsck -p)."""


@dataclass(slots=True)
class Finding:
    """Something that is wrong.

    Attributes:
        kind: its condition, a key of `KINDS`.
        phase: the pass that found it: ``0`` (superblock and log), ``1``, ``1b``, ``2`` ... ``6``.
        inode, group: where: inode number, cylinder group.
        block: where: frag address; of a superblock the sector of 512 bytes.
        field: what is wrong, under its BSD name; of a quota the id.
        got, expected: what was found there, and what should be.
        path: of a directory or a file, as far as it is known.
        who: owner, mode, size and time of the inode, as fsck_ffs shows them.
        what: FILE, DIR and the like.
        answers: what was asked, and what the answer was.
        silent: another finding of this kind has been asked about, and its answer holds for this one too.
    """

    kind: str
    phase: str
    inode: int | None = None
    group: int | None = None
    block: int | None = None
    field: str = ""
    got: Any = None
    expected: Any = None
    path: bytes = b""
    who: str = ""
    what: str = ""
    answers: list[tuple[str, bool]] = dataclasses.field(default_factory=list)
    silent: bool = False

    @property
    def type(self) -> Kind:
        """The row of `KINDS`."""
        return KINDS[self.kind]

    @property
    def text(self) -> str:
        """The condition in fsck_ffs's words."""
        return self.type.text.format(
            inode=self.inode,
            group=self.group,
            block=self.block,
            field=self.field,
            got=_shown(self.got),
            expected=self.expected,
            path=_shown(self.path),
            who=self.who,
            what=self.what,
        )

    @property
    def fixed(self) -> bool:
        """True when some answer was yes."""
        return any(yes for _, yes in self.answers)


#: ``answer(finding, question)`` decides.
Answer = Callable[[Finding, str], bool]


def no(finding: Finding, question: str) -> bool:
    """Decide as fsck -n does."""
    return False


def yes(finding: Finding, question: str) -> bool:
    """Decide as fsck -y does."""
    return True


def preen(finding: Finding, question: str) -> bool:
    """Decide as fsck -p does.

    Raises:
        Unexpected: this is nothing that a crash leaves behind.
    """
    if not finding.type.preen or (finding.kind == "link-count" and finding.expected > finding.got):
        raise Unexpected(finding.text, "UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY")
    return question != "RECONNECT" or finding.got != 0


def facts(ino: int, di: Dinode) -> str:
    """Return what fsck_ffs shows of an inode."""
    return f" I={ino}  OWNER={di.di_uid} MODE={di.di_mode:o}\nSIZE={di.di_size} MTIME={_mtime(di.di_mtime)}  "


def _mtime(seconds: int) -> str:
    """Return a time of modification without seconds, in the local time zone."""
    try:
        return time.strftime("%b %e %H:%M %Y", time.localtime(seconds))
    except (OverflowError, OSError, ValueError):
        return str(seconds)


def _shown(value: Any) -> Any:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
