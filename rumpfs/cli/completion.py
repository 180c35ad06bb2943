"""What can be typed next: candidates for the last word of a command line, from what the commands say.

Options and operands are those of the commands' own parsers, or of their help where getopt(3) parses; what
completes a value follows from its name there. A candidate that ends in a slash, colon, comma or equals sign
goes on.
"""

from __future__ import annotations

import os
import re
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from typing import Final, NamedTuple, TypeAlias

import rumpfs
from rumpfs.abi.stat import DT_DIR, DT_LNK, DT_UNKNOWN
from rumpfs.base.registry import installed
from rumpfs.cli.mountopts import OPTIONS
from rumpfs.cli.places import printable
from rumpfs.cli.rumpfs import COMMANDS as RUNNING
from rumpfs.cli.rumpfs import VERBS, verb_parser
from rumpfs.cli.tool import Failure, Tool
from rumpfs.client.raw import RUMP_SERVER


class Candidate(NamedTuple):
    """A word that can stand there, and what it means."""

    word: str
    help: str = ""


class Argument(NamedTuple):
    """An option or an operand: what the help says, the name of its value (empty without one), its choices."""

    help: str = ""
    value: str = ""
    choices: Sequence[str] = ()


class Command(NamedTuple):
    """What a command takes; `many`: the last operand may be repeated."""

    options: dict[str, Argument]
    operands: list[Argument]
    many: bool = False


# --- what the commands say --------------------------------------------------------------------------------


def of_parser(parser: ArgumentParser) -> Command:
    """Return what a parser takes."""
    options: dict[str, Argument] = {}
    operands, many = [], False
    for action in parser._actions:
        named = action.metavar if isinstance(action.metavar, str) else action.dest
        argument = Argument(
            action.help or "", "" if action.nargs == 0 else named, tuple(action.choices or ())
        )
        if action.option_strings:
            options |= dict.fromkeys(action.option_strings, argument)
        else:
            operands.append(argument)
            many = action.nargs in ("*", "+")
    return Command(options, operands, many)


_HELP_OPTION: Final = re.compile(r"^  (-.*?)(?: ([\w\[].*?))?(?:(?:  +|\n {8,})(\S.*))?$", re.MULTILINE)


def of_help(text: str, *operands: Argument) -> Command:
    """Return what a command takes whose help lists its options, a line each."""
    found = _HELP_OPTION.findall(text.partition("options:\n")[2])
    options = {name: Argument(text, value) for names, value, text in found for name in names.split(", ")}
    return Command(options, list(operands))


def _server() -> Command:
    return of_help(import_module("rumpfs.cli.options").HELP, Argument("where it listens", "URL"))


def _fuse(prog: str) -> Callable[[], Command]:
    return lambda: of_parser(import_module("rumpfs.cli.rump_ffs").parser(prog))


_COMMANDS: Final[dict[str, Callable[[], Command]]] = {
    "rump_server": _server,
    "rump_allserver": _server,
    "rump_ffs": _fuse("rump_ffs"),
    "rump_tmpfs": _fuse("rump_tmpfs"),
    "rump.halt": lambda: of_help(import_module("rumpfs.cli.rump_halt").HELP),
}
#: commands that have completions
COMMANDS: Final = ("rumpfs", *_COMMANDS)


# --- values -----------------------------------------------------------------------------------------------


def _files(text: str, directories: bool = False) -> Iterator[Candidate]:
    """Names on the host that begin so."""
    directory, begun = os.path.split(text)
    place = directory and directory.rstrip("/") + "/"
    try:
        with os.scandir(os.path.expanduser(directory) or ".") as entries:
            for entry in entries:
                if entry.name.startswith(begun) and (begun or entry.name[0] != "."):
                    if entry.is_dir():
                        yield Candidate(f"{place}{entry.name}/")
                    elif not directories:
                        yield Candidate(place + entry.name)
    except OSError:
        return


def _directories(text: str) -> Iterator[Candidate]:
    return _files(text, directories=True)


def _urls(text: str) -> Iterable[Candidate]:
    if text.startswith("unix://"):
        return (Candidate(f"unix://{found.word}") for found in _files(text[7:]))
    return [Candidate("unix://", "a socket"), Candidate("tcp://", "ADDRESS:PORT/")]


def _addresses(text: str) -> Iterator[Candidate]:
    """Paths in servers and images, and those of the host."""
    directory, separator, begun = text.rpartition("/")
    if re.search(r":/(?!/)", text):
        yield from _inside(directory + separator, begun)
        return
    yield from _urls(text)
    if RUMP_SERVER in os.environ:
        yield Candidate(":/", f"in {os.environ[RUMP_SERVER]}")
    yield from _files(text)


def _inside(directory: str, begun: str) -> Iterator[Candidate]:
    """Names in a directory of a server or an image; none where that cannot be asked."""
    tool = Tool("rumpfs completion")
    try:
        place = tool.remote(directory)
        for entry in place.files.scandir(place.path):
            name, kind = printable(entry.name), entry.type
            if name.startswith(begun) and (begun or name[0] != "."):
                odd = kind in (DT_LNK, DT_UNKNOWN)
                is_directory = place.below(entry.name).is_dir() if odd else kind == DT_DIR
                yield Candidate(f"{directory}{name}/" if is_directory else f"{directory}{name}")
    except (Failure, OSError):
        return
    finally:
        tool.close()


