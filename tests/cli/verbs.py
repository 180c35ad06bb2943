"""Running `rumpfs` and rump.halt against a server, and looking at what they said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

BIN = Path(sys.prefix) / "bin"
PATIENCE = 60


class Done(NamedTuple):
    """A program that has ended."""

    status: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[str]:
        return os.fsdecode(self.out).splitlines()

    @property
    def json(self) -> Any:
        document = json.loads(self.out)
        assert document["schema_version"] == 1
        return document


class Shell:
    """Runs programs in a directory of the host, with RUMP_SERVER set.

    Args:
        url: the server; None for none.
        cwd: the directory.
    """

    def __init__(self, url: str | None, cwd: Path) -> None:
        self.cwd = cwd
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith("RUMP")}
        self.environ |= {"LC_ALL": "C.UTF-8", "TZ": "UTC"}
        if url is not None:
            self.environ["RUMP_SERVER"] = url

    def run(self, *words: str | bytes, program: str = "rumpfs") -> Done:
        """Run a program to its end."""
        done = subprocess.run(
            [str(BIN / program), *words],
            cwd=self.cwd, env=self.environ, capture_output=True, stdin=subprocess.DEVNULL, timeout=PATIENCE,
        )  # fmt: skip
        err = os.fsdecode(done.stderr)
        assert "Traceback" not in err, err
        return Done(done.returncode, done.stdout, err)

    def ok(self, *words: str | bytes) -> Done:
        """Run `rumpfs`, which succeeds without a word on standard error."""
        done = self.run(*words)
        assert (done.status, done.err) == (0, ""), done
        return done

    def fails(self, *words: str | bytes, status: int = 1) -> str:
        """Run `rumpfs`, which fails; return what it said."""
        done = self.run(*words)
        assert done.status == status, done
        return done.err
