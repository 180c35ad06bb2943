"""What the verbs of `rumpfs` share: servers, output, errors and the parser of options."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn

from rumpfs import __version__
from rumpfs.abi import errno
from rumpfs.base.address import AddressError, is_url, parse_image
from rumpfs.base.copy import Buffer
from rumpfs.base.sizes import INT64_MAX, SizeError, parse_size
from rumpfs.cli import address
from rumpfs.cli.address import HostAddress, ImagePath, ServerAddress
from rumpfs.cli.places import Files, HostFiles, Place, ServerFiles
from rumpfs.cli.stdout import show
from rumpfs.client.errors import ConnectionLost, RumpError
from rumpfs.client.raw import RUMP_SERVER, server_url
from rumpfs.sysproxy.url import UrlError

if TYPE_CHECKING:
    from rumpfs.base.address import ImageAddress
    from rumpfs.cli.images.local import ImageFiles

FAILED: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130


#: what is said of an image that something is to be written to as to a file
ITSELF: Final = "this is the image itself; it is not written over"


class Failure(Exception):
    """The verb cannot go on.

    Args:
        text: what the user is told.
        status: exit status.
    """

    def __init__(self, text: str, status: int = FAILED) -> None:
        super().__init__(text)
        self.text = text
        self.status = status


class OutputLost(Exception):
    """Standard output cannot be written to.

    Args:
        error: why; BrokenPipeError when nobody reads any more.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


