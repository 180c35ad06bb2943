"""rumpfs find."""

from __future__ import annotations

import os
import re
import time
from argparse import Action, ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Sequence
from fnmatch import translate
from typing import Any, Final, TypeAlias

from rumpfs.abi.stat import S_IFDIR, S_IFLNK, S_IFMT, S_IFREG
from rumpfs.cli import listing
from rumpfs.cli.places import printable
from rumpfs.cli.tool import USAGE, Failure, Parser, Tool, json_text
from rumpfs.cli.verbs.du import depth
from rumpfs.cli.walk import Visit, visit, walk
from rumpfs.client.records import TYPE_NAMES

EXAMPLES: Final = """\
  rumpfs find :/mnt -name '*.conf'
  rumpfs find unix://sock:/mnt -type f -size +1M -o -type d -empty
  rumpfs find :/mnt -not -user 0 -ls
  rumpfs find :/mnt -perm -4000 --json | jq -r '.entries[].path'
"""

Test: TypeAlias = Callable[[Visit], bool]

_TYPES: Final = {
    "f": "file", "d": "dir", "l": "symlink", "c": "char", "b": "block", "p": "fifo", "s": "socket",
    "w": "whiteout",
}  # fmt: skip
_UNITS: Final = {"": 512, "c": 1, "k": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_DAY: Final = 86400
#: a line of -ls up to the path: inode, mode, links, owner, group, size, time
_LONG: Final = "%8d %s %3d %5d %5d %10s %s "


def _pattern(text: str, ignorecase: bool = False) -> re.Pattern[str]:
    return re.compile(translate(text), re.IGNORECASE if ignorecase else 0)


def _name(text: str) -> Test:
    match = _pattern(text).match
    return lambda found: match(printable(found.place.name)) is not None


def _iname(text: str) -> Test:
    match = _pattern(text, ignorecase=True).match
    return lambda found: match(printable(found.place.name)) is not None


def _path(text: str) -> Test:
    match = _pattern(text).match
    return lambda found: match(printable(found.place.path)) is not None


def _type(text: str) -> Test:
    wanted = _TYPES.get(text)
    if wanted is None:
        raise ArgumentTypeError(f"{text!r} is no type: it is one of {' '.join(_TYPES)}")
    return lambda found: TYPE_NAMES.get((found.mode & S_IFMT) >> 12) == wanted


def _amount(text: str, what: str) -> Callable[[int], bool]:
    """Parse n, +n (more) or -n (less)."""
    number = text.lstrip("+-") if text[:1] in "+-" else text
    if not number.isdecimal():
        raise ArgumentTypeError(f"{text!r} is no {what}: it is 5, +5 for more or -5 for less")
    value = int(number)
    if text[0] == "+":
        return lambda n: n > value
    return (lambda n: n < value) if text[0] == "-" else (lambda n: n == value)


def _size(text: str) -> Test:
    unit = text[-1:] if text[-1:].isalpha() else ""
    if unit not in _UNITS:
        raise ArgumentTypeError(f"{text!r}: a size ends in one of {' '.join(_UNITS)}, or counts 512 bytes")
    size, matches = _UNITS[unit], _amount(text.removesuffix(unit), "size")
    return lambda found: matches(-(-found.size // size))


def _age(field: str) -> Callable[[str], Test]:
    def parse(text: str) -> Test:
        matches, now = _amount(text, "number of days"), time.time_ns()
        return lambda found: matches((now - getattr(found.st, field)) // (_DAY * 10**9))

    return parse


def _number(field: str) -> Callable[[str], Test]:
    def parse(text: str) -> Test:
        matches = _amount(text, "number")
        return lambda found: matches(getattr(found.st, field))

    return parse


def _perm(text: str) -> Test:
    digits = text.lstrip("-/")
    if not re.fullmatch(r"[0-7]{1,5}", digits) or len(text) - len(digits) > 1:
        raise ArgumentTypeError(f"{text!r} are no permissions: 644 exactly, -022 all of it, /022 any of it")
    bits = int(digits, 8)
    if text[0] == "-":
        return lambda found: found.mode & bits == bits
    if text[0] == "/":
        return lambda found: not bits or bool(found.mode & bits)
    return lambda found: found.mode & 0o7777 == bits


def _empty(found: Visit) -> bool:
    kind = found.mode & S_IFMT
    if kind == S_IFDIR:
        return not found.place.files.listdir(found.place.path)
    return kind == S_IFREG and not found.size


#: primary -> its argument, what makes a test of it, and the help
PRIMARIES: Final[dict[str, tuple[str, Callable[[str], Test], str]]] = {
    "-name": ("PATTERN", _name, "the last component matches, as in the shell"),
    "-iname": ("PATTERN", _iname, "likewise, whatever the case of letters"),
    "-path": ("PATTERN", _path, "the whole path matches"),
    "-type": ("TYPE", _type, "one of f d l c b p s w"),
    "-size": ("N", _size, "of so many units: c k M G T, or of 512 bytes; +N more, -N less"),
    "-perm": ("MODE", _perm, "octal: 644 exactly, -022 all of these bits, /022 any of them"),
    "-user": ("UID", _number("st_uid"), "owner"),
    "-group": ("GID", _number("st_gid"), "group"),
    "-links": ("N", _number("st_nlink"), "so many links"),
    "-inum": ("N", _number("st_ino"), "inode number"),
    "-mtime": ("DAYS", _age("st_mtime_ns"), "modified so many days ago; -1 within a day"),
    "-atime": ("DAYS", _age("st_atime_ns"), "accessed so many days ago"),
    "-ctime": ("DAYS", _age("st_ctime_ns"), "changed so many days ago"),
}


class _Add(Action):
    """Appends to the expression: a test, or the word of an operator."""

    def __call__(
        self, parser: ArgumentParser, namespace: Namespace, values: Any, option: str | None = None
    ) -> None:
        namespace.expression = [*(namespace.expression or []), values if callable(values) else self.const]


def arguments(parser: Parser) -> None:
    """Add the options."""
    parser.set_defaults(expression=[])
    for name, (metavar, make, text) in PRIMARIES.items():
        parser.add_argument(name, action=_Add, dest="expression", metavar=metavar, type=make, help=text)
    words: dict[str, tuple[Test | str, str]] = {
        "-empty": (_empty, "a file of 0 bytes, or a directory without entries"),
        "-not": ("not", "what follows must not hold"),
        "-o": ("or", "or; what stands side by side must hold together"),
    }
    for name, (const, text) in words.items():
        parser.add_argument(name, action=_Word, dest="expression", const=const, nargs=0, help=text)
    parser.add_argument("-maxdepth", metavar="N", type=depth, help="go no deeper")
    parser.add_argument("-mindepth", metavar="N", type=depth, default=0, help="show nothing above")
    parser.flag("-depth", "bottom_up", "directories after what is in them")
    parser.flag("-xdev", "one", "stay in the file system that the walk begins in")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("-print0", dest="zero", action="store_true", help="NUL bytes in place of newlines")
    shown.add_argument("-ls", dest="long", action="store_true", help="attributes as well")
    shown.add_argument("--json", action="store_true", help="a JSON document; see rumpfs help json")
    parser.add_argument("address", metavar="ADDRESS", nargs="*", help=":/path or unix://sock:/path (:/)")


class _Word(_Add):
    """Appends what the option stands for."""

    def __call__(
        self, parser: ArgumentParser, namespace: Namespace, values: Any, option: str | None = None
    ) -> None:
        super().__call__(parser, namespace, self.const, option)


def _expression(parts: Sequence[Test | str]) -> Test:
    """Return the test that an expression means: alternatives of what must hold together.

    Errors:
        ValueError: an operator has nothing to work on.
    """
    alternatives: list[list[Test]] = [[]]
    negate = False
    for part in parts:
        if part == "or":
            if negate or not alternatives[-1]:
                raise ValueError("-o stands between two tests")
            alternatives.append([])
        elif part == "not":
            negate = not negate
        elif callable(part):
            alternatives[-1].append(_not(part) if negate else part)
            negate = False
    if negate or (len(alternatives) > 1 and not alternatives[-1]):
        raise ValueError(f"nothing follows {'-not' if negate else '-o'}")
    together = [_all(tests) for tests in alternatives]
    return together[0] if len(together) == 1 else lambda found: any(test(found) for test in together)


def _all(tests: list[Test]) -> Test:
    """Return the test that holds when all do."""
    return tests[0] if len(tests) == 1 else lambda found: all(test(found) for test in tests)


def _not(test: Test) -> Test:
    return lambda found: not test(found)


def run(tool: Tool, args: Namespace) -> None:
    """Show what matches below what the command line names."""
    try:
        matches = _expression(args.expression) if args.expression else None
    except ValueError as error:
        raise Failure(str(error), USAGE) from error
    entries: list[dict[str, object]] = []
    for text in args.address or [tool.here]:
        top = visit(tool, tool.remote(text, b"/"))
        if top is None:
            continue
        device = top.st.st_dev

        def enter(found: Visit, device: int = device) -> bool:
            deep = args.maxdepth is not None and found.depth >= args.maxdepth
            return not deep and not (args.one and found.st.st_dev != device)

        show = _shower(tool, args, top, entries)
        least = args.mindepth
        for found in walk(tool, top, enter, args.bottom_up):
            try:
                if found.depth >= least and (matches is None or matches(found)):
                    show(found)
            except OSError as error:
                tool.failed(str(found.place), error)
    if args.json:
        tool.write(json_text({"entries": entries}))


def _shower(
    tool: Tool, args: Namespace, top: Visit, entries: list[dict[str, object]]
) -> Callable[[Visit], None]:
    """Return what shows a file that matches."""
    prefix = os.fsencode(top.place.prefix)
    end = b"\0" if args.zero else b"\n"
    now = time.time()

    def path(found: Visit) -> None:
        tool.write_bytes(prefix + found.path + end)

    def long(found: Visit) -> None:
        st = found.st
        mode, size = listing.mode_string(st.st_mode), listing.size_text(st)
        when = listing.when(st.st_mtime_ns, now)
        # The oldest way to format is the fastest one, and this is done for each of a million files.
        head = _LONG % (st.st_ino, mode, st.st_nlink, st.st_uid, st.st_gid, size, when)
        target = _target(found)
        arrow = b"" if target is None else b" -> " + target
        tool.write_bytes(head.encode() + prefix + found.path + arrow + b"\n")

    def document(found: Visit) -> None:
        place = found.place
        entries.append(listing.node(place.name or b"/", place.path, found.st, _target(found)))

    return document if args.json else long if args.long else path


def _target(found: Visit) -> bytes | None:
    """Return what a symbolic link says; None for what is none."""
    return found.place.files.readlink(found.path) if found.mode & S_IFMT == S_IFLNK else None
