"""rumpclient: a blocking client of a rump kernel, with nothing but the standard library.

    from rumpfs.client import Client

    with Client("unix://sock") as kernel:           # or Client() with RUMP_SERVER set
        kernel.mount("ffs", "/dev/dk", "/mnt", flags=MNT_RDONLY)
        print(kernel.listdir("/mnt"))
        with kernel.open("/mnt/etc/rc.conf") as file:
            text = file.read()
        kernel.sys.getpid()                         # any system call of the table, by its name

`errors` has what is raised, `memory` the addresses that a server sees, `transport` the socket, `stubs` the
system calls made from abi's table, `raw` the connection as a process, `records` and `files` what the file
API returns, and `api` the file API. Programs that only need system calls import `raw.RawClient`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rumpfs.client.api import Client
    from rumpfs.client.errors import ConnectionLost, RumpError
    from rumpfs.client.files import RemoteFile
    from rumpfs.client.records import DirEntry, StatResult, StatvfsResult

__all__ = [
    "Client",
    "ConnectionLost",
    "DirEntry",
    "RemoteFile",
    "RumpError",
    "StatResult",
    "StatvfsResult",
]

_MODULES = {
    "Client": "api",
    "ConnectionLost": "errors",
    "DirEntry": "records",
    "RemoteFile": "files",
    "RumpError": "errors",
    "StatResult": "records",
    "StatvfsResult": "records",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for: a command that halts a kernel does not wait for the file API."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
