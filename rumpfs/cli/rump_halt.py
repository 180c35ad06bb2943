"""rump.halt: halt a rump kernel (NetBSD: usr.sbin/rump.halt/rump.halt.c). Starts fast: it imports little."""

from __future__ import annotations

import os
import sys
from typing import Final

from rumpfs import __version__
from rumpfs.abi.limits import RB_DUMP, RB_HALT, RB_NOSYNC
from rumpfs.cli.stdout import show

_FLAGS: Final = {"d": RB_DUMP, "h": RB_HALT, "n": RB_NOSYNC}

HELP: Final = """\
usage: rump.halt [-dhn]

Halt the rump kernel that RUMP_SERVER names: it writes everything to its disks and unmounts them, and
the server exits. Exit status: 0 when the kernel has halted, 1 otherwise.

options:
  -d  dump core: the server aborts without writing anything, so that the kernel can be examined
  -h  halt only: the server process stays, without its socket
  -n  do not write anything to the disks
  --help, --version

examples:
  env RUMP_SERVER=unix://sock rump.halt
  env RUMP_SERVER=tcp://127.0.0.1:3755/ rump.halt -n
"""


def _howto(words: list[str]) -> int | None:
    """Return the argument of reboot(2) that the command line asks for; None when it is wrong."""
    howto = 0
    for index, word in enumerate(words):
        if word == "--":
            return howto if index + 1 == len(words) else None
        if not word.startswith("-") or word == "-" or not set(word[1:]) <= set(_FLAGS):
            return None
        for letter in word[1:]:
            howto |= _FLAGS[letter]
    return howto


def main() -> int:
    """Run the command; return its exit status."""
    name = os.path.basename(sys.argv[0]) or "rump.halt"
    words = sys.argv[1:]
    if "--help" in words:
        return show(name, HELP)
    if "--version" in words:
        return show(name, f"rump.halt (rumpfs) {__version__}\n")
    howto = _howto(words)
    if howto is None:
        print(f"usage: {name} [-dhn]", file=sys.stderr)
        return 1
    try:
        return _halt(name, howto)
    except KeyboardInterrupt:
        return 130


def _halt(name: str, howto: int) -> int:
    # Whoever only reads the help does not wait for these.
    from rumpfs.client.raw import RUMP_SERVER, RawClient, server_url
    from rumpfs.sysproxy.url import UrlError

    try:
        url = server_url()
    except FileNotFoundError as error:
        print(
            f"error: {RUMP_SERVER} not set\n{name}: init failed: {os.strerror(error.errno or 0)}",
            file=sys.stderr,
        )
        return 1
    try:
        client = RawClient(url, "rump.halt")
    except UrlError as error:
        # ... the client library of NetBSD prints the first line, and the program the second one.
        from rumpfs.abi.errno import strerror

        print(f"{error.text}\n{name}: init failed: {strerror(error.errno)}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{name}: init failed: {error.strerror}", file=sys.stderr)
        return 1
    try:
        client.sys.reboot(howto, None)
    except OSError as error:
        print(f"{name}: reboot: {error.strerror}", file=sys.stderr)
        return 1
    finally:
        client.close()
    return 0
