"""What a server holds: processes, files, locks, calls; its descriptors and its memory.

A module that the server loads (-m) counts the live objects and the suspended calls of the program by their
types, for who reads ``vendor.census`` in the tree of sysctl(3). So a test sees what stays behind when
clients are gone, whichever table holds it.
"""

from __future__ import annotations

import os
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.serving import Peer, Served, serving

SYSCTL = 202
MIB, OLDLEN, OLD = 0x1000, 0x2000, 0x3000
CTL_KERN, KERN_PROC2, CTL_VENDOR, CENSUS = 1, 47, 11, 1
#: struct kinfo_proc2: its size, and where p_pid, p_comm and p_nlwps are (netbsd_abi.md section 3)
KINFO, PID, COMM, NLWPS = 680, 116, 368, 616
ROOM = 8 << 20
#: how long a server may take to see that its clients are gone, in seconds
PATIENCE = 20.0
#: how long it may take to get rid of what it does not need any more, in seconds
SETTLED = 3.0

_MODULE = """
import gc
from collections import Counter
from types import GeneratorType

import trio

from rumpfs.abi.sysctl import CTL_VENDOR, CTLTYPE_STRING
from rumpfs.kern.sysctl import Row

NAME = "census"
CLASS = "misc"
REQUIRES = ()


def census(p):
    gc.collect()
    found = Counter()
    for thing in gc.get_objects():
        kind = type(thing)
        if kind is GeneratorType:
            if "rumpfs" in thing.gi_code.co_filename:
                found[f"call {thing.gi_code.co_name}"] += 1
        elif kind.__module__.startswith("rumpfs.") or kind is trio.CancelScope:
            found[f"{kind.__module__}.{kind.__qualname__}"] += 1
    return "\\n".join(f"{name}\\t{count}" for name, count in found.items()).encode()


def init(kernel):
    kernel.sysctl.createv(Row((CTL_VENDOR, 1), b"census", CTLTYPE_STRING, b"Live objects", census))
"""


@contextmanager
def counted(directory: Path, *args: str, program: str = "rump_allserver") -> Iterator[Served]:
    """Run a server that has the census."""
    module = directory / "census.kmod"
    module.write_text(_MODULE)
    with serving(directory, "-m", str(module), *args, program=program) as served:
        yield served


def sysctl(peer: Peer, *mib: int) -> bytes:
    """Read a value, or fail."""
    memory = {MIB: struct.pack(f"<{len(mib)}i", *mib), OLDLEN: struct.pack("<Q", ROOM)}
    call = peer.call(SYSCTL, MIB, len(mib), OLD, OLDLEN, 0, 0, memory=memory)
    assert call.error == 0
    *old, (at, oldlen) = call.stored
    assert at == OLDLEN
    value = b"".join(data for _, data in old)
    assert oldlen == struct.pack("<Q", len(value))
    return value


def processes(peer: Peer) -> dict[int, tuple[bytes, int]]:
    """Return pid -> name and number of lwps, of all processes (kern.proc2)."""
    data = sysctl(peer, CTL_KERN, KERN_PROC2, 0, 0, KINFO, 1 << 20)
    return {
        struct.unpack_from("<i", data, at + PID)[0]: (
            data[at + COMM : at + COMM + 24].rstrip(b"\0"),
            struct.unpack_from("<Q", data, at + NLWPS)[0],
        )
        for at in range(0, len(data), KINFO)
    }


def until(condition: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    """Ask a server again until something is so; return whether it became so in time."""
    deadline = time.monotonic() + seconds
    while not (so := condition()) and time.monotonic() < deadline:
        pass
    return so


def alone(peer: Peer) -> None:
    """Wait until the kernel has no process but init and the peer's, which runs nothing else."""
    assert until(lambda: len(processes(peer)) == 2), f"they did not go: {processes(peer)}"
    assert sorted(nlwps for _, nlwps in processes(peer).values()) == [1, 2]


class Holding(Counter[str]):
    """How many a server has of each kind of object, with its descriptors on the host."""


def census(peer: Peer) -> Holding:
    """Return how many objects and suspended calls of each kind there are."""
    lines = sysctl(peer, CTL_VENDOR, CENSUS).rstrip(b"\0").decode().split("\n")
    return Holding({name: int(count) for name, count in (line.split("\t") for line in lines)})


def holding(served: Served) -> Holding:
    """Wait until all clients are gone, and return what the server still holds."""
    with Peer(served.path, timeout=60) as peer:
        peer.guest()
        alone(peer)
        found = census(peer)
        found["descriptors"] = len(os.listdir(f"/proc/{served.process.pid}/fd"))
    return found


def leaked(served: Served, before: Holding) -> dict[str, int]:
    """Return what a server without clients holds more of than before, once what ends by itself has ended."""
    until(lambda: not holding(served) - before, SETTLED)
    return dict(holding(served) - before)


def rss(served: Served) -> int:
    """Return the memory that the server has, in KiB (VmRSS)."""
    status = Path(f"/proc/{served.process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


def cpu_ticks(served: Served) -> int:
    """Return the processor time that the server has used, in ticks of the host's clock."""
    fields = Path(f"/proc/{served.process.pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
