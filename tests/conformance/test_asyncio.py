"""select(2) and poll(2) of hijacked programs, which come as pollts (tests/lib/librumphijack/t_asyncio.sh)."""

from __future__ import annotations

import struct

from rumpfs.abi.fcntl import O_RDWR
from tests.conformance.system import System

PROGRAM = "lib/librumphijack/t_asyncio"
NOT_APPLICABLE = {"fdoff8": "it is about the numbers that the preloaded library shows"}
POLLIN, POLLNVAL = 1, 0x20
MICROSECOND = struct.pack("<qq", 0, 1000)  # struct timespec
TIMEVAL = struct.pack("<qq", 0, 1)


def pollfd(*entries: tuple[int, int, int]) -> bytearray:
    return bytearray(b"".join(struct.pack("<iHH", *entry) for entry in entries))


def test_select_timeout(system: System) -> None:
    """Nothing is ready on an empty pipe, and nothing is left set."""
    p = system.process()
    reader, _ = p.call("pipe")
    fds = pollfd((reader, POLLIN, 0xFFFF))
    assert p.call("__pollts50", fds, 1, MICROSECOND, None) == 0
    assert fds == pollfd((reader, POLLIN, 0))
    wanted = bytearray(struct.pack("<I", 1 << reader))
    assert p.call("__select50", reader + 1, wanted, None, None, TIMEVAL) == 0
    assert wanted == bytes(4)


def test_select_allunset(system: System) -> None:
    p = system.process()
    sets = [bytearray(16) for _ in range(3)]
    assert p.call("__select50", 100, *sets, TIMEVAL) == 0
    assert p.call("__select50", 0, None, None, None, TIMEVAL) == 0
    assert p.call("__pollts50", None, 0, MICROSECOND, None) == 0
    assert sets == [bytes(16)] * 3


def test_invafd(system: System) -> None:
    """A closed descriptor ends a poll without a deadline at once."""
    p = system.process()
    reader, _ = p.call("pipe")
    fd = p.call("open", b"/dev/null", O_RDWR, 0)
    p.call("close", fd)
    fds = pollfd((reader, POLLIN, 0), (fd, POLLIN, 0))
    assert p.call("__pollts50", fds, 2, None, None) == 1
    assert fds == pollfd((reader, POLLIN, 0), (fd, POLLIN, POLLNVAL))
