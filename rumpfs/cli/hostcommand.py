"""Commands of the host that a verb runs."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rumpfs.cli.tool import Tool
from rumpfs.client.raw import EXECFD, PARSEDSERVER, RUMP_SERVER

#: exit statuses of a shell
NOT_FOUND = 127
NOT_EXECUTABLE = 126


def run(
    tool: Tool,
    words: list[str],
    env: Mapping[str, str],
    meanwhile: Callable[[subprocess.Popen[bytes]], None] | None = None,
    stdin: int | None = None,
) -> int:
    """Run a command to its end.

    Args:
        tool: says why it cannot be run.
        words: the program and its arguments.
        env: its environment.
        meanwhile: called when it runs.
        stdin: as for subprocess.

    Returns:
        the exit status, as a shell has it: 128 and the number of the signal that ended it.
    """
    with _left_to_others(signal.SIGINT, signal.SIGQUIT):
        try:
            process = subprocess.Popen(words, env=env, stdin=stdin)
        except OSError as error:
            tool.error(f"{words[0]}: {error.strerror}")
            return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
        before = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        try:
            if meanwhile is not None:
                meanwhile(process)
            status = process.wait()
        finally:
            signal.signal(signal.SIGTERM, before)
    return 128 - status if status < 0 else status


@contextmanager
def _left_to_others(*signals: signal.Signals) -> Iterator[None]:
    """Take no notice of signals that keys send to all processes of a terminal.

    A handler that does nothing is not inherited by a program that is executed, other than SIG_IGN.
    """
    noticed = [signo for signo in signals if signal.getsignal(signo) is not signal.SIG_IGN]
    before = {signo: signal.signal(signo, lambda *_: None) for signo in noticed}
    try:
        yield
    finally:
        for signo, handler in before.items():
            signal.signal(signo, handler)


def environment(url: str) -> dict[str, str]:
    """Return an environment in which clients find the server at a url."""
    kept = {name: value for name, value in os.environ.items() if name not in (PARSEDSERVER, EXECFD)}
    return kept | {RUMP_SERVER: url}