def _list(text: str, names: Iterable[Candidate]) -> Iterator[Candidate]:
    """Complete the last of several words with commas between them; a name with = has a value."""
    before, comma, part = text.rpartition(",")
    name, equals, value = part.partition("=")
    said = {word.partition("=")[0] for word in before.split(",")}
    if equals:
        found = _VALUES.get(f"{name}=", _nothing)(value)
        yield from (Candidate(f"{before}{comma}{name}={word}", text) for word, text in found)
        return
    for word, text in names:
        if word.rstrip("=") not in said:
            yield Candidate(before + comma + word, text)


def _mount_options(text: str) -> Iterator[Candidate]:
    names = ((f"{name}=" if option.value else name, option.help) for name, option in OPTIONS.items())
    return _list(text, (Candidate(*name) for name in names))


def _drive(text: str) -> Iterator[Candidate]:
    help_text: str = import_module("rumpfs.cli.options").HELP.partition("drivespec:")[2]
    names = re.findall(r"^  (\w+=)\S+ +(.*)$", help_text, re.MULTILINE)
    return _list(text, [*(Candidate(*name) for name in names), Candidate("ro", "for reading only")])


def _components(_text: str) -> Iterator[Candidate]:
    return map(Candidate, installed())


def _modules(text: str) -> Iterator[Candidate]:
    directory = os.path.join(os.path.dirname(rumpfs.__file__), "modules")
    yield from (Candidate(name) for name in os.listdir(directory) if name.endswith(".kmod"))
    yield from _files(text)


def _words(*words: str) -> Callable[[str], Iterable[Candidate]]:
    return lambda _: map(Candidate, words)


def _nothing(_text: str) -> Iterable[Candidate]:
    return ()


_Complete: TypeAlias = Callable[[str], Iterable[Candidate]]

#: what a value is called in help -> what completes it; of a name with =: in a list with commas
_VALUES: Final[dict[str, _Complete]] = {
    **dict.fromkeys(("FILE", "file", "IMAGE", "hostpath=", "overlay="), _files),
    **dict.fromkeys(("ADDRESS", "SOURCE", "TARGET", "SERVER", "A", "B"), _addresses),
    **dict.fromkeys(("MOUNTPOINT", "DIR", "dir"), _directories),
    "OPTIONS": _mount_options,
    "FSTYPE": _words("ffs", "tmpfs", "kernfs", "null"),
    "URL": _urls,
    "drivespec": _drive,
    "library": _components,
    "module": _modules,
    "VERB": lambda _: (Candidate(*verb) for verb in VERBS.items()),
    "fstype=": _words("ffs", "tmpfs"),
    "replay=": _words("auto", "force"),
    "size=": _words("host"),
    "type=": _words("blk", "chr", "reg"),
    "disklabel=": _words(*"abcdefgh"),
    "partition=": _words(*"abcdefgh"),
}


# --- the line ---------------------------------------------------------------------------------------------


def complete(words: Sequence[str]) -> list[Candidate]:
    """Return what the last of the words of a command line can become, sorted; it may be empty."""
    name, *rest = words
    name = os.path.basename(name)
    if name not in COMMANDS or not rest:
        return []
    if name != "rumpfs":
        found = _complete(_COMMANDS[name](), rest)
    elif len(rest) == 1:
        found = [*_VALUES["VERB"](""), Candidate("help", "print the help of a verb")]
    elif rest[0] == "help":
        found = [*_VALUES["VERB"](""), Candidate("json", "what --json prints")]
    elif rest[0] in RUNNING and "--" in rest[1:-1]:
        found = _files(rest[-1])
    else:
        found = _complete(of_parser(verb_parser(rest[0])), rest[1:]) if rest[0] in VERBS else ()
    matching = {candidate for candidate in found if candidate.word.startswith(rest[-1])}
    return sorted(candidate for candidate in matching if not re.search(r"[\t\n]", candidate.word))


def _complete(command: Command, words: Sequence[str]) -> Iterable[Candidate]:
    """Return candidates for the last word, of which some may not begin as it does."""
    operands, wanted, options = 0, None, True
    for word in words[:-1]:
        if wanted is not None:
            wanted = None
        elif options and word.startswith("-") and word != "-":
            options = word != "--"
            option = command.options.get(word)
            wanted = option if option is not None and option.value else None
        else:
            operands += 1
    last = words[-1]
    if wanted is not None:
        return _values(wanted, last)
    name, equals, value = last.partition("=")
    if options and equals and name.startswith("--") and name in command.options:
        return (Candidate(f"{name}={word}", text) for word, text in _values(command.options[name], value))
    if options and last.startswith("-"):
        return (Candidate(name, option.help) for name, option in command.options.items())
    if operands >= len(command.operands):
        return _values(command.operands[-1], last) if command.many else ()
    return _values(command.operands[operands], last)


def _values(argument: Argument, text: str) -> Iterable[Candidate]:
    if argument.choices:
        return map(Candidate, map(str, argument.choices))
    if re.fullmatch(r"\w+(\|\w+)+", argument.value):
        return map(Candidate, argument.value.split("|"))
    return _VALUES.get(argument.value.partition("[")[0], _nothing)(text)
