"""Running the client programs of `h_client` against a server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.serving import Served

PROJECT = Path(__file__).resolve().parents[2]
#: how long a program may take, in seconds
PROGRAM_MAX = 120.0


@contextmanager
def started(served: Served, program: str, *args: str, status: int = 0) -> Iterator[subprocess.Popen[bytes]]:
    """Start a client program that uses the server; its standard input ends with the context.

    Args:
        status: what it has to end with; less than 0: the signal.

    Errors:
        AssertionError: it ends otherwise.
        subprocess.TimeoutExpired: it, or a process that it left behind, hangs.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.conformance.h_client", program, *args],
        cwd=PROJECT,
        env={**os.environ, "RUMP_SERVER": served.url},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield process
        _, errors = process.communicate(timeout=PROGRAM_MAX)
    except BaseException:
        os.killpg(process.pid, 9)
        process.communicate()
        raise
    assert process.returncode == status, f"{program}: {process.returncode}: {errors.decode()}"


def run(served: Served, program: str, *args: str) -> None:
    """Run a client program, which has to end with status 0. Errors: AssertionError."""
    with started(served, program, *args):
        pass
