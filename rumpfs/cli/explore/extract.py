"""Copying out of an image while the terminal is the browser's."""

from __future__ import annotations

import os

from rumpfs.cli.rumpfs import run_verb
from rumpfs.cli.tool import Tool


class _Quiet(Tool):
    """Keeps what it would say."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.said: list[str] = []

    def error(self, text: str) -> None:
        """Keep an error."""
        self.said.append(text)
        self.status = self.status or 1


def extract(image: str, path: bytes, target: str) -> str:
    """Copy a file or a directory with all that is in it, as `rumpfs cp -rp` does.

    Args:
        image: address of the file system.
        path: there.
        target: on the host; must not be there yet, unless it is a directory.

    Returns:
        What went wrong; empty when nothing did.
    """
    if os.path.lexists(target) and not os.path.isdir(target):
        return f"{target}: there is something of that name"
    tool = _Quiet("rumpfs cp")
    try:
        run_verb(tool, "cp", ["-rp", "--progress=none", "--", f"{image}:{os.fsdecode(path)}", target])
    finally:
        tool.close()
    return "\n".join(tool.said)
