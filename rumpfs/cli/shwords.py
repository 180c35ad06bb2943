"""Lines of a shell as commands and words: quoting as in sh(1), and patterns."""

from __future__ import annotations

import re
from typing import Final

_MAGIC: Final = "*?["
_END: Final = ";\n"
#: words of sh(1) that stand for what this shell does not have
_FOREIGN: Final = ("|", "||", "&", "&&", "<", ">", ">>", "2>")


class Unfinished(ValueError):
    """A quotation is not closed.

    Attributes:
        commands: what stands there, as if it were.
    """

    def __init__(self, text: str, commands: list[list[Word]]) -> None:
        super().__init__(text)
        self.commands = commands


class Word(str):
    """A word without its quotes.

    Attributes:
        start: where it begins in the line.
        pattern: the word as a pattern of glob(3), in which quoted letters stand for themselves; None when
            it has nothing but such.
    """

    __slots__ = ("pattern", "start")
    start: int
    pattern: str | None


class _Reader:
    """Reads words from a text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._letters: list[tuple[str, bool]] | None = None  # and whether they stand for themselves
        self._start = 0
        self.commands: list[list[Word]] = [[]]

    def read(self) -> None:
        """Read everything."""
        text = self._text
        while self._at < len(text):
            letter = text[self._at]
            if self._letters is None and letter == "#":
                self._at = end if (end := text.find("\n", self._at)) >= 0 else len(text)
            elif self._letters is None and letter == "!" and not self.commands[-1]:
                self._host()
            elif letter in _END or letter.isspace():
                self._word()
                self._at += 1
                if letter in _END:
                    self.commands.append([])
            else:
                self._piece(letter)
        self._word()

    def _host(self) -> None:
        """Take the rest of the line as it is."""
        end = self._text.find("\n", self._at)
        end = len(self._text) if end < 0 else end
        for part in (self._text[self._at], self._text[self._at + 1 : end].strip()):
            self._letters, self._start = [(letter, True) for letter in part], self._at
            self._word()
        self._at = end

    def _piece(self, letter: str) -> None:
        if self._letters is None:
            self._letters = []
            self._start = self._at
        self._at += 1
        if letter in "'\"":
            self._quoted(letter)
        elif letter == "\\":
            self._escape(letter)
        else:
            self._letters.append((letter, letter not in _MAGIC))

    def _quoted(self, quote: str) -> None:
        text = self._text
        assert self._letters is not None
        while self._at < len(text) and text[self._at] != quote:
            letter = text[self._at]
            self._at += 1
            # In double quotes a backslash is one, but before what it is needed for.
            if letter == "\\" and quote == '"' and text[self._at : self._at + 1] in ('"', "\\"):
                letter = text[self._at]
                self._at += 1
            self._letters.append((letter, True))
        if self._at == len(text):
            self._word()
            raise Unfinished(f"no closing {quote}", self.commands)
        self._at += 1

    def _escape(self, letter: str) -> None:
        assert self._letters is not None
        if self._at == len(self._text):
            self._word()
            raise Unfinished("nothing behind the backslash", self.commands)
        letter = self._text[self._at]
        self._at += 1
        if letter != "\n":
            self._letters.append((letter, True))

    def _word(self) -> None:
        """End the word, if there is one."""
        letters, self._letters = self._letters, None
        if letters is None:
            return
        word = Word("".join(letter for letter, _ in letters))
        word.start = self._start
        word.pattern = None
        if not all(plain for _, plain in letters):
            word.pattern = "".join(f"[{c}]" if plain and c in _MAGIC else c for c, plain in letters)
        self.commands[-1].append(word)


def split(text: str) -> list[list[Word]]:
    """Return the commands in a text, as lists of words.

    They end with ``;`` or the line; ``#`` begins a comment; of a command that begins with ``!`` the second
    word is the rest of the line as it is.

    Errors:
        Unfinished: a quotation is not closed.
        ValueError: something of sh(1) that is not here.
    """
    reader = _Reader(text)
    reader.read()
    for command in reader.commands:
        for word in command:
            if word in _FOREIGN and command[0] != "!" and text.startswith(word, word.start):
                raise ValueError(
                    f"there is no {word} here; ! is a command of the host, as in: !rumpfs cat :/file | less"
                )
    return [command for command in reader.commands if command]


def last(text: str) -> list[Word]:
    """Return the words of the last command in a text that may go on; the last word may be empty."""
    reader = _Reader(text)
    try:
        reader.read()
    except Unfinished:
        return reader.commands[-1]
    words = reader.commands[-1]
    if not words or (text[-1:].isspace() and text[-2:-1] != "\\"):
        word = Word("")
        word.start, word.pattern = len(text), None
        words.append(word)
    return words


def quote(text: str) -> str:
    """Return a text so that `split` makes one word of it, with backslashes."""
    return re.sub(r"([^\w./@%+=:,~-])", r"\\\1", text)
