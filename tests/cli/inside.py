"""Running verbs of `rumpfs` that need no server in this process, which is much faster than starting one."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

from rumpfs.cli.rumpfs import main
from tests.cli.verbs import Done, Shell


def _memory() -> io.BufferedRandom:
    """Return a file in memory, which has a descriptor as a command's output has."""
    return open(os.memfd_create("out"), "w+b")


class Inside(Shell):
    """Runs `rumpfs` as `Shell` does, but in this process.

    Args:
        cwd: the directory.
    """

    def __init__(self, cwd: Path) -> None:
        Shell.__init__(self, None, cwd)

    def run(self, *words: str | bytes, program: str = "rumpfs") -> Done:
        """Run `rumpfs` to its end."""
        assert program == "rumpfs"
        err = io.BytesIO()
        before = (sys.argv, sys.stdin, sys.stdout, sys.stderr, os.getcwd(), dict(os.environ))
        os.chdir(self.cwd)
        os.environ.clear()
        os.environ.update(self.environ)
        try:
            with _memory() as out:
                sys.argv = [program, *map(os.fsdecode, words)]
                sys.stdin = io.TextIOWrapper(io.BytesIO())
                sys.stdout = io.TextIOWrapper(out, errors="surrogateescape", write_through=True)
                sys.stderr = io.TextIOWrapper(err, errors="surrogateescape", write_through=True)
                status = main()
                sys.stdout.flush()
                sys.stderr.flush()
                out.seek(0)
                return Done(status, out.read(), os.fsdecode(err.getvalue()))
        finally:
            sys.argv, sys.stdin, sys.stdout, sys.stderr, cwd, environ = before
            os.chdir(cwd)
            os.environ.clear()
            os.environ.update(environ)
