"""Documents whose examples are run: blocks of code in them, and what is shown as output."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BIN = Path(sys.prefix) / "bin"
#: language and text of a block of code
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def script(text: str) -> str:
    """Return what a document says to do: its blocks of shell and Python, for sh(1)."""
    lines = ["set -eux"]
    for language, block in BLOCK.findall(text):
        if language == "sh":
            lines.append(block)
        elif language == "python":
            lines.append(f"python - <<'END'\n{block}END")
    return "\n".join(lines)


def environment() -> dict[str, str]:
    """Return an environment with our commands, and no server."""
    keep = {name: value for name, value in os.environ.items() if name != "RUMP_SERVER"}
    return keep | {"PATH": f"{BIN}:{keep['PATH']}"}


def run(directory: Path, text: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Do what a document says, in a directory."""
    return subprocess.run(
        ["sh", "-c", script(text)],
        cwd=directory,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


@contextmanager
def stopping(directory: Path) -> Iterator[Path]:
    """Stop servers that were started in a directory and still run at the end."""
    try:
        yield directory
    finally:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                there = os.readlink(process / "cwd") == str(directory)
            except OSError:
                continue  # it has ended, or belongs to someone else
            if there:
                os.kill(int(process.name), signal.SIGTERM)
