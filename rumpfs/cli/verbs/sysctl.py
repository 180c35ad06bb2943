"""rumpfs sysctl."""

from __future__ import annotations

from argparse import Namespace
from typing import Any, Final

from rumpfs.abi import errno
from rumpfs.abi.sysctl import CTLTYPE_NODE, LOADAVG
from rumpfs.cli.places import ServerFiles
from rumpfs.cli.tool import USAGE, Failure, Parser, Tool, json_text
from rumpfs.client import sysctl
from rumpfs.client.errors import ConnectionLost, RumpError
from rumpfs.client.sysctl import Node

EXAMPLES: Final = """\
  rumpfs sysctl                          everything that the server knows
  rumpfs sysctl kern.ostype kern.osrelease
  rumpfs sysctl unix://sock hw           a part of the tree of another server
  rumpfs sysctl -w kern.hostname=storage
  rumpfs sysctl -d kern.maxvnodes        what it means
  rumpfs sysctl -n kern.msgbuf           what the kernel has printed, as dmesg(8) shows it
"""


def arguments(parser: Parser) -> None:
    """Add the options."""
    parser.flag("-a", "all", "the whole tree, as when nothing is named")
    parser.flag("-d", "describe", "what nodes mean in place of their values")
    parser.flag("-n", "bare", "values without names")
    parser.flag("-w", "write", "set values: NAME=VALUE")
    parser.flag("--json", "json", "a JSON document; see rumpfs help json")
    parser.add_argument(
        "names", metavar="NAME", nargs="*", help="kern.ostype, hw ...; the first may be a server: unix://sock"
    )


def run(tool: Tool, args: Namespace) -> None:
    """Show or set what the command line names."""
    names = list(args.names)
    url = names.pop(0) if names and ("://" in names[0] or names[0] == ":") else ":"
    files, path = tool.server(url)
    if path is not None:
        raise Failure(f"{url} is a path in a server; a server as a whole is written unix://sock", USAGE)
    if args.write and not names:
        raise Failure("-w needs what to set, as kern.hostname=storage", USAGE)
    found: dict[str, Any] = {}
    for name in names or [""]:
        try:
            _one(tool, args, files, name, found)
        except ConnectionLost as error:
            tool.failed(name, error)
        except RumpError as error:
            hint = ""
            if error.netbsd_errno == errno.EPERM:
                hint = "it cannot be set" if "=" in name else "only root may see it"
            tool.failed(name, error, hint)
        except ValueError as error:
            tool.error(f"{name}: {error}")
    if args.json:
        tool.write(json_text({"sysctl": found}))


def _one(tool: Tool, args: Namespace, files: ServerFiles, name: str, found: dict[str, Any]) -> None:
    name, assigned, value = name.partition("=")
    if assigned and not args.write:
        raise Failure(f"{name}={value}: -w sets values", USAGE)
    if args.write and not assigned:
        raise Failure(f"{name}: nothing to set it to; it is written {name}=VALUE", USAGE)
    top = sysctl.find(files, name) if name else None
    if assigned and top is not None:
        if top.type == CTLTYPE_NODE:
            raise Failure(f"{name} is a part of the tree, not a value")
        old = _text(top, sysctl.raw(files, top.mib, sysctl.encode(top, value)))
        found[name] = value
        if not args.json:
            tool.write(f"{name}: {old} -> {value}\n")
        return
    for node in sysctl.walk(files, top):
        if node is top or node.name not in _WHEN_NAMED or args.describe:
            _show(tool, args, files, node, found, alone=node is top)


def _show(
    tool: Tool, args: Namespace, files: ServerFiles, node: Node, found: dict[str, Any], alone: bool
) -> None:
    if args.describe:
        text = sysctl.description(files, node)
        found[node.name] = text
        if not args.json:
            tool.write(f"{node.name}: {text or 'no description'}\n")
        return
    try:
        data = sysctl.raw(files, node.mib)
    except RumpError as error:
        if alone or isinstance(error, ConnectionLost):
            raise
        return  # as sysctl(8): what cannot be read is left out of a listing
    value = sysctl.decode(node, data)
    found[node.name] = value.hex() if isinstance(value, bytes) else value
    if not args.json:
        text = _text(node, data)
        tool.write(f"{text}\n" if args.bare else f"{node.name} = {text}\n")


def _seconds(data: bytes) -> str:
    seconds, nanoseconds = (int.from_bytes(data[at : at + 8], "little", signed=True) for at in (0, 8))
    return f"{seconds}.{nanoseconds:09}"


def _clockrate(data: bytes) -> str:
    names = ("hz", "tick", "tickadj", "stathz", "profhz")
    values = (int.from_bytes(data[at : at + 4], "little", signed=True) for at in range(0, 20, 4))
    return ", ".join(f"{name} = {value}" for name, value in zip(names, values, strict=True))


def _loadavg(data: bytes) -> str:
    *averages, scale = LOADAVG.unpack(data)
    return " ".join(f"{average / (scale or 1):.2f}" for average in averages)


def _msgbuf(data: bytes) -> str:
    return data.replace(b"\0", b"").decode(errors="backslashreplace").rstrip("\n")


#: left out of a listing: it has thousands of bytes
_WHEN_NAMED: Final = ("kern.msgbuf",)

#: structures that have a form for people: their size in bytes (0: any), and how they are shown
_STRUCTURES: Final = {
    "kern.boottime": (16, _seconds),
    "kern.clockrate": (20, _clockrate),
    "kern.msgbuf": (0, _msgbuf),
    "vm.loadavg": (LOADAVG.size, _loadavg),
}


def _text(node: Node, data: bytes) -> str:
    value = sysctl.decode(node, data)
    if isinstance(value, int):
        return f"{value & (1 << 8 * len(data)) - 1:#x}" if node.hexadecimal else str(value)
    if isinstance(value, str):
        return value.rstrip("\n")
    size, show = _STRUCTURES.get(node.name, (-1, bytes.hex))
    return show(data) if size in (0, len(data)) else data.hex()
