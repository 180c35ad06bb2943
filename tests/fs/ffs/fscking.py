"""Runs the checker on images, and reads what fsck_ffs(8) said of them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from rumpfs.dev.hostfile import HostFile
from rumpfs.dev.window import Window
from rumpfs.fs.ffs.fsck.disk import Disk
from rumpfs.fs.ffs.fsck.finding import Answer, Finding, no
from rumpfs.fs.ffs.fsck.run import Options, Result, check
from tests.images_util import SHARED_IMAGES


class Checked(NamedTuple):
    """What came of a check, and the lines that it said, without what was asked."""

    result: Result
    lines: list[str]

    @property
    def kinds(self) -> list[str]:
        """The kinds of the findings, without the last question of all."""
        assert self.result.check is not None
        return [finding.kind for finding in self.result.check.findings if finding.kind != "not-clean"]


def fsck(
    image: Path,
    answer: Answer = no,
    *,
    write: bool = False,
    force: bool = True,
    offset: int = 0,
    size: int | None = None,
    sblock: int = 0,
) -> Checked:
    """Check an image.

    Args:
        answer: decides about repairs.
        write: write them to the image; else everything is decided, and nothing written.
        force: check also what says that it is clean.
        offset, size: of the file system, in bytes.
        sblock: sector of a copy of the superblock.
    """
    hostfile = HostFile.open(str(image), readonly=not write)
    window = Window(hostfile, offset, hostfile.size - offset if size is None else size, readonly=not write)
    lines: list[str] = []
    known: list[Finding] = []

    def told(finding: Finding, question: str, yes: bool) -> None:
        if not any(finding is each for each in known[-1:]) and finding.kind != "not-clean":
            lines.extend(finding.text.splitlines())
        known.append(finding)

    try:
        disk = Disk(window)
        options = Options(
            answer, readonly=answer is no, force=force, sblock=sblock, told=told, say=lines.append
        )
        result = check(disk, image.name, options)
        if write:
            disk.commit()
    finally:
        window.close()
    return Checked(result, [line.rstrip() for line in lines if line.strip()])


def without_times(name: str, lines: list[str]) -> list[str]:
    """Leave times out where fsck_ffs shows 1970: a UFS2 whose byte order is not that of its machine."""
    swapped = "v2be" in name or "swapped" in name
    return [line.partition("MTIME=")[0] if swapped else line for line in lines]


def fsck_ffs_said(name: str, what: str = "fsck") -> list[str]:
    """Return what fsck_ffs -n said of an image, without what it asked and what depends on the machine."""
    path = SHARED_IMAGES / "netbsd" / f"{name}.{what}.txt"
    if not path.exists():
        pytest.skip(f"no file {path}")
    lines = [line.rstrip() for line in path.read_text().splitlines()[1:]]
    ignored = ("** Swapped", "*****")
    said = [
        line
        for line in lines
        if line and not line.startswith(ignored) and not line.endswith(("? no", "? yes"))
    ]
    return without_times(name, said)
