"""The commands of `rumpfs sh`: the verbs of `rumpfs` with paths of one server, and some of its own."""

from __future__ import annotations

import fnmatch
import glob
import os
from argparse import Namespace
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, NoReturn

from rumpfs.abi.stat import S_IFDIR
from rumpfs.base.address import SCHEMES
from rumpfs.cli import hostcommand
from rumpfs.cli.address import HostAddress, ImagePath, ServerAddress
from rumpfs.cli.places import HostFiles, Place, ServerFiles, printable
from rumpfs.cli.rumpfs import COMMANDS, VERBS, run_verb
from rumpfs.cli.shwords import Word, split
from rumpfs.cli.tool import INTERRUPTED, USAGE, Failure, Parser, Tool, remedy
from rumpfs.cli.trees import pairs
from rumpfs.cli.verbs import cp
from rumpfs.client.records import DirEntry

NAME: Final = "rumpfs sh"
#: how addresses begin, as opposed to paths
_ADDRESSES: Final = (":/", *(f"{scheme}://" for scheme in SCHEMES))


class Leave(Exception):
    """The shell is to end with a status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class _Typed(Place[ServerFiles]):
    """A place that shows itself as it was typed, while its path is from the root directory."""

    __slots__ = ("shown",)

    def __init__(self, files: ServerFiles, path: bytes, shown: bytes) -> None:
        super().__init__(files, path, "")
        self.shown = shown

    def __str__(self) -> str:
        return printable(self.shown)

    def below(self, name: bytes) -> _Typed:
        """Return the place of a name in this directory."""
        return _Typed(self.files, os.path.join(self.path, name), os.path.join(self.shown, name))


class Shell(Tool):
    """A tool that keeps one connection and a working directory.

    Args:
        files: the connection.
        path: the directory to begin in.
        interactive: whether an interrupt ends the command only.
        stdin: where commands of the host read from; None: where the shell does.

    Attributes:
        cwd: the working directory.

    Errors:
        Failure: there is no such directory.
    """

    here = "."

    def __init__(
        self, files: ServerFiles, path: bytes, *, interactive: bool, stdin: int | None = None
    ) -> None:
        super().__init__(NAME)
        self._interactive = interactive
        self._stdin = stdin
        self._where = files.where
        self._clients[self._where] = files
        self.cwd = self._before = b"/"
        self._last = 0
        if path != b"/":
            self.cd(files, path)

    # --- places -----------------------------------------------------------------------------------

    def url(self, url: str | None) -> str:
        """Return a url, or for None that of the server of the shell."""
        return self._where if url is None else url

    def client(self, url: str | None) -> ServerFiles:
        """Return the connection to a server; a new one when the old one is gone."""
        where = self.url(url)
        client = self._clients.get(where)
        if client is not None:
            if not client.lost:
                return client
            client.close()
            del self._clients[where]
        client = super().client(url)
        if where == self._where and self.cwd != b"/":
            try:
                client.chdir(self.cwd)
            except OSError as error:
                self.error(f"{printable(self.cwd)}: {error.strerror}; the working directory is / now")
                self.cwd = b"/"
        return client

    def parse(self, text: str) -> HostAddress | ServerAddress | ImagePath:
        if not text or text == ":" or text.startswith(_ADDRESSES):
            return super().parse(text)
        self.client(None)  # a new connection may not find the working directory any more
        return ServerAddress(None, os.path.join(self.cwd, os.fsencode(text)))

    def _server(self, found: ServerAddress, text: str, default: bytes | None = None) -> Place[ServerFiles]:
        place = super()._server(found, text, default)
        if text.startswith(_ADDRESSES):
            return place
        return _Typed(place.files, place.path, os.fsencode(text))

    def cd(self, files: ServerFiles, path: bytes) -> None:
        """Change the working directory. Errors: Failure."""
        try:
            files.chdir(path)
            self.cwd, self._before = files.getcwd(), self.cwd
        except OSError as error:
            hint = remedy(error)
            raise Failure(f"{printable(path)}: {error.strerror}{f': {hint}' if hint else ''}") from error

    def back(self) -> None:
        """Change to the working directory before this one, and say which it is. Errors: Failure."""
        self.cd(self.client(None), self._before)
        self.write(f"{printable(self.cwd)}\n")

    # --- commands ---------------------------------------------------------------------------------

    @property
    def last(self) -> int:
        """The status of the command before this one."""
        return self._last

    def line(self, text: str, stop: bool = False) -> None:
        """Do the commands in a text; `status` is that of the last one.

        Args:
            stop: at the first one that fails.

        Errors:
            Leave: the shell is to end.
            KeyboardInterrupt: when it is not interactive.
            OutputLost: nobody takes the output.
        """
        try:
            commands = split(text)
        except ValueError as error:
            self.name, self.status = NAME, USAGE
            self.error(str(error))
            return
        for words in commands:
            self._command(words)
            if stop and self.status:
                return

    def _command(self, words: list[Word]) -> None:
        self.name = words[0]
        self._last, self.status = self.status, 0
        try:
            self._run(words[0], words[1:])
            self.flush()
        except Failure as failure:
            self.error(failure.text)
            self.status = failure.status
        except SystemExit as done:
            self.status = int(done.code or 0)
        except KeyboardInterrupt:
            if not self._interactive:
                raise
            self.write("\n")
            self.status = INTERRUPTED

    def _run(self, name: str, words: list[Word]) -> None:
        if name in BUILTINS:
            BUILTINS[name].run(self, words)
        elif name in VERBS and name != "sh":
            run_verb(self, name, list(words) if name in COMMANDS else list(self.expand(words)))
        else:
            from difflib import get_close_matches

            near = get_close_matches(name, names(), 1)
            hint = f"did you mean {near[0]}?" if near else "help lists them"
            self.name = NAME
            self.error(f"no command {name!r}; {hint}")
            self.status = hostcommand.NOT_FOUND

    # --- patterns ---------------------------------------------------------------------------------

    def expand(self, words: list[Word]) -> Iterator[str]:
        """Yield words with the names in the server that patterns among them match, if any."""
        for word in words:
            yield from (word.pattern is not None and self.matches(word.pattern)) or [word]

    def matches(self, pattern: str) -> list[str]:
        """Return the paths that a pattern matches, in order.

        Errors:
            Failure: the connection is gone.
        """
        found = ["/" if pattern.startswith("/") else ""]
        parts = [part for part in pattern.split("/") if part]
        for index, part in enumerate(parts):
            found = [path for above in found for path in self._below(above, part)]
            if index < len(parts) - 1 or pattern.endswith("/"):
                found = [f"{path}/" for path in found if self.kind(path) == S_IFDIR]
        return sorted(found)

    def _below(self, above: str, part: str) -> Iterator[str]:
        """Yield the paths in a directory that one part of a pattern matches."""
        if glob.has_magic(part):
            matches = fnmatch.filter([printable(entry.name) for entry in self.scandir(above)], part)
            yield from (above + name for name in matches if part[0] == "." or name[0] != ".")
        elif self.kind(above + part, follow_symlinks=False):
            yield above + part

    def kind(self, path: str, follow_symlinks: bool = True) -> int:
        """Return the file type at a path; 0 when nothing can be seen there. Errors: Failure."""
        place = self.remote(path)
        try:
            return place.kind(follow_symlinks)
        except OSError as error:
            self._unseen(place, error)
            return 0

    def scandir(self, path: str) -> list[DirEntry]:
        """Return what is in a directory; nothing when it cannot be read. Errors: Failure."""
        place = self.remote(path or ".")
        try:
            return place.files.scandir(place.path)
        except OSError as error:
            self._unseen(place, error)
            return []

    def _unseen(self, place: Place[ServerFiles], error: OSError) -> None:
        """Take it that nothing matches there, unless nothing can be seen at all any more. Errors: Failure."""
        if place.files.lost:
            self.failed(str(place), error)

    # --- commands of its own ----------------------------------------------------------------------

    def host(self, command: str) -> int:
        """Run a command of the host, which finds the server in its environment; return its status."""
        words = ["/bin/sh", "-c", command] if command else [os.environ.get("SHELL") or "/bin/sh"]
        self.flush()
        env = hostcommand.environment(self._where) if "://" in self._where else os.environ
        return hostcommand.run(self, words, env, stdin=self._stdin)


class Builtin(NamedTuple):
    """A command of the shell itself: what follows its name, what it does, and the function."""

    usage: str
    summary: str
    run: Callable[[Shell, list[Word]], None]


def _operand(shell: Shell, words: list[str], most: int = 1) -> str | None:
    """Return the only operand of a command, if there is one."""
    if len(words) > most:
        raise Failure(f"too many operands\nusage: {shell.name} {BUILTINS[shell.name].usage}".rstrip(), USAGE)
    return words[0] if words else None


def _cd(shell: Shell, words: list[Word]) -> None:
    target = _operand(shell, list(shell.expand(words)))
    if target == "-":
        shell.back()
        return
    place = shell.remote(target or "/")
    if place.files is not shell.client(None):
        raise Failure(f"{target} is in another server; rumpfs sh {target} works there", USAGE)
    shell.cd(place.files, place.path)


def _pwd(shell: Shell, words: list[Word]) -> None:
    _operand(shell, list(words), 0)
    shell.write(f"{printable(shell.cwd)}\n")


def _lcd(shell: Shell, words: list[Word]) -> None:
    target = _operand(shell, list(words))
    try:
        os.chdir(os.path.expanduser(target or "~"))
    except OSError as error:
        shell.failed(target or "~", error)


def _transfer(shell: Shell, words: list[Word], source: str, target: str) -> Namespace:
    """Parse the command line of get or put; `source` of what is returned is a Word."""
    summary = BUILTINS[shell.name].summary
    parser = Parser(shell.name, summary[0].upper() + summary[1:] + ".", f"  {shell.name} -r etc /tmp\n")
    cp.options(parser)
    parser.add_argument("source", metavar=source, help="what is copied; a pattern may match several")
    parser.add_argument(
        "target", metavar=target, nargs="?", default=".", help="a file, or a directory to copy into (.)"
    )
    return parser.parse_intermixed_args(words)


def _get(shell: Shell, words: list[Word]) -> None:
    args = _transfer(shell, words, "REMOTE", "LOCAL")
    sources = [shell.remote(text) for text in shell.expand([args.source])]
    cp.copy(shell, args, pairs(shell, sources, Place(HostFiles(), os.fsencode(args.target), "")))


def _put(shell: Shell, words: list[Word]) -> None:
    args = _transfer(shell, words, "LOCAL", "REMOTE")
    pattern = args.source.pattern
    texts = (pattern is not None and sorted(glob.glob(pattern))) or [args.source]
    sources = [Place(HostFiles(), os.fsencode(text), "") for text in texts]
    cp.copy(shell, args, pairs(shell, sources, shell.remote(args.target)))


def _host(shell: Shell, words: list[Word]) -> None:
    shell.status = shell.host(words[0])


def _help(shell: Shell, words: list[Word]) -> None:
    topic = _operand(shell, list(words))
    if topic is None:
        lines = [(f"{name} {builtin.usage}".rstrip(), builtin.summary) for name, builtin in BUILTINS.items()]
        lines += [(verb, summary) for verb, summary in VERBS.items() if verb != "sh"]
        width = max(len(name) for name, _ in lines)
        shell.write("".join(f"{name.ljust(width)}  {summary}\n" for name, summary in lines))
        shell.write("Paths are the server's; * ? [] match names there. help COMMAND says more.\n")
    elif topic in VERBS and topic != "sh":
        shell.name = topic
        run_verb(shell, topic, ["--help"])
    elif topic in ("get", "put"):
        shell.name = topic
        BUILTINS[topic].run(shell, [Word("--help")])
    elif topic in BUILTINS:
        shell.write(f"usage: {topic} {BUILTINS[topic].usage}\n{BUILTINS[topic].summary}\n")
    else:
        raise Failure(f"no command {topic!r}")


def _exit(shell: Shell, words: list[Word]) -> NoReturn:
    text = _operand(shell, list(words)) or str(shell.last)
    if not text.isdecimal() or int(text) > 255:
        raise Failure(f"{text!r} is not an exit status", USAGE)
    raise Leave(int(text))


BUILTINS: Final = {
    "cd": Builtin("[DIRECTORY]", "change the working directory (/); - is the one before", _cd),
    "pwd": Builtin("", "print the working directory", _pwd),
    "get": Builtin("[-rpv] REMOTE [LOCAL]", "copy files to the host", _get),
    "put": Builtin("[-rpv] LOCAL [REMOTE]", "copy files from the host", _put),
    "lcd": Builtin("[DIRECTORY]", "change the working directory on the host", _lcd),
    "!": Builtin("[COMMAND]", "run a command of the host, or a shell", _host),
    "help": Builtin("[COMMAND]", "list the commands, or explain one", _help),
    "exit": Builtin("[STATUS]", "leave", _exit),
}


def names() -> list[str]:
    """Return the names of all commands."""
    return sorted([*(verb for verb in VERBS if verb != "sh"), *BUILTINS])