class _Show(argparse.Action):
    """Prints a text (the help when there is none) and ends; argparse's own do not say when they cannot."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        parser.exit(show(parser.prog, self.const or parser.format_help()))


class Parser(argparse.ArgumentParser):
    """The parser of one command: no abbreviations, and an exit status for what it does not understand.

    Attributes:
        wrong: that status.
    """

    wrong = USAGE

    def __init__(self, prog: str, description: str, examples: str, human: bool = False) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=f"examples:\n{examples.rstrip()}" if examples else None,
            formatter_class=_formatter,
            allow_abbrev=False,
            add_help=False,
        )
        # In a verb whose sizes can be made readable, -h does that.
        names = ["--help"] if human else ["-h", "--help"]
        self.add_argument(*names, action=_Show, nargs=0, help="print this help and exit")
        version = f"rumpfs {__version__}\n"
        text = "print the version and exit"
        self.add_argument("-V", "--version", action=_Show, nargs=0, const=version, help=text)

        self._attached: set[str] = set()

    def flag(self, name: str, dest: str, text: str) -> None:
        """Add an option that is given or not."""
        self.add_argument(*name.split(), dest=dest, action="store_true", help=text)

    def attached(self, name: str, metavar: str, text: str) -> None:
        """Add an option whose value can only be attached to it (``--name=value``), and is "" without one."""
        self._attached.add(name)
        self.add_argument(name, metavar=f"[={metavar}]", help=text)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse words; see argparse."""
        words = list(sys.argv[1:] if args is None else args)
        stop = words.index("--") if "--" in words else len(words)
        words[:stop] = [f"{word}=" if word in self._attached else word for word in words[:stop]]
        return super().parse_known_args(words, namespace)

    def number(self, name: str, dest: str, least: int, largest: int, text: str, metavar: str = "N") -> None:
        """Add an option whose value is a number, perhaps with a suffix, from `least` to `largest`."""

        def parse(value: str) -> int:
            try:
                return parse_size(value, name, least, largest)
            except SizeError as error:
                raise argparse.ArgumentTypeError(str(error)) from error

        self.add_argument(name, dest=dest, metavar=metavar, type=parse, help=text)

    def sector(self) -> None:
        """Add the option that says which copy of the superblock is used."""
        text = "use the superblock copy at this sector of 512 bytes"
        self.number("-b", "sblock", 0, INT64_MAX >> 9, text, "SECTOR")
        self.set_defaults(sblock=0)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the command line, and exit."""
        say(f"{self.prog}: {message}\n{self.format_usage().rstrip()}\nsee {self.prog} --help")
        sys.exit(self.wrong)


def _formatter(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=26, width=100)


def say(text: str) -> None:
    """Print a line on standard error; bytes of names that are not UTF-8 stay what they are."""
    stream = getattr(sys.stderr, "buffer", None)
    if stream is None:
        print(text, file=sys.stderr)
        return
    sys.stderr.flush()
    stream.write(os.fsencode(text) + b"\n")
    stream.flush()


class Tool:
    """One run of a verb.

    Args:
        name: how messages begin, as ``rumpfs ls``.

    Attributes:
        here: the address of the directory that verbs work in when none is named.
        status: exit status.
        unwritten: exit status when standard output cannot be written to.
        writes: images are opened for writing.
    """

    here = ":/"
    #: how messages begin of what knows no tool
    running: ClassVar[str] = "rumpfs"

    def __init__(self, name: str, writes: bool = False) -> None:
        self.name = name
        self.status = 0
        self.unwritten = FAILED
        self.writes = writes
        self._clients: dict[str, ServerFiles] = {}
        self._images: dict[ImageAddress, ImageFiles] = {}

    # --- places -----------------------------------------------------------------------------------

    def place(self, text: str, writes: bool | None = None) -> Place[Files]:
        """Return the place that an address means, on the host, in an image or in a server.

        Args:
            writes: an image is opened for writing; as `Tool.writes` says when None.
        """
        found = self.parse(text)
        if isinstance(found, HostAddress):
            return Place(HostFiles(), found.path, "")
        if isinstance(found, ImagePath):
            return self._inside(found, self.writes if writes is None else writes)
        return self._server(found, text)

    def remote(self, text: str, default: bytes | None = None) -> Place[ServerFiles]:
        """Return the place in a server or in an image that an address means.

        Args:
            default: the path that a server or an image as a whole stands for.
        """
        found = self.parse(text)
        if isinstance(found, HostAddress) and default is not None:
            image = self._image(text)
            found = found if image is None else ImagePath(image, text, default)
        if isinstance(found, ImagePath):
            return self._inside(found, self.writes)
        if isinstance(found, HostAddress):
            if os.path.isfile(text[:-1]) and text.endswith(":"):
                raise Failure(f"{text} is no address: the root of what is in the image is {text}/", USAGE)
            path = text if text.startswith("/") else f"/{text}"
            there = "" if os.path.lexists(text) else ", which has no such file"
            raise Failure(
                f"{text} is a path of the host{there}; in a server it is written :{path} "
                f"(with {RUMP_SERVER} set) or unix://sock:{path}, in an image disk.img:{path}",
                USAGE,
            )
        return self._server(found, text, default)

    def server(self, text: str) -> tuple[ServerFiles, bytes | None]:
        """Return a server, and the path in it that an address means; None for the server as a whole.

        ``:`` is the server that RUMP_SERVER names.
        """
        if text == ":":
            return self.client(None), None
        place = self.remote(text, b"")
        return place.files, place.path or None

    def _image(self, text: str) -> ImageAddress | None:
        """Return the image that an address without a path means; None when the host has none of that name."""
        image = parse_image(text)
        there = os.path.exists(image.path) and not os.path.isdir(image.path)
        return image if there or is_url(image.path) else None

    def _inside(self, found: ImagePath, writes: bool) -> Place[ServerFiles]:
        """Return a place in an image, which is opened once."""
        from rumpfs.cli.images.local import ImageFiles

        files = self._images.get(found.image)
        if files is None:
            files = self._images[found.image] = ImageFiles(found.image, found.text, writes)
        return Place(files, found.path, found.prefix)

    def parse(self, text: str) -> HostAddress | ServerAddress | ImagePath:
        """Return what an address is. Errors: Failure: it is none."""
        try:
            return address.parse(text)
        except AddressError as error:
            raise Failure(str(error), USAGE) from error

    def _server(self, found: ServerAddress, text: str, default: bytes | None = None) -> Place[ServerFiles]:
        path = default if found.path is None else found.path
        if path is None:
            raise Failure(f"{text} is a server; a path in it is written {text}:/path", USAGE)
        return Place(self.client(found.url), path, found.prefix)

    def url(self, url: str | None) -> str:
        """Return a url, or for None the one that RUMP_SERVER holds."""
        if url is not None:
            return url
        try:
            return server_url()
        except FileNotFoundError as error:
            raise Failure(
                f"{RUMP_SERVER} is not set, so :/path names no server: export {RUMP_SERVER}=unix://sock, "
                "or write unix://sock:/path",
                USAGE,
            ) from error

    @contextmanager
    def reaching(self, where: str) -> Iterator[None]:
        """Say what is wrong when a server cannot be reached.

        Errors:
            Failure: for the errors that connecting has.
        """
        try:
            yield
        except UrlError as error:
            raise Failure(error.text, USAGE) from error
        except ConnectionLost as error:
            raise Failure(str(error.strerror)) from error
        except OSError as error:
            text = f"{where}: {error.strerror or error}"
            if isinstance(error, FileNotFoundError | ConnectionRefusedError):
                text += f": no server is there; this starts one: rump_allserver {where}"
            raise Failure(text) from error

    def client(self, url: str | None) -> ServerFiles:
        """Return the connection to a server; the same one each time."""
        where = self.url(url)
        client = self._clients.get(where)
        if client is not None:
            return client
        with self.reaching(where):
            client = ServerFiles(where, "rumpfs")
        self._clients[where] = client
        return client

    def is_image(self, path: bytes | str, *texts: str) -> bool:
        """True when a file of the host, by whatever name, is an image that is in use.

        Args:
            texts: addresses of images that are in use, besides those that places are in.
        """
        return _is_one_of(path, {image.path for image in (*self._images, *map(parse_image, texts))})

    def is_around(self, files: Files, path: bytes | str) -> bool:
        """True when a file of the host, by whatever name, is the image that files are in."""
        return _is_one_of(path, [image.path for image, each in self._images.items() if each is files])

    def spare(self, path: bytes | str, *texts: str) -> None:
        """Check that a file of the host, which is to be written anew, is no image that is in use.

        Errors:
            Failure: it is.
        """
        if self.is_image(path, *texts):
            raise Failure(f"{os.fsdecode(path)}: {ITSELF}")

    def close(self) -> None:
        """Close all connections and images."""
        for files in [*self._clients.values(), *self._images.values()]:
            try:
                files.close()
            except Failure as failure:
                self.error(failure.text)

    # --- output -----------------------------------------------------------------------------------

    def write(self, text: str) -> None:
        """Write text to standard output.

        Errors:
            OutputLost: it cannot be written there.
        """
        self.write_bytes(os.fsencode(text))

    def write_bytes(self, data: Buffer) -> None:
        """Write bytes to standard output.

        Errors:
            OutputLost: they cannot be written there.
        """
        try:
            sys.stdout.buffer.write(data)
        except OSError as error:
            raise OutputLost(error) from error

    def flush(self) -> None:
        """Let standard output be written.

        Errors:
            OutputLost: it cannot be.
        """
        try:
            sys.stdout.flush()
        except OSError as error:
            raise OutputLost(error) from error

    def error(self, text: str) -> None:
        """Say that something failed; the verb goes on, and its exit status will be 1."""
        self.flush()
        say(f"{self.name}: {text}")
        self.status = self.status or FAILED

    def failed(self, where: str, error: OSError, hint: str = "") -> None:
        """Say that an operation failed at `where`, and what helps.

        Errors:
            Failure: the connection is gone, so that nothing else can succeed.
        """
        if isinstance(error, ConnectionLost):
            raise Failure(str(error.strerror)) from error
        hint = hint or remedy(error)
        self.error(f"{where}: {error.strerror or error}{f': {hint}' if hint else ''}")


def _is_one_of(path: bytes | str, others: Iterable[str]) -> bool:
    """True when a file of the host is one of others, by whatever name."""
    return os.path.exists(path) and any(
        os.path.exists(other) and os.path.samefile(path, other) for other in others
    )


#: members of JSON documents that are as they were on the command line
_ADDRESSES: Final = ("image", "address", "overlay")
#: what helps against an errno, whatever was tried
_REMEDIES: Final = {
    errno.ENOSYS: "the server lacks a component: start it as rump_allserver, or with -l rumpvfs",
    errno.EROFS: "the file system is mounted read-only",
    errno.EOPNOTSUPP: "the file system there cannot do that; rumpfs mount shows which one it is",
}


def remedy(error: OSError) -> str:
    """Return what helps against an error of a server; may be empty."""
    return _REMEDIES.get(error.netbsd_errno, "") if isinstance(error, RumpError) else ""


def json_text(document: dict[str, object]) -> str:
    """Return a JSON document; what is not ASCII stands there by itself."""
    return _json({"schema_version": 1, **document}, 2)


def json_line(document: dict[str, object]) -> str:
    """Return a JSON document in a line; see `json_text`."""
    return _json({"schema_version": 1, **document}, None)


def _json(document: dict[str, object], indent: int | None) -> str:
    import json

    text = json.dumps(document, indent=indent, ensure_ascii=False) + "\n"
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:  # the bytes of a name that was written on the command line
            return json.dumps(_encodable(document), indent=indent, ensure_ascii=False) + "\n"
    return text


def _encodable(value: Any) -> Any:
    """Return a JSON value that can be UTF-8: addresses become what names do, messages show the bytes."""
    if isinstance(value, dict):
        found: dict[str, object] = {}
        for key, each in value.items():
            is_name = isinstance(each, str) and key in _ADDRESSES
            found |= json_name(key, os.fsencode(each)) if is_name else {key: _encodable(each)}
        return found
    if isinstance(value, list | tuple):
        return [_encodable(each) for each in value]
    return os.fsencode(value).decode("utf-8", "backslashreplace") if isinstance(value, str) else value


def json_name(key: str, name: bytes) -> dict[str, object]:
    """Return the member for a name: `key`, or `key_b64` with its bytes in base64 when it is not UTF-8."""
    try:
        return {key: name.decode()}
    except UnicodeDecodeError:
        import base64

        return {f"{key}_b64": base64.b64encode(name).decode()}


def columns(words: Iterable[str], width: int) -> str:
    """Return words in columns that fit into `width` characters, going down first, as ls does it."""
    items = list(words)
    if not items:
        return ""
    longest = max(len(item) for item in items) + 2
    across = max(1, width // longest)
    down = -(-len(items) // across)
    lines = []
    for row in range(down):
        cells = items[row::down]
        lines.append("".join(cell.ljust(longest) for cell in cells).rstrip(" "))
    return "\n".join(lines) + "\n"
