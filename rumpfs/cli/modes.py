"""Modes as chmod(1) takes them."""

from __future__ import annotations

import re
from typing import Final, TypeAlias

from rumpfs.abi.stat import S_ISGID, S_ISTXT, S_ISUID

ALL: Final = 0o7777
_WHO: Final = {"u": 0o700 | S_ISUID, "g": 0o070 | S_ISGID, "o": 0o007}
_BITS: Final = {"r": 0o444, "w": 0o222, "x": 0o111, "s": S_ISUID | S_ISGID, "t": S_ISTXT}
_SHIFT: Final = {"u": 6, "g": 3, "o": 0}
_CLAUSE: Final = re.compile(r"([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)")
_ACTION: Final = re.compile(r"([-+=])([rwxXst]*|[ugo])(?=[-+=]|$)")

#: who it is for ("" for all, less the umask), what to do, and with which letters
_Step: TypeAlias = tuple[str, str, str]


class Mode:
    """A change of permissions, absolute (``755``) or symbolic (``u+x,go-w``, chmod(1)).

    Errors:
        ValueError: it is neither.
    """

    def __init__(self, text: str) -> None:
        self._steps: list[_Step] = []
        self._absolute: int | None = None
        if re.fullmatch(r"[0-7]{1,5}", text) and int(text, 8) <= ALL:
            self._absolute = int(text, 8)
            return
        for clause in text.split(","):
            parsed = _CLAUSE.fullmatch(clause)
            if parsed is None:
                raise ValueError(f"{text!r} is no mode: an octal number up to 7777, or as u+x,go-w")
            self._steps += [(parsed[1], *action) for action in _ACTION.findall(parsed[2])]

    def of(self, mode: int, directory: bool, umask: int) -> int:
        """Return the permissions that a file gets.

        Args:
            mode: its permissions now.
            directory: whether it is one, for X.
            umask: takes bits away where a clause does not say for whom it is.
        """
        if self._absolute is not None:
            return self._absolute
        mode &= ALL
        for who, action, letters in self._steps:
            mode = _step(mode, directory, umask, who, action, letters)
        return mode


def _step(mode: int, directory: bool, umask: int, who: str, action: str, letters: str) -> int:
    classes = "ugo" if not who or "a" in who else who
    scope = S_ISTXT
    for letter in classes:
        scope |= _WHO[letter]
    if letters in _SHIFT:
        own = mode >> _SHIFT[letters] & 7
        bits = own << 6 | own << 3 | own
    else:
        bits = 0
        for letter in letters:
            if letter == "X":
                letter = "x" if directory or mode & 0o111 else ""
            bits |= _BITS.get(letter, 0)
    bits &= scope
    if not who:
        bits &= ~umask
    if action == "+":
        return mode | bits
    if action == "-":
        return mode & ~bits
    kept = mode & ~scope if who else mode & ~(scope & ~umask)
    return kept | mode & S_ISTXT & -(letters in _SHIFT) | bits
