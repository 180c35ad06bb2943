"""The terminal side of `rumpfs sh`: line editing, history and completion with readline(3)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from rumpfs.abi.stat import DT_LNK, DT_UNKNOWN, S_IFDIR
from rumpfs.cli.places import printable
from rumpfs.cli.shell import Shell, names
from rumpfs.cli.shwords import last, quote
from rumpfs.cli.tool import Failure, columns

try:
    import readline
except ImportError:  # a Python without it: lines are read as the terminal gives them
    readline = None  # type: ignore[assignment]

#: lines of history that are kept
_HISTORY: Final = 1000
#: commands whose first operand is a path of the host
_LOCAL: Final = ("put", "lcd")


class Terminal:
    """Reads lines for a shell.

    Args:
        shell: whose commands and paths are completed.
    """

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._lines: list[str] = []  # the completions of a line, as whole lines
        self._shown: list[str] = []  # what differs between them
        if readline is None:
            return
        self._history = _history_file()
        try:
            readline.read_history_file(self._history)
        except OSError:
            pass  # there is none yet
        self._known = readline.get_current_history_length()
        readline.set_history_length(_HISTORY)
        readline.set_completer_delims("")
        readline.set_completer(self._complete)
        readline.set_completion_display_matches_hook(self._display)
        readline.parse_and_bind("tab: complete")

    def read(self) -> str:
        """Return the next line. Errors: EOFError, KeyboardInterrupt."""
        return input(self._prompt())

    def close(self) -> None:
        """Keep the history, where that is possible."""
        if readline is None:
            return
        readline.set_completer(None)
        readline.set_completion_display_matches_hook(None)
        new = readline.get_current_history_length() - self._known
        try:
            self._history.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._history.touch(0o600)
            readline.append_history_file(new, self._history)
        except OSError:
            pass  # a history is a convenience

    def _prompt(self) -> str:
        cwd = printable(self._shell.cwd)
        return f"rumpfs:{''.join(letter if letter.isprintable() else '?' for letter in cwd)}> "

    # --- completion -------------------------------------------------------------------------------

    def _complete(self, line: str, state: int) -> str | None:
        if state == 0:
            try:
                self._find(line)
            except (Failure, OSError):
                self._lines = []  # the next command says what is wrong
        return self._lines[state] if state < len(self._lines) else None

    def _find(self, line: str) -> None:
        """Complete the last word of a line."""
        words = last(line)
        word = words[-1]
        directory, slash, begun = word.rpartition("/")
        directory += slash
        if len(words) == 1 or words[0] == "help":
            directory, begun = "", word
            found = [f"{name} " for name in names() if name.startswith(begun)]
        else:
            local = words[0] in _LOCAL and len(words) == 2
            found = list((_local if local else self._remote)(directory, begun))
        matching = sorted(name for name in found if begun or name[0] != ".")
        before = line[: word.start]
        self._shown = [name.rstrip(" ") for name in matching]
        self._lines = [
            before + quote(directory + name.removesuffix(" ")) + (" " if name.endswith(" ") else "")
            for name in matching
        ]

    def _remote(self, directory: str, begun: str) -> Iterator[str]:
        """Yield names in a directory of the server with what follows them: a slash or a blank."""
        for entry in self._shell.scandir(directory):
            name = printable(entry.name)
            if name.startswith(begun):
                kind = entry.type << 12
                if entry.type in (DT_UNKNOWN, DT_LNK):
                    kind = self._shell.kind(directory + name)
                yield name + ("/" if kind == S_IFDIR else " ")

    def _display(self, _line: str, _matches: Sequence[str], _longest: int) -> None:
        width = os.get_terminal_size(sys.stdout.fileno()).columns
        sys.stdout.write("\n" + columns(self._shown, width))
        assert readline is not None
        sys.stdout.write(self._prompt() + readline.get_line_buffer())
        sys.stdout.flush()


def _local(directory: str, begun: str) -> Iterator[str]:
    """Yield names in a directory of the host with what follows them."""
    for name in os.listdir(directory or "."):
        if name.startswith(begun):
            yield name + ("/" if os.path.isdir(directory + name) else " ")


def _history_file() -> Path:
    state = os.environ.get("XDG_STATE_HOME", "")
    base = Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state"
    return base / "rumpfs" / "history"
